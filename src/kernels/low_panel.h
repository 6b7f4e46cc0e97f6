/* low_panel.h - the panel of low.h and its tiles, for any lanes_*.h without instructions that multiply matrices. */

/*
 * dot[i] = token i times two vectors of each of n_group panels, for i < n_x; no more steps than a sum holds. fresh: their codes are
 * unpacked into the panels as they are multiplied; else the panels have them already.
 */
INLINE void low_panel_run(int bits, bool fresh, int n_group, int n_x, const int8_t *x, size_t x_stride,
                          const low_panels *p, int n_step, ivec dot[LOW_PANEL_TOKENS][PANEL_VECTORS])
{
    const int n_vec = 2 * n_group;
    const size_t span = (size_t)(SPAN_STEPS * bits / 8 * PP_LOW_BLOCK);
    const uint8_t *codes = p->codes;
    uint8_t *panel = p->panel;
    isum acc[LOW_PANEL_TOKENS][PANEL_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < n_vec; v++) acc[i][v] = i_nothing();
    for (int s = 0; s < n_step; s += 8 / bits, panel += 8 / bits * PP_LOW_BLOCK, x += 32 / bits) {
        if (fresh)
            UNROLL for (int g = 0; g < n_group; g++) /* the next span, and the groups that come after these */
                low_fetch_ahead(codes + (size_t)g * p->group_bytes, 8 * LANES, span, (size_t)n_group * p->group_bytes);
        UNROLL for (int j = 0; j < 8 / bits; j++)
        {
            ivec w[PANEL_VECTORS];
            UNROLL for (int v = 0; v < n_vec; v++)
            {
                const size_t group = (size_t)(v / 2);
                uint8_t *at = panel + group * PANEL_BYTES + j * PP_LOW_BLOCK + v % 2 * 4 * LANES;
                w[v] =
                    fresh ? low_codes(bits, i_load(codes + group * p->group_bytes + v % 2 * 4 * LANES), j) : i_load(at);
                if (fresh) i_store(at, w[v]);
            }
            UNROLL for (int i = 0; i < n_x; i++)
            {
                const ivec four = i_broadcast4(x + (size_t)i * x_stride + 4 * j);
                UNROLL for (int v = 0; v < n_vec; v++) acc[i][v] =
                    bits == 8 ? i_dot8(acc[i][v], w[v], four) : i_dot(acc[i][v], w[v], four);
            }
        }
        if (fresh) codes += PP_LOW_BLOCK;
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < n_vec; v++) dot[i][v] =
        bits == 8 ? i_widen8(acc[i][v]) : i_widen(acc[i][v]);
}

/* The same of a whole span, with vectors v and v + 1 of each panel. */
INLINE void low_panel_dots(int bits, bool fresh, int n_group, int n_x, const int8_t *x, size_t x_stride,
                           const low_panels *p, int v, ivec dot[LOW_PANEL_TOKENS][PANEL_VECTORS])
{
    const int most = LOW_STEPS(bits);
    low_panels part = *p;
    part.codes += v * LANES * 4;
    part.panel += v * LANES * 4;
    low_panel_run(bits, fresh, n_group, n_x, x, x_stride, &part, PP_MIN(p->n_step, most), dot);
    for (int s = most; most < SPAN_STEPS && s < p->n_step; s += most) {
        ivec more[LOW_PANEL_TOKENS][PANEL_VECTORS];
        part.codes += most * bits / 8 * PP_LOW_BLOCK;
        part.panel += most * PP_LOW_BLOCK;
        low_panel_run(bits, fresh, n_group, n_x, x + 4 * s, x_stride, &part, PP_MIN(p->n_step - s, most), more);
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2 * n_group; h++) dot[i][h] =
            i_add(dot[i][h], more[i][h]);
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
