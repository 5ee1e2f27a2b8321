/* The SIMD vocabulary on vectors of 128 bits, written with the vector extensions of GCC and Clang: 4 floats
 * or 2 doubles on any processor. ../avx512/vec.h explains each word. Defined here.
 *
 * vfma multiplies and adds, and rounds twice, also on processors with an instruction for it: so the bits are
 * the same on all of them, and GCC splits the vectors of chains of __builtin_fma into scalars. A sum of K
 * products then differs from the exact one by at most (K + 1) u (sum |a b| + |bias|), with u = eps / 2,
 * instead of K u: each product is rounded once, and then takes part in at most K additions.
 */
#ifndef BPK_VEC_H
#define BPK_VEC_H

#include <string.h>

#include "kernels/real.h"

#define VECTOR_OF(type) type __attribute__((vector_size(16)))
typedef VECTOR_OF(real) vec;
typedef VECTOR_OF(uint32_t) words;
typedef VECTOR_OF(uint64_t) wide;

#if BPK_REAL_IS_DOUBLE
#define VEC 2
typedef int64_t lane_int;
#define EACH_LANE(f) {f(0), f(1)}
#define SQRT_LANE __builtin_sqrt
#else
#define VEC 4
typedef int32_t lane_int;
#define EACH_LANE(f) {f(0), f(1), f(2), f(3)}
#define SQRT_LANE __builtin_sqrtf
#endif

typedef vec vacc;                     /* of `acc` */
typedef VECTOR_OF(lane_int) vmask;    /* all ones or all zeros in each lane */
typedef VECTOR_OF(lane_int) integers; /* also the bits of a vec */

/* A tile of 4 x 3 takes 12 accumulators, a broadcast and the vectors of the right matrix: SSE2 has 16
 * registers. */
#define TILE_VECS 3
#define TILE_ROWS_1 8
#define TILE_ROWS_2 6
#define TILE_ROWS_3 4
#define UPDATE_ROWS_3 4
#define TILE_ROWS_MAX 8
#define CONSTANT_TAILS
#define ONLINE BPK_NAME(online)
#define NARROW (VEC / 2)
#define DOT_SUMS 8
#define DOT_ROWS 16
#define DOT_DEPTH 2
#define PART_DEPTH 480
#define SWEEP_ROWS 8

static inline vec vset1(real x) {
#define SAME(i) x
    return (vec)EACH_LANE(SAME);
#undef SAME
}
static inline vec vzero(void) { return vset1(0); }
static inline vec vload(const stored *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void vstore(stored *p, vec v) { memcpy(p, &v, sizeof v); }

static inline vmask vtail(ptrdiff_t n) {
#define BELOW(i) -(lane_int)(i < n)
    return (vmask)EACH_LANE(BELOW);
#undef BELOW
}
static inline vmask vlane(int n) {
#define EQUAL(i) -(lane_int)(i == n)
    return (vmask)EACH_LANE(EQUAL);
#undef EQUAL
}

static ALWAYS_INLINE vec vload_first(const stored *p, ptrdiff_t n) {
    if (n == VEC) return vload(p);
    show_read(p, n, VEC);
    vec v = {p[0]};
#if !BPK_REAL_IS_DOUBLE
    if (n == 2) v = (vec){p[0], p[1]};
    if (n == 3) v = (vec){p[0], p[1], p[2]};
#endif
    return v;
}
static ALWAYS_INLINE void vstore_first(stored *p, ptrdiff_t n, vec v) {
    if (n == VEC) return vstore(p, v);
    show_write(p, n, VEC);
    p[0] = v[0];
#if !BPK_REAL_IS_DOUBLE
    if (n >= 2) p[1] = v[1];
    if (n == 3) p[2] = v[2];
#endif
}

static inline vec vadd(vec a, vec b) { return a + b; }
static inline vec vsub(vec a, vec b) { return a - b; }
static inline vec vmul(vec a, vec b) { return a * b; }
static inline vec vdiv(vec a, vec b) { return a / b; }
static inline vec vsqrt(vec a) {
#define ROOT(i) SQRT_LANE(a[i])
    return (vec)EACH_LANE(ROOT);
#undef ROOT
}

static inline vec vbits(integers a) { return (vec)a; }
static inline integers sign_bit(void) { return (integers)vset1(-(real)0); }
static inline vec vabs(vec a) { return vbits((integers)a & ~sign_bit()); }
static inline vec vneg(vec a) { return vbits((integers)a ^ sign_bit()); }
static inline vec vcopysign(vec magnitude, vec sign) {
    return vbits(((integers)magnitude & ~sign_bit()) | ((integers)sign & sign_bit()));
}

#define FUSED 0
static inline vec vfma(vec a, vec b, vec c) { return a * b + c; }
static inline vec vfnma(vec a, vec b, vec c) { return c - a * b; }

/* The leading half of the digits of a (Dekker, 1971). In float, products of halves are exact, and so is
 * vrest. In double, the product of two low halves may be rounded, by at most one unit in the last place of
 * vrest. */
static inline vec leading(vec a) {
    const lane_int digits = BPK_REAL_IS_DOUBLE ? ~(lane_int)0x7ffffff : ~(lane_int)0xfff;
    return vbits((integers)a & digits);
}
static inline vec vrest(vec a, vec b, vec product) {
    vec a_high = leading(a), b_high = leading(b), a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

#define LEFTS 1
typedef vec vleft;
static inline vleft vload_left(const stored *p) { return vset1(*p); }
static inline vec vfma_left(vleft a, int i, vec b, vec c) {
    (void)i;
    return vfma(a, b, c);
}

static inline vmask vgt(vec a, vec b) { return a > b; }
static inline vmask vlt(vec a, vec b) { return a < b; }
static inline vmask veq(vec a, vec b) { return a == b; }
static inline vmask vle(vec a, vec b) { return a <= b; }
static inline vec vselect(vmask m, vec yes, vec no) {
    return vbits((m & (integers)yes) | (~m & (integers)no));
}
static inline vec vmax(vec a, vec b) { return vselect(a > b, a, b); }
static inline vec vmin(vec a, vec b) { return vselect(a < b, a, b); }
static inline int vall(vmask m) {
    wide halves = (wide)m;
    return (halves[0] & halves[1]) == UINT64_MAX;
}
static inline int vfirst(vmask m) {
    int i = 0;
    while (i < VEC && !m[i]) i++;
    return i;
}

/* Numbers of this size have no digits after the point: adding one rounds, and leaves the integer in the low
 * bits. So vround and vscale take numbers of up to half of it, which is far more than 2^n has exponents. */
#if BPK_REAL_IS_DOUBLE
#define ROUNDING 0x1.8p52
enum { FRACTION_BITS = 52, EXPONENT_BIAS = 1023 };
#else
#define ROUNDING 0x1.8p23f
enum { FRACTION_BITS = 23, EXPONENT_BIAS = 127 };
#endif
static inline vec vround(vec a) { return (a + vset1(ROUNDING)) - vset1(ROUNDING); }

/* 2^n is multiplied in two factors, because n may exceed the range of one exponent. */
static inline vec exponent(vec n) {
    return vbits((integers)(n + vset1(ROUNDING + EXPONENT_BIAS)) << FRACTION_BITS);
}
static inline vec vscale(vec a, vec n) {
    vec half = vround(n * vset1((real)0.5));
    return a * exponent(half) * exponent(n - half);
}
static inline vec vpower(vec n) { return exponent(n); }

#if BPK_REAL_IS_DOUBLE
static inline real vsum(vec a) { return a[0] + a[1]; }
#else
static inline real vsum(vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
#endif
static inline real vmaximum(vec a) {
    real most = a[0];
    for (int i = 1; i < VEC; i++)
        if (a[i] > most) most = a[i];
    return most;
}

static inline words load_words(const uint32_t *p, size_t bytes) {
    words w = {0};
    memcpy(&w, p, bytes);
    return w;
}
#if !BPK_REAL_IS_DOUBLE
static inline vec vload_lower(const bfloat16_pair *p) { return (vec)(load_words(p, sizeof(words)) << 16); }
static inline vec vload_upper(const bfloat16_pair *p) {
    return (vec)(load_words(p, sizeof(words)) & UPPER_ELEMENT);
}
static inline vec vload_upper_in_tile(const bfloat16_pair *p) { return vload_upper(p); }
#endif

enum { WIDE = 2 };
static inline wide wset1(uint32_t x) { return (wide){x, x}; }
static inline wide wevens(uint32_t x) { return (wide){x, (uint64_t)x + 2}; }
static inline wide wmul(wide a, wide b) { return (a & UINT32_MAX) * (b & UINT32_MAX); }
static inline wide whigh(wide a) { return a >> 32; }
static inline wide wxor(wide a, wide b) { return a ^ b; }
static inline void wstore_pairs(uint32_t *p, wide even, wide odd) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    wide pairs = even << 32 | (odd & UINT32_MAX);
#else
    wide pairs = (even & UINT32_MAX) | odd << 32;
#endif
    memcpy(p, &pairs, sizeof pairs);
}

static inline vmask vnot_below(const uint32_t *p, uint32_t least) {
    words numbers = load_words(p, VEC * sizeof *p);
#if BPK_REAL_IS_DOUBLE
    numbers = __builtin_shufflevector(numbers, numbers, 0, 0, 1, 1);
#endif
    return (vmask)(numbers >= least);
}

static inline void vtranspose(vec t[VEC]) {
#if BPK_REAL_IS_DOUBLE
    vec first = __builtin_shufflevector(t[0], t[1], 0, 2);
    t[1] = __builtin_shufflevector(t[0], t[1], 1, 3);
    t[0] = first;
#else
    vec a = __builtin_shufflevector(t[0], t[1], 0, 4, 1, 5),
        b = __builtin_shufflevector(t[0], t[1], 2, 6, 3, 7);
    vec c = __builtin_shufflevector(t[2], t[3], 0, 4, 1, 5),
        d = __builtin_shufflevector(t[2], t[3], 2, 6, 3, 7);
    t[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    t[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    t[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    t[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
}

static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    (void)n;
#if BPK_REAL_IS_DOUBLE
    return __builtin_shufflevector(p[0], p[1], 0, 2) + __builtin_shufflevector(p[0], p[1], 1, 3);
#else
    vec t[VEC] = {p[0], p[1], p[2], p[3]};
    vtranspose(t);
    return (t[0] + t[2]) + (t[1] + t[3]);
#endif
}

#endif
