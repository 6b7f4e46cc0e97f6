/* feed_forward.c - y = x_mid + W_down (silu(W_gate h) * W_up h), h = norm(x_mid), forward and backward. */
#include <string.h>

#include "train/net.h"

typedef struct gate_args {
    real *gate, *up, *act;
    const real *dact;
} gate_args;

static void gate_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const gate_args *a = arg;
    const size_t n = (size_t)net->weights->config.d_ffn;
    (void)chunk;
    for (size_t at = (size_t)rows.first * n; at < (size_t)rows.last * n; at += n) {
        if (a->dact)
            pp_op_swiglu_backward(net->kernels, a->gate + at, a->up + at, a->dact + at, (int)n);
        else
            pp_op_swiglu(net->kernels, a->act + at, a->gate + at, a->up + at, (int)n);
    }
}

static void gated(pp_net *net, int32_t n, const gate_args *a)
{
    pp_net_each_chunk(net, n, 16 * (uint64_t)net->weights->config.d_ffn, gate_rows, (void *)(uintptr_t)a);
}

static void gate_and_up(pp_net *net, int32_t layer)
{
    const pp_tape *t = &net->tapes[layer];
    const int32_t n = pp_net_rows_out(net, layer);
    pp_net_norm(net, net->h, t->x_mid, net->weights->layers[layer].ffn_norm, n);
    pp_net_linear(net, layer, PP_GATE, net->h, n, t->gate, false);
    pp_net_linear(net, layer, PP_UP, net->h, n, t->up, false);
}

void pp_net_feed_forward(pp_net *net, int32_t layer, real *y)
{
    const pp_tape *t = &net->tapes[layer];
    const int32_t n = pp_net_rows_out(net, layer);
    gate_and_up(net, layer);
    gated(net, n, &(gate_args){.gate = t->gate, .up = t->up, .act = net->act});
    memcpy(y, t->x_mid, (size_t)n * (size_t)net->weights->config.d_model * sizeof *y);
    pp_net_branch(net, layer, PP_DOWN, net->act, n, y);
}

void pp_net_feed_forward_backward(pp_net *net, int32_t layer)
{
    const pp_tape *t = &net->tapes[layer];
    const float *norm = net->weights->layers[layer].ffn_norm;
    const int32_t n = pp_net_rows_out(net, layer);
    if (net->options.checkpointing) gate_and_up(net, layer);
    gated(net, n, &(gate_args){.gate = t->gate, .up = t->up, .act = net->act});
    pp_net_branch_backward(net, layer, PP_DOWN, net->act, n, net->dact);
    gated(net, n, &(gate_args){.gate = t->gate, .up = t->up, .dact = net->dact});
    pp_net_norm(net, net->h, t->x_mid, norm, n);
    pp_net_linear_backward(net, layer, PP_GATE, net->h, t->gate, n, net->dh, false);
    pp_net_linear_backward(net, layer, PP_UP, net->h, t->up, n, net->dh, true);
    pp_net_norm_backward(net, net->dx, net->grads.layers[layer].ffn_norm, net->dh, t->x_mid, norm, n);
}
