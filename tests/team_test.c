/* team_test.c - the thread team: every item of a region is done once, whoever does it, and nobody waits for a slow thread's share. */
#include <sched.h>
#include <stdatomic.h>

#include "base/base.h"
#include "support.h"

enum { MOST = 3000, N_THREAD = 4, SECONDS = 20 };

typedef struct counts {
    size_t n;
    atomic_int done[MOST];
    atomic_size_t all, pieces;
    atomic_bool wrong; /* a piece that is empty or goes too far */
} counts;

static void count_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    counts *c = arg;
    if (first >= last || last > c->n) atomic_store(&c->wrong, true);
    for (size_t i = first; i < last && i < MOST; i++) atomic_fetch_add(&c->done[i], 1);
    atomic_fetch_add(&c->pieces, 1);
    atomic_fetch_add(&c->all, last - first);
}

/* On teams of `least` threads and more. */
static void on_teams(int least, void (*try)(pp_team *team))
{
    for (int n_thread = least; n_thread <= N_THREAD; n_thread++) {
        pp_team *team = pp_team_create(n_thread);
        assert_non_null(team);
        try(team);
        pp_team_free(team);
    }
}

static void count_all(pp_team *team, uint64_t work, size_t n)
{
    static counts c;
    memset(&c, 0, sizeof c);
    c.n = n;
    for (int thread = 0; thread < pp_team_size(team); thread++) pp_team_ahead(team, thread, &c, sizeof c);
    pp_team_run_pieces(team, work, n, count_piece, &c);
    assert_false(c.wrong);
    assert_int_equal(c.all, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(c.done[i], 1);
    /* No piece but a share's last is smaller than what is worth it: at 1,000 multiply-adds an item, 65 of them. */
    if (work == 1000 * n) assert_true(c.pieces <= n / 65 + (size_t)pp_team_size(team));
    if (work == 0) assert_true(c.pieces <= 1);
}

static void count_on(pp_team *team)
{
    for (size_t n = 0; n < MOST; n += 1 + n / 7) {
        count_all(team, 0, n);
        count_all(team, 1000 * n, n);
        count_all(team, UINT64_MAX, n);
    }
}

/* Every item is done once, for any number of items and threads, in pieces of any size. */
static void every_item_once(void **state)
{
    (void)state;
    on_teams(1, count_on);
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
    const bool holds = thread == 1 && !atomic_exchange(&s->held, true);
    const size_t others = s->c.n - (last - first);
    while (holds && atomic_load(&s->c.all) < others && pp_seconds() - from < SECONDS) sched_yield();
    while (!atomic_load(&s->held) && pp_seconds() - from < SECONDS) sched_yield(); /* thread 1 is to get something */
    count_piece(&s->c, thread, first, last);
}

static void hold_on(pp_team *team)
{
    static stuck s;
    for (size_t n = 8; n < MOST; n *= 3) {
        memset(&s, 0, sizeof s);
        s.c.n = n;
        const double from = pp_seconds();
        pp_team_run_pieces(team, UINT64_MAX, n, hold_piece, &s);
        assert_true(pp_seconds() - from < SECONDS);
        assert_int_equal(s.c.all, n);
        for (size_t i = 0; i < n; i++) assert_int_equal(s.c.done[i], 1);
    }
}

/* What a thread leaves of its share is done by the others. */
static void a_slow_thread_is_helped(void **state)
{
    (void)state;
    on_teams(2, hold_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_once), cmocka_unit_test(a_slow_thread_is_helped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
