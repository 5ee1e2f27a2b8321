/* Shared by the trials of kernels.c: the tables of kernels, random numbers and reports. */
#ifndef KERNELS_TRIAL_H
#define KERNELS_TRIAL_H

#include <stdint.h>

#include "trainer/products.h"

/* A table of kernels that runs here. */
typedef struct {
    const char *isa;
    bpk_dtype dtype;
    const bpk_kernels *kernels;
} table;

enum { MAX_TABLES = 32 };
extern table tables[MAX_TABLES];
extern int count_tables;

static inline const char *dtype_name(bpk_dtype dtype) { return dtype == BPK_F64 ? "float64" : "float32"; }

/* Reports of the current trial. `doing` sets the text that is reported if the trial crashes; `fail`
 * reports a failure; `largest` keeps the largest value of a figure; `counted` adds to a figure. */
void doing(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void largest(const char *figure, double value);
void counted(const char *figure, long more);

/* The random numbers of a trial. A trial depends only on its number and on these. */
typedef struct {
    uint64_t state;
} rng;

static inline uint64_t draw(rng *r) { /* SplitMix64 */
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* Random numbers from 0 to 1 and from low to high. */
static inline double uniform(rng *r) { return (double)(draw(r) >> 11) * 0x1p-53; }
static inline double between(rng *r, double low, double high) { return low + (high - low) * uniform(r); }
/* A random integer from low to high, both included. */
static inline ptrdiff_t whole(rng *r, ptrdiff_t low, ptrdiff_t high) {
    return low + (ptrdiff_t)(draw(r) % (uint64_t)(high - low + 1));
}
/* 1 with probability 1 / n, otherwise 0. */
static inline int one_in(rng *r, int n) { return draw(r) % (uint64_t)n == 0; }

/* One trial of each attack. `number` is the trial's number, from 0 on. */
void boundaries(ptrdiff_t number, rng *r);
void random_sizes(ptrdiff_t number, rng *r);
void large_sizes(ptrdiff_t number, rng *r);
void misalignments(ptrdiff_t number, rng *r);
void integers(ptrdiff_t number, rng *r);
void integer_nets(ptrdiff_t number, rng *r);
void special_values(ptrdiff_t number, rng *r);
void scratch(ptrdiff_t number, rng *r);
void fences(ptrdiff_t number, rng *r);
void table_fences(ptrdiff_t number, rng *r);
void net_scratch(ptrdiff_t number, rng *r);
void net_fences(ptrdiff_t number, rng *r);

#endif
