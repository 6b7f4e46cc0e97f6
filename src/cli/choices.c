/* choices.c - a closed vocabulary: which texts may go on to labels of a list, none twice, with ", " between, and in the list's
   order where the references keep to it. */
#include <stdlib.h>
#include <string.h>

#include "cli/task.h"

enum { MAX_LABEL = 255, MAX_BEGUN = 512, MAX_ENDED = 8 };

static int by_text(const void *a, const void *b)
{
    const pp_choice *x = a, *y = b;
    const int order = strcmp(x->label, y->label);
    return order ? order : x->place < y->place ? -1 : 1;
}

void pp_choices_free(pp_choices *c)
{
    pp_free(c->text);
    pp_free(c->items);
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
    out->items = pp_alloc_zero(n_line, sizeof *out->items);
    if (!out->items) return pp_no_memory();
    for (char *line = out->text, *next; *line; line = next) {
        next = cut_line(&line);
        number++;
        if (strchr(line, ',') || strlen(line) > MAX_LABEL)
            return pp_row_bad(path, number,
                              "found \"%.60s\", expected a label of at most %d bytes without a comma, which stands "
                              "between labels",
                              line, MAX_LABEL);
        if (*line) out->items[out->n++] = (pp_choice){line, number};
    }
    qsort(out->items, out->n, sizeof *out->items, by_text);
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++)
        if (!n || strcmp(out->items[n - 1].label, out->items[i].label) != 0) out->items[n++] = out->items[i];
    out->n = n;
    return n ? 0 : pp_error(PP_EXIT_FAILURE, "%s: holds no labels, expected one a line", path);
}

/* The first label that is not before text[0..n); those that begin with it follow. */
static size_t lower_bound(const pp_choices *c, const char *text, size_t n)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strncmp(c->items[middle].label, text, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const pp_choice *pp_choices_find(const pp_choices *c, const char *label, size_t n)
{
    const size_t i = lower_bound(c, label, n);
    return i < c->n && strlen(c->items[i].label) == n && memcmp(c->items[i].label, label, n) == 0 ? &c->items[i] : NULL;
}

void pp_choices_note(pp_choices *c, const pp_choice *last, const pp_choice *next)
{
    if (last->place < next->place)
        c->n_rising++;
    else
        c->n_falling++;
}

bool pp_choices_ordered(const pp_choices *c) { return c->n_rising && !c->n_falling; }

/* ---- what may follow ---- */

/* Labels of an answer, and those that a piece would put behind them. */
typedef struct listing {
    const pp_chosen *answer;
    const pp_choice *ended[MAX_ENDED];
    size_t n_ended;
} listing;

static bool may_follow(const pp_choices *c, const listing *l, const pp_choice *label)
{
    const pp_choice *last = l->n_ended ? l->ended[l->n_ended - 1] : l->answer->last;
    bool used = l->answer->used[label - c->items];
    for (size_t k = 0; k < l->n_ended; k++) used = used || l->ended[k] == label;
    return !used && !(last && pp_choices_ordered(c) && label->place < last->place);
}

/* Does a label that may follow begin with text[0..n)? */
static bool begins(const pp_choices *c, const listing *l, const char *text, size_t n)
{
    for (size_t i = lower_bound(c, text, n); i < c->n && strncmp(c->items[i].label, text, n) == 0; i++)
        if (may_follow(c, l, &c->items[i])) return true;
    return false;
}

/* The label at hand so far. */
static const char *at_hand(const pp_chosen *a, size_t *n)
{
    *n = a->text.n - a->begun;
    return a->text.n ? a->text.bytes + a->begun : "";
}

bool pp_choices_ends(const pp_choices *c, const pp_chosen *a)
{
    size_t n;
    const char *text = at_hand(a, &n);
    const pp_choice *label = pp_choices_find(c, text, n);
    return label && may_follow(c, &(listing){.answer = a}, label);
}

bool pp_choices_allow(const pp_choices *c, const pp_chosen *a, const char *piece, size_t n)
{
    char text[MAX_BEGUN];
    listing l = {.answer = a};
    size_t n_begun, at = 0;
    const char *begun = at_hand(a, &n_begun);
    if (!n || n_begun + n > sizeof text || memchr(piece, 0, n)) return false;
    memcpy(text, begun, n_begun);
    memcpy(text + n_begun, piece, n);
    n += n_begun;
    for (;;) {
        const char *comma = memchr(text + at, ',', n - at);
        if (!comma) return begins(c, &l, text + at, n - at);
        const pp_choice *label = pp_choices_find(c, text + at, (size_t)(comma - text) - at);
        if (!label || !may_follow(c, &l, label) || l.n_ended == MAX_ENDED) return false;
        l.ended[l.n_ended++] = label;
        if (!begins(c, &l, "", 0)) return false; /* nothing is left to come after it */
        at = (size_t)(comma - text) + 1;
        if (at == n) return true;
        if (text[at++] != ' ') return false;
    }
}

/* ---- an answer ---- */

bool pp_choices_begin(const pp_choices *c, pp_chosen *a)
{
    if (!a->used) a->used = pp_alloc(c->n * sizeof *a->used);
    if (!a->used) return false;
    memset(a->used, 0, c->n * sizeof *a->used);
    a->text.n = a->begun = 0;
    a->last = NULL;
    return true;
}

bool pp_choices_take(const pp_choices *c, pp_chosen *a, const char *piece, size_t n)
{
    if (!pp_append(&a->text, piece, n)) return false;
    const char *comma;
    while ((comma = memchr(a->text.bytes + a->begun, ',', a->text.n - a->begun)) &&
           comma + 1 < a->text.bytes + a->text.n) {
        const pp_choice *label =
            pp_choices_find(c, a->text.bytes + a->begun, (size_t)(comma - a->text.bytes) - a->begun);
        if (label) {
            a->used[label - c->items] = true;
            a->last = label;
        }
        a->begun = (size_t)(comma - a->text.bytes) + 2; /* a space follows */
    }
    return true;
}

void pp_choices_count(const pp_choices *c, const pp_chosen *a, uint32_t *votes)
{
    size_t n;
    const char *text = at_hand(a, &n);
    const pp_choice *last = pp_choices_find(c, text, n);
    for (size_t i = 0; i < c->n; i++) votes[i] += a->used[i] || &c->items[i] == last;
}

bool pp_choices_elect(const pp_choices *c, const uint32_t *votes, uint32_t least, pp_chosen *a)
{
    size_t most = 0;
    bool good = true;
    a->text.n = a->begun = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (votes[i] > votes[most]) most = i;
        if (votes[i] < least) continue;
        if (a->text.n) good = good && pp_append(&a->text, ", ", 2);
        good = good && pp_append(&a->text, c->items[i].label, strlen(c->items[i].label));
    }
    return good && (a->text.n || pp_append(&a->text, c->items[most].label, strlen(c->items[most].label)));
}

void pp_choices_cut(const pp_choices *c, pp_chosen *a)
{
    if (a->text.n > a->begun && a->text.bytes[a->text.n - 1] == ',') a->text.n--;
    if (!pp_choices_ends(c, a)) a->text.n = a->begun >= 2 ? a->begun - 2 : 0;
}

void pp_chosen_free(pp_chosen *a)
{
    pp_free(a->text.bytes);
    pp_free(a->used);
    *a = (pp_chosen){0};
}
