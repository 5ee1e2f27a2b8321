/* Limits of one core: clock rate, floating-point peak, and the rates of reading and updating a buffer.
 * machine.py compiles this file with -DREAL=type, -DLANES=elements of a vector, and the flags of one
 * instruction set. */
#include <time.h>

typedef REAL vec __attribute__((vector_size(sizeof(REAL) * LANES)));

enum { CHAINS = 12 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Clocks per second: additions in registers, each of which waits for the one before, take one clock each. */
double clock_rate(long rounds) {
    long sum = 0, addend = rounds;
    double began = now();
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 32
        for (int i = 0; i < 32; i++) {
            sum += addend;
            __asm__ volatile("" : "+r"(sum), "+r"(addend));
        }
    }
    return 32.0 * (double)rounds / (now() - began);
}

/* Floating-point operations per second, where a fused multiply-add counts as two: independent chains that
 * never leave the registers. */
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

/* Bytes per second, reading p (count vectors) as forward and delta read weights. count is a multiple of 8. */
double read_rate(const vec *p, long count, long passes) {
    vec acc[8] = {{0}};
    double began = now();
    for (long r = 0; r < passes; r++) {
        for (long i = 0; i < count; i += 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) acc[j] += p[i + j];
        }
        __asm__ volatile("" : : : "memory");
    }
    double took = now() - began;
#pragma GCC unroll 8
    for (int j = 1; j < 8; j++) acc[0] += acc[j];
    __asm__ volatile("" : : "x"(acc[0]));
    return (double)sizeof(vec) * (double)count * (double)passes / took;
}

/* Bytes per second, reading and writing back p (count vectors) as update does: each byte counts twice. count
 * is a multiple of 8. */
double update_rate(vec *p, long count, long passes) {
    double began = now();
    for (long r = 0; r < passes; r++) {
        for (long i = 0; i < count; i += 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) p[i + j] += (REAL)1;
        }
        __asm__ volatile("" : : : "memory");
    }
    return 2.0 * (double)sizeof(vec) * (double)count * (double)passes / (now() - began);
}
