/*
 * low.c - products with low-bit matrices as products of integers, forward and backward. Inputs are rounded to int8 as a session
 * rounds them, with one scale for each 128 of a row. So is what comes back: the rows of dy, times the scales of the outputs,
 * pass over the matrix the other way round, a piece of which is transposed by the thread that needs it. Gradients by weights, the
 * adapter's, stay products of floats; that the gradient by inputs may be of eight bits is what Wortsman et al. (2023,
 * "Stable and low-precision training") saw for whole models, with one scale a row.
 *
 * Block types go forward this way, and come back decoded (linear.c).
 */
#include "train/net.h"

#if PP_REAL_IS_FLOAT
typedef struct low_args {
    pp_net *net;
    const pp_linear *w;
    const real *from;
    real *to;
    int32_t n;
    bool accumulate;
    int32_t first, n_row; /* backward: the rows of W in work */
} low_args;

static void forward_piece(void *arg, int thread, size_t first, size_t last)
{
    const low_args *a = arg;
    const size_t n_out = (size_t)a->w->n_out, from = first * PP_LOW_ROWS, to = PP_MIN(last * PP_LOW_ROWS, n_out);
    (void)thread;
    pp_low_rows_multiply(&a->net->rounded, a->net->kernels, a->w, 0, from,
                         &(pp_matmul){.y = a->to + from,
                                      .y_stride = n_out,
                                      .n_tok = a->n,
                                      .n_in = a->w->n_in,
                                      .n_out = (int)(to - from),
                                      .accumulate = a->accumulate});
}

static size_t groups(int32_t n) { return ((size_t)n + PP_LOW_ROWS - 1) / PP_LOW_ROWS; }

static uint64_t work_of(const low_args *a) { return (uint64_t)a->n * (uint64_t)a->w->n_in * (uint64_t)a->w->n_out; }

bool pp_net_low(pp_net *net, const pp_linear *w, const real *x, int32_t n, real *y, bool accumulate)
{
    const pp_rounding wanted = pp_low_wanted(w);
    low_args a = {.net = net, .w = w, .from = x, .to = y, .n = n, .accumulate = accumulate};
    if (!wanted) return false;
    pp_low_rows_round(&net->rounded, net->kernels, net->team, x, n, w->n_in, wanted);
    pp_team_run_pieces(net->team, work_of(&a), groups(w->n_out), forward_piece, &a);
    return true;
}

static void round_piece(void *arg, int thread, size_t first, size_t last)
{
    const low_args *a = arg;
    const pp_linear *w = a->w;
    real *scaled = a->net->decoded + (size_t)thread * PP_DECODED;
    for (size_t row = first; row < last; row++) {
        pp_low_by_scales(pp_low_bits(w->type), w->w, (size_t)w->n_in, (size_t)a->first, (size_t)a->n_row,
                         a->from + row * (size_t)w->n_out + a->first, scaled);
        pp_low_row_round(&a->net->rounded, a->net->kernels, scaled, a->n_row, row);
    }
}

/* dx (+)= the rounded rows by some rows of W, of this piece's columns, as many at a time as fit transposed. */
static void backward_piece(void *arg, int thread, size_t first, size_t last)
{
    const low_args *a = arg;
    const int bits = pp_low_bits(a->w->type);
    const size_t n_in = (size_t)a->w->n_in, end = PP_MIN(last * PP_LOW_ROWS, n_in);
    const size_t fit = PP_DECODED * sizeof(real) / pp_low_group_bytes(bits, (size_t)a->n_row) * PP_LOW_ROWS;
    void *transposed = a->net->decoded + (size_t)thread * PP_DECODED;
    const pp_linear columns = {.w = transposed, .type = a->w->type, .n_in = a->n_row};
    for (size_t i = first * PP_LOW_ROWS; i < end; i += fit) {
        const size_t n = PP_MIN(fit, end - i);
        pp_low_transpose(bits, a->w->w, n_in, (size_t)a->first, (size_t)a->n_row, i, n, transposed);
        pp_low_rows_multiply(&a->net->rounded, a->net->kernels, &columns, 0, 0,
                             &(pp_matmul){.y = a->to + i,
                                          .y_stride = n_in,
                                          .n_tok = a->n,
                                          .n_in = a->n_row,
                                          .n_out = (int)n,
                                          .accumulate = a->accumulate || a->first > 0});
    }
}

bool pp_net_low_backward(pp_net *net, const pp_linear *w, const real *dy, int32_t n, real *dx, bool accumulate)
{
    low_args a = {.net = net, .w = w, .from = dy, .to = dx, .n = n, .accumulate = accumulate};
    if (pp_low_wanted(w) != PP_ROUND_LOW) return false;
    const size_t most = PP_MIN(net->rounded.widest, PP_DECODED / 16); /* a group fits; a head has more rows */
    const int32_t step = (int32_t)PP_MAX(most / PP_LOW_ROWS * PP_LOW_ROWS, PP_LOW_ROWS);
    for (; a.first < w->n_out; a.first += a.n_row) {
        a.n_row = PP_MIN(step, w->n_out - a.first);
        pp_team_run_pieces(net->team, 4 * (uint64_t)n * (uint64_t)a.n_row, (size_t)n, round_piece, &a);
        pp_team_run_pieces(net->team, work_of(&a), groups(w->n_in), backward_piece, &a);
    }
    return true;
}
#else
bool pp_net_low(pp_net *net, const pp_linear *w, const real *x, int32_t n, real *y, bool accumulate)
{
    return (void)net, (void)w, (void)x, (void)n, (void)y, (void)accumulate, false;
}

bool pp_net_low_backward(pp_net *net, const pp_linear *w, const real *dy, int32_t n, real *dx, bool accumulate)
{
    return pp_net_low(net, w, dy, n, dx, accumulate);
}
#endif
