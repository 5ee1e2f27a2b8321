/* Matrices between pages that must not be touched: one may lie against the page before it, against the page
 * behind it, or amidst others, as many elements off a cache line as is asked. What surrounds its elements,
 * the ends of its rows included, holds a pattern that tells whether it was written to. */
#ifndef KERNELS_ARENA_H
#define KERNELS_ARENA_H

#include <stddef.h>

#include "bpkern.h"

typedef enum { INSIDE, AT_START, AT_END } place;

/* Around what is only read, all bytes are set, which is NaN; around what is written, they are of a number. */
typedef enum { READ = 0xff, WRITTEN = 0xa5 } access;

typedef struct {
    char *at;
    size_t item;
    ptrdiff_t rows, columns, ld;
    access access;
    size_t before, behind; /* bytes of the pattern around it */
} matrix;

enum { SLOTS = 64 };

/* A matrix of items of a size in a slot of the arena, which holds nothing else then. Its elements are of the
 * pattern for what is read, NaN, until they are set. */
matrix place_items(int slot, size_t item, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                   place where, ptrdiff_t offset);
matrix place_matrix(int slot, bpk_dtype dtype, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                    place where, ptrdiff_t offset);

double get(const matrix *m, ptrdiff_t i, ptrdiff_t j);
void set(const matrix *m, ptrdiff_t i, ptrdiff_t j, double value);

/* Whether the pattern around its elements is as it was. */
int untouched(const matrix *m);

/* A copy of its elements, row after row, in memory of the caller's. */
void copy_out(const matrix *m, void *to);

static inline size_t bytes_of(const matrix *m) { return (size_t)(m->rows * m->columns) * m->item; }

#endif
