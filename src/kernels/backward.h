/* backward.h - gradients of what vector.h computes, softmax, and the optimiser's step, for any lanes_*.h. */

/* fn(i, n) for each vector of n <= LANES elements from i on; whole vectors first. */
#define EACH_VECTOR(n_all, fn)                                                                                         \
    do {                                                                                                               \
        int i_ = 0;                                                                                                    \
        for (; i_ + LANES <= (n_all); i_ += LANES) fn(i_, LANES);                                                      \
        if (i_ < (n_all)) fn(i_, (n_all)-i_);                                                                          \
    } while (0)

INLINE vec load_some(const float *p, int n) { return n == LANES ? v_load(p) : v_load_n(p, n); }

INLINE void store_some(float *p, vec a, int n)
{
    if (n == LANES)
        v_store(p, a);
    else
        v_store_n(p, a, n);
}

static float k_dot(const float *x, const float *y, int n)
{
    vec sum[4];
    int i = 0;
    UNROLL for (int j = 0; j < 4; j++) sum[j] = v_zero();
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL for (int j = 0; j < 4; j++) sum[j] = v_fma(v_load(x + i + j * LANES), v_load(y + i + j * LANES), sum[j]);
    for (; i < n; i += LANES) {
        const int some = PP_MIN(n - i, LANES);
        sum[0] = v_fma(load_some(x + i, some), load_some(y + i, some), sum[0]);
    }
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

/* sum_i w[i] dy[i] x[i]; four sums as in sum_of_squares. */
static float sum_of_products(const float *w, const float *dy, const float *x, int n)
{
    vec sum[4];
    int i = 0;
    UNROLL for (int j = 0; j < 4; j++) sum[j] = v_zero();
    for (; i + 4 * LANES <= n; i += 4 * LANES) UNROLL for (int j = 0; j < 4; j++)
        {
            const int at = i + j * LANES;
            sum[j] = v_fma(v_mul(v_load(w + at), v_load(dy + at)), v_load(x + at), sum[j]);
        }
    for (; i < n; i += LANES) {
        const int some = PP_MIN(n - i, LANES);
        sum[0] = v_fma(v_mul(load_some(w + i, some), load_some(dy + i, some)), load_some(x + i, some), sum[0]);
    }
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

static void k_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w, int n, float eps)
{
    const double r = 1.0 / sqrt((double)sum_of_squares(x, n) / n + (double)eps);
    const vec scale = v_set1((float)r);
    const vec back = v_set1((float)(-r * r * r / n * (double)sum_of_products(w, dy, x, n)));
#define ROW(i, some)                                                                                                   \
    do {                                                                                                               \
        const vec xi = load_some(x + (i), some), dyi = v_mul(load_some(dy + (i), some), scale);                        \
        if (dw) store_some(dw + (i), v_fma(dyi, xi, load_some(dw + (i), some)), some);                                 \
        const vec own = v_fma(load_some(w + (i), some), dyi, load_some(dx + (i), some));                               \
        store_some(dx + (i), v_fma(xi, back, own), some);                                                              \
    } while (0)
    EACH_VECTOR(n, ROW);
#undef ROW
}

static void k_swiglu_backward(float *gate, float *up, const float *dy, int n)
{
    const vec one = v_set1(1.0f);
#define STEP(i, some)                                                                                                  \
    do {                                                                                                               \
        const vec g = load_some(gate + (i), some), u = load_some(up + (i), some), d = load_some(dy + (i), some);       \
        const vec s = v_div(one, v_add(one, v_exp(v_sub(v_set1(-0.0f), g))));                                          \
        const vec slope = v_mul(s, v_fma(g, v_sub(one, s), one));                                                      \
        store_some(gate + (i), v_mul(v_mul(d, u), slope), some);                                                       \
        store_some(up + (i), v_mul(d, v_mul(g, s)), some);                                                             \
    } while (0)
    EACH_VECTOR(n, STEP);
#undef STEP
}

/* exp(scale * p - less); the product is rounded by itself, as it was when the largest was looked for. */
INLINE vec exp_less(vec p, vec scale, vec less) { return v_exp(v_sub(v_mul(p, scale), less)); }

static void k_softmax_again(float *p, int n, float scale, float lse)
{
    const vec s = v_set1(scale), less = v_set1(lse);
#define STEP(i, some) store_some(p + (i), exp_less(load_some(p + (i), some), s, less), some)
    EACH_VECTOR(n, STEP);
#undef STEP
}

/* Lanes add up a few terms at a time, and double adds those up: over a vocabulary floats would lose five digits. */
static double sum_of_exp(const float *p, int n, vec scale, vec less)
{
    enum { FEW = 16 * LANES };
    double all = 0;
    float last[LANES];
    int i = 0;
    while (i + LANES <= n) {
        const int end = PP_MIN(i + FEW, n);
        vec sum = v_zero();
        for (; i + LANES <= end; i += LANES) sum = v_add(sum, exp_less(v_load(p + i), scale, less));
        all += (double)v_sum(sum);
    }
    if (i < n) v_store(last, exp_less(v_load_n(p + i, n - i), scale, less));
    for (int j = 0; j < n - i; j++) all += (double)last[j];
    return all;
}

static float k_softmax(float *p, int n, float scale)
{
    const vec s = v_set1(scale);
    vec most = v_set1(p[0] * scale);
    int i = 0;
    for (; i + LANES <= n; i += LANES) most = v_max(v_mul(v_load(p + i), s), most);
    float max = v_first(v_max_across(most));
    for (; i < n; i++) max = fmaxf(max, p[i] * scale);
    const float lse = max + (float)log(sum_of_exp(p, n, s, v_set1(max)));
    k_softmax_again(p, n, scale, lse);
    return lse;
}

static double k_log_sum(const float *x, int n)
{
    const float max = k_largest(x, n);
    return (double)max + log(sum_of_exp(x, n, v_set1(1), v_set1(max)));
}

static void k_softmax_backward(float *dp, const float *p, int n, float scale, float sum)
{
    const vec s = v_set1(scale), less = v_set1(sum);
#define STEP(i, some)                                                                                                  \
    store_some(dp + (i), v_mul(s, v_mul(load_some(p + (i), some), v_sub(load_some(dp + (i), some), less))), some)
    EACH_VECTOR(n, STEP);
#undef STEP
}

static void k_adamw(float *w, float *m, float *v, const float *g, int n, const pp_adamw *a)
{
    const vec beta1 = v_set1(a->beta1), beta2 = v_set1(a->beta2), correct1 = v_set1(a->correct1);
    const vec correct2 = v_set1(a->correct2), eps = v_set1(a->eps), rate = v_set1(a->rate), decay = v_set1(a->decay);
    const vec clip = v_set1(a->gradient), minus = v_set1(-0.0f);
#define STEP(i, some)                                                                                                  \
    do {                                                                                                               \
        const vec d = v_mul(load_some(g + (i), some), clip), d2 = v_mul(d, d);                                         \
        const vec mi = v_fma(beta1, v_sub(load_some(m + (i), some), d), d);                                            \
        const vec vi = v_fma(beta2, v_sub(load_some(v + (i), some), d2), d2);                                          \
        const vec step = v_div(v_mul(mi, correct1), v_fma(v_sqrt(vi), correct2, eps));                                 \
        store_some(m + (i), mi, some);                                                                                 \
        store_some(v + (i), vi, some);                                                                                 \
        store_some(w + (i), v_fma(load_some(w + (i), some), decay, v_sub(minus, v_mul(rate, step))), some);            \
    } while (0)
    EACH_VECTOR(n, STEP);
#undef STEP
}
