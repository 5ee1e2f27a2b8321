/* The layout of matrices in the trainer: blocks of columns.
 *
 * The columns of a matrix (rows, columns) are divided into blocks of at most `panel` columns. Each block is
 * stored as `rows` rows of its own width, one block after the other: the block from column j on begins at
 * element j * rows. The last block is padded to whole vectors.
 *
 * Weights are stored transposed, (in, out), except those of layers with so few outputs that most of that
 * would be padding. Every product then reads and writes memory in order, and its rows are adjacent: rows a
 * power of two apart would compete for the same cache lines.
 *
 *     forward  a (n, out)     left: the activations below; right: a block of W
 *     delta    d (n, in)      left: the delta above; right: a strip of W, transposed; or dot products of rows
 *     update   W (in, out)    left: columns of a block of activations; right: a block of deltas
 *
 * The padding of weights and deltas is zero, and stays zero while all numbers are finite. A step that
 * overflows may leave NaN in it, which is found and undone with the rest. The padding of activations is never
 * read.
 *
 * Defined here.
 */
#ifndef BPK_BLOCKS_H
#define BPK_BLOCKS_H

#include <stddef.h>

/* The terms of one part of a long sum: whole blocks on every instruction set. */
enum { DEPTH = 480 };

/* n rounded up to whole vectors. */
static inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t vector) { return (n + vector - 1) / vector * vector; }

/* The width of the next block, if `left` columns remain. A last block of one vector would keep too few
 * accumulators busy; it shares its columns with the block before. */
static inline ptrdiff_t width_of_block(ptrdiff_t left, ptrdiff_t vector, ptrdiff_t panel) {
    if (left >= panel + 2 * vector) return panel;
    ptrdiff_t padded = round_up(left, vector);
    if (padded <= panel) return padded;
    return padded == panel + vector ? round_up(padded / 2, vector) : panel;
}

#endif
