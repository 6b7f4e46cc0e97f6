/*
 * attend_i8.h - attention over keys and values of int8, in integers as kernels.h has it, the same bits at every level; uses
 * attend.h. Codes of a query and of its weights are int16, so that a product takes two elements, or two keys, at a time.
 */

/* Elements of a row of q_codes: whole vectors, the last one filled up with 0. */
INLINE int codes_of(int d_head) { return (d_head + LANES - 1) / LANES * LANES; }

INLINE float round_query(int16_t *codes, const float *q, int d_head)
{
    vec max = v_zero();
    for (int d = 0; d < d_head; d += LANES) max = v_max(v_abs(v_load_n(q + d, PP_MIN(LANES, d_head - d))), max);
    const float levels = pp_attend_levels(d_head), most = v_first(v_max_across(max));
    const vec inverse = v_set1(most > PP_ATTEND_LEAST ? levels / most : 0);
    for (int d = 0; d < d_head; d += LANES) {
        const vec x = v_mul(v_load_n(q + d, PP_MIN(LANES, d_head - d)), inverse);
        v_store_i16(codes + d, v_round(v_nan_to_zero(x)));
    }
    return most / levels;
}

INLINE void open_i8(queries *h, int g)
{
    const pp_attend *a = h->a;
    for (int i = 0; i < h->n; i++) {
        const float *q = a->q + (size_t)(i / h->n_group) * a->q_stride + (g + i % h->n_group) * a->d_head;
        h->q_scale[i] = round_query(h->q_codes + i * codes_of(a->d_head), q, a->d_head);
    }
}

/* ---- scores ---- */

/*
 * As many keys as a vector has lanes, from j on, beside each other: for each eight elements of a head QUAD vectors, of which
 * vector i has those of keys j + i, j + QUAD + i, ... one after the other. A key is so summed up in four lanes, and
 * i_sum_fours puts the sums of all of them into one vector, in order.
 */
INLINE void lay_codes(const queries *h, const block *b, int j)
{
    const int d_head = h->a->d_head, rest = d_head % LANES, stride = QUAD * 2 * LANES;
    for (int o = 0; o < LANES; o++) {
        const int8_t *key = b->k[j + o];
        int16_t *to = (int16_t *)h->wide + o % QUAD * 2 * LANES + o / QUAD * 8;
        int d = 0;
        for (; d + LANES <= d_head; d += LANES, to += LANES / 8 * stride)
            i8_store_eights(to, (size_t)stride, i8_load(key + d, LANES));
        if (rest) i8_store_eights(to, (size_t)stride, i8_load(key + d, rest));
    }
}

INLINE void score_codes(int n_x, const queries *h, int g, const block *b, int j)
{
    const int n = codes_of(h->a->d_head);
    const int16_t *q = h->q_codes + g * n, *keys = h->wide;
    ivec acc[TILE_TOKENS][QUAD];
    UNROLL for (int t = 0; t < n_x; t++) UNROLL for (int i = 0; i < QUAD; i++) acc[t][i] = i_set1(0);
    for (int d = 0; d < n; d += 8, keys += QUAD * 2 * LANES) {
        ivec x[TILE_TOKENS];
        UNROLL for (int t = 0; t < n_x; t++) x[t] = i_eights(q + t * n + d);
        UNROLL for (int i = 0; i < QUAD; i++)
        {
            const ivec k = i_load(keys + i * 2 * LANES);
            UNROLL for (int t = 0; t < n_x; t++) acc[t][i] = i_dot16(acc[t][i], x[t], k);
        }
    }
    UNROLL for (int t = 0; t < n_x; t++)
    {
        const vec sum = i_to_float(i_sum_fours(acc[t][0], acc[t][1], acc[t][2], acc[t][3]));
        const vec scale = v_mul(v_load(b->k_scale + j), v_set1(h->q_scale[g + t]));
        v_store(h->p + (g + t) * PP_ATTEND_BLOCK + j, v_mul(sum, scale));
    }
}

/* A function of its own: among all the rest gcc 12 has too few registers for it. */
static NOINLINE void score_codes_of(const queries *h, int g, int n_query, const block *b, int j)
{
    const int step = even_step(n_query, TILE_TOKENS);
    for (int i = 0; i < n_query; i += step) switch (PP_MIN(step, n_query - i)) {
#define CASE(n_x)                                                                                                      \
    case n_x: score_codes(n_x, h, g + i, b, j); break;
            TILE_SIZES(CASE)
#undef CASE
        }
}

/* ---- weights ---- */

/* Codes of one query's weights, and what they and earlier sums count for. */
INLINE void weigh(queries *h, int g, const block *b)
{
    float *p = h->p + g * PP_ATTEND_BLOCK;
    int16_t *codes = h->p_codes + g * PP_ATTEND_BLOCK;
    const bool scaled = h->a->v_scales;
    const vec levels = v_set1(PP_ATTEND_LEVELS);
    vec most = v_set1(-FLT_MAX), sum = v_zero(), largest = v_zero();
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) most = v_max(v_load(p + j), most);
    most = v_max_across(most);
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) {
        const vec e = v_exp(v_sub(v_load(p + j), most)), code = v_round(v_mul(e, levels));
        sum = v_add(sum, code);
        if (!scaled) {
            v_store_i16(codes + j, code);
            continue;
        }
        const vec product = v_mul(e, v_load(b->v_scale + j));
        largest = v_max(product, largest);
        v_store(p + j, product);
    }
    float unit = h->a->v_scale;
    if (scaled) {
        unit = v_first(v_max_across(largest));
        const vec inverse = v_set1(unit > PP_ATTEND_LEAST ? PP_ATTEND_LEVELS / unit : 0);
        for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) v_store_i16(codes + j, v_round(v_mul(v_load(p + j), inverse)));
    }
    const float old = h->max[g], here = v_first(most);
    const float less = v_first(v_exp(v_set1(old > here ? here - old : old - here)));
    const float before = old > here ? 1 : less, now = (old > here ? less : 1) * (1 / PP_ATTEND_LEVELS);
    h->max[g] = old > here ? old : here;
    h->sum[g] = h->sum[g] * before + v_sum(sum) * now;
    h->before[g] = before;
    h->unit[g] = unit * now;
}

/* ---- values ---- */

/* Pairs of rows of values, elements from `at`: as they lie in the cache, or widened, `n_vec` vectors a pair. */
typedef struct pairs {
    const int8_t *const *rows;
    const int16_t *wide;
    int at, n;
} pairs;

INLINE ivec pair_of(const int8_t *const *rows, int at, int lanes)
{
    return i8_pair(i8_load(rows[0] + at, lanes), i8_load(rows[1] + at, lanes));
}

/* out = out * before + weights * values * unit, for n_x queries from g and n_vec vectors from element d; the last has `lanes`. */
INLINE void mix_codes(bool wide, int n_x, int n_vec, int lanes, const queries *h, int g, const pairs *from, int d)
{
    const int16_t *codes = h->p_codes + g * PP_ATTEND_BLOCK, *row = from->wide;
    ivec acc[TILE_HEADS][MIX_VECTORS], v[MIX_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int c = 0; c < n_vec; c++) acc[i][c] = i_set1(0);
    for (int j = 0; j < from->n; j++, row += n_vec * 2 * LANES) {
        UNROLL for (int c = 0; c < n_vec; c++) v[c] =
            wide ? i_load(row + c * 2 * LANES) : pair_of(from->rows + 2 * j, from->at + c * LANES, lanes);
        UNROLL for (int i = 0; i < n_x; i++)
        {
            const ivec p = i_twos(codes + i * PP_ATTEND_BLOCK + 2 * j);
            UNROLL for (int c = 0; c < n_vec; c++) acc[i][c] = i_dot16(acc[i][c], p, v[c]);
        }
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int c = 0; c < n_vec; c++)
    {
        float *out = h->out + (g + i) * h->a->d_head + d + c * LANES;
        const vec before = v_set1(h->before[g + i]), unit = v_set1(h->unit[g + i]), sum = i_to_float(acc[i][c]);
        if (lanes == LANES)
            v_store(out, v_fma(sum, unit, v_mul(v_load(out), before)));
        else
            v_store_n(out, v_fma(sum, unit, v_mul(v_load_n(out, lanes), before)), lanes);
    }
}

INLINE void mix_strip_of(bool wide, int n_vec, int lanes, const queries *h, int g, int n_query, const pairs *from,
                         int d)
{
    for (int i = 0; i < n_query; i += TILE_HEADS) switch (PP_MIN(TILE_HEADS, n_query - i)) {
#define CASE(n_x)                                                                                                      \
    case n_x: mix_codes(wide, n_x, n_vec, lanes, h, g + i, from, d); break;
            HEAD_SIZES(CASE)
#undef CASE
        }
}

INLINE void mix_strip_i8(int n_vec, int lanes, const queries *h, int g, int n_query, const block *b, int n, int d)
{
    const pairs from = {.rows = (const int8_t *const *)b->v, .wide = h->wide, .at = d, .n = (n + 1) / 2};
    if (n_query < WIDEN_FROM) {
        mix_strip_of(false, n_vec, lanes, h, g, n_query, &from, d);
        return;
    }
    int16_t *to = h->wide;
    for (int j = 0; j < from.n; j++)
        for (int c = 0; c < n_vec; c++, to += 2 * LANES) i_store(to, pair_of(from.rows + 2 * j, d + c * LANES, lanes));
    mix_strip_of(true, n_vec, lanes, h, g, n_query, &from, d);
}

static void k_attend_i8(const pp_attend *a)
{
    attend((attend_kind){PIPPIN_I8, open_i8, lay_codes, score_codes_of, weigh, mix_strip_i8}, a);
}
