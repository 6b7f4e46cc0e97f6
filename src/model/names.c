/* names.c - the table of tensor names: docs/MODEL.md shows it in prose. */
#include <string.h>

#include "model/names.h"

/* A name is layer prefix + module + suffix; the toolkit puts ".wrapped" between the last two. */
typedef struct part_name {
    const char *module, *suffix;
} part_name;

static const part_name parts[4][PP_N_PART] =
    {
        [PP_NAMING_MLX] =
            {
                [PP_PART_ATTN_NORM] = {"input_layernorm", ".weight"},
                [PP_PART_QKV] = {"self_attn.qkv_proj", ".weight"},
                [PP_PART_Q] = {"self_attn.q_proj", ".weight"},
                [PP_PART_Q_NORM] = {"self_attn.q_norm", ".weight"},
                [PP_PART_K_NORM] = {"self_attn.k_norm", ".weight"},
                [PP_PART_O] = {"self_attn.out_proj", ".weight"},
                [PP_PART_FFN_NORM] = {"post_attention_layernorm", ".weight"},
                [PP_PART_GATE] = {"mlp.gate_proj", ".weight"},
                [PP_PART_UP] = {"mlp.up_proj", ".weight"},
                [PP_PART_DOWN] = {"mlp.down_proj", ".weight"},
            },
        [PP_NAMING_HF] =
            {
                [PP_PART_ATTN_NORM] = {"input_layernorm", ".weight"},
                [PP_PART_Q] = {"self_attn.q_proj", ".weight"},
                [PP_PART_K] = {"self_attn.k_proj", ".weight"},
                [PP_PART_V] = {"self_attn.v_proj", ".weight"},
                [PP_PART_Q_BIAS] = {"self_attn.q_proj", ".bias"},
                [PP_PART_K_BIAS] = {"self_attn.k_proj", ".bias"},
                [PP_PART_V_BIAS] = {"self_attn.v_proj", ".bias"},
                [PP_PART_Q_NORM] = {"self_attn.q_norm", ".weight"},
                [PP_PART_K_NORM] = {"self_attn.k_norm", ".weight"},
                [PP_PART_O] = {"self_attn.o_proj", ".weight"},
                [PP_PART_FFN_NORM] = {"post_attention_layernorm", ".weight"},
                [PP_PART_GATE] = {"mlp.gate_proj", ".weight"},
                [PP_PART_UP] = {"mlp.up_proj", ".weight"},
                [PP_PART_DOWN] = {"mlp.down_proj", ".weight"},
            },
        [PP_NAMING_TOOLKIT] =
            {
                [PP_PART_ATTN_NORM] = {"attention.norm", ".weight"},
                [PP_PART_QKV] = {"attention.qkv_transform", ".fused_linear.weight"},
                [PP_PART_Q] = {"attention.q_transform", ".weight"},
                [PP_PART_Q_NORM] = {"attention.qk_norm.query_norm", ".weight"},
                [PP_PART_K_NORM] = {"attention.qk_norm.key_norm", ".weight"},
                [PP_PART_O] = {"attention.output_transform", ".weight"},
                [PP_PART_FFN_NORM] = {"feed_forward.norm", ".weight"},
                [PP_PART_GATE] = {"feed_forward.hidden_transform.linear_0", ".weight"},
                [PP_PART_UP] = {"feed_forward.hidden_transform.linear_1", ".weight"},
                [PP_PART_DOWN] = {"feed_forward.output_transform", ".weight"},
            },
        [PP_NAMING_GGUF] =
            {
                [PP_PART_ATTN_NORM] = {"attn_norm", ".weight"},
                [PP_PART_Q] = {"attn_q", ".weight"},
                [PP_PART_K] = {"attn_k", ".weight"},
                [PP_PART_V] = {"attn_v", ".weight"},
                [PP_PART_Q_BIAS] = {"attn_q", ".bias"},
                [PP_PART_K_BIAS] = {"attn_k", ".bias"},
                [PP_PART_V_BIAS] = {"attn_v", ".bias"},
                [PP_PART_Q_NORM] = {"attn_q_norm", ".weight"},
                [PP_PART_K_NORM] = {"attn_k_norm", ".weight"},
                [PP_PART_O] = {"attn_output", ".weight"},
                [PP_PART_FFN_NORM] = {"ffn_norm", ".weight"},
                [PP_PART_GATE] = {"ffn_gate", ".weight"},
                [PP_PART_UP] = {"ffn_up", ".weight"},
                [PP_PART_DOWN] = {"ffn_down", ".weight"},
            },
};

static const char *const tops[4][PP_N_TOP] = {
    [PP_NAMING_MLX] = {"model.embedding.weight", "model.output_norm.weight", "lm_head.weight"},
    [PP_NAMING_HF] = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"},
    [PP_NAMING_TOOLKIT] = {"embedding.weight", "output_norm.weight", "output_transform.weight"},
    [PP_NAMING_GGUF] = {"token_embd.weight", "output_norm.weight", "output.weight"},
};

const char *pp_top_name(pp_naming naming, pp_top top) { return tops[naming][top]; }

void pp_layer_prefix(const pippin_config *c, pp_naming naming, int32_t layer, char *prefix, size_t size)
{
    const int32_t n_full = c->n_layer - c->n_reuse;
    const bool reuse = layer >= n_full;
    const int index = (int)(reuse ? layer - n_full : layer);
    if (naming == PP_NAMING_GGUF)
        snprintf(prefix, size, "blk.%d", (int)layer);
    else if (naming != PP_NAMING_TOOLKIT)
        snprintf(prefix, size, "model.%s.%d", reuse ? "kv_reuse_layers" : "layers", index);
    else if (c->n_reuse)
        snprintf(prefix, size, "layers.segment_%d.layer_%d", reuse, index);
    else
        snprintf(prefix, size, "layers.layer_%d", index);
}

void pp_part_name(const pippin_config *c, pp_naming naming, int32_t layer, pp_part part, bool wrapped,
                  char name[PP_NAME_SIZE])
{
    char prefix[64];
    pp_layer_prefix(c, naming, layer, prefix, sizeof prefix);
    const part_name *p = &parts[naming][part];
    const char *module = p->module;
    /* The toolkit's reuse layers have a query norm alone, in a module of another name. */
    if (naming == PP_NAMING_TOOLKIT && part == PP_PART_Q_NORM && layer >= c->n_layer - c->n_reuse)
        module = "attention.q_norm.query_norm";
    snprintf(name, PP_NAME_SIZE, "%s.%s%s%s", prefix, module, wrapped ? ".wrapped" : "", p->suffix);
}

bool pp_scale_name(const pippin_config *c, pp_naming naming, int32_t layer, bool value, char name[PP_NAME_SIZE])
{
    char prefix[64];
    if (naming == PP_NAMING_HF || layer >= c->n_layer - c->n_reuse) return false;
    pp_layer_prefix(c, naming, layer, prefix, sizeof prefix);
    if (naming == PP_NAMING_GGUF)
        snprintf(name, PP_NAME_SIZE, "%s.attn_%c_scale", prefix, value ? 'v' : 'k');
    else if (naming == PP_NAMING_MLX)
        snprintf(name, PP_NAME_SIZE, "%s.self_attn.quant_%s_scale", prefix, value ? "value" : "key");
    else
        snprintf(name, PP_NAME_SIZE, "%s.attention.kv_quantizer.%s_quantizer.activation_post_process.range", prefix,
                 value ? "value" : "key");
    return true;
}

bool pp_part_shape(const pippin_config *c, pp_naming naming, int32_t layer, pp_part part, int32_t *n_dim,
                   int64_t shape[2])
{
    static const pp_site site_of[PP_N_PART] = {
        [PP_PART_Q] = PP_Q,      [PP_PART_K] = PP_K,      [PP_PART_V] = PP_V, [PP_PART_Q_BIAS] = PP_Q,
        [PP_PART_K_BIAS] = PP_K, [PP_PART_V_BIAS] = PP_V, [PP_PART_O] = PP_O, [PP_PART_GATE] = PP_GATE,
        [PP_PART_UP] = PP_UP,    [PP_PART_DOWN] = PP_DOWN};
    const bool reuse = layer >= c->n_layer - c->n_reuse, fused = parts[naming][PP_PART_QKV].module != NULL;
    if (!parts[naming][part].module) return false;
    int32_t n_in = 0, n_out = 0;
    *n_dim = 1;
    switch (part) {
    case PP_PART_ATTN_NORM:
    case PP_PART_FFN_NORM: shape[0] = c->d_model; return true;
    case PP_PART_Q_NORM: shape[0] = c->d_head; return c->qk_norm != PIPPIN_QK_NORM_NONE;
    case PP_PART_K_NORM: shape[0] = c->d_head; return c->qk_norm != PIPPIN_QK_NORM_NONE && !reuse;
    case PP_PART_Q_BIAS:
    case PP_PART_K_BIAS:
    case PP_PART_V_BIAS:
        if (!c->qkv_bias || !pp_site_shape(c, layer, site_of[part], &n_in, &n_out)) return false;
        shape[0] = n_out;
        return true;
    case PP_PART_QKV:
        *n_dim = 2;
        shape[0] = (int64_t)(c->n_head + 2 * c->n_kv_head) * c->d_head;
        shape[1] = c->d_model;
        return !reuse;
    case PP_PART_Q:
        if (fused && !reuse) return false;
        break;
    default: break;
    }
    *n_dim = 2;
    if (!pp_site_shape(c, layer, site_of[part], &n_in, &n_out)) return false;
    shape[0] = n_out;
    shape[1] = n_in;
    return true;
}

bool pp_name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *from = NULL; /* the last '*', and where what it stands for begins to end */
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            from = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}
