/*
 * bpe.c - byte-pair encoding: start from single symbols, and again and again merge the neighbours that go first, the
 * leftmost where several do. A heap of candidate pairs makes it O(n log n). SentencePiece ranks a merge by the score of the
 * joint piece, the others by its place in a list.
 */
#include <string.h>

#include "text/tokenizer.h"

typedef struct symbol {
    uint32_t start, n_bytes; /* its text; n_bytes 0: merged into its left neighbour */
    int32_t prev, next;      /* neighbours, -1 at the ends */
    int32_t id;              /* -1: no piece */
} symbol;

typedef struct candidate {
    float score;
    int32_t left, right, id;
    uint32_t n_bytes; /* of both together when it was entered: a later change makes it stale */
} candidate;

typedef struct bpe {
    const pippin_tokenizer *tokenizer;
    const char *text;
    symbol *symbols;
    candidate *heap;
    size_t n_heap;
} bpe;

static bool before(const candidate *a, const candidate *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(bpe *b, candidate c)
{
    size_t i = b->n_heap++;
    while (i && before(&c, &b->heap[(i - 1) / 2])) {
        b->heap[i] = b->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    b->heap[i] = c;
}

static candidate heap_pop(bpe *b)
{
    candidate top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < b->n_heap; i = child) {
        if (child + 1 < b->n_heap && before(&b->heap[child + 1], &b->heap[child])) child++;
        if (!before(&b->heap[child], &last)) break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = last;
    return top;
}

static void consider(bpe *b, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return;
    const pippin_tokenizer *t = b->tokenizer;
    const symbol *l = &b->symbols[left], *r = &b->symbols[right];
    candidate c = {0, left, right, -1, l->n_bytes + r->n_bytes};
    if (t->kind == PP_TOKENIZER_MERGES) {
        const pp_merge *m = l->id >= 0 && r->id >= 0 ? pp_merges_find(t, l->id, r->id) : NULL;
        if (!m) return;
        c.id = m->id;
        c.score = -(float)m->rank;
    } else {
        c.id = pp_tokenizer_find_normal(t, b->text + l->start, c.n_bytes);
        if (c.id < 0) return;
        c.score = t->pieces[c.id].score;
    }
    heap_push(b, c);
}

/* A symbol is a byte of a byte-level text, else a character; what is none stands alone. */
static int32_t split(bpe *b, size_t n_bytes)
{
    const pippin_tokenizer *t = b->tokenizer;
    int32_t n = 0;
    for (size_t at = 0; at < n_bytes; n++) {
        const size_t size = t->byte_level ? 1 : PP_MAX(pp_utf8_size(b->text + at, n_bytes - at), (size_t)1);
        const int32_t id =
            t->byte_level ? t->byte_id[(unsigned char)b->text[at]] : pp_tokenizer_find_normal(t, b->text + at, size);
        b->symbols[n] = (symbol){(uint32_t)at, (uint32_t)size, n - 1, n + 1, id};
        at += size;
    }
    b->symbols[n - 1].next = -1;
    return n;
}

static void merge_all(bpe *b, int32_t n)
{
    for (int32_t i = 0; i + 1 < n; i++) consider(b, i, i + 1);
    while (b->n_heap) {
        candidate c = heap_pop(b);
        symbol *l = &b->symbols[c.left], *r = &b->symbols[c.right];
        if (!l->n_bytes || !r->n_bytes || l->next != c.right || l->n_bytes + r->n_bytes != c.n_bytes) continue;
        l->n_bytes = c.n_bytes;
        l->id = c.id;
        l->next = r->next;
        if (r->next >= 0) b->symbols[r->next].prev = c.left;
        r->n_bytes = 0;
        consider(b, l->prev, c.left);
        consider(b, c.left, l->next);
    }
}

static pippin_status make_room(pp_encoder *e, void **block, size_t *have, size_t n, size_t size)
{
    if (*have >= n) return PIPPIN_OK;
    const size_t bigger = PP_MAX(n, (size_t)64);
    size_t whole;
    pp_free(*block);
    *have = 0;
    *block = pp_mul(bigger, size, &whole) ? pp_alloc(whole) : NULL;
    if (!*block) return pp_fail_memory(e->err, "tokenizer", bigger * size);
    *have = bigger;
    return PIPPIN_OK;
}

pippin_status pp_bpe_encode(pp_encoder *e, const char *text, size_t n_bytes)
{
    if (n_bytes == 0) return PIPPIN_OK;
    /* n symbols start n - 1 candidates, and each of at most n - 1 merges adds two. */
    pippin_status status = make_room(e, &e->symbols, &e->n_symbol_room, n_bytes, sizeof(symbol));
    if (status == PIPPIN_OK) status = make_room(e, &e->heap, &e->n_heap_room, 3 * n_bytes, sizeof(candidate));
    if (status != PIPPIN_OK) return status;
    bpe b = {e->t, text, e->symbols, e->heap, 0};
    merge_all(&b, split(&b, n_bytes));
    bool fuse = false;
    for (int32_t i = 0; i >= 0 && status == PIPPIN_OK; i = b.symbols[i].next) {
        const symbol *s = &b.symbols[i];
        if (s->id < 0) {
            status = pp_encoder_push_unknown(e, text + s->start, s->n_bytes, &fuse);
        } else {
            fuse = false;
            status = pp_encoder_push(e, s->id);
        }
    }
    return status;
}
