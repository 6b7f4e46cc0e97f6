/*
 * formats_test.c - files to tensors and back: what is written is read again bit for bit, and a file that
 * lies is refused with the right status and words. (torch.save and llama2.c: checkpoints_test.c.)
 */
#define _DEFAULT_SOURCE
#include <unistd.h>

#include "tests/formats_support.h"

static char folder[] = "/tmp/pippin-formats-XXXXXX";

static const char *in_folder(const char *name) { return path_in(folder, name); }

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
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
    assert_int_equal(pp_safetensors_write(in_folder("no/such/folder.safetensors"), made, N_MADE, NULL, 0, &error),
                     PIPPIN_E_IO);
    assert_false(pp_path_exists(path));
}

#define TENSOR(name, dtype, shape, range)                                                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" range "]}"
#define A(shape, range) "{" TENSOR("a", "F32", shape, range) "}"
#define AND_B(range)    "{" TENSOR("a", "F32", "2", "0,8") "," TENSOR("b", "F32", "2", range) "}"

static const struct {
    const char *header;
    size_t n_data;
    pippin_status status;
    const char *words;
} bad_headers[] = {
    {A("2", "0,8"), 4, PIPPIN_E_FORMAT, "tensor a: lies outside the file"},
    {A("2", "0,8"), 9, PIPPIN_E_FORMAT, "1 bytes after the last tensor"},
    {"{}", 1, PIPPIN_E_FORMAT, "1 bytes after the last tensor"},
    {A("2", "4,12"), 12, PIPPIN_E_FORMAT, "tensor a: leaves a hole"},
    {AND_B("4,12"), 12, PIPPIN_E_FORMAT, "tensor b: overlaps"},
    {AND_B("0,8"), 8, PIPPIN_E_FORMAT, "overlaps"},
    {"{" TENSOR("a", "F32", "2", "0,8") "," TENSOR("a", "F32", "2", "0,8") "}", 8, PIPPIN_E_FORMAT, "duplicate"},
    {A("3", "0,8"), 8, PIPPIN_E_FORMAT, "tensor a: has 8 bytes, expected 3 elements of f32"},
    {A("-2", "0,8"), 8, PIPPIN_E_FORMAT, "tensor a: the shape"},
    {A("4611686018427387904,4,2", "0,8"), 8, PIPPIN_E_FORMAT, "tensor a: the shape"},
    {A("4611686018427387904", "0,0"), 0, PIPPIN_E_FORMAT, "tensor a: has 0 bytes"},
    {A("18446744073709551615", "0,8"), 8, PIPPIN_E_FORMAT, "too big integer"},
    {A("1,1,1,1,2", "0,8"), 8, PIPPIN_E_FORMAT, "tensor a: has no shape of up to four"},
    {A("2.0", "0,8"), 8, PIPPIN_E_FORMAT, "tensor a: has a shape"},
    {A("2", "8,0"), 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {A("2", "-8,0"), 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {A("2", "0,9223372036854775807"), 8, PIPPIN_E_FORMAT, "tensor a: lies outside"},
    {A("2", "0"), 8, PIPPIN_E_FORMAT, "tensor a: has no data_offsets"},
    {"{" TENSOR("a", "F64", "1", "0,8") "}", 8, PIPPIN_E_UNSUPPORTED, "tensor a: dtype is F64"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, PIPPIN_E_FORMAT, "tensor a: has no dtype"},
    {"{\"a\":3}", 0, PIPPIN_E_FORMAT, "tensor a: has no dtype"},
    {"{" TENSOR("", "F32", "2", "0,8") "}", 8, PIPPIN_E_FORMAT, "the name of tensor 1"},
    {"{" TENSOR("a\\u0000b", "F32", "2", "0,8") "}", 8, PIPPIN_E_FORMAT, "NUL byte"},
    {"[]", 0, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {" " A("2", "0,8"), 8, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {"", 8, PIPPIN_E_FORMAT, "does not begin with '{'"},
    {"{" TENSOR("a", "F32", "2", "0,8"), 8, PIPPIN_E_FORMAT, "not a JSON object"},
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
        const size_t n = strlen(bad_headers[i].header),
                     size = join(file, n, bad_headers[i].header, n, bad_headers[i].n_data);
        const pippin_status status = pp_safetensors_parse(file, size, "x.safetensors", &t, &error);
        refused(status, bad_headers[i].status, &t, &error, "x.safetensors: ", bad_headers[i].words);
    }
    static const uint64_t lengths[] = {3,         4, 100000001, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX - 7,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        pp_tensors t;
        pippin_error error = {0};
        const size_t size = join(file, lengths[i], "{}", 2, 0);
        refused(pp_safetensors_parse(file, size, "x", &t, &error), PIPPIN_E_FORMAT, &t, &error,
                "x: ", "the header's length is");
    }
    for (size_t size = 0; size < 8; size++) {
        pp_tensors t;
        pippin_error error = {0};
        refused(pp_safetensors_parse(file, size, "x", &t, &error), PIPPIN_E_FORMAT, &t, &error,
                "x: ", "expected a safetensors file");
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
    refused(pp_safetensors_parse(file, size, "many", &t, &error), PIPPIN_E_UNSUPPORTED, &t, &error,
            "many: ", "values in");
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
    write_index(
        "{\"one.dim\":\"first.safetensors\",\"scalar\":\"first.safetensors\",\"two.dims\":\"second.safetensors\"}");
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
        {"{\"scalar\":\"second.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json",
         "tensor scalar: is not in second.safetensors"},
        {"{\"one.dim\":\"first.safetensors\",\"scalar\":\"second.safetensors\"}", PIPPIN_E_FORMAT,
         "model.safetensors.index.json", "tensor scalar: is not in second.safetensors"},
        {"{\"absent\":\"first.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json",
         "tensor absent: is not in first.safetensors"},
        {"{\"a\":\"third.safetensors\"}", PIPPIN_E_IO, "third.safetensors", "No such file"},
        {"{\"a\":\"../first.safetensors\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json",
         "names the shard \"../first.safetensors\""},
        {"{\"a\":\"/etc/passwd\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard \"/etc/passwd\""},
        {"{\"a\":\"..\"}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard"},
        {"{\"a\":3}", PIPPIN_E_FORMAT, "model.safetensors.index.json", "names the shard"},
        {"[\"a\"]", PIPPIN_E_FORMAT, "model.safetensors.index.json", "field weight_map"},
        {"{\"a\":", PIPPIN_E_FORMAT, "model.safetensors.index.json", "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_index(bad[i].map);
        pippin_error error = {0};
        refused(pp_safetensors_open(index, &t, &error), bad[i].status, &t, &error, in_folder(bad[i].source),
                bad[i].words);
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

/* ---- the n-th allocation fails ---- */

static size_t countdown;

static void *alloc_or_fail(void *user, size_t size, size_t align)
{
    (void)user;
    if (countdown && --countdown == 0) return NULL;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

static pippin_status open_any(const char *path, pp_tensors *t, pippin_error *err)
{
    pp_llama2c_header h;
    if (pp_path_ends(path, ".pt")) return pp_torch_open(path, t, err);
    return pp_path_ends(path, ".bin") ? pp_llama2c_open(path, &h, t, err) : pp_safetensors_open(path, t, err);
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    pp_tensor made[N_MADE];
    make_tensors(made);
    OK(pp_safetensors_write(in_folder("first.safetensors"), made, N_MADE, &(pp_entry){"format", "pt"}, 1, err));
    write_index("{\"scalar\":\"first.safetensors\"}");
    static const char *const files[] = {"torch/afm-adapter.pt",
                                        "torch/unaligned.pt",
                                        "torch/transposed.pt",
                                        "llama2c/untied.bin",
                                        "safetensors/adapter.safetensors",
                                        "safetensors/unaligned.safetensors",
                                        NULL};
    pippin_set_hooks(&(pippin_hooks){.alloc = alloc_or_fail, .release = release});
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = files[i] ? in_corpus(files[i]) : in_folder("model.safetensors.index.json");
        pippin_status status = PIPPIN_E_MEMORY;
        size_t n = 0;
        for (; status != PIPPIN_OK; n++) {
            pp_tensors t;
            pippin_error error = {0};
            countdown = n + 1;
            status = open_any(path, &t, &error);
            countdown = 0;
            if (status == PIPPIN_OK)
                pp_tensors_free(&t);
            else
                refused(status, PIPPIN_E_MEMORY, &t, &error, "", "of memory could not be had");
            assert_int_equal(pippin_memory_used().live_bytes, 0);
        }
        assert_true(n > 5);
    }
    pippin_set_hooks(&(pippin_hooks){0});
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

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* The folder must be empty but for what the tests know that they wrote: a temporary file left behind makes rmdir fail.
 */
static int folder_is_left_empty(void **state)
{
    (void)state;
    static const char *const names[] = {"all.safetensors",
                                        "again.safetensors",
                                        "first.safetensors",
                                        "second.safetensors",
                                        "model.safetensors.index.json",
                                        "rows.npy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    const bool leaked = pippin_memory_used().live_bytes != 0;
    if (leaked) print_error("memory leaked\n");
    return rmdir(folder) == 0 && !leaked ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_then_open), cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_bad_headers),     cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_too_many_values), cmocka_unit_test(test_unaligned),
        cmocka_unit_test(test_shards),          cmocka_unit_test(test_npy),
        cmocka_unit_test(test_no_such_file),    cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_shape_text),
    };
    return cmocka_run_group_tests(tests, make_folder, folder_is_left_empty);
}
