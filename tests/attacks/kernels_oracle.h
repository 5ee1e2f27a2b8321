/* Expected results of the kernels, in higher precision: sums in double for float32 and in long double for
 * float64, by plain loops and the C library's functions. From bpkern, only types and bpk_needs_z are used. */
#ifndef KERNELS_ORACLE_H
#define KERNELS_ORACLE_H

#include "bpkern.h"

/* activation_of: s(z). slope_from: s', with x = z for activations that need z, otherwise x = a. At an
 * infinite z, s' is its limit. */
long double activation_of(bpk_activation activation, long double z);
long double slope_from(bpk_activation activation, long double x);

/* A bound on the error of an activation, in units in the last place, and a bound on its slope. */
double activation_ulp(bpk_activation activation);
double largest_slope(bpk_activation activation);

/* sums (m, n) = left (m, k) right (n, k)' + start (n), and magnitudes (m, n): the sums of the same terms'
 * absolute values. `start` may be NULL. All arrays are contiguous. */
void exact_product(bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *left,
                   const double *right, const double *start, long double *sums, double *magnitudes);

/* A parameter and its velocity; and one step of SGD, which uses v only with momentum. */
typedef struct {
    long double w, v;
} parameter;
parameter sgd_step(const bpk_optimizer *sgd, parameter at, long double gradient);

double type_eps(bpk_dtype dtype);
double type_smallest(bpk_dtype dtype); /* the smallest normal number */
double unit_in_last_place(bpk_dtype dtype, double x);

#endif
