/* tokenizer.c - the tokenizer object: opening, looking pieces up, text to ids, ids to text. */
#include <string.h>

#include "text/tokenizer.h"

static uint32_t hash_of(const char *text, size_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

pippin_status pp_tokenizer_build_index(pippin_tokenizer *t, const char *source, pippin_error *err)
{
    size_t size = 16;
    while (size < 2 * (size_t)t->n_piece) size *= 2;
    t->index = pp_alloc(size * sizeof *t->index);
    if (!t->index) return pp_fail_memory(err, source, size * sizeof *t->index);
    memset(t->index, -1, size * sizeof *t->index);
    t->index_mask = (uint32_t)(size - 1);
    for (int32_t id = 0; id < t->n_piece; id++) {
        const pp_piece *p = &t->pieces[id];
        t->longest = PP_MAX(t->longest, p->n_bytes);
        if (p->special || p->byte >= 0 || p->n_bytes == 0) continue;
        /* The first of two equal pieces wins, as in the owner's linear search. */
        if (pp_tokenizer_find(t, p->text, p->n_bytes) >= 0) continue;
        uint32_t at = hash_of(p->text, p->n_bytes) & t->index_mask;
        while (t->index[at] >= 0) at = (at + 1) & t->index_mask;
        t->index[at] = id;
    }
    return PIPPIN_OK;
}

int32_t pp_tokenizer_find(const pippin_tokenizer *t, const char *text, size_t n_bytes)
{
    if (n_bytes > t->longest) return -1;
    for (uint32_t at = hash_of(text, n_bytes) & t->index_mask; t->index[at] >= 0; at = (at + 1) & t->index_mask) {
        const pp_piece *p = &t->pieces[t->index[at]];
        if (p->n_bytes == n_bytes && memcmp(p->text, text, n_bytes) == 0) return t->index[at];
    }
    return -1;
}

pippin_status pippin_tokenizer_open(const char *path, pippin_tokenizer **out, pippin_error *err)
{
    *out = NULL;
    pp_map map;
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = pp_tokenizer_parse_llama2c(map.data, map.size, path, out, err);
    pp_map_close(&map);
    return status;
}

void pippin_tokenizer_free(pippin_tokenizer *t)
{
    if (!t) return;
    pp_free(t->pieces);
    pp_free(t->pool);
    pp_free(t->index);
    pp_free(t);
}

int32_t pippin_tokenizer_size(const pippin_tokenizer *t) { return t->n_piece; }
int32_t pippin_tokenizer_bos(const pippin_tokenizer *t) { return t->bos; }
int32_t pippin_tokenizer_eos(const pippin_tokenizer *t) { return t->eos; }

const char *pippin_tokenizer_piece(const pippin_tokenizer *t, int32_t id, size_t *n_bytes)
{
    if (id < 0 || id >= t->n_piece) return NULL;
    if (n_bytes) *n_bytes = t->pieces[id].n_bytes;
    return t->pieces[id].text;
}

pippin_status pippin_tokenize(const pippin_tokenizer *t, const char *text, size_t n_bytes,
                              const pippin_tokenize_options *options, int32_t *ids, size_t capacity, size_t *n_ids,
                              pippin_error *err)
{
    pippin_tokenize_options o = options ? *options : (pippin_tokenize_options){0};
    *n_ids = 0;
    if ((o.bos && t->bos < 0) || (o.eos && t->eos < 0))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "tokenizer: has no %s id; ask without it", o.bos && t->bos < 0 ? "BOS" : "EOS");
    /* SentencePiece puts a space before the first word, so that it is the same piece as in the middle of a text. */
    size_t n_text = n_bytes ? n_bytes + 1 : 0, n_room;
    if (!pp_mul(n_text + 2, sizeof(int32_t) + 1, &n_room)) return pp_fail_memory(err, "tokenizer", n_bytes);
    int32_t *found = pp_alloc(n_room);
    if (!found) return pp_fail_memory(err, "tokenizer", n_room);
    char *spaced = (char *)(found + n_text + 2);
    size_t n = 0;
    if (o.bos) found[n++] = t->bos;
    pippin_status status = PIPPIN_OK;
    if (n_text) {
        spaced[0] = ' ';
        memcpy(spaced + 1, text, n_bytes);
        status = pp_bpe_encode(t, spaced, n_text, found, &n, err);
    }
    if (o.eos) found[n++] = t->eos;
    if (status == PIPPIN_OK) {
        if (n && ids) memcpy(ids, found, PP_MIN(n, capacity) * sizeof *ids);
        *n_ids = n;
    }
    pp_free(found);
    return status;
}

const char *pp_tokenizer_text(const pippin_tokenizer *t, int32_t id, bool *started, char *byte, size_t *n_bytes)
{
    const pp_piece *p = &t->pieces[id];
    *byte = (char)p->byte;
    const char *text = p->byte >= 0 ? byte : p->text;
    *n_bytes = p->special ? 0 : p->byte >= 0 ? 1 : p->n_bytes;
    if (*n_bytes == 0) return text;
    bool skip = !*started && text[0] == ' ';
    *started = true;
    *n_bytes -= skip;
    return text + skip;
}

pippin_status pippin_detokenize(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, char *text, size_t capacity,
                                size_t *n_bytes, pippin_error *err)
{
    size_t n = 0;
    bool started = false;
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= t->n_piece)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "token %zu: id %d is outside the vocabulary of %d", i, (int)ids[i],
                           (int)t->n_piece);
        char byte;
        size_t length;
        const char *from = pp_tokenizer_text(t, ids[i], &started, &byte, &length);
        for (size_t j = 0; j < length; j++, n++)
            if (n < capacity) text[n] = from[j];
    }
    *n_bytes = n;
    return PIPPIN_OK;
}
