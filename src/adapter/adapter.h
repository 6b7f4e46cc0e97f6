/*
 * adapter - LoRA files to pp_lora: which tensor belongs to which site, rank and alpha, and the scale.
 */
#ifndef PP_ADAPTER_H
#define PP_ADAPTER_H

#include "base/base.h"
#include "model/model.h"

struct pippin_adapter {
    pp_lora lora;
    float alpha;
    pp_lora_site *sites; /* [n_layer][PP_N_SITE], owned */
    void *values;        /* [n_values] of lora.type: what the sites point into, owned */
    size_t n_values;
    pippin_model *model; /* kept alive by an adapter that was opened by itself; NULL inside a model */
};

/* What an adapter's values may be, in memory and in a file of pippin's. */
static inline bool pp_adapter_holds(pippin_type type)
{
    return type == PIPPIN_F32 || type == PIPPIN_F16 || type == PIPPIN_BF16;
}

/* Does this file hold adapter tensors at all? */
bool pp_adapter_present(const pp_tensors *t);
/*
 * Reads all adapter tensors of t for a model of this shape. alpha: from the metadata, else the argument, else the
 * argument `scale` times the rank, else rank / 2, which is said to the log (0: not given). *out is NULL without error
 * when all of its B (or A) are zero and `drop_zero` is set. wide: values become f32; else they stay F16 or BF16 where all are.
 */
pippin_status pp_adapter_from_tensors(const pp_tensors *t, const pippin_config *config, float alpha, float scale,
                                      bool drop_zero, bool wide, pippin_adapter **out, pippin_error *err);
/*
 * A new adapter on every linear layer: A normal with deviation 1 / sqrt(n_in), B zero, so that it has no effect yet. Same
 * seed, same bits. ARGUMENT for a rank outside 1 .. 256.
 */
pippin_status pp_adapter_new(const pippin_config *config, int32_t rank, float alpha, uint64_t seed,
                             pippin_adapter **out, pippin_error *err);
/* Frees the adapter itself; pippin_adapter_free also lets go of the model. NULL accepted. */
void pp_adapter_destroy(pippin_adapter *adapter);
/* Opens the file by its kind; rank and alpha also from an adapter_config.json beside it. */
pippin_status pp_adapter_load(const char *path, const pippin_config *config, bool wide, pippin_adapter **out,
                              pippin_error *err);
/* The same in f32, without the model; NULL without memory. pp_adapter_destroy. */
pippin_adapter *pp_adapter_widened(const pippin_adapter *adapter, const pippin_config *config) PP_MUST_USE;

/* Writes tensors of this type under the toolkit's names, AUTO: the adapter's own; rank and alpha in the metadata. ARGUMENT for
   another type than F32, F16 and BF16. */
pippin_status pp_adapter_save(const pippin_adapter *adapter, const pippin_config *config, pippin_type type,
                              const char *path, pippin_error *err);

#endif
