/* train.c - training runs: all weights of a model, a draft towards its teacher, an adapter on frozen weights. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

typedef struct train_args {
    pp_common common;
    const char *preset, *teacher, *data, *eval_data, *output, *separator, *init, *schedule, *shuffle, *precision;
    int32_t epochs, max_steps, batch_size, accumulation, max_length, eval_every, checkpoint_every, rank, continuations;
    double temperature, rate, warmup_epochs, warmup_steps, weight_decay, clip, dropout, lora_dropout, alpha;
    bool pack, fixed, checkpointing, resume;
    pippin_type qat;
    uint64_t seed;
} train_args;

#define AT(field) offsetof(train_args, field)

static const pp_option data_options[] = {
    {.name = "data",
     .kind = PP_OPTION_TEXT,
     .argument = "FILE",
     .target = AT(data),
     .files = "jsonl|txt|/",
     .help = "what to learn: .jsonl with a sample a line, .txt, or a folder with train.jsonl and valid.jsonl"},
    {.name = "eval-data",
     .kind = PP_OPTION_TEXT,
     .argument = "FILE",
     .target = AT(eval_data),
     .files = "jsonl|txt",
     .help = "what to measure the loss on, never learned (default: the folder's valid.jsonl)"},
    {.name = "output",
     .letter = 'o',
     .kind = PP_OPTION_TEXT,
     .argument = "DIR",
     .target = AT(output),
     .files = "/",
     .help = "folder for the result, checkpoints, metrics.jsonl and loss.svg; created if absent"},
    {.name = "resume",
     .kind = PP_OPTION_FLAG,
     .target = AT(resume),
     .help = "go on from the newest checkpoint in the output folder, as if the run had never stopped"},
    {.name = "max-sequence-length",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(max_length),
     .low = 2,
     .high = 1 << 20,
     .help = "tokens of a sample, longer ones are cut (default: what the model was trained on, at most 4096)"},
    {.name = "pack-sequences",
     .kind = PP_OPTION_FLAG,
     .target = AT(pack),
     .help = "join short samples to sequences of that length; each still sees itself only"},
    {.name = "fixed-sized-sequences",
     .kind = PP_OPTION_FLAG,
     .target = AT(fixed),
     .help = "accepted for the toolkit's sake: padding is never computed here, so it changes nothing"},
    {.name = "separator",
     .kind = PP_OPTION_TEXT,
     .argument = "TEXT",
     .target = AT(separator),
     .help = "what stands between the documents of a .txt (default: it is one stream)"},
    {.name = "shuffle",
     .kind = PP_OPTION_CHOICE,
     .argument = "HOW",
     .target = AT(shuffle),
     .choices = "none|seed",
     .help = "order of the samples: as in the file, or a new one every epoch from --seed (default)"},
    {.name = "seed",
     .kind = PP_OPTION_SEED,
     .argument = "N",
     .target = AT(seed),
     .help = "of order, initial weights and dropout (default: 0)"},
    {0}};

static const pp_option step_options[] = {
    {.name = "epochs",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(epochs),
     .low = 1,
     .high = 1000000,
     .help = "times that all data is gone through (default: 2)"},
    {.name = "max-steps",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(max_steps),
     .low = 1,
     .high = INT32_MAX,
     .help = "end after this many steps"},
    {.name = "batch-size",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(batch_size),
     .low = 1,
     .high = 65536,
     .help = "sequences computed together (default: 4)"},
    {.name = "grad-accumulation",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(accumulation),
     .low = 1,
     .high = 65536,
     .help = "batches that make one step (default: 1)"},
    {.name = "learning-rate",
     .kind = PP_OPTION_REAL,
     .argument = "RATE",
     .target = AT(rate),
     .low = 0,
     .high = 100,
     .help = "at its highest (default: 0.001)"},
    {.name = "schedule",
     .kind = PP_OPTION_CHOICE,
     .argument = "HOW",
     .target = AT(schedule),
     .choices = "cosine|constant",
     .help =
         "of the rate after the warm-up: down to 0 along a cosine, or as it is (default: cosine; distill: constant)"},
    {.name = "warmup-epochs",
     .kind = PP_OPTION_AMOUNT,
     .argument = "N",
     .target = AT(warmup_epochs),
     .high = 1e6,
     .help = "epochs in which the rate rises from 0 (default: 1 for an adapter, else a twentieth of all)"},
    {.name = "warmup-steps",
     .kind = PP_OPTION_AMOUNT,
     .argument = "N",
     .target = AT(warmup_steps),
     .high = 1e9,
     .help = "the same in steps"},
    {.name = "weight-decay",
     .kind = PP_OPTION_AMOUNT,
     .argument = "X",
     .target = AT(weight_decay),
     .high = 10,
     .help = "of AdamW (default: 0.01)"},
    {.name = "clip-grad-norm",
     .kind = PP_OPTION_AMOUNT,
     .argument = "X",
     .target = AT(clip),
     .high = 1e9,
     .help = "cut the gradient to this norm; 0: never (default: 1)"},
    {.name = "dropout",
     .kind = PP_OPTION_REAL,
     .argument = "P",
     .target = AT(dropout),
     .high = 0.99,
     .help = "share of what attention and feed-forward parts add that is left out (default: 0)"},
    {.name = "activation-checkpointing",
     .kind = PP_OPTION_FLAG,
     .target = AT(checkpointing),
     .help = "keep layers' inputs only and compute the rest again: less memory, a third more time"},
    {.name = "precision",
     .kind = PP_OPTION_CHOICE,
     .argument = "TYPE",
     .target = AT(precision),
     .choices = "f32|bf16",
     .help = "of the products (default, and all that this version has: f32)"},
    {.name = "eval-every",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(eval_every),
     .low = 1,
     .high = INT32_MAX,
     .help = "measure --eval-data every N steps (default: once an epoch)"},
    {.name = "checkpoint-every",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(checkpoint_every),
     .low = 1,
     .high = INT32_MAX,
     .help = "write a checkpoint every N steps (default: once an epoch); the newest two are kept"},
    {0}};

static const pp_option adapter_options[] = {{.name = "rank",
                                             .kind = PP_OPTION_INT,
                                             .argument = "N",
                                             .target = AT(rank),
                                             .low = 1,
                                             .high = 256,
                                             .help = "of the adapter's matrices (default: 32)"},
                                            {.name = "alpha",
                                             .kind = PP_OPTION_REAL,
                                             .argument = "X",
                                             .target = AT(alpha),
                                             .low = 0,
                                             .high = 1e6,
                                             .help = "its effect is multiplied by alpha / rank (default: rank / 2)"},
                                            {.name = "lora-dropout",
                                             .kind = PP_OPTION_REAL,
                                             .argument = "P",
                                             .target = AT(lora_dropout),
                                             .high = 0.99,
                                             .help = "share of the adapter's inputs that is left out (default: 0)"},
                                            {.name = "init",
                                             .kind = PP_OPTION_TEXT,
                                             .argument = "ADAPTER",
                                             .target = AT(init),
                                             .files = PP_ADAPTER_FILES,
                                             .help = "start from this adapter; its rank and alpha hold"},
                                            {0}};

static const pp_option preset_options[] = {
    {.name = "preset",
     .kind = PP_OPTION_TEXT,
     .argument = "NAME",
     .target = AT(preset),
     .files = "json",
     .offers = PP_OFFER_PRESETS,
     .help = "in place of --model: random weights of this shape, or of a config.json's"},
    {0}};

static const pp_option low_bit_options[] = {
    {.name = "qat",
     .kind = PP_OPTION_TYPE,
     .argument = "TYPE",
     .target = AT(qat),
     .choices = "q2|q4",
     .help = "train with rounding in the loop: q2 (2-bit weights, 4-bit embedding) or q4; K and V int8"},
    {0}};

static const pp_option teacher_options[] = {
    {.name = "continuations",
     .kind = PP_OPTION_INT,
     .argument = "N",
     .target = AT(continuations),
     .low = 1,
     .high = 1 << 20,
     .help = "learn up to N tokens that the teacher itself writes after each prompt, in place of the data's"},
    {.name = "temp",
     .kind = PP_OPTION_REAL,
     .argument = "T",
     .target = AT(temperature),
     .low = 0,
     .high = 100,
     .help = "temperature of these continuations (default: 0, greedy)"},
    {.name = "teacher",
     .kind = PP_OPTION_TEXT,
     .argument = "MODEL",
     .target = AT(teacher),
     .files = PP_MODEL_FILES,
     .help = "whose predictions the draft is to learn; its vocabulary must be the draft's"},
    {0}};

/* ---- what is shown ---- */

typedef struct watch {
    double said; /* when a line was last written where there is no terminal */
    char eval[40];
} watch;

/* 2h 03m, 4m 05s, 6s */
static pp_short duration(double seconds)
{
    pp_short s;
    const int64_t n = (int64_t)(seconds + 0.5), hours = n / 3600, minutes = n / 60 % 60;
    if (hours)
        snprintf(s.text, sizeof s.text, "%" PRId64 "h %02" PRId64 "m", hours, minutes);
    else if (minutes)
        snprintf(s.text, sizeof s.text, "%" PRId64 "m %02" PRId64 "s", minutes, n % 60);
    else
        snprintf(s.text, sizeof s.text, "%" PRId64 "s", n);
    return s;
}

static int on_event(void *user, const pippin_train_event *e)
{
    watch *w = user;
    if (!e) return pp_interrupted();
    if (e->is_eval) {
        snprintf(w->eval, sizeof w->eval, ", eval %.4f", e->eval_loss);
        pp_progress_end();
        fprintf(stderr, "step %" PRIu64 "/%" PRIu64 ": eval loss %.4f\n", e->step, e->n_step, e->eval_loss);
        return pp_interrupted();
    }
    char line[256];
    snprintf(line, sizeof line,
             "step %" PRIu64 "/%" PRIu64 ", epoch %" PRIu64 "/%" PRIu64 ": loss %.4f%s, norm %.3f, rate %.3g, "
             "%.0f tokens/s, %s left",
             e->step, e->n_step, e->epoch, e->n_epoch, e->loss, w->eval, e->grad_norm, e->learning_rate,
             e->tokens_per_second, duration(e->seconds_left).text);
    pp_progress("%s", line);
    const double now = pp_seconds();
    if (!isatty(STDERR_FILENO) && (e->step == 1 || e->step == e->n_step || now - w->said > 30)) {
        fprintf(stderr, "%s\n", line);
        w->said = now;
    }
    return pp_interrupted();
}

static int report(const train_args *args, const char *file, const pippin_train_result *r)
{
    if (args->common.json)
        return pp_print_json(json_pack("{s:o, s:I, s:o, s:o, s:I, s:f, s:I}", "path", pp_json_text(file, strlen(file)),
                                       "steps", (json_int_t)r->n_step, "loss", pp_json_number(r->loss), "eval_loss",
                                       pp_json_number(r->eval_loss), "tokens", (json_int_t)r->n_tok, "seconds",
                                       r->seconds, "peak_rss_bytes", (json_int_t)pp_peak_rss()));
    pp_print("%s: %s steps in %s, loss %.4f", file, pp_count((int64_t)r->n_step).text, duration(r->seconds).text,
             r->loss);
    if (isfinite(r->eval_loss)) pp_print(", eval loss %.4f", r->eval_loss);
    pp_print(", %s tokens, %s at most\n", pp_count((int64_t)r->n_tok).text, pp_size(pp_peak_rss()).text);
    return 0;
}

/* ---- running ---- */

static int check(const train_args *args, const char *command)
{
    if (!args->data)
        return pp_error(PP_EXIT_USAGE, "--data: found none, expected a .jsonl, a .txt or a folder; see pippin help %s",
                        command);
    if (!args->output)
        return pp_error(PP_EXIT_USAGE, "--output: found none, expected the folder to write; pass -o DIR");
    if (args->precision && strcmp(args->precision, "f32") != 0)
        return pp_error(PP_EXIT_FAILURE, "--precision: found %s, expected f32; this version multiplies in no other",
                        args->precision);
    if (args->warmup_steps && args->warmup_epochs)
        return pp_error(PP_EXIT_USAGE,
                        "--warmup-steps: found with --warmup-epochs, expected one of them; leave one out");
    return 0;
}

static pippin_train_options options_of(const train_args *a, watch *w)
{
    return (pippin_train_options){.data = a->data,
                                  .eval_data = a->eval_data,
                                  .output = a->output,
                                  .separator = a->separator,
                                  .max_length = (size_t)a->max_length,
                                  .pack = a->pack,
                                  .no_shuffle = a->shuffle && strcmp(a->shuffle, "none") == 0,
                                  .seed = a->seed,
                                  .epochs = a->epochs,
                                  .max_steps = (uint64_t)a->max_steps,
                                  .batch_size = a->batch_size,
                                  .accumulation = a->accumulation,
                                  .learning_rate = a->rate,
                                  .schedule = a->schedule && strcmp(a->schedule, "constant") == 0
                                                  ? PIPPIN_SCHEDULE_CONSTANT
                                                  : PIPPIN_SCHEDULE_COSINE,
                                  .warmup_epochs = a->warmup_epochs,
                                  .warmup_steps = (int64_t)a->warmup_steps,
                                  .weight_decay = a->weight_decay,
                                  .clip_grad_norm = a->clip,
                                  .dropout = a->dropout,
                                  .lora_dropout = a->lora_dropout,
                                  .activation_checkpointing = a->checkpointing,
                                  .qat = a->qat,
                                  .eval_every = (uint64_t)a->eval_every,
                                  .checkpoint_every = (uint64_t)a->checkpoint_every,
                                  .resume = a->resume,
                                  .n_threads = a->common.n_threads,
                                  .rank = a->rank,
                                  .alpha = (float)a->alpha,
                                  .init = a->init,
                                  .on_event = on_event,
                                  .user = w};
}

static int finish(const train_args *args, const char *name, pippin_status status, const pippin_train_result *result,
                  const pippin_error *err)
{
    pp_progress_end();
    if (status != PIPPIN_OK) {
        if (status == PIPPIN_E_CANCELLED)
            return pp_error(PP_EXIT_INTERRUPTED, "%s; --resume goes on from it", err->text);
        return pp_failed(err);
    }
    char *file = pp_path_join(args->output, name);
    if (!file) return pp_no_memory();
    const int code = report(args, file, result);
    pp_free(file);
    return code;
}

/* The model to train: --model, or random weights. */
static int open_trained(const train_args *args, const char *command, pippin_model **out)
{
    const pippin_model_options options = {.tokenizer = args->common.tokenizer, .cpu = args->common.cpu};
    pippin_config config;
    pippin_error err;
    if (!args->preset) return pp_load_model(&args->common, out);
    if (args->common.model)
        return pp_error(PP_EXIT_USAGE, "--preset: found with --model, expected one of them; leave one out");
    int code = pp_load_preset(args->preset, &config);
    if (code) return code;
    pippin_plan plan;
    pippin_plan_compute(&config, &(pippin_plan_options){.type = PIPPIN_F32}, &plan);
    code = pp_check_random(command, &config, PIPPIN_F32, plan.weights + plan.train_full);
    if (code) return code;
    return pippin_model_random(&config, PIPPIN_F32, args->seed, &options, out, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
}

static int run_train(const void *raw)
{
    const train_args *args = raw;
    watch w = {0};
    pippin_model *model = NULL;
    pippin_train_result result;
    pippin_error err;
    int code = check(args, "train");
    if (!code) code = open_trained(args, "train", &model);
    if (code) return code;
    const pippin_train_options options = options_of(args, &w);
    pp_interrupt_polled();
    code = finish(args, "model.safetensors", pippin_train(model, &options, &result, &err), &result, &err);
    pippin_model_free(model);
    return code;
}

static int run_distill(const void *raw)
{
    const train_args *args = raw;
    watch w = {0};
    pippin_model *draft = NULL, *teacher = NULL;
    pippin_train_result result;
    pippin_error err;
    int code = check(args, "distill");
    if (!code && !args->teacher)
        code = pp_error(PP_EXIT_USAGE, "--teacher: found none, expected the model whose predictions are learned");
    if (!code) code = open_trained(args, "distill", &draft);
    if (!code) {
        pp_common common = args->common;
        common.model = args->teacher;
        code = pp_load_model(&common, &teacher);
    }
    if (!code) {
        pippin_train_options options = options_of(args, &w);
        if (!args->schedule) options.schedule = PIPPIN_SCHEDULE_CONSTANT;
        options.continuations = args->continuations;
        options.sampling = (pippin_sampling){.temperature = args->temperature, .seed = args->seed};
        pp_interrupt_polled();
        code =
            finish(args, "model.safetensors", pippin_distill(draft, teacher, &options, &result, &err), &result, &err);
    }
    pippin_model_free(draft);
    pippin_model_free(teacher);
    return code;
}

static int run_adapter(const void *raw)
{
    const train_args *args = raw;
    watch w = {0};
    pippin_model *base;
    pippin_train_result result;
    pippin_error err;
    const char *verb = args->common.operands.n ? args->common.operands.items[0] : NULL;
    if (!verb || strcmp(verb, "train") != 0)
        return pp_error(PP_EXIT_USAGE, "adapter: found %s%s%s, expected \"train\"; see pippin help adapter",
                        verb ? "\"" : "", verb ? verb : "nothing", verb ? "\"" : "");
    int code = check(args, "adapter");
    if (!code) code = pp_load_model(&args->common, &base);
    if (code) return code;
    const pippin_train_options options = options_of(args, &w);
    pp_interrupt_polled();
    code = finish(args, "adapter.safetensors", pippin_adapter_train(base, &options, &result, &err), &result, &err);
    pippin_model_free(base);
    return code;
}

#define LINES                                                                                                          \
    "A line of a .jsonl is a conversation ({\"messages\": [...]} or the list itself; the assistant's words are "       \
    "learned), {\"prompt\", \"completion\"}, {\"text\"}, or {\"tokens\": [...], \"loss_mask\": [...]}. All lines are " \
    "checked before training starts. Ctrl-C stops after the current step with a checkpoint; --resume goes on.\n\n"

static const pp_option_group train_groups[] = {{"Model", pp_options_model},
                                               {NULL, preset_options},
                                               {NULL, pp_options_tokenizer},
                                               {"Data", data_options},
                                               {"Steps", step_options},
                                               {NULL, low_bit_options},
                                               {"Computing", pp_options_compute},
                                               {"General", pp_options_general},
                                               {0}};

const pp_command pp_command_train = {
    .name = "train",
    .summary = "Train all weights of a model.",
    .synopsis = "-m MODEL|--preset NAME --data FILE [options] -o DIR",
    .details = LINES "  pippin train -m stories --data tales.txt --epochs 3 -o tuned\n"
                     "  pippin train --preset tiny.json --tokenizer tokenizer.model --data corpus -o run",
    .groups = train_groups,
    .args_size = sizeof(train_args),
    .run = run_train,
};

static const pp_option_group distill_groups[] = {{"Models", pp_options_model},    {NULL, preset_options},
                                                 {NULL, teacher_options},         {NULL, pp_options_tokenizer},
                                                 {"Data", data_options},          {"Steps", step_options},
                                                 {NULL, low_bit_options},         {"Computing", pp_options_compute},
                                                 {"General", pp_options_general}, {0}};

const pp_command pp_command_distill = {
    .name = "distill",
    .summary = "Train a draft model towards its teacher's predictions.",
    .synopsis = "-m DRAFT|--preset NAME --teacher MODEL --data FILE [options] -o DIR",
    .details = "The loss is the reverse Kullback-Leibler divergence of the draft from the teacher at the data's "
               "targets, averaged "
               "over each sequence, then over the batch.\n\n" LINES
               "  pippin distill --preset afm-draft --teacher base --data replies.jsonl -o draft",
    .groups = distill_groups,
    .args_size = sizeof(train_args),
    .run = run_distill,
};

static const pp_option_group adapter_groups[] = {{"Model", pp_options_model},     {NULL, pp_options_tokenizer},
                                                 {"Adapter", adapter_options},    {"Data", data_options},
                                                 {"Steps", step_options},         {"Computing", pp_options_compute},
                                                 {"General", pp_options_general}, {0}};

static const pp_option verb = {.name = "verb",
                               .kind = PP_OPTION_CHOICE,
                               .argument = "VERB",
                               .choices = "train",
                               .help = "train: learn an adapter on frozen weights"};

const pp_command pp_command_adapter = {
    .name = "adapter",
    .summary = "Train a LoRA adapter on a model's frozen weights.",
    .synopsis = "train -m MODEL --data FILE [options] -o DIR",
    .details = LINES "  pippin adapter train -m base --data plays.jsonl --eval-data held-out.jsonl -o plays\n"
                     "  pippin generate -m base -a plays/adapter.safetensors -p \"Write a scene\"",
    .groups = adapter_groups,
    .args_size = sizeof(train_args),
    .max_operands = 1,
    .operand = &verb,
    .run = run_adapter,
};
