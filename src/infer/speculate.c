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
    const int32_t room = PP_MIN(PP_MIN(s->n_ctx - s->kv.n_tok, s->work->n_batch), s->work->n_logits) - 1;
    return (int32_t)PP_MIN(PP_MIN(n_wanted - 1, (size_t)PP_MAX(room, 0)), (size_t)PP_MAX_DRAFT);
}

/* As many as were asked for, or as pay; where others share the pass, its time does not say what pays. */
static int32_t how_many(const pp_speculation *sp, const pp_source *source, const pp_prefix *prefix, size_t n_wanted,
                        bool alone)
{
    const int32_t most = most_guesses(sp->s, n_wanted), fixed = sp->options->draft_tokens;
    if (fixed) return PP_MIN(fixed, most);
    if (!alone) return 0;
    const size_t n_unread = source->draft ? pp_draft_unread(source->draft, &prefix->text) : 0;
    return pp_pace_choose(&sp->s->pace, source->odds, most, n_unread, (size_t)prefix->index, n_wanted);
}

/* Asks the sources in turn until one has guesses. */
static pippin_status ask(pp_speculation *sp, int32_t n_tok, uint64_t index, size_t n_wanted, bool alone,
                         pippin_error *err)
{
    const pp_prefix prefix = {{sp->s->tokens, (size_t)n_tok, sp->n_prompt}, &sp->options->sampling, index};
    pp_draft *d = &sp->draft;
    for (int32_t i = 0; i < sp->n_source; i++) {
        pp_source *source = &sp->sources[i];
        const int32_t k = how_many(sp, source, &prefix, n_wanted, alone);
        if (k == 0) continue;
        pippin_status status = source->guess(source, &prefix, k, d, err);
        if (status != PIPPIN_OK) return status;
        if (d->n == 0) continue;
        if (d->reading > 0) pp_pace_saw_reading(source->odds, d->reading);
        if (d->seconds > 0) pp_pace_saw_guesses(source->odds, d->n, d->seconds);
        sp->by = source;
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

pippin_status pp_speculation_guess(pp_speculation *sp, size_t n_done, size_t most, bool alone, int32_t *n_tok,
                                   pippin_error *err)
{
    pippin_session *s = sp->s;
    const int32_t at = s->kv.n_tok;
    sp->draft.n = 0;
    sp->by = NULL;
    s->tokens[at] = sp->ids[sp->n - 1];
    pippin_status status = ask(sp, at + 1, n_done, most, alone, err);
    if (status != PIPPIN_OK) return status;
    for (int32_t i = 0; i < sp->draft.n; i++) s->tokens[at + 1 + i] = sp->draft.ids[i];
    *n_tok = 1 + sp->draft.n;
    return PIPPIN_OK;
}

void pp_speculation_judge(pp_speculation *sp, size_t n_done, double seconds)
{
    pippin_session *s = sp->s;
    const int32_t n_guess = sp->draft.n, at = s->kv.n_tok - n_guess - 1;
    sp->logits = pippin_session_logits_of(s, n_guess);
    const int32_t n_accepted = judge(sp, &sp->draft, at, n_done);
    pp_session_rewind(s, (size_t)(at + 1 + n_accepted));
    sp->n = n_accepted + 1;
    if (seconds > 0) pp_pace_saw_pass(&s->pace, n_guess + 1, seconds);
    if (!sp->by) return;
    pp_pace_saw_check(sp->by->odds, n_guess, n_accepted);
    sp->n_drafted += (size_t)n_guess;
    sp->n_accepted += (size_t)n_accepted;
    sp->n_verify++;
}
