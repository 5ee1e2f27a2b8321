/* Scratch copies of the caller's matrices, and the division of a result among threads. */
#include "trainer/plain_call.h"

#include "platform/memory.h"

bpk_status make_scratch(const bpk_kernels *kernels, scratch *scratch, int threads, ptrdiff_t panel_rows,
                        ptrdiff_t rows, ptrdiff_t columns) {
    const size_t size = kernels->real_size;
    ptrdiff_t line = CACHE_LINE / (ptrdiff_t)size, each, shared, all;
    if (__builtin_mul_overflow(panel_rows, kernels->panel, &each) ||
        __builtin_mul_overflow(rows, columns, &shared) ||
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

int take_share(worker *me, const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t grain, ptrdiff_t columns,
               share *own) {
    const ptrdiff_t panel = kernels->panel;
    *own = (share){.to = rows, .last = columns};
    if (columns >= 2 * me->count * panel) {
        /* The last panel + vector columns may be two blocks, but they are one item. */
        const ptrdiff_t blocks = (columns - kernels->vector + panel - 1) / panel;
        int taken = take_piece(me, blocks, 1, &own->first, &own->last);
        own->first *= panel;
        own->last = own->last == blocks ? columns : own->last * panel;
        return taken;
    }
    return take_piece(me, rows, grain, &own->from, &own->to);
}

int useful_threads(const bpk_kernels *kernels, int threads, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t tiles = rows / kernels->tile_rows[BPK_TILE_WIDTHS - 1] + 1;
    return (int)smaller(threads, larger(tiles, count_blocks(kernels, columns)));
}
