/* The floating-point mode inside a call. On x86 and aarch64, denormal results and operands count as zero,
 * because denormal velocities would slow updates down many times. Everything else is the default mode, so
 * that a caller who rounds upwards or traps overflows gets the same bits. The caller's mode and sticky flags
 * are restored. On other processors the mode is not changed. Defined here.
 */
#ifndef BPK_FP_MODE_H
#define BPK_FP_MODE_H

#if BPK_X86
#include <immintrin.h>

enum { BPK_MXCSR = 0x9fc0 }; /* round to nearest, mask all exceptions, FTZ and DAZ */

#if __MINGW32__
/* MinGW's mathematical functions compute on the x87. On Windows, the precision that it rounds to differs
 * between main's thread and others, and between programs: here, it is that of long double. */
typedef struct {
    unsigned mxcsr;
    unsigned short x87;
} fp_mode;

static inline fp_mode fp_enter(void) {
    fp_mode before = {.mxcsr = _mm_getcsr()};
    const unsigned short x87 = 0x37f; /* as MXCSR, without FTZ and DAZ; 64 bits of precision */
    __asm__ volatile("fnstcw %0" : "=m"(before.x87));
    __asm__ volatile("fldcw %0" : : "m"(x87));
    _mm_setcsr(BPK_MXCSR);
    return before;
}
static inline void fp_leave(fp_mode before) {
    __asm__ volatile("fldcw %0" : : "m"(before.x87));
    _mm_setcsr(before.mxcsr);
}
#else
typedef unsigned fp_mode;

static inline fp_mode fp_enter(void) {
    fp_mode before = _mm_getcsr();
    _mm_setcsr(BPK_MXCSR);
    return before;
}
static inline void fp_leave(fp_mode before) { _mm_setcsr(before); }
#endif
#elif defined(__aarch64__)
#include <stdint.h>

typedef struct {
    uint64_t control, status; /* the registers FPCR and FPSR */
} fp_mode;

static inline void fp_leave(fp_mode mode) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(mode.control), "r"(mode.status) : "memory");
}
static inline fp_mode fp_enter(void) {
    fp_mode before;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(before.control), "=r"(before.status) : : "memory");
    fp_leave((fp_mode){.control = 1 << 24}); /* FZ: flush to zero. Round to nearest, trap nothing */
    return before;
}
#else
typedef int fp_mode;

static inline fp_mode fp_enter(void) { return 0; }
static inline void fp_leave(fp_mode before) { (void)before; }
#endif

#endif
