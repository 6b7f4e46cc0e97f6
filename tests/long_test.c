/*
 * long_test.c - contexts that attention takes in several parts: the same numbers whoever computes them, whatever else there is;
 * caches that are filled with random values; and how much memory a large context costs.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "tests/support.h"

#include "infer/infer.h"

enum { N = 2 * PP_ATTEND_SPLIT + 150, N_VOCAB = 97 };

static pippin_model *tiny_model(pippin_type type)
{
    pippin_model *model;
    const pippin_config c = tiny_afm();
    OK(pippin_model_random(&c, type, 3, NULL, &model, err));
    return model;
}

static pippin_session *session(pippin_model *model, pippin_session_options o)
{
    pippin_session *s;
    OK(pippin_session_create(model, &o, &s, err));
    return s;
}

static const pippin_type cache_types[] = {PIPPIN_F32, PIPPIN_BF16, PIPPIN_I8};
enum { N_TYPE = sizeof cache_types / sizeof *cache_types };

/* ---- scores ---- */

typedef struct table {
    float (*rows)[N_VOCAB]; /* those of the first rows are not kept */
    size_t first;
} table;

static int keep_row(void *user, size_t i, const float *logits)
{
    table *t = user;
    if (i >= t->first) memcpy(t->rows[i - t->first], logits, sizeof *t->rows);
    return 0;
}

static void score(pippin_model *model, pippin_session_options o, pippin_score score, size_t first,
                  float rows[][N_VOCAB])
{
    table t = {rows, first};
    pippin_session *s = session(model, o);
    score.row = keep_row;
    score.user = &t;
    OK(pippin_session_score(s, &score, err));
    pippin_session_free(s);
}

/* Threads that share items, or the parts of one; passes of one row, of some, of many; tiles that begin anywhere. */
static void test_threads_and_passes(void **state)
{
    (void)state;
    enum { FIRST = PP_ATTEND_SPLIT - 20 };
    static float want[N - FIRST][N_VOCAB], got[N - FIRST][N_VOCAB];
    static const struct {
        int32_t n_threads, n_batch;
    } others[] = {{3, 512}, {2, 61}, {5, 1}, {3, 17}};
    int32_t tokens[N];
    make_tokens(tokens, N, N_VOCAB, 1);
    pippin_model *model = tiny_model(PIPPIN_F32);
    for (int type = 0; type < N_TYPE; type++) {
        pippin_session_options o = {.n_ctx = N, .n_threads = 1, .kv_type = cache_types[type]};
        score(model, o, (pippin_score){.tokens = tokens, .n_tok = N}, FIRST, want);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            o.n_threads = others[i].n_threads;
            o.n_batch = others[i].n_batch;
            score(model, o, (pippin_score){.tokens = tokens, .n_tok = N}, FIRST, got);
            assert_memory_equal(got, want, sizeof got);
        }
        pippin_session *s = session(model, (pippin_session_options){.n_ctx = N, .n_threads = 3, .kv_type = o.kv_type});
        OK(pippin_session_sync(s, tokens, N - 3, err));
        for (size_t n = N - 2; n <= N; n++) {
            OK(pippin_session_sync(s, tokens, n, err));
            assert_memory_equal(pippin_session_logits(s), want[n - 1 - FIRST], sizeof *want);
        }
        pippin_session_free(s);
    }
    pippin_model_free(model);
}

/* Two texts, woven into each other in runs of uneven length, are what each is alone. */
static void test_woven(void **state)
{
    (void)state;
    enum { FIRST = PP_ATTEND_SPLIT };
    static float woven[N][N_VOCAB], alone[2][N][N_VOCAB];
    int32_t tokens[N], segments[N], texts[2][N];
    size_t n[2] = {0};
    make_tokens(tokens, N, N_VOCAB, 2);
    for (size_t i = 0; i < N; i++) {
        const int text = i % 16 == 3 || i % 16 == 4 || i % 16 == 9;
        segments[i] = text ? 7 : 0;
        texts[text][n[text]++] = tokens[i];
    }
    assert_true(n[0] > FIRST);
    pippin_model *model = tiny_model(PIPPIN_F32);
    for (int type = 0; type < N_TYPE; type++) {
        pippin_session_options o = {.n_ctx = N, .n_threads = 3, .kv_type = cache_types[type]};
        score(model, o, (pippin_score){.tokens = tokens, .segments = segments, .n_tok = N}, 0, woven);
        o.n_threads = 1;
        for (int text = 0; text < 2; text++)
            score(model, o, (pippin_score){.tokens = texts[text], .n_tok = n[text]}, 0, alone[text]);
        for (size_t i = 0, at[2] = {0}; i < N; i++)
            assert_memory_equal(woven[i], alone[segments[i] == 7][at[segments[i] == 7]++], sizeof *woven);
    }
    pippin_model_free(model);
}

static void test_reference(void **state)
{
    (void)state;
    enum { FIRST = N - 200 };
    static float fast[N - FIRST][N_VOCAB], plain[N - FIRST][N_VOCAB];
    int32_t tokens[N];
    make_tokens(tokens, N, N_VOCAB, 3);
    pippin_model *model = tiny_model(PIPPIN_F32);
    const pippin_session_options o = {.n_ctx = N, .rope_scaling = PIPPIN_ROPE_SCALING_YARN, .rope_factor = 3};
    score(model, o, (pippin_score){.tokens = tokens, .n_tok = N}, FIRST, fast);
    score(model, o, (pippin_score){.tokens = tokens, .n_tok = N, .reference = true}, FIRST, plain);
    for (size_t t = 0; t < N - FIRST; t++) {
        float largest = 0, error = 0;
        for (int i = 0; i < N_VOCAB; i++) {
            largest = fmaxf(largest, fabsf(plain[t][i]));
            error = fmaxf(error, fabsf(fast[t][i] - plain[t][i]));
        }
        if (!(error <= 5e-5f * largest)) fail_msg("row %zu: error %g of %g", t, (double)error, (double)largest);
    }
    pippin_model_free(model);
}

/* ---- filled caches ---- */

/* The logits of one more token after n that are filled in. */
static void after_fill(pippin_model *model, pippin_session_options o, size_t n, uint64_t seed, float *out)
{
    pippin_session *s = session(model, o);
    int32_t *tokens = test_malloc((n + 1) * sizeof *tokens);
    const uint64_t before = pippin_memory_used().allocations;
    OK(pippin_session_fill(s, n, seed, err));
    assert_null(pippin_session_logits(s));
    assert_int_equal(pippin_session_n_tok(s), n);
    memcpy(tokens, pippin_session_tokens(s), n * sizeof *tokens);
    tokens[n] = 5;
    OK(pippin_session_sync(s, tokens, n + 1, err));
    assert_int_equal(pippin_session_n_reused(s), n);
    assert_int_equal(pippin_memory_used().allocations, before);
    memcpy(out, pippin_session_logits(s), N_VOCAB * sizeof *out);
    test_free(tokens);
    pippin_session_free(s);
}

static void test_fill(void **state)
{
    (void)state;
    static float logits[N_TYPE][N_VOCAB], other[N_VOCAB];
    pippin_model *model = tiny_model(PIPPIN_F32);
    pippin_error failure = {0};
    for (int type = 0; type < N_TYPE; type++) {
        pippin_session_options o = {.n_ctx = N, .n_threads = 1, .kv_type = cache_types[type]};
        after_fill(model, o, N - 1, 7, logits[type]);
        for (int i = 0; i < N_VOCAB; i++) {
            assert_true(isfinite(logits[type][i]));
            /* Codes by a power of 2 are what every type can hold; the new token's own K and V it rounds. */
            assert_true(fabsf(logits[type][i] - logits[0][i]) < 2e-2f);
        }
        after_fill(model, o, N - 1, 8, other);
        assert_memory_not_equal(other, logits[type], sizeof other);
        o.n_threads = 3;
        after_fill(model, o, N - 1, 7, other);
        assert_memory_equal(other, logits[type], sizeof other);
    }
    pippin_session *s = session(model, (pippin_session_options){.n_ctx = 64});
    assert_int_equal(pippin_session_fill(s, 65, 1, &failure), PIPPIN_E_CONTEXT);
    assert_int_equal(pippin_session_fill(s, 0, 1, &failure), PIPPIN_E_ARGUMENT);
    /* What is no continuation of it is read from the start. */
    int32_t tokens[8];
    make_tokens(tokens, 8, N_VOCAB, 4);
    OK(pippin_session_fill(s, 64, 1, err));
    tokens[0] = pippin_session_tokens(s)[0] == 1 ? 2 : 1;
    OK(pippin_session_sync(s, tokens, 8, err));
    assert_int_equal(pippin_session_n_reused(s), 0);
    memcpy(other, pippin_session_logits(s), sizeof other);
    pippin_session_free(s);
    s = session(model, (pippin_session_options){.n_ctx = 8});
    OK(pippin_session_sync(s, tokens, 8, err));
    assert_memory_equal(other, pippin_session_logits(s), sizeof other);
    pippin_session_free(s);
    pippin_model_free(model);
}

/* The largest context that there is. */
static void test_largest(void **state)
{
    (void)state;
    enum { MOST = 1 << 20 };
    static float one[N_VOCAB], three[N_VOCAB];
    pippin_model *model = tiny_model(PIPPIN_F32);
    pippin_session_options o = {.n_ctx = MOST, .n_threads = 1, .kv_type = PIPPIN_I8};
    after_fill(model, o, MOST - 1, 7, one);
    o.n_threads = 3;
    after_fill(model, o, MOST - 1, 7, three);
    assert_memory_equal(one, three, sizeof one);
    pippin_model_free(model);
}

/* A text that is too long for a session whose positions are stretched is told why that cannot be changed. */
static void test_too_long(void **state)
{
    (void)state;
    int32_t tokens[65];
    pippin_error failure = {0};
    make_tokens(tokens, 65, N_VOCAB, 4);
    pippin_model *model = tiny_model(PIPPIN_F32);
    pippin_session *s = session(
        model, (pippin_session_options){.n_ctx = 64, .rope_scaling = PIPPIN_ROPE_SCALING_NTK, .rope_factor = 2});
    assert_int_equal(pippin_session_sync(s, tokens, 65, &failure), PIPPIN_E_CONTEXT);
    assert_non_null(strstr(failure.text, "factor of 2 is fixed"));
    pippin_session_free(s);
    pippin_model_free(model);
}

/* ---- memory ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__linux__)
static void test_memory(void **state)
{
    (void)state;
    print_message("SKIPPED memory: pages cannot be counted under this sanitizer or system\n");
}
#else
static uint64_t resident(void)
{
    unsigned long long all, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &all, &pages), 2);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The cache of the 3B model, with its static scales, on a network that is narrow elsewhere. */
static pippin_model *wide_cache(void)
{
    pippin_config c;
    pippin_model *model;
    OK(pippin_config_preset("afm-base", &c, err));
    c.n_vocab = 97;
    c.d_model = 32;
    c.d_ffn = 32;
    OK(pippin_model_random(&c, PIPPIN_BF16, 3, NULL, &model, err));
    model->weights.has_kv_scales = true;
    for (int32_t i = 0; i < c.n_layer; i++)
        model->weights.layers[i].k_scale = model->weights.layers[i].v_scale = 1.0f / 64;
    return model;
}

/* What plan says is what is resident when a context is full; what it takes before that is little, however large it may get. */
static void test_memory(void **state)
{
    (void)state;
    static const int32_t contexts[] = {4096, 32768};
    int32_t tokens[300];
    pippin_model *model = wide_cache();
    make_tokens(tokens, 300, N_VOCAB, 5);
    const uint64_t empty = resident();
    pippin_session *s = session(model, (pippin_session_options){.n_ctx = 205000});
    const uint64_t made = resident();
    if (made - empty > 3 << 20)
        fail_msg("a session of 205,000 tokens takes %.1f MB at once", 1e-6 * (double)(made - empty));
    pippin_session_free(s);
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        const size_t n = (size_t)contexts[i];
        const uint64_t before = resident();
        pippin_plan plan;
        pippin_plan_compute(pippin_model_config(model), &(pippin_plan_options){.n_ctx = contexts[i]}, &plan);
        s = session(model, (pippin_session_options){.n_ctx = contexts[i]});
        OK(pippin_session_sync(s, tokens, 300, err));
        OK(pippin_session_fill(s, n, 1, err));
        const double took = (double)(resident() - before), planned = (double)(plan.kv + plan.scratch);
        print_message("%d tokens: %.1f MB resident, %.1f MB planned\n", (int)n, 1e-6 * took, 1e-6 * planned);
        if (fabs(took / planned - 1) > 0.05) fail_msg("%zu tokens: %.0f bytes, planned %.0f", n, took, planned);
        pippin_session_free(s);
    }
    pippin_model_free(model);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory),  cmocka_unit_test(test_threads_and_passes),
                                       cmocka_unit_test(test_woven),   cmocka_unit_test(test_reference),
                                       cmocka_unit_test(test_fill),    cmocka_unit_test(test_largest),
                                       cmocka_unit_test(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
