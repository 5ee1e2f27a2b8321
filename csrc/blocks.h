/* How the trainer stores matrices: in blocks of columns.
 *
 * The columns of a matrix (rows, columns) are cut into blocks at most `panel` wide, each stored by itself as
 * `rows` rows of its width, one block after the other: the block that begins at column j lies at j * rows.
 * The last block is padded to whole vectors.
 *
 * Weights are kept transposed, (in, out), unless there are so few outputs that most of that would be padding.
 * Every product then reads and writes memory in its order, and its rows lie side by side: rows a power of two
 * apart would fight for the same lines of a cache.
 *
 *     forward  a (n, out)     the activations below as rows of the tile, a block of W as its right matrix
 *     delta    d (n, in)      the delta above as rows, a strip of W transposed as the right matrix, or the
 *                             dot products of the rows of both
 *     update   W (in, out)    columns of a block of activations, a block of deltas as the right matrix
 *
 * The padding of weights and deltas is zero, and stays zero while all numbers are finite: a step that
 * overflows may leave NaN in it, which is found with the rest and taken back. That of activations is never
 * read.
 */
#ifndef BPK_BLOCKS_H
#define BPK_BLOCKS_H

#include <stddef.h>

/* n rounded up to whole vectors. */
static inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t vector) { return (n + vector - 1) / vector * vector; }

/* The width of the next block with `left` columns to go. A last block of one vector would keep too few
 * accumulators busy: the last two share what would leave one. */
static inline ptrdiff_t width_of_block(ptrdiff_t left, ptrdiff_t vector, ptrdiff_t panel) {
    if (left >= panel + 2 * vector) return panel;
    ptrdiff_t padded = round_up(left, vector);
    if (padded <= panel) return padded;
    return padded == panel + vector ? round_up(padded / 2, vector) : panel;
}

#endif
