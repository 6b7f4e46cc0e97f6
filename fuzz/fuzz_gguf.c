/* fuzz_gguf.c - any bytes given to the reader: an error, or tensors and values that can be read, and a configuration or
 * an error. */
#include "fuzz/text.h"
#include "model/model.h"

static void touch_values(const pp_gguf *g)
{
    static volatile unsigned sink;
    unsigned sum = 0;
    for (size_t i = 0; i < g->n_entries; i++) {
        const pp_gguf_entry *e = &g->entries[i];
        for (size_t j = 0; j < e->n_key; j++) sum += (unsigned)e->key[j];
        for (size_t j = 0; j < e->n_text; j++) sum += (unsigned)e->text[j];
        for (size_t j = 0; j < e->items_size; j++) sum += e->items[j];
    }
    sink = sum;
    (void)sink;
}

/* Every block type decodes whatever its bytes are. */
static void decode(const pp_tensor *t)
{
    float values[256];
    const size_t block = pp_type_block(t->type);
    if (block > 1)
        for (size_t i = 0; i < t->n_elem / block; i++)
            pp_decode_row(t->type, (const uint8_t *)t->data + i * pp_type_bytes(t->type, block), values, block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pp_gguf g;
    pippin_config c;
    pippin_error err;
    if (pp_gguf_parse(data, size, "input", &g, &err) != PIPPIN_OK) {
        fuzz_check_error(&err, "input");
        return 0;
    }
    fuzz_touch(&g.tensors);
    touch_values(&g);
    for (size_t i = 0; i < g.tensors.n; i++) decode(&g.tensors.items[i]);
    if (pp_config_from_gguf(&g, &c, &err) != PIPPIN_OK) fuzz_check_error(&err, "input");
    pippin_tokenizer *t;
    if (pp_tokenizer_from_gguf(&g, "input", &t, &err) != PIPPIN_OK)
        fuzz_check_error(&err, "input");
    else if (t)
        fuzz_use_tokenizer(t, data, size);
    pippin_tokenizer_free(t);
    pp_gguf_free(&g);
    return 0;
}
