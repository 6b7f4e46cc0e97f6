/* kernels_try_low.h - trials of products with low-bit weights: integers, so that all levels give the same bits. */
#ifndef PP_TESTS_KERNELS_TRY_LOW_H
#define PP_TESTS_KERNELS_TRY_LOW_H

#include "kernels_try.h"

enum { LOW_EXTREME = 3 };

/* A call with random codes of every value, or with extremes: all codes and activations at their ends. */
static pp_low_matmul low_call(int bits, int extreme)
{
    pp_low_matmul m = {.n_tok = between(0, 2) ? between(1, 5) : between(1, 20), .n_out = between(1, 100)};
    const int columns = between(0, 3) ? between(1, 200) : 1000 + between(0, 100);
    m.n_in = (int)pp_low_columns(bits, (size_t)columns);
    m.x_stride = (size_t)(m.n_in + between(0, 3));
    const size_t n_x = (size_t)(m.n_tok - 1) * m.x_stride + (size_t)m.n_in;
    const size_t group = pp_low_group_bytes(bits, (size_t)columns), n_group = ((size_t)m.n_out + 31) / 32;
    int8_t *x = input(0, n_x);
    uint8_t *w = input(1, n_group * group);
    m.n_span = (int)pp_low_spans((size_t)m.n_in) + between(0, 2);
    const size_t n_sum = (size_t)((m.n_tok - 1) * m.n_span) + pp_low_spans((size_t)m.n_in);
    float *scale = input(2, n_sum * sizeof *scale), *offset = input(8, (size_t)m.n_tok * sizeof *offset);
    int32_t *sum = input(3, n_sum * sizeof *sum);
    for (size_t i = 0; i < n_x; i++) x[i] = (int8_t)(extreme == 1 ? 127 : extreme == 2 ? -127 : between(-127, 127));
    for (size_t i = 0; i < n_group * group; i++)
        w[i] = (uint8_t)(extreme == 1 ? 0xff : extreme == 2 ? (i % 2 ? 0xff : 0) : between(0, 255));
    for (size_t g = 0; g < n_group; g++)
        for (size_t r = 0; r < PP_LOW_ROWS; r++) {
            const float row = value(PLAIN);
            memcpy(w + g * group + r * sizeof row, &row, sizeof row);
        }
    for (size_t i = 0; i < n_sum; i++) scale[i] = fabsf(value(PLAIN));
    for (int t = 0; t < m.n_tok; t++) offset[t] = value(PLAIN);
    memset(sum, 0, n_sum * sizeof *sum);
    for (int t = 0; t < m.n_tok; t++)
        for (int k = 0; k < m.n_in; k++) sum[t * m.n_span + k / PP_LOW_SPAN] += x[(size_t)t * m.x_stride + (size_t)k];
    m.x = x;
    m.w = w;
    m.x_scale = scale;
    m.x_offset = offset;
    m.x_sum = sum;
    m.bias = between(0, 1) ? input_f32(4, (size_t)m.n_out, PLAIN) : NULL;
    m.accumulate = between(0, 1);
    m.y_stride = (size_t)(m.n_out + between(0, 3));
    return m;
}

typedef void (*low_kernel)(const pp_low_matmul *m);

static bool low_once(low_kernel kernel, low_kernel truth, int bits, int extreme)
{
    pp_low_matmul m = low_call(bits, extreme);
    const size_t n_y = (size_t)(m.n_tok - 1) * m.y_stride + (size_t)m.n_out;
    m.y = output(5, n_y * sizeof(float));
    for (size_t i = 0; i < n_y; i++) m.y[i] = value(PLAIN);
    pp_low_matmul want = m;
    want.y = memcpy(output(6, n_y * sizeof(float)), m.y, n_y * sizeof(float));
    kernel(&m);
    truth(&want);
    CHECK(intact(m.y, n_y * sizeof(float)), "wrote outside y: %d x %d", m.n_tok, m.n_out);
    for (size_t i = 0; i < n_y; i++)
        CHECK(same_bits(m.y[i], want.y[i]), "q%d, %d tokens, %d outputs of %d: %g, truth %g", bits, m.n_tok, m.n_out,
              m.n_in, (double)m.y[i], (double)want.y[i]);
    /* A token alone has the bits that it has among others. */
    float *one = output(7, (size_t)m.n_out * sizeof(float));
    const int t = between(0, m.n_tok - 1);
    pp_low_matmul alone = m;
    alone.x += (size_t)t * m.x_stride;
    alone.x_scale += t * m.n_span;
    alone.x_offset += t;
    alone.x_sum += t * m.n_span;
    alone.n_tok = 1;
    alone.y = one;
    alone.accumulate = m.accumulate = false;
    kernel(&alone);
    kernel(&m);
    return compare_rows(one, m.y + (size_t)t * m.y_stride, (size_t)m.n_out, 0);
}

static bool low_all(low_kernel kernel, low_kernel truth, int bits)
{
    for (int round = 0, n = PP_MAX(300, rounds_at_least); round < n; round++)
        if (!low_once(kernel, truth, bits, round % 10 < LOW_EXTREME ? round % 10 : 0)) return false;
    return true;
}

static bool try_matmul_q2(const pp_kernels *k, const pp_kernels *t) { return low_all(k->matmul_q2, t->matmul_q2, 2); }
static bool try_matmul_q4(const pp_kernels *k, const pp_kernels *t) { return low_all(k->matmul_q4, t->matmul_q4, 4); }
static bool try_matmul_q8(const pp_kernels *k, const pp_kernels *t) { return low_all(k->matmul_q8, t->matmul_q8, 8); }

/* Of the spans some are all halves of a scale, where x / scale and x * (1 / scale) differ. */
static bool try_round_i8(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0, end = PP_MAX(400, rounds_at_least); round < end; round++) {
        const int n = size(3 * PP_LOW_SPAN + 100), n_span = (n + PP_LOW_SPAN - 1) / PP_LOW_SPAN;
        float *x = input_f32(0, (size_t)n, (values)(round % (ANY_BITS + 1))), *scales = output(1, (size_t)n_span * 4);
        int32_t *sums = output(2, (size_t)n_span * 4), want_sums[2048 / PP_LOW_SPAN];
        int8_t *q = output(3, (size_t)n), want[2048];
        float want_scales[2048 / PP_LOW_SPAN];
        if (round % 2) {
            const float scale = fabsf(value(round % 3 ? MIXED : PLAIN)) / 60 + FLT_MIN;
            for (int i = 0; i < n; i++)
                x[i] = i % PP_LOW_SPAN ? ((float)between(-127, 126) + 0.5f) * scale : 127 * scale;
        }
        const float got = k->round_i8(q, scales, sums, x, n);
        const float offset = truth->round_i8(want, want_scales, want_sums, x, n);
        CHECK(intact(q, (size_t)n) && intact(scales, (size_t)n_span * 4) && intact(sums, (size_t)n_span * 4),
              "wrote outside");
        CHECK(memcmp(q, want, (size_t)n) == 0, "codes of %d elements, round %d", n, round);
        CHECK(memcmp(scales, want_scales, (size_t)n_span * 4) == 0 && memcmp(sums, want_sums, (size_t)n_span * 4) == 0,
              "scales or sums of %d elements, round %d", n, round);
        CHECK(same_bits(got, offset), "%g, truth %g", (double)got, (double)offset);
    }
    return true;
}

static bool try_probe_read(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 200; round++) {
        const size_t n = (size_t)size(300);
        uint32_t *p = input(0, n * sizeof *p);
        for (size_t i = 0; i < n; i++) p[i] = (uint32_t)between(INT32_MIN, INT32_MAX);
        CHECK(k->probe_read(p, n) == truth->probe_read(p, n), "sum of %zu words", n);
    }
    return true;
}

static bool try_probe_multiply(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 20; round++) {
        int8_t x[4];
        for (int i = 0; i < 4; i++) x[i] = (int8_t)(round ? between(-127, 127) : 127);
        const int n = between(0, 9);
        const uint32_t want = 3u * PP_PROBE_PRODUCTS / 4 * (uint32_t)n * (uint32_t)(x[0] + x[1] + x[2] + x[3]);
        CHECK(truth->probe_multiply(x, n) == want && k->probe_multiply(x, n) == want, "%d turns", n);
    }
    return true;
}

/* What an encoded matrix gives against its own decoded values in double. */
static void scalar_low_is_true(const pp_kernels *k)
{
    enum { N_IN = 600, N_OUT = 37, N_SPAN = (N_IN + PP_LOW_SPAN - 1) / PP_LOW_SPAN };
    static const pippin_type types[] = {PIPPIN_Q2, PIPPIN_Q4, PIPPIN_Q8};
    for (int i = 0; i < 3; i++) {
        const int bits = pp_low_bits(types[i]);
        const size_t padded = pp_low_columns(bits, N_IN);
        uint8_t *w = test_calloc(1, pp_matrix_bytes(types[i], N_OUT, N_IN));
        int8_t x[640] = {0};
        float row[N_IN], y[N_OUT], scale[N_SPAN], offset = 0;
        int32_t sum[N_SPAN] = {0};
        for (int s = 0; s < N_SPAN; s++) scale[s] = ldexpf(1, -(s % 3));
        for (int o = 0; o < N_OUT; o++) {
            for (int j = 0; j < N_IN; j++) row[j] = value(PLAIN);
            pp_low_encode_row(bits, w, N_IN, (size_t)o, row, pp_low_best_scale(bits, row, NULL, N_IN));
        }
        for (int j = 0; j < N_IN; j++) sum[j / PP_LOW_SPAN] += x[j] = (int8_t)between(-127, 127);
        for (int j = 0; j < N_SPAN; j++) offset += scale[j] * (float)sum[j];
        const pp_low_matmul m = {.x = x,
                                 .x_scale = scale,
                                 .x_offset = &offset,
                                 .x_sum = sum,
                                 .n_span = N_SPAN,
                                 .w = w,
                                 .y = y,
                                 .n_tok = 1,
                                 .n_in = (int)padded,
                                 .n_out = N_OUT};
        (bits == 2 ? k->matmul_q2 : bits == 4 ? k->matmul_q4 : k->matmul_q8)(&m);
        for (int o = 0; o < N_OUT; o++) {
            double want = 0;
            pp_matrix_decode(types[i], w, N_IN, (size_t)o, 0, N_IN, row);
            for (int j = 0; j < N_IN; j++) want += (double)row[j] * x[j] * (double)scale[j / PP_LOW_SPAN];
            assert_true(near((double)y[o], want, 1e-5 * 127 * N_IN));
        }
        test_free(w);
    }
}

#endif
