/*
 * net.h - the network as it is trained: every layer's forward pass keeps what its backward pass needs, and both stand side by
 * side (attention.c, feed_forward.c, linear.c, loss.c). net.c strings them together.
 *
 * A batch is a ragged concatenation of segments without padding. Rows are its tokens. Only rows with a target are wanted
 * after the last full layer has written its K and V: the rest of that layer, all reuse layers and the head run for them
 * alone, forward and backward. Nothing else reads those rows, so the gradients are exact.
 *
 * Everything is allocated when the net is created. A sum over rows is taken by chunks of PP_CHUNK rows whatever the number of
 * threads, so that gradients do not depend on it.
 */
#ifndef PP_TRAIN_NET_H
#define PP_TRAIN_NET_H

#include "model/model.h"
#include "pippin_train.h"
#include "train/data.h"
#include "train/ops.h"

enum {
    PP_CHUNK = 64,               /* rows whose contribution to a norm's gradient is summed first */
    PP_QUERIES = 126,            /* rows whose attention is computed together: whole tiles of every level's gemm */
    PP_DECODED = 256 * 1024,     /* weights of a type other than f32 that a thread decodes at a time */
    PP_LOGITS = 8 * 1024 * 1024, /* logits that the loss keeps at a time, but at least 64 rows of them */
};

/* Where gradients are added up; NULL: this part is frozen. Shapes are those of the weights. */
typedef struct pp_layer_grads {
    real *site[PP_N_SITE], *bias[PP_N_SITE];
    real *lora_a[PP_N_SITE], *lora_b[PP_N_SITE]; /* [rank][n_in], [n_out][rank], as in pp_lora_site */
    real *attn_norm, *ffn_norm, *q_norm, *k_norm;
} pp_layer_grads;

typedef struct pp_grads {
    real *embedding, *head; /* the same where the head is tied */
    real *out_norm;
    pp_layer_grads *layers; /* [n_layer] */
} pp_grads;

/* What the forward pass of a layer keeps for its backward pass; the latter overwrites gate and up. */
typedef struct pp_tape {
    real *x;         /* [rows in][d_model] the layer's input */
    real *q, *k, *v; /* [rows out][n_head d_head], [rows in][n_kv_head d_head]: before rotation and norm */
    real *mixed;     /* [rows out][n_head d_head] what attention gives */
    real *lse;       /* [rows out][n_head] logarithm of the sum of exponentials of the scores */
    real *x_mid;     /* [rows out][d_model] after attention */
    real *gate, *up; /* [rows out][d_ffn] */
} pp_tape;

typedef struct pp_net_options {
    int32_t max_tok;     /* rows of a batch at most */
    int32_t max_segment; /* segments of a batch at most */
    bool checkpointing;  /* keep the inputs of layers only, and compute the rest again in the backward pass */
    bool inference;      /* forward only: a teacher, or evaluation */
    float dropout;       /* share of what attention and feed-forward add to x that is left out */
    float lora_dropout;  /* share of an adapter's inputs that is left out */
} pp_net_options;

typedef struct pp_net {
    const pp_weights *weights;
    const pp_lora *lora; /* NULL: none */
    const pp_kernels *kernels;
    pp_team *team;
    pp_grads grads; /* grads.layers NULL: nothing is trained */
    pp_net_options options;

    const pp_batch *batch;
    bool training; /* dropout is on, ranges are observed */
    pp_kv_range
        *ranges; /* [n_full][2]: round K and V by what is observed; NULL: by the model's own scales, if it has any */
    uint64_t seed, step; /* dropout's masks are a function of these and of the place */
    int32_t n_want;
    int32_t *want;       /* [max_tok] rows with a target, ascending */
    int32_t *want_start; /* [max_segment + 1] where each segment's begin in it */

    pp_tape *tapes;                    /* [n_layer] */
    real *last_k, *last_v;             /* [rows][n_kv_head d_head] of the last full layer, as attention reads them */
    real *last_dk, *last_dv;           /* their gradients, from all layers that read them */
    real *out;                         /* [n_want][d_model] output of the last layer */
    real *hidden;                      /* the same after the output norm */
    real *dx;                          /* gradient of what flows between the layers */
    real *cosine, *sine, *sine_back;   /* [rows][d_head / 2] */
    real *h, *dh;                      /* [rows][d_model] a layer's input after its norm */
    real *h_want;                      /* [n_want][d_model] */
    real *heads_q, *heads_k, *heads_v; /* as attention reads them */
    real *dq, *dk, *dv, *dmixed;
    real *dk_heads,
        *dv_heads;       /* [rows][n_head d_head]: of each query head, before those that share K and V are added */
    real *act, *dact;    /* [rows][d_ffn] */
    real *low, *dlow;    /* [rows][rank] */
    real *dropped;       /* [rows][widest] an adapter's input after dropout */
    real *partial;       /* [chunks][d_model] */
    real *scores;        /* [n_thread][2][PP_QUERIES][max_tok] */
    real *decoded;       /* [n_thread][PP_DECODED] */
    float *gemm;         /* [n_thread][PP_GEMM_SCRATCH] */
    pp_low_rows rounded; /* [rows][widest] the input of a low-bit matrix, or what comes back to it */
    real *logits;        /* [n_logits][n_vocab] */
    real *row_loss, *row_weight; /* [max_tok] */
    int32_t n_logits;
    double *inv_freq;
    real attention_scale; /* of scores */
    void *block;          /* what the arrays point into */
} pp_net;

/*
 * weights, lora and team must outlive the net. Weights may change between steps; their shapes may not.
 * Errors: MEMORY, ARGUMENT (a model of more than 1024 dimensions a head).
 */
pippin_status pp_net_create(const pp_weights *weights, const pp_lora *lora, const pp_kernels *kernels, pp_team *team,
                            const pp_net_options *options, pp_net *out, pippin_error *err);
void pp_net_free(pp_net *net);
uint64_t pp_net_bytes(const pippin_config *config, int32_t rank, const pp_net_options *options, int n_thread);

/* Through all layers to `hidden` of the rows with a target. */
void pp_net_forward(pp_net *net, const pp_batch *batch);
/*
 * Cross-entropy of the batch's targets in nats: the sum over rows of weight * -log p. With `backward`, leaves its gradient for
 * pp_net_backward.
 */
double pp_net_cross_entropy(pp_net *net, double weight, bool backward);
/*
 * Kullback-Leibler divergence in nats, KL(net || teacher) or, forward, KL(teacher || net): its mean over the targets of each
 * sequence, summed over sequences, times `weight`. The teacher has been run forward on the same batch.
 */
double pp_net_distill(pp_net *net, pp_net *teacher, pippin_distill_loss kind, double weight, bool backward);
/* From the gradient of `hidden`'s inputs down to the embedding; adds to grads. */
void pp_net_backward(pp_net *net);

/* ---- private to the net's files ---- */

typedef struct pp_row_span {
    int32_t first, last; /* half open */
} pp_row_span;

/* Rows of a layer: those that enter it, and those that its queries, its feed-forward part and its output have. */
static inline bool pp_net_narrows(const pp_net *net, int32_t layer) { return layer == net->weights->n_full - 1; }
static inline int32_t pp_net_rows_in(const pp_net *net, int32_t layer)
{
    return layer < net->weights->n_full ? (int32_t)net->batch->n_tok : net->n_want;
}
static inline int32_t pp_net_rows_out(const pp_net *net, int32_t layer)
{
    return layer < net->weights->n_full - 1 ? (int32_t)net->batch->n_tok : net->n_want;
}

/* fn(net, arg, span, chunk) for every chunk of PP_CHUNK of n rows, divided among the threads. */
typedef void (*pp_chunk_task)(pp_net *net, void *arg, pp_row_span rows, int32_t chunk);
void pp_net_each_chunk(pp_net *net, int32_t n, uint64_t work_per_row, pp_chunk_task fn, void *arg);
/* to[i] += sum over chunks of partial[chunk][i], in order. */
void pp_net_add_partial(pp_net *net, real *to, int32_t n, int32_t n_row);
/* A whole product on the team. */
void pp_net_multiply(pp_net *net, const pp_product *p);
/* y = norm(x); dx += gradient, dw too where it is not NULL. */
void pp_net_norm(pp_net *net, real *y, const real *x, const float *w, int32_t n);
void pp_net_norm_backward(pp_net *net, real *dx, real *dw, const real *dy, const real *x, const float *w, int32_t n);
/*
 * In training, leaves out `share` of x's n values and makes the rest larger by 1 / (1 - share). Which ones is a function of
 * (seed, step, place), so that the backward pass finds the same.
 */
void pp_net_dropout(pp_net *net, real *x, size_t n, float share, int32_t place);
/* to[i] = from[want[i]], and to[want[i]] += from[i], of rows of `width`. */
void pp_net_gather(pp_net *net, real *to, const real *from, size_t width);
void pp_net_scatter_add(pp_net *net, real *to, const real *from, size_t width);

/* y (+)= x W^T + bias and the adapter's part (linear.c); n rows. */
void pp_net_linear(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *y, bool accumulate);
/* dx (+)= dy W; weights', bias's and adapter's gradients from dy and x. dx may be NULL. */
void pp_net_linear_backward(pp_net *net, int32_t layer, pp_site site, const real *x, const real *dy, int32_t n,
                            real *dx, bool accumulate);
/* Elements first .. first + n - 1 of a row of w. */
void pp_net_decode(const pp_linear *w, size_t row, size_t first, size_t n, real *to);
/* y += dropout(x W^T ...): what a part of the layer adds to the residual stream; dx = its gradient, given net->dx. */
void pp_net_branch(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *y);
void pp_net_branch_backward(pp_net *net, int32_t layer, pp_site site, const real *x, int32_t n, real *dx);
/* y = x W^T; dx = dy W; dw += dy^T x: of any matrix, without adapter or bias. */
void pp_net_matrix(pp_net *net, const pp_linear *w, const real *x, int32_t n, real *y, bool accumulate);
void pp_net_matrix_backward(pp_net *net, const pp_linear *w, const real *dy, int32_t n, real *dx, bool accumulate);
typedef struct pp_matrix_args {
    pp_net *net;
    const pp_linear *w;
    const real *from; /* x, or dy */
    real *to;         /* y, or dx */
    int32_t n;
    bool accumulate;
} pp_matrix_args;
/* The same of low-bit matrices, and forward of block types, as products of integers (low.c); false: w is of another type. */
bool pp_net_low(pp_matrix_args *m);
bool pp_net_low_backward(pp_matrix_args *m);
void pp_net_outer(pp_net *net, real *dw, const real *dy, const real *x, int32_t n, int32_t n_out, int32_t n_in);

/* x_mid = x + attention(norm(x)); `again`: for the backward pass, nothing is observed. backward turns dx of x_mid's rows into that of x's (attention.c). */
void pp_net_attention(pp_net *net, int32_t layer, bool again);
void pp_net_attention_backward(pp_net *net, int32_t layer);
/* Rounds K (or V) of all rows to int8 by the layer's scale, if it has one; observes their range first where that is trained. */
void pp_net_round_kv(pp_net *net, int32_t layer, bool value, real *x, bool again);
/* y = x_mid + feed_forward(norm(x_mid)); backward adds to dx (feed_forward.c). */
void pp_net_feed_forward(pp_net *net, int32_t layer, real *y);
void pp_net_feed_forward_backward(pp_net *net, int32_t layer);

#endif
