/*
 * packed.c - matrices of GGUF's block types in groups of 32 rows, and back, to the last bit (the layout is in quant.h). A block
 * of the file becomes codes of a byte each, scales of a byte each and two f16; these are then put where the group has them.
 */
#include <string.h>

#include "quant/quant.h"

/* What goes by the type and the direction is decided once a matrix, not once a block. */
#define INLINE static inline __attribute__((always_inline))

typedef struct parts {
    uint8_t codes[PP_SUPER];
    uint8_t scales[16], minima[16]; /* of blocks of 256; Q2_K has both in `scales` */
    uint8_t d[2], m[2];             /* f16, as they lie in the file */
} parts;

/* ---- planes of bits as files have them: `put` the codes' bits into the bytes, or add the bytes' bits to the codes ---- */

/* Weight i of n in the low nibble of byte i, weight n / 2 + i in the high one. */
INLINE void nibbles(bool put, uint8_t *bytes, uint8_t *codes, int n)
{
    for (int i = 0; put && i < n / 2; i++) bytes[i] = (uint8_t)((codes[i] & 15) | codes[n / 2 + i] << 4);
    for (int i = 0; !put && i < n / 2; i++) {
        codes[i] = bytes[i] & 15;
        codes[n / 2 + i] = bytes[i] >> 4;
    }
}

/* Two bits from bit `at` of a code on: in each half of 128, weight 32 j + l at bits 2 j of byte l. */
INLINE void pairs(bool put, uint8_t *bytes, uint8_t *codes, int at)
{
    for (int half = 0; half < 2; half++, bytes += 32, codes += 128) {
        for (int l = 0; put && l < 32; l++) bytes[l] = 0;
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l++)
                if (put)
                    bytes[l] = (uint8_t)(bytes[l] | (codes[32 * j + l] >> at & 3) << 2 * j);
                else
                    codes[32 * j + l] = (uint8_t)(codes[32 * j + l] | (bytes[l] >> 2 * j & 3) << at);
    }
}

/* One bit, the one at `at` of a code: of weight 32 j + l at bit j of byte l. */
INLINE void bits_of_256(bool put, uint8_t *bytes, uint8_t *codes, int at)
{
    for (int l = 0; put && l < 32; l++) bytes[l] = 0;
    for (int j = 0; j < 8; j++)
        for (int l = 0; l < 32; l++)
            if (put)
                bytes[l] = (uint8_t)(bytes[l] | (codes[32 * j + l] >> at & 1) << j);
            else
                codes[32 * j + l] = (uint8_t)(codes[32 * j + l] | (bytes[l] >> j & 1) << at);
}

/* The fifth bit: of weight i at bit i % 8 of byte i / 8. */
INLINE void bits_of_32(bool put, uint8_t *bytes, uint8_t *codes)
{
    for (int i = 0; put && i < 4; i++) bytes[i] = 0;
    for (int i = 0; i < 32; i++)
        if (put)
            bytes[i / 8] = (uint8_t)(bytes[i / 8] | (codes[i] >> 4 & 1) << i % 8);
        else
            codes[i] = (uint8_t)(codes[i] | (bytes[i / 8] >> i % 8 & 1) << 4);
}

/* Scale and minimum j of Q4_K and Q5_K, six bits each in twelve bytes. */
INLINE void six_bits(bool put, uint8_t *p, uint8_t *scales, uint8_t *minima)
{
    for (int j = 0; j < 4; j++) {
        if (put) {
            p[j] = (uint8_t)(scales[j] | scales[j + 4] >> 4 << 6);
            p[j + 4] = (uint8_t)(minima[j] | minima[j + 4] >> 4 << 6);
            p[j + 8] = (uint8_t)((scales[j + 4] & 15) | minima[j + 4] << 4);
        } else {
            scales[j] = p[j] & 63;
            minima[j] = p[j + 4] & 63;
            scales[j + 4] = (uint8_t)((p[j + 8] & 15) | p[j] >> 6 << 4);
            minima[j + 4] = (uint8_t)(p[j + 8] >> 4 | p[j + 4] >> 6 << 4);
        }
    }
}

/* The sixteen of Q3_K, less 32: four bits of scale j in byte j % 8, two in byte 8 + j % 4. */
INLINE void sixteen_scales(bool put, uint8_t *p, uint8_t *scales)
{
    if (put) memset(p, 0, 12);
    for (int j = 0; j < 16; j++) {
        const int four = j < 8 ? 0 : 4, two = j / 4 * 2;
        if (put) {
            const uint8_t s = (uint8_t)(scales[j] + 32);
            p[j % 8] = (uint8_t)(p[j % 8] | (s & 15) << four);
            p[8 + j % 4] = (uint8_t)(p[8 + j % 4] | s >> 4 << two);
        } else
            scales[j] = (uint8_t)(((p[j % 8] >> four & 15) | (p[8 + j % 4] >> two & 3) << 4) - 32);
    }
}

INLINE void bytes_of(bool put, uint8_t *bytes, uint8_t *part, int n)
{
    memcpy(put ? bytes : part, put ? part : bytes, (size_t)n);
}

/* Between a block of the file and its parts; blocks.c has the layouts in words. Codes are 0 before they are added to. */
INLINE void exchange(pippin_type type, bool put, uint8_t *b, parts *p)
{
    const bool has_m = type == PIPPIN_GGUF_Q4_1 || type == PIPPIN_GGUF_Q5_1;
    uint8_t *rest = b + (has_m ? 4 : 2);
    switch (type) {
    case PIPPIN_GGUF_Q5_0:
    case PIPPIN_GGUF_Q5_1:
        nibbles(put, rest + 4, p->codes, 32);
        bits_of_32(put, rest, p->codes);
        break;
    case PIPPIN_GGUF_Q8_0:
        for (int i = 0; put && i < 32; i++) rest[i] = p->codes[i] ^ 0x80;
        for (int i = 0; !put && i < 32; i++) p->codes[i] = rest[i] ^ 0x80;
        break;
    case PIPPIN_GGUF_Q2_K:
        bytes_of(put, b, p->scales, 16);
        pairs(put, b + 16, p->codes, 0);
        bytes_of(put, b + 80, p->d, 2);
        bytes_of(put, b + 82, p->m, 2);
        return;
    case PIPPIN_GGUF_Q3_K:
        bits_of_256(put, b, p->codes, 2);
        pairs(put, b + 32, p->codes, 0);
        sixteen_scales(put, b + 96, p->scales);
        bytes_of(put, b + 108, p->d, 2);
        return;
    case PIPPIN_GGUF_Q4_K:
    case PIPPIN_GGUF_Q5_K:
        for (int i = 0; i < 4; i++)
            nibbles(put, b + (type == PIPPIN_GGUF_Q4_K ? 16 : 48) + 32 * i, p->codes + 64 * i, 64);
        if (type == PIPPIN_GGUF_Q5_K) bits_of_256(put, b + 16, p->codes, 4);
        six_bits(put, b + 4, p->scales, p->minima);
        bytes_of(put, b + 2, p->m, 2);
        break;
    case PIPPIN_GGUF_Q6_K:
        for (int i = 0; i < 2; i++) nibbles(put, b + 64 * i, p->codes + 128 * i, 128);
        pairs(put, b + 128, p->codes, 4);
        bytes_of(put, b + 192, p->scales, 16);
        bytes_of(put, b + 208, p->d, 2);
        return;
    default: nibbles(put, rest, p->codes, 32); break; /* Q4_0, Q4_1 */
    }
    bytes_of(put, b, p->d, 2);
    if (has_m) bytes_of(put, b + 2, p->m, 2);
}

/* ---- groups ---- */

/* Bits from `at` on of n codes, between the codes and this row's bytes of a plane of that many bits. */
INLINE void plane(bool put, int bits, int at, int n, uint8_t *codes, uint8_t *to)
{
    const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    for (int k = 0; k < n; k += 32 / bits, to += PP_LOW_BLOCK) {
        uint32_t four = 0, word;
        if (!put) memcpy(&four, to, 4);
        for (int j = 0; j < 8 / bits; j++) {
            uint8_t *from = codes + k + 4 * j;
            memcpy(&word, from, 4);
            if (put)
                four |= (word >> at & mask) << bits * j;
            else
                word |= (four >> bits * j & mask) << at;
            if (!put) memcpy(from, &word, 4);
        }
        if (put) memcpy(to, &four, 4);
    }
}

/* The row's codes of a unit. */
INLINE void unit(bool put, pp_block_form f, uint8_t *codes, uint8_t *to)
{
    switch (f.low) { /* so that each is a loop of its own */
    case 2: plane(put, 2, 0, PP_UNIT, codes, to); break;
    case 4: plane(put, 4, 0, PP_UNIT, codes, to); break;
    default: plane(put, 8, 0, PP_UNIT, codes, to); break;
    }
    if (f.high == 1) plane(put, 1, f.low, PP_UNIT, codes, to + f.low * PP_LOW_BLOCK);
    if (f.high == 2) plane(put, 2, f.low, PP_UNIT, codes, to + f.low * PP_LOW_BLOCK);
}

/* A row's bytes of a span's n sub-blocks. */
INLINE void by_pairs(bool put, int n, uint8_t *bytes, uint8_t *to)
{
    for (int i = 0; i < n; i += 2) bytes_of(put, to + i * PP_LOW_ROWS, bytes + i, 2);
}

/* Between parts and row r of a block of a group. */
INLINE void place(bool put, pp_block_form f, size_t r, uint8_t *block, parts *p)
{
    bytes_of(put, block + 2 * r, p->d, 2);
    if (f.minima) bytes_of(put, block + PP_LOW_ROWS * 2 + 2 * r, p->m, 2);
    block += pp_form_head(f);
    if (!f.super) {
        unit(put, f, p->codes, block + 4 * r);
        return;
    }
    const int n = pp_form_subs(f);
    uint8_t *codes = block + pp_form_codes(f) + 4 * r;
    by_pairs(put, n, p->scales, block + 2 * r);
    if (f.minima && !pp_form_nibbles(f)) by_pairs(put, n, p->minima, block + n * PP_LOW_ROWS + 2 * r);
    for (int u = 0; u < PP_SUPER / PP_UNIT; u++) unit(put, f, p->codes + u * PP_UNIT, codes + u * pp_form_unit(f));
}

bool pp_block_form_of(pippin_type type, pp_block_form *out)
{
    switch (type) {
#define FORM(name, which, ...)                                                                                         \
    case which: *out = (pp_block_form){__VA_ARGS__}; return true;
        PP_BLOCK_FORMS(FORM)
#undef FORM
    default: return false;
    }
}

size_t pp_packed_bytes(pippin_type type, size_t rows, size_t columns)
{
    pp_block_form f;
    return pp_block_form_of(type, &f) ? (rows + PP_LOW_ROWS - 1) / PP_LOW_ROWS * pp_form_group(f, columns) : 0;
}

INLINE void pack_rows(pippin_type type, pp_block_form f, const void *matrix, size_t rows, size_t columns, size_t first,
                      void *group)
{
    const size_t width = f.super ? PP_SUPER : PP_UNIT, bytes = pp_type_bytes(type, width),
                 row = pp_type_bytes(type, columns);
    const size_t n = PP_MIN(rows - first, (size_t)PP_LOW_ROWS), block_bytes = pp_form_group(f, width);
    if (n < PP_LOW_ROWS) memset(group, 0, pp_form_group(f, columns));
    for (size_t b = 0; b < columns / width; b++)
        for (size_t r = 0; r < n; r++) {
            parts p;
            memset(p.codes, 0, width);
            /* Only read: the one function goes both ways. */
            exchange(type, false, (uint8_t *)(uintptr_t)matrix + (first + r) * row + b * bytes, &p);
            place(true, f, r, (uint8_t *)group + b * block_bytes, &p);
        }
}

void pp_pack_rows(pippin_type type, const void *matrix, size_t rows, size_t columns, size_t first, void *group)
{
    switch (type) {
#define FORM(name, which, ...)                                                                                         \
    case which: pack_rows(which, (pp_block_form){__VA_ARGS__}, matrix, rows, columns, first, group); break;
        PP_BLOCK_FORMS(FORM)
#undef FORM
    default: break;
    }
}

void pp_packed_row(pippin_type type, const void *packed, size_t columns, size_t row, size_t first, size_t n,
                   void *blocks)
{
    pp_block_form f;
    if (!pp_block_form_of(type, &f)) return;
    const size_t width = pp_type_block(type), bytes = pp_type_bytes(type, width), block_bytes = pp_form_group(f, width);
    uint8_t *group = (uint8_t *)(uintptr_t)packed + row / PP_LOW_ROWS * pp_form_group(f, columns); /* only read */
    for (size_t b = 0; b < n / width; b++) {
        parts p;
        memset(p.codes, 0, width);
        place(false, f, row % PP_LOW_ROWS, group + (first / width + b) * block_bytes, &p);
        exchange(type, true, (uint8_t *)blocks + b * bytes, &p);
    }
}

void pp_packed_decode(pippin_type type, const void *packed, size_t columns, size_t row, size_t first, size_t n,
                      float *dst)
{
    enum { MOST = 256 }; /* bytes of the longest block, and more */
    const size_t width = pp_type_block(type);
    uint8_t block[MOST];
    for (size_t i = 0; i < n; i += width) {
        pp_packed_row(type, packed, columns, row, first + i, width, block);
        pp_decode_row(type, block, dst + i, width);
    }
}
