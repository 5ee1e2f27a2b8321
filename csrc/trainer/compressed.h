/* Networks whose weights are stored in bfloat16 (kernels/bfloat16.h), for forward passes and evaluation only.
 * The weights of narrow layers are rounded, too, but stored as floats. Biases, activations and sums are
 * floats. Defined in compressed.c. */
#ifndef BPK_COMPRESSED_H
#define BPK_COMPRESSED_H

#include "kernels/bfloat16.h"
#include "trainer/net.h"

/* Copies row-major w (out, in) of floats, rounded to bfloat16, to blocks of pairs of its transpose (in, out),
 * and back. The padding is not written. */
void pack_pairs(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const float *w,
                bfloat16_pair *blocks);
void unpack_pairs(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const bfloat16_pair *blocks,
                  float *w);

/* w (n) rounded to bfloat16, in place. */
void round_weights(ptrdiff_t n, float *w);

/* l2 sum W^2 + l1 sum |W| of n pairs. */
double penalty_of_pairs(ptrdiff_t n, const bfloat16_pair *pairs, double l1, double l2);

#endif
