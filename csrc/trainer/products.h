/* Whole products, or a team member's share of one, cut into the blocks that kernels take. Defined in
 * products.c. */
#ifndef BPK_PRODUCTS_H
#define BPK_PRODUCTS_H

#include "platform/team.h"
#include "trainer/elements.h"

/* n rounded up to whole vectors: a matrix (rows, n) in blocks has rows * padded(n) elements. */
ptrdiff_t padded(const bpk_kernels *kernels, ptrdiff_t n);

/* The width of the next block, if `left` columns remain. */
ptrdiff_t block_width(const bpk_kernels *kernels, ptrdiff_t left);

/* A large product is made in parts of ROWS rows by DEPTH columns (kernels/blocks.h) of the left matrix. A
 * part stays in the second-level cache while the blocks of the right matrix pass by, and so does a part of
 * each block.
 */
enum { ROWS = 256 };

/* A part of height x depth, from row `row` and column `k`. */
typedef struct {
    ptrdiff_t rows, columns; /* of the whole */
    ptrdiff_t row, height, k, depth;
} part;

/* The first part, and the next one: by columns, then by rows; next_part returns 0 after the last. A matrix
 * without columns has one part of depth 0. */
part first_part(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns);
int next_part(const bpk_kernels *kernels, part *part);

/* The left matrix from column k on. */
bpk_left left_columns(const bpk_kernels *kernels, bpk_left left, ptrdiff_t k);

/* The number of blocks of a matrix with that many columns. */
ptrdiff_t count_blocks(const bpk_kernels *kernels, ptrdiff_t columns);

/* Plain w (out, in) to blocks of its transpose (in, out), and back. Packing does not write the padding. */
void pack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                  void *blocks);
void unpack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *blocks, void *w,
                    ptrdiff_t ldw);

/* A matrix (rows, columns) in blocks to a plain contiguous one. */
void unpack_rows(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, const void *blocks,
                 void *plain);

/* One row of a matrix (rows, columns) in blocks: plain (columns). */
void row_of_blocks(const bpk_kernels *kernels, const void *blocks, ptrdiff_t rows, ptrdiff_t columns,
                   ptrdiff_t row, void *plain);

/* a (n, out) = s(x (n, in) w (in, out) + b (out)), w in blocks. a is in blocks of a_rows rows, or row-major
 * with its rows lda apart if a_rows is 0. `out` may be a padded width; then a is padded too. */
void forward_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                     const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                     ptrdiff_t a_rows, ptrdiff_t lda);

/* The same for few outputs, with w (out, in) in blocks of `out` rows and x (n, in) in blocks of x_rows rows.
 */
void forward_narrow(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                    const void *x, ptrdiff_t x_rows, const void *w, const void *b, bpk_activation activation,
                    void *a, ptrdiff_t lda);

/* Delta and update on plain matrices, by blocks of columns; shapes as in bpkern.h. */
void rows_delta(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *delta_next,
                ptrdiff_t ldn, const void *w, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
                bpk_activation activation, void *delta, ptrdiff_t ldd);
void rows_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *x,
                 ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *w, ptrdiff_t ldw, void *velocity,
                 ptrdiff_t ldv, const bpk_move *move);

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

#endif
