/*
 * byte_level.c - how byte-level vocabularies spell bytes: printable ASCII and Latin-1 stand for themselves, every other
 * byte is a character from U+0100 on, in rising order (a space is U+0120).
 */
#include <string.h>

#include "text/tokenizer.h"

static bool stands_for_itself(unsigned c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The bytes that do not stand for themselves lie in three ranges: 0x00-0x20, 0x7f-0xa0, 0xad. */
static int byte_of(unsigned c)
{
    if (c < 0x100) return stands_for_itself(c) ? (int)c : -1;
    c -= 0x100;
    return c <= 0x20 ? (int)c : c <= 0x42 ? (int)(c - 0x21 + 0x7f) : c == 0x43 ? 0xad : -1;
}

static unsigned character_of(unsigned char byte)
{
    if (stands_for_itself(byte)) return byte;
    return 0x100u + (byte <= 0x20 ? byte : byte == 0xad ? 0x43u : byte - 0x7fu + 0x21u);
}

bool pp_byte_level_decode(const char *stored, size_t n, char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t at = 0; at < n;) {
        const size_t size = pp_utf8_size(stored + at, n - at);
        if (size == 0 || size > 2) return false;
        unsigned c = (unsigned char)stored[at];
        if (size == 2) c = (c & 0x1fu) << 6 | ((unsigned char)stored[at + 1] & 0x3fu);
        const int byte = byte_of(c);
        if (byte < 0) return false;
        out[(*n_out)++] = (char)byte;
        at += size;
    }
    return true;
}

size_t pp_byte_level_encode(const char *bytes, size_t n, char *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned c = character_of((unsigned char)bytes[i]);
        if (c >= 0x80) out[n_out++] = (char)(0xc0 | c >> 6);
        out[n_out++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    }
    return n_out;
}

pippin_status pp_byte_level_pieces(pippin_tokenizer *t, const char *source, pippin_error *err)
{
    t->byte_level = true;
    uint32_t longest = 0;
    for (int32_t id = 0; id < t->n_piece; id++) longest = PP_MAX(longest, t->pieces[id].n_stored);
    char *bytes = pp_alloc(longest);
    if (!bytes) return pp_fail_memory(err, source, longest);
    pippin_status status = PIPPIN_OK;
    for (int32_t id = 0; id < t->n_piece && status == PIPPIN_OK; id++) {
        pp_piece *p = &t->pieces[id];
        size_t n;
        /* Added and special pieces are spelt as they are, and so is what spells no bytes. */
        if (p->kind != PP_PIECE_NORMAL || !pp_byte_level_decode(p->stored, p->n_stored, bytes, &n)) continue;
        if (n == 1 && t->byte_id[(unsigned char)bytes[0]] < 0) t->byte_id[(unsigned char)bytes[0]] = id;
        if (n == p->n_stored && memcmp(bytes, p->stored, n) == 0) continue;
        p->text = pp_tokenizer_keep(t, bytes, n);
        if (!p->text) status = pp_fail_memory(err, source, n);
        p->n_text = (uint32_t)n;
    }
    pp_free(bytes);
    return status;
}
