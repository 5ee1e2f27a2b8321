/* Reads and sets the floating-point mode of the calling thread, for floating_point.py, which compiles this
 * file without optimisation: cc -O0 -shared -fPIC. */
#include <immintrin.h>

unsigned get_mxcsr(void) { return _mm_getcsr(); }
void set_mxcsr(unsigned mode) { _mm_setcsr(mode); }

unsigned get_x87(void) {
    unsigned short mode;
    __asm__ volatile("fnstcw %0" : "=m"(mode));
    return mode;
}

void set_x87(unsigned given) {
    unsigned short mode = (unsigned short)given;
    __asm__ volatile("fldcw %0" : : "m"(mode));
}
