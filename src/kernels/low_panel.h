/* low_panel.h - the panel of low.h and its tiles, for any lanes_*.h without instructions that multiply matrices. */

/* One group's codes of n_step times four columns from block b on, a byte each: [n_step][32][4]. */
INLINE void low_unpack(int bits, const uint8_t *codes, int n_step, uint8_t *panel)
{
    for (int s = 0; s < n_step; s += 8 / bits, codes += PP_LOW_BLOCK) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        {
            const ivec w = i_load(codes + v * LANES * 4);
            if (v * LANES * 4 % 64 == 0) prefetch_l1(codes + AHEAD + v * LANES * 4);
            UNROLL for (int j = 0; j < 8 / bits; j++)
                i_store(panel + (s + j) * PP_LOW_BLOCK + v * LANES * 4, low_codes(bits, w, j));
        }
}

/* sums[i] += token i times vectors v and v + 1 of the panel's rows, for i < n_x. */
INLINE void low_panel_tile(int bits, int n_x, const int8_t *x, size_t x_stride, const uint8_t *panel, int v, int n_step,
                           int32_t *sums)
{
    isum acc[LOW_PANEL_TOKENS][2];
    UNROLL for (int i = 0; i < n_x; i++) acc[i][0] = acc[i][1] = i_nothing();
    panel += v * LANES * 4;
    for (int s = 0; s < n_step; s += 8 / bits, panel += 8 / bits * PP_LOW_BLOCK, x += 32 / bits)
        UNROLL for (int j = 0; j < 8 / bits; j++)
        {
            const ivec w0 = i_load(panel + j * PP_LOW_BLOCK), w1 = i_load(panel + j * PP_LOW_BLOCK + 4 * LANES);
            UNROLL for (int i = 0; i < n_x; i++)
            {
                const ivec four = i_broadcast4(x + (size_t)i * x_stride + 4 * j);
                acc[i][0] = bits == 8 ? i_dot8(acc[i][0], w0, four) : i_dot(acc[i][0], w0, four);
                acc[i][1] = bits == 8 ? i_dot8(acc[i][1], w1, four) : i_dot(acc[i][1], w1, four);
            }
        }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int j = 0; j < 2; j++)
    {
        int32_t *sum = sums + i * PP_LOW_ROWS + j * LANES;
        i_store(sum, i_add(i_load(sum), bits == 8 ? i_widen8(acc[i][j]) : i_widen(acc[i][j])));
    }
}
