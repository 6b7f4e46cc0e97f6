/* net.c - the network as it is trained: its memory, and the loops over layers forward and backward. */
#include <math.h>
#include <string.h>

#include "train/net.h"

/* ---- memory: one block, cut into arrays ---- */

static real *cut_real(pp_cutter *k, uint64_t n) { return pp_cut(k, n, sizeof(real)); }

static void cut_tape(pp_tape *t, const pippin_config *c, uint64_t n, pp_cutter *k)
{
    const uint64_t q = (uint64_t)c->n_head * (uint64_t)c->d_head, kv = (uint64_t)c->n_kv_head * (uint64_t)c->d_head;
    t->q = cut_real(k, n * q);
    t->k = cut_real(k, n * kv);
    t->v = cut_real(k, n * kv);
    t->mixed = cut_real(k, n * q);
    t->lse = cut_real(k, n * (uint64_t)c->n_head);
    t->x_mid = cut_real(k, n * (uint64_t)c->d_model);
    t->gate = cut_real(k, n * (uint64_t)c->d_ffn);
    t->up = cut_real(k, n * (uint64_t)c->d_ffn);
}

/* All layers have a tape of their own, or share one but for their inputs, or, where nothing comes back, share it all. */
static void cut_tapes(pp_net *net, const pippin_config *c, uint64_t n, pp_cutter *k)
{
    const bool shared = net->options.checkpointing || net->options.inference;
    pp_tape first = {0};
    for (int32_t layer = 0; layer < c->n_layer; layer++) {
        pp_tape t = first;
        if (layer == 0 || !shared) cut_tape(&t, c, n, k);
        if (layer == 0 || !net->options.inference) t.x = cut_real(k, n * (uint64_t)c->d_model);
        if (layer == 0) first = t;
        if (net->tapes) net->tapes[layer] = t;
    }
}

static void cut_backward(pp_net *net, const pippin_config *c, uint64_t n, pp_cutter *k)
{
    const uint64_t q = (uint64_t)c->n_head * (uint64_t)c->d_head, kv = (uint64_t)c->n_kv_head * (uint64_t)c->d_head;
    net->last_dk = cut_real(k, n * kv);
    net->last_dv = cut_real(k, n * kv);
    net->dx = cut_real(k, n * (uint64_t)c->d_model);
    net->dq = cut_real(k, n * q);
    net->dk = cut_real(k, n * kv);
    net->dv = cut_real(k, n * kv);
    net->dmixed = cut_real(k, n * PP_MAX(q, (uint64_t)c->d_model));
    net->dk_heads = cut_real(k, n * q);
    net->dv_heads = cut_real(k, n * q);
    net->dact = cut_real(k, n * (uint64_t)c->d_ffn);
    net->partial = cut_real(k, (n + PP_CHUNK - 1) / PP_CHUNK * (uint64_t)PP_MAX(c->d_model, c->d_head));
}

static void lay_out(pp_net *net, const pippin_config *c, int32_t rank, int n_thread, pp_cutter *k)
{
    const uint64_t n = (uint64_t)net->options.max_tok, threads = (uint64_t)n_thread, d = (uint64_t)c->d_model;
    const uint64_t q = (uint64_t)c->n_head * (uint64_t)c->d_head, kv = (uint64_t)c->n_kv_head * (uint64_t)c->d_head;
    const uint64_t half = (uint64_t)c->d_head / 2, f = (uint64_t)c->d_ffn;
    net->n_logits = (int32_t)PP_MIN(n, PP_MAX(64, PP_LOGITS / (uint64_t)c->n_vocab));
    net->tapes = pp_cut(k, (uint64_t)c->n_layer, sizeof *net->tapes);
    cut_tapes(net, c, n, k);
    if (!net->options.inference) cut_backward(net, c, n, k);
    net->want = pp_cut(k, n, sizeof *net->want);
    net->want_start = pp_cut(k, (uint64_t)net->options.max_segment + 1, sizeof *net->want_start);
    net->last_k = cut_real(k, n * kv);
    net->last_v = cut_real(k, n * kv);
    net->out = cut_real(k, n * d);
    net->hidden = cut_real(k, n * d);
    net->cosine = cut_real(k, n * half);
    net->sine = cut_real(k, n * half);
    net->sine_back = cut_real(k, n * half);
    net->h = cut_real(k, n * d);
    net->dh = cut_real(k, n * d);
    net->h_want = cut_real(k, n * d);
    net->heads_q = cut_real(k, n * q);
    net->heads_k = cut_real(k, n * kv);
    net->heads_v = cut_real(k, n * kv);
    net->act = cut_real(k, n * f);
    net->low = cut_real(k, n * (uint64_t)rank);
    net->dlow = cut_real(k, n * (uint64_t)rank);
    net->dropped = cut_real(k, rank && net->options.lora_dropout > 0 ? n * PP_MAX(PP_MAX(d, q), f) : 0);
    net->scores = cut_real(k, threads * 2 * PP_QUERIES * n);
    net->decoded = cut_real(k, threads * PP_DECODED);
    net->gemm = pp_cut(k, threads * PP_GEMM_SCRATCH, sizeof *net->gemm);
    pp_low_rows_cut(&net->rounded, n, PP_MAX(PP_MAX(d, q), f), k);
    net->logits = cut_real(k, (uint64_t)net->n_logits * (uint64_t)c->n_vocab);
    net->row_loss = cut_real(k, n);
    net->row_weight = cut_real(k, n);
    net->inv_freq = pp_cut(k, half, sizeof *net->inv_freq);
}

uint64_t pp_net_bytes(const pippin_config *c, int32_t rank, const pp_net_options *options, int n_thread)
{
    pp_net net = {.options = *options};
    pp_cutter k = {0};
    lay_out(&net, c, rank, n_thread, &k);
    return k.at;
}

pippin_status pp_net_create(const pp_weights *weights, const pp_lora *lora, const pp_kernels *kernels, pp_team *team,
                            const pp_net_options *options, pp_net *out, pippin_error *err)
{
    const pippin_config *c = &weights->config;
    const int32_t rank = lora ? lora->rank : 0;
    const int n_thread = pp_team_size(team);
    const uint64_t bytes = pp_net_bytes(c, rank, options, n_thread);
    *out = (pp_net){.weights = weights, .lora = lora, .kernels = kernels, .team = team, .options = *options};
    out->block = pp_alloc(bytes);
    if (!out->block)
        return pp_fail_memory(err,
                              "activations of a batch (a smaller batch size or activation checkpointing "
                              "needs less)",
                              bytes);
    pp_cutter k = {out->block, 0};
    lay_out(out, c, rank, n_thread, &k);
    const pp_rope rope = pp_rope_own(c);
    pp_rope_init(weights, &rope, out->inv_freq);
    out->attention_scale = (real)(rope.attention / sqrt((double)c->d_head));
    return PIPPIN_OK;
}

void pp_net_free(pp_net *net)
{
    if (!net) return;
    pp_free(net->block);
    net->block = NULL;
}

/* ---- forward ---- */

/* Which rows have a target, and where each segment's begin among them. */
static void find_wanted(pp_net *net)
{
    const pp_batch *b = net->batch;
    net->n_want = 0;
    for (size_t segment = 0; segment < b->n_segment; segment++) {
        net->want_start[segment] = net->n_want;
        for (size_t row = b->segment_start[segment]; row < b->segment_start[segment + 1]; row++)
            if (b->target[row] >= 0) net->want[net->n_want++] = (int32_t)row;
    }
    net->want_start[b->n_segment] = net->n_want;
}

static void enter_rows(pp_net *net, void *arg, pp_row_span rows, int32_t chunk)
{
    const pippin_config *c = &net->weights->config;
    const pp_linear *embedding = &net->weights->embedding;
    const size_t d = (size_t)c->d_model, half = (size_t)c->d_head / 2;
    real *x = arg;
    (void)chunk;
    for (size_t row = (size_t)rows.first; row < (size_t)rows.last; row++) {
        pp_net_decode(embedding, (size_t)net->batch->tokens[row], 0, d, x + row * d);
        for (size_t i = 0; i < half; i++) {
            const double angle = net->batch->position[row] * net->inv_freq[i];
            net->cosine[row * half + i] = (real)cos(angle);
            net->sine[row * half + i] = (real)sin(angle);
            net->sine_back[row * half + i] = -(real)sin(angle);
        }
    }
}

void pp_net_forward(pp_net *net, const pp_batch *batch)
{
    const pippin_config *c = &net->weights->config;
    net->batch = batch;
    find_wanted(net);
    pp_net_each_chunk(net, (int32_t)batch->n_tok, 2 * (uint64_t)c->d_model, enter_rows, net->tapes[0].x);
    for (int32_t layer = 0; layer < c->n_layer && net->n_want > 0; layer++) {
        pp_net_attention(net, layer, false);
        pp_net_feed_forward(net, layer, layer + 1 < c->n_layer ? net->tapes[layer + 1].x : net->out);
    }
    pp_net_norm(net, net->hidden, net->out, net->weights->out_norm, net->n_want);
}

/* ---- backward ---- */

/* Columns are divided among the threads: rows of the same token come in order. */
static void embedding_task(void *arg, int thread, int n_thread)
{
    pp_net *net = arg;
    const size_t d = (size_t)net->weights->config.d_model;
    size_t first, last;
    pp_team_share(d, 16, thread, n_thread, &first, &last);
    for (size_t row = 0; row < net->batch->n_tok; row++)
        pp_op_add(net->kernels, net->grads.embedding + (size_t)net->batch->tokens[row] * d + first,
                  net->dx + row * d + first, (int)(last - first));
}

void pp_net_backward(pp_net *net)
{
    const pippin_config *c = &net->weights->config;
    const size_t kv = net->batch->n_tok * (size_t)c->n_kv_head * (size_t)c->d_head;
    if (net->n_want == 0) return;
    memset(net->last_dk, 0, kv * sizeof *net->last_dk);
    memset(net->last_dv, 0, kv * sizeof *net->last_dv);
    for (int32_t layer = c->n_layer - 1; layer >= 0; layer--) {
        if (net->options.checkpointing) pp_net_attention(net, layer, true);
        pp_net_feed_forward_backward(net, layer);
        pp_net_attention_backward(net, layer);
    }
    if (net->grads.embedding)
        pp_team_run_worth(net->team, net->batch->n_tok * (uint64_t)c->d_model, embedding_task, net);
}
