/* The layout of matrices in the trainer: blocks of columns.
 *
 * The columns of a matrix (rows, columns) are divided into blocks of at most `panel` columns, a few vectors.
 * A block of w columns is a row-major matrix (rows, w) without gaps. The blocks follow each other in memory:
 * the block from column j on begins at element j * rows. The last block is padded to whole vectors.
 *
 * W is stored transposed, as (in, out). Only layers of very few outputs store it as (out, in), because blocks
 * of (in, out) would be mostly padding. With this layout, every product reads and writes memory in order, and
 * the rows of a block are adjacent: rows a power of two apart would compete for the same cache lines.
 *
 *     forward  a (n, out)     left: the activations of the layer below; right: a block of W
 *     delta    d (n, in)      left: the delta above; right: rows of W, transposed; or dot products of rows
 *     update   W (in, out)    left: columns of a block of activations; right: a block of deltas
 *
 * The padding of weights and deltas is zero, and stays zero while all numbers are finite. A step that
 * overflows may leave NaN in the padding of weights: bpk_net_finite finds it, and bpk_net_restore undoes it.
 * The padding of activations is never used.
 *
 * Defined here.
 */
#ifndef BPK_BLOCKS_H
#define BPK_BLOCKS_H

#include <stddef.h>

/* The number of terms in a part of a long sum of dot products, and the most in a part of any long sum: whole
 * blocks on every instruction set (table.c checks it). */
enum { DEPTH = 480 };

/* n rounded up to whole vectors. */
static inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t vector) { return (n + vector - 1) / vector * vector; }

/* The padded width of the next block, if `left` columns remain. A last block of one vector would keep too few
 * accumulators busy: instead, the last panel + vector columns are divided into two blocks of about equal
 * width. */
static inline ptrdiff_t width_of_block(ptrdiff_t left, ptrdiff_t vector, ptrdiff_t panel) {
    if (left >= panel + 2 * vector) return panel;
    ptrdiff_t padded = round_up(left, vector);
    if (padded <= panel) return padded;
    return padded == panel + vector ? round_up(padded / 2, vector) : panel;
}

#endif
