/* score_test.c - what eval --task counts with: words, alignment, the guard, metrics, intervals. Laws on random texts, figures
   that a hand can compute. The command's own files are compiled in. */
#include "cli/guard.c"
#include "cli/score.c"
#include "cli/scores.c"
#include "cli/words.c"

#include "support.h"

static uint64_t draws;

static size_t draw(size_t n) { return (size_t)(pp_random_bits(7, 0, draws++) % n); }

/* Words of few letters, so that many are equal or near, with all kinds of things between; n of them. */
static void make_text(char *out, size_t n)
{
    static const char *const between[] = {" ", " ", " ", ", ", "-", "  ", ". ", "' ", "\n", " \xe2\x80\x94 "};
    static const char *const letters_of[] = {"a", "b", "o", "A", "c", "\xc3\xa9", "1"};
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 1 + draw(6); k > 0; k--) at += (size_t)snprintf(out + at, 8, "%s", letters_of[draw(7)]);
        if (draw(8) == 0) at += (size_t)snprintf(out + at, 8, "'s");
        if (i + 1 < n || draw(2)) at += (size_t)snprintf(out + at, 8, "%s", between[draw(10)]);
    }
    out[at] = 0;
}

/* The text with some words dropped, doubled, replaced or changed by a letter. */
static void spoil(const char *text, char *out)
{
    pp_words words;
    char other[64];
    size_t at = 0;
    assert_true(pp_words_of(text, true, &words));
    for (size_t i = 0; i < words.n; i++) {
        const pp_word w = words.items[i];
        const size_t how = draw(10);
        make_text(other, 1);
        if (how > 0) at += (size_t)snprintf(out + at, 80, "%.*s", (int)w.n, w.text);
        if (how == 1) at += (size_t)snprintf(out + at, 80, " %.*s", (int)w.n, w.text);
        if (how == 2) at += (size_t)snprintf(out + at, 80, "o");
        if (how == 3) at += (size_t)snprintf(out + at, 80, " %s", other);
        if (how == 4) at += (size_t)snprintf(out + at, 80, "%s", other);
        at += (size_t)snprintf(out + at, 8, draw(4) ? " " : ", ");
    }
    out[at] = 0;
    pp_free(words.items);
}

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

/* ---- the guard ---- */

static void expect_guarded(const char *text, const char *answer, const char *expected)
{
    char *guarded = pp_guard(text, answer);
    assert_non_null(guarded);
    assert_string_equal(guarded, expected);
    pp_free(guarded);
}

static void test_guard(void **state)
{
    (void)state;
    expect_guarded("A crae,  of teh code!", "The crate of the code, nice.", "A crate,  of the code!");
    expect_guarded("it is alot of code", "it is a lot of code", "it is alot of code"); /* two words for one */
    expect_guarded("the the end", "the end", "the end");
    expect_guarded("So the, the end", "So the end", "So the, the end"); /* a comma between: it may be meant */
    expect_guarded("The the  the end", "The end", "The end");
    expect_guarded("of teh teh end", "of the end", "of the end");
    expect_guarded("end of of", "end", "end of of"); /* one of them stays, and then the answer has nothing for it */
    expect_guarded("no no", "", "no no");
    expect_guarded("Rust rust is", "rust is", "rust is");
    expect_guarded("a procwdural style", "a practical style", "a procwdural style");
    expect_guarded("form", "from", "from");
    expect_guarded("abcd", "abxy", "abcd"); /* two letters of four */
    expect_guarded("abcde", "abcxy", "abcxy");
    expect_guarded("text", "", "text");
    expect_guarded("", "text", "");
    expect_guarded("a b", "b c", "a b"); /* one taken away and one put in, not two replaced */
}

/* From word i of the text and word j of the other on: every word near the text's or, where it repeats the one before it, gone;
   every byte between those that stayed the text's own. */
static bool is_reading(const pp_words *a, size_t i, const char *at, const pp_words *b, size_t j, const char *other)
{
    if (i == a->n) return j == b->n && strcmp(at, other) == 0;
    const pp_word own = a->items[i];
    const size_t between = (size_t)(own.text - at);
    const char *next = own.text + own.n;
    if (j < b->n && is_near(own, b->items[j]) && (size_t)(b->items[j].text - other) == between &&
        memcmp(at, other, between) == 0 && is_reading(a, i + 1, next, b, j + 1, b->items[j].text + b->items[j].n))
        return true;
    return i && repeats(a, i - 1) && is_reading(a, i + 1, next, b, j, other);
}

static void expect_near(const char *text, const char *once)
{
    pp_words a, b;
    assert_true(pp_words_of(text, true, &a) && pp_words_of(once, true, &b));
    assert_true(is_reading(&a, 0, text, &b, 0, once));
    pp_free(a.items);
    pp_free(b.items);
}

static void test_guard_laws(void **state)
{
    (void)state;
    size_t n_changed = 0;
    char text[400], answer[800];
    for (size_t i = 0; i < 4000; i++) {
        make_text(text, draw(10));
        spoil(text, answer);
        if (draw(4) == 0) make_text(answer, draw(12));
        char *once = pp_guard(text, answer), *twice = pp_guard(text, once);
        assert_string_equal(once, twice);
        n_changed += strcmp(once, text) != 0;
        expect_near(text, once);
        pp_free(once);
        pp_free(twice);
    }
    assert_true(n_changed > 1000);
}

static void expect_elected(const char *text, char *const *answers, size_t n, size_t least, const char *expected)
{
    char *elected = pp_guard_elect(text, answers, n, least);
    assert_non_null(elected);
    assert_string_equal(elected, expected);
    pp_free(elected);
}

static void test_election(void **state)
{
    (void)state;
    char one[] = "A crate of of the code.", two[] = "A crane of of teh code.", three[] = "A crate of teh code.";
    char *const answers[] = {one, two, three};
    const char *text = "A crae of of teh code.";
    expect_elected(text, answers, 3, 1, "A crate of the code.");
    expect_elected(text, answers, 3, 2, "A crate of of teh code.");
    expect_elected(text, answers, 3, 3, text);
    expect_elected(text, answers + 1, 2, 1, "A crane of teh code."); /* the first of equals */
    expect_elected("", answers, 0, 1, "");
}

/* One answer, or several that are equal, elect what it says; more votes asked for leave more of the text. */
static void test_election_laws(void **state)
{
    enum { MOST = 5 };
    (void)state;
    size_t n_kept = 0, n_lost = 0;
    char text[400], answer[800];
    for (size_t i = 0; i < 1000; i++) {
        char *answers[MOST];
        make_text(text, draw(10));
        for (size_t k = 0; k < MOST; k++) {
            spoil(text, answer);
            answers[k] = pp_guard(text, answer);
        }
        char *same[MOST] = {answers[0], answers[0], answers[0], answers[0], answers[0]};
        expect_elected(text, same, MOST, MOST, answers[0]);
        expect_elected(text, answers, MOST, MOST + 1, text);
        char *some = pp_guard_elect(text, answers, MOST, 1), *most = pp_guard_elect(text, answers, MOST, 2);
        pp_words words, of_some, of_most;
        assert_true(pp_words_of(text, true, &words) && pp_words_of(some, true, &of_some) &&
                    pp_words_of(most, true, &of_most));
        expect_near(text, some);
        expect_near(text, most);
        if (words.n == of_some.n && words.n == of_most.n)
            for (size_t k = 0; k < words.n; k++) {
                const bool stays = pp_word_same(words.items[k], of_some.items[k]);
                const bool still = pp_word_same(words.items[k], of_most.items[k]);
                assert_true(still || pp_word_same(of_some.items[k], of_most.items[k]));
                assert_true(still || !stays);
                n_kept += !still;
                n_lost += still && !stays;
            }
        pp_free(words.items);
        pp_free(of_some.items);
        pp_free(of_most.items);
        pp_free(some);
        pp_free(most);
        for (size_t k = 0; k < MOST; k++) pp_free(answers[k]);
    }
    assert_true(n_kept > 50 && n_lost > 500);
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
        cmocka_unit_test(test_words),      cmocka_unit_test(test_distance),   cmocka_unit_test(test_common),
        cmocka_unit_test(test_align),      cmocka_unit_test(test_align_laws), cmocka_unit_test(test_guard),
        cmocka_unit_test(test_guard_laws), cmocka_unit_test(test_election),   cmocka_unit_test(test_election_laws),
        cmocka_unit_test(test_rouge),      cmocka_unit_test(test_labels),     cmocka_unit_test(test_corrections),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_references), cmocka_unit_test(test_intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
