/* config.c - config.json to pippin_config and back: mlx-lm's `afm7` fields, Hugging Face's for llama, qwen2 and qwen3. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "model/model.h"

/* Reads fields of one object; the first thing that is wrong is kept and the rest becomes zeros. */
typedef struct fields {
    json_t *object;
    const char *source;
    pippin_status status;
    pippin_error *err;
} fields;

static void wrong(fields *f, const char *name, const char *expected)
{
    if (f->status == PIPPIN_OK)
        f->status = pp_fail(f->err, PIPPIN_E_FORMAT, "%s: field %s is %s, expected %s", f->source, name,
                            json_object_get(f->object, name) ? "of another kind" : "missing", expected);
}

static int32_t integer(fields *f, const char *name)
{
    json_t *v = json_object_get(f->object, name);
    if (!json_is_integer(v) || json_integer_value(v) < INT32_MIN || json_integer_value(v) > INT32_MAX) {
        wrong(f, name, "a whole number");
        return 0;
    }
    return (int32_t)json_integer_value(v);
}

/* null counts as absent, as writers of config.json use it. */
static bool has(const fields *f, const char *name)
{
    json_t *v = json_object_get(f->object, name);
    return v && !json_is_null(v);
}

static int32_t integer_or(fields *f, const char *name, int32_t otherwise)
{
    return has(f, name) ? integer(f, name) : otherwise;
}

static double number_or(fields *f, const char *name, double otherwise)
{
    if (!has(f, name)) return otherwise;
    json_t *v = json_object_get(f->object, name);
    if (!json_is_number(v)) wrong(f, name, "a number");
    return json_number_value(v);
}

static bool flag_or(fields *f, const char *name, bool otherwise)
{
    if (!has(f, name)) return otherwise;
    json_t *v = json_object_get(f->object, name);
    if (!json_is_boolean(v)) wrong(f, name, "true or false");
    return json_is_true(v);
}

static const char *text_or(fields *f, const char *name, const char *otherwise)
{
    if (!has(f, name)) return otherwise;
    json_t *v = json_object_get(f->object, name);
    if (!json_is_string(v)) wrong(f, name, "a text");
    return json_is_string(v) ? json_string_value(v) : otherwise;
}

static void unsupported(fields *f, const char *name, const char *why)
{
    if (f->status == PIPPIN_OK)
        f->status = pp_fail(f->err, PIPPIN_E_UNSUPPORTED, "%s: field %s: %s", f->source, name, why);
}

/* A special id may be a number, or a list of which the first is the one that ends a text. */
static int32_t special_id(fields *f, const char *name)
{
    json_t *v = json_object_get(f->object, name);
    if (json_is_array(v)) v = json_array_get(v, 0);
    if (!json_is_integer(v)) return -1;
    json_int_t id = json_integer_value(v);
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
}

static fields inner(const fields *f, const char *name)
{
    fields in = *f;
    in.object = json_object_get(f->object, name);
    return in;
}

/* What programs for YaRN of other families read beside the factor, and what it would change here. */
static void read_yarn(fields *in, pippin_config *c)
{
    c->rope_low_freq = number_or(in, "beta_slow", 1);
    c->rope_high_freq = number_or(in, "beta_fast", 32);
    c->rope_attention = number_or(in, "attention_factor", 0);
    c->rope_n_ctx_original = integer_or(in, "original_max_position_embeddings", c->n_ctx_train);
    if (has(in, "mscale") || has(in, "mscale_all_dim") || !flag_or(in, "truncate", true))
        unsupported(in, "rope_scaling",
                    "mscale, mscale_all_dim and truncate of yarn are not known; the model would give "
                    "wrong numbers without them");
}

static void refuse_scaling(fields *in, const char *kind)
{
    char why[300];
    if (strcmp(kind, "dynamic") == 0)
        snprintf(why, sizeof why,
                 "the kind dynamic has a factor that grows with the text, but keys are cached after their rotation, so "
                 "a session's factor is fixed; take the field out, and give sessions that are longer the scaling ntk");
    else
        snprintf(why, sizeof why,
                 "the kind %.40s is not built, only default, linear, yarn and llama3 are; the model would give wrong "
                 "numbers with another",
                 *kind ? kind : "(none named)");
    unsupported(in, "rope_scaling", why);
}

/* rope_scaling; newer writers have it in rope_parameters, with theta beside it. Both words are read in either place. */
static void read_rope_scaling(fields *f, pippin_config *c)
{
    const char *name = has(f, "rope_scaling") ? "rope_scaling" : "rope_parameters";
    if (!has(f, name)) return;
    fields in = inner(f, name);
    const char *kind = text_or(&in, "rope_type", text_or(&in, "type", strcmp(name, "rope_scaling") ? "default" : ""));
    if (strcmp(kind, "default") != 0) c->rope_factor = number_or(&in, "factor", 0);
    if (strcmp(kind, "linear") == 0) {
        c->rope_scaling = PIPPIN_ROPE_SCALING_LINEAR;
    } else if (strcmp(kind, "yarn") == 0) {
        c->rope_scaling = PIPPIN_ROPE_SCALING_YARN;
        read_yarn(&in, c);
    } else if (strcmp(kind, "llama3") == 0) {
        c->rope_scaling = PIPPIN_ROPE_SCALING_LLAMA3;
        c->rope_low_freq = number_or(&in, "low_freq_factor", 0);
        c->rope_high_freq = number_or(&in, "high_freq_factor", 0);
        c->rope_n_ctx_original = integer(&in, "original_max_position_embeddings");
    } else if (strcmp(kind, "default") != 0) {
        refuse_scaling(&in, kind);
    }
    if (f->status == PIPPIN_OK) f->status = in.status;
}

/* At the top, or in rope_parameters. */
static double read_theta(fields *f, double otherwise)
{
    fields rope = inner(f, "rope_parameters");
    const double theta = number_or(&rope, "rope_theta", number_or(f, "rope_theta", otherwise));
    if (f->status == PIPPIN_OK) f->status = rope.status;
    return theta;
}

/* mlx-lm's afm7: theta's default is 50,000; the QK-norm's epsilon is fixed. */
static void read_afm(fields *f, pippin_config *c)
{
    c->arch = PIPPIN_ARCH_AFM;
    c->n_vocab = integer(f, "vocab_size");
    c->d_model = integer(f, "hidden_dim");
    c->n_layer = integer(f, "num_layers");
    c->n_reuse = integer_or(f, "num_kv_reuse_layers", 0);
    c->n_head = integer(f, "num_heads");
    c->n_kv_head = integer(f, "num_kv_heads");
    c->d_head = integer_or(f, "head_dim", c->n_head > 0 ? c->d_model / c->n_head : 0);
    double ffn = number_or(f, "hidden_dim_scale_factor", 3.25) * c->d_model;
    c->d_ffn = ffn >= 1 && ffn < INT32_MAX ? (int32_t)ffn : 0;
    c->rope_theta = read_theta(f, 50000);
    c->rope_pairs = PIPPIN_ROPE_ADJACENT;
    c->qk_norm = PIPPIN_QK_NORM_AFTER_ROPE;
    c->tied_head = true;
    c->norm_eps = (float)number_or(f, "rms_norm_eps", 1e-5);
    c->qk_norm_eps = 1e-5f;
    c->n_ctx_train = integer_or(f, "max_position_embeddings", 4096);
    c->pad_id = 0;
    read_rope_scaling(f, c);
}

static void read_hf(fields *f, pippin_config *c)
{
    c->n_vocab = integer(f, "vocab_size");
    c->d_model = integer(f, "hidden_size");
    c->n_layer = integer(f, "num_hidden_layers");
    c->n_head = integer(f, "num_attention_heads");
    c->n_kv_head = integer_or(f, "num_key_value_heads", c->n_head);
    c->d_head = integer_or(f, "head_dim", c->n_head > 0 ? c->d_model / c->n_head : 0);
    c->d_ffn = integer(f, "intermediate_size");
    c->rope_pairs = PIPPIN_ROPE_HALVES;
    c->norm_eps = (float)number_or(f, "rms_norm_eps", 1e-6);
    c->rope_theta = read_theta(f, 10000);
    c->tied_head = flag_or(f, "tie_word_embeddings", false);
    c->n_ctx_train = integer_or(f, "max_position_embeddings", 0);
    c->pad_id = -1;
    read_rope_scaling(f, c);
    if (c->arch == PIPPIN_ARCH_QWEN2) c->qkv_bias = true;
    if (c->arch == PIPPIN_ARCH_QWEN3) {
        c->qk_norm = PIPPIN_QK_NORM_BEFORE_ROPE;
        c->qk_norm_eps = c->norm_eps;
    }
    if (strcmp(text_or(f, "hidden_act", "silu"), "silu") != 0) unsupported(f, "hidden_act", "only silu is known");
    if (flag_or(f, "use_sliding_window", false))
        unsupported(f, "use_sliding_window",
                    "sliding-window attention is not built; the model would give wrong numbers without it");
    if (flag_or(f, "attention_bias", false) || flag_or(f, "mlp_bias", false))
        unsupported(f, "attention_bias or mlp_bias", "biases are known in the Q, K and V of qwen2 only");
}

static void read_any(fields *f, pippin_config *c)
{
    static const struct {
        const char *type;
        pippin_arch arch;
    } families[] = {{"llama", PIPPIN_ARCH_LLAMA}, {"qwen2", PIPPIN_ARCH_QWEN2}, {"qwen3", PIPPIN_ARCH_QWEN3}};
    const char *type = text_or(f, "model_type", "");
    /* Often the place in a hub, "maker/model". */
    const char *name = pp_path_base(text_or(f, "_name_or_path", ""));
    snprintf(c->name, sizeof c->name, "%s", *name ? name : type);
    if (strcmp(type, "afm7") == 0) {
        read_afm(f, c);
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(type, families[i].type) == 0) {
            c->arch = families[i].arch;
            read_hf(f, c);
            return;
        }
    f->status = pp_fail(f->err, PIPPIN_E_UNSUPPORTED,
                        "%s: model_type is \"%s\", expected afm7, llama, qwen2 or qwen3; other families are not built",
                        f->source, type);
}

pippin_status pp_config_parse(const char *json, size_t size, const char *source, pippin_config *out, pippin_error *err)
{
    json_error_t at;
    *out = (pippin_config){0};
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &at);
    if (!root)
        return json_error_code(&at) == json_error_out_of_memory
                   ? pp_fail_memory(err, source, size)
                   : pp_fail(err, PIPPIN_E_FORMAT, "%s: line %d: %s; expected a JSON object", source, at.line, at.text);
    fields f = {root, source, PIPPIN_OK, err};
    if (!json_is_object(root)) {
        f.status = pp_fail(err, PIPPIN_E_FORMAT, "%s: not a JSON object; expected a model's config.json", source);
    } else {
        out->bos_id = special_id(&f, "bos_token_id");
        out->eos_id = special_id(&f, "eos_token_id");
        read_any(&f, out);
    }
    if (f.status == PIPPIN_OK) f.status = pp_config_check(out, source, err);
    json_decref(root);
    return f.status;
}

pippin_status pippin_config_load(const char *path, pippin_config *out, pippin_error *err)
{
    pp_map map;
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = pp_config_parse((const char *)map.data, map.size, path, out, err);
    pp_map_close(&map);
    return status;
}

/* ---- writing ---- */

static json_t *afm_fields(const pippin_config *c)
{
    /* A half more, so that int(scale * d_model) gives d_ffn back whatever the division rounded to. */
    double scale = (double)c->d_ffn / c->d_model;
    if ((int32_t)(scale * c->d_model) != c->d_ffn) scale = (c->d_ffn + 0.5) / c->d_model;
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f}", "model_type", "afm7", "vocab_size",
                     c->n_vocab, "hidden_dim", c->d_model, "num_layers", c->n_layer, "num_kv_reuse_layers", c->n_reuse,
                     "num_heads", c->n_head, "num_kv_heads", c->n_kv_head, "head_dim", c->d_head,
                     "hidden_dim_scale_factor", scale, "rms_norm_eps", (double)c->norm_eps, "rope_theta",
                     c->rope_theta);
}

static json_t *hf_fields(const pippin_config *c)
{
    static const char *const types[] = {
        [PIPPIN_ARCH_LLAMA] = "llama", [PIPPIN_ARCH_QWEN2] = "qwen2", [PIPPIN_ARCH_QWEN3] = "qwen3"};
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:f, s:s}", "model_type", types[c->arch],
                          "vocab_size", c->n_vocab, "hidden_size", c->d_model, "num_hidden_layers", c->n_layer,
                          "num_attention_heads", c->n_head, "num_key_value_heads", c->n_kv_head, "head_dim", c->d_head,
                          "intermediate_size", c->d_ffn, "tie_word_embeddings", (int)c->tied_head, "rms_norm_eps",
                          (double)c->norm_eps, "rope_theta", c->rope_theta, "hidden_act", "silu");
    return o;
}

static json_t *scaling_fields(const pippin_config *c)
{
    json_t *o =
        json_pack("{s:s, s:f}", "rope_type", pippin_rope_scaling_name(c->rope_scaling), "factor", c->rope_factor);
    if (!o || c->rope_scaling == PIPPIN_ROPE_SCALING_LINEAR) return o;
    const bool yarn = c->rope_scaling == PIPPIN_ROPE_SCALING_YARN;
    json_object_set_new(o, yarn ? "beta_slow" : "low_freq_factor", json_real(c->rope_low_freq));
    json_object_set_new(o, yarn ? "beta_fast" : "high_freq_factor", json_real(c->rope_high_freq));
    if (c->rope_attention > 0) json_object_set_new(o, "attention_factor", json_real(c->rope_attention));
    json_object_set_new(o, "original_max_position_embeddings", json_integer(c->rope_n_ctx_original));
    return o;
}

static int append(const char *bytes, size_t size, void *user)
{
    char **text = user;
    size_t n = *text ? strlen(*text) : 0;
    char *longer = pp_alloc(n + size + 1);
    if (!longer) return -1;
    if (n) memcpy(longer, *text, n);
    memcpy(longer + n, bytes, size);
    longer[n + size] = 0;
    pp_free(*text);
    *text = longer;
    return 0;
}

char *pp_config_json(const pippin_config *c)
{
    json_t *o = c->arch == PIPPIN_ARCH_AFM ? afm_fields(c) : hf_fields(c);
    if (!o) return NULL;
    const char *type = json_string_value(json_object_get(o, "model_type"));
    if (*c->name && type && strcmp(c->name, type) != 0) json_object_set_new(o, "_name_or_path", json_string(c->name));
    if (c->rope_scaling > PIPPIN_ROPE_SCALING_NONE) json_object_set_new(o, "rope_scaling", scaling_fields(c));
    if (c->n_ctx_train) json_object_set_new(o, "max_position_embeddings", json_integer(c->n_ctx_train));
    if (c->bos_id >= 0) json_object_set_new(o, "bos_token_id", json_integer(c->bos_id));
    if (c->eos_id >= 0) json_object_set_new(o, "eos_token_id", json_integer(c->eos_id));
    char *text = NULL;
    if (json_dump_callback(o, append, &text, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) != 0 ||
        append("\n", 1, &text) != 0) {
        pp_free(text);
        text = NULL;
    }
    json_decref(o);
    return text;
}
