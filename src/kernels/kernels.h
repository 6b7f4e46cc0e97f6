/*
 * kernels - the arithmetic. One scalar truth a function (scalar.c), one file per instruction set, a table filled with the
 * scalar functions first and then overwritten in rising order by what the CPU supports and the caller allows.
 *
 * Laws that every variant keeps, and that tests/kernels_test.c holds it to:
 * - The result for one row (token) and one output does not depend on how many rows, outputs or threads are computed in
 *   the same call. Batching, prefix reuse and speculation are exact because of it.
 * - Integer results equal scalar bit for bit; float results stay within the bound stated at the entry.
 * - No pointer needs more alignment than its element; nothing past the stated sizes is read or written.
 */
#ifndef PP_KERNELS_H
#define PP_KERNELS_H

#include "base/base.h"
#include "quant/quant.h"

/* y[t][o] = (accumulate ? y[t][o] : 0) + bias[o] + sum_i x[t][i] * w[o][i], for t < n_tok, o < n_out, i < n_in. */
typedef struct pp_matmul {
    const float *x; /* [n_tok][x_stride] */
    size_t x_stride;
    const void *w;     /* [n_out][n_in] elements of the kernel's type, rows packed */
    const float *bias; /* [n_out] or NULL */
    float *y;          /* [n_tok][y_stride] */
    size_t y_stride;
    int n_tok, n_in, n_out;
    bool accumulate;
} pp_matmul;

/* Keys are taken this many at a time by the online softmax; fixed, so that a result never depends on anything else. */
#define PP_ATTEND_BLOCK 64

/*
 * One token's query heads that share one K/V head: out[g] = sum_j softmax_j(scale * q[g].k[slot[j]]) v[slot[j]].
 * n_key >= 1. For int8, k and v hold round(value / scale): the value's scale is k_scale/v_scale, or
 * k_scales[slot]/v_scales[slot] where these are not NULL.
 */
typedef struct pp_attend {
    const float *q; /* [n_group][d_head] */
    float *out;     /* [n_group][d_head] */
    int n_group, d_head;
    const void *k, *v;    /* [n_slot][d_head] elements of the kernel's type */
    const int32_t *slots; /* [n_key] which rows of k and v, in order */
    int n_key;
    float scale;
    float k_scale, v_scale;
    const float *k_scales, *v_scales; /* [n_slot] or NULL */
    float *scratch;                   /* [n_group][PP_ATTEND_BLOCK] */
} pp_attend;

/*
 * The one list: X(name, return type, parameters). Types, table, prototypes, test names and benchmark names come from it.
 * Float bounds are relative to the sum of absolute products (matmul: 4 ulp * sqrt(n_in) of it), or as stated.
 *
 * matmul_*     see pp_matmul; x is float, w is of the named type and widened exactly
 * rmsnorm      y[i] = x[i] * w[i] / sqrt(mean(x^2) + eps); y may be x; sum(x^2) < FLT_MAX   (1e-6 relative)
 * rope_adjacent / rope_halves   rotates one head in place by the angles whose cosine and sine are given, [d_head/2];
 *              pairs (2i, 2i+1), or (i, i + d_head/2)                                       (exact)
 * swiglu       y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; y may be gate or up            (exact; scalar itself is
 *              within 4e-7 of the true value, relative; where gate < -87 within 1e-36 * |up|)
 * add          y[i] += x[i]                                                                 (exact)
 * scale        y[i] *= s                                                                    (exact)
 * quantize_i8  q[i] = clamp(round-half-even(x[i] / scale), -128, 127), NaN gives 0; scale > 0 (exact)
 * absmax       max |x[i]|, 0 for n = 0; NaNs are ignored                                    (exact)
 * to_bf16      rounds as quant's encoder                                                    (exact)
 * attend_*     see pp_attend   ((2e-6 + ulp * max_j of scale * sum_i |q[i] k[j][i]|) of max |v|: a weight is the
 *              exponential of a score, whose rounding grows with the products that it is the sum of)
 */
#define PP_KERNELS(X)                                                                                                  \
    X(matmul_f32, void, (const pp_matmul *m))                                                                          \
    X(matmul_f16, void, (const pp_matmul *m))                                                                          \
    X(matmul_bf16, void, (const pp_matmul *m))                                                                         \
    X(rmsnorm, void, (float *y, const float *x, const float *w, int n, float eps))                                     \
    X(rope_adjacent, void, (float *x, const float *cosine, const float *sine, int d_head))                             \
    X(rope_halves, void, (float *x, const float *cosine, const float *sine, int d_head))                               \
    X(swiglu, void, (float *y, const float *gate, const float *up, int n))                                             \
    X(add, void, (float *y, const float *x, int n))                                                                    \
    X(scale, void, (float *y, float s, int n))                                                                         \
    X(quantize_i8, void, (int8_t * q, const float *x, int n, float scale))                                             \
    X(absmax, float, (const float *x, int n))                                                                          \
    X(to_bf16, void, (uint16_t * y, const float *x, int n))                                                            \
    X(attend_f32, void, (const pp_attend *a))                                                                          \
    X(attend_bf16, void, (const pp_attend *a))                                                                         \
    X(attend_i8, void, (const pp_attend *a))

typedef struct pp_kernels {
    pp_isa isa; /* the highest level in the table */
#define PP_KERNEL_FIELD(name, type, parameters) type(*name) parameters;
    PP_KERNELS(PP_KERNEL_FIELD)
#undef PP_KERNEL_FIELD
} pp_kernels;

/* Fills the table with what this CPU runs, no higher than `highest`. */
void pp_kernels_fill(pp_kernels *table, pp_isa highest);
/* The same from a name ("scalar", "avx2", "avx512"); NULL = all. ARGUMENT for a name unknown here or beyond this CPU. */
pippin_status pp_kernels_choose(pp_kernels *table, const char *cpu, pippin_error *err);
/* matmul of this weight type; NULL if there is none. */
typedef void (*pp_matmul_kernel)(const pp_matmul *m);
pp_matmul_kernel pp_kernels_matmul(const pp_kernels *table, pippin_type type);

#endif
