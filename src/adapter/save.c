/* save.c - an adapter as a safetensors file that the toolkit's names describe. */
#include <string.h>

#include "adapter/names.h"

typedef struct saver {
    const pippin_adapter *adapter;
    const pippin_config *config;
    pippin_type type;
    pp_tensors t;
    pippin_status status;
    pippin_error *err;
} saver;

/* m [rows][columns] transposed, in the type of the file, to be freed; NULL without memory. */
static void *transposed(const saver *s, const void *m, size_t rows, size_t columns)
{
    const pippin_type own = s->adapter->lora.type;
    const size_t element = pp_type_bytes(own, 1), to_element = pp_type_bytes(s->type, 1);
    uint8_t *out = pp_alloc(rows * columns * to_element);
    float value;
    for (size_t r = 0; out && r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            pp_decode_row(own, (const uint8_t *)m + (r * columns + c) * element, &value, 1);
            pp_encode_row(s->type, &value, out + (c * rows + r) * to_element, 1);
        }
    return out;
}

/* Adds m [rows][columns], transposed. */
static void add(saver *s, int32_t layer, pp_site site, bool b, const void *m, int64_t rows, int64_t columns)
{
    char name[PP_ADAPTER_NAME];
    pp_tensor t = {.type = s->type,
                   .n_dim = 2,
                   .shape = {columns, rows},
                   .bytes = (size_t)(rows * columns) * pp_type_bytes(s->type, 1)};
    void *copy = transposed(s, m, (size_t)rows, (size_t)columns);
    if (!copy) {
        s->status = pp_fail_memory(s->err, "adapter", t.bytes);
        return;
    }
    t.data = copy;
    s->status = pp_tensors_own_block(&s->t, copy, s->err);
    pp_adapter_tensor_name(s->config, true, layer, site, b, name);
    if (s->status == PIPPIN_OK) s->status = pp_tensors_add(&s->t, name, strlen(name), &t, s->err);
}

pippin_status pp_adapter_save(const pippin_adapter *adapter, const pippin_config *config, pippin_type type,
                              const char *path, pippin_error *err)
{
    saver s = {.adapter = adapter, .config = config, .type = type ? type : adapter->lora.type, .err = err};
    if (!pp_adapter_holds(s.type))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "adapter: type %s, expected f32, f16 or bf16", pippin_type_name(type));
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
