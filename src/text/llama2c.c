/*
 * llama2c.c - reads llama2.c's tok*.bin: int32 longest piece, then until the end of the file for each id a float32 score,
 * an int32 length and the bytes. Spaces are plain, ids 0, 1, 2 are <unk>, BOS and EOS, ids 3..258 the bytes.
 */
#include <string.h>

#include "text/tokenizer.h"

enum { ID_UNK = 0, ID_BOS = 1, ID_EOS = 2, ID_BYTE = 3, N_FIXED = 259 };

static pippin_status count_pieces(const void *data, size_t size, const char *source, size_t *n_piece, pippin_error *err)
{
    pp_bytes b = pp_bytes_of(data, size);
    int32_t longest = pp_bytes_i32(&b);
    *n_piece = 0;
    while (pp_bytes_left(&b) > 0) {
        pp_bytes_f32(&b);
        int32_t length = pp_bytes_i32(&b);
        if (b.failed || length < 0 || length > longest || !pp_bytes_take(&b, (size_t)length))
            return pp_fail(err, PIPPIN_E_FORMAT,
                           "%s: piece %zu does not fit (length %d, longest %d, file of %zu bytes); expected a llama2.c "
                           "tokenizer (tok*.bin); check that the file is whole",
                           source, *n_piece, (int)length, (int)longest, size);
        ++*n_piece;
    }
    if (b.failed || *n_piece < N_FIXED || *n_piece > INT32_MAX / 8)
        return pp_fail(
            err, PIPPIN_E_FORMAT,
            "%s: %zu pieces found, expected at least %d (3 special ones and 256 bytes) of a llama2.c tokenizer "
            "(tok*.bin); check that the file is whole",
            source, *n_piece, N_FIXED);
    return PIPPIN_OK;
}

static pippin_status read_pieces(pippin_tokenizer *t, const void *data, size_t size, const char *source,
                                 pippin_error *err)
{
    pp_bytes b = pp_bytes_of(data, size);
    pp_bytes_i32(&b);
    pippin_status status = PIPPIN_OK;
    for (int32_t id = 0; id < t->n_piece && status == PIPPIN_OK; id++) {
        pp_piece *p = &t->pieces[id];
        p->score = pp_bytes_f32(&b);
        if (p->score != p->score) p->score = 0; /* a NaN would have no order */
        const uint32_t n = pp_bytes_u32(&b);
        status = pp_piece_set(t, id, (const char *)pp_bytes_take(&b, n), n, source, err);
        p->kind = id < ID_BYTE ? PP_PIECE_CONTROL : PP_PIECE_NORMAL;
        if (id >= ID_BYTE && id < N_FIXED) pp_piece_make_byte(t, id, id - ID_BYTE);
    }
    return status;
}

pippin_status pp_tokenizer_parse_llama2c(const void *data, size_t size, const char *source, pippin_tokenizer **out,
                                         pippin_error *err)
{
    *out = NULL;
    size_t n_piece;
    pippin_tokenizer *t;
    pippin_status status = count_pieces(data, size, source, &n_piece, err);
    if (status == PIPPIN_OK) status = pp_tokenizer_new(n_piece, source, &t, err);
    if (status != PIPPIN_OK) return status;
    t->bos = ID_BOS;
    t->eos = ID_EOS;
    t->byte_fallback = t->strip_space = t->rules.dummy_prefix = true;
    status = read_pieces(t, data, size, source, err);
    if (status == PIPPIN_OK) status = pp_tokenizer_build_index(t, source, err);
    if (status != PIPPIN_OK)
        pippin_tokenizer_free(t);
    else
        *out = t;
    return status;
}
