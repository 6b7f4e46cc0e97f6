/*
 * low_gradient_test.c - what goes back through a low-bit matrix: its codes the other way round, and dx = dy W by them, within
 * what rounding dy to int8 may cost, and the same bits whatever multiplies.
 */
#include <float.h>
#include <math.h>

#include "tests/support.h"
#include "train/net.h"

static const pippin_type types[] = {PIPPIN_Q8, PIPPIN_Q4, PIPPIN_Q2};
enum { N_TYPE = 3, N_ROW = 19 };

/* A matrix of random rows, one of them of zeros. */
static void *random_matrix(pippin_type type, int rows, int columns, uint64_t seed)
{
    const int bits = pp_low_bits(type);
    void *m = test_calloc(1, pp_matrix_bytes(type, (size_t)rows, (size_t)columns));
    float *w = test_calloc((size_t)columns, sizeof *w);
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < columns; i++)
            w[i] = r == 3 ? 0 : (float)((pp_random_unit(seed, (uint64_t)r, (uint64_t)i) - 0.5) * (1 + r % 7));
        pp_low_encode_row(bits, m, (size_t)columns, (size_t)r, w, pp_low_best_scale(bits, w, NULL, (size_t)columns));
    }
    test_free(w);
    return m;
}

/* Any rows and columns of it, transposed, decode to what they decode to, but for the scale. */
static void codes_turn(void **state)
{
    (void)state;
    static const struct {
        int rows, columns, row, n_row, first, n;
    } parts[] = {{32, 32, 0, 32, 0, 32},     {1, 1, 0, 1, 0, 1},      {70, 53, 0, 70, 0, 53},
                 {70, 53, 32, 38, 32, 21},   {33, 97, 0, 32, 64, 33}, {200, 129, 64, 96, 0, 96},
                 {45, 300, 32, 13, 96, 204}, {129, 31, 128, 1, 0, 31}};
    for (int t = 0; t < N_TYPE; t++)
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            const int bits = pp_low_bits(types[t]), columns = parts[p].columns, n_row = parts[p].n_row;
            void *m = random_matrix(types[t], parts[p].rows, columns, p + 1);
            void *turned = test_malloc(pp_matrix_bytes(types[t], (size_t)parts[p].n, (size_t)n_row));
            pp_low_transpose(bits, m, (size_t)columns, (size_t)parts[p].row, (size_t)n_row, (size_t)parts[p].first,
                             (size_t)parts[p].n, turned);
            const float one = 1;
            for (int i = 0; i < parts[p].n; i++)
                for (int r = 0; r < n_row; r++) {
                    float is, of, scale;
                    pp_low_decode(bits, turned, (size_t)n_row, (size_t)i, (size_t)r, 1, &is);
                    pp_low_decode(bits, m, (size_t)columns, (size_t)(parts[p].row + r), (size_t)(parts[p].first + i), 1,
                                  &of);
                    pp_low_by_scales(bits, m, (size_t)columns, (size_t)(parts[p].row + r), 1, &one, &scale);
                    assert_true(scale * is == of);
                }
            test_free(turned);
            test_free(m);
        }
}

/* dx (+)= dy W on this level and team, by a net that holds nothing but what the product needs. */
static void back(pp_isa isa, int n_thread, size_t widest, const pp_linear *w, const float *dy, float *dx,
                 bool accumulate)
{
    pp_kernels kernels;
    pp_kernels_fill(&kernels, isa);
    pp_net net = {.kernels = &kernels, .team = pp_team_create(n_thread)};
    pp_cutter k = {0};
    for (int turn = 0; turn < 2; turn++) {
        pp_low_rows_cut(&net.rounded, N_ROW, widest, &k);
        net.decoded = pp_cut(&k, (uint64_t)n_thread * PP_DECODED, sizeof *net.decoded);
        net.gemm = pp_cut(&k, (uint64_t)n_thread * PP_GEMM_SCRATCH, sizeof *net.gemm);
        if (turn == 0) k = (pp_cutter){net.block = pp_alloc(k.at), 0};
        assert_non_null(net.block);
    }
    pp_net_matrix_backward(&net, w, dy, N_ROW, dx, accumulate);
    pp_team_free(net.team);
    pp_free(net.block);
}

/* sum_o dy[o] W[o][i], and how far off it may be: half a step of the rounding of each dy times its output's scale. */
static void exact(const pp_linear *w, size_t widest, const float *dy, double *dx, double *bound)
{
    const int bits = pp_low_bits(w->type);
    const size_t block = PP_MAX(widest / 32 * 32, 32), n_out = (size_t)w->n_out, n_in = (size_t)w->n_in;
    float *row = test_malloc(n_in * sizeof *row), *scaled = test_malloc(n_out * sizeof *scaled);
    memset(dx, 0, n_in * sizeof *dx);
    memset(bound, 0, n_in * sizeof *bound);
    pp_low_by_scales(bits, w->w, n_in, 0, n_out, dy, scaled);
    for (size_t o = 0; o < n_out; o++) {
        const size_t start = o / block * block + o % block / PP_LOW_SPAN * PP_LOW_SPAN; /* of its span */
        const size_t end = PP_MIN(PP_MIN(start + PP_LOW_SPAN, o / block * block + block), n_out);
        double most = 0;
        for (size_t i = start; i < end; i++) most = fmax(most, fabs((double)scaled[i]));
        pp_low_decode(bits, w->w, n_in, o, 0, n_in, row);
        for (size_t i = 0; i < n_in; i++) {
            const double product = (double)dy[o] * (double)row[i],
                         level = scaled[o] ? product / (double)scaled[o] : 128;
            dx[i] += product;
            bound[i] += most / 254 * fabs(level) + 8 * (double)FLT_EPSILON * (fabs(product) + most * 256);
        }
    }
    test_free(row);
    test_free(scaled);
}

static void gradients_return(void **state)
{
    (void)state;
    static const struct {
        int n_in, n_out;
        size_t widest;
    } shapes[] = {{64, 64, 64}, {53, 301, 301}, {129, 700, 200}, {31, 40, 40}, {5, 70, 9}, {300, 1, 300}};
    for (int t = 0; t < N_TYPE; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const size_t n_in = (size_t)shapes[s].n_in, n_out = (size_t)shapes[s].n_out, n = N_ROW * n_in;
            void *m = random_matrix(types[t], shapes[s].n_out, shapes[s].n_in, s + 9);
            const pp_linear w = {.w = m, .type = types[t], .n_in = shapes[s].n_in, .n_out = shapes[s].n_out};
            float *dy = test_malloc(N_ROW * n_out * sizeof *dy), *dx = test_malloc(n * sizeof *dx);
            float *other = test_malloc(n * sizeof *other);
            double *truth = test_malloc(n_in * sizeof *truth), *bound = test_malloc(n_in * sizeof *bound);
            for (size_t i = 0; i < N_ROW * n_out; i++) /* as gradients are: a few far larger than the rest */
                dy[i] = (float)pow(pp_random_unit(3, s, i) - 0.5, 5);
            back(PP_ISA_SCALAR, 1, shapes[s].widest, &w, dy, dx, false);
            for (size_t r = 0; r < N_ROW; r++) {
                exact(&w, shapes[s].widest, dy + r * n_out, truth, bound);
                for (size_t i = 0; i < n_in; i++) assert_true(fabs((double)dx[r * n_in + i] - truth[i]) <= bound[i]);
            }
            for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT; isa++)
                for (int n_thread = 1; n_thread <= 3; n_thread++) {
                    back(isa, n_thread, shapes[s].widest, &w, dy, other, false);
                    assert_memory_equal(other, dx, n * sizeof *dx);
                }
            for (size_t i = 0; i < n; i++) other[i] = 1000;
            back(PP_ISA_COUNT - 1, 2, shapes[s].widest, &w, dy, other, true);
            for (size_t i = 0; i < n; i++) assert_true(fabsf(other[i] - (1000 + dx[i])) <= 1e-3f * (1 + fabsf(dx[i])));
            test_free(m), test_free(dy), test_free(dx), test_free(other), test_free(truth), test_free(bound);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_turn), cmocka_unit_test(gradients_return)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
