/* new.c - an adapter that has not been trained yet. */
#include <math.h>

#include "adapter/adapter.h"

/* A value of the unit normal distribution (Box and Muller). */
static double normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    const double pi = 3.14159265358979323846, u = pp_random_unit(seed, stream, 2 * index);
    return sqrt(-2 * log(1 - u)) * cos(2 * pi * pp_random_unit(seed, stream, 2 * index + 1));
}

static size_t count_values(const pippin_config *c, int32_t rank)
{
    size_t n = 0;
    int32_t n_in, n_out;
    for (int32_t layer = 0; layer < c->n_layer; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE; site++)
            if (pp_site_shape(c, layer, site, &n_in, &n_out)) n += (size_t)rank * (size_t)(n_in + n_out);
    return n;
}

static void fill(pippin_adapter *a, const pippin_config *c, uint64_t seed)
{
    float *at = a->values;
    int32_t n_in, n_out;
    for (int32_t i = 0; i < c->n_layer * PP_N_SITE; i++) {
        if (!pp_site_shape(c, i / PP_N_SITE, (pp_site)(i % PP_N_SITE), &n_in, &n_out)) continue;
        const size_t n = (size_t)a->lora.rank * (size_t)n_in;
        for (size_t j = 0; j < n; j++) at[j] = (float)(normal(seed, (uint64_t)i, j) / sqrt(n_in));
        a->sites[i].a = at;
        a->sites[i].b = at + n; /* zero */
        at += n + (size_t)a->lora.rank * (size_t)n_out;
    }
}

pippin_status pp_adapter_new(const pippin_config *config, int32_t rank, float alpha, uint64_t seed,
                             pippin_adapter **out, pippin_error *err)
{
    *out = NULL;
    if (rank < 1 || rank > 256) return pp_fail(err, PIPPIN_E_ARGUMENT, "rank: %d, expected 1 .. 256", (int)rank);
    if (!(alpha > 0) || !isfinite(alpha))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "alpha: %g, expected a positive number", (double)alpha);
    const size_t n = count_values(config, rank), n_site = (size_t)config->n_layer * PP_N_SITE;
    pippin_adapter *a = pp_alloc_zero(1, sizeof *a);
    if (a) {
        a->sites = pp_alloc_zero(n_site, sizeof *a->sites);
        a->values = pp_alloc_zero(n, sizeof(float));
        a->n_values = n;
    }
    if (!a || !a->sites || !a->values) {
        pp_adapter_destroy(a);
        return pp_fail_memory(err, "adapter", n * sizeof(float));
    }
    a->alpha = alpha;
    a->lora = (pp_lora){.rank = rank, .type = PIPPIN_F32, .scale = alpha / (float)rank, .sites = a->sites};
    fill(a, config, seed);
    *out = a;
    return PIPPIN_OK;
}
