/* train.c - training runs: all weights of a model, a draft towards its teacher, an adapter on frozen weights. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/train.h"

/* ---- what is shown ---- */

typedef struct watch {
    double said;  /* when a line was last written where there is no terminal */
    double since; /* of the teacher's continuations */
    char eval[40];
} watch;

/* Where there is no terminal, a line every half minute, and those that are `due`. */
static void show(watch *w, const char *line, bool due)
{
    const double now = pp_seconds();
    pp_progress("%s", line);
    if (isatty(STDERR_FILENO) || !(due || now - w->said > 30)) return;
    fprintf(stderr, "%s\n", line);
    w->said = now;
}

static void on_continued(void *user, uint64_t n_done, uint64_t n_sample)
{
    watch *w = user;
    if (n_done == 0)
        w->since = w->said = pp_seconds();
    else
        show(w, pp_progress_line("distill", n_done, n_sample, "continuations", w->since).text, n_done == n_sample);
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
             e->tokens_per_second, pp_duration(e->seconds_left).text);
    show(w, line, e->step == 1 || e->step == e->n_step);
    return pp_interrupted();
}

static int report(const pp_train_args *args, const char *file, const pippin_train_result *r)
{
    if (args->common.json)
        return pp_print_json(json_pack("{s:o, s:I, s:o, s:o, s:I, s:f, s:I}", "path", pp_json_text(file, strlen(file)),
                                       "steps", (json_int_t)r->n_step, "loss", pp_json_number(r->loss), "eval_loss",
                                       pp_json_number(r->eval_loss), "tokens", (json_int_t)r->n_tok, "seconds",
                                       r->seconds, "peak_rss_bytes", (json_int_t)pp_peak_rss()));
    if (r->n_step == 0) {
        pp_print("%s: written again; the run was over\n", file);
        return 0;
    }
    pp_print("%s: %s steps in %s, loss %.4f", file, pp_count((int64_t)r->n_step).text, pp_duration(r->seconds).text,
             r->loss);
    if (isfinite(r->eval_loss)) pp_print(", eval loss %.4f", r->eval_loss);
    pp_print(", %s tokens, %s at most\n", pp_count((int64_t)r->n_tok).text, pp_size(pp_peak_rss()).text);
    return 0;
}

/* ---- running ---- */

typedef enum job { TRAIN = 0, DISTILL, ADAPTER } job;

static const char *const commands[] = {"train", "distill", "adapter"};

static int check(const pp_train_args *args, job j)
{
    if (!args->data)
        return pp_error(PP_EXIT_USAGE, "--data: found none, expected a .jsonl, a .txt or a folder; see pippin help %s",
                        commands[j]);
    if (!args->output)
        return pp_error(PP_EXIT_USAGE, "--output: found none, expected the folder to write; pass -o DIR");
    if (args->precision && strcmp(args->precision, "f32") != 0)
        return pp_error(PP_EXIT_FAILURE, "--precision: found %s, expected f32; this version multiplies in no other",
                        args->precision);
    if (args->warmup_steps != 0 && args->warmup_epochs != 0)
        return pp_error(PP_EXIT_USAGE,
                        "--warmup-steps: found with --warmup-epochs, expected one of them; leave one out");
    if (j == DISTILL && !args->teacher)
        return pp_error(PP_EXIT_USAGE, "--teacher: found none, expected the model whose predictions are learned");
    return 0;
}

static bool is(const char *choice, const char *name) { return choice && strcmp(choice, name) == 0; }

static pippin_train_options options_of(const pp_train_args *a, job j, watch *w)
{
    const char *schedule = a->schedule ? a->schedule : j == DISTILL ? "constant" : "cosine";
    return (pippin_train_options){
        .data = a->data,
        .eval_data = a->eval_data,
        .output = a->output,
        .separator = a->separator,
        .max_length = (size_t)a->max_length,
        .pack = a->pack,
        .no_shuffle = is(a->shuffle, "none"),
        .seed = a->seed,
        .epochs = a->epochs,
        .max_steps = (uint64_t)a->max_steps,
        .batch_size = a->batch_size,
        .accumulation = a->accumulation,
        .optimizer = is(a->optimizer, "muon") ? PIPPIN_OPTIMIZER_MUON : PIPPIN_OPTIMIZER_ADAMW,
        .learning_rate = a->rate,
        .schedule = is(schedule, "constant") ? PIPPIN_SCHEDULE_CONSTANT : PIPPIN_SCHEDULE_COSINE,
        .warmup_epochs = a->warmup_epochs,
        .warmup_steps = (int64_t)a->warmup_steps,
        .weight_decay = a->weight_decay,
        .clip_grad_norm = a->clip,
        .dropout = a->dropout,
        .lora_dropout = a->lora_dropout,
        .activation_checkpointing = a->checkpointing,
        .qat = a->qat,
        .save_type = a->save_type,
        .continuations = a->continuations,
        .sampling = {.temperature = a->temperature, .seed = a->seed},
        .distill_loss = is(a->loss, "forward-kl") ? PIPPIN_DISTILL_FORWARD_KL : PIPPIN_DISTILL_REVERSE_KL,
        .eval_every = (uint64_t)a->eval_every,
        .checkpoint_every = (uint64_t)a->checkpoint_every,
        .resume = a->resume,
        .n_threads = a->common.n_threads,
        .rank = a->rank,
        .alpha = (float)a->alpha,
        .init = a->init,
        .on_event = on_event,
        .on_continued = on_continued,
        .user = w};
}

static int finish(const pp_train_args *args, const char *name, pippin_status status, const pippin_train_result *result,
                  const pippin_error *err)
{
    pp_progress_end();
    if (status != PIPPIN_OK) {
        if (status == PIPPIN_E_CANCELLED) return pp_error(PP_EXIT_INTERRUPTED, "%s; go on with --resume", err->text);
        return pp_failed(err);
    }
    char *file = pp_path_join(args->output, name);
    if (!file) return pp_no_memory();
    const int code = report(args, file, result);
    pp_free(file);
    return code;
}

/* The model to train: --model, or random weights. */
static int open_trained(const pp_train_args *args, const char *command, pippin_model **out)
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

static int open_teacher(const pp_train_args *args, pippin_model **out)
{
    pp_common common = args->common;
    common.model = args->teacher;
    return pp_load_model(&common, out);
}

static int run(const pp_train_args *args, job j)
{
    watch w = {0};
    pippin_model *model = NULL, *teacher = NULL;
    pippin_train_result result;
    pippin_error err;
    int code = check(args, j);
    if (!code) code = open_trained(args, commands[j], &model);
    if (!code && j == DISTILL) code = open_teacher(args, &teacher);
    if (!code) {
        const pippin_train_options options = options_of(args, j, &w);
        pp_interrupt_polled();
        const pippin_status status = j == DISTILL   ? pippin_distill(model, teacher, &options, &result, &err)
                                     : j == ADAPTER ? pippin_adapter_train(model, &options, &result, &err)
                                                    : pippin_train(model, &options, &result, &err);
        code = finish(args, j == ADAPTER ? "adapter.safetensors" : "model.safetensors", status, &result, &err);
    }
    pippin_model_free(teacher);
    pippin_model_free(model);
    return code;
}

static int run_train(const void *args) { return run(args, TRAIN); }
static int run_distill(const void *args) { return run(args, DISTILL); }

static int run_adapter(const void *raw)
{
    const pp_train_args *args = raw;
    const char *given = args->common.operands.n ? args->common.operands.items[0] : NULL;
    if (is(given, "train")) return run(args, ADAPTER);
    return pp_error(PP_EXIT_USAGE, "adapter: found %s%s%s, expected \"train\"; see pippin help adapter",
                    given ? "\"" : "", given ? given : "nothing", given ? "\"" : "");
}

#define LINES                                                                                                          \
    "A line of a .jsonl is a conversation ({\"messages\": [...]} or the list itself; the assistant's words are "       \
    "learned), {\"prompt\", \"completion\"}, {\"text\"}, or {\"tokens\": [...], \"loss_mask\": [...]}. All lines are " \
    "checked before training starts. Ctrl-C stops after the current step with a checkpoint; --resume goes on.\n\n"

static const pp_option_group train_groups[] = {
    {"Model", pp_options_model},       {NULL, pp_options_train_preset},   {NULL, pp_options_tokenizer},
    {"Data", pp_options_train_data},   {"Steps", pp_options_train_steps}, {NULL, pp_options_train_weights},
    {"Computing", pp_options_compute}, {"General", pp_options_general},   {0}};

const pp_command pp_command_train = {
    .name = "train",
    .summary = "Train all weights of a model.",
    .synopsis = "-m MODEL|--preset NAME --data FILE [options] -o DIR",
    .details = LINES "  pippin train -m stories --data tales.txt --epochs 3 -o tuned\n"
                     "  pippin train --preset tiny.json --tokenizer tokenizer.model --data corpus -o run",
    .groups = train_groups,
    .args_size = sizeof(pp_train_args),
    .run = run_train,
};

static const pp_option_group distill_groups[] = {{"Models", pp_options_model},     {NULL, pp_options_train_preset},
                                                 {NULL, pp_options_train_teacher}, {NULL, pp_options_tokenizer},
                                                 {"Data", pp_options_train_data},  {"Steps", pp_options_train_steps},
                                                 {NULL, pp_options_train_weights}, {"Computing", pp_options_compute},
                                                 {"General", pp_options_general},  {0}};

const pp_command pp_command_distill = {
    .name = "distill",
    .summary = "Train a draft model towards its teacher's predictions.",
    .synopsis = "-m DRAFT|--preset NAME --teacher MODEL --data FILE [options] -o DIR",
    .details = "The loss is the Kullback-Leibler divergence between draft and teacher at the data's targets, averaged "
               "over each sequence, then over the batch.\n\n" LINES
               "  pippin distill --preset afm-draft --teacher base --data replies.jsonl -o draft",
    .groups = distill_groups,
    .args_size = sizeof(pp_train_args),
    .run = run_distill,
};

static const pp_option_group adapter_groups[] = {
    {"Model", pp_options_model},           {NULL, pp_options_tokenizer},
    {"Adapter", pp_options_train_adapter}, {"Data", pp_options_train_data},
    {"Steps", pp_options_train_steps},     {"Computing", pp_options_compute},
    {"General", pp_options_general},       {0}};

static const pp_option verb = {.name = "verb",
                               .kind = PP_OPTION_CHOICE,
                               .argument = "VERB",
                               .choices = "train",
                               .help = "train: learn an adapter on frozen weights"};

const pp_command pp_command_adapter = {
    .name = "adapter",
    .summary = "Train a LoRA adapter on a model's frozen weights.",
    .synopsis = "train [-m MODEL] --data FILE [options] -o DIR",
    .details = LINES "  pippin adapter train -m base --data plays.jsonl --eval-data held-out.jsonl -o plays\n"
                     "  pippin generate -m base -a plays/adapter.safetensors -p \"Write a scene\"",
    .groups = adapter_groups,
    .args_size = sizeof(pp_train_args),
    .max_operands = 1,
    .operand = &verb,
    .run = run_adapter,
    .builtin = true,
};
