/* The register tile of all three products, and the division of a block into tiles. Defined here. A file
 * includes vec.h, defines ARGS as its kernel's struct of arguments, and ALONG_ROWS as whether the rows of a
 * tile are adjacent in the left matrix, as in update; in forward and delta its columns are. It includes this
 * header, and then defines the function `tile`. vec.h defines the most rows of a tile of 1, 2 and 3 vectors:
 * TILE_ROWS_1, TILE_ROWS_2, TILE_ROWS_3.
 */
#ifndef BPK_TILE_H
#define BPK_TILE_H

enum { MAX_HEIGHT = 14, MAX_VECS = 3 }; /* the largest tile in run_tile and run_block */

_Static_assert(TILE_VECS <= MAX_VECS, "wider tiles would compute nothing");
_Static_assert(TILE_ROWS_MAX <= MAX_HEIGHT, "higher tiles would compute nothing");
_Static_assert(TILE_ROWS_1 >= 1 && TILE_ROWS_1 <= TILE_ROWS_MAX,
               "a tile of 1 vector exceeds its accumulators");
_Static_assert(TILE_ROWS_2 >= 1 && TILE_ROWS_2 <= TILE_ROWS_MAX,
               "a tile of 2 vectors exceeds its accumulators");
_Static_assert(TILE_ROWS_3 >= 1 && TILE_ROWS_3 <= TILE_ROWS_MAX && UPDATE_ROWS_3 >= 1 &&
                   UPDATE_ROWS_3 <= TILE_ROWS_MAX,
               "a tile of 3 vectors exceeds its accumulators");

/* A loop over the accumulators of a tile of `rows` rows and `vecs` vectors. */
#define EACH_ACCUMULATOR(r, j)            \
    UNROLL                                \
    for (int r = 0; r < rows; r++) UNROLL \
    for (int j = 0; j < vecs; j++)

/* How the last vector of a tile is used: all its lanes; its first `tail` lanes; or these lanes in half a
 * vector. HALVED is for tails of at most half a vector, on ISAs that multiply half a vector in half the time.
 */
enum { WHOLE, PARTIAL, HALVED };

/* The vectors of one row of the right matrix, at w. */
static ALWAYS_INLINE void tile_right(int vecs, int last, ptrdiff_t tail, const stored *w,
                                     vec right[TILE_VECS]) {
    UNROLL
    for (int j = 0; j < vecs; j++)
        right[j] = last && j == vecs - 1 ? vload_first(w + j * VEC, tail) : vload(w + j * VEC);
}

/* sums[i][j] += sum over k < depth of x[i ldx + k], or x[i + k ldx] if ALONG_ROWS, times the vector at
 * w + k ldw + j VEC, for i < rows and j < vecs. LEFTS adjacent elements of x are loaded at once. rows, vecs
 * and last (WHOLE, PARTIAL or HALVED) are constants after inlining. The bounds of the array sums are literals
 * everywhere: gcc would keep an array of other bounds on the stack, and store to it in every step.
 */
static ALWAYS_INLINE void tile_product(int rows, int vecs, int last, ptrdiff_t tail, ptrdiff_t depth,
                                       const stored *x, ptrdiff_t ldx, const stored *w, ptrdiff_t ldw,
                                       vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    const ptrdiff_t rs = ALONG_ROWS ? 1 : ldx, cs = ALONG_ROWS ? ldx : 1;
#ifdef VEC_HALF
    if (last == HALVED) {
        const int wholes = vecs - 1;
        vhalf half[TILE_ROWS_MAX];
        UNROLL
        for (int i = 0; i < rows; i++) half[i] = hlower(sums[i][wholes]);
        for (ptrdiff_t k = 0; k < depth; k++, x += cs, w += ldw) {
            vec right[TILE_VECS];
            vhalf right_half = hload_first(w + wholes * VEC, tail);
            UNROLL
            for (int j = 0; j < wholes; j++) right[j] = vload(w + j * VEC);
            UNROLL
            for (int i = 0; i < rows; i++) {
                vec left = vset1(x[i * rs]);
                IN_REGISTER(left);
                UNROLL
                for (int j = 0; j < wholes; j++) sums[i][j] = vfma(left, right[j], sums[i][j]);
                half[i] = hfma(hlower(left), right_half, half[i]);
            }
        }
        UNROLL
        for (int i = 0; i < rows; i++) sums[i][wholes] = hwiden(half[i]);
        return;
    }
#endif
    ptrdiff_t k = 0;
    if (!ALONG_ROWS && LEFTS > 1) /* LEFTS columns of x at once */
        for (; k + LEFTS <= depth; k += LEFTS, x += LEFTS) {
            vleft left[TILE_ROWS_MAX];
            UNROLL
            for (int i = 0; i < rows; i++) left[i] = vload_left(x + i * rs);
            UNROLL
            for (int c = 0; c < LEFTS; c++, w += ldw) {
                vec right[TILE_VECS];
                tile_right(vecs, last, tail, w, right);
                EACH_ACCUMULATOR (i, j) sums[i][j] = vfma_left(left[i], c, right[j], sums[i][j]);
            }
        }
    const int together = ALONG_ROWS && LEFTS > 1 ? rows / LEFTS * LEFTS : 0; /* rows of x, LEFTS at once */
    for (; k < depth; k++, x += cs, w += ldw) {
        vec right[TILE_VECS];
        tile_right(vecs, last, tail, w, right);
        UNROLL
        for (int i = 0; i < together; i += LEFTS) {
            vleft left = vload_left(x + i);
            UNROLL
            for (int c = 0; c < LEFTS; c++) UNROLL
            for (int j = 0; j < vecs; j++) sums[i + c][j] = vfma_left(left, c, right[j], sums[i + c][j]);
        }
        UNROLL
        for (int i = together; i < rows; i++) {
            vec left = vset1(x[i * rs]);
            UNROLL
            for (int j = 0; j < vecs; j++) sums[i][j] = vfma(left, right[j], sums[i][j]);
        }
    }
}

/* tile_product of rows i to i + rows of a left matrix, over its first `depth` columns. A row-major matrix is
 * one block: a loop of its own would make every tile twice. */
static ALWAYS_INLINE void tile_rows_product(int rows, int vecs, int last, ptrdiff_t tail, ptrdiff_t depth,
                                            const bpk_left *left, ptrdiff_t i, const stored *w, ptrdiff_t ldw,
                                            vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    for (ptrdiff_t k = 0, width; k < depth; k += width) {
        width = left->rows ? width_of_block(depth - k, VEC, TILE_VECS * VEC) : depth;
        const ptrdiff_t ldx = left->rows ? width : left->ld, columns = depth - k < width ? depth - k : width;
        const stored *x = (const stored *)left->at + k * left->rows + i * ldx;
        tile_product(rows, vecs, last, tail, columns, x, ldx, w + k * ldw, ldw, sums);
    }
}

/* Vector j of one row of a tile, at p. */
static ALWAYS_INLINE vec tile_load(const stored *p, int j, int vecs, int last, ptrdiff_t tail) {
    return last && j == vecs - 1 ? vload_first(p + j * VEC, tail) : vload(p + j * VEC);
}

static ALWAYS_INLINE void tile_store(stored *p, vec v, int j, int vecs, int last, ptrdiff_t tail) {
    if (last && j == vecs - 1)
        vstore_first(p + j * VEC, tail, v);
    else
        vstore(p + j * VEC, v);
}

/* Sets all rows of accumulators to the bias, or to zero if it is NULL. */
static ALWAYS_INLINE void tile_start(int rows, int vecs, int last, ptrdiff_t tail, const stored *bias,
                                     vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    UNROLL
    for (int j = 0; j < vecs; j++) {
        vec start = bias ? tile_load(bias, j, vecs, last, tail) : vzero();
        UNROLL
        for (int r = 0; r < rows; r++) sums[r][j] = start;
    }
}

/* Loads the sums of earlier parts into the accumulators. */
static ALWAYS_INLINE void tile_resume(int rows, int vecs, int last, ptrdiff_t tail, const stored *earlier,
                                      ptrdiff_t lds, vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    EACH_ACCUMULATOR (r, j) sums[r][j] = tile_load(earlier + r * lds, j, vecs, last, tail);
}

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
