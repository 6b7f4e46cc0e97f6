/*
 * bench_guess.c - speculative decoding against decoding without it, in turns: for given numbers of guesses, and for as many as
 * pay. With random weights no guess is right, so how many are can be simulated; everything else is then as it would be.
 */
#include "cli/bench_guess.h"

static void add_row(pp_guess_bench *g, int32_t draft_tokens) { g->rows[g->n_row++].draft_tokens = draft_tokens; }

void pp_guess_bench_init(pp_guess_bench *g, pp_loaded *loaded, const pp_ids *numbers)
{
    g->loaded = loaded;
    add_row(g, -1);
    add_row(g, 0); /* before the others: it is to find out by itself what passes cost */
    for (int32_t i = 0; i < (numbers->n ? (int32_t)numbers->n : PP_GUESS_ROWS - 2); i++)
        add_row(g, numbers->n ? numbers->items[i] : i + 1);
}

static pp_short name_of(const pp_guess_row *row)
{
    pp_short name;
    if (row->draft_tokens > 0)
        snprintf(name.text, sizeof name.text, "spec%d", (int)row->draft_tokens);
    else
        snprintf(name.text, sizeof name.text, "%s", row->draft_tokens ? "plain" : "spec");
    return name;
}

int pp_guess_bench_round(pp_guess_bench *g, int32_t n_round)
{
    double plain = 0;
    for (size_t i = 0; i < g->n_row; i++) {
        pp_guess_row *row = &g->rows[i];
        const bool guesses = row->draft_tokens >= 0;
        const pippin_generate_options o = {.max_tokens = g->n_generate,
                                           .stop_ids = g->prompt, /* a list without ids: nothing stops it */
                                           .draft = guesses ? g->loaded->draft : NULL,
                                           .draft_tokens = guesses ? row->draft_tokens : 0,
                                           .sampling = {.seed = g->n_round},
                                           .acceptance = g->acceptance};
        pippin_generate_result r;
        pippin_error err;
        pp_progress("round %d of %d: %s, %zu of %zu", (int)g->n_round + 1, (int)n_round, name_of(row).text, i + 1,
                    g->n_row);
        if (pippin_generate(g->loaded->session, g->prompt, g->n_prompt, &o, NULL, 0, &r, &err) != PIPPIN_OK)
            return pp_failed(&err);
        if (r.finish == PIPPIN_FINISH_CANCELLED) return PP_EXIT_INTERRUPTED;
        const double rate = (double)r.n_generated / r.generate_seconds;
        if (!guesses) plain = rate;
        pp_series_add(&row->rate, rate);
        pp_series_add(&row->ratio, rate / plain);
        row->seconds_outside += r.generate_seconds - r.model_seconds - r.draft_seconds;
        row->n_drafted += r.n_drafted;
        row->n_accepted += r.n_accepted;
        row->n_verify += r.n_verify;
    }
    g->n_round++;
    return 0;
}

static double share(size_t part, size_t whole) { return whole ? (double)part / (double)whole : 0; }

/* Tokens that each pass gives which checks guesses. */
static double yield(const pp_guess_row *row) { return row->n_verify ? 1 + share(row->n_accepted, row->n_verify) : 1; }

/* Milliseconds of a pass that go into neither model. */
static double outside(const pp_guess_bench *g, const pp_guess_row *row)
{
    const size_t n_tok = row->rate.n * g->n_generate, n_pass = n_tok - row->n_accepted;
    return 1e3 * row->seconds_outside / (double)n_pass;
}

void pp_guess_bench_json(const pp_guess_bench *g, json_t *results)
{
    for (size_t i = 0; i < g->n_row; i++) {
        const pp_guess_row *row = &g->rows[i];
        json_array_append_new(results,
                              json_pack("{s:s, s:{s:o, s:o, s:o}, s:o, s:f, s:b, s:f, s:f}", "test", name_of(row).text,
                                        "tokens_per_second", "min", pp_json_number(pp_series_quantile(&row->rate, 0)),
                                        "median", pp_json_number(pp_series_median(&row->rate)), "max",
                                        pp_json_number(pp_series_quantile(&row->rate, 1)), "against_plain",
                                        pp_json_number(pp_series_median(&row->ratio)), "accepted",
                                        share(row->n_accepted, row->n_drafted), "simulated", g->acceptance != 0,
                                        "tokens_per_check", yield(row), "outside_ms", outside(g, row)));
    }
}

int pp_guess_bench_print(const pp_guess_bench *g, bool markdown)
{
    static const char *const heads[] = {"test",     "tokens/s", "from",           "to",
                                        "of plain", "accepted", "tokens a check", "outside"};
    if (g->acceptance != 0)
        pp_print("acceptance is SIMULATED: each guess is taken for right with probability %.2f, whatever it is\n\n",
                 g->acceptance > 0 ? g->acceptance : 0);
    pp_table table = pp_table_of(NULL, "lrrrrrrr");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) pp_cell(&table, "%s", heads[i]);
    for (size_t i = 0; i < g->n_row; i++) {
        const pp_guess_row *row = &g->rows[i];
        pp_cell(&table, "%s", name_of(row).text);
        pp_cell(&table, "%.1f", pp_series_median(&row->rate));
        pp_cell(&table, "%.1f", pp_series_quantile(&row->rate, 0));
        pp_cell(&table, "%.1f", pp_series_quantile(&row->rate, 1));
        pp_cell(&table, "%.2f", pp_series_median(&row->ratio));
        if (row->n_drafted)
            pp_cell(&table, "%.0f %%", 100 * share(row->n_accepted, row->n_drafted));
        else
            pp_cell(&table, "%s", "");
        pp_cell(&table, "%.2f", yield(row));
        pp_cell(&table, "%.2f ms", outside(g, row));
    }
    return pp_table_print(&table, markdown);
}
