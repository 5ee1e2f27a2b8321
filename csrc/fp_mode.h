/* The floating-point mode inside a call: results and operands too small to be normal count as zero, for a
 * denormal velocity would slow every update it takes part in many times over. Otherwise it is the usual one,
 * whatever the caller's: he may round upwards or trap overflows, and gets the same bits. His mode and sticky
 * flags come back as they were. */
#ifndef BPK_FP_MODE_H
#define BPK_FP_MODE_H

#if BPK_X86
#include <immintrin.h>

typedef unsigned fp_mode;

static inline fp_mode fp_enter(void) {
    fp_mode before = _mm_getcsr();
    _mm_setcsr(0x9fc0); /* to nearest, no traps, FTZ and DAZ */
    return before;
}
static inline void fp_leave(fp_mode before) { _mm_setcsr(before); }
#else
typedef int fp_mode;

static inline fp_mode fp_enter(void) { return 0; }
static inline void fp_leave(fp_mode before) { (void)before; }
#endif

#endif
