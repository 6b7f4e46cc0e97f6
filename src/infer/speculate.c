/*
 * speculate.c - the next tokens of a text. A pass evaluates the last token together with guesses of those after it, and gives
 * the model's law at each place; guesses are taken from the first on until one is refused, then one token more is the model's
 * own. Without guesses that is plain decoding.
 */
#include "infer/session.h"

static void add_source(pp_speculation *sp, int32_t which, pp_source source)
{
    source.model = sp->s;
    source.odds = &sp->s->odds[which];
    sp->sources[sp->n_source++] = source;
}

void pp_speculation_init(pp_speculation *sp, pippin_session *s, const pippin_generate_options *o, size_t n_prompt)
{
    *sp = (pp_speculation){.s = s, .options = o, .n_prompt = n_prompt};
    if (o->lookup) add_source(sp, PP_SOURCE_LOOKUP, (pp_source){.guess = pp_lookup_guess});
    if (o->draft) add_source(sp, PP_SOURCE_DRAFT, (pp_source){.guess = pp_draft_guess, .draft = o->draft});
}

static double number(const pp_speculation *sp, uint64_t stream, uint64_t index)
{
    return pp_random_unit(sp->options->sampling.seed, stream, index);
}

/* The model's law after the first n_tok tokens, by a row of its logits. */
static pp_law law_after(pp_speculation *sp, const float *logits, int32_t n_tok)
{
    const pp_history h = {sp->s->tokens, (size_t)n_tok, sp->n_prompt};
    return pp_sampler_law(&sp->s->sampler, &sp->options->sampling, logits, &h, 0);
}

/* Guesses that fit: into the context, into one pass with its logits, and into what is wanted. */
static int32_t most_guesses(const pippin_session *s, size_t n_wanted)
{
    const int32_t room = PP_MIN(PP_MIN(s->n_ctx - s->kv.n_tok, s->n_batch), s->n_logits) - 1;
    return (int32_t)PP_MIN(PP_MIN(n_wanted - 1, (size_t)PP_MAX(room, 0)), (size_t)PP_MAX_DRAFT);
}

/* As many as were asked for, or as pay. */
static int32_t how_many(const pp_speculation *sp, const pp_source *source, const pp_history *text, size_t n_wanted)
{
    const int32_t most = most_guesses(sp->s, n_wanted), fixed = sp->options->draft_tokens;
    if (fixed) return PP_MIN(fixed, most);
    const size_t n_unread = source->draft ? pp_draft_unread(source->draft, text) : 0;
    return pp_pace_choose(&sp->s->pace, source->odds, most, n_unread, n_wanted);
}

/* Asks the sources in turn until one has guesses; `by` is that one, NULL: none has. */
static pippin_status guess(pp_speculation *sp, int32_t n_tok, uint64_t index, size_t n_wanted, pp_draft *out,
                           pp_source **by, pippin_error *err)
{
    const pp_prefix prefix = {{sp->s->tokens, (size_t)n_tok, sp->n_prompt}, &sp->options->sampling, index};
    out->n = 0;
    *by = NULL;
    for (int32_t i = 0; i < sp->n_source; i++) {
        pp_source *source = &sp->sources[i];
        const int32_t k = how_many(sp, source, &prefix.text, n_wanted);
        if (k == 0) continue;
        pippin_status status = source->guess(source, &prefix, k, out, err);
        if (status != PIPPIN_OK) return status;
        if (out->n == 0) continue;
        if (out->reading > 0) pp_pace_saw_reading(source->odds, out->reading);
        if (out->seconds > 0) pp_pace_saw_guesses(source->odds, out->n, out->seconds);
        *by = source;
        return PIPPIN_OK;
    }
    return PIPPIN_OK;
}

/* Is guess i right? If not, *id is what stands in its place. */
static bool decide(const pp_speculation *sp, const pp_law *p, const pp_draft *d, int32_t i, uint64_t index, int32_t *id)
{
    const double u_accept = number(sp, PP_STREAM_ACCEPT, index), u_token = number(sp, PP_STREAM_TOKEN, index);
    if (sp->options->acceptance == 0) return pp_accept(p, &d->laws[i], d->ids[i], u_accept, u_token, id);
    const bool accepted = u_accept < sp->options->acceptance;
    *id = accepted ? d->ids[i] : pp_law_draw(p, u_token);
    return accepted;
}

/* The guesses after token `at` that are right, and one token more, into sp->ids; how many are right. */
static int32_t judge(pp_speculation *sp, const pp_draft *d, int32_t at, uint64_t index)
{
    const size_t n_vocab = (size_t)sp->s->sampler.n_vocab;
    for (int32_t i = 0;; i++) {
        const uint64_t place = index + (uint64_t)i;
        const pp_law p = law_after(sp, sp->logits + (size_t)i * n_vocab, at + 1 + i);
        if (i == d->n) {
            sp->ids[i] = pp_law_draw(&p, number(sp, PP_STREAM_TOKEN, place));
            return i;
        }
        if (!decide(sp, &p, d, i, place, &sp->ids[i])) return i;
    }
}

pippin_status pp_speculation_next(pp_speculation *sp, size_t n_done, size_t most, pippin_error *err)
{
    pippin_session *s = sp->s;
    const int32_t at = s->kv.n_tok;
    pp_draft draft;
    pp_source *by;
    if (sp->n == 0) { /* the prompt's own logits */
        sp->logits = pippin_session_logits(s);
        const pp_law p = law_after(sp, sp->logits, at);
        sp->ids[0] = pp_law_draw(&p, number(sp, PP_STREAM_TOKEN, n_done));
        sp->n = 1;
        return PIPPIN_OK;
    }
    s->tokens[at] = sp->ids[sp->n - 1];
    pippin_status status = guess(sp, at + 1, n_done, most, &draft, &by, err);
    if (status != PIPPIN_OK) return status;
    for (int32_t i = 0; i < draft.n; i++) s->tokens[at + 1 + i] = draft.ids[i];
    const double start = pp_seconds();
    status = pp_session_extend(s, at, at + 1 + draft.n, draft.n + 1, err);
    if (status != PIPPIN_OK) return status;
    pp_pace_saw_pass(&s->pace, draft.n + 1, pp_seconds() - start);
    sp->logits = s->logits;
    const int32_t n_accepted = judge(sp, &draft, at, n_done);
    pp_session_rewind(s, (size_t)(at + 1 + n_accepted));
    sp->n = n_accepted + 1;
    if (!by) return PIPPIN_OK;
    pp_pace_saw_check(by->odds, draft.n, n_accepted);
    sp->n_drafted += (size_t)draft.n;
    sp->n_accepted += (size_t)n_accepted;
    sp->n_verify++;
    return PIPPIN_OK;
}
