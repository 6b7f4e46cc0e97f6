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

/*
 * The same with pippin's low-bit weights and activations rounded to int8, with one scale for each span of PP_LOW_SPAN columns.
 * u are the codes of a row, q those of a token, z what is taken off a code (1.5, 7.5, 128; see quant/quant.h):
 *     dot[s] = sum of u q over span s, of (u - 128) q for q8: an integer
 *     sum = 0; for each span s, ascending: sum = fma(float(dot[s]), x_scale[t][s], sum)
 *     y[t][o] = fma(-z, x_offset[t], sum) * scale[o], then + bias[o], then + y[t][o] where it accumulates
 * with each operation rounded once; for q8, whose codes lost their z already, the fma is left out.
 */
typedef struct pp_low_matmul {
    const int8_t *x; /* [n_tok][x_stride], -127 .. 127; 0 from the last column on to n_in */
    size_t x_stride;
    const float *x_scale; /* [n_tok][n_span] */
    const int32_t *x_sum; /* [n_tok][n_span] sum of a span's codes */
    const float
        *x_offset; /* [n_tok] sum of what the codes stand for: 0, then fma(float(x_sum), x_scale, it) for each span */
    int n_span;    /* at least pp_low_spans(n_in): what lies between two tokens */
    const void *w; /* groups of 32 rows, see quant/quant.h */
    const float *bias; /* [n_out] or NULL */
    float *y;          /* [n_tok][y_stride] */
    size_t y_stride;
    int n_tok, n_in, n_out; /* n_in: pp_low_columns, whole blocks */
    bool accumulate;
} pp_low_matmul;

/*
 * The same with block types of GGUF files, packed (quant/quant.h has the layout and the names of its numbers). Per span of
 * PP_LOW_SPAN columns, its sub-blocks j being of 16 or 32 columns, dot[j] the sum of code * x over one and xs[j] that of x:
 *   blocks of 32:   part = 0; for each j, ascending: part = fma(d[j], float(dot[j] - zero * xs[j]), part), and where there are
 *                   minima part = fma(m[j], float(xs[j]), part)
 *   blocks of 256:  D = sum_j s[j] dot[j] and M = sum_j u[j] xs[j], or, without minima, D = sum_j s[j] (dot[j] - zero * xs[j]),
 *                   as integers: |D| < 2^28 (256 columns of 63 * 127 * 128). part = d * float(D), and where there are minima
 *                   part = fma(-m, float(M), part)
 *   sum = fma(part, x_scale[t][s], sum), from 0
 * and y[t][o] = sum, then + bias[o], then + y[t][o] where it accumulates, with each operation rounded once.
 */
typedef struct pp_block_matmul {
    const int8_t *x; /* [n_tok][x_stride], -127 .. 127 */
    size_t x_stride;
    const float *x_scale;  /* [n_tok][n_span] */
    const int16_t *x_sums; /* [n_tok][sums_stride] sum of each 16 or 32 columns' codes, as the type's scales want it */
    size_t sums_stride;
    int n_span;        /* at least pp_low_spans(n_in) */
    const void *w;     /* groups of 32 rows */
    const float *bias; /* [n_out] or NULL */
    float *y;          /* [n_tok][y_stride] */
    size_t y_stride;
    int n_tok, n_in, n_out; /* n_in: whole blocks */
    bool accumulate;
} pp_block_matmul;

/*
 * Keys are taken a block at a time by the online softmax, and a part of PP_ATTEND_SPLIT keys in one call; parts are merged in
 * their order. All fixed, so that a result never depends on anything else. PP_ATTEND_QUERIES: heads of all tokens of a call.
 */
enum { PP_ATTEND_BLOCK = 64, PP_ATTEND_SPLIT = 1024, PP_ATTEND_QUERIES = 64 };

/*
 * Query heads that share one K/V head, of n_tok tokens that follow each other, over one part of a list of keys: the keys
 * first .. first + PP_ATTEND_SPLIT - 1 of the list, of which token t sees those before n_key + t. With s_j = scale * q.k_j,
 *     max = max_j s_j,  sum = sum_j exp(s_j - max),  out = sum_j exp(s_j - max) v_j
 * for each token and head. n_key > first. For int8, k and v hold round(value / scale): the value's scale is k_scale/v_scale, or
 * k_scales[slot]/v_scales[slot] where these are not NULL.
 */
typedef struct pp_attend {
    const float *q; /* [n_tok][q_stride]: n_group heads of d_head */
    float *out;     /* [n_tok][out_stride], the same way */
    size_t q_stride, out_stride;
    float *max, *sum;           /* [n_tok][n_group] */
    int n_tok, n_group, d_head; /* n_tok * n_group <= PP_ATTEND_QUERIES, or n_tok = 1 */
    const void *k, *v;          /* [n_slot][d_head] elements of the kernel's type */
    const int32_t *slots;       /* [n_key + n_tok - 1] which rows of k and v, in order; NULL: 0, 1, 2, ... */
    int first, n_key;
    float scale;
    float k_scale, v_scale;
    const float *k_scales, *v_scales; /* [n_slot] or NULL */
    float *scratch;                   /* [PP_ATTEND_SCRATCH(d_head)] */
} pp_attend;

/*
 * Queries with their outputs, scores and codes of weights, and a block of values, or a vector's lanes of keys (16 at most), each of
 * whole vectors.
 */
#define PP_ATTEND_SCRATCH(d_head)                                                                                      \
    (PP_ATTEND_QUERIES * (2 * (size_t)(d_head) + 16 + PP_ATTEND_BLOCK * 3 / 2) +                                       \
     PP_ATTEND_BLOCK * ((size_t)(d_head) + 8))

/*
 * Over int8 all sums are of integers, and every level has the same bits. A query is rounded once, with levels =
 * pp_attend_levels(d_head): code = round-half-even(q * (levels / absmax(q))), 0 for NaN; where absmax(q) <= PP_ATTEND_LEAST, all are 0.
 *     s_j = float(sum_i code_i k_j,i) * ((scale * k_scale) * (absmax(q) / levels))
 * In each block, of the keys that the token sees, top = max_j s_j, e_j = exp(s_j - top), and
 *     w_j = round(e_j * PP_ATTEND_LEVELS), unit = v_scale, or where there are v_scales
 *     w_j = round(e_j * v_scale_j * (PP_ATTEND_LEVELS / unit)), unit = max_j e_j * v_scale_j, and where it is <= PP_ATTEND_LEAST all are 0
 * Then, with m = max(max, top), before = exp(max - m), now = exp(top - m) * (1 / PP_ATTEND_LEVELS),
 *     sum = sum * before + float(sum_j round(e_j * PP_ATTEND_LEVELS)) * now
 *     out_i = fma(float(sum_j w_j v_j,i), unit * now, out_i * before)
 * Sums fit: codes of K and V are at most 128, so |sum_i| < 2^31, and |sum_j| <= 64 * 32767 * 128 = 2^28.
 */
#define PP_ATTEND_LEVELS 32767.0f
#define PP_ATTEND_LEAST  1e-30f

static inline float pp_attend_levels(int d_head)
{
    return (float)PP_MIN((int)PP_ATTEND_LEVELS, INT32_MAX / (128 * d_head));
}

/*
 * c[i][j] = (accumulate ? c[i][j] : 0) + sum_k a(i, k) * b(k, j), where a(i, k) = a[i * a_row + k * a_col] and
 * b(k, j) = b[k * b_row + j * b_col]: either may be transposed, one of its strides is 1. c may not overlap a or b.
 */
typedef struct pp_gemm {
    const float *a, *b;
    size_t a_row, a_col, b_row, b_col;
    float *c;
    size_t c_row; /* columns are adjacent */
    int m, n, k;
    bool accumulate;
    float *scratch; /* [PP_GEMM_SCRATCH], aligned to 64 bytes, of the calling thread alone */
} pp_gemm;

enum { PP_GEMM_BLOCK = 256 * 512, PP_GEMM_SCRATCH = PP_GEMM_BLOCK + 16 * 256 };

/* What AdamW does at one step, as torch defines it: decay first, then the step with the moments' bias corrected. */
typedef struct pp_adamw {
    float rate, beta1, beta2, eps;
    float decay;    /* 1 - rate * weight_decay */
    float correct1; /* 1 / (1 - beta1^step) */
    float correct2; /* 1 / sqrt(1 - beta2^step) */
    float gradient; /* what each gradient is multiplied by first: clipping */
} pp_adamw;

/* Multiply-adds of one turn of probe_multiply: 40 steps, which int16 sums hold, of 12 vectors of 32. */
enum { PP_PROBE_PRODUCTS = 40 * 12 * 32 };

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
 * round_i8     for each span s of PP_LOW_SPAN elements, the last one as long as it is: scales[s] = absmax / 127, q =
 *              quantize_i8 by it, or by 1 where it is 0, sums[s] = sum of q; returns the sum of sums[s] * scales[s], a chain
 *              of fused multiply-adds from 0                                                (exact)
 * largest      max x[i], -infinity for n = 0; NaNs are ignored           (exact; of zeros any)
 * to_bf16      rounds as quant's encoder                                                    (exact)
 * gemm         see pp_gemm; bound as matmul's, with k for n_in. Every level but scalar has one order of additions, so one
 *              result: a chain of fused multiply-adds from 0 in ascending k for each 256 of k, each chain added to c
 * rmsnorm_backward  of y = rmsnorm(x, w): dx[i] += r w[i] dy[i] - x[i] r^3 / n * sum_j w[j] dy[j] x[j], and where dw is not
 *              NULL dw[i] += dy[i] x[i] r, with r = 1 / sqrt(mean(x^2) + eps)
 *              (2e-6 of |dx| + |r w dy| + |x r^3| / n * sum |w dy x|; 1e-6 of |dw| + |dy x r|; no product subnormal)
 * swiglu_backward   of y = swiglu(gate, up): gate[i] and up[i] become the gradients of the loss by them, given dy[i] (exact;
 *              scalar itself is within 1e-6 of |dy up| for gate, 5e-7 relative for up)
 * softmax      p[i] becomes exp(scale p[i] - lse), lse = log sum_i exp(scale p[i]), which is returned; n >= 1, some p[i]
 *              finite; no result is beyond 1, however large scale p[i]; what would be less than 1.2e-38 is 0
 *              ((2e-6 + 2 ulp of the largest |scale p|) relative; lse 1e-6 of its own size + 2e-6)
 * softmax_again     the same where lse is known                            (exact; the bits that softmax itself gave)
 * log_sum      log sum_i exp(x[i]), n >= 1, some x[i] finite, none infinite or NaN but -infinity   (1e-6)
 * softmax_backward  dp[i] becomes scale p[i] (dp[i] - sum), with sum = sum_i p[i] dp[i]      (exact)
 * dot          sum of x[i] y[i], n <= 65536                       (4 ulp * sqrt(n) of the sum of absolute products)
 * adamw        see pp_adamw: one step of n weights with their moments and gradients         (exact)
 * matmul_q*    see pp_low_matmul                                                             (exact)
 * sums_i8      sums[i] = sum of q[16 i .. 16 i + 15], i < n / 16; n is a multiple of 16       (exact)
 * matmul_q?_0, matmul_q?_1, matmul_q?_k   see pp_block_matmul                                (exact)
 * probe_read   sum of n words, modulo 2^32: a plain read of memory                          (exact)
 * probe_multiply  n * PP_PROBE_PRODUCTS multiply-adds of codes 3 with x[0 .. 3] in turn, their sum modulo 2^32 (exact)
 * attend_i8    see pp_attend_levels                                                          (exact)
 * attend_f32 / attend_bf16   see pp_attend; of out / sum: ((2e-6 + ulp * max_j of scale * sum_i |q[i] k[j][i]|) of max |v|: a weight is the
 *              exponential of a score, whose rounding grows with the products that it is the sum of); max is within 4
 *              such ulp of the largest score
 * attend_merge adds a part to the ones before it, of one head: out, max and sum become those of all their keys (exact)
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
    X(round_i8, float, (int8_t * q, float *scales, int32_t *sums, const float *x, int n))                              \
    X(largest, float, (const float *x, int n))                                                                         \
    X(to_bf16, void, (uint16_t * y, const float *x, int n))                                                            \
    X(gemm, void, (const pp_gemm *g))                                                                                  \
    X(rmsnorm_backward, void,                                                                                          \
      (float *dx, float *dw, const float *dy, const float *x, const float *w, int n, float eps))                       \
    X(swiglu_backward, void, (float *gate, float *up, const float *dy, int n))                                         \
    X(softmax, float, (float *p, int n, float scale))                                                                  \
    X(softmax_again, void, (float *p, int n, float scale, float lse))                                                  \
    X(log_sum, double, (const float *x, int n))                                                                        \
    X(softmax_backward, void, (float *dp, const float *p, int n, float scale, float sum))                              \
    X(dot, float, (const float *x, const float *y, int n))                                                             \
    X(adamw, void, (float *w, float *m, float *v, const float *g, int n, const pp_adamw *a))                           \
    X(matmul_q2, void, (const pp_low_matmul *m))                                                                       \
    X(matmul_q4, void, (const pp_low_matmul *m))                                                                       \
    X(matmul_q8, void, (const pp_low_matmul *m))                                                                       \
    X(matmul_q4_0, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q4_1, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q5_0, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q5_1, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q8_0, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q2_k, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q3_k, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q4_k, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q5_k, void, (const pp_block_matmul *m))                                                                   \
    X(matmul_q6_k, void, (const pp_block_matmul *m))                                                                   \
    X(sums_i8, void, (int16_t * sums, const int8_t *q, int n))                                                         \
    X(probe_read, uint32_t, (const uint32_t *p, size_t n))                                                             \
    X(probe_multiply, uint32_t, (const int8_t x[4], int n))                                                            \
    X(attend_f32, void, (const pp_attend *a))                                                                          \
    X(attend_bf16, void, (const pp_attend *a))                                                                         \
    X(attend_i8, void, (const pp_attend *a))                                                                           \
    X(attend_merge, void,                                                                                              \
      (float *out, float *max, float *sum, const float *part, float part_max, float part_sum, int d_head))

typedef struct pp_kernels {
    pp_isa isa; /* the highest level in the table */
#define PP_KERNEL_FIELD(name, type, parameters) type(*name) parameters;
    PP_KERNELS(PP_KERNEL_FIELD)
#undef PP_KERNEL_FIELD
} pp_kernels;

/* Fills the table with what this CPU runs, no higher than `highest`. */
void pp_kernels_fill(pp_kernels *table, pp_isa highest);
/* The same from a name, as pp_isa_name has it; NULL = all. ARGUMENT for a name unknown here or beyond this CPU. */
pippin_status pp_kernels_choose(pp_kernels *table, const char *cpu, pippin_error *err);
/* matmul of this weight type; NULL if there is none. */
typedef void (*pp_matmul_kernel)(const pp_matmul *m);
pp_matmul_kernel pp_kernels_matmul(const pp_kernels *table, pippin_type type);
/* The same of a packed block type. */
typedef void (*pp_block_kernel)(const pp_block_matmul *m);
pp_block_kernel pp_kernels_blocks(const pp_kernels *table, pippin_type type);

#endif
