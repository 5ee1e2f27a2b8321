/* The SIMD vocabulary on AVX-512 (F, DQ, BW, VL): 16 floats or 8 doubles. Defined here. */
#ifndef BPK_VEC_H
#define BPK_VEC_H

#include <immintrin.h>

#include "kernels/real.h"

#if BPK_REAL_IS_DOUBLE
typedef __m512d vec;
typedef __mmask8 vmask;
#define VEC 8
#define VOP(name) _mm512_##name##_pd
#define VCMP _mm512_cmp_pd_mask
#else
typedef __m512 vec;
typedef __mmask16 vmask;
#define VEC 16
#define VOP(name) _mm512_##name##_ps
#define VCMP _mm512_cmp_ps_mask
#endif

typedef vec vacc; /* of `acc` */

/* TILE_ROWS_v is the most rows of a register tile of v vectors. A tile of 9 x 3 takes 27 accumulators, 3
 * vectors of the right matrix and one broadcast: 31 of the 32 registers. */
#define TILE_VECS 3
#define TILE_ROWS_1 14
#define TILE_ROWS_2 13
#define TILE_ROWS_3 9
#define UPDATE_ROWS_3 9 /* instead of TILE_ROWS_3 where the tile's rows are adjacent on the left */
#define TILE_ROWS_MAX 14
#define ONLINE BPK_NAME(online)
/* Limits of layers and batches, explained in kernels.h. The values are measured. */
#define NARROW (VEC / 2)
#define DOT_SUMS VEC /* in registers at once: a multiple of VEC, at least 4 */
#define DOT_ROWS 16
#define DOT_DEPTH 24
#define PART_DEPTH 480
#define SWEEP_ROWS 8

static inline vec vzero(void) { return VOP(setzero)(); }
static inline vec vset1(real x) { return VOP(set1)(x); }
static inline vec vload(const stored *p) { return VOP(loadu)(p); }
static inline void vstore(stored *p, vec v) { VOP(storeu)(p, v); }

/* Masks, of registers only: vtail(n) is the first n lanes, 0 <= n <= VEC; vlane(i) is lane i alone. */
static inline vmask vtail(ptrdiff_t n) { return (vmask)((1u << n) - 1); }
static inline vmask vlane(int i) { return (vmask)(1u << i); }

/* The first n elements at p, 1 <= n <= VEC; the other lanes are zero. No other memory is read or written. A
 * loop passes the constant VEC for whole vectors, which become plain loads and stores, and n for its tail. */
#define IS_WHOLE(n) (__builtin_constant_p(n) && (n) == VEC)
static ALWAYS_INLINE vec vload_first(const stored *p, ptrdiff_t n) {
    if (IS_WHOLE(n)) return vload(p);
    show_read(p, n, VEC);
    return VOP(maskz_loadu)(vtail(n), p);
}
static ALWAYS_INLINE void vstore_first(stored *p, ptrdiff_t n, vec v) {
    if (IS_WHOLE(n)) return vstore(p, v);
    show_write(p, n, VEC);
    VOP(mask_storeu)(p, vtail(n), v);
}

static inline vec vadd(vec a, vec b) { return VOP(add)(a, b); }
static inline vec vsub(vec a, vec b) { return VOP(sub)(a, b); }
static inline vec vmul(vec a, vec b) { return VOP(mul)(a, b); }
static inline vec vdiv(vec a, vec b) { return VOP(div)(a, b); }
static inline vec vsqrt(vec a) { return VOP(sqrt)(a); }
static inline vec vfma(vec a, vec b, vec c) { return VOP(fmadd)(a, b, c); }   /* a b + c */
static inline vec vfnma(vec a, vec b, vec c) { return VOP(fnmadd)(a, b, c); } /* c - a b */

static inline vec vabs(vec a) { return VOP(andnot)(vset1(-0.0f), a); }
static inline vec vneg(vec a) { return VOP(xor)(vset1(-0.0f), a); }
static inline vec vcopysign(vec magnitude, vec sign) {
    vec bit = VOP (and)(vset1(-0.0f), sign);
    return VOP(or)(vabs(magnitude), bit);
}

/* Whether vfma rounds once. vrest is the rounding error of the product a b, exactly. */
#define FUSED 1
static inline vec vrest(vec a, vec b, vec product) { return vfma(a, b, vneg(product)); }

/* The left matrix of a product. A vleft holds LEFTS elements of it, adjacent in memory; vfma_left(a, i, b, c)
 * is element i of a, times b, plus c. x86 broadcasts an element where it loads it; others multiply by a lane.
 */
#define LEFTS 1
typedef vec vleft;
static inline vleft vload_left(const stored *p) { return vset1(*p); }
static inline vec vfma_left(vleft a, int i, vec b, vec c) {
    (void)i;
    return vfma(a, b, c);
}

/* If either operand is NaN, the result is b. */
static inline vec vmax(vec a, vec b) { return VOP(max)(a, b); }
static inline vec vmin(vec a, vec b) { return VOP(min)(a, b); }

/* A comparison is false if either operand is NaN. vselect takes `yes` in the lanes of m, `no` elsewhere. */
static inline vmask vgt(vec a, vec b) { return VCMP(a, b, _CMP_GT_OQ); }
static inline vmask vlt(vec a, vec b) { return VCMP(a, b, _CMP_LT_OQ); }
static inline vmask veq(vec a, vec b) { return VCMP(a, b, _CMP_EQ_OQ); }
static inline vmask vle(vec a, vec b) { return VCMP(a, b, _CMP_LE_OQ); }
static inline vec vselect(vmask m, vec yes, vec no) { return VOP(mask_blend)(m, no, yes); }
static inline int vall(vmask m) { return m == vtail(VEC); }
/* The number of the first lane in m; VEC if m is empty. */
static inline int vfirst(vmask m) { return __builtin_ctz((unsigned)m | 1u << VEC); }

/* The lower half of a vector. Where multiply units are half as wide as registers, as in Zen 4, a product of
 * halves takes half the time. hload_first is as vload_first, with n <= VEC / 2. hwiden sets the upper half to
 * zero. IN_REGISTER keeps the compiler from loading v again. */
#define VEC_HALF
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#if BPK_REAL_IS_DOUBLE
typedef __m256d vhalf;
static inline vhalf hlower(vec a) { return _mm512_castpd512_pd256(a); }
static inline vec hwiden(vhalf a) { return _mm512_zextpd256_pd512(a); }
static ALWAYS_INLINE vhalf hload_first(const stored *p, ptrdiff_t n) {
    show_read(p, n, VEC / 2);
    return _mm256_maskz_loadu_pd((__mmask8)vtail(n), p);
}
static inline vhalf hfma(vhalf a, vhalf b, vhalf c) { return _mm256_fmadd_pd(a, b, c); }
#else
typedef __m256 vhalf;
static inline vhalf hlower(vec a) { return _mm512_castps512_ps256(a); }
static inline vec hwiden(vhalf a) { return _mm512_zextps256_ps512(a); }
static ALWAYS_INLINE vhalf hload_first(const stored *p, ptrdiff_t n) {
    show_read(p, n, VEC / 2);
    return _mm256_maskz_loadu_ps((__mmask8)vtail(n), p);
}
static inline vhalf hfma(vhalf a, vhalf b, vhalf c) { return _mm256_fmadd_ps(a, b, c); }
#endif

/* The nearest integer; half-way between two, the even one. */
static inline vec vround(vec a) { return VOP(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vec vscale(vec a, vec n) { return VOP(scalef)(a, n); } /* a 2^n, n integral */
/* 2^n, n integral, at least -127 for float and -1023 for double, where it is zero, and at most the same
 * without the sign. */
static inline vec vpower(vec n) { return vscale(vset1(1), n); }

/* The sum of all lanes: the upper half is added to the lower half until one lane is left. dot.c relies on
 * this order: it also adds transposed vectors in this order. */
#if BPK_REAL_IS_DOUBLE
static inline real vsum(vec a) {
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#else
static inline real vsum(vec a) {
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
#endif
/* Lane i, of the first four or VEC, is the sum of all lanes of p[i], to the bit of vsum; other lanes are
 * zero. Only the first n lanes of each p[i] may differ from +0: if they are fewer than four, the upper ones
 * are not added. */
#if BPK_REAL_IS_DOUBLE
static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    __m256d h[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        h[i] = _mm512_castpd512_pd256(p[i]);
        if (n >= 4) h[i] = _mm256_add_pd(h[i], _mm512_extractf64x4_pd(p[i], 1));
    }
    __m256d even =
        _mm256_add_pd(_mm256_permute2f128_pd(h[0], h[2], 0x20), _mm256_permute2f128_pd(h[0], h[2], 0x31));
    __m256d odd =
        _mm256_add_pd(_mm256_permute2f128_pd(h[1], h[3], 0x20), _mm256_permute2f128_pd(h[1], h[3], 0x31));
    return _mm512_zextpd256_pd512(
        _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd)));
}
#else
static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    __m128 q[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_castps512_ps128(p[i]);
        if (n < 4) continue;
        __m256 h = _mm256_add_ps(_mm512_castps512_ps256(p[i]), _mm512_extractf32x8_ps(p[i], 1));
        q[i] = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    }
    __m128 low = _mm_add_ps(_mm_unpacklo_ps(q[0], q[1]), _mm_unpackhi_ps(q[0], q[1]));
    __m128 high = _mm_add_ps(_mm_unpacklo_ps(q[2], q[3]), _mm_unpackhi_ps(q[2], q[3]));
    return _mm512_zextps128_ps512(_mm_add_ps(_mm_movelh_ps(low, high), _mm_movehl_ps(high, low)));
}
#endif
/* The largest lane; any number if a lane is NaN. */
static inline real vmaximum(vec a) { return VOP(reduce_max)(a); }

#if !BPK_REAL_IS_DOUBLE
/* The lower and the upper elements of VEC pairs of bfloat16. */
static inline vec vload_lower(const bfloat16_pair *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline vec vload_upper(const bfloat16_pair *p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)UPPER_ELEMENT)));
}
/* The same, in a tile that leaves no register for a mask. */
static inline vec vload_upper_in_tile(const bfloat16_pair *p) { return vload_upper(p); }
#endif

/* Vectors of WIDE 64-bit lanes, with 32-bit numbers in their low halves. wmul ignores the high halves. */
typedef __m512i wide;
enum { WIDE = 8 };
static inline wide wset1(uint32_t x) { return _mm512_set1_epi64(x); }
static inline wide wevens(uint32_t x) { /* x, x + 2, x + 4, ... */
    return _mm512_add_epi64(wset1(x), _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0));
}
static inline wide wmul(wide a, wide b) { return _mm512_mul_epu32(a, b); } /* the 64-bit product */
static inline wide whigh(wide a) { return _mm512_srli_epi64(a, 32); }
static inline wide wxor(wide a, wide b) { return _mm512_xor_si512(a, b); }
static inline void wstore_pairs(uint32_t *p, wide even, wide odd) { /* low halves of even, odd, even, ... */
    _mm512_storeu_si512(p, _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32)));
}

/* The lanes i for which p[i] is at least `least`. */
static inline vmask vnot_below(const uint32_t *p, uint32_t least) {
#if BPK_REAL_IS_DOUBLE
    return _mm256_cmpge_epu32_mask(_mm256_loadu_si256((const void *)p), _mm256_set1_epi32((int)least));
#else
    return _mm512_cmpge_epu32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32((int)least));
#endif
}

/* Transposes the matrix t (VEC, VEC), in rounds that interleave pairs of rows: in each round the rows of a
 * pair are twice as far apart. */
static inline void vtranspose(vec t[VEC]) {
    vec s[VEC];
#if !BPK_REAL_IS_DOUBLE
    for (int i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_ps(t[i], t[i + 1]);
        s[i + 1] = _mm512_unpackhi_ps(t[i], t[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            __m512d a = _mm512_castps_pd(s[i + j]), b = _mm512_castps_pd(s[i + 2 + j]);
            t[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            t[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            s[i + j] = _mm512_shuffle_f32x4(t[i + j], t[i + j + 4], 0x88);
            s[i + j + 4] = _mm512_shuffle_f32x4(t[i + j], t[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        t[j] = _mm512_shuffle_f32x4(s[j], s[j + 8], 0x88);
        t[j + 8] = _mm512_shuffle_f32x4(s[j], s[j + 8], 0xdd);
    }
#else
    for (int i = 0; i < 8; i += 2) {
        s[i] = _mm512_unpacklo_pd(t[i], t[i + 1]);
        s[i + 1] = _mm512_unpackhi_pd(t[i], t[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            t[i + j] = _mm512_shuffle_f64x2(s[i + j], s[i + j + 2], 0x88);
            t[i + j + 2] = _mm512_shuffle_f64x2(s[i + j], s[i + j + 2], 0xdd);
        }
    for (int j = 0; j < 4; j++) {
        s[j] = _mm512_shuffle_f64x2(t[j], t[j + 4], 0x88);
        s[j + 4] = _mm512_shuffle_f64x2(t[j], t[j + 4], 0xdd);
    }
    for (int j = 0; j < 8; j++) t[j] = s[j];
#endif
}

#endif
