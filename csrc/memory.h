/* Zeroed memory on cache-line boundaries, in large pages where it is large. */
#ifndef BPK_MEMORY_H
#define BPK_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __linux__
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, LARGE_PAGE = 2 << 20 };

/* `count` items of `size` bytes, or NULL: where there is no memory, and where the product overflows. To be
 * freed with free(). */
static inline void *allocate(ptrdiff_t count, size_t size) {
    if (count < 0 || (size_t)count > (PTRDIFF_MAX - LARGE_PAGE) / size) return NULL;
    size_t bytes = (size_t)count * size, grain = bytes < LARGE_PAGE ? CACHE_LINE : LARGE_PAGE;
    bytes = (bytes / grain + 1) * grain; /* never none */
    void *p = aligned_alloc(grain, bytes);
#if __linux__
    /* Only advice: a product over a large matrix spends a tenth of its time looking up small pages. */
    if (p && grain == LARGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p ? memset(p, 0, (size_t)count * size) : NULL;
}

#endif
