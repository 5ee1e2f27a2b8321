/* Copies rows of the caller's data into a mini-batch. Defined in gather.c. */
#ifndef BPK_GATHER_H
#define BPK_GATHER_H

#include "kernels/kernels.h"

/* Where a mini-batch comes from: row i is row index[next + i] of the source. */
typedef struct {
    const bpk_source *source;
    const int64_t *index; /* (rows,); NULL: 0, 1, 2, ... */
    ptrdiff_t next;       /* place of the first row in the pass */
    ptrdiff_t rows;       /* of the whole pass */
} batch_origin;

/* The source's row at a place in the pass. */
static inline ptrdiff_t row_at(const int64_t *index, ptrdiff_t place) {
    return index ? (ptrdiff_t)index[place] : place;
}

/* Copies rows `from` to `to` of a mini-batch to out (.., source's columns) as reals. `out` is row-major with
 * rows `ldo` apart; or in blocks of `rows` rows if ldo is 0. `row` (columns, padded) is scratch. Returns -1,
 * or the first row of the mini-batch that is not finite or has an index out of range. */
ptrdiff_t gather(const bpk_kernels *kernels, const batch_origin *batch, ptrdiff_t from, ptrdiff_t to,
                 void *out, ptrdiff_t ldo, ptrdiff_t rows, void *row);

/* Whether each row of the source is contiguous, aligned reals, and so can be read without conversion. */
int is_plain(const bpk_kernels *kernels, const bpk_source *source);

#endif
