/* merges.c - the list of merges of a byte-pair vocabulary: which two pieces become which, and in which order. */
#include <string.h>

#include "text/tokenizer.h"

/* Ranks are compared as floats, like scores; up to here these are exact. */
enum { MAX_MERGES = 1 << 24 };

static uint32_t hash_of(int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (uint32_t)((pair * 0x9e3779b97f4a7c15u) >> 32);
}

pippin_status pp_merges_create(pippin_tokenizer *t, size_t n, const char *source, pippin_error *err)
{
    if (n > MAX_MERGES)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED, "%s: %zu merges, expected at most %d; use another tokenizer", source,
                       n, MAX_MERGES);
    size_t size = 16;
    while (size < n + n / 2) size *= 2;
    t->merges = pp_alloc(size * sizeof *t->merges);
    if (!t->merges) return pp_fail_memory(err, source, size * sizeof *t->merges);
    memset(t->merges, -1, size * sizeof *t->merges);
    t->merges_mask = (uint32_t)(size - 1);
    return PIPPIN_OK;
}

bool pp_merges_add(pippin_tokenizer *t, const char *left, size_t n_left, const char *right, size_t n_right,
                   int32_t rank)
{
    const int32_t l = pp_tokenizer_find(t, left, n_left), r = pp_tokenizer_find(t, right, n_right);
    const int32_t id = pp_tokenizer_find_joint(t, left, n_left, right, n_right);
    if (l < 0 || r < 0 || id < 0) return false;
    /* What merging could build of a special piece must not come from text. */
    if (t->pieces[l].kind > PP_PIECE_ADDED || t->pieces[r].kind > PP_PIECE_ADDED || t->pieces[id].kind > PP_PIECE_ADDED)
        return true;
    uint32_t at = hash_of(l, r) & t->merges_mask;
    for (; t->merges[at].left >= 0; at = (at + 1) & t->merges_mask)
        if (t->merges[at].left == l && t->merges[at].right == r) break; /* said twice: the last one counts */
    t->merges[at] = (pp_merge){l, r, id, rank};
    return true;
}

const pp_merge *pp_merges_find(const pippin_tokenizer *t, int32_t left, int32_t right)
{
    for (uint32_t at = hash_of(left, right) & t->merges_mask; t->merges[at].left >= 0; at = (at + 1) & t->merges_mask)
        if (t->merges[at].left == left && t->merges[at].right == right) return &t->merges[at];
    return NULL;
}
