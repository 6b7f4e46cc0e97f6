/*
 * pace.c - how many tokens to guess. With independent guesses of which a share a is right, a pass that checks k of them gives
 * 1 + a + .. + a^k tokens; what it costs is measured, for each k by itself, and so is what a guess costs. The k with the most
 * tokens a second is taken, 0 where none is faster than without, and then one guess is tried now and then. A draft that has much
 * of the text to read first is asked once that would have come back.
 */
#include "infer/speculate.h"

enum {
    /* Tokens before the first try where guesses do not pay; doubled by each that fails, halved by each that does not. */
    FIRST_WAIT = 16,
    LEAST_WAIT = 4,
    LAST_WAIT = 128,
    TRY_SHARE = 40, /* of the time is for tries, one part of so many, */
    RARELY = 1024,  /* but for one after so many tokens */
    REFRESH = 64,   /* passes that pay, after which a neighbour's cost is measured again */
    WINDOW = 32,    /* guesses that the share of right ones is known by, */
    GLANCE = 8      /* and where they are few: what was long ago says less */
};

/* Before anything is known: better than even, and soon outweighed. */
static const double PRIOR = 0.6, PRIOR_WEIGHT = 2;

static double share(const pp_odds *o) { return o->tried > 0 ? o->accepted / o->tried : PRIOR; }

/*
 * A pass takes no longer than one of more tokens, whatever was seen of it when the machine was slower; and where it was not seen
 * yet, no longer than the next smaller one: it is tried once, and then known.
 */
static double pass_seconds(const pp_pace *p, int32_t n_tok)
{
    while (n_tok > 1 && !p->n_seen[n_tok]) n_tok--;
    double least = p->seconds[n_tok];
    for (int32_t n = n_tok + 1; n <= PP_MAX_DRAFT + 1; n++)
        if (p->n_seen[n]) least = PP_MIN(least, p->seconds[n]);
    return least;
}

/* Tokens a second with k guesses. */
static double rate(const pp_pace *p, const pp_odds *o, int32_t k)
{
    const double a = share(o);
    double tokens = 1, power = 1;
    for (int32_t i = 0; i < k; i++) tokens += power *= a;
    return tokens / (pass_seconds(p, k + 1) + k * o->seconds);
}

static int32_t best_of(const pp_pace *p, const pp_odds *o, int32_t most)
{
    int32_t best = 0, known = 1;
    for (int32_t n = 1; n <= PP_MAX_DRAFT + 1; n++)
        if (p->n_seen[n]) known = n;
    for (int32_t k = 1; k <= PP_MIN(most, known); k++) /* one guess more than was tried, at most */
        if (rate(p, o, k) > rate(p, o, best)) best = k;
    return best;
}

/* A neighbour now and then, so that what its passes cost stays known. */
static int32_t refreshed(pp_odds *o, int32_t best, int32_t most)
{
    if (++o->turn % REFRESH) return best;
    switch (o->turn / REFRESH % 3) {
    case 0: return 0;
    case 1: return PP_MIN(best + 1, most);
    default: return best - 1;
    }
}

/* Is it time for a try? What tries cost stays a small share of the time between them, if they are not very rare. */
static bool may_try(const pp_pace *p, pp_odds *o, double reading)
{
    const double plain = pass_seconds(p, 1), cost = reading + pass_seconds(p, 2) + o->seconds - plain;
    if (o->wait == 0) o->wait = FIRST_WAIT;
    if (++o->idle < o->wait) return false;
    return cost * TRY_SHARE <= o->idle * plain || o->idle >= RARELY;
}

int32_t pp_pace_choose(const pp_pace *p, pp_odds *o, int32_t most, size_t n_unread, size_t n_done, size_t n_wanted)
{
    o->trying = false;
    if (most < 1 || p->n_seen[1] < 2) return 0; /* what guesses are held against must be known */
    const double reading = o->reading * (double)n_unread;
    const int32_t best = best_of(p, o, most);
    if (best > 0) {
        /*
         * What is won by the tokens that may come: where an answer ends is not known, so as many as came already. What is paid
         * for once it could have been won before costs at most twice what the better of both ways does, as in hiring skis.
         */
        const double won = (pass_seconds(p, 1) - 1 / rate(p, o, best)) * (double)PP_MIN(n_done, n_wanted);
        if (won < reading) return 0;
        o->idle = 0;
        o->wait = FIRST_WAIT;
        return refreshed(o, best, PP_MIN(most, PP_MAX_DRAFT));
    }
    if (!may_try(p, o, reading)) return 0;
    o->idle = 0;
    o->trying = true;
    return 1;
}

/* The lesser of the first two, as a first one brings things into caches; later ones move it, and none by more than an eighth. */
void pp_pace_saw_pass(pp_pace *p, int32_t n_tok, double seconds)
{
    double *known = &p->seconds[n_tok];
    const uint32_t n = p->n_seen[n_tok]++;
    if (n == 0)
        *known = seconds;
    else if (n == 1)
        *known = PP_MIN(*known, seconds);
    else
        *known += (PP_MIN(seconds, 2 * *known) - *known) / 8;
}

static void move(double *known, double seen)
{
    *known = *known > 0 ? *known + (PP_MIN(seen, 2 * *known) - *known) / 8 : seen;
}

void pp_pace_saw_reading(pp_odds *o, double seconds) { move(&o->reading, seconds); }

void pp_pace_saw_guesses(pp_odds *o, int32_t n, double seconds) { move(&o->seconds, seconds / n); }

void pp_pace_saw_check(pp_odds *o, int32_t n, int32_t n_accepted)
{
    const double tried = n_accepted + (n_accepted < n), window = o->trying ? GLANCE : WINDOW;
    if (o->tried == 0) {
        o->tried = PRIOR_WEIGHT;
        o->accepted = PRIOR * PRIOR_WEIGHT;
    }
    const double keep = PP_MIN(1, window / (o->tried + tried));
    o->tried = (o->tried + tried) * keep;
    o->accepted = (o->accepted + n_accepted) * keep;
    if (o->trying) o->wait = n_accepted ? PP_MAX(o->wait / 2, LEAST_WAIT) : PP_MIN(2 * o->wait, LAST_WAIT);
}
