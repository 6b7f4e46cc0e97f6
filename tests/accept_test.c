/*
 * accept_test.c - the law of what speculation gives: exactly, by where pp_accept's answer changes as its numbers do; by many
 * draws; and for whole blocks of guesses by a model. Steps with a bug in them must be caught by the same tests. With the
 * argument `long` 10^7 draws of each law.
 */
#include <math.h>

#include "infer/session.h"
#include "tests/law.h"

typedef bool (*step)(const pp_law *p, const pp_law *q, int32_t drafted, double u_accept, double u_token, int32_t *id);

enum { MOST = 512 };

static uint64_t n_random;
static double next_number(void) { return pp_random_unit(11, 1, n_random++); }
static int draws = 400000; /* of each law */

/* ---- steps with a bug ---- */

static double beyond(const pp_law *p, const pp_law *q, int32_t i)
{
    return PP_MAX(pp_law_of(p, i) - pp_law_of(q, i), 0);
}

static int32_t draw_rest(const pp_law *p, const pp_law *q, double left)
{
    int32_t i = 0;
    for (; i + 1 < p->n_vocab; i++)
        if ((left -= beyond(p, q, i)) < 0) break;
    return i;
}

static bool too_eager(const pp_law *p, const pp_law *q, int32_t d, double u_accept, double u_token, int32_t *id)
{
    return pp_accept(p, q, d, u_accept / 1.02, u_token, id);
}

static bool not_normalised(const pp_law *p, const pp_law *q, int32_t d, double u_accept, double u_token, int32_t *id)
{
    const bool accepted = pp_accept(p, q, d, u_accept, u_token, id);
    if (!accepted && p->only < 0) *id = draw_rest(p, q, u_token);
    return accepted;
}

static bool from_all_of_p(const pp_law *p, const pp_law *q, int32_t d, double u_accept, double u_token, int32_t *id)
{
    const bool accepted = pp_accept(p, q, d, u_accept, u_token, id);
    if (!accepted) *id = pp_law_draw(p, u_token);
    return accepted;
}

/* ---- laws at random ---- */

static pp_law law_of(float *w, int32_t n)
{
    pp_law l = {.only = -1, .weight = w, .n_vocab = n};
    for (int32_t i = 0; i < n; i++) {
        l.sum += (double)w[i];
        if (w[i] > w[l.best]) l.best = i;
    }
    return l;
}

static void fill(float *w, int32_t n, double zeros)
{
    for (int32_t i = 0; i < n; i++) w[i] = next_number() < zeros ? 0 : (float)exp(6 * next_number());
    w[(int32_t)(next_number() * n)] = 1; /* one at least */
}

enum { KINDS = 7 };

/* Two laws over n tokens: any, with zeros, one and the same, apart, one token alone, as filters leave them. */
static void make_laws(int kind, int32_t n, float *wp, float *wq, pp_law *p, pp_law *q)
{
    fill(wp, n, kind == 1 || kind == 6 ? 0.4 : 0);
    fill(wq, n, kind == 1 ? 0.4 : 0);
    if (kind == 2) memcpy(wq, wp, (size_t)n * sizeof *wq);
    if (kind == 3)
        for (int32_t i = 0; i < n; i++) *(i % 2 ? &wp[i] : &wq[i]) = 0;
    if (kind == 3) wp[0] = wq[1] = 1;
    *p = law_of(wp, n);
    *q = law_of(wq, n);
    if (kind == 4) *q = pp_law_only((int32_t)(next_number() * n));
    if (kind == 5) *p = pp_law_only((int32_t)(next_number() * n));
}

/* ---- the law of a step, to the last bit of its numbers ---- */

/* The largest number of [0, 1) that a step still accepts, with a refusal's id in *id; 0: none, 1: all. */
static double accepts_below(step f, const pp_law *p, const pp_law *q, int32_t d)
{
    double low = 0, high = 1;
    int32_t id;
    if (!f(p, q, d, 0, 0.5, &id)) return 0;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        *(f(p, q, d, middle, 0.5, &id) ? &low : &high) = middle;
    }
    return high;
}

/* Up to which number a refusal gives an id of at most i. */
static double gives_below(step f, const pp_law *p, const pp_law *q, int32_t d, int32_t i)
{
    double low = 0, high = 1;
    const double last = nextafter(1, 0);
    int32_t id;
    assert_false(f(p, q, d, last, 0, &id));
    if (id > i) return 0;
    for (int k = 0; k < 60; k++) {
        const double middle = (low + high) / 2;
        f(p, q, d, last, middle, &id);
        *(id <= i ? &low : &high) = middle;
    }
    return high;
}

/* How a step ends that was given d: by accepting it, or by each id in its place. */
static double law_of_step(step f, const pp_law *p, const pp_law *q, int32_t d, int32_t n, double *instead)
{
    const double accepted = accepts_below(f, p, q, d);
    double before = 0;
    for (int32_t i = 0; i < n; i++) instead[i] = 0;
    if (accepted > 1 - 1e-15) return 1;
    for (int32_t i = 0; i < n; i++) {
        const double now = gives_below(f, p, q, d, i);
        instead[i] = (1 - accepted) * (now - before);
        before = now;
    }
    return accepted;
}

static double worst_of_pairs(step f, int pairs)
{
    double worst = 0;
    n_random = 0;
    for (int pair = 0; pair < pairs; pair++) {
        const int32_t n = 2 + pair % 5;
        float wp[6], wq[6];
        double out[6] = {0}, instead[6];
        pp_law p, q;
        make_laws(pair % KINDS, n, wp, wq, &p, &q);
        for (int32_t d = 0; d < n; d++) {
            const double drafted = pp_law_of(&q, d);
            if (drafted <= 0) continue;
            out[d] += drafted * law_of_step(f, &p, &q, d, n, instead);
            for (int32_t i = 0; i < n; i++) out[i] += drafted * instead[i];
        }
        for (int32_t i = 0; i < n; i++) worst = PP_MAX(worst, fabs(out[i] - pp_law_of(&p, i)));
    }
    return worst;
}

static void test_step(void **state)
{
    (void)state;
    const double worst = worst_of_pairs(pp_accept, 10000);
    if (!(worst <= 1e-12)) fail_msg("%g off", worst);
    assert_true(worst_of_pairs(too_eager, 100) > 1e-4);
    assert_true(worst_of_pairs(not_normalised, 100) > 1e-4);
    assert_true(worst_of_pairs(from_all_of_p, 100) > 1e-4);
}

/* ---- blocks of guesses, every path ---- */

enum { VOCAB = 4, DEPTH = 4, NODES = 1 + VOCAB + VOCAB * VOCAB + VOCAB * VOCAB * VOCAB };

typedef struct tree {
    pp_law p[NODES], q[NODES]; /* after each beginning; child i of node k is VOCAB * k + 1 + i */
    float wp[NODES][VOCAB], wq[NODES][VOCAB];
    int guesses;
    step f;
    double out[VOCAB * VOCAB * VOCAB * VOCAB];
} tree;

/* What is left of the block's length comes from p alone. */
static void go_plain(tree *t, int depth, int node, int text, double mass)
{
    if (mass == 0) return;
    if (depth == t->guesses + 1) {
        t->out[text] += mass;
        return;
    }
    for (int i = 0; i < VOCAB; i++)
        go_plain(t, depth + 1, VOCAB * node + 1 + i, text * VOCAB + i, mass * pp_law_of(&t->p[node], i));
}

static void go_guessing(tree *t, int depth, int node, int text, double mass)
{
    double instead[VOCAB];
    if (depth == t->guesses) {
        go_plain(t, depth, node, text, mass);
        return;
    }
    for (int d = 0; d < VOCAB; d++) {
        const double drafted = mass * pp_law_of(&t->q[node], d);
        if (drafted <= 0) continue;
        const double accepted = law_of_step(t->f, &t->p[node], &t->q[node], d, VOCAB, instead);
        go_guessing(t, depth + 1, VOCAB * node + 1 + d, text * VOCAB + d, drafted * accepted);
        for (int i = 0; i < VOCAB; i++)
            go_plain(t, depth + 1, VOCAB * node + 1 + i, text * VOCAB + i, drafted * instead[i]);
    }
}

static double worst_of_trees(step f, int n_tree)
{
    static tree t;
    static double wanted[VOCAB * VOCAB * VOCAB * VOCAB];
    double worst = 0;
    n_random = 1 << 20;
    for (int i = 0; i < n_tree; i++) {
        t.f = f;
        for (int node = 0; node < NODES; node++)
            make_laws((i + node) % KINDS, VOCAB, t.wp[node], t.wq[node], &t.p[node], &t.q[node]);
        t.guesses = 1 + i % (DEPTH - 1);
        memset(t.out, 0, sizeof t.out);
        go_plain(&t, 0, 0, 0, 1);
        memcpy(wanted, t.out, sizeof wanted);
        memset(t.out, 0, sizeof t.out);
        go_guessing(&t, 0, 0, 0, 1);
        for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++) worst = PP_MAX(worst, fabs(t.out[k] - wanted[k]));
    }
    return worst;
}

static void test_blocks(void **state)
{
    (void)state;
    const double worst = worst_of_trees(pp_accept, 90);
    if (!(worst <= 1e-12)) fail_msg("%g off", worst);
    assert_true(worst_of_trees(too_eager, 6) > 1e-4);
    assert_true(worst_of_trees(not_normalised, 6) > 1e-4);
}

/* ---- many draws ---- */

static const pp_kernels *all_kernels(void)
{
    static pp_kernels table;
    pp_kernels_fill(&table, PP_ISA_COUNT);
    return &table;
}

typedef struct case_of_draws {
    int32_t n;
    double noise; /* of the draft's logits against the model's */
    pippin_sampling o;
} case_of_draws;

/* Guesses drawn from `drawn`, which the step is told to be `told`. */
static double law_of_draws(step f, const pp_law *p, const pp_law *drawn, const pp_law *told, int n, uint64_t seed)
{
    static int64_t counts[MOST];
    static double wanted[MOST];
    memset(counts, 0, sizeof counts);
    for (int32_t i = 0; i < p->n_vocab; i++) wanted[i] = pp_law_of(p, i);
    for (int k = 0; k < n; k++) {
        const uint64_t index = (uint64_t)k;
        const int32_t d = pp_law_draw(drawn, pp_random_unit(seed, PP_STREAM_DRAFT, index));
        int32_t id;
        f(p, told, d, pp_random_unit(seed, PP_STREAM_ACCEPT, index), pp_random_unit(seed, PP_STREAM_TOKEN, index), &id);
        counts[id]++;
    }
    return sigmas(counts, wanted, p->n_vocab, n);
}

static void try_draws(const case_of_draws *c, uint64_t seed)
{
    pp_sampler model, draft;
    static float logits[MOST], guessed[MOST];
    const pp_history none = {0};
    OK(pp_sampler_create(all_kernels(), c->n, &model, err));
    OK(pp_sampler_create(all_kernels(), c->n, &draft, err));
    for (int32_t i = 0; i < c->n; i++) {
        logits[i] = (float)(5 * pp_random_unit(seed, 20, (uint64_t)i));
        guessed[i] = logits[i] + (float)(c->noise * pp_random_unit(seed, 21, (uint64_t)i));
    }
    const pippin_sampling bare = {.temperature = 1};
    const pp_law p = pp_sampler_law(&model, &c->o, logits, &none, 0),
                 q = pp_sampler_law(&draft, &c->o, guessed, &none, 0);
    const pp_law unfiltered = pp_sampler_law(&draft, &bare, guessed, &none, 1);
    const double off = law_of_draws(pp_accept, &p, &q, &q, draws, seed);
    if (!(fabs(off) < 5)) fail_msg("%d tokens, noise %g: %g deviations", (int)c->n, c->noise, off);
    assert_true(law_of_draws(too_eager, &p, &q, &q, 400000, seed) > 5);
    assert_true(law_of_draws(not_normalised, &p, &q, &q, 100000, seed) > 5);
    assert_true(law_of_draws(from_all_of_p, &p, &q, &q, 100000, seed) > 5);
    if (c->o.top_k || c->o.top_p > 0) assert_true(law_of_draws(pp_accept, &p, &q, &unfiltered, 100000, seed) > 5);
    pp_sampler_free(&model);
    pp_sampler_free(&draft);
}

static void test_draws(void **state)
{
    (void)state;
    static const case_of_draws cases[] = {{50, 3, {.temperature = 1}},
                                          {300, 5, {.temperature = 0.7, .top_k = 40}},
                                          {120, 4, {.temperature = 1.4, .top_p = 0.8, .min_p = 0.02}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) try_draws(&cases[i], 31 + i);
}

/* ---- the law of whole texts, by a model that a draft guesses for ---- */

enum { N_TEXT = 4, N_VOCAB = 6, N_PROMPT = 19, BINS = N_VOCAB * N_VOCAB * N_VOCAB * N_VOCAB };

static pippin_session *small_session(uint64_t seed)
{
    pippin_config c = tiny_afm();
    pippin_model *model;
    pippin_session *s;
    c.n_vocab = N_VOCAB;
    OK(pippin_model_random(&c, PIPPIN_F32, seed, NULL, &model, err));
    /* Random weights give nearly even laws: louder, so that laws differ. */
    float *norm = (float *)(uintptr_t)model->weights.out_norm;
    for (int32_t i = 0; i < c.d_model; i++) norm[i] = 12;
    OK(pippin_session_create(model, &(pippin_session_options){.n_ctx = 32, .n_threads = 1}, &s, err));
    pippin_model_free(model);
    return s;
}

/* The law of each text of N_TEXT tokens, from plain evaluation. */
static void exact_law(pippin_session *s, const pippin_sampling *o, int32_t *tokens, int n, int text, double mass,
                      double *out)
{
    if (n == N_TEXT) {
        out[text] = mass;
        return;
    }
    const size_t n_tok = (size_t)(N_PROMPT + n);
    double p[N_VOCAB];
    OK(pippin_session_sync(s, tokens, n_tok, err));
    const pp_law law =
        pp_sampler_law(&s->sampler, o, pippin_session_logits(s), &(pp_history){tokens, n_tok, N_PROMPT}, 0);
    for (int32_t i = 0; i < N_VOCAB; i++) p[i] = pp_law_of(&law, i);
    for (int32_t i = 0; i < N_VOCAB; i++) {
        tokens[n_tok] = i;
        exact_law(s, o, tokens, n + 1, text * N_VOCAB + i, mass * p[i], out);
    }
}

static double law_of_texts(pippin_session *s, pippin_generate_options o, const int32_t *prompt, const double *wanted,
                           int n)
{
    static int64_t counts[BINS];
    int32_t ids[N_TEXT];
    pippin_generate_result r;
    size_t n_accepted = 0, n_drafted = 0;
    memset(counts, 0, sizeof counts);
    for (int i = 0; i < n; i++) {
        int text = 0;
        o.sampling.seed = (uint64_t)i;
        OK(pippin_generate(s, prompt, N_PROMPT, &o, ids, N_TEXT, &r, err));
        assert_int_equal(r.n_generated, N_TEXT);
        for (int k = 0; k < N_TEXT; k++) text = text * N_VOCAB + ids[k];
        counts[text]++;
        n_accepted += r.n_accepted;
        n_drafted += r.n_drafted;
    }
    /* Guesses of both kinds came, or nothing was tried. */
    assert_true(n_drafted > 0 && n_accepted < n_drafted && (o.lookup || n_accepted > n_drafted / 20));
    return sigmas(counts, wanted, BINS, n);
}

static void test_texts(void **state)
{
    (void)state;
    static const pippin_sampling laws[] = {{.temperature = 1},
                                           {.temperature = 0.8, .top_k = 4, .top_p = 0.9, .repeat_penalty = 1.3},
                                           {.temperature = 1.2, .min_p = 0.05, .frequency_penalty = 0.7}};
    static double wanted[BINS], other[BINS];
    pippin_session *s = small_session(1), *d = small_session(2);
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        /* Whatever comes first, it came after 1, 2 before, so that lookup has something to say. */
        int32_t tokens[N_PROMPT + N_TEXT] = {1, 2, 0, 1, 2, 3, 1, 2, 4, 1, 2, 5, 1, 2, 1, 2, 2, 1, 2};
        memset(wanted, 0, sizeof wanted);
        exact_law(s, &laws[i], tokens, 0, 0, 1, wanted);
        const pippin_generate_options o = {
            .max_tokens = N_TEXT, .sampling = laws[i], .stop_ids = tokens, .draft_tokens = 3, .draft = d};
        pippin_generate_options lookup = o;
        lookup.draft = NULL;
        lookup.lookup = true;
        const int n = draws / 60;
        const double off = law_of_texts(s, o, tokens, wanted, n), found = law_of_texts(s, lookup, tokens, wanted, n);
        if (!(fabs(off) < 5 && fabs(found) < 5)) fail_msg("law %zu: draft %g, lookup %g deviations", i, off, found);
        /* The test would notice: the draft's own law is far off. */
        memset(other, 0, sizeof other);
        exact_law(d, &laws[i], tokens, 0, 0, 1, other);
        assert_true(law_of_texts(s, o, tokens, other, n / 4) > 5);
    }
    pippin_session_free(s);
    pippin_session_free(d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_step), cmocka_unit_test(test_blocks),
                                       cmocka_unit_test(test_draws), cmocka_unit_test(test_texts)};
    if (argc > 1 && strcmp(argv[1], "long") == 0) draws = 10000000;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
