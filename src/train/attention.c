/*
 * attention.c - x_mid = x + W_o attend(q, K, V), forward and backward. The order is that of model/attention.c: rotation, the
 * norm of Q and K, the model's own K/V quantiser; reuse layers read the last full layer's K and V, and their gradients by
 * these are added up there.
 *
 * Heads and segments are independent. For a block of queries of one of them the scores of all keys that they see are computed
 * as one product; the backward pass computes them again from q, k and the saved logarithm of the sum (Dao et al. 2022).
 */
#include <math.h>
#include <string.h>

#include "train/net.h"

static size_t width_q(const pippin_config *c) { return (size_t)c->n_head * (size_t)c->d_head; }
static size_t width_kv(const pippin_config *c) { return (size_t)c->n_kv_head * (size_t)c->d_head; }

/* ---- heads: rotation and norm ---- */

typedef struct heads_args {
    const real *raw; /* [rows][n_head][d_head] as the linear layer gave them */
    real *out;       /* the same as attention reads them; backward: gradient by out, which becomes that by raw */
    const float *norm;
    real *dnorm; /* NULL: not wanted */
    int32_t n_head;
    const int32_t *rows; /* which row of the batch each is; NULL: the same */
    bool plain;          /* V: no rotation, no norm */
} heads_args;

static void heads_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const heads_args *a = arg;
    const pippin_config *c = &net->weights->config;
    const size_t half = (size_t)c->d_head / 2, d = (size_t)c->d_head;
    (void)chunk;
    for (int32_t i = rows.first; i < rows.last; i++) {
        const size_t at = (size_t)i * (size_t)a->n_head * d, row = (size_t)(a->rows ? a->rows[i] : i);
        memcpy(a->out + at, a->raw + at, (size_t)a->n_head * d * sizeof *a->out);
        for (int32_t h = 0; h < a->n_head; h++) {
            real *head = a->out + at + (size_t)h * d;
            if (!a->plain) {
                if (c->qk_norm == PIPPIN_QK_NORM_BEFORE_ROPE)
                    pp_op_rmsnorm(net->kernels, head, head, a->norm, c->d_head, c->qk_norm_eps);
                pp_op_rope(net->kernels, c->rope_pairs, head, net->cosine + row * half, net->sine + row * half,
                           c->d_head);
                if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE)
                    pp_op_rmsnorm(net->kernels, head, head, a->norm, c->d_head, c->qk_norm_eps);
            }
        }
    }
}

static void prepare_heads(pp_net *net, int32_t n, const heads_args *a)
{
    pp_net_each_chunk(net, n, 8 * (uint64_t)a->n_head * (uint64_t)net->weights->config.d_head, heads_rows,
                      (void *)(uintptr_t)a);
}

/* Gradient of one head by what the linear layer gave; the quantiser lets it pass as it is. */
static void head_backward(pp_net *net, const heads_args *a, real *dw, const real *raw, real *d, size_t row)
{
    const pippin_config *c = &net->weights->config;
    const size_t half = (size_t)c->d_head / 2, n = (size_t)c->d_head;
    const real *cosine = net->cosine + row * half, *sine = net->sine + row * half, *back = net->sine_back + row * half;
    real x[1024], dx[1024] = {0}; /* the largest d_head that a configuration may have */
    if (c->qk_norm == PIPPIN_QK_NORM_NONE) {
        pp_op_rope(net->kernels, c->rope_pairs, d, cosine, back, c->d_head);
        return;
    }
    memcpy(x, raw, n * sizeof *x);
    if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE)
        pp_op_rope(net->kernels, c->rope_pairs, x, cosine, sine, c->d_head);
    else
        pp_op_rope(net->kernels, c->rope_pairs, d, cosine, back, c->d_head);
    pp_op_rmsnorm_backward(net->kernels, dx, dw, d, x, a->norm, c->d_head, c->qk_norm_eps);
    if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE) pp_op_rope(net->kernels, c->rope_pairs, dx, cosine, back, c->d_head);
    memcpy(d, dx, n * sizeof *d);
}

static void heads_rows_backward(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const heads_args *a = arg;
    const size_t d = (size_t)net->weights->config.d_head;
    real *dw = a->dnorm ? net->partial + (size_t)chunk * d : NULL;
    if (dw) memset(dw, 0, d * sizeof *dw);
    for (int32_t i = rows.first; i < rows.last; i++)
        for (int32_t h = 0; h < a->n_head; h++) {
            const size_t at = ((size_t)i * (size_t)a->n_head + (size_t)h) * d;
            head_backward(net, a, dw, a->raw + at, a->out + at, (size_t)(a->rows ? a->rows[i] : i));
        }
}

static void prepare_heads_backward(pp_net *net, int32_t n, const heads_args *a)
{
    pp_net_each_chunk(net, n, 16 * (uint64_t)a->n_head * (uint64_t)net->weights->config.d_head, heads_rows_backward,
                      (void *)(uintptr_t)a);
    if (a->dnorm) pp_net_add_partial(net, a->dnorm, net->weights->config.d_head, n);
}

/* ---- attending ---- */

typedef struct attend_args {
    const pp_tape *tape;
    bool wanted_only; /* queries are the wanted rows; else all */
    bool backward;
    const real *k, *v;
} attend_args;

/* Queries of one head in one segment. */
typedef struct unit {
    int32_t head;
    int32_t key_first;   /* row of the segment's first key */
    pp_row_span queries; /* among the layer's rows out */
    const int32_t *rows; /* row of each query in the batch; NULL: the same */
} unit;

static int visible(const unit *u, int32_t query) { return (u->rows ? u->rows[query] : query) - u->key_first + 1; }

static unit unit_of(const pp_net *net, const attend_args *a, size_t i)
{
    const size_t n_head = (size_t)net->weights->config.n_head, segment = i / n_head;
    const size_t *start = net->batch->segment_start;
    unit u = {.head = (int32_t)(i % n_head), .key_first = (int32_t)start[segment]};
    u.queries = a->wanted_only ? (pp_row_span){net->want_start[segment], net->want_start[segment + 1]}
                               : (pp_row_span){(int32_t)start[segment], (int32_t)start[segment + 1]};
    u.rows = a->wanted_only ? net->want : NULL;
    return u;
}

/* Where a unit's query head and K/V head lie. */
typedef struct places {
    size_t q_row, kv_row, q, kv; /* strides of rows; offsets of the first query's, the first key's */
    size_t heads;                /* of the first key in dk_heads and dv_heads */
} places;

static places places_of(const pippin_config *c, const unit *u, int32_t query)
{
    const size_t d = (size_t)c->d_head, head = (size_t)u->head, group = (size_t)(c->n_head / c->n_kv_head);
    places p = {.q_row = width_q(c), .kv_row = width_kv(c)};
    p.q = (size_t)query * p.q_row + head * d;
    p.kv = (size_t)u->key_first * p.kv_row + head / group * d;
    p.heads = (size_t)u->key_first * p.q_row + head * d;
    return p;
}

typedef struct block {
    int32_t first;
    int n, n_key; /* queries; keys that the last of them sees */
    real *p, *dp; /* [n][n_key] */
    float *gemm;
} block;

static pp_product scores_of(const pippin_config *c, const real *q, const places *at, const real *k, const block *b,
                            real *to)
{
    return (pp_product){.a = q + at->q,
                        .a_row = at->q_row,
                        .a_col = 1,
                        .b = k + at->kv,
                        .b_row = 1,
                        .b_col = at->kv_row,
                        .c = to,
                        .c_row = (size_t)b->n_key,
                        .m = b->n,
                        .n = b->n_key,
                        .k = c->d_head};
}

/* Scores, then weights, of the block's queries; keys that a query does not see get 0. */
static void weigh(pp_net *net, const attend_args *a, const unit *u, const block *b, const places *at)
{
    const pippin_config *c = &net->weights->config;
    const real scale = net->attention_scale;
    const pp_product scores = scores_of(c, net->heads_q, at, a->k, b, b->p);
    pp_op_multiply(net->kernels, &scores, b->gemm);
    for (int i = 0; i < b->n; i++) {
        real *p = b->p + (size_t)i * (size_t)b->n_key;
        real *lse = &a->tape->lse[(size_t)(b->first + i) * (size_t)c->n_head + (size_t)u->head];
        const int n = visible(u, b->first + i);
        if (a->backward)
            pp_op_softmax_again(net->kernels, p, n, scale, *lse);
        else
            *lse = pp_op_softmax(net->kernels, p, n, scale);
        memset(p + n, 0, (size_t)(b->n_key - n) * sizeof *p);
    }
}

static void block_forward(pp_net *net, const attend_args *a, const unit *u, const block *b)
{
    const pippin_config *c = &net->weights->config;
    const places at = places_of(c, u, b->first);
    weigh(net, a, u, b, &at);
    const pp_product mix = {.a = b->p,
                            .a_row = (size_t)b->n_key,
                            .a_col = 1,
                            .b = a->v + at.kv,
                            .b_row = at.kv_row,
                            .b_col = 1,
                            .c = a->tape->mixed + at.q,
                            .c_row = at.q_row,
                            .m = b->n,
                            .n = c->d_head,
                            .k = b->n_key};
    pp_op_multiply(net->kernels, &mix, b->gemm);
}

static void block_backward(pp_net *net, const attend_args *a, const unit *u, const block *b)
{
    const pippin_config *c = &net->weights->config;
    const places at = places_of(c, u, b->first);
    const size_t n_key = (size_t)b->n_key, q_row = at.q_row;
    const real scale = net->attention_scale;
    weigh(net, a, u, b, &at);
    const pp_product by_weights = scores_of(c, net->dmixed, &at, a->v, b, b->dp);
    pp_op_multiply(net->kernels, &by_weights, b->gemm);
    const pp_product by_v = {.a = b->p,
                             .a_row = 1,
                             .a_col = n_key,
                             .b = net->dmixed + at.q,
                             .b_row = q_row,
                             .b_col = 1,
                             .c = net->dv_heads + at.heads,
                             .c_row = q_row,
                             .m = b->n_key,
                             .n = c->d_head,
                             .k = b->n,
                             .accumulate = true};
    pp_op_multiply(net->kernels, &by_v, b->gemm);
    for (int i = 0; i < b->n; i++) {
        real *dp = b->dp + (size_t)i * n_key;
        const size_t row = at.q + (size_t)i * q_row;
        const int n = visible(u, b->first + i);
        const real sum = pp_op_dot(net->kernels, net->dmixed + row, a->tape->mixed + row, c->d_head);
        pp_op_softmax_backward(net->kernels, dp, b->p + (size_t)i * n_key, n, scale, sum);
        memset(dp + n, 0, (n_key - (size_t)n) * sizeof *dp);
    }
    const pp_product by_q = {.a = b->dp,
                             .a_row = n_key,
                             .a_col = 1,
                             .b = a->k + at.kv,
                             .b_row = at.kv_row,
                             .b_col = 1,
                             .c = net->dq + at.q,
                             .c_row = q_row,
                             .m = b->n,
                             .n = c->d_head,
                             .k = b->n_key};
    pp_op_multiply(net->kernels, &by_q, b->gemm);
    const pp_product by_k = {.a = b->dp,
                             .a_row = 1,
                             .a_col = n_key,
                             .b = net->heads_q + at.q,
                             .b_row = q_row,
                             .b_col = 1,
                             .c = net->dk_heads + at.heads,
                             .c_row = q_row,
                             .m = b->n_key,
                             .n = c->d_head,
                             .k = b->n,
                             .accumulate = true};
    pp_op_multiply(net->kernels, &by_k, b->gemm);
}

typedef struct attend_region {
    pp_net *net;
    const attend_args *a;
    atomic_size_t next; /* units are taken as threads become free: which thread takes one does not matter */
} attend_region;

static void attend_task(void *arg, int thread, int n_thread)
{
    attend_region *r = arg;
    pp_net *net = r->net;
    const size_t n_unit = net->batch->n_segment * (size_t)net->weights->config.n_head;
    real *scores = net->scores + (size_t)thread * 2 * PP_QUERIES * (size_t)net->options.max_tok;
    (void)n_thread;
    for (size_t i; (i = atomic_fetch_add(&r->next, 1)) < n_unit;) {
        const unit u = unit_of(net, r->a, i);
        for (int32_t first = u.queries.first; first < u.queries.last; first += PP_QUERIES) {
            block b = {.first = first, .n = PP_MIN(PP_QUERIES, u.queries.last - first), .p = scores};
            b.n_key = visible(&u, first + b.n - 1);
            b.dp = scores + PP_QUERIES * (size_t)net->options.max_tok;
            b.gemm = net->gemm + (size_t)thread * PP_GEMM_SCRATCH;
            (r->a->backward ? block_backward : block_forward)(net, r->a, &u, &b);
        }
    }
}

static void attend(pp_net *net, const attend_args *a)
{
    attend_region r = {.net = net, .a = a};
    atomic_init(&r.next, 0);
    pp_team_run(net->team, attend_task, &r);
}

/* dk and dv of the K/V heads (+)= the sums over the query heads that share each. */
static void add_groups(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const pippin_config *c = &net->weights->config;
    const size_t d = (size_t)c->d_head, group = (size_t)(c->n_head / c->n_kv_head);
    const pp_tape *to = arg; /* k and v are where they go */
    (void)chunk;
    for (size_t row = (size_t)rows.first; row < (size_t)rows.last; row++)
        for (size_t h = 0; h < (size_t)c->n_head; h++) {
            const size_t from = (row * (size_t)c->n_head + h) * d, at = (row * (size_t)c->n_kv_head + h / group) * d;
            pp_op_add(net->kernels, to->k + at, net->dk_heads + from, c->d_head);
            pp_op_add(net->kernels, to->v + at, net->dv_heads + from, c->d_head);
        }
}

/* ---- the layer ---- */

static heads_args queries_of(const pp_net *net, int32_t layer, real *out)
{
    const pp_layer *l = &net->weights->layers[layer];
    const bool all = layer < net->weights->n_full - 1;
    return (heads_args){.raw = net->tapes[layer].q,
                        .out = out,
                        .norm = l->q_norm,
                        .n_head = net->weights->config.n_head,
                        .rows = all ? NULL : net->want};
}

static heads_args keys_of(const pp_net *net, int32_t layer, real *out)
{
    return (heads_args){.raw = net->tapes[layer].k,
                        .out = out,
                        .norm = net->weights->layers[layer].k_norm,
                        .n_head = net->weights->config.n_kv_head};
}

/* K and V as attention reads them: kept in one place for the last full layer and all that reuse it. */
static void prepare_keys(pp_net *net, int32_t layer, bool again)
{
    const bool last = layer >= net->weights->n_full - 1;
    const int32_t n = (int32_t)net->batch->n_tok;
    if (last && (again || layer >= net->weights->n_full)) return;
    const heads_args k = keys_of(net, layer, last ? net->last_k : net->heads_k);
    const heads_args v = {.raw = net->tapes[layer].v,
                          .out = last ? net->last_v : net->heads_v,
                          .plain = true,
                          .n_head = net->weights->config.n_kv_head};
    prepare_heads(net, n, &k);
    prepare_heads(net, n, &v);
    pp_net_round_kv(net, layer, false, k.out, again);
    pp_net_round_kv(net, layer, true, v.out, again);
}

static attend_args attend_of(const pp_net *net, int32_t layer, bool backward)
{
    const bool last = layer >= net->weights->n_full - 1;
    return (attend_args){.tape = &net->tapes[layer],
                         .wanted_only = last,
                         .backward = backward,
                         .k = last ? net->last_k : net->heads_k,
                         .v = last ? net->last_v : net->heads_v};
}

/* The layer's normed input, and where it narrows that of the wanted rows; returns the latter. */
static const real *normed_input(pp_net *net, int32_t layer)
{
    const pippin_config *c = &net->weights->config;
    pp_net_norm(net, net->h, net->tapes[layer].x, net->weights->layers[layer].attn_norm, pp_net_rows_in(net, layer));
    if (!pp_net_narrows(net, layer)) return net->h;
    pp_net_gather(net, net->h_want, net->h, (size_t)c->d_model);
    return net->h_want;
}

void pp_net_attention(pp_net *net, int32_t layer, bool again)
{
    const pippin_config *c = &net->weights->config;
    const pp_tape *t = &net->tapes[layer];
    const int32_t n_in = pp_net_rows_in(net, layer), n_out = pp_net_rows_out(net, layer);
    const real *h = normed_input(net, layer);
    if (layer < net->weights->n_full) {
        pp_net_linear(net, layer, PP_K, net->h, n_in, t->k, false);
        pp_net_linear(net, layer, PP_V, net->h, n_in, t->v, false);
    }
    prepare_keys(net, layer, again);
    pp_net_linear(net, layer, PP_Q, h, n_out, t->q, false);
    const heads_args q = queries_of(net, layer, net->heads_q);
    prepare_heads(net, n_out, &q);
    const attend_args a = attend_of(net, layer, false);
    attend(net, &a);
    const size_t d = (size_t)c->d_model;
    if (pp_net_narrows(net, layer))
        pp_net_gather(net, t->x_mid, t->x, d);
    else
        memcpy(t->x_mid, t->x, (size_t)n_out * d * sizeof *t->x);
    pp_net_branch(net, layer, PP_O, t->mixed, n_out, t->x_mid);
}

/* From dq and the sums in dk_heads, dv_heads to gradients by the raw q, k and v of this layer. */
static void heads_to_raw(pp_net *net, int32_t layer)
{
    const pippin_config *c = &net->weights->config;
    const pp_layer_grads *g = &net->grads.layers[layer];
    const int32_t n = (int32_t)net->batch->n_tok, last = net->weights->n_full - 1;
    heads_args q = queries_of(net, layer, net->dq), k = keys_of(net, layer, layer < last ? net->dk : net->last_dk);
    q.dnorm = g->q_norm;
    k.dnorm = g->k_norm;
    prepare_heads_backward(net, pp_net_rows_out(net, layer), &q);
    pp_tape to = {.k = layer < last ? net->dk : net->last_dk, .v = layer < last ? net->dv : net->last_dv};
    if (layer < last) {
        memset(to.k, 0, (size_t)n * width_kv(c) * sizeof *to.k);
        memset(to.v, 0, (size_t)n * width_kv(c) * sizeof *to.v);
    }
    pp_net_each_chunk(net, n, 2 * width_q(c), add_groups, &to);
    if (layer <= last) prepare_heads_backward(net, n, &k);
}

/* dx, of the rows out, becomes that of the rows in. Then both get what comes through the norm. */
static void through_inputs(pp_net *net, int32_t layer, const real *h)
{
    const pippin_config *c = &net->weights->config;
    const int32_t n_in = pp_net_rows_in(net, layer), n_out = pp_net_rows_out(net, layer),
                  last = net->weights->n_full - 1;
    const size_t d = (size_t)c->d_model;
    if (layer <= last) {
        pp_net_linear_backward(net, layer, PP_K, net->h, layer < last ? net->dk : net->last_dk, n_in, net->dh, false);
        pp_net_linear_backward(net, layer, PP_V, net->h, layer < last ? net->dv : net->last_dv, n_in, net->dh, true);
    }
    if (pp_net_narrows(net, layer)) {
        real *dh_want = net->dmixed; /* free again, and as wide as d_model or wider: see net.c */
        pp_net_linear_backward(net, layer, PP_Q, h, net->dq, n_out, dh_want, false);
        pp_net_scatter_add(net, net->dh, dh_want, d);
        memcpy(net->h_want, net->dx, (size_t)n_out * d * sizeof *net->dx);
        memset(net->dx, 0, (size_t)n_in * d * sizeof *net->dx);
        pp_net_scatter_add(net, net->dx, net->h_want, d);
    } else
        pp_net_linear_backward(net, layer, PP_Q, h, net->dq, n_out, net->dh, layer < last);
    pp_net_norm_backward(net, net->dx, net->grads.layers[layer].attn_norm, net->dh, net->tapes[layer].x,
                         net->weights->layers[layer].attn_norm, n_in);
}

void pp_net_attention_backward(pp_net *net, int32_t layer)
{
    const pippin_config *c = &net->weights->config;
    const pp_tape *t = &net->tapes[layer];
    const int32_t n_out = pp_net_rows_out(net, layer);
    const size_t keys = net->batch->n_tok * width_q(c);
    pp_net_branch_backward(net, layer, PP_O, t->mixed, n_out, net->dmixed);
    prepare_keys(net, layer, true);
    const heads_args q = queries_of(net, layer, net->heads_q);
    prepare_heads(net, n_out, &q);
    memset(net->dk_heads, 0, keys * sizeof *net->dk_heads);
    memset(net->dv_heads, 0, keys * sizeof *net->dv_heads);
    const attend_args a = attend_of(net, layer, true);
    attend(net, &a);
    heads_to_raw(net, layer);
    through_inputs(net, layer, normed_input(net, layer));
}
