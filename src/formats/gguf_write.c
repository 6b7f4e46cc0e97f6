/*
 * gguf_write.c - writes GGUF version 3: first every value and every tensor is announced, then the tensors' bytes follow in
 * the same order, so that nothing larger than the header is ever held in memory.
 */
#include <string.h>

#include "formats/formats.h"

enum { ALIGNMENT = 32, G_U32 = 4, G_F32 = 6, G_BOOL = 7, G_TEXT = 8, G_ARRAY = 9 };

static void put(pp_gguf_writer *w, const void *bytes, size_t n)
{
    size_t wanted;
    if (w->failed || !pp_add(w->n_header, n, &wanted)) {
        w->failed = true;
        return;
    }
    if (wanted > w->capacity) {
        uint8_t *grown = pp_grow(w->header, w->n_header, 2 * wanted + 4096, 1);
        if (!grown) {
            w->failed = true;
            return;
        }
        w->header = grown;
        w->capacity = 2 * wanted + 4096;
    }
    if (n) memcpy(w->header + w->n_header, bytes, n);
    w->n_header = wanted;
}

static void put_number(pp_gguf_writer *w, uint64_t value, size_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    put(w, bytes, n);
}

static void put_text(pp_gguf_writer *w, const char *text, size_t n)
{
    put_number(w, n, 8);
    put(w, text, n);
}

static void put_key(pp_gguf_writer *w, const char *key, uint32_t type)
{
    put_text(w, key, strlen(key));
    put_number(w, type, 4);
    w->n_values++;
}

void pp_gguf_put_text_n(pp_gguf_writer *w, const char *key, const char *text, size_t n)
{
    put_key(w, key, G_TEXT);
    put_text(w, text, n);
}

void pp_gguf_put_text(pp_gguf_writer *w, const char *key, const char *text)
{
    pp_gguf_put_text_n(w, key, text, strlen(text));
}

void pp_gguf_put_u32(pp_gguf_writer *w, const char *key, uint32_t value)
{
    put_key(w, key, G_U32);
    put_number(w, value, 4);
}

void pp_gguf_item_f32(pp_gguf_writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(w, bits, 4);
}

void pp_gguf_put_f32(pp_gguf_writer *w, const char *key, float value)
{
    put_key(w, key, G_F32);
    pp_gguf_item_f32(w, value);
}

void pp_gguf_put_bool(pp_gguf_writer *w, const char *key, bool value)
{
    put_key(w, key, G_BOOL);
    put_number(w, value, 1);
}

void pp_gguf_put_array(pp_gguf_writer *w, const char *key, enum pp_gguf_item item, size_t n)
{
    put_key(w, key, G_ARRAY);
    put_number(w, item, 4);
    put_number(w, n, 8);
}

void pp_gguf_item_text(pp_gguf_writer *w, const char *text, size_t n) { put_text(w, text, n); }
void pp_gguf_item_bytes(pp_gguf_writer *w, const void *bytes, size_t n) { put(w, bytes, n); }
void pp_gguf_item_i32(pp_gguf_writer *w, int32_t value) { put_number(w, (uint32_t)value, 4); }

void pp_gguf_put_bytes(pp_gguf_writer *w, const char *key, const void *bytes, size_t n)
{
    pp_gguf_put_array(w, key, PP_GGUF_U8, n);
    put(w, bytes, n);
}

void pp_gguf_put_raw(pp_gguf_writer *w, const uint8_t *raw, size_t n)
{
    put(w, raw, n);
    w->n_values++;
}

/* The file's own number of an element type; UINT32_MAX for one that has none. */
static uint32_t type_number(pippin_type type)
{
    switch (type) {
    case PIPPIN_F32: return 0;
    case PIPPIN_F16: return 1;
    case PIPPIN_GGUF_Q4_0: return 2;
    case PIPPIN_GGUF_Q4_1: return 3;
    case PIPPIN_GGUF_Q5_0: return 6;
    case PIPPIN_GGUF_Q5_1: return 7;
    case PIPPIN_GGUF_Q8_0: return 8;
    case PIPPIN_GGUF_Q2_K: return 10;
    case PIPPIN_GGUF_Q3_K: return 11;
    case PIPPIN_GGUF_Q4_K: return 12;
    case PIPPIN_GGUF_Q5_K: return 13;
    case PIPPIN_GGUF_Q6_K: return 14;
    case PIPPIN_I8: return 24;
    case PIPPIN_I64: return 27;
    case PIPPIN_BF16: return 30;
    default: return UINT32_MAX;
    }
}

/* Tensor descriptions come after all values, so they gather in a header of their own. */
void pp_gguf_announce(pp_gguf_writer *w, pp_gguf_writer *tensors, const char *name, pippin_type type, int32_t n_dim,
                      const int64_t *shape)
{
    size_t n = 1;
    put_text(tensors, name, strlen(name));
    put_number(tensors, (uint32_t)n_dim, 4);
    for (int32_t i = n_dim; i-- > 0;) {
        put_number(tensors, (uint64_t)shape[i], 8);
        n *= (size_t)shape[i];
    }
    put_number(tensors, type_number(type), 4);
    put_number(tensors, w->data_size, 8);
    w->n_tensors++;
    w->data_size += (pp_type_bytes(type, n) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

pippin_status pp_gguf_start(pp_gguf_writer *w, const pp_gguf_writer *tensors, const char *path, pippin_error *err)
{
    if (w->failed || tensors->failed) return pp_fail_memory(err, path, w->n_header + tensors->n_header);
    pippin_status status = pp_writer_open(path, &w->writer, err);
    if (status != PIPPIN_OK) return status;
    pp_gguf_writer head = {0};
    put(&head, "GGUF", 4);
    put_number(&head, 3, 4);
    put_number(&head, w->n_tensors, 8);
    put_number(&head, w->n_values, 8);
    static const uint8_t zeros[ALIGNMENT];
    const size_t all = head.n_header + w->n_header + tensors->n_header;
    if (head.failed)
        status = pp_fail_memory(err, path, 4096);
    else
        status = pp_writer_write(&w->writer, head.header, head.n_header, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&w->writer, w->header, w->n_header, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&w->writer, tensors->header, tensors->n_header, err);
    if (status == PIPPIN_OK)
        status = pp_writer_write(&w->writer, zeros, (ALIGNMENT - all % ALIGNMENT) % ALIGNMENT, err);
    pp_free(head.header);
    return status;
}

pippin_status pp_gguf_data(pp_gguf_writer *w, const void *bytes, size_t n, pippin_error *err)
{
    w->written += n;
    return pp_writer_write(&w->writer, bytes, n, err);
}

pippin_status pp_gguf_pad(pp_gguf_writer *w, pippin_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    return pp_gguf_data(w, zeros, (size_t)((ALIGNMENT - w->written % ALIGNMENT) % ALIGNMENT), err);
}

pippin_status pp_gguf_commit(pp_gguf_writer *w, pippin_error *err)
{
    if (w->written == w->data_size) return pp_writer_commit(&w->writer, err);
    return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: %llu bytes of tensors came, expected %llu", w->writer.path,
                   (unsigned long long)w->written, (unsigned long long)w->data_size);
}

void pp_gguf_abort(pp_gguf_writer *w)
{
    pp_writer_abort(&w->writer);
    pp_free(w->header);
    *w = (pp_gguf_writer){0};
}
