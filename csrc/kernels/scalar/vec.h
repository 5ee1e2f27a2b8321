/* The numbers of the scalar ISA, and access to elements of blocks. Defined here. There are no vectors: VEC
 * and TILE_VECS only define the layout, in which all blocks are VEC columns wide. A tile is one element. */
#ifndef BPK_VEC_H
#define BPK_VEC_H

#include "kernels/real.h"

#define VEC 8
#define TILE_VECS 1
#define TILE_ROWS_1 1
#define TILE_ROWS_2 1
#define TILE_ROWS_3 1
#define UPDATE_ROWS_3 1
#define NARROW 2
#define DOT_ROWS 16
#define DOT_DEPTH 1
#define PART_DEPTH 480
#define SWEEP_ROWS 0
#define ONLINE NULL

/* The index of element (i, k) in blocks of `rows` rows. */
static inline ptrdiff_t place(ptrdiff_t rows, ptrdiff_t i, ptrdiff_t k) {
    return k / VEC * VEC * rows + i * VEC + k % VEC;
}

/* Element (i, k) of a left matrix. */
static inline real left_element(const bpk_left *left, ptrdiff_t i, ptrdiff_t k) {
    const stored *x = left->at;
    return x[left->rows ? place(left->rows, i, k) : i * left->ld + k];
}

#if !BPK_REAL_IS_DOUBLE
/* The element of row k in the pair of rows k / 2 * 2 and k / 2 * 2 + 1. */
static inline float of_pair(bfloat16_pair pair, ptrdiff_t k) {
    return float_of_bits(k % 2 ? pair & 0xffff0000u : pair << 16);
}
#endif

#endif
