/* save.c - a model into files: a folder, or one GGUF, with the tokenizer; and what it runs on where a text calibrates it. */
#include <string.h>

#include "infer/infer.h"

enum { SEQUENCE = 512, MAX_TOKENS = 1 << 20 };

pippin_status pippin_model_save(const pippin_model *model, const char *dir, pippin_error *err)
{
    pippin_status status = pp_weights_save(&model->weights, dir, err);
    return status == PIPPIN_OK ? pp_model_save_tokenizer(model, dir, err) : status;
}

pippin_status pp_model_save_tokenizer(const pippin_model *model, const char *dir, pippin_error *err)
{
    bool saved = true;
    const pippin_status status = model->tokenizer ? pp_tokenizer_save(model->tokenizer, dir, &saved, err) : PIPPIN_OK;
    if (!saved) pp_log("%s: this tokenizer has no file for a folder; pass --tokenizer with the model", dir);
    return status;
}

/* ---- calibrating ---- */

typedef struct text {
    pp_calibration calibration;
    pp_kv kv;
    int32_t *tokens;
} text;

static void text_free(text *t)
{
    pp_scratch_free(t->calibration.scratch);
    pp_kv_free(&t->kv);
    pp_free(t->calibration.rows);
    pp_free(t->tokens);
}

static pippin_status check_tokens(const pippin_model *model, const pippin_save_options *o, pippin_error *err)
{
    if (!o->calibrate || o->n_calibrate == 0 || o->n_calibrate > MAX_TOKENS)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "calibration: %zu tokens, expected 1 to %d", o->n_calibrate, MAX_TOKENS);
    for (size_t i = 0; i < o->n_calibrate; i++)
        if (o->calibrate[i] < 0 || o->calibrate[i] >= model->weights.config.n_vocab)
            return pp_fail(err, PIPPIN_E_ARGUMENT,
                           "calibration: token %zu has id %d, expected 0 to %d of this model's vocabulary", i,
                           (int)o->calibrate[i], (int)model->weights.config.n_vocab - 1);
    return PIPPIN_OK;
}

static pippin_status text_create(const pippin_model *model, const pippin_save_options *o, const pp_team *team, text *t,
                                 pippin_error *err)
{
    const pp_weights *w = &model->weights;
    pp_calibration *c = &t->calibration;
    pippin_status status = check_tokens(model, o, err);
    if (status != PIPPIN_OK) return status;
    const int32_t trained = w->config.n_ctx_train > 0 ? w->config.n_ctx_train : SEQUENCE;
    const int32_t bos = model->tokenizer ? pippin_tokenizer_bos(model->tokenizer) : -1;
    c->n_tok = o->n_calibrate;
    c->n_row = PP_MIN((size_t)PP_MIN(trained, SEQUENCE), c->n_tok);
    c->kv = &t->kv;
    c->rows = pp_alloc_zero(c->n_row, sizeof *c->rows);
    c->tokens = t->tokens = pp_alloc_zero(c->n_tok, sizeof *t->tokens);
    if (!c->rows || !t->tokens) return pp_fail_memory(err, "calibration", c->n_tok * sizeof *t->tokens);
    for (size_t i = 0; i < c->n_tok; i++) t->tokens[i] = i % c->n_row == 0 && bos >= 0 ? bos : o->calibrate[i];
    status = pp_kv_create(w, pp_kv_auto(w), (int32_t)c->n_tok, &t->kv, err);
    if (status != PIPPIN_OK) return status;
    const pp_rope rope = pp_rope_own(&w->config);
    const pp_scratch_sizes sizes = {(int32_t)c->n_row, 1, (int32_t)c->n_tok, pp_team_size(team)};
    return pp_scratch_create(w, &rope, sizes, &c->scratch, err);
}

/* What is merged, in f32: copies in wide [PP_MAX_LORA] where the adapter has fewer bits. */
static pippin_status open_merge(const pippin_model *model, const pippin_save_options *o, pp_lora_use *merge,
                                pippin_adapter **wide, pippin_error *err)
{
    pippin_status status = pp_adapters_check(o->merge, o->n_merge, model, merge, err);
    for (size_t i = 0; i < o->n_merge && status == PIPPIN_OK; i++) {
        if (merge[i].lora->type == PIPPIN_F32) continue;
        wide[i] = pp_adapter_widened(o->merge[i].adapter, &model->weights.config);
        if (!wide[i]) return pp_fail_memory(err, "adapter", o->merge[i].adapter->n_values * sizeof(float));
        merge[i].lora = &wide[i]->lora;
    }
    return status;
}

pippin_status pippin_model_save_gguf(const pippin_model *model, const pippin_save_options *options, const char *path,
                                     pippin_error *err)
{
    const pippin_save_options o = options ? *options : (pippin_save_options){0};
    pp_lora_use merge[PP_MAX_LORA];
    pippin_adapter *wide[PP_MAX_LORA] = {0};
    pp_gguf_writer values = {0};
    text t = {0};
    pp_team *team = NULL;
    pippin_status status = open_merge(model, &o, merge, wide, err);
    if (status == PIPPIN_OK) {
        team = pp_team_create(o.n_threads > 0 ? o.n_threads : pp_cpu_count());
        if (!team) status = pp_fail(err, PIPPIN_E_MEMORY, "threads: could not be started; ask for fewer");
    }
    if (status == PIPPIN_OK && (o.calibrate || o.n_calibrate)) status = text_create(model, &o, team, &t, err);
    if (status == PIPPIN_OK && model->tokenizer)
        status = pp_tokenizer_put_gguf(model->tokenizer, &model->weights.config, &values, err);
    const pp_saving how = {.options = &o,
                           .merge = merge,
                           .n_merge = o.n_merge,
                           .calibration = o.n_calibrate ? &t.calibration : NULL,
                           .kernels = &model->kernels,
                           .team = team,
                           .values = &values};
    if (status == PIPPIN_OK) status = pp_weights_save_gguf(&model->weights, &how, path, err);
    pp_gguf_abort(&values);
    text_free(&t);
    pp_team_free(team);
    for (int i = 0; i < PP_MAX_LORA; i++) pp_adapter_destroy(wide[i]);
    return status;
}
