/*
 * checkpoints_test.c - files of torch.save and of llama2.c: views, copies and refusals; the toolkit's weights are those
 * of the same model in safetensors; files that others wrote hold the numbers that others published.
 */
#include "tests/formats_support.h"

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
    assert_true((const uint8_t *)y->data > map &&
                (const uint8_t *)y->data < map + t.maps[0].size); /* which is the file's */
    pp_tensors_free(&t);

    OK(pp_torch_open(in_corpus("torch/unaligned.pt"), &t, err));
    const pp_tensor *a = need(&t, "a");
    assert_int_equal((uintptr_t)a->data % sizeof(float), 0);
    assert_ptr_equal(a->data, need(&t, "b")->data);
    assert_ptr_equal(need(&t, "c")->data, (const float *)a->data + 4);
    pp_tensors_free(&t);
}

static void test_torch_pickles(void **state)
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

/* Checkpoints above 4 GB keep their sizes and places in other records. */
static void test_torch_zip64(void **state)
{
    (void)state;
    pp_tensors t;
    OK(pp_torch_open(in_corpus("torch/zip64.pt"), &t, err));
    for (size_t i = 0; i < 6; i++) assert_true(value(&t, "x", i) == (float)i);
    assert_true(value(&t, "y", 0) == 7 && value(&t, "y", 1) == 8);
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
        {"zip64-count", PIPPIN_E_FORMAT, "its directory lies outside the file"},
        {"zip64-place", PIPPIN_E_FORMAT, "its directory lies outside the file"},
        {"zip64-member", PIPPIN_E_FORMAT, "lies outside the file"},
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
        assert_true(h.d_model == 8 && h.d_ffn == 12 && h.n_layer == 2 && h.n_head == 2 && h.n_kv_head == 1 &&
                    h.n_vocab == 265);
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
    } bad[] = {{"cut", "expected more"},         {"longer", "expected fewer"}, {"short", "the header says"},
               {"many-layers", "600000 layers"}, {"0-0", "width 0"},           {"2-1", "-1 layers"},
               {"5-3", "the header says"},       {"4-4", "3 K/V heads"}};
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

/* ---- the same weights in two formats, and files of others ---- */

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
            snprintf(name, size, "%s.%s%s%s", prefix, modules[i].module, wrapped && modules[i].linear ? ".wrapped" : "",
                     modules[i].rest);
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
    const char *pt_path = shared_file("golden/base-lora/adapter.pt"),
               *st_path = shared_file("golden/base-lora/adapter.safetensors");
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
        assert_true(only->type == PIPPIN_F32 && only->n_dim == 2 && only->shape[0] == 10 && only->shape[1] == 10 &&
                    only->bytes == 400);
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
        assert_true(h.d_model == 64 && h.d_ffn == 172 && h.n_layer == 5 && h.n_head == 8 && h.n_kv_head == 4 &&
                    h.n_vocab == 512 && h.n_ctx == 512 && h.shared_head);
        assert_int_equal(t.n, 2 + 5 * 9);
        pp_tensors_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch_views),
        cmocka_unit_test(test_torch_pickles),
        cmocka_unit_test(test_torch_zip64),
        cmocka_unit_test(test_torch_refuses),
        cmocka_unit_test(test_llama2c),
        cmocka_unit_test(test_toolkit_is_safetensors),
        cmocka_unit_test(test_adapter_is_adapter),
        cmocka_unit_test(test_files_of_others),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    const uint64_t leaked = pippin_memory_used().live_bytes;
    if (leaked) print_error("%llu bytes leaked\n", (unsigned long long)leaked);
    return failed || leaked ? 1 : 0;
}
