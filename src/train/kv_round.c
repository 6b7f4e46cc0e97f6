/*
 * kv_round.c - the int8 quantiser of K and V: one scale a layer each, the model's own or, where the quantiser is trained in the
 * loop, from the range that is observed (model/calibrate.c). Its gradient passes as it is.
 */
#include <math.h>

#include "train/net.h"

typedef struct round_args {
    real *x; /* [rows][n_kv_head d_head] */
    float scale;
} round_args;

static size_t width_of(const pp_net *net)
{
    return (size_t)net->weights->config.n_kv_head * (size_t)net->weights->config.d_head;
}

/* partial[chunk][2]: the least and the largest value, 0 among them. */
static void range_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const round_args *a = arg;
    const size_t width = width_of(net);
    real low = 0, high = 0;
    for (size_t i = (size_t)rows.first * width; i < (size_t)rows.last * width; i++) {
        low = PP_MIN(low, a->x[i]);
        high = PP_MAX(high, a->x[i]);
    }
    net->partial[2 * chunk] = low;
    net->partial[2 * chunk + 1] = high;
}

static void round_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const round_args *a = arg;
    const int32_t d = net->weights->config.d_head;
    const size_t width = width_of(net);
    (void)chunk;
    for (size_t i = (size_t)rows.first * width; i < (size_t)rows.last * width; i += (size_t)d)
        pp_op_round_i8(net->kernels, a->x + i, d, a->scale);
}

static void observe(pp_net *net, pp_kv_range *r, round_args *a)
{
    const int32_t n = (int32_t)net->batch->n_tok;
    float low = 0, high = 0;
    pp_net_each_chunk(net, n, width_of(net), range_rows, a);
    for (int32_t chunk = 0; chunk < (n + PP_CHUNK - 1) / PP_CHUNK; chunk++) {
        low = fminf(low, (float)net->partial[2 * chunk]);
        high = fmaxf(high, (float)net->partial[2 * chunk + 1]);
    }
    pp_kv_range_see(r, low, high);
}

void pp_net_round_kv(pp_net *net, int32_t layer, bool value, real *x, bool again)
{
    const pp_layer *l = &net->weights->layers[layer];
    pp_kv_range *r = net->ranges ? &net->ranges[2 * layer + value] : NULL;
    round_args a = {.x = x, .scale = value ? l->v_scale : l->k_scale};
    if (r && net->training && !again) observe(net, r, &a);
    if (r) a.scale = r->scale;
    if (a.scale > 0) pp_net_each_chunk(net, (int32_t)net->batch->n_tok, 4 * width_of(net), round_rows, &a);
}
