/*
 * files.h - what a training run leaves in its folder: checkpoints (checkpoint.c), metrics.jsonl (metrics.c) and its plot
 * loss.svg (plot.c); and the learning rate's course, which a resumed run must find again (schedule.c).
 */
#ifndef PP_TRAIN_FILES_H
#define PP_TRAIN_FILES_H

#include "formats/formats.h"

/* ---- learning rate (schedule.c) ---- */

typedef enum pp_schedule_kind { PP_SCHEDULE_COSINE = 0, PP_SCHEDULE_CONSTANT } pp_schedule_kind;

typedef struct pp_schedule {
    pp_schedule_kind kind;
    int64_t warmup, total; /* optimiser steps */
} pp_schedule;

/* Steps that the first `epochs` epochs take, epoch_steps [n_epoch] being those of each; a part of an epoch counts as that
   part of its steps, rounded to the nearest. */
int64_t pp_schedule_epochs(double epochs, const int64_t *epoch_steps, size_t n_epoch);
/*
 * What the rate is multiplied by at a step, from 0: step/warmup while it is below warmup (so the very first step has none),
 * then 0.5 (1 + cos(pi (step - warmup) / (total - warmup))), or 1.
 */
double pp_schedule_at(const pp_schedule *s, int64_t step);

/* ---- checkpoints (checkpoint.c) ---- */

typedef enum pp_array_type { PP_ARRAY_F32 = 0, PP_ARRAY_F64, PP_ARRAY_I64, PP_ARRAY_U8 } pp_array_type;

typedef struct pp_array {
    const char *name;
    pp_array_type type;
    size_t n;
    void *data; /* [n] read by saving, written by loading */
} pp_array;

/* All that a run needs to go on. */
typedef struct pp_state {
    int64_t step;
    const pp_array *arrays; /* [n_array] */
    size_t n_array;
    const pp_entry *metadata; /* [n_metadata] texts, which loading compares */
    size_t n_metadata;
} pp_state;

/*
 * Writes "checkpoint-STEP.safetensors" into the folder, aside, synced and renamed, with a checksum over all of it; then
 * removes all others but the newest before it, and what writers that died left behind. Whenever the process or the machine
 * stops, one that is complete is there. The keys "step", "checksum" and "type.NAME" of the metadata are its own.
 */
pippin_status pp_checkpoint_save(const char *dir, const pp_state *state, pippin_error *err);

/* What was loaded, and its texts. */
typedef struct pp_checkpoint {
    int64_t step; /* -1: the folder holds no checkpoint */
    pp_tensors file;
} pp_checkpoint;

/*
 * Fills the arrays from the newest checkpoint; from the one before, saying so through the log hook, where the newest is
 * damaged. The texts must be among those that were saved, else ARGUMENT, naming the first that differs; the arrays must be
 * those that were saved, by name, type and size, else FORMAT, naming both; nothing is written before everything has been checked. OK with step -1 where there is none; FORMAT where all are damaged.
 */
pippin_status pp_checkpoint_load(const char *dir, const pp_state *want, pp_checkpoint *out, pippin_error *err);
const char *pp_checkpoint_text(const pp_checkpoint *c, const char *key); /* NULL when absent; valid until the free */
void pp_checkpoint_free(pp_checkpoint *c);
/* The step of the newest checkpoint in a folder, by its name alone; -1: none. The folder need not exist. */
pippin_status pp_checkpoint_find(const char *dir, int64_t *step, pippin_error *err);

/* ---- metrics (metrics.c) ---- */

/* One line of metrics.jsonl: a step of training, or, with is_eval, a measurement of eval_loss after `step` steps. */
typedef struct pp_metric {
    int64_t step;
    bool is_eval;
    double loss, grad_norm, lr; /* loss before the step, norm before clipping */
    int64_t tokens;             /* targets and others, of all steps so far or of this one: as the trainer counts them */
    double tokens_per_second;
    double eval_loss;
} pp_metric;

typedef struct pp_metrics {
    FILE *file;
    char *path;
} pp_metrics;

/*
 * Opens DIR/metrics.jsonl to go on after a checkpoint: rows of later steps and a torn last line are dropped first.
 * after -1: all rows are, for a run that begins.
 */
pippin_status pp_metrics_open(const char *dir, int64_t after, pp_metrics *out, pippin_error *err);
/* Appends a row and flushes it. Numbers that are not finite are written as null. */
pippin_status pp_metrics_put(pp_metrics *m, const pp_metric *row, pippin_error *err);
void pp_metrics_close(pp_metrics *m); /* harmless on a zeroed one */

/* All rows of DIR/metrics.jsonl that are whole, in their order; null is NAN. *rows is to be freed; none where there is no file. */
pippin_status pp_metrics_read(const char *dir, pp_metric **rows, size_t *n, pippin_error *err);

/* ---- plot (plot.c) ---- */

/* Writes DIR/loss.svg from rows [n], aside and renamed: losses, eval losses and learning rate over steps, in light and dark. */
pippin_status pp_plot_write(const char *dir, const char *title, const pp_metric *rows, size_t n, pippin_error *err);

#endif
