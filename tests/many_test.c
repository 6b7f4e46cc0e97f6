/*
 * many_test.c - texts that take part in the same passes get what each gets alone, bit for bit: logits, tokens, ends; whatever
 * else is in the pass, and whoever fails or is stopped.
 */
#include <math.h>

#include "adapter/adapter.h"
#include "tests/support.h"

enum { N = 16, LONGEST = 40, N_NEW = 24 };

typedef struct kind {
    pippin_type type, kv_type;
    bool llama;
} kind;

static const kind kinds[] = {{PIPPIN_F32, PIPPIN_F32, false},
                             {PIPPIN_BF16, PIPPIN_BF16, true},
                             {PIPPIN_Q2, PIPPIN_I8, false},
                             {PIPPIN_Q4, PIPPIN_I8, true}};
enum { N_KIND = sizeof kinds / sizeof *kinds };

static pippin_model *model_of(const kind *k)
{
    pippin_config c = small_afm();
    pippin_model *model;
    if (k->llama) {
        c.arch = PIPPIN_ARCH_LLAMA;
        c.n_reuse = 0;
        c.qk_norm = PIPPIN_QK_NORM_NONE;
    }
    OK(pippin_model_random(&c, k->type, 3, NULL, &model, err));
    return model;
}

/* An adapter with an effect. */
static pippin_adapter *adapter_of(pippin_model *model, uint64_t seed)
{
    pippin_adapter *a;
    OK(pp_adapter_new(pippin_model_config(model), 4, 8, seed, &a, err));
    a->model = pippin_model_retain(model);
    for (size_t i = 0; i < a->n_values; i++) ((float *)a->values)[i] = (float)(pp_random_unit(seed, 5, i) - 0.5) / 4;
    return a;
}

static pippin_session *create(pippin_model *model, const kind *k, pippin_session *with, int32_t n_batch)
{
    pippin_session *s;
    OK(pippin_session_create(
        model,
        &(pippin_session_options){
            .n_ctx = LONGEST + N_NEW, .n_threads = 2, .n_batch = n_batch, .kv_type = k->kv_type, .with = with},
        &s, err));
    return s;
}

static size_t length_of(size_t i) { return 1 + i * 7 % LONGEST; }

static void make_texts(int32_t texts[N][LONGEST], int32_t n_vocab)
{
    for (size_t i = 0; i < N; i++) make_tokens(texts[i], LONGEST, n_vocab, 40 + i);
}

/* ---- logits ---- */

static void logits_of(const kind *k, int32_t n_batch)
{
    int32_t texts[N][LONGEST];
    pippin_model *model = model_of(k);
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    make_texts(texts, (int32_t)n_vocab);
    float *alone = test_calloc(N * n_vocab, sizeof *alone);
    pippin_session *one = create(model, k, NULL, 0), *s[N];
    for (size_t i = 0; i < N; i++) {
        OK(pippin_session_sync(one, texts[i], length_of(i), err));
        memcpy(alone + i * n_vocab, pippin_session_logits(one), n_vocab * sizeof *alone);
    }
    for (size_t i = 0; i < N; i++) s[i] = create(model, k, i ? s[0] : NULL, n_batch);
    for (size_t n = 1; n <= N; n++) {
        pippin_text items[N];
        /* In every second round some texts are cached, as a whole or their beginning. */
        for (size_t i = 0; i < n; i++) {
            items[i] = (pippin_text){s[i], texts[i], length_of(i)};
            if (n % 2) OK(pippin_session_sync(s[i], texts[i], 1 + i % length_of(i), err));
        }
        OK(pippin_sync_many(items, n, err));
        for (size_t i = 0; i < n; i++)
            assert_memory_equal(pippin_session_logits(s[i]), alone + i * n_vocab, n_vocab * sizeof *alone);
    }
    /* Logits are gone with the next pass of any of them, and are computed again when they are asked for. */
    OK(pippin_session_sync(s[0], texts[1], 2, err));
    assert_null(pippin_session_logits(s[1]));
    OK(pippin_session_sync(s[1], texts[1], length_of(1), err));
    assert_memory_equal(pippin_session_logits(s[1]), alone + n_vocab, n_vocab * sizeof *alone);
    for (size_t i = 0; i < N; i++) pippin_session_free(s[i]); /* the first one's memory lives as long as the last */
    pippin_session_free(one);
    pippin_model_free(model);
    test_free(alone);
}

static void logits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KIND; i++)
        for (int32_t n_batch = 16; n_batch <= 64; n_batch *= 2) logits_of(&kinds[i], n_batch);
}

/* ---- a part of the head ---- */

/* May the token be guessed after this text? In groups of 32 the first n of the vocabulary, and the text's own. */
static bool is_listed(int32_t id, int32_t n_shortlist, const int32_t *text, size_t n)
{
    bool listed = n_shortlist == 0 || id / 32 <= (n_shortlist - 1) / 32;
    for (size_t i = 0; i < n; i++) listed |= text[i] / 32 == id / 32;
    return listed;
}

/* Texts of which some have a shortlist, in one pass: logits are those of the whole head where they are listed. */
static void part_of_head(const kind *k, int32_t n_vocab, int n_thread)
{
    pippin_config c = small_afm();
    int32_t texts[N][LONGEST];
    pippin_model *model;
    pippin_session *s[N];
    pippin_text items[N];
    size_t n_left_out = 0;
    c.n_vocab = n_vocab;
    OK(pippin_model_random(&c, k->type, 3, NULL, &model, err));
    for (size_t i = 0; i < N; i++) make_tokens(texts[i], LONGEST, i % 2 ? n_vocab : n_vocab / 3, 40 + i);
    pippin_session *one = create(model, k, NULL, 0);
    for (size_t i = 0; i < N; i++) {
        const pippin_session_options o = {.n_ctx = LONGEST,
                                          .n_threads = n_thread,
                                          .kv_type = k->kv_type,
                                          .with = i ? s[0] : NULL,
                                          .n_shortlist = (int32_t)(i % 4) * 37};
        OK(pippin_session_create(model, &o, &s[i], err));
        if (i % 3 == 0) OK(pippin_session_sync(s[i], texts[(i + 1) % N], LONGEST, err)); /* another text before */
        items[i] = (pippin_text){s[i], texts[i], length_of(i)};
    }
    OK(pippin_sync_many(items, N, err));
    for (size_t i = 0; i < N; i++) {
        OK(pippin_session_sync(one, texts[i], length_of(i), err));
        const float *whole = pippin_session_logits(one), *part = pippin_session_logits(s[i]);
        for (int32_t id = 0; id < n_vocab; id++) {
            const bool listed = is_listed(id, (int32_t)(i % 4) * 37, texts[i], length_of(i));
            const float want = listed ? whole[id] : -INFINITY;
            assert_memory_equal(&part[id], &want, sizeof want);
            n_left_out += !listed;
        }
    }
    assert_true(n_left_out > 100);
    for (size_t i = 0; i < N; i++) pippin_session_free(s[i]);
    pippin_session_free(one);
    pippin_model_free(model);
}

static void parts_of_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KIND; i++)
        for (int n_thread = 1; n_thread <= 3; n_thread++) part_of_head(&kinds[i], n_thread == 1 ? 320 : 309, n_thread);
}

/* ---- texts ---- */

typedef struct answer {
    int32_t ids[N_NEW];
    pippin_generate_result result;
    uint32_t heard; /* a sum over its callbacks */
} answer;

static int hear(void *user, const pippin_token_event *event)
{
    answer *a = user;
    uint32_t bits[3];
    memcpy(bits, &event->logprob, sizeof *bits);
    memcpy(bits + 1, &event->top[1].logprob, sizeof *bits);
    bits[2] = (uint32_t)event->id;
    for (int i = 0; i < 3; i++) a->heard = (a->heard ^ bits[i]) * 16777619u;
    return 0;
}

typedef struct cast {
    pippin_model *model, *draft;
    pippin_adapter *adapters[3];
    int32_t texts[N][LONGEST];
} cast;

/* Text i has its own adapters, sampling, length, and guesses by a draft, by lookup, or none. */
static pippin_generate_options options_of(size_t i, pippin_session *draft, answer *a)
{
    return (pippin_generate_options){.max_tokens = N_NEW - i % 5,
                                     .sampling = {.temperature = i % 3 ? 0.3 * (double)i : 0,
                                                  .top_k = i % 4 == 1 ? 20 : 0,
                                                  .top_p = i % 4 == 2 ? 0.9 : 0,
                                                  .repeat_penalty = i % 5 == 3 ? 1.2 : 0,
                                                  .seed = i},
                                     .draft = i % 3 == 1 ? draft : NULL,
                                     .lookup = i % 3 == 2,
                                     .draft_tokens = 1 + (int32_t)(i % 4),
                                     .logprobs = 2,
                                     .on_token = hear,
                                     .user = a};
}

/* Two neighbours with the same adapters each, or none; one of them with another scale. */
static void adapt(pippin_session *s, const cast *c, size_t i)
{
    const size_t pair = i / 2 % 3;
    pippin_adapter_use uses[2] = {{c->adapters[pair], i == 5 ? 0.25f : 1}, {c->adapters[(pair + 1) % 3], 0.5f}};
    OK(pippin_session_set_adapters(s, uses, pair, err));
}

static void texts_of(const kind *k, int32_t n_batch)
{
    static cast c;
    static answer alone[N], together[N];
    pippin_generate_options options[N];
    pippin_generation jobs[N] = {0};
    pippin_session *s[N], *d[N];
    c.model = model_of(k);
    c.draft = model_of(&(kind){PIPPIN_Q8, PIPPIN_F32, k->llama});
    for (size_t i = 0; i < 3; i++) c.adapters[i] = adapter_of(c.model, i);
    make_texts(c.texts, pippin_model_config(c.model)->n_vocab);
    memset(alone, 0, sizeof alone);
    memset(together, 0, sizeof together);
    for (size_t i = 0; i < N; i++) {
        pippin_session *one = create(c.model, k, NULL, 0), *draft = create(c.draft, k, NULL, 0);
        adapt(one, &c, i);
        const pippin_generate_options o = options_of(i, draft, &alone[i]);
        OK(pippin_generate(one, c.texts[i], length_of(i), &o, alone[i].ids, N_NEW, &alone[i].result, err));
        pippin_session_free(one);
        pippin_session_free(draft);
    }
    for (size_t i = 0; i < N; i++) {
        s[i] = create(c.model, k, i ? s[0] : NULL, n_batch);
        d[i] = create(c.draft, k, i ? d[0] : NULL, 0);
        adapt(s[i], &c, i);
        options[i] = options_of(i, d[i], &together[i]);
        jobs[i] = (pippin_generation){.session = s[i],
                                      .prompt = c.texts[i],
                                      .n_prompt = length_of(i),
                                      .options = &options[i],
                                      .ids = together[i].ids,
                                      .capacity = N_NEW};
    }
    OK(pippin_generate_many(jobs, N, err));
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(jobs[i].status, PIPPIN_OK);
        assert_int_equal(jobs[i].result.n_generated, alone[i].result.n_generated);
        assert_int_equal(jobs[i].result.finish, alone[i].result.finish);
        assert_int_equal(jobs[i].result.n_accepted, alone[i].result.n_accepted);
        assert_memory_equal(together[i].ids, alone[i].ids, sizeof alone[i].ids);
        assert_int_equal(together[i].heard, alone[i].heard);
        /* The session holds the text, so that it can go on. */
        assert_int_equal(pippin_session_n_tok(s[i]), length_of(i) + jobs[i].result.n_generated - 1);
    }
    for (size_t i = 0; i < N; i++) {
        pippin_session_free(s[i]);
        pippin_session_free(d[i]);
    }
    for (size_t i = 0; i < 3; i++) pippin_adapter_free(c.adapters[i]);
    pippin_model_free(c.model);
    pippin_model_free(c.draft);
}

static void texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KIND; i++)
        for (int32_t n_batch = 16; n_batch <= 64; n_batch *= 4) texts_of(&kinds[i], n_batch);
}

/* ---- one fails, one is stopped: the others go on ---- */

static int stop_after_three(void *user, const pippin_token_event *event)
{
    if (event->index == 3) pippin_session_cancel(user);
    return 0;
}

static void each_ends_alone(void **state)
{
    (void)state;
    int32_t texts[N][LONGEST], ids[4][N_NEW], want[N_NEW];
    pippin_model *model = model_of(&kinds[0]);
    make_texts(texts, pippin_model_config(model)->n_vocab);
    pippin_session *s[4];
    for (size_t i = 0; i < 4; i++) s[i] = create(model, &kinds[0], i ? s[0] : NULL, 0);
    const pippin_generate_options plain = {.max_tokens = N_NEW},
                                  wrong = {.max_tokens = N_NEW, .sampling = {.temperature = -1}},
                                  stopped = {.max_tokens = N_NEW, .on_token = stop_after_three, .user = s[2]};
    const pippin_generate_options *options[4] = {&plain, &wrong, &stopped, &plain};
    pippin_generation jobs[4];
    for (size_t i = 0; i < 4; i++)
        jobs[i] = (pippin_generation){.session = s[i],
                                      .prompt = texts[i],
                                      .n_prompt = i == 3 ? 0 : 9,
                                      .options = options[i],
                                      .ids = ids[i],
                                      .capacity = N_NEW};
    OK(pippin_generate_many(jobs, 4, err));
    assert_int_equal(jobs[0].status, PIPPIN_OK);
    assert_int_equal(jobs[1].status, PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(jobs[1].error.text, "temperature"));
    assert_int_equal(jobs[2].status, PIPPIN_E_CANCELLED);
    assert_int_equal(jobs[2].result.finish, PIPPIN_FINISH_CANCELLED);
    assert_int_equal(jobs[2].result.n_generated, 4);
    assert_int_equal(jobs[3].status, PIPPIN_E_ARGUMENT);
    assert_int_equal(jobs[0].result.n_generated, N_NEW);
    pippin_session *one = create(model, &kinds[0], NULL, 0);
    OK(pippin_generate(one, texts[0], 9, &plain, want, N_NEW, NULL, err));
    assert_memory_equal(ids[0], want, sizeof want);
    /* The request has been served, and what was stopped can go on. */
    jobs[2].options = &plain;
    OK(pippin_generate_many(jobs + 2, 1, err));
    OK(pippin_generate(one, texts[2], 9, &plain, want, N_NEW, NULL, err));
    assert_int_equal(jobs[2].status, PIPPIN_OK);
    assert_memory_equal(ids[2], want, sizeof want);
    /* What may not take part together. */
    pippin_error failure;
    jobs[1].session = one;
    assert_int_equal(pippin_generate_many(jobs, 2, &failure), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(failure.text, "shares no memory"));
    jobs[1].session = s[0];
    assert_int_equal(pippin_generate_many(jobs, 2, &failure), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(failure.text, "given before"));
    for (size_t i = 0; i < 4; i++) pippin_session_free(s[i]);
    pippin_session_free(one);
    pippin_model_free(model);
}

/* More texts than a pass takes, and than it has logits for: all come to their end. */
static void a_crowd(void **state)
{
    (void)state;
    enum { CROWD = 90, SOME = 6 };
    int32_t texts[N][LONGEST], want[N][SOME];
    static int32_t ids[CROWD][SOME];
    static pippin_session *s[CROWD];
    static pippin_generation jobs[CROWD];
    pippin_model *model = model_of(&kinds[2]);
    const pippin_generate_options options = {.max_tokens = SOME};
    make_texts(texts, pippin_model_config(model)->n_vocab);
    pippin_session *one = create(model, &kinds[2], NULL, 0);
    for (size_t i = 0; i < N; i++) OK(pippin_generate(one, texts[i], length_of(i), &options, want[i], SOME, NULL, err));
    for (size_t i = 0; i < CROWD; i++) {
        s[i] = create(model, &kinds[2], i ? s[0] : NULL, 0);
        jobs[i] = (pippin_generation){.session = s[i],
                                      .prompt = texts[i % N],
                                      .n_prompt = length_of(i % N),
                                      .options = &options,
                                      .ids = ids[i],
                                      .capacity = SOME};
    }
    OK(pippin_generate_many(jobs, CROWD, err));
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(jobs[i].status, PIPPIN_OK);
        assert_memory_equal(ids[i], want[i % N], sizeof want[0]);
    }
    for (size_t i = 0; i < CROWD; i++) pippin_session_free(s[i]);
    pippin_session_free(one);
    pippin_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits), cmocka_unit_test(parts_of_heads),
                                       cmocka_unit_test(texts), cmocka_unit_test(each_ends_alone),
                                       cmocka_unit_test(a_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
