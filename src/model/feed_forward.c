/* feed_forward.c - x += W_down (silu(W_gate h) * W_up h), h = norm(x): SwiGLU. */
#include "model/forward.h"

static void swiglu_row(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const int32_t n = st->engine->weights->config.d_ffn;
    const size_t at = (size_t)row * (size_t)n;
    st->engine->kernels->swiglu(st->s->gate + at, st->s->gate + at, st->s->up + at, n);
}

void pp_feed_forward_forward(const pp_state *st)
{
    pp_scratch *s = st->s;
    pp_norm_rows(st, s->h, s->x, st->engine->weights->layers[st->layer].ffn_norm);
    pp_linears(st, (pp_job[]){{PP_GATE, s->h, s->gate, false}, {PP_UP, s->h, s->up, false}}, 2);
    pp_each_row(st, swiglu_row, (void *)(uintptr_t)st);
    pp_linears(st, &(pp_job){PP_DOWN, s->gate, s->x, true}, 1);
}
