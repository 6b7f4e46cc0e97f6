/* save.c - an adapter as a safetensors file that the toolkit's names describe. */
#include <string.h>

#include "adapter/names.h"

typedef struct saver {
    const pippin_adapter *adapter;
    const pippin_config *config;
    pp_tensors t;
    pippin_status status;
    pippin_error *err;
} saver;

/* Adds m [rows][columns], transposed. */
static void add(saver *s, int32_t layer, pp_site site, bool b, const void *m, int64_t rows, int64_t columns)
{
    char name[PP_ADAPTER_NAME];
    pp_tensor t = {
        .type = PIPPIN_F32, .n_dim = 2, .shape = {columns, rows}, .bytes = (size_t)(rows * columns) * sizeof(float)};
    float *copy = pp_alloc(t.bytes);
    if (!copy) {
        s->status = pp_fail_memory(s->err, "adapter", t.bytes);
        return;
    }
    const pippin_type type = s->adapter->lora.type;
    const size_t element = pp_type_bytes(type, 1);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            pp_decode_row(type, (const uint8_t *)m + (size_t)(r * columns + c) * element, &copy[c * rows + r], 1);
    t.data = copy;
    s->status = pp_tensors_own_block(&s->t, copy, s->err);
    pp_adapter_tensor_name(s->config, true, layer, site, b, name);
    if (s->status == PIPPIN_OK) s->status = pp_tensors_add(&s->t, name, strlen(name), &t, s->err);
}

pippin_status pp_adapter_save(const pippin_adapter *adapter, const pippin_config *config, const char *path,
                              pippin_error *err)
{
    saver s = {.adapter = adapter, .config = config, .err = err};
    const int32_t rank = adapter->lora.rank;
    s.status = pp_tensors_init(&s.t, path, err);
    for (int32_t layer = 0; layer < config->n_layer; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE && s.status == PIPPIN_OK; site++) {
            const pp_lora_site *l = &adapter->sites[(size_t)layer * PP_N_SITE + site];
            int32_t n_in, n_out;
            if (!l->a || !pp_site_shape(config, layer, site, &n_in, &n_out)) continue;
            add(&s, layer, site, false, l->a, rank, n_in);
            if (s.status == PIPPIN_OK) add(&s, layer, site, true, l->b, n_out, rank);
        }
    char rank_text[32], alpha_text[32];
    snprintf(rank_text, sizeof rank_text, "%d", (int)rank);
    snprintf(alpha_text, sizeof alpha_text, "%.9g", (double)adapter->alpha);
    const pp_entry metadata[] = {{"rank", rank_text}, {"alpha", alpha_text}};
    if (s.status == PIPPIN_OK) s.status = pp_safetensors_write(path, s.t.items, s.t.n, metadata, 2, err);
    pp_tensors_free(&s.t);
    return s.status;
}
