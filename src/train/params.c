/* params.c - parameters with their gradients and moments; clipping, and AdamW over those that are its. */
#include <math.h>
#include <string.h>

#include "train/params.h"

enum { BLOCK = 4096 }; /* elements whose squares are summed in float */

static size_t n_block(size_t n) { return (n + BLOCK - 1) / BLOCK; }

/* ---- memory ---- */

/* Whether Muon moves this tensor. */
static bool is_hidden_matrix(const pp_weights *w, const pp_tensor *t)
{
    return t->n_dim == 2 && t->data != w->embedding.w && t->data != w->head.w;
}

static void add_span(pp_params *p, size_t at, size_t n, bool decays)
{
    p->spans[p->n_span++] = (pp_param_span){.at = at, .n = n, .decays = decays};
    p->n_v += n;
}

/* What AdamW moves: everything, or all tensors that are left for it. */
static pippin_status list_spans(pp_params *p, pippin_error *err)
{
    const pp_tensors *t = &p->weights.tensors;
    const size_t most = t->n + 2;
    p->spans = pp_alloc_zero(most, sizeof *p->spans);
    if (!p->spans) return pp_fail_memory(err, "parameters", most * sizeof *p->spans);
    if (!p->muon.n_matrix) add_span(p, 0, p->n_weights, true);
    for (size_t i = 0; i < t->n && p->muon.n_matrix; i++) {
        const float *w = t->items[i].data;
        const bool is_parameter = w >= p->value && w < p->value + p->n_weights;
        if (is_parameter && !is_hidden_matrix(&p->weights, &t->items[i]))
            add_span(p, (size_t)(w - p->value), t->items[i].n_elem, true);
    }
    add_span(p, p->n_weights, p->n - p->n_weights, false);
    return PIPPIN_OK;
}

/* Gradients and moments beside p->value. */
static pippin_status add_moments(pp_params *p, pippin_error *err)
{
    const pippin_status status = list_spans(p, err);
    if (status != PIPPIN_OK) return status;
    const size_t n = (p->n + 15) / 16 * 16, n_v = (p->n_v + 15) / 16 * 16;
    const size_t bytes = (2 * n + n_v) * sizeof(float) + n_block(p->n) * sizeof(double);
    p->block = pp_alloc_zero(1, bytes);
    if (!p->block) return pp_fail_memory(err, "gradients and moments", bytes);
    p->grad = p->block;
    p->m = p->grad + n;
    p->v = p->m + n;
    p->squares = (double *)(void *)(p->v + n_v);
    float *v = p->v;
    for (size_t i = 0; i < p->n_span; v += p->spans[i++].n) p->spans[i].v = v;
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

pippin_status pp_params_full(const pp_weights *from, size_t n_extra, pippin_optimizer optimizer, pp_params *out,
                             pippin_error *err)
{
    *out = (pp_params){0};
    pippin_status status = pp_weights_master(from, n_extra, &out->weights, &out->value, &out->n_weights, err);
    out->n = out->n_weights + n_extra;
    if (status == PIPPIN_OK && optimizer == PIPPIN_OPTIMIZER_MUON)
        status = pp_muon_create(&out->weights, out->value, &out->muon, err);
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
    pp_muon_free(&p->muon);
    pp_free(p->grads.layers);
    pp_free(p->spans);
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
    for (const pp_param_span *s = p->spans; s < p->spans + p->n_span; s++) {
        pp_adamw adamw = a->adamw;
        size_t first, last;
        if (!s->decays) adamw.decay = 1;
        pp_team_share(s->n, BLOCK, thread, n_thread, &first, &last);
        for (size_t i = first; i < last; i += BLOCK) {
            const size_t at = s->at + i;
            a->kernels->adamw(p->value + at, p->m + at, s->v + i, p->grad + at, (int)PP_MIN((size_t)BLOCK, last - i),
                              &adamw);
        }
    }
}

void pp_params_step(pp_params *p, const pp_step_options *o, double norm, pp_net *net)
{
    step_args a = {.p = p, .kernels = net->kernels};
    a.adamw = (pp_adamw){.rate = (float)o->rate,
                         .beta1 = (float)o->beta1,
                         .beta2 = (float)o->beta2,
                         .eps = (float)o->eps,
                         .decay = (float)(1 - o->rate * o->weight_decay),
                         .correct1 = (float)(1 / (1 - pow(o->beta1, (double)o->step))),
                         .correct2 = (float)(1 / sqrt(1 - pow(o->beta2, (double)o->step))),
                         /* as torch.nn.utils.clip_grad_norm_ */
                         .gradient = (float)(o->clip > 0 ? PP_MIN(1.0, o->clip / (norm + 1e-6)) : 1.0)};
    pp_team_run_worth(net->team, p->n_v * 8, step_task, &a);
    pp_muon_step(p, &a.adamw, net);
}
