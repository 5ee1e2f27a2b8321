/* What the scalar kernels share: where the elements of a matrix in blocks lie. */
#ifndef BPK_SCALAR_H
#define BPK_SCALAR_H

#include "real.h"

/* The scalar kernels have no vectors: these only set the layout, blocks that are all of one width. */
#define VEC 8
#define TILE_VECS 1
#define NARROW 2
#define DOT_ROWS 16
#define DOT_DEPTH 1
#define ONLINE NULL

static inline ptrdiff_t place(ptrdiff_t rows, ptrdiff_t i, ptrdiff_t k) {
    return k / VEC * VEC * rows + i * VEC + k % VEC;
}

static inline real left_element(const bpk_left *left, ptrdiff_t i, ptrdiff_t k) {
    const real *x = left->at;
    return x[left->rows ? place(left->rows, i, k) : i * left->ld + k];
}

#endif
