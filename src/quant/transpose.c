/*
 * transpose.c - a low-bit matrix the other way round, code by code: what a gradient goes back through. Square pieces of 32
 * rows by 32 columns, which both ways are `bits` whole blocks.
 *
 * Four bytes of four rows are a square of bytes; each byte holds the codes of 8 / bits columns that lie four apart. So the
 * bytes change places within their square, and then the codes within bytes that are at the same place in 8 / bits squares.
 */
#include <string.h>

#include "quant/quant.h"

enum { SQUARES = PP_LOW_BLOCK / 16 }; /* of a block */

typedef struct square {
    uint64_t word[2];
} square;

/* 4 x 4 bytes, transposed: first the halves of rows two apart, then bytes of neighbours. */
static square transpose_bytes(const uint8_t *from)
{
    const uint32_t low = 0x00ff00ff;
    uint32_t a[4], b[4], c[4];
    square s;
    memcpy(a, from, sizeof a);
    for (int i = 0; i < 2; i++) {
        b[i] = (a[i] & 0xffff) | a[i + 2] << 16;
        b[i + 2] = a[i] >> 16 | (a[i + 2] & 0xffff0000);
    }
    for (int i = 0; i < 4; i += 2) {
        c[i] = (b[i] & low) | (b[i + 1] & low) << 8;
        c[i + 1] = (b[i] >> 8 & low) | (b[i + 1] & ~low);
    }
    memcpy(&s, c, sizeof s);
    return s;
}

/* The squares of a piece's blocks `from` become those of `to`, of which there are n_to. */
static inline void transpose_piece(int bits, const uint8_t *from, int n_from, uint8_t *to, int n_to)
{
    const int per_byte = 8 / bits;
    const uint64_t mask = bits == 2 ? 0x0303030303030303 : bits == 4 ? 0x0f0f0f0f0f0f0f0f : UINT64_MAX;
    for (int i = 0; i < n_from; i++) {
        square s[SQUARES];
        for (int j = 0; j < SQUARES; j++) s[j] = transpose_bytes(from + i * PP_LOW_BLOCK + j * 16);
        for (int j = 0; j < n_to; j++)
            for (int k = 0; k < per_byte; k++) {
                square t = {{0, 0}};
                for (int l = 0; l < per_byte; l++)
                    for (int w = 0; w < 2; w++)
                        t.word[w] |= (s[j * per_byte + l].word[w] >> bits * k & mask) << bits * l;
                memcpy(to + j * PP_LOW_BLOCK + (i * per_byte + k) * 16, &t, sizeof t);
            }
    }
}

/* One group of the result: columns `first` and the 31 after it. */
static inline void transpose_group(int bits, const uint8_t *from, size_t columns, size_t first, size_t n_row,
                                   uint8_t *to)
{
    const size_t group = pp_low_group_bytes(bits, columns), scales = PP_LOW_ROWS * sizeof(float);
    const size_t width = 32 / (size_t)bits, n_from = (pp_low_columns(bits, columns) - first) / width;
    const size_t n_to = pp_low_columns(bits, n_row) / width;
    const float one = 1;
    for (size_t i = 0; i < PP_LOW_ROWS; i++) memcpy(to + i * sizeof one, &one, sizeof one);
    for (size_t i = 0; i < n_to; i += (size_t)bits)
        transpose_piece(bits, from + i / (size_t)bits * group + scales + first / width * PP_LOW_BLOCK,
                        PP_MIN((int)n_from, bits), to + scales + i * PP_LOW_BLOCK, PP_MIN((int)(n_to - i), bits));
}

void pp_low_transpose(int bits, const void *matrix, size_t columns, size_t row, size_t n_row, size_t first, size_t n,
                      void *to)
{
    const uint8_t *from = (const uint8_t *)matrix + row / PP_LOW_ROWS * pp_low_group_bytes(bits, columns);
    uint8_t *group = to;
    for (size_t i = first; i < first + n; i += PP_LOW_ROWS, group += pp_low_group_bytes(bits, n_row))
        if (bits == 2)
            transpose_group(2, from, columns, i, n_row, group);
        else if (bits == 4)
            transpose_group(4, from, columns, i, n_row, group);
        else
            transpose_group(8, from, columns, i, n_row, group);
}
