/*
 * attend.h - attention of one token's heads over a list of keys, for any lanes_*.h; uses matmul.h and vector.h.
 *
 * Keys come in blocks of PP_ATTEND_BLOCK by their index in the list. Each block has its own sums, added to those of the
 * blocks before it: what a head gets depends on its q and on the listed keys and values, not on the other heads or on
 * where the keys lie; and many keys lose no more accuracy than few.
 */
enum {
    MAX_HEADS = 16, /* heads that share the loaded K and V; more go in several rounds */
    MIX_VECTORS = 4 /* of each head, that add up values at the same time */
};

/* Heads g..g+n_head-1 of one call, n_head <= MAX_HEADS, with what each knows of the blocks so far. */
typedef struct heads {
    const pp_attend *a;
    const float *q;
    float *out, *p; /* p[head][PP_ATTEND_BLOCK]: scores, then weights */
    int n_head;
    float max[MAX_HEADS], sum[MAX_HEADS];
} heads;

/* The keys of one block, and for int8 what their values are to be multiplied by. */
typedef struct block {
    const int32_t *slots;
    int n;
    float k_scale[PP_ATTEND_BLOCK], v_scale[PP_ATTEND_BLOCK];
} block;

INLINE const void *row_at(pippin_type type, const void *rows, int32_t slot, int d_head)
{
    return (const char *)rows + (size_t)slot * (size_t)d_head * element_bytes(type);
}

/* k_scale becomes what a dot product is multiplied by. Entries past n are never used but must not be NaN. */
INLINE void block_open(pippin_type type, block *b, const pp_attend *a, int first)
{
    b->slots = a->slots + first;
    b->n = PP_MIN(PP_ATTEND_BLOCK, a->n_key - first);
    for (int j = 0; j < PP_ATTEND_BLOCK; j++) {
        const int32_t slot = b->slots[PP_MIN(j, b->n - 1)];
        b->k_scale[j] = type != PIPPIN_I8 ? a->scale : a->scale * (a->k_scales ? a->k_scales[slot] : a->k_scale);
        b->v_scale[j] = a->v_scales ? a->v_scales[slot] : a->v_scale;
    }
}

INLINE void score_tile(pippin_type type, int n_x, const heads *h, int g, const block *b, int j)
{
    const int d_head = h->a->d_head;
    const void *row[QUAD];
    quad sum[TILE_TOKENS];
    for (int i = 0; i < QUAD; i++) row[i] = row_at(type, h->a->k, b->slots[PP_MIN(j + i, b->n - 1)], d_head);
    dots(type, n_x, QUAD, false, 0, h->q + (size_t)g * (size_t)d_head, (size_t)d_head, row, d_head, sum);
    for (int i = 0; i < n_x; i++)
        quad_store(h->p + (g + i) * PP_ATTEND_BLOCK + j, quad_mul(sum[i], quad_load(b->k_scale + j)));
}

/* p = scores; -infinity past the block's last key, so that its weight is 0. */
INLINE void scores(pippin_type type, const heads *h, const block *b)
{
    const int step = even_step(h->n_head, TILE_TOKENS);
    for (int j = 0; j < b->n; j += QUAD)
        for (int g = 0; g < h->n_head; g += step) switch (PP_MIN(step, h->n_head - g)) {
#define CASE(n)                                                                                                        \
    case n: score_tile(type, n, h, g, b, j); break;
                TILE_SIZES(CASE)
#undef CASE
            }
    for (int g = 0; g < h->n_head; g++)
        for (int j = b->n; j < PP_ATTEND_BLOCK; j++) h->p[g * PP_ATTEND_BLOCK + j] = -INFINITY;
}

/* p = weights of one head, relative to its largest score so far; earlier sums shrink to that. */
INLINE void softmax(pippin_type type, heads *h, int g, const block *b)
{
    float *p = h->p + g * PP_ATTEND_BLOCK, *out = h->out + (size_t)g * (size_t)h->a->d_head;
    const vec before = v_set1(h->max[g]);
    vec max = before, sum = v_zero();
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) max = v_max(v_load(p + j), max);
    max = v_max_across(max);
    for (int j = 0; j < PP_ATTEND_BLOCK; j += LANES) {
        vec e = v_exp(v_sub(v_load(p + j), max));
        sum = v_add(sum, e);
        v_store(p + j, type == PIPPIN_I8 ? v_mul(e, v_load(b->v_scale + j)) : e);
    }
    const vec correction = v_exp(v_sub(before, max));
    h->max[g] = v_first(max);
    h->sum[g] = h->sum[g] * v_first(correction) + v_sum(sum);
    k_scale(out, v_first(correction), h->a->d_head);
}

/* out += weights * values, for n_x heads from g and n_vec vectors from element d; the last vector has `lanes` lanes. */
INLINE void mix_tile(pippin_type type, int n_x, int n_vec, int lanes, const heads *h, int g, const block *b, int d)
{
    const int d_head = h->a->d_head;
    vec acc[TILE_HEADS][MIX_VECTORS], v[MIX_VECTORS];
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int c = 0; c < n_vec; c++) acc[i][c] = v_zero();
    for (int j = 0; j < b->n; j++) {
        const void *row = row_at(type, h->a->v, b->slots[j], d_head);
        UNROLL for (int c = 0; c < n_vec; c++)
        {
            const size_t at = (size_t)(d + c * LANES);
            v[c] = lanes == LANES ? load_row(type, row, at) : load_row_n(type, row, at, lanes);
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

INLINE void mix_strip(pippin_type type, int n_vec, int lanes, const heads *h, const block *b, int d)
{
    for (int g = 0; g < h->n_head; g += TILE_HEADS) switch (PP_MIN(TILE_HEADS, h->n_head - g)) {
#define CASE(n)                                                                                                        \
    case n: mix_tile(type, n, n_vec, lanes, h, g, b, d); break;
            HEAD_SIZES(CASE)
#undef CASE
        }
}

INLINE void mix(pippin_type type, const heads *h, const block *b)
{
    const int d_head = h->a->d_head;
    int d = 0;
    for (; d + MIX_VECTORS * LANES <= d_head; d += MIX_VECTORS * LANES) mix_strip(type, MIX_VECTORS, LANES, h, b, d);
    for (; d + LANES <= d_head; d += LANES) mix_strip(type, 1, LANES, h, b, d);
    if (d < d_head) mix_strip(type, 1, d_head - d, h, b, d);
}

INLINE void attend_heads(pippin_type type, const pp_attend *a, int g, int n_head)
{
    const size_t at = (size_t)g * (size_t)a->d_head;
    heads h = {.a = a, .q = a->q + at, .out = a->out + at, .p = a->scratch + g * PP_ATTEND_BLOCK, .n_head = n_head};
    for (int i = 0; i < n_head; i++) h.max[i] = -FLT_MAX; /* not -infinity, whose difference to itself is NaN */
    memset(h.out, 0, (size_t)n_head * (size_t)a->d_head * sizeof(float));
    for (int first = 0; first < a->n_key; first += PP_ATTEND_BLOCK) {
        block b;
        block_open(type, &b, a, first);
        scores(type, &h, &b);
        for (int i = 0; i < n_head; i++) softmax(type, &h, i, &b);
        mix(type, &h, &b);
    }
    for (int i = 0; i < n_head; i++) k_scale(h.out + i * a->d_head, 1.0f / h.sum[i], a->d_head);
}

INLINE void attend(pippin_type type, const pp_attend *a)
{
    for (int g = 0; g < a->n_group; g += MAX_HEADS) attend_heads(type, a, g, PP_MIN(MAX_HEADS, a->n_group - g));
}

static void k_attend_f32(const pp_attend *a) { attend(PIPPIN_F32, a); }
static void k_attend_bf16(const pp_attend *a) { attend(PIPPIN_BF16, a); }
static void k_attend_i8(const pp_attend *a) { attend(PIPPIN_I8, a); }
