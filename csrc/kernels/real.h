/* The element types of this object file, and the names of its kernels, which are defined in vector/ or
 * scalar/. The build compiles every kernel file once with BPK_REAL_IS_DOUBLE=0 and once with 1, and sets
 * BPK_ISA to the name of the ISA. */
#ifndef BPK_REAL_H
#define BPK_REAL_H

#include <float.h>

#include "kernels/bfloat16.h"
#include "kernels/kernels.h"

#if BPK_REAL_IS_DOUBLE
typedef double real;
#define REAL_MAX DBL_MAX
#define REAL_MIN DBL_MIN
#define BPK_DTYPE f64
#else
typedef float real;
#define REAL_MAX FLT_MAX
#define REAL_MIN FLT_MIN
#define BPK_DTYPE f32
#endif

/* Three roles of numbers, which may get three types: `stored` in memory (weights, activations, deltas, an
 * optimiser's states), `real` in arithmetic, and `acc` for sums of products. Each vec.h loads `stored` into
 * `vec`, a vector of `real`; its vector of `acc` is `vacc`. */
typedef real stored;
typedef real acc;

/* BPK_PLAIN_LOOPS is for builds with sanitizers, which check every access. With all tiles inlined and
 * unrolled at every size, compilers would take minutes and gigabytes for these checks. No bit of a result
 * changes. */
#if BPK_PLAIN_LOOPS
#define ALWAYS_INLINE inline
#define UNROLL
#else
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Loops over the rows or vectors of a tile are unrolled completely, so that accumulators stay in registers.
 * 16 is more than the rows of any tile (tile.h). */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#endif

/* In a header, of which not every file uses all functions. */
#define NOINLINE __attribute__((noinline, unused))

/* Sanitizers do not see which elements a masked load or store touches. These functions touch the same
 * elements, p[0] to p[n - 1], one by one; and stop at an n that is not 1 to `most`, with which the words of
 * vec.h would do different things on different ISAs, all of them silently. */
#if BPK_PLAIN_LOOPS
static inline void show_read(const stored *p, ptrdiff_t n, ptrdiff_t most) {
    if (n < 1 || n > most) __builtin_trap();
    for (ptrdiff_t i = 0; i < n; i++) (void)*(const volatile stored *)(p + i);
}
static inline void show_write(stored *p, ptrdiff_t n, ptrdiff_t most) {
    if (n < 1 || n > most) __builtin_trap();
    for (ptrdiff_t i = 0; i < n; i++) *(volatile stored *)(p + i) = 0;
}
#else
#define show_read(p, n, most) ((void)0)
#define show_write(p, n, most) ((void)0)
#endif

#define BPK_JOIN_(a, b, c) bpk_##a##_##b##_##c
#define BPK_JOIN(a, b, c) BPK_JOIN_(a, b, c)
#define BPK_NAME(a) BPK_JOIN(a, BPK_ISA, BPK_DTYPE)

#define BPK_DECLARE(returned, name, parameters) returned BPK_NAME(name) parameters;
BPK_KERNELS(BPK_DECLARE)
#if !BPK_REAL_IS_DOUBLE
BPK_PAIR_KERNELS(BPK_DECLARE)
#endif
#undef BPK_DECLARE
int BPK_NAME(online)(bpk_net *net, bpk_run *run, ptrdiff_t steps, bpk_status *status);

#endif
