/* score_test.c - what eval --task counts with: words, alignment, metrics, intervals. Laws on random texts, figures
   that a hand can compute. The command's own files are compiled in. */
#include "cli/score.c"
#include "cli/scores.c"
#include "cli/words.c"

#include "tests/made_text.h"

/* ---- words ---- */

static void expect_words(const char *text, bool joined, const char *expected)
{
    pp_words words;
    char found[200] = "";
    size_t at = 0;
    assert_true(pp_words_of(text, joined, &words));
    for (size_t i = 0; i < words.n; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%.*s", i ? "|" : "", (int)words.items[i].n,
                               words.items[i].text);
    assert_string_equal(found, expected);
    pp_free(words.items);
}

static void test_words(void **state)
{
    (void)state;
    expect_words("Don't stop, x86-64!", true, "Don't|stop|x86|64");
    expect_words("Don't stop, x86-64!", false, "Don|t|stop|x86|64");
    expect_words("''a'' 'b", true, "a|b");
    expect_words("a\xc3\xa9 \xc3\xa9", true, "a\xc3\xa9|\xc3\xa9");
    expect_words("", true, "");
    expect_words(" .,", true, "");
}

static size_t distance(const char *a, const char *b)
{
    return pp_word_distance((pp_word){a, strlen(a)}, (pp_word){b, strlen(b)});
}

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(distance("crae", "crate"), 1);
    assert_int_equal(distance("form", "from"), 1);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("ca", "abc"), 3); /* a swap and a letter between: not the same place twice */
    assert_int_equal(distance("\xc3\xa9t\xc3\xa9", "ete"), 2);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("\x80", "a"), 1);
    char a[1200], b[1200];
    memset(a, 'a', 200);
    memset(b, 'a', 199);
    a[200] = b[199] = 0;
    assert_int_equal(distance(a, a), 0);
    assert_int_equal(distance(a, b), 200); /* too long to be looked at */
    for (size_t i = 0; i < 2000; i++) {
        make_text(a, 1);
        make_text(b, 1);
        const size_t d = distance(a, b), n_a = pp_word_letters((pp_word){a, strlen(a)}),
                     n_b = pp_word_letters((pp_word){b, strlen(b)});
        assert_int_equal(d, distance(b, a));
        assert_true(d <= PP_MAX(n_a, n_b) && d >= PP_MAX(n_a, n_b) - PP_MIN(n_a, n_b));
        assert_true((d == 0) == (strcmp(a, b) == 0));
    }
}

/* The longest common sequence, by trying both ways at every step. */
static size_t common_slowly(const pp_words *a, const pp_words *b, size_t i, size_t j)
{
    if (i == a->n || j == b->n) return 0;
    if (pp_word_alike(a->items[i], b->items[j])) return 1 + common_slowly(a, b, i + 1, j + 1);
    return PP_MAX(common_slowly(a, b, i + 1, j), common_slowly(a, b, i, j + 1));
}

static void test_common(void **state)
{
    (void)state;
    char text[400], other[800];
    for (size_t i = 0; i < 300; i++) {
        pp_words a, b;
        size_t n = 0;
        make_text(text, draw(8));
        spoil(text, other);
        assert_true(pp_words_of(text, false, &a) && pp_words_of(other, false, &b) && pp_words_common(&a, &b, &n));
        assert_int_equal(n, common_slowly(&a, &b, 0, 0));
        pp_free(a.items);
        pp_free(b.items);
    }
}

/* ---- alignment ---- */

/* "the|the": for each word of `from` what stands for it. */
static void expect_links(const char *from, const char *to, const char *expected)
{
    pp_words a, b;
    pp_link links[40];
    char found[400] = "";
    size_t at = 0;
    assert_true(pp_words_of(from, true, &a) && pp_words_of(to, true, &b) && pp_words_align(&a, &b, links));
    for (size_t i = 0; i < a.n; i++) {
        at += (size_t)snprintf(found + at, sizeof found - at, "%s", i ? "|" : "");
        for (size_t k = 0; k < links[i].n; k++)
            at += (size_t)snprintf(found + at, sizeof found - at, "%s%.*s", k ? " " : "",
                                   (int)b.items[links[i].first + k].n, b.items[links[i].first + k].text);
    }
    assert_string_equal(found, expected);
    pp_free(a.items);
    pp_free(b.items);
}

static void test_align(void **state)
{
    (void)state;
    expect_links("a crae of teh code", "a crate of the code", "a|crate|of|the|code");
    expect_links("of the the code", "of the code", "of||the|code");
    expect_links("it is alot of code", "it is a lot of code", "it|is|a lot|of|code");
    expect_links("it is code", "it is not code", "it|is not|code");
    expect_links("code", "the code", "the code");
    expect_links("a b c", "", "||");
    expect_links("", "a b c", "");
    /* A word that has nothing in common with another is still replaced by it. */
    expect_links("of xyz code", "of abc code", "of|abc|code");
}

static void test_align_laws(void **state)
{
    (void)state;
    char text[400], other[800];
    for (size_t i = 0; i < 1000; i++) {
        pp_words a, b;
        pp_link links[40];
        size_t next = 0;
        make_text(text, 1 + draw(12));
        spoil(text, other);
        if (draw(4) == 0) make_text(other, draw(12));
        assert_true(pp_words_of(text, true, &a) && pp_words_of(other, true, &b) && pp_words_align(&a, &b, links));
        /* Every word of the other text stands for one word, in order. */
        for (size_t k = 0; k < a.n; k++) {
            assert_true(links[k].n == 0 || links[k].first == next);
            next += links[k].n;
        }
        assert_int_equal(next, b.n);
        assert_true(pp_words_align(&a, &a, links));
        for (size_t k = 0; k < a.n; k++) assert_true(links[k].n == 1 && links[k].first == k);
        pp_free(a.items);
        pp_free(b.items);
    }
}

/* ---- metrics ---- */

static double figures[PP_MAX_FIGURE + 8];

static void evaluate_cases(const char *metric, const pp_case *cases, size_t n)
{
    pp_scores s;
    pp_scores_init(&s, pp_metric_find(metric));
    for (size_t i = 0; i < n; i++) assert_true(pp_scores_add(&s, &cases[i]));
    assert_true(pp_scores_n_figure(&s) <= sizeof figures / sizeof *figures);
    assert_true(pp_scores_figures(&s, figures));
    pp_scores_free(&s);
}

static void expect_figure(size_t i, double expected) { assert_true(fabs(figures[i] - expected) < 1e-12); }

static void test_rouge(void **state)
{
    (void)state;
    /* 3 words in common of 4 and 6; none; all but the case. */
    const pp_case cases[] = {{.reference = "a small brown fox", .answer = "The SMALL, brown, brown dog-fox"},
                             {.reference = "one", .answer = ""},
                             {.reference = "x-ray", .answer = "X ray"}};
    evaluate_cases("rouge-l", cases, 3);
    expect_figure(0, (0.6 + 0 + 1) / 3);
    expect_figure(1, (0.5 + 0 + 1) / 3);
    expect_figure(2, (0.75 + 0 + 1) / 3);
    expect_figure(3, 0);
    const pp_case empty = {.reference = "...", .answer = " ... "};
    evaluate_cases("rouge-l", &empty, 1);
    for (size_t i = 0; i < 4; i++) expect_figure(i, 1);
}

static void test_labels(void **state)
{
    (void)state;
    /* a: 1 right, 1 missed; b: 1 right, 1 spare; c: 1 spare; d: 1 missed. */
    const pp_case cases[] = {{.reference = "a, b", .answer = "b,a , b,"}, {.reference = "a, d", .answer = "b, c"}};
    evaluate_cases("labels", cases, 2);
    expect_figure(0, 4.0 / 8);
    expect_figure(1, 2.0 / 4);
    expect_figure(2, 2.0 / 4);
    expect_figure(3, (2.0 / 3 + 2.0 / 3 + 0 + 0) / 4);
    expect_figure(4, 0.5);
}

static void test_corrections(void **state)
{
    (void)state;
    /* Wrong: crae, teh, a second "of": crae is put right, teh is not, "of" is. Clean: 5, of which "code" is damaged. */
    const pp_note notes[] = {{2, 4, "drop"}, {7, 5, "repeat"}, {13, 3, "swap"}};
    const pp_case cases[] = {{"A crae of of teh code.", "A crate of the code.", "A crate of teh coda.", notes, 3},
                             {"It is.", "It is.", "It is.", NULL, 0},
                             {"It was.", "It was.", "It was .", NULL, 0}};
    evaluate_cases("corrections", cases, 3);
    expect_figure(0, 2.0 / 3);
    expect_figure(1, 1.0 / 7);
    expect_figure(2, 2.0 / 3);
    expect_figure(3, 1.25 * 2 / (3 + 0.25 * 3));
    expect_figure(4, 1.0 / 3);
    expect_figure(5, 1.0 / 2);
    expect_figure(6, 1); /* drop, repeat, swap in the order of their coming */
    expect_figure(7, 1);
    expect_figure(8, 0);
}

static void test_json(void **state)
{
    (void)state;
    const pp_case cases[] = {
        {.reference = "[[\"person\",\"Ann\"],[\"person\",\"Bo\"]]",
         .answer = "[[\"person\", \"Bo\"], [\"place\",\"Ann\"]]"},
        {.reference = "{\"person\":[\"Ann\",\"Ann\"],\"n\":2}", .answer = "{\"n\":2,\"person\":[\"Ann\"]}"},
        {.reference = "[{\"type\":\"person\",\"text\":\"Ann\"}]", .answer = "[{\"text\":\"Ann\",\"type\":\"person\"}]"},
        {.reference = "[]", .answer = "[\"Ann\""}};
    evaluate_cases("json", cases, 4);
    /* Right 1 + 2 + 1; spare 1; missed 1 + 1. */
    expect_figure(0, 8.0 / (8 + 3));
    expect_figure(1, 4.0 / 5);
    expect_figure(2, 4.0 / 6);
    expect_figure(3, 3.0 / 4);
    expect_figure(4, 1.0 / 4);
}

/* An answer that is the reference is worth 1 in everything; it damages nothing. */
static void test_references(void **state)
{
    (void)state;
    static const char *const names[] = {"rouge-l", "exact", "labels", "corrections"};
    char text[400], other[800];
    for (size_t i = 0; i < 300; i++)
        for (size_t k = 0; k < 4; k++) {
            make_text(text, 1 + draw(10));
            spoil(text, other);
            const pp_case c = {.user = other, .reference = text, .answer = text};
            evaluate_cases(names[k], &c, 1);
            const pp_metric *metric = pp_metric_find(names[k]);
            for (size_t f = 0; metric->figures[f]; f++) {
                const double wanted = strcmp(metric->figures[f], "damaged") == 0 ? 0 : 1;
                assert_true(isnan(figures[f]) || figures[f] == wanted);
            }
        }
}

/* ---- intervals ---- */

static void test_intervals(void **state)
{
    (void)state;
    enum { N = 400 };
    pp_scores s, other;
    pp_interval own, difference;
    pp_scores_init(&s, pp_metric_find("exact"));
    pp_scores_init(&other, pp_metric_find("exact"));
    for (size_t i = 0; i < N; i++) {
        const pp_case c = {.reference = "x", .answer = i % 4 ? "x" : "y"}, d = {.reference = "x", .answer = "x"};
        assert_true(pp_scores_add(&s, &c) && pp_scores_add(&other, &d));
    }
    /* Three quarters of 400: 0.75 +- 1.96 sqrt(0.75 0.25 / 400). Paired with itself nothing is left to chance. */
    assert_true(pp_scores_bootstrap(&s, &s, &own, &difference));
    assert_true(fabs(own.low - (0.75 - 0.0424)) < 0.008 && fabs(own.high - (0.75 + 0.0424)) < 0.008);
    assert_true(difference.low == 0 && difference.high == 0);
    assert_true(pp_scores_bootstrap(&s, &other, &own, &difference));
    assert_true(difference.high < -0.2 && difference.low > -0.3);
    assert_true(pp_scores_bootstrap(&other, NULL, &own, NULL));
    assert_true(own.low == 1 && own.high == 1);
    pp_scores_free(&s);
    pp_scores_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),      cmocka_unit_test(test_distance),    cmocka_unit_test(test_common),
        cmocka_unit_test(test_align),      cmocka_unit_test(test_align_laws),  cmocka_unit_test(test_rouge),
        cmocka_unit_test(test_labels),     cmocka_unit_test(test_corrections), cmocka_unit_test(test_json),
        cmocka_unit_test(test_references), cmocka_unit_test(test_intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
