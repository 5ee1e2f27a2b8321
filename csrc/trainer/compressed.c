/* Weights in bfloat16, from rows of floats to blocks of pairs and back. */
#include "trainer/compressed.h"

#include <math.h>

#include "trainer/products.h"

_Static_assert(sizeof(bfloat16_pair) == sizeof(float), "a pair takes the place of a float");

void pack_pairs(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const float *w,
                bfloat16_pair *blocks) {
    const ptrdiff_t rows = rows_of_pairs(in);
    for (ptrdiff_t j = 0, width; j < out; j += width, blocks += rows * width, w += width * in) {
        width = block_width(kernels, out - j);
        ptrdiff_t columns = smaller(width, out - j);
        for (ptrdiff_t p = 0; p < rows; p++)
            for (ptrdiff_t c = 0; c < columns; c++) {
                const float *two = w + c * in + 2 * p;
                blocks[p * width + c] = make_pair(two[0], 2 * p + 1 < in ? two[1] : 0);
            }
        if (columns < width) break;
    }
}

void unpack_pairs(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const bfloat16_pair *blocks,
                  float *w) {
    const ptrdiff_t rows = rows_of_pairs(in);
    for (ptrdiff_t j = 0, width; j < out; j += width, blocks += rows * width, w += width * in) {
        width = block_width(kernels, out - j);
        ptrdiff_t columns = smaller(width, out - j);
        for (ptrdiff_t p = 0; p < rows; p++)
            for (ptrdiff_t c = 0; c < columns; c++) {
                w[c * in + 2 * p] = lower_element(blocks[p * width + c]);
                if (2 * p + 1 < in) w[c * in + 2 * p + 1] = upper_element(blocks[p * width + c]);
            }
        if (columns < width) break;
    }
}

void round_weights(ptrdiff_t n, float *w) {
    for (ptrdiff_t i = 0; i < n; i++) w[i] = float_of_bits(nearest_bfloat16(w[i]));
}

double penalty_of_pairs(ptrdiff_t n, const bfloat16_pair *pairs, double l1, double l2) {
    double squares = 0, absolute = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double lower = lower_element(pairs[i]), upper = upper_element(pairs[i]);
        squares += lower * lower + upper * upper;
        absolute += fabs(lower) + fabs(upper);
    }
    return l2 * squares + l1 * absolute;
}
