/*
 * train_data_test.c - training data: every kind of line, every complaint about one, cutting, streams and documents; memory, and
 * allocations that fail.
 */
#define _DEFAULT_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support.h"
#include "text/text.h"
#include "train/data.h"

static const pp_dataset_options plain = {.first_id = 1, .last_id = 2, .pad_id = -1};
static const pp_dataset_options bare = {.first_id = -1, .last_id = -1, .pad_id = -1};

/* The made vocabulary: " a" 259, "b" 260, " ab" 261, "c" 262, " " 263, "a" 264, bytes at 3; 265 ids. */
static pippin_tokenizer *open_tokenizer(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    pippin_tokenizer *t;
    OK(pippin_tokenizer_open(path, &t, err));
    return t;
}

static pp_dataset parse(const char *text, bool json, const pippin_tokenizer *t, pp_dataset_options o)
{
    pp_dataset d;
    OK(pp_dataset_parse(text, strlen(text), json, "data", t, 265, &o, &d, err));
    return d;
}

/* "1 259* 260* 2*": the tokens of a sample, targets marked. */
static void expect(const pp_dataset *d, size_t sample, const char *expected)
{
    char text[1000] = "";
    size_t n = 0;
    assert_true(sample < d->n_sample);
    for (size_t i = d->start[sample]; i < d->start[sample + 1]; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d%s", n ? " " : "", (int)d->tokens[i],
                              d->labelled[i] ? "*" : "");
    assert_string_equal(text, expected);
}

/* ---- lines ---- */

static void test_tokens(void **state)
{
    (void)state;
    pp_dataset d = parse("{\"tokens\":[5,6,7]}\r\n\n  \n{\"tokens\":[5,6,7,8],\"loss_mask\":[1,0,1,true]}\n"
                         "{\"loss_mask\":[false,1.0],\"tokens\":[0,264],\"id\":\"x\"}",
                         true, NULL, bare);
    assert_int_equal(d.n_sample, 3);
    expect(&d, 0, "5 6* 7*");
    expect(&d, 1, "5 6 7* 8*"); /* the first token is never a target, whatever its mask says */
    expect(&d, 2, "0 264*");
    assert_int_equal(d.n_labelled, 5);
    assert_int_equal(d.n_tok, 9);
    pp_dataset_free(&d);
    /* A target that is padding is not learned; a byte order mark is none of the data. */
    pp_dataset_options o = bare;
    o.pad_id = 0;
    d = parse("\xef\xbb\xbf{\"tokens\":[5,0,7]}", true, NULL, o);
    expect(&d, 0, "5 0 7*");
    pp_dataset_free(&d);
}

static void test_text(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    pp_dataset d = parse("{\"text\":\"abab\"}\n{\"text\":\"\\u0000c\"}", true, t, plain);
    expect(&d, 0, "1 261* 264* 260* 2*");
    expect(&d, 1, "1 263* 3* 262* 2*");
    pp_dataset_free(&d);
    d = parse("{\"text\":\"abab\"}", true, t, bare);
    expect(&d, 0, "261 264* 260*");
    pp_dataset_free(&d);
    pippin_tokenizer_free(t);
}

static void test_completions(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    pp_dataset d = parse("{\"prompt\":\"ab\",\"completion\":\"ab\"}\n{\"completion\":\"c\",\"prompt\":\"\"}\n"
                         "{\"prompt\":\"a\",\"completion\":\"bc\"}",
                         true, t, plain);
    expect(&d, 0, "1 261 264* 260* 2*");
    expect(&d, 1, "1 263* 262* 2*");
    /* " a" and "b" merge across the seam: the token that holds both is a target. */
    expect(&d, 2, "1 261* 262* 2*");
    pp_dataset_free(&d);
    pippin_tokenizer_free(t);
}

/* ---- complaints ---- */

static void complain(const char *text, bool json, const pippin_tokenizer *t, pp_dataset_options o, pippin_status status,
                     const char *said)
{
    pp_dataset d;
    pippin_error err = {0};
    if (pp_dataset_parse(text, strlen(text), json, "data.jsonl", t, 265, &o, &d, &err) != status)
        fail_msg("%s: expected %s, found %s (%s)", text, pippin_status_name(status), pippin_status_name(err.status),
                 err.text);
    if (strncmp(err.text, said, strlen(said)) != 0) fail_msg("%s: expected \"%s\", found \"%s\"", text, said, err.text);
    assert_null(d.tokens);
    assert_null(d.start);
}

static void test_complaints(void **state)
{
    (void)state;
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"{\"tokens\":[5,6", "found no JSON: column 14"},
        {"{\"tokens\":[5,6]} x", "found no JSON: column 18"},
        {"{\"tokens\":[5,6],\"tokens\":[5,6]}", "found no JSON: column"},
        {"\"tokens\"", "found a string, expected an object or a list of messages"},
        {"7", "found a whole number, expected an object"},
        {"{}", "found an object without fields, expected \"messages\""},
        {"{\"input\":\"a\",\"output\":\"b\"}", "found the fields \"input\", \"output\", expected \"messages\""},
        {"{\"tokens\":[5,6],\"text\":\"a\"}", "has both \"text\" and \"tokens\", expected one"},
        {"{\"tokens\":7}", "\"tokens\" is a whole number, expected a list of ids"},
        {"{\"tokens\":[5,\"6\"]}", "\"tokens\"[1] is a string, expected an id"},
        {"{\"tokens\":[5,6.5]}", "\"tokens\"[1] is a decimal number, expected an id"},
        {"{\"tokens\":[5,265]}", "\"tokens\"[1] is 265, expected an id from 0 to 264"},
        {"{\"tokens\":[5,-1]}", "\"tokens\"[1] is -1, expected an id from 0 to 264"},
        {"{\"tokens\":[5,4294967301]}", "\"tokens\"[1] is 4294967301, expected an id"},
        {"{\"tokens\":[5,6],\"loss_mask\":[1]}", "\"loss_mask\" has 1 values, expected 2"},
        {"{\"tokens\":[5,6],\"loss_mask\":[0,1,1]}", "\"loss_mask\" has 3 values, expected 2"},
        {"{\"tokens\":[5,6],\"loss_mask\":[0,0.5]}", "\"loss_mask\"[1] is another number, expected 0 or 1"},
        {"{\"tokens\":[5,6],\"loss_mask\":[0,\"1\"]}", "\"loss_mask\"[1] is a string, expected 0 or 1"},
        {"{\"tokens\":[5,6],\"loss_mask\":7}", "\"loss_mask\" is a whole number, expected a list"},
        {"{\"tokens\":[]}", "found 0 tokens and nothing to learn"},
        {"{\"tokens\":[5]}", "found 1 token and nothing to learn"},
        {"{\"tokens\":[5,6],\"loss_mask\":[1,0]}", "found 2 tokens and nothing to learn"},
        {"{\"text\":7}", "\"text\" is a whole number, expected a text"},
        {"{\"text\":\"\"}", "\"text\" is empty, expected text"},
        {"{\"text\":\"\xff\"}", "found no JSON: column"},
        {"{\"prompt\":\"a\"}", "\"completion\" is missing, expected a text"},
        {"{\"completion\":\"a\"}", "\"prompt\" is missing, expected a text"},
        {"{\"prompt\":\"a\",\"completion\":\"\"}", "\"completion\" is empty, expected text"},
        {"{\"prompt\":[1],\"completion\":\"a\"}", "\"prompt\" is a list, expected a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400], said[400];
        snprintf(text, sizeof text, "{\"tokens\":[1,2]}\n\n%s\n{\"tokens\":[1,2]}\n", cases[i].line);
        snprintf(said, sizeof said, "data.jsonl:3: %s", cases[i].said);
        complain(text, true, NULL, bare, PIPPIN_E_FORMAT, said);
    }
    complain("{\"tokens\":[1,2]}\n{\"text\":\"a\"}", true, NULL, bare, PIPPIN_E_ARGUMENT,
             "data.jsonl:2: holds text, and");
    complain("", true, NULL, bare, PIPPIN_E_FORMAT, "data.jsonl: holds no sample");
    complain("\n \n", true, NULL, bare, PIPPIN_E_FORMAT, "data.jsonl: holds no sample");
    complain("a", false, NULL, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: holds text, and");
    pp_dataset_options o = bare;
    o.max_length = 1;
    complain("", true, NULL, o, PIPPIN_E_ARGUMENT, "--max-sequence-length: is 1");
    o = bare;
    o.separator = "";
    complain("", false, NULL, o, PIPPIN_E_ARGUMENT, "--separator: is empty");
    o = bare;
    o.last_id = 265;
    complain("", false, NULL, o, PIPPIN_E_ARGUMENT, "data.jsonl: the ids -1 and 265");
}

/* A tokenizer that knows more ids than the model has. */
static void test_foreign_tokenizer(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    pp_dataset d;
    pippin_error err;
    const char *text = "{\"tokens\":[1,2]}\n{\"text\":\"ab\"}";
    assert_int_equal(pp_dataset_parse(text, strlen(text), true, "data", t, 260, &plain, &d, &err), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "data:2: the tokenizer gives id 261, expected ids below"));
    pippin_tokenizer_free(t);
}

/* ---- conversations ---- */

/* The made byte-level tokenizer, with ChatML's pieces in the place of two others. */
static pippin_tokenizer *open_chatml(void)
{
    static const char *const swaps[][2] = {{"<|end|>", "<|im_end|>"}, {"<think>", "<|im_start|>"}};
    pp_map map;
    pippin_tokenizer *t;
    OK(pp_map_open(PIPPIN_SOURCE "/fuzz/corpus/tokenizer_json/bytes.json", &map, err));
    char *text = test_calloc(map.size + 100, 1);
    memcpy(text, map.data, map.size);
    for (int i = 0; i < 2; i++) {
        char *at = strstr(text, swaps[i][0]);
        assert_non_null(at);
        const size_t n_from = strlen(swaps[i][0]), n_to = strlen(swaps[i][1]);
        memmove(at + n_to, at + n_from, strlen(at + n_from) + 1);
        memcpy(at, swaps[i][1], n_to);
    }
    OK(pp_tokenizer_parse_json(text, strlen(text), NULL, "chatml", &t, err));
    test_free(text);
    pp_map_close(&map);
    return t;
}

/* The text of a sample's targets, or of all its tokens. */
static void expect_text(const pippin_tokenizer *t, const pp_dataset *d, size_t sample, bool targets,
                        const char *expected)
{
    char text[500];
    size_t n = 0;
    for (size_t i = d->start[sample]; i < d->start[sample + 1]; i++) {
        size_t n_piece;
        const char *piece = pippin_tokenizer_piece(t, d->tokens[i], &n_piece);
        if (targets && !d->labelled[i]) continue;
        assert_true(n + n_piece < sizeof text);
        memcpy(text + n, piece, n_piece);
        n += n_piece;
    }
    text[n] = 0;
    assert_string_equal(text, expected);
}

#define TURNS                                                                                                          \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"<|im_end|>b\"},"                     \
    "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]"

static void test_conversations(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_chatml();
    pp_dataset d = parse(TURNS "\n{\"messages\":" TURNS "}\n{\"conversation\":" TURNS ",\"id\":1}", true, t, bare);
    assert_int_equal(d.n_sample, 3);
    for (size_t i = 0; i < 3; i++) {
        /* A line's end is spelt as one character by a byte-level vocabulary: U+010A. */
        expect_text(t, &d, i, true, "<|im_end|>b<|im_end|>d<|im_end|>");
        expect_text(t, &d, i, false,
                    "<|im_start|>user\xc4\x8a"
                    "a<|im_end|>\xc4\x8a<|im_start|>assistant\xc4\x8a<|im_end|>b<|im_end|>\xc4\x8a"
                    "<|im_start|>user\xc4\x8a"
                    "c<|im_end|>\xc4\x8a<|im_start|>assistant\xc4\x8a"
                    "d<|im_end|>\xc4\x8a");
    }
    pp_dataset_free(&d);
    complain("{\"tokens\":[1,2]}\n[{\"role\":\"user\",\"content\":\"a\"}]", true, t, bare, PIPPIN_E_ARGUMENT,
             "data.jsonl:2: messages[0].role: found user last, expected assistant");
    complain("[]", true, t, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: messages: found none");
    complain("[7]", true, t, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: messages[0]: found a number");
    complain("{\"messages\":7}", true, t, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: messages: found a number");
    complain(TURNS, true, NULL, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: holds text, and");
    pippin_tokenizer_free(t);
    t = open_tokenizer("tokenizer/tok.bin"); /* which has no template */
    complain(TURNS, true, t, bare, PIPPIN_E_ARGUMENT, "data.jsonl:1: ");
    pippin_tokenizer_free(t);
}

/* ---- cutting ---- */

static char said[2000];

static void listen(void *user, const char *line)
{
    (void)user;
    strncat(said, line, sizeof said - strlen(said) - 2);
    strcat(said, "\n");
}

static void test_truncation(void **state)
{
    (void)state;
    said[0] = 0;
    pippin_set_hooks(&(pippin_hooks){.log = listen});
    pp_dataset_options o = bare;
    o.max_length = 3;
    pp_dataset d =
        parse("{\"tokens\":[1,2,3]}\n{\"tokens\":[1,2,3,4]}\n{\"tokens\":[4,5,6,7],\"loss_mask\":[0,0,0,1]}\n"
              "{\"tokens\":[1,2]}",
              true, NULL, o);
    assert_int_equal(d.n_sample, 3);
    expect(&d, 0, "1 2* 3*");
    expect(&d, 1, "1 2* 3*");
    expect(&d, 2, "1 2*");
    assert_int_equal(d.n_truncated, 2);
    assert_int_equal(d.n_dropped, 1);
    assert_int_equal(d.n_labelled, 5);
    assert_string_equal(said, "data: 2 of 4 samples were longer than 3 tokens and cut there\n"
                              "data: 1 of them had no target left and are not used\n");
    pp_dataset_free(&d);
    complain("{\"tokens\":[4,5,6,7],\"loss_mask\":[0,0,0,1]}", true, NULL, o, PIPPIN_E_FORMAT,
             "data.jsonl: none of the 1 samples has a target within 3 tokens");
    pippin_set_hooks(&(pippin_hooks){0});
}

/* ---- plain text ---- */

static void test_documents(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    pp_dataset_options o = plain;
    o.separator = "<|end|>";
    pp_dataset d = parse("\n ab\n<|end|> <|end|>c<|end|", false, t, o);
    assert_int_equal(d.n_sample, 2);
    expect(&d, 0, "1 261* 2*");
    assert_int_equal(d.tokens[d.start[1] + 2], 262);
    assert_int_equal(d.n_tok - d.start[1], 2 + 8); /* what only begins like a separator is text */
    pp_dataset_free(&d);
    o.first_id = o.last_id = -1;
    complain("ab ab<|end|>\n\n b<|end|>\na", false, t, o, PIPPIN_E_FORMAT, "data.jsonl:4: found 1 token and");
    pippin_tokenizer_free(t);
}

/* Every token of a stream is a target once, whatever the window; parts are tokenised as the whole. */
static void stream_law(const pippin_tokenizer *t, const char *text, size_t n, int32_t n_vocab, int32_t first_id,
                       size_t window, size_t chunk)
{
    int32_t *whole;
    size_t n_whole, at = 0;
    const pp_encode_request request = {0};
    OK(pp_tokenizer_encode(t, text, n, &request, &whole, &n_whole, err));
    pp_dataset_options o = {.first_id = first_id, .last_id = -1, .pad_id = -1, .max_length = window, .chunk = chunk};
    pp_dataset d;
    OK(pp_dataset_parse(text, n, false, "data", t, n_vocab, &o, &d, err));
    for (size_t s = 0; s < d.n_sample; s++) {
        const size_t length = d.start[s + 1] - d.start[s];
        assert_true(s + 1 == d.n_sample ? length >= 2 && length <= window : length == window);
        if (first_id >= 0)
            assert_int_equal(d.tokens[d.start[s]], first_id);
        else if (s == 0)
            assert_int_equal(d.tokens[0], whole[at++]);
        else
            assert_int_equal(d.tokens[d.start[s]], d.tokens[d.start[s] - 1]);
        for (size_t i = 0; i < length; i++) {
            assert_int_equal(d.labelled[d.start[s] + i], i > 0);
            if (i && d.tokens[d.start[s] + i] != whole[at++])
                fail_msg("token %zu of the text differs, window %zu, chunk %zu", at - 1, window, chunk);
        }
    }
    assert_int_equal(at, n_whole);
    pp_dataset_free(&d);
    pp_free(whole);
}

static void test_stream(void **state)
{
    (void)state;
    static const char text[] = "ab ab c\nabab\n\nc c\n a\nb\nabababababababababababababab\nccc b\n";
    static const char *const names[] = {"tokenizer/tok.bin", "tokenizer_json/splits.json", "tokenizer_json/bytes.json",
                                        "tokenizer_json/metaspace.json"};
    for (size_t i = 0; i < 4; i++) {
        pippin_tokenizer *t = open_tokenizer(names[i]);
        for (size_t window = 2; window < 90; window += 1 + window / 3)
            for (size_t chunk = 30; chunk < 200; chunk += 7) {
                stream_law(t, text, strlen(text), pippin_tokenizer_size(t), 1, window, chunk);
                stream_law(t, text, strlen(text), pippin_tokenizer_size(t), -1, window, chunk);
            }
        pippin_tokenizer_free(t);
    }
}

static void test_real_stream(void **state)
{
    (void)state;
    const char *path = shared_file("data/tinystories-text/stories.txt");
    static const char *const names[] = {"data/stories260K/tok512.bin", "data/tinystories-656k/tokenizer.json"};
    pp_map map;
    if (!path) return;
    OK(pp_map_open(path, &map, err));
    for (size_t i = 0; i < 2; i++) {
        const char *name = shared_file(names[i]);
        pippin_tokenizer *t;
        if (!name) continue;
        OK(pippin_tokenizer_open(name, &t, err));
        /* The second one's pieces reach across words ("on the "), so that it is exact only as a whole. */
        stream_law(t, (const char *)map.data, map.size, pippin_tokenizer_size(t), 1, 256, i ? 0 : 2000);
        pippin_tokenizer_free(t);
    }
    pp_map_close(&map);
}

/* ---- files and folders ---- */

static void test_folder(void **state)
{
    (void)state;
    char dir[] = "/tmp/pippin-data-XXXXXX", path[100], *valid;
    pp_dataset d;
    pippin_error failure;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pp_dataset_load(dir, NULL, 265, &bare, &d, &failure), PIPPIN_E_IO);
    assert_non_null(strstr(failure.text, "found no train.jsonl or train.txt"));
    OK(pp_dataset_find_valid(dir, &valid, err));
    assert_null(valid);
    static const char *const names[] = {"train.jsonl", "valid.jsonl"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        FILE *f = fopen(path, "wb");
        fputs("{\"tokens\":[1,2]}\n", f);
        fclose(f);
    }
    OK(pp_dataset_load(dir, NULL, 265, &bare, &d, err));
    assert_int_equal(d.n_sample, 1);
    pp_dataset_free(&d);
    OK(pp_dataset_find_valid(dir, &valid, err));
    assert_string_equal(valid, path);
    OK(pp_dataset_load(valid, NULL, 265, &bare, &d, err));
    pp_dataset_free(&d);
    pp_free(valid);
    OK(pp_dataset_find_valid(path, &valid, err));
    assert_null(valid);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    assert_int_equal(pp_dataset_load(path, NULL, 265, &bare, &d, &failure), PIPPIN_E_IO);
}

static void test_defaults(void **state)
{
    (void)state;
    pippin_config c = small_afm();
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    pp_dataset_options o =
        pp_dataset_defaults(&c, t); /* what a text begins with is the tokenizer's, not the network's */
    assert_int_equal(o.first_id, pippin_tokenizer_bos(t));
    assert_int_equal(o.first_id, 1);
    assert_int_equal(o.last_id, 2);
    assert_int_equal(o.pad_id, 0);
    c.arch = PIPPIN_ARCH_LLAMA;
    o = pp_dataset_defaults(&c, t);
    assert_int_equal(o.first_id, 1);
    assert_int_equal(o.last_id, 2);
    assert_int_equal(o.pad_id, -1);
    c.bos_id = -1;
    c.eos_id = 7;
    o = pp_dataset_defaults(&c, NULL);
    assert_int_equal(o.first_id, -1);
    assert_int_equal(o.last_id, 7);
    pippin_tokenizer_free(t);
}

/* ---- a file much larger than a line ---- */

static void test_memory(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    const size_t n = 8 << 20;
    char *text = test_malloc(n);
    for (size_t i = 0; i < n; i++) text[i] = i % 60 == 59 ? '\n' : "ab c"[i % 4];
    const uint64_t before = pippin_memory_used().live_bytes;
    pp_dataset d;
    pp_dataset_options o = plain;
    o.max_length = 512;
    OK(pp_dataset_parse(text, n, false, "data", t, 265, &o, &d, err));
    const uint64_t peak = pippin_memory_used().peak_bytes - before, own = (uint64_t)d.n_tok * 5;
    print_message("%zu MB of text, %zu tokens, peak %.1f MB for arrays of %.1f MB\n", n >> 20, d.n_tok,
                  (double)peak / 1e6, (double)own / 1e6);
    assert_true(peak < own * 3 / 2 + ((uint64_t)100 << 20));
    pp_dataset_free(&d);
    pippin_tokenizer_free(t);
    test_free(text);
    assert_int_equal(pippin_memory_used().live_bytes, 0);
}

/* ---- allocations that fail ---- */

static long countdown;

static void *alloc_or_fail(void *user, size_t size, size_t align)
{
    (void)user;
    return countdown > 0 && --countdown == 0 ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

static void release(void *user, void *block)
{
    (void)user;
    free(block);
}

static pippin_status use(const pippin_tokenizer *t, const char *text, bool json, const char *separator)
{
    pp_dataset d;
    pp_plan plan;
    pp_batch batch;
    pippin_error err;
    pp_dataset_options o = plain;
    o.chunk = 16;
    o.separator = separator;
    pippin_status status = pp_dataset_parse(text, strlen(text), json, "data", t, 265, &o, &d, &err);
    if (status != PIPPIN_OK) return status;
    status = pp_plan_create(&d, &(pp_plan_options){.batch_size = 2}, &plan, &err);
    if (status == PIPPIN_OK && (status = pp_batch_create(&plan, &batch, &err)) == PIPPIN_OK) pp_batch_free(&batch);
    if (plan.order) pp_plan_free(&plan);
    pp_dataset_free(&d);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool json;
        const char *separator;
    } cases[] = {
        {"{\"tokens\":[5,6,7],\"loss_mask\":[0,1,1]}\n{\"text\":\"ab ab\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}",
         true, NULL},
        {"ab ab c c\nb b b a a a b\nccc\nabab abab\nc\n", false, NULL},
        {"ab ab c c\nb b b|\nccc\nabab abab\nc\n", false, "|"}};
    pippin_set_hooks(&(pippin_hooks){.alloc = alloc_or_fail, .release = release});
    pippin_tokenizer *t = open_tokenizer("tokenizer/tok.bin");
    const uint64_t before = pippin_memory_used().live_bytes;
    for (size_t i = 0; i < 3; i++) {
        long n = 0;
        pippin_status status;
        do {
            countdown = ++n;
            status = use(t, cases[i].text, cases[i].json, cases[i].separator);
            assert_true(status == PIPPIN_OK || status == PIPPIN_E_MEMORY);
            assert_true(countdown > 0 || status == PIPPIN_E_MEMORY);
            assert_true(pippin_memory_used().live_bytes == before);
        } while (status != PIPPIN_OK);
        assert_true(n > 10);
    }
    countdown = 0;
    pippin_tokenizer_free(t);
    pippin_set_hooks(&(pippin_hooks){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_text),          cmocka_unit_test(test_completions),
        cmocka_unit_test(test_complaints),    cmocka_unit_test(test_foreign_tokenizer),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_documents),
        cmocka_unit_test(test_stream),        cmocka_unit_test(test_real_stream),
        cmocka_unit_test(test_folder),        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_conversations), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
