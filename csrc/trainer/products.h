/* Products of whole matrices, or a team member's share of one, divided into the blocks that kernels take.
 * Defined in products.c. */
#ifndef BPK_PRODUCTS_H
#define BPK_PRODUCTS_H

#include "platform/team.h"
#include "trainer/elements.h"

/* n rounded up to whole vectors. A matrix (rows, n) in blocks takes rows * padded(n) elements. */
static inline ptrdiff_t padded(const bpk_kernels *kernels, ptrdiff_t n) {
    return round_up(n, kernels->vector);
}

/* The padded width of the next block, if `left` columns remain. */
static inline ptrdiff_t block_width(const bpk_kernels *kernels, ptrdiff_t left) {
    return width_of_block(left, kernels->vector, kernels->panel);
}

/* The most rows of cheap work between two calls of team_stopped. */
enum { MANY_ROWS = 4096 };

/* A part (height, depth) of the left matrix of a large product, from row `row` and column `k` on. It has as
 * many columns as the ISA takes (kernels.h, depth; for dot products DEPTH), and so many rows that it takes
 * half of the second-level cache: it stays there while it is multiplied by the same rows of each block of the
 * right matrix in turn. */
typedef struct {
    ptrdiff_t rows, columns;         /* of the whole left matrix */
    ptrdiff_t most_rows, most_depth; /* of a part */
    ptrdiff_t row, height, k, depth;
} part;

/* The depth of the next part, if `left` columns remain: `depth`. A remainder of less than a block has no part
 * of its own: the last part includes it. */
static inline ptrdiff_t part_depth(const bpk_kernels *kernels, ptrdiff_t left, ptrdiff_t depth) {
    return left >= depth + kernels->panel ? depth : left;
}

/* The first part, and the next one: first along the columns, then along the rows. next_part returns 0 after
 * the last part. A matrix without columns has parts of depth 0. */
part first_part(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth);
int next_part(const bpk_kernels *kernels, part *part);

/* The left matrix from column k on, where a block begins. */
static inline bpk_left left_columns(const bpk_kernels *kernels, bpk_left left, ptrdiff_t k) {
    left.at = element(kernels, left.at, left.rows ? k * left.rows : k);
    return left;
}

/* The number of blocks of a matrix with that many columns. */
ptrdiff_t count_blocks(const bpk_kernels *kernels, ptrdiff_t columns);

/* Copies row-major w (out, in) to blocks of its transpose (in, out), and back. The padding is not written. */
void pack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                  void *blocks);
void unpack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *blocks, void *w,
                    ptrdiff_t ldw);

/* Copies a matrix (rows, columns) in blocks to a contiguous one. */
void unpack_rows(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, const void *blocks,
                 void *plain);

/* Copies one row of a matrix (rows, columns) in blocks: plain (columns), contiguous. */
void row_of_blocks(const bpk_kernels *kernels, const void *blocks, ptrdiff_t rows, ptrdiff_t columns,
                   ptrdiff_t row, void *plain);

/* a (n, out) = s(x (n, in) w (in, out) + b (out)), with w in blocks. a is in blocks of a_rows rows; or
 * row-major with rows lda apart if a_rows is 0. Rows of a and b are padded. Broken off if the team is
 * stopped. */
void forward_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                     const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                     ptrdiff_t a_rows, ptrdiff_t lda);

/* The same for w in blocks of pairs (kernels/bfloat16.h), in float32; `out` is a padded width. */
void pairs_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                   const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                   ptrdiff_t a_rows, ptrdiff_t lda);

/* Either of them for one row: x, b and a are contiguous, and `out` is a padded width. */
void row_product(const bpk_kernels *kernels, member me, ptrdiff_t in, ptrdiff_t out, const void *x,
                 const void *w, int pairs, const void *b, bpk_activation activation, void *a);

/* The same for a narrow layer: w (out, in) in blocks of `out` rows, x (n, in) in blocks of x_rows rows, and a
 * with rows lda apart. */
void forward_narrow(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                    const void *x, ptrdiff_t x_rows, const void *w, const void *b, bpk_activation activation,
                    void *a, ptrdiff_t lda);

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

#endif
