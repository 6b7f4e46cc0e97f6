/* generate.c - a prompt's continuation, token after token, with text in whole characters as it comes. */
#include "infer/session.h"

enum { MAX_ENDS = 8 };

typedef struct generation {
    pippin_session *s;
    pippin_generate_options o;
    pp_speculation next;
    pp_stopper stopper;
    int32_t *ids;
    size_t capacity, n_prompt, n_done;
    int32_t ends[MAX_ENDS]; /* [n_end] what ends a text by itself */
    size_t n_end;
    bool stopped; /* by a stop string: what is held back belongs to it */
    pippin_generate_result *result;
} generation;

/* Without a list from the caller, what ends a text: its end id, the end of a turn, or the id that begins the next one. Where no tokenizer
   says what ids mean, none is special. */
static bool is_stop(const generation *g, int32_t id)
{
    const pippin_model *m = g->s->model;
    const pippin_config *c = &m->weights.config;
    for (size_t i = 0; i < g->o.n_stop_ids; i++)
        if (g->o.stop_ids[i] == id) return true;
    if (g->o.stop_ids || !m->tokenizer) return false;
    for (size_t i = 0; i < g->n_end; i++)
        if (g->ends[i] == id) return true;
    return id == pippin_tokenizer_bos(m->tokenizer) || id == c->eos_id || id == c->bos_id;
}

/* Hands out one token, chosen by these logits; false when the generation ends with it. */
static bool deliver(generation *g, int32_t id, const float *logits)
{
    pippin_session *s = g->s;
    pippin_logprob top[PIPPIN_MAX_LOGPROBS];
    pippin_token_event event = {.id = id, .index = g->n_done, .top = top};
    bool stopped;
    event.text = pp_stream_push(&s->stream, id, &event.n_bytes);
    event.text = pp_stopper_push(&g->stopper, event.text, &event.n_bytes, &stopped);
    if (g->o.logprobs > 0) {
        const double log_sum = pp_log_sum(&s->sampler, logits);
        event.logprob = (float)((double)logits[id] - log_sum);
        event.n_top = (size_t)PP_MIN(g->o.logprobs, s->sampler.n_vocab);
        pp_top_logprobs(&s->sampler, logits, log_sum, top, (int32_t)event.n_top);
    }
    if (g->n_done < g->capacity && g->ids) g->ids[g->n_done] = id;
    g->n_done++;
    if (stopped) g->result->finish = PIPPIN_FINISH_STOP;
    const bool unwanted = g->o.on_token && g->o.on_token(g->o.user, &event) != 0;
    if (unwanted) g->result->finish = PIPPIN_FINISH_CANCELLED;
    g->stopped = stopped;
    return !unwanted && !stopped;
}

static void deliver_text(const generation *g, const char *text, size_t n_bytes)
{
    const pippin_token_event event = {.id = -1, .index = g->n_done, .text = text, .n_bytes = n_bytes};
    if (n_bytes && g->o.on_token) g->o.on_token(g->o.user, &event);
}

/* What was held back: the beginning of a stop string that did not come, and of a character that never became whole. */
static void deliver_rest(generation *g)
{
    size_t n_bytes;
    if (g->stopped) return;
    const char *text = pp_stopper_rest(&g->stopper, &n_bytes);
    deliver_text(g, text, n_bytes);
    text = pp_stream_finish(&g->s->stream, &n_bytes);
    deliver_text(g, text, n_bytes);
}

/* Hands out the tokens that came; false when the generation ends among them. *whole: with a stop id, before it. */
static bool deliver_all(generation *g, size_t limit, bool *whole)
{
    const size_t n_vocab = (size_t)g->s->sampler.n_vocab;
    for (int32_t i = 0; i < g->next.n; i++) {
        const int32_t id = g->next.ids[i];
        *whole = is_stop(g, id);
        if (*whole) {
            g->result->finish = PIPPIN_FINISH_STOP;
            return false;
        }
        if (!deliver(g, id, g->next.logits + (size_t)i * n_vocab) || g->n_done == limit) return false;
    }
    return true;
}

static pippin_status run(generation *g, pippin_error *err)
{
    pippin_session *s = g->s;
    const size_t room = (size_t)s->n_ctx - g->n_prompt + 1; /* the last token need not be evaluated any more */
    const size_t limit = g->o.max_tokens ? PP_MIN(g->o.max_tokens, room) : room;
    bool whole = false;
    pippin_status status;
    g->result->finish = PIPPIN_FINISH_LENGTH;
    pp_speculation_init(&g->next, s, &g->o, g->n_prompt);
    do status = pp_speculation_next(&g->next, g->n_done, limit - g->n_done, err);
    while (status == PIPPIN_OK && deliver_all(g, limit, &whole));
    if (status == PIPPIN_E_CANCELLED) g->result->finish = PIPPIN_FINISH_CANCELLED;
    /* Tokens beyond the end were evaluated where they were guessed together; the text is without them. */
    pp_session_rewind(s, g->n_prompt + g->n_done - !whole);
    return status;
}

static pippin_status check(const generation *g, pippin_error *err)
{
    if (g->o.logprobs < 0 || g->o.logprobs > PIPPIN_MAX_LOGPROBS)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "logprobs: %d, expected 0 to %d", (int)g->o.logprobs,
                       PIPPIN_MAX_LOGPROBS);
    if (g->o.draft_tokens < 0 || g->o.draft_tokens > PP_MAX_DRAFT)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "draft tokens: %d, expected 1 to %d, or 0 for as many as pay",
                       (int)g->o.draft_tokens, PP_MAX_DRAFT);
    if (g->o.draft) {
        pippin_status status = pp_draft_check(g->s, g->o.draft, err);
        if (status != PIPPIN_OK) return status;
    }
    return pp_sampling_check(&g->o.sampling, g->s->sampler.n_vocab, err);
}

static void tell(generation *g, double seconds, double model_seconds, double draft_seconds)
{
    pippin_generate_result *r = g->result;
    r->n_generated = g->n_done;
    r->generate_seconds = seconds;
    r->model_seconds = model_seconds;
    r->draft_seconds = draft_seconds;
    r->n_drafted = g->next.n_drafted;
    r->n_accepted = g->next.n_accepted;
    r->n_verify = g->next.n_verify;
}

pippin_status pippin_generate(pippin_session *s, const int32_t *prompt, size_t n_prompt,
                              const pippin_generate_options *options, int32_t *ids, size_t capacity,
                              pippin_generate_result *result, pippin_error *err)
{
    pippin_generate_result unused;
    generation g = {.s = s,
                    .o = options ? *options : (pippin_generate_options){0},
                    .ids = ids,
                    .capacity = capacity,
                    .n_prompt = n_prompt,
                    .result = result ? result : &unused};
    *g.result = (pippin_generate_result){.n_prompt = n_prompt, .finish = PIPPIN_FINISH_CANCELLED};
    pippin_status status = check(&g, err);
    if (status == PIPPIN_OK)
        status = pp_stopper_init(&g.stopper, g.o.stop_strings, g.o.n_stop_strings, s->stream.capacity, err);
    const double start = pp_seconds();
    if (status == PIPPIN_OK) status = pippin_session_sync(s, prompt, n_prompt, err);
    const double ready = pp_seconds();
    g.result->prompt_seconds = ready - start;
    if (status == PIPPIN_OK) {
        g.result->n_cached = s->n_reused;
        /* After a prompt of words the first piece keeps its space; after a lone BOS it begins the text. */
        const pippin_tokenizer *t = s->model->tokenizer;
        if (t) g.n_end = PP_MIN(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_AUTO, g.ends, MAX_ENDS), (size_t)MAX_ENDS);
        pp_stream_restart(&s->stream, !(t && n_prompt == 1 && prompt[0] == pippin_tokenizer_bos(t)));
        const double model = s->seconds, draft = g.o.draft ? g.o.draft->seconds : 0;
        status = run(&g, err);
        /* A request that came while it ran has been served, whoever stopped it first; it is not the next call's. */
        atomic_store(&s->cancel, 0);
        deliver_rest(&g);
        tell(&g, pp_seconds() - ready, s->seconds - model, g.o.draft ? g.o.draft->seconds - draft : 0);
    }
    pp_stopper_free(&g.stopper);
    return status;
}
