/* series.c - figures that were measured again and again: their order says more than their mean on a machine that others use. */
#include "cli/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void pp_series_add(pp_series *s, double value)
{
    if (s->n < PP_MAX_SAMPLE) s->items[s->n++] = value;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double pp_series_quantile(const pp_series *s, double share)
{
    static double sorted[PP_MAX_SAMPLE];
    if (!s->n) return NAN;
    memcpy(sorted, s->items, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, by_size);
    return sorted[(size_t)(share * (double)(s->n - 1) + 0.5)];
}

double pp_series_median(const pp_series *s) { return pp_series_quantile(s, 0.5); }
