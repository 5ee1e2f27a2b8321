/* Philox (philox.h) on vectors. Each 32-bit word of a counter is in the low half of a 64-bit lane, where
 * products expect it. One set of vectors holds the even counters, another the odd counters. Defined here. */
#ifndef BPK_PHILOX_VECTORS_H
#define BPK_PHILOX_VECTORS_H

#include "kernels/philox.h"

_Static_assert(PHILOX_LANES % (2 * WIDE) == 0, "the counters of a group fill whole pairs of vectors");

/* WIDE counters: word i of each is in c[i]. */
typedef struct {
    wide c[4];
} counters;

static ALWAYS_INLINE counters rounds(counters at, uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        wide p0 = wmul(at.c[0], wset1(0xD2511F53u)), p1 = wmul(at.c[2], wset1(0xCD9E8D57u));
        at.c[0] = wxor(wxor(whigh(p1), at.c[1]), wset1(k0));
        at.c[2] = wxor(wxor(whigh(p0), at.c[3]), wset1(k1));
        at.c[1] = p1;
        at.c[3] = p0;
    }
    return at;
}

static ALWAYS_INLINE void philox_vectors(const philox_place *at, uint32_t group,
                                         uint32_t numbers[PHILOX_COLUMNS]) {
    const uint32_t k0 = (uint32_t)at->key, k1 = (uint32_t)(at->key >> 32);
    for (uint32_t i = 0; i < PHILOX_LANES; i += 2 * WIDE) {
        counters even = {{wevens(group * PHILOX_LANES + i), wset1(at->row), wset1((uint32_t)at->batch),
                          wset1((uint32_t)(at->batch >> 32) << 16 | at->layer)}};
        counters odd = even;
        odd.c[0] = wevens(group * PHILOX_LANES + i + 1);
        even = rounds(even, k0, k1);
        odd = rounds(odd, k0, k1);
        for (int word = 0; word < 4; word++)
            wstore_pairs(numbers + word * PHILOX_LANES + i, even.c[word], odd.c[word]);
    }
}

#endif
