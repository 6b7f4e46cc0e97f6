/* words.c - words of texts, the longest common sequence, edit distance, and alignment. */
#include <string.h>

#include "cli/words.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool in_word(char c)
{
    const char l = lower(c);
    return (l >= 'a' && l <= 'z') || is_digit(c) || (unsigned char)c >= 0x80;
}

/* The end of the word that begins at `at`; at itself where none does. */
static const char *word_end(const char *at, bool joined)
{
    while (in_word(*at) || (joined && *at == '\'' && in_word(at[1]))) {
        if (*at == '\'') at++;
        while (in_word(*at)) at++;
    }
    return at;
}

/* The next word from *at on, which moves behind it; false: there is none. */
static bool next_word(const char **at, bool joined, pp_word *out)
{
    while (**at && !in_word(**at)) ++*at;
    if (!**at) return false;
    const char *end = word_end(*at, joined);
    *out = (pp_word){*at, (size_t)(end - *at)};
    *at = end;
    return true;
}

bool pp_words_of(const char *text, bool joined, pp_words *out)
{
    pp_word word;
    size_t n = 0;
    for (const char *at = text; next_word(&at, joined, &word);) n++;
    *out = (pp_words){.items = pp_alloc_zero(n + 1, sizeof *out->items)};
    if (!out->items) return false;
    for (const char *at = text; next_word(&at, joined, &word);) out->items[out->n++] = word;
    return true;
}

bool pp_word_same(pp_word a, pp_word b) { return a.n == b.n && (!a.n || memcmp(a.text, b.text, a.n) == 0); }

bool pp_word_alike(pp_word a, pp_word b)
{
    bool same = a.n == b.n;
    for (size_t i = 0; same && i < a.n; i++) same = lower(a.text[i]) == lower(b.text[i]);
    return same;
}

bool pp_words_common(const pp_words *a, const pp_words *b, size_t *n)
{
    size_t *row = pp_alloc_zero(b->n + 1, sizeof *row);
    if (!row) return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t corner = 0; /* of the row above, one to the left */
        for (size_t j = 0; j < b->n; j++) {
            const size_t above = row[j + 1];
            row[j + 1] = pp_word_alike(a->items[i], b->items[j]) ? corner + 1 : PP_MAX(above, row[j]);
            corner = above;
        }
    }
    *n = row[b->n];
    pp_free(row);
    return true;
}

double pp_words_f1(size_t n_common, size_t n_a, size_t n_b)
{
    return n_a + n_b ? 2 * (double)n_common / ((double)n_a + (double)n_b) : 1;
}

/* ---- distance ---- */

enum { MAX_LETTER = 64 };

static bool is_inside(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

size_t pp_word_letters(pp_word word)
{
    size_t n = 0;
    for (size_t i = 0; i < word.n; i++) n += !is_inside(word.text[i]);
    return n;
}

/* The characters of a word, as numbers that are equal where they are; there are n of them, MAX_LETTER at most. */
static void letters(pp_word word, uint32_t *out)
{
    uint32_t *last = out;
    for (size_t i = 0; i < word.n; i++)
        if (i && is_inside(word.text[i]))
            *last = *last << 8 | (unsigned char)word.text[i];
        else
            *(last = out++) = (unsigned char)word.text[i];
}

size_t pp_word_distance(pp_word a, pp_word b)
{
    uint32_t x[MAX_LETTER + 1], y[MAX_LETTER + 1];
    size_t rows[3][MAX_LETTER + 1], *before = rows[0], *above = rows[1], *row = rows[2];
    const size_t n_a = pp_word_letters(a), n_b = pp_word_letters(b);
    if (pp_word_same(a, b)) return 0;
    /* A first byte that is no first byte counts as one letter more than pp_word_letters says. */
    if (PP_MAX(n_a, n_b) >= MAX_LETTER || !a.n || !b.n || is_inside(*a.text) || is_inside(*b.text))
        return PP_MAX(PP_MAX(n_a, n_b), 1);
    letters(a, x);
    letters(b, y);
    for (size_t j = 0; j <= n_b; j++) row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            row[j] = PP_MIN(PP_MIN(above[j], row[j - 1]) + 1, above[j - 1] + (x[i - 1] != y[j - 1]));
            if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1])
                row[j] = PP_MIN(row[j], before[j - 2] + 1);
        }
    }
    return row[n_b];
}

/* ---- alignment ---- */

enum { GAP = 120 }; /* what a word costs that is put in or taken away; a multiple of many lengths of words */

static uint32_t replacement_cost(pp_word a, pp_word b)
{
    if (pp_word_same(a, b)) return 0;
    const size_t n = PP_MAX(PP_MAX(pp_word_letters(a), pp_word_letters(b)), 1);
    return (uint32_t)((2 * GAP * pp_word_distance(a, b) + n - 1) / n);
}

/* cost [from->n + 1][to->n + 1] of the beginnings of both. */
static void fill_costs(const pp_words *from, const pp_words *to, uint32_t *cost)
{
    const size_t width = to->n + 1;
    for (size_t j = 0; j < width; j++) cost[j] = (uint32_t)(j * GAP);
    for (size_t i = 1; i <= from->n; i++) {
        uint32_t *row = cost + i * width, *above = row - width;
        row[0] = (uint32_t)(i * GAP);
        for (size_t j = 1; j < width; j++)
            row[j] = PP_MIN(PP_MIN(above[j], row[j - 1]) + GAP,
                            above[j - 1] + replacement_cost(from->items[i - 1], to->items[j - 1]));
    }
}

/* partner [to->n]: 1 + the word that each replaces or repeats, 0 where it was put in. */
static void trace(const pp_words *from, const pp_words *to, const uint32_t *cost, size_t *partner)
{
    const size_t width = to->n + 1;
    size_t i = from->n, j = to->n;
    while (j > 0) {
        const uint32_t *at = cost + i * width + j;
        if (i && *at == at[-(ptrdiff_t)width - 1] + replacement_cost(from->items[i - 1], to->items[j - 1]))
            partner[--j] = i--;
        else if (*at == at[-1] + GAP)
            partner[--j] = 0;
        else
            i--;
    }
}

/* Words that were put in go to the word before, or behind, them; there is at least one. */
static void link_words(const pp_words *from, const pp_words *to, const size_t *partner, pp_link *links)
{
    size_t before = 0; /* 1 + the word that the last partner was */
    bool changed = false;
    for (size_t i = 0; i < from->n; i++) links[i] = (pp_link){0};
    for (size_t j = 0; j < to->n;) {
        size_t end = j, owner = partner[j];
        while (!owner && end < to->n && !partner[end]) end++;
        if (!owner) {
            /* `end` is the word after those that were put in, if it replaces the word just after. */
            const size_t next = end < to->n ? partner[end] : 0;
            const bool is_next = next == before + 1 && !pp_word_same(from->items[next - 1], to->items[end]);
            owner = before && (changed || !is_next) ? before : is_next ? next : before + 1;
        } else {
            end = j + 1;
            before = owner;
            changed = !pp_word_same(from->items[owner - 1], to->items[j]);
        }
        pp_link *link = &links[owner - 1];
        if (!link->n) link->first = j;
        link->n += end - j;
        j = end;
    }
}

bool pp_words_align(const pp_words *from, const pp_words *to, pp_link *links)
{
    size_t n_cell;
    if (!from->n) return true;
    uint32_t *cost = pp_mul(from->n + 1, to->n + 1, &n_cell) ? pp_alloc_zero(n_cell, sizeof *cost) : NULL;
    size_t *partner = pp_alloc_zero(to->n + 1, sizeof *partner);
    const bool room = cost && partner;
    if (room) {
        fill_costs(from, to, cost);
        trace(from, to, cost, partner);
        link_words(from, to, partner, links);
    }
    pp_free(cost);
    pp_free(partner);
    return room;
}
