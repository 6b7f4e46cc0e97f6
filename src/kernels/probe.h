/*
 * probe.h - what a machine could do at best, for any lanes_*.h: a plain read, and a loop of multiply-adds on registers. Neither
 * shares code with the products that are measured against them, but for the one instruction that counts.
 */
static uint32_t k_probe_read(const uint32_t *p, size_t n)
{
    enum { VECTORS = 4 };
    ivec sum[VECTORS];
    size_t i = 0;
    UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = i_set1(0);
    for (; i + VECTORS * LANES <= n; i += VECTORS * LANES)
        UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = i_add(sum[v], i_load(p + i + v * LANES));
    uint32_t all = (uint32_t)i_sum(i_add(i_add(sum[0], sum[1]), i_add(sum[2], sum[3])));
    for (; i < n; i++) all += p[i];
    return all;
}

/* The instruction, and its products in all lanes. */
#ifdef LOW_MATRIX
#define PROBE_DOT i_dot_matrix
enum { PROBE_PRODUCTS = 8 * LANES };
#else
#define PROBE_DOT i_dot
enum { PROBE_PRODUCTS = 4 * LANES };
#endif

/* As many sums as registers allow, since a product waits some cycles for itself. */
static uint32_t k_probe_multiply(const int8_t x[4], int n)
{
    enum { STEPS = PP_PROBE_PRODUCTS / (PROBE_SUMS * PROBE_PRODUCTS) };
    const ivec four = i_broadcast4(x), u = i_set1(0x03030303);
    ivec total = i_set1(0);
    for (int turn = 0; turn < n; turn++) {
        isum acc[PROBE_SUMS];
        UNROLL for (int a = 0; a < PROBE_SUMS; a++) acc[a] = i_unknown();
        for (int s = 0; s < STEPS; s++) UNROLL for (int a = 0; a < PROBE_SUMS; a++) acc[a] = PROBE_DOT(acc[a], u, four);
        UNROLL for (int a = 0; a < PROBE_SUMS; a++) total = i_add(total, i_widen(acc[a]));
    }
    return (uint32_t)i_sum(total);
}
