/* Rows of the caller's data into a mini-batch. Defined in gather.c. */
#ifndef BPK_GATHER_H
#define BPK_GATHER_H

#include "kernels/kernels.h"

/* The mini-batch's rows: index[next], index[next + 1], ... of the source. */
typedef struct {
    const bpk_source *source;
    const int64_t *index; /* NULL: 0, 1, 2, ... */
    ptrdiff_t next;
    ptrdiff_t rows; /* of the whole pass */
} batch_origin;

static inline ptrdiff_t row_at(const int64_t *index, ptrdiff_t place) {
    return index ? (ptrdiff_t)index[place] : place;
}

/* Rows `from` to `to` of a mini-batch as reals. `out` is row-major with rows `ldo` apart, or in blocks of
 * `rows` rows if ldo is 0; `row` is scratch for one row. Returns -1, or the row of the mini-batch that is not
 * finite or has an index out of range. */
ptrdiff_t gather(const bpk_kernels *kernels, const batch_origin *batch, ptrdiff_t from, ptrdiff_t to,
                 void *out, ptrdiff_t ldo, ptrdiff_t rows, void *row);

/* Whether rows of the source are aligned, contiguous reals, which can be read in place. */
int is_plain(const bpk_kernels *kernels, const bpk_source *source);

#endif
