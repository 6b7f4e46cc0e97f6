/*
 * cache.c - the memory of a K/V cache. It is reserved whole when the session is made; the operating system gives pages
 * as tokens come, so a large context costs nothing until it is used and grows without copying.
 */
#include <string.h>

#include "infer/infer.h"

pippin_type pp_kv_auto(const pp_weights *w)
{
    if (w->has_kv_scales) return PIPPIN_I8;
    return w->layers[0].site[PP_Q].type == PIPPIN_F32 ? PIPPIN_F32 : PIPPIN_BF16;
}

typedef struct kv_sizes {
    uint64_t values, scales, slots; /* bytes of each of k and v; of their dynamic scales; of segment */
} kv_sizes;

static kv_sizes sizes_of(const pippin_config *c, pippin_type type, bool static_scales, int32_t n_slot)
{
    const uint64_t heads = (uint64_t)(c->n_layer - c->n_reuse) * (uint64_t)c->n_kv_head * (uint64_t)n_slot;
    return (kv_sizes){heads * pp_type_bytes(type, (size_t)c->d_head),
                      type == PIPPIN_I8 && !static_scales ? heads * sizeof(float) : 0,
                      (uint64_t)n_slot * sizeof(int32_t)};
}

pippin_status pp_kv_create(const pp_weights *w, pippin_type type, int32_t n_slot, pp_kv *out, pippin_error *err)
{
    const kv_sizes s = sizes_of(&w->config, type, w->has_kv_scales, n_slot);
    pp_kv kv = {.type = type, .n_slot = n_slot, .one_segment = true};
    kv.segment = pp_alloc(s.slots);
    kv.k = pp_alloc(s.values);
    kv.v = pp_alloc(s.values);
    if (s.scales) {
        kv.k_scales = pp_alloc(s.scales);
        kv.v_scales = pp_alloc(s.scales);
    }
    *out = kv;
    if (!kv.segment || !kv.k || !kv.v || (s.scales && (!kv.k_scales || !kv.v_scales))) {
        pp_kv_free(out);
        return pp_fail_memory(err, "K/V cache", 2 * (s.values + s.scales) + s.slots);
    }
    return PIPPIN_OK;
}

void pp_kv_free(pp_kv *kv)
{
    pp_free(kv->segment);
    pp_free(kv->k);
    pp_free(kv->v);
    pp_free(kv->k_scales);
    pp_free(kv->v_scales);
    *kv = (pp_kv){0};
}

void pp_kv_rewind(pp_kv *kv, int32_t n_tok)
{
    kv->n_tok = PP_MIN(kv->n_tok, n_tok);
    kv->one_segment = true;
    for (int32_t i = 0; i < kv->n_tok; i++)
        if (kv->segment[i] < 0 || kv->segment[i] != kv->segment[0]) kv->one_segment = false;
}

/* ---- random contents ---- */

typedef struct fill_args {
    pp_kv *kv;
    const pp_weights *weights;
    int32_t n_tok;
    uint64_t seed;
} fill_args;

/* Slots 0 .. n_tok - 1 of one head of K or of V, whose first element is number `at` of the cache; eight codes come from one draw. */
static void fill_head(const fill_args *a, uint64_t stream, uint8_t *values, float *scales, size_t at, float scale)
{
    const size_t d_head = (size_t)a->weights->config.d_head, n = (size_t)a->n_tok * d_head;
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++, bits >>= 8) {
        if (i % 8 == 0) bits = pp_random_fast(a->seed, stream, i / 8);
        const int code = PP_MAX((int)(bits & 0xff) - 128, -127);
        const float value = (float)code * scale;
        switch (a->kv->type) {
        case PIPPIN_I8: ((int8_t *)values)[at + i] = (int8_t)code; break;
        case PIPPIN_BF16: ((uint16_t *)(void *)values)[at + i] = pp_f32_to_bf16(value); break;
        default: ((float *)(void *)values)[at + i] = value;
        }
    }
    for (size_t i = 0; scales && i < (size_t)a->n_tok; i++) scales[at / d_head + i] = scale;
}

static void fill_task(void *arg, int thread, int n_thread)
{
    const fill_args *a = arg;
    const pippin_config *c = &a->weights->config;
    const int32_t n_head = a->weights->n_full * c->n_kv_head;
    for (int32_t i = thread; i < 2 * n_head; i += n_thread) {
        const int32_t head = i / 2;
        const pp_layer *l = &a->weights->layers[head / c->n_kv_head];
        const float scale = i % 2 ? l->v_scale : l->k_scale;
        const size_t at = (size_t)head * (size_t)a->kv->n_slot * (size_t)c->d_head;
        fill_head(a, (uint64_t)i, i % 2 ? a->kv->v : a->kv->k, i % 2 ? a->kv->v_scales : a->kv->k_scales, at,
                  scale > 0 ? scale : 1.0f / 64);
    }
}

void pp_kv_fill(pp_kv *kv, const pp_weights *w, pp_team *team, int32_t n_tok, uint64_t seed)
{
    pp_team_run(team, fill_task, &(fill_args){kv, w, n_tok, seed});
    memset(kv->segment, 0, (size_t)n_tok * sizeof *kv->segment);
    kv->one_segment = true;
    kv->n_tok = n_tok;
}
