/* Matrices between fences: pages without access. Each matrix has a slot of memory of its own, with a fence
 * at either end. The bytes around the elements, including the gaps between rows, hold a pattern that shows
 * whether they were written to. */
#ifndef KERNELS_ARENA_H
#define KERNELS_ARENA_H

#include <stddef.h>

#include "bpkern.h"

/* The place of a matrix in its slot: inside, at a given offset in elements from a cache line; or at the
 * start, right behind a fence; or at the end, right before one. */
typedef enum { INSIDE, AT_START, AT_END } place;

/* The use of a matrix; its value is the byte of the pattern. Around a matrix that is only read, the
 * pattern is NaN, which shows in results; around one that is written, it is a finite number. */
typedef enum { READ = 0xff, WRITTEN = 0xa5 } access;

typedef struct {
    char *at;
    size_t item; /* bytes of an element */
    ptrdiff_t rows, columns, ld;
    access access;
    size_t before, behind; /* bytes of the pattern on either side of the elements */
} matrix;

enum { SLOTS = 64 };

/* Places a matrix (rows, columns) of elements of `item` bytes in a slot, whose earlier matrix is lost.
 * Until they are set, the elements are NaN. `offset` applies to INSIDE only. place_matrix: with elements
 * of a dtype. */
matrix place_items(int slot, size_t item, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                   place where, ptrdiff_t offset);
matrix place_matrix(int slot, bpk_dtype dtype, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                    place where, ptrdiff_t offset);

double get(const matrix *m, ptrdiff_t i, ptrdiff_t j);
void set(const matrix *m, ptrdiff_t i, ptrdiff_t j, double value);

/* Whether the pattern around the elements is unchanged. */
int untouched(const matrix *m);

/* Copies the elements to `to`, without gaps between rows. */
void copy_out(const matrix *m, void *to);

/* The bytes of the elements, without gaps. */
static inline size_t bytes_of(const matrix *m) { return (size_t)(m->rows * m->columns) * m->item; }

#endif
