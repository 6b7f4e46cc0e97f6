/* guard.c - what may be trusted of a proofreader's answers: what one of them puts right, and what several agree on. */
#include <string.h>

#include "cli/words.h"

/* A text, and what is to stand for each of its words: nothing (n = 0) where it goes. */
typedef struct reading {
    const char *text;
    const pp_words *words;
    pp_word *kept; /* [words->n] */
} reading;

/* Is word i said again by the next one, with nothing but spaces between? */
static bool repeats(const pp_words *words, size_t i)
{
    if (i + 1 >= words->n || !pp_word_alike(words->items[i], words->items[i + 1])) return false;
    const char *at = words->items[i].text + words->items[i].n;
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') at++;
    return at == words->items[i + 1].text;
}

static bool is_near(pp_word own, pp_word other)
{
    enum { SHORT = 5 };
    return pp_word_distance(own, other) <= (pp_word_letters(own) < SHORT ? 1 : 2);
}

/* Words first .. last of the text are one, said again: what the answer has of them comes first, and what it has not goes. Of a word
   that it has not at all nothing is known. */
static void keep_run(const reading *r, const pp_words *answer, const pp_link *links, size_t first, size_t last)
{
    const pp_word *own = r->words->items;
    size_t at = first;
    for (size_t i = first; i <= last; i++) {
        if (!links[i].n) continue;
        const pp_word other = links[i].n == 1 ? answer->items[links[i].first] : own[at];
        r->kept[at] = is_near(own[at], other) ? other : own[at];
        at++;
    }
    const bool known = at > first;
    for (; at <= last; at++) r->kept[at] = known ? (pp_word){0} : own[at];
}

static void keep(const reading *r, const pp_words *answer, const pp_link *links)
{
    for (size_t first = 0, last; first < r->words->n; first = last + 1) {
        for (last = first; repeats(r->words, last);) last++;
        keep_run(r, answer, links, first, last);
    }
}

/* The text with what was kept in the places of its words. */
static char *write_out(const reading *r)
{
    const pp_words *words = r->words;
    size_t n = strlen(r->text) + 1, at = 0;
    for (size_t i = 0; i < words->n; i++) n += r->kept[i].n;
    char *out = pp_alloc(n);
    const char *text = r->text;
    if (!out) return NULL;
    for (size_t i = 0; i < words->n; i++) {
        const pp_word own = words->items[i], kept = r->kept[i];
        const size_t between = kept.n ? (size_t)(own.text - text) : 0;
        memcpy(out + at, text, between);
        at += between;
        if (kept.n) memcpy(out + at, kept.text, kept.n);
        at += kept.n;
        text = own.text + own.n;
    }
    memcpy(out + at, text, strlen(text) + 1);
    return out;
}

/* What is left of an answer, with links [words->n] for the work. NULL without memory. */
static char *guard_once(const reading *r, const char *answer, pp_link *links)
{
    pp_words others = {0};
    char *out = NULL;
    if (pp_words_of(answer, true, &others) && pp_words_align(r->words, &others, links)) {
        keep(r, &others, links);
        out = write_out(r);
    }
    pp_free(others.items);
    return out;
}

/*
 * What is left of an answer may align with the text in a cheaper way than the whole answer did: it is guarded until nothing
 * changes. What it costs falls with every round, so this ends.
 */
char *pp_guard(const char *text, const char *answer)
{
    pp_words words = {0};
    const bool room = pp_words_of(text, true, &words);
    pp_link *links = room ? pp_alloc_zero(words.n + 1, sizeof *links) : NULL;
    const reading r = {text, &words, room ? pp_alloc_zero(words.n + 1, sizeof *r.kept) : NULL};
    char *kept = links && r.kept ? pp_strdup(answer) : NULL;
    for (bool settled = false; kept && !settled;) {
        char *next = guard_once(&r, kept, links);
        settled = next && strcmp(next, kept) == 0;
        pp_free(kept);
        kept = next;
    }
    pp_free(words.items);
    pp_free(links);
    pp_free(r.kept);
    return kept;
}

/* ---- several answers ---- */

/* What an answer reads for each word, in row [words->n], its words in *others; false without memory. */
static bool read_answer(reading r, const char *answer, pp_link *links, pp_word *row, pp_words *others)
{
    r.kept = row;
    if (!pp_words_of(answer, true, others) || !pp_words_align(r.words, others, links)) return false;
    keep(&r, others, links);
    return true;
}

/* Of readings [n], `step` apart, the one that counts; own where none does. */
static pp_word elect(pp_word own, const pp_word *readings, size_t n, size_t step, size_t least)
{
    pp_word best = own;
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const pp_word one = readings[i * step];
        size_t votes = 0;
        if (pp_word_same(one, own)) continue;
        for (size_t j = 0; j < n; j++) votes += pp_word_same(one, readings[j * step]);
        if (votes <= most) continue;
        best = one;
        most = votes;
    }
    return most >= least ? best : own;
}

char *pp_guard_elect(const char *text, char *const *answers, size_t n, size_t least)
{
    pp_words words = {0}, *others = pp_alloc_zero(n + 1, sizeof *others);
    char *out = NULL;
    size_t n_cell;
    bool room = others && pp_words_of(text, true, &words) && pp_mul(n + 1, words.n + 1, &n_cell);
    pp_link *links = room ? pp_alloc_zero(words.n + 1, sizeof *links) : NULL;
    pp_word *readings = links ? pp_alloc_zero(n_cell, sizeof *readings) : NULL; /* [n][words.n], then what won */
    const reading r = {text, &words, readings ? readings + n * words.n : NULL};
    room = readings != NULL;
    for (size_t i = 0; room && i < n; i++) room = read_answer(r, answers[i], links, readings + i * words.n, &others[i]);
    for (size_t i = 0; room && i < words.n; i++) r.kept[i] = elect(words.items[i], readings + i, n, words.n, least);
    if (room) out = write_out(&r);
    for (size_t i = 0; others && i < n; i++) pp_free(others[i].items);
    pp_free(others);
    pp_free(words.items);
    pp_free(links);
    pp_free(readings);
    return out;
}
