/* gguf.c - the configuration that the values of a GGUF file describe. */
#include <math.h>
#include <string.h>

#include "model/model.h"

typedef struct values {
    const pp_gguf *g;
    const char *arch; /* prefix of the keys */
    pippin_status status;
    pippin_error *err;
} values;

static double number_or(const values *v, const char *key, double otherwise)
{
    char name[96];
    double value;
    snprintf(name, sizeof name, "%s.%s", v->arch, key);
    return pp_gguf_number(v->g, name, &value) ? value : otherwise;
}

static int32_t integer_or(const values *v, const char *key, int32_t otherwise)
{
    const double value = number_or(v, key, otherwise);
    return value >= 0 && value <= INT32_MAX ? (int32_t)value : 0;
}

static int32_t integer(values *v, const char *key)
{
    const double missing = -1;
    if (v->status == PIPPIN_OK && number_or(v, key, missing) == missing)
        v->status = pp_fail(v->err, PIPPIN_E_FORMAT, "%s: value %s.%s is missing, expected a whole number",
                            v->g->tensors.source, v->arch, key);
    return integer_or(v, key, 0);
}

/* The configuration's own where pippin wrote it, else the tokenizer's. */
static int32_t token_id(const pp_gguf *g, const char *own, const char *key)
{
    double value;
    const bool found = pp_gguf_number(g, own, &value) || pp_gguf_number(g, key, &value);
    return found && value >= 0 && value < INT32_MAX ? (int32_t)value : -1;
}

/* What its maker called it; a file that was made from another so keeps that one's name. */
static void read_name(const pp_gguf *g, pippin_config *c)
{
    const pp_gguf_entry *e = pp_gguf_find(g, "general.name");
    if (!e || e->kind != PP_GGUF_TEXT || e->n_text >= sizeof c->name || memchr(e->text, 0, e->n_text)) return;
    memcpy(c->name, e->text, e->n_text);
}

/* The adapter that belongs to the model, which lies in a file of its own. */
static void read_lora(const pp_gguf *g, pippin_config *c)
{
    double rank, alpha;
    if (!pp_gguf_number(g, "pippin.lora.rank", &rank) || !pp_gguf_number(g, "pippin.lora.alpha", &alpha)) return;
    if (!(rank >= 1 && rank <= 4096 && alpha > 0 && alpha < 1e6)) return;
    c->lora_rank = (int32_t)rank;
    c->lora_alpha = (float)alpha;
}

/* A file that names a factor and no kind means linear; Llama 3's scaling comes as a tensor of factors and no kind at all. */
static void read_scaling(values *v, pippin_config *c)
{
    char name[96];
    snprintf(name, sizeof name, "%s.rope.scaling.type", v->arch);
    const bool named = pp_gguf_find(v->g, name) != NULL;
    const double factor = number_or(v, "rope.scaling.factor", number_or(v, "rope.scale_linear", 0));
    if (named ? pp_gguf_text_is(v->g, name, "none") : factor == 0 || factor == 1) return;
    c->rope_factor = factor;
    if (!named || pp_gguf_text_is(v->g, name, "linear")) {
        c->rope_scaling = PIPPIN_ROPE_SCALING_LINEAR;
        if (factor == 0) c->rope_factor = 1;
    } else if (pp_gguf_text_is(v->g, name, "yarn")) {
        c->rope_scaling = PIPPIN_ROPE_SCALING_YARN;
        c->rope_low_freq = number_or(v, "rope.scaling.yarn_beta_slow", 1);
        c->rope_high_freq = number_or(v, "rope.scaling.yarn_beta_fast", 32);
        c->rope_n_ctx_original = integer_or(v, "rope.scaling.original_context_length", c->n_ctx_train);
        /* Here it multiplies what follows from the factor. */
        const double attention = number_or(v, "rope.scaling.attn_factor", 1);
        if (attention != 1 && factor >= 1) c->rope_attention = attention * (0.1 * log(factor) + 1);
    } else if (v->status == PIPPIN_OK) {
        v->status = pp_fail(v->err, PIPPIN_E_UNSUPPORTED,
                            "%s: value %s: this rotary scaling is not built, only none, linear and yarn are; the model "
                            "would give wrong numbers without it",
                            v->g->tensors.source, name);
    }
}

pippin_status pp_config_from_gguf(const pp_gguf *g, pippin_config *out, pippin_error *err)
{
    static const struct {
        const char *name;
        pippin_arch arch;
    } families[] = {{"llama", PIPPIN_ARCH_LLAMA},
                    {"qwen2", PIPPIN_ARCH_QWEN2},
                    {"qwen3", PIPPIN_ARCH_QWEN3},
                    {"afm7", PIPPIN_ARCH_AFM}};
    values v = {.g = g, .err = err};
    pippin_config c = {.pad_id = -1};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (pp_gguf_text_is(g, "general.architecture", families[i].name)) {
            v.arch = families[i].name;
            c.arch = families[i].arch;
        }
    if (!v.arch)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: its general.architecture is not afm7, llama, qwen2 or qwen3; other families are not built",
                       g->tensors.source);
    const pp_tensor *embedding = pp_tensors_find(&g->tensors, "token_embd.weight");
    c.n_vocab =
        embedding && embedding->n_dim == 2 && embedding->shape[0] <= INT32_MAX ? (int32_t)embedding->shape[0] : 0;
    c.d_model = integer(&v, "embedding_length");
    c.n_layer = integer(&v, "block_count");
    c.d_ffn = integer(&v, "feed_forward_length");
    c.n_head = integer(&v, "attention.head_count");
    c.n_kv_head = integer_or(&v, "attention.head_count_kv", c.n_head);
    c.d_head = integer_or(&v, "attention.key_length", c.n_head > 0 ? c.d_model / c.n_head : 0);
    c.norm_eps = (float)number_or(&v, "attention.layer_norm_rms_epsilon", 1e-5);
    c.rope_theta = number_or(&v, "rope.freq_base", 10000);
    c.n_ctx_train = integer_or(&v, "context_length", 0);
    c.rope_pairs = c.arch == PIPPIN_ARCH_LLAMA || c.arch == PIPPIN_ARCH_AFM ? PIPPIN_ROPE_ADJACENT : PIPPIN_ROPE_HALVES;
    c.qkv_bias = c.arch == PIPPIN_ARCH_QWEN2;
    if (c.arch == PIPPIN_ARCH_QWEN3) {
        c.qk_norm = PIPPIN_QK_NORM_BEFORE_ROPE;
        c.qk_norm_eps = c.norm_eps;
    }
    if (c.arch == PIPPIN_ARCH_AFM) {
        c.n_reuse = integer_or(&v, "kv_reuse_block_count", 0);
        c.qk_norm = PIPPIN_QK_NORM_AFTER_ROPE;
        c.qk_norm_eps = 1e-5f;
        c.pad_id = 0;
    }
    c.tied_head = !pp_tensors_find(&g->tensors, "output.weight");
    c.bos_id = token_id(g, "pippin.bos_token_id", "tokenizer.ggml.bos_token_id");
    c.eos_id = token_id(g, "pippin.eos_token_id", "tokenizer.ggml.eos_token_id");
    read_lora(g, &c);
    read_name(g, &c);
    read_scaling(&v, &c);
    if (v.status == PIPPIN_OK) v.status = pp_config_check(&c, g->tensors.source, err);
    *out = c;
    return v.status;
}
