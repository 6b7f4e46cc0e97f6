/* presets.c - the models that pippin knows by name, and the check that every configuration passes. */
#include <string.h>

#include "model/model.h"

/* afm-*: docs/MODEL.md; mini*: recipes/README.md; llama-3.2-3b and qwen2.5-3b: the config.json that their makers publish. */
static const pippin_config presets[] = {
    {.name = "afm-base",
     PP_AFM,
     .n_vocab = 153600,
     .d_model = 2048,
     .n_head = 16,
     .n_kv_head = 2,
     .d_head = 128,
     .d_ffn = 6656,
     .n_layer = 56,
     .n_ctx_train = 4096,
     .n_reuse = 21,
     .lora_rank = 32,
     .lora_alpha = 16},
    {.name = "afm-draft",
     PP_AFM,
     .n_vocab = 153600,
     .d_model = 256,
     .n_head = 8,
     .n_kv_head = 4,
     .d_head = 32,
     .d_ffn = 768,
     .n_layer = 12,
     .n_ctx_train = 4096},
    {.name = "mini",
     PP_AFM,
     .n_vocab = 4096,
     .d_model = 192,
     .n_head = 6,
     .n_kv_head = 1,
     .d_head = 32,
     .d_ffn = 624,
     .n_layer = 8,
     .n_ctx_train = 512,
     .n_reuse = 3,
     .lora_rank = 32,
     .lora_alpha = 16},
    {.name = "mini-draft",
     PP_AFM,
     .n_vocab = 4096,
     .d_model = 48,
     .n_head = 3,
     .n_kv_head = 1,
     .d_head = 16,
     .d_ffn = 128,
     .n_layer = 5,
     .n_ctx_train = 512},
    {.name = "llama-3.2-3b",
     .arch = PIPPIN_ARCH_LLAMA,
     .n_vocab = 128256,
     .d_model = 3072,
     .n_head = 24,
     .n_kv_head = 8,
     .d_head = 128,
     .d_ffn = 8192,
     .n_layer = 28,
     .rope_pairs = PIPPIN_ROPE_HALVES,
     .tied_head = true,
     .norm_eps = 1e-5f,
     .rope_theta = 500000,
     .rope_scaling = PIPPIN_ROPE_SCALING_LLAMA3,
     .rope_factor = 32,
     .rope_low_freq = 1,
     .rope_high_freq = 4,
     .rope_n_ctx_original = 8192,
     .n_ctx_train = 131072,
     .bos_id = 128000,
     .eos_id = 128001,
     .pad_id = -1},
    {.name = "qwen2.5-3b",
     .arch = PIPPIN_ARCH_QWEN2,
     .n_vocab = 151936,
     .d_model = 2048,
     .n_head = 16,
     .n_kv_head = 2,
     .d_head = 128,
     .d_ffn = 11008,
     .n_layer = 36,
     .rope_pairs = PIPPIN_ROPE_HALVES,
     .qkv_bias = true,
     .tied_head = true,
     .norm_eps = 1e-6f,
     .rope_theta = 1000000,
     .n_ctx_train = 32768,
     .bos_id = 151643,
     .eos_id = 151643,
     .pad_id = -1},
};

enum { N_PRESET = sizeof presets / sizeof *presets };

size_t pippin_preset_count(void) { return N_PRESET; }

const char *pippin_preset_name(size_t i) { return i < N_PRESET ? presets[i].name : NULL; }

pippin_status pippin_config_preset(const char *name, pippin_config *out, pippin_error *err)
{
    for (size_t i = 0; i < N_PRESET; i++)
        if (strcmp(name, presets[i].name) == 0) {
            *out = presets[i];
            return PIPPIN_OK;
        }
    return pp_fail(err, PIPPIN_E_ARGUMENT, "preset %s: unknown, expected one of pippin_preset_name's", name);
}

/* ---- the check ---- */

typedef struct range {
    const char *name;
    int64_t value, low, high;
} range;

/* Wide enough for any model of these families, small enough that no product of two of them overflows. */
enum { MAX_VOCAB = 1 << 24, MAX_WIDTH = 1 << 20, MAX_LAYER = 4096, MAX_HEAD = 4096, MAX_D_HEAD = 1024 };

pippin_status pp_config_check(const pippin_config *c, const char *where, pippin_error *err)
{
    const range ranges[] = {
        {"vocabulary size", c->n_vocab, 1, MAX_VOCAB},
        {"model width", c->d_model, 1, MAX_WIDTH},
        {"FFN width", c->d_ffn, 1, MAX_WIDTH},
        {"number of layers", c->n_layer, 1, MAX_LAYER},
        {"K/V-reuse layers", c->n_reuse, 0, c->n_layer - 1},
        {"number of heads", c->n_head, 1, MAX_HEAD},
        {"number of K/V heads", c->n_kv_head, 1, c->n_head},
        {"head dimension", c->d_head, 2, MAX_D_HEAD},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return pp_fail(err, PIPPIN_E_FORMAT, "%s: %s is %lld, expected %lld to %lld", where, ranges[i].name,
                           (long long)ranges[i].value, (long long)ranges[i].low, (long long)ranges[i].high);
    if (c->n_head % c->n_kv_head)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: %d heads cannot share %d K/V heads evenly", where, (int)c->n_head,
                       (int)c->n_kv_head);
    if (c->d_head % 2)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: head dimension %d is odd, rotary embedding needs pairs", where,
                       (int)c->d_head);
    if (!(c->norm_eps >= 0 && c->norm_eps < 1) || !(c->qk_norm_eps >= 0 && c->qk_norm_eps < 1))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: the norm's epsilon is %g, expected 0 to 1", where,
                       (double)c->norm_eps);
    if (!(c->rope_theta > 0 && c->rope_theta < 1e15))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: rope_theta is %g, expected a positive number", where, c->rope_theta);
    return pp_rope_check(c, where, err);
}
