/*
 * qat.h - training with low-bit weights in the loop: the network computes with rounded matrices, gradients pass to the
 * unrounded ones as they are (straight-through; Bengio et al. 2013), and each row's scale is learned with them.
 *
 * A row is rounded to `levels` equally spaced values around 0: scale * {-1.5, -0.5, 0.5, 1.5} for 2 bits,
 * scale * {-7.5 .. 7.5} for 4. scale = ratio * mean |w|, and ratio is the parameter, so that a step of the optimiser moves
 * scales of all sizes alike. K and V are rounded to int8 with a scale a layer, from ranges that are observed: the batch's
 * at first, then 0.9 of what was and 0.1 of the batch's.
 */
#ifndef PP_TRAIN_QAT_H
#define PP_TRAIN_QAT_H

#include "train/params.h"

/* One matrix that is rounded. */
typedef struct pp_qat_matrix {
    const char *name; /* of its tensor */
    size_t at;        /* of its values in pp_params.value */
    size_t rows, columns;
    size_t ratio; /* of its rows' ratios in pp_params.value */
    int levels;   /* 4 or 16 */
} pp_qat_matrix;

typedef struct pp_qat {
    pp_weights weights; /* what the net reads; shares all but its layers and matrices with the master */
    float *rounded;     /* [pp_params.n_weights] */
    pp_qat_matrix *matrices;
    size_t n_matrix;
    pp_kv_range *ranges; /* [n_full][2] of K and V */
    pp_kv_range *before; /* the same, as they were when the step began */
    size_t n_range;      /* of either; 0 where the model has no place for them */
    float *scales;       /* [all ratios] for saving */
    void *block;
} pp_qat;

/* Ratios that a model needs beside its weights. */
size_t pp_qat_n_ratio(const pp_weights *w);
/* type: PIPPIN_Q2 (4 levels, embedding and head 16) or PIPPIN_Q4. p has room for the ratios, which get their first values:
   those with the smallest squared error. `out` must not be moved while it is used. */
pippin_status pp_qat_create(pp_params *p, pippin_type type, pp_team *team, pp_qat *out, pippin_error *err);
void pp_qat_free(pp_qat *q);
/* rounded = round(value), before a step's forward passes. */
void pp_qat_round(pp_qat *q, const pp_params *p, pp_team *team);
/* A step that is given up after some of its forward passes: the ranges are again what they were at pp_qat_round. */
void pp_qat_take_back(pp_qat *q);
/* Gradients of the ratios from those of the weights, after a step's backward passes. */
void pp_qat_gradients(pp_qat *q, pp_params *p, pp_team *team);
/*
 * Writes the rounded model: its matrices hold scale * level, exactly, "NAME_scale" [rows] the scales, and each full layer its K
 * and V scales.
 */
pippin_status pp_qat_save(pp_qat *q, const pp_params *p, const char *dir, pippin_error *err);

#endif
