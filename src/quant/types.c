/* types.c - names and sizes of element types, conversion of rows. */
#include <string.h>

#include "quant/quant.h"

static const struct {
    const char *name;
    size_t bytes; /* of one element; 0: no layout in this version */
    bool weight;
} types[] = {
    [PIPPIN_TYPE_AUTO] = {"auto", 0, false}, [PIPPIN_F32] = {"f32", 4, true}, [PIPPIN_F16] = {"f16", 2, true},
    [PIPPIN_BF16] = {"bf16", 2, true},       [PIPPIN_Q8] = {"q8", 0, false},  [PIPPIN_Q4] = {"q4", 0, false},
    [PIPPIN_Q2] = {"q2", 0, false},          [PIPPIN_I8] = {"int8", 1, false}, [PIPPIN_I64] = {"int64", 8, false},
};

enum { N_TYPE = sizeof types / sizeof *types };

const char *pippin_type_name(pippin_type type) { return (unsigned)type < N_TYPE ? types[type].name : "unknown"; }

pippin_type pippin_type_from_name(const char *name)
{
    for (unsigned i = PIPPIN_F32; i <= PIPPIN_I8; i++)
        if (strcmp(name, types[i].name) == 0) return (pippin_type)i;
    return PIPPIN_TYPE_AUTO;
}

size_t pp_type_bytes(pippin_type type, size_t n) { return (unsigned)type < N_TYPE ? types[type].bytes * n : 0; }

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
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, bytes + 2 * i, sizeof h);
        dst[i] = type == PIPPIN_F16 ? pp_f16_to_f32(h) : pp_bf16_to_f32(h);
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
