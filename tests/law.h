/* law.h - how far the counts of draws are from a law. */
#ifndef PP_TESTS_LAW_H
#define PP_TESTS_LAW_H

#include <math.h>

#include "tests/support.h"

/* Counts [n_bin] of n_draw draws against p: chi-square over bins that expect at least 5, the others put together, against its mean and
   spread; beyond 5 of these deviations is a bug. INFINITY where something was drawn that has no probability. */
static inline double sigmas(const int64_t *counts, const double *p, int n_bin, double n_draw)
{
    double chi = 0, rest = 0, rest_count = 0;
    int bins = 0;
    for (int i = 0; i < n_bin; i++) {
        const double e = p[i] * n_draw, c = (double)counts[i];
        if (p[i] <= 0 && counts[i]) return INFINITY;
        if (e < 5) {
            rest += e;
            rest_count += c;
            continue;
        }
        chi += (c - e) * (c - e) / e;
        bins++;
    }
    if (rest >= 5) {
        chi += (rest_count - rest) * (rest_count - rest) / rest;
        bins++;
    }
    const double freedom = PP_MAX(bins - 1, 1);
    return (chi - freedom) / sqrt(2 * freedom);
}

#endif
