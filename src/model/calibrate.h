/*
 * calibrate.h - private to model: what a text tells about the inputs of linear layers, and rounding that minds it.
 *
 * Where a row of a matrix is rounded, w to w - e, its output changes by e x. The mean square of that over a text is e H e^T,
 * with H the mean of x x^T: the second moments of the layer's inputs. Rounding to nearest minds only H's diagonal; here levels
 * move one by one, as long as that makes e H e^T smaller, and the row's scale with them. docs/QUANTIZATION.md has what this
 * brings, and what else was tried.
 */
#ifndef PP_MODEL_CALIBRATE_H
#define PP_MODEL_CALIBRATE_H

#include "model/forward.h"

enum { PP_ROUND_ROWS = 32, PP_ROUND_BLOCK = 64 }; /* rows that a thread rounds together; columns between two products */

/* Second moments of the inputs of a layer. The memory is made once, for the widest. */
typedef struct pp_moments {
    const pp_kernels *kernels;
    pp_team *team;
    size_t widest;
    size_t n, n_row; /* inputs of the layer; rows gathered so far */
    float *second;   /* [n][n] while gathering the sum of x x^T, lower triangle; after pp_moments_finish H */
    float *weight;   /* [n] mean of x^2: H's diagonal before something was added to it */
    float *gemm;     /* [n_thread][PP_GEMM_SCRATCH] */
    float *tiles;    /* [n_thread] of what rounding works in (rounding.c) */
    void *block;
} pp_moments;

pippin_status pp_moments_create(size_t widest, const pp_kernels *kernels, pp_team *team, pp_moments *out,
                                pippin_error *err);
void pp_moments_free(pp_moments *m);
/* Begins anew, for a layer with n inputs. */
void pp_moments_start(pp_moments *m, size_t n);
/* x [n_row][n] */
void pp_moments_add(pp_moments *m, const float *x, size_t n_row);
void pp_moments_finish(pp_moments *m);

/* w [n_out][n] becomes what it is rounded to, scale * level; scales [n_out] are those of its rows. Any threads, same bits. */
void pp_round_matrix(const pp_moments *m, int bits, float *w, size_t n_out, float *scales);
/* Floats that a thread needs for that. */
uint64_t pp_round_scratch(size_t widest);

/* ---- a model's layers, one after the other: each is rounded for inputs that come from rounded ones (calibrate.c) ---- */

typedef struct pp_calibrator {
    const pp_calibration *text;
    pp_weights weights; /* the model's, with a list of layers of its own, and */
    pp_engine engine;   /* an engine on them */
    pp_moments moments;
    float *x;      /* [n_tok][d_model] between the layers */
    float *inputs; /* [n_tok][the widest] of the layers' O and DOWN */
    /* The layer in work: its matrices [n_out][n_in] in f32, in the row order of the model's file; the bits that each is rounded
       to, 0: it stays as it is; the scales of rounded rows. */
    float *matrix[PP_N_SITE], *scales[PP_N_SITE];
    int bits[PP_N_SITE];
    pp_kv_range k_range, v_range;
    bool gathers;             /* moments of what comes now */
    bool observes;            /* K and V get static scales, which the layers then have */
    bool (*stop)(void *user); /* asked between sequences */
    void *user;
    bool stopped;
    void *block;
} pp_calibrator;

/* embedding_bits: what the rows that the text begins with are rounded to, 0: they are not. */
pippin_status pp_calibrator_create(const pp_weights *w, const pp_saving *how, int embedding_bits, pp_calibrator *out,
                                   pippin_error *err);
void pp_calibrator_free(pp_calibrator *c);
/* Layers in order: the caller has set `matrix` and `bits`. */
void pp_calibrator_layer(pp_calibrator *c, int32_t layer);
/* After the last: `moments` are those of the head's inputs. */
void pp_calibrator_head(pp_calibrator *c);

#endif
