/*
 * bpe.c - byte-pair encoding as SentencePiece does it: start from characters, and again and again merge the neighbours
 * whose joint piece has the highest score, the leftmost first. A heap of candidate pairs makes it O(n log n).
 */
#include <string.h>

#include "text/tokenizer.h"

typedef struct symbol {
    uint32_t start, n_bytes; /* its text; n_bytes 0: merged into its left neighbour */
    int32_t prev, next;      /* neighbours, -1 at the ends */
    int32_t id;              /* -1: no piece, comes out as bytes */
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

static void heap_push(bpe *e, candidate c)
{
    size_t i = e->n_heap++;
    while (i && before(&c, &e->heap[(i - 1) / 2])) {
        e->heap[i] = e->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    e->heap[i] = c;
}

static candidate heap_pop(bpe *e)
{
    candidate top = e->heap[0], last = e->heap[--e->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < e->n_heap; i = child) {
        if (child + 1 < e->n_heap && before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!before(&e->heap[child], &last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

static void consider(bpe *e, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return;
    const symbol *l = &e->symbols[left], *r = &e->symbols[right];
    if (l->id < 0 || r->id < 0) return;
    int32_t id = pp_tokenizer_find(e->tokenizer, e->text + l->start, l->n_bytes + r->n_bytes);
    if (id < 0) return;
    heap_push(e, (candidate){e->tokenizer->pieces[id].score, left, right, id, l->n_bytes + r->n_bytes});
}

/* Bytes of the UTF-8 character at text, at most 4 and at most n; invalid bytes stand alone. */
static uint32_t character_size(const char *text, size_t n)
{
    uint32_t size = 1;
    if (((unsigned char)text[0] & 0xc0) != 0xc0) return 1;
    while (size < 4 && size < n && ((unsigned char)text[size] & 0xc0) == 0x80) size++;
    return size;
}

static int32_t split(bpe *e, size_t n_bytes)
{
    int32_t n = 0;
    for (size_t at = 0; at < n_bytes; n++) {
        uint32_t size = character_size(e->text + at, n_bytes - at);
        int32_t id = pp_tokenizer_find(e->tokenizer, e->text + at, size);
        e->symbols[n] = (symbol){(uint32_t)at, size, n - 1, n + 1, id};
        at += size;
    }
    e->symbols[n - 1].next = -1;
    return n;
}

static void merge_all(bpe *e, int32_t n)
{
    for (int32_t i = 0; i + 1 < n; i++) consider(e, i, i + 1);
    while (e->n_heap) {
        candidate c = heap_pop(e);
        symbol *l = &e->symbols[c.left], *r = &e->symbols[c.right];
        if (!l->n_bytes || !r->n_bytes || l->next != c.right || l->n_bytes + r->n_bytes != c.n_bytes) continue;
        l->n_bytes = c.n_bytes;
        l->id = c.id;
        l->next = r->next;
        if (r->next >= 0) e->symbols[r->next].prev = c.left;
        r->n_bytes = 0;
        consider(e, l->prev, c.left);
        consider(e, c.left, l->next);
    }
}

pippin_status pp_bpe_encode(const pippin_tokenizer *t, const char *text, size_t n_bytes, int32_t *ids, size_t *n_ids,
                            pippin_error *err)
{
    if (n_bytes == 0) return PIPPIN_OK;
    if (n_bytes > INT32_MAX / 4)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "text: %zu bytes, expected at most %d at once; split it", n_bytes, INT32_MAX / 4);
    /* n symbols start n - 1 candidates, and each of at most n - 1 merges adds two. */
    size_t n_symbol = n_bytes * sizeof(symbol), n_heap = 3 * n_bytes * sizeof(candidate);
    bpe e = {t, text, pp_alloc(n_symbol), pp_alloc(n_heap), 0};
    pippin_status status = PIPPIN_OK;
    if (!e.symbols || !e.heap) {
        status = pp_fail_memory(err, "tokenizer", n_symbol + n_heap);
    } else {
        merge_all(&e, split(&e, n_bytes));
        for (int32_t i = 0; i >= 0; i = e.symbols[i].next) {
            const symbol *s = &e.symbols[i];
            if (s->id >= 0)
                ids[(*n_ids)++] = s->id;
            else
                for (uint32_t j = 0; j < s->n_bytes; j++) ids[(*n_ids)++] = t->byte_id[(unsigned char)text[s->start + j]];
        }
    }
    pp_free(e.symbols);
    pp_free(e.heap);
    return status;
}
