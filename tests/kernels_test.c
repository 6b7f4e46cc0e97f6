/*
 * kernels_test.c - every kernel at every level that this CPU has, against the scalar truth, in the manner of dav1d's
 * checkasm: odd sizes, inputs that end at a page nobody may touch, outputs between canaries, extreme values; and the law
 * that a result depends on nothing but its own inputs. PIPPIN_TEST_SEED replays a run.
 */
#define _GNU_SOURCE
#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "support.h"

enum { N_BUFFER = 8, BUFFER_BYTES = 4 << 20, PAD = 64, CANARY = 0xa5 };

static uint64_t seed, counter;
static uint8_t *buffer_end[N_BUFFER]; /* a page that faults begins here */
static char why[256];

/* A trial gives true, or false with the reason in `why`. */
#define CHECK(condition, ...)                                                                                           \
    do {                                                                                                                \
        if (!(condition)) {                                                                                             \
            snprintf(why, sizeof why, __VA_ARGS__);                                                                     \
            return false;                                                                                               \
        }                                                                                                               \
    } while (0)

/* ---- inputs ---- */

static double unit(void) { return pp_random_unit(seed, 0, counter++); }
static uint32_t bits32(void) { return (uint32_t)pp_random_bits(seed, 1, counter++); }
static int between(int low, int high) { return low + (int)(unit() * (high - low + 1)); }

/* Sizes around every vector width, and now and then a real one. */
static int size(int most)
{
    int n = between(0, 3) == 0 ? between(1, most) : between(1, 40);
    return between(0, 15) == 0 ? 2048 : PP_MIN(n, most);
}

typedef enum values { PLAIN, ZERO, TINY, HUGE_, MIXED, N_FINITE, ANY_BITS = N_FINITE } values;

static float value(values kind)
{
    float u = (float)(2 * unit() - 1), any;
    uint32_t bits = bits32();
    memcpy(&any, &bits, sizeof any);
    switch (kind) {
    case PLAIN: return u;
    case ZERO: return u < 0 ? -0.0f : 0.0f;
    case TINY: return u * 1e-39f; /* subnormal */
    case HUGE_: return u * 1e15f;
    case MIXED: return ldexpf(u, between(-30, 30));
    default: return between(0, 9) == 0 ? (u < 0 ? -INFINITY : INFINITY) : any;
    }
}

static values finite(void) { return (values)between(PLAIN, N_FINITE - 1); }

/* n_bytes that end where memory does. */
static void *input(int i, size_t n_bytes)
{
    assert_true(n_bytes <= BUFFER_BYTES);
    return buffer_end[i] - n_bytes;
}

static float *input_f32(int i, size_t n, values kind)
{
    float *x = input(i, n * sizeof *x);
    for (size_t j = 0; j < n; j++) x[j] = value(kind);
    return x;
}

static void *input_type(int i, pippin_type type, size_t n, values kind)
{
    char *x = input(i, pp_type_bytes(type, n));
    for (size_t j = 0; j < n; j++) {
        float f = value(kind);
        if (type == PIPPIN_F16) f = fmaxf(-60000, fminf(60000, f));
        if (type == PIPPIN_I8)
            x[j] = (char)between(-128, 127);
        else
            pp_encode_row(type, &f, x + pp_type_bytes(type, j), 1);
    }
    return x;
}

/* ---- outputs ---- */

/* n_bytes between canaries, the end of the second being the end of memory. */
static void *output(int i, size_t n_bytes)
{
    uint8_t *all = input(i, n_bytes + 2 * PAD);
    memset(all, CANARY, n_bytes + 2 * PAD);
    return all + PAD;
}

static bool intact(const void *y, size_t n_bytes)
{
    const uint8_t *before = (const uint8_t *)y - PAD, *after = (const uint8_t *)y + n_bytes;
    for (int i = 0; i < PAD; i++)
        if (before[i] != CANARY || after[i] != CANARY) return false;
    return true;
}

static bool same_bits(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static bool near(double got, double want, double bound)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    return got == want || fabs(got - want) <= bound;
}

/* ---- matmul ---- */

static bool matmul_bound(const pp_matmul *m, const pp_matmul *truth, pippin_type type, const float *old)
{
    float *w = malloc((size_t)m->n_in * sizeof *w);
    for (int o = 0; o < m->n_out; o++) {
        pp_decode_row(type, (const char *)m->w + pp_type_bytes(type, (size_t)o * (size_t)m->n_in), w, (size_t)m->n_in);
        for (int t = 0; t < m->n_tok; t++) {
            const float *x = m->x + (size_t)t * m->x_stride;
            const size_t at = (size_t)t * m->y_stride + (size_t)o;
            double sum = (m->accumulate ? fabs((double)old[at]) : 0) + (m->bias ? fabs((double)m->bias[o]) : 0);
            for (int i = 0; i < m->n_in; i++) sum += fabs((double)x[i] * (double)w[i]);
            double bound = 4 * (double)FLT_EPSILON * sqrt(m->n_in) * sum + m->n_in * 0x1p-149;
            if (!near((double)m->y[at], (double)truth->y[at], bound)) {
                snprintf(why, sizeof why, "token %d of %d, output %d of %d, n_in %d: %g, truth %g", t, m->n_tok, o, m->n_out,
                         m->n_in, (double)m->y[at], (double)truth->y[at]);
                free(w);
                return false;
            }
        }
    }
    free(w);
    return true;
}

static bool matmul_random(const pp_kernels *k, const pp_kernels *truth, pippin_type type)
{
    const values kind = finite();
    pp_matmul m = {.n_tok = between(0, 1) ? between(1, 20) : between(1, 3), .n_in = size(300), .n_out = between(1, 45)};
    m.x_stride = (size_t)(m.n_in + between(0, 3));
    m.y_stride = (size_t)(m.n_out + between(0, 3));
    /* Stride counts between rows only: the last row ends with its last element. */
    const size_t n_x = (size_t)(m.n_tok - 1) * m.x_stride + (size_t)m.n_in, n_y = (size_t)m.n_tok * m.y_stride;
    m.x = input_f32(0, n_x, kind);
    m.w = input_type(1, type, (size_t)m.n_out * (size_t)m.n_in, kind == HUGE_ ? PLAIN : kind);
    m.bias = between(0, 1) ? input_f32(2, (size_t)m.n_out, PLAIN) : NULL;
    m.accumulate = between(0, 1);
    m.y = output(3, n_y * sizeof(float));
    for (int t = 0; m.accumulate && t < m.n_tok; t++)
        for (int o = 0; o < m.n_out; o++) m.y[(size_t)t * m.y_stride + (size_t)o] = value(PLAIN);
    pp_matmul want = m;
    want.y = memcpy(output(4, n_y * sizeof(float)), m.y, n_y * sizeof(float));
    float *old = memcpy(output(5, n_y * sizeof(float)), m.y, n_y * sizeof(float));
    pp_kernels_matmul(k, type)(&m);
    pp_kernels_matmul(truth, type)(&want);
    CHECK(intact(m.y, n_y * sizeof(float)), "wrote outside y: n_tok %d, n_out %d", m.n_tok, m.n_out);
    for (size_t i = 0; i < n_y; i++)
        if (i % m.y_stride >= (size_t)m.n_out) CHECK(same_bits(m.y[i], old[i]), "wrote between the rows of y");
    return matmul_bound(&m, &want, type, old);
}

/* Any part of a product, computed alone, has the bits that it has within the whole. */
static bool matmul_law(const pp_kernels *k, pippin_type type, int n_tok, int n_in, int n_out, int step)
{
    pp_matmul m = {.n_tok = n_tok, .n_in = n_in, .n_out = n_out, .x_stride = (size_t)n_in, .y_stride = (size_t)n_out};
    const float *x = m.x = input_f32(0, (size_t)(n_tok * n_in), MIXED);
    const char *w = m.w = input_type(1, type, (size_t)(n_out * n_in), PLAIN);
    const float *bias = m.bias = input_f32(2, (size_t)n_out, PLAIN);
    float *all = m.y = output(3, (size_t)(n_tok * n_out) * sizeof(float)), *part;
    pp_kernels_matmul(k, type)(&m);
    m.y = part = output(4, (size_t)(n_tok * n_out) * sizeof(float));
    for (m.n_tok = 1; m.n_tok <= n_tok; m.n_tok += step)
        for (m.n_out = 1; m.n_out <= n_out; m.n_out++) {
            const int t0 = between(0, n_tok - m.n_tok), o0 = between(0, n_out - m.n_out);
            m.x = x + t0 * n_in;
            m.w = w + pp_type_bytes(type, (size_t)(o0 * n_in));
            m.bias = bias + o0;
            pp_kernels_matmul(k, type)(&m);
            for (int t = 0; t < m.n_tok; t++)
                for (int o = 0; o < m.n_out; o++)
                    CHECK(same_bits(part[t * n_out + o], all[(t0 + t) * n_out + o0 + o]),
                          "law: token %d, output %d differ in a call of %d x %d", t0 + t, o0 + o, m.n_tok, m.n_out);
        }
    return true;
}

/* Each of the 65536 patterns stands alone in a row and comes out as it is. */
static bool matmul_widens(const pp_kernels *k, pippin_type type)
{
    enum { N_IN = 17, N_OUT = 65536 };
    uint16_t *w = input(1, sizeof(uint16_t) * N_IN * N_OUT);
    float *x = input(0, sizeof(float) * N_IN), *y = output(3, sizeof(float) * N_OUT);
    memset(w, 0, sizeof(uint16_t) * N_IN * N_OUT);
    for (int i = 0; i < N_IN; i++) x[i] = 1;
    for (int o = 0; o < N_OUT; o++) w[o * N_IN + o % N_IN] = (uint16_t)o;
    pp_kernels_matmul(k, type)(&(pp_matmul){.n_tok = 1, .n_in = N_IN, .n_out = N_OUT, .x = x, .w = w, .y = y});
    for (int o = 0; o < N_OUT; o++) {
        uint16_t h = (uint16_t)o;
        float want;
        pp_decode_row(type, &h, &want, 1);
        CHECK(near((double)y[o], (double)want, 0), "pattern %04x widens to %g, not %g", o, (double)y[o], (double)want);
    }
    return true;
}

static bool matmul_all(const pp_kernels *k, const pp_kernels *truth, pippin_type type)
{
    static const int sizes[] = {1, 7, 64, 77, 300};
    for (int i = 0; i < 150; i++)
        if (!matmul_random(k, truth, type)) return false;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!matmul_law(k, type, 17, sizes[i], 37, 1)) return false;
    return matmul_law(k, type, 200, 2048, 6, 37) && (type == PIPPIN_F32 || matmul_widens(k, type));
}

static bool try_matmul_f32(const pp_kernels *k, const pp_kernels *t) { return matmul_all(k, t, PIPPIN_F32); }
static bool try_matmul_f16(const pp_kernels *k, const pp_kernels *t) { return matmul_all(k, t, PIPPIN_F16); }
static bool try_matmul_bf16(const pp_kernels *k, const pp_kernels *t) { return matmul_all(k, t, PIPPIN_BF16); }

/* ---- rows ---- */

static bool compare_rows(const float *got, const float *want, size_t n, double relative)
{
    CHECK(intact(got, n * sizeof *got), "wrote outside a row of %zu", n);
    for (size_t i = 0; i < n; i++) {
        bool good = relative == 0 ? same_bits(got[i], want[i])
                                  : near((double)got[i], (double)want[i], relative * fabs((double)want[i]) + 0x1p-149);
        CHECK(good, "element %zu of %zu: %g, truth %g", i, n, (double)got[i], (double)want[i]);
    }
    return true;
}

static float *row_copy(int i, const float *x, int n) { return memcpy(output(i, (size_t)n * sizeof *x), x, (size_t)n * sizeof *x); }

static bool try_rmsnorm(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, finite()), *w = input_f32(1, (size_t)n, PLAIN), *y = row_copy(2, x, n);
        float *want = row_copy(3, x, n);
        truth->rmsnorm(want, x, w, n, 1e-5f);
        k->rmsnorm(y, round % 2 ? y : x, w, n, 1e-5f);
        if (!compare_rows(y, want, (size_t)n, 1e-6)) return false;
    }
    return true;
}

static bool rope(void (*kernel)(float *, const float *, const float *, int),
                 void (*truth)(float *, const float *, const float *, int))
{
    for (int round = 0; round < 400; round++) {
        const int half = size(150);
        float *x = input_f32(0, 2 * (size_t)half, finite()), *c = input_f32(1, (size_t)half, PLAIN);
        float *s = input_f32(2, (size_t)half, PLAIN), *y = row_copy(3, x, 2 * half), *want = row_copy(4, x, 2 * half);
        kernel(y, c, s, 2 * half);
        truth(want, c, s, 2 * half);
        if (!compare_rows(y, want, 2 * (size_t)half, 0)) return false;
    }
    return true;
}

static bool try_rope_adjacent(const pp_kernels *k, const pp_kernels *t) { return rope(k->rope_adjacent, t->rope_adjacent); }
static bool try_rope_halves(const pp_kernels *k, const pp_kernels *t) { return rope(k->rope_halves, t->rope_halves); }

static bool try_swiglu(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 600; round++) {
        const int n = size(300);
        float *gate = input_f32(0, (size_t)n, round % 4 ? (values)(round % (ANY_BITS + 1)) : PLAIN);
        float *up = input_f32(1, (size_t)n, PLAIN), *y = row_copy(2, round % 3 == 1 ? gate : up, n);
        for (int i = 0; round % 4 == 0 && i < n; i++) gate[i] *= 110; /* the whole range of exp */
        float *want = row_copy(3, gate, n);
        truth->swiglu(want, gate, up, n);
        if (round % 3 == 1) memcpy(y, gate, (size_t)n * sizeof *y);
        k->swiglu(y, round % 3 == 1 ? y : gate, round % 3 == 2 ? y : up, n);
        if (!compare_rows(y, want, (size_t)n, 0)) return false;
    }
    return true;
}

static bool try_add(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, (values)(round % (ANY_BITS + 1))), *old = input_f32(1, (size_t)n, ANY_BITS);
        float *y = row_copy(2, old, n), *want = row_copy(3, old, n);
        k->add(y, x, n);
        truth->add(want, x, n);
        if (!compare_rows(y, want, (size_t)n, 0)) return false;
    }
    return true;
}

static bool try_scale(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        float *old = input_f32(0, (size_t)n, ANY_BITS), *y = row_copy(1, old, n), *want = row_copy(2, old, n);
        const float s = value(MIXED);
        k->scale(y, s, n);
        truth->scale(want, s, n);
        if (!compare_rows(y, want, (size_t)n, 0)) return false;
    }
    return true;
}

static bool try_quantize_i8(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 800; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, (values)(round % (ANY_BITS + 1)));
        int8_t *q = output(1, (size_t)n), *want = output(2, (size_t)n);
        float scale = round % 3 == 0 ? 0x1p-7f : fabsf(value(MIXED)) / 60 + FLT_MIN;
        for (int i = 0; round % 3 == 0 && i < n; i++) x[i] = ((float)between(-140, 140) + 0.5f) * scale; /* halves */
        k->quantize_i8(q, x, n, scale);
        truth->quantize_i8(want, x, n, scale);
        CHECK(intact(q, (size_t)n), "wrote outside q");
        for (int i = 0; i < n; i++)
            CHECK(q[i] == want[i], "%g / %g gives %d, truth %d", (double)x[i], (double)scale, q[i], want[i]);
    }
    return true;
}

static bool try_absmax(const pp_kernels *k, const pp_kernels *truth)
{
    CHECK(k->absmax(input(0, 0), 0) == 0, "not 0 for no elements");
    for (int round = 0; round < 800; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, (values)(round % (ANY_BITS + 1)));
        const float got = k->absmax(x, n), want = truth->absmax(x, n);
        CHECK(same_bits(got, want), "%g, truth %g", (double)got, (double)want);
    }
    return true;
}

/* Every upper half with the lower halves where rounding changes; then odd sizes. */
static bool try_to_bf16(const pp_kernels *k, const pp_kernels *truth)
{
    static const uint16_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    for (int round = 0; round < 400; round++) {
        const int n = round < 6 ? 65536 : size(300);
        float *x = input_f32(0, (size_t)n, ANY_BITS);
        uint16_t *y = output(1, 2 * (size_t)n), *want = output(2, 2 * (size_t)n);
        for (uint32_t i = 0; round < 6 && i < 65536; i++) memcpy(&x[i], &(uint32_t){i << 16 | low[round]}, sizeof *x);
        k->to_bf16(y, x, n);
        truth->to_bf16(want, x, n);
        CHECK(intact(y, 2 * (size_t)n), "wrote outside y");
        for (int i = 0; i < n; i++)
            CHECK(y[i] == want[i] && y[i] == pp_f32_to_bf16(x[i]), "%a gives %04x, truth %04x", (double)x[i], y[i], want[i]);
    }
    return true;
}

/* ---- attention ---- */

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
    static const int heads[] = {1, 4, 8, 16, 18, 32, 64, 77, 80, 128};
    pp_attend a = {.n_group = between(1, 20), .d_head = heads[between(0, 9)], .n_key = between(1, 300), .scale = 0.3f,
                   .k_scale = 0.013f, .v_scale = 0.021f};
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
    for (size_t i = 0; i < n; i++) CHECK(same_bits(again[i], want[i]), "law: slots matter, d_head %d, %d keys", a.d_head, a.n_key);
    for (int g = 0; g < a.n_group; g++) {
        b.n_group = 1;
        b.q = a.q + g * a.d_head;
        kernel(&b);
        for (int i = 0; i < a.d_head; i++)
            CHECK(same_bits(again[i], want[g * a.d_head + i]), "law: head %d alone differs, %d in the call", g, a.n_group);
    }
    return true;
}

static bool attend_all(attend_kernel kernel, attend_kernel truth, pippin_type type)
{
    for (int round = 0; round < 150; round++)
        if (!attend_round(kernel, truth, type)) return false;
    return true;
}

static bool try_attend_f32(const pp_kernels *k, const pp_kernels *t) { return attend_all(k->attend_f32, t->attend_f32, PIPPIN_F32); }
static bool try_attend_bf16(const pp_kernels *k, const pp_kernels *t) { return attend_all(k->attend_bf16, t->attend_bf16, PIPPIN_BF16); }
static bool try_attend_i8(const pp_kernels *k, const pp_kernels *t) { return attend_all(k->attend_i8, t->attend_i8, PIPPIN_I8); }

/* ---- each entry at each level: a kernel of the list without its try_ function does not compile ---- */

typedef struct entry {
    const char *name;
    bool (*try)(const pp_kernels *k, const pp_kernels *truth);
} entry;

static const entry entries[] = {
#define ENTRY(name, type, parameters) {#name, try_##name},
    PP_KERNELS(ENTRY)
#undef ENTRY
};

enum { N_ENTRY = sizeof entries / sizeof *entries };

typedef struct job {
    pp_isa isa;
    const entry *entry;
    char name[64];
} job;

static void run_entry(void **state)
{
    const job *j = *state;
    pp_kernels k, truth;
    if (!pp_isa_supported(j->isa)) skip();
    pp_kernels_fill(&k, j->isa);
    pp_kernels_fill(&truth, PP_ISA_SCALAR);
    assert_int_equal(k.isa, j->isa);
    counter = 0;
    if (!j->entry->try(&k, &truth)) fail_msg("%s, seed %llu: %s", j->name, (unsigned long long)seed, why);
}

/* ---- the truth itself, against formulas in double ---- */

static void scalar_is_true(void **state)
{
    (void)state;
    pp_kernels k;
    pp_kernels_fill(&k, PP_ISA_SCALAR);
    for (double x = -87; x < 120; x += 0.0137) {
        float gate = (float)x, up = 1, y;
        k.swiglu(&y, &gate, &up, 1);
        const double want = (double)gate / (1 + exp(-(double)gate));
        assert_true(near((double)y, want, 4e-7 * fabs(want)));
    }
    pp_attend a = attend_call(PIPPIN_BF16, 3);
    static float out[20 * 128], scratch[20 * PP_ATTEND_BLOCK];
    a.out = out;
    a.scratch = scratch;
    k.attend_bf16(&a);
    for (int i = 0; i < a.n_group * a.d_head; i++) {
        double sum = 0, all = 0;
        for (int j = 0; j < a.n_key; j++) {
            const size_t at = (size_t)a.slots[j] * (size_t)a.d_head;
            double score = 0;
            for (int d = 0; d < a.d_head; d++)
                score += (double)a.q[i / a.d_head * a.d_head + d] * (double)element(PIPPIN_BF16, a.k, at + (size_t)d);
            all += exp((double)a.scale * score);
            sum += exp((double)a.scale * score) * (double)element(PIPPIN_BF16, a.v, at + (size_t)(i % a.d_head));
        }
        assert_true(near((double)out[i], sum / all, 1e-5));
    }
}

static void levels_are_chosen(void **state)
{
    (void)state;
    pp_kernels k, best;
    pippin_error err = {0};
    pp_kernels_fill(&best, PP_ISA_COUNT);
    OK(pp_kernels_choose(&k, NULL, err));
    assert_int_equal(k.isa, best.isa);
    for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT; isa++)
        if (pp_isa_supported(isa)) {
            OK(pp_kernels_choose(&k, pp_isa_name(isa), err));
            assert_int_equal(k.isa, isa);
        } else
            assert_int_equal(pp_kernels_choose(&k, pp_isa_name(isa), &err), PIPPIN_E_ARGUMENT);
    assert_int_equal(pp_kernels_choose(&k, "abacus", &err), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "abacus"));
    assert_ptr_equal(pp_kernels_matmul(&best, PIPPIN_F16), best.matmul_f16);
    assert_null(pp_kernels_matmul(&best, PIPPIN_I64));
}

/* ---- planted faults: what each of these does wrong must be seen ---- */

static pp_kernels right; /* scalar, for the faulty ones to start from */

static void add_but_last(float *y, const float *x, int n) { right.add(y, x, n - (n % 8 == 7)); }

static void matmul_inexact(const pp_matmul *m)
{
    right.matmul_f32(m);
    m->y[m->n_out - 1] *= 1.0005f;
}

static void matmul_past_end(const pp_matmul *m)
{
    right.matmul_f32(m);
    m->y[(size_t)(m->n_tok - 1) * m->y_stride + (size_t)m->n_out] = 0;
}

static void matmul_by_batch(const pp_matmul *m)
{
    right.matmul_f32(m);
    if (m->n_tok % 4 == 3) m->y[0] = nextafterf(m->y[0], INFINITY);
}

static void quantize_by_reciprocal(int8_t *q, const float *x, int n, float scale)
{
    for (int i = 0; i < n; i++) {
        const float v = x[i] * (1 / scale);
        q[i] = isnan(v) ? 0 : (int8_t)rintf(fmaxf(-128, fminf(127, v)));
    }
}

static void truncate_to_bf16(uint16_t *y, const float *x, int n)
{
    for (int i = 0; i < n; i++) memcpy(&y[i], (const char *)&x[i] + 2, 2);
}

static void attend_by_slot(const pp_attend *a)
{
    right.attend_f32(a);
    a->out[0] *= 1 + 1e-7f * (float)(a->slots[0] % 2);
}

static float absmax_past_end(const float *x, int n) { return right.absmax(x, (n + 7) / 8 * 8); }

static bool faulty_reads(void)
{
    float *x = input_f32(0, 3, PLAIN);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(absmax_past_end(x, 3) > 2 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

static void planted_faults_are_caught(void **state)
{
    (void)state;
    pp_kernels_fill(&right, PP_ISA_SCALAR);
    counter = 0;
#define CAUGHT(entry, fault)                                                                                            \
    do {                                                                                                                \
        pp_kernels wrong = right;                                                                                       \
        assert_true(try_##entry(&right, &right));                                                                       \
        wrong.entry = fault;                                                                                            \
        assert_false(try_##entry(&wrong, &right));                                                                      \
    } while (0)
    CAUGHT(add, add_but_last);
    CAUGHT(matmul_f32, matmul_inexact);
    CAUGHT(matmul_f32, matmul_past_end);
    CAUGHT(matmul_f32, matmul_by_batch);
    CAUGHT(quantize_i8, quantize_by_reciprocal);
    CAUGHT(to_bf16, truncate_to_bf16);
    CAUGHT(attend_f32, attend_by_slot);
#undef CAUGHT
    assert_true(faulty_reads());
}

static void make_buffers(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < N_BUFFER; i++) {
        uint8_t *p = mmap(NULL, BUFFER_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + BUFFER_BYTES, page, PROT_NONE) != 0) abort();
        buffer_end[i] = p + BUFFER_BYTES;
    }
}

int main(void)
{
    static job jobs[PP_ISA_COUNT * N_ENTRY];
    struct CMUnitTest tests[PP_ISA_COUNT * N_ENTRY + 3] = {cmocka_unit_test(scalar_is_true),
                                                         cmocka_unit_test(levels_are_chosen),
                                                         cmocka_unit_test(planted_faults_are_caught)};
    size_t n = 3;
    const char *given = getenv("PIPPIN_TEST_SEED");
    seed = given ? strtoull(given, NULL, 0) : 20240611;
    print_message("seed %llu (PIPPIN_TEST_SEED)\n", (unsigned long long)seed);
    make_buffers();
    for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT; isa++) {
        if (!pp_isa_supported(isa)) print_message("SKIPPED %s: this CPU does not run it\n", pp_isa_name(isa));
        for (int i = 0; i < N_ENTRY; i++, n++) {
            job *j = &jobs[n - 3];
            *j = (job){.isa = isa, .entry = &entries[i]};
            snprintf(j->name, sizeof j->name, "%s/%s", pp_isa_name(isa), entries[i].name);
            tests[n] = (struct CMUnitTest){.name = j->name, .test_func = run_entry, .initial_state = j};
        }
    }
    return _cmocka_run_group_tests("kernels", tests, n, NULL, NULL);
}
