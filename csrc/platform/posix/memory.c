/* Aligned memory by C11; in large pages on Linux. */
#include "platform/memory.h"

#include <stdlib.h>

#if __linux__
#include <sys/mman.h>
#endif

void *allocate_aligned(size_t grain, size_t bytes) {
    void *p = aligned_alloc(grain, bytes);
#if __linux__
    /* With small pages, a product over a large matrix spends a tenth of its time on address translation. */
    if (p && grain == LARGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

void release(void *memory) { free(memory); }
