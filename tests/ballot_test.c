/* ballot_test.c - which of several free answers is taken. What corrections agree on is guard_test.c's. */
#include "cli/ballot.c"
#include "cli/guard.c"
#include "cli/words.c"

#include "tests/made_text.h"
#include "tests/support.h"

enum { MOST = 9 };

static void fill(pp_ballot *b, char *const *answers, size_t n)
{
    assert_true(pp_ballot_open(b, MOST));
    for (size_t i = 0; i < n; i++) assert_true(pp_ballot_add(b, NULL, answers[i], strlen(answers[i])));
}

static void expect_elected(char *const *answers, size_t n, const char *wanted)
{
    pp_ballot b;
    fill(&b, answers, n);
    char *elected = pp_ballot_elect(&b, NULL, 1);
    assert_string_equal(elected, wanted);
    pp_free(elected);
    pp_ballot_close(&b);
}

static void test_by_hand(void **state)
{
    (void)state;
    char small[] = "a small brown fox", red[] = "a small red fox", other[] = "the sea", big[] = "A SMALL fox, brown?",
         none[] = "";
    char *const answers[] = {other, small, red, big, none};
    expect_elected(answers, 5,
                   small); /* 0.75 with red, 0.75 with big; these two have 0.75 in common too, but it is the first */
    expect_elected(answers, 1, other);
    expect_elected(answers + 2, 1, red);
    expect_elected(answers, 0, "");
    char *const majority[] = {red, other, other};
    expect_elected(majority, 3, other);
    char *const silent[] = {none, other, none};
    expect_elected(silent, 3, "");
    pp_ballot b;
    assert_true(pp_ballot_open(&b, 1));
    assert_true(pp_ballot_add(&b, NULL, "a\0b", 3) && !pp_ballot_add(&b, NULL, "c", 1)); /* no room */
    pp_ballot_empty(&b);
    assert_true(pp_ballot_add(&b, NULL, NULL, 0));
    pp_ballot_close(&b);
}

static double common_share(const char *a, const char *b)
{
    pp_words x, y;
    size_t n;
    assert_true(pp_words_of(a, false, &x) && pp_words_of(b, false, &y) && pp_words_common(&x, &y, &n));
    const double share = x.n + y.n ? 2 * (double)n / (double)(x.n + y.n) : 1;
    pp_free(x.items);
    pp_free(y.items);
    return share;
}

/* The elected is one of them, and none is more like all the others; in whatever order they come. */
static void test_laws(void **state)
{
    (void)state;
    size_t n_first = 0;
    for (size_t round = 0; round < 2000; round++) {
        char texts[MOST][800], *answers[MOST], text[400];
        const size_t n = 1 + round % MOST, at = round % n;
        make_text(text, draw(10));
        for (size_t i = 0; i < n; i++) {
            spoil(text, texts[i]);
            answers[i] = texts[i];
        }
        double best = -1, own = -1;
        pp_ballot b;
        fill(&b, answers, n);
        char *elected = pp_ballot_elect(&b, NULL, 1);
        for (size_t i = 0; i < n; i++) {
            double all = 0;
            for (size_t j = 0; j < n; j++) all += common_share(answers[i], answers[j]);
            if (all > best) best = all;
            if (strcmp(elected, answers[i]) == 0) own = all;
        }
        assert_true(own >= best - 1e-9);
        n_first += strcmp(elected, answers[0]) == 0;
        pp_ballot_close(&b);
        answers[at] = texts[0];
        answers[0] = texts[at];
        fill(&b, answers, n);
        char *again = pp_ballot_elect(&b, NULL, 1);
        double all = 0;
        for (size_t j = 0; j < n; j++) all += common_share(again, answers[j]);
        assert_true(all >= best - 1e-9);
        pp_free(elected);
        pp_free(again);
        pp_ballot_close(&b);
    }
    assert_in_range(n_first, 400, 1400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_laws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
