/*
 * linear.c - products with weight matrices, forward and backward, and the adapter's beside them:
 * y = x W^T + bias + scale (x A) B. Weights of a type other than f32 are decoded a tile at a time by the thread that needs
 * them; they are frozen, so nothing is ever written back.
 */
#include <string.h>

#include "train/net.h"

/* ---- products on the team ---- */

typedef struct multiply_args {
    pp_net *net;
    const pp_product *p;
} multiply_args;

static float *gemm_scratch(const pp_net *net, int thread) { return net->gemm + (size_t)thread * PP_GEMM_SCRATCH; }

/* Threads divide the longer side of C; an element's sum is the same whoever takes it. */
static void multiply_task(void *arg, int thread, int n_thread)
{
    const multiply_args *m = arg;
    pp_product p = *m->p;
    size_t first, last;
    if (p.n >= p.m) {
        pp_team_share((size_t)p.n, 32, thread, n_thread, &first, &last);
        p.b += first * p.b_col;
        p.c += first;
        p.n = (int)(last - first);
    } else {
        pp_team_share((size_t)p.m, 6, thread, n_thread, &first, &last);
        p.a += first * p.a_row;
        p.c += first * p.c_row;
        p.m = (int)(last - first);
    }
    if (first < last) pp_op_multiply(m->net->kernels, &p, gemm_scratch(m->net, thread));
}

void pp_net_multiply(pp_net *net, const pp_product *p)
{
    const uint64_t work = (uint64_t)p->m * (uint64_t)p->n * (uint64_t)p->k;
    pp_team_run_worth(net->team, work, multiply_task, &(multiply_args){net, p});
}

void pp_net_outer(pp_net *net, real *dw, const real *dy, const real *x, int32_t n, int32_t n_out, int32_t n_in)
{
    const size_t out = (size_t)n_out, in = (size_t)n_in;
    pp_net_multiply(net, &(pp_product){.a = dy,
                                       .a_row = 1,
                                       .a_col = out,
                                       .b = x,
                                       .b_row = in,
                                       .b_col = 1,
                                       .c = dw,
                                       .c_row = in,
                                       .m = n_out,
                                       .n = n_in,
                                       .k = n,
                                       .accumulate = true});
}

/* ---- matrices of any type ---- */

void pp_net_decode(const pp_linear *w, size_t row, size_t first, size_t n, real *to)
{
#if PP_REAL_IS_FLOAT
    if (w->packed) /* which is in memory already */
        pp_packed_decode(w->type, w->packed, (size_t)w->n_in, row, first, n, to);
    else
        pp_matrix_decode(w->type, w->w, (size_t)w->n_in, row, first, n, to);
#else
    const float *at = (const float *)w->w + row * (size_t)w->n_in + first;
    for (size_t i = 0; i < n; i++) to[i] = (real)at[i];
#endif
}

/* y = x W^T: this thread's outputs, as many at a time as fit decoded. */
static void forward_task(void *arg, int thread, int n_thread)
{
    const pp_matrix_args *m = arg;
    const size_t n_in = (size_t)m->w->n_in, n_out = (size_t)m->w->n_out;
    const size_t fit = PP_DECODED / n_in, tile = fit >= 32 ? fit / 32 * 32 : PP_MAX(fit, 1);
    real *decoded = m->net->decoded + (size_t)thread * PP_DECODED;
    size_t first, last;
    pp_team_share(n_out, 32, thread, n_thread, &first, &last);
    for (size_t o = first; o < last; o += tile) {
        const size_t rows = PP_MIN(tile, last - o);
        for (size_t i = 0; i < rows; i++) pp_net_decode(m->w, o + i, 0, n_in, decoded + i * n_in);
        const pp_product p = {.a = m->from,
                              .a_row = n_in,
                              .a_col = 1,
                              .b = decoded,
                              .b_row = 1,
                              .b_col = n_in,
                              .c = m->to + o,
                              .c_row = n_out,
                              .m = m->n,
                              .n = (int)rows,
                              .k = (int)n_in,
                              .accumulate = m->accumulate};
        pp_op_multiply(m->net->kernels, &p, gemm_scratch(m->net, thread));
    }
}

/* dx = dy W: this thread's inputs; the rows of W pass in ascending order, a block of them and of inputs at a time. */
static void backward_task(void *arg, int thread, int n_thread)
{
    enum { ROWS = 256, COLUMNS = PP_DECODED / ROWS };
    const pp_matrix_args *m = arg;
    const size_t n_in = (size_t)m->w->n_in, n_out = (size_t)m->w->n_out;
    real *decoded = m->net->decoded + (size_t)thread * PP_DECODED;
    size_t first, last;
    pp_team_share(n_in, PP_MAX(pp_type_block(m->w->type), 32), thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i += COLUMNS)
        for (size_t o = 0; o < n_out; o += ROWS) {
            const size_t columns = PP_MIN(COLUMNS, last - i), rows = PP_MIN(ROWS, n_out - o);
            for (size_t row = 0; row < rows; row++) pp_net_decode(m->w, o + row, i, columns, decoded + row * columns);
            const pp_product p = {.a = m->from + o,
                                  .a_row = n_out,
                                  .a_col = 1,
                                  .b = decoded,
                                  .b_row = columns,
                                  .b_col = 1,
                                  .c = m->to + i,
                                  .c_row = n_in,
                                  .m = m->n,
                                  .n = (int)columns,
                                  .k = (int)rows,
                                  .accumulate = m->accumulate || o > 0};
            pp_op_multiply(m->net->kernels, &p, gemm_scratch(m->net, thread));
        }
}

static bool in_place(const pp_linear *w) { return PP_REAL_IS_FLOAT && w->type == PIPPIN_F32; }

void pp_net_matrix(pp_net *net, const pp_linear *w, const real *x, int32_t n, real *y, bool accumulate)
{
    const size_t in = (size_t)w->n_in, out = (size_t)w->n_out;
    pp_matrix_args m = {net, w, x, y, n, accumulate};
    if (in_place(w))
        pp_net_multiply(net, &(pp_product){.a = x,
                                           .a_row = in,
                                           .a_col = 1,
                                           .b = w->w,
                                           .b_row = 1,
                                           .b_col = in,
                                           .c = y,
                                           .c_row = out,
                                           .m = n,
                                           .n = w->n_out,
                                           .k = w->n_in,
                                           .accumulate = accumulate});
    else if (!pp_net_low(&m))
        pp_team_run(net->team, forward_task, &m);
}

void pp_net_matrix_backward(pp_net *net, const pp_linear *w, const real *dy, int32_t n, real *dx, bool accumulate)
{
    const size_t in = (size_t)w->n_in, out = (size_t)w->n_out;
    pp_matrix_args m = {net, w, dy, dx, n, accumulate};
    if (in_place(w))
        pp_net_multiply(net, &(pp_product){.a = dy,
                                           .a_row = out,
                                           .a_col = 1,
                                           .b = w->w,
                                           .b_row = in,
                                           .b_col = 1,
                                           .c = dx,
                                           .c_row = in,
                                           .m = n,
                                           .n = w->n_in,
                                           .k = w->n_out,
                                           .accumulate = accumulate});
    else if (!pp_net_low_backward(&m))
        pp_team_run(net->team, backward_task, &m);
}

/* ---- bias ---- */

typedef struct bias_args {
    const pp_net *net;
    const float *bias;
    const real *dy;
    real *y, *dbias;
    int32_t n, n_out;
} bias_args;

static void bias_task(void *arg, int thread, int n_thread)
{
    const bias_args *b = arg;
    size_t first, last;
    pp_team_share((size_t)b->n_out, 16, thread, n_thread, &first, &last);
    for (int32_t row = 0; row < b->n; row++)
        for (size_t o = first; o < last; o++) {
            const size_t at = (size_t)row * (size_t)b->n_out + o;
            if (b->y)
                b->y[at] += (real)b->bias[o];
            else
                b->dbias[o] += b->dy[at];
        }
}

static void each_bias(pp_net *net, const bias_args *b)
{
    pp_team_run_worth(net->team, (uint64_t)b->n * (uint64_t)b->n_out, bias_task, (void *)(uintptr_t)b);
}

/* ---- a layer's linear parts with their adapters ---- */

/* What an adapter sees of x: itself, or with some of it left out and the rest made larger. */
static const real *adapter_input(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, int32_t n_in)
{
    if (!net->training || net->options.lora_dropout <= 0) return x;
    const size_t count = (size_t)n * (size_t)n_in;
    memcpy(net->dropped, x, count * sizeof *x);
    pp_net_dropout(net, net->dropped, count, net->options.lora_dropout, layer * PP_N_SITE + (int32_t)site);
    return net->dropped;
}

static pp_linear down_of(const pp_net *net, const pp_lora_site *s, const pp_linear *l)
{
    return (pp_linear){.w = s->a, .type = PIPPIN_F32, .n_in = l->n_in, .n_out = net->lora->rank};
}

static pp_linear up_of(const pp_net *net, const pp_lora_site *s, const pp_linear *l)
{
    return (pp_linear){.w = s->b, .type = PIPPIN_F32, .n_in = net->lora->rank, .n_out = l->n_out};
}

/* low = scale (x A). */
static void adapter_low(pp_net *net, const pp_linear *a, const real *x, int32_t n)
{
    pp_net_matrix(net, a, x, n, net->low, false);
    pp_op_scale(net->kernels, net->low, (real)net->lora->scale, n * net->lora->rank);
}

static const pp_lora_site *adapter_of(const pp_net *net, int32_t layer, pp_site site)
{
    if (!net->lora) return NULL;
    const pp_lora_site *s = &net->lora->sites[layer * PP_N_SITE + (int32_t)site];
    return s->a ? s : NULL;
}

void pp_net_linear(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *y, bool accumulate)
{
    const pp_linear *l = &net->weights->layers[layer].site[site];
    const pp_lora_site *s = adapter_of(net, layer, site);
    pp_net_matrix(net, l, x, n, y, accumulate);
    if (l->bias) each_bias(net, &(bias_args){.net = net, .bias = l->bias, .y = y, .n = n, .n_out = l->n_out});
    if (!s) return;
    const pp_linear a = down_of(net, s, l), b = up_of(net, s, l);
    adapter_low(net, &a, adapter_input(net, layer, site, x, n, l->n_in), n);
    pp_net_matrix(net, &b, net->low, n, y, true);
}

static void adapter_backward(pp_net *net, int32_t layer, pp_site site, const pp_lora_site *s, const real *x,
                             const real *dy, int32_t n, real *dx)
{
    const pp_layer_grads *g = &net->grads.layers[layer];
    const pp_linear *l = &net->weights->layers[layer].site[site];
    const pp_linear a = down_of(net, s, l), b = up_of(net, s, l);
    const int32_t rank = net->lora->rank;
    const bool drops = net->training && net->options.lora_dropout > 0;
    const real *seen = adapter_input(net, layer, site, x, n, l->n_in);
    if (g->lora_b[site]) {
        adapter_low(net, &a, seen, n);
        pp_net_outer(net, g->lora_b[site], dy, net->low, n, l->n_out, rank);
    }
    pp_net_matrix_backward(net, &b, dy, n, net->dlow, false);
    pp_op_scale(net->kernels, net->dlow, (real)net->lora->scale, n * rank);
    if (g->lora_a[site]) pp_net_outer(net, g->lora_a[site], net->dlow, seen, n, rank, l->n_in);
    if (!dx) return;
    if (!drops) {
        pp_net_matrix_backward(net, &a, net->dlow, n, dx, true);
        return;
    }
    const size_t count = (size_t)n * (size_t)l->n_in;
    pp_net_matrix_backward(net, &a, net->dlow, n, net->dropped, false);
    pp_net_dropout(net, net->dropped, count, net->options.lora_dropout, layer * PP_N_SITE + (int32_t)site);
    for (int32_t row = 0; row < n; row++)
        pp_op_add(net->kernels, dx + (size_t)row * (size_t)l->n_in, net->dropped + (size_t)row * (size_t)l->n_in,
                  l->n_in);
}

void pp_net_linear_backward(pp_net *net, int32_t layer, pp_site site, const real *x, const real *dy, int32_t n,
                            real *dx, bool accumulate)
{
    const pp_linear *l = &net->weights->layers[layer].site[site];
    const pp_layer_grads *g = &net->grads.layers[layer];
    const pp_lora_site *s = adapter_of(net, layer, site);
    if (g->site[site]) pp_net_outer(net, g->site[site], dy, x, n, l->n_out, l->n_in);
    if (g->bias[site])
        each_bias(net, &(bias_args){.net = net, .dy = dy, .dbias = g->bias[site], .n = n, .n_out = l->n_out});
    if (dx) pp_net_matrix_backward(net, l, dy, n, dx, accumulate);
    if (s) adapter_backward(net, layer, site, s, x, dy, n, dx);
}

/* ---- what is added to the residual stream ---- */

static int32_t branch_place(const pp_net *net, int32_t layer, pp_site site)
{
    return (net->weights->config.n_layer + layer) * PP_N_SITE + (int32_t)site; /* after those of the adapters' inputs */
}

void pp_net_branch(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *y)
{
    const int32_t d = net->weights->config.d_model;
    if (!net->training || net->options.dropout <= 0) {
        pp_net_linear(net, layer, site, x, n, y, true);
        return;
    }
    pp_net_linear(net, layer, site, x, n, net->dh, false);
    pp_net_dropout(net, net->dh, (size_t)n * (size_t)d, net->options.dropout, branch_place(net, layer, site));
    for (size_t row = 0; row < (size_t)n; row++)
        pp_op_add(net->kernels, y + row * (size_t)d, net->dh + row * (size_t)d, d);
}

void pp_net_branch_backward(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *dx)
{
    const size_t count = (size_t)n * (size_t)net->weights->config.d_model;
    const real *dy = net->dx;
    if (net->training && net->options.dropout > 0) {
        memcpy(net->dh, net->dx, count * sizeof *net->dx);
        pp_net_dropout(net, net->dh, count, net->options.dropout, branch_place(net, layer, site));
        dy = net->dh;
    }
    pp_net_linear_backward(net, layer, site, x, dy, n, dx, false);
}
