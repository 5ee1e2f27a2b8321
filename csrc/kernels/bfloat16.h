/* bfloat16, the type of compressed weights: the upper 16 bits of a float, which hold its sign, its exponent
 * and 8 significant bits. Any bfloat16 is a float. Defined here.
 *
 * A compressed matrix W (in, out) is stored as pairs (half of in, rounded up; out), in blocks (blocks.h) of
 * that many rows. Pair (p, j) holds the elements (2 p, j) in its lower half and (2 p + 1, j) in its upper
 * half; the latter is zero if `in` is odd and 2 p the last row. So one load, a shift and an `and` give two
 * vectors of floats in the order in which a sum takes them: a product with compressed weights has the same
 * bits as with these weights as floats. Only narrow layers, which store W in another order, keep floats. */
#ifndef BPK_BFLOAT16_H
#define BPK_BFLOAT16_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t bfloat16_pair; /* as large as a float */

#define UPPER_ELEMENT                                                                     \
    0xffff0000u /* the bits of a pair's upper element, and those of a float that are kept \
                 */

/* The rows of pairs that hold a matrix of that many rows. */
static inline ptrdiff_t rows_of_pairs(ptrdiff_t rows) { return rows / 2 + rows % 2; }

static inline uint32_t bits_of_float(float x) {
    union {
        float x;
        uint32_t bits;
    } both = {x};
    return both.bits;
}

static inline float float_of_bits(uint32_t bits) {
    union {
        uint32_t bits;
        float x;
    } both = {bits};
    return both.x;
}

/* The bits of the nearest bfloat16, as a float: half-way between two, the even one. Infinity and NaN stay;
 * numbers of more than 3.39e38 become infinite. */
static inline uint32_t nearest_bfloat16(float x) {
    uint32_t bits = bits_of_float(x);
    if (x != x) return (bits | 0x400000u) & UPPER_ELEMENT; /* quiet: no payload in the lower bits gets lost */
    return (bits + 0x7fffu + (bits >> 16 & 1)) & UPPER_ELEMENT;
}

static inline bfloat16_pair make_pair(float lower, float upper) {
    return nearest_bfloat16(lower) >> 16 | nearest_bfloat16(upper);
}
static inline float lower_element(bfloat16_pair pair) { return float_of_bits(pair << 16); }
static inline float upper_element(bfloat16_pair pair) { return float_of_bits(pair & UPPER_ELEMENT); }

#endif
