/* torch_pt.c - files of torch.save: the pickle's dictionary to tensors that point into the mapped archive. */
#include <string.h>

#include "formats/torch.h"

/*
 * Dictionaries in dictionaries: a checkpoint has one or two levels. Dictionaries that hold each other are cut off here.
 * One that stands in another many times multiplies the names, so these are counted in bytes: a tensor costs at most
 * TENSOR_COST and its name, and together they may cost the file's size and SPARE.
 */
enum { MAX_DEPTH = 8, MAX_NAME = 512, MAX_VISITS = 1 << 20, TENSOR_COST = 400, SPARE = 24 << 20 };

typedef struct reader {
    pp_tensors *out;
    pp_zip *zip;
    pp_pickle pickle;
    size_t file_size, copied, names; /* bytes: of the file, of copies, of tensors and their names */
    uint32_t n_visit, n_skipped;
    pippin_error *err;
} reader;

static pippin_status bad(const reader *r, const char *name, const char *what)
{
    return pp_fail(r->err, PIPPIN_E_FORMAT, "%s: tensor %.200s: %s; check that the file is whole", r->out->source, name,
                   what);
}

/* Up to four whole numbers of a tuple; false if it is anything else. */
static bool numbers(const pp_pickle *p, uint32_t tuple, int64_t v[4], int32_t *n)
{
    const pp_value *t = &p->values[tuple];
    if (t->kind != PP_VALUE_TUPLE || t->u.items.n > 4) return false;
    *n = (int32_t)t->u.items.n;
    for (int32_t i = 0; i < *n; i++) {
        const pp_value *e = &p->values[pp_pickle_item(p, tuple, (uint32_t)i)];
        if (e->kind != PP_VALUE_INT || e->u.integer < 0) return false;
        v[i] = e->u.integer;
    }
    return true;
}

/* As a whole and once: tensors that share a storage go on sharing it, and the copies cannot outgrow the file. */
static pippin_status copy_storage(reader *r, const char *member, const char *name, const uint8_t **bytes, size_t size)
{
    if (size > r->file_size - r->copied) return bad(r, name, "its storage lies where another one does");
    r->copied += size;
    uint8_t *copy = pp_alloc(size);
    if (!copy) return pp_fail_memory(r->err, r->out->source, size);
    memcpy(copy, *bytes, size);
    *bytes = copy;
    pp_zip_move(r->zip, member, copy);
    return pp_tensors_own_block(r->out, copy, r->err);
}

static pippin_status storage_bytes(reader *r, const pp_value *storage, const char *name, const uint8_t **bytes,
                                   size_t *size)
{
    const pp_value *key = &r->pickle.values[storage->u.storage.key];
    char member[MAX_NAME];
    const int n = snprintf(member, sizeof member, "%s/data/%.*s", pp_zip_folder(r->zip),
                           (int)PP_MIN(key->u.text.size, 64u), (const char *)r->pickle.data + key->u.text.start);
    if (n < 0 || n >= MAX_NAME) return bad(r, name, "the name of its storage is too long");
    const pippin_status status = pp_zip_member(r->zip, member, bytes, size, r->err);
    if (status != PIPPIN_OK || *size == 0 || (uintptr_t)*bytes % pp_type_bytes(storage->u.storage.type, 1) == 0)
        return status;
    return copy_storage(r, member, name, bytes, *size);
}

/* Does the tensor, which has elements, lie row by row? Sizes of 1 may have any stride. */
static bool is_contiguous(const pp_tensor *t, const int64_t stride[4])
{
    int64_t expected = 1;
    for (int32_t i = t->n_dim; i-- > 0;) {
        if (t->shape[i] != 1 && stride[i] != expected) return false;
        expected *= t->shape[i];
    }
    return true;
}

/* The largest element index that the strides reach, plus one; false when that overflows. */
static bool extent(const pp_tensor *t, const int64_t stride[4], size_t *n)
{
    *n = 1;
    for (int32_t i = 0; i < t->n_dim; i++) {
        size_t step;
        if (t->shape[i] == 0) {
            *n = 0;
            return true;
        }
        if (!pp_mul((size_t)(t->shape[i] - 1), (size_t)stride[i], &step) || !pp_add(*n, step, n)) return false;
    }
    return true;
}

/* Copies a tensor with other strides (a transposed one) row by row. The copies together may not exceed the file. */
static pippin_status copy_strided(reader *r, pp_tensor *t, const int64_t stride[4], const char *name)
{
    const size_t element = pp_type_bytes(t->type, 1);
    if (t->bytes > r->file_size - r->copied) return bad(r, name, "its strides make it larger than the file");
    r->copied += t->bytes;
    uint8_t *copy = pp_alloc(t->bytes);
    if (!copy) return pp_fail_memory(r->err, r->out->source, t->bytes);
    int64_t at[4] = {0};
    for (size_t i = 0; i < t->n_elem; i++) {
        size_t from = 0;
        for (int32_t d = 0; d < t->n_dim; d++) from += (size_t)(at[d] * stride[d]);
        memcpy(copy + i * element, (const uint8_t *)t->data + from * element, element);
        for (int32_t d = t->n_dim; d-- > 0;) {
            if (++at[d] < t->shape[d]) break;
            at[d] = 0;
        }
    }
    t->data = copy;
    return pp_tensors_own_block(r->out, copy, r->err);
}

static pippin_status add_tensor(reader *r, const pp_value *v, const char *name)
{
    const pp_pickle *p = &r->pickle;
    const pp_value *storage = &p->values[v->u.tensor.storage],
                   *offset = &p->values[pp_pickle_item(p, v->u.tensor.args, 1)];
    pp_tensor t = {.type = storage->u.storage.type, .n_elem = 1};
    int64_t stride[4];
    int32_t n_stride;
    if (t.type == PIPPIN_TYPE_AUTO) { /* no part of a model has such elements; counters may */
        r->n_skipped++;
        return PIPPIN_OK;
    }
    if (offset->kind != PP_VALUE_INT || offset->u.integer < 0 ||
        !numbers(p, pp_pickle_item(p, v->u.tensor.args, 2), t.shape, &t.n_dim) ||
        !numbers(p, pp_pickle_item(p, v->u.tensor.args, 3), stride, &n_stride) || n_stride != t.n_dim)
        return bad(r, name, "has no offset, shape and strides of up to four sizes");
    const uint8_t *bytes;
    size_t size, reach, end;
    pippin_status status = storage_bytes(r, storage, name, &bytes, &size);
    if (status != PIPPIN_OK) return status;
    r->names += TENSOR_COST + strlen(name);
    if (r->names > SPARE && r->names - SPARE > r->file_size)
        return bad(r, name, "is one of more tensors than a file of this size can need");
    const size_t element = pp_type_bytes(t.type, 1);
    for (int32_t i = 0; i < t.n_dim; i++)
        if (!pp_mul(t.n_elem, (size_t)t.shape[i], &t.n_elem)) return bad(r, name, "has an impossible shape");
    if (!extent(&t, stride, &reach) || !pp_add(reach, (size_t)offset->u.integer, &end) || end > size / element ||
        !pp_mul(t.n_elem, element, &t.bytes))
        return bad(r, name, "reaches past the end of its storage");
    t.data = bytes ? bytes + (size_t)offset->u.integer * element : NULL;
    if (t.n_elem > 1 && !is_contiguous(&t, stride)) status = copy_strided(r, &t, stride, name);
    return status == PIPPIN_OK ? pp_tensors_add(r->out, name, strlen(name), &t, r->err) : status;
}

static pippin_status walk(reader *r, uint32_t dict, char *name, size_t n_name, int depth)
{
    const pp_pickle *p = &r->pickle;
    const pp_value *v = &p->values[dict];
    pippin_status status = PIPPIN_OK;
    uint32_t link = v->u.items.first;
    for (uint32_t i = 0; i + 1 < v->u.items.n && status == PIPPIN_OK; i += 2) {
        const pp_value *key = &p->values[p->links[link].value];
        const uint32_t next = p->links[link].next, child = p->links[next].value;
        link = p->links[next].next;
        const pp_value_kind kind = p->values[child].kind;
        if (key->kind != PP_VALUE_TEXT || (kind != PP_VALUE_TENSOR && kind != PP_VALUE_DICT)) continue;
        if (++r->n_visit > MAX_VISITS || depth == MAX_DEPTH || n_name + key->u.text.size + 2 > MAX_NAME)
            return pp_fail(
                r->err, PIPPIN_E_FORMAT,
                "%s: dictionaries lie too deep in each other, or names are too long; expected a dictionary of tensors",
                r->out->source);
        memcpy(name + n_name, p->data + key->u.text.start, key->u.text.size);
        size_t end = n_name + key->u.text.size;
        name[end] = 0;
        if (kind == PP_VALUE_TENSOR) {
            status = add_tensor(r, &p->values[child], name);
        } else {
            /* {"state_dict": {...}} is a habit of trainers, not part of the names. */
            if (depth == 0 && strcmp(name, "state_dict") == 0)
                end = 0;
            else
                name[end++] = '.';
            status = walk(r, child, name, end, depth + 1);
        }
    }
    return status;
}

static pippin_status read_archive(reader *r)
{
    char name[MAX_NAME];
    const uint8_t *bytes;
    size_t size;
    snprintf(name, sizeof name, "%.400s/byteorder", pp_zip_folder(r->zip));
    pippin_status status = PIPPIN_OK;
    if (pp_zip_has(r->zip, name)) {
        status = pp_zip_member(r->zip, name, &bytes, &size, r->err);
        if (status == PIPPIN_OK && (size != 6 || memcmp(bytes, "little", 6) != 0))
            status = pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                             "%s: byte order is not little; save the file on a little-endian machine", r->out->source);
    }
    snprintf(name, sizeof name, "%.400s/data.pkl", pp_zip_folder(r->zip));
    if (status == PIPPIN_OK) status = pp_zip_member(r->zip, name, &bytes, &size, r->err);
    if (status == PIPPIN_OK) status = pp_pickle_run(bytes, size, r->out->source, &r->pickle, r->err);
    if (status == PIPPIN_OK && r->pickle.values[r->pickle.root].kind != PP_VALUE_DICT)
        status = pp_fail(r->err, PIPPIN_E_FORMAT, "%s: holds no dictionary, expected a state dictionary of tensors",
                         r->out->source);
    if (status == PIPPIN_OK) status = walk(r, r->pickle.root, name, 0, 0);
    if (status == PIPPIN_OK && r->n_skipped)
        pp_log("%s: %u tensors of types that no model has were left out", r->out->source, (unsigned)r->n_skipped);
    return status;
}

pippin_status pp_torch_parse(const void *data, size_t size, const char *source, pp_tensors *out, pippin_error *err)
{
    reader r = {.out = out, .file_size = size, .err = err};
    pippin_status status = pp_tensors_init(out, source, err);
    if (status == PIPPIN_OK) status = pp_zip_open(data, size, source, &r.zip, err);
    if (status == PIPPIN_OK) status = read_archive(&r);
    if (status == PIPPIN_OK) status = pp_tensors_finish(out, err);
    pp_pickle_free(&r.pickle);
    pp_zip_close(r.zip);
    if (status != PIPPIN_OK) pp_tensors_free(out);
    return status;
}

pippin_status pp_torch_open(const char *path, pp_tensors *out, pippin_error *err)
{
    pp_map map;
    *out = (pp_tensors){0};
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = pp_torch_parse(map.data, map.size, path, out, err);
    return pp_tensors_keep_map(status, out, map, err);
}
