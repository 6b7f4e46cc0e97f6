/* text_test.c - tokenizer laws on a made vocabulary and on llama2.c's own: ids, round trips, whole characters. */
#include "tests/support.h"
#include "text/text.h"

static pippin_tokenizer *open_tokenizer(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/tokenizer/%s", PIPPIN_SOURCE, name);
    pippin_tokenizer *t;
    OK(pippin_tokenizer_open(path, &t, err));
    return t;
}

static size_t encode(const pippin_tokenizer *t, const char *text, size_t n, int32_t *ids, size_t capacity)
{
    size_t n_ids;
    OK(pippin_tokenize(t, text, n, NULL, ids, capacity, &n_ids, err));
    assert_true(n_ids <= capacity);
    return n_ids;
}

/* The made vocabulary: " a" 259, "b" 260, " ab" 261, "c" 262, " " 263, "a" 264; lower ids merge first. */
static void test_merges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t ids[6];
        size_t n;
    } cases[] = {{"", {0}, 0},
                 {"a", {259}, 1},
                 {"ab", {261}, 1},
                 {"b", {263, 260}, 2},
                 {"abab", {261, 264, 260}, 3},
                 {"a a", {259, 259}, 2},
                 {"c\n", {263, 262, 3 + '\n'}, 3},
                 {"x", {263, 3 + 'x'}, 2},
                 {"\xc3\xa9", {263, 3 + 0xc3, 3 + 0xa9}, 3}};
    pippin_tokenizer *t = open_tokenizer("tok.bin");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[16];
        assert_int_equal(encode(t, cases[i].text, strlen(cases[i].text), ids, 16), cases[i].n);
        assert_memory_equal(ids, cases[i].ids, cases[i].n * sizeof *ids);
    }
    pippin_tokenizer_free(t);
}

static void test_special_ids(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tok.bin");
    int32_t ids[64];
    size_t n;
    /* Text that spells a special or a byte piece stays text. */
    static const char *const texts[] = {"<unk>", "\n<s>\n", "\n</s>\n", "<0x41>"};
    for (size_t i = 0; i < 4; i++) {
        n = encode(t, texts[i], strlen(texts[i]), ids, 64);
        assert_int_equal(n, strlen(texts[i]) + 1);
        for (size_t j = 0; j < n; j++) assert_true(ids[j] >= 3);
    }
    OK(pippin_tokenize(t, "a", 1, &(pippin_tokenize_options){.bos = true, .eos = true}, ids, 64, &n, err));
    assert_int_equal(n, 3);
    assert_int_equal(ids[0], pippin_tokenizer_bos(t));
    assert_int_equal(ids[2], pippin_tokenizer_eos(t));
    char text[16];
    OK(pippin_detokenize(t, ids, n, text, sizeof text, &n, err));
    assert_int_equal(n, 1); /* special ids give no text */
    pippin_error failure;
    assert_int_equal(pippin_detokenize(t, &(int32_t){265}, 1, text, sizeof text, &n, &failure), PIPPIN_E_ARGUMENT);
    /* With too little room the count is told and nothing is written past it. */
    int32_t guard[3] = {-1, -1, -1};
    OK(pippin_tokenize(t, "a a a", 5, NULL, guard, 2, &n, err));
    assert_int_equal(n, 3);
    assert_int_equal(guard[2], -1);
    pippin_tokenizer_free(t);
}

/* Any bytes come back as they were; streaming gives the same text wherever that is valid UTF-8. */
static void round_trips(const pippin_tokenizer *t, bool valid)
{
    static const char *const characters[] = {"a",  "b",     " ",  "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8d\x8e",
                                             "ab", " once", "the"};
    for (uint64_t round = 0; round < 300; round++) {
        char text[512], back[1024];
        int32_t ids[600];
        size_t n = 0, n_back, n_stream = 0, n_piece;
        const uint64_t length = pp_random_bits(round, 1, 0) % 100;
        for (uint64_t i = 0; i < length; i++) {
            const uint64_t random = pp_random_bits(round, 2, i);
            const char *c = characters[random % 10];
            if (valid) {
                memcpy(text + n, c, strlen(c));
                n += strlen(c);
            } else {
                text[n++] = (char)(random >> 20);
            }
        }
        const size_t n_ids = encode(t, text, n, ids, 600);
        OK(pippin_detokenize(t, ids, n_ids, back, sizeof back, &n_back, err));
        assert_int_equal(n_back, n);
        assert_memory_equal(back, text, n);
        if (!valid) continue;
        pp_stream s;
        OK(pp_stream_init(&s, t, false, err));
        for (size_t i = 0; i < n_ids; i++) {
            const char *piece = pp_stream_push(&s, ids[i], &n_piece);
            /* Never a piece of a character: the first byte of each piece begins one. */
            assert_false(n_piece && ((unsigned char)piece[0] & 0xc0) == 0x80);
            assert_memory_equal(piece, text + n_stream, n_piece);
            n_stream += n_piece;
        }
        pp_stream_finish(&s, &n_piece);
        assert_int_equal(n_piece, 0);
        assert_int_equal(n_stream, n);
        pp_stream_free(&s);
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tok.bin");
    round_trips(t, true);
    round_trips(t, false);
    pippin_tokenizer_free(t);
    const char *real = shared_file("data/stories260K/tok512.bin");
    if (!real) return;
    OK(pippin_tokenizer_open(real, &t, err));
    assert_int_equal(pippin_tokenizer_size(t), 512);
    round_trips(t, true);
    round_trips(t, false);
    pippin_tokenizer_free(t);
}

/* What can never become a character turns into U+FFFD, once for each broken sequence, as browsers do it. */
static void test_broken_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"\x80", "\xef\xbf\xbd"},
                 {"\xc3", "\xef\xbf\xbd"},
                 {"\xc3(", "\xef\xbf\xbd("},
                 {"\xe2\x82(", "\xef\xbf\xbd("},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf5\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf4\x90", "\xef\xbf\xbd\xef\xbf\xbd"}};
    pippin_tokenizer *t = open_tokenizer("tok.bin");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        size_t n = 0, n_piece;
        pp_stream s;
        OK(pp_stream_init(&s, t, true, err));
        for (const char *b = cases[i].bytes; *b; b++) {
            const char *piece = pp_stream_push(&s, 3 + (unsigned char)*b, &n_piece);
            memcpy(text + n, piece, n_piece);
            n += n_piece;
        }
        const char *rest = pp_stream_finish(&s, &n_piece);
        memcpy(text + n, rest, n_piece);
        n += n_piece;
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, n);
        pp_stream_free(&s);
    }
    pippin_tokenizer_free(t);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const names[] = {"bad-cut.bin", "bad-few.bin", "bad-length.bin", "bad-negative.bin",
                                        "empty.bin"};
    for (size_t i = 0; i < 5; i++) {
        char path[4096];
        pippin_tokenizer *t;
        pippin_error failure;
        snprintf(path, sizeof path, "%s/fuzz/corpus/tokenizer/%s", PIPPIN_SOURCE, names[i]);
        assert_int_equal(pippin_tokenizer_open(path, &t, &failure), PIPPIN_E_FORMAT);
        assert_null(t);
        assert_non_null(strstr(failure.text, names[i]));
    }
}

/* A long text takes time in proportion: quadratic merging would need minutes for this. */
static void test_speed(void **state)
{
    (void)state;
    pippin_tokenizer *t = open_tokenizer("tok.bin");
    const size_t n = 1000000;
    char *text = test_malloc(n);
    for (size_t i = 0; i < n; i++) text[i] = "abac "[pp_random_bits(3, 3, i) % 5];
    int32_t *ids = test_malloc((n + 1) * sizeof *ids);
    const double start = pp_seconds();
    const size_t n_ids = encode(t, text, n, ids, n + 1);
    const double seconds = pp_seconds() - start;
    print_message("%.1f MB/s, %zu ids\n", (double)n / 1e6 / seconds, n_ids);
    assert_true(seconds < 10);
    test_free(text);
    test_free(ids);
    pippin_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merges),      cmocka_unit_test(test_special_ids),
                                       cmocka_unit_test(test_round_trips), cmocka_unit_test(test_broken_utf8),
                                       cmocka_unit_test(test_damaged),     cmocka_unit_test(test_speed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
