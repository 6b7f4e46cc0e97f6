/* task_rows.c - files of tasks: conversations with their answers, answers of others, and what was damaged. */
#include <stdlib.h>
#include <string.h>

#include "cli/task.h"

int pp_row_bad(const char *path, size_t line, const char *format, ...)
{
    char text[800];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pp_error(PP_EXIT_FAILURE, "%s:%zu: %s", strcmp(path, "-") == 0 ? "stdin" : path, line, text);
}

/* ---- lines ---- */

typedef struct lines {
    const char *path, *text;
    pp_buffer buffer;
    size_t n, at, number; /* `text` [n] is the line at hand */
} lines;

static int open_lines(const char *path, lines *out)
{
    *out = (lines){.path = path};
    return pp_read_all(path, &out->buffer);
}

/* The next line, without its end; blank ones are passed over unless they count. */
static bool next_line(lines *l, bool blank)
{
    while (l->at < l->buffer.n) {
        l->text = l->buffer.bytes + l->at;
        const char *end = memchr(l->text, '\n', l->buffer.n - l->at);
        l->n = end ? (size_t)(end - l->text) : l->buffer.n - l->at;
        l->at += l->n + (end != NULL);
        l->number++;
        if (l->n && l->text[l->n - 1] == '\r') l->n--;
        bool is_blank = true;
        for (size_t i = 0; i < l->n && is_blank; i++) is_blank = l->text[i] == ' ' || l->text[i] == '\t';
        if (blank || !is_blank) return true;
    }
    return false;
}

static int line_to_json(const lines *l, json_t **out)
{
    json_error_t error;
    *out = json_loadb(l->text, l->n, 0, &error);
    if (*out) return 0;
    return pp_row_bad(l->path, l->number, "column %d: %s; expected one JSON object a line", error.column, error.text);
}

/* ---- rows ---- */

static const char *text_of(const json_t *message, const char *role)
{
    const char *found = json_string_value(json_object_get(message, "role"));
    return found && strcmp(found, role) == 0 ? json_string_value(json_object_get(message, "content")) : NULL;
}

static json_t *messages_of(json_t *root) { return json_is_array(root) ? root : json_object_get(root, "messages"); }

static int read_row(const lines *l, pp_row *row)
{
    json_t *list = messages_of(row->root);
    const size_t n = json_array_size(list);
    if (list) {
        row->reference = n > 1 ? text_of(json_array_get(list, n - 1), "assistant") : NULL;
        for (size_t i = n; i-- > 0 && !row->user;) row->user = text_of(json_array_get(list, i), "user");
        if (row->reference) return 0;
        return pp_row_bad(l->path, l->number,
                          "the last of %zu messages is no text of the assistant's, expected the answer that is right",
                          n);
    }
    row->user = json_string_value(json_object_get(row->root, "prompt"));
    row->reference = json_string_value(json_object_get(row->root, "completion"));
    if (row->user && row->reference) return 0;
    return pp_row_bad(l->path, l->number,
                      "found neither \"messages\" nor \"prompt\" and \"completion\", expected one of the two forms");
}

static bool add_row(pp_rows *rows)
{
    if (!pp_make_room(&rows->items, rows->n, &rows->room, sizeof *rows->items)) return false;
    rows->items[rows->n++] = (pp_row){0};
    return true;
}

/* FNV-1a. */
static uint64_t hash(uint64_t h, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

int pp_rows_read(const char *path, size_t limit, pp_rows *out)
{
    lines l;
    *out = (pp_rows){.path = path};
    int code = open_lines(path, &l);
    while (!code && (!limit || out->n < limit) && next_line(&l, false)) {
        if (!add_row(out)) {
            code = pp_no_memory();
            break;
        }
        pp_row *row = &out->items[out->n - 1];
        row->line = l.number;
        row->order = hash(0xcbf29ce484222325u, l.text, l.n);
        code = line_to_json(&l, &row->root);
        if (!code) code = read_row(&l, row);
    }
    if (!code && !out->n)
        code = pp_error(PP_EXIT_FAILURE,
                        "%s: holds no rows, expected a conversation a line, its last message the answer", path);
    pp_free(l.buffer.bytes);
    return code;
}

void pp_rows_cut(pp_rows *rows, size_t n)
{
    while (rows->n > n) {
        const pp_row *row = &rows->items[--rows->n];
        json_decref(row->root);
        json_decref(row->errors);
        pp_free(row->answer);
        pp_free(row->other);
        pp_free(row->notes);
    }
}

void pp_rows_free(pp_rows *rows)
{
    pp_rows_cut(rows, 0);
    pp_free(rows->items);
    *rows = (pp_rows){0};
}

static int by_order(const void *a, const void *b)
{
    const pp_row *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    const int answer = strcmp(x->answer, y->answer);
    return answer || !x->other || !y->other ? answer : strcmp(x->other, y->other);
}

void pp_rows_sort(pp_rows *rows) { qsort(rows->items, rows->n, sizeof *rows->items, by_order); }

/* ---- answers ---- */

static int read_answer(const lines *l, char **out)
{
    json_t *root;
    if (pp_path_ends(l->path, ".txt")) {
        json_t *text = json_stringn(l->n ? l->text : "", l->n);
        if (!text) return pp_row_bad(l->path, l->number, "found bytes that are no UTF-8, expected text in UTF-8");
        *out = pp_strdup(json_string_value(text));
        json_decref(text);
        return *out ? 0 : pp_no_memory();
    }
    int code = line_to_json(l, &root);
    if (code) return code;
    const json_t *list = messages_of(root);
    const char *text = list ? text_of(json_array_get(list, json_array_size(list) - 1), "assistant")
                            : json_string_value(json_object_get(root, "answer"));
    if (!text)
        code = pp_row_bad(l->path, l->number,
                          "found no answer, expected {\"answer\": TEXT}, or a conversation with the answer last");
    else if (!(*out = pp_strdup(text)))
        code = pp_no_memory();
    json_decref(root);
    return code;
}

int pp_rows_read_answers(pp_rows *rows, const char *path, bool limited, bool is_other)
{
    lines l;
    size_t n = 0;
    const bool blank = pp_path_ends(path, ".txt");
    int code = open_lines(path, &l);
    while (!code && next_line(&l, blank)) {
        if (n < rows->n) {
            pp_row *row = &rows->items[n];
            code = read_answer(&l, is_other ? &row->other : &row->answer);
        } else if (limited)
            break;
        n++;
    }
    pp_free(l.buffer.bytes);
    if (!code && n < rows->n)
        code = pp_error(PP_EXIT_FAILURE,
                        "%s: has %zu answers, expected %zu, one for each row of %s; pass --limit %zu "
                        "for the first rows alone",
                        path, n, rows->n, rows->path, PP_MAX(n, 1));
    else if (!code && n > rows->n && !limited)
        code = pp_error(PP_EXIT_FAILURE, "%s: has %zu answers, expected %zu, one for each row of %s", path, n, rows->n,
                        rows->path);
    return code;
}

int pp_rows_save_answers(const pp_rows *rows, pp_writer *writer)
{
    pippin_error err;
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < rows->n && status == PIPPIN_OK; i++) {
        pp_buffer line = {0};
        json_t *object = json_pack("{s:s}", "answer", rows->items[i].answer);
        if (!object || !pp_json_dump(object, JSON_COMPACT, &line) || !pp_append(&line, "\n", 1))
            status = pp_fail_memory(&err, "answers", line.n);
        else
            status = pp_writer_write(writer, line.bytes, line.n, &err);
        json_decref(object);
        pp_free(line.bytes);
    }
    if (status == PIPPIN_OK) status = pp_writer_commit(writer, &err);
    return status == PIPPIN_OK ? 0 : pp_failed(&err);
}

/* ---- what was damaged ---- */

static bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

/* Where run `number` of ASCII letters begins; NULL: there are not so many. */
static const char *find_run(const char *text, size_t number)
{
    for (size_t i = 0;; i++) {
        while (*text && !is_letter(*text)) text++;
        if (!*text || i == number) return *text ? text : NULL;
        while (is_letter(*text)) text++;
    }
}

/* Errors stand in their order; `shift` is by how much those before moved what follows. */
static int read_note(const lines *l, const pp_row *row, const json_t *error, ptrdiff_t *shift, pp_note *out)
{
    const json_t *word = json_object_get(error, "word");
    const char *wrong = json_string_value(json_object_get(error, "wrong"));
    const char *right = json_string_value(json_object_get(error, "right"));
    const char *kind = json_string_value(json_object_get(error, "kind"));
    if (!json_is_integer(word) || json_integer_value(word) < 0 || !wrong || !right || !kind)
        return pp_row_bad(
            l->path, l->number,
            "found an error without \"word\", \"wrong\", \"right\" or \"kind\", expected a number and three texts");
    const char *run = find_run(row->reference, (size_t)json_integer_value(word));
    const size_t n_user = row->user ? strlen(row->user) : 0, n = strlen(wrong);
    const ptrdiff_t at = run ? run - row->reference + *shift : -1;
    if (at < 0 || (size_t)at > n_user || strncmp(row->user + at, wrong, n) != 0)
        return pp_row_bad(l->path, l->number,
                          "\"%.60s\" is not in place of word %lld of the user's text, expected the "
                          "errors of line %zu of the task",
                          wrong, (long long)json_integer_value(word), row->line);
    *out = (pp_note){(size_t)at, n, kind};
    *shift += (ptrdiff_t)n - (ptrdiff_t)strlen(right);
    return 0;
}

static int read_notes(const lines *l, pp_row *row)
{
    const json_t *list, *error;
    size_t i;
    ptrdiff_t shift = 0;
    int code = line_to_json(l, &row->errors);
    if (code) return code;
    list = json_object_get(row->errors, "errors");
    if (!json_is_array(list))
        return pp_row_bad(l->path, l->number, "found no list \"errors\", expected one, [] if there are none");
    row->notes = pp_alloc_zero(json_array_size(list) + 1, sizeof *row->notes);
    if (!row->notes) return pp_no_memory();
    json_array_foreach (list, i, error) {
        code = read_note(l, row, error, &shift, &row->notes[i]);
        if (code) return code;
        row->n_note++;
    }
    row->order = hash(row->order, l->text, l->n);
    return 0;
}

int pp_rows_read_errors(pp_rows *rows, const char *path)
{
    lines l;
    size_t n = 0;
    int code = open_lines(path, &l);
    while (!code && n < rows->n && next_line(&l, false)) code = read_notes(&l, &rows->items[n++]);
    pp_free(l.buffer.bytes);
    if (!code && n < rows->n)
        code = pp_error(PP_EXIT_FAILURE, "%s: has %zu lines, expected %zu, one for each row of %s", path, n, rows->n,
                        rows->path);
    return code;
}
