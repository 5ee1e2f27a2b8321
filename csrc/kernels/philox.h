/* The random numbers of dropout: Philox 4x32 with 10 rounds (Salmon, Moraes, Dror and Shaw, 2011). A number
 * depends only on the key and on the activation's position, not on earlier numbers: any thread can compute
 * any number, and bpkern.reference computes the same numbers in NumPy.
 *
 * For column j of row r of mini-batch t in layer l, all counted from 0, or l = 2^16 - 1 for the inputs, the
 * counter is (j / 64 * 16 + j % 16, r, t mod 2^32, l + 2^16 (t / 2^32)), with integer division. A counter
 * gives four numbers, and column j gets number j / 16 % 4 of them: so a vector of columns is a vector of
 * counters.
 *
 * Defined here.
 */
#ifndef BPK_PHILOX_H
#define BPK_PHILOX_H

#include <stdint.h>

enum { PHILOX_LANES = 16, PHILOX_COLUMNS = 4 * PHILOX_LANES, PHILOX_INPUTS = 0xffff };

/* The key, and a position without its column. `row` is the row in the mini-batch. */
typedef struct {
    uint64_t key, batch;
    uint32_t layer, row;
} philox_place;

/* numbers (64): the random numbers of columns 64 group to 64 group + 63. */
static inline void philox(const philox_place *at, uint32_t group, uint32_t numbers[PHILOX_COLUMNS]) {
    uint32_t c[4][PHILOX_LANES], k0 = (uint32_t)at->key, k1 = (uint32_t)(at->key >> 32);
    for (uint32_t i = 0; i < PHILOX_LANES; i++) {
        c[0][i] = group * PHILOX_LANES + i;
        c[1][i] = at->row;
        c[2][i] = (uint32_t)at->batch;
        c[3][i] = (uint32_t)(at->batch >> 32) << 16 | at->layer;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < PHILOX_LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c[0][i], p1 = (uint64_t)0xCD9E8D57u * c[2][i];
            c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
            c[1][i] = (uint32_t)p1;
            c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
            c[3][i] = (uint32_t)p0;
        }
    for (int word = 0; word < 4; word++)
        for (int i = 0; i < PHILOX_LANES; i++) numbers[word * PHILOX_LANES + i] = c[word][i];
}

/* An activation is kept if its number is at least this: probability 2^32, rounded. */
static inline uint32_t philox_threshold(double probability) {
    double scaled = probability * 4294967296.0 + 0.5;
    return scaled < 4294967295.0 ? (uint32_t)scaled : 4294967295u;
}

#endif
