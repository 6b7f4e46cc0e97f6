/* kernels_try_attend.h - the trials of attention: against the truth, with keys in other slots, each head alone. */
#ifndef PP_TESTS_KERNELS_TRY_ATTEND_H
#define PP_TESTS_KERNELS_TRY_ATTEND_H

#include "kernels_try.h"

typedef void (*attend_kernel)(const pp_attend *a);

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

/* A random call without its output; keys are strewn over more slots than there are keys. */
static pp_attend attend_call(pippin_type type, float q_size)
{
    static const int heads[] = {1, 4, 8, 15, 16, 18, 22, 32, 64, 77, 80, 128};
    pp_attend a = {.n_group = between(1, 20),
                   .d_head = heads[between(0, 11)],
                   .n_key = between(1, 300),
                   .scale = 0.3f,
                   .k_scale = 0.013f,
                   .v_scale = 0.021f};
    const int n_slot = a.n_key + between(0, 9);
    const size_t n = (size_t)n_slot * (size_t)a.d_head, n_q = (size_t)(a.n_group * a.d_head);
    float *q = input_f32(0, n_q, PLAIN);
    for (size_t i = 0; i < n_q; i++) q[i] *= q_size;
    a.q = q;
    a.k = input_type(1, type, n, PLAIN);
    a.v = input_type(2, type, n, PLAIN);
    int32_t *slots = input(3, (size_t)n_slot * sizeof *slots), shuffled[400];
    shuffle(shuffled, n_slot);
    a.slots = memcpy(slots + n_slot - a.n_key, shuffled, (size_t)a.n_key * sizeof *slots);
    if (type == PIPPIN_I8 && between(0, 1)) {
        float *scales[2] = {input_f32(4, (size_t)n_slot, PLAIN), input_f32(5, (size_t)n_slot, PLAIN)};
        for (int i = 0; i < 2 * n_slot; i++) scales[i % 2][i / 2] = fabsf(scales[i % 2][i / 2]) / 50 + 1e-4f;
        a.k_scales = scales[0];
        a.v_scales = scales[1];
    }
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
    for (int j = 0; j < a->n_key; j++) {
        const int32_t slot = a->slots[j];
        const bool i8 = type == PIPPIN_I8;
        const double ks = i8 ? (double)(a->k_scales ? a->k_scales[slot] : a->k_scale) : 1;
        const double vs = i8 ? (double)(a->v_scales ? a->v_scales[slot] : a->v_scale) : 1;
        const size_t at = (size_t)slot * (size_t)a->d_head;
        for (int i = 0; i < a->d_head; i++)
            *v_max = fmax(*v_max, vs * fabs((double)element(type, a->v, at + (size_t)i)));
        for (int g = 0; g < a->n_group; g++) {
            double sum = 0;
            for (int i = 0; i < a->d_head; i++)
                sum += fabs((double)(a->q[g * a->d_head + i] * element(type, a->k, at + (size_t)i)));
            *score_max = fmax(*score_max, (double)a->scale * ks * sum);
        }
    }
}

/* The same keys and values in other slots, in the same order. */
static pp_attend moved(const pp_attend *a, pippin_type type, int32_t *slots)
{
    enum { N_SLOT = 320 };
    pp_attend b = *a;
    const size_t row = pp_type_bytes(type, (size_t)a->d_head);
    char *k = output(6, row * N_SLOT), *v = output(7, row * N_SLOT);
    static float k_scales[N_SLOT], v_scales[N_SLOT];
    shuffle(slots, N_SLOT);
    for (int j = 0; j < a->n_key; j++) {
        const size_t from = (size_t)a->slots[j], to = (size_t)slots[j];
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

static bool attend_round(attend_kernel kernel, attend_kernel truth, pippin_type type)
{
    static float want[20 * 128], again[20 * 128], scratch[20 * PP_ATTEND_BLOCK];
    int32_t slots[320];
    pp_attend a = attend_call(type, between(0, 3) ? 1 : 60);
    const size_t n = (size_t)(a.n_group * a.d_head), n_scratch = (size_t)a.n_group * PP_ATTEND_BLOCK;
    double v_max, score_max;
    a.scratch = scratch;
    a.out = want;
    truth(&a);
    a.scratch = output(6, n_scratch * sizeof(float));
    a.out = output(7, n * sizeof(float));
    kernel(&a);
    CHECK(intact(a.out, n * sizeof(float)) && intact(a.scratch, n_scratch * sizeof(float)), "wrote outside");
    attend_sizes(&a, type, &v_max, &score_max);
    for (size_t i = 0; i < n; i++)
        CHECK(near((double)a.out[i], (double)want[i], (2e-6 + (double)FLT_EPSILON * score_max) * v_max),
              "element %zu, d_head %d, %d keys: %g, truth %g", i, a.d_head, a.n_key, (double)a.out[i], (double)want[i]);
    memcpy(want, a.out, n * sizeof(float));

    pp_attend b = moved(&a, type, slots);
    b.scratch = scratch;
    b.out = again;
    kernel(&b);
    for (size_t i = 0; i < n; i++)
        CHECK(same_bits(again[i], want[i]), "law: slots matter, d_head %d, %d keys", a.d_head, a.n_key);
    for (int g = 0; g < a.n_group; g++) {
        b.n_group = 1;
        b.q = a.q + g * a.d_head;
        kernel(&b);
        for (int i = 0; i < a.d_head; i++)
            CHECK(same_bits(again[i], want[g * a.d_head + i]), "law: head %d of %d differs alone", g, a.n_group);
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

#endif
