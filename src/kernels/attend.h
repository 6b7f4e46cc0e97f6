/*
 * attend.h - attention of some tokens' heads over a part of a list of keys, for any lanes_*.h: how it passes over the keys.
 * attend_float.h and attend_i8.h have what is done with a block of them.
 *
 * A query is one head of one token. Keys come in blocks of PP_ATTEND_BLOCK by their index in the list. Each block has its own
 * sums, added to those of the blocks before it: what a query gets depends on its q and on the keys and values that it sees, not
 * on the other queries or on where the keys lie; and many keys lose no more accuracy than few.
 *
 * All queries of a call pass over a block together, so that it is read once for all of them. Keys, some at a time, are widened
 * and laid beside each other before, in the L1 cache; where there are many queries, a strip of all values is widened
 * too. Widening is exact and a pair of rows has one order of additions, so a query alone gets the same bits.
 */
enum {
    MIX_VECTORS = 4, /* of each query, that add up values at the same time */
    WIDEN_FROM = 12  /* queries that make it worth to widen values once, and not each time that they are read */
};

/* The queries of a call, at most PP_ATTEND_QUERIES, with what each knows of the blocks so far. */
typedef struct queries {
    const pp_attend *a;
    float *q;       /* [n][d_head] of float caches; of int8 its place is that of q_codes */
    float *out, *p; /* [n][d_head]; [n][PP_ATTEND_BLOCK] scores, then weights */
    void *wide;     /* what is widened */
    int n, n_group; /* n_group of them a token */
    int last;       /* keys of the list that the call takes end before it */
    float max[PP_ATTEND_QUERIES], sum[PP_ATTEND_QUERIES];
    /* For int8 alone. */
    int16_t *q_codes, *p_codes; /* [n][codes_of(d_head)], [n][PP_ATTEND_BLOCK] */
    float q_scale[PP_ATTEND_QUERIES];
    float before[PP_ATTEND_QUERIES],
        unit[PP_ATTEND_QUERIES]; /* what earlier sums, and the block's, are multiplied by */
} queries;

/* The keys of one block; scales are for int8 alone. */
typedef struct block {
    int first, n;
    const void *k[PP_ATTEND_BLOCK], *v[PP_ATTEND_BLOCK];
    float k_scale[PP_ATTEND_BLOCK], v_scale[PP_ATTEND_BLOCK];
} block;

/* Entries past n are the last one again: read, and never used. For int8 k_scale is what a dot product is multiplied by. */
INLINE void block_open(pippin_type type, block *b, const pp_attend *a, int first, int last)
{
    const size_t row = (size_t)a->d_head * element_bytes(type);
    b->first = first;
    b->n = PP_MIN(PP_ATTEND_BLOCK, last - first);
    for (int j = 0; j < PP_ATTEND_BLOCK; j++) {
        const int at = first + PP_MIN(j, b->n - 1), slot = a->slots ? a->slots[at] : at;
        b->k[j] = (const char *)a->k + (size_t)slot * row;
        b->v[j] = (const char *)a->v + (size_t)slot * row;
        if (type != PIPPIN_I8) continue;
        b->k_scale[j] = a->scale * (a->k_scales ? a->k_scales[slot] : a->k_scale);
        b->v_scale[j] = a->v_scales ? a->v_scales[slot] : a->v_scale;
    }
}

/*
 * Keys of the list from `at` on, a vector's lanes of them, as far as they are there, and their values into L2. What a CPU reads
 * ahead by itself ends with a page, and a page has few blocks.
 */
INLINE void fetch(pippin_type type, const queries *h, int at)
{
    const pp_attend *a = h->a;
    const size_t row = (size_t)a->d_head * element_bytes(type);
    for (int j = at; j < PP_MIN(at + LANES, h->last); j++) {
        const size_t start = (size_t)(a->slots ? a->slots[j] : j) * row;
        for (size_t line = start; line < start + row; line += 64) {
            prefetch_l2((const char *)a->k + line);
            prefetch_l2((const char *)a->v + line);
        }
    }
}

/* Keys of the block that a query's token sees. */
INLINE int seen(const queries *h, const block *b, int query)
{
    return PP_MAX(0, PP_MIN(b->n, h->a->n_key + query / h->n_group - b->first));
}

/* What differs between types of caches; a constant where it is used, so that all of it is expanded there. */
typedef struct attend_kind {
    pippin_type type;
    void (*open)(queries *h, int g);                      /* q of heads from g on */
    void (*lay)(const queries *h, const block *b, int j); /* LANES keys from j on beside each other */
    void (*score)(const queries *h, int g, int n_query, const block *b,
                  int j);                             /* p of n_query queries from g, by these */
    void (*weigh)(queries *h, int g, const block *b); /* p or p_codes of a query, from its scores */
    /* n_vec vectors of out from element d, by the first n values; the last one has `lanes`. */
    void (*strip)(int n_vec, int lanes, const queries *h, int g, int n_query, const block *b, int n, int d);
} attend_kind;

/* Of n_query queries from g, that see n keys of the block. */
INLINE void mix(attend_kind kind, const queries *h, int g, int n_query, const block *b, int n)
{
    const int d_head = h->a->d_head;
    int d = 0;
    for (; d + MIX_VECTORS * LANES <= d_head; d += MIX_VECTORS * LANES)
        kind.strip(MIX_VECTORS, LANES, h, g, n_query, b, n, d);
    for (; d + LANES <= d_head; d += LANES) kind.strip(1, LANES, h, g, n_query, b, n, d);
    if (d < d_head) kind.strip(1, d_head - d, h, g, n_query, b, n, d);
}

/*
 * All tokens pass over a block together. Of the last block each sees a key more than the one before it: scores are taken of all
 * and those of keys that are not seen left out, and so are their values, by a weight of 0, where that surely gives 0: where
 * they are integers.
 */
INLINE void attend_block(attend_kind kind, queries *h, const block *b)
{
    int from = 0;
    while (!seen(h, b, from)) from += h->n_group;
    const int most = seen(h, b, h->n - 1), n = h->n - from;
    for (int j = 0; j < most; j += LANES) {
        fetch(kind.type, h, b->first + PP_ATTEND_BLOCK + j);
        kind.lay(h, b, j);
        kind.score(h, from, n, b, j);
    }
    for (int g = from; g < h->n; g++) {
        for (int j = seen(h, b, g); j < PP_ATTEND_BLOCK; j++) h->p[g * PP_ATTEND_BLOCK + j] = -INFINITY;
        kind.weigh(h, g, b);
    }
    const int step = kind.type == PIPPIN_I8 || seen(h, b, from) == most ? n : h->n_group;
    for (int g = from; g < h->n; g += step) mix(kind, h, g, step, b, seen(h, b, g + step - 1));
}

/* Heads g .. g + n_group - 1 of all tokens. The scratch holds their q, out, p and its codes, and then what is widened. */
INLINE void attend_heads(attend_kind kind, const pp_attend *a, int g, int n_group)
{
    const size_t d_head = (size_t)a->d_head, n = (size_t)(a->n_tok * n_group), row = (size_t)n_group * d_head;
    queries h = {.a = a, .q = a->scratch, .n = (int)n, .n_group = n_group};
    h.out = h.q + n * (d_head + 16);
    h.p = h.out + n * d_head;
    h.wide = h.p + n * PP_ATTEND_BLOCK * 3 / 2;
    h.q_codes = (int16_t *)(void *)h.q;
    h.p_codes = (int16_t *)(void *)(h.p + n * PP_ATTEND_BLOCK);
    kind.open(&h, g);
    for (size_t i = 0; i < n; i++) h.max[i] = -FLT_MAX; /* not -infinity, whose difference to itself is NaN */
    memset(h.sum, 0, n * sizeof *h.sum);
    memset(h.out, 0, n * d_head * sizeof *h.out);
    h.last = PP_MIN(a->first + PP_ATTEND_SPLIT, a->n_key + a->n_tok - 1);
    for (int first = a->first; first < h.last; first += PP_ATTEND_BLOCK) {
        block b;
        block_open(kind.type, &b, a, first, h.last);
        attend_block(kind, &h, &b);
    }
    for (size_t t = 0; t < (size_t)a->n_tok; t++) {
        memcpy(a->out + t * a->out_stride + (size_t)g * d_head, h.out + t * row, row * sizeof *h.out);
        memcpy(a->max + t * (size_t)a->n_group + g, h.max + t * (size_t)n_group, (size_t)n_group * sizeof *h.max);
        memcpy(a->sum + t * (size_t)a->n_group + g, h.sum + t * (size_t)n_group, (size_t)n_group * sizeof *h.sum);
    }
}

INLINE void attend(attend_kind kind, const pp_attend *a)
{
    for (int g = 0; g < a->n_group; g += PP_ATTEND_QUERIES)
        attend_heads(kind, a, g, PP_MIN(PP_ATTEND_QUERIES, a->n_group - g));
}
