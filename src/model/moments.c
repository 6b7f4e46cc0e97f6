/* moments.c - second moments of the inputs of a linear layer. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/calibrate.h"

enum { TILE = 64 }; /* rows of the triangle that one product makes */

static void lay_out(pp_moments *m, pp_cutter *k)
{
    const uint64_t n = m->widest, threads = (uint64_t)pp_team_size(m->team);
    m->second = pp_cut(k, n * n, sizeof *m->second);
    m->weight = pp_cut(k, n, sizeof *m->weight);
    m->gemm = pp_cut(k, threads * PP_GEMM_SCRATCH, sizeof *m->gemm);
    m->tiles = pp_cut(k, threads * pp_round_scratch(m->widest), sizeof *m->tiles);
}

pippin_status pp_moments_create(size_t widest, const pp_kernels *kernels, pp_team *team, pp_moments *out,
                                pippin_error *err)
{
    pp_cutter k = {0};
    *out = (pp_moments){.kernels = kernels, .team = team, .widest = widest};
    lay_out(out, &k);
    const uint64_t bytes = k.at;
    out->block = pp_alloc(bytes);
    if (!out->block) return pp_fail_memory(err, "second moments", bytes);
    pp_advise_whole(out->block, bytes);
    k = (pp_cutter){out->block, 0};
    lay_out(out, &k);
    return PIPPIN_OK;
}

void pp_moments_free(pp_moments *m)
{
    pp_free(m->block);
    *m = (pp_moments){0};
}

void pp_moments_start(pp_moments *m, size_t n)
{
    m->n = n;
    m->n_row = 0;
    memset(m->second, 0, n * n * sizeof *m->second);
}

typedef struct gathering {
    const pp_moments *m;
    const float *x;
    size_t n_row;
} gathering;

/* Tiles of rows are dealt out in turn, as later ones are longer. */
static void add_task(void *arg, int thread, int n_thread)
{
    const gathering *g = arg;
    const size_t n = g->m->n;
    for (size_t first = (size_t)thread * TILE; first < n; first += (size_t)n_thread * TILE) {
        const size_t last = PP_MIN(first + TILE, n);
        g->m->kernels->gemm(&(pp_gemm){.a = g->x + first,
                                       .a_row = 1,
                                       .a_col = n,
                                       .b = g->x,
                                       .b_row = n,
                                       .b_col = 1,
                                       .c = g->m->second + first * n,
                                       .c_row = n,
                                       .m = (int)(last - first),
                                       .n = (int)last,
                                       .k = (int)g->n_row,
                                       .accumulate = true,
                                       .scratch = g->m->gemm + (size_t)thread * PP_GEMM_SCRATCH});
    }
}

void pp_moments_add(pp_moments *m, const float *x, size_t n_row)
{
    gathering g = {m, x, n_row};
    pp_team_run_worth(m->team, (uint64_t)m->n * m->n * n_row / 2, add_task, &g);
    m->n_row += n_row;
}

void pp_moments_finish(pp_moments *m)
{
    /* A text shows a direction little or never, and yet others may need it: a hundredth of the mean is what all have. */
    const float least = 0.01f;
    const size_t n = m->n;
    double trace = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            m->second[i * n + j] = m->second[j * n + i] = m->second[i * n + j] / (float)m->n_row;
    for (size_t i = 0; i < n; i++) trace += (double)(m->weight[i] = m->second[i * n + i]);
    const float more = fmaxf(least * (float)(trace / (double)n), FLT_MIN);
    for (size_t i = 0; i < n; i++) m->second[i * n + i] += more;
}
