/* Time in seconds from a fixed moment. Defined here. */
#ifndef BPK_CLOCK_H
#define BPK_CLOCK_H

#include <time.h>

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
