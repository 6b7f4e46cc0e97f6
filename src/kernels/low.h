/*
 * low.h - products with pippin's own low-bit weights (quant/quant.h), for any lanes_*.h. A lane is a row of the group, so that no
 * sum is ever taken across lanes; sums are integers and exact, whatever the tile.
 *
 * What a level brings (lanes_*.h): i_dot adds products of unsigned codes and activations to an isum, which holds
 * `LOW_STEPS(bits)` of them (whole blocks), and i_widen makes int32 of it; i_dot8 and i_widen8 are the same for codes of eight bits. Where there
 * are instructions for such products an isum is int32 from the start; elsewhere it is int16, which saves additions.
 *
 * Few tokens: codes are unpacked in registers, for up to LOW_TOKENS of them. From LOW_PANEL_FROM tokens on, codes of up to
 * LOW_PANEL_BITS are unpacked once into a panel in L1 that all tokens pass (low_many.h).
 */
enum {
    ROW_VECTORS = PP_LOW_ROWS / LANES,
    SPAN_STEPS = PP_LOW_SPAN / 4, /* of four columns */
    NEAR = 4096,                  /* bytes in front of the codes in use that are asked for into L1, */
    FAR = 16384                   /* and from memory into L2, which can wait for more of them at a time */
};

/* `bytes` of codes, a distance ahead of these: the nearer ones into L1, the farther ones into L2. */
INLINE void low_fetch_ahead(const uint8_t *codes, int bytes, size_t nearer, size_t farther)
{
    for (int line = 0; line < bytes; line += 64) {
        prefetch_l2(codes + farther + line);
        prefetch_l1(codes + nearer + line);
    }
}

INLINE void low_fetch(const uint8_t *codes, int bytes) { low_fetch_ahead(codes, bytes, NEAR, FAR); }

/*
 * Block b of some tokens' codes. Where products take as long as their codes, a core stops to multiply while it has no place for
 * one more line to wait in. Then the two lines of a block are asked for at different times, turn by turn.
 */
INLINE void low_fetch_block(int bits, int n_x, const uint8_t *codes, int b)
{
    _Static_assert(PP_LOW_BLOCK == 128, "two lines");
    const int line = 64 * (b % 2);
    if (n_x <= (bits == 2 ? 1 : bits)) {
        low_fetch(codes, PP_LOW_BLOCK);
        return;
    }
    prefetch_l2(codes + FAR / 2 + line);
    prefetch_l2(codes + FAR / 4 + (64 - line));
    prefetch_l1(codes + NEAR / 2);
    prefetch_l1(codes + NEAR / 2 + 64);
}

/* What a level says only where it differs. */
#if !defined(PANEL_TOKENS)
#define PANEL_TOKENS 40 /* whose sums and inputs share 32 KB of L1 with the panel */
#endif
#if !defined(LOW_SETS)
#define LOW_SETS(n_x) 1 /* of accumulators, for n_x tokens */
#endif
#if !defined(LOW_IN_PLACE)
#define LOW_IN_PLACE   false
#define LOW_DOWN(a, n) (a) /* a sum of codes that are n places up */
#endif
#if !defined(LOW_BESIDE)
#define LOW_BESIDE 1 /* vectors of a block that are in registers at a time */
#endif
#if !defined(LOW_EMBEDDED)
#define LOW_EMBEDDED(bits, n_x)   false /* may products read their activations from memory themselves? */
#define i_dot_embedded(acc, u, x) i_dot(acc, u, i_broadcast4(x))
#endif
#if !defined(PANEL_GROUPS)
#define PANEL_GROUPS 1 /* of rows, whose panels a tile multiplies together */
#endif
#if !defined(LOW_PANEL_EVEN)
#define LOW_PANEL_EVEN false /* tiles of one size, or as large as they get and a rest */
#endif

/* sum + what one span adds to a token's outputs, its products being `dot`. */
INLINE vec low_span(int bits, const pp_low_matmul *m, int t, int span, ivec dot, vec sum)
{
    const int at = t * m->n_span + span;
    if (bits == 8 && DOT8_ZERO != 0) dot = i_sub(dot, i_set1(DOT8_ZERO * m->x_sum[at]));
    return v_fma(i_to_float(dot), v_set1(m->x_scale[at]), sum);
}

/* Where vector v of a group's rows goes, which are rows o .. and n of them there. */
typedef struct low_outputs {
    vec scale, bias;
    float *y; /* of token 0 */
    int some; /* of the lanes */
} low_outputs;

INLINE low_outputs low_to(const pp_low_matmul *m, const uint8_t *group, int o, int n, int v)
{
    const int some = PP_MAX(0, PP_MIN(LANES, n - v * LANES));
    const bool bias = m->bias && some;
    return (low_outputs){.scale = v_load((const float *)(const void *)group + v * LANES),
                         .bias = bias ? v_load_n(m->bias + o + v * LANES, some) : v_zero(),
                         .y = m->y + o + v * LANES,
                         .some = some};
}

/* Token t's, from the sum over all spans. */
INLINE void low_put(int bits, const pp_low_matmul *m, int t, const low_outputs *to, vec sum)
{
    float *y = to->y + (size_t)t * m->y_stride;
    if (bits < 8) sum = v_fma(v_set1(-(float)((1 << bits) - 1) / 2), v_set1(m->x_offset[t]), sum);
    vec r = v_mul(sum, to->scale);
    if (m->bias) r = v_add(r, to->bias);
    if (to->some == LANES) {
        v_store(y, m->accumulate ? v_add(v_load(y), r) : r);
    } else if (to->some) {
        if (m->accumulate) r = v_add(v_load_n(y, to->some), r);
        v_store_n(y, r, to->some);
    }
}

/* Tokens of a tile. */
#define LOW_SIZES_1(X) X(1)
#define LOW_SIZES_2(X) LOW_SIZES_1(X) X(2)
#define LOW_SIZES_3(X) LOW_SIZES_2(X) X(3)
#define LOW_SIZES_5(X) LOW_SIZES_3(X) X(4) X(5)
#define LOW_SIZES_6(X) LOW_SIZES_5(X) X(6)
#define LOW_SIZES_8(X) LOW_SIZES_6(X) X(7) X(8)

/* Codes j of a block's bytes, times 2^(bits * place), place <= j: shifted down by as much less. */
INLINE ivec low_codes_in_place(int bits, ivec w, int j, int place)
{
    if (bits == 8) return w;
    if (j > place) w = i_shift_right(w, bits * (j - place));
    return i_and(w, i_set1((int)(0x01010101u * (((1u << bits) - 1) << (bits * place)))));
}

INLINE ivec low_codes(int bits, ivec w, int j) { return low_codes_in_place(bits, w, j, 0); }

/*
 * dot[i][v] = products of n_block blocks with tokens i < n_x, no more than an accumulator holds. With LOW_SETS(n_x) sets of
 * accumulators code j of a byte goes to set j modulo their number; sets are what few tokens need, which would wait for their own
 * sums. Where an accumulator has room for it (LOW_IN_PLACE), codes of set s are left in place s of their bytes, and the sum is
 * shifted down: a shift less for each code.
 */
INLINE void low_run(int bits, int n_x, const uint8_t *codes, const int8_t *x, size_t x_stride, int n_block,
                    ivec dot[LOW_TOKENS][ROW_VECTORS])
{
    enum { MOST_SETS = 4 };
    const int n_set = PP_MIN(LOW_SETS(n_x), 8 / bits), columns = 32 / bits;
    isum sum[LOW_TOKENS][ROW_VECTORS][MOST_SETS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
        UNROLL for (int s = 0; s < n_set; s++) sum[i][v][s] = i_nothing();
    for (int b = 0; b < n_block; b++, codes += PP_LOW_BLOCK, x += columns) {
        low_fetch_block(bits, n_x, codes, b);
        UNROLL for (int v = 0; v < ROW_VECTORS; v += LOW_BESIDE)
        {
            ivec w[LOW_BESIDE], u[LOW_BESIDE];
            UNROLL for (int h = 0; h < LOW_BESIDE; h++) w[h] = i_load(codes + (v + h) * LANES * 4);
            UNROLL for (int j = 0; j < 8 / bits; j++)
            {
                const int set = j % n_set;
                UNROLL for (int h = 0; h < LOW_BESIDE; h++) u[h] =
                    low_codes_in_place(bits, w[h], j, LOW_IN_PLACE ? set : 0);
                UNROLL for (int i = 0; i < n_x; i++)
                {
                    const int8_t *four = x + (size_t)i * x_stride + 4 * j;
                    UNROLL for (int h = 0; h < LOW_BESIDE; h++)
                    {
                        isum *to = &sum[i][v + h][set];
                        *to = bits == 8                 ? i_dot8(*to, u[h], i_broadcast4(four))
                              : LOW_EMBEDDED(bits, n_x) ? i_dot_embedded(*to, u[h], four)
                                                        : i_dot(*to, u[h], i_broadcast4(four));
                    }
                }
            }
        }
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++)
    {
        dot[i][v] = bits == 8 ? i_widen8(sum[i][v][0]) : i_widen(sum[i][v][0]);
        UNROLL for (int s = 1; s < n_set; s++)
        {
            const ivec more = bits == 8 ? i_widen8(sum[i][v][s]) : i_widen(sum[i][v][s]);
            dot[i][v] = i_add(dot[i][v], LOW_DOWN(more, bits * s));
        }
    }
}

/* The same of any number of blocks. */
INLINE void low_dots(int bits, int n_x, const uint8_t *codes, const int8_t *x, size_t x_stride, int n_block,
                     ivec dot[LOW_TOKENS][ROW_VECTORS])
{
    const int most = LOW_STEPS(bits) * bits / 8;
    low_run(bits, n_x, codes, x, x_stride, PP_MIN(n_block, most), dot);
    if (LOW_STEPS(bits) >= SPAN_STEPS) return;
    for (int b = most; b < n_block; b += most) {
        ivec more[LOW_TOKENS][ROW_VECTORS];
        low_run(bits, n_x, codes + b * PP_LOW_BLOCK, x + b * (32 / bits), x_stride, PP_MIN(n_block - b, most), more);
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) dot[i][v] =
            i_add(dot[i][v], more[i][v]);
    }
}

/* Tokens t .. t + n_x - 1 with one group of rows. */
INLINE void low_tile(int bits, int n_x, const pp_low_matmul *m, int t, const uint8_t *group, int o, int n)
{
    const int columns = 32 / bits;
    const uint8_t *codes = group + PP_LOW_ROWS * sizeof(float);
    const int8_t *x = m->x + (size_t)t * m->x_stride;
    ivec dot[LOW_TOKENS][ROW_VECTORS];
    vec sum[LOW_TOKENS][ROW_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) sum[i][v] = v_zero();
    for (int k = 0, span = 0; k < m->n_in; k += PP_LOW_SPAN, span++) {
        const int n_block = PP_MIN(PP_LOW_SPAN, m->n_in - k) / columns;
        low_dots(bits, n_x, codes, x + k, m->x_stride, n_block, dot);
        codes += n_block * PP_LOW_BLOCK;
        UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int v = 0; v < ROW_VECTORS; v++) sum[i][v] =
            low_span(bits, m, t + i, span, dot[i][v], sum[i][v]);
    }
    UNROLL for (int v = 0; v < ROW_VECTORS; v++)
    {
        const low_outputs to = low_to(m, group, o, n, v);
        UNROLL for (int i = 0; i < n_x; i++) low_put(bits, m, t + i, &to, sum[i][v]);
    }
}

/* Each size is a function of its own: where all are one, gcc 12 has sums on the stack that would fit registers. */
#define LOW_TILE(bits, n_x)                                                                                            \
    static NOINLINE void low_tile_##bits##_##n_x(const pp_low_matmul *m, int t, const uint8_t *group, int o, int n)    \
    {                                                                                                                  \
        low_tile(bits, n_x, m, t, group, o, n);                                                                        \
    }
#define LOW_TILES(n_x) LOW_TILE(2, n_x) LOW_TILE(4, n_x) LOW_TILE(8, n_x)
LOW_SIZES(LOW_TILES)
#undef LOW_TILES
#undef LOW_TILE

#include "kernels/low_many.h"

INLINE void low_matmul(int bits, const pp_low_matmul *m)
{
    const size_t group_bytes = pp_low_group_bytes(bits, (size_t)m->n_in);
    if (bits <= LOW_PANEL_BITS && m->n_tok >= LOW_PANEL_FROM) {
        low_many(bits, m);
        return;
    }
    const uint8_t *group = m->w;
    for (int o = 0; o < m->n_out; o += PP_LOW_ROWS, group += group_bytes) {
        const int n = PP_MIN(PP_LOW_ROWS, m->n_out - o);
        for (int t = 0; t < m->n_tok; t += LOW_TOKENS) switch (PP_MIN(LOW_TOKENS, m->n_tok - t)) {
#define CASE(size)                                                                                                     \
    case size:                                                                                                         \
        (bits == 2 ? low_tile_2_##size : bits == 4 ? low_tile_4_##size : low_tile_8_##size)(m, t, group, o, n);        \
        break;
                LOW_SIZES(CASE)
#undef CASE
            }
    }
}

static void k_matmul_q2(const pp_low_matmul *m) { low_matmul(2, m); }
static void k_matmul_q4(const pp_low_matmul *m) { low_matmul(4, m); }
static void k_matmul_q8(const pp_low_matmul *m) { low_matmul(8, m); }
