/*
 * lanes_neon.h - a vector of 8 floats in two registers: Advanced SIMD of 64-bit ARM behind the names of lanes_avx2.h, where
 * they are explained. Two registers, because one load then brings eight 16-bit weights, and one token with eight rows has
 * sixteen sums, as many as four pipes of four cycles have under way.
 *
 * Integers are in lanes_neon_int.h.
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

#include "kernels/lanes_neon_int.h"

#endif
