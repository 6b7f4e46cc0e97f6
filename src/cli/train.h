/* train.h - what train, distill and adapter share: their arguments and the tables of their options. */
#ifndef PP_CLI_TRAIN_H
#define PP_CLI_TRAIN_H

#include "cli/cli.h"
#include "pippin_train.h"

typedef struct pp_train_args {
    pp_common common;
    const char *preset, *teacher, *data, *eval_data, *output, *separator, *init, *schedule, *shuffle, *precision,
        *optimizer, *loss;
    int32_t epochs, max_steps, batch_size, accumulation, max_length, eval_every, checkpoint_every, rank, continuations;
    double temperature, rate, warmup_epochs, warmup_steps, weight_decay, clip, dropout, lora_dropout, alpha;
    bool pack, fixed, checkpointing, resume;
    pippin_type qat, save_type;
    uint64_t seed;
} pp_train_args;

extern const pp_option pp_options_train_data[], pp_options_train_steps[], pp_options_train_adapter[];
extern const pp_option pp_options_train_preset[];  /* --preset in place of --model */
extern const pp_option pp_options_train_teacher[]; /* --teacher and what it writes */
extern const pp_option pp_options_train_weights[]; /* of runs that train all of them */

#endif
