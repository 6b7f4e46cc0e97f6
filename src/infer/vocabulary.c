/* vocabulary.c - the tokenizer that belongs to a model: named by the user, inside its file, or beside it. */
#include <string.h>

#include "infer/infer.h"

/* Vocabularies are padded, so a model may have ids without a piece; a piece without an id would be an id that does not exist. */
static pippin_status check_size(const char *path, const pippin_model *m, pippin_error *err)
{
    const int32_t found = pippin_tokenizer_size(m->tokenizer), expected = m->weights.config.n_vocab;
    if (found <= expected) return PIPPIN_OK;
    return pp_fail(
        err, PIPPIN_E_ARGUMENT,
        "%s: has %d pieces, expected at most the %d of the model's vocabulary; use the model's own tokenizer", path,
        (int)found, (int)expected);
}

pippin_status pp_model_open_tokenizer(const char *path, pippin_model *m, pippin_error *err)
{
    pippin_status status = pippin_tokenizer_open(path, &m->tokenizer, err);
    return status == PIPPIN_OK ? check_size(path, m, err) : status;
}

/* One that was not asked for by name does not keep a model from opening because its kind is not known: ids work without. */
static pippin_status forgive(pippin_status status, const pippin_error *why, pippin_error *err)
{
    if (status != PIPPIN_E_UNSUPPORTED) return status == PIPPIN_OK ? PIPPIN_OK : pp_fail(err, status, "%s", why->text);
    pp_log("no tokenizer: %s", why->text);
    return PIPPIN_OK;
}

pippin_status pp_model_gguf_tokenizer(const pp_gguf *g, const char *path, pippin_model *m, pippin_error *err)
{
    pippin_error why = {0};
    pippin_status status = pp_tokenizer_from_gguf(g, path, &m->tokenizer, &why);
    if (status == PIPPIN_OK && m->tokenizer) status = check_size(path, m, &why);
    return forgive(status, &why, err);
}

static pippin_status try_beside(const char *dir, const char *name, pippin_model *m, pippin_error *err)
{
    pippin_error why = {0};
    char *path = pp_path_join(dir, name);
    if (!path) return pp_fail_memory(err, dir, strlen(dir));
    pippin_status status = pp_path_exists(path) ? pp_model_open_tokenizer(path, m, &why) : PIPPIN_OK;
    pp_free(path);
    return forgive(status, &why, err);
}

pippin_status pp_model_tokenizer_beside(const char *path, pippin_model *m, pippin_error *err)
{
    const bool is_dir = pp_path_is_dir(path), toolkit = pp_path_ends(path, ".pt") || pp_path_ends(path, ".pth");
    if (!is_dir && !toolkit && !pp_path_ends(path, ".safetensors") && !pp_path_ends(path, ".safetensors.index.json"))
        return PIPPIN_OK;
    char *dir = is_dir ? pp_strdup(path) : pp_path_dir(path);
    if (!dir) return pp_fail_memory(err, path, strlen(path));
    pippin_status status = toolkit ? PIPPIN_OK : try_beside(dir, "tokenizer.json", m, err);
    if (status == PIPPIN_OK && !m->tokenizer) status = try_beside(dir, "tokenizer.model", m, err);
    pp_free(dir);
    return status;
}
