/* rows.c - what is done to rows one by one: norms, dropout, choosing the wanted ones; and sums over rows by fixed chunks. */
#include <string.h>

#include "train/net.h"

typedef struct chunk_region {
    pp_net *net;
    pp_chunk_task fn;
    void *arg;
    int32_t n;
} chunk_region;

static void chunk_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const chunk_region *r = arg;
    for (int32_t i = (int32_t)first; i < (int32_t)last; i++)
        r->fn(r->net, r->arg, (pp_row_span){i * PP_CHUNK, PP_MIN(r->n, (i + 1) * PP_CHUNK)}, i);
}

void pp_net_each_chunk(pp_net *net, int32_t n, uint64_t work_per_row, pp_chunk_task fn, void *arg)
{
    pp_team_run_pieces(net->team, (uint64_t)n * work_per_row, (size_t)((n + PP_CHUNK - 1) / PP_CHUNK), chunk_piece,
                       &(chunk_region){net, fn, arg, n});
}

void pp_net_add_partial(pp_net *net, real *to, int32_t n, int32_t n_row)
{
    for (int32_t chunk = 0; chunk < (n_row + PP_CHUNK - 1) / PP_CHUNK; chunk++)
        pp_op_add(net->kernels, to, net->partial + (size_t)chunk * (size_t)n, n);
}

/* ---- norms ---- */

typedef struct norm_args {
    real *y, *dx;
    const real *x, *dy;
    const float *w;
    bool weights_too;
} norm_args;

static void norm_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const norm_args *a = arg;
    const pippin_config *c = &net->weights->config;
    const size_t d = (size_t)c->d_model;
    (void)chunk;
    for (size_t i = (size_t)rows.first; i < (size_t)rows.last; i++)
        pp_op_rmsnorm(net->kernels, a->y + i * d, a->x + i * d, a->w, c->d_model, c->norm_eps);
}

void pp_net_norm(pp_net *net, real *y, const real *x, const float *w, int32_t n)
{
    pp_net_each_chunk(net, n, (uint64_t)net->weights->config.d_model * 4, norm_rows,
                      &(norm_args){.y = y, .x = x, .w = w});
}

static void norm_rows_backward(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const norm_args *a = arg;
    const pippin_config *c = &net->weights->config;
    const size_t d = (size_t)c->d_model;
    real *dw = a->weights_too ? net->partial + (size_t)chunk * d : NULL;
    if (dw) memset(dw, 0, d * sizeof *dw);
    for (size_t i = (size_t)rows.first; i < (size_t)rows.last; i++)
        pp_op_rmsnorm_backward(net->kernels, a->dx + i * d, dw, a->dy + i * d, a->x + i * d, a->w, c->d_model,
                               c->norm_eps);
}

void pp_net_norm_backward(pp_net *net, real *dx, real *dw, const real *dy, const real *x, const float *w, int32_t n)
{
    norm_args a = {.dx = dx, .dy = dy, .x = x, .w = w, .weights_too = dw != NULL};
    pp_net_each_chunk(net, n, (uint64_t)net->weights->config.d_model * 8, norm_rows_backward, &a);
    if (dw) pp_net_add_partial(net, dw, net->weights->config.d_model, n);
}

/* ---- the wanted rows ---- */

void pp_net_gather(pp_net *net, real *to, const real *from, size_t width)
{
    for (size_t i = 0; i < (size_t)net->n_want; i++)
        memcpy(to + i * width, from + (size_t)net->want[i] * width, width * sizeof *to);
}

void pp_net_scatter_add(pp_net *net, real *to, const real *from, size_t width)
{
    for (size_t i = 0; i < (size_t)net->n_want; i++)
        pp_op_add(net->kernels, to + (size_t)net->want[i] * width, from + i * width, (int)width);
}

/* ---- dropout ---- */

typedef struct dropout_args {
    real *x;
    size_t n;
    float share;
    uint64_t stream;
} dropout_args;

static void dropout_task(void *arg, int thread, int n_thread)
{
    const dropout_args *a = arg;
    size_t first, last;
    const uint64_t keep_from = (uint64_t)((double)a->share * 0x1p32);
    const real larger = (real)(1 / (1 - (double)a->share));
    pp_team_share(a->n, 64, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i++) {
        const uint64_t bits = pp_random_fast(a->stream, 0, i >> 1);
        a->x[i] = ((i & 1 ? bits >> 32 : bits & 0xffffffff) >= keep_from) ? a->x[i] * larger : 0;
    }
}

void pp_net_dropout(pp_net *net, real *x, size_t n, float share, int32_t place)
{
    if (!net->training || share <= 0) return;
    const uint64_t stream = pp_random_bits(net->seed, (uint64_t)place, net->step);
    pp_team_run_worth(net->team, n * 8, dropout_task, &(dropout_args){x, n, share, stream});
}
