/* blocks_panel.h - many tokens with packed block types: a span's codes are taken apart once, into a panel that all tokens pass. */

/* What stands beside a span's codes, as tiles want it. */
typedef struct block_side {
    ivec scale[MOST_SUBS][ROW_VECTORS];                         /* of i_scale */
    ivec minima[MOST_SUBS / 2][ROW_VECTORS];                    /* of i_pairs */
    vec d[SPAN_UNITS][ROW_VECTORS], m[SPAN_UNITS][ROW_VECTORS]; /* of blocks of 256 only the first */
} block_side;

/* The codes of n_unit units, `bytes` from one to the next. */
INLINE void block_unpack(pp_block_form f, const uint8_t *unit, int bytes, int n_unit, uint8_t *panel)
{
    for (int u = 0; u < n_unit; u++, unit += bytes, panel += UNIT_STEPS * PP_LOW_BLOCK) {
        low_fetch(unit, bytes);
        for (int v = 0; v < ROW_VECTORS; v++)
            UNROLL for (int s = 0; s < UNIT_STEPS; s += 2)
                low_put_steps(panel, s, v, block_codes(f, unit, v, s), block_codes(f, unit, v, s + 1));
    }
}

INLINE void block_read_256(pp_block_form f, const uint8_t *d, block_side *side)
{
    const uint8_t *span = d + pp_form_head(f);
    for (int v = 0; v < ROW_VECTORS; v++) {
        UNROLL for (int j = 0; j < pp_form_subs(f); j += 2)
        {
            const ivec scales = block_scales(f, span, v, j);
            side->scale[j][v] = i_scale(scales, 0);
            side->scale[j + 1][v] = i_scale(scales, 1);
            side->minima[j / 2][v] = block_minima(f, span, v, j);
        }
        side->d[0][v] = block_f16(d, v);
        side->m[0][v] = block_f16(d + 2 * PP_LOW_ROWS * (f.minima ? 1 : 0), v);
    }
}

INLINE void block_read_32(pp_block_form f, const uint8_t *at, int n_unit, block_side *side)
{
    for (int u = 0; u < n_unit; u++, at += pp_form_head(f) + pp_form_unit(f))
        for (int v = 0; v < ROW_VECTORS; v++) {
            side->d[u][v] = block_f16(at, v);
            side->m[u][v] = block_f16(at + 2 * PP_LOW_ROWS * (f.minima ? 1 : 0), v);
        }
}

/* Tokens t .. t + n_x - 1 with vectors v and v + 1 of a span's panel: their parts are added to the sums. */
INLINE void block_panel_256(pp_block_form f, int n_x, const pp_block_matmul *m, int t, int span, const uint8_t *panel,
                            const block_side *side, int v, float *sums)
{
    const int8_t *x = m->x + (size_t)t * m->x_stride + span * PP_LOW_SPAN;
    const int16_t *xs = m->x_sums + (size_t)t * m->sums_stride + span * PP_LOW_SPAN / f.columns;
    ivec total[LOW_PANEL_TOKENS][2];
    UNROLL for (int i = 0; i < n_x; i++) total[i][0] = total[i][1] = i_set1(0);
    for (int j = 0; j < pp_form_subs(f); j++)
        low_panel_add(f.low + f.high, n_x, x + j * f.columns, m->x_stride, panel + j * f.columns / 4 * PP_LOW_BLOCK, v,
                      f.columns / 4, &side->scale[j][v], total);
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2; h++)
    {
        ivec less = i_set1(0);
        UNROLL for (int j = 0; j < pp_form_subs(f); j += 2) less =
            i_add_pairs(less, side->minima[j / 2][v + h], xs + (size_t)i * m->sums_stride + j);
        const vec part = block_part(f, total[i][h], less, side->d[0][v + h], side->m[0][v + h]);
        float *sum = sums + i * PP_LOW_ROWS + (v + h) * LANES;
        v_store(sum, block_scaled(m, t + i, span, part, v_load(sum)));
    }
}

INLINE void block_panel_32(pp_block_form f, int n_x, const pp_block_matmul *m, int t, int span, const uint8_t *panel,
                           const block_side *side, int v, float *sums)
{
    const int8_t *x = m->x + (size_t)t * m->x_stride + span * PP_LOW_SPAN;
    const int16_t *xs = m->x_sums + (size_t)t * m->sums_stride + span * SPAN_UNITS;
    const int n_unit = PP_MIN(PP_LOW_SPAN, m->n_in - span * PP_LOW_SPAN) / PP_UNIT;
    vec part[LOW_PANEL_TOKENS][2];
    UNROLL for (int i = 0; i < n_x; i++) part[i][0] = part[i][1] = v_zero();
    for (int u = 0; u < n_unit; u++) {
        ivec dot[LOW_PANEL_TOKENS][2];
        low_panel_add(f.low + f.high, n_x, x + u * PP_UNIT, m->x_stride, panel + u * UNIT_STEPS * PP_LOW_BLOCK, v,
                      UNIT_STEPS, NULL, dot);
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2; h++) part[i][h] = block_add_unit(
            f, part[i][h], dot[i][h], xs[(size_t)i * m->sums_stride + (size_t)u], side->d[u][v + h], side->m[u][v + h]);
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2; h++)
    {
        float *sum = sums + i * PP_LOW_ROWS + (v + h) * LANES;
        v_store(sum, block_scaled(m, t + i, span, part[i][h], v_load(sum)));
    }
}

/* A span of at most PANEL_TOKENS tokens from t on. */
INLINE void block_panel_span(pp_block_form f, const pp_block_matmul *m, int t, int n_tok, int span,
                             const uint8_t *panel, const block_side *side, float *sums)
{
    int i = 0;
#define TILES(size)                                                                                                    \
    for (; n_tok - i >= size; i += size)                                                                               \
        for (int v = 0; v < ROW_VECTORS; v += 2)                                                                       \
            if (f.super)                                                                                               \
                block_panel_256(f, size, m, t + i, span, panel, side, v, sums + i * PP_LOW_ROWS);                      \
            else                                                                                                       \
                block_panel_32(f, size, m, t + i, span, panel, side, v, sums + i * PP_LOW_ROWS);
    BLOCK_PANEL_SIZES(TILES)
#undef TILES
}

/* At most PANEL_TOKENS tokens from t on with one group of rows. */
INLINE void block_panel(pp_block_form f, const pp_block_matmul *m, int t, int n_tok, const uint8_t *group, int o, int n)
{
    _Alignas(64) uint8_t panel[SPAN_STEPS * PP_LOW_BLOCK];
    _Alignas(64) float sums[PANEL_TOKENS * PP_LOW_ROWS];
    block_side side;
    const uint8_t *at = group;
    memset(sums, 0, (size_t)n_tok * PP_LOW_ROWS * sizeof *sums);
    for (int i = 0; i < n_tok; i++)
        prefetch_for_writing(m->y + (size_t)(t + i) * m->y_stride + o, (size_t)n * sizeof(float));
    for (int k = 0, span = 0; k < m->n_in; k += PP_LOW_SPAN, span++) {
        const int n_unit = PP_MIN(PP_LOW_SPAN, m->n_in - k) / PP_UNIT, bytes = pp_form_head(f) + pp_form_unit(f);
        if (f.super) {
            block_read_256(f, at, &side);
            block_unpack(f, at + pp_form_head(f) + pp_form_codes(f), pp_form_unit(f), n_unit, panel);
            at += pp_form_head(f) + pp_form_span(f);
        } else {
            block_read_32(f, at, n_unit, &side);
            block_unpack(f, at + pp_form_head(f), bytes, n_unit, panel);
            at += n_unit * bytes;
        }
        block_panel_span(f, m, t, n_tok, span, panel, &side, sums);
    }
    for (int i = 0; i < n_tok; i++)
        for (int v = 0; v < ROW_VECTORS; v++) block_put(m, t + i, o, n, v, v_load(sums + i * PP_LOW_ROWS + v * LANES));
}
