/* Arrays of reals: whether real is float or double is in the kernel table. Defined here. */
#ifndef BPK_ELEMENTS_H
#define BPK_ELEMENTS_H

#include <string.h>

#include "kernels/kernels.h"

/* The address of element i. */
static inline void *element(const bpk_kernels *kernels, const void *base, ptrdiff_t i) {
    return (char *)base + i * (ptrdiff_t)kernels->real_size;
}

/* out (n) = values (n), rounded to reals. */
static inline void from_doubles(const bpk_kernels *kernels, ptrdiff_t n, const double *values, void *out) {
    if (kernels->dtype == BPK_F64)
        memcpy(out, values, (size_t)n * sizeof *values);
    else
        for (ptrdiff_t i = 0; i < n; i++) ((float *)out)[i] = (float)values[i];
}

/* base[i] += value */
static inline void add_to_element(const bpk_kernels *kernels, void *base, ptrdiff_t i, double value) {
    if (kernels->dtype == BPK_F64)
        ((double *)base)[i] += value;
    else
        ((float *)base)[i] += (float)value;
}

#endif
