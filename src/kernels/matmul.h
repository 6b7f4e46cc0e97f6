/*
 * matmul.h - dot products of some rows with some others, and the matrix products made of them, for any lanes_*.h.
 *
 * The law is kept by dots(): whatever the tile, a pair of rows has one accumulator vector, its elements come in
 * ascending order, the tail is one masked step, and v_sum4 adds up the lanes in one order.
 */
enum {
    MAX_OUTPUTS = 8,         /* of one tile */
    CACHED_BYTES = 384 << 10 /* of activations: a part of L2 that they keep while all weights pass */
};

/* A vector of row[i], row[i + 1], ... */
INLINE vec load_row(pippin_type type, const void *row, size_t i)
{
    switch (type) {
    case PIPPIN_F16: return v_load_f16((const uint16_t *)row + i);
    case PIPPIN_BF16: return v_load_bf16((const uint16_t *)row + i);
    default: return v_load((const float *)row + i);
    }
}

INLINE vec load_row_n(pippin_type type, const void *row, size_t i, int n)
{
    switch (type) {
    case PIPPIN_F16: return v_load_f16_n((const uint16_t *)row + i, n);
    case PIPPIN_BF16: return v_load_bf16_n((const uint16_t *)row + i, n);
    default: return v_load_n((const float *)row + i, n);
    }
}

/*
 * sum[t][o / 4] = x[t] . row[o] over n elements, for t < n_x, o < n_row (4 or 8); row elements are of `type`.
 * type, n_x, n_row and fetch are constants where this is expanded. fetch: prefetch what lies `ahead` bytes in front of
 * each row.
 */
INLINE void dots(pippin_type type, int n_x, int n_row, bool fetch, size_t ahead, const float *x, size_t x_stride,
                 const void *const *row, int n, quad *sum)
{
    vec acc[TILE_TOKENS * QUAD > MAX_OUTPUTS ? TILE_TOKENS * QUAD : MAX_OUTPUTS];
    const size_t whole = (size_t)n / LANES * LANES;
    const int rest = n % LANES;
    UNROLL for (int i = 0; i < n_x * n_row; i++) acc[i] = v_zero();
    for (size_t k = 0; k < whole; k += LANES) {
        vec a[TILE_TOKENS];
        UNROLL for (int t = 0; t < n_x; t++) a[t] = v_load(x + (size_t)t * x_stride + k);
        UNROLL for (int o = 0; o < n_row; o++)
        {
            vec b = load_row(type, row[o], k);
            if (fetch) prefetch_l2((const char *)row[o] + k * element_bytes(type) + ahead);
            UNROLL for (int t = 0; t < n_x; t++) acc[t * n_row + o] = v_fma(a[t], b, acc[t * n_row + o]);
        }
    }
    if (rest) {
        vec a[TILE_TOKENS];
        UNROLL for (int t = 0; t < n_x; t++) a[t] = v_load_n(x + (size_t)t * x_stride + whole, rest);
        UNROLL for (int o = 0; o < n_row; o++)
        {
            vec b = load_row_n(type, row[o], whole, rest);
            UNROLL for (int t = 0; t < n_x; t++) acc[t * n_row + o] = v_fma(a[t], b, acc[t * n_row + o]);
        }
    }
    UNROLL for (int i = 0; i < n_x * n_row / QUAD; i++) sum[i] =
        v_sum4(acc[QUAD * i], acc[QUAD * i + 1], acc[QUAD * i + 2], acc[QUAD * i + 3]);
}

/* Writes outputs o..o+n-1 (n <= 4) of token t. */
INLINE void put(const pp_matmul *m, int t, int o, int n, quad sum)
{
    float *y = m->y + (size_t)t * m->y_stride + o;
    if (n >= QUAD) {
        if (m->bias) sum = quad_add(sum, quad_load(m->bias + o));
        quad_store(y, m->accumulate ? quad_add(quad_load(y), sum) : sum);
    } else {
        if (m->bias) sum = quad_add(sum, quad_load_n(m->bias + o, n));
        quad_store_n(y, m->accumulate ? quad_add(quad_load_n(y, n), sum) : sum, n);
    }
}

/*
 * Tokens t..t+n_x-1, outputs o..o+n_row-1, of which those past n_out compute the last one again and write nothing.
 * fresh: these weights come from memory. Then those of the next tile are brought to L2 meanwhile: one tile ahead is
 * what the hardware does not see coming, as each row is a stream of its own and ends soon.
 */
INLINE void tile(pippin_type type, int n_x, int n_row, bool fresh, const pp_matmul *m, int t, int o)
{
    const void *row[MAX_OUTPUTS];
    quad sum[TILE_TOKENS > MAX_OUTPUTS / QUAD ? TILE_TOKENS : MAX_OUTPUTS / QUAD];
    const size_t row_bytes = (size_t)m->n_in * element_bytes(type), ahead = (size_t)n_row * row_bytes;
    for (int i = 0; i < n_row; i++) row[i] = (const char *)m->w + (size_t)PP_MIN(o + i, m->n_out - 1) * row_bytes;
    dots(type, n_x, n_row, fresh, ahead, m->x + (size_t)t * m->x_stride, m->x_stride, row, m->n_in, sum);
    for (int i = 0; i < n_x; i++)
        for (int q = 0; q < n_row / QUAD && o + QUAD * q < m->n_out; q++)
            put(m, t + i, o + QUAD * q, m->n_out - (o + QUAD * q), sum[i * (n_row / QUAD) + q]);
}

/* Tokens first..last-1, whose activations stay in L2 while each quad of weight rows passes them. */
INLINE void matmul_block(pippin_type type, const pp_matmul *m, int first, int last)
{
    const int step = even_step(last - first, TILE_TOKENS);
    for (int o = 0; o < m->n_out; o += QUAD)
        for (int t = first; t < last; t += step) switch (PP_MIN(step, last - t)) {
#define CASE(n)                                                                                                        \
    case n: t == first ? tile(type, n, QUAD, true, m, t, o) : tile(type, n, QUAD, false, m, t, o); break;
                TILE_SIZES(CASE)
#undef CASE
            }
}

INLINE void matmul(pippin_type type, const pp_matmul *m)
{
    if (m->n_tok == 1) { /* more rows at a time, or one token would wait for its own additions */
        for (int o = 0; o < m->n_out; o += MAX_OUTPUTS) tile(type, 1, MAX_OUTPUTS, true, m, 0, o);
        return;
    }
    const int fit = CACHED_BYTES / (int)sizeof(float) / PP_MAX(m->n_in, 1) / TILE_TOKENS * TILE_TOKENS;
    const int step = PP_MAX(fit, TILE_TOKENS);
    for (int t = 0; t < m->n_tok; t += step) matmul_block(type, m, t, PP_MIN(t + step, m->n_tok));
}

static void k_matmul_f32(const pp_matmul *m) { matmul(PIPPIN_F32, m); }
static void k_matmul_f16(const pp_matmul *m) { matmul(PIPPIN_F16, m); }
static void k_matmul_bf16(const pp_matmul *m) { matmul(PIPPIN_BF16, m); }
