/*
 * tokenizer_test.c - real vocabularies of every kind against ids that others computed, and the laws of all of them: what is
 * lossless comes back, text never yields special ids, streaming gives whole characters, a long text takes seconds.
 */
#include <jansson.h>

#include "tests/support.h"
#include "text/text.h"

static pippin_tokenizer *open_path(const char *path)
{
    pippin_tokenizer *t;
    OK(pippin_tokenizer_open(path, &t, err));
    return t;
}

static json_t *load_json(const char *path)
{
    json_error_t at;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &at);
    if (!root) fail_msg("%s: %s", path, at.text);
    return root;
}

static int32_t *encode(const pippin_tokenizer *t, const char *text, size_t n, bool bos, size_t *n_ids)
{
    const pippin_tokenize_options options = {.bos = bos};
    OK(pippin_tokenize(t, text, n, &options, NULL, 0, n_ids, err));
    int32_t *ids = test_malloc((*n_ids + 1) * sizeof *ids);
    OK(pippin_tokenize(t, text, n, &options, ids, *n_ids, n_ids, err));
    return ids;
}

static char *decode(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, size_t *n)
{
    OK(pippin_detokenize(t, ids, n_ids, NULL, 0, n, err));
    char *text = test_malloc(*n + 1);
    OK(pippin_detokenize(t, ids, n_ids, text, *n, n, err));
    return text;
}

/* Whole characters, and the same text as at once. */
static void check_stream(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, const char *text, size_t n)
{
    pp_stream s;
    size_t at = 0, n_piece;
    OK(pp_stream_init(&s, t, false, err));
    for (size_t i = 0; i < n_ids; i++) {
        const char *piece = pp_stream_push(&s, ids[i], &n_piece);
        assert_false(n_piece && ((unsigned char)piece[0] & 0xc0) == 0x80);
        assert_true(at + n_piece <= n);
        assert_memory_equal(piece, text + at, n_piece);
        at += n_piece;
    }
    pp_stream_finish(&s, &n_piece);
    assert_int_equal(n_piece, 0);
    assert_int_equal(at, n);
    pp_stream_free(&s);
}

/* What a vocabulary promises to give back: everything, or not even that (NULL: no check). */
typedef enum promise { LOSSY, LOSSLESS } promise;

static void check_one(const pippin_tokenizer *t, const char *what, const char *text, size_t n, const int32_t *wanted, size_t n_wanted,
                      bool bos, promise promised)
{
    size_t n_ids, n_back;
    int32_t *ids = encode(t, text, n, bos, &n_ids);
    bool same = n_ids == n_wanted;
    for (size_t i = 0; same && i < n_ids; i++) same = ids[i] == wanted[i];
    if (!same) {
        for (size_t i = 0; i < PP_MAX(n_ids, n_wanted); i++)
            print_message("%d/%d ", i < n_ids ? (int)ids[i] : -1, i < n_wanted ? (int)wanted[i] : -1);
        fail_msg("%s: \"%.*s\": found/expected ids differ", what, (int)n, text);
    }
    char *back = decode(t, ids, n_ids, &n_back);
    if (promised == LOSSLESS && (n_back != n || memcmp(back, text, n) != 0)) fail_msg("%s: \"%.*s\" came back as \"%.*s\"", what, (int)n, text, (int)n_back, back);
    check_stream(t, ids, n_ids, back, n_back);
    test_free(back);
    test_free(ids);
}

/* ---- JSON cases: {text, ids[, decoded]} ---- */

static void check_case(const pippin_tokenizer *t, const char *what, const json_t *c, bool bos, promise promised)
{
    const json_t *ids = json_object_get(c, "ids"), *text = json_object_get(c, "text"), *decoded = json_object_get(c, "decoded");
    int32_t *wanted = test_malloc((json_array_size(ids) + 1) * sizeof *wanted);
    for (size_t i = 0; i < json_array_size(ids); i++) wanted[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    check_one(t, what, json_string_value(text), json_string_length(text), wanted, json_array_size(ids), bos, promised);
    if (decoded) {
        size_t n;
        char *back = decode(t, wanted, json_array_size(ids), &n);
        if (n != json_string_length(decoded) || memcmp(back, json_string_value(decoded), n) != 0)
            fail_msg("%s: decoded \"%.*s\", expected \"%s\"", what, (int)n, back, json_string_value(decoded));
        test_free(back);
    }
    test_free(wanted);
}

/* Whoever made gpt2's cases took out spaces before punctuation after decoding: then their text is not the vocabulary's. */
static void forget_decoded(json_t *cases)
{
    const char *name;
    json_t *c;
    json_object_foreach(cases, name, c) json_object_del(c, "decoded");
}

static void check_cases(const pippin_tokenizer *t, const char *what, const json_t *cases, bool bos, promise promised)
{
    size_t n = 0;
    if (json_is_array(cases)) {
        for (; n < json_array_size(cases); n++) check_case(t, what, json_array_get(cases, n), bos, promised);
    } else {
        const char *name;
        json_t *c;
        json_object_foreach((json_t *)(uintptr_t)cases, name, c)
        {
            check_case(t, name, c, bos, promised);
            n++;
        }
    }
    assert_true(n > 0);
    print_message("%s: %zu cases\n", what, n);
}

/* ---- llama.cpp's cases: texts between marks, a line of ids for each ---- */

static void check_llama_cpp(const pippin_tokenizer *t, const char *what, const char *inp, const char *out, promise promised)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    pp_map texts, lines;
    OK(pp_map_open(inp, &texts, err));
    OK(pp_map_open(out, &lines, err));
    char *text = test_malloc(texts.size + 1), *line = test_malloc(lines.size + 1);
    memcpy(text, texts.data, texts.size);
    memcpy(line, lines.data, lines.size);
    text[texts.size] = line[lines.size] = 0;
    size_t n_case = 0;
    char *at = text, *numbers = line;
    for (char *end; (end = strstr(at, mark)); at = end + strlen(mark), n_case++) {
        int32_t wanted[1000];
        size_t n = 0;
        while (*numbers && *numbers != '\n') {
            char *after;
            const long id = strtol(numbers, &after, 10);
            if (after == numbers) break;
            wanted[n++] = (int32_t)id;
            for (numbers = after; *numbers == ' ';) numbers++;
        }
        while (*numbers && *numbers++ != '\n') {}
        check_one(t, what, at, (size_t)(end - at), wanted, n, false, promised);
    }
    print_message("%s: %zu cases\n", what, n_case);
    assert_true(n_case > 20);
    test_free(text);
    test_free(line);
    pp_map_close(&texts);
    pp_map_close(&lines);
}

/* ---- vocabularies ---- */

/* Qwen's tokenizer.json lies there compressed; NULL after saying SKIPPED where there is no xz or no file. */
static pippin_tokenizer *open_qwen(double *seconds)
{
    const char *packed = shared_file("data/tokenizers/qwen3/tokenizer.json.xz");
    if (!packed) return NULL;
    char command[5000];
    snprintf(command, sizeof command, "xz -dc '%s' > qwen3-tokenizer.json", packed);
    if (system(command) != 0) {
        print_message("SKIPPED qwen3/tokenizer.json.xz: no xz on this machine\n");
        return NULL;
    }
    const double start = pp_seconds();
    pippin_tokenizer *t = open_path("qwen3-tokenizer.json");
    if (seconds) *seconds = pp_seconds() - start;
    return t;
}

static json_t *load_shared(const char *name)
{
    const char *path = shared_file(name);
    return path ? load_json(path) : NULL;
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
    const char *inp = shared_file("data/tokenizers/llama.cpp/ggml-vocab-qwen2.gguf.inp"), *out = shared_file("data/tokenizers/llama.cpp/ggml-vocab-qwen2.gguf.out");
    check_llama_cpp(t, "llama.cpp qwen2", inp, out, LOSSY); /* NFC is not lossless */
    json_t *vectors = load_shared("data/tokenizers/transformers.js/vectors.json");
    check_cases(t, "transformers.js Qwen1.5", json_object_get(vectors, "Xenova/Qwen1.5-0.5B-Chat"), false, LOSSY);
    json_decref(vectors);
    pippin_tokenizer_free(t);
    /* Their vocabularies have to be fetched by whoever accepts their licences. */
    static const char *const absent[] = {"llama.cpp llama-bpe", "transformers.js llama-tokenizer", "transformers.js llama3-tokenizer",
                                         "transformers.js llama3-tokenizer-new", "transformers.js TinyLLama-v0", "transformers.js deepseek-coder"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) print_message("SKIPPED %s: its vocabulary is not on this machine\n", absent[i]);
}

static void test_gpt2_gguf(void **state)
{
    (void)state;
    const char *path = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf");
    if (!path) return;
    pippin_tokenizer *t = open_path(path);
    const char *inp = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.inp"), *out = shared_file("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.out");
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
    } files[] = {{"data/tokenizers/sentencepiece/story4096.model", "data/tokenizers/sentencepiece/story4096.vectors.json", LOSSY},
                 {"data/tokenizers/sentencepiece/m.model", "data/tokenizers/sentencepiece/m.vectors.json", LOSSY},
                 {"data/tokenizers/sentencepiece/test_model.model", "data/tokenizers/sentencepiece/test_model.vectors.json", LOSSY}};
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_qwen), cmocka_unit_test(test_gpt2_gguf), cmocka_unit_test(test_tinystories), cmocka_unit_test(test_sentencepiece)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
