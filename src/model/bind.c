/*
 * bind.c - binding is validation: every tensor is asked for with the shape that the configuration implies, and a file
 * that holds it otherwise, or not at all, is refused by the tensor's name.
 */
#include <math.h>
#include <string.h>

#include "model/names.h"

typedef struct binder {
    pp_weights *w;
    pp_naming naming;
    bool *used; /* [tensors.n] */
    pippin_status status;
    pippin_error *err;
} binder;

static const pp_tensor *find(binder *b, const char *name)
{
    const pp_tensor *t = pp_tensors_find(&b->w->tensors, name);
    if (t) b->used[t - b->w->tensors.items] = true;
    return t;
}

static const pp_tensor *refuse(binder *b, pippin_status status, const char *name, const char *found,
                               const char *expected)
{
    if (b->status == PIPPIN_OK)
        b->status =
            pp_fail(b->err, status,
                    "%s: tensor %s: found %s, expected %s; is this file of the model that its config describes?",
                    b->w->tensors.source, name, found, expected);
    return NULL;
}

/* t, if it is a float tensor of this shape. */
static const pp_tensor *checked(binder *b, const pp_tensor *t, const char *name, const int64_t *shape, int32_t n_dim)
{
    char expected[96], found[96];
    pp_shape_text(shape, n_dim, expected);
    if (!t) return refuse(b, PIPPIN_E_FORMAT, name, "no such tensor", expected);
    if (t->n_dim != n_dim || memcmp(t->shape, shape, (size_t)n_dim * sizeof *shape) != 0)
        return refuse(b, PIPPIN_E_FORMAT, name, pp_shape_text(t->shape, t->n_dim, found), expected);
    if (!pp_type_is_weight(t->type) || (pp_low_bits(t->type) && n_dim != 2))
        return refuse(b, PIPPIN_E_UNSUPPORTED, name, pippin_type_name(t->type), "a type of weights");
    if (!pp_low_bits(t->type) && shape[n_dim - 1] % (int64_t)pp_type_block(t->type))
        return refuse(b, PIPPIN_E_FORMAT, name, pippin_type_name(t->type), "rows of whole blocks");
    return t;
}

/* A small vector, widened to f32 if the file has it in another type. */
static const float *vector(binder *b, const pp_tensor *t)
{
    if (!t) return NULL;
    if (t->type == PIPPIN_F32) return t->data;
    float *wide = pp_alloc(t->n_elem * sizeof *wide);
    if (!wide) {
        b->status = pp_fail_memory(b->err, b->w->tensors.source, t->n_elem * sizeof *wide);
        return NULL;
    }
    pp_decode_row(t->type, t->data, wide, t->n_elem);
    pippin_status status = pp_tensors_own_block(&b->w->tensors, wide, b->err);
    if (status != PIPPIN_OK) b->status = status;
    return status == PIPPIN_OK ? wide : NULL;
}

static const pp_tensor *part(binder *b, int32_t layer, pp_part which)
{
    int32_t n_dim;
    int64_t shape[2];
    char name[PP_NAME_SIZE];
    if (b->status != PIPPIN_OK || !pp_part_shape(&b->w->config, b->naming, layer, which, &n_dim, shape)) return NULL;
    const pp_tensor *t = NULL;
    if (b->naming == PP_NAMING_TOOLKIT) {
        pp_part_name(&b->w->config, b->naming, layer, which, true, name);
        t = find(b, name);
    }
    if (!t) {
        pp_part_name(&b->w->config, b->naming, layer, which, false, name);
        t = find(b, name);
    }
    return checked(b, t, name, shape, n_dim);
}

static pp_linear linear(const pp_tensor *t, const float *bias)
{
    if (!t) return (pp_linear){0};
    return (pp_linear){t->data, t->type, (int32_t)t->shape[1], (int32_t)t->shape[0], bias, NULL};
}

/* n rows of a fused matrix. */
static pp_linear rows_of(const pp_tensor *t, int32_t first, int32_t n)
{
    if (!t) return (pp_linear){0};
    const size_t row = pp_type_bytes(t->type, (size_t)t->shape[1]);
    return (pp_linear){(const uint8_t *)t->data + (size_t)first * row, t->type, (int32_t)t->shape[1], n, NULL, NULL};
}

static void bind_qkv(binder *b, int32_t layer, pp_linear *site)
{
    const pippin_config *c = &b->w->config;
    const int32_t q = c->n_head * c->d_head, kv = c->n_kv_head * c->d_head;
    const pp_tensor *fused = part(b, layer, PP_PART_QKV);
    if (fused) {
        site[PP_Q] = rows_of(fused, 0, q);
        site[PP_K] = rows_of(fused, q, kv);
        site[PP_V] = rows_of(fused, q + kv, kv);
        return;
    }
    for (int i = 0; i < 3; i++)
        site[PP_Q + i] =
            linear(part(b, layer, (pp_part)(PP_PART_Q + i)), vector(b, part(b, layer, (pp_part)(PP_PART_Q_BIAS + i))));
}

/* The static scale of a layer's K or V, 0 if the file has none: a scalar, or from the range that was observed. */
static float kv_scale(binder *b, int32_t layer, bool value)
{
    char name[PP_NAME_SIZE];
    if (b->status != PIPPIN_OK || !pp_scale_name(&b->w->config, b->naming, layer, value, name)) return 0;
    const pp_tensor *t = find(b, name);
    if (!t) return 0;
    const size_t expected = b->naming == PP_NAMING_TOOLKIT ? 2 : 1;
    if (t->n_elem != expected || !pp_type_is_weight(t->type) || pp_type_block(t->type) != 1) {
        char found[96];
        refuse(b, PIPPIN_E_FORMAT, name, pp_shape_text(t->shape, t->n_dim, found),
               expected == 2 ? "[2]" : "one number");
        return 0;
    }
    float v[2];
    pp_decode_row(t->type, t->data, v, expected);
    float scale = expected == 2 ? fmaxf(v[0] / -128.0f, v[1] / 127.0f) : v[0];
    if (!(scale > 0) || isinf(scale)) {
        refuse(b, PIPPIN_E_FORMAT, name, "a scale that is not positive", "a positive number");
        return 0;
    }
    return scale;
}

static void bind_layer(binder *b, int32_t i)
{
    pp_weights *w = b->w;
    pp_layer *l = &w->layers[i];
    l->kv_layer = PP_MIN(i, w->n_full - 1);
    l->attn_norm = vector(b, part(b, i, PP_PART_ATTN_NORM));
    bind_qkv(b, i, l->site);
    l->q_norm = vector(b, part(b, i, PP_PART_Q_NORM));
    l->k_norm = vector(b, part(b, i, PP_PART_K_NORM));
    l->site[PP_O] = linear(part(b, i, PP_PART_O), NULL);
    l->ffn_norm = vector(b, part(b, i, PP_PART_FFN_NORM));
    l->site[PP_GATE] = linear(part(b, i, PP_PART_GATE), NULL);
    l->site[PP_UP] = linear(part(b, i, PP_PART_UP), NULL);
    l->site[PP_DOWN] = linear(part(b, i, PP_PART_DOWN), NULL);
    l->k_scale = kv_scale(b, i, false);
    l->v_scale = kv_scale(b, i, true);
}

/* All full layers have both scales, or none has one. */
static void check_kv_scales(binder *b)
{
    pp_weights *w = b->w;
    int32_t n = 0;
    for (int32_t i = 0; i < w->n_full; i++) n += (w->layers[i].k_scale > 0) + (w->layers[i].v_scale > 0);
    w->has_kv_scales = n > 0;
    if (b->status == PIPPIN_OK && n && n != 2 * w->n_full)
        b->status =
            pp_fail(b->err, PIPPIN_E_FORMAT, "%s: %d K/V scales found, expected two in each of %d layers, or none",
                    w->tensors.source, (int)n, (int)w->n_full);
}

static void bind_top(binder *b)
{
    pp_weights *w = b->w;
    const int64_t matrix[2] = {w->config.n_vocab, w->config.d_model};
    const char *embedding = pp_top_name(b->naming, PP_TOP_EMBEDDING), *head = pp_top_name(b->naming, PP_TOP_HEAD);
    const pp_tensor *e = find(b, embedding), *h = find(b, head);
    /* Some writers store a tied matrix under the head's name alone. */
    if (!e && w->config.tied_head && h) e = h;
    w->embedding = linear(checked(b, e, embedding, matrix, 2), NULL);
    w->head = w->config.tied_head ? w->embedding : linear(checked(b, h, head, matrix, 2), NULL);
    const pp_tensor *factors = b->naming == PP_NAMING_GGUF ? find(b, "rope_freqs.weight") : NULL;
    const int64_t half = w->config.d_head / 2;
    if (factors) w->rope_factors = vector(b, checked(b, factors, factors->name, &half, 1));
    const char *norm = pp_top_name(b->naming, PP_TOP_NORM);
    w->out_norm = vector(b, checked(b, find(b, norm), norm, matrix + 1, 1));
}

/* A tensor that nothing asked for may mean that the network is not quite the one that the config describes. */
static void report_unused(const binder *b)
{
    const pp_tensors *t = &b->w->tensors;
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (b->used[i] || strstr(t->items[i].name, ".adapters.") || strstr(t->items[i].name, ".num_samples") ||
            strstr(t->items[i].name, "rotary_emb.inv_freq") || strstr(t->items[i].name, "lora_") ||
            pp_path_ends(t->items[i].name, ".weight_scale")) /* of weights that were trained in two or four bits */
            continue;
        if (!first) first = t->items[i].name;
        n++;
    }
    if (n)
        pp_log("%s: %zu tensors are not part of this architecture and were left out, the first is %s", t->source, n,
               first);
}

pippin_status pp_weights_bind(const pippin_config *config, pp_naming naming, pp_tensors *tensors, pp_weights *out,
                              pippin_error *err)
{
    *out = (pp_weights){
        .config = *config, .n_full = config->n_layer - config->n_reuse, .naming = naming, .tensors = *tensors};
    *tensors = (pp_tensors){0};
    binder b = {.w = out, .naming = naming, .err = err};
    b.status = pp_config_check(config, out->tensors.source, err);
    if (b.status == PIPPIN_OK) {
        out->layers = pp_alloc_zero((size_t)config->n_layer, sizeof *out->layers);
        b.used = pp_alloc_zero(out->tensors.n + 1, sizeof *b.used);
        if (!out->layers || !b.used)
            b.status = pp_fail_memory(err, out->tensors.source, (size_t)config->n_layer * sizeof *out->layers);
    }
    if (b.status == PIPPIN_OK) bind_top(&b);
    for (int32_t i = 0; i < config->n_layer && b.status == PIPPIN_OK; i++) bind_layer(&b, i);
    if (b.status == PIPPIN_OK) check_kv_scales(&b);
    if (b.status == PIPPIN_OK) report_unused(&b);
    pp_free(b.used);
    if (b.status != PIPPIN_OK) pp_weights_free(out);
    return b.status;
}

void pp_weights_free(pp_weights *w)
{
    pp_tensors_free(&w->tensors);
    pp_free(w->layers);
    *w = (pp_weights){0};
}
