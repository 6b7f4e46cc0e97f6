/* params.c - parameters with their gradients and moments; clipping and AdamW over all of them. */
#include <math.h>
#include <string.h>

#include "train/params.h"

enum { BLOCK = 4096 }; /* elements whose squares are summed in float */

static size_t n_block(size_t n) { return (n + BLOCK - 1) / BLOCK; }

/* ---- memory ---- */

/* Gradients and moments beside p->value. */
static pippin_status add_moments(pp_params *p, pippin_error *err)
{
    const size_t n = (p->n + 15) / 16 * 16, bytes = 3 * n * sizeof(float) + n_block(p->n) * sizeof(double);
    p->block = pp_alloc_zero(1, bytes);
    if (!p->block) return pp_fail_memory(err, "gradients and moments", bytes);
    p->grad = p->block;
    p->m = p->grad + n;
    p->v = p->m + n;
    p->squares = (double *)(void *)(p->v + n);
    return PIPPIN_OK;
}

/* Where the gradient of what `weight` points to goes; NULL where it is no parameter. */
static float *grad_of(const pp_params *p, const void *weight)
{
    const float *w = weight;
    return w && w >= p->value && w < p->value + p->n ? p->grad + (w - p->value) : NULL;
}

static pippin_status point_grads(pp_params *p, const pp_weights *w, const pp_lora *lora, pippin_error *err)
{
    const int32_t n_layer = w->config.n_layer;
    p->grads.layers = pp_alloc_zero((size_t)n_layer, sizeof *p->grads.layers);
    if (!p->grads.layers) return pp_fail_memory(err, "gradients", (size_t)n_layer * sizeof *p->grads.layers);
    p->grads.embedding = grad_of(p, w->embedding.w);
    p->grads.head = grad_of(p, w->head.w);
    p->grads.out_norm = grad_of(p, w->out_norm);
    for (int32_t i = 0; i < n_layer; i++) {
        const pp_layer *l = &w->layers[i];
        pp_layer_grads *g = &p->grads.layers[i];
        g->attn_norm = grad_of(p, l->attn_norm);
        g->ffn_norm = grad_of(p, l->ffn_norm);
        g->q_norm = grad_of(p, l->q_norm);
        g->k_norm = grad_of(p, l->k_norm);
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
            g->site[site] = grad_of(p, l->site[site].w);
            g->bias[site] = grad_of(p, l->site[site].bias);
            g->lora_a[site] = lora ? grad_of(p, lora->sites[i * PP_N_SITE + (int32_t)site].a) : NULL;
            g->lora_b[site] = lora ? grad_of(p, lora->sites[i * PP_N_SITE + (int32_t)site].b) : NULL;
        }
    }
    return PIPPIN_OK;
}

pippin_status pp_params_full(const pp_weights *from, size_t n_extra, pp_params *out, pippin_error *err)
{
    *out = (pp_params){0};
    pippin_status status = pp_weights_master(from, n_extra, &out->weights, &out->value, &out->n_weights, err);
    out->n = out->n_weights + n_extra;
    if (status == PIPPIN_OK) status = add_moments(out, err);
    if (status == PIPPIN_OK) status = point_grads(out, &out->weights, NULL, err);
    if (status != PIPPIN_OK) pp_params_free(out);
    return status;
}

pippin_status pp_params_adapter(const pp_weights *base, pippin_adapter *adapter, pp_params *out, pippin_error *err)
{
    *out = (pp_params){
        .adapter = adapter, .value = adapter->values, .n = adapter->n_values, .n_weights = adapter->n_values};
    pippin_status status = add_moments(out, err);
    if (status == PIPPIN_OK) status = point_grads(out, base, &adapter->lora, err);
    if (status != PIPPIN_OK) pp_params_free(out);
    return status;
}

void pp_params_free(pp_params *p)
{
    if (!p) return;
    pp_weights_free(&p->weights);
    pp_adapter_destroy(p->adapter);
    pp_free(p->grads.layers);
    pp_free(p->block);
    *p = (pp_params){0};
}

/* ---- over all parameters ---- */

typedef struct step_args {
    pp_params *p;
    const pp_kernels *kernels;
    pp_adamw adamw;
} step_args;

static pp_row_span share_of(const pp_params *p, int thread, int n_thread)
{
    size_t first, last;
    pp_team_share(n_block(p->n), 1, thread, n_thread, &first, &last);
    return (pp_row_span){(int32_t)first, (int32_t)last};
}

static size_t block_size(const pp_params *p, int32_t block)
{
    return PP_MIN((size_t)BLOCK, p->n - (size_t)block * BLOCK);
}

static void zero_task(void *arg, int thread, int n_thread)
{
    pp_params *p = arg;
    const pp_row_span blocks = share_of(p, thread, n_thread);
    for (int32_t i = blocks.first; i < blocks.last; i++)
        memset(p->grad + (size_t)i * BLOCK, 0, block_size(p, i) * sizeof *p->grad);
}

void pp_params_zero_grad(pp_params *p, pp_team *team) { pp_team_run_worth(team, p->n, zero_task, p); }

static void squares_task(void *arg, int thread, int n_thread)
{
    const step_args *a = arg;
    const pp_row_span blocks = share_of(a->p, thread, n_thread);
    for (int32_t i = blocks.first; i < blocks.last; i++) {
        const float *g = a->p->grad + (size_t)i * BLOCK;
        a->p->squares[i] = (double)a->kernels->dot(g, g, (int)block_size(a->p, i));
    }
}

double pp_params_grad_norm(pp_params *p, const pp_kernels *kernels, pp_team *team)
{
    double sum = 0;
    pp_team_run_worth(team, p->n, squares_task, &(step_args){.p = p, .kernels = kernels});
    for (size_t i = 0; i < n_block(p->n); i++) sum += p->squares[i];
    return sqrt(sum);
}

static void step_task(void *arg, int thread, int n_thread)
{
    const step_args *a = arg;
    const pp_params *p = a->p;
    const pp_row_span blocks = share_of(p, thread, n_thread);
    for (int32_t i = blocks.first; i < blocks.last; i++) {
        const size_t at = (size_t)i * BLOCK, n = block_size(p, i);
        const size_t decays = at < p->n_weights ? PP_MIN(n, p->n_weights - at) : 0;
        pp_adamw rest = a->adamw;
        rest.decay = 1;
        a->kernels->adamw(p->value + at, p->m + at, p->v + at, p->grad + at, (int)decays, &a->adamw);
        a->kernels->adamw(p->value + at + decays, p->m + at + decays, p->v + at + decays, p->grad + at + decays,
                          (int)(n - decays), &rest);
    }
}

void pp_params_step(pp_params *p, const pp_adamw_options *o, double norm, const pp_kernels *kernels, pp_team *team)
{
    step_args a = {.p = p, .kernels = kernels};
    a.adamw = (pp_adamw){.rate = (float)o->rate,
                         .beta1 = (float)o->beta1,
                         .beta2 = (float)o->beta2,
                         .eps = (float)o->eps,
                         .decay = (float)(1 - o->rate * o->weight_decay),
                         .correct1 = (float)(1 / (1 - pow(o->beta1, (double)o->step))),
                         .correct2 = (float)(1 / sqrt(1 - pow(o->beta2, (double)o->step))),
                         /* as torch.nn.utils.clip_grad_norm_ */
                         .gradient = (float)(o->clip > 0 ? PP_MIN(1.0, o->clip / (norm + 1e-6)) : 1.0)};
    pp_team_run_worth(team, p->n * 8, step_task, &a);
}
