/*
 * extend.c - evaluates what is new in timelines: one, or several of one workspace in passes that they share, so that weights
 * are read once for all. Each token gets the numbers that it would get alone.
 */
#include "infer/session.h"

/* The pass that is being put together. */
typedef struct gathering {
    pp_workspace *work;
    const pp_extension *items;
    pp_sequence sequences[PP_MAX_SESSIONS];
    int32_t which[PP_MAX_SESSIONS]; /* [n_sequence] items */
    int32_t n_sequence, n_row, n_wanted;
} gathering;

static int32_t left_of(const pp_extension *x) { return x->end - x->s->kv.n_tok; }

/* Rows of what is left of an item that can come now: its logits come from one pass. */
static int32_t fitting(const gathering *g, const pp_extension *x)
{
    const int32_t left = left_of(x), room = g->work->n_batch - g->n_row;
    if (left <= room && x->n_wanted <= g->work->n_logits - g->n_wanted) return left;
    return PP_MIN(room, left - x->n_wanted);
}

static void add(gathering *g, int32_t which, int32_t n)
{
    const pp_extension *x = &g->items[which];
    pippin_session *s = x->s;
    const int32_t first = s->kv.n_tok;
    for (int32_t at = first; at < first + n; at++) {
        const bool wanted = at >= x->end - x->n_wanted;
        g->work->rows[g->n_row++] = (pp_row){
            .token = s->tokens[at], .position = at, .slot = at, .sequence = g->n_sequence, .wants_logits = wanted};
        g->n_wanted += wanted;
    }
    g->which[g->n_sequence] = which;
    g->sequences[g->n_sequence] = pp_session_sequence(s);
    g->sequences[g->n_sequence++].head_groups = pp_session_list(s, first + n);
    s->logits = NULL;
    pp_session_remark(s, first + n - 1);
}

/* Text that is being written goes before prompts: its few tokens would otherwise wait for many. */
static void gather(gathering *g, int32_t n, bool is_short)
{
    for (int32_t i = 0; i < n && g->n_row < g->work->n_batch && g->n_sequence < PP_MAX_SESSIONS; i++) {
        const pp_extension *x = &g->items[i];
        const int32_t left = left_of(x);
        if (left == 0 || (left <= PP_MAX_DRAFT + 1) != is_short) continue;
        const int32_t some = fitting(g, x);
        if (some > 0) add(g, i, some);
    }
}

static void hand_out_logits(const gathering *g, const pp_engine *engine, const pp_pass *pass)
{
    if (g->n_wanted == 0) return;
    const float *logits = pp_forward_logits(engine, pass, 0, g->n_wanted);
    for (int32_t i = 0; i < g->n_sequence; i++) {
        const pp_extension *x = &g->items[g->which[i]];
        if (left_of(x) || x->n_wanted == 0) continue;
        x->s->logits = logits;
        logits += (size_t)x->n_wanted * (size_t)x->s->model->weights.config.n_vocab;
    }
}

pippin_status pp_extend_pass(const pp_extension *items, int32_t n, pippin_error *err)
{
    gathering g = {.work = items[0].s->work, .items = items};
    const pp_engine engine = pp_session_engine(items[0].s);
    const double start = pp_seconds();
    gather(&g, n, true);
    gather(&g, n, false);
    const pippin_session *first = items[0].s;
    const pp_pass pass = {g.work->rows,     g.n_row,         g.sequences,         g.n_sequence,
                          first->no_bypass, first->at_layer, first->at_layer_user};
    g.work->n_pass++;
    pippin_status status = pp_forward(&engine, &pass, err);
    if (status != PIPPIN_OK) return status;
    hand_out_logits(&g, &engine, &pass);
    for (int32_t i = 0; i < g.n_sequence; i++) {
        const pp_extension *x = &items[g.which[i]];
        x->s->n_wanted = left_of(x) ? 0 : x->n_wanted;
        x->s->pass = g.work->n_pass;
        x->s->seconds += pp_seconds() - start;
    }
    return PIPPIN_OK;
}

pippin_status pp_session_extend(pippin_session *s, int32_t end, int32_t n_wanted, pippin_error *err)
{
    const pp_extension item = {s, end, n_wanted};
    pippin_status status = PIPPIN_OK;
    while (left_of(&item) && status == PIPPIN_OK) status = pp_extend_pass(&item, 1, err);
    if (status == PIPPIN_E_CANCELLED)
        atomic_store(s->leader ? &s->leader->cancel : &s->cancel, 0); /* it has been served */
    return status;
}

pippin_status pp_session_join(pippin_session *s, pippin_session *first, size_t i, pippin_error *err)
{
    if (i == 0) first->work->n_call++;
    if (s->work != first->work)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "session %zu: shares no memory with the first one; create it with that one (`with`)", i);
    if (s->call == s->work->n_call)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "session %zu: was given before, expected one for each text", i);
    s->call = s->work->n_call;
    return PIPPIN_OK;
}

static pippin_status check_texts(const pippin_text *texts, size_t n, pippin_error *err)
{
    const size_t most = PP_MIN((size_t)texts[0].session->work->n_logits, (size_t)PP_MAX_SESSIONS);
    if (n > most)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "texts: %zu, expected at most %zu; create the session with more n_logits", n, most);
    for (size_t i = 0; i < n; i++) {
        pippin_status status = pp_session_join(texts[i].session, texts[0].session, i, err);
        if (status == PIPPIN_OK)
            status = pp_session_check_tokens(texts[i].session, texts[i].tokens, texts[i].n_tok, err);
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

static bool any_left(const pp_extension *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (left_of(&items[i])) return true;
    return false;
}

/* All but the last tokens, in as many passes as that takes, and then the last ones together. */
pippin_status pippin_sync_many(const pippin_text *texts, size_t n, pippin_error *err)
{
    pp_extension items[PP_MAX_SESSIONS];
    pippin_status status = n ? check_texts(texts, n, err) : PIPPIN_OK;
    if (status != PIPPIN_OK || n == 0) return status;
    for (size_t i = 0; i < n; i++) {
        pippin_session *s = texts[i].session;
        const int32_t end = (int32_t)texts[i].n_tok;
        pp_session_take(s, texts[i].tokens, texts[i].n_tok, 1);
        pp_session_rewind(s, (size_t)PP_MIN(s->kv.n_tok, end - 1));
        items[i] = (pp_extension){s, end - 1, 0};
    }
    while (any_left(items, n) && status == PIPPIN_OK) status = pp_extend_pass(items, (int32_t)n, err);
    for (size_t i = 0; i < n; i++) items[i] = (pp_extension){texts[i].session, (int32_t)texts[i].n_tok, 1};
    if (status == PIPPIN_OK) status = pp_extend_pass(items, (int32_t)n, err);
    for (size_t i = 0; i < n && status == PIPPIN_E_CANCELLED; i++) atomic_store(&texts[i].session->cancel, 0);
    return status;
}
