/*
 * sp_normalize.c - a text as SentencePiece sees it: characters replaced by the model's own table, spaces trimmed and
 * stored as U+2581, a space put before the first word. Special pieces and newlines with a piece of their own are taken out
 * on the way; merging never crosses them.
 */
#include <string.h>

#include "text/tokenizer.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */

/* ---- the table: a double array of 32-bit units (darts-clone) ---- */

static bool unit_has_leaf(uint32_t u) { return u >> 8 & 1; }
static uint32_t unit_value(uint32_t u) { return u & 0x7fffffffu; }
static uint32_t unit_label(uint32_t u) { return u & 0x800000ffu; }
static uint32_t unit_offset(uint32_t u) { return (u >> 10) << ((u & 0x200u) >> 6); }

/* The longest entry that text begins with: its length, 0 if there is none, and where its replacement starts. */
static size_t longest_entry(const pp_sp_rules *r, const char *text, size_t n, uint32_t *value)
{
    size_t longest = 0;
    if (r->n_trie == 0) return 0;
    size_t node = unit_offset(r->trie[0]);
    for (size_t i = 0; i < n; i++) {
        node ^= (unsigned char)text[i];
        if (node >= r->n_trie || unit_label(r->trie[node]) != (unsigned char)text[i]) break;
        const bool leaf = unit_has_leaf(r->trie[node]);
        node ^= unit_offset(r->trie[node]);
        if (node >= r->n_trie) break;
        if (leaf && unit_value(r->trie[node]) < r->n_replacements) {
            longest = i + 1;
            *value = unit_value(r->trie[node]);
        }
    }
    return longest;
}

/* ---- one step of the way through a text ---- */

typedef struct step {
    int32_t id; /* a piece that is taken out, or -1 and then: */
    const char *text;
    size_t n;
    size_t used; /* bytes of the source */
} step;

static step next_step(pp_encoder *e, const char *text, size_t n, size_t at)
{
    const pippin_tokenizer *t = e->t;
    if (t->newline >= 0 && text[at] == '\n') return (step){.id = t->newline, .used = 1};
    const pp_piece *special = pp_encoder_special(e, text, n, at);
    if (special) return (step){.id = (int32_t)(special - t->pieces), .used = special->n_stored};
    uint32_t value = 0;
    const size_t replaced = longest_entry(&t->rules, text + at, n - at, &value);
    if (replaced) return (step){-1, t->rules.replacements + value, strlen(t->rules.replacements + value), replaced};
    const size_t size = PP_MAX(pp_utf8_size(text + at, n - at), (size_t)1);
    return (step){-1, text + at, size, size};
}

static bool is_space(const step *s) { return s->id < 0 && s->n == 1 && s->text[0] == ' '; }

static pippin_status put_space(pp_encoder *e)
{
    return e->t->rules.escape ? pp_encoder_put(e, &e->text[0], space_mark, 3) : pp_encoder_put(e, &e->text[0], " ", 1);
}

static pippin_status put_text(pp_encoder *e, const step *s, bool *after_space)
{
    pippin_status status = PIPPIN_OK;
    size_t i = 0;
    while (*after_space && i < s->n && s->text[i] == ' ') i++;
    if (i == s->n) return PIPPIN_OK;
    for (; i < s->n && status == PIPPIN_OK; i++)
        status = s->text[i] == ' ' ? put_space(e) : pp_encoder_put(e, &e->text[0], s->text + i, 1);
    *after_space = e->t->rules.one_space && s->text[s->n - 1] == ' ';
    return status;
}

/* What has gathered becomes ids. */
static pippin_status flush(pp_encoder *e)
{
    pp_buffer_text *b = &e->text[0];
    pippin_status status =
        e->t->kind == PP_TOKENIZER_UNIGRAM ? pp_unigram_encode(e, b->bytes, b->n) : pp_bpe_encode(e, b->bytes, b->n);
    b->n = 0;
    return status;
}

static void trim_end(pp_encoder *e)
{
    pp_buffer_text *b = &e->text[0];
    const char *space = e->t->rules.escape ? space_mark : " ";
    const size_t n = strlen(space);
    while (b->n >= n && memcmp(b->bytes + b->n - n, space, n) == 0) b->n -= n;
}

pippin_status pp_sp_encode(pp_encoder *e, const char *text, size_t n)
{
    const pp_sp_rules *rules = &e->t->rules;
    size_t at = 0;
    step s;
    for (; rules->one_space && at < n; at += s.used) {
        s = next_step(e, text, n, at);
        if (!is_space(&s)) break;
    }
    if (at == n) return PIPPIN_OK;
    bool after_space = rules->one_space;
    pippin_status status = rules->dummy_prefix ? put_space(e) : PIPPIN_OK;
    for (; at < n && status == PIPPIN_OK; at += s.used) {
        s = next_step(e, text, n, at);
        if (s.id < 0) {
            status = put_text(e, &s, &after_space);
            continue;
        }
        after_space = false;
        status = flush(e);
        if (status == PIPPIN_OK) status = pp_encoder_push(e, s.id);
    }
    if (rules->one_space) trim_end(e);
    return status == PIPPIN_OK ? flush(e) : status;
}
