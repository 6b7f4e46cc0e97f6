/*
 * lanes_neon.h - a vector of 8 floats in two registers: Advanced SIMD of 64-bit ARM behind the names of lanes_avx2.h, where
 * they are explained. Two registers, because one load then brings eight 16-bit weights, and one token with eight rows has
 * sixteen sums, as many as four pipes of four cycles have under way.
 *
 * What is compiled with +dotprod or +i8mm has other products of integers, at the end of this file; all else is the same.
 */
#ifndef PP_KERNELS_LANES_NEON_H
#define PP_KERNELS_LANES_NEON_H

#include <arm_neon.h>

#include "kernels/lanes.h"

/* ---- four floats ---- */

typedef float32x4_t quad;

INLINE quad quad_zero(void) { return vdupq_n_f32(0); }
INLINE quad quad_load(const float *p) { return vld1q_f32(p); }
INLINE void quad_store(float *p, quad a) { vst1q_f32(p, a); }
INLINE quad quad_add(quad a, quad b) { return vaddq_f32(a, b); }

INLINE quad quad_load_n(const float *p, int n)
{
    if (n >= 4) return vld1q_f32(p);
    const float32x2_t none = vdup_n_f32(0), one = n & 1 ? vld1_lane_f32(p + (n & 2), none, 0) : none;
    return n & 2 ? vcombine_f32(vld1_f32(p), one) : vcombine_f32(one, none);
}

INLINE void quad_store_n(float *p, quad v, int n)
{
    if (n >= 4) {
        vst1q_f32(p, v);
        return;
    }
    if (n & 2) vst1_f32(p, vget_low_f32(v));
    if (n == 3) vst1q_lane_f32(p + 2, v, 2);
    if (n == 1) vst1q_lane_f32(p, v, 0);
}

INLINE void quad_transpose(quad row[4])
{
    const float32x4x2_t ab = vtrnq_f32(row[0], row[1]), cd = vtrnq_f32(row[2], row[3]);
    row[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    row[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    row[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    row[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

/* b where either is NaN, and where they are equal: the instructions of that name give NaN, so compare and choose. */
INLINE quad quad_min(quad a, quad b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE quad quad_max(quad a, quad b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

/* ---- eight ---- */

typedef struct vec {
    quad lo, hi;
} vec;

enum { LANES = 8, TILE_TOKENS = 3, TILE_HEADS = 2, TILE_ROWS = 6 }; /* for 32 registers of half a vector */
#define TILE_SIZES(X) X(1) X(2) X(3)
#define HEAD_SIZES(X) X(1) X(2)

INLINE vec v_set1(float a) { return (vec){vdupq_n_f32(a), vdupq_n_f32(a)}; }
INLINE vec v_zero(void) { return v_set1(0); }
INLINE float v_first(vec a) { return vgetq_lane_f32(a.lo, 0); }
INLINE vec v_add(vec a, vec b) { return (vec){vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi)}; }
INLINE vec v_sub(vec a, vec b) { return (vec){vsubq_f32(a.lo, b.lo), vsubq_f32(a.hi, b.hi)}; }
INLINE vec v_mul(vec a, vec b) { return (vec){vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)}; }
INLINE vec v_div(vec a, vec b) { return (vec){vdivq_f32(a.lo, b.lo), vdivq_f32(a.hi, b.hi)}; }
INLINE vec v_sqrt(vec a) { return (vec){vsqrtq_f32(a.lo), vsqrtq_f32(a.hi)}; }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec){vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)}; }
INLINE vec v_min(vec a, vec b) { return (vec){quad_min(a.lo, b.lo), quad_min(a.hi, b.hi)}; }
INLINE vec v_max(vec a, vec b) { return (vec){quad_max(a.lo, b.lo), quad_max(a.hi, b.hi)}; }
INLINE vec v_round(vec a) { return (vec){vrndnq_f32(a.lo), vrndnq_f32(a.hi)}; }
INLINE vec v_abs(vec a) { return (vec){vabsq_f32(a.lo), vabsq_f32(a.hi)}; }

INLINE quad quad_and(quad a, uint32x4_t mask)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), mask));
}

INLINE vec v_nan_to_zero(vec a)
{
    return (vec){quad_and(a.lo, vceqq_f32(a.lo, a.lo)), quad_and(a.hi, vceqq_f32(a.hi, a.hi))};
}

INLINE quad quad_zero_below(quad a, quad x, quad least)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, least)));
}

INLINE vec v_zero_below(vec a, vec x, vec least)
{
    return (vec){quad_zero_below(a.lo, x.lo, least.lo), quad_zero_below(a.hi, x.hi, least.hi)};
}

INLINE quad quad_power_of_two(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

INLINE quad quad_ldexp(quad a, quad n)
{
    const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return vmulq_f32(vmulq_f32(a, quad_power_of_two(half)), quad_power_of_two(vsubq_s32(whole, half)));
}

INLINE vec v_ldexp(vec a, vec n) { return (vec){quad_ldexp(a.lo, n.lo), quad_ldexp(a.hi, n.hi)}; }

INLINE vec v_swap_pairs(vec a) { return (vec){vrev64q_f32(a.lo), vrev64q_f32(a.hi)}; }
INLINE vec v_dup(vec a) { return (vec){vzip1q_f32(a.lo, a.lo), vzip2q_f32(a.lo, a.lo)}; }

INLINE quad quad_flip(quad a, uint32x4_t sign)
{
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), sign));
}

INLINE vec v_negate_even(vec a)
{
    const uint32x4_t even = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000));
    return (vec){quad_flip(a.lo, even), quad_flip(a.hi, even)};
}

INLINE vec v_load(const float *p) { return (vec){vld1q_f32(p), vld1q_f32(p + 4)}; }

INLINE vec v_load_n(const float *p, int n)
{
    if (n > 4) return (vec){vld1q_f32(p), quad_load_n(p + 4, n - 4)};
    return (vec){quad_load_n(p, n), quad_zero()};
}

INLINE void v_store(float *p, vec a)
{
    vst1q_f32(p, a.lo);
    vst1q_f32(p + 4, a.hi);
}

INLINE void v_store_n(float *p, vec a, int n)
{
    quad_store_n(p, a.lo, n);
    if (n > 4) quad_store_n(p + 4, a.hi, n - 4);
}

/* ---- other types; loads of them need no more alignment than a byte has ---- */

INLINE vec widen_f16(uint8x16_t b)
{
    const float16x8_t h = vreinterpretq_f16_u8(b);
    return (vec){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}

INLINE vec widen_bf16(uint8x16_t b)
{
    const uint16x8_t h = vreinterpretq_u16_u8(b);
    return (vec){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)),
                 vreinterpretq_f32_u32(vshll_high_n_u16(h, 16))};
}

INLINE vec widen_i8(int8x8_t b)
{
    const int16x8_t h = vmovl_s8(b);
    return (vec){vcvtq_f32_s32(vmovl_s16(vget_low_s16(h))), vcvtq_f32_s32(vmovl_high_s16(h))};
}

/* n <= 16 bytes, then zeros. */
INLINE uint8x16_t load_bytes(const void *data, size_t n)
{
    const uint8_t *p = data;
    if (n >= 16) return vld1q_u8(p);
    if (n < 8) return vcombine_u8(vcreate_u8(load_few(p, n)), vdup_n_u8(0));
    return vcombine_u8(vld1_u8(p), vcreate_u8(load_few(p + 8, n - 8)));
}

INLINE vec v_load_f16(const uint16_t *p) { return widen_f16(vld1q_u8((const uint8_t *)p)); }
INLINE vec v_load_f16_n(const uint16_t *p, int n) { return widen_f16(load_bytes(p, 2 * (size_t)n)); }
INLINE vec v_load_bf16(const uint16_t *p) { return widen_bf16(vld1q_u8((const uint8_t *)p)); }
INLINE vec v_load_bf16_n(const uint16_t *p, int n) { return widen_bf16(load_bytes(p, 2 * (size_t)n)); }
INLINE vec v_load_i8(const int8_t *p) { return widen_i8(vld1_s8(p)); }
INLINE vec v_load_i8_n(const int8_t *p, int n)
{
    return widen_i8(vreinterpret_s8_u8(vget_low_u8(load_bytes(p, (size_t)n))));
}

INLINE void v_store_i8(int8_t *p, vec a)
{
    const int16x4_t lo = vqmovn_s32(vcvtnq_s32_f32(a.lo)), hi = vqmovn_s32(vcvtnq_s32_f32(a.hi));
    vst1_s8(p, vqmovn_s16(vcombine_s16(lo, hi)));
}

INLINE void v_store_i8_n(int8_t *p, vec a, int n)
{
    int8_t b[LANES];
    v_store_i8(b, a);
    for (int i = 0; i < n; i++) p[i] = b[i];
}

/* As pp_f32_to_bf16, in the low half of each lane. */
INLINE uint32x4_t quad_to_bf16(quad a)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(a), high = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(a, a), vshrq_n_u32(rounded, 16), vorrq_u32(high, vdupq_n_u32(0x40)));
}

INLINE void v_store_bf16(uint16_t *p, vec a)
{
    vst1q_u16(p, vcombine_u16(vmovn_u32(quad_to_bf16(a.lo)), vmovn_u32(quad_to_bf16(a.hi))));
}

INLINE void v_store_bf16_n(uint16_t *p, vec a, int n)
{
    uint16_t h[LANES];
    v_store_bf16(h, a);
    for (int i = 0; i < n; i++) p[i] = h[i];
}

/* ---- across lanes ---- */

INLINE vec v_load_fours(const float *p) { return (vec){vld1q_f32(p), vld1q_f32(p)}; }
INLINE void v_store_fours(float *p, size_t stride, vec a)
{
    vst1q_f32(p, a.lo);
    vst1q_f32(p + stride, a.hi);
}

/* As in lanes_avx2.h, but x0 .. x3 add as (x0 + x1) + (x2 + x3). */
INLINE vec v_sum_fours(vec a, vec b, vec c, vec d)
{
    return (vec){vpaddq_f32(vpaddq_f32(a.lo, b.lo), vpaddq_f32(c.lo, d.lo)),
                 vpaddq_f32(vpaddq_f32(a.hi, b.hi), vpaddq_f32(c.hi, d.hi))};
}

/* The sums of four vectors: each low half + high half, then the pairs of that, then the pairs of those. */
INLINE quad v_sum4(vec a, vec b, vec c, vec d)
{
    const quad ab = vpaddq_f32(vaddq_f32(a.lo, a.hi), vaddq_f32(b.lo, b.hi));
    const quad cd = vpaddq_f32(vaddq_f32(c.lo, c.hi), vaddq_f32(d.lo, d.hi));
    return vpaddq_f32(ab, cd);
}

INLINE float v_sum(vec a) { return vgetq_lane_f32(v_sum4(a, a, a, a), 0); }

INLINE vec v_max_across(vec a)
{
    quad most = quad_max(a.lo, a.hi);
    most = quad_max(most, vextq_f32(most, most, 2));
    most = quad_max(most, vrev64q_f32(most));
    return (vec){most, most};
}

/* ---- integers: see lanes_avx2.h ---- */

typedef struct ivec {
    int32x4_t lo, hi;
} ivec;

INLINE ivec i_set1(int a) { return (ivec){vdupq_n_s32(a), vdupq_n_s32(a)}; }
INLINE ivec i_and(ivec a, ivec b) { return (ivec){vandq_s32(a.lo, b.lo), vandq_s32(a.hi, b.hi)}; }
INLINE ivec i_or(ivec a, ivec b) { return (ivec){vorrq_s32(a.lo, b.lo), vorrq_s32(a.hi, b.hi)}; }
INLINE ivec i_add(ivec a, ivec b) { return (ivec){vaddq_s32(a.lo, b.lo), vaddq_s32(a.hi, b.hi)}; }
INLINE ivec i_sub(ivec a, ivec b) { return (ivec){vsubq_s32(a.lo, b.lo), vsubq_s32(a.hi, b.hi)}; }
INLINE vec i_to_float(ivec a) { return (vec){vcvtq_f32_s32(a.lo), vcvtq_f32_s32(a.hi)}; }
INLINE int32_t i_sum(ivec a) { return vaddvq_s32(vaddq_s32(a.lo, a.hi)); }

INLINE uint8x16_t u8_of(int32x4_t a) { return vreinterpretq_u8_s32(a); }
INLINE int8x16_t s8_of(int32x4_t a) { return vreinterpretq_s8_s32(a); }
INLINE int32x4_t load_codes(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }

INLINE ivec i_load(const void *p) { return (ivec){load_codes(p), load_codes((const char *)p + 16)}; }

INLINE void i_store(void *p, ivec a)
{
    vst1q_u8(p, u8_of(a.lo));
    vst1q_u8((uint8_t *)p + 16, u8_of(a.hi));
}

/* By the operator: the intrinsic wants a constant also where nothing is optimised. */
INLINE int32x4_t shift_codes(int32x4_t a, int n) { return vreinterpretq_s32_u8(u8_of(a) >> (uint8_t)n); }
INLINE ivec i_shift_right(ivec a, int n) { return (ivec){shift_codes(a.lo, n), shift_codes(a.hi, n)}; }
INLINE int32x4_t shift_codes_left(int32x4_t a, int n) { return vreinterpretq_s32_u8(u8_of(a) << (uint8_t)n); }
INLINE ivec i_shift_left(ivec a, int n) { return (ivec){shift_codes_left(a.lo, n), shift_codes_left(a.hi, n)}; }
INLINE ivec i_times(ivec a, int n) { return (ivec){vmulq_n_s32(a.lo, n), vmulq_n_s32(a.hi, n)}; }

INLINE ivec i_broadcast4(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return i_set1(four);
}

#if defined(__ARM_FEATURE_MATMUL_INT8) || defined(__ARM_FEATURE_DOTPROD)
/* A sum is int32 from the start; for one token there are two sets of them. */
typedef ivec isum;
#define LOW_STEPS(bits) (1 << 20)
enum { LOW_TOKENS = 2, LOW_PANEL_BITS = 8, PROBE_SUMS = 12 };
#define LOW_SETS(n_x)        ((n_x) == 1 ? 2 : 1)
#define LOW_SIZES            LOW_SIZES_2
#define LOW_PANEL_TOKENS     6
#define BLOCK_SIZES(X)       X(2) X(1)
#define BLOCK_PANEL_SIZES(X) X(6) X(4) X(2) X(1)
#define LOW_PANEL_SIZES      LOW_SIZES_6

INLINE isum i_nothing(void) { return i_set1(0); }

INLINE isum i_unknown(void)
{
    isum a = i_nothing();
    __asm__ volatile("" : "+w"(a.lo), "+w"(a.hi));
    return a;
}

INLINE ivec i_widen(isum acc) { return acc; }
INLINE ivec i_widen8(isum acc) { return acc; }

#ifdef __ARM_FEATURE_MATMUL_INT8
/*
 * Products of unsigned with signed bytes. For a panel of matrices codes are put together from two steps, and tokens in pairs:
 * counted in instructions that pays from four tokens on; for two, the putting together costs what the matrices save.
 */
#define LOW_MATRIX
enum { LOW_PANEL_FROM = 4, DOT8_ZERO = 128 };

INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    return (isum){vusdotq_s32(acc.lo, u8_of(u.lo), s8_of(x.lo)), vusdotq_s32(acc.hi, u8_of(u.hi), s8_of(x.hi))};
}

INLINE isum i_dot8(isum acc, ivec u, ivec x) { return i_dot(acc, u, x); }

/* Twice as many products: 2 rows of 8 with 2 of 8, in each half. */
INLINE isum i_dot_matrix(isum acc, ivec u, ivec x)
{
    return (isum){vusmmlaq_s32(acc.lo, u8_of(u.lo), s8_of(x.lo)), vusmmlaq_s32(acc.hi, u8_of(u.hi), s8_of(x.hi))};
}
#else
enum { LOW_PANEL_FROM = 5, DOT8_ZERO = 0 };

INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    return (isum){vdotq_s32(acc.lo, s8_of(u.lo), s8_of(x.lo)), vdotq_s32(acc.hi, s8_of(u.hi), s8_of(x.hi))};
}

INLINE int32x4_t less_128(int32x4_t u) { return veorq_s32(u, vdupq_n_s32((int)0x80808080u)); }

INLINE isum i_dot8(isum acc, ivec u, ivec x) { return i_dot(acc, (ivec){less_128(u.lo), less_128(u.hi)}, x); }
#endif
#else
/*
 * A sum is four int16 for each row, one a column, so that a product costs a multiply-add and no addition to another: each
 * holds as many as the largest, 127 times the largest code, go into int16, in whole blocks. For codes of eight bits it is two int32 a row.
 */
typedef struct isum {
    int16x8_t rows[4]; /* 2 rows each */
} isum;

#define LOW_STEPS(bits)      ((bits) == 8 ? 16 : 32767 / (127 * ((1 << (bits)) - 1)) / 4 * 4)
enum { LOW_TOKENS = 1, LOW_PANEL_BITS = 4, LOW_PANEL_FROM = 3, PROBE_SUMS = 6, DOT8_ZERO = 0 };
#define LOW_SIZES            LOW_SIZES_1
#define LOW_PANEL_TOKENS     3
#define BLOCK_SIZES(X)       X(1)
#define BLOCK_PANEL_SIZES(X) X(3) X(1)
#define LOW_PANEL_SIZES      LOW_SIZES_3

INLINE isum i_nothing(void)
{
    const int16x8_t zero = vdupq_n_s16(0);
    return (isum){{zero, zero, zero, zero}};
}

INLINE isum i_unknown(void)
{
    isum a = i_nothing();
    __asm__ volatile("" : "+w"(a.rows[0]), "+w"(a.rows[1]), "+w"(a.rows[2]), "+w"(a.rows[3]));
    return a;
}

INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    const int8x16_t u0 = s8_of(u.lo), u1 = s8_of(u.hi), x0 = s8_of(x.lo), x1 = s8_of(x.hi);
    acc.rows[0] = vmlal_s8(acc.rows[0], vget_low_s8(u0), vget_low_s8(x0));
    acc.rows[1] = vmlal_high_s8(acc.rows[1], u0, x0);
    acc.rows[2] = vmlal_s8(acc.rows[2], vget_low_s8(u1), vget_low_s8(x1));
    acc.rows[3] = vmlal_high_s8(acc.rows[3], u1, x1);
    return acc;
}

INLINE int32x4_t sums_of_rows(int16x8_t a, int16x8_t b) { return vpaddq_s32(vpaddlq_s16(a), vpaddlq_s16(b)); }

INLINE ivec i_widen(isum acc)
{
    return (ivec){sums_of_rows(acc.rows[0], acc.rows[1]), sums_of_rows(acc.rows[2], acc.rows[3])};
}

/* 128 is taken off the codes; what a code is off is then 0. */
INLINE int16x8_t add_pairs(int16x8_t acc, int16x8_t products)
{
    return vreinterpretq_s16_s32(vpadalq_s16(vreinterpretq_s32_s16(acc), products));
}

INLINE isum i_dot8(isum acc, ivec u, ivec x)
{
    const int8x16_t off = vdupq_n_s8(-128), x0 = s8_of(x.lo), x1 = s8_of(x.hi);
    const int8x16_t u0 = veorq_s8(s8_of(u.lo), off), u1 = veorq_s8(s8_of(u.hi), off);
    acc.rows[0] = add_pairs(acc.rows[0], vmull_s8(vget_low_s8(u0), vget_low_s8(x0)));
    acc.rows[1] = add_pairs(acc.rows[1], vmull_high_s8(u0, x0));
    acc.rows[2] = add_pairs(acc.rows[2], vmull_s8(vget_low_s8(u1), vget_low_s8(x1)));
    acc.rows[3] = add_pairs(acc.rows[3], vmull_high_s8(u1, x1));
    return acc;
}

INLINE int32x4_t sums8_of_rows(int16x8_t a, int16x8_t b)
{
    return vpaddq_s32(vreinterpretq_s32_s16(a), vreinterpretq_s32_s16(b));
}

INLINE ivec i_widen8(isum acc)
{
    return (ivec){sums8_of_rows(acc.rows[0], acc.rows[1]), sums8_of_rows(acc.rows[2], acc.rows[3])};
}
#endif

/* ---- packed block types: see blocks.h ---- */

INLINE isum i_first(ivec u, ivec x) { return i_dot(i_nothing(), u, x); }

INLINE ivec i_pairs(const uint8_t *p, int kind)
{
    const uint8x16_t bytes = vld1q_u8(p);
    if (kind == PAIRS_SIGNED) {
        const int8x16_t b = vreinterpretq_s8_u8(bytes);
        return (ivec){vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(b))), vreinterpretq_s32_s16(vmovl_high_s8(b))};
    }
    const uint8x16_t b = kind == PAIRS_LOW    ? vandq_u8(bytes, vdupq_n_u8(15))
                         : kind == PAIRS_HIGH ? vshrq_n_u8(bytes, 4)
                                              : bytes;
    return (ivec){vreinterpretq_s32_u16(vmovl_u8(vget_low_u8(b))), vreinterpretq_s32_u16(vmovl_high_u8(b))};
}

INLINE int32x4_t quad_scale(int32x4_t pairs, int which)
{
    return vshrq_n_s32(which ? pairs : vshlq_n_s32(pairs, 16), 16);
}

INLINE ivec i_scale(ivec pairs, int which) { return (ivec){quad_scale(pairs.lo, which), quad_scale(pairs.hi, which)}; }

INLINE ivec i_add_scaled(ivec total, isum acc, ivec scale)
{
    const ivec dot = i_widen(acc);
    return (ivec){vmlaq_s32(total.lo, dot.lo, scale.lo), vmlaq_s32(total.hi, dot.hi, scale.hi)};
}

INLINE ivec i_add_pairs(ivec total, ivec pairs, const int16_t *sums)
{
    for (int which = 0; which < 2; which++) {
        const ivec one = i_scale(pairs, which);
        total.lo = vmlaq_n_s32(total.lo, one.lo, sums[which]);
        total.hi = vmlaq_n_s32(total.hi, one.hi, sums[which]);
    }
    return total;
}

#endif
