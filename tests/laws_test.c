/*
 * laws_test.c - what must hold for every model: the same numbers, bit for bit, whatever the threads, the size of a pass,
 * the bypass, the cache's history, padding and packing.
 */
#define _DEFAULT_SOURCE
#include <math.h>

#include "quant/quant.h"
#include "tests/support.h"

enum { N = 40 };

typedef struct kind {
    const char *name;
    pippin_config config;
    pippin_type type;
} kind;

enum { N_KIND = 9 };

static size_t make_kinds(kind kinds[N_KIND])
{
    size_t n = 0;
    kinds[n++] = (kind){"afm f32", small_afm(), PIPPIN_F32};
    kinds[n++] = (kind){"afm bf16", small_afm(), PIPPIN_BF16};
    kinds[n] = (kind){"afm draft f16", small_afm(), PIPPIN_F16};
    kinds[n].config.n_reuse = 0;
    kinds[n++].config.lora_rank = 0;
    kinds[n] = (kind){"llama3", small_afm(), PIPPIN_F32};
    kinds[n].config.arch = PIPPIN_ARCH_LLAMA;
    kinds[n].config.n_reuse = 0;
    kinds[n].config.qk_norm = PIPPIN_QK_NORM_NONE;
    kinds[n].config.rope_pairs = PIPPIN_ROPE_HALVES;
    kinds[n].config.rope_scaling = PIPPIN_ROPE_SCALING_LLAMA3;
    kinds[n].config.rope_factor = 32;
    kinds[n].config.rope_low_freq = 1;
    kinds[n].config.rope_high_freq = 4;
    kinds[n++].config.rope_n_ctx_original = 16;
    kinds[n] = (kind){"qwen2", small_afm(), PIPPIN_F32};
    kinds[n].config.arch = PIPPIN_ARCH_QWEN2;
    kinds[n].config.n_reuse = 0;
    kinds[n].config.qk_norm = PIPPIN_QK_NORM_NONE;
    kinds[n].config.rope_pairs = PIPPIN_ROPE_HALVES;
    kinds[n].config.tied_head = false;
    kinds[n++].config.qkv_bias = true;
    kinds[n] = (kind){"qwen3", small_afm(), PIPPIN_BF16};
    kinds[n].config.arch = PIPPIN_ARCH_QWEN3;
    kinds[n].config.n_reuse = 0;
    kinds[n].config.qk_norm = PIPPIN_QK_NORM_BEFORE_ROPE;
    kinds[n++].config.rope_pairs = PIPPIN_ROPE_HALVES;
    kinds[n++] = (kind){"afm q2", small_afm(), PIPPIN_Q2};
    kinds[n++] = (kind){"afm q4", small_afm(), PIPPIN_Q4};
    kinds[n] = kinds[4];
    kinds[n].name = "qwen2 q8";
    kinds[n++].type = PIPPIN_Q8;
    return n;
}

static const pippin_type cache_types[] = {PIPPIN_F32, PIPPIN_BF16, PIPPIN_I8};

/* Calls law(model, K/V type) for every kind of model and of cache. */
static void for_all(void (*law)(pippin_model *model, pippin_type kv_type))
{
    kind kinds[N_KIND];
    const size_t n = make_kinds(kinds);
    for (size_t i = 0; i < n; i++) {
        pippin_model *model;
        OK(pippin_model_random(&kinds[i].config, kinds[i].type, 7 + i, NULL, &model, err));
        for (size_t j = 0; j < sizeof cache_types / sizeof *cache_types; j++) law(model, cache_types[j]);
        pippin_model_free(model);
    }
}

static pippin_session *session(pippin_model *model, pippin_session_options o)
{
    pippin_session *s;
    if (!o.n_ctx) o.n_ctx = 2 * N;
    if (!o.n_threads) o.n_threads = 1;
    OK(pippin_session_create(model, &o, &s, err));
    return s;
}

/* ---- collecting logits ---- */

typedef struct table {
    size_t n_vocab;
    float *rows; /* [n][n_vocab] */
} table;

static int keep_row(void *user, size_t i, const float *logits)
{
    table *t = user;
    memcpy(t->rows + i * t->n_vocab, logits, t->n_vocab * sizeof *logits);
    return 0;
}

static table score_all(pippin_model *model, pippin_session_options o, pippin_score score)
{
    pippin_session *s = session(model, o);
    table t = {(size_t)pippin_model_config(model)->n_vocab, NULL};
    t.rows = test_calloc(score.n_tok * t.n_vocab, sizeof(float));
    score.row = keep_row;
    score.user = &t;
    OK(pippin_session_score(s, &score, err));
    pippin_session_free(s);
    return t;
}

static void assert_same(const float *a, const float *b, size_t n) { assert_memory_equal(a, b, n * sizeof *a); }

/* ---- the laws ---- */

static void threads_and_chunks(pippin_model *model, pippin_type kv_type)
{
    int32_t tokens[N];
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 1);
    const pippin_score score = {.tokens = tokens, .n_tok = N};
    table one = score_all(model, (pippin_session_options){.kv_type = kv_type}, score);
    const pippin_session_options others[] = {{.kv_type = kv_type, .n_threads = 2},
                                             {.kv_type = kv_type, .n_threads = 3, .n_batch = 7},
                                             {.kv_type = kv_type, .n_batch = 1},
                                             {.kv_type = kv_type, .n_batch = 16, .n_logits = 5},
                                             {.kv_type = kv_type, .no_bypass = true}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        table other = score_all(model, others[i], score);
        assert_same(one.rows, other.rows, N * one.n_vocab);
        test_free(other.rows);
    }
    test_free(one.rows);
}

/* The last row of a score = the logits after a sync, with and without the bypass, in any chunks, on any threads. */
static void bypass(pippin_model *model, pippin_type kv_type)
{
    int32_t tokens[N];
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 2);
    table all =
        score_all(model, (pippin_session_options){.kv_type = kv_type}, (pippin_score){.tokens = tokens, .n_tok = N});
    const pippin_session_options options[] = {{.kv_type = kv_type},
                                              {.kv_type = kv_type, .no_bypass = true},
                                              {.kv_type = kv_type, .n_batch = 9, .n_threads = 2}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        pippin_session *s = session(model, options[i]);
        OK(pippin_session_sync(s, tokens, N, err));
        assert_same(pippin_session_logits(s), all.rows + (N - 1) * all.n_vocab, all.n_vocab);
        pippin_session_free(s);
    }
    test_free(all.rows);
}

/* Extending, rewinding, branching: always what a fresh session gives. */
static void prefix_reuse(pippin_model *model, pippin_type kv_type)
{
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    int32_t a[N], b[N];
    make_tokens(a, N, (int32_t)n_vocab, 3);
    memcpy(b, a, sizeof b);
    b[N / 2] = a[N / 2] == 1 ? 2 : 1;
    const struct {
        const int32_t *tokens;
        size_t n, reused;
    } steps[] = {{a, 10, 0}, {a, N, 10}, {a, N, N}, {b, N, N / 2}, {a, 5, 4}, {a, 6, 5}, {b + 1, 7, 0}};
    pippin_session *s = session(model, (pippin_session_options){.kv_type = kv_type, .n_batch = 8});
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        pippin_session *fresh = session(model, (pippin_session_options){.kv_type = kv_type});
        OK(pippin_session_sync(s, steps[i].tokens, steps[i].n, err));
        OK(pippin_session_sync(fresh, steps[i].tokens, steps[i].n, err));
        assert_int_equal(pippin_session_n_reused(s), steps[i].reused);
        assert_int_equal(pippin_session_n_tok(s), steps[i].n);
        assert_same(pippin_session_logits(s), pippin_session_logits(fresh), n_vocab);
        pippin_session_free(fresh);
    }
    pippin_session_free(s);
}

/* [pad.., text, pad.., more of the text, pad..] = the text alone. */
static void padding(pippin_model *model, pippin_type kv_type)
{
    enum { LEFT = 5, MIDDLE = 3, RIGHT = 4, ALL = LEFT + N + MIDDLE + RIGHT };
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    int32_t text[N], tokens[ALL] = {0}, segments[ALL];
    make_tokens(text, N, (int32_t)n_vocab, 4);
    for (int i = 0, t = 0; i < ALL; i++) {
        const bool pad = i < LEFT || (i >= LEFT + 11 && i < LEFT + 11 + MIDDLE) || i >= ALL - RIGHT;
        segments[i] = pad ? -1 : 0;
        if (!pad) tokens[i] = text[t++];
    }
    table alone =
        score_all(model, (pippin_session_options){.kv_type = kv_type}, (pippin_score){.tokens = text, .n_tok = N});
    table padded = score_all(model, (pippin_session_options){.kv_type = kv_type, .n_batch = 13},
                             (pippin_score){.tokens = tokens, .segments = segments, .n_tok = ALL});
    for (size_t i = 0, t = 0; i < ALL; i++)
        if (segments[i] >= 0) assert_same(padded.rows + i * n_vocab, alone.rows + t++ * n_vocab, n_vocab);
    test_free(alone.rows);
    test_free(padded.rows);
}

static void packing(pippin_model *model, pippin_type kv_type)
{
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    static const size_t ends[] = {0, 9, 10, 31, N};
    int32_t tokens[N], segments[N];
    make_tokens(tokens, N, (int32_t)n_vocab, 5);
    for (size_t i = 0, part = 0; i < N; i++) {
        if (i == ends[part + 1]) part++;
        segments[i] = (int32_t)part + 1;
    }
    table packed = score_all(model, (pippin_session_options){.kv_type = kv_type, .n_batch = 11, .n_threads = 2},
                             (pippin_score){.tokens = tokens, .segments = segments, .n_tok = N});
    for (size_t part = 0; part + 1 < sizeof ends / sizeof *ends; part++) {
        const size_t first = ends[part], n = ends[part + 1] - first;
        table alone = score_all(model, (pippin_session_options){.kv_type = kv_type},
                                (pippin_score){.tokens = tokens + first, .n_tok = n});
        assert_same(packed.rows + first * n_vocab, alone.rows, n * n_vocab);
        test_free(alone.rows);
    }
    test_free(packed.rows);
}

static bool is_low(const pippin_model *model) { return pp_low_bits(pippin_model_type(model)) > 0; }

/* Fast = reference within the bound that the golden cases are held to, however positions are stretched; an int8 or bf16
   cache is rounded and excepted, and so are inputs of low-bit layers, which low_test holds to a bound of their own. */
static void reference(pippin_model *model, pippin_type kv_type)
{
    if (kv_type != PIPPIN_F32 || is_low(model)) return;
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    int32_t tokens[N];
    make_tokens(tokens, N, (int32_t)n_vocab, 6);
    for (pippin_rope_scaling rope = PIPPIN_ROPE_SCALING_AUTO; rope <= PIPPIN_ROPE_SCALING_YARN; rope++) {
        const pippin_session_options o = {
            .kv_type = kv_type, .rope_scaling = rope, .rope_factor = rope > PIPPIN_ROPE_SCALING_NONE ? 8 : 0};
        pippin_score score = {.tokens = tokens, .n_tok = N};
        table fast = score_all(model, o, score);
        score.reference = true;
        table plain = score_all(model, o, score);
        for (size_t t = 0; t < N; t++) {
            float largest = 0, error = 0;
            for (size_t i = t * n_vocab; i < (t + 1) * n_vocab; i++) {
                largest = PP_MAX(largest, fabsf(plain.rows[i]));
                error = PP_MAX(error, fabsf(fast.rows[i] - plain.rows[i]));
            }
            if (!(error <= 5e-5f * largest))
                fail_msg("rope %s, token %zu: error %g of a largest logit of %g", pippin_rope_scaling_name(rope), t,
                         (double)error, (double)largest);
        }
        test_free(fast.rows);
        test_free(plain.rows);
    }
}

static void save_load(pippin_model *model, pippin_type kv_type)
{
    char dir[] = "/tmp/pippin-laws-XXXXXX", file[64];
    int32_t tokens[N];
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 8);
    assert_non_null(mkdtemp(dir));
    pippin_error refused;
    if (is_low(model)) { /* stored in GGUF only: low_test */
        assert_int_equal(pippin_model_save(model, dir, &refused), PIPPIN_E_UNSUPPORTED);
        assert_int_equal(remove(dir), 0);
        return;
    }
    OK(pippin_model_save(model, dir, err));
    pippin_model *again;
    OK(pippin_model_open(dir, NULL, &again, err));
    const pippin_score score = {.tokens = tokens, .n_tok = N};
    table first = score_all(model, (pippin_session_options){.kv_type = kv_type}, score);
    table second = score_all(again, (pippin_session_options){.kv_type = kv_type}, score);
    assert_same(first.rows, second.rows, N * first.n_vocab);
    test_free(first.rows);
    test_free(second.rows);
    pippin_model_free(again);
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", dir, i ? "config.json" : "model.safetensors");
        assert_int_equal(remove(file), 0);
    }
    assert_int_equal(remove(dir), 0);
}

/* Once a session is made, evaluating allocates nothing. */
static void no_allocation(pippin_model *model, pippin_type kv_type)
{
    int32_t tokens[N], ids[8];
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 9);
    pippin_session *s = session(model, (pippin_session_options){.kv_type = kv_type, .n_threads = 2, .n_batch = 8});
    const uint64_t before = pippin_memory_used().allocations;
    OK(pippin_session_sync(s, tokens, N, err));
    OK(pippin_generate(s, tokens, N / 2, &(pippin_generate_options){.max_tokens = 8, .stop_ids = tokens}, ids, 8, NULL,
                       err));
    assert_int_equal(pippin_memory_used().allocations, before);
    pippin_session_free(s);
}

static void generation(pippin_model *model, pippin_type kv_type)
{
    int32_t tokens[N], a[12], b[12], c[12];
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 10);
    pippin_generate_options o = {.max_tokens = 12, .sampling = {.temperature = 1.5, .seed = 5}, .stop_ids = tokens};
    pippin_generate_result result;
    pippin_session *one = session(model, (pippin_session_options){.kv_type = kv_type});
    pippin_session *two = session(model, (pippin_session_options){.kv_type = kv_type, .n_threads = 2, .n_batch = 3});
    OK(pippin_generate(one, tokens, N, &o, a, 12, &result, err));
    assert_int_equal(result.n_generated, 12);
    assert_int_equal(result.finish, PIPPIN_FINISH_LENGTH);
    OK(pippin_generate(two, tokens, N, &o, b, 12, NULL, err));
    assert_memory_equal(a, b, sizeof a);
    o.sampling.seed = 6;
    OK(pippin_generate(two, tokens, N, &o, c, 12, &result, err));
    assert_int_equal(result.n_cached, N - 1);
    assert_memory_not_equal(a, c, sizeof a);
    pippin_session_free(one);
    pippin_session_free(two);
}

static void context_full(pippin_model *model, pippin_type kv_type)
{
    int32_t tokens[N], ids[N];
    pippin_error failure;
    pippin_generate_result result;
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 11);
    pippin_session *s = session(model, (pippin_session_options){.kv_type = kv_type, .n_ctx = N - 1});
    assert_int_equal(pippin_session_sync(s, tokens, N, &failure), PIPPIN_E_CONTEXT);
    assert_non_null(strstr(failure.text, "40 tokens"));
    assert_non_null(strstr(failure.text, "39"));
    OK(pippin_generate(s, tokens, N - 3, &(pippin_generate_options){.stop_ids = tokens}, ids, N, &result, err));
    assert_int_equal(result.n_generated, 3); /* two more fit the cache, and the last one need not be evaluated */
    pippin_session_free(s);
}

#define LAW(name)                                                                                                      \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        for_all(name);                                                                                                 \
    }
LAW(threads_and_chunks)
LAW(bypass)
LAW(prefix_reuse)
LAW(padding)
LAW(packing)
LAW(reference)
LAW(save_load)
LAW(no_allocation)
LAW(generation)
LAW(context_full)

/* A session of a small model, and N tokens for it. */
static pippin_session *small_session(pippin_model **model, int32_t tokens[N], uint64_t seed)
{
    pippin_config c = small_afm();
    make_tokens(tokens, N, c.n_vocab, seed);
    OK(pippin_model_random(&c, PIPPIN_F32, 1, NULL, model, err));
    return session(*model, (pippin_session_options){0});
}

static int stop_at_once(void *user, size_t i, const float *logits)
{
    (void)user, (void)logits;
    return i == 2;
}

static int cancel_and_stop(void *user, const pippin_token_event *event)
{
    if (event->id >= 0) pippin_session_cancel(user);
    return 1;
}

/* Layers that were announced, and the one that is not to be computed any more. */
typedef struct layers {
    int32_t n, n_layer, stop_at;
    pippin_session *s;
} layers;

static void count_layer(void *user, int32_t layer)
{
    layers *l = user;
    assert_int_equal(layer, l->n++ % l->n_layer);
    if (layer == l->stop_at) pippin_session_cancel(l->s);
}

/* at_layer hears of every layer in its order; what it cancels is not computed. */
static void test_layers(void **state)
{
    (void)state;
    const int32_t n_layer = small_afm().n_layer;
    pippin_model *model;
    pippin_error failure;
    int32_t tokens[N];
    layers l = {.n_layer = n_layer, .stop_at = -1, .s = small_session(&model, tokens, 13)};
    pippin_session_on_layer(l.s, count_layer, &l);
    OK(pippin_session_sync(l.s, tokens, N, err));
    assert_int_equal(l.n, n_layer);
    assert_int_equal(
        pippin_session_score(l.s, &(pippin_score){.tokens = tokens, .n_tok = 3, .row = stop_at_once}, &failure),
        PIPPIN_E_CANCELLED);
    assert_int_equal(l.n, 2 * n_layer);
    l.stop_at = 1;
    assert_int_equal(pippin_session_sync(l.s, tokens, N, &failure), PIPPIN_E_CANCELLED);
    assert_int_equal(l.n, 2 * n_layer + 2);
    pippin_session_on_layer(l.s, NULL, NULL);
    OK(pippin_session_sync(l.s, tokens, N, err));
    assert_int_equal(l.n, 2 * n_layer + 2);
    pippin_session_free(l.s);
    pippin_model_free(model);
}

static void test_cancel(void **state)
{
    (void)state;
    pippin_model *model;
    pippin_error failure;
    int32_t tokens[N];
    pippin_session *s = small_session(&model, tokens, 12);
    const pippin_score score = {.tokens = tokens, .n_tok = N, .row = stop_at_once};
    assert_int_equal(pippin_session_score(s, &score, &failure), PIPPIN_E_CANCELLED);
    OK(pippin_session_sync(s, tokens, N, err)); /* and it still works */
    /* A request that comes between two calls stops the next one, and only that. */
    pippin_session_cancel(s);
    assert_int_equal(pippin_session_sync(s, tokens, N / 2, &failure), PIPPIN_E_CANCELLED);
    OK(pippin_session_sync(s, tokens, N, err));
    /* One that comes while a text is generated belongs to that text, also when the callback is first to stop it. */
    const pippin_generate_options options = {.max_tokens = 5, .on_token = cancel_and_stop, .user = s};
    pippin_generate_result result;
    OK(pippin_generate(s, tokens, N, &options, NULL, 0, &result, err));
    assert_int_equal(result.finish, PIPPIN_FINISH_CANCELLED);
    OK(pippin_session_sync(s, tokens, N / 2, err));
    pippin_session_free(s);
    pippin_model_free(model);
}

static void test_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(pippin_memory_used().live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_and_chunks),
                                       cmocka_unit_test(test_bypass),
                                       cmocka_unit_test(test_prefix_reuse),
                                       cmocka_unit_test(test_padding),
                                       cmocka_unit_test(test_packing),
                                       cmocka_unit_test(test_reference),
                                       cmocka_unit_test(test_save_load),
                                       cmocka_unit_test(test_no_allocation),
                                       cmocka_unit_test(test_generation),
                                       cmocka_unit_test(test_context_full),
                                       cmocka_unit_test(test_layers),
                                       cmocka_unit_test(test_cancel),
                                       cmocka_unit_test(test_nothing_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
