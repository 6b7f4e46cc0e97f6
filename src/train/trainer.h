/* trainer.h - a training run: what it was asked, what it works on, how far it is. setup.c makes it, trainer.c runs it. */
#ifndef PP_TRAIN_TRAINER_H
#define PP_TRAIN_TRAINER_H

#include "infer/infer.h"
#include "train/data.h"
#include "train/files.h"
#include "train/params.h"
#include "train/qat.h"

typedef enum pp_job_kind { PP_TRAIN_FULL = 0, PP_TRAIN_DISTILL, PP_TRAIN_ADAPTER } pp_job_kind;

/* Samples with the batches of their epochs and room for one of them. */
typedef struct pp_feed {
    pp_dataset data;
    pp_plan plan;
    pp_batch batch;
} pp_feed;

enum { PP_MAX_SETTING = 32 };

/* What a run was started with, as texts: a checkpoint keeps them, and a resumed run must have the same. */
typedef struct pp_settings {
    pp_entry entries[PP_MAX_SETTING];
    char values[PP_MAX_SETTING][48];
    size_t n;
} pp_settings;

typedef struct pp_trainer {
    pp_job_kind kind;
    const pippin_model *model;
    pippin_model *teacher;        /* NULL but for distillation */
    pippin_train_options options; /* defaults filled in */
    pp_kernels kernels;
    pp_team *team;
    pp_params params;
    pp_qat qat; /* zeroed but for low-bit training */
    pp_net net, teacher_net;
    pp_feed train, eval; /* eval.data.n_sample 0: nothing to evaluate on */
    uint64_t data_hash;  /* of what was given, also where a teacher continued it */
    uint64_t n_epoch, n_step;
    uint64_t *epoch_step; /* [n_epoch + 1] the step that each epoch begins with */
    pp_schedule schedule;
    pp_settings settings;
    pp_metrics metrics;
    uint64_t step; /* steps done */
    double seconds_per_token;
    pippin_train_result result;
} pp_trainer;

/* Fills a zeroed trainer; pp_trainer_close also after a failure. */
pippin_status pp_trainer_open(pp_trainer *t, const pippin_train_options *options, pippin_error *err);
void pp_trainer_close(pp_trainer *t);

pippin_status pp_feed_open(const pp_trainer *t, const char *path, bool eval, pp_feed *feed, pippin_error *err);
void pp_feed_close(pp_feed *feed); /* zeroes it */
/* Replaces the training data by what the teacher writes after its prompts (continuations.c). */
pippin_status pp_trainer_continue(pp_trainer *t, pippin_error *err);
/* Fills t->settings from everything that decides how the run ends; the parameters must be the initial ones (settings.c). */
void pp_trainer_describe(pp_trainer *t);
uint64_t pp_dataset_hash(const pp_dataset *d);

/* Reads the newest checkpoint of the output folder, or saves one (state.c). */
pippin_status pp_trainer_restore(pp_trainer *t, pippin_error *err);
pippin_status pp_trainer_save(pp_trainer *t, pippin_error *err);

#endif
