/*
 * low.h - products with pippin's own low-bit weights (quant/quant.h), for any lanes_*.h. A lane is a row of the group, so that no
 * sum is ever taken across lanes; sums are integers and exact, whatever the tile.
 *
 * What a level brings (lanes_*.h): i_dot adds products of unsigned codes and activations to an isum, which holds
 * `LOW_STEPS(bits)` of them, and i_widen makes int32 of it; i_dot8 and i_widen8 are the same for codes of eight bits. Where there
 * are instructions for such products an isum is int32 from the start; elsewhere it is int16, which saves additions.
 *
 * Few tokens: codes are unpacked in registers, for up to LOW_TOKENS of them. From LOW_PANEL_FROM tokens on, codes of up to
 * LOW_PANEL_BITS are unpacked once into a panel in L1 that all tokens pass (low_panel), unless the level has no use for it
 * (LOW_PANEL_TOKENS 0).
 */
enum {
    ROW_VECTORS = PP_LOW_ROWS / LANES,
    PANEL_TOKENS = 40, /* whose sums and inputs share L1 with the panel */
    PANEL_STEPS = 40,  /* steps of four columns: no more than int16 can hold of two-bit codes */
    AHEAD = 4096       /* bytes in front of the codes in use that are asked from memory */
};

/* Tokens t .. t + n_x - 1, rows o .. o + 31 of which n are there: y = sums as pp_low_matmul defines it. */
INLINE void low_put(int bits, const pp_low_matmul *m, int t, const uint8_t *group, int o, int n, int v, ivec sum)
{
    const int some = PP_MAX(0, PP_MIN(LANES, n - v * LANES));
    if (some == 0) return;
    float *y = m->y + (size_t)t * m->y_stride + o + v * LANES;
    const ivec twice = i_sub(i_add(sum, sum), i_set1((bits == 8 ? DOT8_ZERO2 : (1 << bits) - 1) * m->x_sum[t]));
    const vec scale = v_load((const float *)(const void *)group + v * LANES);
    vec r = v_mul(v_mul(i_to_float(twice), scale), v_set1(m->x_half[t]));
    if (m->bias) r = v_add(r, v_load_n(m->bias + o + v * LANES, some));
    if (m->accumulate) r = v_add(v_load_n(y, some), r);
    v_store_n(y, r, some);
}

/* Tokens of a tile. */
#define LOW_SIZES_1(X) X(1)
#define LOW_SIZES_2(X) LOW_SIZES_1(X) X(2)
#define LOW_SIZES_3(X) LOW_SIZES_2(X) X(3)
#define LOW_SIZES_5(X) LOW_SIZES_3(X) X(4) X(5)
#define LOW_SIZES_6(X) LOW_SIZES_5(X) X(6)
#define LOW_SIZES_8(X) LOW_SIZES_6(X) X(7) X(8)

/* Codes j of a block's bytes. */
INLINE ivec low_codes(int bits, ivec w, int j)
{
    if (bits == 8) return w;
    return i_and(j ? i_shift_right(w, bits * j) : w, i_set1((int)(0x01010101u * ((1u << bits) - 1))));
}

/* Tokens t .. t + n_x - 1 with one group of rows; accumulators of several sets where few tokens would wait for their own sums. */
INLINE void low_tile(int bits, int n_x, const pp_low_matmul *m, int t, const uint8_t *group, int o, int n)
{
    enum { SETS = LOW_SETS };
    const int n_set = PP_MAX(1, PP_MIN(SETS / n_x, 8 / bits)), columns = 32 / bits;
    const int n_block = m->n_in / columns, run = LOW_STEPS(bits) * bits / 8; /* blocks before the sums are full */
    const uint8_t *codes = group + PP_LOW_ROWS * sizeof(float);
    const int8_t *x = m->x + (size_t)t * m->x_stride;
    ivec acc[LOW_TOKENS][ROW_VECTORS];
    isum sum[LOW_TOKENS][ROW_VECTORS][SETS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) acc[i][v] = i_set1(0);
    for (int b = 0; b < n_block;) {
        const int end = PP_MIN(b + run, n_block);
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
            UNROLL for (int s = 0; s < n_set; s++) sum[i][v][s] = i_nothing();
        for (; b < end; b++, codes += PP_LOW_BLOCK, x += columns) {
            UNROLL for (int line = 0; line < PP_LOW_BLOCK; line += 64) prefetch_l1(codes + AHEAD + line);
            UNROLL for (int v = 0; v < ROW_VECTORS; v++)
            {
                const ivec w = i_load(codes + v * LANES * 4);
                UNROLL for (int j = 0; j < 8 / bits; j++)
                {
                    const ivec u = low_codes(bits, w, j);
                    UNROLL for (int i = 0; i < n_x; i++)
                    {
                        const ivec four = i_broadcast4(x + (size_t)i * m->x_stride + 4 * j);
                        isum *to = &sum[i][v][j % n_set];
                        *to = bits == 8 ? i_dot8(*to, u, four) : i_dot(*to, u, four);
                    }
                }
            }
        }
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
            UNROLL for (int s = 0; s < n_set; s++) acc[i][v] =
                i_add(acc[i][v], bits == 8 ? i_widen8(sum[i][v][s]) : i_widen(sum[i][v][s]));
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        low_put(bits, m, t + i, group, o, n, v, acc[i][v]);
}

#if LOW_PANEL_TOKENS
#ifdef LOW_MATRIX
#include "kernels/low_matrix.h"
#else
#include "kernels/low_panel.h"
#endif

/* At most PANEL_TOKENS tokens from t on with one group of rows. */
INLINE void low_panel(int bits, const pp_low_matmul *m, int t, int n_tok, const uint8_t *group, int o, int n)
{
    _Alignas(64) uint8_t panel[PANEL_STEPS * PP_LOW_BLOCK];
    _Alignas(64) int32_t sums[PANEL_TOKENS * PP_LOW_ROWS];
    const uint8_t *codes = group + PP_LOW_ROWS * sizeof(float);
    const int most = PP_MIN(LOW_STEPS(bits), PANEL_STEPS), n_step = m->n_in / 4;
    memset(sums, 0, (size_t)n_tok * PP_LOW_ROWS * sizeof *sums);
    for (int i = 0; i < n_tok; i++)
        prefetch_for_writing(m->y + (size_t)(t + i) * m->y_stride + o, (size_t)n * sizeof(float));
    for (int s = 0; s < n_step; s += most) {
        const int some = PP_MIN(most, n_step - s);
        low_unpack(bits, codes + (size_t)s * (size_t)bits / 8 * PP_LOW_BLOCK, some, panel);
        for (int i = 0; i < n_tok; i += LOW_PANEL_TOKENS)
            for (int v = 0; v < ROW_VECTORS; v += 2) {
                const int8_t *x = m->x + (size_t)(t + i) * m->x_stride + 4 * s;
                switch (PP_MIN(LOW_PANEL_TOKENS, n_tok - i)) {
#define CASE(size)                                                                                                     \
    case size: low_panel_tile(bits, size, x, m->x_stride, panel, v, some, sums + i * PP_LOW_ROWS + v * LANES); break;
                    LOW_PANEL_SIZES(CASE)
#undef CASE
                }
            }
    }
    for (int i = 0; i < n_tok; i++)
        for (int v = 0; v < ROW_VECTORS; v++)
            low_put(bits, m, t + i, group, o, n, v, i_load(sums + i * PP_LOW_ROWS + v * LANES));
}
#endif

INLINE void low_matmul(int bits, const pp_low_matmul *m)
{
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in);
#if LOW_PANEL_TOKENS
    if (bits <= LOW_PANEL_BITS && m->n_tok >= LOW_PANEL_FROM) {
        for (int t = 0; t < m->n_tok; t += PANEL_TOKENS) {
            const uint8_t *group = m->w;
            for (int o = 0; o < m->n_out; o += PP_LOW_ROWS, group += group_bytes)
                low_panel(bits, m, t, PP_MIN(PANEL_TOKENS, m->n_tok - t), group, o, PP_MIN(PP_LOW_ROWS, m->n_out - o));
        }
        return;
    }
#endif
    const uint8_t *group = m->w;
    for (int o = 0; o < m->n_out; o += PP_LOW_ROWS, group += group_bytes) {
        const int n = PP_MIN(PP_LOW_ROWS, m->n_out - o);
        for (int t = 0; t < m->n_tok; t += LOW_TOKENS) switch (PP_MIN(LOW_TOKENS, m->n_tok - t)) {
#define CASE(size)                                                                                                     \
    case size: low_tile(bits, size, m, t, group, o, n); break;
                LOW_SIZES(CASE)
#undef CASE
            }
    }
}

static void k_matmul_q2(const pp_low_matmul *m) { low_matmul(2, m); }
static void k_matmul_q4(const pp_low_matmul *m) { low_matmul(4, m); }
static void k_matmul_q8(const pp_low_matmul *m) { low_matmul(8, m); }

static int32_t k_sum_i8(const int8_t *q, int n)
{
    ivec sum = i_set1(0);
    int i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        sum = i_add(sum, i_widen(i_dot(i_nothing(), i_set1(0x01010101), i_load(q + i))));
    int32_t all = i_sum(sum);
    for (; i < n; i++) all += q[i];
    return all;
}
