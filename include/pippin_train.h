/*
 * pippin_train.h - training: all weights of a model, a draft towards its teacher, LoRA adapters. The conventions are pippin.h's.
 */
#ifndef PIPPIN_TRAIN_H
#define PIPPIN_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pippin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Muon: for the matrices of attention and feed-forward, with AdamW for the rest; rates and decay are AdamW's. */
typedef enum pippin_optimizer { PIPPIN_OPTIMIZER_ADAMW = 0, PIPPIN_OPTIMIZER_MUON } pippin_optimizer;

/* KL(draft || teacher), which has the draft write nothing that the teacher would not; KL(teacher || draft), which has it know all
   that the teacher may write, and is what one from random weights begins with. */
typedef enum pippin_distill_loss { PIPPIN_DISTILL_REVERSE_KL = 0, PIPPIN_DISTILL_FORWARD_KL } pippin_distill_loss;

typedef enum pippin_schedule { PIPPIN_SCHEDULE_COSINE = 0, PIPPIN_SCHEDULE_CONSTANT } pippin_schedule;

/* What a run tells after every optimiser step and every evaluation. */
typedef struct pippin_train_event {
    uint64_t step, n_step;   /* steps done so far, and of the whole run */
    uint64_t epoch, n_epoch; /* the epoch that the step belongs to, from 1 */
    bool is_eval;            /* eval_loss was measured; else the fields of a step hold */
    double loss;             /* mean over the step's targets in nats, before the step */
    double grad_norm;        /* before clipping */
    double learning_rate;
    double eval_loss;
    uint64_t n_tok;           /* tokens of the step */
    double tokens_per_second; /* of the step */
    double seconds_left;      /* at the pace of the last steps */
} pippin_train_event;

/* Where 0 is a value of its own, negative stands for it: "negative: none". */
typedef struct pippin_train_options {
    /* .jsonl, .txt, or a folder with train.jsonl (and valid.jsonl); docs/TRAINING.md describes the lines. */
    const char *data;
    const char *eval_data; /* NULL: the folder's valid.jsonl, or none */
    const char *output;    /* folder for the result, checkpoints, metrics.jsonl and loss.svg; created if absent */
    const char *separator; /* of a .txt: stands between documents; NULL: one stream */
    size_t max_length; /* tokens of a sample, longer ones are cut; 0: the training window of the model, at most 4096 */
    bool pack;         /* join samples to sequences of max_length; each still sees itself only */
    bool no_shuffle;   /* every epoch in the file's order */
    uint64_t seed;     /* of order, initial adapter and dropout */

    int32_t epochs;             /* 0: 2 */
    uint64_t max_steps;         /* ends the run earlier; 0: no bound */
    int32_t batch_size;         /* sequences; 0: 4 */
    int32_t accumulation;       /* batches that make a step; 0: 1 */
    pippin_optimizer optimizer; /* not of adapters, which AdamW trains */
    double learning_rate;       /* 0: 1e-3 */
    pippin_schedule schedule;   /* after the warm-up: down along a cosine to 0, or as it is */
    double
        warmup_epochs; /* 0: one epoch for an adapter, as the toolkit has it, but at most half of the run; else a twentieth of the run; negative: none */
    int64_t warmup_steps;          /* in place of warmup_epochs; 0: that holds; negative: none */
    double weight_decay;           /* 0: 0.01; negative: none */
    double clip_grad_norm;         /* 0: 1; negative: never */
    double dropout;                /* share of what attention and feed-forward parts add that is left out; 0: none */
    double lora_dropout;           /* share of an adapter's inputs that is left out; 0: none */
    bool activation_checkpointing; /* half as much again to compute, a fraction of the memory */

    /*
     * Q2 or Q4: all weights are trained as they will be used, rounded to 2 bits (embedding and head 4) or 4 bits, and K and V to
     * int8 by ranges that are observed; AUTO: not. The result holds the rounded weights and their scales.
     */
    pippin_type qat;
    /*
     * Distillation: in place of the data's own tokens, learn up to this many that the teacher writes after each prompt (before a
     * sample's first target; half of a text without one), chosen as `sampling` says, and the end of turn or text that it comes to;
     * 0: the data as it stands.
     */
    int32_t continuations;
    pippin_sampling sampling;
    pippin_distill_loss distill_loss;
    uint64_t eval_every;       /* steps; 0: once an epoch */
    uint64_t checkpoint_every; /* steps; 0: once an epoch; a run that ends or is stopped always writes one */
    bool resume;               /* go on from the output folder's newest checkpoint, bit for bit */
    int32_t n_threads;         /* 0: one a core */

    /* of adapters */
    int32_t rank;          /* 0: 32, or the initial adapter's */
    float alpha;           /* 0: rank / 2, or the initial adapter's */
    const char *init;      /* an adapter file to start from; NULL: a new one without effect */
    pippin_type save_type; /* of its file: F32, F16 or BF16; AUTO: F32, as it is trained and as checkpoints hold it */

    /* Called after each step, each evaluation, and between batches and a teacher's tokens (event NULL). Non-zero stops after
       writing a checkpoint, or before the first step without one. */
    int (*on_event)(void *user, const pippin_train_event *event);
    /* Called as the teacher writes continuations, 0 first: samples that it is through with, of all. NULL: not. */
    void (*on_continued)(void *user, uint64_t n_done, uint64_t n_sample);
    void *user;
} pippin_train_options;

typedef struct pippin_train_result {
    uint64_t n_step;
    double loss, eval_loss; /* the last ones; NAN where there was none */
    uint64_t n_tok;         /* tokens of the steps that this call made */
    double seconds;
} pippin_train_result;

/*
 * Each reads and checks the data, trains in f32, and writes its result into the output folder. The result does not
 * depend on the number of threads, and a run that was stopped and resumed gives the same bits as one that was not.
 * `result` may be NULL. Errors: ARGUMENT, FORMAT (data; or a checkpoint of another run), IO, MEMORY, CANCELLED (a checkpoint
 * was written), UNSUPPORTED; DIVERGED where loss or gradient are no numbers any more (a checkpoint from before was written).
 */

/* All weights of a model: model.safetensors and config.json. */
PIPPIN_API pippin_status pippin_train(const pippin_model *model, const pippin_train_options *options,
                                      pippin_train_result *result, pippin_error *err);
/* All weights of a draft, towards a teacher with the same vocabulary: `distill_loss` at the data's targets. */
PIPPIN_API pippin_status pippin_distill(const pippin_model *draft, pippin_model *teacher,
                                        const pippin_train_options *options, pippin_train_result *result,
                                        pippin_error *err);
/* A LoRA adapter on frozen weights of any type: adapter.safetensors. */
PIPPIN_API pippin_status pippin_adapter_train(const pippin_model *base, const pippin_train_options *options,
                                              pippin_train_result *result, pippin_error *err);

#ifdef __cplusplus
}
#endif
#endif
