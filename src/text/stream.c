/* stream.c - ids to text as they come, in whole characters. */
#include <string.h>

#include "text/tokenizer.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

pippin_status pp_stream_init(pp_stream *s, const pippin_tokenizer *tokenizer, bool started, pippin_error *err)
{
    *s = (pp_stream){.tokenizer = tokenizer, .started = started};
    /* Every byte, those held back too, may turn into a replacement character. */
    s->capacity = sizeof replacement * ((tokenizer ? tokenizer->longest_text : 0) + sizeof s->held);
    s->text = pp_alloc(s->capacity);
    return s->text ? PIPPIN_OK : pp_fail_memory(err, "tokenizer", s->capacity);
}

void pp_stream_restart(pp_stream *s, bool started)
{
    s->started = started;
    s->n_held = 0;
}

void pp_stream_free(pp_stream *s)
{
    pp_free(s->text);
    *s = (pp_stream){0};
}

static bool continues(const pp_stream *s, unsigned char byte)
{
    if (s->n_held == 1) return pp_utf8_second_fits((unsigned char)s->held[0], byte);
    return (byte & 0xc0) == 0x80;
}

static size_t put(pp_stream *s, size_t n, const char *bytes, size_t n_bytes)
{
    memcpy(s->text + n, bytes, n_bytes);
    return n + n_bytes;
}

static size_t push_byte(pp_stream *s, size_t n, unsigned char byte)
{
    if (s->n_held && !continues(s, byte)) {
        n = put(s, n, replacement, 3);
        s->n_held = 0;
    }
    if (!s->n_held && !pp_utf8_lead(byte)) return put(s, n, replacement, 3);
    s->held[s->n_held++] = (char)byte;
    if (s->n_held == pp_utf8_lead((unsigned char)s->held[0])) {
        n = put(s, n, s->held, s->n_held);
        s->n_held = 0;
    }
    return n;
}

const char *pp_stream_push(pp_stream *s, int32_t id, size_t *n_bytes)
{
    *n_bytes = 0;
    if (!s->tokenizer || id < 0 || id >= s->tokenizer->n_piece) return s->text;
    size_t length, n = 0;
    const char *from = pp_tokenizer_text(s->tokenizer, id, &s->started, &length);
    for (size_t i = 0; i < length; i++) n = push_byte(s, n, (unsigned char)from[i]);
    *n_bytes = n;
    return s->text;
}

const char *pp_stream_finish(pp_stream *s, size_t *n_bytes)
{
    *n_bytes = s->n_held ? put(s, 0, replacement, 3) : 0;
    s->n_held = 0;
    return s->text;
}
