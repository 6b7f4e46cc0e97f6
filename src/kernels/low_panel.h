/* low_panel.h - the panel of low.h and its tiles, for any lanes_*.h without instructions that multiply matrices. */

/*
 * dot[i] = token i times two vectors of rows, for i < n_x; no more than a sum holds. fresh: their codes come from `codes`, a group's,
 * and go to the panel, a byte each: [n_step][32][4]; else the panel has them already.
 */
INLINE void low_panel_run(int bits, bool fresh, int n_x, const int8_t *x, size_t x_stride, const uint8_t *codes,
                          uint8_t *panel, int n_step, ivec dot[LOW_PANEL_TOKENS][2])
{
    isum acc[LOW_PANEL_TOKENS][2];
    UNROLL for (int i = 0; i < n_x; i++) acc[i][0] = acc[i][1] = i_nothing();
    for (int s = 0; s < n_step; s += 8 / bits, panel += 8 / bits * PP_LOW_BLOCK, x += 32 / bits) {
        if (fresh) low_fetch(codes, 8 * LANES);
        UNROLL for (int j = 0; j < 8 / bits; j++)
        {
            uint8_t *at = panel + j * PP_LOW_BLOCK, *beside = at + 4 * LANES;
            const ivec w0 = fresh ? low_codes(bits, i_load(codes), j) : i_load(at);
            const ivec w1 = fresh ? low_codes(bits, i_load(codes + 4 * LANES), j) : i_load(beside);
            if (fresh) {
                i_store(at, w0);
                i_store(beside, w1);
            }
            UNROLL for (int i = 0; i < n_x; i++)
            {
                const ivec four = i_broadcast4(x + (size_t)i * x_stride + 4 * j);
                acc[i][0] = bits == 8 ? i_dot8(acc[i][0], w0, four) : i_dot(acc[i][0], w0, four);
                acc[i][1] = bits == 8 ? i_dot8(acc[i][1], w1, four) : i_dot(acc[i][1], w1, four);
            }
        }
        if (fresh) codes += PP_LOW_BLOCK;
    }
    UNROLL for (int i = 0; i < n_x; i++)
    {
        dot[i][0] = bits == 8 ? i_widen8(acc[i][0]) : i_widen(acc[i][0]);
        dot[i][1] = bits == 8 ? i_widen8(acc[i][1]) : i_widen(acc[i][1]);
    }
}

/* The same of a whole span, with vectors v and v + 1. */
INLINE void low_panel_dots(int bits, bool fresh, int n_x, const int8_t *x, size_t x_stride, const uint8_t *codes,
                           uint8_t *panel, int v, int n_step, ivec dot[LOW_PANEL_TOKENS][2])
{
    const int most = LOW_STEPS(bits);
    panel += v * LANES * 4;
    codes += v * LANES * 4;
    low_panel_run(bits, fresh, n_x, x, x_stride, codes, panel, PP_MIN(n_step, most), dot);
    for (int s = most; most < SPAN_STEPS && s < n_step; s += most) {
        ivec more[LOW_PANEL_TOKENS][2];
        low_panel_run(bits, fresh, n_x, x + 4 * s, x_stride, codes + s * bits / 8 * PP_LOW_BLOCK,
                      panel + s * PP_LOW_BLOCK, PP_MIN(n_step - s, most), more);
        UNROLL for (int i = 0; i < n_x; i++)
        {
            dot[i][0] = i_add(dot[i][0], more[i][0]);
            dot[i][1] = i_add(dot[i][1], more[i][1]);
        }
    }
}

/* Codes of steps s and s + 1, s even, of vector v into a panel. */
INLINE void low_put_steps(uint8_t *panel, int s, int v, ivec first, ivec second)
{
    i_store(panel + s * PP_LOW_BLOCK + v * LANES * 4, first);
    i_store(panel + (s + 1) * PP_LOW_BLOCK + v * LANES * 4, second);
}

/* acc, or nothing, and the products of one step. */
INLINE isum low_panel_dot(int bits, bool first, isum acc, ivec w, ivec four)
{
    if (bits == 8) return i_dot8(first ? i_nothing() : acc, w, four);
    return first ? i_first(w, four) : i_dot(acc, w, four);
}

/*
 * token i times vectors v and v + 1 of n_step steps: with their scales [2] added to total[i], or, without, total[i] becomes it. A
 * part of n_step that a sum holds divides it.
 */
INLINE void low_panel_add(int bits, int n_x, const int8_t *x, size_t x_stride, const uint8_t *panel, int v, int n_step,
                          const ivec *scale, ivec total[LOW_PANEL_TOKENS][2])
{
    const int most = bits == 8 ? n_step : PP_MIN(n_step, LOW_STEPS(bits));
    panel += v * LANES * 4;
    UNROLL for (int s = 0; s < n_step; s += most)
    {
        isum acc[LOW_PANEL_TOKENS][2];
        UNROLL for (int j = s; j < s + most; j++)
        {
            const ivec w0 = i_load(panel + j * PP_LOW_BLOCK), w1 = i_load(panel + j * PP_LOW_BLOCK + 4 * LANES);
            UNROLL for (int i = 0; i < n_x; i++)
            {
                const ivec four = i_broadcast4(x + (size_t)i * x_stride + 4 * j);
                acc[i][0] = low_panel_dot(bits, j == s, acc[i][0], w0, four);
                acc[i][1] = low_panel_dot(bits, j == s, acc[i][1], w1, four);
            }
        }
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2; h++)
        {
            if (scale) {
                total[i][h] = i_add_scaled(total[i][h], acc[i][h], scale[h]);
            } else {
                const ivec more = bits == 8 ? i_widen8(acc[i][h]) : i_widen(acc[i][h]);
                total[i][h] = s ? i_add(total[i][h], more) : more;
            }
        }
    }
}
