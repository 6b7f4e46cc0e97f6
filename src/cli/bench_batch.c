/* bench_batch.c - several texts in one pass: what a server does for many at once. */
#include "cli/bench_batch.h"

int pp_batch_bench_init(pp_batch_bench *b, pippin_model *model, pippin_session *session, size_t n)
{
    pippin_error err;
    *b = (pp_batch_bench){.n_ctx = pippin_session_n_ctx(session), .n_vocab = pippin_model_config(model)->n_vocab};
    const pippin_session_options options = {
        .n_ctx = b->n_ctx, .kv_type = pippin_session_kv_type(session), .with = session};
    for (b->n = 0; b->n < n; b->n++) {
        b->sessions[b->n] = session;
        if (b->n && pippin_session_create(model, &options, &b->sessions[b->n], &err) != PIPPIN_OK)
            return pp_failed(&err);
        b->tokens[b->n] = pp_alloc_zero((size_t)b->n_ctx, sizeof **b->tokens);
        if (!b->tokens[b->n]) return pp_no_memory();
    }
    return 0;
}

void pp_batch_bench_free(pp_batch_bench *b)
{
    for (size_t i = 0; i < PP_BATCH_TEXTS; i++) {
        if (i) pippin_session_free(b->sessions[i]);
        pp_free(b->tokens[i]);
    }
}

/* The first n texts, n_tok tokens of each. */
static int evaluate(pp_batch_bench *b, size_t n, int32_t n_tok, double *seconds)
{
    pippin_text texts[PP_BATCH_TEXTS];
    pippin_error err;
    for (size_t i = 0; i < n; i++) texts[i] = (pippin_text){b->sessions[i], b->tokens[i], (size_t)n_tok};
    const double start = pp_seconds();
    *seconds = 0;
    if (pippin_sync_many(texts, n, &err) != PIPPIN_OK) return pp_failed(&err);
    *seconds = pp_seconds() - start;
    return 0;
}

int pp_batch_bench_run(pp_batch_bench *b, size_t n, int32_t depth, int32_t n_generate, pp_series *rate,
                       pp_series *ratio)
{
    double many, one;
    for (size_t i = 0; i < n; i++)
        for (int32_t t = 0; t < depth + n_generate; t++)
            b->tokens[i][t] = (int32_t)(pp_random_unit(2, i, (uint64_t)t) * (double)b->n_vocab);
    int code = evaluate(b, n, depth, &many);
    for (int32_t t = 1; t <= n_generate && !code; t++) {
        code = evaluate(b, n, depth + t, &many);
        if (!code) code = evaluate(b, 1, depth + t, &one); /* its last token again */
        if (code) break;
        pp_series_add(rate, (double)n / many);
        pp_series_add(ratio, many / one);
    }
    return code;
}
