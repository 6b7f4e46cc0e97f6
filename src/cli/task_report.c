/* task_report.c - the figures of a task, as a table or as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/task.h"

typedef struct report {
    const pp_task_result *result;
    pp_scores own, other;
    size_t n;        /* figures */
    size_t n_metric; /* of them the metric's own; a kind of error each follows */
    double *figures, *others;
    pp_interval *intervals, *differences;
} report;

/* ---- scoring ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Kinds get their numbers in the order of their names, whatever the order of the rows. */
static bool name_kinds(report *r)
{
    const pp_rows *rows = r->result->rows;
    size_t n = 0, k = 0, number;
    for (size_t i = 0; i < rows->n; i++) n += rows->items[i].n_note;
    const char **kinds = pp_alloc_zero(n + 1, sizeof *kinds);
    bool good = kinds != NULL;
    for (size_t i = 0; good && i < rows->n; i++)
        for (size_t j = 0; j < rows->items[i].n_note; j++) kinds[k++] = rows->items[i].notes[j].kind;
    if (good) qsort(kinds, n, sizeof *kinds, by_text);
    for (size_t i = 0; good && i < n; i++)
        good = pp_scores_name(&r->own, kinds[i], &number) && pp_scores_name(&r->other, kinds[i], &number);
    pp_free(kinds);
    return good;
}

static bool score(report *r)
{
    const pp_rows *rows = r->result->rows;
    bool good = name_kinds(r);
    for (size_t i = 0; good && i < rows->n; i++) {
        const pp_row *row = &rows->items[i];
        pp_case c = {row->user, row->reference, row->answer, row->notes, row->n_note};
        good = pp_scores_add(&r->own, &c);
        c.answer = row->other;
        if (good && c.answer) good = pp_scores_add(&r->other, &c);
    }
    r->n = pp_scores_n_figure(&r->own);
    while (r->result->metric->figures[r->n_metric]) r->n_metric++;
    r->figures = pp_alloc_zero(r->n, sizeof *r->figures);
    r->others = pp_alloc_zero(r->n, sizeof *r->others);
    r->intervals = pp_alloc_zero(r->n, sizeof *r->intervals);
    r->differences = pp_alloc_zero(r->n, sizeof *r->differences);
    good = good && r->figures && r->others && r->intervals && r->differences;
    const bool compares = r->result->task->compare != NULL;
    return good && pp_scores_figures(&r->own, r->figures) && (!compares || pp_scores_figures(&r->other, r->others)) &&
           pp_scores_bootstrap(&r->own, compares ? &r->other : NULL, r->intervals, r->differences);
}

static const char *kind_name(const report *r, size_t kind)
{
    const char *name;
    json_t *number;
    json_object_foreach (r->own.names, name, number)
        if ((size_t)json_integer_value(number) == kind) return name;
    return "";
}

/* ---- JSON ---- */

static json_t *pair(pp_interval x) { return json_pack("[o, o]", pp_json_number(x.low), pp_json_number(x.high)); }

static json_t *numbers(const report *r, const double *values, const double *less)
{
    json_t *o = json_object();
    for (size_t i = 0; i < r->n_metric; i++)
        json_object_set_new(o, r->result->metric->figures[i], pp_json_number(values[i] - (less ? less[i] : 0)));
    return o;
}

static json_t *pairs(const report *r, const pp_interval *values)
{
    json_t *o = json_object();
    for (size_t i = 0; i < r->n_metric; i++) json_object_set_new(o, r->result->metric->figures[i], pair(values[i]));
    return o;
}

static json_t *kinds_to_json(const report *r)
{
    json_t *o = json_object();
    for (size_t i = r->n_metric; i < r->n; i++) {
        const size_t kind = i - r->n_metric;
        json_t *one = json_pack("{s:I, s:o, s:o}", "errors", (json_int_t)pp_scores_kind_count(&r->own, kind),
                                "corrected", pp_json_number(r->figures[i]), "interval", pair(r->intervals[i]));
        if (r->result->task->compare) json_object_set_new(one, "compared", pp_json_number(r->others[i]));
        json_object_set_new(o, kind_name(r, kind), one);
    }
    return o;
}

static double agreement(const pp_answered *a) { return (double)a->n_same / (double)a->n_compared; }

static json_t *to_json(const report *r)
{
    const pp_task_result *t = r->result;
    const bool interrupted = t->rows->n < t->n_wanted;
    json_t *o =
        json_pack("{s:o, s:I, s:b, s:s, s:b, s:o, s:o}", "task", pp_json_text(t->task->file, strlen(t->task->file)),
                  "rows", (json_int_t)t->rows->n, "interrupted", interrupted, "metric", t->metric->name, "guard",
                  t->task->guard, "scores", numbers(r, r->figures, NULL), "intervals", pairs(r, r->intervals));
    if (t->choices) json_object_set_new(o, "ordered", json_boolean(pp_choices_ordered(t->choices)));
    if (r->n > r->n_metric) json_object_set_new(o, "kinds", kinds_to_json(r));
    if (t->task->compare)
        json_object_set_new(o, "compare",
                            json_pack("{s:o, s:o, s:o, s:o}", "answers",
                                      pp_json_text(t->task->compare, strlen(t->task->compare)), "scores",
                                      numbers(r, r->others, NULL), "difference", numbers(r, r->figures, r->others),
                                      "intervals", pairs(r, r->differences)));
    if (t->answered)
        json_object_set_new(o, "answered",
                            json_pack("{s:I, s:I, s:f, s:I, s:I}", "tokens", (json_int_t)t->answered->n_tok, "cut",
                                      (json_int_t)t->answered->n_cut, "seconds", t->answered->seconds, "draft_n",
                                      (json_int_t)t->answered->n_drafted, "draft_n_accepted",
                                      (json_int_t)t->answered->n_accepted));
    if (t->answered && t->task->against)
        json_object_set_new(
            o, "against",
            json_pack("{s:o, s:I, s:o}", "model", pp_json_text(t->task->against, strlen(t->task->against)), "tokens",
                      (json_int_t)t->answered->n_compared, "top1_agreement", pp_json_number(agreement(t->answered))));
    return o;
}

/* ---- text ---- */

static void put_number(pp_table *table, const char *format, double value)
{
    if (isnan(value))
        pp_cell(table, "-");
    else
        pp_cell(table, format, value);
}

static void put_interval(pp_table *table, const char *format, pp_interval x)
{
    if (isnan(x.low))
        pp_cell(table, "-");
    else
        pp_cell(table, format, x.low, x.high);
}

static void put_row(const report *r, pp_table *table, size_t i)
{
    char name[128];
    if (i < r->n_metric)
        snprintf(name, sizeof name, "%s", r->result->metric->figures[i]);
    else
        snprintf(name, sizeof name, "  %s (%zu)", kind_name(r, i - r->n_metric),
                 pp_scores_kind_count(&r->own, i - r->n_metric));
    for (char *c = name; *c; c++)
        if (*c == '_') *c = ' ';
    pp_cell(table, "%s", name);
    put_number(table, "%.4f", r->figures[i]);
    put_interval(table, "%.4f to %.4f", r->intervals[i]);
    if (!r->result->task->compare) return;
    put_number(table, "%.4f", r->others[i]);
    put_number(table, "%+.4f", r->figures[i] - r->others[i]);
    put_interval(table, "%+.4f to %+.4f", r->differences[i]);
}

/* Every pass of the model gives a token of its own and the guesses before it that were right. */
static void print_guesses(const pp_task_result *t)
{
    const pp_answered *a = t->answered;
    if (a->n_drafted)
        pp_print("guesses: %s of %s right (%.4f), %s passes for the tokens\n", pp_count((int64_t)a->n_accepted).text,
                 pp_count((int64_t)a->n_drafted).text, (double)a->n_accepted / (double)a->n_drafted,
                 pp_count((int64_t)(a->n_tok - a->n_accepted)).text);
    if (t->task->against)
        pp_print("top-1 agreement of %s: %.4f of %s tokens, ends included\n", t->task->against, agreement(a),
                 pp_count((int64_t)a->n_compared).text);
}

static int print_text(const report *r)
{
    const pp_task_result *t = r->result;
    const char *const heads[] = {t->metric->name, "", "95 % interval", "compared", "difference", "95 % interval"};
    const bool compares = t->task->compare != NULL;
    pp_table table = pp_table_of(NULL, compares ? "lrrrrr" : "lrr");
    for (size_t i = 0; i < table.n_col; i++) pp_cell(&table, "%s", heads[i]);
    for (size_t i = 0; i < r->n; i++) {
        if (i == r->n_metric) {
            pp_cell(&table, "corrected, by kind");
            for (size_t k = 1; k < table.n_col; k++) pp_cell(&table, "%s", "");
        }
        put_row(r, &table, i);
    }
    pp_print("%s: %s rows", t->task->file, pp_count((int64_t)t->rows->n).text);
    if (t->answered) {
        pp_print(", %s tokens in %s", pp_count((int64_t)t->answered->n_tok).text,
                 pp_duration(t->answered->seconds).text);
        if (t->choices && pp_choices_ordered(t->choices)) pp_print(", labels in the order of %s", t->task->choices);
        if (t->answered->n_cut) pp_print(", %zu answers were cut at the limit of tokens", t->answered->n_cut);
    }
    pp_print("\n");
    if (t->answered) print_guesses(t);
    return pp_table_print(&table, false);
}

int pp_task_report(const pp_task_result *result)
{
    report r = {.result = result};
    pp_scores_init(&r.own, result->metric);
    pp_scores_init(&r.other, result->metric);
    int code = score(&r) ? 0 : pp_no_memory();
    if (!code) code = result->task->talk.common.json ? pp_print_json(to_json(&r)) : print_text(&r);
    pp_scores_free(&r.own);
    pp_scores_free(&r.other);
    pp_free(r.figures);
    pp_free(r.others);
    pp_free(r.intervals);
    pp_free(r.differences);
    return code;
}
