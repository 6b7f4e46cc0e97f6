/* vector.h - what is done to one row, element by element or to a single number, for any lanes_*.h. */

/* Four sums hide the latency of the additions and keep each short, hence accurate. */
static float sum_of_squares(const float *x, int n)
{
    vec sum[4];
    int i = 0;
    UNROLL for (int j = 0; j < 4; j++) sum[j] = v_zero();
    for (; i + 4 * LANES <= n; i += 4 * LANES) UNROLL for (int j = 0; j < 4; j++)
        {
            vec a = v_load(x + i + j * LANES);
            sum[j] = v_fma(a, a, sum[j]);
        }
    for (; i < n; i += LANES) {
        vec a = v_load_n(x + i, PP_MIN(n - i, LANES));
        sum[0] = v_fma(a, a, sum[0]);
    }
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

static void k_rmsnorm(float *y, const float *x, const float *w, int n, float eps)
{
    const vec r = v_set1((float)(1.0 / sqrt((double)sum_of_squares(x, n) / n + (double)eps)));
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, v_mul(v_mul(v_load(x + i), r), v_load(w + i)));
    const int rest = n - i;
    if (rest) v_store_n(y + i, v_mul(v_mul(v_load_n(x + i, rest), r), v_load_n(w + i, rest)), rest);
}

static void k_rope_adjacent(float *x, const float *cosine, const float *sine, int d_head)
{
    for (int i = 0; i < d_head / 2; i += LANES / 2) {
        const int n = PP_MIN(d_head / 2 - i, LANES / 2);
        vec a = v_load_n(x + 2 * i, 2 * n), c = v_dup(v_load_n(cosine + i, n)), s = v_dup(v_load_n(sine + i, n));
        v_store_n(x + 2 * i, v_add(v_mul(a, c), v_negate_even(v_mul(v_swap_pairs(a), s))), 2 * n);
    }
}

static void k_rope_halves(float *x, const float *cosine, const float *sine, int d_head)
{
    float *y = x + d_head / 2;
    for (int i = 0; i < d_head / 2; i += LANES) {
        const int n = PP_MIN(d_head / 2 - i, LANES);
        vec a = v_load_n(x + i, n), b = v_load_n(y + i, n), c = v_load_n(cosine + i, n), s = v_load_n(sine + i, n);
        v_store_n(x + i, v_sub(v_mul(a, c), v_mul(b, s)), n);
        v_store_n(y + i, v_add(v_mul(b, c), v_mul(a, s)), n);
    }
}

INLINE vec gated(vec gate, vec up)
{
    vec e = v_exp(v_sub(v_set1(-0.0f), gate));
    return v_mul(v_div(gate, v_add(v_set1(1.0f), e)), up);
}

static void k_swiglu(float *y, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, gated(v_load(gate + i), v_load(up + i)));
    const int rest = n - i;
    if (rest) v_store_n(y + i, gated(v_load_n(gate + i, rest), v_load_n(up + i, rest)), rest);
}

static void k_add(float *y, const float *x, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, v_add(v_load(y + i), v_load(x + i)));
    const int rest = n - i;
    if (rest) v_store_n(y + i, v_add(v_load_n(y + i, rest), v_load_n(x + i, rest)), rest);
}

static void k_scale(float *y, float s, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store(y + i, v_mul(v_load(y + i), v_set1(s)));
    const int rest = n - i;
    if (rest) v_store_n(y + i, v_mul(v_load_n(y + i, rest), v_set1(s)), rest);
}

/* A true division: a product with 1 / scale would round some halves the other way. */
INLINE vec level_i8(vec x, vec scale)
{
    vec v = v_nan_to_zero(v_div(x, scale));
    return v_round(v_min(v_set1(127.0f), v_max(v_set1(-128.0f), v)));
}

static void k_quantize_i8(int8_t *q, const float *x, int n, float scale)
{
    const vec s = v_set1(scale);
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store_i8(q + i, level_i8(v_load(x + i), s));
    const int rest = n - i;
    if (rest) v_store_i8_n(q + i, level_i8(v_load_n(x + i, rest), s), rest);
}

static float k_absmax(const float *x, int n)
{
    vec max = v_zero(), other = v_zero(); /* second, so that a NaN gives way to it */
    int i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        max = v_max(v_abs(v_load(x + i)), max);
        other = v_max(v_abs(v_load(x + i + LANES)), other);
    }
    for (; i < n; i += LANES) max = v_max(v_abs(v_load_n(x + i, PP_MIN(LANES, n - i))), max);
    return v_first(v_max_across(v_max(max, other)));
}

/*
 * A span by multiplication with 1 / scale, or false: where some product is so near to a half that x / scale may be on its other side.
 * Products are at most 127 and three roundings off, that is by 3 * 127 / 2^24; scale is no less than FLT_MIN.
 */
INLINE bool round_span(int8_t *q, const float *x, float scale, int32_t *sum)
{
    const vec inverse = v_set1(1.0f / scale);
    vec off = v_zero(), total = v_zero();
    UNROLL for (int i = 0; i < PP_LOW_SPAN; i += LANES)
    {
        const vec v = v_nan_to_zero(v_mul(v_load(x + i), inverse)), level = v_round(v);
        off = v_max(v_abs(v_sub(v, level)), off);
        total = v_add(total, level);
        v_store_i8(q + i, level);
    }
    *sum = (int32_t)v_sum(total);
    return v_first(v_max_across(off)) < 0.49997f;
}

/* All scales first: one waits for its span's elements, and a CPU sees several spans at a time only where each is short. */
static float k_round_i8(int8_t *q, float *scales, int32_t *sums, const float *x, int n)
{
    float offset = 0;
    for (int k = 0, span = 0; k < n; k += PP_LOW_SPAN, span++)
        scales[span] = k_absmax(x + k, PP_MIN(PP_LOW_SPAN, n - k)) / 127.0f;
    for (int k = 0, span = 0; k < n; k += PP_LOW_SPAN, span++) {
        const int some = PP_MIN(PP_LOW_SPAN, n - k);
        const float scale = scales[span];
        if (some < PP_LOW_SPAN || scale < FLT_MIN || !round_span(q + k, x + k, scale, &sums[span])) {
            k_quantize_i8(q + k, x + k, some, scale > 0 ? scale : 1.0f);
            sums[span] = 0;
            for (int i = k; i < k + some; i++) sums[span] += q[i];
        }
        offset = fmaf((float)sums[span], scale, offset);
    }
    return offset;
}

static float k_largest(const float *x, int n)
{
    enum { VECTORS = 4 };
    vec max[VECTORS];
    int i = 0;
    UNROLL for (int v = 0; v < VECTORS; v++) max[v] = v_set1(-INFINITY);
    for (; i + VECTORS * LANES <= n; i += VECTORS * LANES)
        UNROLL for (int v = 0; v < VECTORS; v++) max[v] = v_max(v_load(x + i + v * LANES), max[v]);
    float most = v_first(v_max_across(v_max(v_max(max[0], max[1]), v_max(max[2], max[3]))));
    for (; i < n; i++)
        if (x[i] > most) most = x[i];
    return most;
}

static void k_to_bf16(uint16_t *y, const float *x, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) v_store_bf16(y + i, v_load(x + i));
    if (i < n) v_store_bf16_n(y + i, v_load_n(x + i, n - i), n - i);
}
