/*
 * kernels_try_attend.h - the trials of attention: against the truth, with keys in other slots, each head of each token alone,
 * and of parts put together.
 */
#ifndef PP_TESTS_KERNELS_TRY_ATTEND_H
#define PP_TESTS_KERNELS_TRY_ATTEND_H

#include "kernels_try.h"

typedef void (*attend_kernel)(const pp_attend *a);

enum { MOST_KEYS = PP_ATTEND_SPLIT + 400, MOST_HEADS = 40, WIDEST = 640 };
/* Queries of a call: what many tokens have, or one that has more. */
enum { MOST_QUERIES = PP_MAX((int)PP_ATTEND_QUERIES, (int)MOST_HEADS), MOST_OUT = MOST_QUERIES * 128 };

/* What a call gives, rows side by side: out [n_tok * n_group][d_head], max, sum. */
typedef struct attended {
    float out[MOST_OUT], max[MOST_QUERIES], sum[MOST_QUERIES];
} attended;

static float attend_scratch[PP_ATTEND_SCRATCH(WIDEST)];

static void shuffle(int32_t *list, int n)
{
    for (int i = 0; i < n; i++) list[i] = i;
    for (int i = n - 1; i > 0; i--) {
        const int j = between(0, i);
        const int32_t swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
}

static int32_t slot_of(const pp_attend *a, int j) { return a->slots ? a->slots[j] : j; }

/* Codes and queries whose sums are the largest there are, or scales of values so small that nothing is left of them. */
static void attend_extremes(float *q, size_t n_q, int8_t *k, int8_t *v, size_t n, float *v_scales, int n_slot)
{
    const bool least = between(0, 1);
    for (size_t i = 0; i < n_q; i++) q[i] = copysignf(1, least ? q[i] : -1);
    memset(k, -128, n);
    memset(v, -128, n);
    for (int i = 0; least && v_scales && i < n_slot; i++) v_scales[i] = PP_ATTEND_LEAST * (float)between(0, 1);
}

/* A random call without its output; keys lie in order, or are strewn over more slots than there are keys. */
static pp_attend attend_call(pippin_type type, float q_size)
{
    static const int heads[] = {1, 4, 8, 15, 16, 18, 22, 32, 64, 77, 80, 128, 513, WIDEST};
    const int d_head = heads[between(0, between(0, 4) ? 11 : 13)], most = MOST_OUT / d_head;
    const int n_group = between(0, 9) ? between(1, 20) : MOST_HEADS;
    pp_attend a = {.n_group = PP_MIN(most, n_group),
                   .d_head = d_head,
                   .n_key = between(0, 9) || d_head > 128 ? between(1, 300)
                                                          : between(PP_ATTEND_SPLIT - 70, PP_ATTEND_SPLIT + 300),
                   .scale = 0.3f,
                   .k_scale = 0.013f,
                   .v_scale = 0.021f,
                   .scratch = attend_scratch};
    a.n_tok = between(1, PP_MAX(1, PP_MIN(most, PP_ATTEND_QUERIES) / a.n_group));
    a.first = between(0, 2) ? 0 : between(0, a.n_key - 1);
    a.q_stride = (size_t)(a.n_group * a.d_head + between(0, 9));
    const int n_key = a.n_key + a.n_tok - 1, n_slot = n_key + between(0, 9);
    const size_t n = (size_t)n_slot * (size_t)a.d_head, n_q = (size_t)a.n_tok * a.q_stride;
    float *q = input_f32(0, n_q, PLAIN);
    for (size_t i = 0; i < n_q; i++) q[i] *= q_size;
    a.q = q;
    void *k = input_type(1, type, n, PLAIN), *v = input_type(2, type, n, PLAIN);
    a.k = k;
    a.v = v;
    int32_t *slots = input(3, (size_t)n_slot * sizeof *slots), shuffled[MOST_KEYS];
    shuffle(shuffled, n_slot);
    if (between(0, 2)) a.slots = memcpy(slots + n_slot - n_key, shuffled, (size_t)n_key * sizeof *slots);
    float *v_scales = NULL;
    if (type == PIPPIN_I8 && between(0, 1)) {
        float *scales[2] = {input_f32(4, (size_t)n_slot, PLAIN), input_f32(5, (size_t)n_slot, PLAIN)};
        for (int i = 0; i < 2 * n_slot; i++) scales[i % 2][i / 2] = fabsf(scales[i % 2][i / 2]) / 50 + 1e-4f;
        a.k_scales = scales[0];
        a.v_scales = v_scales = scales[1];
    }
    if (type == PIPPIN_I8 && !between(0, 9)) attend_extremes(q, n_q, k, v, n, v_scales, n_slot);
    return a;
}

static float element(pippin_type type, const void *rows, size_t i)
{
    float f;
    if (type == PIPPIN_I8) return ((const int8_t *)rows)[i];
    pp_decode_row(type, (const char *)rows + pp_type_bytes(type, i), &f, 1);
    return f;
}

/* The largest |value| that is attended to, and the largest sum of absolute products behind a score. */
static void attend_sizes(const pp_attend *a, pippin_type type, double *v_max, double *score_max)
{
    *v_max = *score_max = 0;
    for (int j = a->first; j < a->n_key + a->n_tok - 1; j++) {
        const int32_t slot = slot_of(a, j);
        const bool i8 = type == PIPPIN_I8;
        const double ks = i8 ? (double)(a->k_scales ? a->k_scales[slot] : a->k_scale) : 1;
        const double vs = i8 ? (double)(a->v_scales ? a->v_scales[slot] : a->v_scale) : 1;
        const size_t at = (size_t)slot * (size_t)a->d_head;
        for (int i = 0; i < a->d_head; i++)
            *v_max = fmax(*v_max, vs * fabs((double)element(type, a->v, at + (size_t)i)));
        for (int g = 0; g < a->n_group * a->n_tok; g++) {
            const float *q = a->q + (size_t)(g / a->n_group) * a->q_stride + g % a->n_group * a->d_head;
            double sum = 0;
            for (int i = 0; i < a->d_head; i++) sum += fabs((double)(q[i] * element(type, a->k, at + (size_t)i)));
            *score_max = fmax(*score_max, (double)a->scale * ks * sum);
        }
    }
}

/* The same keys and values in other slots, in the same order. */
static pp_attend moved(const pp_attend *a, pippin_type type, int32_t *slots)
{
    enum { N_SLOT = MOST_KEYS };
    pp_attend b = *a;
    const size_t row = pp_type_bytes(type, (size_t)a->d_head);
    char *k = output(6, row * N_SLOT), *v = output(7, row * N_SLOT);
    static float k_scales[N_SLOT], v_scales[N_SLOT];
    shuffle(slots, N_SLOT);
    for (int j = 0; j < a->n_key + a->n_tok - 1; j++) {
        const size_t from = (size_t)slot_of(a, j), to = (size_t)slots[j];
        memcpy(k + to * row, (const char *)a->k + from * row, row);
        memcpy(v + to * row, (const char *)a->v + from * row, row);
        k_scales[to] = a->k_scales ? a->k_scales[from] : 0;
        v_scales[to] = a->v_scales ? a->v_scales[from] : 0;
    }
    b.k = k;
    b.v = v;
    b.slots = slots;
    if (a->k_scales) b.k_scales = k_scales;
    if (a->v_scales) b.v_scales = v_scales;
    return b;
}

/* Runs a call with rows of out side by side. */
static void attend_into(attend_kernel kernel, const pp_attend *a, attended *to)
{
    pp_attend b = *a;
    b.out = to->out;
    b.out_stride = (size_t)(a->n_group * a->d_head);
    b.max = to->max;
    b.sum = to->sum;
    kernel(&b);
}

/* The same with rows apart, between canaries: nothing else is written. */
static bool attend_guarded(attend_kernel kernel, const pp_attend *a, attended *to)
{
    pp_attend b = *a;
    const size_t n_head = (size_t)(a->n_tok * a->n_group), n_scratch = PP_ATTEND_SCRATCH((size_t)a->d_head);
    const size_t row = (size_t)(a->n_group * a->d_head), gap = (size_t)between(0, 5);
    b.out_stride = row + gap;
    const size_t n_out = (size_t)a->n_tok * b.out_stride - gap;
    b.out = output(8, n_out * sizeof(float));
    b.max = output(9, n_head * sizeof(float));
    b.sum = output(10, n_head * sizeof(float));
    b.scratch = output(11, n_scratch * sizeof(float));
    kernel(&b);
    CHECK(intact(b.out, n_out * sizeof(float)) && intact(b.max, n_head * sizeof(float)) &&
              intact(b.sum, n_head * sizeof(float)) && intact(b.scratch, n_scratch * sizeof(float)),
          "wrote outside");
    for (size_t t = 0; t < (size_t)a->n_tok; t++) {
        const uint8_t *after = (const uint8_t *)(b.out + t * b.out_stride + row);
        for (size_t i = 0; t + 1 < (size_t)a->n_tok && i < gap * sizeof(float); i++)
            CHECK(after[i] == CANARY, "wrote between rows");
        memcpy(to->out + t * row, b.out + t * b.out_stride, row * sizeof(float));
    }
    memcpy(to->max, b.max, n_head * sizeof(float));
    memcpy(to->sum, b.sum, n_head * sizeof(float));
    return true;
}

static bool attend_round(attend_kernel kernel, attend_kernel truth, pippin_type type)
{
    static attended want, got, again;
    int32_t slots[MOST_KEYS];
    static const float sizes[] = {0, 1, 1, 1, 1, 1, 1, 60, 60};
    const pp_attend a = attend_call(type, sizes[between(0, 8)]);
    const int n_head = a.n_tok * a.n_group;
    double v_max, score_max;
    attend_into(truth, &a, &want);
    if (!attend_guarded(kernel, &a, &got)) return false;
    attend_sizes(&a, type, &v_max, &score_max);
    const double ulp = (double)FLT_EPSILON * score_max;
    if (type == PIPPIN_I8) {
        for (int i = 0; i < n_head * a.d_head; i++)
            CHECK(same_bits(got.out[i], want.out[i]), "element %d, d_head %d, keys %d to %d: %g, truth %g", i, a.d_head,
                  a.first, a.n_key, (double)got.out[i], (double)want.out[i]);
        for (int h = 0; h < n_head; h++)
            CHECK(same_bits(got.max[h], want.max[h]) && same_bits(got.sum[h], want.sum[h]),
                  "max %g and sum %g, truth %g and %g", (double)got.max[h], (double)got.sum[h], (double)want.max[h],
                  (double)want.sum[h]);
    }
    for (int h = 0; type != PIPPIN_I8 && h < n_head; h++) {
        CHECK(near((double)got.max[h], (double)want.max[h], 4 * ulp), "max %g, truth %g", (double)got.max[h],
              (double)want.max[h]);
        for (int i = h * a.d_head; i < (h + 1) * a.d_head; i++)
            CHECK(near((double)got.out[i] / (double)got.sum[h], (double)want.out[i] / (double)want.sum[h],
                       (2e-6 + ulp) * v_max),
                  "element %d of head %d, d_head %d, keys %d to %d: %g, truth %g", i, h, a.d_head, a.first, a.n_key,
                  (double)got.out[i] / (double)got.sum[h], (double)want.out[i] / (double)want.sum[h]);
    }

    pp_attend b = moved(&a, type, slots);
    attend_into(kernel, &b, &again);
    for (int i = 0; i < n_head * a.d_head; i++)
        CHECK(same_bits(again.out[i], got.out[i]), "law: slots matter, d_head %d, %d keys", a.d_head, a.n_key);
    for (int h = 0; h < n_head; h++) {
        const int t = h / a.n_group;
        b.n_group = b.n_tok = 1;
        b.q = a.q + (size_t)t * a.q_stride + h % a.n_group * a.d_head;
        b.n_key = a.n_key + t;
        attend_into(kernel, &b, &again);
        CHECK(same_bits(again.max[0], got.max[h]) && same_bits(again.sum[0], got.sum[h]),
              "law: head %d of %d, of token %d of %d, has another max or sum alone", h, a.n_group, t, a.n_tok);
        for (int i = 0; i < a.d_head; i++)
            CHECK(same_bits(again.out[i], got.out[h * a.d_head + i]),
                  "law: head %d of %d, of token %d of %d, differs alone", h, a.n_group, t, a.n_tok);
    }
    return true;
}

static bool attend_all(attend_kernel kernel, attend_kernel truth, pippin_type type)
{
    for (int round = 0; round < 150; round++)
        if (!attend_round(kernel, truth, type)) return false;
    return true;
}

static bool try_attend_f32(const pp_kernels *k, const pp_kernels *truth)
{
    return attend_all(k->attend_f32, truth->attend_f32, PIPPIN_F32);
}

static bool try_attend_bf16(const pp_kernels *k, const pp_kernels *truth)
{
    return attend_all(k->attend_bf16, truth->attend_bf16, PIPPIN_BF16);
}

static bool try_attend_i8(const pp_kernels *k, const pp_kernels *truth)
{
    return attend_all(k->attend_i8, truth->attend_i8, PIPPIN_I8);
}

static bool try_attend_merge(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const float *part = input_f32(0, (size_t)n, PLAIN), *old = input_f32(1, (size_t)n, PLAIN);
        const float part_max = 50 * value(PLAIN), old_max = round % 5 ? 50 * value(PLAIN) : part_max;
        float *got = row_copy(2, old, n), *want = row_copy(3, old, n);
        float max[2] = {old_max, old_max}, sum[2] = {3, 3};
        k->attend_merge(got, &max[0], &sum[0], part, part_max, 2, n);
        truth->attend_merge(want, &max[1], &sum[1], part, part_max, 2, n);
        CHECK(same_bits(max[0], max[1]) && max[0] == fmaxf(part_max, old_max), "max %g, truth %g", (double)max[0],
              (double)max[1]);
        CHECK(same_bits(sum[0], sum[1]), "sum %g, truth %g", (double)sum[0], (double)sum[1]);
        if (!compare_rows(got, want, (size_t)n, 0)) return false;
    }
    return true;
}

/* One query with keys in order. */
static pp_attend lone_query(const float *q, int d_head, const void *k, const void *v, int n_key, float scale)
{
    return (pp_attend){.q = q,
                       .n_tok = 1,
                       .n_group = 1,
                       .d_head = d_head,
                       .n_key = n_key,
                       .scale = scale,
                       .k = k,
                       .v = v,
                       .scratch = attend_scratch};
}

/* Scalar attention and its parts merged are softmax attention, in double. */
static void scalar_attention_is_true(const pp_kernels *k)
{
    enum { N_KEY = PP_ATTEND_SPLIT + 77, D = 18 };
    static uint16_t keys[2][N_KEY * D];
    float q[D];
    static attended all, part;
    for (size_t i = 0; i < D; i++) q[i] = 3 * value(PLAIN);
    for (size_t i = 0; i < 2 * (size_t)N_KEY * D; i++) keys[i % 2][i / 2] = pp_f32_to_bf16(value(PLAIN));
    pp_attend a = lone_query(q, D, keys[0], keys[1], N_KEY, 0.3f);
    attend_into(k->attend_bf16, &a, &all);
    a.first = PP_ATTEND_SPLIT;
    attend_into(k->attend_bf16, &a, &part);
    k->attend_merge(all.out, all.max, all.sum, part.out, part.max[0], part.sum[0], D);
    for (int i = 0; i < D; i++) {
        double sum = 0, weights = 0;
        for (int j = 0; j < N_KEY; j++) {
            double score = 0;
            for (int d = 0; d < D; d++) score += (double)q[d] * (double)pp_bf16_to_f32(keys[0][j * D + d]);
            weights += exp((double)a.scale * score);
            sum += exp((double)a.scale * score) * (double)pp_bf16_to_f32(keys[1][j * D + i]);
        }
        assert_true(near((double)(all.out[i] / all.sum[0]), sum / weights, 1e-5));
    }
}

/*
 * The same over int8: what int16 codes of queries and weights cost is far below what int8 itself does, 1/254 of a value. Now and
 * then with wide heads whose products are the largest there are, which must fit their sums.
 */
static void scalar_attention_of_codes_is_true(const pp_kernels *k)
{
    enum { N_KEY = 900 };
    static int8_t keys[2][N_KEY * WIDEST];
    static float scales[2][N_KEY];
    static attended all;
    float q[WIDEST];
    for (int round = 0; round < 20; round++) {
        const bool own = round % 2, wide = round % 4 > 1;
        const int d_head = wide ? WIDEST : 64;
        double worst = 0, v_max = 0;
        for (int i = 0; i < d_head; i++) q[i] = wide ? -0.01f : 3 * value(PLAIN);
        for (int i = 0; i < 2 * N_KEY * d_head; i++) keys[i % 2][i / 2] = (int8_t)between(-127, 127);
        for (int j = 0; wide && j < N_KEY; j++) memset(keys[0] + j * d_head, j % 3 ? -128 : 127, (size_t)d_head);
        for (int i = 0; i < 2 * N_KEY; i++) scales[i % 2][i / 2] = 0.002f * (float)between(1, 10);
        pp_attend a = lone_query(q, d_head, keys[0], keys[1], N_KEY, 0.125f);
        a.k_scale = a.v_scale = 0.01f;
        a.k_scales = own ? scales[0] : NULL;
        a.v_scales = own ? scales[1] : NULL;
        attend_into(k->attend_i8, &a, &all);
        for (int i = 0; i < d_head; i++) {
            double sum = 0, weights = 0;
            for (int j = 0; j < N_KEY; j++) {
                const double k_scale = (double)(own ? scales[0][j] : a.k_scale);
                const double v = (double)(own ? scales[1][j] : a.v_scale) * keys[1][j * d_head + i];
                double score = 0;
                for (int d = 0; d < d_head; d++) score += (double)q[d] * k_scale * keys[0][j * d_head + d];
                weights += exp((double)a.scale * score);
                sum += exp((double)a.scale * score) * v;
                v_max = fmax(v_max, fabs(v));
            }
            worst = fmax(worst, fabs((double)(all.out[i] / all.sum[0]) - sum / weights));
        }
        assert_true(worst < 1e-4 * v_max);
    }
}

#endif
