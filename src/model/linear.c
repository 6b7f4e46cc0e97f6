/*
 * linear.c - linear layers on all live rows: what they read, base weights and LoRA. Output rows are divided among the threads in
 * contiguous shares, so that each reads an ascending stream of weights for as long as it has some of its own. A thread that has to
 * wait brings the beginning of its next share meanwhile.
 */
#include <string.h>

#include "model/forward.h"

/* ---- row-wise work ---- */

typedef struct row_region {
    pp_row_task fn;
    void *arg;
} row_region;

static void row_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const row_region *r = arg;
    for (size_t i = first; i < last; i++) r->fn(r->arg, (int32_t)i);
}

void pp_each_row(const pp_state *st, pp_row_task fn, void *arg)
{
    /* Element-wise work on a row is some operations for each of the widest part's elements. */
    enum { OPERATIONS = 8 };
    const size_t n = (size_t)st->s->n_live;
    pp_team_run_pieces(st->engine->team, (uint64_t)n * OPERATIONS * (uint64_t)st->engine->weights->config.d_ffn, n,
                       row_piece, &(row_region){fn, arg});
}

typedef struct norm_args {
    const pp_state *st;
    float *y;
    const float *x, *weight;
    pp_rounding wanted; /* of y */
} norm_args;

static void norm_row(void *arg, int32_t row)
{
    const norm_args *a = arg;
    const pippin_config *c = &a->st->engine->weights->config;
    const pp_kernels *kernels = a->st->engine->kernels;
    const size_t at = (size_t)row * (size_t)c->d_model;
    kernels->rmsnorm(a->y + at, a->x + at, a->weight, c->d_model, c->norm_eps);
    if (a->wanted) pp_low_row_round(&a->st->s->low, kernels, a->y + at, c->d_model, (size_t)row, a->wanted);
}

void pp_norm_rows(const pp_state *st, float *y, const float *x, const float *weight)
{
    pp_each_row(st, norm_row, &(norm_args){st, y, x, weight, PP_ROUND_NOT});
}

void pp_linear_input(const pp_engine *e, const pp_linear *l, const float *x, int32_t n)
{
    const pp_rounding wanted = pp_low_wanted(l);
    if (wanted) pp_low_rows_round(&e->scratch->low, e->kernels, e->team, x, n, l->n_in, wanted);
}

/* ---- products ---- */

/* Outputs that threads share out: two groups of rows, which a kernel may multiply together. */
enum { GRAIN = 2 * PP_LOW_ROWS };

typedef struct region region;
struct region {
    const pp_state *st;
    const float *x;
    const pp_job *jobs;
    int n_job;
    void (*part)(const region *r, int job, size_t first, size_t last); /* these outputs of a job */
    pp_output_task then;                                               /* NULL: nothing, or not in this region */
    int32_t first_row, n_row;                                          /* all of them, or those that use the adapter */
    const pp_lora_use *lora;                                           /* LoRA phases only */
};

static const pp_linear *linear_of(const pp_state *st, const pp_job *job)
{
    return &st->engine->weights->layers[st->layer].site[job->site];
}

void pp_linear_part(const pp_engine *e, const pp_linear *l, pp_matmul m, int32_t row, size_t first, size_t last)
{
    if (first == last) return;
    m.w = pp_linear_rows(l, first);
    m.bias = l->bias ? l->bias + first : NULL;
    m.x += (size_t)row * m.x_stride;
    m.y += (size_t)row * m.y_stride + first;
    m.n_in = l->n_in;
    m.n_out = (int)(last - first);
    if (pp_low_wanted(l))
        pp_low_rows_multiply(&e->scratch->low, e->kernels, l, (size_t)row, &m);
    else
        pp_kernels_matmul(e->kernels, l->type)(&m);
}

static size_t linear_grains(const pp_linear *l) { return ((size_t)l->n_out + GRAIN - 1) / GRAIN; }

static size_t job_grains(const region *r, int job) { return linear_grains(linear_of(r->st, &r->jobs[job])); }

/* The outputs that n grains of a job hold: the last one may be cut. */
static size_t grain_end(const region *r, int job, size_t n)
{
    return PP_MIN(n * GRAIN, (size_t)linear_of(r->st, &r->jobs[job])->n_out);
}

/* Outputs in grains: of all jobs at once where something is to be done to them then, else of one job after the other. */
static size_t region_grains(const region *r)
{
    size_t n = 0;
    for (int i = 0; i < (r->then ? 1 : r->n_job); i++) n += job_grains(r, i);
    return n;
}

static void region_rows(const region *r, size_t first, size_t last)
{
    size_t at = 0; /* of the job's first grain in the region */
    for (int i = 0; i < r->n_job; i++) {
        const size_t end = at + job_grains(r, i), from = PP_MAX(first, at), to = PP_MIN(last, end);
        if (from < to) r->part(r, i, (from - at) * GRAIN, grain_end(r, i, to - at));
        if (!r->then) at = end;
    }
    if (r->then) r->then(r->st, r->first_row, r->n_row, first * GRAIN, grain_end(r, 0, last));
}

/* What follows reads the outputs again: so few rows at a time that they are in L2 then, and as many as a kernel has use for. */
static void region_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    enum { ROWS = 64 };
    region r = *(const region *)arg;
    const int32_t end = r.first_row + r.n_row;
    const int32_t step = r.then ? ROWS : PP_MAX(1, r.n_row);
    for (; r.first_row < end; r.first_row += step) {
        r.n_row = PP_MIN(step, end - r.first_row);
        region_rows(&r, first, last);
    }
}

static void base_part(const region *r, int i, size_t first, size_t last)
{
    const pp_job *job = &r->jobs[i];
    const pp_linear *l = linear_of(r->st, job);
    pp_linear_part(r->st->engine, l,
                   (pp_matmul){.x = r->x,
                               .x_stride = (size_t)l->n_in,
                               .y = job->y,
                               .y_stride = (size_t)l->n_out,
                               .n_tok = r->n_row,
                               .accumulate = job->accumulate},
                   r->first_row, first, last);
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
static void lora_a_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const region *r = arg;
    const pp_kernels *kernels = r->st->engine->kernels;
    const pp_matmul_kernel multiply = pp_kernels_matmul(kernels, r->lora->lora->type);
    const int32_t rank = r->lora->lora->rank;
    for (int i = 0; i < r->n_job; i++) {
        const pp_linear *l = linear_of(r->st, &r->jobs[i]);
        const pp_lora_site *site = lora_site(r, &r->jobs[i]);
        if (!site->a) continue;
        float *t = lora_scratch(r, i) + first * (size_t)rank;
        multiply(&(pp_matmul){.x = r->x + ((size_t)r->first_row + first) * (size_t)l->n_in,
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
static void lora_b_part(const region *r, int i, size_t first, size_t last)
{
    const int32_t rank = r->lora->lora->rank;
    const pp_linear *l = linear_of(r->st, &r->jobs[i]);
    const pp_lora_site *site = lora_site(r, &r->jobs[i]);
    if (!site->a) return;
    const pp_linear b = {.w = site->b, .type = r->lora->lora->type, .n_in = rank, .n_out = l->n_out};
    pp_linear_part(r->st->engine, &b,
                   (pp_matmul){.x = lora_scratch(r, i),
                               .x_stride = (size_t)rank,
                               .y = r->jobs[i].y + (size_t)r->first_row * (size_t)l->n_out,
                               .y_stride = (size_t)l->n_out,
                               .n_tok = r->n_row,
                               .accumulate = true},
                   0, first, last);
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
            pp_team_run_pieces(st->engine->team, work * (uint64_t)r->n_row, (size_t)r->n_row, lora_a_piece, r);
            r->part = lora_b_part;
            pp_team_run_pieces(st->engine->team, work * (uint64_t)r->n_row, region_grains(r), region_piece, r);
        }
    }
}

static bool has_loras(const pp_pass *pass)
{
    for (int32_t i = 0; i < pass->n_sequence; i++)
        if (pass->sequences[i].n_lora) return true;
    return false;
}

/* ---- what comes next ---- */

/* The linear layers of the region after the one that begins with this site; where gate and up come in turns, the gate. */
static int following(const pp_state *st, pp_site site, const pp_linear *next[3])
{
    const pp_weights *w = st->engine->weights;
    const pp_layer *here = &w->layers[st->layer], *after = here + 1;
    const bool last = st->layer + 1 == w->config.n_layer, full = st->layer + 1 < w->n_full;
    next[0] = site == PP_O      ? &here->site[PP_GATE]
              : site == PP_GATE ? &here->site[PP_DOWN]
              : site != PP_DOWN ? &here->site[PP_O]
              : last            ? &w->head
                                : &after->site[full ? PP_K : PP_Q];
    if (site != PP_DOWN || last || !full) return 1;
    next[1] = &after->site[PP_V];
    next[2] = &after->site[PP_Q];
    return 3;
}

/* Tells each thread where its share of the next region begins. */
static void look_ahead(const pp_state *st, pp_site site)
{
    enum { BYTES = 128 << 10 }; /* of a thread: more than it reads while it waits, and a small part of L2 */
    const pp_linear *next[3];
    const int n = following(st, site, next), n_thread = pp_team_size(st->engine->team);
    size_t n_grain = 0;
    for (int i = 0; i < n; i++) n_grain += linear_grains(next[i]);
    for (int thread = 0; thread < n_thread; thread++) {
        size_t first, last;
        int i = 0;
        pp_team_share(n_grain, 1, thread, n_thread, &first, &last);
        for (; i + 1 < n && first >= linear_grains(next[i]); i++) {
            first -= linear_grains(next[i]);
            last -= linear_grains(next[i]);
        }
        const char *from = pp_linear_rows(next[i], PP_MIN(first * GRAIN, (size_t)next[i]->n_out));
        const char *end = pp_linear_rows(next[i], PP_MIN(last * GRAIN, (size_t)next[i]->n_out));
        pp_team_ahead(st->engine->team, thread, from, PP_MIN((size_t)(end - from), (size_t)BYTES));
    }
}

void pp_linears(const pp_state *st, float *x, const float *norm, const pp_job *jobs, int n_job, pp_output_task then)
{
    const bool loras = has_loras(st->pass);
    region r = {.st = st,
                .x = x,
                .jobs = jobs,
                .n_job = n_job,
                .part = base_part,
                .then = loras ? NULL : then,
                .n_row = st->s->n_live};
    uint64_t work = 0;
    for (int i = 0; i < n_job; i++)
        work += (uint64_t)linear_of(st, &jobs[i])->n_in * (uint64_t)linear_of(st, &jobs[i])->n_out;
    const pp_linear *most = linear_of(st, &jobs[0]); /* the same input: rounded once, for all that one of them wants */
    for (int i = 1; i < n_job; i++)
        if (pp_low_wanted(linear_of(st, &jobs[i])) > pp_low_wanted(most)) most = linear_of(st, &jobs[i]);
    if (norm)
        pp_each_row(st, norm_row, &(norm_args){st, x, st->s->x, norm, pp_low_wanted(most)});
    else
        pp_linear_input(st->engine, most, x, st->s->n_live);
    work *= (uint64_t)st->s->n_live;
    if (pp_team_shares(st->engine->team, work)) look_ahead(st, jobs[0].site);
    pp_team_run_pieces(st->engine->team, work, region_grains(&r), region_piece, &r);
    if (!loras) return;
    add_loras(&r);
    if (!then) return;
    r.n_job = 0; /* all done but for that */
    r.first_row = 0;
    r.n_row = st->s->n_live;
    r.then = then;
    pp_team_run_pieces(st->engine->team, 8 * (uint64_t)st->s->n_live * (uint64_t)linear_of(st, jobs)->n_out,
                       region_grains(&r), region_piece, &r);
}
