/*
 * lanes_avx512.h - a vector of 16 floats: AVX-512 F, BW, DQ and VL behind the names of lanes_avx2.h, where they are
 * explained.
 */
#include "kernels/lanes_x86.h"

typedef __m512 vec;

enum { LANES = 16, TILE_TOKENS = 6, TILE_HEADS = 4, TILE_ROWS = 14 }; /* for 32 registers */
#define TILE_SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define HEAD_SIZES(X) X(1) X(2) X(3) X(4)

INLINE __mmask16 mask_n(int n) { return (__mmask16)((1u << n) - 1); }

INLINE vec v_set1(float a) { return _mm512_set1_ps(a); }
INLINE vec v_zero(void) { return _mm512_setzero_ps(); }
INLINE float v_first(vec a) { return _mm512_cvtss_f32(a); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec v_round(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec v_abs(vec a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
INLINE vec v_nan_to_zero(vec a) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a); }
INLINE vec v_zero_below(vec a, vec x, vec least)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), a);
}

INLINE vec v_ldexp(vec a, vec n) { return _mm512_scalef_ps(a, n); }

INLINE vec v_swap_pairs(vec a) { return _mm512_permute_ps(a, 0xb1); }

INLINE vec v_dup(vec a)
{
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), a);
}

INLINE vec v_negate_even(vec a) { return _mm512_xor_ps(a, _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000))); }

INLINE vec v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE vec v_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(mask_n(n), p); }
INLINE void v_store(float *p, vec a) { _mm512_storeu_ps(p, a); }
INLINE void v_store_n(float *p, vec a, int n) { _mm512_mask_storeu_ps(p, mask_n(n), a); }

INLINE vec widen_f16(__m256i h) { return _mm512_cvtph_ps(h); }
INLINE vec widen_bf16(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }

INLINE vec v_load_f16(const uint16_t *p) { return widen_f16(_mm256_loadu_si256((const __m256i *)p)); }
INLINE vec v_load_f16_n(const uint16_t *p, int n) { return widen_f16(_mm256_maskz_loadu_epi16(mask_n(n), p)); }
INLINE vec v_load_bf16(const uint16_t *p) { return widen_bf16(_mm256_loadu_si256((const __m256i *)p)); }
INLINE vec v_load_bf16_n(const uint16_t *p, int n) { return widen_bf16(_mm256_maskz_loadu_epi16(mask_n(n), p)); }

INLINE void v_store_i8_n(int8_t *p, vec a, int n)
{
    _mm_mask_storeu_epi8(p, mask_n(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}

INLINE void v_store_i8(int8_t *p, vec a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}

INLINE void v_store_bf16_n(uint16_t *p, vec a, int n)
{
    __m512i bits = _mm512_castps_si512(a), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i h = _mm512_srli_epi32(rounded, 16);
    h = _mm512_mask_or_epi32(h, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), high, _mm512_set1_epi32(0x40));
    _mm256_mask_storeu_epi16(p, mask_n(n), _mm512_cvtepi32_epi16(h));
}

INLINE void v_store_bf16(uint16_t *p, vec a) { v_store_bf16_n(p, a, LANES); }

INLINE vec v_load_fours(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
INLINE void v_store_fours(float *p, size_t stride, vec a)
{
    _mm_storeu_ps(p, _mm512_castps512_ps128(a));
    _mm_storeu_ps(p + stride, _mm512_extractf32x4_ps(a, 1));
    _mm_storeu_ps(p + 2 * stride, _mm512_extractf32x4_ps(a, 2));
    _mm_storeu_ps(p + 3 * stride, _mm512_extractf32x4_ps(a, 3));
}

INLINE vec v_sum_fours(vec a, vec b, vec c, vec d)
{
    vec ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    vec cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
}

/* As in lanes_avx2.h; the four 128-bit parts add as (0 + 2) + (1 + 3). */
INLINE quad v_sum4(vec a, vec b, vec c, vec d)
{
    const vec s = v_sum_fours(a, b, c, d);
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

INLINE float v_sum(vec a) { return _mm_cvtss_f32(v_sum4(a, a, a, a)); }

INLINE vec v_max_across(vec a)
{
    a = v_max(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    a = v_max(a, _mm512_shuffle_f32x4(a, a, 0xb1));
    a = v_max(a, _mm512_permute_ps(a, 0x4e));
    return v_max(a, _mm512_permute_ps(a, 0xb1));
}

/* ---- integers: see lanes_avx2.h ---- */

typedef __m512i ivec;
typedef ivec isum;

INLINE ivec i_set1(int a) { return _mm512_set1_epi32(a); }
INLINE isum i_nothing(void) { return _mm512_setzero_si512(); }
INLINE isum i_unknown(void) { return i_nothing(); }
INLINE ivec i_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE ivec i_and(ivec a, ivec b) { return _mm512_and_si512(a, b); }
INLINE ivec i_or(ivec a, ivec b) { return _mm512_or_si512(a, b); }
INLINE ivec i_add(ivec a, ivec b) { return _mm512_add_epi32(a, b); }
INLINE ivec i_sub(ivec a, ivec b) { return _mm512_sub_epi32(a, b); }
#ifdef __clang__
typedef unsigned shift_count;
#else
typedef int shift_count;
#endif
INLINE ivec i_shift_right(ivec a, int n) { return _mm512_srli_epi16(a, (shift_count)n); }
INLINE ivec i_shift_left(ivec a, int n) { return _mm512_slli_epi16(a, (shift_count)n); }
INLINE ivec i_times(ivec a, int n) { return _mm512_mullo_epi32(a, i_set1(n)); }
INLINE vec i_to_float(ivec a) { return _mm512_cvtepi32_ps(a); }
INLINE int32_t i_sum(ivec a) { return _mm512_reduce_add_epi32(a); }

INLINE ivec i_broadcast4(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

INLINE void i_store(void *p, ivec a) { _mm512_storeu_si512(p, a); }

enum { LOW_TOKENS = 8, PROBE_SUMS = 12 };
#define LOW_SIZES            LOW_SIZES_8
#define BLOCK_SIZES(X)       X(8) X(4) X(2) X(1)
#define BLOCK_PANEL_SIZES(X) X(5) X(3) X(1)
#ifdef __AVX512VNNI__
/* An accumulator is int32 from the start, and an instruction takes four or five cycles: several of them for few tokens. */
#define LOW_STEPS(bits)  (PP_LOW_SPAN / 4)
#define LOW_SETS(n_x)    ((n_x) == 1 ? 4 : (n_x) <= 4 ? 2 : 1)
#define LOW_IN_PLACE     true
#define LOW_DOWN(a, n)   _mm512_srai_epi32(a, (unsigned)(n))
#define LOW_BESIDE       2
#define LOW_PANEL_EVEN   true
#define LOW_PANEL_TOKENS 6
#define LOW_PANEL_SIZES  LOW_SIZES_6
#define PANEL_GROUPS     2
#define PANEL_TOKENS     64
enum { LOW_PANEL_BITS = 4, LOW_PANEL_FROM = 9 };
INLINE ivec i_widen(isum acc) { return acc; }

/* As assembly, because gcc 12 copies every accumulator of the intrinsic once more than needed. */
enum { DOT8_ZERO = 128 };

INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(x));
    return acc;
}

/*
 * An instruction less for every two products. One token of q2 waits for memory, the longer the more instructions a core has to hold
 * meanwhile; q4 has half as many, and several tokens need more registers for addresses than there are.
 */
#define LOW_EMBEDDED(bits, n_x) ((bits) == 2 && (n_x) == 1)
INLINE isum i_dot_embedded(isum acc, ivec u, const int8_t *x)
{
    typedef int32_t __attribute__((may_alias, aligned(1))) four;
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(u), "m"(*(const four *)x));
    return acc;
}

INLINE isum i_dot8(isum acc, ivec u, ivec x) { return i_dot(acc, u, x); }
INLINE isum i_first(ivec u, ivec x) { return i_dot(i_nothing(), u, x); }
#else
#define LOW_STEPS(bits)  ((bits) == 8 ? 8 : 32767 / (254 * ((1 << (bits)) - 1)) / (8 / (bits)) * (8 / (bits)))
enum { LOW_PANEL_BITS = 4, LOW_PANEL_FROM = 3, DOT8_ZERO = 0 };
#define LOW_PANEL_TOKENS 5
#define LOW_PANEL_SIZES  LOW_SIZES_5
INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    ivec products;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(acc), "=&v"(products) : "v"(u), "v"(x));
    return acc;
}

INLINE isum i_first(ivec u, ivec x) { return _mm512_maddubs_epi16(u, x); }

INLINE ivec i_widen(isum acc) { return _mm512_madd_epi16(acc, _mm512_set1_epi16(1)); }

INLINE isum i_dot8(isum acc, ivec u, ivec x)
{
    const __m512i w = _mm512_xor_si512(u, _mm512_set1_epi8((char)0x80));
    const __m512i signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return _mm512_add_epi32(acc, i_widen(_mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_x)));
}
#endif

INLINE ivec i_widen8(isum acc) { return acc; }

/* ---- int16, for attention over int8: see lanes_avx2.h ---- */

typedef __m128i vec_i8;

INLINE vec_i8 i8_load(const int8_t *p, int n)
{
    return n == LANES ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(mask_n(n), p);
}

INLINE void i8_store_eights(int16_t *p, size_t stride, vec_i8 a)
{
    const __m256i wide = _mm256_cvtepi8_epi16(a);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(wide));
    _mm_storeu_si128((__m128i *)(p + stride), _mm256_extracti128_si256(wide, 1));
}

INLINE ivec i8_pair(vec_i8 a, vec_i8 b)
{
    return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b)));
}

INLINE ivec i_twos(const int16_t *p) { return i_broadcast4((const int8_t *)p); }

INLINE ivec i_eights(const int16_t *p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p)); }

#ifdef __AVX512VNNI__
INLINE ivec i_dot16(ivec acc, ivec a, ivec b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "vm"(b));
    return acc;
}
#else
INLINE ivec i_dot16(ivec acc, ivec a, ivec b) { return i_add(acc, _mm512_madd_epi16(a, b)); }
#endif

INLINE ivec i_sum_fours(ivec a, ivec b, ivec c, ivec d)
{
    const ivec ab = i_add(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const ivec cd = i_add(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return i_add(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

INLINE void v_store_i16(int16_t *p, vec a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
}

/* ---- packed block types: see blocks.h ---- */

INLINE ivec i_pairs(const uint8_t *p, int kind)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)p);
    if (kind == PAIRS_SIGNED) return _mm512_cvtepi8_epi16(bytes);
    const ivec wide = _mm512_cvtepu8_epi16(bytes);
    return kind == PAIRS_LOW    ? i_and(wide, _mm512_set1_epi16(15))
           : kind == PAIRS_HIGH ? _mm512_srli_epi16(wide, 4)
                                : wide;
}

#ifdef __AVX512VNNI__
INLINE ivec i_scale(ivec pairs, int which)
{
    return _mm512_srai_epi32(which ? pairs : _mm512_slli_epi32(pairs, 16), 16);
}

INLINE ivec i_add_scaled(ivec total, isum acc, ivec scale) { return i_add(total, _mm512_mullo_epi32(acc, scale)); }
#else
INLINE ivec i_scale(ivec pairs, int which)
{
    const int both = which ? 0x03020302 : 0x01000100;
    return _mm512_shuffle_epi8(
        pairs, _mm512_broadcast_i32x4(_mm_setr_epi32(both, both + 0x04040404, both + 0x08080808, both + 0x0c0c0c0c)));
}

INLINE ivec i_add_scaled(ivec total, isum acc, ivec scale) { return i_add(total, _mm512_madd_epi16(acc, scale)); }
#endif

INLINE ivec i_add_pairs(ivec total, ivec pairs, const int16_t *sums)
{
    int32_t two;
    memcpy(&two, sums, sizeof two);
    return i_add(total, _mm512_madd_epi16(pairs, i_set1(two)));
}
