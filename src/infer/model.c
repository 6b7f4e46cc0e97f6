/* model.c - opening a model: what kind of file it is, its configuration, weights, tokenizer, and adapter inside. */
#include <jansson.h>
#include <string.h>

#include "infer/infer.h"

/* theta may stand in "STEM-config.json", else in "config.json", beside a toolkit checkpoint; everything else is in the shapes. */
static pippin_status read_theta(const char *path, pippin_config *c, pippin_error *err)
{
    char *dir = pp_path_dir(path), *own = pp_path_stem(path, "-config.json"),
         *common = dir ? pp_path_join(dir, "config.json") : NULL;
    pippin_status status = own && common ? PIPPIN_OK : pp_fail_memory(err, path, strlen(path));
    const char *found = status != PIPPIN_OK ? NULL : pp_path_exists(own) ? own : pp_path_exists(common) ? common : NULL;
    pp_map map = {0};
    if (found) status = pp_map_open(found, &map, err);
    if (found && status == PIPPIN_OK) {
        json_error_t at;
        json_t *root = json_loadb((const char *)map.data, map.size, 0, &at),
               *theta = json_object_get(root, "rope_theta");
        if (!theta) theta = json_object_get(json_object_get(root, "rope_parameters"), "rope_theta");
        if (!root)
            status = pp_fail(err, PIPPIN_E_FORMAT, "%s: line %d: %s; expected a JSON object, or no such file", found,
                             at.line, at.text);
        else if (json_is_number(theta))
            c->rope_theta = json_number_value(theta);
        json_decref(root);
    }
    pp_map_close(&map);
    pp_free(dir);
    pp_free(own);
    pp_free(common);
    return status;
}

static void name_after(pippin_config *c, const char *path)
{
    const char *base = pp_path_base(path);
    if (*base) snprintf(c->name, sizeof c->name, "%s", base);
}

static pippin_status open_toolkit(const char *path, pippin_model *m, pippin_error *err)
{
    pp_tensors tensors;
    pippin_config c;
    pippin_status status = pp_torch_open(path, &tensors, err);
    if (status != PIPPIN_OK) return status;
    status = pp_config_from_toolkit(&tensors, &c, err);
    if (status == PIPPIN_OK) status = read_theta(path, &c, err);
    name_after(&c, path);
    if (status == PIPPIN_OK && pp_adapter_present(&tensors))
        status = pp_adapter_from_tensors(&tensors, &c, 0, 0, true, true, &m->adapter, err);
    if (status == PIPPIN_OK && m->adapter) {
        c.lora_rank = m->adapter->lora.rank;
        c.lora_alpha = m->adapter->alpha;
    }
    if (status == PIPPIN_OK) status = pp_weights_bind(&c, PP_NAMING_TOOLKIT, &tensors, &m->weights, err);
    pp_tensors_free(&tensors);
    return status;
}

static pippin_status open_llama2c(const char *path, pippin_model *m, pippin_error *err)
{
    pp_tensors tensors;
    pp_llama2c_header header;
    pippin_config c;
    pippin_status status = pp_llama2c_open(path, &header, &tensors, err);
    if (status != PIPPIN_OK) return status;
    status = pp_config_from_llama2c(&header, path, &c, err);
    name_after(&c, path);
    if (status == PIPPIN_OK) status = pp_weights_bind(&c, PP_NAMING_HF, &tensors, &m->weights, err);
    pp_tensors_free(&tensors);
    return status;
}

static pippin_status open_gguf(const char *path, bool own_tokenizer, pippin_model *m, pippin_error *err)
{
    pp_gguf g;
    pippin_config c;
    pippin_status status = pp_gguf_open(path, &g, err);
    if (status != PIPPIN_OK) return status;
    status = pp_config_from_gguf(&g, &c, err);
    if (!*c.name) name_after(&c, path);
    if (status == PIPPIN_OK) status = pp_weights_bind(&c, PP_NAMING_GGUF, &g.tensors, &m->weights, err);
    if (status == PIPPIN_OK && own_tokenizer) status = pp_model_gguf_tokenizer(&g, path, m, err);
    pp_gguf_free(&g);
    return status;
}

static pippin_status open_safetensors(const char *config_path, const char *path, pippin_model *m, pippin_error *err)
{
    pippin_config c;
    pp_tensors tensors;
    pippin_status status = pippin_config_load(config_path, &c, err);
    if (status == PIPPIN_OK) status = pp_safetensors_open(path, &tensors, err);
    if (status != PIPPIN_OK) return status;
    status = pp_weights_bind(&c, c.arch == PIPPIN_ARCH_AFM ? PP_NAMING_MLX : PP_NAMING_HF, &tensors, &m->weights, err);
    pp_tensors_free(&tensors);
    return status;
}

/* config.json and model.safetensors (or the index of its shards) in `dir`; `file` names the weights where the user did. */
static pippin_status open_folder(const char *dir, const char *file, pippin_model *m, pippin_error *err)
{
    char *config = pp_path_join(dir, "config.json"),
         *single = file ? pp_strdup(file) : pp_path_join(dir, "model.safetensors");
    char *index = pp_path_join(dir, "model.safetensors.index.json");
    pippin_status status;
    if (!config || !single || !index)
        status = pp_fail_memory(err, dir, strlen(dir));
    else if (pp_path_exists(single) || file)
        status = open_safetensors(config, single, m, err);
    else if (pp_path_exists(index))
        status = open_safetensors(config, index, m, err);
    else
        status = pp_fail(
            err, PIPPIN_E_IO,
            "%s: holds neither model.safetensors nor model.safetensors.index.json; name the folder of a model", dir);
    pp_free(config);
    pp_free(single);
    pp_free(index);
    return status;
}

static pippin_status open_weights(const char *path, bool own_tokenizer, pippin_model *m, pippin_error *err)
{
    if (pp_path_is_dir(path)) return open_folder(path, NULL, m, err);
    if (!pp_path_exists(path)) return pp_fail(err, PIPPIN_E_IO, "%s: no such file or folder; check the path", path);
    if (pp_path_ends(path, ".pt") || pp_path_ends(path, ".pth")) return open_toolkit(path, m, err);
    if (pp_path_ends(path, ".bin")) return open_llama2c(path, m, err);
    if (pp_path_ends(path, ".gguf")) return open_gguf(path, own_tokenizer, m, err);
    if (pp_path_ends(path, ".safetensors") || pp_path_ends(path, ".safetensors.index.json")) {
        char *dir = pp_path_dir(path);
        pippin_status status = dir ? open_folder(dir, path, m, err) : pp_fail_memory(err, path, strlen(path));
        pp_free(dir);
        return status;
    }
    return pp_fail(
        err, PIPPIN_E_UNSUPPORTED,
        "%s: not a kind of model that this version opens, expected a folder with config.json and model.safetensors, a "
        ".safetensors, a .gguf, a toolkit .pt or a llama2.c .bin",
        path);
}

/* Once it is packed it is as immutable as the rest. */
struct pp_running {
    pp_lock *lock;
    bool is_packed;
    pp_packed packed;
};

static struct pp_running *new_running(void)
{
    struct pp_running *r = pp_alloc_zero(1, sizeof *r);
    if (r) r->lock = pp_lock_create();
    if (r && r->lock) return r;
    pp_free(r);
    return NULL;
}

static void free_running(struct pp_running *r)
{
    if (!r) return;
    pp_packed_free(&r->packed);
    pp_lock_free(r->lock);
    pp_free(r);
}

pippin_status pp_model_run(const pippin_model *model, pp_team *team, const pp_weights **out, pippin_error *err)
{
    struct pp_running *r = model->running;
    pp_lock_take(r->lock);
    const pippin_status status = r->is_packed ? PIPPIN_OK : pp_weights_pack(&model->weights, team, &r->packed, err);
    r->is_packed = status == PIPPIN_OK;
    pp_lock_give(r->lock);
    *out = status == PIPPIN_OK ? &r->packed.weights : NULL;
    return status;
}

static pippin_status new_model(const pippin_model_options *options, pippin_model **out, pippin_error *err)
{
    *out = NULL;
    pippin_model *m = pp_alloc_zero(1, sizeof *m);
    if (!m) return pp_fail_memory(err, "model", sizeof *m);
    atomic_init(&m->users, 1);
    m->running = new_running();
    pippin_status status = m->running ? pp_kernels_choose(&m->kernels, options ? options->cpu : NULL, err)
                                      : pp_fail_memory(err, "model", sizeof *m);
    if (status == PIPPIN_OK) {
        *out = m;
    } else {
        free_running(m->running);
        pp_free(m);
    }
    return status;
}

static pippin_status finish_model(pippin_status status, const pippin_model_options *options, pippin_model *m,
                                  pippin_model **out, pippin_error *err)
{
    if (status == PIPPIN_OK && options && options->tokenizer)
        status = pp_model_open_tokenizer(options->tokenizer, m, err);
    if (status == PIPPIN_OK && options && options->type) status = pp_weights_encode(&m->weights, options->type, err);
    if (status != PIPPIN_OK)
        pippin_model_free(m);
    else
        *out = m;
    return status;
}

pippin_status pippin_model_open(const char *path, const pippin_model_options *options, pippin_model **out,
                                pippin_error *err)
{
    pippin_model *m;
    *out = NULL;
    pippin_status status = new_model(options, &m, err);
    if (status != PIPPIN_OK) return status;
    const bool own_tokenizer = !options || !options->tokenizer;
    status = open_weights(path, own_tokenizer, m, err);
    if (status == PIPPIN_OK && own_tokenizer) status = pp_model_tokenizer_beside(path, m, err);
    return finish_model(status, options, m, out, err);
}

pippin_status pippin_model_random(const pippin_config *config, pippin_type type, uint64_t seed,
                                  const pippin_model_options *options, pippin_model **out, pippin_error *err)
{
    pippin_model *m;
    *out = NULL;
    pippin_status status = new_model(options, &m, err);
    if (status != PIPPIN_OK) return status;
    return finish_model(pp_weights_random(config, type, seed, &m->weights, err), options, m, out, err);
}

pippin_model *pippin_model_retain(pippin_model *model)
{
    atomic_fetch_add(&model->users, 1);
    return model;
}

void pippin_model_free(pippin_model *model)
{
    if (!model || atomic_fetch_sub(&model->users, 1) != 1) return;
    pippin_tokenizer_free(model->tokenizer);
    pippin_adapter_free(model->adapter);
    free_running(model->running);
    pp_weights_free(&model->weights);
    pp_free(model);
}

const pippin_config *pippin_model_config(const pippin_model *model) { return &model->weights.config; }
const pippin_tokenizer *pippin_model_tokenizer(const pippin_model *model) { return model->tokenizer; }
const pippin_adapter *pippin_model_adapter(const pippin_model *model) { return model->adapter; }
pippin_type pippin_model_type(const pippin_model *model) { return model->weights.layers[0].site[PP_Q].type; }
bool pippin_model_has_kv_scales(const pippin_model *model) { return model->weights.has_kv_scales; }
const char *pippin_model_cpu(const pippin_model *model) { return pp_isa_name(model->kernels.isa); }
size_t pippin_model_tensor_count(const pippin_model *model) { return model->weights.tensors.n; }

bool pippin_model_tensor(const pippin_model *model, size_t i, pippin_tensor_info *out)
{
    if (i >= model->weights.tensors.n) return false;
    const pp_tensor *t = &model->weights.tensors.items[i];
    *out = (pippin_tensor_info){.name = t->name, .type = t->type, .n_dim = t->n_dim, .bytes = t->bytes};
    memcpy(out->shape, t->shape, sizeof out->shape);
    return true;
}
