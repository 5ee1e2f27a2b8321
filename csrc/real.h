/* The element type of this object file, and the names it gives its functions. The build compiles every
 * kernel file once with BPK_REAL_IS_DOUBLE=0 and once with 1, and sets BPK_ISA to the ISA's name. */
#ifndef BPK_REAL_H
#define BPK_REAL_H

#include <float.h>

#include "kernels.h"

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

/* For sanitizers, which watch every access: in tiles unrolled and inlined at all their sizes these are so
 * many that compilers take minutes and gigabytes. The bits are the same. */
#if BPK_PLAIN_LOOPS
#define ALWAYS_INLINE inline
#define UNROLL
#else
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* A loop over the rows or vectors of a tile, unrolled whole: only then are its accumulators registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#endif

/* What sanitizers do not see of masked loads and stores: the lanes that these touch. */
#if BPK_PLAIN_LOOPS
static inline void show_read(unsigned lanes, const real *p) {
    for (; lanes; lanes &= lanes - 1) (void)*(const volatile real *)(p + __builtin_ctz(lanes));
}
static inline void show_write(unsigned lanes, real *p) {
    for (; lanes; lanes &= lanes - 1) *(volatile real *)(p + __builtin_ctz(lanes)) = 0;
}
#else
#define show_read(lanes, p) ((void)0)
#define show_write(lanes, p) ((void)0)
#endif

#define BPK_JOIN_(a, b, c) bpk_##a##_##b##_##c
#define BPK_JOIN(a, b, c) BPK_JOIN_(a, b, c)
#define BPK_NAME(a) BPK_JOIN(a, BPK_ISA, BPK_DTYPE)

void BPK_NAME(forward)(const bpk_forward_args *args);
void BPK_NAME(delta)(const bpk_delta_args *args);
void BPK_NAME(dot)(const bpk_dot_args *args);
void BPK_NAME(update)(const bpk_update_args *args);
void BPK_NAME(update_bias)(const bpk_bias_args *args);
void BPK_NAME(move)(const bpk_move *move, ptrdiff_t n, const void *gradient, void *w,
                    void *const state[BPK_STATES]);
double BPK_NAME(collect)(ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1);
void BPK_NAME(average)(ptrdiff_t n, void *average, const void *w, double decay);
int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row);
void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd);
void BPK_NAME(activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda);
void BPK_NAME(apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                                ptrdiff_t lda, void *delta, ptrdiff_t ldd);
void BPK_NAME(activate_with_slope)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
                                   ptrdiff_t lda, void *slope, ptrdiff_t lds);
void BPK_NAME(drop)(const bpk_drop_args *args);
void BPK_NAME(loss)(const bpk_loss_args *args);
bpk_status BPK_NAME(online)(bpk_net *net, bpk_run *run, ptrdiff_t steps);
int BPK_NAME(all_finite)(ptrdiff_t n, const void *x);
double BPK_NAME(sum_squares)(ptrdiff_t n, const void *x);
double BPK_NAME(sum_absolute)(ptrdiff_t n, const void *x);

#endif
