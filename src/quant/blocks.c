/*
 * blocks.c - the block types of GGUF files, decoded exactly. A block holds 32 or 256 weights with its scales; the *_K
 * types have a scale for each 16 or 32 weights, itself quantised. Layouts are given at each decoder in bytes.
 */
#include "quant/blocks.h"

static float f16_at(const uint8_t *p) { return pp_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* [scale f16][16 bytes: weight i in the low nibble of byte i, weight i + 16 in the high one]; value (n - 8) * scale */
void pp_decode_q4_0(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src);
    for (int i = 0; i < 16; i++) {
        dst[i] = (float)((src[2 + i] & 15) - 8) * scale;
        dst[i + 16] = (float)((src[2 + i] >> 4) - 8) * scale;
    }
}

/* [scale f16][low f16][16 bytes as q4_0]; value n * scale + low */
void pp_decode_q4_1(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src), low = f16_at(src + 2);
    for (int i = 0; i < 16; i++) {
        dst[i] = (float)(src[4 + i] & 15) * scale + low;
        dst[i + 16] = (float)(src[4 + i] >> 4) * scale + low;
    }
}

/* Weight i of 32: four bits from the nibbles, the fifth from bit i of `high`. */
static int five_bits(const uint8_t *nibbles, uint32_t high, int i)
{
    const int low = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    return low | (int)(high >> i & 1) << 4;
}

/* [scale f16][32 fifth bits][16 bytes as q4_0]; value (n - 16) * scale */
void pp_decode_q5_0(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src);
    const uint32_t high = u32_at(src + 2);
    for (int i = 0; i < 32; i++) dst[i] = (float)(five_bits(src + 6, high, i) - 16) * scale;
}

/* [scale f16][low f16][32 fifth bits][16 bytes as q4_0]; value n * scale + low */
void pp_decode_q5_1(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src), low = f16_at(src + 2);
    const uint32_t high = u32_at(src + 4);
    for (int i = 0; i < 32; i++) dst[i] = (float)five_bits(src + 8, high, i) * scale + low;
}

/* [scale f16][32 int8] */
void pp_decode_q8_0(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src);
    for (int i = 0; i < 32; i++) dst[i] = (float)(int8_t)src[2 + i] * scale;
}

/*
 * [16 bytes: scale of 16 weights in the low nibble, minimum in the high one][64 bytes][scale f16][scale of minima f16].
 * Two bits a weight: in each half of 128, weight 32 j + l is at bits 2j of byte l.
 */
void pp_decode_q2_k(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src + 80), low = f16_at(src + 82);
    for (int i = 0; i < 256; i++) {
        const uint8_t group = src[i / 16], byte = src[16 + i / 128 * 32 + i % 32];
        dst[i] = scale * (float)(group & 15) * (float)(byte >> (i % 128 / 32 * 2) & 3) - low * (float)(group >> 4);
    }
}

/*
 * [32 bytes: third bits, bit i / 32 of byte i % 32][64 bytes as q2_k][12 bytes of scales][scale f16]. Scale j of 16 weights
 * has four bits in byte j % 8 (low nibble for j < 8) and two in bits 2 (j / 4) of byte 8 + j % 4; value (n - 4) unless the
 * third bit is set, then n.
 */
void pp_decode_q3_k(const uint8_t *src, float *dst)
{
    const uint8_t *high = src, *low = src + 32, *scales = src + 96;
    const float scale = f16_at(src + 108);
    for (int i = 0; i < 256; i++) {
        const int j = i / 16;
        const int four = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4, two = scales[8 + j % 4] >> (j / 4 * 2) & 3;
        const int n = (low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - (high[i % 32] >> (i / 32) & 1 ? 0 : 4);
        dst[i] = scale * (float)((four | two << 4) - 32) * (float)n;
    }
}

/* Scale and minimum j of q4_k and q5_k, six bits each in twelve bytes. */
static void six_bits(const uint8_t *p, int j, int *scale, int *low)
{
    if (j < 4) {
        *scale = p[j] & 63;
        *low = p[j + 4] & 63;
    } else {
        *scale = (p[j + 4] & 15) | p[j - 4] >> 6 << 4;
        *low = p[j + 4] >> 4 | p[j] >> 6 << 4;
    }
}

/* [scale f16][scale of minima f16][12 bytes][128 bytes]: of each 64 weights the first 32 are low nibbles of 32 bytes. */
void pp_decode_q4_k(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src), low = f16_at(src + 2);
    for (int j = 0; j < 8; j++) {
        int s, m;
        six_bits(src + 4, j, &s, &m);
        const uint8_t *bytes = src + 16 + j / 2 * 32;
        for (int l = 0; l < 32; l++)
            dst[32 * j + l] = scale * (float)s * (float)(bytes[l] >> (j % 2 * 4) & 15) - low * (float)m;
    }
}

/* [scale f16][scale of minima f16][12 bytes][32 bytes: fifth bits, bit j of byte l][128 bytes as q4_k] */
void pp_decode_q5_k(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src), low = f16_at(src + 2);
    for (int j = 0; j < 8; j++) {
        int s, m;
        six_bits(src + 4, j, &s, &m);
        const uint8_t *bytes = src + 48 + j / 2 * 32, *high = src + 16;
        for (int l = 0; l < 32; l++) {
            const int n = (bytes[l] >> (j % 2 * 4) & 15) | (high[l] >> j & 1) << 4;
            dst[32 * j + l] = scale * (float)s * (float)n - low * (float)m;
        }
    }
}

/*
 * [128 bytes: low four bits][64 bytes: high two][16 int8 scales][scale f16]. In each half of 128, weight 32 j + l has its
 * low bits in byte l + 32 (j % 2), nibble j / 2, and its high bits at bits 2j of byte l; value n - 32.
 */
void pp_decode_q6_k(const uint8_t *src, float *dst)
{
    const float scale = f16_at(src + 208);
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, j = i % 128 / 32, l = i % 32;
        const int low = src[64 * half + l + 32 * (j % 2)] >> (j / 2 * 4) & 15,
                  high = src[128 + 32 * half + l] >> (2 * j) & 3;
        dst[i] = scale * (float)(int8_t)src[192 + i / 16] * (float)((low | high << 4) - 32);
    }
}
