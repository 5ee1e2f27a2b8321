/* The processors of systems of which nothing else is known. */
#include <unistd.h>

#include "bpkern.h"

int bpk_processors(void) {
#ifdef _SC_NPROCESSORS_ONLN
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count > 0) return (int)count;
#endif
    return 1;
}

ptrdiff_t bpk_cache(int level) {
    (void)level;
    return 0;
}
