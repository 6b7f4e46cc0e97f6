/*
 * gguf_tokenizer_test.c - tokenizers of every kind inside a GGUF that pippin wrote: ids are those of the tokenizer's own file,
 * after a second conversion too, and for readers that know the common keys only; chat templates come along.
 */
#define _DEFAULT_SOURCE
#include "tests/vectors.h"

static char folder[] = "/tmp/pippin-gguf-tokenizer-XXXXXX";

static const char *in_folder(const char *name) { return path_in(folder, name); }

static const char *in_corpus(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    return path;
}

/* ---- the ways a tokenizer can go ---- */

/* A model of the smallest size around this tokenizer, and three ids more than it has, as a GGUF. */
static void convert(const char *tokenizer, const char *gguf)
{
    pippin_tokenizer *t = open_path(tokenizer);
    pippin_config c = small_afm();
    c.n_vocab = pippin_tokenizer_size(t) + 3;
    c.d_model = 4;
    c.n_head = c.n_kv_head = 1;
    c.d_head = c.d_ffn = 2;
    c.n_layer = 2;
    c.n_reuse = 1;
    pippin_tokenizer_free(t);
    pippin_model *m;
    OK(pippin_model_random(&c, PIPPIN_F16, 1, &(pippin_model_options){.tokenizer = tokenizer}, &m, err));
    OK(pippin_model_save_gguf(m, NULL, gguf, err));
    pippin_model_free(m);
}

/* The same again from what that file has inside; with the model, as a command opens it. */
static void convert_again(const char *gguf, const char *again)
{
    pippin_model *m;
    OK(pippin_model_open(gguf, NULL, &m, err));
    assert_non_null(pippin_model_tokenizer(m));
    OK(pippin_model_save_gguf(m, &(pippin_save_options){.type = PIPPIN_F32}, again, err));
    pippin_model_free(m);
}

static void hide(pp_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_entries; i++)
        if (g->entries[i].n_key == strlen(key) && memcmp(g->entries[i].key, key, strlen(key)) == 0)
            g->entries[i].n_key = 0;
}

/* As a program reads it that has never heard of pippin. The GGUF must live as long. */
static pippin_tokenizer *open_common(const char *gguf, pp_gguf *g)
{
    pippin_tokenizer *t;
    OK(pp_gguf_open(gguf, g, err));
    hide(g, "pippin.tokenizer.file");
    hide(g, "pippin.tokenizer.config");
    OK(pp_tokenizer_from_gguf(g, "vocabulary", &t, err));
    assert_non_null(t);
    return t;
}

/* ---- every vocabulary, by its vectors ---- */

typedef struct vocabulary {
    const char *name, *file;      /* below ../shared; NULL: Qwen's, which is unpacked */
    const char *vectors, *member; /* a JSON file of cases, and the member that they are */
    const char *lines;            /* or llama.cpp's .inp and .out */
    bool bos, forget;             /* cases begin with BOS; their `decoded` is not the vocabulary's */
} vocabulary;

#define TRANSFORMERS "data/tokenizers/transformers.js/vectors.json"
#define PIECES       "data/tokenizers/sentencepiece/"

static const vocabulary vocabularies[] = {
    {"story4096", PIECES "story4096.model", PIECES "story4096.vectors.json", NULL, NULL, false, false},
    {"m", PIECES "m.model", PIECES "m.vectors.json", NULL, NULL, false, false},
    {"test_model", PIECES "test_model.model", PIECES "test_model.vectors.json", NULL, NULL, false, false},
    {"tinystories", "data/tinystories-656k/tokenizer.json", "data/tinystories-656k/tokenizer_vectors.json", NULL, NULL,
     true, false},
    {"gpt-2", "data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf", TRANSFORMERS, "Xenova/gpt2",
     "data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf", false, true},
    {"llama 2", "data/gguf-tiny-random/llama-2-tiny-random.gguf", TRANSFORMERS, "Xenova/llama-tokenizer", NULL, true,
     true},
    {"qwen", NULL, TRANSFORMERS, "Xenova/Qwen1.5-0.5B-Chat", "data/tokenizers/llama.cpp/ggml-vocab-qwen2.gguf", false,
     true},
};

enum { N_VOCABULARY = sizeof vocabularies / sizeof *vocabularies };

static void check_vocabulary(const vocabulary *v, const pippin_tokenizer *t, const char *how)
{
    char what[100];
    snprintf(what, sizeof what, "%s, %s", v->name, how);
    json_t *all = load_shared(v->vectors), *cases = v->member ? json_object_get(all, v->member) : all;
    const char *name;
    json_t *c;
    json_object_foreach (cases, name, c)
        if (v->forget) json_object_del(c, "decoded");
    check_cases(t, what, cases, v->bos, LOSSY);
    json_decref(all);
    char inp[256], out[256];
    if (!v->lines) return;
    snprintf(inp, sizeof inp, "%.200s.inp", v->lines);
    snprintf(out, sizeof out, "%.200s.out", v->lines);
    check_llama_cpp(t, what, shared_file(inp), shared_file(out), LOSSY);
}

static void test_vocabulary(void **state)
{
    const vocabulary *v = *state;
    const char *path = v->file ? shared_file(v->file) : unpack_qwen();
    if (!path || !shared_file(v->vectors)) return;
    const char *once = in_folder("once.gguf"), *twice = in_folder("twice.gguf");
    convert(path, once);
    convert_again(once, twice);
    if (!v->file) remove(path);
    const char *const files[] = {once, twice};
    for (int i = 0; i < 2; i++) {
        pippin_tokenizer *t = open_path(files[i]);
        check_vocabulary(v, t, i ? "converted twice" : "converted");
        pippin_tokenizer_free(t);
        pp_gguf g;
        t = open_common(files[i], &g);
        check_vocabulary(v, t, "common keys");
        pippin_tokenizer_free(t);
        pp_gguf_free(&g);
    }
}

/* ---- what has no vectors: the same ids as its own file gives, with special pieces too ---- */

static void check_same(const pippin_tokenizer *a, const pippin_tokenizer *b)
{
    static const char text[] =
        " Once upon a time,\n\n  h\xc3\xa9llo <n> ab<|end|>abc <turn_end>\xf0\x9f\x98\x80</s> e\xcc\x81 123";
    assert_int_equal(pippin_tokenizer_bos(a), pippin_tokenizer_bos(b));
    assert_int_equal(pippin_tokenizer_eos(a), pippin_tokenizer_eos(b));
    assert_int_equal(pippin_tokenizer_size(a), pippin_tokenizer_size(b));
    for (int special = 0; special < 2; special++) {
        const pippin_tokenize_options options = {.special = special};
        int32_t ids[2][200];
        size_t n[2];
        OK(pippin_tokenize(a, text, sizeof text - 1, &options, ids[0], 200, &n[0], err));
        OK(pippin_tokenize(b, text, sizeof text - 1, &options, ids[1], 200, &n[1], err));
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(ids[0], ids[1], n[0] * sizeof **ids);
        size_t n_back[2];
        char *back[2] = {decode(a, ids[0], n[0], &n_back[0]), decode(b, ids[0], n[0], &n_back[1])};
        assert_int_equal(n_back[0], n_back[1]);
        assert_memory_equal(back[0], back[1], n_back[0]);
        test_free(back[0]);
        test_free(back[1]);
    }
}

static void check_file(const char *path)
{
    const char *once = in_folder("once.gguf"), *twice = in_folder("twice.gguf");
    convert(path, once);
    convert_again(once, twice);
    pippin_tokenizer *own = open_path(path), *a = open_path(once), *b = open_path(twice);
    check_same(own, a);
    check_same(own, b);
    pippin_tokenizer_free(own);
    pippin_tokenizer_free(a);
    pippin_tokenizer_free(b);
}

static void test_own_files(void **state)
{
    (void)state;
    static const char *const names[] = {"sentencepiece/afm.model",
                                        "sentencepiece/bpe.model",
                                        "sentencepiece/unigram.model",
                                        "sentencepiece/user.model",
                                        "tokenizer_json/bytes.json",
                                        "tokenizer_json/gpt2.json",
                                        "tokenizer_json/llama.json",
                                        "tokenizer_json/metaspace.json",
                                        "tokenizer_json/splits.json",
                                        "tokenizer_json/whole-words.json",
                                        "tokenizer_json/escapes.json",
                                        "tokenizer/tok.bin",
                                        "gguf/merges.gguf",
                                        "gguf/pieces.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_file(in_corpus(names[i]));
}

/* llama2.c's plain spaces become what other readers expect, and give the same ids there. */
static void test_llama2c(void **state)
{
    (void)state;
    const char *path = shared_file("data/stories260K/tok512.bin");
    if (!path) return;
    check_file(path);
    static const char text[] = "Once upon a time, there was a little girl named Lily.\nH\xc3\xa9 said: \"no\"";
    pp_gguf g;
    pippin_tokenizer *own = open_path(path), *t = open_common(in_folder("once.gguf"), &g);
    size_t n_own, n, n_back;
    int32_t *wanted = encode(own, text, sizeof text - 1, true, &n_own),
            *ids = encode(t, text, sizeof text - 1, true, &n);
    assert_int_equal(n, n_own);
    assert_memory_equal(ids, wanted, n * sizeof *ids);
    char *back = decode(t, ids, n, &n_back);
    assert_int_equal(n_back, sizeof text - 1);
    assert_memory_equal(back, text, n_back);
    test_free(back);
    test_free(ids);
    test_free(wanted);
    pippin_tokenizer_free(own);
    pippin_tokenizer_free(t);
    pp_gguf_free(&g);
}

/* ---- chat templates ---- */

static void write_text(const char *path, const char *text)
{
    pp_writer w;
    OK(pp_writer_open(path, &w, err));
    OK(pp_writer_write(&w, text, strlen(text), err));
    OK(pp_writer_commit(&w, err));
}

static void expect_template(const char *text)
{
    pp_gguf g;
    const char *gguf = in_folder("once.gguf");
    convert(in_folder("tokenizer.json"), gguf);
    for (int again = 0; again < 2; again++) {
        OK(pp_gguf_open(gguf, &g, err));
        if (text)
            assert_true(pp_gguf_text_is(&g, "tokenizer.chat_template", text));
        else
            assert_null(pp_gguf_find(&g, "tokenizer.chat_template"));
        pp_gguf_free(&g);
        convert_again(gguf, in_folder("twice.gguf"));
        gguf = in_folder("twice.gguf");
    }
}

static void test_templates(void **state)
{
    (void)state;
    pp_map map;
    OK(pp_map_open(in_corpus("tokenizer_json/bytes.json"), &map, err));
    pp_writer w;
    OK(pp_writer_open(in_folder("tokenizer.json"), &w, err));
    OK(pp_writer_write(&w, map.data, map.size, err));
    OK(pp_writer_commit(&w, err));
    pp_map_close(&map);
    expect_template(NULL);
    write_text(in_folder("tokenizer_config.json"), "{\"eos_token\": \"<|end|>\", \"chat_template\": \"{{ m }}\\n\"}");
    expect_template("{{ m }}\n");
    pippin_tokenizer *own = open_path(in_folder("tokenizer.json")), *t = open_path(in_folder("once.gguf"));
    assert_true(pippin_tokenizer_eos(own) >= 0); /* only the file beside it says so */
    check_same(own, t);
    pippin_tokenizer_free(own);
    pippin_tokenizer_free(t);
    write_text(in_folder("tokenizer_config.json"), "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"r\"}, "
                                                   "{\"name\": \"default\", \"template\": \"d\"}]}");
    expect_template("d");
    write_text(in_folder("chat_template.jinja"), "{% file %}");
    expect_template("{% file %}");
}

/* ---- ids of the configuration, and the adapter's numbers, which are not the tokenizer's ---- */

static void test_configuration(void **state)
{
    (void)state;
    pippin_config c = small_afm();
    c.bos_id = 7;
    c.eos_id = 9;
    c.lora_rank = 4;
    c.lora_alpha = 2.5f;
    pippin_model *m, *again;
    const pippin_model_options options = {.tokenizer = in_corpus("tokenizer_json/bytes.json")};
    OK(pippin_model_random(&c, PIPPIN_F32, 1, &options, &m, err));
    OK(pippin_model_save_gguf(m, NULL, in_folder("once.gguf"), err));
    OK(pippin_model_open(in_folder("once.gguf"), NULL, &again, err));
    const pippin_config *found = pippin_model_config(again);
    assert_int_equal(found->bos_id, 7);
    assert_int_equal(found->eos_id, 9);
    assert_int_equal(found->lora_rank, 4);
    assert_float_equal(found->lora_alpha, 2.5f, 0);
    check_same(pippin_model_tokenizer(m), pippin_model_tokenizer(again));
    pippin_model_free(m);
    pippin_model_free(again);
}

/* A tokenizer inside that is no tokenizer is an error that names the file; a GGUF in a GGUF is none. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const insides[] = {"GGUF\3\0\0\0", "{\"model\": {}}", "garbage", ""};
    for (size_t i = 0; i < 4; i++) {
        pp_gguf_writer w = {0}, tensors = {0};
        pp_gguf_put_bytes(&w, "pippin.tokenizer.file", insides[i], i ? strlen(insides[i]) : 8);
        OK(pp_gguf_start(&w, &tensors, in_folder("once.gguf"), err));
        OK(pp_gguf_commit(&w, err));
        pp_gguf_abort(&w);
        pp_gguf_abort(&tensors);
        pippin_tokenizer *t;
        pippin_error err;
        assert_int_equal(pippin_tokenizer_open(in_folder("once.gguf"), &t, &err), PIPPIN_E_FORMAT);
        assert_null(t);
        assert_non_null(strstr(err.text, "once.gguf"));
    }
}

static void test_tiktoken(void **state)
{
    (void)state;
    const char *path = shared_file("data/tokenizers/torchtune/tiktoken_small.model");
    if (!path) return;
    pippin_tokenizer *t;
    pippin_error err;
    assert_int_equal(pippin_tokenizer_open(path, &t, &err), PIPPIN_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "tiktoken"));
    assert_non_null(strstr(err.text, "tokenizer.json"));
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    struct CMUnitTest tests[N_VOCABULARY + 6] = {cmocka_unit_test(test_own_files), cmocka_unit_test(test_llama2c),
                                                 cmocka_unit_test(test_templates), cmocka_unit_test(test_configuration),
                                                 cmocka_unit_test(test_refused),   cmocka_unit_test(test_tiktoken)};
    for (size_t i = 0; i < N_VOCABULARY; i++)
        tests[i + 6] = (struct CMUnitTest){.name = vocabularies[i].name,
                                           .test_func = test_vocabulary,
                                           .initial_state = (void *)(uintptr_t)&vocabularies[i]};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const files[] = {"once.gguf", "twice.gguf", "tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < 5; i++) unlink(in_folder(files[i]));
    rmdir(folder);
    return failed;
}
