/* What the kernels should come to, in more digits than they have: double for float32, long double for
 * float64; loops in the plainest order, and the C library's functions. Nothing here is of the library but the
 * names. */
#ifndef KERNELS_ORACLE_H
#define KERNELS_ORACLE_H

#include "bpkern.h"

/* s(z); and s', from z for the activations that need it, where it has a limit at infinity, else from a. */
long double activation_of(bpk_activation activation, long double z);
long double slope_from(bpk_activation activation, long double from);

/* Units in the last place that an activation may add; and the steepest that its slope is. */
double activation_ulp(bpk_activation activation);
double steepest(bpk_activation activation);

/* sums (m, n) = left (m, k) right (n, k)' + start (n), and the sums of the same terms' sizes. `start` may be
 * NULL. All are plain. */
void exact_product(bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *left,
                   const double *right, const double *start, long double *sums, double *sizes);

/* The step of an optimiser from one parameter w with velocity v (not read where momentum is 0). */
typedef struct {
    long double w, v;
} parameter;
parameter sgd_step(const bpk_optimizer *sgd, parameter at, long double gradient);

double type_eps(bpk_dtype dtype);
double type_smallest(bpk_dtype dtype); /* the smallest normal number */
double unit_in_last_place(bpk_dtype dtype, double x);

#endif
