/* made_text.h - random texts, and what careless hands make of them. */
#ifndef MADE_TEXT_H
#define MADE_TEXT_H

#include "cli/words.h"
#include "tests/support.h"

static uint64_t draws;

static size_t draw(size_t n) { return (size_t)(pp_random_bits(7, 0, draws++) % n); }

/* Words of few letters, so that many are equal or near, with all kinds of things between; n of them. */
static void make_text(char *out, size_t n)
{
    static const char *const between[] = {" ", " ", " ", ", ", "-", "  ", ". ", "' ", "\n", " \xe2\x80\x94 "};
    static const char *const letters_of[] = {"a", "b", "o", "A", "c", "\xc3\xa9", "1"};
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 1 + draw(6); k > 0; k--) at += (size_t)snprintf(out + at, 8, "%s", letters_of[draw(7)]);
        if (draw(8) == 0) at += (size_t)snprintf(out + at, 8, "'s");
        if (i + 1 < n || draw(2)) at += (size_t)snprintf(out + at, 8, "%s", between[draw(10)]);
    }
    out[at] = 0;
}

/* The text with some words dropped, doubled, replaced or changed by a letter. */
static void spoil(const char *text, char *out)
{
    pp_words words;
    char other[64];
    size_t at = 0;
    assert_true(pp_words_of(text, true, &words));
    for (size_t i = 0; i < words.n; i++) {
        const pp_word w = words.items[i];
        const size_t how = draw(10);
        make_text(other, 1);
        if (how > 0) at += (size_t)snprintf(out + at, 80, "%.*s", (int)w.n, w.text);
        if (how == 1) at += (size_t)snprintf(out + at, 80, " %.*s", (int)w.n, w.text);
        if (how == 2) at += (size_t)snprintf(out + at, 80, "o");
        if (how == 3) at += (size_t)snprintf(out + at, 80, " %s", other);
        if (how == 4) at += (size_t)snprintf(out + at, 80, "%s", other);
        at += (size_t)snprintf(out + at, 8, draw(4) ? " " : ", ");
    }
    out[at] = 0;
    pp_free(words.items);
}

#endif
