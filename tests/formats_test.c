/*
 * formats_test.c - files to tensors and back: what is written is read again bit for bit, the same weights in two formats
 * are the same weights, and a file that lies is refused with the right status and words.
 */
#define _DEFAULT_SOURCE
#include <unistd.h>

#include "formats/formats.h"
#include "tests/support.h"

static char folder[] = "/tmp/pippin-formats-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][300];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof *path, "%s/%s", folder, name);
    return p;
}

static const char *in_corpus(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    return path;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static const pp_tensor *need(const pp_tensors *t, const char *name)
{
    const pp_tensor *found = pp_tensors_find(t, name);
    if (!found) fail_msg("%s: no tensor %s", t->source, name);
    return found;
}

static float value(const pp_tensors *t, const char *name, size_t i)
{
    const pp_tensor *found = need(t, name);
    assert_int_equal(found->type, PIPPIN_F32);
    assert_true(i < found->n_elem);
    return ((const float *)found->data)[i];
}

static void same(const pp_tensor *a, const pp_tensor *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n_dim, b->n_dim);
    for (int32_t i = 0; i < a->n_dim; i++) assert_int_equal(a->shape[i], b->shape[i]);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->n_elem, b->n_elem);
    if (a->bytes) assert_memory_equal(a->data, b->data, a->bytes);
}

/* The call failed with this status and one line that names the source and says `words`; the object is empty. */
static void refused(pippin_status got, pippin_status expected, const pp_tensors *t, const pippin_error *err, const char *source,
                    const char *words)
{
    if (got != expected || err->status != expected || strncmp(err->text, source, strlen(source)) != 0 || !strstr(err->text, words) ||
        strchr(err->text, '\n'))
        fail_msg("expected %s and \"%s: ...%s\", got %s and \"%s\"", pippin_status_name(expected), source, words, pippin_status_name(got),
                 got == PIPPIN_OK ? "" : err->text);
    assert_true(t->n == 0 && !t->items && !t->source && !t->blocks);
}

/* ---- safetensors ---- */

enum { N_MADE = 8 };

/* One tensor of every type and number of dimensions. */
static void make_tensors(pp_tensor made[N_MADE])
{
    static uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)pp_random_bits(7, 0, i);
    const pp_tensor list[N_MADE] = {
        {"scalar", PIPPIN_I64, 0, {0}, bytes, 1, 8},
        {"one.dim", PIPPIN_F32, 1, {5}, bytes + 8, 5, 20},
        {"two.dims", PIPPIN_F16, 2, {3, 2}, bytes + 28, 6, 12},
        {"three.dims", PIPPIN_BF16, 3, {1, 3, 1}, bytes + 40, 3, 6},
        {"four.dims", PIPPIN_F32, 4, {1, 2, 1, 3}, bytes + 48, 6, 24},
        {"empty", PIPPIN_F32, 2, {0, 7}, bytes, 0, 0},
        {"n\xc3\xa4me \"quoted\" \\ and /", PIPPIN_F32, 1, {2}, bytes + 72, 2, 8},
        {"odd", PIPPIN_I8, 1, {3}, bytes + 80, 3, 3},
    };
    memcpy(made, list, sizeof list);
}

static void test_write_then_open(void **state)
{
    (void)state;
    pp_tensor made[N_MADE];
    make_tensors(made);
    const pp_entry pairs[2] = {{"format", "pt"}, {"note", "two\nlines, \"quotes\", \xe2\x82\xac"}};
    const char *path = in_folder("all.safetensors"), *again = in_folder("again.safetensors");
    pp_tensors t;
    OK(pp_safetensors_write(path, made, N_MADE, pairs, 2, err));
    OK(pp_safetensors_open(path, &t, err));
    assert_int_equal(t.n, N_MADE);
    assert_string_equal(t.source, path);
    for (size_t i = 0; i < N_MADE; i++) {
        const pp_tensor *found = need(&t, made[i].name);
        same(found, &made[i]);
        if (found->bytes) assert_int_equal((uintptr_t)found->data % pp_type_bytes(found->type, 1), 0);
        assert_string_equal(t.items[i].name, made[i].name); /* file order */
    }
    assert_null(pp_tensors_find(&t, "odd "));
    assert_null(pp_tensors_find(&t, ""));
    assert_string_equal(pp_tensors_metadata(&t, "format"), "pt");
    assert_string_equal(pp_tensors_metadata(&t, "note"), pairs[1].value);
    assert_null(pp_tensors_metadata(&t, "absent"));

    pp_map a, b;
    OK(pp_safetensors_write(again, t.items, t.n, t.metadata, t.n_metadata, err));
    OK(pp_map_open(path, &a, err));
    OK(pp_map_open(again, &b, err));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    assert_int_equal(a.data[0] % 8, 0); /* the header's padding */
    pp_map_close(&a);
    pp_map_close(&b);
    pp_tensors_free(&t);
}

static void test_write_refuses(void **state)
{
    (void)state;
    pp_tensor made[N_MADE];
    make_tensors(made);
    pippin_error error = {0};
    const char *path = in_folder("never.safetensors");
    made[1].name = made[0].name;
    assert_int_equal(pp_safetensors_write(path, made, N_MADE, NULL, 0, &error), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(error.text, "same name"));
    make_tensors(made);
    made[2].type = PIPPIN_Q2;
    assert_int_equal(pp_safetensors_write(path, made, N_MADE, NULL, 0, &error), PIPPIN_E_UNSUPPORTED);
    assert_non_null(strstr(error.text, made[2].name));
    make_tensors(made);
    assert_int_equal(pp_safetensors_write(in_folder("no/such/folder.safetensors"), made, N_MADE, NULL, 0, &error), PIPPIN_E_IO);
    assert_false(pp_path_exists(path));
}

#define ONE "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static const struct {
    const char *header;
    size_t n_data;
    pippin_status status;
    const char *words;
} bad_headers[] = {
    {"{" ONE "}", 4, PIPPIN_E_FORMAT, "tensor a: lies outside the file"},
    {"{" ONE "}", 9, PIPPIN_E_FORMAT, "1 bytes after the last tensor"},
    {"{}", 1, PIPPIN_E_FORMAT, "1 bytes after the last tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, PIPPIN_E_FORMAT, "tensor a: leaves a hole"},
    {"{" ONE ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, PIPPIN_E_FORMAT, "tensor b: overlaps"},
    {"{" ONE ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "overlaps"},
    {"{" ONE "," ONE "}", 8, PIPPIN_E_FORMAT, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: has 8 bytes, expected 3 elements of f32"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: the shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: the shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, PIPPIN_E_FORMAT, "tensor a: has 0 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "too big integer"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: has no shape of up to four"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: has a shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, PIPPIN_E_FORMAT, "tensor a: has no data_offsets"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_UNSUPPORTED, "tensor a: dtype is F64"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: has no dtype"},
    {"{\"a\":3}", 0, PIPPIN_E_FORMAT, "tensor a: has no dtype"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "the name of tensor 1"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "NUL byte"},
    {"[]", 0, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {" {" ONE "}", 8, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {"", 8, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {"{" ONE, 8, PIPPIN_E_FORMAT, "not a JSON object"},
};

static size_t join(uint8_t *file, uint64_t length, const char *header, size_t n_header, size_t n_data)
{
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)(length >> (8 * i));
    memcpy(file + 8, header, n_header);
    memset(file + 8 + n_header, 0, n_data);
    return 8 + n_header + n_data;
}

static void test_bad_headers(void **state)
{
    (void)state;
    uint8_t file[400];
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        pp_tensors t;
        pippin_error error = {0};
        const size_t n = strlen(bad_headers[i].header), size = join(file, n, bad_headers[i].header, n, bad_headers[i].n_data);
        const pippin_status status = pp_safetensors_parse(file, size, "x.safetensors", &t, &error);
        refused(status, bad_headers[i].status, &t, &error, "x.safetensors: ", bad_headers[i].words);
    }
    static const uint64_t lengths[] = {3, 4, 100000001, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        pp_tensors t;
        pippin_error error = {0};
        const size_t size = join(file, lengths[i], "{}", 2, 0);
        refused(pp_safetensors_parse(file, size, "x", &t, &error), PIPPIN_E_FORMAT, &t, &error, "x: ", "the header's length is");
    }
    for (size_t size = 0; size < 8; size++) {
        pp_tensors t;
        pippin_error error = {0};
        refused(pp_safetensors_parse(file, size, "x", &t, &error), PIPPIN_E_FORMAT, &t, &error, "x: ", "expected a safetensors file");
    }
}

/* Cutting a good file anywhere makes it a bad one. */
static void test_every_cut(void **state)
{
    (void)state;
    pp_map map;
    OK(pp_map_open(in_corpus("safetensors/types.safetensors"), &map, err));
    for (size_t size = 0; size <= map.size; size++) {
        uint8_t *copy = test_malloc(size + 1);
        memcpy(copy, map.data, size);
        pp_tensors t;
        assert_int_equal(pp_safetensors_parse(copy, size, "cut", &t, NULL) == PIPPIN_OK, size == map.size);
        pp_tensors_free(&t);
        test_free(copy);
    }
    pp_map_close(&map);
}

static void test_too_many_values(void **state)
{
    (void)state;
    const size_t n = 3 << 20;
    uint8_t *file = test_malloc(n + 16);
    char *header = test_malloc(n);
    for (size_t i = 0; i < n; i++) header[i] = "[],"[i % 3];
    memcpy(header, "{\"a\":[", 6);
    pp_tensors t;
    pippin_error error = {0};
    const size_t size = join(file, n, header, n, 0);
    refused(pp_safetensors_parse(file, size, "many", &t, &error), PIPPIN_E_UNSUPPORTED, &t, &error, "many: ", "values in");
    test_free(header);
    test_free(file);
}

static void test_unaligned(void **state)
{
    (void)state;
    pp_tensors t;
    OK(pp_safetensors_open(in_corpus("safetensors/unaligned.safetensors"), &t, err));
    const pp_tensor *b = need(&t, "b");
    assert_int_equal((uintptr_t)b->data % sizeof(float), 0);
    assert_memory_equal(b->data, t.maps[0].data + t.maps[0].size - 8, 8);
    assert_int_equal(*(const uint8_t *)need(&t, "a")->data, 7);
    pp_tensors_free(&t);
}

/* ---- shards ---- */

static void write_index(const char *weight_map)
{
    char text[600];
    const int n = snprintf(text, sizeof text, "{\"metadata\": {\"total_size\": 28}, \"weight_map\": %s}", weight_map);
    write_file(in_folder("model.safetensors.index.json"), text, (size_t)n);
}

static void test_shards(void **state)
{
    (void)state;
    pp_tensor made[N_MADE];
    make_tensors(made);
    const pp_entry pair = {"format", "pt"};
    OK(pp_safetensors_write(in_folder("first.safetensors"), made, 2, &pair, 1, err));
    OK(pp_safetensors_write(in_folder("second.safetensors"), made + 2, 2, &pair, 1, err));
    write_index("{\"one.dim\":\"first.safetensors\",\"scalar\":\"first.safetensors\",\"two.dims\":\"second.safetensors\"}");
    char index[300];
    snprintf(index, sizeof index, "%s", in_folder("model.safetensors.index.json"));
    pp_tensors t;
    OK(pp_safetensors_open(index, &t, err));
    assert_int_equal(t.n, 4); /* three.dims is not in the map, which is no harm */
    assert_int_equal(t.n_maps, 2);
    for (size_t i = 0; i < 4; i++) same(need(&t, made[i].name), &made[i]);
    assert_string_equal(pp_tensors_metadata(&t, "format"), "pt");
    pp_tensors_free(&t);

    static const struct {
        const char *map;
        pippin_status status;
        const char *source, *words;
    } bad[] = {
        {"{\"scalar\":\"second.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "tensor scalar: is not in second.safetensors"},
        {"{\"one.dim\":\"first.safetensors\",\"scalar\":\"second.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json",
         "tensor scalar: is not in second.safetensors"},
        {"{\"absent\":\"first.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "tensor absent: is not in first.safetensors"},
        {"{\"a\":\"third.safetensors\"}", PIPPIN_E_IO, "third.safetensors", "No such file"},
        {"{\"a\":\"../first.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard \"../first.safetensors\""},
        {"{\"a\":\"/etc/passwd\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard \"/etc/passwd\""},
        {"{\"a\":\"..\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard"},
        {"{\"a\":3}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard"},
        {"[\"a\"]", PIPPIN_E_FORMAT, "model.safetensors.index.json", "field weight_map"},
        {"{\"a\":", PIPPIN_E_FORMAT, "model.safetensors.index.json", "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_index(bad[i].map);
        pippin_error error = {0};
        refused(pp_safetensors_open(index, &t, &error), bad[i].status, &t, &error, in_folder(bad[i].source), bad[i].words);
    }
    OK(pp_safetensors_write(in_folder("second.safetensors"), made, 2, NULL, 0, err));
    write_index("{\"scalar\":\"first.safetensors\",\"one.dim\":\"second.safetensors\"}");
    pippin_error error = {0};
    refused(pp_safetensors_open(index, &t, &error), PIPPIN_E_FORMAT, &t, &error, index, "stands in the file twice");
}

/* ---- npy ---- */

static void test_npy(void **state)
{
    (void)state;
    const float rows[3][2] = {{1, -2}, {0.5f, 3e-9f}, {1e30f, 0}};
    const char *path = in_folder("rows.npy");
    pp_npy npy;
    pippin_error error = {0};
    OK(pp_npy_create(path, 3, 2, &npy, err));
    for (int i = 0; i < 3; i++) OK(pp_npy_row(&npy, rows[i], err));
    assert_int_equal(pp_npy_row(&npy, rows[0], &error), PIPPIN_E_ARGUMENT);
    assert_false(pp_path_exists(path)); /* nothing under this name before it is whole */
    OK(pp_npy_commit(&npy, err));
    pp_map map;
    OK(pp_map_open(path, &map, err));
    static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
    assert_memory_equal(map.data, "\x93NUMPY\x01\x00", 8);
    const size_t n_text = (size_t)map.data[8] + 256 * (size_t)map.data[9], data = 10 + n_text;
    assert_int_equal(data % 64, 0);
    assert_memory_equal(map.data + 10, text, sizeof text - 1);
    for (size_t i = 10 + sizeof text - 1; i + 1 < data; i++) assert_int_equal(map.data[i], ' ');
    assert_int_equal(map.data[data - 1], '\n');
    assert_int_equal(map.size, data + sizeof rows);
    assert_memory_equal(map.data + data, rows, sizeof rows);
    pp_map_close(&map);

    OK(pp_npy_create(in_folder("short.npy"), 3, 2, &npy, err));
    OK(pp_npy_row(&npy, rows[0], err));
    assert_int_equal(pp_npy_commit(&npy, &error), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(error.text, "1 rows came, expected 3"));
    assert_false(pp_path_exists(in_folder("short.npy")));
    pp_npy_abort(&npy);
}

/* ---- torch ---- */

static void test_torch_views(void **state)
{
    (void)state;
    pp_tensors t;
    OK(pp_torch_open(in_corpus("torch/transposed.pt"), &t, err));
    const pp_tensor *x = need(&t, "x"), *y = need(&t, "y"), *row = need(&t, "row");
    assert_true(x->n_dim == 2 && x->shape[0] == 3 && x->shape[1] == 2 && y->shape[0] == 2 && y->shape[1] == 3);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) assert_true(value(&t, "x", 2 * i + j) == value(&t, "y", 3 * j + i));
    assert_ptr_equal(row->data, (const float *)y->data + 3); /* views of one storage share its memory */
    const uint8_t *map = t.maps[0].data;
    assert_true((const uint8_t *)y->data > map && (const uint8_t *)y->data < map + t.maps[0].size); /* which is the file's */
    pp_tensors_free(&t);

    OK(pp_torch_open(in_corpus("torch/unaligned.pt"), &t, err));
    const pp_tensor *a = need(&t, "a");
    assert_int_equal((uintptr_t)a->data % sizeof(float), 0);
    assert_ptr_equal(a->data, need(&t, "b")->data);
    assert_ptr_equal(need(&t, "c")->data, (const float *)a->data + 4);
    pp_tensors_free(&t);
}

static void test_torch_shapes_of_pickles(void **state)
{
    (void)state;
    pp_tensors t;
    OK(pp_torch_open(in_corpus("torch/wrapped.pt"), &t, err));
    assert_int_equal(t.n, 1);
    assert_string_equal(t.items[0].name, "x"); /* without "state_dict." */
    pp_tensors_free(&t);
    static const char *const one_x[] = {"torch/parameter.pt", "torch/ordered-metadata.pt", "torch/protocol4.pt"};
    for (size_t i = 0; i < 3; i++) {
        OK(pp_torch_open(in_corpus(one_x[i]), &t, err));
        assert_int_equal(t.n, 1);
        assert_int_equal(need(&t, "x")->n_elem, 6);
        pp_tensors_free(&t);
    }
    OK(pp_torch_open(in_corpus("torch/types.pt"), &t, err));
    assert_int_equal(need(&t, "h")->type, PIPPIN_F16);
    assert_int_equal(need(&t, "b")->type, PIPPIN_BF16);
    assert_int_equal(need(&t, "i")->type, PIPPIN_I8);
    assert_int_equal(*(const int64_t *)need(&t, "n")->data, 9);
    assert_int_equal(need(&t, "n")->n_dim, 0);
    assert_int_equal(need(&t, "empty")->n_elem, 0);
    assert_null(pp_tensors_find(&t, "double")); /* left out, with a line to the log */
    pp_tensors_free(&t);
    OK(pp_torch_open(in_corpus("torch/empty-huge-dims.pt"), &t, err));
    assert_int_equal(need(&t, "x")->bytes, 0);
    pp_tensors_free(&t);
}

static void test_torch_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        pippin_status status;
        const char *words;
    } bad[] = {
        {"system", PIPPIN_E_UNSUPPORTED, "posix.system"},
        {"eval", PIPPIN_E_UNSUPPORTED, "__builtin__.eval"},
        {"stack-global", PIPPIN_E_UNSUPPORTED, "os.system"},
        {"past-storage", PIPPIN_E_FORMAT, "tensor x: reaches past the end"},
        {"offset", PIPPIN_E_FORMAT, "tensor x: reaches past the end"},
        {"huge-shape", PIPPIN_E_FORMAT, "tensor x: has an impossible shape"},
        {"huge-broadcast", PIPPIN_E_FORMAT, "tensor x: its strides make it larger than the file"},
        {"negative-stride", PIPPIN_E_FORMAT, "tensor x: has no offset, shape and strides"},
        {"missing-storage", PIPPIN_E_FORMAT, "archive/data/9 is missing"},
        {"path-storage", PIPPIN_E_FORMAT, "etc/passwd is missing"},
        {"cycle", PIPPIN_E_FORMAT, "too deep"},
        {"fan", PIPPIN_E_FORMAT, "too deep"},
        {"fan-names", PIPPIN_E_FORMAT, "more tensors than a file of this size"},
        {"twice", PIPPIN_E_FORMAT, "tensor a: stands in the file twice"},
        {"utf8", PIPPIN_E_FORMAT, "the name of tensor 1"},
        {"memo", PIPPIN_E_FORMAT, "a memo entry out of range"},
        {"memo-missing", PIPPIN_E_FORMAT, "a memo entry that does not exist"},
        {"empty-stack", PIPPIN_E_FORMAT, "the stack is empty"},
        {"append-below-mark", PIPPIN_E_FORMAT, "elements without a container"},
        {"odd-dict", PIPPIN_E_FORMAT, "elements without a container"},
        {"text-past-end", PIPPIN_E_FORMAT, "a text goes past the end"},
        {"opcode", PIPPIN_E_FORMAT, "an opcode that no state dictionary needs"},
        {"no-stop", PIPPIN_E_FORMAT, "it ends without STOP"},
        {"list", PIPPIN_E_FORMAT, "holds no dictionary"},
        {"number", PIPPIN_E_FORMAT, "holds no dictionary"},
        {"big-endian", PIPPIN_E_UNSUPPORTED, "byte order"},
        {"compressed", PIPPIN_E_FORMAT, "save the file again with torch.save"},
        {"not-zip", PIPPIN_E_FORMAT, "expected a file of torch.save"},
        {"cut", PIPPIN_E_FORMAT, "expected a file of torch.save"},
        {"no-pickle", PIPPIN_E_FORMAT, "without data.pkl"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[64];
        snprintf(name, sizeof name, "torch/bad-%s.pt", bad[i].file);
        pp_tensors t;
        pippin_error error = {0};
        const uint64_t before = pippin_memory_used().live_bytes;
        const pippin_status status = pp_torch_open(in_corpus(name), &t, &error);
        refused(status, bad[i].status, &t, &error, in_corpus(name), bad[i].words);
        assert_int_equal(pippin_memory_used().live_bytes, before);
        assert_true(pippin_memory_used().peak_bytes < 64 << 20); /* no seed is larger than 20 KB */
    }
}

/* ---- llama2.c ---- */

static void test_llama2c(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        pp_tensors t;
        pp_llama2c_header h;
        OK(pp_llama2c_open(in_corpus(tied ? "llama2c/tied.bin" : "llama2c/untied.bin"), &h, &t, err));
        assert_true(h.d_model == 8 && h.d_ffn == 12 && h.n_layer == 2 && h.n_head == 2 && h.n_kv_head == 1 && h.n_vocab == 265);
        assert_int_equal(h.shared_head, tied);
        assert_int_equal(t.n, 2 + 2 * 9 + !tied);
        /* Where each part starts, in floats behind the header: the order of llama2.c's memory_map_weights. */
        static const struct {
            const char *name;
            size_t at;
            int64_t rows, columns;
        } parts[] = {
            {"model.embed_tokens.weight", 0, 265, 8},
            {"model.layers.0.input_layernorm.weight", 2120, 8, 0},
            {"model.layers.1.input_layernorm.weight", 2128, 8, 0},
            {"model.layers.0.self_attn.q_proj.weight", 2136, 8, 8},
            {"model.layers.1.self_attn.k_proj.weight", 2296, 4, 8},
            {"model.layers.0.self_attn.v_proj.weight", 2328, 4, 8},
            {"model.layers.1.self_attn.o_proj.weight", 2456, 8, 8},
            {"model.layers.0.post_attention_layernorm.weight", 2520, 8, 0},
            {"model.layers.0.mlp.gate_proj.weight", 2536, 12, 8},
            {"model.layers.0.mlp.down_proj.weight", 2728, 8, 12},
            {"model.layers.1.mlp.up_proj.weight", 3016, 12, 8},
            {"model.norm.weight", 3112, 8, 0},
        };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const pp_tensor *p = need(&t, parts[i].name);
            assert_ptr_equal(p->data, t.maps[0].data + 28 + 4 * parts[i].at);
            assert_int_equal(p->n_dim, parts[i].columns ? 2 : 1);
            assert_int_equal(p->shape[0], parts[i].rows);
            if (p->n_dim == 2) assert_int_equal(p->shape[1], parts[i].columns);
        }
        if (!tied) assert_ptr_equal(need(&t, "lm_head.weight")->data, t.maps[0].data + t.maps[0].size - 4 * 265 * 8);
        pp_tensors_free(&t);
    }
    static const struct {
        const char *file, *words;
    } bad[] = {{"cut", "expected more"}, {"longer", "expected fewer"}, {"short", "the header says"}, {"many-layers", "600000 layers"},
               {"0-0", "width 0"}, {"2-1", "-1 layers"}, {"5-3", "the header says"}, {"4-4", "3 K/V heads"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[64];
        snprintf(name, sizeof name, "llama2c/bad-%s.bin", bad[i].file);
        pp_tensors t;
        pp_llama2c_header h;
        pippin_error error = {0};
        const pippin_status status = pp_llama2c_open(in_corpus(name), &h, &t, &error);
        refused(status, PIPPIN_E_FORMAT, &t, &error, in_corpus(name), bad[i].words);
    }
}

static void test_no_such_file(void **state)
{
    (void)state;
    pp_tensors t;
    pp_llama2c_header h;
    pippin_error error = {0};
    const char *path = in_folder("absent");
    refused(pp_safetensors_open(path, &t, &error), PIPPIN_E_IO, &t, &error, path, "No such file");
    refused(pp_torch_open(path, &t, &error), PIPPIN_E_IO, &t, &error, path, "No such file");
    refused(pp_llama2c_open(path, &h, &t, &error), PIPPIN_E_IO, &t, &error, path, "No such file");
    write_file(path, "", 0);
    refused(pp_safetensors_open(path, &t, &error), PIPPIN_E_FORMAT, &t, &error, path, "file of 0 bytes");
    refused(pp_torch_open(path, &t, &error), PIPPIN_E_FORMAT, &t, &error, path, "expected a file of torch.save");
    refused(pp_llama2c_open(path, &h, &t, &error), PIPPIN_E_FORMAT, &t, &error, path, "file of 0 bytes");
    unlink(path);
}

static void test_shape_text(void **state)
{
    (void)state;
    char text[96];
    assert_string_equal(pp_shape_text((const int64_t[]){2560, 2048}, 2, text), "[2560, 2048]");
    assert_string_equal(pp_shape_text(NULL, 0, text), "[]");
    const int64_t most[4] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    assert_string_equal(pp_shape_text(most, 4, text),
                        "[-9223372036854775808, -9223372036854775808, -9223372036854775808, -9223372036854775808]");
}

/* ---- files of others ---- */

/* mlx-lm's name to the toolkit's; false for what the toolkit computes instead of storing. */
static bool toolkit_name(const char *mlx, bool segments, bool wrapped, char *name, size_t size)
{
    static const struct {
        const char *mlx, *module, *rest;
        bool linear; /* gets a `wrapped` level where adapters are configured */
    } modules[] = {
        {"input_layernorm.weight", "attention.norm", ".weight", false},
        {"self_attn.qkv_proj.weight", "attention.qkv_transform", ".fused_linear.weight", true},
        {"self_attn.q_proj.weight", "attention.q_transform", ".weight", true},
        {"self_attn.k_norm.weight", "attention.qk_norm.key_norm", ".weight", false},
        {"self_attn.out_proj.weight", "attention.output_transform", ".weight", true},
        {"post_attention_layernorm.weight", "feed_forward.norm", ".weight", false},
        {"mlp.gate_proj.weight", "feed_forward.hidden_transform.linear_0", ".weight", true},
        {"mlp.up_proj.weight", "feed_forward.hidden_transform.linear_1", ".weight", true},
        {"mlp.down_proj.weight", "feed_forward.output_transform", ".weight", true},
    };
    int layer, n = 0;
    const bool reuse = sscanf(mlx, "model.kv_reuse_layers.%d.%n", &layer, &n) == 1 && n;
    if (!reuse && !(sscanf(mlx, "model.layers.%d.%n", &layer, &n) == 1 && n)) {
        snprintf(name, size, "%s", mlx + strlen("model."));
        return true;
    }
    char prefix[64];
    if (segments)
        snprintf(prefix, sizeof prefix, "layers.segment_%d.layer_%d", reuse, layer);
    else
        snprintf(prefix, sizeof prefix, "layers.layer_%d", layer);
    if (strcmp(mlx + n, "self_attn.q_norm.weight") == 0) {
        snprintf(name, size, "%s.attention.%s.query_norm.weight", prefix, reuse ? "q_norm" : "qk_norm");
        return true;
    }
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (strcmp(mlx + n, modules[i].mlx) == 0) {
            snprintf(name, size, "%s.%s%s%s", prefix, modules[i].module, wrapped && modules[i].linear ? ".wrapped" : "", modules[i].rest);
            return true;
        }
    return false;
}

static void compare_case(const char *name, size_t n_expected, bool segments, bool wrapped)
{
    char file[64], toolkit[200];
    snprintf(file, sizeof file, "golden/%s/toolkit.pt", name);
    const char *pt_path = shared_file(file);
    snprintf(file, sizeof file, "golden/%s/model.safetensors", name);
    const char *st_path = shared_file(file);
    if (!pt_path || !st_path) return;
    pp_tensors pt, st;
    OK(pp_torch_open(pt_path, &pt, err));
    OK(pp_safetensors_open(st_path, &st, err));
    size_t n = 0;
    for (size_t i = 0; i < st.n; i++)
        if (toolkit_name(st.items[i].name, segments, wrapped, toolkit, sizeof toolkit)) {
            same(need(&pt, toolkit), &st.items[i]);
            n++;
        }
    assert_int_equal(n, n_expected);
    assert_ptr_equal(need(&pt, "output_transform.weight")->data, need(&pt, "embedding.weight")->data); /* one storage */
    pp_tensors_free(&pt);
    pp_tensors_free(&st);
}

static void test_toolkit_is_safetensors(void **state)
{
    (void)state;
    compare_case("base", 45, true, false);
    compare_case("base-kv8", 45, true, false);
    compare_case("base-lora", 45, true, true);
    compare_case("base-packed", 45, true, false);
    compare_case("draft", 29, false, false);
}

static void test_adapter_is_adapter(void **state)
{
    (void)state;
    const char *pt_path = shared_file("golden/base-lora/adapter.pt"), *st_path = shared_file("golden/base-lora/adapter.safetensors");
    if (!pt_path || !st_path) return;
    pp_tensors pt, st;
    OK(pp_torch_open(pt_path, &pt, err));
    OK(pp_safetensors_open(st_path, &st, err));
    assert_int_equal(pt.n, st.n);
    for (size_t i = 0; i < st.n; i++) same(need(&pt, st.items[i].name), &st.items[i]);
    pp_tensors_free(&pt);
    pp_tensors_free(&st);
}

static void test_files_of_others(void **state)
{
    (void)state;
    pp_tensors t;
    const char *path = shared_file("data/torch-pt/tiny_state_dict_with_one_key.pt");
    if (path) {
        OK(pp_torch_open(path, &t, err));
        assert_int_equal(t.n, 1);
        const pp_tensor *only = need(&t, "test_key");
        assert_true(only->type == PIPPIN_F32 && only->n_dim == 2 && only->shape[0] == 10 && only->shape[1] == 10 && only->bytes == 400);
        pp_tensors_free(&t);
    }
    path = shared_file("data/tinystories-656k/model.safetensors");
    if (path) {
        OK(pp_safetensors_open(path, &t, err));
        assert_true(value(&t, "lm_head.weight", 50) == 0.14453125f);
        assert_true(value(&t, "model.layers.0.input_layernorm.weight", 10) == 0.18652344f);
        assert_true(value(&t, "model.layers.1.post_attention_layernorm.weight", 10) == 0.32421875f);
        assert_true(value(&t, "model.norm.weight", 100) == 0.73046875f);
        assert_true(value(&t, "model.layers.0.mlp.down_proj.weight", 100) == -0.0625f);
        assert_true(value(&t, "model.layers.0.mlp.up_proj.weight", 100) == 1.46875f);
        assert_true(value(&t, "model.layers.1.mlp.gate_proj.weight", 100) == 0.296875f);
        assert_true(value(&t, "model.layers.1.self_attn.q_proj.weight", 100) == 0.032226563f);
        assert_true(value(&t, "model.layers.1.self_attn.k_proj.weight", 100) == -0.21386719f);
        assert_true(value(&t, "model.layers.0.self_attn.v_proj.weight", 100) == 0.041015625f);
        assert_true(value(&t, "model.layers.0.self_attn.o_proj.weight", 100) == 0.01965332f);
        pp_tensors_free(&t);
    }
    path = shared_file("golden/hf-llama3/model.safetensors.index.json");
    if (path) {
        OK(pp_safetensors_open(path, &t, err));
        assert_int_equal(t.n, 29);
        assert_int_equal(t.n_maps, 2);
        pp_tensors_free(&t);
    }
    path = shared_file("data/stories260K/stories260K.bin");
    if (path) {
        pp_llama2c_header h;
        OK(pp_llama2c_open(path, &h, &t, err));
        assert_true(h.d_model == 64 && h.d_ffn == 172 && h.n_layer == 5 && h.n_head == 8 && h.n_kv_head == 4 && h.n_vocab == 512 &&
                    h.n_ctx == 512 && h.shared_head);
        assert_int_equal(t.n, 2 + 5 * 9);
        pp_tensors_free(&t);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* The folder must be empty but for what the tests know that they wrote: a temporary file left behind makes rmdir fail. */
static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"all.safetensors", "again.safetensors", "first.safetensors", "second.safetensors",
                                        "model.safetensors.index.json", "rows.npy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    const bool leaked = pippin_memory_used().live_bytes != 0;
    if (leaked) print_error("memory leaked\n");
    return rmdir(folder) == 0 && !leaked ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_then_open),
        cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_unaligned),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_torch_views),
        cmocka_unit_test(test_torch_shapes_of_pickles),
        cmocka_unit_test(test_torch_refuses),
        cmocka_unit_test(test_llama2c),
        cmocka_unit_test(test_no_such_file),
        cmocka_unit_test(test_shape_text),
        cmocka_unit_test(test_toolkit_is_safetensors),
        cmocka_unit_test(test_adapter_is_adapter),
        cmocka_unit_test(test_files_of_others),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
