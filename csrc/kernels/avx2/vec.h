/* The SIMD vocabulary on AVX2 with FMA: 8 floats or 4 doubles. ../avx512/vec.h explains each word. Defined
 * here. */
#ifndef BPK_VEC_H
#define BPK_VEC_H

#include <immintrin.h>

#include "kernels/real.h"

#if BPK_REAL_IS_DOUBLE
typedef __m256d vec;
#define VEC 4
#define VOP(name) _mm256_##name##_pd
#define VINT(a) _mm256_castpd_si256(a)
typedef int64_t lane_int;
#else
typedef __m256 vec;
#define VEC 8
#define VOP(name) _mm256_##name##_ps
#define VINT(a) _mm256_castps_si256(a)
typedef int32_t lane_int;
#endif

typedef vec vacc; /* of `acc` */

/* A mask is all ones or all zeros in each lane. */
typedef vec vmask;

/* A tile of 4 x 3 takes 12 accumulators, 3 vectors of the right matrix and a broadcast: all 16 registers. */
#define TILE_VECS 3
#define TILE_ROWS_1 12
#define TILE_ROWS_2 6
#define TILE_ROWS_3 4
#define UPDATE_ROWS_3 4
#define TILE_ROWS_MAX 12
#define ONLINE BPK_NAME(online)
#define NARROW 2
#define DOT_SUMS VEC
#define DOT_ROWS 32 /* more than on AVX-512, which transposes as many numbers in half the instructions */
#define DOT_DEPTH 2
#define PART_DEPTH 240 /* a panel of 24 floats fits in three quarters of 32 KiB */
#define SWEEP_ROWS 8

static inline vec vzero(void) { return VOP(setzero)(); }
static inline vec vset1(real x) { return VOP(set1)(x); }
static inline vec vload(const stored *p) { return VOP(loadu)(p); }
static inline void vstore(stored *p, vec v) { VOP(storeu)(p, v); }

static inline vmask vtail(ptrdiff_t n) {
    static const lane_int ones_then_zeros[2 * VEC] = {
        -1, -1, -1, -1,
#if !BPK_REAL_IS_DOUBLE
        -1, -1, -1, -1,
#endif
    };
    return VOP(loadu)((const real *)(ones_then_zeros + VEC - n));
}
static inline vmask vlane(int i) { return VOP(andnot)(vtail(i), vtail(i + 1)); }

/* A masked store is microcode on Zen 1 to 3, and takes ten times as long as a plain one: the first lanes are
 * stored in pieces of 4, 2 and 1. A masked load is about as fast as a plain one. */
static ALWAYS_INLINE vec vload_first(const stored *p, ptrdiff_t n) {
    if (__builtin_constant_p(n) && n == VEC) return vload(p);
    show_read(p, n, VEC);
    return VOP(maskload)(p, VINT(vtail(n)));
}
static ALWAYS_INLINE void vstore_first(stored *p, ptrdiff_t n, vec v) {
    if (n == VEC) return vstore(p, v);
    show_write(p, n, VEC);
#if BPK_REAL_IS_DOUBLE
    __m128d piece = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, piece);
        piece = _mm256_extractf128_pd(v, 1);
    }
    if (n & 1) _mm_store_sd(p + (n & 2), piece);
#else
    __m128 piece = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, piece);
        piece = _mm256_extractf128_ps(v, 1);
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)(p + (n & 4)), piece);
        piece = _mm_movehl_ps(piece, piece);
    }
    if (n & 1) _mm_store_ss(p + (n & 6), piece);
#endif
}

static inline vec vadd(vec a, vec b) { return VOP(add)(a, b); }
static inline vec vsub(vec a, vec b) { return VOP(sub)(a, b); }
static inline vec vmul(vec a, vec b) { return VOP(mul)(a, b); }
static inline vec vdiv(vec a, vec b) { return VOP(div)(a, b); }
static inline vec vsqrt(vec a) { return VOP(sqrt)(a); }
static inline vec vfma(vec a, vec b, vec c) { return VOP(fmadd)(a, b, c); }
static inline vec vfnma(vec a, vec b, vec c) { return VOP(fnmadd)(a, b, c); }

static inline vec vmax(vec a, vec b) { return VOP(max)(a, b); }
static inline vec vmin(vec a, vec b) { return VOP(min)(a, b); }

static inline vec vabs(vec a) { return VOP(andnot)(vset1(-0.0f), a); }
static inline vec vneg(vec a) { return VOP(xor)(vset1(-0.0f), a); }
static inline vec vcopysign(vec magnitude, vec sign) {
    vec bit = VOP (and)(vset1(-0.0f), sign);
    return VOP(or)(vabs(magnitude), bit);
}

#define FUSED 1
static inline vec vrest(vec a, vec b, vec product) { return vfma(a, b, vneg(product)); }

#define LEFTS 1
typedef vec vleft;
static inline vleft vload_left(const stored *p) { return vset1(*p); }
static inline vec vfma_left(vleft a, int i, vec b, vec c) {
    (void)i;
    return vfma(a, b, c);
}

static inline vmask vgt(vec a, vec b) { return VOP(cmp)(a, b, _CMP_GT_OQ); }
static inline vmask vlt(vec a, vec b) { return VOP(cmp)(a, b, _CMP_LT_OQ); }
static inline vmask veq(vec a, vec b) { return VOP(cmp)(a, b, _CMP_EQ_OQ); }
static inline vmask vle(vec a, vec b) { return VOP(cmp)(a, b, _CMP_LE_OQ); }
static inline vec vselect(vmask m, vec yes, vec no) { return VOP(blendv)(no, yes, m); }
static inline int vall(vmask m) { return VOP(movemask)(m) == (1 << VEC) - 1; }
static inline int vfirst(vmask m) { return __builtin_ctz((unsigned)VOP(movemask)(m) | 1u << VEC); }

static inline vec vround(vec a) { return VOP(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* a 2^n. exponent(n) is 2^n, made from the bits of its exponent. 2^n is multiplied in two factors, because n
 * may exceed the range of one exponent. */
#if BPK_REAL_IS_DOUBLE
static inline vec exponent(__m128i n) {
    __m256i biased = _mm256_add_epi64(_mm256_cvtepi32_epi64(n), _mm256_set1_epi64x(1023));
    return _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52));
}
static inline vec vscale(vec a, vec n) {
    __m128i whole = _mm256_cvtpd_epi32(n), half = _mm_srai_epi32(whole, 1);
    return vmul(vmul(a, exponent(half)), exponent(_mm_sub_epi32(whole, half)));
}
static inline vec vpower(vec n) { return exponent(_mm256_cvtpd_epi32(n)); }
#else
static inline vec exponent(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
static inline vec vscale(vec a, vec n) {
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return vmul(vmul(a, exponent(half)), exponent(_mm256_sub_epi32(whole, half)));
}
static inline vec vpower(vec n) { return exponent(_mm256_cvtps_epi32(n)); }
#endif

#if BPK_REAL_IS_DOUBLE
static inline real vsum(vec a) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#else
static inline real vsum(vec a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
#endif
#if BPK_REAL_IS_DOUBLE
static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    (void)n;
    vec even =
        _mm256_add_pd(_mm256_permute2f128_pd(p[0], p[2], 0x20), _mm256_permute2f128_pd(p[0], p[2], 0x31));
    vec odd =
        _mm256_add_pd(_mm256_permute2f128_pd(p[1], p[3], 0x20), _mm256_permute2f128_pd(p[1], p[3], 0x31));
    return _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd));
}
#else
static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    __m128 q[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_castps256_ps128(p[i]);
        if (n >= 4) q[i] = _mm_add_ps(q[i], _mm256_extractf128_ps(p[i], 1));
    }
    __m128 low = _mm_add_ps(_mm_unpacklo_ps(q[0], q[1]), _mm_unpackhi_ps(q[0], q[1]));
    __m128 high = _mm_add_ps(_mm_unpacklo_ps(q[2], q[3]), _mm_unpackhi_ps(q[2], q[3]));
    return _mm256_zextps128_ps256(_mm_add_ps(_mm_movelh_ps(low, high), _mm_movehl_ps(high, low)));
}
#endif
static inline real vmaximum(vec a) {
    real lane[VEC];
    vstore(lane, a);
    for (int i = 1; i < VEC; i++)
        if (lane[i] > lane[0]) lane[0] = lane[i];
    return lane[0];
}

#if !BPK_REAL_IS_DOUBLE
static inline vec vload_lower(const bfloat16_pair *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const void *)p), 16));
}
static inline vec vload_upper(const bfloat16_pair *p) {
    __m256i pairs = _mm256_loadu_si256((const void *)p);
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)UPPER_ELEMENT)));
}
static inline vec vload_upper_in_tile(const bfloat16_pair *p) {
    __m256i upper = _mm256_srli_epi32(_mm256_loadu_si256((const void *)p), 16);
    return _mm256_castsi256_ps(_mm256_slli_epi32(upper, 16));
}
#endif

typedef __m256i wide;
enum { WIDE = 4 };
static inline wide wset1(uint32_t x) { return _mm256_set1_epi64x(x); }
static inline wide wevens(uint32_t x) { return _mm256_add_epi64(wset1(x), _mm256_set_epi64x(6, 4, 2, 0)); }
static inline wide wmul(wide a, wide b) { return _mm256_mul_epu32(a, b); }
static inline wide whigh(wide a) { return _mm256_srli_epi64(a, 32); }
static inline wide wxor(wide a, wide b) { return _mm256_xor_si256(a, b); }
static inline void wstore_pairs(uint32_t *p, wide even, wide odd) {
    _mm256_storeu_si256((void *)p, _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
}

static inline vmask vnot_below(const uint32_t *p, uint32_t least) {
#if BPK_REAL_IS_DOUBLE
    __m128i numbers = _mm_loadu_si128((const void *)p);
    __m128i which = _mm_cmpeq_epi32(_mm_max_epu32(numbers, _mm_set1_epi32((int)least)), numbers);
    return _mm256_castsi256_pd(_mm256_cvtepi32_epi64(which));
#else
    __m256i numbers = _mm256_loadu_si256((const void *)p);
    return _mm256_castsi256_ps(
        _mm256_cmpeq_epi32(_mm256_max_epu32(numbers, _mm256_set1_epi32((int)least)), numbers));
#endif
}

static inline void vtranspose(vec t[VEC]) {
    vec s[VEC];
#if !BPK_REAL_IS_DOUBLE
    for (int i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(t[i], t[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(t[i], t[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            t[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0x44);
            t[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0xee);
        }
    for (int j = 0; j < 4; j++) {
        s[j] = _mm256_permute2f128_ps(t[j], t[j + 4], 0x20);
        s[j + 4] = _mm256_permute2f128_ps(t[j], t[j + 4], 0x31);
    }
    for (int j = 0; j < 8; j++) t[j] = s[j];
#else
    for (int i = 0; i < 4; i += 2) {
        s[i] = _mm256_unpacklo_pd(t[i], t[i + 1]);
        s[i + 1] = _mm256_unpackhi_pd(t[i], t[i + 1]);
    }
    for (int j = 0; j < 2; j++) {
        t[j] = _mm256_permute2f128_pd(s[j], s[j + 2], 0x20);
        t[j + 2] = _mm256_permute2f128_pd(s[j], s[j + 2], 0x31);
    }
#endif
}

#endif
