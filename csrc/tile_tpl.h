/* The register tile that all three products are made of, and the cutting of a block into tiles. Included
 * after a vec_<isa>.h, which says how many rows a tile of so many vectors may have.
 */
#ifndef BPK_TILE_H
#define BPK_TILE_H

/* A loop over the accumulators of a tile of `rows` rows and `vecs` vectors. */
#define EACH_ACCUMULATOR(r, j)            \
    UNROLL                                \
    for (int r = 0; r < rows; r++) UNROLL \
    for (int j = 0; j < vecs; j++)

/* What there is of the last vector of a tile: all of it; what the mask `tail` says; or that, where it is no
 * more than half and halves are multiplied in half the time. */
enum { WHOLE, MASKED, HALVED };

/* acc[i][j] += sum over k of x[i rs + k cs] w[k ldw + j VEC], for i < rows and j < vecs, both constants once
 * this is inlined. The bounds of acc are literals everywhere: gcc gives an array with a bound that is merely
 * constant a place on the stack, and every step a store. `masked` is one of the three above.
 */
static ALWAYS_INLINE void tile_product(int rows, int vecs, int masked, vmask tail, ptrdiff_t depth,
                                       const real *x, ptrdiff_t rs, ptrdiff_t cs, const real *w,
                                       ptrdiff_t ldw, vec acc[TILE_ROWS_MAX][TILE_VECS]) {
#ifdef VEC_HALF
    if (masked == HALVED) {
        const int wholes = vecs - 1;
        vhalf half[TILE_ROWS_MAX];
        UNROLL
        for (int i = 0; i < rows; i++) half[i] = hlower(acc[i][wholes]);
        for (ptrdiff_t k = 0; k < depth; k++, x += cs, w += ldw) {
            vec right[TILE_VECS];
            vhalf last = hmload(tail, w + wholes * VEC);
            UNROLL
            for (int j = 0; j < wholes; j++) right[j] = vload(w + j * VEC);
            UNROLL
            for (int i = 0; i < rows; i++) {
                vec left = vset1(x[i * rs]);
                IN_REGISTER(left);
                UNROLL
                for (int j = 0; j < wholes; j++) acc[i][j] = vfma(left, right[j], acc[i][j]);
                half[i] = hfma(hlower(left), last, half[i]);
            }
        }
        UNROLL
        for (int i = 0; i < rows; i++) acc[i][wholes] = hwiden(half[i]);
        return;
    }
#endif
    for (ptrdiff_t k = 0; k < depth; k++, x += cs, w += ldw) {
        vec right[TILE_VECS];
        UNROLL
        for (int j = 0; j < vecs; j++)
            right[j] = masked && j == vecs - 1 ? vmload(tail, w + j * VEC) : vload(w + j * VEC);
        UNROLL
        for (int i = 0; i < rows; i++) {
            vec left = vset1(x[i * rs]);
            UNROLL
            for (int j = 0; j < vecs; j++) acc[i][j] = vfma(left, right[j], acc[i][j]);
        }
    }
}

/* The same with rows i to i + rows of a matrix on the left, through all of its columns. */
static ALWAYS_INLINE void tile_rows_product(int rows, int vecs, int masked, vmask tail, ptrdiff_t depth,
                                            const bpk_left *left, ptrdiff_t i, const real *w, ptrdiff_t ldw,
                                            vec acc[TILE_ROWS_MAX][TILE_VECS]) {
    const real *x = left->at;
    if (!left->rows) {
        tile_product(rows, vecs, masked, tail, depth, x + i * left->ld, left->ld, 1, w, ldw, acc);
        return;
    }
    for (ptrdiff_t k = 0, width; k < depth; k += width) {
        width = width_of_block(depth - k, VEC, TILE_VECS * VEC);
        ptrdiff_t columns = depth - k < width ? depth - k : width;
        tile_product(rows, vecs, masked, tail, columns, x + k * left->rows + i * width, width, 1, w + k * ldw,
                     ldw, acc);
    }
}

static ALWAYS_INLINE vec tile_load(const real *p, int j, int vecs, int masked, vmask tail) {
    return masked && j == vecs - 1 ? vmload(tail, p + j * VEC) : vload(p + j * VEC);
}

static ALWAYS_INLINE void tile_store(real *p, vec v, int j, int vecs, int masked, vmask tail) {
    if (masked && j == vecs - 1)
        vmstore(p + j * VEC, tail, v);
    else
        vstore(p + j * VEC, v);
}

/* The accumulators begin as the bias in every row, as zero where it is NULL, or as an earlier part of the
 * sum. */
static ALWAYS_INLINE void tile_start(int rows, int vecs, int masked, vmask tail, const real *bias,
                                     vec acc[TILE_ROWS_MAX][TILE_VECS]) {
    UNROLL
    for (int j = 0; j < vecs; j++) {
        vec start = bias ? tile_load(bias, j, vecs, masked, tail) : vzero();
        UNROLL
        for (int r = 0; r < rows; r++) acc[r][j] = start;
    }
}

static ALWAYS_INLINE void tile_resume(int rows, int vecs, int masked, vmask tail, const real *sums,
                                      ptrdiff_t lds, vec acc[TILE_ROWS_MAX][TILE_VECS]) {
    EACH_ACCUMULATOR (r, j) acc[r][j] = tile_load(sums + r * lds, j, vecs, masked, tail);
}

/* The most rows a tile of so many vectors holds in registers. */
static ALWAYS_INLINE int tile_rows(int vecs) {
    if (vecs == 3) return TILE_ROWS_3;
    return vecs == 2 ? TILE_ROWS_2 : TILE_ROWS_1;
}

/* Rows i to i + rows of a block: the file that includes this says what ARGS is and defines `tile`. */
static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i);

static ALWAYS_INLINE void run_tile(int rows, int vecs, int masked, vmask tail, const ARGS *args,
                                   ptrdiff_t i) {
#define HEIGHT(r)                                                       \
    case r:                                                             \
        if (r <= tile_rows(vecs)) tile(r, vecs, masked, tail, args, i); \
        break;
    switch (rows) {
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

/* The rows of a block as the fewest tiles, their heights equal but for one row. */
static ALWAYS_INLINE void run_rows(int vecs, int masked, vmask tail, const ARGS *args) {
    ptrdiff_t tiles = (args->to - args->from + tile_rows(vecs) - 1) / tile_rows(vecs);
    for (ptrdiff_t i = args->from; tiles > 0; tiles--) {
        ptrdiff_t rows = (args->to - i) / tiles;
        run_tile((int)rows, vecs, masked, tail, args, i);
        i += rows;
    }
}

/* A block of n <= TILE_VECS VEC columns, of which the first `filled` hold anything but padding. */
static ALWAYS_INLINE void run_block(const ARGS *args, ptrdiff_t filled) {
    int vecs = (int)((args->n + VEC - 1) / VEC);
    ptrdiff_t last = filled - (vecs - 1) * VEC;
    vmask tail = vtail(last);
#ifdef VEC_HALF
#define RUN_HALVED(v) \
    if (v > 1 && last <= VEC / 2) return run_rows(v, HALVED, tail, args);
#else
#define RUN_HALVED(v)
#endif
#define RUN(v)                                                     \
    if (vecs == v) {                                               \
        RUN_HALVED(v)                                              \
        if (args->n % VEC) return run_rows(v, MASKED, tail, args); \
        return run_rows(v, WHOLE, tail, args);                     \
    }
    RUN(1)
    RUN(2)
    RUN(3)
#undef RUN
#undef RUN_HALVED
}

#endif
