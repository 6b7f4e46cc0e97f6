/* adapter.c - adapters as users of the public API open them: by themselves, for a model that they keep alive. */
#include "infer/infer.h"

pippin_status pippin_adapter_open(const char *path, pippin_model *model, pippin_adapter **out, pippin_error *err)
{
    pippin_status status = pp_adapter_load(path, &model->weights.config, false, out, err);
    if (status == PIPPIN_OK) (*out)->model = pippin_model_retain(model);
    return status;
}

pippin_status pippin_adapter_save(const pippin_adapter *adapter, const pippin_model *model, pippin_type type,
                                  const char *path, pippin_error *err)
{
    return pp_adapter_save(adapter, &model->weights.config, type, path, err);
}

void pippin_adapter_free(pippin_adapter *adapter)
{
    if (!adapter) return;
    pippin_model_free(adapter->model);
    pp_adapter_destroy(adapter);
}

int32_t pippin_adapter_rank(const pippin_adapter *adapter) { return adapter->lora.rank; }
float pippin_adapter_alpha(const pippin_adapter *adapter) { return adapter->alpha; }
