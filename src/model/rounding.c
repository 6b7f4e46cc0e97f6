/*
 * rounding.c - rows of a matrix to low bits so that what the layer gives for a text changes least: coordinate descent on
 * e H e^T. A row begins with its levels to nearest, by the scale that is best for H's diagonal. Then its scale and its levels
 * take turns: each level moves to where the error is least as all others stand, so that no step makes it larger.
 */
#include <string.h>

#include "model/calibrate.h"

/* Turns; a tenth of all levels moves in the first, a hundredth in the third, and more bring nothing that can be measured. */
enum { TURNS = 4 };

typedef struct matrix {
    const pp_moments *m;
    int bits;
    float *w, *scales;
    size_t n_out;
} matrix;

/* Rows that a thread has in work; e = w - scale * level. */
typedef struct tile {
    const pp_moments *m;
    int bits;
    size_t n_row;
    const float *w; /* [n_row][n] */
    float *scales;  /* [n_row] */
    float *level;   /* [n_row][n] */
    float *eh, *wh; /* [n_row][n] products e H and w H */
    float *moved;   /* [n_row][PP_ROUND_BLOCK] what a block's moves add to e */
    float *gemm;
} tile;

uint64_t pp_round_scratch(size_t widest) { return PP_ROUND_ROWS * (3 * (uint64_t)widest + PP_ROUND_BLOCK); }

/* c (+)= a H, a [n_row][n_k] with n_k rows of H from `first` on. */
static void by_moments(const tile *t, const float *a, size_t a_row, size_t first, size_t n_k, float *c, bool accumulate)
{
    const size_t n = t->m->n;
    t->m->kernels->gemm(&(pp_gemm){.a = a,
                                   .a_row = a_row,
                                   .a_col = 1,
                                   .b = t->m->second + first * n,
                                   .b_row = n,
                                   .b_col = 1,
                                   .c = c,
                                   .c_row = n,
                                   .m = (int)t->n_row,
                                   .n = (int)n,
                                   .k = (int)n_k,
                                   .accumulate = accumulate,
                                   .scratch = t->gemm});
}

static void to_nearest(const tile *t)
{
    const size_t n = t->m->n;
    float *e = t->eh; /* for as long as wh is not needed, e H lies there */
    for (size_t r = 0; r < t->n_row; r++) {
        const float *w = t->w + r * n, scale = t->scales[r] = pp_low_best_scale(t->bits, w, t->m->weight, n);
        for (size_t k = 0; k < n; k++) {
            t->level[r * n + k] = scale > 0 ? pp_low_level(t->bits, w[k] / scale) : 0;
            e[r * n + k] = w[k] - scale * t->level[r * n + k];
        }
    }
    by_moments(t, e, n, 0, n, t->wh, false);
    memcpy(t->eh, t->wh, t->n_row * n * sizeof *t->eh);
    by_moments(t, t->w, n, 0, n, t->wh, false);
}

/* The scale with the least error for the levels as they are: where the error's slope by it is 0. */
static void fit_scale(const tile *t, size_t r)
{
    const size_t n = t->m->n;
    const float *level = t->level + r * n, *wh = t->wh + r * n, scale = t->scales[r];
    float *eh = t->eh + r * n;
    double slope = 0, curve = 0;
    if (!(scale > 0)) return;
    for (size_t k = 0; k < n; k++) {
        slope += (double)(eh[k] * level[k]);
        curve += (double)((wh[k] - eh[k]) / scale * level[k]);
    }
    const float better = curve > 0 ? scale + (float)(slope / curve) : scale;
    if (!(better > 0) || better == scale) return;
    for (size_t k = 0; k < n; k++) eh[k] = wh[k] - (wh[k] - eh[k]) / scale * better;
    t->scales[r] = better;
}

/* The levels of one row's columns first .. last - 1; how many moved. */
static size_t move_levels(const tile *t, size_t r, size_t first, size_t last)
{
    const size_t n = t->m->n;
    const float scale = t->scales[r];
    float eh[PP_ROUND_BLOCK], *level = t->level + r * n, *moved = t->moved + r * PP_ROUND_BLOCK;
    size_t n_moved = 0;
    memcpy(eh, t->eh + r * n + first, (last - first) * sizeof *eh);
    memset(moved, 0, PP_ROUND_BLOCK * sizeof *moved);
    for (size_t k = first; k < last && scale > 0; k++) {
        const float *h = t->m->second + k * n;
        const float to = pp_low_level(t->bits, level[k] + eh[k - first] / (scale * h[k]));
        const float d = scale * (level[k] - to);
        if (level[k] == to) continue;
        level[k] = to;
        moved[k - first] = d;
        n_moved++;
        for (size_t j = first; j < last; j++) eh[j - first] += d * h[j];
    }
    return n_moved;
}

static bool turn(const tile *t)
{
    const size_t n = t->m->n;
    size_t n_moved = 0;
    for (size_t r = 0; r < t->n_row; r++) fit_scale(t, r);
    for (size_t first = 0; first < n; first += PP_ROUND_BLOCK) {
        const size_t last = PP_MIN(first + PP_ROUND_BLOCK, n), before = n_moved;
        for (size_t r = 0; r < t->n_row; r++) n_moved += move_levels(t, r, first, last);
        if (n_moved > before) by_moments(t, t->moved, PP_ROUND_BLOCK, first, last - first, t->eh, true);
    }
    return n_moved > 0;
}

static void round_tile(const matrix *a, size_t first, size_t n_row, int thread)
{
    const pp_moments *m = a->m;
    const size_t n = m->n, size = PP_ROUND_ROWS * m->widest;
    float *scratch = m->tiles + (size_t)thread * pp_round_scratch(m->widest), *w = a->w + first * n;
    const tile t = {.m = m,
                    .bits = a->bits,
                    .n_row = n_row,
                    .w = w,
                    .scales = a->scales + first,
                    .level = scratch,
                    .eh = scratch + size,
                    .wh = scratch + 2 * size,
                    .moved = scratch + 3 * size,
                    .gemm = m->gemm + (size_t)thread * PP_GEMM_SCRATCH};
    to_nearest(&t);
    for (int i = 0; i < TURNS && turn(&t); i++) {
    }
    for (size_t r = 0; r < n_row; r++)
        for (size_t k = 0; k < n; k++) w[r * n + k] = t.scales[r] * t.level[r * n + k];
}

static void round_task(void *arg, int thread, int n_thread)
{
    const matrix *a = arg;
    for (size_t first = (size_t)thread * PP_ROUND_ROWS; first < a->n_out; first += (size_t)n_thread * PP_ROUND_ROWS)
        round_tile(a, first, PP_MIN((size_t)PP_ROUND_ROWS, a->n_out - first), thread);
}

void pp_round_matrix(const pp_moments *m, int bits, float *w, size_t n_out, float *scales)
{
    matrix a = {m, bits, w, scales, n_out};
    pp_team_run_worth(m->team, (uint64_t)n_out * m->n * m->n, round_task, &a);
}
