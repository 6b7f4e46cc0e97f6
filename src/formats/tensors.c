/* tensors.c - the object that every reader fills: named views, and the memory they point into. */
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

/* Room for one more element of an array. */
static bool reserve(void **array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return true;
    const size_t bigger = *capacity ? 2 * *capacity : 16;
    void *grown = pp_grow(*array, n, bigger, size);
    if (!grown) return false;
    *array = grown;
    *capacity = bigger;
    return true;
}

pippin_status pp_tensors_own_block(pp_tensors *t, void *block, pippin_error *err)
{
    void *array = t->blocks;
    if (!reserve(&array, t->n_blocks, &t->blocks_capacity, sizeof *t->blocks)) {
        pp_free(block);
        return pp_fail_memory(err, t->source, sizeof block);
    }
    t->blocks = array;
    t->blocks[t->n_blocks++] = block;
    return PIPPIN_OK;
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

pippin_status pp_tensors_add(pp_tensors *t, const char *name, size_t name_size, const pp_tensor *tensor, pippin_error *err)
{
    const int n = (int)PP_MIN(name_size, (size_t)200);
    if (name_size == 0 || memchr(name, 0, name_size))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: a tensor's name is empty or holds a zero byte", t->source);
    size_t n_elem = 1, bytes;
    for (int32_t i = 0; i < tensor->n_dim; i++)
        if (tensor->n_dim > 4 || tensor->shape[i] < 0 || !pp_mul(n_elem, (size_t)tensor->shape[i], &n_elem))
            return pp_fail(err, PIPPIN_E_FORMAT, "%s: tensor %.*s: the shape is impossible, expected up to 4 sizes whose product fits", t->source, n, name);
    if (!pp_mul(n_elem, pp_type_bytes(tensor->type, 1), &bytes) || bytes != tensor->bytes)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: tensor %.*s: has %zu bytes, expected %zu elements of %s; check that the file is whole",
                       t->source, n, name, tensor->bytes, n_elem, pippin_type_name(tensor->type));
    void *array = t->items;
    if (!reserve(&array, t->n, &t->capacity, sizeof *t->items)) return pp_fail_memory(err, t->source, t->n * sizeof *t->items);
    t->items = array;
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
    void *array = t->metadata;
    if (!reserve(&array, t->n_metadata, &t->metadata_capacity, sizeof *t->metadata))
        return pp_fail_memory(err, t->source, t->n_metadata * sizeof *t->metadata);
    t->metadata = array;
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
    const size_t element = pp_type_bytes(item->type, 1);
    if (item->bytes == 0 || (uintptr_t)item->data % element == 0) return PIPPIN_OK;
    void *copy = pp_alloc(item->bytes);
    if (!copy) return pp_fail_memory(err, t->source, item->bytes);
    memcpy(copy, item->data, item->bytes);
    item->data = copy;
    return pp_tensors_own_block(t, copy, err);
}

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

/* Where `name` is in the index, or the free place where it would go. The index holds item number + 1; 0 is free. */
static size_t place_of(const pp_tensors *t, const char *name)
{
    size_t at = hash_of(name) & (t->index_size - 1);
    while (t->index[at] && strcmp(t->items[t->index[at] - 1].name, name) != 0) at = (at + 1) & (t->index_size - 1);
    return at;
}

pippin_status pp_tensors_finish(pp_tensors *t, pippin_error *err)
{
    size_t size = 16;
    while (size < 2 * t->n) size *= 2;
    t->index = pp_alloc_zero(size, sizeof *t->index);
    if (!t->index) return pp_fail_memory(err, t->source, size * sizeof *t->index);
    t->index_size = size;
    for (size_t i = 0; i < t->n; i++) {
        const size_t at = place_of(t, t->items[i].name);
        if (t->index[at])
            return pp_fail(err, PIPPIN_E_FORMAT, "%s: tensor %.200s: stands in the file twice, expected once; which of the two is meant cannot be known",
                           t->source, t->items[i].name);
        t->index[at] = (uint32_t)(i + 1);
        pippin_status status = align(t, &t->items[i], err);
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

const pp_tensor *pp_tensors_find(const pp_tensors *t, const char *name)
{
    if (!t->index) return NULL;
    const uint32_t found = t->index[place_of(t, name)];
    return found ? &t->items[found - 1] : NULL;
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
