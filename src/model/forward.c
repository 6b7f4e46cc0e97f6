/*
 * forward.c - a pass through the network: embedding, a loop over the layers, the output norm, and the head where logits
 * are wanted. Also the scratch memory that it works in.
 */
#include <math.h>
#include <string.h>

#include "model/forward.h"

/* ---- scratch: one block, cut into arrays ---- */

static void lay_out_attention(pp_scratch *s, const pippin_config *c, pp_cutter *k)
{
    const uint64_t n_ctx = (uint64_t)s->sizes.n_ctx, n_part = (n_ctx + PP_ATTEND_SPLIT - 1) / PP_ATTEND_SPLIT;
    const uint64_t n_query = (uint64_t)PP_MAX(PP_ATTEND_QUERIES, c->n_head / c->n_kv_head),
                   d_head = (uint64_t)c->d_head;
    s->n_query = (size_t)n_query;
    s->tiles = pp_cut(k, (uint64_t)s->sizes.n_row + 1, sizeof *s->tiles);
    s->spaces = pp_cut(k, (uint64_t)s->sizes.n_thread, sizeof *s->spaces);
    for (int32_t i = 0; i < s->sizes.n_thread; i++) {
        pp_attend_space space;
        space.scratch = pp_cut(k, PP_ATTEND_SCRATCH(d_head), sizeof(float));
        space.max = pp_cut(k, n_query, sizeof(float));
        space.sum = pp_cut(k, n_query, sizeof(float));
        space.part = pp_cut(k, n_query * (d_head + 2), sizeof(float));
        space.slots = pp_cut(k, n_ctx, sizeof(int32_t));
        if (s->spaces) s->spaces[i] = space;
    }
    s->parts = pp_cut(k, (uint64_t)c->n_kv_head * n_part * n_query * (d_head + 2), sizeof(float));
}

static void lay_out(pp_scratch *s, const pippin_config *c, pp_cutter *k)
{
    const uint64_t rows = (uint64_t)s->sizes.n_row, d_head = (uint64_t)c->d_head;
    const uint64_t q = (uint64_t)c->n_head * d_head, kv = (uint64_t)c->n_kv_head * d_head;
    s->x = pp_cut(k, rows * (uint64_t)c->d_model, sizeof(float));
    s->h = pp_cut(k, rows * (uint64_t)c->d_model, sizeof(float));
    s->q = pp_cut(k, rows * q, sizeof(float));
    s->k = pp_cut(k, rows * kv, sizeof(float));
    s->v = pp_cut(k, rows * kv, sizeof(float));
    s->mixed = pp_cut(k, rows * q, sizeof(float));
    s->gate = pp_cut(k, rows * (uint64_t)c->d_ffn, sizeof(float));
    s->up = pp_cut(k, rows * (uint64_t)c->d_ffn, sizeof(float));
    s->cosine = pp_cut(k, rows * d_head / 2, sizeof(float));
    s->sine = pp_cut(k, rows * d_head / 2, sizeof(float));
    s->lora = pp_cut(k, 3 * rows * PP_MAX_RANK, sizeof(float));
    s->rows = pp_cut(k, rows, sizeof(pp_row));
    s->logits = pp_cut(k, (uint64_t)s->sizes.n_logits * (uint64_t)c->n_vocab, sizeof(float));
    lay_out_attention(s, c, k);
    s->widest = (size_t)PP_MAX(PP_MAX(q, (uint64_t)c->d_model), (uint64_t)c->d_ffn);
    pp_low_rows_cut(&s->low, rows, s->widest, k);
    s->inv_freq = pp_cut(k, d_head / 2, sizeof(double));
}

uint64_t pp_scratch_bytes(const pippin_config *c, pp_scratch_sizes sizes)
{
    pp_scratch s = {.sizes = sizes};
    pp_cutter k = {0};
    lay_out(&s, c, &k);
    return k.at;
}

pippin_status pp_scratch_create(const pp_weights *w, const pp_rope *rope, pp_scratch_sizes sizes, pp_scratch **out,
                                pippin_error *err)
{
    const pippin_config *c = &w->config;
    const uint64_t bytes = pp_scratch_bytes(c, sizes);
    *out = NULL;
    pp_scratch *s = pp_alloc_zero(1, sizeof *s);
    if (s) s->block = pp_alloc(bytes);
    if (!s || !s->block) {
        pp_free(s);
        return pp_fail_memory(err, "session scratch", bytes);
    }
    pp_advise_whole(s->block, bytes);
    s->sizes = sizes;
    s->attention_scale = (float)(rope->attention / sqrt((double)c->d_head));
    pp_cutter k = {s->block, 0};
    lay_out(s, c, &k);
    pp_rope_init(w, rope, s->inv_freq);
    *out = s;
    return PIPPIN_OK;
}

void pp_scratch_free(pp_scratch *s)
{
    if (!s) return;
    pp_free(s->block);
    pp_free(s);
}

/* ---- the pass ---- */

static void enter_row(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const pp_weights *w = st->engine->weights;
    const pippin_config *c = &w->config;
    const pp_row *r = &st->s->rows[row];
    const size_t half = (size_t)(c->d_head / 2), d = (size_t)c->d_model;
    pp_matrix_decode(w->embedding.type, w->embedding.w, d, (size_t)r->token, 0, d, st->s->x + (size_t)row * d);
    pp_rope_angles(st->s->inv_freq, c->d_head, r->position, st->s->cosine + (size_t)row * half,
                   st->s->sine + (size_t)row * half);
}

void pp_keep_wanted(const pp_state *st)
{
    const pippin_config *c = &st->engine->weights->config;
    const size_t d = (size_t)c->d_model, half = (size_t)(c->d_head / 2);
    pp_scratch *s = st->s;
    size_t n = 0;
    for (size_t i = 0; i < (size_t)s->n_live; i++) {
        if (!s->rows[i].wants_logits) continue;
        if (n < i) {
            s->rows[n] = s->rows[i];
            memcpy(s->x + n * d, s->x + i * d, d * sizeof *s->x);
            memcpy(s->h + n * d, s->h + i * d, d * sizeof *s->h);
            memcpy(s->cosine + n * half, s->cosine + i * half, half * sizeof *s->cosine);
            memcpy(s->sine + n * half, s->sine + i * half, half * sizeof *s->sine);
        }
        n++;
    }
    s->n_live = (int32_t)n;
}

/* The new tokens' segments into the caches, before the first layer attends. */
static void mark_segments(const pp_pass *pass)
{
    for (int32_t i = 0; i < pass->n_row; i++) {
        const pp_row *r = &pass->rows[i];
        pp_kv *kv = pass->sequences[r->sequence].kv;
        kv->segment[r->slot] = r->segment;
        if (r->segment < 0 || r->segment != kv->segment[0]) kv->one_segment = false;
    }
}

void pp_enter(const pp_state *st)
{
    memcpy(st->s->rows, st->pass->rows, (size_t)st->pass->n_row * sizeof *st->s->rows);
    st->s->n_live = st->pass->n_row;
    mark_segments(st->pass);
    pp_each_row(st, enter_row, (void *)(uintptr_t)st);
}

static bool is_cancelled(const pp_pass *pass)
{
    for (int32_t i = 0; i < pass->n_sequence; i++) {
        const atomic_int *cancel = pass->sequences[i].cancel;
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed)) return true;
    }
    return false;
}

pippin_status pp_forward(const pp_engine *e, const pp_pass *pass, pippin_error *err)
{
    pp_scratch *s = e->scratch;
    pp_state st = {.engine = e, .pass = pass, .s = s};
    pp_enter(&st);
    for (st.layer = 0; st.layer < e->weights->config.n_layer && s->n_live > 0; st.layer++) {
        if (pass->at_layer) pass->at_layer(pass->user, st.layer);
        if (is_cancelled(pass)) return pp_fail(err, PIPPIN_E_CANCELLED, "evaluation: cancelled");
        pp_attention_forward(&st);
        if (s->n_live > 0) pp_feed_forward_forward(&st);
    }
    pp_keep_wanted(&st);
    if (s->n_live > 0) pp_norm_rows(&st, s->h, s->x, e->weights->out_norm);
    for (int32_t i = 0; i < pass->n_row; i++) {
        pp_kv *kv = pass->sequences[pass->rows[i].sequence].kv;
        kv->n_tok = PP_MAX(kv->n_tok, pass->rows[i].slot + 1);
    }
    return PIPPIN_OK;
}

/* ---- the head ---- */

/* Rows that want the same logits. */
typedef struct head_args {
    const pp_engine *engine;
    const bool *groups; /* NULL: all */
    size_t n_listed;    /* groups that are computed */
    pp_matmul m;
} head_args;

static void head_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const head_args *a = arg;
    const pp_linear *head = &a->engine->weights->head;
    pp_linear_part(a->engine, head, a->m, 0, first * PP_GRAIN, PP_MIN(last * PP_GRAIN, (size_t)head->n_out));
}

static void leave_out(const pp_matmul *m, size_t first, size_t last)
{
    for (size_t t = 0; t < (size_t)m->n_tok; t++)
        for (size_t i = first; i < last; i++) m->y[t * m->y_stride + i] = -INFINITY;
}

/* Listed groups are divided among the threads, wherever they are; so are the others, which only have to be written. */
static void listed_task(void *arg, int thread, int n_thread)
{
    const head_args *a = arg;
    const pp_linear *head = &a->engine->weights->head;
    const size_t n_out = (size_t)head->n_out, n_group = PP_HEAD_GROUPS(n_out);
    size_t first, last, seen = 0; /* this thread's listed groups, and those behind */
    pp_team_share(a->n_listed, 1, thread, n_thread, &first, &last);
    for (size_t group = 0, end; group < n_group; group = end) {
        const bool listed = a->groups[group];
        for (end = group + 1; end < n_group && a->groups[end] == listed;) end++;
        if (!listed) {
            size_t from, to;
            pp_team_share(end - group, 1, thread, n_thread, &from, &to);
            leave_out(&a->m, (group + from) * PP_GRAIN, PP_MIN((group + to) * PP_GRAIN, n_out));
            continue;
        }
        const size_t from = PP_MAX(first, seen), to = PP_MIN(last, seen + end - group);
        if (from < to)
            pp_linear_part(a->engine, head, a->m, 0, (group + from - seen) * PP_GRAIN,
                           PP_MIN((group + to - seen) * PP_GRAIN, n_out));
        seen += end - group;
    }
}

/* Logits of n rows from wanted row `first` on into y [n][n_vocab], all with these groups. */
static void multiply_head(const pp_engine *e, const bool *groups, size_t first, int32_t n, float *y)
{
    const pp_linear *l = &e->weights->head;
    const size_t n_in = (size_t)l->n_in, n_group = PP_HEAD_GROUPS(l->n_out);
    head_args a = {
        .engine = e,
        .groups = groups,
        .n_listed = groups ? 0 : n_group,
        .m = {.x = e->scratch->h + first * n_in, .x_stride = n_in, .y = y, .y_stride = (size_t)l->n_out, .n_tok = n}};
    for (size_t i = 0; groups && i < n_group; i++) a.n_listed += groups[i];
    pp_linear_input(e, l, a.m.x, n);
    const uint64_t work = (uint64_t)n * n_in * a.n_listed * PP_GRAIN;
    if (groups)
        pp_team_run_worth(e->team, work, listed_task, &a);
    else
        pp_team_run_pieces(e->team, work, n_group, head_piece, &a);
}

const float *pp_forward_logits(const pp_engine *e, const pp_pass *pass, int32_t first, int32_t n)
{
    const size_t n_vocab = (size_t)e->weights->head.n_out;
    const pp_row *rows = e->scratch->rows + first;
    for (int32_t i = 0, end; i < n; i = end) {
        const bool *groups = pass->sequences[rows[i].sequence].head_groups;
        for (end = i + 1; end < n && pass->sequences[rows[end].sequence].head_groups == groups;) end++;
        multiply_head(e, groups, (size_t)(first + i), end - i, e->scratch->logits + (size_t)i * n_vocab);
    }
    return e->scratch->logits;
}
