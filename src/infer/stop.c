/*
 * stop.c - stop strings: text is held back while it may still become one of them, and ends before the first that came.
 */
#include <string.h>

#include "infer/infer.h"

pippin_status pp_stopper_init(pp_stopper *s, const char *const *strings, size_t n, size_t longest_piece,
                              pippin_error *err)
{
    *s = (pp_stopper){.strings = strings, .n_strings = n};
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t length = strlen(strings[i]);
        if (length == 0)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "stop string %zu: is empty, expected at least one character", i);
        longest = PP_MAX(longest, length);
    }
    s->capacity = longest + longest_piece;
    if (n == 0) return PIPPIN_OK;
    s->held = pp_alloc(s->capacity);
    return s->held ? PIPPIN_OK : pp_fail_memory(err, "stop strings", s->capacity);
}

void pp_stopper_free(pp_stopper *s)
{
    pp_free(s->held);
    *s = (pp_stopper){0};
}

/* Where the earliest stop string begins in what is held; false if none is there. */
static bool find_stop(const pp_stopper *s, size_t *at)
{
    for (*at = 0; *at < s->n_held; ++*at)
        for (size_t i = 0; i < s->n_strings; i++) {
            const size_t length = strlen(s->strings[i]);
            if (length <= s->n_held - *at && memcmp(s->held + *at, s->strings[i], length) == 0) return true;
        }
    return false;
}

/* Where the longest end of what is held begins that is the beginning of a stop string. */
static size_t find_hope(const pp_stopper *s)
{
    for (size_t at = 0; at < s->n_held; at++)
        for (size_t i = 0; i < s->n_strings; i++)
            if (s->n_held - at < strlen(s->strings[i]) && memcmp(s->held + at, s->strings[i], s->n_held - at) == 0)
                return at;
    return s->n_held;
}

const char *pp_stopper_push(pp_stopper *s, const char *text, size_t *n_bytes, bool *stopped)
{
    *stopped = false;
    if (s->n_strings == 0) return text;
    /* What the last call gave out is dropped now, when its reader is done with it. */
    memmove(s->held, s->held + s->n_given, s->n_held - s->n_given);
    s->n_held -= s->n_given;
    memcpy(s->held + s->n_held, text, *n_bytes);
    s->n_held += *n_bytes;
    *stopped = find_stop(s, &s->n_given);
    if (!*stopped) s->n_given = find_hope(s);
    *n_bytes = s->n_given;
    return s->held;
}

const char *pp_stopper_rest(const pp_stopper *s, size_t *n_bytes)
{
    *n_bytes = s->n_held - s->n_given;
    return *n_bytes ? s->held + s->n_given : "";
}
