/* bench_run.c - what is measured, and what memory and multipliers give at best in turns with it. */
#include <string.h>

#include "cli/bench_run.h"

static double probe_read(pp_bench *b)
{
    const double rate = pippin_probe_read(b->probe);
    pp_series_add(&b->read, rate);
    return rate;
}

static double probe_multiply(pp_bench *b)
{
    const double rate = pippin_probe_multiply(b->probe);
    pp_series_add(&b->multiply, rate);
    return rate;
}

/*
 * What the machine could have done while something was measured: by looks at it before, after, and as often as is worth it meanwhile.
 * Machines that others use have other speeds from one tenth of a second to the next.
 */
typedef struct meanwhile {
    pp_bench *b;
    double (*probe)(pp_bench *b);
    double rate, since;    /* of the last look, and when it was over */
    double seconds, could; /* between looks, without their own time, and how much was possible in these */
} meanwhile;

static meanwhile begin(pp_bench *b, double (*probe)(pp_bench *b))
{
    meanwhile m = {.b = b, .probe = probe, .rate = probe(b)};
    m.since = pp_seconds();
    return m;
}

static void look(meanwhile *m)
{
    const double seconds = pp_seconds() - m->since, rate = m->probe(m->b);
    m->seconds += seconds;
    m->could += seconds * (m->rate + rate) / 2;
    m->rate = rate;
    m->since = pp_seconds();
}

/* Looks take some 10 ms and empty the caches. */
static bool is_time(const meanwhile *m) { return pp_seconds() - m->since >= 0.1; }

static void look_at_layer(void *m, int32_t layer)
{
    (void)layer;
    if (is_time(m)) look(m);
}

/* ---- what is measured ---- */

/* New tokens from `first` on, so that no part of the cache is found again. */
static void draw(pp_bench *b, int32_t first, int32_t n)
{
    const int32_t n_vocab = pippin_model_config(b->loaded.model)->n_vocab;
    for (int32_t i = first; i < first + n; i++)
        b->tokens[i] = (int32_t)(pp_random_unit(1, 2, b->random++) * (double)n_vocab);
}

/* Evaluates the timeline up to n tokens, predictions after the last n_last. */
static int evaluate(pp_bench *b, int32_t n, int32_t n_last)
{
    pippin_error err;
    return pippin_session_sync_last(b->loaded.session, b->tokens, (size_t)n, n_last, &err) == PIPPIN_OK
               ? 0
               : pp_failed(&err);
}

static int bench_prompt(pp_bench *b, pp_bench_test *t)
{
    draw(b, 0, t->n);
    meanwhile m = begin(b, probe_multiply);
    pippin_session_on_layer(b->loaded.session, look_at_layer, &m);
    int code = evaluate(b, t->n, 1);
    pippin_session_on_layer(b->loaded.session, NULL, NULL);
    if (code) return code;
    look(&m);
    pp_series_add(&t->rate, t->n / m.seconds);
    pp_series_add(&t->peak, t->n * t->macs / m.could);
    return 0;
}

/* The timeline that generation begins at: a few tokens, or many with keys and values that are not computed. */
static int prepare_generate(pp_bench *b, const pp_bench_test *t)
{
    if (!t->depth) {
        draw(b, 0, PP_BENCH_SHORT + t->n);
        return evaluate(b, PP_BENCH_SHORT, 1);
    }
    pippin_error err;
    if (pippin_session_fill(b->loaded.session, (size_t)t->depth, 1, &err) != PIPPIN_OK) return pp_failed(&err);
    memcpy(b->tokens, pippin_session_tokens(b->loaded.session), (size_t)t->depth * sizeof *b->tokens);
    draw(b, t->depth, t->n);
    return 0;
}

/* n tokens took what there was between looks. */
static void add_piece(pp_bench_test *t, int32_t n, meanwhile *m)
{
    pp_series_add(&t->rate, n / m->seconds);
    pp_series_add(&t->bandwidth, n * t->bytes / m->could);
    m->seconds = m->could = 0;
}

static int bench_generate(pp_bench *b, pp_bench_test *t)
{
    const int32_t start = t->depth ? t->depth : PP_BENCH_SHORT;
    int code = prepare_generate(b, t);
    meanwhile m = begin(b, probe_read);
    for (int32_t done = 1, begun = 0; done <= t->n && !code; done++) {
        code = evaluate(b, start + done, 1);
        if (code || (done < t->n && !is_time(&m))) continue;
        look(&m);
        add_piece(t, done - begun, &m);
        begun = done;
    }
    return code;
}

/* Passes of n tokens, each between two of one. */
static int bench_verify(pp_bench *b, pp_bench_test *t)
{
    draw(b, 0, PP_BENCH_SHORT);
    int code = evaluate(b, PP_BENCH_SHORT, 1);
    int32_t at = PP_BENCH_SHORT;
    for (int i = 0; i < PP_BENCH_PIECE && at + 1 + t->n <= b->n_ctx && !code; i++) {
        draw(b, at, 1 + t->n);
        const double start = pp_seconds();
        code = evaluate(b, at + 1, 1);
        const double between = pp_seconds(), one = between - start;
        if (!code) code = evaluate(b, at + 1 + t->n, t->n);
        const double many = pp_seconds() - between;
        if (code) break;
        at += 1 + t->n;
        pp_series_add(&t->rate, (double)t->n / many);
        pp_series_add(&t->ratio, many / one);
    }
    return code;
}

int pp_bench_round(pp_bench *b, int32_t round)
{
    int code = 0;
    if (b->guess.n_row) {
        probe_read(b);
        probe_multiply(b);
        return pp_guess_bench_round(&b->guess, b->args->n_round);
    }
    for (size_t i = 0; i < b->n_test && !code; i++) {
        pp_bench_test *t = &b->tests[i];
        pp_progress("round %d of %d: %s", (int)round + 1, (int)b->args->n_round, t->name);
        switch (t->name[0]) {
        case 'p': code = bench_prompt(b, t); break;
        case 't': code = bench_generate(b, t); break;
        case 'b':
            code = pp_batch_bench_run(&b->texts, (size_t)t->n, PP_BENCH_SHORT, PP_BENCH_PIECE, &t->rate, &t->ratio);
            break;
        default: code = bench_verify(b, t);
        }
    }
    return code;
}

int pp_bench_warm_up(pp_bench *b, uint64_t *peak_rss)
{
    pippin_error err;
    int32_t deepest = 0;
    draw(b, 0, b->args->n_prompt);
    int code = evaluate(b, b->args->n_prompt, 1);
    for (size_t i = 0; i < b->depths.n; i++) deepest = PP_MAX(deepest, b->depths.items[i]);
    if (!code && deepest && pippin_session_fill(b->loaded.session, (size_t)deepest, 1, &err) != PIPPIN_OK)
        code = pp_failed(&err);
    *peak_rss = pp_peak_rss();
    if (code) return code;
    return pippin_probe_create(pippin_session_n_threads(b->loaded.session), b->args->common.cpu, &b->probe, &err) ==
                   PIPPIN_OK
               ? 0
               : pp_failed(&err);
}
