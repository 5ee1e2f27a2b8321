/* The floating-point mode inside a call. On x86, denormal results and operands count as zero, because
 * denormal velocities would slow updates down many times. Everything else is the default mode, so that a
 * caller who rounds upwards or traps overflows gets the same bits. The caller's mode and sticky flags are
 * restored. On other processors the mode is not changed. Defined here.
 */
#ifndef BPK_FP_MODE_H
#define BPK_FP_MODE_H

#if BPK_X86
#include <immintrin.h>

typedef unsigned fp_mode;

static inline fp_mode fp_enter(void) {
    fp_mode before = _mm_getcsr();
    _mm_setcsr(0x9fc0); /* round to nearest, mask all exceptions, FTZ and DAZ */
    return before;
}
static inline void fp_leave(fp_mode before) { _mm_setcsr(before); }
#else
typedef int fp_mode;

static inline fp_mode fp_enter(void) { return 0; }
static inline void fp_leave(fp_mode before) { (void)before; }
#endif

#endif
