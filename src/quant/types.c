/* types.c - names and sizes of element types, conversion of rows. */
#include <string.h>

#include "quant/blocks.h"

static const struct {
    const char *name;
    uint16_t block,
        bytes; /* elements that lie together, and their bytes; block 0: rows do not lie by themselves (low-bit matrices), or no type */
    bool weight; /* may be a matrix of a model */
    pp_block_decoder decode;
} types[] = {
    [PIPPIN_TYPE_AUTO] = {"auto", 0, 0, false, NULL},
    [PIPPIN_F32] = {"f32", 1, 4, true, NULL},
    [PIPPIN_F16] = {"f16", 1, 2, true, NULL},
    [PIPPIN_BF16] = {"bf16", 1, 2, true, NULL},
    [PIPPIN_Q8] = {"q8", 0, 0, true, NULL},
    [PIPPIN_Q4] = {"q4", 0, 0, true, NULL},
    [PIPPIN_Q2] = {"q2", 0, 0, true, NULL},
    [PIPPIN_I8] = {"int8", 1, 1, false, NULL},
    [PIPPIN_I64] = {"int64", 1, 8, false, NULL},
    [PIPPIN_GGUF_Q4_0] = {"Q4_0", 32, 18, true, pp_decode_q4_0},
    [PIPPIN_GGUF_Q4_1] = {"Q4_1", 32, 20, true, pp_decode_q4_1},
    [PIPPIN_GGUF_Q5_0] = {"Q5_0", 32, 22, true, pp_decode_q5_0},
    [PIPPIN_GGUF_Q5_1] = {"Q5_1", 32, 24, true, pp_decode_q5_1},
    [PIPPIN_GGUF_Q8_0] = {"Q8_0", 32, 34, true, pp_decode_q8_0},
    [PIPPIN_GGUF_Q2_K] = {"Q2_K", 256, 84, true, pp_decode_q2_k},
    [PIPPIN_GGUF_Q3_K] = {"Q3_K", 256, 110, true, pp_decode_q3_k},
    [PIPPIN_GGUF_Q4_K] = {"Q4_K", 256, 144, true, pp_decode_q4_k},
    [PIPPIN_GGUF_Q5_K] = {"Q5_K", 256, 176, true, pp_decode_q5_k},
    [PIPPIN_GGUF_Q6_K] = {"Q6_K", 256, 210, true, pp_decode_q6_k},
};

enum { N_TYPE = sizeof types / sizeof *types };

const char *pippin_type_name(pippin_type type) { return (unsigned)type < N_TYPE ? types[type].name : "unknown"; }

pippin_type pippin_type_from_name(const char *name)
{
    for (unsigned i = PIPPIN_F32; i < N_TYPE; i++)
        if (i != PIPPIN_I64 && strcmp(name, types[i].name) == 0) return (pippin_type)i;
    return PIPPIN_TYPE_AUTO;
}

size_t pp_type_block(pippin_type type) { return (unsigned)type < N_TYPE ? types[type].block : 0; }

size_t pp_type_bytes(pippin_type type, size_t n)
{
    const size_t block = pp_type_block(type);
    return block ? n / block * types[type].bytes : 0;
}

bool pp_type_is_weight(pippin_type type) { return (unsigned)type < N_TYPE && types[type].weight; }

float pp_bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t pp_f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40); /* keep a NaN a (quiet) NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float pp_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff, bits;
    if (exponent == 31)
        bits = sign | 0x7f800000u | mantissa << 13;
    else if (exponent)
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    else {
        /* Zero or subnormal: mantissa * 2^-24, exact in float. */
        float f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t pp_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 lets the float adder round to a multiple of 2^-24, ties to even. */
        float small;
        memcpy(&small, &magnitude, sizeof small);
        small += 0.5f;
        memcpy(&magnitude, &small, sizeof magnitude);
        return (uint16_t)(sign | (magnitude - 0x3f000000u));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((magnitude >> 13) - (112u << 10)));
}

void pp_decode_row(pippin_type type, const void *src, float *dst, size_t n)
{
    const unsigned char *bytes = src;
    if (type == PIPPIN_F32) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    if (types[type].decode) {
        for (size_t i = 0; i < n / types[type].block; i++)
            types[type].decode(bytes + i * types[type].bytes, dst + i * types[type].block);
        return;
    }
    if (type == PIPPIN_BF16) { /* by itself, so that the compiler makes vectors of it: training decodes gigabytes */
        for (size_t i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, bytes + 2 * i, sizeof h);
            const uint32_t bits = (uint32_t)h << 16;
            memcpy(&dst[i], &bits, sizeof bits);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, bytes + 2 * i, sizeof h);
        dst[i] = pp_f16_to_f32(h);
    }
}

void pp_encode_row(pippin_type type, const float *src, void *dst, size_t n)
{
    unsigned char *bytes = dst;
    if (type == PIPPIN_F32) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = type == PIPPIN_F16 ? pp_f32_to_f16(src[i]) : pp_f32_to_bf16(src[i]);
        memcpy(bytes + 2 * i, &h, sizeof h);
    }
}
