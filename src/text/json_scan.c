/*
 * json_scan.c - a walk over JSON text without building a tree: a vocabulary has hundreds of thousands of values, and jansson
 * needs most of a second and a hundred megabytes for one that is read here in a few hundredths. Whatever else a file holds
 * goes through jansson. No recursion; nothing is read past the end.
 */
#include <string.h>

#include "text/hf.h"

char pp_scan_peek(pp_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r')) s->at++;
    return s->failed || s->at == s->end ? 0 : *s->at;
}

static bool take(pp_scan *s, char c)
{
    if (pp_scan_peek(s) != c) s->failed = true;
    if (s->failed) return false;
    s->at++;
    return true;
}

void pp_scan_enter(pp_scan *s, char open) { take(s, open); }

bool pp_scan_next(pp_scan *s, char close, bool *first)
{
    if (pp_scan_peek(s) == close) {
        s->at++;
        return false;
    }
    if (!*first) take(s, ',');
    *first = false;
    return !s->failed;
}

static int hex4(const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        const char c = at[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t put_character(char *out, int c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* \uXXXX, two of them for a character beyond U+FFFF; a lone half becomes U+FFFD. `at` is behind the 'u'. */
static const char *take_hex(const char *at, const char *end, char *out, size_t *n)
{
    int c = hex4(at, end);
    if (c < 0) return NULL;
    at += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        const int low = hex4(at + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
        }
    }
    *n += put_character(out + *n, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return at;
}

static const char *unescape(const char *at, const char *end, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    *n = 0;
    while (at && at < end) {
        if (*at != '\\') {
            out[(*n)++] = *at++;
            continue;
        }
        const char c = at[1]; /* the closing quote is behind, so there is one */
        const char *which = c ? strchr(from, c) : NULL;
        if (which)
            out[(*n)++] = to[which - from];
        else if (c == 'u')
            at = take_hex(at + 2, end, out, n);
        else
            return NULL;
        if (which) at += 2;
    }
    return at;
}

const char *pp_scan_string(pp_scan *s, pp_scratch *scratch, size_t *n)
{
    *n = 0;
    if (!take(s, '"')) return "";
    const char *start = s->at;
    bool escapes = false;
    while (s->at < s->end && *s->at != '"') {
        escapes |= *s->at == '\\';
        s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
    }
    const char *end = s->at;
    if (!take(s, '"')) return "";
    *n = (size_t)(end - start);
    if (!escapes) return start;
    if (scratch->capacity < *n) {
        pp_free(scratch->bytes);
        scratch->capacity = 0;
        scratch->bytes = pp_alloc(2 * *n);
        scratch->no_memory |= !scratch->bytes;
        if (scratch->bytes) scratch->capacity = 2 * *n;
    }
    if (!scratch->bytes || !unescape(start, end, scratch->bytes, n)) {
        s->failed = true;
        *n = 0;
        return "";
    }
    return scratch->bytes;
}

const char *pp_scan_key(pp_scan *s, pp_scratch *scratch, size_t *n)
{
    const char *key = pp_scan_string(s, scratch, n);
    take(s, ':');
    return key;
}

int64_t pp_scan_integer(pp_scan *s)
{
    const bool negative = pp_scan_peek(s) == '-';
    s->at += negative;
    const char *start = s->at;
    int64_t value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - start < 18; s->at++)
        value = value * 10 + (*s->at - '0');
    if (s->at == start || (s->at < s->end && strchr("0123456789.eE", *s->at) && *s->at)) s->failed = true;
    return s->failed ? 0 : negative ? -value : value;
}

/* A string, or a number or word, wherever it ends. */
static void skip_atom(pp_scan *s)
{
    if (*s->at == '"') {
        s->at++;
        while (s->at < s->end && *s->at != '"') s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
        take(s, '"');
        return;
    }
    const char *start = s->at;
    while (s->at < s->end && *s->at && !strchr(" \n\t\r,:]}[{\"", *s->at)) s->at++;
    if (s->at == start) s->failed = true;
}

/* Brackets are counted, not matched: what is skipped is either read again by a parser or means nothing here. */
pp_scan pp_scan_skip(pp_scan *s)
{
    size_t depth = 0;
    pp_scan_peek(s);
    pp_scan value = {s->at, s->at, false};
    do {
        const char c = pp_scan_peek(s);
        const bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (!c || (depth == 0 && (closes || c == ',' || c == ':'))) {
            s->failed = true;
        } else if (opens || closes || c == ',' || c == ':') {
            depth += opens;
            depth -= closes;
            s->at++;
        } else {
            skip_atom(s);
        }
    } while (depth && !s->failed);
    value.end = s->at;
    value.failed = s->failed;
    return value;
}
