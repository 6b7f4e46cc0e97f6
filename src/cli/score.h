/*
 * score.h - what answers are worth beside references: pure functions of texts. A row of a task becomes counts; figures are
 * functions of the sums of counts over rows, so that an interval is what they give for other draws of the same rows.
 */
#ifndef PP_CLI_SCORE_H
#define PP_CLI_SCORE_H

#include <jansson.h>

#include "base/base.h"

/* An error that was put into the user's text, where that is known: its bytes there. */
typedef struct pp_note {
    size_t first, n;
    const char *kind;
} pp_note;

typedef struct pp_case {
    const char *user; /* the text that was to be corrected; other metrics do not read it */
    const char *reference, *answer;
    const pp_note *notes; /* [n_note] */
    size_t n_note;
} pp_case;

typedef struct pp_scores pp_scores;

enum { PP_MAX_FIGURE = 7 };

typedef struct pp_metric {
    const char *name;
    const char *figures[PP_MAX_FIGURE + 1]; /* ended by NULL */
    uint32_t n_stat, n_stat_a_name;         /* counts, and those that every name (label, kind of error) adds */
    bool (*count)(pp_scores *s, const pp_case *c);
    void (*evaluate)(const pp_scores *s, const double *sums, double *figures);
} pp_metric;

const pp_metric *pp_metric_find(const char *name); /* NULL: there is none */
#define PP_METRICS "rouge-l|exact|labels|corrections|json"

/* One of the counts of a row. */
typedef struct pp_tally {
    uint32_t stat;
    double value;
} pp_tally;

struct pp_scores {
    const pp_metric *metric;
    json_t *names; /* name to its number: labels, kinds of errors */
    size_t n_name;
    pp_tally *counts;
    size_t n_count, count_room;
    size_t *ends; /* [n_row] where each row's counts end */
    size_t n_row, row_room;
};

void pp_scores_init(pp_scores *s, const pp_metric *metric);
void pp_scores_free(pp_scores *s);
/* The number of a name, a new one if it is; kinds are to be named before the first row. False without memory. */
bool pp_scores_name(pp_scores *s, const char *name, size_t *number);
bool pp_scores_add(pp_scores *s, const pp_case *c); /* false without memory */

size_t pp_scores_n_figure(const pp_scores *s); /* the metric's, then for `corrections` one a kind */
/* [n_figure]; no number where there is nothing to divide by. False without memory. */
bool pp_scores_figures(const pp_scores *s, double *out);
/* How many errors of a kind there were. */
size_t pp_scores_kind_count(const pp_scores *s, size_t kind);

typedef struct pp_interval {
    double low, high;
} pp_interval;

/*
 * 95 % intervals by the percentile bootstrap over rows: 2,000 draws, always the same ones. own [n_figure] of s; difference
 * [n_figure] of s less other, by the same draws, where there is an other of the same rows. False without memory.
 */
bool pp_scores_bootstrap(const pp_scores *s, const pp_scores *other, pp_interval *own, pp_interval *difference);

/* Labels of "a, b,c": trimmed, none twice, none empty, in their order. A list of strings; NULL without memory. */
json_t *pp_labels_of(const char *text);

#endif
