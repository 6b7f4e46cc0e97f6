/* against.c - how far a model's predictions are from another's: what quantising costs, and how well a draft guesses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/against.h"

void pp_against_close(pp_against *a)
{
    pp_free(a->rows);
    pp_free(a->each);
    if (a->other.model) pp_unload(&a->other);
    *a = (pp_against){0};
}

int pp_against_check(const pippin_model *model, const char *path, const pippin_model *own, const char *own_path)
{
    const int32_t found = pippin_model_config(model)->n_vocab, wanted = pippin_model_config(own)->n_vocab;
    if (found == wanted) return 0;
    return pp_error(PP_EXIT_FAILURE, "%s: has %d ids, expected the %d of %s; only models of one vocabulary compare",
                    path, (int)found, (int)wanted, own_path);
}

int32_t pp_likeliest(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int pp_against_open(pp_against *a, const pp_common *common, const char *path, const pp_loaded *model)
{
    pp_common other = *common;
    other.model = path;
    other.adapters = (pp_texts){0};
    *a = (pp_against){.n_vocab = pippin_model_config(model->model)->n_vocab};
    const size_t n_ctx = (size_t)pippin_session_n_ctx(model->session);
    int code = pp_load(&other, (int32_t)n_ctx, &a->other);
    if (code) return code;
    code = pp_against_check(a->other.model, path, model->model, common->model);
    if (code) return code;
    a->rows = pp_alloc(n_ctx * (size_t)a->n_vocab * sizeof *a->rows);
    return a->rows ? 0
                   : pp_error(PP_EXIT_FAILURE,
                              "--against: no memory for the predictions of %zu tokens; pass a smaller --ctx", n_ctx);
}

void pp_against_keep(pp_against *a, size_t i, const float *logits)
{
    memcpy(a->rows + i * (size_t)a->n_vocab, logits, (size_t)a->n_vocab * sizeof *logits);
}

static double log_sum(const float *x, int32_t n, int32_t *best)
{
    double sum = 0;
    *best = pp_likeliest(x, n);
    for (int32_t i = 0; i < n; i++) sum += exp((double)(x[i] - x[*best]));
    return (double)x[*best] + log(sum);
}

/* The model's row i beside the other's: q and p, of which p is the reference. */
static bool compare_row(pp_against *a, size_t i, const float *other)
{
    const float *own = a->rows + i * (size_t)a->n_vocab;
    int32_t own_best, other_best;
    const double own_sum = log_sum(own, a->n_vocab, &own_best), other_sum = log_sum(other, a->n_vocab, &other_best);
    double kl = 0, reverse = 0;
    for (int32_t v = 0; v < a->n_vocab; v++) {
        const double log_p = (double)other[v] - other_sum, log_q = (double)own[v] - own_sum;
        kl += exp(log_p) * (log_p - log_q);
        reverse += exp(log_q) * (log_q - log_p);
    }
    if (!pp_make_room(&a->each, a->n, &a->n_room, sizeof *a->each)) return false;
    a->each[a->n++] = (float)fmax(0, kl); /* rounding may take it below */
    a->kl += fmax(0, kl);
    a->reverse += fmax(0, reverse);
    a->n_same += own_best == other_best;
    a->nll += other_sum - (double)other[a->ids[i + 1]];
    return true;
}

static int on_row(void *user, size_t i, const float *logits)
{
    pp_against *a = user;
    if (i + 1 == a->n_tok) return pp_interrupted();
    if (!compare_row(a, i, logits)) a->no_memory = true;
    return a->no_memory || pp_interrupted();
}

int pp_against_score(pp_against *a, const int32_t *ids, size_t n)
{
    const pippin_score score = {.tokens = ids, .n_tok = n, .row = on_row, .user = a};
    pippin_error err;
    a->ids = ids;
    a->n_tok = n;
    const pippin_status status = pippin_session_score(a->other.session, &score, &err);
    if (a->no_memory) return pp_no_memory();
    return status == PIPPIN_OK ? 0 : pp_failed(&err);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

pp_against_result pp_against_finish(pp_against *a)
{
    const double n = (double)a->n;
    qsort(a->each, a->n, sizeof *a->each, by_value);
    return (pp_against_result){.kl = a->kl / n,
                               .reverse_kl = a->reverse / n,
                               .same_top = (double)a->n_same / n,
                               .kl_median = (double)a->each[a->n / 2],
                               .kl_99 = (double)a->each[(a->n - 1) * 99 / 100],
                               .kl_max = (double)a->each[a->n - 1],
                               .nll = a->nll};
}

json_t *pp_against_json(const pp_against_result *r, const char *path)
{
    return json_pack("{s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "model", pp_json_text(path, strlen(path)), "kl", r->kl,
                     "kl_median", r->kl_median, "kl_99", r->kl_99, "kl_max", r->kl_max, "reverse_kl", r->reverse_kl,
                     "top1_agreement", r->same_top, "nll", r->nll);
}

void pp_against_print(const pp_against_result *r, size_t n_tok, double own_nll)
{
    pp_print("against         %.4f nats a token, %+.4f\nkl              %.6f mean, %.6f median, %.6f 99th percentile, "
             "%.4f largest\n"
             "reverse kl      %.6f mean\ntop-1 agreement %.4f\n",
             r->nll / (double)n_tok, (own_nll - r->nll) / (double)n_tok, r->kl, r->kl_median, r->kl_99, r->kl_max,
             r->reverse_kl, r->same_top);
}
