/*
 * kernels_bench.c - speed of the kernels, one thread, at every level that the CPU has: weights streamed from memory
 * (GB/s), products of many tokens (GMAC/s), attention (keys a microsecond), and a row of each small kernel (ns).
 *
 *     kernels_bench [LEVEL]     scalar, avx2, neon, ... as `pippin --cpu` has them; default: all but scalar
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum { N_IN = 2048, N_OUT_STREAM = 16384, N_OUT_BLOCK = 512, N_TOK = 512, D_HEAD = 128, N_GROUP = 8 };

static float *x, *y;
static void *w; /* [N_OUT_STREAM][N_IN] of any type */

/* The best of some rounds, each at least 20 ms: what the code can do when neighbours let it. */
#define BEST_SECONDS(best, call)                                                                                       \
    do {                                                                                                               \
        best = 1e9;                                                                                                    \
        for (int round_ = 0; round_ < 9; round_++) {                                                                   \
            int n_ = 0;                                                                                                \
            double begin_ = pp_seconds(), end_;                                                                        \
            do {                                                                                                       \
                call;                                                                                                  \
                n_++;                                                                                                  \
                end_ = pp_seconds();                                                                                   \
            } while (end_ - begin_ < 0.02);                                                                            \
            best = PP_MIN(best, (end_ - begin_) / n_);                                                                 \
        }                                                                                                              \
    } while (0)

static void fill_weights(pippin_type type, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float f = (float)(pp_random_unit(1, 1, i % 8191) - 0.5);
        pp_encode_row(type, &f, (char *)w + i * pp_type_bytes(type, 1), 1);
    }
}

static void bench_matmul(const pp_kernels *k, pippin_type type)
{
    const pp_matmul_kernel kernel = pp_kernels_matmul(k, type);
    pp_matmul m = {.x = x,
                   .x_stride = N_IN,
                   .w = w,
                   .y = y,
                   .n_tok = 1,
                   .n_in = N_IN,
                   .n_out = N_OUT_STREAM,
                   .y_stride = N_OUT_STREAM};
    double s;
    fill_weights(type, (size_t)N_OUT_STREAM * N_IN);
    BEST_SECONDS(s, kernel(&m));
    printf("  matmul_%-5s n_tok 1 %6.1f GB/s", pippin_type_name(type),
           1e-9 * (double)pp_type_bytes(type, (size_t)N_OUT_STREAM * N_IN) / s);
    for (m.n_tok = 2; m.n_tok <= 8; m.n_tok *= 2) {
        double many;
        BEST_SECONDS(many, kernel(&m));
        printf("   x%d %.2f", m.n_tok, many / s); /* time against one token's */
    }
    m.n_out = N_OUT_BLOCK;
    m.y_stride = N_OUT_BLOCK;
    for (m.n_tok = 64; m.n_tok <= N_TOK; m.n_tok *= 8) {
        BEST_SECONDS(s, kernel(&m));
        printf("   n_tok %d %6.1f GMAC/s", m.n_tok, 1e-9 * m.n_tok * N_IN * N_OUT_BLOCK / s);
    }
    printf("\n");
}

/* One token by weights from memory, 2 to 8 against it, and 1, 64 and 512 by weights that fit L2; a row has so many bytes. */
#define BENCH_SIZES(name, kernel, m, row)                                                                              \
    do {                                                                                                               \
        double one_, more_;                                                                                            \
        BEST_SECONDS(one_, (kernel)(&(m)));                                                                            \
        printf("  matmul_%-5s n_tok 1 %6.1f GB/s", name, 1e-9 * (row) * (m).n_out / one_);                             \
        for ((m).n_tok = 2; (m).n_tok <= 8; (m).n_tok *= 2) {                                                          \
            BEST_SECONDS(more_, (kernel)(&(m)));                                                                       \
            printf("   x%d %.2f", (m).n_tok, more_ / one_);                                                            \
        }                                                                                                              \
        (m).n_out = N_OUT_BLOCK;                                                                                       \
        (m).y_stride = N_OUT_BLOCK;                                                                                    \
        (m).n_tok = 1;                                                                                                 \
        BEST_SECONDS(one_, (kernel)(&(m)));                                                                            \
        printf("   from L2 %6.1f GB/s", 1e-9 * (row)*N_OUT_BLOCK / one_);                                              \
        for ((m).n_tok = 64; (m).n_tok <= N_TOK; (m).n_tok *= 8) {                                                     \
            BEST_SECONDS(more_, (kernel)(&(m)));                                                                       \
            printf("   n_tok %d %6.1f GMAC/s", (m).n_tok, 1e-9 * (m).n_tok * N_IN * N_OUT_BLOCK / more_);              \
        }                                                                                                              \
        printf("\n");                                                                                                  \
    } while (0)

/* Low-bit weights; of the codes only the bytes count. */
static void bench_low(const pp_kernels *k, int bits)
{
    enum { OUT_STREAM = 1 << 17 };
    enum { N_SPAN = N_IN / PP_LOW_SPAN };
    static int32_t sums[N_TOK * N_SPAN];
    static float scales[N_TOK * N_SPAN], offsets[N_TOK];
    pp_low_matmul m = {.x = (const int8_t *)x,
                       .x_stride = N_IN + 64,
                       .x_scale = scales,
                       .x_offset = offsets,
                       .x_sum = sums,
                       .n_span = N_SPAN,
                       .w = w,
                       .y = y,
                       .n_tok = 1,
                       .n_in = N_IN,
                       .n_out = OUT_STREAM / bits,
                       .y_stride = (size_t)OUT_STREAM / (size_t)bits};
    void (*kernel)(const pp_low_matmul *) = bits == 2 ? k->matmul_q2 : bits == 4 ? k->matmul_q4 : k->matmul_q8;
    char name[32];
    snprintf(name, sizeof name, "q%d", bits);
    BENCH_SIZES(name, kernel, m, (double)pp_low_group_bytes(bits, N_IN) / PP_LOW_ROWS);
}

/* Packed block types; any bytes will do. */
static void bench_blocks(const pp_kernels *k, pippin_type type)
{
    enum { BYTES = 24 << 20, N_SPAN = N_IN / PP_LOW_SPAN };
    static int16_t sums[N_TOK * N_IN / 16];
    static float scales[N_TOK * N_SPAN];
    const size_t row = pp_packed_bytes(type, PP_LOW_ROWS, N_IN) / PP_LOW_ROWS;
    const int n_out = (int)(BYTES / row / PP_LOW_ROWS * PP_LOW_ROWS);
    pp_block_matmul m = {.x = (const int8_t *)x,
                         .x_stride = N_IN + 64,
                         .x_scale = scales,
                         .x_sums = sums,
                         .sums_stride = N_IN / 16,
                         .n_span = N_SPAN,
                         .w = w,
                         .y = y,
                         .n_tok = 1,
                         .n_in = N_IN,
                         .n_out = n_out,
                         .y_stride = (size_t)n_out};
    const pp_block_kernel kernel = pp_kernels_blocks(k, type);
    BENCH_SIZES(pippin_type_name(type), kernel, m, (double)row);
}

/* One token, as it is generated, and several of a prompt, over one part of the keys. */
static void bench_attend(void (*kernel)(const pp_attend *), pippin_type type)
{
    enum { N_KEY = PP_ATTEND_SPLIT };
    static float scratch[PP_ATTEND_SCRATCH(D_HEAD)], max[PP_ATTEND_QUERIES], sum[PP_ATTEND_QUERIES];
    if (type == PIPPIN_I8)
        for (size_t i = 0; i < 2 * (size_t)N_KEY * D_HEAD; i++) ((int8_t *)w)[i] = (int8_t)(i * 37 % 255 - 127);
    else
        fill_weights(type, 2 * (size_t)N_KEY * D_HEAD);
    const void *v = (char *)w + pp_type_bytes(type, (size_t)N_KEY * D_HEAD);
    pp_attend a = {.q = x,
                   .out = y,
                   .q_stride = N_GROUP * D_HEAD,
                   .out_stride = N_GROUP * D_HEAD,
                   .max = max,
                   .sum = sum,
                   .n_group = N_GROUP,
                   .d_head = D_HEAD,
                   .k = w,
                   .v = v,
                   .scale = 0.088f,
                   .k_scale = 0.01f,
                   .v_scale = 0.01f,
                   .scratch = scratch};
    double s;
    printf("  attend_%-5s d_head %d, %d heads, %d keys:", pippin_type_name(type), D_HEAD, N_GROUP, N_KEY);
    for (a.n_tok = 1; a.n_tok * N_GROUP <= PP_ATTEND_QUERIES; a.n_tok *= 4) {
        a.n_key = N_KEY - a.n_tok + 1;
        BEST_SECONDS(s, kernel(&a));
        printf("   %d token%s %6.1f GMAC/s", a.n_tok, a.n_tok > 1 ? "s" : "",
               2e-9 * a.n_tok * N_KEY * D_HEAD * N_GROUP / s);
    }
    printf("\n");
}

/* Products as training has them: forward (b transposed), by weights, by inputs (a transposed). */
static void bench_gemm(const pp_kernels *k)
{
    static const int sizes[][3] = {{512, 2048, 2048}, {512, 832, 256}, {512, 256, 832}, {256, 256, 32}, {256, 32, 256}};
    float *scratch = pp_alloc(PP_GEMM_SCRATCH * sizeof *scratch);
    if (!scratch) return;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int m = sizes[i][0], n = sizes[i][1], depth = sizes[i][2];
        pp_gemm g = {.a = x, .b = w, .c = y, .c_row = (size_t)n, .m = m, .n = n, .k = depth, .scratch = scratch};
        printf("  gemm %4d x %4d x %4d:", m, n, depth);
        for (int turn = 0; turn < 3; turn++) {
            g.a_row = turn < 2 ? (size_t)depth : 1, g.a_col = turn < 2 ? 1 : (size_t)m;
            g.b_row = turn > 0 ? (size_t)n : 1, g.b_col = turn > 0 ? 1 : (size_t)depth;
            double s;
            BEST_SECONDS(s, k->gemm(&g));
            printf("  %s %6.1f GMAC/s", turn == 0 ? "a b^T" : turn == 1 ? "a b" : "a^T b", 1e-9 * m * n * depth / s);
        }
        printf("\n");
    }
    pp_free(scratch);
}

static void bench_rows(const pp_kernels *k)
{
    double norm, gate, quantize, bf16, rope;
    BEST_SECONDS(norm, k->rmsnorm(y, x, x + N_IN, N_IN, 1e-5f));
    BEST_SECONDS(gate, k->swiglu(y, x, x + N_IN, N_IN));
    BEST_SECONDS(quantize, k->round_i8(w, y, (int32_t *)(void *)(y + N_IN), x, N_IN));
    BEST_SECONDS(bf16, k->to_bf16(w, x, N_IN));
    BEST_SECONDS(rope, k->rope_adjacent(y, x, x + N_IN, D_HEAD));
    printf("  rows of %d: rmsnorm %.0f ns, swiglu %.0f, round_i8 %.0f, to_bf16 %.0f; rope_adjacent of %d: %.0f ns\n",
           N_IN, 1e9 * norm, 1e9 * gate, 1e9 * quantize, 1e9 * bf16, D_HEAD, 1e9 * rope);
}

int main(int argc, char **argv)
{
    const size_t n_x = (size_t)N_TOK * N_IN, n_y = (size_t)8 * (1 << 16);
    x = pp_alloc(n_x * sizeof *x);
    y = pp_alloc_zero(PP_MAX(n_y, (size_t)N_TOK * N_IN), sizeof *y);
    w = pp_alloc((size_t)N_OUT_STREAM * N_IN * sizeof(float));
    if (!x || !y || !w) return 1;
    for (size_t i = 0; i < n_x; i++) x[i] = (float)(pp_random_unit(1, 2, i) - 0.5);
    for (pp_isa isa = argc > 1 ? PP_ISA_SCALAR : PP_ISA_AVX2; isa < PP_ISA_COUNT; isa++) {
        pp_kernels k;
        if (argc > 1 && strcmp(argv[1], pp_isa_name(isa)) != 0) continue;
        pp_kernels_fill(&k, isa);
        if (k.isa != isa) continue;
        printf("%s\n", pp_isa_name(isa));
        bench_matmul(&k, PIPPIN_F32);
        bench_matmul(&k, PIPPIN_F16);
        bench_matmul(&k, PIPPIN_BF16);
        bench_low(&k, 2);
        bench_low(&k, 4);
        bench_low(&k, 8);
#define BLOCKS(name, type, ...) bench_blocks(&k, type);
        PP_BLOCK_FORMS(BLOCKS)
#undef BLOCKS
        bench_gemm(&k);
        bench_attend(k.attend_f32, PIPPIN_F32);
        bench_attend(k.attend_bf16, PIPPIN_BF16);
        bench_attend(k.attend_i8, PIPPIN_I8);
        bench_rows(&k);
    }
    pp_free(x);
    pp_free(y);
    pp_free(w);
    return 0;
}
