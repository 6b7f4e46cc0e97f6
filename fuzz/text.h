/* text.h - what must hold for any tokenizer and any text: ids in range, none of them special, whole characters, an error or all of it. */
#ifndef PP_FUZZ_TEXT_H
#define PP_FUZZ_TEXT_H

#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

static inline void fuzz_stream(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids)
{
    pp_stream s;
    pippin_error err;
    size_t n;
    if (pp_stream_init(&s, t, false, &err) != PIPPIN_OK) abort();
    for (size_t i = 0; i < n_ids; i++) {
        const char *text = pp_stream_push(&s, ids[i], &n);
        for (size_t at = 0, size; at < n; at += size)
            if ((size = pp_utf8_size(text + at, n - at)) == 0) abort();
    }
    pp_stream_finish(&s, &n);
    pp_stream_free(&s);
}

static inline void fuzz_text(const pippin_tokenizer *t, const char *text, size_t n, bool special)
{
    const pp_span content[] = {{n / 4, n / 3}, {n / 2, n}};
    const pp_encode_request request = {.special = special, .content = content, .n_content = special ? 2 : 0};
    int32_t *ids;
    size_t n_ids, n_back;
    char back[64];
    pippin_error err;
    if (pp_tokenizer_encode(t, text, n, &request, &ids, &n_ids, &err) != PIPPIN_OK) {
        if (err.status == PIPPIN_OK || strchr(err.text, '\n')) abort();
        return;
    }
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= t->n_piece) abort();
        const uint8_t kind = t->pieces[ids[i]].kind;
        if (!special && ids[i] != t->newline &&
            (kind == PP_PIECE_CONTROL || kind == PP_PIECE_USER || kind == PP_PIECE_UNUSED))
            abort();
    }
    if (pippin_detokenize(t, ids, n_ids, back, sizeof back, &n_back, &err) != PIPPIN_OK) abort();
    fuzz_stream(t, ids, n_ids);
    pp_free(ids);
}

static inline void fuzz_use_tokenizer(const pippin_tokenizer *t, const uint8_t *data, size_t size)
{
    static const char text[] = " aab abc\n<n>e\xcc\x81 12 \xff\xe2\x96\x81<|end|>";
    fuzz_text(t, text, sizeof text - 1, false);
    fuzz_text(t, text, sizeof text - 1, true);
    fuzz_text(t, (const char *)data, PP_MIN(size, (size_t)200), true);
    fuzz_text(t, (const char *)data + size - PP_MIN(size, (size_t)200), PP_MIN(size, (size_t)200), false);
    /* A piece of its own vocabulary is text like any other. */
    const pp_piece *p = &t->pieces[size % (size_t)t->n_piece];
    fuzz_text(t, p->stored, PP_MIN(p->n_stored, (size_t)200), false);
}

#endif
