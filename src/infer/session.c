/*
 * session.c - one timeline of tokens over a model. It is handed the whole prefix each time and finds out itself what to
 * reuse, extend or rebuild. All memory is allocated in pippin_session_create.
 */
#include <string.h>

#include "infer/session.h"

/* Largest context that a session may have: the roadmap's 205,000 tokens with room; keeps every product far from overflow. */
enum { MAX_CTX = 1 << 20, DEFAULT_CTX = 4096, DEFAULT_BATCH = 512, DEFAULT_LOGITS = 16, MAX_THREADS = 256 };

static pippin_status check_options(const pippin_session_options *o, pippin_error *err)
{
    const struct {
        const char *name;
        int32_t value, high;
    } ranges[] = {{"context", o->n_ctx, MAX_CTX},
                  {"threads", o->n_threads, MAX_THREADS},
                  {"batch", o->n_batch, MAX_CTX},
                  {"shortlist of tokens", o->n_shortlist, INT32_MAX},
                  {"rows of logits", o->n_logits, MAX_CTX}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < 0 || ranges[i].value > ranges[i].high)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: %d, expected 1 to %d, or 0 for the default", ranges[i].name,
                           (int)ranges[i].value, (int)ranges[i].high);
    if (o->kv_type && o->kv_type != PIPPIN_I8 && o->kv_type != PIPPIN_BF16 && o->kv_type != PIPPIN_F32)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "K/V cache type: %s, expected int8, bf16 or f32",
                       pippin_type_name(o->kv_type));
    return PIPPIN_OK;
}

/* What a session that works with another's memory may not choose for itself. */
static pippin_status join(pippin_session *s, const pippin_session_options *o, pippin_error *err)
{
    pippin_session *with = o->with;
    if (with->model != s->model)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "session to share memory with: is of another model, expected the same");
    if (o->n_ctx > with->work->n_ctx)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "context: %d, expected at most the %d of the session to share memory with", (int)o->n_ctx,
                       (int)with->work->n_ctx);
    s->n_ctx = o->n_ctx ? o->n_ctx : with->n_ctx;
    s->rope = with->rope;
    s->no_bypass = with->no_bypass;
    s->work = with->work;
    s->work->n_users++;
    return PIPPIN_OK;
}

static pippin_status start_alone(pippin_session *s, const pippin_session_options *o, pippin_error *err)
{
    const pippin_config *c = &s->model->weights.config;
    const int32_t trained = c->n_ctx_train > 0 ? PP_MIN(c->n_ctx_train, DEFAULT_CTX) : DEFAULT_CTX;
    s->n_ctx = o->n_ctx ? o->n_ctx : trained;
    s->no_bypass = o->no_bypass;
    const int32_t n_batch = PP_MIN(o->n_batch ? o->n_batch : DEFAULT_BATCH, s->n_ctx);
    const pp_scratch_sizes sizes = {.n_row = n_batch,
                                    .n_logits = PP_MIN(o->n_logits ? o->n_logits : DEFAULT_LOGITS, n_batch),
                                    .n_ctx = s->n_ctx,
                                    .n_thread = o->n_threads ? o->n_threads : PP_MIN(pp_cpu_count(), MAX_THREADS)};
    pippin_status status = pp_rope_choose(c, o->rope_scaling, o->rope_factor, s->n_ctx, &s->rope, err);
    return status == PIPPIN_OK ? pp_workspace_create(s->model, &s->rope, sizes, &s->work, err) : status;
}

static pippin_status make_shortlist(pippin_session *s, int32_t n, pippin_error *err)
{
    const int32_t n_vocab = s->model->weights.config.n_vocab;
    if (n == 0 || n >= n_vocab) return PIPPIN_OK;
    const size_t n_group = PP_HEAD_GROUPS(n_vocab);
    s->n_shortlist = n;
    s->head_groups = pp_alloc_zero(n_group, sizeof *s->head_groups);
    return s->head_groups ? PIPPIN_OK : pp_fail_memory(err, "shortlist of tokens", n_group);
}

static pippin_status allocate(pippin_session *s, const pippin_session_options *o, pippin_error *err)
{
    const pp_weights *w = &s->model->weights;
    const size_t n_ctx = (size_t)s->n_ctx;
    pippin_status status = pp_model_run(s->model, s->work->team, &s->running, err);
    if (status != PIPPIN_OK) return status;
    /* Not zeroed: a large context costs nothing until it is used. */
    s->tokens = pp_alloc(n_ctx * sizeof *s->tokens);
    s->segments = pp_alloc(n_ctx * sizeof *s->segments);
    s->positions = pp_alloc(n_ctx * sizeof *s->positions);
    if (!s->tokens || !s->segments || !s->positions) return pp_fail_memory(err, "session", 3 * n_ctx * sizeof(int32_t));
    status = make_shortlist(s, o->n_shortlist, err);
    if (status == PIPPIN_OK) status = pp_stream_init(&s->stream, s->model->tokenizer, true, err);
    if (status == PIPPIN_OK) status = pp_sampler_create(&s->model->kernels, w->config.n_vocab, &s->sampler, err);
    if (status == PIPPIN_OK) status = pp_kv_create(w, o->kv_type ? o->kv_type : pp_kv_auto(w), s->n_ctx, &s->kv, err);
    return status;
}

pippin_status pippin_session_create(pippin_model *model, const pippin_session_options *options, pippin_session **out,
                                    pippin_error *err)
{
    pippin_session_options o = options ? *options : (pippin_session_options){0};
    *out = NULL;
    pippin_status status = check_options(&o, err);
    if (status != PIPPIN_OK) return status;
    pippin_session *s = pp_alloc_zero(1, sizeof *s);
    if (!s) return pp_fail_memory(err, "session", sizeof *s);
    s->model = pippin_model_retain(model);
    status = o.with ? join(s, &o, err) : start_alone(s, &o, err);
    if (status == PIPPIN_OK) status = allocate(s, &o, err);
    if (status == PIPPIN_OK && model->adapter && !o.no_embedded_adapter)
        status = pippin_session_set_adapters(s, &(pippin_adapter_use){model->adapter, 1}, 1, err);
    if (status != PIPPIN_OK) {
        pippin_session_free(s);
        return status;
    }
    *out = s;
    return PIPPIN_OK;
}

void pippin_session_free(pippin_session *s)
{
    if (!s) return;
    pp_workspace_free(s->work);
    pp_kv_free(&s->kv);
    pp_stream_free(&s->stream);
    pp_free(s->tokens);
    pp_free(s->segments);
    pp_free(s->positions);
    pp_free(s->head_groups);
    pp_sampler_free(&s->sampler);
    pippin_model_free(s->fits);
    pippin_model_free(s->model);
    pp_free(s);
}

const pippin_model *pippin_session_model(const pippin_session *s) { return s->model; }
int32_t pippin_session_n_ctx(const pippin_session *s) { return s->n_ctx; }
int32_t pippin_session_n_threads(const pippin_session *s) { return pp_team_size(s->work->team); }
pippin_type pippin_session_kv_type(const pippin_session *s) { return s->kv.type; }
pippin_rope_scaling pippin_session_rope_scaling(const pippin_session *s) { return s->rope.scaling; }
double pippin_session_rope_factor(const pippin_session *s) { return s->rope.factor; }
int32_t pippin_session_n_logits(const pippin_session *s) { return s->work->n_logits; }

double pippin_session_log_sum(const pippin_session *s, const float *logits) { return pp_log_sum(&s->sampler, logits); }
const float *pippin_session_logits(const pippin_session *s) { return pippin_session_logits_of(s, 0); }

bool pp_session_has_logits(const pippin_session *s) { return s->logits && s->pass == s->work->n_pass; }

const float *pippin_session_logits_of(const pippin_session *s, int32_t back)
{
    if (!pp_session_has_logits(s) || back < 0 || back >= s->n_wanted) return NULL;
    return s->logits + (size_t)(s->n_wanted - 1 - back) * (size_t)s->model->weights.config.n_vocab;
}

size_t pippin_session_n_tok(const pippin_session *s) { return (size_t)s->kv.n_tok; }
const int32_t *pippin_session_tokens(const pippin_session *s) { return s->tokens; }
size_t pippin_session_n_reused(const pippin_session *s) { return s->n_reused; }
void pippin_session_cancel(pippin_session *s) { atomic_store(&s->cancel, 1); }

void pippin_session_on_layer(pippin_session *s, void (*at_layer)(void *user, int32_t layer), void *user)
{
    s->at_layer = at_layer;
    s->at_layer_user = user;
}

static pippin_status too_long(const pippin_session *s, size_t n_tok, pippin_error *err)
{
    char fixed[160] = "";
    if (s->rope.scaling > PIPPIN_ROPE_SCALING_NONE && s->rope.scaling < PIPPIN_ROPE_SCALING_LLAMA3)
        snprintf(fixed, sizeof fixed,
                 " (with a new session: keys are cached after their rotation, so this one's factor of %g is fixed)",
                 s->rope.factor);
    return pp_fail(err, PIPPIN_E_CONTEXT,
                   "prompt: %zu tokens, the context holds %d; shorten it or ask for a larger context%s", n_tok,
                   (int)s->n_ctx, fixed);
}

pippin_status pippin_session_fill(pippin_session *s, size_t n_tok, uint64_t seed, pippin_error *err)
{
    if (n_tok == 0) return pp_fail(err, PIPPIN_E_ARGUMENT, "tokens to fill in: none, expected at least one");
    if (n_tok > (size_t)s->n_ctx) return too_long(s, n_tok, err);
    const uint64_t n_vocab = (uint64_t)s->model->weights.config.n_vocab;
    /* A stream of its own: those of the cache are numbers of heads. */
    for (size_t i = 0; i < n_tok; i++) s->tokens[i] = (int32_t)(pp_random_fast(seed, UINT64_MAX, i) % n_vocab);
    pp_kv_fill(&s->kv, &s->model->weights, s->work->team, (int32_t)n_tok, seed);
    s->logits = NULL;
    return PIPPIN_OK;
}

static void forget(pippin_session *s)
{
    pp_kv_rewind(&s->kv, 0);
    s->logits = NULL;
}

pippin_status pp_adapters_check(const pippin_adapter_use *uses, size_t n, const pippin_model *model,
                                pp_lora_use out[PP_MAX_LORA], pippin_error *err)
{
    if (n > PP_MAX_LORA)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "adapters: %zu, expected at most %d at once; merge some", n,
                       PP_MAX_LORA);
    for (size_t i = 0; i < n; i++)
        if (uses[i].adapter->model != model && uses[i].adapter != model->adapter)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "adapter %zu: was opened for another model; open it for this one",
                           i);
    for (size_t i = 0; i < n; i++)
        out[i] = (pp_lora_use){&uses[i].adapter->lora, uses[i].scale * uses[i].adapter->lora.scale};
    return PIPPIN_OK;
}

pippin_status pippin_session_set_adapters(pippin_session *s, const pippin_adapter_use *uses, size_t n,
                                          pippin_error *err)
{
    pippin_status status = pp_adapters_check(uses, n, s->model, s->loras, err);
    if (status != PIPPIN_OK) return status;
    s->n_lora = (int32_t)n;
    forget(s); /* what is cached was computed with others */
    return PIPPIN_OK;
}

/* Two teams in turns would wait for each other's threads to fall asleep. */
static pp_team *team_of(const pippin_session *s)
{
    pp_team *own = s->work->team, *leaders = s->leader ? s->leader->work->team : own;
    return pp_team_size(leaders) == pp_team_size(own) ? leaders : own;
}

pp_engine pp_session_engine(pippin_session *s)
{
    return (pp_engine){s->running, &s->model->kernels, team_of(s), s->work->scratch};
}

pp_sequence pp_session_sequence(pippin_session *s)
{
    return (pp_sequence){
        .kv = &s->kv, .loras = s->loras, .n_lora = s->n_lora, .cancel = s->leader ? &s->leader->cancel : &s->cancel};
}

const bool *pp_session_list(pippin_session *s, int32_t n_tok)
{
    if (!s->head_groups) return NULL;
    const size_t first = PP_HEAD_GROUPS(s->n_shortlist), n_group = PP_HEAD_GROUPS(s->model->weights.config.n_vocab);
    for (size_t i = 0; i < n_group; i++) s->head_groups[i] = i < first;
    for (int32_t i = 0; i < n_tok; i++) s->head_groups[s->tokens[i] / PP_GRAIN] = true;
    return s->head_groups;
}

void pp_session_rewind(pippin_session *s, size_t n_tok)
{
    const int32_t gone = s->kv.n_tok - (int32_t)n_tok;
    if (gone <= 0) return;
    pp_kv_rewind(&s->kv, (int32_t)n_tok);
    s->n_wanted -= gone;
    if (s->n_wanted <= 0) s->logits = NULL;
}

pippin_status pp_session_check_tokens(const pippin_session *s, const int32_t *tokens, size_t n_tok, pippin_error *err)
{
    const int32_t n_vocab = s->model->weights.config.n_vocab;
    if (n_tok == 0) return pp_fail(err, PIPPIN_E_ARGUMENT, "tokens: none given, expected at least one");
    if (n_tok > (size_t)s->n_ctx) return too_long(s, n_tok, err);
    for (size_t i = 0; i < n_tok; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "token %zu: id %d, expected 0 to %d of this model's vocabulary", i,
                           (int)tokens[i], (int)n_vocab - 1);
    return PIPPIN_OK;
}

void pp_session_remark(pippin_session *s, int32_t position)
{
    const int32_t trained = s->model->weights.config.n_ctx_train;
    if (s->work->remarked || trained == 0 || position < trained || s->rope.scaling != PIPPIN_ROPE_SCALING_NONE) return;
    s->work->remarked = true;
    pp_log("context: the text is longer than the %d tokens that the model was trained on, and its positions are not "
           "stretched; a rope scaling, such as yarn, is for that",
           (int)trained);
}

void pp_session_take(pippin_session *s, const int32_t *tokens, size_t n_tok, int32_t n_last)
{
    const int32_t n = (int32_t)n_tok;
    int32_t same = 0;
    while (same < PP_MIN(n, s->kv.n_tok) && s->tokens[same] == tokens[same]) same++;
    if (same == n && s->kv.n_tok == n && pp_session_has_logits(s) && s->n_wanted >= n_last) {
        s->n_reused = n_tok;
        return;
    }
    /* Tokens whose logits are wanted are evaluated again even if they are cached. */
    same = PP_MIN(same, n - n_last);
    s->n_reused = (size_t)same;
    s->logits = NULL;
    pp_kv_rewind(&s->kv, same);
    memcpy(s->tokens + same, tokens + same, (size_t)(n - same) * sizeof *tokens);
}

pippin_status pippin_session_sync(pippin_session *s, const int32_t *tokens, size_t n_tok, pippin_error *err)
{
    return pippin_session_sync_last(s, tokens, n_tok, 1, err);
}

pippin_status pippin_session_sync_last(pippin_session *s, const int32_t *tokens, size_t n_tok, int32_t n_last,
                                       pippin_error *err)
{
    pippin_status status = pp_session_check_tokens(s, tokens, n_tok, err);
    if (status != PIPPIN_OK) return status;
    const int32_t n = (int32_t)n_tok, most = PP_MIN(n, s->work->n_logits);
    if (n_last < 1 || n_last > most)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "logits of the last %d tokens: expected 1 to %d; create the session with "
                       "more n_logits",
                       (int)n_last, (int)most);
    pp_session_take(s, tokens, n_tok, n_last);
    return pp_session_extend(s, n, n_last, err);
}
