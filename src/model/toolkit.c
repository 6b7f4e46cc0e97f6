/*
 * toolkit.c - configurations of files that carry none: the toolkit's .pt, where shapes and names give every field, and
 * llama2.c's header.
 */
#include <string.h>

#include "model/model.h"

typedef struct probe {
    const pp_tensors *tensors;
    pippin_status status;
    pippin_error *err;
} probe;

/* Dimension `dim` of a tensor that must be there, under its own name or one level deeper. */
static int32_t dimension(probe *p, const char *module, const char *suffix, int32_t dim)
{
    char name[160], wrapped[160];
    snprintf(name, sizeof name, "%s%s", module, suffix);
    snprintf(wrapped, sizeof wrapped, "%s.wrapped%s", module, suffix);
    const pp_tensor *t = pp_tensors_find(p->tensors, name);
    if (!t) t = pp_tensors_find(p->tensors, wrapped);
    if (t && t->n_dim > dim && t->shape[dim] > 0 && t->shape[dim] <= INT32_MAX) return (int32_t)t->shape[dim];
    if (p->status == PIPPIN_OK)
        p->status = pp_fail(p->err, PIPPIN_E_FORMAT,
                            "%s: tensor %s: %s, expected one of a toolkit checkpoint; is this a model file?",
                            p->tensors->source, name, t ? "found with an impossible shape" : "not found");
    return 1;
}

static int32_t count_layers(const pp_tensors *t, const char *prefix)
{
    int32_t n = 0;
    char name[160];
    do snprintf(name, sizeof name, "%s%d.attention.norm.weight", prefix, (int)n);
    while (pp_tensors_find(t, name) && ++n < 4096);
    return n;
}

pippin_status pp_config_from_toolkit(const pp_tensors *t, pippin_config *out, pippin_error *err)
{
    probe p = {t, PIPPIN_OK, err};
    const int32_t n_full = count_layers(t, "layers.segment_0.layer_");
    const char *first = n_full ? "layers.segment_0.layer_0." : "layers.layer_0.";
    pippin_config c = {PP_AFM, .n_ctx_train = 4096};
    c.n_reuse = n_full ? count_layers(t, "layers.segment_1.layer_") : 0;
    c.n_layer = n_full ? n_full + c.n_reuse : count_layers(t, "layers.layer_");
    char q_norm[160], out_proj[160], qkv[160], gate[160];
    snprintf(q_norm, sizeof q_norm, "%sattention.qk_norm.query_norm", first);
    snprintf(out_proj, sizeof out_proj, "%sattention.output_transform", first);
    snprintf(qkv, sizeof qkv, "%sattention.qkv_transform", first);
    snprintf(gate, sizeof gate, "%sfeed_forward.hidden_transform.linear_0", first);
    c.n_vocab = dimension(&p, "embedding", ".weight", 0);
    c.d_model = dimension(&p, "embedding", ".weight", 1);
    c.d_head = dimension(&p, q_norm, ".weight", 0);
    c.n_head = dimension(&p, out_proj, ".weight", 1) / c.d_head;
    c.n_kv_head = (dimension(&p, qkv, ".fused_linear.weight", 0) / c.d_head - c.n_head) / 2;
    c.d_ffn = dimension(&p, gate, ".weight", 0);
    if (p.status == PIPPIN_OK) p.status = pp_config_check(&c, t->source, err);
    *out = c;
    return p.status;
}

pippin_status pp_config_from_llama2c(const pp_llama2c_header *h, const char *source, pippin_config *out,
                                     pippin_error *err)
{
    *out = (pippin_config){.name = "llama2.c",
                           .arch = PIPPIN_ARCH_LLAMA,
                           .n_vocab = h->n_vocab,
                           .d_model = h->d_model,
                           .n_head = h->n_head,
                           .n_kv_head = h->n_kv_head,
                           .d_ffn = h->d_ffn,
                           .n_layer = h->n_layer,
                           .rope_pairs = PIPPIN_ROPE_ADJACENT,
                           .tied_head = h->shared_head,
                           .norm_eps = 1e-5f,
                           .rope_theta = 10000,
                           .n_ctx_train = h->n_ctx,
                           .bos_id = 1,
                           .eos_id = 2,
                           .pad_id = -1};
    out->d_head = h->n_head > 0 ? h->d_model / h->n_head : 0;
    return pp_config_check(out, source, err);
}
