/*
 * unigram.c - the most probable way to write a text in pieces (Viterbi). Scores are added as floats, in the order in which
 * SentencePiece adds them, so that ties fall alike.
 */
#include "text/tokenizer.h"

/* What a character without a piece costs, below the worst score there is. */
static const float unknown_penalty = 10.0f;

typedef struct best {
    float score;    /* of the best way to this place */
    int32_t id;     /* its last piece; -1: an unknown character */
    uint32_t start; /* where that begins; UINT32_MAX: no way here yet */
} best;

static void offer(best *b, float score, int32_t id, size_t start)
{
    if (b->start == UINT32_MAX || score > b->score) *b = (best){score, id, (uint32_t)start};
}

static void extend(const pippin_tokenizer *t, const char *text, size_t n, size_t at, best *ways)
{
    const float here = ways[at].score;
    const size_t size = PP_MAX(pp_utf8_size(text + at, n - at), (size_t)1);
    bool has_character = false;
    pp_prefix_range r;
    for (uint32_t depth = 0; at + depth < n && pp_prefix_step(&t->normal, &r, depth, (unsigned char)text[at + depth]);
         depth++) {
        const pp_piece *p = pp_prefix_here(&t->normal, &r, depth + 1);
        if (!p) continue;
        offer(&ways[at + depth + 1], p->score + here, (int32_t)(p - t->pieces), at);
        has_character |= depth + 1 == size;
    }
    if (!has_character) offer(&ways[at + size], t->worst - unknown_penalty + here, -1, at);
}

/* The way back gives the pieces in reverse: it is turned around inside `ways`, whose entries it no longer needs. */
static pippin_status emit(pp_encoder *e, const char *text, size_t n, best *ways)
{
    uint32_t next = (uint32_t)n;
    for (uint32_t at = (uint32_t)n; at > 0;) {
        const uint32_t start = ways[at].start;
        ways[at].start = next; /* from here on: where the piece after this one ends */
        next = at;
        at = start;
    }
    bool fuse = false;
    pippin_status status = PIPPIN_OK;
    for (uint32_t start = 0, end = next; start < n && status == PIPPIN_OK;) {
        const int32_t id = ways[end].id;
        status = id < 0 ? pp_encoder_push_unknown(e, text + start, end - start, &fuse) : pp_encoder_push(e, id);
        if (id >= 0) fuse = false;
        start = end;
        end = ways[end].start;
    }
    return status;
}

pippin_status pp_unigram_encode(pp_encoder *e, const char *text, size_t n)
{
    size_t size;
    if (n == 0) return PIPPIN_OK;
    best *ways = pp_mul(n + 1, sizeof *ways, &size) ? pp_alloc(size) : NULL;
    if (!ways) return pp_fail_memory(e->err, "tokenizer", n);
    ways[0] = (best){0, -1, 0};
    for (size_t i = 1; i <= n; i++) ways[i].start = UINT32_MAX;
    for (size_t at = 0; at < n; at += PP_MAX(pp_utf8_size(text + at, n - at), (size_t)1))
        extend(e->t, text, n, at, ways);
    pippin_status status = emit(e, text, n, ways);
    pp_free(ways);
    return status;
}
