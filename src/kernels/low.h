/*
 * low.h - products with pippin's own low-bit weights (quant/quant.h), for any lanes_*.h. A lane is a row of the group, so that no
 * sum is ever taken across lanes; sums are integers and exact, whatever the tile.
 */
enum { ROW_VECTORS = PP_LOW_ROWS / LANES, LOW_TOKENS = LANES == 16 ? 8 : 2 };

/* Tokens t .. t + n_x - 1 with one group of rows: y[o .. o + 31], of which `n` are there. */
INLINE void low_tile(int bits, int n_x, const pp_low_matmul *m, int t, const uint8_t *group, int o, int n)
{
    const uint8_t *codes = group + PP_LOW_ROWS * sizeof(float);
    const int columns = 32 / bits;
    const ivec mask = i_set1((int)(0x01010101u * ((1u << bits) - 1)));
    ivec acc[LOW_TOKENS][ROW_VECTORS];
    UNROLL for (int x = 0; x < n_x; x++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) acc[x][v] = i_set1(0);
    for (int k = 0; k < m->n_in; k += columns, codes += PP_LOW_BLOCK) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        {
            ivec w = i_load(codes + v * LANES * 4);
            UNROLL for (int j = 0; j < 8 / bits; j++)
            {
                const ivec u = bits == 8 ? w : i_and(j ? i_shift_right(w, bits * j) : w, mask);
                UNROLL for (int x = 0; x < n_x; x++)
                {
                    const int8_t *at = m->x + (size_t)(t + x) * m->x_stride + k + 4 * j;
                    acc[x][v] =
                        bits == 8 ? i_dot8(acc[x][v], u, i_broadcast4(at)) : i_dot(acc[x][v], u, i_broadcast4(at));
                }
            }
        }
    UNROLL for (int x = 0; x < n_x; x++)
    {
        const ivec less = i_set1((bits == 8 ? DOT8_ZERO2 : (1 << bits) - 1) * m->x_sum[t + x]);
        const vec half = v_set1(m->x_half[t + x]);
        float *y = m->y + (size_t)(t + x) * m->y_stride + o;
        UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        {
            const int some = PP_MAX(0, PP_MIN(LANES, n - v * LANES));
            if (some == 0) break;
            const ivec twice = i_sub(i_add(acc[x][v], acc[x][v]), less);
            vec r = v_mul(v_mul(i_to_float(twice), v_load((const float *)(const void *)group + v * LANES)), half);
            if (m->bias) r = v_add(r, v_load_n(m->bias + o + v * LANES, some));
            if (m->accumulate) r = v_add(v_load_n(y + v * LANES, some), r);
            v_store_n(y + v * LANES, r, some);
        }
    }
}

#define LOW_SIZES_16(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define LOW_SIZES_8(X)  X(1) X(2)

INLINE void low_matmul(int bits, const pp_low_matmul *m)
{
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in);
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
    for (; i + 4 * LANES <= n; i += 4 * LANES) sum = i_dot(sum, i_set1(0x01010101), i_load(q + i));
    int32_t all = i_sum(sum);
    for (; i < n; i++) all += q[i];
    return all;
}
