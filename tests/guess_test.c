/*
 * guess_test.c - how many tokens are guessed, against machines that are made up: what is lost where guesses are wrong, what is
 * won where they are right, and how soon a change is noticed; and lookup against a search in every place.
 */
#include <math.h>

#include "infer/speculate.h"
#include "tests/support.h"

/* ---- pace: time that passes as a table says ---- */

typedef struct machine {
    double pass[PP_MAX_DRAFT + 2]; /* seconds by tokens */
    double guess;                  /* seconds of one */
    double read;                   /* seconds of a token that the draft did not see, */
    size_t n_prompt;               /* and so many there are before the first */
    int n_hoped;                   /* tokens that were asked for beyond those that come */
    double noise;
    double slower, phase; /* all takes `slower` times as long in every other phase, of so many seconds; 0: never */
    double now;
    uint64_t n_random;
} machine;

/* Passes that cost `more` for each further token once the first `free` are done. */
static machine make_machine(double more, int free_tokens, double guess)
{
    machine m = {.guess = guess, .noise = 0.2};
    for (int n = 1; n <= PP_MAX_DRAFT + 1; n++) m.pass[n] = 1 + more * PP_MAX(n - 1 - free_tokens, 0);
    return m;
}

/* What takes so long takes this time. */
static double noisy(machine *m, double seconds)
{
    if (m->slower > 0 && (int64_t)(m->now / m->phase) % 2) seconds *= m->slower;
    seconds *= 1 + m->noise * (pp_random_unit(3, 1, m->n_random++) - 0.5);
    m->now += seconds;
    return seconds;
}

/* Seconds for n tokens with guesses that are right with probability a; fixed > 0: so many each time, NONE: never any. */
enum { NONE = -1 };

static double run(machine *m, pp_pace *pace, pp_odds *odds, double a, int n, int32_t fixed)
{
    double seconds = 0;
    size_t unread = m->n_prompt + 1;
    for (int done = 0; done < n;) {
        const int32_t most = PP_MIN(n - done - 1, PP_MAX_DRAFT);
        const int32_t k = fixed
                              ? PP_MAX(0, PP_MIN(fixed, most))
                              : pp_pace_choose(pace, odds, most, unread, (size_t)done, (size_t)(n - done + m->n_hoped));
        if (k && unread > 2) {
            const double each = noisy(m, m->read);
            seconds += each * (double)unread;
            pp_pace_saw_reading(odds, each);
        }
        if (k) unread = 0;
        const double drafting = k ? noisy(m, k * m->guess) : 0, passing = noisy(m, m->pass[k + 1]);
        int32_t right = 0;
        assert_in_range(k, 0, most);
        while (right < k && pp_random_unit(3, 2, m->n_random++) < a) right++;
        pp_pace_saw_pass(pace, k + 1, passing);
        if (k && drafting > 0) pp_pace_saw_guesses(odds, k, drafting);
        if (k) pp_pace_saw_check(odds, k, right);
        seconds += drafting + passing;
        done += right + 1;
        unread += (size_t)right + 1 - (size_t)PP_MAX(PP_MIN(right, k - 1), 0);
    }
    return seconds;
}

static const double dearer[] = {0, 0.05, 0.15, 0.35, 0.6, 1}, guesses[] = {0, 0.01, 0.04, 0.12, 0.3};

#define FOR_MACHINES(m)                                                                                                \
    for (size_t i_ = 0; i_ < sizeof dearer / sizeof *dearer; i_++)                                                     \
        for (size_t j_ = 0; j_ < sizeof guesses / sizeof *guesses; j_++)                                               \
            for (int free_ = 0; free_ <= 2; free_++)                                                                   \
                for (bool once_ = true; once_;)                                                                        \
                    for (machine m = make_machine(dearer[i_], free_, guesses[j_]); once_; once_ = false)

/* Guesses that are never right cost 3 % of 256 tokens at most, from the first token on. */
static void test_never_right(void **state)
{
    (void)state;
    FOR_MACHINES(m)
    {
        double lost = 0;
        enum { ROUNDS = 20 };
        for (int round = 0; round < ROUNDS; round++) {
            pp_pace pace = {0};
            pp_odds odds = {0};
            lost += run(&m, &pace, &odds, 0, 256, 0) / 256 - 1;
        }
        if (!(lost / ROUNDS <= 0.03))
            fail_msg("passes %g dearer after %d, guesses %g: %g lost", dearer[i_], free_, guesses[j_], lost / ROUNDS);
    }
}

/* Nor more where a machine is slower now and then: that a pass of many tokens was seen in a faster moment is no reason to guess. */
static void test_never_right_in_phases(void **state)
{
    (void)state;
    static const double phases[] = {10, 40, 160};
    enum { N = 20000 };
    int at = 0;
    FOR_MACHINES(m)
    {
        pp_pace pace = {0}, unused = {0};
        pp_odds odds = {0}, none = {0};
        m.slower = 2.5;
        m.phase = phases[at++ % 3];
        const double plain = run(&m, &unused, &none, 0, N, NONE), lost = run(&m, &pace, &odds, 0, N, 0) / plain - 1;
        if (!(lost <= 0.03))
            fail_msg("phases of %g s, passes %g dearer after %d, guesses %g: %g lost", m.phase, dearer[i_], free_,
                     guesses[j_], lost);
    }
}

/* As fast as the best fixed number but for a tenth, whether that is none or eight. */
static void test_finds_the_best(void **state)
{
    (void)state;
    static const double shares[] = {0.3, 0.5, 0.7, 0.8, 0.95};
    enum { N = 3000 };
    FOR_MACHINES(m)
    {
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            pp_pace pace = {0}, unused = {0};
            pp_odds odds = {0}, none = {0};
            double best = N;
            for (int32_t k = 1; k <= PP_MAX_DRAFT; k++) best = fmin(best, run(&m, &unused, &none, shares[i], N, k));
            const double found = run(&m, &pace, &odds, shares[i], N, 0);
            if (!(found <= 1.1 * best))
                fail_msg("passes %g dearer after %d, guesses %g, %g right: %g, expected about %g", dearer[i_], free_,
                         guesses[j_], shares[i], found, best);
        }
    }
}

/* A text that turns: guesses that begin to be right are noticed, and such that cease to be. */
static void test_turns(void **state)
{
    (void)state;
    FOR_MACHINES(m)
    {
        pp_pace pace = {0};
        pp_odds odds = {0};
        if (dearer[i_] > 0.35 || guesses[j_] > 0.12) continue;
        run(&m, &pace, &odds, 0, 1000, 0);
        const double after = run(&m, &pace, &odds, 0.85, 1000, 0), before = run(&m, &pace, &odds, 0.85, 1000, 0);
        if (!(after - before <= 300)) fail_msg("%g lost until it is noticed", after - before);
        const double wrong = run(&m, &pace, &odds, 0, 256, 0);
        if (!(wrong <= 1.1 * 256)) fail_msg("%g lost when it is over", wrong - 256);
    }
}

/* A machine that is slower for a while, again and again, so that passes of two sizes are seen in different times. */
static void test_slow_phases(void **state)
{
    (void)state;
    static const double shares[] = {0.5, 0.7, 0.85}, phases[] = {10, 160, 640};
    enum { N = 10000 };
    double all = 0;
    int n = 0;
    FOR_MACHINES(m)
    {
        if (dearer[i_] > 0.35 || guesses[j_] > 0.12 || guesses[j_] == 0) continue;
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            pp_pace pace = {0}, unused = {0};
            pp_odds odds = {0}, none = {0};
            double best = INFINITY;
            m.slower = 1.6;
            m.phase = phases[n++ % 3];
            for (int32_t k = 1; k <= PP_MAX_DRAFT; k++) best = fmin(best, run(&m, &unused, &none, shares[i], N, k));
            const double lost = run(&m, &pace, &odds, shares[i], N, 0) / best - 1;
            if (!(lost < 0.1)) fail_msg("phases of %g s, %g right: %g lost", m.phase, shares[i], lost);
            all += lost;
        }
    }
    if (!(all / n < 0.03)) fail_msg("%g lost on average", all / n);
}

/* One pass that takes a hundred times as long, as when the machine was busy, is no lasting reason for anything. */
static void test_a_hiccup(void **state)
{
    (void)state;
    for (int32_t n_tok = 1; n_tok <= 5; n_tok++) {
        machine m = make_machine(0.15, 0, 0.04);
        pp_pace pace = {0};
        pp_odds odds = {0};
        run(&m, &pace, &odds, 0.8, 500, 0);
        pp_pace_saw_pass(&pace, n_tok, 100);
        run(&m, &pace, &odds, 0.8, 1000, 0);
        const double seconds = run(&m, &pace, &odds, 0.8, 1000, 0);
        assert_true(seconds < 0.62 * 1000);
    }
    /* Nor does it make guesses look cheap that are never right. */
    machine m = make_machine(0.3, 0, 0.04);
    pp_pace pace = {0};
    pp_odds odds = {0};
    run(&m, &pace, &odds, 0, 500, 0);
    pp_pace_saw_pass(&pace, 1, 100);
    assert_true(run(&m, &pace, &odds, 0, 300, 0) < 1.05 * 300);
}

/*
 * A draft that has to read the prompt first, which may cost more than it wins before the answer ends; where it ends nobody knows,
 * only that 2,000 tokens were asked for. No more than that reading is lost, and no more than it by not having read at once.
 */
static void test_reading_first(void **state)
{
    (void)state;
    static const int lengths[] = {8, 32, 64, 256, 1024};
    enum { ROUNDS = 50 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t n_prompt = 32; n_prompt <= 4096; n_prompt *= 2) {
            machine m = make_machine(0.05, 0, 0.04);
            pp_pace pace = {0}, unused = {0};
            pp_odds odds = {0}, none = {0};
            double found = 0, guessed = 0;
            const double plain = lengths[i], reading = 0.03 * (double)n_prompt;
            m.read = 0.03;
            m.n_prompt = n_prompt;
            m.n_hoped = 2000 - lengths[i];
            run(&m, &pace, &odds, 0.8, lengths[i], 0); /* what reading costs is not known before */
            for (int round = 0; round < ROUNDS; round++) {
                found += run(&m, &pace, &odds, 0.8, lengths[i], 0) / ROUNDS;
                guessed += run(&m, &unused, &none, 0.8, lengths[i], 3) / ROUNDS;
            }
            const double lost = found - fmin(plain, guessed);
            if (!(lost <= fmin(reading, plain) + 0.05 * plain))
                fail_msg("%d tokens after %zu: %g, plain %g, three guesses %g: lost %g", lengths[i], n_prompt, found,
                         plain, guessed, lost);
            if (reading > 2 * plain && !(found <= 1.04 * plain))
                fail_msg("%d tokens after %zu: %g, though they take %g alone and reading %g", lengths[i], n_prompt,
                         found, plain, reading);
        }
    }
}

/* ---- lookup ---- */

static int32_t continuation_of(const int32_t *t, int n, int at, int i)
{
    return at + i < n ? t[at + i] : t[at + i - (n - at)];
}

static void test_lookup(void **state)
{
    (void)state;
    enum { N = 60, LEAST = 3, ENOUGH = 24 };
    int n_found = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        int32_t t[N];
        const int n = 1 + (int)(pp_random_bits(round, 1, 0) % N), letters = 1 + (int)(round % 4);
        for (int i = 0; i < n; i++) t[i] = (int32_t)(pp_random_bits(round, 2, (uint64_t)i) % (uint64_t)letters);
        int best = LEAST - 1, found = -1;
        for (int end = 1; end < n; end++) { /* a match of [end - same, end) with the end of the text */
            int same = 0;
            while (same < end && same < ENOUGH && t[end - 1 - same] == t[n - 1 - same]) same++;
            if (same >= LEAST && same >= best) {
                best = same;
                found = end;
            }
        }
        pp_draft draft;
        const pp_prefix prefix = {.text = {t, (size_t)n, 1}};
        OK(pp_lookup_guess(NULL, &prefix, 8, &draft, err));
        assert_int_equal(draft.n, found < 0 ? 0 : 8);
        for (int i = 0; i < draft.n; i++) {
            assert_int_equal(draft.ids[i], continuation_of(t, n, found, i % (n - found)));
            assert_int_equal(draft.laws[i].only, draft.ids[i]);
        }
        n_found += found >= 0;
    }
    assert_in_range(n_found, 1000, 2900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_right),    cmocka_unit_test(test_never_right_in_phases),
        cmocka_unit_test(test_finds_the_best), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_slow_phases),    cmocka_unit_test(test_a_hiccup),
        cmocka_unit_test(test_reading_first),  cmocka_unit_test(test_lookup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
