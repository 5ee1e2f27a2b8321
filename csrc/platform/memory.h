/* Memory on cache-line boundaries; in large pages if it is at least one large page and the system has them
 * for the asking. allocate_aligned and release are defined in posix/memory.c or windows/memory.c, the others
 * here. */
#ifndef BPK_MEMORY_H
#define BPK_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CACHE_LINE = 64, LARGE_PAGE = 2 << 20 };

/* `bytes`, a multiple of `grain`, on a boundary of `grain`, CACHE_LINE or LARGE_PAGE; NULL if memory runs
 * out. */
void *allocate_aligned(size_t grain, size_t bytes);

/* Frees memory of the functions here, or nothing if it is NULL. */
void release(void *memory);

/* `count` items of `size` > 0 bytes. NULL if memory runs out or count is negative or too large. Their values
 * are arbitrary. */
static inline void *allocate_unset(ptrdiff_t count, size_t size) {
    if (count < 0 || (size_t)count > (PTRDIFF_MAX - LARGE_PAGE) / size) return NULL;
    size_t bytes = (size_t)count * size, grain = bytes < LARGE_PAGE ? CACHE_LINE : LARGE_PAGE;
    return allocate_aligned(grain, (bytes / grain + 1) * grain); /* at least one grain */
}

/* The same, set to zero, which takes seconds for many gigabytes. */
static inline void *allocate(ptrdiff_t count, size_t size) {
    void *p = allocate_unset(count, size);
    return p ? memset(p, 0, (size_t)count * size) : NULL;
}

#endif
