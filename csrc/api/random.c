/* The random numbers of the API: initial weights and the order of rows. Whole numbers and one multiplication
 * by a power of two: the same on every machine. */
#include "api/api.h"

uint64_t api_next(api_random *random) {
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double api_uniform(api_random *random) { return (double)(api_next(random) >> 11) * 0x1p-53; }

/* Any number from 0 to n - 1, all of them equally likely: the lowest 2^64 mod n numbers are drawn again. */
static uint64_t below(api_random *random, uint64_t n) {
    const uint64_t least = -n % n;
    uint64_t drawn;
    do drawn = api_next(random);
    while (drawn < least);
    return drawn % n;
}

void api_order(void *random, int64_t *index, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) { /* Fisher and Yates, from the inside out */
        ptrdiff_t j = (ptrdiff_t)below(random, (uint64_t)i + 1);
        index[i] = index[j];
        index[j] = i;
    }
}
