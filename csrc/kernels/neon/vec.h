/* The SIMD vocabulary on NEON of aarch64: 4 floats or 2 doubles. ../avx512/vec.h explains each word. Defined
 * here. */
#ifndef BPK_VEC_H
#define BPK_VEC_H

#include <arm_neon.h>

#include "kernels/real.h"

#if BPK_REAL_IS_DOUBLE
typedef float64x2_t vec;
typedef uint64x2_t vmask; /* all ones or all zeros in each lane */
typedef int64_t lane_int;
#define VEC 2
#define VOP(name) name##_f64
#define VINT(name) name##_u64
#define VCAST vreinterpretq_f64_u64
#define VBITS vreinterpretq_u64_f64
#else
typedef float32x4_t vec;
typedef uint32x4_t vmask;
typedef int32_t lane_int;
#define VEC 4
#define VOP(name) name##_f32
#define VINT(name) name##_u32
#define VCAST vreinterpretq_f32_u32
#define VBITS vreinterpretq_u32_f32
#endif

typedef vec vacc; /* of `acc` */

/* A tile of 7 x 3 takes 21 accumulators, 3 vectors of the right matrix and 7 of the left one: 31 of the 32
 * registers. In update, 8 rows of the left matrix are 2 vectors, or 4 of doubles. All but the narrowest tiles
 * have 16 accumulators: four units that take four clocks need as many. */
#define TILE_VECS 3
#define TILE_ROWS_1 8
#define TILE_ROWS_2 8
#define TILE_ROWS_3 7
#define UPDATE_ROWS_3 8
#define TILE_ROWS_MAX 8
#define CONSTANT_TAILS
#define ADDRESS_PER_ROW
#define ONLINE BPK_NAME(online)
#define NARROW (VEC / 2)
#define DOT_SUMS 16
#define DOT_ROWS 16
#define DOT_DEPTH 2
#define PART_DEPTH 480
#define SWEEP_ROWS 8

static inline vec vzero(void) { return VOP(vdupq_n)(0); }
static inline vec vset1(real x) { return VOP(vdupq_n)(x); }
static inline vec vload(const stored *p) { return VOP(vld1q)(p); }
static inline void vstore(stored *p, vec v) { VOP(vst1q)(p, v); }

static const lane_int ONES_THEN_ZEROS[2 * VEC] = {
    -1,
    -1,
#if !BPK_REAL_IS_DOUBLE
    -1,
    -1,
#endif
};
static inline vmask vtail(ptrdiff_t n) { return VINT(vld1q)((const void *)(ONES_THEN_ZEROS + VEC - n)); }
static inline vmask vlane(int i) { return VINT(vbicq)(vtail(i + 1), vtail(i)); }

static ALWAYS_INLINE vec vload_first(const stored *p, ptrdiff_t n) {
    if (n == VEC) return vload(p);
    show_read(p, n, VEC);
    vec v = {p[0]};
#if !BPK_REAL_IS_DOUBLE
    if (n >= 2) v = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    if (n == 3) v = vld1q_lane_f32(p + 2, v, 2);
#endif
    return v;
}
static ALWAYS_INLINE void vstore_first(stored *p, ptrdiff_t n, vec v) {
    if (n == VEC) return vstore(p, v);
    show_write(p, n, VEC);
#if BPK_REAL_IS_DOUBLE
    vst1q_lane_f64(p, v, 0);
#else
    if (n == 1) return vst1q_lane_f32(p, v, 0);
    vst1_f32(p, vget_low_f32(v));
    if (n == 3) vst1q_lane_f32(p + 2, v, 2);
#endif
}

static inline vec vadd(vec a, vec b) { return VOP(vaddq)(a, b); }
static inline vec vsub(vec a, vec b) { return VOP(vsubq)(a, b); }
static inline vec vmul(vec a, vec b) { return VOP(vmulq)(a, b); }
static inline vec vdiv(vec a, vec b) { return VOP(vdivq)(a, b); }
static inline vec vsqrt(vec a) { return VOP(vsqrtq)(a); }
static inline vec vfma(vec a, vec b, vec c) { return VOP(vfmaq)(c, a, b); }
static inline vec vfnma(vec a, vec b, vec c) { return VOP(vfmsq)(c, a, b); }

static inline vec vabs(vec a) { return VOP(vabsq)(a); }
static inline vec vneg(vec a) { return VOP(vnegq)(a); }
static inline vec vcopysign(vec magnitude, vec sign) {
    return VOP(vbslq)(VBITS(vset1(-(real)0)), sign, magnitude);
}

#define FUSED 1
static inline vec vrest(vec a, vec b, vec product) { return vfma(a, b, vneg(product)); }

/* The number of a lane is part of an instruction, and so a literal. */
#define LEFTS VEC
typedef vec vleft;
static inline vleft vload_left(const stored *p) { return vload(p); }
static ALWAYS_INLINE vec vfma_left(vleft a, int i, vec b, vec c) {
    switch (i) {
        case 0: return VOP(vfmaq_laneq)(c, b, a, 0);
        case 1: return VOP(vfmaq_laneq)(c, b, a, 1);
#if !BPK_REAL_IS_DOUBLE
        case 2: return VOP(vfmaq_laneq)(c, b, a, 2);
        case 3: return VOP(vfmaq_laneq)(c, b, a, 3);
#endif
    }
    __builtin_unreachable();
}

static inline vmask vgt(vec a, vec b) { return VOP(vcgtq)(a, b); }
static inline vmask vlt(vec a, vec b) { return VOP(vcltq)(a, b); }
static inline vmask veq(vec a, vec b) { return VOP(vceqq)(a, b); }
static inline vmask vle(vec a, vec b) { return VOP(vcleq)(a, b); }
static inline vec vselect(vmask m, vec yes, vec no) { return VOP(vbslq)(m, yes, no); }
static inline int vall(vmask m) { return vminvq_u32((uint32x4_t)m) != 0; }
static inline int vfirst(vmask m) {
#if BPK_REAL_IS_DOUBLE
    uint64_t quarters = vget_lane_u64(vreinterpret_u64_u32(vmovn_u64(m)), 0);
    return quarters ? __builtin_ctzll(quarters) / 32 : VEC;
#else
    uint64_t quarters = vget_lane_u64(vreinterpret_u64_u16(vmovn_u32(m)), 0);
    return quarters ? __builtin_ctzll(quarters) / 16 : VEC;
#endif
}

/* NEON's own maximum is NaN if either operand is. */
static inline vec vmax(vec a, vec b) { return vselect(vgt(a, b), a, b); }
static inline vec vmin(vec a, vec b) { return vselect(vlt(a, b), a, b); }

static inline vec vround(vec a) { return VOP(vrndnq)(a); }

/* exponent(n) is 2^n. 2^n is multiplied in two factors, because n may exceed the range of one exponent. */
#if BPK_REAL_IS_DOUBLE
static inline vec exponent(int64x2_t n) {
    return vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(n, vdupq_n_s64(1023)), 52));
}
static inline vec vscale(vec a, vec n) {
    int64x2_t whole = vcvtq_s64_f64(n), half = vshrq_n_s64(whole, 1);
    return vmul(vmul(a, exponent(half)), exponent(vsubq_s64(whole, half)));
}
static inline vec vpower(vec n) { return exponent(vcvtq_s64_f64(n)); }
static inline real vsum(vec a) { return vaddvq_f64(a); }
#else
static inline vec exponent(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
static inline vec vscale(vec a, vec n) {
    int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return vmul(vmul(a, exponent(half)), exponent(vsubq_s32(whole, half)));
}
static inline vec vpower(vec n) { return exponent(vcvtq_s32_f32(n)); }
static inline real vsum(vec a) { return vaddv_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a))); }
#endif
static inline real vmaximum(vec a) {
    real most = a[0];
    for (int i = 1; i < VEC; i++)
        if (a[i] > most) most = a[i];
    return most;
}

#if !BPK_REAL_IS_DOUBLE
static inline vec vload_lower(const bfloat16_pair *p) { return VCAST(vshlq_n_u32(vld1q_u32(p), 16)); }
static inline vec vload_upper(const bfloat16_pair *p) {
    return VCAST(vandq_u32(vld1q_u32(p), vdupq_n_u32(UPPER_ELEMENT)));
}
static inline vec vload_upper_in_tile(const bfloat16_pair *p) { return vload_upper(p); }
#endif

typedef uint64x2_t wide;
enum { WIDE = 2 };
static inline wide wset1(uint32_t x) { return vdupq_n_u64(x); }
static inline wide wevens(uint32_t x) { return vcombine_u64(vcreate_u64(x), vcreate_u64((uint64_t)x + 2)); }
static inline wide wmul(wide a, wide b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
static inline wide whigh(wide a) { return vshrq_n_u64(a, 32); }
static inline wide wxor(wide a, wide b) { return veorq_u64(a, b); }
static inline void wstore_pairs(uint32_t *p, wide even, wide odd) {
    vst1q_u32(p, vtrn1q_u32(vreinterpretq_u32_u64(even), vreinterpretq_u32_u64(odd)));
}

static inline vmask vnot_below(const uint32_t *p, uint32_t least) {
#if BPK_REAL_IS_DOUBLE
    return vcgeq_u64(vmovl_u32(vld1_u32(p)), vdupq_n_u64(least));
#else
    return vcgeq_u32(vld1q_u32(p), vdupq_n_u32(least));
#endif
}

static inline void vtranspose(vec t[VEC]) {
#if BPK_REAL_IS_DOUBLE
    vec first = vtrn1q_f64(t[0], t[1]);
    t[1] = vtrn2q_f64(t[0], t[1]);
    t[0] = first;
#else
#define PAIRS vreinterpretq_f64_f32
    float64x2_t a = PAIRS(vtrn1q_f32(t[0], t[1])), b = PAIRS(vtrn2q_f32(t[0], t[1]));
    float64x2_t c = PAIRS(vtrn1q_f32(t[2], t[3])), d = PAIRS(vtrn2q_f32(t[2], t[3]));
#undef PAIRS
    t[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    t[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    t[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    t[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
#endif
}

static ALWAYS_INLINE vec vsum_four(const vec p[4], ptrdiff_t n) {
    (void)n;
#if BPK_REAL_IS_DOUBLE
    return vpaddq_f64(p[0], p[1]);
#else
    vec t[VEC] = {p[0], p[1], p[2], p[3]};
    vtranspose(t);
    return vadd(vadd(t[0], t[2]), vadd(t[1], t[3]));
#endif
}

#endif
