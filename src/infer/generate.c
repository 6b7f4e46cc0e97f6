/* generate.c - a prompt's continuation, token after token, with text in whole characters as it comes. */
#include "infer/session.h"

enum { MAX_ENDS = 8 };

/* A text that is being written. */
typedef struct generation {
    pippin_generation *job;
    pippin_session *s;
    pippin_generate_options o;
    pp_speculation next;
    pp_stopper stopper;
    size_t n_done, limit;
    int32_t ends[MAX_ENDS]; /* [n_end] what ends a text by itself */
    size_t n_end;
    int32_t n_wanted; /* logits that are to be computed next; 0: it has yet to be said what comes next */
    int32_t end;      /* the timeline's, when they are */
    bool running, prompted;
    bool stopped; /* by a stop string: what is held back belongs to it */
    bool whole;   /* ended by a stop id: every token of the text is evaluated */
    double start, ready, model_seconds, draft_seconds;
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
    if (g->n_done < g->job->capacity && g->job->ids) g->job->ids[g->n_done] = id;
    g->n_done++;
    if (stopped) g->job->result.finish = PIPPIN_FINISH_STOP;
    const bool unwanted = g->o.on_token && g->o.on_token(g->o.user, &event) != 0;
    if (unwanted) g->job->result.finish = PIPPIN_FINISH_CANCELLED;
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

/* Hands out the tokens that came; false when the generation ends among them. */
static bool deliver_all(generation *g)
{
    const size_t n_vocab = (size_t)g->s->sampler.n_vocab;
    for (int32_t i = 0; i < g->next.n; i++) {
        const int32_t id = g->next.ids[i];
        g->whole = is_stop(g, id);
        if (g->whole) {
            g->job->result.finish = PIPPIN_FINISH_STOP;
            g->job->result.stop_id = id;
            return false;
        }
        if (!deliver(g, id, g->next.logits + (size_t)i * n_vocab) || g->n_done == g->limit) return false;
    }
    return true;
}

/* ---- the life of a generation ---- */

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
    pippin_status status = pp_sampling_check(&g->o.sampling, g->s->sampler.n_vocab, err);
    return status == PIPPIN_OK ? pp_session_check_tokens(g->s, g->job->prompt, g->job->n_prompt, err) : status;
}

static double draft_seconds(const generation *g) { return g->o.draft ? g->o.draft->seconds : 0; }

static pippin_status begin(generation *g, pippin_generation *job, pippin_error *err)
{
    pippin_session *s = job->session;
    const size_t n_prompt = job->n_prompt;
    *g = (generation){.job = job, .s = s, .start = pp_seconds()};
    if (job->options) g->o = *job->options;
    job->result = (pippin_generate_result){.n_prompt = n_prompt, .finish = PIPPIN_FINISH_CANCELLED, .stop_id = -1};
    pippin_status status = check(g, err);
    if (status == PIPPIN_OK)
        status = pp_stopper_init(&g->stopper, g->o.stop_strings, g->o.n_stop_strings, s->stream.capacity, err);
    if (status != PIPPIN_OK) return status;
    pp_session_take(s, job->prompt, n_prompt, 1);
    job->result.n_cached = s->n_reused;
    const size_t room = (size_t)s->n_ctx - n_prompt + 1; /* the last token need not be evaluated any more */
    g->limit = g->o.max_tokens ? PP_MIN(g->o.max_tokens, room) : room;
    g->n_wanted = 1;
    g->end = (int32_t)n_prompt;
    g->running = true;
    /* After a prompt of words the first piece keeps its space; after a lone BOS it begins the text. */
    const pippin_tokenizer *t = s->model->tokenizer;
    if (t) g->n_end = PP_MIN(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_AUTO, g->ends, MAX_ENDS), (size_t)MAX_ENDS);
    pp_stream_restart(&s->stream, !(t && n_prompt == 1 && job->prompt[0] == pippin_tokenizer_bos(t)));
    pp_speculation_init(&g->next, s, &g->o, n_prompt);
    return PIPPIN_OK;
}

/* The prompt's own time ends, and that of writing begins. */
static void prompted(generation *g)
{
    g->prompted = true;
    g->ready = pp_seconds();
    g->model_seconds = g->s->seconds;
    g->draft_seconds = draft_seconds(g);
    g->job->result.prompt_seconds = g->ready - g->start;
    g->job->result.finish = PIPPIN_FINISH_LENGTH;
}

static void finish(generation *g, pippin_status status)
{
    pippin_session *s = g->s;
    pippin_generate_result *r = &g->job->result;
    g->running = false;
    g->job->status = status;
    if (status == PIPPIN_E_CANCELLED) r->finish = PIPPIN_FINISH_CANCELLED;
    /* A request that came while it ran has been served, whoever stopped it first; it is not the next call's. */
    if (g->prompted || status == PIPPIN_E_CANCELLED) atomic_store(&s->cancel, 0);
    if (g->prompted) {
        /* Tokens beyond the end were evaluated where they were guessed together; the text is without them. */
        pp_session_rewind(s, g->job->n_prompt + g->n_done - !g->whole);
        deliver_rest(g);
        r->n_generated = g->n_done;
        r->generate_seconds = pp_seconds() - g->ready;
        r->model_seconds = s->seconds - g->model_seconds;
        r->draft_seconds = draft_seconds(g) - g->draft_seconds;
        r->n_drafted = g->next.n_drafted;
        r->n_accepted = g->next.n_accepted;
        r->n_verify = g->next.n_verify;
    }
    pp_stopper_free(&g->stopper);
}

/* What is to be evaluated next; not running any more where that fails. */
static void prepare(generation *g, bool alone)
{
    if (g->n_wanted) return;
    pippin_status status =
        pp_speculation_guess(&g->next, g->n_done, g->limit - g->n_done, alone, &g->n_wanted, &g->job->error);
    if (status != PIPPIN_OK) finish(g, status);
    g->end = g->s->kv.n_tok + g->n_wanted;
}

/* The pass that evaluated what was wanted took so long; 0: it was not for this text alone. */
static void proceed(generation *g, double seconds)
{
    const bool first = !g->prompted;
    if (first) prompted(g);
    pp_speculation_judge(&g->next, g->n_done, first ? 0 : seconds);
    g->n_wanted = 0;
    if (!deliver_all(g)) finish(g, PIPPIN_OK);
}

/* A pass was given up because one of these was asked to stop, or because all failed. */
static void give_up(generation **active, int32_t n, pippin_status status, const pippin_error *err)
{
    for (int32_t i = 0; i < n; i++) {
        if (status == PIPPIN_E_CANCELLED && !atomic_load(&active[i]->s->cancel)) continue;
        active[i]->job->error = *err;
        finish(active[i], status);
    }
}

/* One pass for the generations that are active, but for those whose logits are there already. */
static void turn(generation **active, int32_t n)
{
    pp_extension items[PP_MAX_SESSIONS];
    pippin_error err = {0};
    int32_t n_item = 0;
    for (int32_t i = 0; i < n; i++) {
        generation *g = active[i];
        if (g->s->kv.n_tok == g->end && pp_session_has_logits(g->s)) {
            proceed(g, 0);
            continue;
        }
        /* Logits of a prompt that was there as a whole, gone by the pass of another. */
        if (g->s->kv.n_tok == g->end) pp_session_rewind(g->s, (size_t)(g->end - g->n_wanted));
        active[n_item] = g;
        items[n_item++] = (pp_extension){g->s, g->end, g->n_wanted};
    }
    if (n_item == 0) return;
    const double start = pp_seconds();
    const pippin_status status = pp_extend_pass(items, n_item, &err);
    const double seconds = n == 1 ? pp_seconds() - start : 0;
    if (status != PIPPIN_OK) give_up(active, n_item, status, &err);
    for (int32_t i = 0; i < n_item && status == PIPPIN_OK; i++)
        if (active[i]->s->kv.n_tok == items[i].end) proceed(active[i], seconds);
}

static void run(generation *all, size_t n)
{
    generation *active[PP_MAX_SESSIONS];
    for (size_t first = 0;; first++) {
        int32_t n_active = 0, n_running = 0;
        for (size_t i = 0; i < n; i++) n_running += all[i].running;
        /* They take turns in being first: where logits are wanted by more than fit, the last go without. */
        for (size_t i = 0; i < n && n_active < PP_MAX_SESSIONS; i++) {
            generation *g = &all[(first + i) % n];
            if (g->running) prepare(g, n_running == 1);
            if (g->running) active[n_active++] = g;
        }
        if (n_active == 0) return;
        turn(active, n_active);
    }
}

pippin_status pippin_generate(pippin_session *s, const int32_t *prompt, size_t n_prompt,
                              const pippin_generate_options *options, int32_t *ids, size_t capacity,
                              pippin_generate_result *result, pippin_error *err)
{
    pippin_generation job = {
        .session = s, .prompt = prompt, .n_prompt = n_prompt, .options = options, .ids = ids, .capacity = capacity};
    generation g;
    job.status = begin(&g, &job, &job.error);
    if (job.status == PIPPIN_OK)
        run(&g, 1);
    else
        finish(&g, job.status);
    if (result) *result = job.result;
    if (job.status != PIPPIN_OK && err) *err = job.error;
    return job.status;
}

pippin_status pippin_generate_many(pippin_generation *jobs, size_t n, pippin_error *err)
{
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++)
        status = pp_session_join(jobs[i].session, jobs[0].session, i, err);
    if (status != PIPPIN_OK || n == 0) return status;
    generation *all = pp_alloc_zero(n, sizeof *all);
    if (!all) return pp_fail_memory(err, "generations", n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        jobs[i].error = (pippin_error){0};
        jobs[i].status = begin(&all[i], &jobs[i], &jobs[i].error);
        if (jobs[i].status != PIPPIN_OK) finish(&all[i], jobs[i].status);
    }
    run(all, n);
    pp_free(all);
    return PIPPIN_OK;
}
