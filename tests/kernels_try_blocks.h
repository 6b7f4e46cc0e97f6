/* kernels_try_blocks.h - trials of products with packed block types of GGUF files: every level has the bits of the scalar one. */
#ifndef PP_TESTS_KERNELS_TRY_BLOCKS_H
#define PP_TESTS_KERNELS_TRY_BLOCKS_H

#include "kernels_try_low.h"

/* Where a block of the file has its f16: the one or two scales, in bytes. */
static void f16_places(pippin_type type, int *d, int *m)
{
    *d = 0, *m = -1;
    switch (type) {
    case PIPPIN_GGUF_Q4_1:
    case PIPPIN_GGUF_Q5_1:
    case PIPPIN_GGUF_Q4_K:
    case PIPPIN_GGUF_Q5_K: *m = 2; break;
    case PIPPIN_GGUF_Q2_K: *d = 80, *m = 82; break;
    case PIPPIN_GGUF_Q3_K: *d = 108; break;
    case PIPPIN_GGUF_Q6_K: *d = 208; break;
    default: break;
    }
}

/* rows x columns of a file: any bytes, or all bytes at an end, with scales that are numbers. */
static void random_blocks(pippin_type type, uint8_t *w, size_t rows, size_t columns, int extreme)
{
    const size_t block = pp_type_bytes(type, pp_type_block(type)), n = rows * pp_type_bytes(type, columns);
    int d, m;
    f16_places(type, &d, &m);
    for (size_t i = 0; i < n; i++) w[i] = (uint8_t)(extreme == 1 ? 0xff : extreme == 2 ? 0x80 : between(0, 255));
    for (size_t i = 0; i < n; i += block) {
        const uint16_t scale = pp_f32_to_f16(value(PLAIN)), low = pp_f32_to_f16(value(PLAIN));
        memcpy(w + i + d, &scale, sizeof scale);
        if (m >= 0) memcpy(w + i + m, &low, sizeof low);
    }
}

typedef struct block_case {
    pp_block_matmul m;
    pippin_type type;
    const uint8_t *file; /* [n_out][n_in] as the file has it */
} block_case;

static block_case block_call(pippin_type type, int extreme)
{
    pp_block_form f;
    assert_true(pp_block_form_of(type, &f));
    const int width = (int)pp_type_block(type);
    block_case c = {.type = type};
    pp_block_matmul *m = &c.m;
    m->n_tok = between(0, 2) ? between(1, 5) : between(1, 20);
    m->n_out = between(1, 100);
    m->n_in = width * between(1, width == 32 ? 13 : 4);
    m->x_stride = (size_t)(m->n_in + between(0, 3));
    m->sums_stride = (size_t)(m->n_in / f.columns + between(0, 3));
    m->n_span = (int)pp_low_spans((size_t)m->n_in) + between(0, 2);
    const size_t n_x = (size_t)(m->n_tok - 1) * m->x_stride + (size_t)m->n_in;
    const size_t n_scale = (size_t)((m->n_tok - 1) * m->n_span) + pp_low_spans((size_t)m->n_in);
    const size_t n_sums = (size_t)(m->n_tok - 1) * m->sums_stride + (size_t)(m->n_in / f.columns);
    int8_t *x = input(0, n_x);
    float *scale = input(2, n_scale * sizeof *scale);
    int16_t *sums = input(3, n_sums * sizeof *sums);
    for (size_t i = 0; i < n_x; i++) x[i] = (int8_t)(extreme == 1 ? 127 : extreme == 2 ? -127 : between(-127, 127));
    for (size_t i = 0; i < n_scale; i++) scale[i] = fabsf(value(PLAIN));
    memset(sums, 0, n_sums * sizeof *sums);
    for (int t = 0; t < m->n_tok; t++)
        for (int k = 0; k < m->n_in; k++) {
            int16_t *sum = &sums[(size_t)t * m->sums_stride + (size_t)(k / f.columns)];
            *sum = (int16_t)(*sum + x[(size_t)t * m->x_stride + (size_t)k]);
        }
    uint8_t *file = input(1, (size_t)m->n_out * pp_type_bytes(type, (size_t)m->n_in));
    const size_t group = pp_form_group(f, (size_t)m->n_in);
    uint8_t *packed = input(8, pp_packed_bytes(type, (size_t)m->n_out, (size_t)m->n_in));
    random_blocks(type, file, (size_t)m->n_out, (size_t)m->n_in, extreme);
    for (int o = 0; o < m->n_out; o += PP_LOW_ROWS)
        pp_pack_rows(type, file, (size_t)m->n_out, (size_t)m->n_in, (size_t)o,
                     packed + (size_t)(o / PP_LOW_ROWS) * group);
    m->x = x;
    m->x_scale = scale;
    m->x_sums = sums;
    m->w = packed;
    m->bias = between(0, 1) ? input_f32(4, (size_t)m->n_out, PLAIN) : NULL;
    m->accumulate = between(0, 1);
    m->y_stride = (size_t)(m->n_out + between(0, 3));
    c.file = file;
    return c;
}

static bool blocks_once(pp_block_kernel kernel, pp_block_kernel truth, pippin_type type, int extreme)
{
    pp_block_matmul m = block_call(type, extreme).m;
    const size_t n_y = (size_t)(m.n_tok - 1) * m.y_stride + (size_t)m.n_out;
    m.y = output(5, n_y * sizeof(float));
    for (size_t i = 0; i < n_y; i++) m.y[i] = value(PLAIN);
    pp_block_matmul want = m;
    want.y = memcpy(output(6, n_y * sizeof(float)), m.y, n_y * sizeof(float));
    kernel(&m);
    truth(&want);
    if (!compare_rows(m.y, want.y, n_y, 0)) return false;
    /* A token alone has the bits that it has among others. */
    float *one = output(7, (size_t)m.n_out * sizeof(float));
    const int t = between(0, m.n_tok - 1);
    pp_block_matmul alone = m;
    alone.x += (size_t)t * m.x_stride;
    alone.x_scale += t * m.n_span;
    alone.x_sums += (size_t)t * m.sums_stride;
    alone.n_tok = 1;
    alone.y = one;
    alone.accumulate = m.accumulate = false;
    kernel(&alone);
    kernel(&m);
    return compare_rows(one, m.y + (size_t)t * m.y_stride, (size_t)m.n_out, 0);
}

static bool blocks_all(pp_block_kernel kernel, pp_block_kernel truth, pippin_type type)
{
    for (int round = 0, n = PP_MAX(150, rounds_at_least); round < n; round++)
        if (!blocks_once(kernel, truth, type, round % 10 < LOW_EXTREME ? round % 10 : 0)) return false;
    return true;
}

#define TRY(name, type, ...)                                                                                           \
    static bool try_matmul_##name(const pp_kernels *k, const pp_kernels *t)                                            \
    {                                                                                                                  \
        return blocks_all(k->matmul_##name, t->matmul_##name, type);                                                   \
    }
PP_BLOCK_FORMS(TRY)
#undef TRY

static bool try_sums_i8(const pp_kernels *k, const pp_kernels *truth)
{
    for (int round = 0; round < 400; round++) {
        const int n = 16 * between(1, 30);
        int8_t *q = input(0, (size_t)n);
        int16_t *sums = output(1, (size_t)n / 16 * sizeof *sums), want[30];
        for (int i = 0; i < n; i++) q[i] = (int8_t)(round % 3 ? between(-128, 127) : round % 2 ? 127 : -128);
        k->sums_i8(sums, q, n);
        truth->sums_i8(want, q, n);
        CHECK(intact(sums, (size_t)n / 16 * sizeof *sums), "wrote outside sums");
        CHECK(memcmp(sums, want, (size_t)n / 16 * sizeof *sums) == 0, "sums of %d", n);
    }
    return true;
}

/* The scalar products against the file's decoded weights in double; and what was packed is the file's, to the last bit. */
static void scalar_blocks_are_true(const pp_kernels *k)
{
    static const pippin_type types[] = {
#define TYPE(name, type, ...) type,
        PP_BLOCK_FORMS(TYPE)
#undef TYPE
    };
    for (size_t i = 0; i < 4 * sizeof types / sizeof *types; i++) {
        block_case c = block_call(types[i / 4], i % 4 == 3 ? 1 : 0);
        pp_block_matmul *m = &c.m;
        const size_t n = (size_t)m->n_in, bytes = pp_type_bytes(c.type, n);
        float *w = test_malloc(2 * n * sizeof *w), *again = w + n;
        uint8_t *back = test_malloc(bytes);
        m->bias = NULL;
        m->accumulate = false;
        m->y = output(5, (size_t)m->n_tok * m->y_stride * sizeof(float));
        pp_kernels_blocks(k, c.type)(m);
        for (size_t o = 0; o < (size_t)m->n_out; o++) {
            pp_packed_row(c.type, m->w, n, o, 0, n, back);
            assert_memory_equal(back, c.file + o * bytes, bytes);
            pp_matrix_decode(c.type, c.file, n, o, 0, n, w);
            pp_packed_decode(c.type, m->w, n, o, 0, n, again);
            assert_memory_equal(again, w, n * sizeof *w);
            for (size_t t = 0; t < (size_t)m->n_tok; t++) {
                double want = 0, size = 0;
                for (size_t j = 0; j < n; j++) {
                    const double product = (double)w[j] * m->x[t * m->x_stride + j] *
                                           (double)m->x_scale[t * (size_t)m->n_span + j / PP_LOW_SPAN];
                    want += product;
                    size += fabs(product);
                }
                assert_true(near((double)m->y[t * m->y_stride + o], want, 2e-6 * size));
            }
        }
        test_free(w);
        test_free(back);
    }
}

#endif
