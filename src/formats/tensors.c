/* tensors.c - the object that every reader fills: named views, and the memory they point into. */
#include <stdlib.h>
#include <string.h>

#include "formats/formats.h"

pippin_status pp_tensors_init(pp_tensors *t, const char *source, pippin_error *err)
{
    *t = (pp_tensors){0};
    t->source = pp_strdup(source);
    return t->source ? PIPPIN_OK : pp_fail_memory(err, source, strlen(source));
}

void pp_tensors_free(pp_tensors *t)
{
    for (size_t i = 0; i < t->n_maps; i++) pp_map_close(&t->maps[i]);
    for (size_t i = 0; i < t->n_blocks; i++) pp_free(t->blocks[i]);
    pp_free(t->items);
    pp_free(t->metadata);
    pp_free(t->maps);
    pp_free(t->blocks);
    pp_free(t->index);
    pp_free(t->source);
    *t = (pp_tensors){0};
}

void pp_tensors_forget(const pp_tensors *t, const void *from, size_t size)
{
    for (size_t i = 0; i < t->n_maps; i++) {
        const uintptr_t start = (uintptr_t)t->maps[i].data, at = (uintptr_t)from;
        if (at >= start && at - start < t->maps[i].size) pp_map_forget(&t->maps[i], from, size);
    }
}

pippin_status pp_tensors_own_block(pp_tensors *t, void *block, pippin_error *err)
{
    if (!pp_make_room(&t->blocks, t->n_blocks, &t->blocks_capacity, sizeof *t->blocks)) {
        pp_free(block);
        return pp_fail_memory(err, t->source, sizeof block);
    }
    t->blocks[t->n_blocks++] = block;
    return PIPPIN_OK;
}

pippin_status pp_tensors_keep_map(pippin_status parsed, pp_tensors *t, pp_map map, pippin_error *err)
{
    if (parsed != PIPPIN_OK) {
        pp_map_close(&map);
        return parsed;
    }
    pippin_status status = pp_tensors_own_map(t, map, err);
    if (status != PIPPIN_OK) pp_tensors_free(t);
    return status;
}

pippin_status pp_tensors_own_map(pp_tensors *t, pp_map map, pippin_error *err)
{
    pp_map *grown = pp_grow(t->maps, t->n_maps, t->n_maps + 1, sizeof *grown);
    if (!grown) {
        pp_map_close(&map);
        return pp_fail_memory(err, t->source, sizeof map);
    }
    t->maps = grown;
    t->maps[t->n_maps++] = map;
    return PIPPIN_OK;
}

/* A copy that lives as long as the object; NULL and an error when there is no memory. */
static const char *own_text(pp_tensors *t, const char *text, size_t n, pippin_status *status, pippin_error *err)
{
    char *copy = pp_strndup(text, n);
    *status = copy ? pp_tensors_own_block(t, copy, err) : pp_fail_memory(err, t->source, n);
    return *status == PIPPIN_OK ? copy : NULL;
}

/* Names go into messages and into the JSON of the files that are written. (Unicode 15, table 3-7.) */
static bool is_utf8(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end) {
        const uint8_t c = *p++;
        if (c < 0x80) continue;
        const ptrdiff_t n = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 0;
        if (n == 0 || end - p < n) return false;
        /* Overlong forms, surrogates, and what lies past U+10FFFF show in the second byte. */
        const uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        const uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (*p < low || *p > high) return false;
        for (ptrdiff_t i = 1; i < n; i++)
            if (p[i] < 0x80 || p[i] > 0xbf) return false;
        p += n;
    }
    return true;
}

pippin_status pp_tensors_add(pp_tensors *t, const char *name, size_t name_size, const pp_tensor *tensor,
                             pippin_error *err)
{
    const int n = (int)PP_MIN(name_size, (size_t)200);
    if (name_size == 0 || memchr(name, 0, name_size) || !is_utf8(name, name_size))
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: the name of tensor %zu is empty or no text, expected UTF-8 without zero bytes; check that "
                       "the file is whole",
                       t->source, t->n + 1);
    size_t n_elem = 1, bytes;
    for (int32_t i = 0; i < tensor->n_dim; i++)
        if (tensor->n_dim > 4 || tensor->shape[i] < 0 || !pp_mul(n_elem, (size_t)tensor->shape[i], &n_elem))
            return pp_fail(err, PIPPIN_E_FORMAT,
                           "%s: tensor %.*s: the shape is impossible, expected up to 4 sizes whose product fits",
                           t->source, n, name);
    const size_t block = pp_type_block(tensor->type);
    const bool low =
        pp_low_bits(tensor->type) && tensor->n_dim == 2 && PP_MAX(tensor->shape[0], tensor->shape[1]) <= INT32_MAX;
    if (low && tensor->bytes == pp_matrix_bytes(tensor->type, (size_t)tensor->shape[0], (size_t)tensor->shape[1]))
        bytes = tensor->bytes;
    else if (block == 0 || n_elem % block || !pp_mul(n_elem / block, pp_type_bytes(tensor->type, block), &bytes) ||
             bytes != tensor->bytes)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: tensor %.*s: has %zu bytes, expected %zu elements of %s; check that the file is whole",
                       t->source, n, name, tensor->bytes, n_elem, pippin_type_name(tensor->type));
    if (!pp_make_room(&t->items, t->n, &t->capacity, sizeof *t->items))
        return pp_fail_memory(err, t->source, t->n * sizeof *t->items);
    pippin_status status;
    pp_tensor *item = &t->items[t->n];
    *item = *tensor;
    item->n_elem = n_elem;
    item->name = own_text(t, name, name_size, &status, err);
    if (status == PIPPIN_OK) t->n++;
    return status;
}

pippin_status pp_tensors_add_metadata(pp_tensors *t, const char *key, const char *value, pippin_error *err)
{
    if (!pp_make_room(&t->metadata, t->n_metadata, &t->metadata_capacity, sizeof *t->metadata))
        return pp_fail_memory(err, t->source, t->n_metadata * sizeof *t->metadata);
    pippin_status status;
    pp_entry entry = {0};
    entry.key = own_text(t, key, strlen(key), &status, err);
    if (status == PIPPIN_OK) entry.value = own_text(t, value, strlen(value), &status, err);
    if (status == PIPPIN_OK) t->metadata[t->n_metadata++] = entry;
    return status;
}

/* Kernels read elements through pointers of their type, so these must be aligned; a file need not have seen to it. */
static pippin_status align(pp_tensors *t, pp_tensor *item, pippin_error *err)
{
    /* Blocks are read byte by byte. */
    const size_t element = pp_type_block(item->type) == 1 ? pp_type_bytes(item->type, 1) : 1;
    if (item->bytes == 0 || (uintptr_t)item->data % element == 0) return PIPPIN_OK;
    void *copy = pp_alloc(item->bytes);
    if (!copy) return pp_fail_memory(err, t->source, item->bytes);
    memcpy(copy, item->data, item->bytes);
    item->data = copy;
    return pp_tensors_own_block(t, copy, err);
}

static int by_name(const void *a, const void *b)
{
    const pp_tensor *const *x = a, *const *y = b;
    const int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Sorted and not hashed: a file may choose its names so that they all meet in one place of a table. */
static pippin_status build_index(pp_tensors *t, pippin_error *err)
{
    const pp_tensor **order = pp_alloc_zero(t->n, sizeof *order);
    t->index = pp_alloc_zero(t->n, sizeof *t->index);
    pippin_status status = order && t->index ? PIPPIN_OK : pp_fail_memory(err, t->source, t->n * sizeof *order);
    if (status == PIPPIN_OK) {
        for (size_t i = 0; i < t->n; i++) order[i] = &t->items[i];
        qsort(order, t->n, sizeof *order, by_name);
    }
    for (size_t i = 0; i < t->n && status == PIPPIN_OK; i++) {
        t->index[i] = (uint32_t)(order[i] - t->items);
        if (i > 0 && strcmp(order[i]->name, order[i - 1]->name) == 0)
            status = pp_fail(
                err, PIPPIN_E_FORMAT,
                "%s: tensor %.200s: stands in the file twice, expected once; which of the two is meant cannot be known",
                t->source, order[i]->name);
    }
    pp_free(order);
    return status;
}

pippin_status pp_tensors_finish(pp_tensors *t, pippin_error *err)
{
    pippin_status status = build_index(t, err);
    for (size_t i = 0; i < t->n && status == PIPPIN_OK; i++) status = align(t, &t->items[i], err);
    return status;
}

const pp_tensor *pp_tensors_find(const pp_tensors *t, const char *name)
{
    size_t low = 0, high = t->index ? t->n : 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const pp_tensor *item = &t->items[t->index[middle]];
        const int order = strcmp(name, item->name);
        if (order == 0) return item;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *pp_tensors_metadata(const pp_tensors *t, const char *key)
{
    for (size_t i = 0; i < t->n_metadata; i++)
        if (strcmp(t->metadata[i].key, key) == 0) return t->metadata[i].value;
    return NULL;
}

char *pp_shape_text(const int64_t *shape, int32_t n_dim, char *text)
{
    size_t n = 0;
    text[n++] = '[';
    for (int32_t i = 0; i < n_dim && n < 90; i++)
        n += (size_t)snprintf(text + n, 96 - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    n = PP_MIN(n, (size_t)94);
    text[n++] = ']';
    text[n] = 0;
    return text;
}
