/*
 * scalar.c - the plain truth of every kernel. Sums are taken in double and rounded once, so that a faster level is
 * measured against the true value and not against another order of additions.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"

static float element(pippin_type type, const void *row, size_t i)
{
    switch (type) {
    case PIPPIN_F16: return pp_f16_to_f32(((const uint16_t *)row)[i]);
    case PIPPIN_BF16: return pp_bf16_to_f32(((const uint16_t *)row)[i]);
    default: return ((const float *)row)[i];
    }
}

static const void *row_of(pippin_type type, const void *rows, size_t i, size_t n)
{
    return (const char *)rows + i * pp_type_bytes(type, n);
}

static float dot(pippin_type type, const float *x, const void *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)element(type, w, (size_t)i);
    return (float)sum;
}

static void matmul(pippin_type type, const pp_matmul *m)
{
    for (int t = 0; t < m->n_tok; t++)
        for (int o = 0; o < m->n_out; o++) {
            const void *w = row_of(type, m->w, (size_t)o, (size_t)m->n_in);
            float *y = m->y + (size_t)t * m->y_stride + o;
            float sum = dot(type, m->x + (size_t)t * m->x_stride, w, m->n_in);
            if (m->bias) sum += m->bias[o];
            *y = m->accumulate ? *y + sum : sum;
        }
}

static void k_matmul_f32(const pp_matmul *m) { matmul(PIPPIN_F32, m); }
static void k_matmul_f16(const pp_matmul *m) { matmul(PIPPIN_F16, m); }
static void k_matmul_bf16(const pp_matmul *m) { matmul(PIPPIN_BF16, m); }

static float exp_of(float x)
{
    if (isnan(x)) return x;
    if (x < EXP_LOW) return 0;
    x = fminf(EXP_HIGH, x);
    float n = rintf(x * EXP_LOG2E);
    float r = fmaf(n, -EXP_LN2_REST, fmaf(n, -EXP_LN2, x));
    float p = fmaf(EXP_P5, r, EXP_P4);
    p = fmaf(p, r, EXP_P3);
    p = fmaf(p, r, EXP_P2);
    p = fmaf(p, r, EXP_P1);
    p = fmaf(p, r, EXP_P0);
    return ldexpf(fmaf(p, r * r, r) + 1.0f, (int)n);
}

static void k_rmsnorm(float *y, const float *x, const float *w, int n, float eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    float r = (float)(1.0 / sqrt(sum / n + (double)eps));
    for (int i = 0; i < n; i++) y[i] = x[i] * r * w[i];
}

static void rotate(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    *a = x * c - y * s;
    *b = y * c + x * s;
}

static void k_rope_adjacent(float *x, const float *cosine, const float *sine, int d_head)
{
    for (int i = 0; i < d_head / 2; i++) rotate(&x[2 * i], &x[2 * i + 1], cosine[i], sine[i]);
}

static void k_rope_halves(float *x, const float *cosine, const float *sine, int d_head)
{
    for (int i = 0; i < d_head / 2; i++) rotate(&x[i], &x[i + d_head / 2], cosine[i], sine[i]);
}

static void k_swiglu(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) y[i] = gate[i] / (1.0f + exp_of(-gate[i])) * up[i];
}

static void k_add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++) y[i] += x[i];
}

static void k_scale(float *y, float s, int n)
{
    for (int i = 0; i < n; i++) y[i] *= s;
}

static void k_quantize_i8(int8_t *q, const float *x, int n, float scale)
{
    for (int i = 0; i < n; i++) {
        float v = x[i] / scale;
        q[i] = isnan(v) ? 0 : (int8_t)rintf(fminf(127.0f, fmaxf(-128.0f, v)));
    }
}

static float k_absmax(const float *x, int n)
{
    float max = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > max) max = fabsf(x[i]);
    return max;
}

static float k_round_i8(int8_t *q, float *scales, int32_t *sums, const float *x, int n)
{
    float offset = 0;
    for (int k = 0, span = 0; k < n; k += PP_LOW_SPAN, span++) {
        const int some = PP_MIN(PP_LOW_SPAN, n - k);
        scales[span] = k_absmax(x + k, some) / 127.0f;
        k_quantize_i8(q + k, x + k, some, scales[span] > 0 ? scales[span] : 1.0f);
        sums[span] = 0;
        for (int i = k; i < k + some; i++) sums[span] += q[i];
        offset = fmaf((float)sums[span], scales[span], offset);
    }
    return offset;
}

static float k_largest(const float *x, int n)
{
    float max = -INFINITY;
    for (int i = 0; i < n; i++)
        if (x[i] > max) max = x[i];
    return max;
}

static void k_to_bf16(uint16_t *y, const float *x, int n)
{
    for (int i = 0; i < n; i++) y[i] = pp_f32_to_bf16(x[i]);
}

#include "kernels/scalar_attend.h"

/* ---- low-bit weights ---- */

static void low_matmul(int bits, const pp_low_matmul *m)
{
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in), block = 32 / (size_t)bits;
    const int zero = bits == 8 ? 128 : 0;
    for (int t = 0; t < m->n_tok; t++)
        for (int o = 0; o < m->n_out; o++) {
            const uint8_t *group = (const uint8_t *)m->w + (size_t)o / PP_LOW_ROWS * group_bytes;
            const size_t row = (size_t)o % PP_LOW_ROWS;
            const int8_t *x = m->x + (size_t)t * m->x_stride;
            float scale, sum = 0, *y = m->y + (size_t)t * m->y_stride + o;
            for (int span = 0; span * PP_LOW_SPAN < m->n_in; span++) {
                int32_t dot = 0;
                for (int i = span * PP_LOW_SPAN; i < PP_MIN((span + 1) * PP_LOW_SPAN, m->n_in); i++) {
                    const size_t k = (size_t)i;
                    const uint8_t byte = group[PP_LOW_ROWS * sizeof scale + k / block * PP_LOW_BLOCK + row * 4 + k % 4];
                    dot += ((byte >> (size_t)bits * (k % block / 4) & ((1 << bits) - 1)) - zero) * x[k];
                }
                sum = fmaf((float)dot, m->x_scale[t * m->n_span + span], sum);
            }
            memcpy(&scale, group + row * sizeof scale, sizeof scale);
            if (bits < 8) sum = fmaf(-(float)pp_low_zero2(bits) / 2, m->x_offset[t], sum);
            float r = sum * scale;
            if (m->bias) r += m->bias[o];
            *y = m->accumulate ? *y + r : r;
        }
}

static void k_matmul_q2(const pp_low_matmul *m) { low_matmul(2, m); }
static void k_matmul_q4(const pp_low_matmul *m) { low_matmul(4, m); }
static void k_matmul_q8(const pp_low_matmul *m) { low_matmul(8, m); }

static void k_sums_i8(int16_t *sums, const int8_t *q, int n)
{
    for (int i = 0; i < n / 16; i++) {
        sums[i] = 0;
        for (int j = 16 * i; j < 16 * i + 16; j++) sums[i] = (int16_t)(sums[i] + q[j]);
    }
}

/* ---- packed block types ---- */

/* Code of row r and column k of a unit: a bit of a plane of `bits` bits is bit `bits` * (k / 4 % (8 / bits)) of its byte. */
static int block_code(pp_block_form f, const uint8_t *unit, int r, int k)
{
    const uint8_t *low = unit + k * f.low / 32 * PP_LOW_BLOCK + r * 4 + k % 4,
                  *high = unit + f.low * PP_LOW_BLOCK + k * f.high / 32 * PP_LOW_BLOCK + r * 4 + k % 4;
    const int code = *low >> f.low * (k / 4 % (8 / f.low)) & ((1 << f.low) - 1);
    return f.high ? code | (*high >> f.high * (k / 4 % (8 / f.high)) & ((1 << f.high) - 1)) << f.low : code;
}

static int32_t block_dot(pp_block_form f, const uint8_t *unit, int r, int first, const int8_t *x)
{
    int32_t dot = 0;
    for (int k = first; k < first + f.columns; k++) dot += block_code(f, unit, r, k) * x[k];
    return dot;
}

static float f16_of_row(const uint8_t *p, int r) { return pp_f16_to_f32((uint16_t)(p[2 * r] | p[2 * r + 1] << 8)); }

/* Span `span` of row r of a group. */
static float block_part_32(pp_block_form f, const uint8_t *group, int r, int span, int n, const int8_t *x,
                           const int16_t *xs)
{
    const int bytes = pp_form_head(f) + pp_form_unit(f);
    float part = 0;
    for (int j = 0; j < n / PP_UNIT; j++) {
        const uint8_t *block = group + (span * (PP_LOW_SPAN / PP_UNIT) + j) * bytes;
        const int32_t dot = block_dot(f, block + pp_form_head(f), r, 0, x + j * PP_UNIT);
        part = fmaf(f16_of_row(block, r), (float)(dot - f.zero * xs[j]), part);
        if (f.minima) part = fmaf(f16_of_row(block + 2 * PP_LOW_ROWS, r), (float)xs[j], part);
    }
    return part;
}

static float block_part_256(pp_block_form f, const uint8_t *group, int r, int span, const int8_t *x, const int16_t *xs)
{
    const uint8_t *block = group + span * (pp_form_head(f) + pp_form_span(f));
    const uint8_t *pairs = block + pp_form_head(f), *codes = pairs + pp_form_codes(f);
    const bool both = pp_form_nibbles(f);
    int32_t sum = 0, minima = 0;
    for (int j = 0; j < pp_form_subs(f); j++) {
        const uint8_t *scale = pairs + (j - j % 2) * PP_LOW_ROWS + 2 * r + j % 2,
                      *minimum = scale + pp_form_subs(f) * PP_LOW_ROWS;
        const int k = j * f.columns;
        const int32_t dot =
            block_dot(f, codes + k / PP_UNIT * pp_form_unit(f), r, k % PP_UNIT, x + k / PP_UNIT * PP_UNIT);
        sum += (both ? *scale & 15 : f.minima ? *scale : (int8_t)*scale) * (dot - f.zero * xs[j]);
        if (f.minima) minima += (both ? *scale >> 4 : *minimum) * xs[j];
    }
    const float part = f16_of_row(block, r) * (float)sum;
    return f.minima ? fmaf(-f16_of_row(block + 2 * PP_LOW_ROWS, r), (float)minima, part) : part;
}

static void block_matmul(pp_block_form f, const pp_block_matmul *m)
{
    for (int t = 0; t < m->n_tok; t++)
        for (int o = 0; o < m->n_out; o++) {
            const uint8_t *group = (const uint8_t *)m->w + (size_t)o / PP_LOW_ROWS * pp_form_group(f, (size_t)m->n_in);
            const int8_t *x = m->x + (size_t)t * m->x_stride;
            const int16_t *xs = m->x_sums + (size_t)t * m->sums_stride;
            const int r = o % PP_LOW_ROWS;
            float sum = 0, *y = m->y + (size_t)t * m->y_stride + o;
            for (int span = 0, k = 0; k < m->n_in; span++, k += PP_LOW_SPAN) {
                const int n = PP_MIN(PP_LOW_SPAN, m->n_in - k);
                const float part = f.super ? block_part_256(f, group, r, span, x + k, xs + k / f.columns)
                                           : block_part_32(f, group, r, span, n, x + k, xs + k / f.columns);
                sum = fmaf(part, m->x_scale[t * m->n_span + span], sum);
            }
            if (m->bias) sum += m->bias[o];
            *y = m->accumulate ? *y + sum : sum;
        }
}

#define BLOCKS(name, type, ...)                                                                                        \
    static void k_matmul_##name(const pp_block_matmul *m) { block_matmul((pp_block_form){__VA_ARGS__}, m); }
PP_BLOCK_FORMS(BLOCKS)
#undef BLOCKS

/* ---- probes ---- */

static uint32_t k_probe_read(const uint32_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += p[i];
    return sum;
}

static uint32_t k_probe_multiply(const int8_t x[4], int n)
{
    int32_t sum = 0;
    uint32_t all = 0;
    for (int turn = 0; turn < n; turn++, all += (uint32_t)sum, sum = 0)
        for (int i = 0; i < PP_PROBE_PRODUCTS; i++) sum += 3 * x[i % 4];
    return all;
}

/* ---- training ---- */

static void k_gemm(const pp_gemm *g)
{
    for (int i = 0; i < g->m; i++)
        for (int j = 0; j < g->n; j++) {
            const float *a = g->a + (size_t)i * g->a_row, *b = g->b + (size_t)j * g->b_col;
            float *c = g->c + (size_t)i * g->c_row + j;
            double sum = 0;
            for (int k = 0; k < g->k; k++) sum += (double)a[(size_t)k * g->a_col] * (double)b[(size_t)k * g->b_row];
            *c = g->accumulate ? (float)((double)*c + sum) : (float)sum;
        }
}

static void k_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w, int n, float eps)
{
    double squares = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
        sum += (double)w[i] * (double)dy[i] * (double)x[i];
    }
    const double r = 1.0 / sqrt(squares / n + (double)eps), back = r * r * r / n * sum;
    for (int i = 0; i < n; i++) {
        if (dw) dw[i] = (float)((double)dw[i] + (double)dy[i] * (double)x[i] * r);
        dx[i] = (float)((double)dx[i] + r * (double)w[i] * (double)dy[i] - (double)x[i] * back);
    }
}

static void k_swiglu_backward(float *gate, float *up, const float *dy, int n)
{
    for (int i = 0; i < n; i++) {
        const float s = 1.0f / (1.0f + exp_of(-gate[i])), g = gate[i];
        const float slope = s * fmaf(g, 1.0f - s, 1.0f);
        gate[i] = dy[i] * up[i] * slope;
        up[i] = dy[i] * (g * s);
    }
}

/* scale * p is rounded by itself wherever it stands, so that the largest less itself is 0, however large. */
static float k_softmax(float *p, int n, float scale)
{
    float max = p[0] * scale;
    double sum = 0;
    for (int i = 1; i < n; i++) max = fmaxf(max, p[i] * scale);
    for (int i = 0; i < n; i++) sum += (double)exp_of(p[i] * scale - max);
    const float lse = max + (float)log(sum);
    for (int i = 0; i < n; i++) p[i] = exp_of(p[i] * scale - lse);
    return lse;
}

static void k_softmax_again(float *p, int n, float scale, float lse)
{
    for (int i = 0; i < n; i++) p[i] = exp_of(p[i] * scale - lse);
}

static double k_log_sum(const float *x, int n)
{
    const double max = (double)k_largest(x, n);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static void k_softmax_backward(float *dp, const float *p, int n, float scale, float sum)
{
    for (int i = 0; i < n; i++) dp[i] = scale * (p[i] * (dp[i] - sum));
}

static float k_dot(const float *x, const float *y, int n) { return dot(PIPPIN_F32, x, y, n); }

static void k_adamw(float *w, float *m, float *v, const float *g, int n, const pp_adamw *a)
{
    for (int i = 0; i < n; i++) {
        const float d = g[i] * a->gradient;
        m[i] = fmaf(a->beta1, m[i] - d, d);
        v[i] = fmaf(a->beta2, v[i] - d * d, d * d);
        const float step = m[i] * a->correct1 / fmaf(sqrtf(v[i]), a->correct2, a->eps);
        w[i] = fmaf(w[i], a->decay, -(a->rate * step));
    }
}

void pp_kernels_set_scalar(pp_kernels *t)
{
#define SET(name, type, parameters) t->name = k_##name;
    PP_KERNELS(SET)
#undef SET
}
