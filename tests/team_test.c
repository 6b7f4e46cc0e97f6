/* team_test.c - the thread team: every item of a region is done once, whoever does it, and nobody waits for a slow thread's share. */
#include <stdatomic.h>

#include "base/base.h"
#include "support.h"

enum { MOST = 3000, N_THREAD = 4, SECONDS = 20 };

typedef struct counts {
    size_t n;
    atomic_int done[MOST];
    atomic_size_t all;
    atomic_bool wrong; /* a piece that is empty or goes too far */
} counts;

static void count_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    counts *c = arg;
    if (first >= last || last > c->n) atomic_store(&c->wrong, true);
    for (size_t i = first; i < last && i < MOST; i++) atomic_fetch_add(&c->done[i], 1);
    atomic_fetch_add(&c->all, last - first);
}

/* Every item is done once, for any number of items and threads, shared out or not. */
static void every_item_once(void **state)
{
    (void)state;
    static counts c;
    for (int n_thread = 1; n_thread <= N_THREAD; n_thread++) {
        pp_team *team = pp_team_create(n_thread);
        assert_non_null(team);
        for (size_t n = 0; n < MOST; n += 1 + n / 7)
            for (int shared = 0; shared < 2; shared++) {
                memset(&c, 0, sizeof c);
                c.n = n;
                pp_team_run_pieces(team, shared ? UINT64_MAX : 0, n, count_piece, &c);
                assert_false(c.wrong);
                assert_int_equal(c.all, n);
                for (size_t i = 0; i < n; i++) assert_int_equal(c.done[i], 1);
            }
        pp_team_free(team);
    }
}

typedef struct stuck {
    counts c;
    atomic_bool held; /* somebody has a piece that will not end */
} stuck;

/* The first piece that thread 1 takes ends when all others are done. */
static void hold_piece(void *arg, int thread, size_t first, size_t last)
{
    stuck *s = arg;
    const double from = pp_seconds();
    if (thread == 1 && !atomic_exchange(&s->held, true))
        while (atomic_load(&s->c.all) < s->c.n - (last - first) && pp_seconds() - from < SECONDS) {
        }
    while (!atomic_load(&s->held) && pp_seconds() - from < SECONDS) {
    } /* nothing ends before thread 1 is there */
    count_piece(&s->c, thread, first, last);
}

/* What a thread leaves of its share is done by the others. */
static void a_slow_thread_is_helped(void **state)
{
    (void)state;
    static stuck s;
    for (int n_thread = 2; n_thread <= N_THREAD; n_thread++) {
        pp_team *team = pp_team_create(n_thread);
        assert_non_null(team);
        for (size_t n = 8; n < MOST; n *= 3) {
            memset(&s, 0, sizeof s);
            s.c.n = n;
            const double from = pp_seconds();
            pp_team_run_pieces(team, UINT64_MAX, n, hold_piece, &s);
            assert_true(pp_seconds() - from < SECONDS);
            assert_int_equal(s.c.all, n);
            for (size_t i = 0; i < n; i++) assert_int_equal(s.c.done[i], 1);
        }
        pp_team_free(team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_once), cmocka_unit_test(a_slow_thread_is_helped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
