/* The division of a block of a product into register tiles. Defined here. A file includes vec.h, defines ARGS
 * as its kernel's struct of arguments, and ALONG_ROWS as tile.h explains it. Then it includes this header,
 * and defines the function `tile`. vec.h defines the most rows of a tile of 1, 2 and 3 vectors: TILE_ROWS_1,
 * TILE_ROWS_2, TILE_ROWS_3. */
#ifndef BPK_TILES_H
#define BPK_TILES_H

#include "kernels/vector/tile.h"

enum { MAX_HEIGHT = 14, MAX_VECS = 3 }; /* the largest tile in run_rows and KINDS */

_Static_assert(TILE_VECS <= MAX_VECS, "wider tiles would compute nothing");
_Static_assert(TILE_ROWS_MAX <= MAX_HEIGHT, "higher tiles would compute nothing");
_Static_assert(TILE_ROWS_1 >= 1 && TILE_ROWS_1 <= TILE_ROWS_MAX,
               "a tile of 1 vector exceeds its accumulators");
_Static_assert(TILE_ROWS_2 >= 1 && TILE_ROWS_2 <= TILE_ROWS_MAX,
               "a tile of 2 vectors exceeds its accumulators");
_Static_assert(TILE_ROWS_3 >= 1 && TILE_ROWS_3 <= TILE_ROWS_MAX && UPDATE_ROWS_3 >= 1 &&
                   UPDATE_ROWS_3 <= TILE_ROWS_MAX,
               "a tile of 3 vectors exceeds its accumulators");

/* The most rows with which a tile of `vecs` vectors fits in the registers. */
static ALWAYS_INLINE int tile_rows(int vecs) {
    if (vecs == 3) return ALONG_ROWS ? UPDATE_ROWS_3 : TILE_ROWS_3;
    return vecs == 2 ? TILE_ROWS_2 : TILE_ROWS_1;
}

/* The compiled heights of tiles, as a bit mask: 1 to 8 for small batches, the even ones, and the highest.
 * Partial tiles come in fewer, 1 to 4, 8 and the highest, because each height costs code: those of several
 * vectors, and with CONSTANT_TAILS all. */
static ALWAYS_INLINE unsigned tile_heights(int vecs, int last) {
#ifdef CONSTANT_TAILS
    const int few = last == PARTIAL;
#else
    const int few = last == PARTIAL && vecs > 1;
#endif
    const unsigned up_to_8 = 0x1fe, even = 0x5554, few_heights = 0x11e, highest = 1u << tile_rows(vecs);
    return ((few ? few_heights : up_to_8 | even) & (highest - 1)) | highest;
}

/* The lowest compiled height from `rows` on, which is at most that of the highest tile. */
static ALWAYS_INLINE ptrdiff_t height_from(ptrdiff_t rows, int vecs, int last) {
    return rows + __builtin_ctz(tile_heights(vecs, last) >> rows);
}

/* Computes rows i to i + rows of a block. */
static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i);

/* Divides the rows of a block into tiles of about equal height: as few as possible. If the height of
 * the last tile is not compiled, two lower ones take its place. */
static ALWAYS_INLINE void run_rows(int vecs, int last, ptrdiff_t tail, const ARGS *args) {
    const ptrdiff_t most = tile_rows(vecs);
    for (ptrdiff_t i = args->from; i < args->to;) {
        const ptrdiff_t left = args->to - i, tiles = (left + most - 1) / most;
        ptrdiff_t height = height_from((left + tiles - 1) / tiles, vecs, last);
        if (height > left) height = height_from((left + 1) / 2, vecs, last);
#define HEIGHT(r)                                                                 \
    case r:                                                                       \
        if (tile_heights(vecs, last) >> r & 1)                                    \
            for (; args->to - i >= r; i += r) tile(r, vecs, last, tail, args, i); \
        break;
        switch (height) {
            HEIGHT(1)
            HEIGHT(2)
            HEIGHT(3)
            HEIGHT(4)
            HEIGHT(5)
            HEIGHT(6)
            HEIGHT(7)
            HEIGHT(8)
            HEIGHT(9)
            HEIGHT(10)
            HEIGHT(11)
            HEIGHT(12)
            HEIGHT(13)
            HEIGHT(14)
        }
#undef HEIGHT
    }
}

/* run_rows, with the tail as a constant on sets without masked loads: a load that asks for it in every step
 * of the sum would take longer than the products. */
static ALWAYS_INLINE void run_tail(int vecs, int last, ptrdiff_t tail, const ARGS *args) {
#ifdef CONSTANT_TAILS
    _Static_assert(VEC <= 4, "tails of 4 and more would compute nothing");
    if (last == PARTIAL) {
        if (tail == 1) run_rows(vecs, PARTIAL, 1, args);
        if (VEC > 2 && tail == 2) run_rows(vecs, PARTIAL, 2, args);
        if (VEC > 2 && tail == 3) run_rows(vecs, PARTIAL, 3, args);
        return;
    }
#endif
    run_rows(vecs, last, tail, args);
}

/* Each kind of block has a function of its own: with all tiles in one function, compilers take twice as long.
 */
#ifdef VEC_HALF
#define HALVED_KINDS(X) X(2, HALVED) X(3, HALVED)
#else
#define HALVED_KINDS(X)
#endif
#define KINDS(X) X(1, WHOLE) X(2, WHOLE) X(3, WHOLE) X(1, PARTIAL) X(2, PARTIAL) X(3, PARTIAL) HALVED_KINDS(X)

#define FUNCTION(vecs, last)                                                     \
    static NOINLINE void run_##vecs##_##last(ptrdiff_t tail, const ARGS *args) { \
        run_tail(vecs, last, tail, args);                                        \
    }
KINDS(FUNCTION)
#undef FUNCTION

static ALWAYS_INLINE void run_kind(int vecs, int last, ptrdiff_t tail, const ARGS *args) {
#define CALL(v, kind) \
    if (vecs == v && last == kind) run_##v##_##kind(tail, args);
    KINDS(CALL)
#undef CALL
}

/* Computes a block of n <= TILE_VECS VEC columns. Its columns from `filled` on are padding. */
static ALWAYS_INLINE void run_block(const ARGS *args, ptrdiff_t filled) {
    const int vecs = (int)((args->n + VEC - 1) / VEC);
    const ptrdiff_t tail = filled - (vecs - 1) * VEC;
    int last = args->n % VEC ? PARTIAL : WHOLE;
#ifdef VEC_HALF
    if (vecs > 1 && tail <= VEC / 2) last = HALVED;
#endif
    run_kind(vecs, last, tail, args);
}

#endif
