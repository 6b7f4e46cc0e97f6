/*
 * blocks.h - products with packed block types of GGUF files (quant/quant.h), for any lanes_*.h and with what low.h has. A lane is a
 * row of the group. Sums of codes times activations are integers within a sub-block, as in low.h; a span's are then int32 with
 * each sub-block's scale in it (blocks of 256), or float (blocks of 32). kernels.h has the order of it all.
 *
 * What a level brings besides: i_pairs loads the bytes of two sub-blocks as int16, two a lane; i_scale makes of one of the two what
 * i_add_scaled multiplies an isum by; i_add_pairs adds both, each times its sum of activations.
 */
enum { UNIT_STEPS = PP_UNIT / 4, SPAN_UNITS = PP_LOW_SPAN / PP_UNIT, MOST_SUBS = PP_LOW_SPAN / 16 };

/* ---- codes ---- */

/* Codes of step s of a unit, of the rows of vector v. */
INLINE ivec block_codes(pp_block_form f, const uint8_t *unit, int v, int s)
{
    const int each = 8 / f.low;
    const ivec low = low_codes(f.low, i_load(unit + s / each * PP_LOW_BLOCK + v * LANES * 4), s % each);
    if (!f.high) return low;
    const int each_high = 8 / PP_MAX(f.high, 1), at = s % each_high * f.high;
    ivec high = i_load(unit + (f.low + s / each_high) * PP_LOW_BLOCK + v * LANES * 4);
    if (at > f.low) high = i_shift_right(high, at - f.low);
    if (at < f.low) high = i_shift_left(high, f.low - at);
    return i_or(low, i_and(high, i_set1((int)(0x01010101u * (((1u << f.high) - 1) << f.low)))));
}

/* Steps of a sub-block that an isum holds: all, or such a part that they come out even. */
INLINE int block_most(pp_block_form f)
{
    return f.low == 8 ? UNIT_STEPS : PP_MIN(LOW_STEPS(f.low + f.high), f.columns / 4);
}

/* What is taken off codes that i_dot or i_dot8 has multiplied. */
INLINE int block_zero(pp_block_form f) { return f.low == 8 ? DOT8_ZERO : f.zero; }

/* acc[i] = products of n steps from s on with tokens i < n_x. */
INLINE void block_dots(pp_block_form f, int n_x, const uint8_t *unit, int v, int s, int n, const int8_t *x,
                       size_t x_stride, isum acc[LOW_TOKENS])
{
    UNROLL for (int j = s; j < s + n; j++)
    {
        const ivec u = block_codes(f, unit, v, j);
        UNROLL for (int i = 0; i < n_x; i++)
        {
            const ivec four = i_broadcast4(x + (size_t)i * x_stride + 4 * j);
            if (f.low == 8)
                acc[i] = i_dot8(j == s ? i_nothing() : acc[i], u, four);
            else
                acc[i] = j == s ? i_first(u, four) : i_dot(acc[i], u, four);
        }
    }
}

/* ---- what stands beside the codes ---- */

INLINE vec block_f16(const uint8_t *d, int v) { return v_load_f16((const uint16_t *)(const void *)d + v * LANES); }

/* Scales of sub-blocks j and j + 1, j even. */
INLINE ivec block_scales(pp_block_form f, const uint8_t *span, int v, int j)
{
    return i_pairs(span + j * PP_LOW_ROWS + v * LANES * 2, pp_form_nibbles(f) ? PAIRS_LOW
                                                           : f.minima         ? PAIRS_BYTES
                                                                              : PAIRS_SIGNED);
}

/* What of these is multiplied by sums of activations: minima, or the scales again, for what is taken off the codes. */
INLINE ivec block_minima(pp_block_form f, const uint8_t *span, int v, int j)
{
    if (!f.minima) return block_scales(f, span, v, j);
    if (!pp_form_nibbles(f)) span += pp_form_subs(f) * PP_LOW_ROWS;
    return i_pairs(span + j * PP_LOW_ROWS + v * LANES * 2, pp_form_nibbles(f) ? PAIRS_HIGH : PAIRS_BYTES);
}

/* What a span gives: total has the scales in it, less the minima. */
INLINE vec block_part(pp_block_form f, ivec total, ivec less, vec d, vec m)
{
    if (f.minima) return v_fma(v_sub(v_zero(), m), i_to_float(less), v_mul(d, i_to_float(total)));
    return v_mul(d, i_to_float(i_sub(total, i_times(less, f.zero))));
}

/* part + what a unit of a block of 32 gives, the sum of its activations being xs. */
INLINE vec block_add_unit(pp_block_form f, vec part, ivec dot, int xs, vec d, vec m)
{
    if (block_zero(f)) dot = i_sub(dot, i_set1(block_zero(f) * xs));
    part = v_fma(d, i_to_float(dot), part);
    return f.minima ? v_fma(m, v_set1((float)xs), part) : part;
}

INLINE vec block_scaled(const pp_block_matmul *m, int t, int span, vec part, vec sum)
{
    return v_fma(part, v_set1(m->x_scale[t * m->n_span + span]), sum);
}

/* Rows o + v * LANES .., as far as the group's n are there, of token t: from the sum over all spans to y. */
INLINE void block_put(const pp_block_matmul *m, int t, int o, int n, int v, vec sum)
{
    const int some = PP_MAX(0, PP_MIN(LANES, n - v * LANES));
    if (some == 0) return;
    float *y = m->y + (size_t)t * m->y_stride + o + v * LANES;
    if (m->bias) sum = v_add(sum, v_load_n(m->bias + o + v * LANES, some));
    if (m->accumulate) sum = v_add(v_load_n(y, some), sum);
    v_store_n(y, sum, some);
}

/* ---- few tokens: codes are taken apart in registers ---- */

/*
 * Asks for what lies ahead of so many bytes, a multiple of 64: with each vector of rows for its share of the lines, and where they
 * are read. A core waits for bursts of them.
 */
INLINE void block_fetch(const uint8_t *at, int bytes, int v)
{
    const int lines = bytes / 64, first = lines * v / ROW_VECTORS, end = lines * (v + 1) / ROW_VECTORS;
    low_fetch(at + 64 * first, 64 * (end - first));
}

/* What n_x tokens get of a block of 256 for the rows of vector v. */
INLINE void block_parts_256(pp_block_form f, int n_x, const uint8_t *d, int v, const int8_t *x, size_t x_stride,
                            const int16_t *xs, size_t xs_stride, vec part[LOW_TOKENS])
{
    const int steps = f.columns / 4, most = block_most(f), two = 2 * steps / UNIT_STEPS * pp_form_unit(f);
    const uint8_t *span = d + pp_form_head(f), *unit = span + pp_form_codes(f);
    block_fetch(d, pp_form_head(f) + pp_form_codes(f), v);
    ivec total[LOW_TOKENS], less[LOW_TOKENS];
    UNROLL for (int i = 0; i < n_x; i++) total[i] = less[i] = i_set1(0);
    for (int j = 0; j < pp_form_subs(f); j += 2, unit += two, x += 8 * steps) {
        block_fetch(unit, two, v);
        const ivec scales = block_scales(f, span, v, j), minima = block_minima(f, span, v, j);
        UNROLL for (int s = 0; s < 2 * steps; s += most)
        {
            const ivec scale = i_scale(scales, s / steps);
            isum acc[LOW_TOKENS];
            block_dots(f, n_x, unit + s / UNIT_STEPS * pp_form_unit(f), v, s % UNIT_STEPS, most,
                       x + s / UNIT_STEPS * PP_UNIT, x_stride, acc);
            UNROLL for (int i = 0; i < n_x; i++) total[i] = i_add_scaled(total[i], acc[i], scale);
        }
        UNROLL for (int i = 0; i < n_x; i++) less[i] = i_add_pairs(less[i], minima, xs + (size_t)i * xs_stride + j);
    }
    UNROLL for (int i = 0; i < n_x; i++) part[i] =
        block_part(f, total[i], less[i], block_f16(d, v), block_f16(d + 2 * PP_LOW_ROWS * (f.minima ? 1 : 0), v));
}

/* The same of n_unit blocks of 32. */
INLINE void block_parts_32(pp_block_form f, int n_x, const uint8_t *at, int n_unit, int v, const int8_t *x,
                           size_t x_stride, const int16_t *xs, size_t xs_stride, vec part[LOW_TOKENS])
{
    const int most = block_most(f), bytes = pp_form_head(f) + pp_form_unit(f);
    UNROLL for (int i = 0; i < n_x; i++) part[i] = v_zero();
    for (int u = 0; u < n_unit; u++, at += bytes, x += PP_UNIT) {
        block_fetch(at, bytes, v);
        ivec dot[LOW_TOKENS];
        UNROLL for (int s = 0; s < UNIT_STEPS; s += most)
        {
            isum acc[LOW_TOKENS];
            block_dots(f, n_x, at + pp_form_head(f), v, s, most, x, x_stride, acc);
            UNROLL for (int i = 0; i < n_x; i++)
            {
                const ivec more = f.low == 8 ? i_widen8(acc[i]) : i_widen(acc[i]);
                dot[i] = s ? i_add(dot[i], more) : more;
            }
        }
        UNROLL for (int i = 0; i < n_x; i++) part[i] =
            block_add_unit(f, part[i], dot[i], xs[(size_t)i * xs_stride + (size_t)u], block_f16(at, v),
                           block_f16(at + 2 * PP_LOW_ROWS * (f.minima ? 1 : 0), v));
    }
}

/* Tokens t .. t + n_x - 1 with one group of rows. */
INLINE void block_tile(pp_block_form f, int n_x, const pp_block_matmul *m, int t, const uint8_t *group, int o, int n)
{
    const int8_t *x = m->x + (size_t)t * m->x_stride;
    const int16_t *xs = m->x_sums + (size_t)t * m->sums_stride;
    const uint8_t *at = group;
    vec sum[LOW_TOKENS][ROW_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) sum[i][v] = v_zero();
    for (int k = 0, span = 0, bytes; k < m->n_in; k += PP_LOW_SPAN, span++, at += bytes) {
        const int n_unit = PP_MIN(PP_LOW_SPAN, m->n_in - k) / PP_UNIT;
        bytes = f.super ? pp_form_head(f) + pp_form_span(f) : n_unit * (pp_form_head(f) + pp_form_unit(f));
        for (int v = 0; v < ROW_VECTORS; v++) {
            vec part[LOW_TOKENS];
            if (f.super)
                block_parts_256(f, n_x, at, v, x + k, m->x_stride, xs + k / f.columns, m->sums_stride, part);
            else
                block_parts_32(f, n_x, at, n_unit, v, x + k, m->x_stride, xs + k / f.columns, m->sums_stride, part);
            UNROLL for (int i = 0; i < n_x; i++) sum[i][v] = block_scaled(m, t + i, span, part[i], sum[i][v]);
        }
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        block_put(m, t + i, o, n, v, sum[i][v]);
}

#include "kernels/blocks_panel.h"

INLINE void block_matmul(pp_block_form f, const pp_block_matmul *m)
{
    const size_t group_bytes = pp_form_group(f, (size_t)m->n_in);
    const uint8_t *group = m->w;
    int most = LOW_TOKENS;
    if (f.low <= LOW_PANEL_BITS) most = PP_MIN(LOW_TOKENS, LOW_PANEL_FROM - 1);
    if (f.low <= LOW_PANEL_BITS && m->n_tok >= LOW_PANEL_FROM) {
        for (int t = 0; t < m->n_tok; t += PANEL_TOKENS, group = m->w)
            for (int o = 0; o < m->n_out; o += PP_LOW_ROWS, group += group_bytes)
                block_panel(f, m, t, PP_MIN(PANEL_TOKENS, m->n_tok - t), group, o, PP_MIN(PP_LOW_ROWS, m->n_out - o));
        return;
    }
    for (int o = 0; o < m->n_out; o += PP_LOW_ROWS, group += group_bytes) {
        const int n = PP_MIN(PP_LOW_ROWS, m->n_out - o);
        int t = 0;
#define TILES(size)                                                                                                    \
    for (; size <= most && m->n_tok - t >= size; t += size) block_tile(f, size, m, t, group, o, n);
        BLOCK_SIZES(TILES)
#undef TILES
    }
}

#define BLOCKS(name, type, ...)                                                                                        \
    static void k_matmul_##name(const pp_block_matmul *m) { block_matmul((pp_block_form){__VA_ARGS__}, m); }
PP_BLOCK_FORMS(BLOCKS)
#undef BLOCKS

/* Sums of four codes first: a vector of them is what i_dot gives. */
static void k_sums_i8(int16_t *sums, const int8_t *q, int n)
{
    int i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        int32_t fours[LANES];
        i_store(fours, i_widen(i_dot(i_nothing(), i_set1(0x01010101), i_load(q + i))));
        for (int j = 0; j < LANES; j += 4) *sums++ = (int16_t)(fours[j] + fours[j + 1] + fours[j + 2] + fours[j + 3]);
    }
    for (; i < n; i += 16, sums++) {
        int all = 0;
        for (int j = 0; j < 16; j++) all += q[i + j];
        *sums = (int16_t)all;
    }
}
