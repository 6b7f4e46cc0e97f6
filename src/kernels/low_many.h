/*
 * low_many.h - many tokens with low-bit weights, for any lanes_*.h: the driver of low.h's panel. A panel has the codes of a group's span,
 * and all tokens pass it, as many at a time as their sums find room for beside it in L1. Where registers last, a tile
 * multiplies the panels of two groups: an input that is loaded then serves twice as many rows.
 */
enum {
    PANEL_BYTES = SPAN_STEPS * PP_LOW_BLOCK,
    PANEL_VECTORS = 2 * PANEL_GROUPS,
    PANEL_ROWS = PANEL_GROUPS * PP_LOW_ROWS
};

/* A span of one or more groups. */
typedef struct low_panels {
    const uint8_t *codes; /* packed, of the first group, and as far on in each as group_bytes */
    size_t group_bytes;
    uint8_t *panel; /* [PANEL_GROUPS][PANEL_BYTES] unpacked, a byte each: [n_step][PP_LOW_ROWS][4] */
    int n_step;
} low_panels;

#ifdef LOW_MATRIX
#include "kernels/low_matrix.h"
#else
#include "kernels/low_panel.h"
#endif

/*
 * Tokens t .. t + n_x - 1 with vectors v and v + 1 of each panel: the products of a span are added to the sums. fresh: this tile fills
 * the panels, for those that follow it.
 */
INLINE void low_many_tile(int bits, bool fresh, int n_group, int n_x, const pp_low_matmul *m, int t, int span,
                          const low_panels *p, int v, const float *before, float *sums)
{
    ivec dot[LOW_PANEL_TOKENS][PANEL_VECTORS];
    low_panel_dots(bits, fresh, n_group, n_x, m->x + (size_t)t * m->x_stride + span * PP_LOW_SPAN, m->x_stride, p, v,
                   dot);
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2 * n_group; h++)
    {
        const int at = i * PANEL_ROWS + h / 2 * PP_LOW_ROWS + (v + h % 2) * LANES;
        v_store(sums + at, low_span(bits, m, t + i, span, dot[i][h], v_load(before + at)));
    }
}

/* The same with all vectors, for as many tokens as there are, up to LOW_PANEL_TOKENS. */
INLINE void low_many_some(int bits, bool fresh, int n_group, int n_x, const pp_low_matmul *m, int t, int span,
                          const low_panels *p, float *sums)
{
    _Alignas(64) static const float zeros[LOW_PANEL_TOKENS * PANEL_ROWS];
    const float *before = span ? sums : zeros;
    for (int v = 0; v < ROW_VECTORS; v += 2) switch (n_x) {
#define CASE(size)                                                                                                     \
    case size: low_many_tile(bits, fresh, n_group, size, m, t, span, p, v, before, sums); break;
            LOW_PANEL_SIZES(CASE)
#undef CASE
        }
}

/* At most PANEL_TOKENS tokens from t on with n_group groups, of rows o .. */
INLINE void low_many_rows(int bits, int n_group, const pp_low_matmul *m, int t, int n_tok, const uint8_t *groups, int o)
{
    _Alignas(64) uint8_t panel[PANEL_GROUPS * PANEL_BYTES];
    _Alignas(64) float sums[PANEL_TOKENS * PANEL_ROWS];
    low_outputs to[PANEL_GROUPS * ROW_VECTORS];
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in);
    const int n = PP_MIN(n_group * PP_LOW_ROWS, m->n_out - o), n_vec = n_group * ROW_VECTORS;
    const int tile = LOW_PANEL_EVEN ? even_step(n_tok, LOW_PANEL_TOKENS) : PP_MIN(LOW_PANEL_TOKENS, n_tok);
    for (int i = 0; i < n_tok; i++)
        prefetch_for_writing(m->y + (size_t)(t + i) * m->y_stride + o, (size_t)n * sizeof(float));
    for (int v = 0; v < n_vec; v++) {
        const int g = v / ROW_VECTORS, first = g * PP_LOW_ROWS;
        to[v] = low_to(m, groups + (size_t)g * group_bytes, o + first, n - first, v % ROW_VECTORS);
    }
    low_panels p = {groups + PP_LOW_ROWS * sizeof(float), group_bytes, panel, 0};
    for (int k = 0, span = 0; k < m->n_in; k += PP_LOW_SPAN, span++) {
        const bool last = k + PP_LOW_SPAN >= m->n_in;
        p.n_step = PP_MIN(PP_LOW_SPAN, m->n_in - k) / 4;
        for (int i = 0; i < n_tok; i += tile) {
            const int n_x = PP_MIN(tile, n_tok - i);
            if (i == 0)
                low_many_some(bits, true, n_group, n_x, m, t, span, &p, sums);
            else
                low_many_some(bits, false, n_group, n_x, m, t + i, span, &p, sums + i * PANEL_ROWS);
            for (int v = 0; last && v < n_vec; v++)
                for (int j = i; j < i + n_x; j++)
                    low_put(bits, m, t + j, &to[v], v_load(sums + j * PANEL_ROWS + v * LANES));
        }
        p.codes += p.n_step * bits / 8 * PP_LOW_BLOCK;
    }
}

INLINE void low_many(int bits, const pp_low_matmul *m)
{
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in);
    for (int t = 0; t < m->n_tok; t += PANEL_TOKENS) {
        const int n_tok = PP_MIN(PANEL_TOKENS, m->n_tok - t);
        const uint8_t *groups = m->w;
        for (int o = 0; o < m->n_out; o += PANEL_ROWS, groups += PANEL_GROUPS * group_bytes)
            if (PANEL_GROUPS > 1 && m->n_out - o <= PP_LOW_ROWS)
                low_many_rows(bits, 1, m, t, n_tok, groups, o);
            else
                low_many_rows(bits, PANEL_GROUPS, m, t, n_tok, groups, o);
    }
}
