/* init.c - a model with random weights, as a folder. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"

typedef struct init_args {
    pp_common common;
    const char *preset, *output;
    pippin_type type;
    uint64_t seed;
    bool force;
} init_args;

#define AT(field) offsetof(init_args, field)

static const pp_option own_options[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "shape of the model, or the path of a config.json"},
    {PP_OPT_OUTPUT("DIR", AT(output), "/"),
     .help = "folder to write config.json and model.safetensors into; created if absent"},
    {PP_OPT_WEIGHT_TYPE(AT(type)),
     .help = "type of the weights: f32, f16 or bf16 (default: f32 up to 500 million parameters, else bf16)"},
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
    if (pp_path_ends(args->output, ".gguf"))
        return pp_error(PP_EXIT_FAILURE, "%s: GGUF is not written by this version yet; pass a folder", args->output);
    return 0;
}

/* A model took long to make or to download; overwriting it is to be asked for. */
static int check_overwrite(const char *dir)
{
    static const char *const names[] = {"model.safetensors", "config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = pp_path_join(dir, names[i]);
        if (!path) return pp_no_memory();
        int code = 0;
        if (pp_path_exists(path))
            code = pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", path);
        pp_free(path);
        if (code) return code;
    }
    return 0;
}

static int make(const init_args *args, const pippin_config *config, pippin_type type)
{
    const double start = pp_seconds();
    pippin_model *model;
    pippin_error err;
    pp_progress("making %s weights of %s", pippin_type_name(type), config->name);
    if (pippin_model_random(config, type, args->seed, NULL, &model, &err) != PIPPIN_OK) return pp_failed(&err);
    pp_progress("writing %s", args->output);
    pippin_status status = pippin_model_save(model, args->output, &err);
    uint64_t n_bytes = 0;
    pippin_tensor_info tensor;
    for (size_t i = 0; pippin_model_tensor(model, i, &tensor); i++) n_bytes += tensor.bytes;
    pippin_model_free(model);
    if (status != PIPPIN_OK) return pp_failed(&err);

    pippin_ledger ledger;
    pippin_ledger_compute(config, &ledger);
    const double seconds = pp_seconds() - start;
    if (args->common.json)
        return pp_print_json(json_pack(
            "{s:o, s:o, s:I, s:s, s:I, s:I, s:f}", "name", pp_json_text(config->name, strlen(config->name)), "path",
            pp_json_text(args->output, strlen(args->output)), "parameters", (json_int_t)ledger.frozen, "type",
            pippin_type_name(type), "seed", (json_int_t)args->seed, "bytes", (json_int_t)n_bytes, "seconds", seconds));
    pp_print("%s: %s, %s parameters, %s, seed %" PRIu64 ", %s in %.1f s\n", args->output, config->name,
             pp_count(ledger.frozen).text, pippin_type_name(type), args->seed, pp_size(n_bytes).text, seconds);
    return 0;
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
