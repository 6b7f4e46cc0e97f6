/*
 * ops.h - what the network's training is made of, row by row: the kernels' functions, named once for `real`. ops.c hands
 * them to the kernel table; the gradient test has plain ones in double.
 */
#ifndef PP_TRAIN_OPS_H
#define PP_TRAIN_OPS_H

#include "kernels/kernels.h"
#include "train/real.h"

/* c[i][j] = (accumulate ? c[i][j] : 0) + sum_k a(i, k) * b(k, j), strides as in pp_gemm. */
typedef struct pp_product {
    const real *a, *b;
    size_t a_row, a_col, b_row, b_col;
    real *c;
    size_t c_row;
    int m, n, k;
    bool accumulate;
} pp_product;

void pp_op_multiply(const pp_kernels *k, const pp_product *p, float *scratch);
void pp_op_rmsnorm(const pp_kernels *k, real *y, const real *x, const float *w, int n, float eps);
void pp_op_rmsnorm_backward(const pp_kernels *k, real *dx, real *dw, const real *dy, const real *x, const float *w,
                            int n, float eps);
void pp_op_rope(const pp_kernels *k, pippin_rope_pairs pairs, real *head, const real *cosine, const real *sine,
                int d_head);
void pp_op_swiglu(const pp_kernels *k, real *y, const real *gate, const real *up, int n);
void pp_op_swiglu_backward(const pp_kernels *k, real *gate, real *up, const real *dy, int n);
real pp_op_softmax(const pp_kernels *k, real *p, int n, real scale);
void pp_op_softmax_again(const pp_kernels *k, real *p, int n, real scale, real lse);
void pp_op_softmax_backward(const pp_kernels *k, real *dp, const real *p, int n, real scale, real sum);
real pp_op_dot(const pp_kernels *k, const real *x, const real *y, int n);
void pp_op_add(const pp_kernels *k, real *y, const real *x, int n);
void pp_op_scale(const pp_kernels *k, real *y, real s, int n);
/* y[i] = scale * round(y[i] / scale), clamped to int8: the model's K/V quantiser. */
void pp_op_round_i8(const pp_kernels *k, real *y, int n, float scale);

#endif
