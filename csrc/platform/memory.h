/* Memory on cache-line boundaries; in large pages if it is at least one large page. Defined here. */
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

/* `count` items of `size` > 0 bytes, to be freed with free(). NULL if memory runs out or count is negative or
 * too large. Their values are arbitrary. */
static inline void *allocate_unset(ptrdiff_t count, size_t size) {
    if (count < 0 || (size_t)count > (PTRDIFF_MAX - LARGE_PAGE) / size) return NULL;
    size_t bytes = (size_t)count * size, grain = bytes < LARGE_PAGE ? CACHE_LINE : LARGE_PAGE;
    bytes = (bytes / grain + 1) * grain; /* at least one grain */
    void *p = aligned_alloc(grain, bytes);
#if __linux__
    /* With small pages, a product over a large matrix spends a tenth of its time on address translation. */
    if (p && grain == LARGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

/* The same, set to zero, which takes seconds for many gigabytes. */
static inline void *allocate(ptrdiff_t count, size_t size) {
    void *p = allocate_unset(count, size);
    return p ? memset(p, 0, (size_t)count * size) : NULL;
}

#endif
