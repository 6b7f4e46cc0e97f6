/*
 * draft.c - guesses by a smaller model with the same vocabulary, on a session of its own. That session is handed the whole text
 * each time, as any: it forgets what was refused, and reads what came in its place.
 */
#include <string.h>

#include "infer/session.h"

/* Tokens that a text grows by between two guesses where all are right: the last guess, and the one after it. */
enum { USUAL = 2 };

static pippin_status draw(const pp_source *self, const pp_prefix *prefix, int32_t most, pp_draft *out,
                          pippin_error *err)
{
    pippin_session *d = self->draft;
    const double start = pp_seconds();
    pp_history h = prefix->text;
    pippin_status status = pippin_session_sync(d, h.tokens, h.n_tok, err);
    const size_t n_read = h.n_tok - pippin_session_n_reused(d);
    if (n_read > USUAL) out->reading = (pp_seconds() - start) / (double)n_read;
    h.tokens = d->tokens;
    for (int32_t i = 0; status == PIPPIN_OK; i++) {
        out->laws[i] = pp_sampler_law(&d->sampler, prefix->sampling, pippin_session_logits(d), &h, i);
        out->ids[i] = pp_law_draw(&out->laws[i],
                                  pp_random_unit(prefix->sampling->seed, PP_STREAM_DRAFT, prefix->index + (uint64_t)i));
        out->n = i + 1;
        if (out->n == most) break;
        const int32_t at = (int32_t)h.n_tok++;
        d->tokens[at] = out->ids[i];
        status = pp_session_extend(d, at + 1, 1, err);
    }
    if (n_read <= USUAL) out->seconds = pp_seconds() - start;
    return status;
}

pippin_status pp_draft_guess(const pp_source *self, const pp_prefix *prefix, int32_t most, pp_draft *out,
                             pippin_error *err)
{
    pippin_session *d = self->draft;
    const size_t n = prefix->text.n_tok, n_ctx = (size_t)d->n_ctx;
    out->n = 0;
    out->seconds = out->reading = 0;
    /* The last guess need not be evaluated. */
    if (n > n_ctx) return PIPPIN_OK;
    if (n_ctx - n + 1 < (size_t)most) most = (int32_t)(n_ctx - n + 1);
    d->leader = self->model;
    pippin_status status = draw(self, prefix, most, out, err);
    d->leader = NULL;
    return status;
}

size_t pp_draft_unread(const pippin_session *draft, const pp_history *text)
{
    const size_t most = PP_MIN((size_t)draft->kv.n_tok, text->n_tok);
    size_t same = 0;
    while (same < most && draft->tokens[same] == text->tokens[same]) same++;
    return text->n_tok - same;
}

/* ---- does it fit? ---- */

/* Two vocabularies that differ give guesses that mean something else. */
static pippin_status compare_pieces(const pippin_model *model, const pippin_model *draft, pippin_error *err)
{
    const pippin_tokenizer *a = model->tokenizer, *b = draft->tokenizer;
    const char *name = draft->weights.config.name, *wanted = model->weights.config.name;
    if (!a || !b) return PIPPIN_OK; /* one speaks in ids, and its size is what can be known of it */
    const int32_t n = PP_MAX(pippin_tokenizer_size(a), pippin_tokenizer_size(b));
    for (int32_t id = 0; id < n; id++) {
        size_t n_a = 0, n_b = 0;
        const char *piece_a = pippin_tokenizer_piece(a, id, &n_a), *piece_b = pippin_tokenizer_piece(b, id, &n_b);
        if (n_a == n_b && (!n_a || memcmp(piece_a, piece_b, n_a) == 0)) continue;
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "draft %s: its token %d is \"%.*s\", expected \"%.*s\" as in %s; use a draft with the same "
                       "tokenizer",
                       name, (int)id, (int)PP_MIN(n_b, 40), piece_b ? piece_b : "", (int)PP_MIN(n_a, 40),
                       piece_a ? piece_a : "", wanted);
    }
    return PIPPIN_OK;
}

pippin_status pp_draft_check(pippin_session *model, pippin_session *draft, pippin_error *err)
{
    pippin_model *m = model->model, *d = draft->model;
    if (model == draft)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "draft: is the session that it is to guess for, expected another one");
    if (d == m || d == model->fits) return PIPPIN_OK;
    if (d->weights.config.n_vocab != m->weights.config.n_vocab)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "draft %s: its vocabulary has %d tokens, expected the %d of %s; use a draft with the same "
                       "tokenizer",
                       d->weights.config.name, (int)d->weights.config.n_vocab, (int)m->weights.config.n_vocab,
                       m->weights.config.name);
    pippin_status status = compare_pieces(m, d, err);
    if (status != PIPPIN_OK) return status;
    pippin_model_free(model->fits);
    model->fits = pippin_model_retain(d);
    return PIPPIN_OK;
}
