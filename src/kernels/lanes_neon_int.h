/*
 * lanes_neon_int.h - the integers of lanes_neon.h: eight int32, or four codes of each of eight rows. What is compiled with
 * +dotprod or +i8mm has other products of codes; all else is the same.
 */
#ifndef PP_KERNELS_LANES_NEON_INT_H
#define PP_KERNELS_LANES_NEON_INT_H

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

INLINE isum i_first(ivec u, ivec x) { return i_dot(i_nothing(), u, x); }

/* ---- int16, for attention over int8: see lanes_avx2.h ---- */

typedef int8x8_t vec_i8;

INLINE vec_i8 i8_load(const int8_t *p, int n)
{
    return n == LANES ? vld1_s8(p) : vreinterpret_s8_u8(vget_low_u8(load_bytes(p, (size_t)n)));
}

INLINE void i8_store_eights(int16_t *p, size_t stride, vec_i8 a)
{
    (void)stride;
    vst1q_s16(p, vmovl_s8(a));
}

/* Not pair by pair: four elements of a, then the same of b. */
INLINE ivec i8_pair(vec_i8 a, vec_i8 b)
{
    const int64x2_t wide_a = vreinterpretq_s64_s16(vmovl_s8(a)), wide_b = vreinterpretq_s64_s16(vmovl_s8(b));
    return (ivec){vreinterpretq_s32_s64(vzip1q_s64(wide_a, wide_b)), vreinterpretq_s32_s64(vzip2q_s64(wide_a, wide_b))};
}

INLINE ivec i_twos(const int16_t *p)
{
    const int32x4_t both = vreinterpretq_s32_s16(vcombine_s16(vld1_dup_s16(p), vld1_dup_s16(p + 1)));
    return (ivec){both, both};
}

INLINE ivec i_eights(const int16_t *p)
{
    const int32x4_t eight = vreinterpretq_s32_s16(vld1q_s16(p));
    return (ivec){eight, eight};
}

INLINE int32x4_t quad_dot16(int32x4_t acc, int32x4_t a, int32x4_t b)
{
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(x), vget_low_s16(y)), x, y);
}

INLINE ivec i_dot16(ivec acc, ivec a, ivec b)
{
    return (ivec){quad_dot16(acc.lo, a.lo, b.lo), quad_dot16(acc.hi, a.hi, b.hi)};
}

INLINE ivec i_sum_fours(ivec a, ivec b, ivec c, ivec d)
{
    return (ivec){vpaddq_s32(vpaddq_s32(a.lo, b.lo), vpaddq_s32(c.lo, d.lo)),
                  vpaddq_s32(vpaddq_s32(a.hi, b.hi), vpaddq_s32(c.hi, d.hi))};
}

INLINE void v_store_i16(int16_t *p, vec a)
{
    vst1q_s16(p, vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a.lo)), vqmovn_s32(vcvtnq_s32_f32(a.hi))));
}

/* ---- packed block types: see blocks.h ---- */

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
