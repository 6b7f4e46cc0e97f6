/* words.h - words of texts: where they are, what two rows of them have in common, which became which, and (guard.c) which may. */
#ifndef PP_CLI_WORDS_H
#define PP_CLI_WORDS_H

#include "base/base.h"

typedef struct pp_word {
    const char *text; /* within the text that it was found in; not 0-terminated */
    size_t n;
} pp_word;

typedef struct pp_words {
    pp_word *items; /* free with pp_free */
    size_t n;
} pp_words;

/*
 * A word is a run of ASCII letters, digits, and bytes beyond ASCII. `joined`: an apostrophe between two of these belongs to
 * it (don't). False without memory.
 */
bool pp_words_of(const char *text, bool joined, pp_words *out);
bool pp_word_same(pp_word a, pp_word b);
bool pp_word_alike(pp_word a, pp_word b); /* but for the case of ASCII letters */
/* How long the longest sequence is that both have, in order, with gaps; ASCII letters in any case. False without memory. */
bool pp_words_common(const pp_words *a, const pp_words *b, size_t *n);
/* How alike texts of n_a and n_b words are that have so many in common, 0 to 1: F1, as rouge-l has it; 1 where neither has any. */
double pp_words_f1(size_t n_common, size_t n_a, size_t n_b);

size_t pp_word_letters(pp_word word); /* characters of UTF-8 */
/* Insertions, deletions, replacements and swaps of neighbouring characters, none of a place that was changed already. Words
   of more than 64 characters are equal or as far as can be. */
size_t pp_word_distance(pp_word a, pp_word b);

/* The words of the other text that stand for a word: one and the same where nothing changed, none where it was taken away,
   several where something was put beside it. */
typedef struct pp_link {
    size_t first, n;
} pp_link;

/*
 * links [from->n]: the cheapest way from one text to the other. A word put in or taken away costs 1, a replaced one 2 times the
 * share of its letters that differ. What was put in belongs to the word before it, but to the one after it where only that one
 * was changed. False without memory.
 */
bool pp_words_align(const pp_words *from, const pp_words *to, pp_link *links);

/* ---- what may be trusted of a proofreader (guard.c) ---- */

/*
 * Of an answer's words those that stand for one word of the text, at a distance of 2 at most, 1 where that one has less than 5
 * letters; and of words that the text says twice in a row, spaces between, one may go. All else stays the text's own, every
 * byte between words too. A guarded answer guarded again is the same. NULL without memory; free with pp_free.
 */
char *pp_guard(const char *text, const char *answer) PP_MUST_USE;
/* What answers [n] that were guarded one by one agree on: for each word of the text the reading that most of them have other than
   its own, the first of equals, if at least `least` of them do. NULL without memory; free with pp_free. */
char *pp_guard_elect(const char *text, char *const *answers, size_t n, size_t least) PP_MUST_USE;

#endif
