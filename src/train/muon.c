/*
 * muon.c - Muon (Jordan 2024) for the matrices of the layers: the momentum's direction with all its singular values brought
 * near 1, so that a step moves every direction of the matrix alike. The size of a step is that of Liu et al. 2025 ("Muon is
 * scalable for LLM training"): its root mean square is what AdamW's usually is, so that one rate and one decay serve both.
 */
#include <math.h>

#include "train/params.h"

enum { BLOCK = 4096, N_ITERATION = 5 };

static const float momentum = 0.95f;
/* X becomes aX + b(XX^T)X + c(XX^T)^2 X: singular values above 0 end between 0.7 and 1.2 after five times. */
static const float a = 3.4445f, b = -4.7750f, c = 2.0315f;

static size_t n_elem(const pp_muon_matrix *m) { return (size_t)m->n_out * (size_t)m->n_in; }

pippin_status pp_muon_create(const pp_weights *w, const float *value, pp_muon *out, pippin_error *err)
{
    const size_t n_site = (size_t)w->config.n_layer * PP_N_SITE;
    size_t most = 0, side = 0;
    *out = (pp_muon){.matrices = pp_alloc_zero(n_site, sizeof *out->matrices)};
    if (!out->matrices) return pp_fail_memory(err, "matrices", n_site * sizeof *out->matrices);
    for (size_t i = 0; i < n_site; i++) {
        const pp_linear *l = &w->layers[i / PP_N_SITE].site[i % PP_N_SITE];
        if (!l->w) continue;
        pp_muon_matrix *m = &out->matrices[out->n_matrix++];
        *m = (pp_muon_matrix){(size_t)((const float *)l->w - value), l->n_out, l->n_in};
        most = PP_MAX(most, n_elem(m));
        side = PP_MAX(side, (size_t)PP_MIN(l->n_out, l->n_in));
    }
    const size_t bytes = (most + 2 * side * side) * sizeof(float);
    out->block = pp_alloc(bytes);
    if (!out->block) {
        pp_muon_free(out);
        return pp_fail_memory(err, "room for Muon's products", bytes);
    }
    out->next = out->block;
    out->gram = out->next + most;
    out->square = out->gram + side * side;
    return PIPPIN_OK;
}

void pp_muon_free(pp_muon *m)
{
    pp_free(m->matrices);
    pp_free(m->block);
    *m = (pp_muon){0};
}

/* ---- element by element, in blocks that are divided among the threads ---- */

typedef struct elements elements;
typedef void (*block_task)(const elements *e, size_t first, size_t n);
struct elements {
    block_task fn;
    size_t n;
    float *value, *x, *m; /* weights, gradients or direction, momentum */
    float *gram, *square, *next;
    double *sums; /* [blocks] */
    const pp_kernels *kernels;
    float decay, by;
};

static void each_task(void *arg, int thread, int n_thread)
{
    const elements *e = arg;
    size_t first, last;
    pp_team_share(e->n, BLOCK, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i += BLOCK) e->fn(e, i, PP_MIN((size_t)BLOCK, last - i));
}

static void each(pp_net *net, elements e, size_t n, block_task fn)
{
    e.n = n;
    e.fn = fn;
    pp_team_run_worth(net->team, 4 * n, each_task, &e);
}

/* The momentum with this gradient in it, and Nesterov's look ahead in place of the gradient. */
static void accelerate(const elements *e, size_t first, size_t n)
{
    float *x = e->x + first, *m = e->m + first;
    for (size_t i = 0; i < n; i++) {
        const float g = e->by * x[i];
        m[i] = momentum * m[i] + g;
        x[i] = momentum * m[i] + g;
    }
    e->sums[first / BLOCK] = (double)e->kernels->dot(x, x, (int)n);
}

static void scale(const elements *e, size_t first, size_t n) { e->kernels->scale(e->x + first, e->by, (int)n); }

/* The factor of X, but for the part that is a multiple of 1. */
static void mix(const elements *e, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) e->square[i] = c * e->square[i] + b * e->gram[i];
}

static void begin_next(const elements *e, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) e->next[i] = a * e->x[i];
}

static void move(const elements *e, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) e->value[i] = e->decay * e->value[i] - e->by * e->x[i];
}

/* ---- a matrix ---- */

/*
 * One iteration, from e->x to e->next. The products are taken on the side that is shorter: XX^T, or X^T X with the factor on the
 * right.
 */
static void iterate(pp_net *net, const pp_muon_matrix *m, const elements *e)
{
    const bool wide = m->n_in >= m->n_out;
    const size_t in = (size_t)m->n_in, side = (size_t)PP_MIN(m->n_in, m->n_out);
    const int n = (int)side, k = PP_MAX(m->n_in, m->n_out);
    const size_t row = wide ? in : 1, column = wide ? 1 : in; /* strides along the shorter side, and along the longer */
    pp_net_multiply(net, &(pp_product){.a = e->x,
                                       .a_row = row,
                                       .a_col = column,
                                       .b = e->x,
                                       .b_row = column,
                                       .b_col = row,
                                       .c = e->gram,
                                       .c_row = side,
                                       .m = n,
                                       .n = n,
                                       .k = k});
    pp_net_multiply(net, &(pp_product){.a = e->gram,
                                       .a_row = side,
                                       .a_col = 1,
                                       .b = e->gram,
                                       .b_row = side,
                                       .b_col = 1,
                                       .c = e->square,
                                       .c_row = side,
                                       .m = n,
                                       .n = n,
                                       .k = n});
    each(net, *e, side * side, mix);
    each(net, *e, n_elem(m), begin_next);
    pp_net_multiply(net, &(pp_product){.a = wide ? e->square : e->x,
                                       .a_row = wide ? side : in,
                                       .a_col = 1,
                                       .b = wide ? e->x : e->square,
                                       .b_row = in,
                                       .b_col = 1,
                                       .c = e->next,
                                       .c_row = in,
                                       .m = m->n_out,
                                       .n = m->n_in,
                                       .k = n,
                                       .accumulate = true});
}

void pp_muon_step(pp_params *p, const pp_adamw *o, pp_net *net)
{
    for (const pp_muon_matrix *m = p->muon.matrices; m < p->muon.matrices + p->muon.n_matrix; m++) {
        const size_t n = n_elem(m);
        double sum = 0;
        elements e = {.value = p->value + m->at,
                      .x = p->grad + m->at,
                      .m = p->m + m->at,
                      .gram = p->muon.gram,
                      .square = p->muon.square,
                      .next = p->muon.next,
                      .sums = p->squares,
                      .kernels = net->kernels,
                      .decay = o->decay,
                      .by = o->gradient};
        each(net, e, n, accelerate);
        for (size_t i = 0; i * BLOCK < n; i++) sum += e.sums[i];
        e.by = (float)(1 / (sqrt(sum) + 1e-7));
        each(net, e, n, scale);
        for (int i = 0; i < N_ITERATION; i++) {
            float *x = e.x;
            iterate(net, m, &e);
            e.x = e.next;
            e.next = x;
        }
        e.by = o->rate * 0.2f * sqrtf((float)PP_MAX(m->n_out, m->n_in));
        each(net, e, n, move);
    }
}
