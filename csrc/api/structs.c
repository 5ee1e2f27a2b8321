/* The structs that callers fill, which begin with their size in the caller's version of the header. */
#include "api/api.h"

#include <string.h>

/* A struct of more bytes than this was never given its size. */
enum { MOST_BYTES = 1 << 12 };

int api_is_size(size_t its_size, size_t least) { return its_size >= least && its_size <= MOST_BYTES; }

bpkern_status api_read(void *own, size_t size, size_t least, const void *given) {
    size_t its_size;
    memcpy(&its_size, given, sizeof its_size);
    if (!api_is_size(its_size, least)) return BPKERN_BAD_SIZE;
    for (size_t i = size; i < its_size; i++)
        if (((const char *)given)[i]) return BPKERN_BAD_VALUE;
    memset(own, 0, size);
    memcpy(own, given, its_size < size ? its_size : size);
    return BPKERN_OK;
}

void api_write(void *given, size_t its_size, const void *own, size_t size) {
    memset(given, 0, its_size);
    memcpy(given, own, its_size < size ? its_size : size);
}
