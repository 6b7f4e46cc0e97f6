/*
 * team.c - a persistent team of threads. A job is announced by raising a sequence number; workers that are still
 * spinning see it within a fraction of a microsecond, sleeping ones are woken through the condition variable. Spinning is
 * kept short so that an idle team costs nothing and a machine shared with others does not stall.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>

#include "base/base.h"

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

/* Pauses before a waiting thread sleeps: about 50 us of spinning, more than the gap between two regions of one pass. */
enum { SPIN = 2000 };

/*
 * A thread takes a fourth of what is left of a share, but no less than is worth sharing: long pieces first, since memory is read
 * best in order, short ones at the end.
 */
enum { PIECES = 4 };

/* Of one thread: the first item that nobody has taken yet, and the end of these, 32 bits each. A cache line for each. */
typedef struct share {
    _Alignas(64) _Atomic uint64_t left;
} share;

/* Memory that is to be asked for. */
typedef struct ahead {
    const char *at, *end;
} ahead;

typedef struct worker {
    struct pp_team *team;
    pthread_t handle;
    int thread;
    ahead next; /* written between regions, read within them */
} worker;

struct pp_team {
    int n_thread;
    worker *workers; /* [n_thread - 1] */
    share *shares;   /* [n_thread] */
    pp_task task;
    void *arg;
    atomic_uint job;     /* raised by one for each job */
    atomic_int running;  /* workers that have not finished the current job */
    atomic_int sleepers; /* workers that wait on `wake` */
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    bool caller_sleeps; /* under lock */
    ahead next;         /* the caller's */
};

/* One turn of waiting: a few lines, so that what is waited for is seen soon, or a pause. */
static void wait_a_little(ahead *next)
{
    enum { LINE = 64, LINES = 4 };
    if (next->at >= next->end) {
        RELAX();
        return;
    }
    for (int i = 0; i < LINES; i++, next->at += LINE) __builtin_prefetch(next->at, 0, 2); /* into L2 */
}

static unsigned wait_for_job(pp_team *team, unsigned seen, ahead *next)
{
    for (int i = 0; i < SPIN; i++) {
        unsigned job = atomic_load_explicit(&team->job, memory_order_acquire);
        if (job != seen) return job;
        wait_a_little(next);
    }
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    unsigned job;
    while ((job = atomic_load(&team->job)) == seen) pthread_cond_wait(&team->wake, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
    return job;
}

static void *work(void *arg)
{
    worker *w = arg;
    pp_team *team = w->team;
    unsigned seen = 0;
    ahead next = {0};
    for (;;) {
        seen = wait_for_job(team, seen, &next);
        if (atomic_load(&team->stop)) return NULL;
        team->task(team->arg, w->thread, team->n_thread);
        if (next.end != w->next.end) next = w->next; /* as it goes on where it was */
        if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&team->lock);
            if (team->caller_sleeps) pthread_cond_signal(&team->done);
            pthread_mutex_unlock(&team->lock);
        }
    }
}

static void announce(pp_team *team)
{
    atomic_fetch_add(&team->job, 1);
    /* A worker counts itself as a sleeper before it looks at `job` for the last time, so one of the two sees the other. */
    if (atomic_load(&team->sleepers) > 0) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->lock);
    }
}

static void wait_until_done(pp_team *team)
{
    for (int i = 0; i < SPIN; i++) {
        if (atomic_load_explicit(&team->running, memory_order_acquire) == 0) return;
        wait_a_little(&team->next);
    }
    pthread_mutex_lock(&team->lock);
    team->caller_sleeps = true;
    while (atomic_load(&team->running) > 0) pthread_cond_wait(&team->done, &team->lock);
    team->caller_sleeps = false;
    pthread_mutex_unlock(&team->lock);
}

static void stop_workers(pp_team *team, int n_started)
{
    atomic_store(&team->stop, true);
    announce(team);
    for (int i = 0; i < n_started; i++) pthread_join(team->workers[i].handle, NULL);
}

pp_team *pp_team_create(int n_thread)
{
    pp_team *team = pp_alloc_zero(1, sizeof *team);
    if (!team) return NULL;
    team->n_thread = n_thread;
    team->workers = pp_alloc_zero((size_t)n_thread, sizeof *team->workers);
    team->shares = pp_alloc((size_t)n_thread * sizeof *team->shares);
    if (!team->workers || !team->shares) {
        pp_free(team->workers);
        pp_free(team->shares);
        pp_free(team);
        return NULL;
    }
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    pthread_cond_init(&team->done, NULL);
    for (int i = 0; i + 1 < n_thread; i++) {
        team->workers[i] = (worker){.team = team, .thread = i + 1};
        if (pthread_create(&team->workers[i].handle, NULL, work, &team->workers[i]) != 0) {
            stop_workers(team, i);
            team->n_thread = 1;
            pp_team_free(team);
            return NULL;
        }
    }
    return team;
}

void pp_team_free(pp_team *team)
{
    if (!team) return;
    if (team->n_thread > 1) stop_workers(team, team->n_thread - 1);
    pthread_cond_destroy(&team->done);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    pp_free(team->shares);
    pp_free(team->workers);
    pp_free(team);
}

int pp_team_size(const pp_team *team) { return team->n_thread; }

void pp_team_run(pp_team *team, pp_task task, void *arg)
{
    if (team->n_thread == 1) {
        task(arg, 0, 1);
        return;
    }
    team->task = task;
    team->arg = arg;
    atomic_store(&team->running, team->n_thread - 1);
    announce(team);
    task(arg, 0, team->n_thread);
    wait_until_done(team);
}

/* Some microseconds of arithmetic: what a region costs when a worker has to be waited for on a busy machine. */
enum { WORTH_SHARING = 1 << 16 };

bool pp_team_shares(const pp_team *team, uint64_t work) { return team->n_thread > 1 && work >= WORTH_SHARING; }

void pp_team_run_worth(pp_team *team, uint64_t work, pp_task task, void *arg)
{
    if (pp_team_shares(team, work))
        pp_team_run(team, task, arg);
    else
        task(arg, 0, 1);
}

void pp_team_ahead(pp_team *team, int thread, const void *from, size_t bytes)
{
    ahead *next = thread ? &team->workers[thread - 1].next : &team->next;
    *next = (ahead){from, (const char *)from + bytes};
}

void pp_team_share(size_t n, size_t grain, int thread, int n_thread, size_t *first, size_t *last)
{
    size_t n_grain = (n + grain - 1) / grain, team = (size_t)n_thread, me = (size_t)thread;
    size_t each = n_grain / team, rest = n_grain % team;
    size_t from = me * each + PP_MIN(me, rest), to = from + each + (me < rest);
    *first = PP_MIN(from * grain, n);
    *last = PP_MIN(to * grain, n);
}

/* ---- pieces ---- */

/* A piece of s, `least` items where they are there, for its own thread from the front. */
static bool take(share *s, bool own, uint64_t least, size_t *first, size_t *last)
{
    uint64_t left = atomic_load_explicit(&s->left, memory_order_relaxed), rest;
    do {
        const uint64_t from = left >> 32, to = left & UINT32_MAX;
        const uint64_t n = PP_MIN(to - from, PP_MAX(least, (to - from + PIECES - 1) / PIECES));
        if (n == 0) return false;
        *first = (size_t)(own ? from : to - n);
        *last = *first + (size_t)n;
        rest = own ? (from + n) << 32 | to : from << 32 | (to - n);
    } while (!atomic_compare_exchange_weak_explicit(&s->left, &left, rest, memory_order_relaxed, memory_order_relaxed));
    return true;
}

typedef struct pieces {
    share *shares;
    pp_piece_task task;
    void *arg;
    uint64_t least;
} pieces;

static void take_all(void *arg, int thread, int n_thread)
{
    const pieces *p = arg;
    size_t first, last;
    for (int i = 0; i < n_thread; i++)
        while (take(&p->shares[(thread + i) % n_thread], i == 0, p->least, &first, &last))
            p->task(p->arg, thread, first, last);
}

void pp_team_run_pieces(pp_team *team, uint64_t work, size_t n, pp_piece_task task, void *arg)
{
    if (!pp_team_shares(team, work)) {
        if (n) task(arg, 0, 0, n);
        return;
    }
    for (int i = 0; i < team->n_thread; i++) {
        size_t first, last;
        pp_team_share(n, 1, i, team->n_thread, &first, &last);
        atomic_store_explicit(&team->shares[i].left, (uint64_t)first << 32 | last, memory_order_relaxed);
    }
    const uint64_t least = PP_MAX(1, (uint64_t)n * WORTH_SHARING / work);
    pp_team_run(team, take_all, &(pieces){team->shares, task, arg, least});
}
