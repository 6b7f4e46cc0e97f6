/* ballot.c - several answers to one text: corrections that enough of them have, or the one that is most like the others. */
#include <math.h>
#include <string.h>

#include "cli/ballot.h"
#include "cli/words.h"

bool pp_ballot_open(pp_ballot *b, size_t n_answer)
{
    *b = (pp_ballot){.answers = pp_alloc_zero(n_answer, sizeof *b->answers), .room = n_answer};
    return b->answers != NULL;
}

bool pp_ballot_add(pp_ballot *b, const char *text, const char *answer, size_t n_bytes)
{
    char *own = b->n < b->room ? pp_strndup(answer ? answer : "", n_bytes) : NULL;
    char *kept = own && text ? pp_guard(text, own) : own;
    if (kept != own) pp_free(own);
    if (kept) b->answers[b->n++] = kept;
    return kept != NULL;
}

/* likeness_of [n]: how like the others each text is, in all. */
static bool compare(const pp_words *texts, size_t n, double *likeness_of)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            size_t n_common;
            if (!pp_words_common(&texts[i], &texts[j], &n_common)) return false;
            const double one = pp_words_f1(n_common, texts[i].n, texts[j].n);
            likeness_of[i] += one;
            likeness_of[j] += one;
        }
    }
    return true;
}

static char *most_like_the_others(const pp_ballot *b)
{
    pp_words *texts = pp_alloc_zero(b->n + 1, sizeof *texts);
    double *likeness_of = pp_alloc_zero(b->n + 1, sizeof *likeness_of);
    bool room = texts && likeness_of;
    size_t best = 0;
    for (size_t i = 0; room && i < b->n; i++) room = pp_words_of(b->answers[i], false, &texts[i]);
    room = room && compare(texts, b->n, likeness_of);
    for (size_t i = 1; room && i < b->n; i++)
        if (likeness_of[i] > likeness_of[best]) best = i;
    for (size_t i = 0; texts && i < b->n; i++) pp_free(texts[i].items);
    pp_free(texts);
    pp_free(likeness_of);
    return room ? pp_strdup(b->n ? b->answers[best] : "") : NULL;
}

char *pp_ballot_elect(const pp_ballot *b, const char *text, size_t least)
{
    return text ? pp_guard_elect(text, b->answers, b->n, least) : most_like_the_others(b);
}

void pp_ballot_empty(pp_ballot *b)
{
    for (size_t i = 0; i < b->n; i++) pp_free(b->answers[i]);
    b->n = 0;
}

void pp_ballot_close(pp_ballot *b)
{
    pp_ballot_empty(b);
    pp_free(b->answers);
    *b = (pp_ballot){0};
}

void pp_ballot_heat(int32_t n_vote, pippin_sampling *sampling)
{
    if (n_vote && !(sampling->temperature > 0)) sampling->temperature = 1;
}

size_t pp_ballot_least(double share, int32_t n_vote)
{
    const double least = ceil((share > 0 ? share : 0.3) * n_vote);
    return least > 1 ? (size_t)least : 1;
}
