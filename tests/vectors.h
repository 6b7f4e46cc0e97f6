/*
 * vectors.h - tokenizers against ids that others computed, in the forms that these lie in: JSON cases, llama.cpp's texts and
 * lines. Used for every way in which a tokenizer comes to be: its own file, or after conversion.
 */
#ifndef PP_TESTS_VECTORS_H
#define PP_TESTS_VECTORS_H

#include <jansson.h>
#include <unistd.h>

#include "tests/support.h"
#include "text/text.h"

static inline pippin_tokenizer *open_path(const char *path)
{
    pippin_tokenizer *t;
    OK(pippin_tokenizer_open(path, &t, err));
    return t;
}

static inline json_t *load_json(const char *path)
{
    json_error_t at;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &at);
    if (!root) fail_msg("%s: %s", path, at.text);
    return root;
}

static inline int32_t *encode(const pippin_tokenizer *t, const char *text, size_t n, bool bos, size_t *n_ids)
{
    const pippin_tokenize_options options = {.bos = bos};
    OK(pippin_tokenize(t, text, n, &options, NULL, 0, n_ids, err));
    int32_t *ids = test_malloc((*n_ids + 1) * sizeof *ids);
    OK(pippin_tokenize(t, text, n, &options, ids, *n_ids, n_ids, err));
    return ids;
}

static inline char *decode(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, size_t *n)
{
    OK(pippin_detokenize(t, ids, n_ids, NULL, 0, n, err));
    char *text = test_malloc(*n + 1);
    OK(pippin_detokenize(t, ids, n_ids, text, *n, n, err));
    return text;
}

/* Whole characters, and the same text as at once. */
static inline void check_stream(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, const char *text, size_t n)
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

static inline void check_one(const pippin_tokenizer *t, const char *what, const char *text, size_t n,
                             const int32_t *wanted, size_t n_wanted, bool bos, promise promised)
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
    if (promised == LOSSLESS && (n_back != n || memcmp(back, text, n) != 0))
        fail_msg("%s: \"%.*s\" came back as \"%.*s\"", what, (int)n, text, (int)n_back, back);
    check_stream(t, ids, n_ids, back, n_back);
    test_free(back);
    test_free(ids);
}

/* ---- JSON cases: {text, ids[, decoded]} ---- */

static inline void check_case(const pippin_tokenizer *t, const char *what, const json_t *c, bool bos, promise promised)
{
    const json_t *ids = json_object_get(c, "ids"), *text = json_object_get(c, "text"),
                 *decoded = json_object_get(c, "decoded");
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
static inline void forget_decoded(json_t *cases)
{
    const char *name;
    json_t *c;
    json_object_foreach (cases, name, c) json_object_del(c, "decoded");
}

static inline void check_cases(const pippin_tokenizer *t, const char *what, const json_t *cases, bool bos,
                               promise promised)
{
    size_t n = 0;
    if (json_is_array(cases)) {
        for (; n < json_array_size(cases); n++) check_case(t, what, json_array_get(cases, n), bos, promised);
    } else {
        const char *name;
        json_t *c;
        json_object_foreach ((json_t *)(uintptr_t)cases, name, c) {
            check_case(t, name, c, bos, promised);
            n++;
        }
    }
    assert_true(n > 0);
    print_message("%s: %zu cases\n", what, n);
}

/* ---- llama.cpp's cases: texts between marks, a line of ids for each ---- */

static inline void check_llama_cpp(const pippin_tokenizer *t, const char *what, const char *inp, const char *out,
                                   promise promised)
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
        while (*numbers && *numbers++ != '\n') {
        }
        check_one(t, what, at, (size_t)(end - at), wanted, n, false, promised);
    }
    print_message("%s: %zu cases\n", what, n_case);
    assert_true(n_case > 20);
    test_free(text);
    test_free(line);
    pp_map_close(&texts);
    pp_map_close(&lines);
}

/* Qwen's tokenizer.json lies there compressed; its path, to be removed, or NULL after saying SKIPPED where there is no xz or file. */
static inline const char *unpack_qwen(void)
{
    static char path[] = "/tmp/pippin-qwen-XXXXXX.json";
    const char *packed = shared_file("data/tokenizers/qwen3/tokenizer.json.xz");
    if (!packed) return NULL;
    char command[5000];
    snprintf(path, sizeof path, "/tmp/pippin-qwen-XXXXXX.json");
    const int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, "xz -dc '%s' > %s", packed, path);
    if (system(command) == 0) return path;
    print_message("SKIPPED qwen3/tokenizer.json.xz: no xz on this machine\n");
    remove(path);
    return NULL;
}

static inline json_t *load_shared(const char *name)
{
    const char *path = shared_file(name);
    return path ? load_json(path) : NULL;
}

#endif
