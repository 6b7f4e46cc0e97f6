/* attend_float.h - attention over keys and values of f32 or bf16, and its parts put together; uses attend.h and matmul.h. */

/* Elements from `at` of a row as n floats. */
INLINE void widen(pippin_type type, const void *row, size_t at, int n, float *to)
{
    const int rest = n % LANES;
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, load_row(type, row, at + (size_t)i));
    if (rest) v_store_n(to + i, load_row_n(type, row, at + (size_t)i, rest), rest);
}

/*
 * As many keys as a vector has lanes, from j on, widened and beside each other: for each four elements of a head QUAD vectors, of
 * which vector i has those of keys j + i, j + QUAD + i, ... one after the other. A key is so summed up in four lanes, and
 * v_sum_fours puts the sums of all of them into one vector, in order.
 */
INLINE void lay_keys(pippin_type type, const queries *h, const block *b, int j)
{
    const int d_head = h->a->d_head, rest = d_head % LANES;
    for (int o = 0; o < LANES; o++) {
        const void *key = b->k[j + o];
        float *to = (float *)h->wide + o % QUAD * LANES + o / QUAD * QUAD;
        int d = 0;
        for (; d + LANES <= d_head; d += LANES, to += LANES * LANES)
            v_store_fours(to, QUAD * LANES, load_row(type, key, (size_t)d));
        if (rest) v_store_fours(to, QUAD * LANES, load_row_n(type, key, (size_t)d, rest));
    }
}

/* acc[t] += four elements of n_x queries, q_stride floats apart, times those of the keys. */
INLINE void score_fours(int n_x, const float *q, size_t q_stride, const float *keys, vec acc[TILE_TOKENS][QUAD])
{
    vec four[TILE_TOKENS];
    UNROLL for (int t = 0; t < n_x; t++) four[t] = v_load_fours(q + (size_t)t * q_stride);
    UNROLL for (int i = 0; i < QUAD; i++)
    {
        const vec k = v_load(keys + i * LANES);
        UNROLL for (int t = 0; t < n_x; t++) acc[t][i] = v_fma(four[t], k, acc[t][i]);
    }
}

INLINE void score_tile(int n_x, const queries *h, int g, int j)
{
    const int d_head = h->a->d_head, rest = d_head % QUAD;
    const float *q = h->q + (size_t)g * (size_t)d_head, *keys = h->wide;
    vec acc[TILE_TOKENS][QUAD];
    UNROLL for (int t = 0; t < n_x; t++) UNROLL for (int i = 0; i < QUAD; i++) acc[t][i] = v_zero();
    for (int d = 0; d + QUAD <= d_head; d += QUAD, keys += QUAD * LANES)
        score_fours(n_x, q + d, (size_t)d_head, keys, acc);
    if (rest) {
        float last[TILE_TOKENS][QUAD] = {{0}};
        for (int t = 0; t < n_x; t++) memcpy(last[t], q + (t + 1) * d_head - rest, (size_t)rest * sizeof *q);
        score_fours(n_x, last[0], QUAD, keys, acc);
    }
    UNROLL for (int t = 0; t < n_x; t++)
    {
        const vec sum = v_sum_fours(acc[t][0], acc[t][1], acc[t][2], acc[t][3]);
        v_store(h->p + (g + t) * PP_ATTEND_BLOCK + j, v_mul(sum, v_set1(h->a->scale)));
    }
}

/* A function of its own: among all the rest gcc 12 has too few registers for it. */
static NOINLINE void score_keys(const queries *h, int g, int n_query, const block *b, int j)
{
    (void)b;
    const int step = even_step(n_query, TILE_TOKENS);
    for (int i = 0; i < n_query; i += step) switch (PP_MIN(step, n_query - i)) {
#define CASE(n_x)                                                                                                      \
    case n_x: score_tile(n_x, h, g + i, j); break;
            TILE_SIZES(CASE)
#undef CASE
        }
}

/* p = weights of one query, relative to its largest score so far; earlier sums shrink to that. */
INLINE void softmax(queries *h, int g, const block *b)
{
    (void)b;
    float *p = h->p + g * PP_ATTEND_BLOCK, *out = h->out + (size_t)g * (size_t)h->a->d_head;
    const vec before = v_set1(h->max[g]);
    vec max = before, sum = v_zero();
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) max = v_max(v_load(p + j), max);
    max = v_max_across(max);
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) {
        const vec e = v_exp(v_sub(v_load(p + j), max));
        sum = v_add(sum, e);
        v_store(p + j, e);
    }
    const vec correction = v_exp(v_sub(before, max));
    h->max[g] = v_first(max);
    h->sum[g] = h->sum[g] * v_first(correction) + v_sum(sum);
    if (v_first(correction) != 1) k_scale(out, v_first(correction), h->a->d_head);
}

/* Values of the n keys of a block, elements from `at` of rows of `type`. */
typedef struct values {
    const void *const *rows;
    size_t at;
    int n;
} values;

/* out += weights * values, for n_x queries from g and n_vec vectors from element d; the last vector has `lanes` lanes. */
INLINE void mix_tile(pippin_type type, int n_x, int n_vec, int lanes, const queries *h, int g, const values *from,
                     int d)
{
    const int d_head = h->a->d_head;
    vec acc[TILE_HEADS][MIX_VECTORS], v[MIX_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int c = 0; c < n_vec; c++) acc[i][c] = v_zero();
    for (int j = 0; j < from->n; j++) {
        UNROLL for (int c = 0; c < n_vec; c++)
        {
            const size_t at = from->at + (size_t)(c * LANES);
            v[c] = lanes == LANES ? load_row(type, from->rows[j], at) : load_row_n(type, from->rows[j], at, lanes);
        }
        UNROLL for (int i = 0; i < n_x; i++)
        {
            const vec p = v_set1(h->p[(g + i) * PP_ATTEND_BLOCK + j]);
            UNROLL for (int c = 0; c < n_vec; c++) acc[i][c] = v_fma(p, v[c], acc[i][c]);
        }
    }
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int c = 0; c < n_vec; c++)
    {
        float *out = h->out + (g + i) * d_head + d + c * LANES;
        if (lanes == LANES)
            v_store(out, v_add(v_load(out), acc[i][c]));
        else
            v_store_n(out, v_add(v_load_n(out, lanes), acc[i][c]), lanes);
    }
}

INLINE void mix_tiles(pippin_type type, int n_vec, int lanes, const queries *h, int g, int n_query, const values *from,
                      int d)
{
    for (int i = 0; i < n_query; i += TILE_HEADS) switch (PP_MIN(TILE_HEADS, n_query - i)) {
#define CASE(n_x)                                                                                                      \
    case n_x: mix_tile(type, n_x, n_vec, lanes, h, g + i, from, d); break;
            HEAD_SIZES(CASE)
#undef CASE
        }
}

INLINE void mix_strip(pippin_type type, int n_vec, int lanes, const queries *h, int g, int n_query, const block *b,
                      int n, int d)
{
    const int width = lanes == LANES ? n_vec * LANES : lanes;
    const void *wide[PP_ATTEND_BLOCK];
    if (type == PIPPIN_F32 || n_query < WIDEN_FROM) {
        mix_tiles(type, n_vec, lanes, h, g, n_query, &(values){b->v, (size_t)d, n}, d);
        return;
    }
    for (int j = 0; j < n; j++) {
        float *row = (float *)h->wide + j * width;
        widen(type, b->v[j], (size_t)d, width, row);
        wide[j] = row;
    }
    mix_tiles(PIPPIN_F32, n_vec, lanes, h, g, n_query, &(values){wide, 0, n}, d);
}

INLINE void open_float(queries *h, int g)
{
    const pp_attend *a = h->a;
    const size_t row = (size_t)h->n_group * (size_t)a->d_head;
    for (size_t t = 0; t < (size_t)a->n_tok; t++)
        memcpy(h->q + t * row, a->q + t * a->q_stride + g * a->d_head, row * sizeof *h->q);
}

#define KIND(name, type)                                                                                               \
    INLINE void lay_##name(const queries *h, const block *b, int j) { lay_keys(type, h, b, j); }                       \
    INLINE void strip_##name(int n_vec, int lanes, const queries *h, int g, int n_query, const block *b, int n, int d) \
    {                                                                                                                  \
        mix_strip(type, n_vec, lanes, h, g, n_query, b, n, d);                                                         \
    }                                                                                                                  \
    static void k_attend_##name(const pp_attend *a)                                                                    \
    {                                                                                                                  \
        attend((attend_kind){type, open_float, lay_##name, score_keys, softmax, strip_##name}, a);                     \
    }
KIND(f32, PIPPIN_F32)
KIND(bf16, PIPPIN_BF16)
#undef KIND

static void k_attend_merge(float *out, float *max, float *sum, const float *part, float part_max, float part_sum,
                           int d_head)
{
    const vec most = v_max(v_set1(*max), v_set1(part_max));
    const vec ours = v_exp(v_sub(v_set1(*max), most)), theirs = v_exp(v_sub(v_set1(part_max), most));
    int i = 0;
    for (; i + LANES <= d_head; i += LANES)
        v_store(out + i, v_add(v_mul(v_load(out + i), ours), v_mul(v_load(part + i), theirs)));
    const int rest = d_head - i;
    if (rest)
        v_store_n(out + i, v_add(v_mul(v_load_n(out + i, rest), ours), v_mul(v_load_n(part + i, rest), theirs)), rest);
    *sum = *sum * v_first(ours) + part_sum * v_first(theirs);
    *max = v_first(most);
}
