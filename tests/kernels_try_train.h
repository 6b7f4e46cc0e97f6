/* kernels_try_train.h - trials of what training is made of: whole matrix products, gradients, softmax, the optimiser's step. */
#ifndef PP_TESTS_KERNELS_TRY_TRAIN_H
#define PP_TESTS_KERNELS_TRY_TRAIN_H

#include "kernels_try.h"

/* ---- gemm ---- */

/* One operand: rows x columns, either of them adjacent, the other with a gap after it. */
typedef struct operand {
    float *p;
    size_t row, col;
} operand;

static operand make_operand(int buffer, int rows, int columns, values kind)
{
    operand o;
    const bool transposed = between(0, 1);
    const int gap = between(0, 3), long_side = transposed ? rows : columns, short_side = transposed ? columns : rows;
    const size_t stride = (size_t)(long_side + gap);
    /* The last row ends with its last element: nothing is there after it. */
    o.p = input_f32(buffer, short_side && long_side ? (size_t)(short_side - 1) * stride + (size_t)long_side : 0, kind);
    o.row = transposed ? 1 : stride;
    o.col = transposed ? stride : 1;
    return o;
}

static float *gemm_scratch(int buffer)
{
    float *s = output(buffer, PP_GEMM_SCRATCH * sizeof *s + 64);
    while ((uintptr_t)s % 64) s++;
    for (int i = 0; i < PP_GEMM_SCRATCH; i++) s[i] = NAN; /* what was not written first shows when it is read */
    return s;
}

static bool gemm_bound(const pp_gemm *g, const float *want, const float *old)
{
    for (int i = 0; i < g->m; i++)
        for (int j = 0; j < g->n; j++) {
            const size_t at = (size_t)i * g->c_row + (size_t)j;
            double sum = g->accumulate ? fabs((double)old[at]) : 0;
            for (int k = 0; k < g->k; k++)
                sum += fabs((double)g->a[(size_t)i * g->a_row + (size_t)k * g->a_col] *
                            (double)g->b[(size_t)k * g->b_row + (size_t)j * g->b_col]);
            CHECK(near((double)g->c[at], (double)want[at],
                       4 * (double)FLT_EPSILON * sqrt(g->k + 1) * sum + g->k * 0x1p-149),
                  "%d x %d x %d at %d, %d: %g, truth %g", g->m, g->n, g->k, i, j, (double)g->c[at], (double)want[at]);
        }
    return true;
}

static pp_gemm gemm_of(const operand *a, const operand *b, int m, int n, int depth)
{
    return (pp_gemm){.a = a->p,
                     .b = b->p,
                     .a_row = a->row,
                     .a_col = a->col,
                     .b_row = b->row,
                     .b_col = b->col,
                     .c_row = (size_t)n,
                     .m = m,
                     .n = n,
                     .k = depth,
                     .scratch = gemm_scratch(6)};
}

static bool gemm_random(const pp_kernels *k, const pp_kernels *truth, int m, int n, int depth)
{
    const values kind = finite_values();
    const operand a = make_operand(0, m, depth, kind), b = make_operand(1, depth, n, kind == HUGE_ ? PLAIN : kind);
    pp_gemm g = gemm_of(&a, &b, m, n, depth);
    g.c_row += (size_t)between(0, 3);
    g.accumulate = between(0, 1);
    const size_t n_c = (size_t)(m - 1) * g.c_row + (size_t)n;
    g.c = output(2, n_c * sizeof(float));
    for (int i = 0; g.accumulate && i < m; i++)
        for (int j = 0; j < n; j++) g.c[(size_t)i * g.c_row + (size_t)j] = value(PLAIN);
    float *old = memcpy(output(3, n_c * sizeof(float)), g.c, n_c * sizeof(float));
    pp_gemm want = g;
    want.c = memcpy(output(4, n_c * sizeof(float)), g.c, n_c * sizeof(float));
    k->gemm(&g);
    truth->gemm(&want);
    CHECK(intact(g.c, n_c * sizeof(float)), "wrote outside c: %d x %d", m, n);
    const uint8_t *after = (const uint8_t *)(g.scratch + PP_GEMM_SCRATCH);
    for (int i = 0; i < PAD / 2; i++) CHECK(after[i] == CANARY, "wrote past the scratch");
    for (size_t i = 0; i < n_c; i++)
        if (i % g.c_row >= (size_t)n) CHECK(same_bits(g.c[i], old[i]), "wrote between the rows of c");
    return gemm_bound(&g, want.c, old);
}

/* Any part of a product has the bits that it has in the whole: threads divide rows or columns. */
static bool gemm_law(const pp_kernels *k, int m, int n, int depth)
{
    const operand a = make_operand(0, m, depth, MIXED), b = make_operand(1, depth, n, PLAIN);
    pp_gemm g = gemm_of(&a, &b, m, n, depth);
    float *all = g.c = output(2, (size_t)(m * n) * sizeof(float)), *part = output(3, (size_t)(m * n) * sizeof(float));
    k->gemm(&g);
    for (int round = 0; round < 30; round++) {
        g.m = between(1, m);
        g.n = between(1, n);
        const int i0 = between(0, m - g.m), j0 = between(0, n - g.n);
        g.a = a.p + (size_t)i0 * a.row;
        g.b = b.p + (size_t)j0 * b.col;
        g.c = part;
        k->gemm(&g);
        for (int i = 0; i < g.m; i++)
            for (int j = 0; j < g.n; j++)
                CHECK(same_bits(part[i * n + j], all[(i0 + i) * n + j0 + j]), "law: %d, %d differ in a part of %d x %d",
                      i0 + i, j0 + j, g.m, g.n);
    }
    return true;
}

static bool try_gemm(const pp_kernels *k, const pp_kernels *truth)
{
    static const int depths[] = {0, 1, 3, 4, 5, 255, 256, 257, 515};
    for (int round = 0; round < 120; round++)
        if (!gemm_random(k, truth, between(1, 40), between(1, 80), between(0, 2) ? between(0, 40) : between(0, 300)))
            return false;
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        if (!gemm_random(k, truth, between(1, 30), between(30, 70), depths[i]) || !gemm_law(k, 29, 67, depths[i]))
            return false;
    return gemm_random(k, truth, 3, PP_GEMM_BLOCK / 256 + 33, 260) && gemm_law(k, 5, PP_GEMM_BLOCK / 256 + 33, 260);
}

/* ---- rows ---- */

static bool try_rmsnorm_backward(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const size_t z = (size_t)n;
        const float *x = input_f32(0, z, round % 5 ? PLAIN : MIXED), *w = input_f32(1, z, PLAIN),
                    *dy = input_f32(2, z, PLAIN);
        const float *old = input_f32(3, z, PLAIN);
        float *dx = row_copy(4, old, n), *want_dx = row_copy(5, old, n), *dw = row_copy(6, old, n),
              *want_dw = row_copy(7, old, n);
        k->rmsnorm_backward(dx, round % 3 ? dw : NULL, dy, x, w, n, 1e-5f);
        truth->rmsnorm_backward(want_dx, round % 3 ? want_dw : NULL, dy, x, w, n, 1e-5f);
        CHECK(intact(dx, z * sizeof *dx) && intact(dw, z * sizeof *dw), "wrote outside a row of %d", n);
        double squares = 0, sum = 0;
        for (int i = 0; i < n; i++) {
            squares += (double)x[i] * (double)x[i];
            sum += fabs((double)w[i] * (double)dy[i] * (double)x[i]);
        }
        const double r = 1 / sqrt(squares / n + (double)1e-5f);
        for (int i = 0; i < n; i++) {
            const double own = fabs(r * (double)w[i] * (double)dy[i]) + fabs((double)x[i] * r * r * r / n * sum);
            CHECK(near((double)dx[i], (double)want_dx[i], 2e-6 * (fabs((double)old[i]) + own)),
                  "dx %d of %d: %g, truth %g", i, n, (double)dx[i], (double)want_dx[i]);
            CHECK(near((double)dw[i], (double)want_dw[i],
                       1e-6 * (fabs((double)old[i]) + fabs((double)dy[i] * (double)x[i] * r))),
                  "dw %d of %d: %g, truth %g", i, n, (double)dw[i], (double)want_dw[i]);
        }
    }
    return true;
}

static bool try_swiglu_backward(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        float *gate = input_f32(0, (size_t)n, round % 4 ? (values)(round % N_FINITE) : PLAIN),
              *up = input_f32(1, (size_t)n, PLAIN);
        const float *dy = input_f32(2, (size_t)n, PLAIN);
        for (int i = 0; round % 4 == 0 && i < n; i++) gate[i] *= 110; /* the whole range of exp */
        float *g = row_copy(3, gate, n), *u = row_copy(4, up, n), *want_g = row_copy(5, gate, n),
              *want_u = row_copy(6, up, n);
        k->swiglu_backward(g, u, dy, n);
        truth->swiglu_backward(want_g, want_u, dy, n);
        if (!compare_rows(g, want_g, (size_t)n, 0) || !compare_rows(u, want_u, (size_t)n, 0)) return false;
    }
    return true;
}

static bool try_softmax(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const float scale = round % 2 ? 1 : 0.125f;
        float *x = input_f32(0, (size_t)n, round % 3 ? PLAIN : TINY);
        for (int i = 0; i < n; i++)
            x[i] = round % 7 == 0 ? 3 : round % 5 == 0 && between(0, 2) == 0 ? -INFINITY : 20 * x[i];
        x[between(0, n - 1)] = round % 11 == 0 ? 3000 : 1; /* at least one is finite */
        float *p = row_copy(1, x, n), *want = row_copy(2, x, n), most = 0;
        for (int i = 0; i < n; i++)
            if (isfinite(x[i])) most = fmaxf(most, fabsf(x[i] * scale));
        const float lse = k->softmax(p, n, scale), truth_lse = truth->softmax(want, n, scale);
        CHECK(near((double)lse, (double)truth_lse, 1e-6 * fabs((double)truth_lse) + 2e-6), "lse %g, truth %g",
              (double)lse, (double)truth_lse);
        if (!compare_rows(p, want, (size_t)n, 2e-6 + 2 * (double)FLT_EPSILON * (double)most)) return false;
    }
    return true;
}

static bool try_softmax_again(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const float *x = input_f32(0, (size_t)n, (values)(round % N_FINITE)), lse = value(PLAIN) * 10;
        float *p = row_copy(1, x, n), *want = row_copy(2, x, n);
        k->softmax_again(p, n, 0.3f, lse);
        truth->softmax_again(want, n, 0.3f, lse);
        if (!compare_rows(p, want, (size_t)n, 0)) return false;
    }
    float p[210], of[210]; /* where an exponential ends to be a normal number, and becomes 0 */
    for (int i = 0; i < 210; i++) p[i] = of[i] = -86.0f - 0.1f * (float)i;
    k->softmax_again(p, 210, 1, 0);
    for (int i = 0; i < 210; i++) {
        const double is = exp((double)of[i]);
        CHECK(near((double)p[i], is, is >= 1.2e-38 ? 2e-7 * is : 1.2e-38), "exp(%g) is %g", (double)of[i],
              (double)p[i]);
        CHECK(p[i] == 0 || p[i] >= FLT_MIN, "exp(%g) is %g, which is subnormal", (double)of[i], (double)p[i]);
    }
    return true;
}

static bool try_log_sum(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = round % 40 ? size(300) : 20000 + size(300);
        float *x = input_f32(0, (size_t)n, round % 3 ? PLAIN : TINY);
        for (int i = 0; i < n; i++) x[i] = round % 5 == 0 && between(0, 2) == 0 ? -INFINITY : 20 * x[i];
        x[between(0, n - 1)] = round % 11 == 0 ? 3000 : 1; /* at least one is finite */
        const double got = k->log_sum(x, n), want = truth->log_sum(x, n);
        CHECK(near(got, want, 1e-6), "%.9g, truth %.9g", got, want);
    }
    return true;
}

static bool try_softmax_backward(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const float *p = input_f32(0, (size_t)n, (values)(round % N_FINITE)), *old = input_f32(1, (size_t)n, PLAIN);
        float *d = row_copy(2, old, n), *want = row_copy(3, old, n);
        const float sum = value(PLAIN);
        k->softmax_backward(d, p, n, 0.3f, sum);
        truth->softmax_backward(want, p, n, 0.3f, sum);
        if (!compare_rows(d, want, (size_t)n, 0)) return false;
    }
    return true;
}

static bool try_dot(const pp_kernels *k, const pp_kernels *truth)
{
    CHECK(k->dot(input(0, 0), input(1, 0), 0) == 0, "not 0 for no elements");
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const float *x = input_f32(0, (size_t)n, finite_values()), *y = input_f32(1, (size_t)n, PLAIN);
        double sum = 0;
        for (int i = 0; i < n; i++) sum += fabs((double)x[i] * (double)y[i]);
        const double got = (double)k->dot(x, y, n), want = (double)truth->dot(x, y, n);
        CHECK(near(got, want, 4 * (double)FLT_EPSILON * sqrt(n) * sum + n * 0x1p-149), "%g, truth %g", got, want);
    }
    return true;
}

static bool try_adamw(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = size(300);
        const pp_adamw a = {.rate = 1e-3f,
                            .beta1 = 0.9f,
                            .beta2 = 0.999f,
                            .eps = 1e-8f,
                            .decay = 0.9999f,
                            .correct1 = 1 / 0.19f,
                            .correct2 = 22.4f,
                            .gradient = 0.37f};
        const float *w = input_f32(0, (size_t)n, PLAIN), *g = input_f32(1, (size_t)n, (values)(round % N_FINITE));
        float *v = input_f32(2, (size_t)n, PLAIN);
        for (int i = 0; i < n; i++) v[i] = fabsf(v[i]);
        float *w1 = row_copy(3, w, n), *m1 = row_copy(4, w, n), *v1 = row_copy(5, v, n);
        k->adamw(w1, m1, v1, g, n, &a);
        float *w2 = row_copy(6, w, n), *m2 = row_copy(7, w, n);
        truth->adamw(w2, m2, v, g, n, &a);
        CHECK(intact(v1, (size_t)n * sizeof *v1), "wrote outside v");
        for (int i = 0; i < n; i++) CHECK(same_bits(v1[i], v[i]), "v %d: %g, truth %g", i, (double)v1[i], (double)v[i]);
        if (!compare_rows(w1, w2, (size_t)n, 0) || !compare_rows(m1, m2, (size_t)n, 0)) return false;
    }
    return true;
}

/* ---- the scalar ones against their definitions in double ---- */

static void scalar_training_is_true(const pp_kernels *k)
{
    enum { N = 37 };
    float x[N], w[N], dy[N], dx[N] = {0}, dw[N] = {0}, gate[N], up[N];
    for (int i = 0; i < N; i++) {
        x[i] = value(PLAIN);
        w[i] = value(PLAIN);
        dy[i] = value(PLAIN);
        gate[i] = 4 * value(PLAIN);
        up[i] = value(PLAIN);
    }
    k->rmsnorm_backward(dx, dw, dy, x, w, N, 1e-5f);
    for (int i = 0; i < N; i++) { /* finite differences of sum(dy * rmsnorm(x)) */
        double loss[2], h = 1e-5;
        for (int side = 0; side < 2; side++) {
            double squares = 0, dot = 0;
            for (int j = 0; j < N; j++) {
                const double xj = (double)x[j] + (j == i ? (side ? h : -h) : 0);
                squares += xj * xj;
                dot += (double)dy[j] * xj * (double)w[j];
            }
            loss[side] = dot / sqrt(squares / N + (double)1e-5f);
        }
        assert_true(near((double)dx[i], (loss[1] - loss[0]) / (2 * h), 1e-5));
    }
    for (int i = 0; i < N; i++) {
        float g = gate[i], u = up[i];
        const double s = 1 / (1 + exp(-(double)g)), a = (double)g * s;
        k->swiglu_backward(&g, &u, &dy[i], 1);
        assert_true(near((double)g, (double)dy[i] * (double)up[i] * (s + a * (1 - s)), 1e-6));
        assert_true(near((double)u, (double)dy[i] * a, 1e-6));
    }
    /* torch.optim.AdamW, third step */
    float p = 0.5f, m = 0.02f, v = 0.003f, grad = -0.7f;
    const double rate = 0.01, decay = 0.1, b1 = 0.9, b2 = 0.999, wanted_m = b1 * (double)m + (1 - b1) * -0.7;
    const double wanted_v = b2 * (double)v + (1 - b2) * 0.49, c1 = 1 - pow(b1, 3), c2 = 1 - pow(b2, 3);
    const double wanted = 0.5 * (1 - rate * decay) - rate / c1 * wanted_m / (sqrt(wanted_v) / sqrt(c2) + 1e-8);
    k->adamw(&p, &m, &v, &grad, 1,
             &(pp_adamw){(float)rate, 0.9f, 0.999f, 1e-8f, (float)(1 - rate * decay), (float)(1 / c1),
                         (float)(1 / sqrt(c2)), 1});
    assert_true(near((double)p, wanted, 1e-6) && near((double)m, wanted_m, 1e-7) && near((double)v, wanted_v, 1e-7));
}

#endif
