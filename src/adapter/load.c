/*
 * load.c - adapter files: which tensors are whose, rank, alpha. Three conventions name the same pairs A [n_in][rank] and
 * B [rank][n_out]: the toolkit's a_transpose/b_transpose, mlx-lm's lora_a/lora_b, and both with or without a fused QKV.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "adapter/names.h"

enum { NAME = PP_ADAPTER_NAME, MAX_RANK = 256 };

void pp_adapter_tensor_name(const pippin_config *c, bool toolkit, int32_t layer, pp_site site, bool b,
                            char name[PP_ADAPTER_NAME])
{
    static const char *const modules[2][PP_N_SITE] = {
        {"self_attn.q_proj", NULL, NULL, "self_attn.out_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
        {"attention.q_transform", NULL, NULL, "attention.output_transform", "feed_forward.hidden_transform.linear_0",
         "feed_forward.hidden_transform.linear_1", "feed_forward.output_transform"}};
    char prefix[NAME];
    pp_layer_prefix(c, toolkit ? PP_NAMING_TOOLKIT : PP_NAMING_MLX, layer, prefix, sizeof prefix);
    const bool fused = site <= PP_V && layer < c->n_layer - c->n_reuse;
    if (toolkit && fused)
        snprintf(name, NAME, "%.64s.attention.qkv_transform.adapters.base_adapter.lora_%d.%c_transpose", prefix,
                 (int)site, b ? 'b' : 'a');
    else if (toolkit)
        snprintf(name, NAME, "%.64s.%s.adapters.base_adapter.%c_transpose", prefix, modules[1][site], b ? 'b' : 'a');
    else if (fused)
        snprintf(name, NAME, "%.64s.self_attn.qkv_proj.lora_%c.%d", prefix, b ? 'b' : 'a', (int)site);
    else
        snprintf(name, NAME, "%.64s.%s.lora_%c", prefix, modules[0][site], b ? 'b' : 'a');
}

bool pp_adapter_present(const pp_tensors *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (strstr(t->items[i].name, ".adapters.") || strstr(t->items[i].name, ".lora_a")) return true;
    return false;
}

static bool is_adapter_tensor(const char *name)
{
    return strstr(name, ".adapters.") || strstr(name, ".lora_a") || strstr(name, ".lora_b");
}

typedef struct loader {
    const pp_tensors *t;
    const pippin_config *config;
    pippin_adapter *adapter;
    pippin_type type; /* of the values as they are kept */
    bool toolkit, zero_a, zero_b;
    size_t n_used, n_value; /* tensors found; values handed out */
    pippin_status status;
    pippin_error *err;
} loader;

static pippin_status fail_shape(loader *l, const pp_tensor *t, int64_t rows, int64_t columns)
{
    char found[96], expected[96];
    const int64_t shape[2] = {rows, columns};
    return l->status = pp_fail(
               l->err, PIPPIN_E_FORMAT,
               "%s: tensor %s: found %s of %s, expected %s of a float type; was this adapter made for another model?",
               l->t->source, t->name, pp_shape_text(t->shape, t->n_dim, found), pippin_type_name(t->type),
               pp_shape_text(shape, 2, expected));
}

/* Copies t [rows][columns] transposed; remembers whether all of it was zero. */
static const void *transposed(loader *l, const pp_tensor *t, int64_t rows, int64_t columns, bool *zero)
{
    if (t->n_dim != 2 || t->shape[0] != rows || t->shape[1] != columns || !pp_type_is_weight(t->type) ||
        pp_type_block(t->type) != 1) {
        fail_shape(l, t, rows, columns);
        return NULL;
    }
    const size_t from_bytes = pp_type_bytes(t->type, 1), to_bytes = pp_type_bytes(l->type, 1);
    uint8_t *to = (uint8_t *)l->adapter->values + l->n_value * to_bytes;
    l->n_value += t->n_elem;
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t c = 0; c < (size_t)columns; c++) {
            const uint8_t *from = (const uint8_t *)t->data + (r * (size_t)columns + c) * from_bytes;
            float value;
            pp_decode_row(t->type, from, &value, 1);
            memcpy(to + (c * (size_t)rows + r) * to_bytes, l->type == t->type ? (const void *)from : &value, to_bytes);
            if (!isfinite(value))
                l->status = pp_fail(l->err, PIPPIN_E_FORMAT,
                                    "%s: tensor %s: holds NaN or infinity; the training that made it diverged",
                                    l->t->source, t->name);
            if (value != 0) *zero = false;
        }
    return to;
}

static void load_site(loader *l, int32_t layer, pp_site site)
{
    int32_t n_in, n_out;
    char name_a[NAME], name_b[NAME];
    if (l->status != PIPPIN_OK || !pp_site_shape(l->config, layer, site, &n_in, &n_out)) return;
    pp_adapter_tensor_name(l->config, l->toolkit, layer, site, false, name_a);
    pp_adapter_tensor_name(l->config, l->toolkit, layer, site, true, name_b);
    const pp_tensor *a = pp_tensors_find(l->t, name_a), *b = pp_tensors_find(l->t, name_b);
    if (!a && !b) return;
    if (!a || !b) {
        l->status = pp_fail(l->err, PIPPIN_E_FORMAT,
                            "%s: tensor %s is missing, though %s is there; check that the file is whole", l->t->source,
                            a ? name_b : name_a, a ? name_a : name_b);
        return;
    }
    int32_t *rank = &l->adapter->lora.rank;
    if (*rank == 0 && a->n_dim == 2 && a->shape[1] > 0 && a->shape[1] <= MAX_RANK) *rank = (int32_t)a->shape[1];
    pp_lora_site *s = &l->adapter->sites[(size_t)layer * PP_N_SITE + site];
    s->a = transposed(l, a, n_in, *rank, &l->zero_a);
    if (l->status == PIPPIN_OK) s->b = transposed(l, b, *rank, n_out, &l->zero_b);
    l->n_used += 2;
}

/* A number in the metadata of a safetensors file; 0 when absent. */
static float metadata_number(const pp_tensors *t, const char *key)
{
    const char *text = pp_tensors_metadata(t, key);
    float value;
    return text && sscanf(text, "%f", &value) == 1 && isfinite(value) && value > 0 ? value : 0;
}

/* F16 or BF16 where all tensors are, else F32. */
static pippin_type common_type(const pp_tensors *t)
{
    pippin_type type = PIPPIN_TYPE_AUTO;
    for (size_t i = 0; i < t->n; i++) {
        if (!is_adapter_tensor(t->items[i].name)) continue;
        if (type != PIPPIN_TYPE_AUTO && type != t->items[i].type) return PIPPIN_F32;
        type = t->items[i].type;
    }
    return pp_adapter_holds(type) ? type : PIPPIN_F32;
}

static pippin_status allocate(loader *l)
{
    size_t n_value = 0;
    for (size_t i = 0; i < l->t->n; i++)
        if (is_adapter_tensor(l->t->items[i].name)) n_value += l->t->items[i].n_elem;
    const size_t n_site = (size_t)l->config->n_layer * PP_N_SITE;
    l->adapter = pp_alloc_zero(1, sizeof *l->adapter);
    if (!l->adapter) return pp_fail_memory(l->err, l->t->source, sizeof *l->adapter);
    l->adapter->sites = pp_alloc_zero(n_site, sizeof *l->adapter->sites);
    l->adapter->values = pp_alloc_zero(n_value, pp_type_bytes(l->type, 1));
    l->adapter->n_values = n_value;
    l->adapter->lora.type = l->type;
    if (!l->adapter->sites || !l->adapter->values)
        return pp_fail_memory(l->err, l->t->source, pp_type_bytes(l->type, n_value));
    return PIPPIN_OK;
}

static void check_all_used(loader *l)
{
    size_t n = 0;
    const char *example = "";
    for (size_t i = 0; i < l->t->n; i++)
        if (is_adapter_tensor(l->t->items[i].name)) {
            example = l->t->items[i].name;
            n++;
        }
    if (l->status == PIPPIN_OK && n != l->n_used)
        l->status = pp_fail(
            l->err, PIPPIN_E_FORMAT,
            "%s: %zu adapter tensors found, expected names of this model for all, %zu have them (one of the file: %s); "
            "was this adapter made for another model?",
            l->t->source, n, l->n_used, example);
}

pippin_status pp_adapter_from_tensors(const pp_tensors *t, const pippin_config *config, float alpha, float scale,
                                      bool drop_zero, bool wide, pippin_adapter **out, pippin_error *err)
{
    loader l = {.t = t, .config = config, .zero_a = true, .zero_b = true, .err = err};
    l.type = wide ? PIPPIN_F32 : common_type(t);
    *out = NULL;
    for (size_t i = 0; i < t->n && !l.toolkit; i++) l.toolkit = strstr(t->items[i].name, ".adapters.") != NULL;
    l.status = allocate(&l);
    for (int32_t layer = 0; layer < config->n_layer && l.status == PIPPIN_OK; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) load_site(&l, layer, site);
    check_all_used(&l);
    if (l.status == PIPPIN_OK && l.n_used == 0)
        l.status = pp_fail(err, PIPPIN_E_FORMAT,
                           "%s: no adapter tensor found, expected names such as "
                           "layers.segment_0.layer_0.attention.output_transform.adapters.base_adapter.a_transpose; is "
                           "this an adapter?",
                           t->source);
    if (l.status != PIPPIN_OK || (drop_zero && (l.zero_a || l.zero_b))) {
        pp_adapter_destroy(l.adapter);
        return l.status;
    }
    pippin_adapter *a = l.adapter;
    const int32_t rank = a->lora.rank;
    a->lora.sites = a->sites;
    a->alpha = metadata_number(t, "alpha");
    if (!(a->alpha > 0)) a->alpha = alpha > 0 ? alpha : scale * (float)rank;
    if (!(a->alpha > 0)) {
        a->alpha = (float)rank / 2;
        pp_log("%s: no alpha found, the toolkit's rank/2 = %g is used", t->source, (double)a->alpha);
    }
    a->lora.scale = a->alpha / (float)rank;
    *out = a;
    return PIPPIN_OK;
}

void pp_adapter_destroy(pippin_adapter *a)
{
    if (!a) return;
    pp_free(a->sites);
    pp_free(a->values);
    pp_free(a);
}

pippin_adapter *pp_adapter_widened(const pippin_adapter *from, const pippin_config *config)
{
    const size_t n_site = (size_t)config->n_layer * PP_N_SITE, element = pp_type_bytes(from->lora.type, 1);
    pippin_adapter *a = pp_alloc_zero(1, sizeof *a);
    if (!a) return NULL;
    *a = (pippin_adapter){.lora = from->lora, .alpha = from->alpha, .n_values = from->n_values};
    a->lora.type = PIPPIN_F32;
    a->lora.sites = a->sites = pp_alloc_zero(n_site, sizeof *a->sites);
    float *values = a->values = pp_alloc(a->n_values * sizeof *values);
    if (!a->sites || !values) {
        pp_adapter_destroy(a);
        return NULL;
    }
    pp_decode_row(from->lora.type, from->values, values, a->n_values);
    for (size_t i = 0; i < n_site; i++) {
        const pp_lora_site *site = &from->sites[i];
        if (!site->a) continue;
        a->sites[i].a = values + (size_t)((const uint8_t *)site->a - (const uint8_t *)from->values) / element;
        a->sites[i].b = values + (size_t)((const uint8_t *)site->b - (const uint8_t *)from->values) / element;
    }
    return a;
}

/* adapter_config.json beside the file: PEFT's lora_alpha, or mlx-lm's scale, which is alpha / rank. 0: it does not say. */
static pippin_status read_beside(const char *path, float *alpha, float *scale, pippin_error *err)
{
    char *dir = pp_path_dir(path), *name = dir ? pp_path_join(dir, "adapter_config.json") : NULL;
    pippin_status status = name ? PIPPIN_OK : pp_fail_memory(err, path, strlen(path));
    pp_map map = {0};
    *alpha = *scale = 0;
    if (name && pp_path_exists(name)) {
        json_error_t at;
        status = pp_map_open(name, &map, err);
        json_t *root = status == PIPPIN_OK ? json_loadb((const char *)map.data, map.size, 0, &at) : NULL;
        json_t *inner = json_object_get(root, "lora_parameters") ? json_object_get(root, "lora_parameters") : root;
        *alpha = (float)json_number_value(json_object_get(root, "lora_alpha"));
        *scale = (float)json_number_value(json_object_get(inner, "scale"));
        if (status == PIPPIN_OK && !root)
            status = pp_fail(err, PIPPIN_E_FORMAT, "%s: line %d: %s; expected a JSON object, or no such file", name,
                             at.line, at.text);
        json_decref(root);
        pp_map_close(&map);
    }
    pp_free(dir);
    pp_free(name);
    return status;
}

pippin_status pp_adapter_load(const char *path, const pippin_config *config, bool wide, pippin_adapter **out,
                              pippin_error *err)
{
    pp_tensors t;
    float alpha = 0, scale = 0;
    *out = NULL;
    const bool torch = pp_path_ends(path, ".pt") || pp_path_ends(path, ".pth");
    pippin_status status = torch ? pp_torch_open(path, &t, err) : pp_safetensors_open(path, &t, err);
    if (status != PIPPIN_OK) return status;
    if (!(metadata_number(&t, "alpha") > 0)) status = read_beside(path, &alpha, &scale, err);
    if (status == PIPPIN_OK) status = pp_adapter_from_tensors(&t, config, alpha, scale, false, wide, out, err);
    pp_tensors_free(&t);
    return status;
}
