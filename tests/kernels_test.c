/*
 * kernels_test.c - every kernel at every level that this CPU has, against the scalar truth, in the manner of dav1d's
 * checkasm: odd sizes, inputs that end at a page nobody may touch, outputs between canaries, extreme values; and the
 * law that a result depends on nothing but its own inputs. PIPPIN_TEST_SEED replays a run; PIPPIN_TEST_ONLY='avx512/g*'
 * runs what has such a name.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels_try.h"
#include "kernels_try_attend.h"
#include "kernels_try_low.h"
#include "kernels_try_blocks.h"
#include "kernels_try_train.h"

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
                snprintf(why, sizeof why, "token %d of %d, output %d of %d, n_in %d: %g, truth %g", t, m->n_tok, o,
                         m->n_out, m->n_in, (double)m->y[at], (double)truth->y[at]);
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
    const values kind = finite_values();
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

static bool try_rmsnorm(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, finite_values()), *w = input_f32(1, (size_t)n, PLAIN),
              *y = row_copy(2, x, n);
        float *want = row_copy(3, x, n);
        truth->rmsnorm(want, x, w, n, 1e-5f);
        k->rmsnorm(y, round % 2 ? y : x, w, n, 1e-5f);
        if (!compare_rows(y, want, (size_t)n, 1e-6)) return false;
    }
    return true;
}

typedef void (*rope_kernel)(float *x, const float *cosine, const float *sine, int d_head);

static bool rope(rope_kernel kernel, rope_kernel truth)
{
    for (int round = 0; round < 400; round++) {
        const int half = size(150);
        float *x = input_f32(0, 2 * (size_t)half, finite_values()), *c = input_f32(1, (size_t)half, PLAIN);
        float *s = input_f32(2, (size_t)half, PLAIN), *y = row_copy(3, x, 2 * half), *want = row_copy(4, x, 2 * half);
        kernel(y, c, s, 2 * half);
        truth(want, c, s, 2 * half);
        if (!compare_rows(y, want, 2 * (size_t)half, 0)) return false;
    }
    return true;
}

static bool try_rope_adjacent(const pp_kernels *k, const pp_kernels *truth)
{
    return rope(k->rope_adjacent, truth->rope_adjacent);
}

static bool try_rope_halves(const pp_kernels *k, const pp_kernels *truth)
{
    return rope(k->rope_halves, truth->rope_halves);
}

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
        float scale = fabsf(value(round % 3 ? MIXED : PLAIN)) / 60 + FLT_MIN;
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

static bool try_largest(const pp_kernels *k, const pp_kernels *truth)
{
    CHECK(k->largest(input(0, 0), 0) == -INFINITY, "not -infinity for no elements");
    for (int round = 0; round < 800; round++) {
        const int n = size(300);
        float *x = input_f32(0, (size_t)n, (values)(round % (ANY_BITS + 1)));
        if (round % 5 == 0)
            for (int i = 0; i < n; i++) x[i] = -fabsf(x[i]);
        const float got = k->largest(x, n), want = truth->largest(x, n);
        CHECK(got == want, "%g, truth %g", (double)got, (double)want);
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
            CHECK(y[i] == want[i] && y[i] == pp_f32_to_bf16(x[i]), "%a gives %04x, truth %04x", (double)x[i], y[i],
                  want[i]);
    }
    return true;
}

/* ---- each entry at each level: a kernel of the list without its try_ function does not compile ---- */

typedef struct entry {
    const char *name;
    bool (*try)(const pp_kernels *k, const pp_kernels *truth);
    size_t at; /* in the table */
} entry;

static const entry entries[] = {
#define ENTRY(name, type, parameters) {#name, try_##name, offsetof(pp_kernels, name)},
    PP_KERNELS(ENTRY)
#undef ENTRY
};

enum { N_ENTRY = sizeof entries / sizeof *entries };

typedef struct job {
    pp_isa isa;
    const entry *entry;
    char name[64];
} job;

/* An entry that a level took over from the one below is tried there. */
static bool is_own(pp_isa isa, const entry *e)
{
    pp_kernels k, below;
    if (isa == PP_ISA_SCALAR || !pp_isa_supported(isa)) return true;
    pp_kernels_fill(&k, isa);
    pp_kernels_fill(&below, isa - 1);
    return memcmp((const char *)&k + e->at, (const char *)&below + e->at, sizeof(void (*)(void))) != 0;
}

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
    scalar_training_is_true(&k);
    scalar_low_is_true(&k);
    scalar_blocks_are_true(&k);
    scalar_attention_is_true(&k);
    scalar_attention_of_codes_is_true(&k);
}

static void levels_are_chosen(void **state)
{
    (void)state;
    pp_kernels k, best;
    pippin_error refusal = {0};
    pp_kernels_fill(&best, PP_ISA_COUNT);
    OK(pp_kernels_choose(&k, NULL, err));
    assert_int_equal(k.isa, best.isa);
    for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT; isa++)
        if (pp_isa_supported(isa)) {
            OK(pp_kernels_choose(&k, pp_isa_name(isa), err));
            assert_int_equal(k.isa, isa);
        } else
            assert_int_equal(pp_kernels_choose(&k, pp_isa_name(isa), &refusal), PIPPIN_E_ARGUMENT);
    assert_int_equal(pp_kernels_choose(&k, "abacus", &refusal), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(refusal.text, "abacus"));
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

static float round_by_reciprocal(int8_t *q, float *scales, int32_t *sums, const float *x, int n)
{
    const float offset = right.round_i8(q, scales, sums, x, n);
    for (int k = 0; k < n; k += PP_LOW_SPAN)
        quantize_by_reciprocal(q + k, x + k, PP_MIN(PP_LOW_SPAN, n - k), scales[k / PP_LOW_SPAN]);
    return offset;
}

static void truncate_to_bf16(uint16_t *y, const float *x, int n)
{
    for (int i = 0; i < n; i++) memcpy(&y[i], (const char *)&x[i] + 2, 2);
}

static void attend_by_slot(const pp_attend *a)
{
    right.attend_f32(a);
    if (a->slots) a->out[0] *= 1 + 1e-7f * (float)(a->slots[0] % 2);
}

static void attend_by_neighbours(const pp_attend *a)
{
    right.attend_f32(a);
    if (a->n_tok > 1) a->sum[0] = nextafterf(a->sum[0], INFINITY);
}

static void attend_i8_inexact(const pp_attend *a)
{
    right.attend_i8(a);
    a->out[0] = nextafterf(a->out[0], INFINITY);
}

/* All tokens see what the last one does. */
static void attend_ahead(const pp_attend *a)
{
    pp_attend b = *a;
    right.attend_f32(a);
    b.n_key += a->n_tok - 1;
    b.n_tok = 1;
    right.attend_f32(&b);
}

static void gemm_by_part(const pp_gemm *g)
{
    right.gemm(g);
    if (g->m % 4 == 3) g->c[0] = nextafterf(g->c[0], INFINITY);
}

static void gemm_past_row(const pp_gemm *g)
{
    right.gemm(g);
    g->c[(size_t)(g->m - 1) * g->c_row + (size_t)g->n] = 0;
}

static void adamw_uncorrected(float *w, float *m, float *v, const float *g, int n, const pp_adamw *a)
{
    pp_adamw wrong = *a;
    wrong.correct1 = 1;
    right.adamw(w, m, v, g, n, &wrong);
}

static void norm_backward_without_dw(float *dx, float *dw, const float *dy, const float *x, const float *w, int n,
                                     float eps)
{
    (void)dw;
    right.rmsnorm_backward(dx, NULL, dy, x, w, n, eps);
}

static void q2_by_batch(const pp_low_matmul *m)
{
    right.matmul_q2(m);
    if (m->n_tok > 1) m->y[0] = nextafterf(m->y[0], INFINITY);
}

/* The minima of the last token are those of another. */
static void q4_k_by_batch(const pp_block_matmul *m)
{
    pp_block_matmul wrong = *m;
    if (m->n_tok > 1) wrong.sums_stride = 0;
    right.matmul_q4_k(&wrong);
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
#define CAUGHT(entry, fault)                                                                                           \
    do {                                                                                                               \
        pp_kernels wrong = right;                                                                                      \
        assert_true(try_##entry(&right, &right));                                                                      \
        wrong.entry = fault;                                                                                           \
        assert_false(try_##entry(&wrong, &right));                                                                     \
    } while (0)
    CAUGHT(add, add_but_last);
    CAUGHT(matmul_f32, matmul_inexact);
    CAUGHT(matmul_f32, matmul_past_end);
    CAUGHT(matmul_f32, matmul_by_batch);
    CAUGHT(quantize_i8, quantize_by_reciprocal);
    CAUGHT(round_i8, round_by_reciprocal);
    CAUGHT(to_bf16, truncate_to_bf16);
    CAUGHT(attend_f32, attend_by_slot);
    CAUGHT(attend_f32, attend_by_neighbours);
    CAUGHT(attend_f32, attend_ahead);
    CAUGHT(attend_i8, attend_i8_inexact);
    CAUGHT(matmul_q2, q2_by_batch);
    CAUGHT(matmul_q4_k, q4_k_by_batch);
    CAUGHT(gemm, gemm_by_part);
    CAUGHT(gemm, gemm_past_row);
    CAUGHT(adamw, adamw_uncorrected);
    CAUGHT(rmsnorm_backward, norm_backward_without_dw);
#undef CAUGHT
    assert_true(faulty_reads());
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
    const char *rounds = getenv("PIPPIN_TEST_ROUNDS");
    rounds_at_least = rounds ? (int)strtol(rounds, NULL, 10) : 0;
    cmocka_set_test_filter(getenv("PIPPIN_TEST_ONLY"));
    print_message("seed %llu (PIPPIN_TEST_SEED)\n", (unsigned long long)seed);
    make_buffers();
    for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT; isa++) {
        if (!pp_isa_here(isa)) continue;
        if (!pp_isa_supported(isa)) print_message("SKIPPED %s: this CPU does not run it\n", pp_isa_name(isa));
        for (int i = 0; i < N_ENTRY; i++) {
            if (!is_own(isa, &entries[i])) continue;
            job *j = &jobs[n - 3];
            *j = (job){.isa = isa, .entry = &entries[i]};
            snprintf(j->name, sizeof j->name, "%s/%s", pp_isa_name(isa), entries[i].name);
            tests[n++] = (struct CMUnitTest){.name = j->name, .test_func = run_entry, .initial_state = j};
        }
    }
    return _cmocka_run_group_tests("kernels", tests, n, NULL, NULL);
}
