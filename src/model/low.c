/* low.c - inputs of low-bit linear layers: rounded to int8 with a scale a row, multiplied as integers. */
#include <string.h>

#include "model/model.h"

void pp_low_rows_cut(pp_low_rows *r, uint64_t n_row, uint64_t widest, pp_cutter *k)
{
    r->stride = (size_t)((widest + 63) / 64 | 1) * 64; /* an odd number of lines: rows do not share sets of a cache */
    r->codes = pp_cut(k, n_row * r->stride, sizeof *r->codes);
    r->half = pp_cut(k, n_row, sizeof *r->half);
    r->sum = pp_cut(k, n_row, sizeof *r->sum);
}

typedef struct round_args {
    const pp_low_rows *r;
    const pp_kernels *kernels;
    const float *x;
    int32_t n, n_in;
} round_args;

static void round_task(void *arg, int thread, int n_thread)
{
    const round_args *a = arg;
    const pp_kernels *k = a->kernels;
    const size_t padded = pp_low_columns(2, (size_t)a->n_in); /* the longest blocks */
    size_t first, last;
    pp_team_share((size_t)a->n, 1, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i++) {
        const float *x = a->x + i * (size_t)a->n_in, scale = k->absmax(x, a->n_in) / 127.0f;
        int8_t *codes = a->r->codes + i * a->r->stride;
        k->quantize_i8(codes, x, a->n_in, scale > 0 ? scale : 1.0f);
        memset(codes + a->n_in, 0, padded - (size_t)a->n_in);
        a->r->half[i] = scale * 0.5f;
        a->r->sum[i] = k->sum_i8(codes, a->n_in);
    }
}

void pp_low_rows_round(const pp_low_rows *r, const pp_kernels *kernels, pp_team *team, const float *x, int32_t n,
                       int32_t n_in)
{
    round_args a = {r, kernels, x, n, n_in};
    pp_team_run_worth(team, 4 * (uint64_t)n * (uint64_t)n_in, round_task, &a);
}

void pp_low_rows_multiply(const pp_low_rows *r, const pp_kernels *kernels, pippin_type type, const pp_matmul *m)
{
    const int bits = pp_low_bits(type);
    const pp_low_matmul low = {.x = r->codes,
                               .x_stride = r->stride,
                               .x_half = r->half,
                               .x_sum = r->sum,
                               .w = m->w,
                               .bias = m->bias,
                               .y = m->y,
                               .y_stride = m->y_stride,
                               .n_tok = m->n_tok,
                               .n_in = (int)pp_low_columns(bits, (size_t)m->n_in),
                               .n_out = m->n_out,
                               .accumulate = m->accumulate};
    (bits == 2 ? kernels->matmul_q2 : bits == 4 ? kernels->matmul_q4 : kernels->matmul_q8)(&low);
}
