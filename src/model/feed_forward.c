/* feed_forward.c - x += W_down (silu(W_gate h) * W_up h), h = norm(x): SwiGLU. */
#include "model/forward.h"

static void swiglu(const pp_state *st, int32_t row, int32_t n_row, size_t first, size_t last)
{
    const size_t n = (size_t)st->engine->weights->config.d_ffn;
    for (int32_t i = row; i < row + n_row; i++) {
        float *gate = st->s->gate + (size_t)i * n + first;
        st->engine->kernels->swiglu(gate, gate, st->s->up + (size_t)i * n + first, (int)(last - first));
    }
}

void pp_feed_forward_forward(const pp_state *st)
{
    pp_scratch *s = st->s;
    const float *norm = st->engine->weights->layers[st->layer].ffn_norm;
    pp_linears(st, s->h, norm, (pp_job[]){{PP_GATE, s->gate, false}, {PP_UP, s->up, false}}, 2, swiglu);
    pp_linears(st, s->gate, NULL, &(pp_job){PP_DOWN, s->x, true}, 1, NULL);
}
