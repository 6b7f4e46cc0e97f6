/*
 * lanes_avx2.h - a vector of 8 floats: AVX2, FMA and F16C behind the names that matmul.h, attend.h and vector.h are
 * written in; lanes_avx512.h has the same names. Names with _n touch only the first n <= LANES elements in memory; a
 * load fills the other lanes with 0.
 */
#include "kernels/lanes_x86.h"

typedef __m256 vec;

/* Tiles of accumulators (tokens x 4 outputs, heads x vectors) for 16 registers, and the sizes that they are built in. */
enum { LANES = 8, TILE_TOKENS = 3, TILE_HEADS = 2, TILE_ROWS = 6 };
#define TILE_SIZES(X) X(1) X(2) X(3)
#define HEAD_SIZES(X) X(1) X(2)

INLINE __m256i mask_n(int n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(ones + LANES - n));
}

INLINE vec v_set1(float a) { return _mm256_set1_ps(a); }
INLINE vec v_zero(void) { return _mm256_setzero_ps(); }
INLINE float v_first(vec a) { return _mm256_cvtss_f32(a); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
/* Both give b where either is NaN. */
INLINE vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec v_round(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec v_abs(vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE vec v_nan_to_zero(vec a) { return _mm256_and_ps(a, _mm256_cmp_ps(a, a, _CMP_ORD_Q)); }

/* a, or 0 where x < least. */
INLINE vec v_zero_below(vec a, vec x, vec least) { return _mm256_and_ps(a, _mm256_cmp_ps(x, least, _CMP_NLT_UQ)); }

/* a * 2^n for an integral n of -126..129, rounded once: the first of two steps is exact. */
INLINE vec v_ldexp(vec a, vec n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i rest = _mm256_sub_epi32(whole, half);
    a = _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

/* (a0, a1, a2, ...) -> (a1, a0, a3, ...), (a0, a0, a1, a1, ...), (-a0, a1, -a2, ...). */
INLINE vec v_swap_pairs(vec a) { return _mm256_permute_ps(a, 0xb1); }
INLINE vec v_dup(vec a) { return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)); }
INLINE vec v_negate_even(vec a) { return _mm256_xor_ps(a, _mm256_setr_ps(-0.f, 0, -0.f, 0, -0.f, 0, -0.f, 0)); }

INLINE vec v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE vec v_load_n(const float *p, int n) { return _mm256_maskload_ps(p, mask_n(n)); }
INLINE void v_store(float *p, vec a) { _mm256_storeu_ps(p, a); }
INLINE void v_store_n(float *p, vec a, int n) { _mm256_maskstore_ps(p, mask_n(n), a); }

INLINE vec widen_f16(__m128i h) { return _mm256_cvtph_ps(h); }
INLINE vec widen_bf16(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }

/* n < 16 bytes, then zeros. */
INLINE __m128i load_bytes(const void *data, size_t n)
{
    const uint8_t *p = data;
    if (n < 8) return _mm_set_epi64x(0, (long long)load_few(p, n));
    return _mm_insert_epi64(_mm_loadl_epi64(data), (long long)load_few(p + 8, n - 8), 1);
}

INLINE vec v_load_f16(const uint16_t *p) { return widen_f16(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec v_load_f16_n(const uint16_t *p, int n) { return widen_f16(load_bytes(p, 2 * (size_t)n)); }
INLINE vec v_load_bf16(const uint16_t *p) { return widen_bf16(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec v_load_bf16_n(const uint16_t *p, int n) { return widen_bf16(load_bytes(p, 2 * (size_t)n)); }

/* a is integral and within -128..127. */
INLINE __m128i narrow_i8(vec a)
{
    __m256i w = _mm256_cvtps_epi32(a);
    __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    return _mm_packs_epi16(h, h);
}

INLINE void v_store_i8(int8_t *p, vec a) { _mm_storel_epi64((__m128i *)p, narrow_i8(a)); }

INLINE void v_store_i8_n(int8_t *p, vec a, int n)
{
    int8_t b[LANES];
    v_store_i8(b, a);
    for (int i = 0; i < n; i++) p[i] = b[i];
}

/* As pp_f32_to_bf16. */
INLINE void v_store_bf16(uint16_t *p, vec a)
{
    __m256i bits = _mm256_castps_si256(a), high = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    __m256i h = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), quiet, nan);
    h = _mm256_permute4x64_epi64(_mm256_packus_epi32(h, h), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(h));
}

INLINE void v_store_bf16_n(uint16_t *p, vec a, int n)
{
    uint16_t h[LANES];
    v_store_bf16(h, a);
    for (int i = 0; i < n; i++) p[i] = h[i];
}

/* The same four floats in each four lanes. */
INLINE vec v_load_fours(const float *p) { return _mm256_broadcast_ps((const __m128 *)p); }
/* Four lanes, then the next four `stride` floats further on, ... */
INLINE void v_store_fours(float *p, size_t stride, vec a)
{
    _mm_storeu_ps(p, _mm256_castps256_ps128(a));
    _mm_storeu_ps(p + stride, _mm256_extractf128_ps(a, 1));
}

/* Each four lanes are the sums of those four lanes of a, b, c and d, of which x0 .. x3 add as (x0 + x2) + (x1 + x3). */
INLINE vec v_sum_fours(vec a, vec b, vec c, vec d)
{
    vec ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    vec cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
}

/* The sums of four vectors: each four lanes, then over these, low + high. */
INLINE quad v_sum4(vec a, vec b, vec c, vec d)
{
    const vec s = v_sum_fours(a, b, c, d);
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

INLINE float v_sum(vec a) { return _mm_cvtss_f32(v_sum4(a, a, a, a)); }

/* The largest lane in every lane; as v_max for NaN. */
INLINE vec v_max_across(vec a)
{
    a = v_max(a, _mm256_permute2f128_ps(a, a, 1));
    a = v_max(a, _mm256_permute_ps(a, 0x4e));
    return v_max(a, _mm256_permute_ps(a, 0xb1));
}

/* ---- integers: eight int32, or four codes of each of eight rows ---- */

typedef __m256i ivec;
typedef ivec isum; /* what products are added to */

INLINE ivec i_set1(int a) { return _mm256_set1_epi32(a); }
INLINE isum i_nothing(void) { return _mm256_setzero_si256(); }
/* Nothing, but a compiler that sees through i_dot must not know, or it makes one of several equal sums. */
INLINE isum i_unknown(void) { return i_nothing(); }
INLINE ivec i_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE ivec i_and(ivec a, ivec b) { return _mm256_and_si256(a, b); }
INLINE ivec i_or(ivec a, ivec b) { return _mm256_or_si256(a, b); }
INLINE ivec i_add(ivec a, ivec b) { return _mm256_add_epi32(a, b); }
INLINE ivec i_sub(ivec a, ivec b) { return _mm256_sub_epi32(a, b); }
/* Of codes: what comes from the other byte is masked. */
INLINE ivec i_shift_right(ivec a, int n) { return _mm256_srli_epi16(a, n); }
INLINE ivec i_shift_left(ivec a, int n) { return _mm256_slli_epi16(a, n); }
INLINE ivec i_times(ivec a, int n) { return _mm256_mullo_epi32(a, i_set1(n)); }
INLINE vec i_to_float(ivec a) { return _mm256_cvtepi32_ps(a); }

INLINE ivec i_broadcast4(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

INLINE void i_store(void *p, ivec a) { _mm256_storeu_si256((__m256i *)p, a); }

/*
 * acc + sums of two products in each int16: u of at most 6 bits. An accumulator holds as many as the largest, 2 * 127 times the
 * largest code, go into int16; then it is widened, to the sums of four columns in each int32.
 */
#define LOW_STEPS(bits) ((bits) == 8 ? 8 : 32767 / (254 * ((1 << (bits)) - 1)) / (8 / (bits)) * (8 / (bits)))
enum { LOW_TOKENS = 2, LOW_PANEL_BITS = 4, LOW_PANEL_FROM = 3, PROBE_SUMS = 12 };
#define LOW_SIZES        LOW_SIZES_2
#define LOW_PANEL_TOKENS 5
/* Of packed block types, which are many: no more sizes than are wanted, the largest first. */
#define BLOCK_SIZES(X)       X(2) X(1)
#define BLOCK_PANEL_SIZES(X) X(5) X(3) X(1)
#define LOW_PANEL_SIZES      LOW_SIZES_5
/* As assembly, because gcc 12 copies and spills the accumulators of the intrinsics. */
INLINE isum i_dot(isum acc, ivec u, ivec x)
{
    ivec products;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(acc), "=&x"(products) : "x"(u), "x"(x));
    return acc;
}

/* The first products of a sum. */
INLINE isum i_first(ivec u, ivec x) { return _mm256_maddubs_epi16(u, x); }

INLINE ivec i_widen(isum acc) { return _mm256_madd_epi16(acc, _mm256_set1_epi16(1)); }

/* The same for codes up to 255: of them 128 is taken off, so that two products fit; what a code is off is then 0. */
enum { DOT8_ZERO = 0 };

INLINE isum i_dot8(isum acc, ivec u, ivec x)
{
    const __m256i w = _mm256_xor_si256(u, _mm256_set1_epi8((char)0x80));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, i_widen(pairs));
}

INLINE ivec i_widen8(isum acc) { return acc; }

INLINE int32_t i_sum(ivec a)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* ---- int16, for attention over int8: see attend_i8.h ---- */

typedef __m128i vec_i8; /* LANES of int8 in a row */

/* The first n <= LANES, then zeros. */
INLINE vec_i8 i8_load(const int8_t *p, int n)
{
    return n == LANES ? _mm_loadl_epi64((const __m128i *)p) : load_bytes(p, (size_t)n);
}

/* Widened, eight to a place, `stride` int16 from one to the next. */
INLINE void i8_store_eights(int16_t *p, size_t stride, vec_i8 a)
{
    (void)stride;
    _mm_storeu_si128((__m128i *)p, _mm_cvtepi8_epi16(a));
}

/* For each element that of a and that of b side by side, as i_dot16 takes them. */
INLINE ivec i8_pair(vec_i8 a, vec_i8 b) { return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)); }

/* Two int16 for every pair of i8_pair; eight, to be multiplied with each eight of a vector. */
INLINE ivec i_twos(const int16_t *p) { return i_broadcast4((const int8_t *)p); }

INLINE ivec i_eights(const int16_t *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)); }

/* acc + the products of int16: two more in each lane, of its own pair or at least of its own eight. */
INLINE ivec i_dot16(ivec acc, ivec a, ivec b) { return i_add(acc, _mm256_madd_epi16(a, b)); }

/* Each four lanes are the sums of those four lanes of a, b, c and d. */
INLINE ivec i_sum_fours(ivec a, ivec b, ivec c, ivec d)
{
    const ivec ab = i_add(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    const ivec cd = i_add(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return i_add(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

/* a is integral and an int16. */
INLINE void v_store_i16(int16_t *p, vec a)
{
    const __m256i w = _mm256_cvtps_epi32(a);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}

/* ---- packed block types: see blocks.h ---- */

INLINE ivec i_pairs(const uint8_t *p, int kind)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    if (kind == PAIRS_SIGNED) return _mm256_cvtepi8_epi16(bytes);
    const ivec wide = _mm256_cvtepu8_epi16(bytes);
    return kind == PAIRS_LOW    ? i_and(wide, _mm256_set1_epi16(15))
           : kind == PAIRS_HIGH ? _mm256_srli_epi16(wide, 4)
                                : wide;
}

/* Sums are of two columns in an int16 each, so each is multiplied by the same scale. */
INLINE ivec i_scale(ivec pairs, int which)
{
    const int both = which ? 0x03020302 : 0x01000100;
    return _mm256_shuffle_epi8(pairs, _mm256_broadcastsi128_si256(_mm_setr_epi32(
                                          both, both + 0x04040404, both + 0x08080808, both + 0x0c0c0c0c)));
}

INLINE ivec i_add_scaled(ivec total, isum acc, ivec scale) { return i_add(total, _mm256_madd_epi16(acc, scale)); }

INLINE ivec i_add_pairs(ivec total, ivec pairs, const int16_t *sums)
{
    int32_t two;
    memcpy(&two, sums, sizeof two);
    return i_add(total, _mm256_madd_epi16(pairs, i_set1(two)));
}
