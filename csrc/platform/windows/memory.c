/* Aligned memory of the C runtime of Windows, which has no aligned_alloc. Large pages need a privilege there
 * that processes do not have. */
#include "platform/memory.h"

#include <malloc.h>

void *allocate_aligned(size_t grain, size_t bytes) { return _aligned_malloc(bytes, grain); }

void release(void *memory) { _aligned_free(memory); }
