/* Whole products, cut into the blocks that kernels take; or for a member of a team its share of one. */
#ifndef BPK_PRODUCTS_H
#define BPK_PRODUCTS_H

#include "kernels.h"
#include "team.h"

/* n rounded up to whole vectors: a matrix of n columns in blocks takes so many times its rows. */
ptrdiff_t padded(const bpk_kernels *kernels, ptrdiff_t n);

/* The width of the block that begins with `left` columns to go. */
ptrdiff_t block_width(const bpk_kernels *kernels, ptrdiff_t left);

/* A large product is made in parts, so many rows of the left matrix by so many of its columns at a time: that
 * much stays in the second cache while the blocks of the right matrix go by, and so does a part of each of
 * those. DEPTH is a whole number of blocks on every instruction set. */
enum { ROWS = 256, DEPTH = 480 };

/* A part, beginning at row `row` and column `k`. */
typedef struct {
    ptrdiff_t rows, columns; /* of the whole */
    ptrdiff_t row, height, k, depth;
} part;

/* The first part; and the next, by columns and then by rows, or 0 after the last. There is a part of no depth
 * where there are no columns. */
part first_part(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns);
int next_part(const bpk_kernels *kernels, part *part);

/* Columns k on of a matrix on the left. */
bpk_left left_columns(const bpk_kernels *kernels, bpk_left left, ptrdiff_t k);

/* How many blocks a matrix of so many columns has. */
ptrdiff_t count_blocks(const bpk_kernels *kernels, ptrdiff_t columns);

/* Plain w (out, in) to blocks of its transpose (in, out), and back. Packing leaves the padding alone. */
void pack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                  void *blocks);
void unpack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *blocks, void *w,
                    ptrdiff_t ldw);

/* A matrix in blocks of `rows` rows to a plain one, its rows `columns` apart. */
void unpack_rows(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, const void *blocks,
                 void *plain);

/* One row of such a matrix, plain. */
void row_of_blocks(const bpk_kernels *kernels, const void *blocks, ptrdiff_t rows, ptrdiff_t columns,
                   ptrdiff_t row, void *plain);

/* a (n, out) = s(x (n, in) w + b), w (in, out) in blocks; a is in blocks of a_rows rows, or with a_rows 0
 * row-major with its rows lda apart. `out` may be padded, and then so is a. */
void forward_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                     const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                     ptrdiff_t a_rows, ptrdiff_t lda);

/* The same with w (out, in) and x in blocks, of as many rows as they have and x_rows; of few outputs. */
void forward_narrow(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                    const void *x, ptrdiff_t x_rows, const void *w, const void *b, bpk_activation activation,
                    void *a, ptrdiff_t lda);

/* Plain matrices, by blocks of columns. */
void rows_delta(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *delta_next,
                ptrdiff_t ldn, const void *w, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
                bpk_activation activation, void *delta, ptrdiff_t ldd);
void rows_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *x,
                 ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *w, ptrdiff_t ldw, void *velocity,
                 ptrdiff_t ldv, const bpk_move *move);

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* Element `i` of an array of reals. */
static inline void *element(const bpk_kernels *kernels, const void *base, ptrdiff_t i) {
    return (char *)base + i * (ptrdiff_t)kernels->real_size;
}

#endif
