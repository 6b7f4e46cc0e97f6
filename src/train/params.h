/*
 * params.h - what is trained: all parameters in one array, with their gradients and moments beside them, and the weights or
 * the adapter that point into it. AdamW moves all of them, or Muon the matrices of the layers and AdamW the rest.
 */
#ifndef PP_TRAIN_PARAMS_H
#define PP_TRAIN_PARAMS_H

#include "adapter/adapter.h"
#include "train/net.h"

/* Adjacent parameters that AdamW moves. */
typedef struct pp_param_span {
    size_t at, n;
    float *v; /* [n] second moments */
    bool decays;
} pp_param_span;

/* A matrix that Muon moves. */
typedef struct pp_muon_matrix {
    size_t at; /* of its values in pp_params.value */
    int32_t n_out, n_in;
} pp_muon_matrix;

typedef struct pp_muon {
    pp_muon_matrix *matrices;
    size_t n_matrix;
    float *next;          /* [the most that a matrix has] */
    float *gram, *square; /* [the longest shorter side]^2 */
    void *block;
} pp_muon;

typedef struct pp_params {
    size_t n;
    size_t n_weights;        /* the first ones are the model's; those after them have no weight decay */
    float *value, *grad, *m; /* [n] m: AdamW's first moment or Muon's momentum */
    pp_param_span *spans;    /* all that AdamW moves */
    size_t n_span;
    float *v; /* [n_v] their second moments */
    size_t n_v;
    pp_muon muon;            /* zeroed but where it is used */
    pp_weights weights;      /* all weights are trained: a copy whose parameters are `value` */
    pippin_adapter *adapter; /* an adapter is trained: its A and B are `value`; else NULL */
    pp_grads grads;          /* pointers into `grad` */
    double *squares;         /* [blocks] partial sums of the gradient's norm */
    void *block;
} pp_params;

/* Every parameter of a copy of `from`, and n_extra more, 0 at first. */
pippin_status pp_params_full(const pp_weights *from, size_t n_extra, pippin_optimizer optimizer, pp_params *out,
                             pippin_error *err);
/* The adapter (taken, also on failure) of frozen weights. */
pippin_status pp_params_adapter(const pp_weights *base, pippin_adapter *adapter, pp_params *out, pippin_error *err);
void pp_params_free(pp_params *p);

void pp_params_zero_grad(pp_params *p, pp_team *team);
/* Euclidean norm of the gradient; the same bits for any number of threads. */
double pp_params_grad_norm(pp_params *p, const pp_kernels *kernels, pp_team *team);

typedef struct pp_step_options {
    double rate, weight_decay;
    double beta1, beta2, eps; /* of AdamW */
    double clip;              /* the gradient's norm is cut to this; 0: never */
    uint64_t step;            /* counts from 1 */
} pp_step_options;

/*
 * One step of AdamW (Loshchilov and Hutter 2019, as torch.optim.AdamW), and of Muon where it is used, on all parameters; `norm`
 * is the gradient's. The net lends its team and its room for products. The gradients are used up. The same bits for any number
 * of threads.
 */
void pp_params_step(pp_params *p, const pp_step_options *options, double norm, pp_net *net);

/* ---- Muon (muon.c) ---- */

/* All matrices of the layers' linear parts, each of Q, K and V for itself, and room to work in. */
pippin_status pp_muon_create(const pp_weights *w, const float *value, pp_muon *out, pippin_error *err);
void pp_muon_free(pp_muon *m);
/* One step of these matrices; rate, decay and the gradients' factor are those of `a`. */
void pp_muon_step(pp_params *p, const pp_adamw *a, pp_net *net);

#endif
