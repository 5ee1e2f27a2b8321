/* The floating-point peak of one core, for one instruction set and dtype: chains of fused multiply-adds that
 * never leave the registers. Compiled by machine.py with -DREAL, -DLANES and the instruction set's flags. */
#include <time.h>

typedef REAL vec __attribute__((vector_size(sizeof(REAL) * LANES)));

enum { CHAINS = 12 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Floating-point operations a second, an addition and a multiplication being two. */
double fma_peak(long rounds) {
    vec acc[CHAINS], factor, addend;
    for (int i = 0; i < LANES; i++) factor[i] = (REAL)0.999, addend[i] = (REAL)0.001;
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) acc[c] = addend * (REAL)c;
    double began = now();
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) acc[c] = acc[c] * factor + addend;
        __asm__ volatile("" : "+x"(acc[0]));
    }
    double took = now() - began;
#pragma GCC unroll 12
    for (int c = 1; c < CHAINS; c++) acc[0] += acc[c];
    __asm__ volatile("" : : "x"(acc[0]));
    return 2.0 * CHAINS * LANES * (double)rounds / took;
}
