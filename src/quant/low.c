/* low.c - pippin's own low-bit matrices: where a code lies, rows in and out, and the scale that costs least. */
#include <math.h>
#include <string.h>

#include "quant/quant.h"

int pp_low_bits(pippin_type type) { return type == PIPPIN_Q2 ? 2 : type == PIPPIN_Q4 ? 4 : type == PIPPIN_Q8 ? 8 : 0; }
int pp_low_zero2(int bits) { return bits == 8 ? 256 : (1 << bits) - 1; }

size_t pp_low_columns(int bits, size_t columns)
{
    const size_t block = 32 / (size_t)bits;
    return (columns + block - 1) / block * block;
}

size_t pp_low_spans(size_t columns) { return (columns + PP_LOW_SPAN - 1) / PP_LOW_SPAN; }

size_t pp_low_group_bytes(int bits, size_t columns)
{
    return PP_LOW_ROWS * sizeof(float) + pp_low_columns(bits, columns) * (size_t)bits / 32 * PP_LOW_BLOCK;
}

/* The byte that holds code (row, k), and its lowest bit in there. */
static size_t code_at(int bits, size_t columns, size_t row, size_t k, int *shift)
{
    const size_t block = 32 / (size_t)bits, in = k % block;
    *shift = bits * (int)(in / 4);
    return row / PP_LOW_ROWS * pp_low_group_bytes(bits, columns) + PP_LOW_ROWS * sizeof(float) +
           k / block * PP_LOW_BLOCK + row % PP_LOW_ROWS * 4 + in % 4;
}

static size_t scale_at(int bits, size_t columns, size_t row)
{
    return row / PP_LOW_ROWS * pp_low_group_bytes(bits, columns) + row % PP_LOW_ROWS * sizeof(float);
}

float pp_low_level(int bits, float u)
{
    if (bits == 8) return fminf(127, fmaxf(-127, rintf(u)));
    const float most = (float)((1 << bits) - 1) / 2;
    return fminf(most, fmaxf(-most, floorf(u) + 0.5f));
}

uint8_t pp_low_code(int bits, float u) { return (uint8_t)(pp_low_level(bits, u) + (float)pp_low_zero2(bits) / 2); }

pippin_type pp_type_of_embedding(pippin_type linear)
{
    if (linear >= PIPPIN_GGUF_Q2_K && linear <= PIPPIN_GGUF_Q5_K) return PIPPIN_GGUF_Q6_K;
    return linear == PIPPIN_Q2 ? PIPPIN_Q4 : linear;
}

void pp_low_encode_row(int bits, void *matrix, size_t columns, size_t row, const float *w, float scale)
{
    uint8_t *bytes = matrix;
    memcpy(bytes + scale_at(bits, columns, row), &scale, sizeof scale);
    for (size_t k = 0; k < columns; k++) {
        int shift;
        const size_t at = code_at(bits, columns, row, k, &shift);
        bytes[at] = (uint8_t)(bytes[at] | pp_low_code(bits, scale > 0 ? w[k] / scale : 0) << shift);
    }
}

/* One block's codes of a row, from its four bytes: `width` of them, times the scale. */
static inline void decode_block(int bits, const uint8_t *four, const float *levels, float scale, float *dst)
{
    const unsigned mask = (1u << bits) - 1;
    for (int j = 0; j < 8 / bits; j++)
        for (int b = 0; b < 4; b++) {
            const unsigned code = (unsigned)four[b] >> bits * j & mask;
            *dst++ = bits == 8 ? scale * ((float)code - 128) : levels[code];
        }
}

void pp_low_decode(int bits, const void *matrix, size_t columns, size_t row, size_t first, size_t n, float *dst)
{
    const uint8_t *bytes = matrix;
    const size_t width = 32 / (size_t)bits;
    const float zero = (float)pp_low_zero2(bits) / 2;
    float scale, levels[16], block[32];
    int shift;
    memcpy(&scale, bytes + scale_at(bits, columns, row), sizeof scale);
    for (int code = 0; code < 16; code++) levels[code] = scale * ((float)code - zero);
    for (size_t k = first, end = first + n; k < end;) {
        const size_t skip = k % width, some = PP_MIN(width - skip, end - k);
        const uint8_t *four = bytes + code_at(bits, columns, row, k - skip, &shift);
        float *to = some == width ? dst : block;
        if (bits == 2)
            decode_block(2, four, levels, scale, to);
        else if (bits == 4)
            decode_block(4, four, levels, scale, to);
        else
            decode_block(8, four, levels, scale, to);
        if (to == block) memcpy(dst, block + skip, some * sizeof *dst);
        k += some;
        dst += some;
    }
}

void pp_low_by_scales(int bits, const void *matrix, size_t columns, size_t row, size_t n, const float *x, float *to)
{
    const uint8_t *bytes = matrix;
    for (size_t i = 0; i < n; i++) {
        float scale;
        memcpy(&scale, bytes + scale_at(bits, columns, row + i), sizeof scale);
        to[i] = x[i] * scale;
    }
}

enum { LANES = 8, RUN = 64 }; /* sums that go side by side, in float for so many elements */

/* One run's part of the sums. To the nearest level by adding and taking off 1.5 * 2^23: halfway either of the two costs the same. */
static void add_errors(int bits, const float w[RUN], const float weight[RUN], float scale, float sums[LANES])
{
    const float shift = bits == 8 ? 0 : 0.5f, most = bits == 8 ? 127 : (float)((1 << bits) - 1) / 2, magic = 12582912;
    const float inverse = 1 / scale;
    for (size_t i = 0; i < RUN; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float u = w[i + j] * inverse;
            u = u < most ? u : most;
            u = u > -most ? u : -most;
            const float level = (u - shift + magic) - magic + shift, d = w[i + j] - scale * level;
            sums[j] += d * d * weight[i + j];
        }
}

double pp_low_error(int bits, const float *w, const float *weight, size_t n, float scale)
{
    float ones[RUN];
    for (size_t i = 0; i < RUN; i++) ones[i] = 1;
    double sum = 0;
    for (size_t i = 0; i < n; i += RUN) {
        const size_t some = PP_MIN(n - i, (size_t)RUN);
        float sums[LANES] = {0};
        if (some == RUN) {
            add_errors(bits, w + i, weight ? weight + i : ones, scale, sums);
        } else { /* the end of the row, as if it went on without weight */
            float values[RUN] = {0}, weights[RUN] = {0};
            memcpy(values, w + i, some * sizeof *values);
            memcpy(weights, weight ? weight + i : ones, some * sizeof *weights);
            add_errors(bits, values, weights, scale, sums);
        }
        for (size_t j = 0; j < LANES; j++) sum += (double)sums[j];
    }
    return sum;
}

/* The scale of a row that lies on levels already, as training in low bits leaves it; 0: it does not. */
static float exact_scale(int bits, const float *w, size_t n)
{
    float least = INFINITY;
    for (size_t i = 0; i < n; i++) least = fminf(least, fabsf(w[i]));
    for (int k = 1; k < 1 << bits; k += 2) { /* the smallest is k halves of the scale */
        const float scale = 2 * least / (float)k;
        size_t same = 0;
        while (same < n && scale > 0 && w[same] == scale * pp_low_level(bits, w[same] / scale)) same++;
        if (same == n) return scale;
    }
    return 0;
}

float pp_low_best_scale(int bits, const float *w, const float *weight, size_t n)
{
    enum { TRIES = 40 };
    double size = 0;
    float most = 0, best = 0;
    for (size_t i = 0; i < n; i++) {
        size += (double)fabsf(w[i]) / (double)n;
        most = fmaxf(most, fabsf(w[i]));
    }
    if (!(size > 0)) return 0;
    if (bits == 8) return most / 127;
    const float exact = exact_scale(bits, w, n);
    if (exact > 0) return exact;
    /* Between what an even and a long-tailed row want, in units of the mean size. */
    const double low = 2.4 / (1 << bits), high = 8.0 / (1 << bits);
    double least = INFINITY;
    for (int i = 0; i < TRIES; i++) {
        const float scale = (float)(size * low * pow(high / low, (double)i / (TRIES - 1)));
        const double error = pp_low_error(bits, w, weight, n, scale);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}
