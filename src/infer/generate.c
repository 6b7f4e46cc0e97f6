/* generate.c - a prompt's continuation, one token after another, with text in whole characters as it comes. */
#include "infer/session.h"

enum { MAX_ENDS = 8 };

typedef struct generation {
    pippin_session *s;
    pippin_generate_options o;
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

/* Hands out one token; false when the generation ends with it. */
static bool deliver(generation *g, int32_t id)
{
    pippin_session *s = g->s;
    pippin_logprob top[PIPPIN_MAX_LOGPROBS];
    pippin_token_event event = {.id = id, .index = g->n_done, .top = top};
    bool stopped;
    event.text = pp_stream_push(&s->stream, id, &event.n_bytes);
    event.text = pp_stopper_push(&g->stopper, event.text, &event.n_bytes, &stopped);
    if (g->o.logprobs > 0) {
        const double log_sum = pp_log_sum(&s->sampler, s->logits);
        event.logprob = (float)((double)s->logits[id] - log_sum);
        event.n_top = (size_t)PP_MIN(g->o.logprobs, s->sampler.n_vocab);
        pp_top_logprobs(&s->sampler, s->logits, log_sum, top, (int32_t)event.n_top);
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

static pippin_status run(generation *g, pippin_error *err)
{
    pippin_session *s = g->s;
    const size_t room = (size_t)s->n_ctx - g->n_prompt + 1; /* the last token need not be evaluated any more */
    const size_t limit = g->o.max_tokens ? PP_MIN(g->o.max_tokens, room) : room;
    g->result->finish = PIPPIN_FINISH_LENGTH;
    while (g->n_done < limit) {
        const int32_t id =
            pp_sample(&s->sampler, &g->o.sampling, s->logits, s->tokens, (size_t)s->kv.n_tok, g->n_prompt, g->n_done);
        if (is_stop(g, id)) {
            g->result->finish = PIPPIN_FINISH_STOP;
            break;
        }
        if (!deliver(g, id) || g->n_done == limit) break;
        const int32_t at = s->kv.n_tok;
        s->tokens[at] = id;
        pippin_status status = pp_session_extend(s, at, at + 1, 1, err);
        if (status == PIPPIN_E_CANCELLED) g->result->finish = PIPPIN_FINISH_CANCELLED;
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

static pippin_status check(const generation *g, pippin_error *err)
{
    if (g->o.logprobs < 0 || g->o.logprobs > PIPPIN_MAX_LOGPROBS)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "logprobs: %d, expected 0 to %d", (int)g->o.logprobs,
                       PIPPIN_MAX_LOGPROBS);
    return pp_sampling_check(&g->o.sampling, g->s->sampler.n_vocab, err);
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
        status = run(&g, err);
        /* A request that came while it ran has been served, whoever stopped it first; it is not the next call's. */
        atomic_store(&s->cancel, 0);
        deliver_rest(&g);
        g.result->n_generated = g.n_done;
        g.result->generate_seconds = pp_seconds() - ready;
    }
    pp_stopper_free(&g.stopper);
    return status;
}
