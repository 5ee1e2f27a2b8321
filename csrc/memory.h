/* Zeroed memory on cache-line boundaries. */
#ifndef BPK_MEMORY_H
#define BPK_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

/* `count` items of `size` bytes, or NULL: where there is no memory, and where the product overflows. To be
 * freed with free(). */
static inline void *allocate(ptrdiff_t count, size_t size) {
    if (count < 0 || (size_t)count > (PTRDIFF_MAX - CACHE_LINE) / size) return NULL;
    size_t bytes = ((size_t)count * size + CACHE_LINE) / CACHE_LINE * CACHE_LINE;
    void *p = aligned_alloc(CACHE_LINE, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

#endif
