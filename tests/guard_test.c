/* guard_test.c - what the guard lets through of a correction, and what several answers elect: cases, and laws on random texts. */
#include "cli/guard.c"
#include "cli/words.c"

#include "tests/made_text.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_guard), cmocka_unit_test(test_guard_laws),
                                       cmocka_unit_test(test_election), cmocka_unit_test(test_election_laws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
