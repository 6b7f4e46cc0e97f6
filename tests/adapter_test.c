/* adapter_test.c - adapter files: both naming conventions, where alpha comes from, blending, and what is refused. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "adapter/adapter.h"
#include "formats/formats.h"
#include "tests/support.h"

static char folder[] = "/tmp/pippin-adapter-XXXXXX", last_log[1000];

static void keep_log(void *user, const char *line)
{
    (void)user;
    snprintf(last_log, sizeof last_log, "%s", line);
}

static const char *in_corpus(const char *name)
{
    static char path[2][4200];
    static int next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof *path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    return p;
}

static const char *in_folder(const char *name) { return path_in(folder, name); }

static void write_text(const char *path, const char *text)
{
    pp_writer w;
    OK(pp_writer_open(path, &w, err));
    OK(pp_writer_write(&w, text, strlen(text), err));
    OK(pp_writer_commit(&w, err));
}

static pippin_model *model(void)
{
    pippin_model *m;
    OK(pippin_model_open(in_corpus("torch/afm.pt"), NULL, &m, err));
    return m;
}

enum { N_VOCAB = 16 };

/* Logits after a few tokens with these adapters. */
static void logits_with(pippin_model *m, const pippin_adapter_use *uses, size_t n, float out[N_VOCAB])
{
    const int32_t tokens[] = {3, 7, 1, 12};
    pippin_session *s;
    OK(pippin_session_create(m, &(pippin_session_options){.n_ctx = 8, .n_threads = 1}, &s, err));
    OK(pippin_session_set_adapters(s, uses, n, err));
    OK(pippin_session_sync(s, tokens, 4, err));
    memcpy(out, pippin_session_logits(s), N_VOCAB * sizeof *out);
    pippin_session_free(s);
}

/* The toolkit's tensors again under mlx-lm's names, with other or no metadata. */
static void rewrite(const char *path, const pp_entry *metadata, size_t n_metadata, bool mlx, size_t leave_out)
{
    static const char *const names[][2] = {
        {"attention.qkv_transform.adapters.base_adapter.lora_0", "self_attn.qkv_proj.lora_%c.0"},
        {"attention.qkv_transform.adapters.base_adapter.lora_1", "self_attn.qkv_proj.lora_%c.1"},
        {"attention.qkv_transform.adapters.base_adapter.lora_2", "self_attn.qkv_proj.lora_%c.2"},
        {"attention.q_transform.adapters.base_adapter", "self_attn.q_proj.lora_%c"},
        {"attention.output_transform.adapters.base_adapter", "self_attn.out_proj.lora_%c"},
        {"feed_forward.hidden_transform.linear_0.adapters.base_adapter", "mlp.gate_proj.lora_%c"},
        {"feed_forward.hidden_transform.linear_1.adapters.base_adapter", "mlp.up_proj.lora_%c"},
        {"feed_forward.output_transform.adapters.base_adapter", "mlp.down_proj.lora_%c"}};
    pp_tensors t;
    OK(pp_safetensors_open(in_corpus("safetensors/adapter.safetensors"), &t, err));
    pp_tensor items[64];
    static char text[64][160];
    for (size_t i = 0; i < t.n; i++) {
        items[i] = t.items[i];
        int segment, layer;
        for (size_t j = 0; mlx && j < 8; j++)
            if (strstr(t.items[i].name, names[j][0])) {
                char part[80];
                const char which = t.items[i].name[strlen(t.items[i].name) - strlen("a_transpose")];
                assert_int_equal(sscanf(t.items[i].name, "layers.segment_%d.layer_%d.", &segment, &layer), 2);
                snprintf(part, sizeof part, names[j][1], which);
                snprintf(text[i], sizeof text[i], "model.%s.%d.%s", segment ? "kv_reuse_layers" : "layers", layer,
                         part);
                items[i].name = text[i];
            }
    }
    OK(pp_safetensors_write(path, items, t.n - leave_out, metadata, n_metadata, err));
    pp_tensors_free(&t);
}

/* W + S alpha/rank (A B)^T in the matrices = the adapters beside them, whatever S and however many. */
static void test_merge(void **state)
{
    (void)state;
    pippin_model *m = model(), *merged;
    pippin_adapter *a;
    OK(pippin_adapter_open(in_corpus("safetensors/adapter.safetensors"), m, &a, err));
    static const float scales[][2] = {{1, 0}, {-0.5f, 0}, {0.75f, 2}};
    for (size_t i = 0; i < 3; i++) {
        const pippin_adapter_use uses[] = {{a, scales[i][0]}, {a, scales[i][1]}};
        const size_t n = scales[i][1] != 0 ? 2 : 1;
        float plain[N_VOCAB], attached[N_VOCAB], found[N_VOCAB];
        OK(pippin_model_save_gguf(m, &(pippin_save_options){.merge = uses, .n_merge = n}, in_folder("merged.gguf"),
                                  err));
        OK(pippin_model_open(in_folder("merged.gguf"), NULL, &merged, err));
        logits_with(m, NULL, 0, plain);
        logits_with(m, uses, n, attached);
        logits_with(merged, NULL, 0, found);
        float largest = 0, error = 0, effect = 0;
        for (int j = 0; j < N_VOCAB; j++) {
            largest = fmaxf(largest, fabsf(attached[j]));
            error = fmaxf(error, fabsf(attached[j] - found[j]));
            effect = fmaxf(effect, fabsf(attached[j] - plain[j]));
        }
        print_message("scales %g, %g: error %.2g, effect %.2g of %.2g\n", (double)scales[i][0], (double)scales[i][1],
                      (double)error, (double)effect, (double)largest);
        assert_true(error <= 1e-5f * largest && effect > 1e-3f * largest);
        pippin_model_free(merged);
    }
    pippin_model *other = model();
    pippin_error err;
    const pippin_adapter_use foreign = {a, 1};
    assert_int_equal(pippin_model_save_gguf(other, &(pippin_save_options){.merge = &foreign, .n_merge = 1},
                                            in_folder("merged.gguf"), &err),
                     PIPPIN_E_ARGUMENT);
    pippin_model_free(other);
    pippin_adapter_free(a);
    pippin_model_free(m);
}

static int stop_soon(void *user, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return ++*(int *)user == 1;
}

/* Progress reaches the end; a caller who has had enough leaves no file. */
static void test_cancel(void **state)
{
    (void)state;
    pippin_model *m = model();
    int calls = 1;
    const char *path = in_folder("cancelled.gguf");
    pippin_error refusal;
    OK(pippin_model_save_gguf(m, &(pippin_save_options){.progress = stop_soon, .user = &calls}, path, err));
    assert_true(calls > 1 && pp_path_exists(path));
    remove(path);
    calls = 0;
    assert_int_equal(
        pippin_model_save_gguf(m, &(pippin_save_options){.progress = stop_soon, .user = &calls}, path, &refusal),
        PIPPIN_E_CANCELLED);
    assert_false(pp_path_exists(path));
    pippin_model_free(m);
}

static void expect_alpha(pippin_model *m, const char *path, float alpha)
{
    pippin_adapter *a;
    OK(pippin_adapter_open(path, m, &a, err));
    assert_int_equal(pippin_adapter_rank(a), 2);
    assert_float_equal(pippin_adapter_alpha(a), alpha, 1e-6f);
    pippin_adapter_free(a);
}

static void test_alpha(void **state)
{
    (void)state;
    pippin_model *m = model();
    expect_alpha(m, in_corpus("safetensors/adapter.safetensors"), 3); /* its metadata */
    rewrite(in_folder("plain.safetensors"), NULL, 0, false, 0);
    last_log[0] = 0;
    expect_alpha(m, in_folder("plain.safetensors"), 1); /* rank / 2, and said */
    assert_non_null(strstr(last_log, "rank/2 = 1"));
    write_text(in_folder("adapter_config.json"), "{\"r\": 2, \"lora_alpha\": 8}"); /* PEFT */
    expect_alpha(m, in_folder("plain.safetensors"), 8);
    write_text(in_folder("adapter_config.json"), "{\"lora_parameters\": {\"rank\": 2, \"scale\": 10.0}}"); /* mlx-lm */
    expect_alpha(m, in_folder("plain.safetensors"), 20);
    rewrite(in_folder("plain.safetensors"), &(pp_entry){"alpha", "5.5"}, 1, false, 0);
    expect_alpha(m, in_folder("plain.safetensors"), 5.5f); /* the file's own word goes first */
    write_text(in_folder("adapter_config.json"), "{");
    rewrite(in_folder("plain.safetensors"), NULL, 0, false, 0);
    pippin_adapter *a;
    pippin_error failure;
    assert_int_equal(pippin_adapter_open(in_folder("plain.safetensors"), m, &a, &failure), PIPPIN_E_FORMAT);
    assert_non_null(strstr(failure.text, "adapter_config.json"));
    unlink(in_folder("adapter_config.json"));
    pippin_model_free(m);
}

static void test_names_and_blends(void **state)
{
    (void)state;
    pippin_model *m = model();
    pippin_adapter *toolkit, *mlx;
    float bare[N_VOCAB], one[N_VOCAB], other[N_VOCAB], twice[N_VOCAB];
    rewrite(in_folder("mlx.safetensors"), &(pp_entry){"alpha", "3"}, 1, true, 0);
    OK(pippin_adapter_open(in_corpus("safetensors/adapter.safetensors"), m, &toolkit, err));
    OK(pippin_adapter_open(in_folder("mlx.safetensors"), m, &mlx, err));
    logits_with(m, NULL, 0, bare);
    logits_with(m, &(pippin_adapter_use){toolkit, 1}, 1, one);
    logits_with(m, &(pippin_adapter_use){mlx, 1}, 1, other);
    assert_memory_not_equal(bare, one, sizeof bare);
    assert_memory_equal(one, other, sizeof one);
    logits_with(m, &(pippin_adapter_use){toolkit, 0}, 1, other); /* scale 0 is the bare base */
    assert_memory_equal(bare, other, sizeof bare);
    logits_with(m, (pippin_adapter_use[]){{toolkit, 1}, {mlx, 1}}, 2, other); /* twice = scale 2 */
    logits_with(m, &(pippin_adapter_use){toolkit, 2}, 1, twice);
    for (int i = 0; i < N_VOCAB; i++) assert_float_equal(other[i], twice[i], 1e-5f);
    /* Saved and opened again: the same, to the bit. */
    pippin_adapter *again;
    OK(pippin_adapter_save(mlx, m, PIPPIN_TYPE_AUTO, in_folder("half.safetensors"), err));
    OK(pippin_adapter_open(in_folder("half.safetensors"), m, &again, err));
    assert_float_equal(pippin_adapter_alpha(again), 3, 0);
    logits_with(m, &(pippin_adapter_use){again, 1}, 1, other);
    assert_memory_equal(one, other, sizeof one);
    pippin_adapter_free(again);
    pippin_adapter_free(toolkit);
    pippin_adapter_free(mlx);
    pippin_model_free(m);
}

static void refused(pippin_model *m, const char *path, const char *word)
{
    pippin_adapter *a;
    pippin_error failure;
    assert_int_equal(pippin_adapter_open(path, m, &a, &failure), PIPPIN_E_FORMAT);
    assert_null(a);
    if (!strstr(failure.text, word)) fail_msg("\"%s\" does not say %s", failure.text, word);
}

static void test_refused(void **state)
{
    (void)state;
    pippin_model *m = model(), *other;
    rewrite(in_folder("half.safetensors"), NULL, 0, false, 1); /* a B is missing */
    refused(m, in_folder("half.safetensors"), "b_transpose is missing");
    refused(m, in_corpus("safetensors/afm.safetensors"), "no adapter tensor");
    pippin_config c = small_afm();
    OK(pippin_model_random(&c, PIPPIN_F32, 1, NULL, &other, err));
    refused(other, in_corpus("safetensors/adapter.safetensors"), "another model");
    pippin_adapter *a;
    pippin_session *s;
    pippin_error failure;
    OK(pippin_adapter_open(in_corpus("safetensors/adapter.safetensors"), m, &a, err));
    OK(pippin_session_create(other, &(pippin_session_options){.n_ctx = 8}, &s, err));
    assert_int_equal(pippin_session_set_adapters(s, &(pippin_adapter_use){a, 1}, 1, &failure), PIPPIN_E_ARGUMENT);
    pippin_session_free(s);
    pippin_model_free(m);
    pippin_model_free(other);
    pippin_adapter_free(a); /* kept its model alive until here */
    assert_int_equal(pippin_memory_used().live_bytes, 0);
}

/* Every tensor rounded to `type`; from the tensor number `from` on as the f32 that it is then, so that a file may mix them. */
static void write_rounded(const char *path, pippin_type type, size_t from)
{
    pp_tensors t;
    pp_tensor items[64];
    void *kept[64];
    OK(pp_safetensors_open(in_corpus("safetensors/adapter.safetensors"), &t, err));
    for (size_t i = 0; i < t.n; i++) {
        const size_t n = t.items[i].n_elem;
        float *wide = test_calloc(n, sizeof *wide);
        uint16_t *half = test_calloc(n, sizeof *half);
        pp_decode_row(t.items[i].type, t.items[i].data, wide, n);
        pp_encode_row(type, wide, half, n);
        pp_decode_row(type, half, wide, n);
        items[i] = t.items[i];
        items[i].type = i < from ? type : PIPPIN_F32;
        items[i].data = kept[i] = i < from ? (void *)half : wide;
        items[i].bytes = pp_type_bytes(items[i].type, n);
        test_free(i < from ? (void *)wide : half);
    }
    OK(pp_safetensors_write(path, items, t.n, t.metadata, t.n_metadata, err));
    for (size_t i = 0; i < t.n; i++) test_free(kept[i]);
    pp_tensors_free(&t);
}

/* Logits of the reference network into a file. */
static void score_with(pippin_model *m, const pippin_adapter_use *use, const char *name)
{
    const int32_t tokens[] = {3, 7, 1, 12};
    pippin_session *s;
    OK(pippin_session_create(m, &(pippin_session_options){.n_ctx = 8}, &s, err));
    OK(pippin_session_set_adapters(s, use, 1, err));
    OK(pippin_session_score_npy(s, &(pippin_score){.tokens = tokens, .n_tok = 4, .reference = true}, in_folder(name),
                                err));
    pippin_session_free(s);
}

/* Half precision is kept as it is, and is the same adapter as its values in f32: in passes, in the reference, merged and saved. */
static void test_half(void **state)
{
    (void)state;
    static const pippin_type types[] = {PIPPIN_F16, PIPPIN_BF16};
    for (size_t i = 0; i < 4; i++) {
        const pippin_type type = types[i % 2];
        pippin_model *m = model();
        pippin_adapter *half, *whole;
        float out[2][N_VOCAB];
        write_rounded(in_folder("half.safetensors"), type, i < 2 ? 64 : 3);
        write_rounded(in_folder("whole.safetensors"), type, 0);
        OK(pippin_adapter_open(in_folder("half.safetensors"), m, &half, err));
        OK(pippin_adapter_open(in_folder("whole.safetensors"), m, &whole, err));
        assert_int_equal(half->lora.type, i < 2 ? type : PIPPIN_F32);
        assert_int_equal(whole->lora.type, PIPPIN_F32);
        const pippin_adapter_use uses[] = {{half, 0.5f}, {whole, 0.5f}};
        for (size_t j = 0; j < 2; j++) {
            logits_with(m, &uses[j], 1, out[j]);
            score_with(m, &uses[j], j ? "whole.npy" : "half.npy");
            OK(pippin_model_save_gguf(m, &(pippin_save_options){.merge = &uses[j], .n_merge = 1},
                                      in_folder(j ? "whole.gguf" : "half.gguf"), err));
            OK(pippin_adapter_save(uses[j].adapter, m, type, in_folder(j ? "whole.saved" : "half.saved"), err));
            OK(pippin_adapter_save(uses[j].adapter, m, PIPPIN_F32, in_folder(j ? "whole.wide" : "half.wide"), err));
        }
        assert_memory_equal(out[0], out[1], sizeof out[0]);
        assert_same_files(folder, "half.npy", "whole.npy");
        assert_same_files(folder, "half.gguf", "whole.gguf");
        assert_same_files(folder, "half.saved", "whole.saved");
        assert_same_files(folder, "half.wide", "whole.wide");
        OK(pippin_adapter_save(half, m, PIPPIN_TYPE_AUTO, in_folder("own.saved"), err));
        assert_same_files(folder, "own.saved", i < 2 ? "half.saved" : "half.wide");
        pippin_error failure;
        assert_int_equal(pippin_adapter_save(half, m, PIPPIN_Q8, in_folder("no.saved"), &failure), PIPPIN_E_ARGUMENT);
        pippin_adapter_free(half);
        pippin_adapter_free(whole);
        pippin_model_free(m);
    }
}

/* Adapters inside a checkpoint are attached; -a none (no_embedded_adapter) is the bare base. */
static void test_embedded(void **state)
{
    (void)state;
    pippin_model *with, *without = model();
    OK(pippin_model_open(in_corpus("torch/afm-adapter.pt"), NULL, &with, err));
    assert_non_null(pippin_model_adapter(with));
    assert_null(pippin_model_adapter(without));
    pippin_model_free(with);
    pippin_model_free(without);
}

int main(void)
{
    const pippin_hooks hooks = {.log = keep_log};
    pippin_set_hooks(&hooks);
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alpha),   cmocka_unit_test(test_names_and_blends),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_embedded),
                                       cmocka_unit_test(test_merge),   cmocka_unit_test(test_cancel),
                                       cmocka_unit_test(test_half)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_folder(folder);
    return failed;
}
