/* pieces.c - the pieces of a vocabulary: their text, finding one by its text, and walking down those with a common beginning. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

enum { BLOCK = 1 << 16 };

struct pp_block {
    pp_block *next;
    size_t used, size;
    char bytes[];
};

pippin_status pp_tokenizer_new(size_t n, const char *source, pippin_tokenizer **out, pippin_error *err)
{
    *out = NULL;
    if (n > INT32_MAX / 8)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: %zu pieces, expected at most %d; check that the file is whole",
                       source, n, INT32_MAX / 8);
    pippin_tokenizer *t = pp_alloc_zero(1, sizeof *t);
    if (!t) return pp_fail_memory(err, source, sizeof *t);
    t->n_piece = (int32_t)n;
    t->bos = t->eos = t->unk = t->newline = -1;
    for (int i = 0; i < 256; i++) t->byte_id[i] = -1;
    t->pieces = pp_alloc_zero(n, sizeof *t->pieces);
    if (!t->pieces) {
        pippin_tokenizer_free(t);
        return pp_fail_memory(err, source, n * sizeof *t->pieces);
    }
    for (size_t i = 0; i < n; i++)
        t->pieces[i] = (pp_piece){.stored = "", .text = "", .byte = -1, .kind = PP_PIECE_UNUSED};
    *out = t;
    return PIPPIN_OK;
}

static void free_steps(pippin_tokenizer *t)
{
    for (int i = 0; i < t->n_step; i++) pp_pattern_free(t->steps[i].pattern);
}

void pippin_tokenizer_free(pippin_tokenizer *t)
{
    if (!t) return;
    for (pp_block *b = t->blocks, *next; b; b = next) {
        next = b->next;
        pp_free(b);
    }
    free_steps(t);
    pp_free(t->pieces);
    pp_free(t->index);
    pp_free(t->special.items);
    pp_free(t->normal.items);
    pp_free(t->merges);
    pp_free(t->rules.trie);
    pp_free(t->rules.replacements);
    pp_origin_free(&t->origin);
    pp_free(t);
}

char *pp_tokenizer_keep(pippin_tokenizer *t, const char *bytes, size_t n)
{
    pp_block *b = t->blocks;
    if (!b || b->size - b->used < n) {
        const size_t size = PP_MAX(n, (size_t)BLOCK);
        size_t whole;
        if (!pp_add(size, sizeof *b, &whole)) return NULL;
        b = pp_alloc(whole);
        if (!b) return NULL;
        *b = (pp_block){t->blocks, 0, size};
        t->blocks = b;
    }
    char *copy = b->bytes + b->used;
    if (n && bytes) memcpy(copy, bytes, n);
    b->used += n;
    return copy;
}

pippin_status pp_piece_set(pippin_tokenizer *t, int32_t id, const char *stored, size_t n, const char *source,
                           pippin_error *err)
{
    pp_piece *p = &t->pieces[id];
    if (n > INT32_MAX / 8)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: piece %d has %zu bytes, expected at most %d; check that the file is whole", source, (int)id,
                       n, INT32_MAX / 8);
    const char *copy = pp_tokenizer_keep(t, stored, n);
    if (!copy) return pp_fail_memory(err, source, n);
    p->stored = p->text = copy;
    p->n_stored = p->n_text = (uint32_t)n;
    return PIPPIN_OK;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

void pp_piece_make_byte(pippin_tokenizer *t, int32_t id, int byte)
{
    static const unsigned char all[256] = {
#define FOUR(n)       (n), (n) + 1, (n) + 2, (n) + 3
#define SIXTEEN(n)    FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define SIXTY_FOUR(n) SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
        SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};
    pp_piece *p = &t->pieces[id];
    p->kind = PP_PIECE_BYTE;
    p->byte = (int16_t)byte;
    p->text = (const char *)&all[byte];
    p->n_text = 1;
    if (t->byte_id[byte] < 0) t->byte_id[byte] = id;
}

bool pp_piece_set_byte(pippin_tokenizer *t, int32_t id)
{
    const pp_piece *p = &t->pieces[id];
    if (p->n_stored != 6 || memcmp(p->stored, "<0x", 3) != 0 || p->stored[5] != '>') return false;
    const int high = hex_digit(p->stored[3]), low = hex_digit(p->stored[4]);
    if (high < 0 || low < 0) return false;
    pp_piece_make_byte(t, id, high * 16 + low);
    return true;
}

static bool stays(const pp_piece *p)
{
    return p->kind == PP_PIECE_BYTE || p->kind == PP_PIECE_CONTROL || p->kind == PP_PIECE_UNKNOWN;
}

static size_t count_in(const pp_piece *p, const char *from, size_t n_from)
{
    size_t n = 0;
    for (size_t i = 0; i + n_from <= p->n_text;) {
        const bool found = memcmp(p->text + i, from, n_from) == 0;
        n += found;
        i += found ? n_from : 1;
    }
    return n;
}

pippin_status pp_pieces_replace(pippin_tokenizer *t, const char *from, const char *to, const char *source,
                                pippin_error *err)
{
    const size_t n_from = strlen(from), n_to = strlen(to);
    for (int32_t id = 0; id < t->n_piece && n_from; id++) {
        pp_piece *p = &t->pieces[id];
        const size_t count = stays(p) ? 0 : count_in(p, from, n_from);
        if (count == 0) continue;
        const size_t n = p->n_text - count * n_from + count * n_to;
        char *text = pp_tokenizer_keep(t, NULL, n), *end = text;
        if (!text) return pp_fail_memory(err, source, n);
        for (size_t i = 0; i < p->n_text;) {
            const bool found = i + n_from <= p->n_text && memcmp(p->text + i, from, n_from) == 0;
            if (found) {
                memcpy(end, to, n_to);
                end += n_to;
            } else {
                *end++ = p->text[i];
            }
            i += found ? n_from : 1;
        }
        p->text = text;
        p->n_text = (uint32_t)n;
    }
    return PIPPIN_OK;
}

/* ---- by text ---- */

static const uint32_t hash_start = 2166136261u; /* FNV-1a */

static uint32_t hash_on(uint32_t h, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static void insert(pippin_tokenizer *t, int32_t id)
{
    const pp_piece *p = &t->pieces[id];
    uint32_t at = hash_on(hash_start, p->stored, p->n_stored) & t->index_mask;
    for (; t->index[at] >= 0; at = (at + 1) & t->index_mask) {
        const pp_piece *other = &t->pieces[t->index[at]];
        /* The first of two equal pieces wins. */
        if (other->n_stored == p->n_stored && memcmp(other->stored, p->stored, p->n_stored) == 0) return;
    }
    t->index[at] = id;
}

static bool ordinary(const pp_piece *p) { return p->kind == PP_PIECE_NORMAL || p->kind == PP_PIECE_ADDED; }

pippin_status pp_tokenizer_build_index(pippin_tokenizer *t, const char *source, pippin_error *err)
{
    size_t size = 16;
    while (size < 2 * (size_t)t->n_piece) size *= 2;
    t->index = pp_alloc(size * sizeof *t->index);
    if (!t->index) return pp_fail_memory(err, source, size * sizeof *t->index);
    memset(t->index, -1, size * sizeof *t->index);
    t->index_mask = (uint32_t)(size - 1);
    for (int pass = 0; pass < 2; pass++) /* an ordinary piece is not hidden by a special one of the same text */
        for (int32_t id = 0; id < t->n_piece; id++) {
            const pp_piece *p = &t->pieces[id];
            if (p->n_stored && p->kind != PP_PIECE_UNUSED && ordinary(p) == (pass == 0)) insert(t, id);
            t->longest_stored = PP_MAX(t->longest_stored, p->n_stored);
            t->longest_text = PP_MAX(t->longest_text, p->n_text);
        }
    return pp_prefix_build(t, 1u << PP_PIECE_ADDED | 1u << PP_PIECE_USER | 1u << PP_PIECE_CONTROL, &t->special, source,
                           err);
}

int32_t pp_tokenizer_find_joint(const pippin_tokenizer *t, const char *left, size_t n_left, const char *right,
                                size_t n_right)
{
    if (n_left + n_right > t->longest_stored) return -1;
    uint32_t at = hash_on(hash_on(hash_start, left, n_left), right, n_right) & t->index_mask;
    for (; t->index[at] >= 0; at = (at + 1) & t->index_mask) {
        const pp_piece *p = &t->pieces[t->index[at]];
        if (p->n_stored == n_left + n_right && memcmp(p->stored, left, n_left) == 0 &&
            memcmp(p->stored + n_left, right, n_right) == 0)
            return t->index[at];
    }
    return -1;
}

int32_t pp_tokenizer_find(const pippin_tokenizer *t, const char *text, size_t n)
{
    return pp_tokenizer_find_joint(t, text, n, "", 0);
}

int32_t pp_tokenizer_find_normal(const pippin_tokenizer *t, const char *text, size_t n_bytes)
{
    const int32_t id = pp_tokenizer_find(t, text, n_bytes);
    return id >= 0 && ordinary(&t->pieces[id]) ? id : -1;
}

int32_t pp_tokenizer_special_id(const pippin_tokenizer *t, const char *name)
{
    const int32_t id = pp_tokenizer_find(t, name, strlen(name));
    return id >= 0 && t->pieces[id].kind != PP_PIECE_NORMAL ? id : -1;
}
