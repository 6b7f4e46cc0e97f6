/*
 * words.c - a text as byte-pair vocabularies with a list of merges see it: cut at added pieces, normalised, cut into words
 * by patterns, and each word merged on its own.
 */
#include <string.h>

#include "text/tokenizer.h"

/* U+FDFA has 18 characters in its compatible form; a file that asks for more wants our memory. */
enum { MAX_GROWTH = 16 };

/* ---- normalising: ops of a tokenizer, on text[0] ---- */

static bool begins_with(const pp_buffer_text *b, const pp_op *op)
{
    return b->n >= op->n_to && memcmp(b->bytes, op->to, op->n_to) == 0;
}

static void swap_texts(pp_encoder *e)
{
    const pp_buffer_text swap = e->text[0];
    e->text[0] = e->text[1];
    e->text[1] = swap;
}

static pippin_status prepend(pp_encoder *e, const pp_op *op)
{
    pp_buffer_text *from = &e->text[0], *to = &e->text[1];
    to->n = 0;
    pippin_status status = pp_encoder_put(e, to, op->to, op->n_to);
    if (status == PIPPIN_OK) status = pp_encoder_put(e, to, from->bytes, from->n);
    swap_texts(e);
    return status;
}

static pippin_status replace(pp_encoder *e, const pp_op *op)
{
    pp_buffer_text *from = &e->text[0], *to = &e->text[1];
    to->n = 0;
    pippin_status status = PIPPIN_OK;
    for (size_t at = 0; at < from->n && status == PIPPIN_OK;) {
        const bool found = from->n - at >= op->n_from && memcmp(from->bytes + at, op->from, op->n_from) == 0;
        status = found ? pp_encoder_put(e, to, op->to, op->n_to) : pp_encoder_put(e, to, from->bytes + at, 1);
        at += found ? op->n_from : 1;
    }
    swap_texts(e);
    return status;
}

static pippin_status apply(pp_encoder *e, const pp_op *op, bool first, bool begins)
{
    switch (op->kind) {
    case PP_OP_UNICODE: return pp_unicode_normalize(e, op->unicode);
    case PP_OP_REPLACE: return replace(e, op);
    case PP_OP_PREPEND: return begins ? prepend(e, op) : PIPPIN_OK;
    case PP_OP_PREPEND_MISSING: return begins && !begins_with(&e->text[0], op) ? prepend(e, op) : PIPPIN_OK;
    case PP_OP_PREPEND_FIRST: return begins && first && !begins_with(&e->text[0], op) ? prepend(e, op) : PIPPIN_OK;
    }
    return PIPPIN_OK;
}

/* ---- words ---- */

static pippin_status encode_word(pp_encoder *e, const char *text, size_t n)
{
    const pippin_tokenizer *t = e->t;
    if (t->ignore_merges && n <= t->longest_stored) {
        char spelt[512];
        if (t->byte_level && 2 * n > sizeof spelt) return pp_bpe_encode(e, text, n);
        const size_t size = t->byte_level ? pp_byte_level_encode(text, n, spelt) : n;
        const int32_t id = pp_tokenizer_find_normal(t, t->byte_level ? spelt : text, size);
        if (id >= 0) return pp_encoder_push(e, id);
    }
    return pp_bpe_encode(e, text, n);
}

/* One pass of a step over a text; parts are given on as they are complete. */
typedef struct cut {
    const pp_step *step;
    const char *text;
    size_t start, end; /* the part that waits for its neighbour */
    bool waits, was_match;
} cut;

static pippin_status walk(pp_encoder *e, int i_step, const char *text, size_t n);

static pippin_status give(pp_encoder *e, cut *c)
{
    if (!c->waits) return PIPPIN_OK;
    c->waits = false;
    return walk(e, (int)(c->step - e->t->steps) + 1, c->text + c->start, c->end - c->start);
}

static pippin_status part(pp_encoder *e, cut *c, size_t start, size_t end, bool match)
{
    if (start == end) return PIPPIN_OK;
    match ^= c->step->invert;
    const bool joins = c->waits && ((c->step->split == PP_SPLIT_WITH_PREVIOUS && match && !c->was_match) ||
                                    (c->step->split == PP_SPLIT_WITH_NEXT && !match && c->was_match) ||
                                    (c->step->split == PP_SPLIT_CONTIGUOUS && match == c->was_match));
    c->was_match = match;
    if (joins) {
        c->end = end;
        return PIPPIN_OK;
    }
    pippin_status status = give(e, c);
    if (match && c->step->split == PP_SPLIT_REMOVED) return status;
    c->start = start;
    c->end = end;
    c->waits = true;
    return status;
}

/* The depth of this recursion is the number of steps. */
static pippin_status walk(pp_encoder *e, int i_step, const char *text, size_t n)
{
    if (i_step == e->t->n_step) return encode_word(e, text, n);
    cut c = {.step = &e->t->steps[i_step], .text = text};
    pippin_status status = PIPPIN_OK;
    size_t start = 0, end = 0;
    for (bool found = true; found && status == PIPPIN_OK;) {
        const size_t before = end;
        status = pp_pattern_next(c.step->pattern, e->matcher, text, n, &start, &end, &found, e->err);
        if (status == PIPPIN_OK) status = part(e, &c, before, found ? start : n, false);
        if (status == PIPPIN_OK && found) status = part(e, &c, start, end, true);
    }
    return status == PIPPIN_OK ? give(e, &c) : status;
}

/* ---- sections: what lies between added pieces ---- */

static pippin_status encode_valid(pp_encoder *e, const char *text, size_t n, bool first, bool begins)
{
    const pippin_tokenizer *t = e->t;
    if (t->n_op == 0) return walk(e, 0, text, n);
    e->text[0].n = 0;
    pippin_status status = pp_encoder_put(e, &e->text[0], text, n);
    for (int i = 0; i < t->n_op && status == PIPPIN_OK; i++) {
        status = apply(e, &t->ops[i], first, begins);
        if (status == PIPPIN_OK && e->text[0].n / MAX_GROWTH > n + PP_OP_TEXT)
            status = pp_fail(e->err, PIPPIN_E_UNSUPPORTED,
                             "tokenizer: its normaliser makes texts more than %d times longer; use another tokenizer",
                             MAX_GROWTH);
    }
    return status == PIPPIN_OK ? walk(e, 0, e->text[0].bytes, e->text[0].n) : status;
}

/* Bytes that are no UTF-8 are words of their own, untouched, so that they come back as they were. */
static pippin_status encode_section(pp_encoder *e, const char *text, size_t n, bool first)
{
    pippin_status status = PIPPIN_OK;
    for (size_t at = 0, end, size; at < n && status == PIPPIN_OK; at = end) {
        for (end = at; end < n && (size = pp_utf8_size(text + end, n - end)) > 0;) end += size;
        if (end > at) {
            status = encode_valid(e, text + at, end - at, first, at == 0);
            continue;
        }
        while (end < n && pp_utf8_size(text + end, n - end) == 0) end++;
        status = pp_bpe_encode(e, text + at, end - at);
    }
    return status;
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

pippin_status pp_words_encode(pp_encoder *e, const char *text, size_t n)
{
    pippin_status status =
        e->t->n_step ? pp_matcher_create(PP_OP_TEXT * PP_MAX_OPS + 2 * n, &e->matcher, e->err) : PIPPIN_OK;
    size_t start = 0;
    for (size_t at = 0; at < n && status == PIPPIN_OK;) {
        const pp_piece *p = pp_encoder_special(e, text, n, at);
        if (!p) {
            at++;
            continue;
        }
        size_t end = at;
        while (p->eats_left && end > start && is_blank(text[end - 1])) end--;
        if (end > start) status = encode_section(e, text + start, end - start, start == 0);
        if (status == PIPPIN_OK) status = pp_encoder_push(e, (int32_t)(p - e->t->pieces));
        at += p->n_stored;
        while (p->eats_right && at < n && is_blank(text[at])) at++;
        start = at;
    }
    if (status == PIPPIN_OK && start < n) status = encode_section(e, text + start, n - start, start == 0);
    return status;
}
