/* unicode.c - normal forms of Unicode, by utf8proc, in time proportional to the text. */
#include <string.h>
#include <utf8proc.h>

#include "text/tokenizer.h"

/* Marks are put in order by swapping neighbours, so a run of marks without end would take quadratic time: it is cut here. */
enum { CHUNK = 2048 };

/* Nothing before this character can combine with it or pass it: a text may be cut in front of it. */
static bool begins_anew(const char *text, size_t n)
{
    utf8proc_int32_t c;
    if (utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c) <= 0) return true;
    const utf8proc_property_t *p = utf8proc_get_property(c);
    const bool mark = p->category == UTF8PROC_CATEGORY_MN || p->category == UTF8PROC_CATEGORY_MC ||
                      p->category == UTF8PROC_CATEGORY_ME;
    const bool jamo = (c >= 0x1160 && c <= 0x11ff) || (c >= 0xff9e && c <= 0xff9f); /* and halfwidth voicing marks */
    return p->combining_class == 0 && !mark && !jamo;
}

/* The end of the chunk that starts at `start`: the last place in reach to cut at, or where reach ends. */
static size_t chunk_end(const char *text, size_t n, size_t start)
{
    if (n - start <= CHUNK) return n;
    size_t end = start + CHUNK;
    while (((unsigned char)text[end] & 0xc0) == 0x80) end--;
    for (size_t at = end; at > start; at--)
        if (((unsigned char)text[at] & 0xc0) != 0x80 && begins_anew(text + at, n - at)) return at;
    return end;
}

/* Text whose characters all lie below U+0300 is composed already. */
static bool is_composed(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0xcc) return false;
    return true;
}

static pippin_status normalize_chunk(pp_encoder *e, const char *text, size_t n, utf8proc_option_t options,
                                     int32_t **room, size_t *n_room)
{
    for (;;) {
        const utf8proc_ssize_t wanted = utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, *room,
                                                           (utf8proc_ssize_t)*n_room, options);
        if (wanted < 0)
            return pp_fail(e->err, PIPPIN_E_ARGUMENT, "text: cannot be normalised (%s); check its encoding",
                           utf8proc_errmsg(wanted));
        if ((size_t)wanted < *n_room) {
            const utf8proc_ssize_t size = utf8proc_reencode(*room, wanted, options);
            return pp_encoder_put(e, &e->text[1], (const char *)*room, (size_t)PP_MAX(size, (utf8proc_ssize_t)0));
        }
        pp_free(*room);
        *n_room = (size_t)wanted + 2 * CHUNK;
        *room = pp_alloc(*n_room * sizeof **room);
        if (!*room) {
            *n_room = 0;
            return pp_fail_memory(e->err, "tokenizer", ((size_t)wanted + 2 * CHUNK) * sizeof **room);
        }
    }
}

pippin_status pp_unicode_normalize(pp_encoder *e, int options)
{
    pp_buffer_text *from = &e->text[0];
    if (options == (UTF8PROC_STABLE | UTF8PROC_COMPOSE) && is_composed(from->bytes, from->n)) return PIPPIN_OK;
    int32_t *room = NULL;
    size_t n_room = 0;
    e->text[1].n = 0;
    pippin_status status = PIPPIN_OK;
    for (size_t at = 0, end; at < from->n && status == PIPPIN_OK; at = end) {
        end = chunk_end(from->bytes, from->n, at);
        status = normalize_chunk(e, from->bytes + at, end - at, (utf8proc_option_t)options, &room, &n_room);
    }
    pp_free(room);
    const pp_buffer_text swap = e->text[0];
    e->text[0] = e->text[1];
    e->text[1] = swap;
    return status;
}
