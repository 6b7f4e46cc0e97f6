/* qat.c - rounding in the loop: matrices and their scales. What is rounded in the layers themselves, K and V, is in attention.c. */
#include <math.h>
#include <string.h>

#include "train/qat.h"

/* ---- one row ---- */

static float mean_size(const float *w, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)fabsf(w[i]);
    return (float)(sum / (double)n);
}

/* The level that u = w / scale is rounded to: a half-integer. */
static float level_of(float u, int levels)
{
    const float most = (float)(levels - 1) / 2;
    return fminf(most, fmaxf(-most, floorf(u) + 0.5f));
}

static void round_row(const float *w, float *to, size_t n, float scale, int levels)
{
    if (!(scale > 0)) {
        memset(to, 0, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i < n; i++) to[i] = scale * level_of(w[i] / scale, levels);
}

/* d loss / d scale: where w is within the levels its rounding passes as 1, so that d (scale level) / d scale = level - u. */
static float scale_gradient(const float *w, const float *grad, size_t n, float scale, int levels)
{
    double sum = 0;
    if (!(scale > 0)) return 0;
    for (size_t i = 0; i < n; i++) {
        const float u = w[i] / scale, level = level_of(u, levels);
        sum += (double)grad[i] * (double)(fabsf(u) <= (float)levels / 2 ? level - u : level);
    }
    return (float)sum;
}

static double row_error(const float *w, size_t n, float scale, int levels)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float d = w[i] - scale * level_of(w[i] / scale, levels);
        sum += (double)(d * d);
    }
    return sum;
}

/* The ratio with the smallest squared error, of 40 between those that a uniform and a long-tailed row want. */
static float best_ratio(const float *w, size_t n, int levels)
{
    enum { TRIES = 40 };
    const float size = mean_size(w, n), low = 2.4f / (float)levels, high = 8.0f / (float)levels;
    float best = 5.0f / (float)levels;
    double least = INFINITY;
    for (int i = 0; i < TRIES && size > 0; i++) {
        const float ratio = low * powf(high / low, (float)i / (TRIES - 1));
        const double error = row_error(w, n, ratio * size, levels);
        if (error < least) {
            least = error;
            best = ratio;
        }
    }
    return best;
}

/* ---- all rows, divided among the threads ---- */

typedef struct rows_args rows_args;
typedef void (*row_task)(const rows_args *a, const pp_qat_matrix *m, size_t row);
struct rows_args {
    pp_qat *q;
    pp_params *p;
    row_task fn;
};

static void rows_task(void *arg, int thread, int n_thread)
{
    const rows_args *a = arg;
    for (size_t i = 0; i < a->q->n_matrix; i++) {
        const pp_qat_matrix *m = &a->q->matrices[i];
        size_t first, last;
        pp_team_share(m->rows, 1, thread, n_thread, &first, &last);
        for (size_t row = first; row < last; row++) a->fn(a, m, row);
    }
}

static void each_row(pp_qat *q, pp_params *p, pp_team *team, row_task fn)
{
    pp_team_run_worth(team, p->n * 8, rows_task, &(rows_args){q, p, fn});
}

static void start_row(const rows_args *a, const pp_qat_matrix *m, size_t row)
{
    a->p->value[m->ratio + row] = best_ratio(a->p->value + m->at + row * m->columns, m->columns, m->levels);
}

static void round_one(const rows_args *a, const pp_qat_matrix *m, size_t row)
{
    const float *w = a->p->value + m->at + row * m->columns;
    const float scale = a->p->value[m->ratio + row] * mean_size(w, m->columns);
    round_row(w, a->q->rounded + m->at + row * m->columns, m->columns, scale, m->levels);
    a->q->scales[m->ratio - a->p->n_weights + row] = scale;
}

static void gradient_one(const rows_args *a, const pp_qat_matrix *m, size_t row)
{
    const size_t at = m->at + row * m->columns;
    const float size = mean_size(a->p->value + at, m->columns), scale = a->p->value[m->ratio + row] * size;
    a->p->grad[m->ratio + row] = size * scale_gradient(a->p->value + at, a->p->grad + at, m->columns, scale, m->levels);
}

void pp_qat_round(pp_qat *q, const pp_params *p, pp_team *team)
{
    each_row(q, (pp_params *)(uintptr_t)p, team, round_one);
    if (q->n_range) memcpy(q->before, q->ranges, q->n_range * sizeof *q->before);
}

void pp_qat_take_back(pp_qat *q)
{
    if (q->n_range) memcpy(q->ranges, q->before, q->n_range * sizeof *q->ranges);
}

void pp_qat_gradients(pp_qat *q, pp_params *p, pp_team *team) { each_row(q, p, team, gradient_one); }

/* ---- setting up ---- */

static bool is_matrix(const pp_tensor *t) { return t->n_dim == 2; }

size_t pp_qat_n_ratio(const pp_weights *w)
{
    const pippin_config *c = &w->config;
    size_t n = (size_t)c->n_vocab * (c->tied_head ? 1 : 2);
    for (int32_t layer = 0; layer < c->n_layer; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) n += (size_t)w->layers[layer].site[site].n_out;
    return n;
}

static void list_matrices(pp_qat *q, const pp_params *p, pippin_type type)
{
    const pp_weights *w = &p->weights;
    size_t ratio = p->n_weights;
    for (size_t i = 0; i < w->tensors.n; i++) {
        const pp_tensor *t = &w->tensors.items[i];
        if (!is_matrix(t)) continue;
        const bool outer = t->data == w->embedding.w || t->data == w->head.w;
        q->matrices[q->n_matrix++] = (pp_qat_matrix){.name = t->name,
                                                     .at = (size_t)((const float *)t->data - p->value),
                                                     .rows = (size_t)t->shape[0],
                                                     .columns = (size_t)t->shape[1],
                                                     .ratio = ratio,
                                                     .levels = type == PIPPIN_Q2 && !outer ? 4 : 16};
        ratio += (size_t)t->shape[0];
    }
}

/* The linear layers of the net's weights, moved from the masters to the rounded values. */
static void point_weights(pp_qat *q, const pp_params *p, pp_layer *layers)
{
    const pp_weights *w = &p->weights;
    q->weights = *w;
    q->weights.layers = layers;
    memcpy(layers, w->layers, (size_t)w->config.n_layer * sizeof *layers);
    q->weights.embedding.w = q->rounded + ((const float *)w->embedding.w - p->value);
    q->weights.head.w = q->rounded + ((const float *)w->head.w - p->value);
    for (int32_t layer = 0; layer < w->config.n_layer; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
            pp_linear *l = &layers[layer].site[site];
            if (l->w) l->w = q->rounded + ((const float *)l->w - p->value);
        }
}

pippin_status pp_qat_create(pp_params *p, pippin_type type, pp_team *team, pp_qat *out, pippin_error *err)
{
    const pp_weights *w = &p->weights;
    const size_t n_ratio = p->n - p->n_weights, n_layer = (size_t)w->config.n_layer, n_range = 2 * (size_t)w->n_full;
    size_t n_matrix = 0;
    *out = (pp_qat){0};
    for (size_t i = 0; i < w->tensors.n; i++) n_matrix += is_matrix(&w->tensors.items[i]);
    const size_t bytes = (p->n_weights + n_ratio) * sizeof(float) + n_matrix * sizeof *out->matrices +
                         n_layer * sizeof(pp_layer) + 2 * n_range * sizeof *out->ranges;
    out->block = pp_alloc_zero(1, bytes);
    if (!out->block) return pp_fail_memory(err, "rounded weights", bytes);
    pp_layer *layers = out->block; /* the strictest alignment comes first */
    out->matrices = (pp_qat_matrix *)(void *)(layers + n_layer);
    out->ranges = (pp_kv_range *)(void *)(out->matrices + n_matrix);
    out->before = out->ranges + n_range;
    out->rounded = (float *)(void *)(out->before + n_range);
    char name[256]; /* Hugging Face's families have no static K/V scales to keep them in */
    if (w->has_kv_scales || !pp_weights_scale_name(w, 0, false, name, sizeof name)) out->ranges = NULL;
    out->n_range = out->ranges ? n_range : 0;
    out->scales = out->rounded + p->n_weights;
    list_matrices(out, p, type);
    point_weights(out, p, layers);
    each_row(out, p, team, start_row);
    pp_qat_round(out, p, team);
    return PIPPIN_OK;
}

void pp_qat_free(pp_qat *q)
{
    pp_free(q->block);
    *q = (pp_qat){0};
}

/* ---- saving ---- */

pippin_status pp_qat_save(pp_qat *q, const pp_params *p, const char *dir, pippin_error *err)
{
    const pp_weights *w = &p->weights;
    pp_tensors all;
    pippin_status status = pp_tensors_init(&all, dir, err);
    for (size_t i = 0; i < w->tensors.n && status == PIPPIN_OK; i++) {
        pp_tensor t = w->tensors.items[i];
        if (is_matrix(&t)) t.data = q->rounded + ((const float *)t.data - p->value);
        status = pp_tensors_add(&all, t.name, strlen(t.name), &t, err);
    }
    for (size_t i = 0; i < q->n_matrix && status == PIPPIN_OK; i++) {
        const pp_qat_matrix *m = &q->matrices[i];
        char name[256];
        snprintf(name, sizeof name, "%s_scale", m->name);
        const pp_tensor t = {.type = PIPPIN_F32,
                             .n_dim = 1,
                             .shape = {(int64_t)m->rows},
                             .n_elem = m->rows,
                             .bytes = m->rows * sizeof(float),
                             .data = q->scales + (m->ratio - p->n_weights)};
        status = pp_tensors_add(&all, name, strlen(name), &t, err);
    }
    for (int32_t i = 0; i < 2 * w->n_full && status == PIPPIN_OK && q->ranges; i++) {
        char name[256];
        if (!pp_weights_scale_name(w, i / 2, i % 2, name, sizeof name)) continue;
        const pp_tensor t = {.type = PIPPIN_F32, .n_elem = 1, .bytes = sizeof(float), .data = &q->ranges[i].scale};
        status = pp_tensors_add(&all, name, strlen(name), &t, err);
    }
    if (status == PIPPIN_OK) status = pp_weights_save_tensors(w, &all, dir, err);
    pp_tensors_free(&all);
    return status;
}
