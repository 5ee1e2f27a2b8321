/* Forward: a tile starts from the bias, and its activations are computed while it is still in the first-level
 * cache. */
#include "vec.h"

#define ARGS bpk_forward_args
#define ALONG_ROWS 0
#include "kernels/vector/tiles.h"

#include "kernels/vector/forward_tile.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    forward_start(rows, vecs, last, tail, args, i, sums);
    tile_rows_product(rows, vecs, last, tail, args->k, &args->x, i, args->w, args->ldw, sums);
    forward_end(rows, vecs, last, tail, args, i, sums);
}

void BPK_NAME(forward)(const bpk_forward_args *args) { run_block(args, args->filled); }
