/* Scratch copies of the caller's matrices, and the division of a result among threads. */
#include "trainer/plain_call.h"

#include "platform/memory.h"

bpk_status make_scratch(const bpk_kernels *kernels, scratch *scratch, int threads, ptrdiff_t panel_rows,
                        ptrdiff_t rows, ptrdiff_t columns) {
    const size_t size = kernels->real_size;
    ptrdiff_t line = CACHE_LINE / (ptrdiff_t)size, each, shared, all;
    if (__builtin_mul_overflow(panel_rows, kernels->panel, &each) ||
        __builtin_mul_overflow(rows, padded(kernels, columns), &shared) ||
        __builtin_mul_overflow(round_up(each, line), threads, &all) ||
        __builtin_add_overflow(all, shared, &all))
        return BPK_NO_MEMORY;
    scratch->memory = allocate_unset(all, size);
    if (!scratch->memory) return BPK_NO_MEMORY;
    scratch->panel_bytes = (size_t)round_up(each, line) * size;
    if (each) scratch->panels = scratch->memory;
    if (shared) scratch->shared = (char *)scratch->memory + scratch->panel_bytes * (size_t)threads;
    return BPK_OK;
}

bpk_left left_part(const bpk_kernels *kernels, member me, void *shared, ptrdiff_t n, const void *matrix,
                   ptrdiff_t ld, ptrdiff_t k, ptrdiff_t depth) {
    const void *from = element(kernels, matrix, k);
    if (!shared) return (bpk_left){.at = from, .ld = ld};
    ptrdiff_t first, last;
    team_share(me, n, 1, &first, &last);
    if (k) team_barrier(me); /* others may still read the part before */
    for (ptrdiff_t j = 0, width; j < depth; j += width) {
        width = block_width(kernels, depth - j);
        kernels->copy(last - first, smaller(width, depth - j), element(kernels, from, first * ld + j), ld,
                      element(kernels, shared, j * n + first * width), width);
    }
    team_barrier(me);
    return (bpk_left){.at = shared, .rows = n};
}

share share_of(const bpk_kernels *kernels, member me, ptrdiff_t rows, ptrdiff_t columns) {
    share own = {.to = rows, .last = count_blocks(kernels, columns)};
    if (own.last >= 2 * me.count)
        team_share(me, own.last, 1, &own.first, &own.last);
    else
        team_share(me, rows, kernels->tile_rows[BPK_TILE_WIDTHS - 1], &own.from, &own.to);
    return own;
}

int useful_threads(const bpk_kernels *kernels, int threads, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t tiles = rows / kernels->tile_rows[BPK_TILE_WIDTHS - 1] + 1;
    return (int)smaller(threads, larger(tiles, count_blocks(kernels, columns)));
}
