/*
 * tokenizer_test.c - real vocabularies of every kind against ids that others computed, and the laws of all of them: what is
 * lossless comes back, text never yields special ids, streaming gives whole characters, a long text takes seconds.
 */
#define _DEFAULT_SOURCE
#include <time.h>

#include "tests/vectors.h"
#include "train/data.h"

/* ---- vocabularies ---- */

static pippin_tokenizer *open_qwen(double *seconds)
{
    const char *path = unpack_qwen();
    if (!path) return NULL;
    const double start = (double)clock() / CLOCKS_PER_SEC; /* others may use the machine */
    pippin_tokenizer *t = open_path(path);
    if (seconds) *seconds = (double)clock() / CLOCKS_PER_SEC - start;
    remove(path); /* what is mapped stays */
    return t;
}

static void test_qwen(void **state)
{
    (void)state;
    double seconds = 0;
    pippin_tokenizer *t = open_qwen(&seconds);
    if (!t) return;
    print_message("qwen3 tokenizer.json opened in %.3f s\n", seconds);
    assert_true(seconds < 1);
    assert_int_equal(pippin_tokenizer_size(t), 151669);
    const char *inp = shared_file("data/tokenizers/llama.cpp/ggml-vocab-qwen2.gguf.inp"),
               *out = shared_file("data/tokenizers/llama.cpp/ggml-vocab-qwen2.gguf.out");
    check_llama_cpp(t, "llama.cpp qwen2", inp, out, LOSSY); /* NFC is not lossless */
    json_t *vectors = load_shared("data/tokenizers/transformers.js/vectors.json");
    check_cases(t, "transformers.js Qwen1.5", json_object_get(vectors, "Xenova/Qwen1.5-0.5B-Chat"), false, LOSSY);
    json_decref(vectors);
    pippin_tokenizer_free(t);
    /* Their vocabularies have to be fetched by whoever accepts their licences. */
    static const char *const absent[] = {"llama.cpp llama-bpe", "transformers.js llama3-tokenizer",
                                         "transformers.js llama3-tokenizer-new", "transformers.js TinyLLama-v0",
                                         "transformers.js deepseek-coder"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        print_message("SKIPPED %s: its vocabulary is not on this machine\n", absent[i]);
}

static void test_gpt2_gguf(void **state)
{
    (void)state;
    const char *path = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf");
    if (!path) return;
    pippin_tokenizer *t = open_path(path);
    const char *inp = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.inp"),
               *out = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.out");
    check_llama_cpp(t, "llama.cpp gpt-2", inp, out, LOSSLESS);
    json_t *vectors = load_shared("data/tokenizers/transformers.js/vectors.json");
    forget_decoded(json_object_get(vectors, "Xenova/gpt2"));
    check_cases(t, "transformers.js gpt2", json_object_get(vectors, "Xenova/gpt2"), false, LOSSLESS);
    json_decref(vectors);
    pippin_tokenizer_free(t);
}

static void test_tinystories(void **state)
{
    (void)state;
    const char *path = shared_file("data/tinystories-656k/tokenizer.json");
    if (!path) return;
    pippin_tokenizer *t = open_path(path);
    assert_int_equal(pippin_tokenizer_bos(t), 1);
    assert_int_equal(pippin_tokenizer_eos(t), 2);
    json_t *vectors = load_shared("data/tinystories-656k/tokenizer_vectors.json");
    check_cases(t, "tinystories-656k", vectors, true, LOSSLESS);
    json_decref(vectors);
    pippin_tokenizer_free(t);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    static const struct {
        const char *model, *vectors;
        promise promised;
    } files[] = {{"data/tokenizers/sentencepiece/story4096.model",
                  "data/tokenizers/sentencepiece/story4096.vectors.json", LOSSY},
                 {"data/tokenizers/sentencepiece/m.model", "data/tokenizers/sentencepiece/m.vectors.json", LOSSY},
                 {"data/tokenizers/sentencepiece/test_model.model",
                  "data/tokenizers/sentencepiece/test_model.vectors.json", LOSSY}};
    for (size_t i = 0; i < 3; i++) {
        const char *path = shared_file(files[i].model);
        json_t *vectors = load_shared(files[i].vectors);
        if (!path || !vectors) continue;
        pippin_tokenizer *t = open_path(path);
        check_cases(t, pp_path_base(path), vectors, false, files[i].promised);
        json_decref(vectors);
        pippin_tokenizer_free(t);
    }
}

/* Llama 2's vocabulary in a GGUF of random weights; the cases' texts have their special tokens written out. */
static void test_llama2_gguf(void **state)
{
    (void)state;
    const char *path = shared_file("data/gguf-tiny-random/llama-2-tiny-random.gguf");
    json_t *vectors = load_shared("data/tokenizers/transformers.js/vectors.json");
    if (path && vectors) {
        pippin_tokenizer *t = open_path(path);
        assert_int_equal(pippin_tokenizer_bos(t), 1);
        assert_int_equal(pippin_tokenizer_eos(t), 2);
        json_t *cases = json_object_get(vectors, "Xenova/llama-tokenizer");
        forget_decoded(cases);
        json_object_del(cases, "SPIECE_UNDERSCORE"); /* U+2581 comes back as a space */
        check_cases(t, "transformers.js llama-tokenizer", cases, true, LOSSLESS);
        pippin_tokenizer_free(t);
    }
    json_decref(vectors);
}

/* The small byte-level file that Qwen's patterns are in. */
static void test_torchtune(void **state)
{
    (void)state;
    const char *path = shared_file("data/tokenizers/torchtune/tiny_bpe_tokenizer.json");
    if (!path) return;
    pippin_tokenizer *t = open_path(path);
    assert_int_equal(pippin_tokenizer_size(t), 2003);
    static const char text[] = "Hello world, this is  a test.\n\n  12 \"quoted\" it's";
    size_t n_ids, n;
    int32_t *ids = encode(t, text, sizeof text - 1, false, &n_ids);
    char *back = decode(t, ids, n_ids, &n);
    assert_int_equal(n, sizeof text - 1);
    assert_memory_equal(back, text, n);
    test_free(back);
    test_free(ids);
    pippin_tokenizer_free(t);
}

/* ---- templates: one pass, special pieces outside what a user wrote ---- */

static pippin_tokenizer *open_corpus(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    return open_path(path);
}

static void expect_ids(const pippin_tokenizer *t, const char *text, const pp_encode_request *request,
                       const int32_t *wanted, size_t n_wanted)
{
    int32_t *ids;
    size_t n;
    OK(pp_tokenizer_encode(t, text, strlen(text), request, &ids, &n, err));
    assert_int_equal(n, n_wanted);
    for (size_t i = 0; i < n; i++) assert_int_equal(ids[i], wanted[i]);
    pp_free(ids);
}

/* The made vocabulary of Apple's kind: <turn_start> 4, <turn_end> 5, <n> 6, bytes 7.., then "_user" 266, "hi" 268, "_" 271, letters 272... */
static void test_template(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_corpus("sentencepiece/afm.model");
    /* The file's BOS is 2, but in AFM a text begins with EOS, which ends it too. */
    assert_int_equal(pippin_tokenizer_bos(t), 1);
    assert_int_equal(pippin_tokenizer_eos(t), 1);
    int32_t whole[8];
    size_t n_whole;
    OK(pippin_tokenize(t, "hi", 2, &(pippin_tokenize_options){.bos = true, .eos = true}, whole, 8, &n_whole, err));
    assert_true(n_whole > 2 && whole[0] == 1 && whole[n_whole - 1] == 1);
    const pippin_config afm = {.arch = PIPPIN_ARCH_AFM, .bos_id = 2, .eos_id = 1};
    assert_int_equal(pp_dataset_defaults(&afm, t).first_id, 1);
    assert_int_equal(pp_tokenizer_special_id(t, "<turn_start>"), 4);
    assert_int_equal(pp_tokenizer_special_id(t, "hi"), -1);
    const int32_t turn[] = {271, 4, 266, 6, 268, 5};
    expect_ids(t, "<turn_start> user\nhi<turn_end>", &(pp_encode_request){.special = true}, turn, 6);
    /* A newline in content is one piece; what spells one, or a turn's end, is letters. */
    static const char text[] = "<turn_start> user\nh\n<n><turn_end><turn_end>";
    const pp_span content = {18, 33};
    assert_memory_equal(text + content.start, "h\n<n><turn_end>", 15);
    const int32_t safe[] = {271, 4, 266, 6, 279, 6, 269, 285, 300, 269, 291, 292, 289, 285, 298, 276, 285, 275, 300, 5};
    expect_ids(t, text, &(pp_encode_request){.special = true, .content = &content, .n_content = 1}, safe, 20);
    /* A span that touches a piece keeps it from matching. */
    const int32_t cut[] = {271, 269, 285, 300};
    expect_ids(t, "<n>", &(pp_encode_request){.special = true, .content = &(pp_span){2, 3}, .n_content = 1}, cut, 4);
    expect_ids(t, "<n>", &(pp_encode_request){.special = false}, cut, 4);
    size_t n;
    char *back = decode(t, turn, 6, &n);
    assert_int_equal(n, strlen("<turn_start> user\nhi<turn_end>"));
    assert_memory_equal(back, "<turn_start> user\nhi<turn_end>", n);
    test_free(back);
    pippin_tokenizer_free(t);
}

static void test_added(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_corpus("tokenizer_json/bytes.json");
    const int32_t asked[] = {'a', 262, 'b', 263}, plain[] = {'a', '<', '|', 'e', 'n', 'd', '|', '>', 'b', 263};
    expect_ids(t, "a<|end|>b<think>", &(pp_encode_request){.special = true}, asked, 4);
    expect_ids(t, "a<|end|>b<think>", &(pp_encode_request){.special = false}, plain, 10);
    const int32_t eats[] = {264, '.', 'a', '<', '|', 'x', ' ', 'y', '|', '>'};
    expect_ids(t, " <|x y|> .a<|x y|>", &(pp_encode_request){.special = true}, eats, 10);
    pippin_tokenizer_free(t);
}

/* ---- laws ---- */

static const char *const lossless[] = {"tokenizer_json/bytes.json", "tokenizer_json/whole-words.json",
                                       "tokenizer_json/gpt2.json",  "tokenizer_json/splits.json",
                                       "tokenizer_json/llama.json", "sentencepiece/bpe.model",
                                       "sentencepiece/afm.model",   "gguf/pieces.gguf",
                                       "gguf/merges.gguf"};

/* Any bytes come back, and no id is special, whatever a text spells. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",
                                        "ab",
                                        " ",
                                        "b",
                                        "\n",
                                        "<s>",
                                        "</s>",
                                        "<|end|>",
                                        "<turn_end>",
                                        "<n>",
                                        "<0x41>",
                                        "\xc3\xa9",
                                        "\xf0\x9f\x8d\x8e",
                                        "\xff",
                                        "\xe2\x82",
                                        "bc",
                                        "1"};
    for (size_t i = 0; i < sizeof lossless / sizeof *lossless; i++) {
        pippin_tokenizer *t = open_corpus(lossless[i]);
        for (uint64_t round = 0; round < 200; round++) {
            char text[1000];
            size_t n = 0, n_ids, n_back;
            for (uint64_t j = pp_random_bits(round, 1, 0) % 60; j > 0; j--) {
                const char *p = parts[pp_random_bits(round, 2, j) % (sizeof parts / sizeof *parts)];
                memcpy(text + n, p, strlen(p));
                n += strlen(p);
            }
            /* "gpt2" puts a space before a text that has none, and takes one away. */
            if (strstr(lossless[i], "gpt2") && n && text[0] == ' ') text[0] = 'a';
            int32_t *ids = encode(t, text, n, false, &n_ids);
            char *back = decode(t, ids, n_ids, &n_back);
            if (n_back != n || memcmp(back, text, n) != 0)
                fail_msg("%s: \"%.*s\" came back as \"%.*s\"", lossless[i], (int)n, text, (int)n_back, back);
            for (size_t j = 0; j < n_ids; j++) {
                size_t n_piece;
                const char *piece = pippin_tokenizer_piece(t, ids[j], &n_piece);
                for (size_t k = 5; k < 9; k++)
                    assert_false(n_piece == strlen(parts[k]) && memcmp(piece, parts[k], n_piece) == 0);
            }
            test_free(back);
            test_free(ids);
        }
        pippin_tokenizer_free(t);
    }
}

static void time_one(const pippin_tokenizer *t, const char *what, const char *text, size_t n)
{
    size_t n_ids;
    int32_t *ids = NULL;
    const double start = (double)clock() / CLOCKS_PER_SEC; /* others may use the machine */
    OK(pp_tokenizer_encode(t, text, n, &(pp_encode_request){0}, &ids, &n_ids, err));
    const double seconds = (double)clock() / CLOCKS_PER_SEC - start;
    print_message("%s: %.1f MB/s\n", what, (double)n / 1e6 / seconds);
    assert_true(seconds < 5);
    pp_free(ids);
}

/* A megabyte of each kind of text that could take quadratic time. */
static void test_speed(void **state)
{
    (void)state;
    static const char *const units[] = {
        "The boy said it's 12 o'clock. ", "a", " ", "\n ", "\xcc\x81\xcc\xa3", "\xe6\x88\x91", "<|im_start", "12"};
    static const char *const names[] = {"words",   "one letter",     "blanks", "blank lines", "marks out of order",
                                        "Chinese", "almost special", "digits"};
    const size_t n = 1000000;
    char *text = test_malloc(n);
    pippin_tokenizer *all[] = {open_qwen(NULL), NULL, NULL};
    const char *gguf = shared_file("data/gguf-tiny-random/llama-2-tiny-random.gguf"),
               *unigram = shared_file("data/tokenizers/sentencepiece/test_model.model");
    if (gguf) all[1] = open_path(gguf);
    if (unigram) all[2] = open_path(unigram);
    for (size_t i = 0; i < 8; i++) {
        for (size_t at = 0; at < n; at++) text[at] = units[i][at % strlen(units[i])];
        for (size_t k = 0; k < 3; k++) {
            char what[80];
            snprintf(what, sizeof what, "%s, %s", names[i], k == 0 ? "byte-level" : k == 1 ? "scores" : "unigram");
            if (all[k]) time_one(all[k], what, text, n);
        }
    }
    for (size_t k = 0; k < 3; k++) pippin_tokenizer_free(all[k]);
    test_free(text);
}

/* What a tokenizer.json may ask for and is not known is refused by name; what is damaged, as damaged. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
        pippin_status status;
    } cases[] = {{"tokenizer_json/bad-unigram.json", "\"Unigram\"", PIPPIN_E_UNSUPPORTED},
                 {"tokenizer_json/bad-normalizer.json", "\"BertNormalizer\"", PIPPIN_E_UNSUPPORTED},
                 {"tokenizer_json/bad-pre.json", "\"Whitespace\"", PIPPIN_E_UNSUPPORTED},
                 {"tokenizer_json/bad-regex.json", "parenthesis", PIPPIN_E_UNSUPPORTED},
                 {"tokenizer_json/bad-merge.json", "merge 0", PIPPIN_E_FORMAT},
                 {"tokenizer_json/bad-holes.json", "ids", PIPPIN_E_FORMAT},
                 {"tokenizer_json/bad-cut.json", "breaks off", PIPPIN_E_FORMAT},
                 {"sentencepiece/bad-word.model", "model_type 3", PIPPIN_E_UNSUPPORTED},
                 {"sentencepiece/bad-suffix.model", "suffix", PIPPIN_E_UNSUPPORTED},
                 {"sentencepiece/bad-cut.model", "whole", PIPPIN_E_FORMAT},
                 {"sentencepiece/bad-table-size.model", "table", PIPPIN_E_FORMAT},
                 {"gguf/bad-pre.gguf", "falcon", PIPPIN_E_UNSUPPORTED},
                 {"gguf/bad-merges.gguf", "merges", PIPPIN_E_FORMAT},
                 {"gguf/types.gguf", "tokenizer.ggml.model", PIPPIN_E_FORMAT},
                 {"config/llama.json", "vocab", PIPPIN_E_FORMAT},
                 {"torch/afm.pt", "tokenizer.json", PIPPIN_E_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4096];
        pippin_tokenizer *t;
        pippin_error failure;
        snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, cases[i].name);
        assert_int_equal(pippin_tokenizer_open(path, &t, &failure), cases[i].status);
        assert_null(t);
        if (!strstr(failure.text, cases[i].says) || !strstr(failure.text, cases[i].name)) fail_msg("%s", failure.text);
    }
}

/* The tokenizer beside a model, inside it, and none. */
static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int32_t size;
    } models[] = {{"data/tinystories-656k", 2048},
                  {"data/tinystories-656k/model.safetensors", 2048},
                  {"data/gguf-tiny-random/llama-2-tiny-random.gguf", 32000},
                  {"data/stories260K/stories260K.bin", 0}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const char *path = shared_file(models[i].path);
        pippin_model *m;
        if (!path) continue;
        OK(pippin_model_open(path, NULL, &m, err));
        const pippin_tokenizer *t = pippin_model_tokenizer(m);
        assert_int_equal(t ? pippin_tokenizer_size(t) : 0, models[i].size);
        pippin_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qwen),          cmocka_unit_test(test_gpt2_gguf),   cmocka_unit_test(test_tinystories),
        cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_llama2_gguf), cmocka_unit_test(test_torchtune),
        cmocka_unit_test(test_template),      cmocka_unit_test(test_added),       cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_speed),         cmocka_unit_test(test_refusals),    cmocka_unit_test(test_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
