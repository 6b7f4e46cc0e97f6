/*
 * calibrate.c - runs a text through a model layer by layer while its matrices are rounded: each is rounded for the inputs that
 * the matrices before it, rounded already, give it.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/calibrate.h"

void pp_kv_range_see(pp_kv_range *r, float low, float high)
{
    const float keep = r->n_seen > 0 ? 0.9f : 0.0f;
    r->low = keep * r->low + (1 - keep) * low;
    r->high = keep * r->high + (1 - keep) * high;
    r->n_seen = fminf(2, r->n_seen + 1);
    r->scale = fmaxf(r->low / -128.0f, r->high / 127.0f);
}

/* ---- memory ---- */

static void lay_out(pp_calibrator *c, pp_cutter *k)
{
    const pippin_config *g = &c->weights.config;
    const uint64_t n_tok = c->text->n_tok;
    c->weights.layers = pp_cut(k, (uint64_t)g->n_layer, sizeof *c->weights.layers);
    c->x = pp_cut(k, n_tok * (uint64_t)g->d_model, sizeof *c->x);
    c->inputs = pp_cut(k, n_tok * (uint64_t)PP_MAX(g->d_ffn, g->n_head * g->d_head), sizeof *c->inputs);
    for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
        int32_t n_in, n_out;
        if (!pp_site_shape(g, 0, site, &n_in, &n_out)) continue;
        c->matrix[site] = pp_cut(k, (uint64_t)n_in * (uint64_t)n_out, sizeof(float));
        c->scales[site] = pp_cut(k, (uint64_t)n_out, sizeof(float));
    }
}

/* The rows of the embedding that the text begins with, rounded as they will be. */
static void look_up(pp_calibrator *c, int bits)
{
    const pp_linear *e = &c->weights.embedding;
    const size_t d = (size_t)e->n_in;
    for (size_t i = 0; i < c->text->n_tok; i++) {
        float *x = c->x + i * d;
        pp_matrix_decode(e->type, e->w, d, (size_t)c->text->tokens[i], 0, d, x);
        const float scale = bits && bits != pp_low_bits(e->type) ? pp_low_best_scale(bits, x, NULL, d) : 0;
        for (size_t j = 0; j < d && scale > 0; j++) x[j] = scale * pp_low_level(bits, x[j] / scale);
    }
}

pippin_status pp_calibrator_create(const pp_weights *w, const pp_saving *how, int embedding_bits, pp_calibrator *out,
                                   pippin_error *err)
{
    const pippin_config *g = &w->config;
    pp_cutter k = {0};
    /* Only AFM has a place for static scales, and where it has some already they are part of the network. */
    *out = (pp_calibrator){
        .text = how->calibration, .weights = *w, .observes = g->arch == PIPPIN_ARCH_AFM && !w->has_kv_scales};
    lay_out(out, &k);
    const uint64_t bytes = k.at;
    out->block = pp_alloc(bytes);
    if (!out->block) return pp_fail_memory(err, "calibration", bytes);
    k = (pp_cutter){out->block, 0};
    lay_out(out, &k);
    memcpy(out->weights.layers, w->layers, (size_t)g->n_layer * sizeof *w->layers);
    out->engine = (pp_engine){&out->weights, how->kernels, how->team, how->calibration->scratch};
    look_up(out, embedding_bits);
    const size_t widest = (size_t)PP_MAX(PP_MAX(g->d_model, g->d_ffn), g->n_head * g->d_head);
    return pp_moments_create(widest, out->engine.kernels, out->engine.team, &out->moments, err);
}

void pp_calibrator_free(pp_calibrator *c)
{
    pp_moments_free(&c->moments);
    pp_free(c->block);
    *c = (pp_calibrator){0};
}

/* ---- parts of a layer, on each sequence of the text ---- */

typedef void (*part)(pp_calibrator *c, const pp_state *st, size_t first);

static void each_sequence(pp_calibrator *c, int32_t layer, part fn)
{
    const size_t d = (size_t)c->weights.config.d_model;
    const pp_sequence sequence = {.kv = c->text->kv};
    for (size_t first = 0; first < c->text->n_tok && !c->stopped; first += c->text->n_row) {
        const size_t n = PP_MIN(c->text->n_row, c->text->n_tok - first);
        pp_row *rows = c->text->rows;
        for (size_t i = 0; i < n; i++)
            rows[i] = (pp_row){.token = c->text->tokens[first + i],
                               .position = (int32_t)i,
                               .segment = (int32_t)(first / c->text->n_row),
                               .slot = (int32_t)(first + i),
                               .wants_logits = true};
        const pp_pass pass = {.rows = rows, .n_row = (int32_t)n, .sequences = &sequence, .n_sequence = 1};
        const pp_state st = {.engine = &c->engine, .pass = &pass, .s = c->engine.scratch, .layer = layer};
        pp_enter(&st);
        memcpy(st.s->x, c->x + first * d, n * d * sizeof *c->x);
        fn(c, &st, first);
        c->stopped = c->stop(c->user);
    }
}

/* Inputs of the sites in work, where one of them is rounded. */
static void gather(pp_calibrator *c, const pp_state *st, const float *x)
{
    if (c->gathers) pp_moments_add(&c->moments, x, (size_t)st->s->n_live);
}

static float *inputs_of(const pp_calibrator *c, const pp_state *st, size_t first, pp_site site, size_t *n)
{
    const size_t n_in = (size_t)c->weights.layers[st->layer].site[site].n_in;
    *n = (size_t)st->s->n_live * n_in;
    return c->inputs + first * n_in;
}

/* The sequence's x, as far as it has come. */
static void keep(pp_calibrator *c, const pp_state *st, size_t first)
{
    const size_t d = (size_t)c->weights.config.d_model;
    memcpy(c->x + first * d, st->s->x, (size_t)st->s->n_live * d * sizeof *c->x);
}

static void before_attention(pp_calibrator *c, const pp_state *st, size_t first)
{
    (void)first;
    pp_norm_rows(st, st->s->h, st->s->x, c->weights.layers[st->layer].attn_norm);
    gather(c, st, st->s->h);
}

/* K or V of a sequence, as the scratch has them before they are rounded: rotated and normed. */
static void observe(const pp_calibrator *c, const pp_state *st, pp_kv_range *r, const float *x)
{
    const pippin_config *g = &c->weights.config;
    const size_t n = (size_t)st->s->n_live * (size_t)g->n_kv_head * (size_t)g->d_head;
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    pp_kv_range_see(r, low, high);
}

static void attention(pp_calibrator *c, const pp_state *st, size_t first)
{
    size_t n;
    float *mixed = inputs_of(c, st, first, PP_O, &n);
    pp_attention_forward(st);
    memcpy(mixed, st->s->mixed, n * sizeof *mixed);
    if (c->observes && st->layer < c->weights.n_full) {
        observe(c, st, &c->k_range, st->s->k);
        observe(c, st, &c->v_range, st->s->v);
    }
    gather(c, st, mixed);
}

static void after_attention(pp_calibrator *c, const pp_state *st, size_t first)
{
    size_t n;
    const float *mixed = inputs_of(c, st, first, PP_O, &n);
    memcpy(st->s->mixed, mixed, n * sizeof *mixed);
    pp_linears(st, st->s->mixed, NULL, &(pp_job){PP_O, st->s->x, true}, 1, NULL);
    keep(c, st, first);
    pp_norm_rows(st, st->s->h, st->s->x, c->weights.layers[st->layer].ffn_norm);
    gather(c, st, st->s->h);
}

static void feed_forward(pp_calibrator *c, const pp_state *st, size_t first)
{
    size_t n;
    float *gated = inputs_of(c, st, first, PP_DOWN, &n);
    pp_feed_forward_forward(st);
    memcpy(gated, st->s->gate, n * sizeof *gated);
    gather(c, st, gated);
}

static void after_feed_forward(pp_calibrator *c, const pp_state *st, size_t first)
{
    size_t n;
    const float *gated = inputs_of(c, st, first, PP_DOWN, &n);
    memcpy(st->s->gate, gated, n * sizeof *gated);
    pp_linears(st, st->s->gate, NULL, &(pp_job){PP_DOWN, st->s->x, true}, 1, NULL);
    keep(c, st, first);
}

/* ---- the layer ---- */

/* Goes through what comes before these sites, and rounds them for the inputs that it gives. */
static void round_sites(pp_calibrator *c, int32_t layer, part fn, pp_site first, pp_site last)
{
    const pp_layer *l = &c->weights.layers[layer];
    c->gathers = false;
    for (pp_site site = first; site <= last; site++) c->gathers |= l->site[site].w && c->bits[site];
    if (c->gathers) pp_moments_start(&c->moments, (size_t)l->site[first].n_in);
    each_sequence(c, layer, fn);
    if (c->gathers) pp_moments_finish(&c->moments);
    for (pp_site site = first; site <= last && !c->stopped; site++)
        if (l->site[site].w && c->bits[site])
            pp_round_matrix(&c->moments, c->bits[site], c->matrix[site], (size_t)l->site[site].n_out, c->scales[site]);
}

void pp_calibrator_layer(pp_calibrator *c, int32_t layer)
{
    pp_layer *l = &c->weights.layers[layer];
    for (pp_site site = PP_Q; site < PP_N_SITE; site++)
        if (l->site[site].w) {
            l->site[site].w = c->matrix[site];
            l->site[site].type = PIPPIN_F32;
        }
    c->k_range = c->v_range = (pp_kv_range){0};
    round_sites(c, layer, before_attention, PP_Q, PP_V);
    round_sites(c, layer, attention, PP_O, PP_O);
    if (c->observes && layer < c->weights.n_full) {
        l->k_scale = fmaxf(c->k_range.scale, FLT_MIN);
        l->v_scale = fmaxf(c->v_range.scale, FLT_MIN);
    }
    round_sites(c, layer, after_attention, PP_GATE, PP_UP);
    round_sites(c, layer, feed_forward, PP_DOWN, PP_DOWN);
    each_sequence(c, layer, after_feed_forward);
}

static void at_the_end(pp_calibrator *c, const pp_state *st, size_t first)
{
    (void)first;
    pp_norm_rows(st, st->s->h, st->s->x, c->weights.out_norm);
    gather(c, st, st->s->h);
}

void pp_calibrator_head(pp_calibrator *c)
{
    c->gathers = true;
    pp_moments_start(&c->moments, (size_t)c->weights.config.d_model);
    each_sequence(c, 0, at_the_end);
    pp_moments_finish(&c->moments);
}
