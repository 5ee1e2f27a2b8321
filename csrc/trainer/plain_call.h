/* What the products on the caller's row-major matrices share: copies to scratch memory, and the division of a
 * result among threads. A part of a matrix that a product reads many times is first copied to scratch memory,
 * where its rows are adjacent, whatever their distance in the caller's memory. Defined in plain_call.c. */
#ifndef BPK_PLAIN_CALL_H
#define BPK_PLAIN_CALL_H

#include "platform/memory.h"
#include "platform/pieces.h"
#include "trainer/products.h"

/* Scratch memory of one call: a panel for each worker, and a copy of a matrix or of a part of it for all. */
typedef struct {
    void *shared; /* NULL: there is none */
    char *panels; /* NULL: there are none */
    size_t panel_bytes;
    void *memory; /* to be freed */
} scratch;

/* Allocates a matrix (panel_rows, panel) for each of `threads` workers, and one of `rows` rows that are
 * `columns` apart for all. Returns BPK_OK or BPK_NO_MEMORY. */
bpk_status make_scratch(const bpk_kernels *kernels, scratch *scratch, int threads, ptrdiff_t panel_rows,
                        ptrdiff_t rows, ptrdiff_t columns);

/* The worker's panel; NULL if there is none. */
static inline void *own_panel(const scratch *scratch, const worker *me) {
    return scratch->panels ? scratch->panels + scratch->panel_bytes * (size_t)me->index : NULL;
}

/* Takes a piece of a result (rows, columns): all rows of some blocks of columns; or, if there are few blocks,
 * some rows of all blocks, from a multiple of `grain` on. Returns as take_piece does. */
typedef struct {
    ptrdiff_t from, to;    /* rows */
    ptrdiff_t first, last; /* columns */
} share;

int take_share(worker *me, const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t grain, ptrdiff_t columns,
               share *own);

/* The threads for which a result has pieces: others would only take scratch memory. */
int useful_threads(const bpk_kernels *kernels, int threads, ptrdiff_t rows, ptrdiff_t columns);

/* Whether the rows of a matrix displace each other from the first-level cache: those whose distance in bytes
 * is a multiple of CONFLICT share a few of its sets. */
enum { CONFLICT = 2048 };

static inline int conflicts(const bpk_kernels *kernels, ptrdiff_t ld) {
    return ld != 0 && ld * (ptrdiff_t)kernels->real_size % CONFLICT == 0;
}

/* The distance of rows of `columns` elements in scratch memory, at which they do not displace each other. */
static inline ptrdiff_t apart(const bpk_kernels *kernels, ptrdiff_t columns) {
    const ptrdiff_t line = CACHE_LINE / (ptrdiff_t)kernels->real_size, ld = round_up(columns, line);
    return ld + (conflicts(kernels, ld) ? line : 0);
}

/* If the left matrix has more rows than this, a block of the right one is read often enough to be copied. */
static inline ptrdiff_t reused_rows(const bpk_kernels *kernels) {
    return 2 * kernels->tile_rows[BPK_TILE_WIDTHS - 1];
}

/* Copies for more rows of the batch would take much memory. */
enum { MOST_COPIED = 8192 };

#endif
