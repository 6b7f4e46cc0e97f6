/*
 * safetensors.c - reads and writes safetensors: an 8-byte little-endian length, that many bytes of JSON, then the data.
 * As the specification demands, tensors cover the data without holes or overlaps.
 */
#include <jansson.h>
#include <string.h>

#include "formats/formats.h"

/*
 * The first is the specification's own limit. Jansson spends up to 128 bytes on a value, of which three bytes of JSON
 * are enough for one: values are counted before it starts, and may cost the text's size and SPARE.
 */
enum { MAX_HEADER = 100000000, VALUE_COST = 128, SPARE = 32 << 20 };

static const struct {
    const char *name;
    pippin_type type;
} dtypes[] = {{"F32", PIPPIN_F32}, {"F16", PIPPIN_F16}, {"BF16", PIPPIN_BF16}, {"I8", PIPPIN_I8}, {"I64", PIPPIN_I64}};

enum { N_DTYPE = sizeof dtypes / sizeof *dtypes };

/* JSON to an object; *out is NULL on failure. `what` and `expected` are for the message. */
static pippin_status read_json(const char *text, size_t size, const char *source, const char *what,
                               const char *expected, json_t **out, pippin_error *err)
{
    json_error_t at = {0};
    size_t n = 0;
    *out = NULL;
    for (size_t i = 0; i < size; i++) n += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
    if (n > (size + SPARE) / VALUE_COST)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: %s holds about %zu values in %zu bytes, expected %s, which has fewer", source, what, n,
                       size, expected);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &at);
    if (!root && json_error_code(&at) == json_error_out_of_memory) return pp_fail_memory(err, source, size);
    if (json_is_object(root)) {
        *out = root;
        return PIPPIN_OK;
    }
    json_decref(root);
    return pp_fail(err, PIPPIN_E_FORMAT, "%s: %s is not a JSON object (%s), expected %s; check that the file is whole",
                   source, what, root ? "another kind" : at.text, expected);
}

static pippin_status bad(const pp_tensors *t, const char *name, const char *what, pippin_error *err)
{
    return pp_fail(err, PIPPIN_E_FORMAT, "%s: tensor %.200s: %s; check that the file is whole", t->source, name, what);
}

static pippin_status read_dtype(const pp_tensors *t, const char *name, json_t *entry, pippin_type *type,
                                pippin_error *err)
{
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text) return bad(t, name, "has no dtype", err);
    for (int i = 0; i < N_DTYPE; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *type = dtypes[i].type;
            return PIPPIN_OK;
        }
    return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                   "%s: tensor %.200s: dtype is %.20s, expected F32, F16, BF16, I8 or I64; convert the file first",
                   t->source, name, text);
}

static pippin_status read_tensor(pp_tensors *t, const char *name, json_t *entry, const uint8_t *data, size_t size,
                                 pippin_error *err)
{
    pp_tensor tensor = {0};
    pippin_status status = read_dtype(t, name, entry, &tensor.type, err);
    if (status != PIPPIN_OK) return status;
    json_t *shape = json_object_get(entry, "shape"), *range = json_object_get(entry, "data_offsets");
    if (!json_is_array(shape) || json_array_size(shape) > 4)
        return bad(t, name, "has no shape of up to four sizes", err);
    tensor.n_dim = (int32_t)json_array_size(shape);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        if (!json_is_integer(json_array_get(shape, i)))
            return bad(t, name, "has a shape that is not whole numbers", err);
        tensor.shape[i] = json_integer_value(json_array_get(shape, i));
    }
    json_t *first = json_array_get(range, 0), *last = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return bad(t, name, "has no data_offsets of two whole numbers", err);
    const json_int_t from = json_integer_value(first), to = json_integer_value(last);
    if (from < 0 || to < from || (uint64_t)to > size) return bad(t, name, "lies outside the file", err);
    tensor.data = data + from;
    tensor.bytes = (size_t)(to - from);
    return pp_tensors_add(t, name, strlen(name), &tensor, err);
}

static int by_start(const void *a, const void *b)
{
    const pp_tensor *const *x = a, *const *y = b;
    const uintptr_t p = (uintptr_t)(*x)->data, q = (uintptr_t)(*y)->data;
    if (p != q) return p < q ? -1 : 1;
    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

static pippin_status check_cover(const pp_tensors *t, const uint8_t *data, size_t size, pippin_error *err)
{
    const pp_tensor **order = pp_alloc_zero(t->n + 1, sizeof *order);
    if (!order) return pp_fail_memory(err, t->source, t->n * sizeof *order);
    for (size_t i = 0; i < t->n; i++) order[i] = &t->items[i];
    qsort(order, t->n, sizeof *order, by_start);
    const uint8_t *at = data;
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < t->n && status == PIPPIN_OK; i++) {
        const uint8_t *start = order[i]->data;
        if (start != at)
            status = bad(t, order[i]->name, start < at ? "overlaps the one before it" : "leaves a hole before it", err);
        at = start + order[i]->bytes;
    }
    if (status == PIPPIN_OK && at != data + size)
        status = pp_fail(err, PIPPIN_E_FORMAT,
                         "%s: %zu bytes after the last tensor, expected none; check that the file is whole", t->source,
                         (size_t)(data + size - at));
    pp_free(order);
    return status;
}

static pippin_status read_header(pp_tensors *t, json_t *root, const uint8_t *data, size_t size, pippin_error *err)
{
    const char *name;
    json_t *entry;
    pippin_status status = PIPPIN_OK;
    json_object_foreach (root, name, entry) {
        if (status != PIPPIN_OK) break;
        if (strcmp(name, "__metadata__") != 0) {
            status = read_tensor(t, name, entry, data, size, err);
            continue;
        }
        const char *key;
        json_t *value;
        json_object_foreach (entry, key, value)
            if (status == PIPPIN_OK && json_is_string(value))
                status = pp_tensors_add_metadata(t, key, json_string_value(value), err);
    }
    if (status == PIPPIN_OK) status = check_cover(t, data, size, err);
    return status;
}

/* Adds what one file holds to t. */
static pippin_status parse_into(pp_tensors *t, const void *data, size_t size, const char *source, pippin_error *err)
{
    pp_bytes b = pp_bytes_of(data, size);
    const uint64_t header = pp_bytes_u64(&b);
    if (b.failed || header > MAX_HEADER || header > pp_bytes_left(&b))
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: the header's length is %llu in a file of %zu bytes, expected a safetensors file; check "
                       "that it is whole",
                       source, (unsigned long long)header, size);
    const char *json = (const char *)pp_bytes_take(&b, (size_t)header);
    if (header == 0 || *json != '{')
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: the header does not begin with '{', expected a safetensors file; check that it is whole",
                       source);
    json_t *root;
    pippin_status status = read_json(json, (size_t)header, source, "the header", "a safetensors file", &root, err);
    if (status == PIPPIN_OK) status = read_header(t, root, (const uint8_t *)data + b.at, size - b.at, err);
    json_decref(root);
    return status;
}

pippin_status pp_safetensors_parse(const void *data, size_t size, const char *source, pp_tensors *out,
                                   pippin_error *err)
{
    pippin_status status = pp_tensors_init(out, source, err);
    if (status == PIPPIN_OK) status = parse_into(out, data, size, source, err);
    if (status == PIPPIN_OK) status = pp_tensors_finish(out, err);
    if (status != PIPPIN_OK) pp_tensors_free(out);
    return status;
}

/* ---- files and shards ---- */

static pippin_status open_into(pp_tensors *t, const char *path, pippin_error *err)
{
    pp_map map;
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    const pp_map view = map;
    status = pp_tensors_own_map(t, map, err);
    if (status == PIPPIN_OK) {
        /* check_cover looks at one file's tensors, so each shard is read by itself and then joined. */
        pp_tensors shard;
        status = pp_tensors_init(&shard, path, err);
        if (status == PIPPIN_OK) status = parse_into(&shard, view.data, view.size, path, err);
        for (size_t i = 0; i < shard.n && status == PIPPIN_OK; i++)
            status = pp_tensors_add(t, shard.items[i].name, strlen(shard.items[i].name), &shard.items[i], err);
        for (size_t i = 0; i < shard.n_metadata && status == PIPPIN_OK; i++)
            status = pp_tensors_add_metadata(t, shard.metadata[i].key, shard.metadata[i].value, err);
        pp_tensors_free(&shard);
    }
    return status;
}

/* A shard is a file beside its index: a name that leads anywhere else is refused. */
static pippin_status shard_path(const char *index, const char *name, char **out, pippin_error *err)
{
    *out = NULL;
    if (!name || !*name || strchr(name, '/') || strcmp(name, "..") == 0 || !pp_path_ends(name, ".safetensors"))
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: weight_map names the shard \"%.200s\", expected a .safetensors file beside it", index,
                       name ? name : "");
    char *dir = pp_path_dir(index);
    *out = dir ? pp_path_join(dir, name) : NULL;
    pp_free(dir);
    return *out ? PIPPIN_OK : pp_fail_memory(err, index, strlen(index));
}

/* `seen` says for each shard which items are its own: [first, past the last]. Every name must be in the shard that is
 * said. */
static pippin_status check_map(const pp_tensors *t, json_t *map, json_t *seen, const char *index, pippin_error *err)
{
    const char *name;
    json_t *shard;
    json_object_foreach (map, name, shard) {
        const pp_tensor *found = pp_tensors_find(t, name);
        json_t *range = json_object_get(seen, json_string_value(shard));
        const json_int_t at = found ? (json_int_t)(found - t->items) : -1;
        if (at < json_integer_value(json_array_get(range, 0)) || at >= json_integer_value(json_array_get(range, 1)))
            return pp_fail(
                err, PIPPIN_E_FORMAT,
                "%s: tensor %.200s: is not in %.200s, expected it there; check that index and shards belong together",
                index, name, json_string_value(shard));
    }
    return PIPPIN_OK;
}

static pippin_status open_shards(pp_tensors *t, json_t *map, const char *index, pippin_error *err)
{
    const char *name;
    json_t *shard, *seen = json_object();
    pippin_status status = seen ? PIPPIN_OK : pp_fail_memory(err, index, 64);
    json_object_foreach (map, name, shard) {
        const char *file = json_string_value(shard);
        char *path = NULL;
        if (status == PIPPIN_OK) status = shard_path(index, file, &path, err);
        if (status == PIPPIN_OK && !json_object_get(seen, file)) {
            const json_int_t first = (json_int_t)t->n;
            status = open_into(t, path, err);
            json_t *range = json_pack("[I, I]", first, (json_int_t)t->n);
            if (status == PIPPIN_OK && json_object_set(seen, file, range) != 0) status = pp_fail_memory(err, index, 64);
            json_decref(range);
        }
        pp_free(path);
        if (status != PIPPIN_OK) break;
    }
    if (status == PIPPIN_OK) status = pp_tensors_finish(t, err);
    if (status == PIPPIN_OK) status = check_map(t, map, seen, index, err);
    json_decref(seen);
    return status;
}

static pippin_status open_index(const char *path, pp_tensors *t, pippin_error *err)
{
    pp_map map;
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    json_t *root;
    status =
        read_json((const char *)map.data, map.size, path, "the index", "the index of a model's shards", &root, err);
    json_t *weight_map = json_object_get(root, "weight_map");
    if (status == PIPPIN_OK && !json_is_object(weight_map))
        status = pp_fail(err, PIPPIN_E_FORMAT,
                         "%s: field weight_map is missing or no object, expected the index of a model's shards", path);
    if (status == PIPPIN_OK) status = open_shards(t, weight_map, path, err);
    json_decref(root);
    pp_map_close(&map);
    return status;
}

pippin_status pp_safetensors_open(const char *path, pp_tensors *out, pippin_error *err)
{
    pippin_status status = pp_tensors_init(out, path, err);
    if (status == PIPPIN_OK && pp_path_ends(path, ".index.json")) {
        status = open_index(path, out, err);
    } else if (status == PIPPIN_OK) {
        status = open_into(out, path, err);
        if (status == PIPPIN_OK) status = pp_tensors_finish(out, err);
    }
    if (status != PIPPIN_OK) pp_tensors_free(out);
    return status;
}

/* ---- writing ---- */

static const char *dtype_name(pippin_type type)
{
    for (int i = 0; i < N_DTYPE; i++)
        if (dtypes[i].type == type) return dtypes[i].name;
    return NULL;
}

static json_t *describe(const pp_tensor *t, uint64_t offset)
{
    json_t *shape = json_array();
    bool ok = shape != NULL;
    for (int32_t i = 0; ok && i < t->n_dim; i++) ok = json_array_append_new(shape, json_integer(t->shape[i])) == 0;
    if (!ok) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(t->type), "shape", shape, "data_offsets",
                     (json_int_t)offset, (json_int_t)(offset + t->bytes));
}

static json_t *header_of(const pp_tensor *tensors, size_t n, const pp_entry *metadata, size_t n_metadata)
{
    json_t *root = json_object(), *pairs = n_metadata ? json_object() : NULL;
    bool ok = root && (!n_metadata || pairs);
    for (size_t i = 0; ok && i < n_metadata; i++)
        ok = json_object_set_new(pairs, metadata[i].key, json_string(metadata[i].value)) == 0;
    if (ok && pairs) ok = json_object_set(root, "__metadata__", pairs) == 0;
    json_decref(pairs);
    uint64_t offset = 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = json_object_set_new(root, tensors[i].name, describe(&tensors[i], offset)) == 0;
        offset += tensors[i].bytes;
    }
    if (ok) return root;
    json_decref(root);
    return NULL;
}

typedef struct text {
    char *bytes;
    size_t n, capacity;
} text;

static int append(const char *bytes, size_t size, void *user)
{
    text *t = user;
    if (t->n + size > t->capacity) {
        const size_t bigger = 2 * (t->n + size) + 1024;
        char *grown = pp_grow(t->bytes, t->n, bigger, 1);
        if (!grown) return -1;
        t->bytes = grown;
        t->capacity = bigger;
    }
    memcpy(t->bytes + t->n, bytes, size);
    t->n += size;
    return 0;
}

pippin_status pp_safetensors_write(const char *path, const pp_tensor *tensors, size_t n, const pp_entry *metadata,
                                   size_t n_metadata, pippin_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!dtype_name(tensors[i].type))
            return pp_fail(err, PIPPIN_E_UNSUPPORTED, "%s: tensor %.200s: type %s has no place in a safetensors file",
                           path, tensors[i].name, pippin_type_name(tensors[i].type));
    json_t *root = header_of(tensors, n, metadata, n_metadata);
    text t = {0};
    pippin_status status = PIPPIN_OK;
    if (root && json_object_size(root) != n + (n_metadata > 0))
        status = pp_fail(err, PIPPIN_E_ARGUMENT, "%s: two of the %zu tensors have the same name, expected each once",
                         path, n);
    else if (!root || json_dump_callback(root, append, &t, JSON_COMPACT) != 0)
        status = pp_fail_memory(err, path, n * 100);
    json_decref(root);
    /* Spaces at the end of the header align the data to 8 bytes, as the specification proposes. */
    while (status == PIPPIN_OK && t.n % 8)
        if (append(" ", 1, &t) != 0) status = pp_fail_memory(err, path, n * 100);
    pp_writer w = {0};
    if (status == PIPPIN_OK) status = pp_writer_open(path, &w, err);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)t.n >> (8 * i));
    if (status == PIPPIN_OK) status = pp_writer_write(&w, length, sizeof length, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&w, t.bytes, t.n, err);
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++)
        status = pp_writer_write(&w, tensors[i].data, tensors[i].bytes, err);
    if (status == PIPPIN_OK) status = pp_writer_commit(&w, err);
    pp_writer_abort(&w);
    pp_free(t.bytes);
    return status;
}
