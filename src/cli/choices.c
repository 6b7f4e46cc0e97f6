/* choices.c - a closed vocabulary: which texts may go on to labels of a list, none twice, with ", " between. */
#include <stdlib.h>
#include <string.h>

#include "cli/task.h"

enum { MAX_LABEL = 255, MAX_BEGUN = 512, MAX_ENDED = 8 };

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

void pp_choices_free(pp_choices *c)
{
    pp_free(c->text);
    pp_free(c->labels);
    pp_free(c->used);
    *c = (pp_choices){0};
}

/* Ends the line at `line` with a 0, trimmed; gives where the next one begins. */
static char *cut_line(char **line)
{
    char *end = *line + strcspn(*line, "\n"), *next = end + (*end != 0);
    while (end > *line && pp_is_space(end[-1])) end--;
    *end = 0;
    while (pp_is_space(**line)) ++*line;
    return next;
}

int pp_choices_read(const char *path, pp_choices *out)
{
    pp_buffer text;
    size_t n_line = 1, number = 0;
    *out = (pp_choices){0};
    int code = pp_read_all(path, &text);
    if (code) return code;
    const bool room = pp_append(&text, "\n", 2);
    out->text = text.bytes;
    if (!room) return pp_no_memory();
    for (size_t i = 0; i < text.n; i++) n_line += text.bytes[i] == '\n';
    out->labels = pp_alloc_zero(n_line, sizeof *out->labels);
    out->used = pp_alloc_zero(n_line, sizeof *out->used);
    if (!out->labels || !out->used) return pp_no_memory();
    for (char *line = out->text, *next; *line; line = next) {
        next = cut_line(&line);
        number++;
        if (strchr(line, ',') || strlen(line) > MAX_LABEL)
            return pp_row_bad(path, number,
                              "found \"%.60s\", expected a label of at most %d bytes without a comma, which stands "
                              "between labels",
                              line, MAX_LABEL);
        if (*line) out->labels[out->n++] = line;
    }
    qsort(out->labels, out->n, sizeof *out->labels, by_text);
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++)
        if (!n || strcmp(out->labels[n - 1], out->labels[i]) != 0) out->labels[n++] = out->labels[i];
    out->n = n;
    return n ? 0 : pp_error(PP_EXIT_FAILURE, "%s: holds no labels, expected one a line", path);
}

/* The first label that is not before text[0..n); those that begin with it follow. */
static size_t lower_bound(const pp_choices *c, const char *text, size_t n)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strncmp(c->labels[middle], text, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The label that text[0..n) is; c->n: none. */
static size_t find(const pp_choices *c, const char *text, size_t n)
{
    const size_t i = lower_bound(c, text, n);
    return i < c->n && strlen(c->labels[i]) == n && memcmp(c->labels[i], text, n) == 0 ? i : c->n;
}

bool pp_choices_ends(const pp_choices *c, const char *begun, size_t n)
{
    const size_t label = find(c, begun, n);
    return label < c->n && !c->used[label];
}

bool pp_choices_has(const pp_choices *c, const char *label, size_t n) { return find(c, label, n) < c->n; }

/* Does a label that is neither used nor one of `more` [n_more] begin with text[0..n)? */
static bool begins(const pp_choices *c, const char *text, size_t n, const size_t *more, size_t n_more)
{
    for (size_t i = lower_bound(c, text, n); i < c->n && strncmp(c->labels[i], text, n) == 0; i++) {
        bool used = c->used[i];
        for (size_t k = 0; k < n_more; k++) used = used || more[k] == i;
        if (!used) return true;
    }
    return false;
}

bool pp_choices_allow(const pp_choices *c, const char *begun, size_t n_begun, const char *piece, size_t n)
{
    char text[MAX_BEGUN];
    size_t ended[MAX_ENDED], n_ended = 0, at = 0;
    if (!n || n_begun + n > sizeof text || memchr(piece, 0, n)) return false;
    memcpy(text, begun, n_begun);
    memcpy(text + n_begun, piece, n);
    n += n_begun;
    for (;;) {
        const char *comma = memchr(text + at, ',', n - at);
        if (!comma) return begins(c, text + at, n - at, ended, n_ended);
        const size_t label = find(c, text + at, (size_t)(comma - text) - at);
        if (label == c->n || c->used[label] || n_ended == MAX_ENDED) return false;
        for (size_t k = 0; k < n_ended; k++)
            if (ended[k] == label) return false;
        ended[n_ended++] = label;
        if (c->n_used + n_ended == c->n) return false; /* nothing is left to come after it */
        at = (size_t)(comma - text) + 1;
        if (at == n) return true;
        if (text[at++] != ' ') return false;
    }
}

bool pp_choices_take(pp_choices *c, pp_buffer *text, size_t *begun, const char *piece, size_t n)
{
    if (!pp_append(text, piece, n)) return false;
    const char *comma;
    while ((comma = memchr(text->bytes + *begun, ',', text->n - *begun)) && comma + 1 < text->bytes + text->n) {
        const size_t label = find(c, text->bytes + *begun, (size_t)(comma - text->bytes) - *begun);
        if (label < c->n) {
            c->used[label] = true;
            c->n_used++;
        }
        *begun = (size_t)(comma - text->bytes) + 2; /* a space follows */
    }
    return true;
}
