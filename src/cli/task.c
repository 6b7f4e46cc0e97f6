/* task.c - eval --task: options, and the way from rows to answers to figures. */
#include <string.h>

#include "cli/task.h"
#include "cli/words.h"

#define AT(field) offsetof(pp_task_args, field)

const pp_option pp_options_task[] = {
    {PP_OPT_TEXT("task", "FILE", AT(file)), .files = "jsonl",
     .help = "conversations as for training, a line each, the last message being the answer that is right; the model "
             "answers them, and its answers are scored; - for stdin"},
    {PP_OPT_CHOICE("metric", "NAME", AT(metric), PP_METRICS),
     .help = "rouge-l: words in common, in order; exact: the same text; labels: sets with commas between; corrections: "
             "words of the user's text put right and damaged; json: items of lists and objects (default: labels with "
             "--choices, corrections with --guard or --errors, else rouge-l)"},
    {PP_OPT_INT("limit", "N", AT(limit), 1, INT32_MAX), .help = "the first N rows alone"},
    {PP_OPT_TEXT("choices", "FILE", AT(choices)), .files = "txt",
     .help =
         "the labels that there are, one a line: the model can say no others, none twice, and in this order where all "
         "right answers keep to it"},
    {PP_OPT_INT("votes", "N", AT(votes), 1, 1000),
     .help =
         "answer each row N times, drawing tokens by their probability at --temp (default: 1), and keep the answer "
         "that "
         "has most in common with the others; with --choices the labels, or with --guard the corrections, that enough "
         "of the answers have (default: one answer, of the likeliest tokens)"},
    {PP_OPT_REAL("share", "X", AT(share), 0, 1),
     .help = "of --votes: the share of answers that a label or a correction needs (default: 0.3)"},
    {PP_OPT_FLAG("guard", AT(guard)),
     .help =
         "of a correction keep only words that replace one word at an edit distance of 2 at most (1 for words under "
         "5 letters), and that a word said twice is said once; all else stays the user's"},
    {PP_OPT_TEXT("errors", "FILE", AT(errors)), .files = "jsonl",
     .help =
         "what was damaged in each row: {\"errors\": [{\"word\", \"wrong\", \"right\", \"kind\"}]}; corrections are "
         "then counted by kind too"},
    {PP_OPT_TEXT("answers", "FILE", AT(answers)), .files = "jsonl|txt",
     .help = "score these answers in place of a model's: a line each, {\"answer\": TEXT}, conversations, or text in a "
             ".txt"},
    {PP_OPT_TEXT("compare", "FILE", AT(compare)), .files = "jsonl|txt",
     .help = "answers of another, a baseline's: its figures too, and how much better the first ones are (paired)"},
    {PP_OPT_TEXT("save-answers", "FILE", AT(save_answers)), .files = "jsonl",
     .help = "write the model's answers, before --guard, as --answers reads them"},
    {PP_OPT_INT("batch-size", "N", AT(batch), 1, PP_MAX_TOGETHER), .letter = 'b',
     .help = "rows answered together (default: 8); answers are the same whatever it is"},
    {PP_OPT_MAX_TOKENS(AT(talk.n)),
     .help = "tokens of an answer at most (default: twice those of the longest right answer, and 16)"},
    {PP_OPT_REAL("temp", "T", AT(talk.temperature), 0, 1000),
     .help = "temperature: 0 always takes the likeliest token (default: 0)"},
    {PP_OPT_SEED(AT(talk.seed)), .help = "of --temp (default: 0)"},
    {PP_OPT_TEXTS("stop", "TEXT", AT(talk.stops)), .help = "end an answer before this text comes; may be repeated"},
    {PP_OPT_TEMPLATE(AT(talk.template)), .help = "chat template (default: the tokenizer's own)"},
    {0}};

/* ---- options ---- */

static const char *metric_name(const pp_task_args *t)
{
    return t->metric ? t->metric : t->choices ? "labels" : t->guard || t->errors ? "corrections" : "rouge-l";
}

/* Those that only a model's answers need. */
static const char *of_model(const pp_task_args *t)
{
    return t->save_answers           ? "--save-answers"
           : t->batch                ? "--batch-size"
           : t->votes                ? "--votes"
           : t->share > 0            ? "--share"
           : t->talk.n               ? "--max-tokens"
           : t->talk.temperature > 0 ? "--temp"
           : t->talk.seed            ? "--seed"
           : t->talk.stops.n         ? "--stop"
           : t->talk.template        ? "--template"
           : t->talk.draft           ? "--draft"
           : t->talk.lookup          ? "--lookup"
                                     : NULL;
}

static const char *of_task(const pp_task_args *t)
{
    return t->metric    ? "--metric"
           : t->limit   ? "--limit"
           : t->choices ? "--choices"
           : t->guard   ? "--guard"
           : t->errors  ? "--errors"
           : t->answers ? "--answers"
           : t->compare ? "--compare"
                        : of_model(t);
}

int pp_task_check(const pp_task_args *t)
{
    const char *metric = metric_name(t);
    if (!t->file && of_task(t))
        return pp_error(PP_EXIT_USAGE, "%s: found without --task, expected a task with it; pass --task FILE",
                        of_task(t));
    if (!t->file) return 0;
    if (t->choices && strcmp(metric, "labels") != 0)
        return pp_error(PP_EXIT_USAGE, "--choices: found with --metric %s, expected labels; leave one out", metric);
    if ((t->guard || t->errors) && strcmp(metric, "corrections") != 0)
        return pp_error(PP_EXIT_USAGE, "%s: found with --metric %s, expected corrections; leave one out",
                        t->guard ? "--guard" : "--errors", metric);
    if (t->share > 0 && (!t->votes || (!t->choices && !t->guard)))
        return pp_error(PP_EXIT_USAGE, "--share: found without %s, expected it with that; pass both",
                        t->votes ? "--choices or --guard" : "--votes");
    if (t->choices && ((t->talk.temperature > 0 && !t->votes) || t->talk.stops.n))
        return pp_error(PP_EXIT_USAGE,
                        "%s: found with --choices, which takes the likeliest label, expected one of them; "
                        "leave one out",
                        t->talk.stops.n ? "--stop" : "--temp");
    const char *guesses = t->talk.draft ? "--draft" : t->talk.lookup ? "--lookup" : t->against ? "--against" : NULL;
    if (guesses && (t->choices || t->votes))
        return pp_error(PP_EXIT_USAGE, "%s: found with %s, expected one answer of any text a row; leave one out",
                        guesses, t->choices ? "--choices" : "--votes");
    if (!t->answers) {
        const int code = pp_talk_check(&t->talk);
        return code ? code : pp_require_model(&t->talk.common);
    }
    const char *spare = t->talk.common.model        ? "--model"
                        : t->talk.common.adapters.n ? "--adapter"
                        : t->against                ? "--against"
                                                    : of_model(t);
    if (!spare) return 0;
    return pp_error(PP_EXIT_USAGE,
                    "%s: found with --answers, which take a model's place, expected one of them; "
                    "leave one out",
                    spare);
}

/* ---- what the metric needs of the rows ---- */

static int check_labels(const pp_rows *rows, const pp_row *row, pp_choices *choices)
{
    const json_t *item;
    const pp_choice *last = NULL, *label;
    size_t i;
    json_t *labels = pp_labels_of(row->reference);
    int code = labels ? 0 : pp_no_memory();
    json_array_foreach (labels, i, item) {
        if (code || !choices->n) break;
        label = pp_choices_find(choices, json_string_value(item), json_string_length(item));
        if (!label)
            code = pp_row_bad(rows->path, row->line,
                              "the answer has the label \"%.60s\", expected those of the choices "
                              "only; add it there",
                              json_string_value(item));
        else if (last)
            pp_choices_note(choices, last, label);
        last = label;
    }
    json_decref(labels);
    return code;
}

static int check_rows(const pp_rows *rows, const pp_metric *metric, pp_choices *choices)
{
    int code = 0;
    for (size_t i = 0; !code && i < rows->n; i++) {
        const pp_row *row = &rows->items[i];
        json_error_t error;
        if (strcmp(metric->name, "labels") == 0)
            code = check_labels(rows, row, choices);
        else if (strcmp(metric->name, "corrections") == 0 && !row->user)
            code = pp_row_bad(rows->path, row->line, "the user says nothing, expected a text that was to be corrected");
        else if (strcmp(metric->name, "json") == 0) {
            json_t *value = json_loads(row->reference, JSON_DECODE_ANY, &error);
            if (!value)
                code = pp_row_bad(rows->path, row->line,
                                  "the answer is no JSON at column %d: %s; expected JSON to "
                                  "compare with",
                                  error.column, error.text);
            json_decref(value);
        }
    }
    return code;
}

/* ---- from rows to figures ---- */

static int guard_answers(pp_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        pp_row *row = &rows->items[i];
        char *guarded = pp_guard(row->user, row->answer);
        if (!guarded) return pp_no_memory();
        pp_free(row->answer);
        row->answer = guarded;
    }
    return 0;
}

static int answer(const pp_task_args *t, pp_rows *rows, const pp_choices *choices, pp_answered *answered)
{
    pp_writer writer = {0};
    pippin_error err;
    if (t->answers) return pp_rows_read_answers(rows, t->answers, t->limit > 0, false);
    /* Opened first: that it cannot be written is not to be found out at the end. */
    if (t->save_answers && pp_writer_open(t->save_answers, &writer, &err) != PIPPIN_OK) return pp_failed(&err);
    int code = pp_task_answer(t, rows, choices, answered);
    if (!code) pp_rows_cut(rows, answered->n_row);
    if (!code && t->save_answers && rows->n) code = pp_rows_save_answers(rows, &writer);
    pp_writer_abort(&writer);
    return code;
}

int pp_task_run(const pp_task_args *t)
{
    pp_rows rows;
    pp_choices choices = {0};
    pp_answered answered = {0};
    pp_task_result result = {.task = t,
                             .rows = &rows,
                             .metric = pp_metric_find(metric_name(t)),
                             .answered = t->answers ? NULL : &answered,
                             .choices = t->choices && !t->answers ? &choices : NULL};
    int code = pp_rows_read(t->file, (size_t)t->limit, &rows);
    if (!code && t->choices) code = pp_choices_read(t->choices, &choices);
    if (!code) code = check_rows(&rows, result.metric, &choices);
    if (!code && t->errors) code = pp_rows_read_errors(&rows, t->errors);
    if (!code && t->compare) code = pp_rows_read_answers(&rows, t->compare, t->limit > 0, true);
    result.n_wanted = rows.n;
    if (!code) code = answer(t, &rows, result.choices, &answered);
    if (!code && t->guard) code = guard_answers(&rows);
    if (!code && rows.n) {
        pp_rows_sort(&rows);
        code = pp_task_report(&result);
    }
    if (!code && rows.n < result.n_wanted) {
        fprintf(stderr, "pippin: interrupted after %zu of %zu rows\n", rows.n, result.n_wanted);
        code = PP_EXIT_INTERRUPTED;
    }
    pp_choices_free(&choices);
    pp_rows_free(&rows);
    return code;
}
