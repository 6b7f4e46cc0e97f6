/*
 * gguf.c - reads GGUF version 3 (and 2, which differs in nothing that is read here): key-value pairs, tensor descriptions,
 * then the data at a multiple of the alignment. Dimensions stand fastest first in the file and are turned around here.
 */
#include <string.h>

#include "formats/formats.h"

enum { DEFAULT_ALIGNMENT = 32 };

/* Types of values, as the file numbers them. */
enum { G_U8 = 0, G_I8, G_U16, G_I16, G_U32, G_I32, G_F32, G_BOOL, G_TEXT, G_ARRAY, G_U64, G_I64, G_F64, G_N_TYPE };

static const uint8_t value_size[G_N_TYPE] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Element types of tensors, as the file numbers them. */
static const pippin_type tensor_types[] = {
    [0] = PIPPIN_F32,        [1] = PIPPIN_F16,        [2] = PIPPIN_GGUF_Q4_0,  [3] = PIPPIN_GGUF_Q4_1,
    [6] = PIPPIN_GGUF_Q5_0,  [7] = PIPPIN_GGUF_Q5_1,  [8] = PIPPIN_GGUF_Q8_0,  [10] = PIPPIN_GGUF_Q2_K,
    [11] = PIPPIN_GGUF_Q3_K, [12] = PIPPIN_GGUF_Q4_K, [13] = PIPPIN_GGUF_Q5_K, [14] = PIPPIN_GGUF_Q6_K,
    [24] = PIPPIN_I8,        [27] = PIPPIN_I64,       [30] = PIPPIN_BF16};

enum { N_TENSOR_TYPE = sizeof tensor_types / sizeof *tensor_types };

typedef struct reader {
    pp_gguf *g;
    pp_bytes b;
    size_t capacity; /* of entries */
    pippin_error *err;
} reader;

static pippin_status bad(const reader *r, const char *what)
{
    return pp_fail(r->err, PIPPIN_E_FORMAT,
                   "%s: byte %zu: %s; expected a GGUF file of version 2 or 3, check that it is whole",
                   r->g->tensors.source, r->b.at, what);
}

static const char *take_text(pp_bytes *b, size_t *n)
{
    const uint64_t size = pp_bytes_u64(b);
    *n = (size_t)size;
    return (const char *)pp_bytes_take(b, size <= SIZE_MAX ? (size_t)size : SIZE_MAX);
}

static void take_number(pp_bytes *b, uint32_t type, pp_gguf_entry *e)
{
    uint64_t bits = 0;
    for (int i = 0; i < value_size[type]; i++) bits |= (uint64_t)pp_bytes_u8(b) << (8 * i);
    const int unused = 64 - 8 * value_size[type];
    e->kind = PP_GGUF_NUMBER;
    if (type == G_F32) {
        const uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof f);
        e->number = (double)f;
    } else if (type == G_F64) {
        memcpy(&e->number, &bits, sizeof e->number);
    } else if (type == G_I8 || type == G_I16 || type == G_I32 || type == G_I64) {
        e->integer = (int64_t)(bits << unused) >> unused;
        e->number = (double)e->integer;
    } else {
        e->integer = (int64_t)bits;
        e->number = (double)bits;
    }
}

/* An array is kept as it lies in the file; its bytes are walked over once, so that what comes later is found. */
static pippin_status take_array(reader *r, pp_gguf_entry *e)
{
    e->kind = PP_GGUF_ARRAY;
    e->item_type = pp_bytes_u32(&r->b);
    e->n_item = pp_bytes_u64(&r->b);
    if (r->b.failed || e->item_type >= G_N_TYPE || e->item_type == G_ARRAY)
        return bad(r, "an array of an unknown kind");
    e->items = r->b.data + r->b.at;
    const size_t start = r->b.at;
    if (e->item_type == G_TEXT) {
        size_t n;
        for (uint64_t i = 0; i < e->n_item && !r->b.failed; i++) take_text(&r->b, &n);
    } else {
        size_t n;
        if (!pp_mul((size_t)e->n_item, value_size[e->item_type], &n)) n = SIZE_MAX;
        pp_bytes_take(&r->b, n);
    }
    e->items_size = r->b.at - start;
    return r->b.failed ? bad(r, "an array goes past the end") : PIPPIN_OK;
}

static pippin_status take_entry(reader *r)
{
    pp_gguf *g = r->g;
    if (!pp_make_room(&g->entries, g->n_entries, &r->capacity, sizeof *g->entries))
        return pp_fail_memory(r->err, g->tensors.source, 2 * r->capacity * sizeof *g->entries);
    pp_gguf_entry *e = &g->entries[g->n_entries];
    *e = (pp_gguf_entry){.raw = r->b.data + r->b.at};
    e->key = take_text(&r->b, &e->n_key);
    const uint32_t type = pp_bytes_u32(&r->b);
    if (r->b.failed || type >= G_N_TYPE) return bad(r, "a value of an unknown kind");
    if (type == G_TEXT) {
        e->kind = PP_GGUF_TEXT;
        e->text = take_text(&r->b, &e->n_text);
    } else if (type == G_ARRAY) {
        pippin_status status = take_array(r, e);
        if (status != PIPPIN_OK) return status;
    } else {
        take_number(&r->b, type, e);
    }
    if (r->b.failed) return bad(r, "a value goes past the end");
    e->n_raw = (size_t)(r->b.data + r->b.at - e->raw);
    g->n_entries++;
    return PIPPIN_OK;
}

/* Where a tensor lies is known only after all descriptions: its offset waits in `data` until then. */
static pippin_status take_tensor(reader *r)
{
    pp_tensor t = {0};
    size_t n_name;
    const char *name = take_text(&r->b, &n_name);
    const uint32_t n_dim = pp_bytes_u32(&r->b);
    if (r->b.failed || n_dim > 4) return bad(r, "a tensor of more than four dimensions");
    t.n_dim = (int32_t)n_dim;
    size_t n_elem = 1;
    for (uint32_t i = 0; i < n_dim; i++) {
        const uint64_t size = pp_bytes_u64(&r->b);
        if (size > INT64_MAX || !pp_mul(n_elem, (size_t)size, &n_elem))
            return bad(r, "a tensor of an impossible shape");
        t.shape[n_dim - 1 - i] = (int64_t)size;
    }
    const uint32_t type = pp_bytes_u32(&r->b);
    const uint64_t offset = pp_bytes_u64(&r->b);
    if (r->b.failed) return bad(r, "a tensor's description goes past the end");
    t.type = type < N_TENSOR_TYPE ? tensor_types[type] : PIPPIN_TYPE_AUTO;
    if (t.type == PIPPIN_TYPE_AUTO)
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                       "%s: tensor %.*s: has GGUF type %u, expected F32, F16, BF16, Q4_0 to Q8_0 or Q2_K to Q6_K; "
                       "convert the file first",
                       r->g->tensors.source, (int)PP_MIN(n_name, (size_t)200), name, (unsigned)type);
    const size_t block = pp_type_block(t.type), row = n_dim ? (size_t)t.shape[n_dim - 1] : 1;
    if (row % block) return bad(r, "a tensor whose rows are no whole number of blocks");
    t.bytes = pp_type_bytes(t.type, n_elem);
    if (n_elem && t.bytes / pp_type_bytes(t.type, block) != n_elem / block)
        return bad(r, "a tensor of an impossible shape");
    t.data = (const void *)(uintptr_t)offset;
    return pp_tensors_add(&r->g->tensors, name, n_name, &t, r->err);
}

static pippin_status place_tensors(reader *r)
{
    uint64_t alignment = DEFAULT_ALIGNMENT;
    const pp_gguf_entry *e = pp_gguf_find(r->g, "general.alignment");
    if (e) alignment = (uint64_t)e->integer;
    if (alignment == 0 || alignment > 1 << 20 || alignment & (alignment - 1))
        return bad(r, "an alignment that is no power of two");
    const size_t left = r->b.at % alignment ? alignment - r->b.at % alignment : 0;
    /* A file without tensors (a vocabulary) may end before the padding. */
    if (r->g->tensors.n && !pp_bytes_take(&r->b, left)) return bad(r, "no room for the tensors");
    const size_t start = r->b.at, size = r->b.size - start;
    for (size_t i = 0; i < r->g->tensors.n; i++) {
        pp_tensor *t = &r->g->tensors.items[i];
        const uint64_t offset = (uint64_t)(uintptr_t)t->data;
        if (offset > size || t->bytes > size - offset)
            return pp_fail(r->err, PIPPIN_E_FORMAT, "%s: tensor %.200s: lies outside the file; check that it is whole",
                           r->g->tensors.source, t->name);
        t->data = r->b.data + start + offset;
    }
    return PIPPIN_OK;
}

/*
 * pippin's low-bit matrices lie as bytes, so that other readers list them; "pippin.tensor.NAME" says "q2 ROWS COLUMNS".
 */
static pippin_status shape_low(reader *r, const pp_gguf_entry *e, size_t n_prefix)
{
    char name[256], text[64], type[8];
    unsigned long long rows, columns;
    if (e->n_key - n_prefix >= sizeof name || e->kind != PP_GGUF_TEXT || e->n_text >= sizeof text)
        return bad(r, "a low-bit tensor that is described wrongly");
    snprintf(name, sizeof name, "%.*s", (int)(e->n_key - n_prefix), e->key + n_prefix);
    snprintf(text, sizeof text, "%.*s", (int)e->n_text, e->text);
    pp_tensor *t = (pp_tensor *)(uintptr_t)pp_tensors_find(&r->g->tensors, name);
    const bool read =
        sscanf(text, "%7s %llu %llu", type, &rows, &columns) == 3 && rows <= INT32_MAX && columns <= INT32_MAX;
    const pippin_type low = read ? pippin_type_from_name(type) : PIPPIN_TYPE_AUTO;
    if (!t || !pp_low_bits(low) || t->type != PIPPIN_I8 ||
        t->bytes != pp_matrix_bytes(low, (size_t)rows, (size_t)columns))
        return pp_fail(r->err, PIPPIN_E_FORMAT,
                       "%s: tensor %s: found \"%s\" and %zu bytes, which do not fit; check that the file is whole",
                       r->g->tensors.source, name, text, t ? t->bytes : (size_t)0);
    t->type = low;
    t->n_dim = 2;
    t->shape[0] = (int64_t)rows;
    t->shape[1] = (int64_t)columns;
    t->n_elem = (size_t)rows * (size_t)columns;
    return PIPPIN_OK;
}

static pippin_status shape_all_low(reader *r)
{
    static const char prefix[] = "pippin.tensor.";
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < r->g->n_entries && status == PIPPIN_OK; i++) {
        const pp_gguf_entry *e = &r->g->entries[i];
        if (e->n_key > sizeof prefix - 1 && memcmp(e->key, prefix, sizeof prefix - 1) == 0)
            status = shape_low(r, e, sizeof prefix - 1);
    }
    return status;
}

static pippin_status read_file(reader *r)
{
    const uint8_t *magic = pp_bytes_take(&r->b, 4);
    const uint32_t version = pp_bytes_u32(&r->b);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) return bad(r, "the letters GGUF are missing");
    if (version != 2 && version != 3)
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED, "%s: GGUF version %u, expected 2 or 3 in little-endian order",
                       r->g->tensors.source, (unsigned)version);
    const uint64_t n_tensor = pp_bytes_u64(&r->b), n_entry = pp_bytes_u64(&r->b);
    /* The smallest pair and the smallest description take 13 and 24 bytes. */
    if (r->b.failed || n_entry > pp_bytes_left(&r->b) / 13 || n_tensor > pp_bytes_left(&r->b) / 24)
        return bad(r, "counts that the file is too small for");
    pippin_status status = PIPPIN_OK;
    for (uint64_t i = 0; i < n_entry && status == PIPPIN_OK; i++) status = take_entry(r);
    for (uint64_t i = 0; i < n_tensor && status == PIPPIN_OK; i++) status = take_tensor(r);
    if (status == PIPPIN_OK) status = place_tensors(r);
    if (status == PIPPIN_OK) status = pp_tensors_finish(&r->g->tensors, r->err);
    return status == PIPPIN_OK ? shape_all_low(r) : status;
}

pippin_status pp_gguf_parse(const void *data, size_t size, const char *source, pp_gguf *out, pippin_error *err)
{
    *out = (pp_gguf){0};
    reader r = {.g = out, .b = pp_bytes_of(data, size), .err = err};
    pippin_status status = pp_tensors_init(&out->tensors, source, err);
    if (status == PIPPIN_OK) status = read_file(&r);
    if (status != PIPPIN_OK) pp_gguf_free(out);
    return status;
}

pippin_status pp_gguf_open(const char *path, pp_gguf *out, pippin_error *err)
{
    pp_map map;
    *out = (pp_gguf){0};
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = pp_gguf_parse(map.data, map.size, path, out, err);
    status = pp_tensors_keep_map(status, &out->tensors, map, err);
    if (status != PIPPIN_OK) pp_gguf_free(out);
    return status;
}

void pp_gguf_free(pp_gguf *g)
{
    pp_tensors_free(&g->tensors);
    pp_free(g->entries);
    *g = (pp_gguf){0};
}

/* ---- looking values up ---- */

const pp_gguf_entry *pp_gguf_find(const pp_gguf *g, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i < g->n_entries; i++)
        if (g->entries[i].n_key == n && memcmp(g->entries[i].key, key, n) == 0) return &g->entries[i];
    return NULL;
}

bool pp_gguf_number(const pp_gguf *g, const char *key, double *value)
{
    const pp_gguf_entry *e = pp_gguf_find(g, key);
    if (!e || e->kind != PP_GGUF_NUMBER) return false;
    *value = e->number;
    return true;
}

bool pp_gguf_text_is(const pp_gguf *g, const char *key, const char *value)
{
    const pp_gguf_entry *e = pp_gguf_find(g, key);
    return e && e->kind == PP_GGUF_TEXT && e->n_text == strlen(value) && memcmp(e->text, value, e->n_text) == 0;
}

const pp_gguf_entry *pp_gguf_array(const pp_gguf *g, const char *key, enum pp_gguf_item item)
{
    const pp_gguf_entry *e = pp_gguf_find(g, key);
    return e && e->kind == PP_GGUF_ARRAY && e->item_type == item ? e : NULL;
}
