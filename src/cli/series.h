/* series.h - figures that were measured again and again. */
#ifndef PP_CLI_SERIES_H
#define PP_CLI_SERIES_H

#include <stddef.h>

enum { PP_MAX_SAMPLE = 4096 };

typedef struct pp_series {
    double items[PP_MAX_SAMPLE];
    size_t n;
} pp_series;

void pp_series_add(pp_series *s, double value);
/* share 0: the smallest, 0.5: the median, 1: the largest; NaN of nothing. */
double pp_series_quantile(const pp_series *s, double share);
double pp_series_median(const pp_series *s);

#endif
