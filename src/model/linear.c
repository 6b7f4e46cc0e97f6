/*
 * linear.c - linear layers on all live rows: base weights and LoRA. Output rows are divided among the threads in fixed
 * contiguous parts, so that each thread reads one ascending stream of weights.
 */
#include <string.h>

#include "model/forward.h"

typedef struct region {
    const pp_state *st;
    const pp_job *jobs;
    int n_job;
    pp_output_task then;     /* NULL: nothing, or not in this region */
    const pp_lora_use *lora; /* LoRA phases only: the adapter, and the rows that use it */
    int32_t first_row, n_row;
} region;

static const pp_linear *linear_of(const pp_state *st, const pp_job *job)
{
    return &st->engine->weights->layers[st->layer].site[job->site];
}

void pp_linear_input(const pp_engine *e, const pp_linear *l, const float *x, int32_t n)
{
    const pp_rounding wanted = pp_low_wanted(l);
    if (wanted) pp_low_rows_round(&e->scratch->low, e->kernels, e->team, x, n, l->n_in, wanted);
}

void pp_linear_part(const pp_engine *e, const pp_linear *l, pp_matmul m, size_t first, size_t last)
{
    if (first == last) return;
    if (!pp_low_wanted(l)) m.w = pp_matrix_rows(l->type, l->w, (size_t)l->n_in, first);
    m.bias = l->bias ? l->bias + first : NULL;
    m.y += first;
    m.n_in = l->n_in;
    m.n_out = (int)(last - first);
    if (pp_low_wanted(l))
        pp_low_rows_multiply(&e->scratch->low, e->kernels, l, first, &m);
    else
        pp_kernels_matmul(e->kernels, l->type)(&m);
}

void pp_linear_share(const pp_engine *e, const pp_linear *l, pp_matmul m, int thread, int n_thread)
{
    size_t first, last;
    pp_team_share((size_t)l->n_out, PP_GRAIN, thread, n_thread, &first, &last);
    pp_linear_part(e, l, m, first, last);
}

/* This thread's outputs of the jobs, the ones that it computed itself. */
static void then_task(void *arg, int thread, int n_thread)
{
    const region *r = arg;
    size_t first, last;
    pp_team_share((size_t)linear_of(r->st, r->jobs)->n_out, PP_GRAIN, thread, n_thread, &first, &last);
    if (first < last) r->then(r->st, first, last);
}

static void base_task(void *arg, int thread, int n_thread)
{
    const region *r = arg;
    for (int i = 0; i < r->n_job; i++) {
        const pp_job *job = &r->jobs[i];
        const pp_linear *l = linear_of(r->st, job);
        pp_linear_share(r->st->engine, l,
                        (pp_matmul){.x = job->x,
                                    .x_stride = (size_t)l->n_in,
                                    .y = job->y,
                                    .y_stride = (size_t)l->n_out,
                                    .n_tok = r->st->s->n_live,
                                    .accumulate = job->accumulate},
                        thread, n_thread);
    }
    if (r->then) then_task(arg, thread, n_thread);
}

static const pp_lora_site *lora_site(const region *r, const pp_job *job)
{
    return &r->lora->lora->sites[(size_t)r->st->layer * PP_N_SITE + job->site];
}

static float *lora_scratch(const region *r, int job)
{
    return r->st->s->lora + (size_t)job * (size_t)r->st->s->sizes.n_row * PP_MAX_RANK;
}

/* t = scale * x A, for each job. The rank is small, so here rows are divided where there are several. */
static void lora_a_task(void *arg, int thread, int n_thread)
{
    const region *r = arg;
    const pp_kernels *kernels = r->st->engine->kernels;
    const pp_matmul_kernel multiply = pp_kernels_matmul(kernels, r->lora->lora->type);
    const int32_t rank = r->lora->lora->rank;
    size_t first, last;
    pp_team_share((size_t)r->n_row, 1, thread, n_thread, &first, &last);
    if (first == last) return;
    for (int i = 0; i < r->n_job; i++) {
        const pp_linear *l = linear_of(r->st, &r->jobs[i]);
        const pp_lora_site *site = lora_site(r, &r->jobs[i]);
        if (!site->a) continue;
        float *t = lora_scratch(r, i) + first * (size_t)rank;
        multiply(&(pp_matmul){.x = r->jobs[i].x + ((size_t)r->first_row + first) * (size_t)l->n_in,
                              .x_stride = (size_t)l->n_in,
                              .w = site->a,
                              .y = t,
                              .y_stride = (size_t)rank,
                              .n_tok = (int)(last - first),
                              .n_in = l->n_in,
                              .n_out = rank});
        kernels->scale(t, r->lora->scale, (int)(last - first) * rank);
    }
}

/* y += t B. */
static void lora_b_task(void *arg, int thread, int n_thread)
{
    const region *r = arg;
    const int32_t rank = r->lora->lora->rank;
    for (int i = 0; i < r->n_job; i++) {
        const pp_linear *l = linear_of(r->st, &r->jobs[i]);
        const pp_lora_site *site = lora_site(r, &r->jobs[i]);
        if (!site->a) continue;
        const pp_linear b = {.w = site->b, .type = r->lora->lora->type, .n_in = rank, .n_out = l->n_out};
        pp_linear_share(r->st->engine, &b,
                        (pp_matmul){.x = lora_scratch(r, i),
                                    .x_stride = (size_t)rank,
                                    .y = r->jobs[i].y + (size_t)r->first_row * (size_t)l->n_out,
                                    .y_stride = (size_t)l->n_out,
                                    .n_tok = r->n_row,
                                    .accumulate = true},
                        thread, n_thread);
    }
}

static bool same_loras(const pp_sequence *a, const pp_sequence *b)
{
    bool same = a->n_lora == b->n_lora;
    for (int32_t i = 0; same && i < a->n_lora; i++)
        same = a->loras[i].lora == b->loras[i].lora && a->loras[i].scale == b->loras[i].scale;
    return same;
}

/* y += the adapters' parts. One run of rows for those that follow each other with the same adapters, and each of these. */
static void add_loras(region *r)
{
    const pp_state *st = r->st;
    const pp_row *rows = st->s->rows;
    for (int32_t row = 0; row < st->s->n_live; row += r->n_row) {
        const pp_sequence *q = &st->pass->sequences[rows[row].sequence];
        r->first_row = row;
        for (r->n_row = 1;
             row + r->n_row < st->s->n_live && same_loras(q, &st->pass->sequences[rows[row + r->n_row].sequence]);)
            r->n_row++;
        for (int32_t i = 0; i < q->n_lora; i++) {
            r->lora = &q->loras[i];
            uint64_t work = 0;
            for (int j = 0; j < r->n_job; j++)
                work += (uint64_t)r->lora->lora->rank * (uint64_t)linear_of(st, &r->jobs[j])->n_in;
            pp_team_run_worth(st->engine->team, work * (uint64_t)r->n_row, lora_a_task, r);
            pp_team_run_worth(st->engine->team, work * (uint64_t)r->n_row, lora_b_task, r);
        }
    }
}

static bool has_loras(const pp_pass *pass)
{
    for (int32_t i = 0; i < pass->n_sequence; i++)
        if (pass->sequences[i].n_lora) return true;
    return false;
}

void pp_linears(const pp_state *st, const pp_job *jobs, int n_job, pp_output_task then)
{
    const bool loras = has_loras(st->pass);
    region r = {.st = st, .jobs = jobs, .n_job = n_job, .then = loras ? NULL : then};
    uint64_t work = 0;
    for (int i = 0; i < n_job; i++)
        work += (uint64_t)linear_of(st, &jobs[i])->n_in * (uint64_t)linear_of(st, &jobs[i])->n_out;
    const pp_linear *most = linear_of(st, &jobs[0]); /* the same input: rounded once, for all that one of them wants */
    for (int i = 1; i < n_job; i++)
        if (pp_low_wanted(linear_of(st, &jobs[i])) > pp_low_wanted(most)) most = linear_of(st, &jobs[i]);
    pp_linear_input(st->engine, most, jobs[0].x, st->s->n_live);
    pp_team_run_worth(st->engine->team, work * (uint64_t)st->s->n_live, base_task, &r);
    if (!loras) return;
    add_loras(&r);
    r.then = then;
    if (then)
        pp_team_run_worth(st->engine->team, 8 * (uint64_t)st->s->n_live * (uint64_t)linear_of(st, jobs)->n_out,
                          then_task, &r);
}

/* ---- row-wise work ---- */

typedef struct row_region {
    pp_row_task fn;
    void *arg;
    size_t n;
} row_region;

static void row_task(void *arg, int thread, int n_thread)
{
    const row_region *r = arg;
    size_t first, last;
    pp_team_share(r->n, 1, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i++) r->fn(r->arg, (int32_t)i);
}

void pp_each_row(const pp_state *st, pp_row_task fn, void *arg)
{
    /* Element-wise work on a row is some operations for each of the widest part's elements. */
    enum { OPERATIONS = 8 };
    row_region r = {fn, arg, (size_t)st->s->n_live};
    pp_team_run_worth(st->engine->team, (uint64_t)r.n * OPERATIONS * (uint64_t)st->engine->weights->config.d_ffn,
                      row_task, &r);
}

typedef struct norm_args {
    const pp_state *st;
    float *y;
    const float *x, *weight;
} norm_args;

static void norm_row(void *arg, int32_t row)
{
    const norm_args *a = arg;
    const pippin_config *c = &a->st->engine->weights->config;
    const size_t at = (size_t)row * (size_t)c->d_model;
    a->st->engine->kernels->rmsnorm(a->y + at, a->x + at, a->weight, c->d_model, c->norm_eps);
}

void pp_norm_rows(const pp_state *st, float *y, const float *x, const float *weight)
{
    pp_each_row(st, norm_row, &(norm_args){st, y, x, weight});
}
