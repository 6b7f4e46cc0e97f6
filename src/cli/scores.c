/* scores.c - rows of counts, their figures, and intervals by drawing rows anew. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/score.h"

enum { DRAWS = 2000, SEED = 1 };

void pp_scores_init(pp_scores *s, const pp_metric *metric) { *s = (pp_scores){.metric = metric}; }

void pp_scores_free(pp_scores *s)
{
    json_decref(s->names);
    pp_free(s->counts);
    pp_free(s->ends);
    *s = (pp_scores){0};
}

bool pp_scores_name(pp_scores *s, const char *name, size_t *number)
{
    if (!s->names) s->names = json_object();
    const json_t *known = json_object_get(s->names, name);
    *number = known ? (size_t)json_integer_value(known) : s->n_name;
    if (known) return true;
    if (!s->names || json_object_set_new(s->names, name, json_integer((json_int_t)s->n_name)) != 0) return false;
    s->n_name++;
    return true;
}

bool pp_scores_add(pp_scores *s, const pp_case *c)
{
    if (!pp_make_room(&s->ends, s->n_row, &s->row_room, sizeof *s->ends)) return false;
    if (!s->metric->count(s, c)) return false;
    s->ends[s->n_row++] = s->n_count;
    return true;
}

size_t pp_scores_n_figure(const pp_scores *s)
{
    size_t n = 0;
    while (s->metric->figures[n]) n++;
    return n + (strcmp(s->metric->name, "corrections") == 0 ? s->n_name : 0);
}

static size_t n_stat(const pp_scores *s) { return s->metric->n_stat + s->n_name * s->metric->n_stat_a_name; }

static void add_row(const pp_scores *s, size_t i, double *sums)
{
    for (size_t k = i ? s->ends[i - 1] : 0; k < s->ends[i]; k++) sums[s->counts[k].stat] += s->counts[k].value;
}

bool pp_scores_figures(const pp_scores *s, double *out)
{
    double *sums = pp_alloc_zero(n_stat(s) + 1, sizeof *sums);
    if (!sums) return false;
    for (size_t i = 0; i < s->n_row; i++) add_row(s, i, sums);
    s->metric->evaluate(s, sums, out);
    pp_free(sums);
    return true;
}

/* ---- the bootstrap ---- */

/* Figures of the rows of draw number `draw`. */
static void figures_of_draw(const pp_scores *s, uint64_t draw, double *sums, double *out)
{
    memset(sums, 0, n_stat(s) * sizeof *sums);
    for (size_t i = 0; i < s->n_row; i++) add_row(s, (size_t)(pp_random_fast(SEED, draw, i) % s->n_row), sums);
    s->metric->evaluate(s, sums, out);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of values [DRAWS], those that are no numbers left out. */
static pp_interval middle(double *values)
{
    size_t n = 0;
    for (size_t i = 0; i < DRAWS; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    if (!n) return (pp_interval){NAN, NAN};
    qsort(values, n, sizeof *values, by_value);
    const size_t cut = (n - 1) / 40; /* 2.5 % */
    return (pp_interval){values[cut], values[n - 1 - cut]};
}

bool pp_scores_bootstrap(const pp_scores *s, const pp_scores *other, pp_interval *own, pp_interval *difference)
{
    const size_t n = pp_scores_n_figure(s), n_sum = PP_MAX(n_stat(s), other ? n_stat(other) : 0) + 1;
    /* values [n][DRAWS] of s, of differences; then the figures of one draw of both. */
    double *values = pp_alloc_zero(2 * n * DRAWS + 2 * n + n_sum, sizeof *values);
    if (!values) return false;
    double *less = values + n * DRAWS, *figures = less + n * DRAWS, *others = figures + n, *sums = others + n;
    for (uint64_t draw = 0; draw < DRAWS && s->n_row; draw++) {
        figures_of_draw(s, draw, sums, figures);
        if (other) figures_of_draw(other, draw, sums, others);
        for (size_t k = 0; k < n; k++) {
            values[k * DRAWS + draw] = figures[k];
            less[k * DRAWS + draw] = figures[k] - others[k];
        }
    }
    for (size_t k = 0; k < n; k++) {
        own[k] = middle(values + k * DRAWS);
        if (other) difference[k] = middle(less + k * DRAWS);
    }
    pp_free(values);
    return true;
}
