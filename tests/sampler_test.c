/*
 * sampler_test.c - the law of a draw against a distribution that is computed here by sorting, for many combinations of
 * filters; penalties and bias by hand; log-probabilities; stop strings against a search in the whole text.
 */
#include <math.h>

#include "infer/infer.h"
#include "tests/law.h"

enum { V = 40, DRAWS = 20000 };

static void make_logits(float logits[V], uint64_t seed)
{
    for (int i = 0; i < V; i++) logits[i] = (float)(6 * pp_random_unit(seed, 7, (uint64_t)i) - 3);
    logits[V / 2] = logits[V / 3]; /* a tie */
}

static const pp_kernels *all_kernels(void)
{
    static pp_kernels table;
    pp_kernels_fill(&table, PP_ISA_COUNT);
    return &table;
}

/* ---- the distribution that the options describe, the slow way ---- */

typedef struct token {
    double logit, p;
    int id;
} token;

static int falling(const void *a, const void *b)
{
    const token *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id - y->id;
}

static void expected_law(const float *logits, const pippin_sampling *o, double p[V])
{
    token t[V];
    double sum = 0, kept = 0;
    int n = V;
    for (int i = 0; i < V; i++) t[i] = (token){(double)logits[i], 0, i};
    qsort(t, V, sizeof *t, falling);
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    for (int i = 0; i < n; i++) sum += t[i].p = exp((t[i].logit - t[0].logit) / o->temperature);
    const double whole = sum;
    for (int i = 0; i < V; i++) p[i] = 0;
    for (int i = 0; i < n; i++) {
        if (i && o->top_p > 0 && kept >= o->top_p * whole) break;
        if (i && t[i].p < o->min_p) break;
        kept += t[i].p;
        p[t[i].id] = t[i].p;
    }
    for (int i = 0; i < V; i++) p[i] /= kept;
}

/* every: tokens that have no logit; 0: all have one. */
static void check_laws(int every)
{
    static const pippin_sampling options[] = {
        {.temperature = 1},
        {.temperature = 0.5},
        {.temperature = 2.5},
        {.temperature = 1, .top_k = 1},
        {.temperature = 1, .top_k = 7},
        {.temperature = 1, .top_k = 1000},
        {.temperature = 1, .top_p = 0.6},
        {.temperature = 0.7, .top_p = 0.05},
        {.temperature = 1, .min_p = 0.1},
        {.temperature = 1.3, .top_k = 20, .top_p = 0.8, .min_p = 0.05},
        {.temperature = 1, .top_k = 5, .min_p = 0.9},
        /* Steep laws, whose filters keep tokens of far less than a tenth of the likeliest one's probability. */
        {.temperature = 0.4, .top_k = 20},
        {.temperature = 0.4, .top_p = 0.995},
        {.temperature = 0.4, .min_p = 0.005},
    };
    pp_sampler s;
    OK(pp_sampler_create(all_kernels(), V, &s, err));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        float logits[V];
        double p[V];
        int64_t counts[V] = {0};
        make_logits(logits, i);
        for (int k = 1; every && k < V; k += every) logits[k] = -INFINITY;
        expected_law(logits, &options[i], p);
        for (uint64_t n = 0; n < DRAWS; n++) counts[pp_sample(&s, &options[i], logits, &(pp_history){0}, n)]++;
        const double off = sigmas(counts, p, V, DRAWS);
        if (!(fabs(off) < 5)) fail_msg("options %zu, every %d: %g sigmas", i, every, off);
        for (int k = 1; every && k < V; k += every) assert_int_equal(counts[k], 0);
        /* The test would notice: the law of another temperature is far off. */
        pippin_sampling other = options[i];
        other.temperature *= 1.2;
        expected_law(logits, &other, p);
        if (i < 3) assert_true(fabs(sigmas(counts, p, V, DRAWS)) > 5);
    }
    pp_sampler_free(&s);
}

/* Whatever has a logit, and with a head that computes some of them only. */
static void test_law(void **state)
{
    (void)state;
    check_laws(0);
    check_laws(2);
}

/* The first of the largest, wherever in blocks and vectors it lies, with NaNs and infinities about. */
static void test_greedy(void **state)
{
    (void)state;
    enum { MOST = 5000 };
    float *logits = test_calloc(MOST, sizeof *logits);
    for (uint64_t round = 0; round < 400; round++) {
        const int n = 1 + (int)(pp_random_unit(3, 1, round) * (MOST - 1));
        for (int i = 0; i < n; i++) logits[i] = floorf((float)pp_random_unit(round, 2, (uint64_t)i) * 30 - 40);
        for (int i = 0; i < 3; i++) logits[(int)(pp_random_unit(round, 3, (uint64_t)i) * n)] = i ? NAN : -INFINITY;
        int want = -1;
        for (int i = 0; i < n; i++)
            if (!isnan(logits[i]) && (want < 0 || logits[i] > logits[want])) want = i;
        const pp_sampler s = {.kernels = all_kernels(), .n_vocab = n};
        assert_int_equal(pp_sample_greedy(&s, logits), PP_MAX(want, 0));
    }
    test_free(logits);
}

static void test_penalties(void **state)
{
    (void)state;
    pp_sampler s;
    float logits[V];
    for (int i = 0; i < V; i++) logits[i] = -10;
    logits[3] = 4;
    logits[5] = 3;
    logits[7] = 2;
    OK(pp_sampler_create(all_kernels(), V, &s, err));
    const int32_t tokens[] = {3, 3, 5, 3};
    const pp_history history = {tokens, 4, 2};
#define PICK(...) pp_sample(&s, &(pippin_sampling){__VA_ARGS__}, logits, &history, 0)
    assert_int_equal(PICK(.temperature = 0), 3);
    assert_int_equal(PICK(.repeat_penalty = 1), 3);
    assert_int_equal(PICK(.repeat_penalty = 1.5), 3);                     /* 2.67, 2, 2 */
    assert_int_equal(PICK(.repeat_penalty = 2.5), 7);                     /* 1.6, 1.2, 2 */
    assert_int_equal(PICK(.repeat_penalty = 1.5, .repeat_window = 1), 5); /* only the last 3: 2.67, 3, 2 */
    assert_int_equal(PICK(.presence_penalty = 1.5), 3);                   /* 2.5, 1.5, 2: once each, however often */
    assert_int_equal(PICK(.frequency_penalty = 2.5), 7);                  /* 1.5, 0.5, 2 */
    const pippin_logit_bias bias[] = {{9, 20}, {3, -INFINITY}};
    assert_int_equal(PICK(.bias = bias, .n_bias = 1), 9);
    assert_int_equal(PICK(.bias = bias + 1, .n_bias = 1), 5); /* a ban */
#undef PICK
    pp_sampler_free(&s);
}

static void test_ranges(void **state)
{
    (void)state;
    pippin_error failure;
    const pippin_logit_bias beyond = {V, 1};
    static const pippin_sampling wrong[] = {{.temperature = -1}, {.temperature = NAN}, {.top_p = 1.5},
                                            {.min_p = -0.1},     {.top_k = -1},        {.repeat_penalty = -2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(pp_sampling_check(&wrong[i], V, &failure), PIPPIN_E_ARGUMENT);
    assert_int_equal(pp_sampling_check(&(pippin_sampling){.bias = &beyond, .n_bias = 1}, V, &failure),
                     PIPPIN_E_ARGUMENT);
}

static void test_logprobs(void **state)
{
    (void)state;
    pp_sampler s;
    float logits[V];
    pippin_logprob top[V];
    make_logits(logits, 3);
    OK(pp_sampler_create(all_kernels(), V, &s, err));
    pp_top_logprobs(&s, logits, pp_log_sum(&s, logits), top, V);
    double sum = 0;
    for (int i = 0; i < V; i++) {
        sum += exp((double)top[i].logprob);
        if (i)
            assert_true(top[i].logprob < top[i - 1].logprob ||
                        (top[i].logprob == top[i - 1].logprob && top[i].id > top[i - 1].id));
    }
    assert_true(fabs(sum - 1) < 1e-6);
    pp_sampler_free(&s);
}

/* ---- stop strings ---- */

/* Whatever the pieces are that a text comes in, what is shown is the text before the first stop string, or all of it. */
static void test_stop_strings(void **state)
{
    (void)state;
    static const char *const strings[] = {"aab", "bb", "abca"};
    for (uint64_t round = 0; round < 3000; round++) {
        char text[60], shown[60];
        size_t n = (size_t)(pp_random_bits(round, 1, 0) % 59), n_shown = 0, end = n;
        for (size_t i = 0; i < n; i++) text[i] = "abc"[pp_random_bits(round, 2, i) % 3];
        text[n] = 0;
        for (size_t i = 0; i < 3; i++) {
            const char *at = strstr(text, strings[i]);
            if (at && (size_t)(at - text) < end) end = (size_t)(at - text);
        }
        pp_stopper s;
        bool stopped = false;
        OK(pp_stopper_init(&s, strings, 3, 8, err));
        for (size_t at = 0; at < n && !stopped;) {
            size_t piece = PP_MIN(n - at, (size_t)(pp_random_bits(round, 3, at) % 9)), n_out = piece;
            const char *out = pp_stopper_push(&s, text + at, &n_out, &stopped);
            memcpy(shown + n_shown, out, n_out);
            n_shown += n_out;
            at += PP_MAX(piece, (size_t)(piece == 0 && at == n));
            if (piece == 0) { /* an empty piece changes nothing: give the next byte */
                n_out = 1;
                out = pp_stopper_push(&s, text + at, &n_out, &stopped);
                memcpy(shown + n_shown, out, n_out);
                n_shown += n_out;
                at++;
            }
        }
        if (!stopped) {
            size_t rest;
            const char *out = pp_stopper_rest(&s, &rest);
            memcpy(shown + n_shown, out, rest);
            n_shown += rest;
        }
        assert_int_equal(n_shown, end);
        assert_memory_equal(shown, text, end);
        assert_int_equal(stopped, end < n);
        pp_stopper_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_law),       cmocka_unit_test(test_greedy),
                                       cmocka_unit_test(test_penalties), cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_logprobs),  cmocka_unit_test(test_stop_strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
