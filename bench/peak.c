/* The peak rate of one core in one ISA, in floating-point operations per second: independent chains of
 * fused multiply-adds that never leave the registers. Compiled once per vector ISA with its vec.h. */
#include "vec.h"

#include "platform/clock.h"

enum { CHAINS = 12, STEPS = 300000 };

double BPK_NAME(peak)(void) {
    vec chain[CHAINS], factor = vset1((real)0.999), addend = vset1((real)0.001);
    UNROLL
    for (int c = 0; c < CHAINS; c++) chain[c] = vset1((real)(0.001 * c));
    double began = now();
    for (int i = 0; i < STEPS; i++) {
        UNROLL
        for (int c = 0; c < CHAINS; c++) chain[c] = vfma(chain[c], factor, addend);
        __asm__ volatile("" : : : "memory"); /* so that the compiler keeps the loop */
    }
    double took = now() - began;
    UNROLL
    for (int c = 1; c < CHAINS; c++) chain[0] = vfma(chain[c], factor, chain[0]);
    volatile real used = vsum(chain[0]);
    (void)used;
    return 2.0 * CHAINS * VEC * STEPS / took;
}
