/*
 * muon_test.c - steps of Muon against a plain double program, and their laws: singular values near 1, the size that AdamW's
 * have, the same bits for any number of threads, AdamW's own steps for all that is no matrix of a layer.
 */
#include <math.h>

#include "pippin_train.h"
#include "tests/support.h"
#include "train/params.h"

enum { N_STEP = 3, MOST = 130 };

static const pp_step_options options = {
    .rate = 0.5, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 2, .step = 1};

typedef struct subject {
    pp_kernels kernels;
    pp_weights weights;
    pp_params params;
    pp_team *team;
    pp_net net;
} subject;

static void set_up(subject *s, pippin_optimizer optimizer, int n_thread)
{
    const pippin_config c = small_afm();
    memset(s, 0, sizeof *s);
    pp_kernels_fill(&s->kernels, PP_ISA_COUNT - 1);
    OK(pp_weights_random(&c, PIPPIN_F32, 1, &s->weights, err));
    OK(pp_params_full(&s->weights, 10, optimizer, &s->params, err));
    s->team = pp_team_create(n_thread);
    assert_non_null(s->team);
    const pp_net_options o = {.max_tok = 1, .max_segment = 1};
    OK(pp_net_create(&s->params.weights, NULL, &s->kernels, s->team, &o, &s->net, err));
}

static void tear_down(subject *s)
{
    pp_net_free(&s->net);
    pp_team_free(s->team);
    pp_params_free(&s->params);
    pp_weights_free(&s->weights);
}

/* Of step k; what is clipped depends on it. */
static void fill_gradients(const pp_params *p, int k)
{
    for (size_t i = 0; i < p->n; i++) p->grad[i] = (float)(pp_random_unit(3, (uint64_t)k, i) - 0.5) * (float)(1 + k);
}

static void step(subject *s, int k)
{
    pp_step_options o = options;
    o.step = (uint64_t)k + 1;
    fill_gradients(&s->params, k);
    pp_params_step(&s->params, &o, pp_params_grad_norm(&s->params, &s->kernels, s->team), &s->net);
}

/* ---- in double ---- */

/* c = p q, p [n][k], q [k][m]; q as it is or, [m][k], transposed. */
static void product(double *c, const double *p, const double *q, int n, int k, int m, bool transposed)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            c[i * m + j] = 0;
            for (int l = 0; l < k; l++) c[i * m + j] += p[i * k + l] * q[transposed ? j * k + l : l * m + j];
        }
}

/* X [n][k] becomes 3.4445 X - 4.7750 (XX^T) X + 2.0315 (XX^T)^2 X, five times. */
static void newton_schulz(double *x, int n, int k)
{
    static double gram[MOST * MOST], once[MOST * MOST], twice[MOST * MOST];
    for (int i = 0; i < 5; i++) {
        product(gram, x, x, n, k, n, true);
        product(once, gram, x, n, n, k, false);
        product(twice, gram, once, n, n, k, false);
        for (int j = 0; j < n * k; j++) x[j] = 3.4445 * x[j] - 4.7750 * once[j] + 2.0315 * twice[j];
    }
}

typedef struct plain {
    double w[MOST * MOST], m[MOST * MOST];
} plain;

static void plain_step(plain *p, const float *gradient, double factor, int n, int k)
{
    static double x[MOST * MOST];
    double norm = 0;
    for (int i = 0; i < n * k; i++) {
        const double g = factor * (double)gradient[i];
        p->m[i] = 0.95 * p->m[i] + g;
        x[i] = g + 0.95 * p->m[i];
        norm += x[i] * x[i];
    }
    for (int i = 0; i < n * k; i++) x[i] /= sqrt(norm);
    newton_schulz(x, n, k);
    for (int i = 0; i < n * k; i++)
        p->w[i] = p->w[i] * (1 - options.rate * options.weight_decay) - options.rate * 0.2 * sqrt(PP_MAX(n, k)) * x[i];
}

static void test_steps_are_those_of_a_plain_program(void **state)
{
    (void)state;
    subject s;
    set_up(&s, PIPPIN_OPTIMIZER_MUON, 2);
    const size_t n_matrix = s.params.muon.n_matrix;
    plain *all = test_calloc(n_matrix, sizeof *all);
    for (size_t i = 0; i < n_matrix; i++) {
        const pp_muon_matrix *m = &s.params.muon.matrices[i];
        for (int j = 0; j < m->n_out * m->n_in; j++) all[i].w[j] = (double)s.params.value[m->at + (size_t)j];
    }
    double worst = 0;
    for (int k = 0; k < N_STEP; k++) {
        fill_gradients(&s.params, k);
        const double norm = pp_params_grad_norm(&s.params, &s.kernels, s.team);
        for (size_t i = 0; i < n_matrix; i++) {
            const pp_muon_matrix *m = &s.params.muon.matrices[i];
            plain_step(&all[i], s.params.grad + m->at, 2 / (norm + 1e-6), m->n_out, m->n_in);
        }
        step(&s, k);
    }
    for (size_t i = 0; i < n_matrix; i++) {
        const pp_muon_matrix *m = &s.params.muon.matrices[i];
        for (int j = 0; j < m->n_out * m->n_in; j++)
            worst = fmax(worst, fabs((double)s.params.value[m->at + (size_t)j] - all[i].w[j]));
    }
    print_message("%zu matrices, %d steps of about %g: largest difference %.1e\n", n_matrix, N_STEP, 0.2 * options.rate,
                  worst);
    assert_true(worst < 2e-5);
    test_free(all);
    tear_down(&s);
}

/* ---- laws ---- */

/* Smallest and largest singular value of x [n][k], n <= k: rotations until all rows are orthogonal (Hestenes 1958). */
static void singular_values(double *x, int n, int k, double *least, double *most)
{
    for (int sweep = 0; sweep < 20; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (int i = 0; i < k; i++) {
                    pp += x[p * k + i] * x[p * k + i];
                    qq += x[q * k + i] * x[q * k + i];
                    pq += x[p * k + i] * x[q * k + i];
                }
                const double angle = 0.5 * atan2(2 * pq, pp - qq), cosine = cos(angle), sine = sin(angle);
                for (int i = 0; i < k; i++) {
                    const double a = x[p * k + i], b = x[q * k + i];
                    x[p * k + i] = cosine * a + sine * b;
                    x[q * k + i] = cosine * b - sine * a;
                }
            }
    *least = INFINITY;
    *most = 0;
    for (int p = 0; p < n; p++) {
        double square = 0;
        for (int i = 0; i < k; i++) square += x[p * k + i] * x[p * k + i];
        *least = fmin(*least, sqrt(square));
        *most = fmax(*most, sqrt(square));
    }
}

/* Of square matrices the smallest singular value may be too near 0 to come up in five iterations: they have no lower bound. */
static void test_singular_values_of_a_step_are_near_1(void **state)
{
    (void)state;
    static double x[MOST * MOST];
    subject s;
    set_up(&s, PIPPIN_OPTIMIZER_MUON, 1);
    float *before = test_malloc(s.params.n * sizeof *before);
    memcpy(before, s.params.value, s.params.n * sizeof *before);
    step(&s, 0);
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < s.params.muon.n_matrix; i++) {
        const pp_muon_matrix *m = &s.params.muon.matrices[i];
        const int n = PP_MIN(m->n_out, m->n_in), k = PP_MAX(m->n_out, m->n_in);
        double low, high, square = 0;
        for (int row = 0; row < m->n_out; row++)
            for (int column = 0; column < m->n_in; column++) {
                const size_t at = m->at + (size_t)(row * m->n_in + column);
                const double moved =
                    (1 - options.rate * options.weight_decay) * (double)before[at] - (double)s.params.value[at];
                square += moved * moved;
                x[m->n_out == n ? row * k + column : column * k + row] = moved / (options.rate * 0.2 * sqrt(k));
            }
        const double size = sqrt(square / (n * k)) / options.rate; /* what AdamW's step has: 0.2 to 0.4 of the rate */
        assert_true(size > 0.2 * 0.7 && size < 0.2 * 1.2);
        singular_values(x, n, k, &low, &high);
        most = fmax(most, high);
        if (n < k) least = fmin(least, low);
    }
    print_message("singular values between %.3f and %.3f\n", least, most);
    assert_true(least > 0.65 && most < 1.25);
    test_free(before);
    tear_down(&s);
}

static void test_any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    subject one, more;
    set_up(&one, PIPPIN_OPTIMIZER_MUON, 1);
    for (int k = 0; k < N_STEP; k++) step(&one, k);
    for (int n_thread = 2; n_thread <= 3; n_thread++) {
        set_up(&more, PIPPIN_OPTIMIZER_MUON, n_thread);
        for (int k = 0; k < N_STEP; k++) step(&more, k);
        assert_memory_equal(more.params.value, one.params.value, one.params.n * sizeof(float));
        assert_memory_equal(more.params.m, one.params.m, one.params.n * sizeof(float));
        tear_down(&more);
    }
    tear_down(&one);
}

static void test_all_else_is_left_to_adamw(void **state)
{
    (void)state;
    subject muon, adamw;
    size_t n_moved = 0;
    set_up(&muon, PIPPIN_OPTIMIZER_MUON, 2);
    set_up(&adamw, PIPPIN_OPTIMIZER_ADAMW, 2);
    for (int k = 0; k < N_STEP; k++) {
        step(&muon, k);
        step(&adamw, k);
    }
    bool *is_muons = test_calloc(muon.params.n, sizeof *is_muons);
    for (size_t i = 0; i < muon.params.muon.n_matrix; i++) {
        const pp_muon_matrix *m = &muon.params.muon.matrices[i];
        for (size_t j = 0; j < (size_t)m->n_out * (size_t)m->n_in; j++, n_moved++) is_muons[m->at + j] = true;
    }
    for (size_t i = 0; i < muon.params.n; i++)
        assert_true((muon.params.value[i] == adamw.params.value[i]) != is_muons[i]);
    /* 3 full layers with 7 matrices and 2 with 5; no second moment is kept for them. */
    assert_int_equal(muon.params.muon.n_matrix, 3 * 7 + 2 * 5);
    assert_int_equal(muon.params.n_v, muon.params.n - n_moved);
    assert_int_equal(adamw.params.n_v, adamw.params.n);
    test_free(is_muons);
    tear_down(&muon);
    tear_down(&adamw);
}

static void test_a_gradient_of_zero_moves_nothing(void **state)
{
    (void)state;
    subject s;
    set_up(&s, PIPPIN_OPTIMIZER_MUON, 1);
    pp_step_options o = options;
    o.weight_decay = 0;
    float *before = test_malloc(s.params.n * sizeof *before);
    memcpy(before, s.params.value, s.params.n * sizeof *before);
    pp_params_step(&s.params, &o, 0, &s.net);
    assert_memory_equal(before, s.params.value, s.params.n * sizeof *before);
    test_free(before);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_those_of_a_plain_program),
        cmocka_unit_test(test_singular_values_of_a_step_are_near_1),
        cmocka_unit_test(test_any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(test_all_else_is_left_to_adamw),
        cmocka_unit_test(test_a_gradient_of_zero_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
