/* Weights in bfloat16: their layout, and products of many rows. */
#include "trainer/compressed.h"

#include <math.h>

#include "trainer/products.h"

/* The number of terms in a part of a sum whose weights are widened: whole blocks on every ISA, and even. A
 * widened part then stays in the first-level cache: 96 x 48 floats are 18 KiB. */
enum { WIDENED = 96 };

_Static_assert(DEPTH % WIDENED == 0 && WIDENED % 2 == 0, "whole blocks and whole pairs, as DEPTH");
_Static_assert(sizeof(bfloat16_pair) == sizeof(float), "a pair takes the place of a float");

ptrdiff_t compressed_scratch(const bpk_kernels *kernels) {
    return (WIDENED + kernels->panel) * kernels->panel;
}

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

/* One block of a product: args has its columns and rows, without x, w and k. */
static void block_product(const bpk_kernels *kernels, member me, bpk_forward_args args, ptrdiff_t in,
                          const bpk_left *x, const bfloat16_pair *block, bpk_activation activation,
                          void *scratch) {
    args.w = scratch;
    for (ptrdiff_t k = 0; k < in && !team_stopped(me); k += args.k) {
        args.k = part_depth(kernels, in - k, WIDENED);
        args.resume = k > 0;
        args.x = left_columns(kernels, *x, k);
        args.activation = k + args.k == in ? activation : BPK_IDENTITY;
        kernels->widen(args.k, args.ldw, block + k / 2 * args.ldw, scratch);
        kernels->forward(&args);
    }
}

/* Members share the rows of all blocks, as in forward_product. */
void compressed_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                        const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                        ptrdiff_t a_rows, ptrdiff_t lda, void *scratch) {
    const ptrdiff_t rows = rows_of_pairs(in);
    ptrdiff_t from, to;
    team_share(me, count_blocks(kernels, out) * n, 1, &from, &to);
    for (ptrdiff_t j = 0, width; j < out; j += width, from -= n, to -= n) {
        width = block_width(kernels, out - j);
        const bpk_forward_args args = {.from = larger(from, 0),
                                       .to = smaller(to, n),
                                       .n = smaller(width, out - j),
                                       .ldw = width,
                                       .b = b ? element(kernels, b, j) : NULL,
                                       .a = element(kernels, a, a_rows ? j * a_rows : j),
                                       .lda = a_rows ? width : lda};
        if (args.from < args.to)
            block_product(kernels, me, args, in, x, (const bfloat16_pair *)w + j * rows, activation, scratch);
    }
}
