/* ops_double.h - train/ops.h in double, by its definitions: with these the network's files become a program whose gradients
 * finite differences can check to many digits. */
#ifndef PP_TESTS_OPS_DOUBLE_H
#define PP_TESTS_OPS_DOUBLE_H

#include <math.h>

#include "train/ops.h"

void pp_op_multiply(const pp_kernels *k, const pp_product *p, float *scratch)
{
    (void)k, (void)scratch;
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            double sum = p->accumulate ? p->c[(size_t)i * p->c_row + (size_t)j] : 0;
            for (int n = 0; n < p->k; n++)
                sum += p->a[(size_t)i * p->a_row + (size_t)n * p->a_col] *
                       p->b[(size_t)n * p->b_row + (size_t)j * p->b_col];
            p->c[(size_t)i * p->c_row + (size_t)j] = sum;
        }
}

static double rms(const double *x, int n, float eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum / n + (double)eps);
}

void pp_op_rmsnorm(const pp_kernels *k, double *y, const double *x, const float *w, int n, float eps)
{
    (void)k;
    const double by = rms(x, n, eps);
    for (int i = 0; i < n; i++) y[i] = x[i] / by * (double)w[i];
}

void pp_op_rmsnorm_backward(const pp_kernels *k, double *dx, double *dw, const double *dy, const double *x,
                            const float *w, int n, float eps)
{
    (void)k;
    const double by = rms(x, n, eps);
    double mean = 0;
    for (int i = 0; i < n; i++) mean += (double)w[i] * dy[i] * x[i] / by / n;
    for (int i = 0; i < n; i++) {
        if (dw) dw[i] += dy[i] * x[i] / by;
        dx[i] += ((double)w[i] * dy[i] - x[i] / by * mean) / by;
    }
}

void pp_op_rope(const pp_kernels *k, pippin_rope_pairs pairs, double *head, const double *cosine, const double *sine,
                int d_head)
{
    (void)k;
    for (int i = 0; i < d_head / 2; i++) {
        double *a = pairs == PIPPIN_ROPE_ADJACENT ? &head[2 * i] : &head[i],
               *b = pairs == PIPPIN_ROPE_ADJACENT ? a + 1 : a + d_head / 2;
        const double x = *a, y = *b;
        *a = x * cosine[i] - y * sine[i];
        *b = y * cosine[i] + x * sine[i];
    }
}

void pp_op_swiglu(const pp_kernels *k, double *y, const double *gate, const double *up, int n)
{
    (void)k;
    for (int i = 0; i < n; i++) y[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
}

void pp_op_swiglu_backward(const pp_kernels *k, double *gate, double *up, const double *dy, int n)
{
    (void)k;
    for (int i = 0; i < n; i++) {
        const double s = 1 / (1 + exp(-gate[i])), silu = gate[i] * s, slope = s + silu * (1 - s);
        gate[i] = dy[i] * up[i] * slope;
        up[i] = dy[i] * silu;
    }
}

void pp_op_softmax_again(const pp_kernels *k, double *p, int n, double scale, double lse)
{
    (void)k;
    for (int i = 0; i < n; i++) p[i] = exp(scale * p[i] - lse);
}

double pp_op_softmax(const pp_kernels *k, double *p, int n, double scale)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp(scale * p[i]);
    pp_op_softmax_again(k, p, n, scale, log(sum));
    return log(sum);
}

void pp_op_softmax_backward(const pp_kernels *k, double *dp, const double *p, int n, double scale, double sum)
{
    (void)k;
    for (int i = 0; i < n; i++) dp[i] = scale * p[i] * (dp[i] - sum);
}

double pp_op_dot(const pp_kernels *k, const double *x, const double *y, int n)
{
    double sum = 0;
    (void)k;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

void pp_op_add(const pp_kernels *k, double *y, const double *x, int n)
{
    (void)k;
    for (int i = 0; i < n; i++) y[i] += x[i];
}

void pp_op_scale(const pp_kernels *k, double *y, double s, int n)
{
    (void)k;
    for (int i = 0; i < n; i++) y[i] *= s;
}

void pp_op_round_i8(const pp_kernels *k, double *y, int n, float scale)
{
    (void)k;
    for (int i = 0; i < n; i++) y[i] = (double)scale * fmax(-128, fmin(127, rint(y[i] / (double)scale)));
}

#endif
