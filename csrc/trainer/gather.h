/* Copies rows of the caller's data into a mini-batch. Defined in gather.c. */
#ifndef BPK_GATHER_H
#define BPK_GATHER_H

#include <stdint.h>

#include "kernels/kernels.h"
#include "platform/memory.h"
#include "platform/team.h"

/* Where a mini-batch comes from: row i is at place next + i of the pass, a row of the source. */
typedef struct {
    const bpk_source *source; /* x or y of data */
    const bpk_data *data;
    ptrdiff_t next; /* place of the first row in the pass */
} batch_origin;

/* The number in the source that is given for a place in the pass; unchecked, for messages. */
static inline int64_t number_at(const bpk_data *data, ptrdiff_t place) {
    return data->index ? data->index[place] : place;
}

/* The source's row at a place in the pass; -1 if its number is out of range. The read is volatile so that it
 * happens once, and the checked value is the used value: the caller may change the array meanwhile. */
static inline ptrdiff_t row_at(const bpk_data *data, ptrdiff_t place) {
    int64_t row = data->index ? ((const volatile int64_t *)data->index)[place] : place;
    return row >= 0 && row < data->source_rows ? (ptrdiff_t)row : -1;
}

/* The label of a row of the source; -1 if it is not one of `classes`. Read as in row_at. */
static inline int64_t label_of(const bpk_data *data, ptrdiff_t row, ptrdiff_t classes) {
    int64_t label = ((const volatile int64_t *)data->labels)[row];
    return label >= 0 && label < classes ? label : -1;
}

/* In random order, each row would wait a hundred nanoseconds for memory, so its start is prefetched. The
 * processor then prefetches the following cache lines itself. Rows begin anywhere in a line. */
static inline void prefetch_start(const char *row, ptrdiff_t bytes) {
    enum { PREFETCHED_BYTES = 256 };
    const ptrdiff_t before = (ptrdiff_t)((uintptr_t)row % CACHE_LINE);
    for (ptrdiff_t at = -before; at < bytes && at < PREFETCHED_BYTES; at += CACHE_LINE)
        __builtin_prefetch(row + at);
}

/* Rows from a row to the row that is prefetched with it. */
enum { ROWS_AHEAD = 16 };

/* The label and the weight of a row that is read ROWS_AHEAD rows later. */
static inline void prefetch_numbers(const bpk_data *data, ptrdiff_t place) {
    const ptrdiff_t row = place < data->rows ? row_at(data, place) : -1;
    if (row < 0) return;
    if (data->labels) __builtin_prefetch((const int64_t *)data->labels + row);
    if (data->weights) __builtin_prefetch(data->weights + row);
}

/* Copies rows `from` to `to` of a mini-batch to out (.., source's columns) as reals. `out` is row-major with
 * rows `ldo` apart; or in blocks of `rows` rows if ldo is 0. `row` (columns, padded) is scratch. Returns -1,
 * or the first row of the mini-batch that is not finite, or has a number or an index out of range. */
ptrdiff_t gather(const bpk_kernels *kernels, member me, const batch_origin *batch, ptrdiff_t from,
                 ptrdiff_t to, void *out, ptrdiff_t ldo, ptrdiff_t rows, void *row);

/* Whether each row of the source is contiguous, aligned reals, and so can be read without conversion. */
int is_plain(const bpk_kernels *kernels, const bpk_source *source);

#endif
