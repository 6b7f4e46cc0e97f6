/* init.c - a model with random weights, as a folder or one GGUF file. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"

typedef struct init_args {
    pp_common common;
    const char *preset, *output, *tokenizer;
    pippin_type type;
    uint64_t seed;
    bool force;
} init_args;

#define AT(field) offsetof(init_args, field)

static const pp_option own_options[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "shape of the model, or the path of a config.json"},
    {PP_OPT_OUTPUT("OUT", AT(output), "gguf|/"),
     .help = "a .gguf file, or a folder for config.json and model.safetensors, which is created if absent"},
    {PP_OPT_MADE_TYPE(AT(type)),
     .help = "type of the weights (default: f32 up to 500 million parameters, else bf16); q2 means a q4 embedding; all "
             "but f32, f16 and bf16 need a .gguf"},
    {PP_OPT_TEXT("tokenizer", "FILE", AT(tokenizer)), .files = PP_TOKENIZER_FILES,
     .help = "tokenizer.json, SentencePiece .model, .gguf or tok*.bin to go with the weights"},
    {PP_OPT_SEED(AT(seed)), .help = "same seed, same weights, bit for bit (default: 0)"},
    {PP_OPT_FLAG("force", AT(force)), .help = "overwrite a model that is there already"},
    {0}};

static int check_arguments(const init_args *args)
{
    if (!args->preset)
        return pp_error(PP_EXIT_USAGE,
                        "--preset: found none, expected a preset's name or a config.json; see pippin help init");
    if (!args->output)
        return pp_error(PP_EXIT_USAGE, "--output: found none, expected the folder to write; pass -o DIR");
    const bool plain = !args->type || args->type == PIPPIN_F32 || args->type == PIPPIN_F16 || args->type == PIPPIN_BF16;
    if (!plain && !pp_path_ends(args->output, ".gguf"))
        return pp_error(PP_EXIT_FAILURE, "%s: %s is stored in GGUF only; pass -o NAME.gguf", args->output,
                        pippin_type_name(args->type));
    return 0;
}

static int refuse_existing(const char *path)
{
    if (!pp_path_exists(path)) return 0;
    return pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", path);
}

/* A model took long to make or to download; overwriting it is to be asked for. */
static int check_overwrite(const char *output)
{
    static const char *const names[] = {"model.safetensors", "config.json"};
    if (pp_path_ends(output, ".gguf")) return refuse_existing(output);
    int code = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !code; i++) {
        char *path = pp_path_join(output, names[i]);
        code = path ? refuse_existing(path) : pp_no_memory();
        pp_free(path);
    }
    return code;
}

static int report(const init_args *args, const pippin_config *config, pippin_type type, uint64_t n_bytes,
                  double seconds)
{
    pippin_ledger ledger;
    pippin_ledger_compute(config, &ledger);
    if (args->common.json)
        return pp_print_json(json_pack(
            "{s:o, s:o, s:I, s:s, s:I, s:I, s:f}", "name", pp_json_text(config->name, strlen(config->name)), "path",
            pp_json_text(args->output, strlen(args->output)), "parameters", (json_int_t)ledger.frozen, "type",
            pippin_type_name(type), "seed", (json_int_t)args->seed, "bytes", (json_int_t)n_bytes, "seconds", seconds));
    pp_print("%s: %s, %s parameters, %s, seed %" PRIu64 ", %s in %.1f s\n", args->output, config->name,
             pp_count(ledger.frozen).text, pippin_type_name(type), args->seed, pp_size(n_bytes).text, seconds);
    return 0;
}

static int make(const init_args *args, const pippin_config *config, pippin_type type)
{
    pp_writing w = {args->output, pp_seconds()};
    pippin_model *model;
    pippin_error err;
    pp_progress("making %s weights of %s", pippin_type_name(type), config->name);
    if (pippin_model_random(config, type, args->seed, &(pippin_model_options){.tokenizer = args->tokenizer}, &model,
                            &err) != PIPPIN_OK)
        return pp_failed(&err);
    uint64_t n_bytes = 0;
    pippin_tensor_info tensor;
    for (size_t i = 0; pippin_model_tensor(model, i, &tensor); i++) n_bytes += tensor.bytes;
    pp_interrupt_polled();
    pippin_status status;
    if (pp_path_ends(args->output, ".gguf")) {
        status = pippin_model_save_gguf(model, &(pippin_save_options){.progress = pp_writing_progress, .user = &w},
                                        args->output, &err);
    } else {
        pp_progress("writing %s", args->output);
        status = pippin_model_save(model, args->output, &err);
    }
    pp_progress_end();
    pippin_model_free(model);
    return status == PIPPIN_OK ? report(args, config, type, n_bytes, pp_seconds() - w.since) : pp_failed(&err);
}

static int run(const void *raw)
{
    const init_args *args = raw;
    pippin_config config;
    int code = check_arguments(args);
    if (!code) code = pp_load_preset(args->preset, &config);
    if (!code && !args->force) code = check_overwrite(args->output);
    if (code) return code;
    const pippin_type type = args->type ? args->type : pp_random_type(&config);
    pippin_plan plan;
    pippin_plan_compute(&config, &(pippin_plan_options){.type = type}, &plan);
    code = pp_check_random("init", &config, type, plan.weights);
    return code ? code : make(args, &config, type);
}

static const pp_option_group groups[] = {{"Options", own_options}, {"General", pp_options_general}, {0}};

const pp_command pp_command_init = {
    .name = "init",
    .summary = "Make a model with random weights, for benchmarks and for training from scratch.",
    .synopsis = "--preset NAME|CONFIG.json [options] -o DIR",
    .details = "Norms are 1, and no adapter is made.\n\n"
               "  pippin init --preset afm-draft --type bf16 -o draft\n"
               "  pippin init --preset tiny.json --seed 7 -o tiny",
    .groups = groups,
    .args_size = sizeof(init_args),
    .run = run,
};
