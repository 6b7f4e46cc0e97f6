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
static void forward_piece(void *arg, int thread, size_t first, size_t last)
{
    const pp_matrix_args *m = arg;
    const size_t n_out = (size_t)m->w->n_out, from = first * PP_LOW_ROWS, to = PP_MIN(last * PP_LOW_ROWS, n_out);
    (void)thread;
    pp_low_rows_multiply(&m->net->rounded, m->net->kernels, m->w, 0,
                         &(pp_matmul){.w = pp_linear_rows(m->w, from),
                                      .y = m->to + from,
                                      .y_stride = n_out,
                                      .n_tok = m->n,
                                      .n_in = m->w->n_in,
                                      .n_out = (int)(to - from),
                                      .accumulate = m->accumulate});
}

static size_t groups(int32_t n) { return ((size_t)n + PP_LOW_ROWS - 1) / PP_LOW_ROWS; }

bool pp_net_low(pp_matrix_args *m)
{
    const pp_net *net = m->net;
    const pp_linear *w = m->w;
    const pp_rounding wanted = pp_low_wanted(w);
    if (!wanted) return false;
    pp_low_rows_round(&net->rounded, net->kernels, net->team, m->from, m->n, w->n_in, wanted);
    pp_team_run_pieces(net->team, (uint64_t)m->n * (uint64_t)w->n_in * (uint64_t)w->n_out, groups(w->n_out),
                       forward_piece, m);
    return true;
}

/* dx (+)= dy W by some rows of W. */
typedef struct some_rows {
    const pp_matrix_args *m;
    int32_t first, n;
} some_rows;

static void round_piece(void *arg, int thread, size_t first, size_t last)
{
    const some_rows *s = arg;
    const pp_net *net = s->m->net;
    const pp_linear *w = s->m->w;
    real *scaled = net->decoded + (size_t)thread * PP_DECODED;
    for (size_t row = first; row < last; row++) {
        pp_low_by_scales(pp_low_bits(w->type), w->w, (size_t)w->n_in, (size_t)s->first, (size_t)s->n,
                         s->m->from + row * (size_t)w->n_out + s->first, scaled);
        pp_low_row_round(&net->rounded, net->kernels, scaled, s->n, row, PP_ROUND_LOW);
    }
}

/* This piece's columns, as many at a time as fit transposed. */
static void backward_piece(void *arg, int thread, size_t first, size_t last)
{
    const some_rows *s = arg;
    const pp_net *net = s->m->net;
    const pp_linear *w = s->m->w;
    const int bits = pp_low_bits(w->type);
    const size_t n_in = (size_t)w->n_in, end = PP_MIN(last * PP_LOW_ROWS, n_in);
    const size_t fit = PP_DECODED * sizeof(real) / pp_low_group_bytes(bits, (size_t)s->n) * PP_LOW_ROWS;
    void *transposed = net->decoded + (size_t)thread * PP_DECODED;
    const pp_linear columns = {.w = transposed, .type = w->type, .n_in = s->n};
    for (size_t i = first * PP_LOW_ROWS; i < end; i += fit) {
        const size_t n = PP_MIN(fit, end - i);
        pp_low_transpose(bits, w->w, n_in, (size_t)s->first, (size_t)s->n, i, n, transposed);
        pp_low_rows_multiply(&net->rounded, net->kernels, &columns, 0,
                             &(pp_matmul){.w = transposed,
                                          .y = s->m->to + i,
                                          .y_stride = n_in,
                                          .n_tok = s->m->n,
                                          .n_in = s->n,
                                          .n_out = (int)n,
                                          .accumulate = s->m->accumulate || s->first > 0});
    }
}

bool pp_net_low_backward(pp_matrix_args *m)
{
    const pp_net *net = m->net;
    const pp_linear *w = m->w;
    if (pp_low_wanted(w) != PP_ROUND_LOW) return false;
    const size_t most = PP_MIN(net->rounded.widest, PP_DECODED / 16); /* a group fits; a head has more rows */
    const int32_t step = (int32_t)PP_MAX(most / PP_LOW_ROWS * PP_LOW_ROWS, PP_LOW_ROWS);
    some_rows s = {.m = m};
    for (; s.first < w->n_out; s.first += s.n) {
        s.n = PP_MIN(step, w->n_out - s.first);
        const uint64_t work = (uint64_t)m->n * (uint64_t)s.n;
        pp_team_run_pieces(net->team, 4 * work, (size_t)m->n, round_piece, &s);
        pp_team_run_pieces(net->team, work * (uint64_t)w->n_in, groups(w->n_in), backward_piece, &s);
    }
    return true;
}
#else
bool pp_net_low(pp_matrix_args *m) { return (void)m, false; }
bool pp_net_low_backward(pp_matrix_args *m) { return (void)m, false; }
#endif
