/* generate.c - a prompt's continuation, one token after another, with text in whole characters as it comes. */
#include "infer/session.h"

typedef struct generation {
    pippin_session *s;
    pippin_generate_options o;
    int32_t *ids;
    size_t capacity, n_done;
    pippin_generate_result *result;
} generation;

/* Without a list from the caller, what ends a text: its end id, or the id that begins the next one. Where no tokenizer
   says what ids mean, none is special. */
static bool is_stop(const generation *g, int32_t id)
{
    const pippin_model *m = g->s->model;
    const pippin_config *c = &m->weights.config;
    for (size_t i = 0; i < g->o.n_stop_ids; i++)
        if (g->o.stop_ids[i] == id) return true;
    if (g->o.stop_ids || !m->tokenizer) return false;
    return id == pippin_tokenizer_eos(m->tokenizer) || id == pippin_tokenizer_bos(m->tokenizer) || id == c->eos_id || id == c->bos_id;
}

/* Hands out one token; false when the caller wants no more. */
static bool deliver(generation *g, int32_t id)
{
    pippin_token_event event = {.id = id, .index = g->n_done};
    event.text = pp_stream_push(&g->s->stream, id, &event.n_bytes);
    if (g->n_done < g->capacity && g->ids) g->ids[g->n_done] = id;
    g->n_done++;
    return !g->o.on_token || g->o.on_token(g->o.user, &event) == 0;
}

/* Bytes of a character that never became whole: told as part of the last token. */
static void deliver_rest(generation *g)
{
    pippin_token_event event = {.id = -1, .index = g->n_done};
    event.text = pp_stream_finish(&g->s->stream, &event.n_bytes);
    if (event.n_bytes && g->o.on_token) g->o.on_token(g->o.user, &event);
}

static pippin_status run(generation *g, size_t n_prompt, pippin_error *err)
{
    pippin_session *s = g->s;
    const int32_t n_vocab = s->model->weights.config.n_vocab;
    const size_t room = (size_t)s->n_ctx - n_prompt + 1; /* the last token need not be evaluated any more */
    const size_t limit = g->o.max_tokens ? PP_MIN(g->o.max_tokens, room) : room;
    g->result->finish = PIPPIN_FINISH_LENGTH;
    while (g->n_done < limit) {
        const int32_t id = g->o.temperature > 0
                               ? pp_sample(s->logits, n_vocab, g->o.temperature, g->o.seed, g->n_done, s->probs)
                               : pp_sample_greedy(s->logits, n_vocab);
        if (is_stop(g, id)) {
            g->result->finish = PIPPIN_FINISH_STOP;
            break;
        }
        if (!deliver(g, id)) {
            g->result->finish = PIPPIN_FINISH_CANCELLED;
            break;
        }
        if (g->n_done == limit) break;
        const int32_t at = s->kv.n_tok;
        s->tokens[at] = id;
        pippin_status status = pp_session_extend(s, at, at + 1, true, err);
        if (status == PIPPIN_E_CANCELLED) g->result->finish = PIPPIN_FINISH_CANCELLED;
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

pippin_status pippin_generate(pippin_session *s, const int32_t *prompt, size_t n_prompt, const pippin_generate_options *options,
                              int32_t *ids, size_t capacity, pippin_generate_result *result, pippin_error *err)
{
    pippin_generate_result unused;
    generation g = {.s = s, .o = options ? *options : (pippin_generate_options){0}, .ids = ids, .capacity = capacity,
                    .result = result ? result : &unused};
    *g.result = (pippin_generate_result){.n_prompt = n_prompt, .finish = PIPPIN_FINISH_CANCELLED};
    if (!(g.o.temperature >= 0 && g.o.temperature < 1e6))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "temperature: %g, expected 0 (greedy) or more", g.o.temperature);
    const double start = pp_seconds();
    pippin_status status = pippin_session_sync(s, prompt, n_prompt, err);
    const double ready = pp_seconds();
    g.result->prompt_seconds = ready - start;
    if (status != PIPPIN_OK) return status;
    g.result->n_cached = s->n_reused;
    /* After a prompt of words the first piece keeps its space; after a lone BOS it begins the text. */
    const pippin_tokenizer *t = s->model->tokenizer;
    pp_stream_restart(&s->stream, !(t && n_prompt == 1 && prompt[0] == pippin_tokenizer_bos(t)));
    status = run(&g, n_prompt, err);
    deliver_rest(&g);
    g.result->n_generated = g.n_done;
    g.result->generate_seconds = pp_seconds() - ready;
    return status;
}
