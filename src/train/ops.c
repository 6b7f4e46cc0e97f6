/* ops.c - ops.h in float, by the kernels. */
#include "train/ops.h"

void pp_op_multiply(const pp_kernels *k, const pp_product *p, float *scratch)
{
    k->gemm(&(pp_gemm){.a = p->a,
                       .b = p->b,
                       .a_row = p->a_row,
                       .a_col = p->a_col,
                       .b_row = p->b_row,
                       .b_col = p->b_col,
                       .c = p->c,
                       .c_row = p->c_row,
                       .m = p->m,
                       .n = p->n,
                       .k = p->k,
                       .accumulate = p->accumulate,
                       .scratch = scratch});
}

void pp_op_rmsnorm(const pp_kernels *k, real *y, const real *x, const float *w, int n, float eps)
{
    k->rmsnorm(y, x, w, n, eps);
}

void pp_op_rmsnorm_backward(const pp_kernels *k, real *dx, real *dw, const real *dy, const real *x, const float *w,
                            int n, float eps)
{
    k->rmsnorm_backward(dx, dw, dy, x, w, n, eps);
}

void pp_op_rope(const pp_kernels *k, pippin_rope_pairs pairs, real *head, const real *cosine, const real *sine,
                int d_head)
{
    (pairs == PIPPIN_ROPE_ADJACENT ? k->rope_adjacent : k->rope_halves)(head, cosine, sine, d_head);
}

void pp_op_swiglu(const pp_kernels *k, real *y, const real *gate, const real *up, int n) { k->swiglu(y, gate, up, n); }

void pp_op_swiglu_backward(const pp_kernels *k, real *gate, real *up, const real *dy, int n)
{
    k->swiglu_backward(gate, up, dy, n);
}

real pp_op_softmax(const pp_kernels *k, real *p, int n, real scale) { return k->softmax(p, n, scale); }

void pp_op_softmax_again(const pp_kernels *k, real *p, int n, real scale, real lse)
{
    k->softmax_again(p, n, scale, lse);
}

void pp_op_softmax_backward(const pp_kernels *k, real *dp, const real *p, int n, real scale, real sum)
{
    k->softmax_backward(dp, p, n, scale, sum);
}

real pp_op_dot(const pp_kernels *k, const real *x, const real *y, int n) { return k->dot(x, y, n); }
void pp_op_add(const pp_kernels *k, real *y, const real *x, int n) { k->add(y, x, n); }
void pp_op_scale(const pp_kernels *k, real *y, real s, int n) { k->scale(y, s, n); }

void pp_op_round_i8(const pp_kernels *k, real *y, int n, float scale)
{
    int8_t codes[1024]; /* the largest d_head that a configuration may have */
    k->quantize_i8(codes, y, n, scale);
    for (int i = 0; i < n; i++) y[i] = scale * (float)codes[i];
}
