/* encoder.c - one call's memory, and what all ways of encoding share: unknown text and special pieces. */
#include <string.h>

#include "text/tokenizer.h"

enum { MAX_TEXT = INT32_MAX / 4 };

pippin_status pp_encoder_push(pp_encoder *e, int32_t id)
{
    if (e->n_ids == e->ids_capacity) {
        const size_t bigger = 2 * e->ids_capacity + 64;
        int32_t *grown = pp_grow(e->ids, e->n_ids, bigger, sizeof *grown);
        if (!grown) return pp_fail_memory(e->err, "tokenizer", bigger * sizeof *grown);
        e->ids = grown;
        e->ids_capacity = bigger;
    }
    e->ids[e->n_ids++] = id;
    return PIPPIN_OK;
}

pippin_status pp_encoder_put(pp_encoder *e, pp_buffer_text *b, const char *bytes, size_t n)
{
    if (b->capacity - b->n < n) {
        const size_t bigger = 2 * b->capacity + n + 64;
        char *grown = pp_grow(b->bytes, b->n, bigger, 1);
        if (!grown) return pp_fail_memory(e->err, "tokenizer", bigger);
        b->bytes = grown;
        b->capacity = bigger;
    }
    if (n) memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
    return PIPPIN_OK;
}

static bool all_have_pieces(const pippin_tokenizer *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->byte_id[(unsigned char)text[i]] < 0) return false;
    return true;
}

pippin_status pp_encoder_push_unknown(pp_encoder *e, const char *text, size_t n, bool *fuse)
{
    const pippin_tokenizer *t = e->t;
    if (t->byte_fallback && all_have_pieces(t, text, n)) {
        pippin_status status = PIPPIN_OK;
        *fuse = false;
        for (size_t i = 0; i < n && status == PIPPIN_OK; i++)
            status = pp_encoder_push(e, t->byte_id[(unsigned char)text[i]]);
        return status;
    }
    const bool repeats = *fuse && t->fuse_unknown;
    *fuse = true;
    return t->unk < 0 || repeats ? PIPPIN_OK : pp_encoder_push(e, t->unk);
}

/* Does text[start, end) touch what a user wrote? Asked with rising starts only, so that spans behind are left behind. */
static bool in_content(pp_encoder *e, size_t start, size_t end)
{
    const pp_encode_request *r = e->request;
    while (e->next_content < r->n_content && r->content[e->next_content].end <= start) e->next_content++;
    return e->next_content < r->n_content && r->content[e->next_content].start < end;
}

static bool word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_guarded(const pp_encoder *e, int32_t id)
{
    for (size_t i = 0; i < e->request->n_guarded; i++)
        if (e->request->guarded[i] == id) return true;
    return false;
}

static bool allowed(pp_encoder *e, const pp_piece *p, const char *text, size_t n, size_t at)
{
    const size_t end = at + p->n_stored;
    if (p->whole_word && ((at && word_byte(text[at - 1])) || (end < n && word_byte(text[end])))) return false;
    const bool anywhere = p->kind == PP_PIECE_ADDED && !is_guarded(e, (int32_t)(p - e->t->pieces));
    return anywhere || (e->request->special && !in_content(e, at, end));
}

const pp_piece *pp_encoder_special(pp_encoder *e, const char *text, size_t n, size_t at)
{
    const pp_prefix *set = &e->t->special;
    const pp_piece *longest = NULL;
    pp_prefix_range r;
    for (uint32_t depth = 0; at + depth < n && pp_prefix_step(set, &r, depth, (unsigned char)text[at + depth]);
         depth++) {
        const pp_piece *here = pp_prefix_here(set, &r, depth + 1);
        if (here && allowed(e, here, text, n, at)) longest = here;
    }
    return longest;
}

pippin_status pp_tokenizer_encode(const pippin_tokenizer *t, const char *text, size_t n_bytes,
                                  const pp_encode_request *request, int32_t **ids, size_t *n_ids, pippin_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    if (n_bytes > MAX_TEXT)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "text: %zu bytes, expected at most %d at once; split it", n_bytes,
                       MAX_TEXT);
    pp_encoder e = {.t = t, .request = request, .err = err};
    pippin_status status = PIPPIN_OK;
    if (n_bytes)
        status = t->kind == PP_TOKENIZER_MERGES ? pp_words_encode(&e, text, n_bytes) : pp_sp_encode(&e, text, n_bytes);
    pp_free(e.text[0].bytes);
    pp_free(e.text[1].bytes);
    pp_free(e.symbols);
    pp_free(e.heap);
    pp_matcher_free(e.matcher);
    if (status != PIPPIN_OK) {
        pp_free(e.ids);
        return status;
    }
    *ids = e.ids;
    *n_ids = e.n_ids;
    return PIPPIN_OK;
}
