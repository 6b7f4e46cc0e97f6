/* metrics.c - metrics.jsonl: a row a step, appended and flushed; cut back to the checkpoint where a run goes on. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/files.h"

static const char file_name[] = "metrics.jsonl";

static pippin_status path_in(const char *dir, char **out, pippin_error *err)
{
    *out = pp_path_join(dir, file_name);
    return *out ? PIPPIN_OK : pp_fail_memory(err, dir, strlen(dir));
}

/* ---- a row as text ---- */

enum { NUMBER_SIZE = 32, ROW_SIZE = 400 };

/* The shortest decimal that reads back as the same number. */
static const char *number_text(double value, char text[NUMBER_SIZE])
{
    if (!isfinite(value)) return "null";
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.'; /* a program around the library may have set a locale */
    return text;
}

static size_t row_text(const pp_metric *row, char out[ROW_SIZE])
{
    char a[NUMBER_SIZE], b[NUMBER_SIZE], c[NUMBER_SIZE], d[NUMBER_SIZE];
    const long long step = (long long)row->step;
    const int n =
        row->is_eval
            ? snprintf(out, ROW_SIZE, "{\"step\":%lld,\"eval_loss\":%s}\n", step, number_text(row->eval_loss, a))
            : snprintf(out, ROW_SIZE,
                       "{\"step\":%lld,\"loss\":%s,\"grad_norm\":%s,\"lr\":%s,\"tokens\":%lld,"
                       "\"tokens_per_second\":%s}\n",
                       step, number_text(row->loss, a), number_text(row->grad_norm, b), number_text(row->lr, c),
                       (long long)row->tokens, number_text(row->tokens_per_second, d));
    return (size_t)n;
}

/* ---- a row from text ---- */

static double number_of(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* False where the line is no row: torn, or none of ours. */
static bool parse_row(const char *line, size_t n, pp_metric *row, bool *no_memory)
{
    json_error_t at = {0};
    json_t *root = json_loadb(line, n, 0, &at);
    const json_t *step = json_object_get(root, "step");
    *no_memory = !root && json_error_code(&at) == json_error_out_of_memory;
    const bool ok = json_is_integer(step);
    if (ok)
        *row = (pp_metric){.step = json_integer_value(step),
                           .is_eval = json_object_get(root, "eval_loss") != NULL,
                           .loss = number_of(root, "loss"),
                           .grad_norm = number_of(root, "grad_norm"),
                           .lr = number_of(root, "lr"),
                           .tokens = json_integer_value(json_object_get(root, "tokens")),
                           .tokens_per_second = number_of(root, "tokens_per_second"),
                           .eval_loss = number_of(root, "eval_loss")};
    json_decref(root);
    return ok;
}

/* ---- all rows of a file ---- */

typedef pippin_status (*take_row)(void *user, const pp_metric *row, const char *line, size_t n, pippin_error *err);

/* Calls take for every whole row; *n_bad counts the lines that are none. No file is no rows. */
static pippin_status each_row(const char *path, take_row take, void *user, size_t *n_bad, pippin_error *err)
{
    pp_map map = {0};
    *n_bad = 0;
    pippin_status status = pp_path_exists(path) ? pp_map_open(path, &map, err) : PIPPIN_OK;
    const char *at = (const char *)map.data, *end = at ? at + map.size : NULL;
    while (status == PIPPIN_OK && at < end) {
        const char *found = memchr(at, '\n', (size_t)(end - at)), *last = found ? found : end;
        pp_metric row;
        bool no_memory;
        if (parse_row(at, (size_t)(last - at), &row, &no_memory))
            status = take(user, &row, at, (size_t)(last - at), err);
        else if (no_memory)
            status = pp_fail_memory(err, path, (uint64_t)(last - at));
        else
            ++*n_bad;
        at = found ? found + 1 : end;
    }
    pp_map_close(&map);
    return status;
}

/* ---- going on ---- */

typedef struct keeper {
    pp_writer writer;
    int64_t after;
    size_t n_dropped;
} keeper;

static pippin_status keep_row(void *user, const pp_metric *row, const char *line, size_t n, pippin_error *err)
{
    keeper *k = user;
    if (row->step > k->after) {
        k->n_dropped++;
        return PIPPIN_OK;
    }
    pippin_status status = pp_writer_write(&k->writer, line, n, err);
    return status == PIPPIN_OK ? pp_writer_write(&k->writer, "\n", 1, err) : status;
}

/* The rows up to a step, written aside and renamed. */
static pippin_status cut_back(const char *path, int64_t after, pippin_error *err)
{
    keeper k = {.after = after};
    size_t n_bad;
    if (!pp_path_exists(path)) return PIPPIN_OK;
    pippin_status status = pp_writer_open(path, &k.writer, err);
    if (status != PIPPIN_OK) return status;
    status = each_row(path, keep_row, &k, &n_bad, err);
    if (status == PIPPIN_OK && after >= 0 && k.n_dropped + n_bad)
        pp_log("%s: dropped %zu rows of steps after %lld and %zu lines that were torn", path, k.n_dropped,
               (long long)after, n_bad);
    if (status == PIPPIN_OK) return pp_writer_commit(&k.writer, err);
    pp_writer_abort(&k.writer);
    return status;
}

pippin_status pp_metrics_open(const char *dir, int64_t after, pp_metrics *out, pippin_error *err)
{
    *out = (pp_metrics){0};
    pippin_status status = pp_writer_clean(dir, err);
    if (status == PIPPIN_OK) status = path_in(dir, &out->path, err);
    if (status == PIPPIN_OK) status = cut_back(out->path, after, err);
    if (status == PIPPIN_OK) status = pp_append_open(out->path, &out->file, err);
    if (status != PIPPIN_OK) pp_metrics_close(out);
    return status;
}

pippin_status pp_metrics_put(pp_metrics *m, const pp_metric *row, pippin_error *err)
{
    char text[ROW_SIZE];
    const size_t n = row_text(row, text);
    if (fwrite(text, 1, n, m->file) == n && fflush(m->file) == 0) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_IO, "%s: cannot be appended to: %s; make room and resume", m->path, strerror(errno));
}

void pp_metrics_close(pp_metrics *m)
{
    if (m->file) fclose(m->file);
    pp_free(m->path);
    *m = (pp_metrics){0};
}

/* ---- reading back ---- */

typedef struct gatherer {
    pp_metric *rows;
    size_t n, room;
} gatherer;

static pippin_status gather(void *user, const pp_metric *row, const char *line, size_t n, pippin_error *err)
{
    gatherer *g = user;
    (void)line, (void)n;
    if (!pp_make_room(&g->rows, g->n, &g->room, sizeof *g->rows))
        return pp_fail_memory(err, file_name, 2 * (uint64_t)g->room * sizeof *g->rows);
    g->rows[g->n++] = *row;
    return PIPPIN_OK;
}

pippin_status pp_metrics_read(const char *dir, pp_metric **rows, size_t *n, pippin_error *err)
{
    gatherer g = {0};
    char *path;
    size_t n_bad;
    *rows = NULL;
    *n = 0;
    pippin_status status = path_in(dir, &path, err);
    if (status != PIPPIN_OK) return status;
    status = each_row(path, gather, &g, &n_bad, err);
    pp_free(path);
    if (status != PIPPIN_OK) {
        pp_free(g.rows);
        return status;
    }
    *rows = g.rows;
    *n = g.n;
    return PIPPIN_OK;
}
