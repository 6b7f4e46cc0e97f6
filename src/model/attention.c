/*
 * attention.c - x += W_o attend(q, K, V). What is AFM's own stands here, once:
 * - rotation comes first and the norm of Q and K after it (Qwen3: before it; Llama: none);
 * - K and V are rounded to int8 with one static scale a layer when the model has them, and cached;
 * - only full layers write the cache; a reuse layer has its own queries and reads the last full layer's K and V.
 */
#include <string.h>

#include "model/forward.h"

/* Rotates and norms the n_head heads of one row, in the order that the family wants. */
static void prepare_heads(const pp_state *st, float *heads, int32_t n_head, const float *norm, int32_t row)
{
    const pippin_config *c = &st->engine->weights->config;
    const pp_kernels *kernels = st->engine->kernels;
    const float *cosine = st->s->cosine + (size_t)row * (size_t)(c->d_head / 2);
    const float *sine = st->s->sine + (size_t)row * (size_t)(c->d_head / 2);
    for (int32_t i = 0; i < n_head; i++) {
        float *head = heads + (size_t)i * (size_t)c->d_head;
        if (c->qk_norm == PIPPIN_QK_NORM_BEFORE_ROPE) kernels->rmsnorm(head, head, norm, c->d_head, c->qk_norm_eps);
        if (c->rope_pairs == PIPPIN_ROPE_ADJACENT)
            kernels->rope_adjacent(head, cosine, sine, c->d_head);
        else
            kernels->rope_halves(head, cosine, sine, c->d_head);
        if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE) kernels->rmsnorm(head, head, norm, c->d_head, c->qk_norm_eps);
    }
}

/* Where slot `slot` of a K/V head lies, in elements. */
static size_t kv_offset(const pippin_config *c, const pp_kv *kv, int32_t layer, int32_t head, int32_t slot)
{
    return (((size_t)layer * (size_t)c->n_kv_head + (size_t)head) * (size_t)kv->n_slot + (size_t)slot) *
           (size_t)c->d_head;
}

/*
 * One head's K or V into the cache. A static scale is part of the network: other cache types then hold the rounded value,
 * so that every type gives the same numbers as int8 does. Without one, int8 takes the scale from the vector itself.
 */
static void store(const pp_state *st, const pp_kv *kv, uint8_t *cache, float *scales, size_t at, float *value,
                  float scale)
{
    const pp_kernels *kernels = st->engine->kernels;
    const int32_t n = st->engine->weights->config.d_head;
    if (kv->type == PIPPIN_I8) {
        if (scales) {
            scale = kernels->absmax(value, n) / 127.0f;
            scales[at / (size_t)n] = scale;
        }
        kernels->quantize_i8((int8_t *)cache + at, value, n, scale > 0 ? scale : 1.0f);
        return;
    }
    if (scale > 0) {
        int8_t codes[1024]; /* the largest d_head that a configuration may have */
        kernels->quantize_i8(codes, value, n, scale);
        for (int32_t i = 0; i < n; i++) value[i] = scale * (float)codes[i];
    }
    if (kv->type == PIPPIN_BF16)
        kernels->to_bf16((uint16_t *)(void *)cache + at, value, n);
    else
        memcpy((float *)(void *)cache + at, value, (size_t)n * sizeof *value);
}

static void store_row(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    const pp_layer *l = &st->engine->weights->layers[st->layer];
    const pp_row *r = &st->s->rows[row];
    const pp_kv *kv = st->pass->sequences[r->sequence].kv;
    const size_t width = (size_t)c->n_kv_head * (size_t)c->d_head;
    float *k = st->s->k + (size_t)row * width, *v = st->s->v + (size_t)row * width;
    prepare_heads(st, k, c->n_kv_head, l->k_norm, row);
    for (int32_t head = 0; head < c->n_kv_head; head++) {
        const size_t at = kv_offset(c, kv, st->layer, head, r->slot), in = (size_t)head * (size_t)c->d_head;
        store(st, kv, kv->k, kv->k_scales, at, k + in, l->k_scale);
        store(st, kv, kv->v, kv->v_scales, at, v + in, l->v_scale);
    }
}

static void prepare_queries(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    float *q = st->s->q + (size_t)row * (size_t)c->n_head * (size_t)c->d_head;
    prepare_heads(st, q, c->n_head, st->engine->weights->layers[st->layer].q_norm, row);
}

/* ---- attending ---- */

/* The slots that a row sees: earlier ones of its own segment and itself, in order; padding sees itself alone. */
static const int32_t *visible(const pp_row *r, const pp_kv *kv, int32_t *list, int *n)
{
    if (r->segment < 0) {
        *n = 1;
        return kv->identity + r->slot;
    }
    if (kv->one_segment) {
        *n = (int)r->slot + 1;
        return kv->identity;
    }
    *n = 0;
    for (int32_t slot = 0; slot <= r->slot; slot++)
        if (kv->segment[slot] == r->segment) list[(*n)++] = slot;
    return list;
}

static void attend_one(const pp_state *st, int32_t row, int32_t head, const int32_t *slots, int n_key, float *scores)
{
    const pp_weights *w = st->engine->weights;
    const pippin_config *c = &w->config;
    const pp_kernels *kernels = st->engine->kernels;
    const pp_kv *kv = st->pass->sequences[st->s->rows[row].sequence].kv;
    const pp_layer *source = &w->layers[w->layers[st->layer].kv_layer];
    const int32_t n_group = c->n_head / c->n_kv_head;
    const size_t width = (size_t)c->n_head * (size_t)c->d_head, in = (size_t)head * (size_t)(n_group * c->d_head);
    const size_t at = kv_offset(c, kv, w->layers[st->layer].kv_layer, head, 0), element = pp_type_bytes(kv->type, 1);
    const pp_attend a = {.q = st->s->q + (size_t)row * width + in,
                         .out = st->s->mixed + (size_t)row * width + in,
                         .n_group = n_group,
                         .d_head = c->d_head,
                         .k = kv->k + at * element,
                         .v = kv->v + at * element,
                         .slots = slots,
                         .n_key = n_key,
                         .scale = st->s->attention_scale,
                         .k_scale = source->k_scale,
                         .v_scale = source->v_scale,
                         .k_scales = kv->k_scales ? kv->k_scales + at / (size_t)c->d_head : NULL,
                         .v_scales = kv->v_scales ? kv->v_scales + at / (size_t)c->d_head : NULL,
                         .scratch = scores};
    if (kv->type == PIPPIN_I8)
        kernels->attend_i8(&a);
    else if (kv->type == PIPPIN_BF16)
        kernels->attend_bf16(&a);
    else
        kernels->attend_f32(&a);
}

/* Items are (row, K/V head), dealt out in turn: later rows see more keys, so contiguous shares would be uneven. */
static void attend_task(void *arg, int thread, int n_thread)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    float *scores = st->s->scores + (size_t)thread * (size_t)(c->n_head / c->n_kv_head) * PP_ATTEND_BLOCK;
    int32_t *list = st->s->slots + (size_t)thread * (size_t)st->s->sizes.n_ctx;
    const int32_t n_item = st->s->n_live * c->n_kv_head;
    for (int32_t item = thread; item < n_item; item += n_thread) {
        const int32_t row = item / c->n_kv_head, head = item % c->n_kv_head;
        const pp_row *r = &st->s->rows[row];
        int n_key;
        const int32_t *slots = visible(r, st->pass->sequences[r->sequence].kv, list, &n_key);
        attend_one(st, row, head, slots, n_key, scores);
    }
}

/* Multiply-adds of all rows: every head with every key up to the row's own slot, twice. */
static uint64_t attend_work(const pp_state *st)
{
    const pippin_config *c = &st->engine->weights->config;
    uint64_t keys = 0;
    for (int32_t i = 0; i < st->s->n_live; i++) keys += (uint64_t)st->s->rows[i].slot + 1;
    return 2 * keys * (uint64_t)c->n_head * (uint64_t)c->d_head;
}

/* Does anything still read the rows that want no logits? Not once the last full layer has written its K and V. */
static bool can_drop(const pp_state *st)
{
    if (st->pass->no_bypass || st->layer != st->engine->weights->n_full - 1) return false;
    for (int32_t i = 0; i < st->s->n_live; i++)
        if (!st->s->rows[i].wants_logits) return true;
    return false;
}

void pp_attention_forward(const pp_state *st)
{
    const pp_weights *w = st->engine->weights;
    pp_scratch *s = st->s;
    const bool full = st->layer < w->n_full, drop = can_drop(st);
    const pp_job jobs[3] = {{PP_K, s->h, s->k, false}, {PP_V, s->h, s->v, false}, {PP_Q, s->h, s->q, false}};
    pp_norm_rows(st, s->h, s->x, w->layers[st->layer].attn_norm);
    if (drop) {
        pp_linears(st, jobs, 2);
        pp_each_row(st, store_row, (void *)(uintptr_t)st);
        pp_keep_wanted(st);
        if (s->n_live == 0) return;
        pp_linears(st, jobs + 2, 1);
    } else if (full) {
        pp_linears(st, jobs, 3);
        pp_each_row(st, store_row, (void *)(uintptr_t)st);
    } else {
        pp_linears(st, jobs + 2, 1);
    }
    pp_each_row(st, prepare_queries, (void *)(uintptr_t)st);
    pp_team_run_worth(st->engine->team, attend_work(st), attend_task, (void *)(uintptr_t)st);
    pp_linears(st, &(pp_job){PP_O, s->mixed, s->x, true}, 1);
}
