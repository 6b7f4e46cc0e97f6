/* prefix.c - walking down the pieces that begin with the bytes seen so far: a sorted list instead of a trie. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static int by_text(const void *a, const void *b)
{
    const pp_piece *x = *(const pp_piece *const *)a, *y = *(const pp_piece *const *)b;
    const int order = memcmp(x->stored, y->stored, PP_MIN(x->n_stored, y->n_stored));
    if (order) return order;
    if (x->n_stored != y->n_stored) return x->n_stored < y->n_stored ? -1 : 1;
    return x < y ? -1 : 1; /* of equal texts the lower id */
}

pippin_status pp_prefix_build(pippin_tokenizer *t, unsigned kinds, pp_prefix *out, const char *source,
                              pippin_error *err)
{
    size_t n = 0;
    for (int32_t id = 0; id < t->n_piece; id++) n += t->pieces[id].n_stored && kinds >> t->pieces[id].kind & 1;
    out->items = pp_alloc(n * sizeof(const pp_piece *));
    if (!out->items) return pp_fail_memory(err, source, n * sizeof(const pp_piece *));
    for (int32_t id = 0; id < t->n_piece; id++)
        if (t->pieces[id].n_stored && kinds >> t->pieces[id].kind & 1) out->items[out->n++] = &t->pieces[id];
    if (n) qsort(out->items, n, sizeof(const pp_piece *), by_text);
    int32_t at = 0;
    for (int byte = 0; byte < 256; byte++) {
        out->first[byte] = at;
        while (at < out->n && (unsigned char)out->items[at]->stored[0] == byte) at++;
    }
    out->first[256] = out->n;
    return PIPPIN_OK;
}

/* The first piece in the range whose byte at `depth` is at least `byte`; one that ends before comes first. */
static int32_t bound(const pp_prefix *p, pp_prefix_range r, uint32_t depth, int byte)
{
    while (r.low < r.high) {
        const int32_t middle = r.low + (r.high - r.low) / 2;
        const pp_piece *piece = p->items[middle];
        if (piece->n_stored <= depth || (unsigned char)piece->stored[depth] < byte)
            r.low = middle + 1;
        else
            r.high = middle;
    }
    return r.low;
}

bool pp_prefix_step(const pp_prefix *p, pp_prefix_range *r, uint32_t depth, unsigned char byte)
{
    if (depth == 0)
        *r = (pp_prefix_range){p->first[byte], p->first[byte + 1]};
    else
        *r = (pp_prefix_range){bound(p, *r, depth, byte), bound(p, *r, depth, byte + 1)};
    return r->low < r->high;
}

const pp_piece *pp_prefix_here(const pp_prefix *p, const pp_prefix_range *r, uint32_t depth)
{
    return p->items[r->low]->n_stored == depth ? p->items[r->low] : NULL;
}
