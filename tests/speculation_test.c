/*
 * speculation_test.c - what must hold for every model, draft and number of guesses: a greedy text is the one that it would be
 * without, with its log-probabilities, its ends, and what the session holds after it; nothing is allocated; one thread is as
 * two; a request to cancel, at any moment, leaves a session that goes on.
 */
#include "infer/session.h"
#include "tests/support.h"

enum { N_PROMPT = 20, N_NEW = 40, N_CTX = 96, AUTO = 0 };

/* A text and all that is told about it. */
typedef struct told {
    int32_t ids[N_CTX];
    float logprobs[N_CTX];
    size_t n;
    char text[4096];
    size_t n_text;
    pippin_generate_result result;
    size_t n_held;          /* tokens in the session after it */
    size_t stop_after;      /* tokens at which the callback has enough; 0: never */
    pippin_session *cancel; /* asked to cancel at token cancel_at */
    size_t cancel_at;
} told;

static int on_token(void *user, const pippin_token_event *event)
{
    told *t = user;
    memcpy(t->text + t->n_text, event->text, event->n_bytes);
    t->n_text += event->n_bytes;
    if (event->id < 0) return 0;
    t->logprobs[t->n] = event->logprob;
    t->ids[t->n++] = event->id;
    if (t->cancel && t->n == t->cancel_at) pippin_session_cancel(t->cancel);
    return t->stop_after && t->n == t->stop_after;
}

static pippin_status generate(pippin_session *s, const int32_t *prompt, size_t n_prompt, pippin_generate_options o,
                              told *t)
{
    pippin_error err;
    o.on_token = on_token;
    o.user = t;
    o.logprobs = 1;
    t->n = t->n_text = 0;
    const pippin_status status = pippin_generate(s, prompt, n_prompt, &o, NULL, 0, &t->result, &err);
    if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED) fail_msg("%s", err.text);
    t->n_held = pippin_session_n_tok(s);
    /* It holds the text, however much was guessed beyond it. */
    assert_true(t->n_held <= n_prompt + t->n);
    if (t->n) assert_true(t->n_held + 1 >= n_prompt + t->n);
    assert_memory_equal(pippin_session_tokens(s), prompt, PP_MIN(n_prompt, t->n_held) * sizeof *prompt);
    for (size_t i = n_prompt; i < t->n_held; i++) assert_int_equal(pippin_session_tokens(s)[i], t->ids[i - n_prompt]);
    return status;
}

static void assert_same(const told *a, const told *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
    assert_memory_equal(a->logprobs, b->logprobs, a->n * sizeof *a->logprobs);
    assert_int_equal(a->n_text, b->n_text);
    assert_memory_equal(a->text, b->text, a->n_text);
    assert_int_equal(a->result.finish, b->result.finish);
    assert_int_equal(a->result.n_generated, b->result.n_generated);
    assert_int_equal(a->n_held, b->n_held);
}

/* ---- models: a draft that is often right, as it is the model itself in fewer bits or with noise, and one that never is ---- */

typedef struct pair {
    pippin_session *s, *near, *far;
} pair;

static pippin_session *session(pippin_model *model, pippin_session_options o)
{
    pippin_session *s;
    if (!o.n_ctx) o.n_ctx = N_CTX;
    if (!o.n_threads) o.n_threads = 1;
    OK(pippin_session_create(model, &o, &s, err));
    return s;
}

static pippin_config config_of(int kind)
{
    pippin_config c = kind < 2 ? small_afm() : tiny_afm();
    c.n_vocab = 61;
    c.d_model = 64;
    c.d_head = 16;
    if (kind == 1) {
        c.arch = PIPPIN_ARCH_QWEN3;
        c.n_reuse = 0;
        c.qk_norm = PIPPIN_QK_NORM_BEFORE_ROPE;
        c.rope_pairs = PIPPIN_ROPE_HALVES;
    }
    return c;
}

enum { N_KIND = 3 };

static pair make_pair(int kind, int n_threads)
{
    static const pippin_type types[N_KIND] = {PIPPIN_F32, PIPPIN_BF16, PIPPIN_Q2};
    const pippin_config c = config_of(kind), other = config_of(2);
    pippin_model *model, *near, *far;
    const pippin_session_options o = {.n_threads = n_threads};
    OK(pippin_model_random(&c, types[kind], 4, NULL, &model, err));
    OK(pippin_model_random(&c, types[kind], 4, NULL, &near, err));
    OK(pippin_model_random(&other, PIPPIN_F32, 5, NULL, &far, err));
    /* Some of its rows are heard less: right for a while, then wrong. */
    float *norm = (float *)(uintptr_t)near->weights.out_norm;
    for (int32_t i = 0; i < c.d_model; i += 16) norm[i] = 0;
    const pair p = {session(model, o), session(near, o), session(far, o)};
    pippin_model_free(model);
    pippin_model_free(near);
    pippin_model_free(far);
    return p;
}

static void free_pair(pair *p)
{
    pippin_session_free(p->s);
    pippin_session_free(p->near);
    pippin_session_free(p->far);
}

typedef struct way {
    bool near, far, lookup;
    int32_t draft_tokens;
} way;

static const way ways[] = {{.near = true, .draft_tokens = 1},
                           {.near = true, .draft_tokens = 2},
                           {.near = true, .draft_tokens = 3},
                           {.near = true, .draft_tokens = 4},
                           {.near = true, .draft_tokens = 5},
                           {.near = true, .draft_tokens = 6},
                           {.near = true, .draft_tokens = 7},
                           {.near = true, .draft_tokens = 8},
                           {.near = true},
                           {.far = true, .draft_tokens = 4},
                           {.far = true},
                           {.lookup = true, .draft_tokens = 5},
                           {.lookup = true},
                           {.near = true, .lookup = true, .draft_tokens = 3},
                           {.near = true, .lookup = true}};

static pippin_generate_options with(pippin_generate_options o, const pair *p, const way *w)
{
    o.draft = w->near ? p->near : w->far ? p->far : NULL;
    o.lookup = w->lookup;
    o.draft_tokens = w->draft_tokens;
    return o;
}

#define FOR_WAYS(w) for (const way *w = ways; w < ways + sizeof ways / sizeof *ways; w++)

/* ---- the laws ---- */

/* A prompt in which some of it stands twice. */
static void make_prompt(int32_t *tokens, uint64_t seed)
{
    make_tokens(tokens, N_PROMPT, 61, seed);
    memcpy(tokens + N_PROMPT - 6, tokens + 2, 6 * sizeof *tokens);
}

static void test_greedy(void **state)
{
    (void)state;
    size_t n_right = 0, n_wrong = 0;
    for (int kind = 0; kind < N_KIND; kind++) {
        pair p = make_pair(kind, 1);
        for (uint64_t seed = 0; seed < 6; seed++) {
            int32_t prompt[N_PROMPT];
            static told plain, guessed;
            make_prompt(prompt, seed);
            const pippin_generate_options o = {
                .max_tokens = N_NEW, .stop_ids = prompt, .sampling = {.repeat_penalty = seed % 2 ? 1.3 : 0}};
            generate(p.s, prompt, N_PROMPT, o, &plain);
            FOR_WAYS(w)
            {
                generate(p.s, prompt, N_PROMPT, with(o, &p, w), &guessed);
                assert_same(&guessed, &plain);
                assert_true(guessed.result.n_accepted <= guessed.result.n_drafted);
                if (w->near && w->draft_tokens) {
                    assert_true(guessed.result.n_verify > 0);
                    n_right += guessed.result.n_accepted;
                    n_wrong += guessed.result.n_drafted - guessed.result.n_accepted;
                }
            }
        }
        free_pair(&p);
    }
    assert_true(n_right > 1000 && n_wrong > 1000); /* or little was tried */
}

/* Every place where a text can end, also amid tokens that were accepted together. */
static void test_ends(void **state)
{
    (void)state;
    pair p = make_pair(0, 1);
    int32_t prompt[N_PROMPT];
    static told plain, guessed, all;
    make_prompt(prompt, 1);
    const pippin_generate_options whole = {.max_tokens = N_NEW, .stop_ids = prompt};
    generate(p.s, prompt, N_PROMPT, whole, &all);
    for (size_t end = 0; end < 20; end++)
        for (int how = 0; how < 3; how++) {
            pippin_generate_options o = whole;
            if (how == 0) o.max_tokens = end + 1;
            if (how == 1) {
                o.stop_ids = &all.ids[end];
                o.n_stop_ids = 1;
            }
            plain.stop_after = guessed.stop_after = how == 2 ? end + 1 : 0;
            generate(p.s, prompt, N_PROMPT, o, &plain);
            FOR_WAYS(w)
            {
                generate(p.s, prompt, N_PROMPT, with(o, &p, w), &guessed);
                assert_same(&guessed, &plain);
                /* What it holds is what it says: going on gives the logits of a fresh reading. */
                const float *logits = pippin_session_logits(p.s);
                if (!logits || w->draft_tokens % 3) continue;
                float kept[61];
                int32_t text[N_CTX];
                memcpy(kept, logits, sizeof kept);
                memcpy(text, pippin_session_tokens(p.s), guessed.n_held * sizeof *text);
                OK(pippin_session_sync(p.s, prompt, 1, err));
                OK(pippin_session_sync(p.s, text, guessed.n_held, err));
                assert_memory_equal(pippin_session_logits(p.s), kept, sizeof kept);
            }
        }
    free_pair(&p);
}

/* The context's end, of the model's session and of the draft's; few rows of logits, few of a pass. */
static void test_room(void **state)
{
    (void)state;
    pair p = make_pair(0, 1);
    int32_t prompt[N_PROMPT];
    static told plain, guessed;
    make_prompt(prompt, 2);
    for (int32_t n_ctx = N_PROMPT; n_ctx < N_PROMPT + 14; n_ctx++) FOR_WAYS(w)
        {
            pair small = p;
            pippin_session_options o = {.n_ctx = n_ctx, .n_logits = 1 + n_ctx % 4, .n_batch = 4 + n_ctx % 5};
            small.s = session(p.s->model, o);
            small.near = session(p.near->model, (pippin_session_options){.n_ctx = n_ctx - n_ctx % 3, .n_logits = 1});
            generate(small.s, prompt, N_PROMPT, (pippin_generate_options){.stop_ids = prompt}, &plain);
            assert_int_equal(plain.n, n_ctx - N_PROMPT + 1);
            generate(small.s, prompt, N_PROMPT, with((pippin_generate_options){.stop_ids = prompt}, &small, w),
                     &guessed);
            assert_same(&guessed, &plain);
            pippin_session_free(small.s);
            pippin_session_free(small.near);
        }
    free_pair(&p);
}

/* A conversation: each text goes on from the one before, which the session and the draft's have read. */
static void test_turns(void **state)
{
    (void)state;
    pair p = make_pair(0, 1), q = make_pair(0, 1);
    int32_t text[N_CTX];
    size_t n = N_PROMPT;
    static told plain, guessed;
    make_prompt(text, 3);
    for (int turn = 0; turn < 4; turn++) {
        const pippin_generate_options o = {.max_tokens = 9, .stop_ids = text};
        generate(q.s, text, n, o, &plain);
        generate(p.s, text, n, with(o, &p, &ways[3]), &guessed);
        assert_same(&guessed, &plain);
        assert_int_equal(guessed.result.n_cached, plain.result.n_cached);
        if (turn) assert_true(guessed.result.n_cached >= n - 4);
        memcpy(text + n, guessed.ids, guessed.n * sizeof *text);
        n += guessed.n;
        make_tokens(text + n, 3, 61, (uint64_t)turn);
        n += 3;
    }
    free_pair(&p);
    free_pair(&q);
}

/* Threads change nothing, sampled or not; a seed gives its text again where the number of guesses is given. */
static void test_threads(void **state)
{
    (void)state;
    pair one = make_pair(0, 1), two = make_pair(0, 2);
    int32_t prompt[N_PROMPT];
    static told a, b, other;
    make_prompt(prompt, 4);
    pippin_generate_options o = {.max_tokens = N_NEW, .stop_ids = prompt};
    FOR_WAYS(w)
    for (int sampled = 0; sampled < (w->draft_tokens ? 2 : 1); sampled++) {
        o.sampling = sampled ? (pippin_sampling){.temperature = 1, .top_p = 0.9, .seed = 5} : (pippin_sampling){0};
        generate(one.s, prompt, N_PROMPT, with(o, &one, w), &a);
        generate(two.s, prompt, N_PROMPT, with(o, &two, w), &b);
        assert_same(&a, &b);
        if (w->draft_tokens) assert_int_equal(a.result.n_accepted, b.result.n_accepted);
        if (!sampled) continue;
        o.sampling.seed = 6;
        generate(two.s, prompt, N_PROMPT, with(o, &two, w), &other);
        assert_memory_not_equal(other.ids, a.ids, N_NEW * sizeof *a.ids);
    }
    free_pair(&one);
    free_pair(&two);
}

static void test_no_allocation(void **state)
{
    (void)state;
    pair p = make_pair(0, 2);
    int32_t prompt[N_PROMPT];
    static told t;
    make_prompt(prompt, 5);
    const uint64_t before = pippin_memory_used().allocations;
    FOR_WAYS(w)
    for (int sampled = 0; sampled < 2; sampled++)
        generate(p.s, prompt, N_PROMPT,
                 with((pippin_generate_options){.max_tokens = N_NEW,
                                                .stop_ids = prompt,
                                                .sampling = {.temperature = sampled, .top_k = 9}},
                      &p, w),
                 &t);
    assert_int_equal(pippin_memory_used().allocations, before);
    free_pair(&p);
}

/* ---- cancelling: at each layer of each pass of either model ---- */

static struct {
    pippin_session *s;
    int64_t left; /* calls until the request comes; < 0: it has come, or never will */
    void (*rmsnorm)(float *y, const float *x, const float *w, int n, float eps);
} moment;

static void counting_rmsnorm(float *y, const float *x, const float *w, int n, float eps)
{
    if (moment.left-- == 0) pippin_session_cancel(moment.s);
    moment.rmsnorm(y, x, w, n, eps);
}

static void test_cancel(void **state)
{
    (void)state;
    static const way some[] = {
        {.near = true, .draft_tokens = 4}, {.near = true, .lookup = true, .draft_tokens = 2}, {.near = true}};
    pair p = make_pair(0, 1);
    int32_t prompt[N_PROMPT];
    static told plain, stopped;
    make_prompt(prompt, 6);
    const pippin_generate_options o = {.max_tokens = 12, .stop_ids = prompt};
    moment.s = p.s;
    moment.rmsnorm = p.s->model->kernels.rmsnorm;
    p.s->model->kernels.rmsnorm = p.near->model->kernels.rmsnorm = counting_rmsnorm;
    moment.left = -1;
    generate(p.s, prompt, N_PROMPT, o, &plain);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int n_cancelled = 0;
        size_t n_last = 0;
        for (int64_t at = 0;; at += 1 + at / 50) {
            OK(pippin_session_sync(p.s, prompt, 1, err)); /* both read the prompt again */
            OK(pippin_session_sync(p.near, prompt, 1, err));
            moment.left = at;
            const pippin_status status = generate(p.s, prompt, N_PROMPT, with(o, &p, &some[i]), &stopped);
            const bool came = moment.left < 0;
            /* Within a layer of whichever model runs, the longest pass being the prompt's: two norms a row, and one a head. */
            if (status == PIPPIN_E_CANCELLED) assert_true(-moment.left <= N_PROMPT * (2 + 4 + 2) + 1);
            moment.left = -1;
            assert_memory_equal(stopped.ids, plain.ids, stopped.n * sizeof *plain.ids);
            if (status == PIPPIN_E_CANCELLED) {
                assert_int_equal(stopped.result.finish, PIPPIN_FINISH_CANCELLED);
                n_cancelled++;
            }
            n_last = stopped.n;
            /* Served, and not left for the next call of either session, which goes on. */
            generate(p.s, prompt, N_PROMPT, with(o, &p, &some[i]), &stopped);
            assert_same(&stopped, &plain);
            OK(pippin_session_sync(p.near, prompt, 3, err));
            if (!came) break;
        }
        assert_true(n_cancelled > 50);
        assert_int_equal(n_last, plain.n);
    }
    free_pair(&p);
}

/* ---- a real model, its own bits taken away as its draft ---- */

/* Generation keeps to the words; a stop string that the text has must end it wherever it falls. */
static void test_stop_strings(void **state)
{
    (void)state;
    const char *path = shared_file("data/tinystories-656k");
    if (!path) skip();
    pippin_model *model, *draft;
    OK(pippin_model_open(path, NULL, &model, err));
    OK(pippin_model_open(path, &(pippin_model_options){.type = PIPPIN_Q4}, &draft, err));
    pair p = {session(model, (pippin_session_options){0}), session(draft, (pippin_session_options){0}), NULL};
    int32_t prompt[16];
    size_t n_prompt, n_drafted = 0;
    static told all, plain, guessed;
    static const char words[] = "Once upon a time, there was a";
    OK(pippin_tokenize(pippin_model_tokenizer(model), words, strlen(words), &(pippin_tokenize_options){.bos = true},
                       prompt, 16, &n_prompt, err));
    generate(p.s, prompt, n_prompt, (pippin_generate_options){.max_tokens = 60}, &all);
    for (size_t at = 0; at + 6 < all.n_text; at += 5) {
        char stop[6] = {0};
        const char *stops[] = {"no such words", stop};
        memcpy(stop, all.text + at, 2 + at % 4);
        const pippin_generate_options o = {.max_tokens = 60, .stop_strings = stops, .n_stop_strings = 2};
        generate(p.s, prompt, n_prompt, o, &plain);
        FOR_WAYS(w)
        {
            if (w->far) continue;
            generate(p.s, prompt, n_prompt, with(o, &p, w), &guessed);
            assert_same(&guessed, &plain);
            n_drafted += guessed.result.n_drafted;
        }
    }
    assert_true(n_drafted > 100);
    free_pair(&p);
    pippin_model_free(model);
    pippin_model_free(draft);
}

/* ---- what does not fit ---- */

static pippin_model *of_vocabulary(int32_t n)
{
    pippin_config c = config_of(2);
    pippin_model *m;
    c.n_vocab = n;
    snprintf(c.name, sizeof c.name, "of-%d", (int)n);
    OK(pippin_model_random(&c, PIPPIN_F32, 1, NULL, &m, err));
    return m;
}

static void refused(pippin_session *s, pippin_generate_options o, const char *why)
{
    const int32_t prompt[] = {1, 2};
    pippin_error failure = {0};
    o.max_tokens = 2;
    assert_int_equal(pippin_generate(s, prompt, 2, &o, NULL, 0, NULL, &failure), PIPPIN_E_ARGUMENT);
    if (!strstr(failure.text, why)) fail_msg("\"%s\" does not say \"%s\"", failure.text, why);
}

static void test_misfits(void **state)
{
    (void)state;
    pippin_model *m = of_vocabulary(61), *n = of_vocabulary(60);
    pippin_session *s = session(m, (pippin_session_options){0}), *d = session(n, (pippin_session_options){0});
    refused(s, (pippin_generate_options){.draft = d},
            "draft of-60: its vocabulary has 60 tokens, expected the 61 of of-61");
    refused(s, (pippin_generate_options){.draft = s}, "another one");
    refused(s, (pippin_generate_options){.lookup = true, .draft_tokens = 9}, "draft tokens: 9, expected 1 to 8");
    refused(s, (pippin_generate_options){.lookup = true, .draft_tokens = -1}, "draft tokens: -1");
    pippin_session_free(s);
    pippin_session_free(d);
    pippin_model_free(m);
    pippin_model_free(n);
}

/* Vocabularies of one size with other pieces. */
static void test_other_pieces(void **state)
{
    (void)state;
    const char *path = shared_file("data/tinystories-656k"), *other = shared_file("data/stories260K/tok512.bin");
    if (!path || !other) skip();
    pippin_model *m, *n;
    pippin_config c = config_of(2);
    c.n_vocab = 2048;
    OK(pippin_model_open(path, NULL, &m, err));
    OK(pippin_model_random(&c, PIPPIN_F32, 1, &(pippin_model_options){.tokenizer = other}, &n, err));
    pippin_session *s = session(m, (pippin_session_options){0}), *d = session(n, (pippin_session_options){0});
    refused(s, (pippin_generate_options){.draft = d}, "draft small-afm: its token ");
    pippin_session_free(s);
    pippin_session_free(d);
    pippin_model_free(m);
    pippin_model_free(n);
}

static void test_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(pippin_memory_used().live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),       cmocka_unit_test(test_ends),         cmocka_unit_test(test_room),
        cmocka_unit_test(test_turns),        cmocka_unit_test(test_threads),      cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_other_pieces), cmocka_unit_test(test_nothing_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
