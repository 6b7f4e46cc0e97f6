/*
 * params.h - what is trained: all parameters in one array, with their gradients and AdamW's two moments beside them, and
 * the weights or the adapter that point into it.
 */
#ifndef PP_TRAIN_PARAMS_H
#define PP_TRAIN_PARAMS_H

#include "adapter/adapter.h"
#include "train/net.h"

typedef struct pp_params {
    size_t n;
    size_t n_weights;            /* the first ones are the model's; those after them have no weight decay */
    float *value, *grad, *m, *v; /* [n] */
    pp_weights weights;          /* all weights are trained: a copy whose parameters are `value` */
    pippin_adapter *adapter;     /* an adapter is trained: its A and B are `value`; else NULL */
    pp_grads grads;              /* pointers into `grad` */
    double *squares;             /* [blocks] partial sums of the gradient's norm */
    void *block;
} pp_params;

/* Every parameter of a copy of `from`, and n_extra more, 0 at first. */
pippin_status pp_params_full(const pp_weights *from, size_t n_extra, pp_params *out, pippin_error *err);
/* The adapter (taken, also on failure) of frozen weights. */
pippin_status pp_params_adapter(const pp_weights *base, pippin_adapter *adapter, pp_params *out, pippin_error *err);
void pp_params_free(pp_params *p);

void pp_params_zero_grad(pp_params *p, pp_team *team);
/* Euclidean norm of the gradient; the same bits for any number of threads. */
double pp_params_grad_norm(pp_params *p, const pp_kernels *kernels, pp_team *team);

typedef struct pp_adamw_options {
    double rate, beta1, beta2, eps, weight_decay;
    double clip;   /* the gradient's norm is cut to this; 0: never */
    uint64_t step; /* counts from 1 */
} pp_adamw_options;

/* One step of AdamW (Loshchilov and Hutter 2019, as torch.optim.AdamW) on all parameters; `norm` is the gradient's. */
void pp_params_step(pp_params *p, const pp_adamw_options *options, double norm, const pp_kernels *kernels,
                    pp_team *team);

#endif
