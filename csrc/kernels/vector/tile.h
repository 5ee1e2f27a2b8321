/* The register tile of all three products. Defined here. A file includes vec.h, and defines ALONG_ROWS as
 * whether the rows of a tile are adjacent in the left matrix, as in update; in forward and delta its columns
 * are. tiles.h includes this header. */
#ifndef BPK_TILE_H
#define BPK_TILE_H

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

#endif
