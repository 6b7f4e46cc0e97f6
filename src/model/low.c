/* low.c - inputs of linear layers of low-bit and block types: rounded to int8 with a scale a span of columns, multiplied as integers. */
#include <math.h>
#include <string.h>

#include "model/model.h"

void pp_low_rows_cut(pp_low_rows *r, uint64_t n_row, uint64_t widest, pp_cutter *k)
{
    r->stride = (size_t)((widest + 63) / 64 | 1) * 64; /* an odd number of lines: rows do not share sets of a cache */
    r->widest = (size_t)widest;
    r->codes = pp_cut(k, n_row * r->stride, sizeof *r->codes);
    r->n_span = (int)pp_low_spans(widest);
    r->scale = pp_cut(k, n_row * (uint64_t)r->n_span, sizeof *r->scale);
    r->offset = pp_cut(k, n_row, sizeof *r->offset);
    r->sum = pp_cut(k, n_row * (uint64_t)r->n_span, sizeof *r->sum);
    r->sums16 = pp_cut(k, n_row * r->stride / 16, sizeof *r->sums16);
    r->sums32 = pp_cut(k, n_row * r->stride / 32, sizeof *r->sums32);
}

typedef struct round_args {
    const pp_low_rows *r;
    const pp_kernels *kernels;
    const float *x;
    int32_t n_in;
    pp_rounding wanted;
} round_args;

/* Sums of 16 and 32 codes, of whole blocks. */
static void sum_row(const pp_low_rows *r, const pp_kernels *kernels, int32_t n_in, size_t row)
{
    int16_t *of16 = r->sums16 + row * r->stride / 16, *of32 = r->sums32 + row * r->stride / 32;
    kernels->sums_i8(of16, r->codes + row * r->stride, n_in / 32 * 32);
    for (int32_t i = 0; i < n_in / 32; i++) of32[i] = (int16_t)(of16[2 * i] + of16[2 * i + 1]);
}

void pp_low_row_round(const pp_low_rows *r, const pp_kernels *kernels, const float *x, int32_t n_in, size_t row,
                      pp_rounding wanted)
{
    const size_t padded = pp_low_columns(2, (size_t)n_in); /* the longest blocks */
    const size_t first = row * (size_t)r->n_span;
    int8_t *codes = r->codes + row * r->stride;
    r->offset[row] = kernels->round_i8(codes, r->scale + first, r->sum + first, x, n_in);
    memset(codes + n_in, 0, padded - (size_t)n_in);
    if (wanted == PP_ROUND_BLOCKS) sum_row(r, kernels, n_in, row);
}

static void round_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const round_args *a = arg;
    for (size_t i = first; i < last; i++)
        pp_low_row_round(a->r, a->kernels, a->x + i * (size_t)a->n_in, a->n_in, i, a->wanted);
}

void pp_low_rows_round(const pp_low_rows *r, const pp_kernels *kernels, pp_team *team, const float *x, int32_t n,
                       int32_t n_in, pp_rounding wanted)
{
    round_args a = {r, kernels, x, n_in, wanted};
    pp_team_run_pieces(team, 4 * (uint64_t)n * (uint64_t)n_in, (size_t)n, round_piece, &a);
}

pp_rounding pp_low_wanted(const pp_linear *l)
{
    return l->packed ? PP_ROUND_BLOCKS : pp_low_bits(l->type) ? PP_ROUND_LOW : PP_ROUND_NOT;
}

const void *pp_linear_rows(const pp_linear *l, size_t first)
{
    pp_block_form f;
    if (!l->packed || !pp_block_form_of(l->type, &f)) return pp_matrix_rows(l->type, l->w, (size_t)l->n_in, first);
    return (const uint8_t *)l->packed + first / PP_LOW_ROWS * pp_form_group(f, (size_t)l->n_in);
}

static void multiply_blocks(const pp_low_rows *r, const pp_kernels *kernels, const pp_linear *l, size_t row,
                            const pp_matmul *m)
{
    pp_block_form f;
    if (!pp_block_form_of(l->type, &f)) return;
    const bool by_16 = f.columns == 16;
    const pp_block_matmul blocks = {.x = r->codes + row * r->stride,
                                    .x_stride = r->stride,
                                    .x_scale = r->scale + row * (size_t)r->n_span,
                                    .x_sums =
                                        by_16 ? r->sums16 + row * r->stride / 16 : r->sums32 + row * r->stride / 32,
                                    .sums_stride = r->stride / (by_16 ? 16 : 32),
                                    .n_span = r->n_span,
                                    .w = m->w,
                                    .bias = m->bias,
                                    .y = m->y,
                                    .y_stride = m->y_stride,
                                    .n_tok = m->n_tok,
                                    .n_in = m->n_in,
                                    .n_out = m->n_out,
                                    .accumulate = m->accumulate};
    pp_kernels_blocks(kernels, l->type)(&blocks);
}

void pp_low_rows_multiply(const pp_low_rows *r, const pp_kernels *kernels, const pp_linear *l, size_t row,
                          const pp_matmul *m)
{
    const int bits = pp_low_bits(l->type);
    if (l->packed) {
        multiply_blocks(r, kernels, l, row, m);
        return;
    }
    const pp_low_matmul low = {.x = r->codes + row * r->stride,
                               .x_stride = r->stride,
                               .x_scale = r->scale + row * (size_t)r->n_span,
                               .x_sum = r->sum + row * (size_t)r->n_span,
                               .x_offset = r->offset + row,
                               .n_span = r->n_span,
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
