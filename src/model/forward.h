/* forward.h - private to model: the state of one pass, shared by the layers of the block. */
#ifndef PP_MODEL_FORWARD_H
#define PP_MODEL_FORWARD_H

#include "model/model.h"

/* More than any adapter has; the scratch for x A is sized by it. */
enum { PP_MAX_RANK = 256 };

/* What a thread needs to attend. */
typedef struct pp_attend_space {
    int32_t *slots;   /* [n_ctx] visible keys, where they are not simply the first ones */
    float *scratch;   /* [PP_ATTEND_SCRATCH(d_head)] the kernel's */
    float *max, *sum; /* [n_query] */
    float *part;      /* [n_query][d_head + 2] what a part of the keys gives */
} pp_attend_space;

struct pp_scratch {
    pp_scratch_sizes sizes; /* capacities */
    /* [n_row][...] of the rows that are still alive, adjacent */
    float *x;             /* [d_model] the residual stream */
    float *h;             /* [d_model] normed input of a linear layer */
    float *q, *k, *v;     /* [n_head * d_head], [n_kv_head * d_head] twice */
    float *mixed;         /* [n_head * d_head] what attention gives */
    float *gate, *up;     /* [d_ffn] */
    float *cosine, *sine; /* [d_head / 2] of each row's position */
    float *lora;          /* [3][n_row][PP_MAX_RANK] x A of up to three sites */
    pp_row *rows;
    float *logits;           /* [n_logits][n_vocab] */
    pp_attend_space *spaces; /* [n_thread] */
    size_t n_query;          /* heads of one K/V head, of all tokens that attend together, at most */
    int32_t *tiles;          /* [n_tile + 1] the first rows of those that attend together, and the end */
    int32_t n_tile;
    float *parts;  /* [n_kv_head][n_ctx / PP_ATTEND_SPLIT][n_query][d_head + 2] of one tile, shared out among threads */
    size_t widest; /* inputs of any linear layer */
    pp_low_rows low;       /* [n_row][widest] the input of linear layers of low-bit and block types */
    double *inv_freq;      /* [d_head / 2] */
    float attention_scale; /* of scores: 1 / sqrt(d_head), and what YaRN puts on top */
    int32_t n_live;
    void *block; /* what all of the above point into */
};

/* One linear layer to be computed on all live rows. */
typedef struct pp_job {
    pp_site site;
    float *y; /* [n_live][n_out] */
    bool accumulate;
} pp_job;

typedef struct pp_state {
    const pp_engine *engine;
    const pp_pass *pass;
    pp_scratch *s;
    int32_t layer;
} pp_state;

/* Runs fn(arg, row) over all live rows, on the team where there are enough of them. */
typedef void (*pp_row_task)(void *arg, int32_t row);
void pp_each_row(const pp_state *st, pp_row_task fn, void *arg);

/*
 * Outputs first .. last - 1 of one linear layer, first a multiple of 32, of rows row .. row + n_tok - 1: m gives x, y, strides,
 * n_tok and accumulate (linear.c).
 */
void pp_linear_part(const pp_engine *e, const pp_linear *l, pp_matmul m, int32_t row, size_t first, size_t last);
/* Rounds x [n][n_in] to int8 where the layer's weights want that: before pp_linear_part of it (linear.c). */
void pp_linear_input(const pp_engine *e, const pp_linear *l, const float *x, int32_t n);
/* What is to be done to outputs first .. last - 1 of some rows, once the layers that they come from are done. */
typedef void (*pp_output_task)(const pp_state *st, int32_t row, int32_t n_row, size_t first, size_t last);
/*
 * Up to three linear layers of the same input x [n_live][n_in], with their LoRA (linear.c). With a norm, x is made first: of each
 * row of the scratch's x its norm, and of that its codes, while it is near. `then`, if not NULL, gets every output of the jobs,
 * which then have equally many: in the same region where no adapter adds to them.
 */
void pp_linears(const pp_state *st, float *x, const float *norm, const pp_job *jobs, int n_job, pp_output_task then);
/* y = rmsnorm(x) * weight [d_model], of all live rows. */
void pp_norm_rows(const pp_state *st, float *y, const float *x, const float *weight);
/* Rotary angles (rope.c). The frequency of pair i, with Llama 3's scaling where the model has it or without. */
double pp_rope_frequency(const pippin_config *c, int32_t i, bool with_llama3);
void pp_rope_angles(const double *inv_freq, int32_t d_head, int32_t position, float *cosine, float *sine);
/* The rows of the pass into the scratch: their embeddings as x, their angles; their segments into the caches (forward.c). */
void pp_enter(const pp_state *st);
/* x += attention(norm(x)); drops the rows that nothing reads any more (attention.c). */
void pp_attention_forward(const pp_state *st);
/* x += feed_forward(norm(x)) (feed_forward.c). */
void pp_feed_forward_forward(const pp_state *st);
/* Keeps the live rows that want logits, in order (forward.c). */
void pp_keep_wanted(const pp_state *st);

#endif
