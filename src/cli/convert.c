/* convert.c - a model of any kind that opens, as one GGUF file. */
#include <string.h>

#include "cli/cli.h"

typedef struct convert_args {
    pp_common common;
    const char *output;
    pippin_type type;
    bool force;
} convert_args;

#define AT(field) offsetof(convert_args, field)

static const pp_option own_options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = PP_OPTION_TEXT,
     .argument = "OUT.gguf",
     .target = AT(output),
     .help = "the file to write"},
    {.name = "type",
     .kind = PP_OPTION_TYPE,
     .argument = "TYPE",
     .target = AT(type),
     .choices = "f32|f16|bf16",
     .help = "type of the matrices: f32, f16 or bf16 (default: as they are)"},
    {.name = "force", .kind = PP_OPTION_FLAG, .target = AT(force), .help = "overwrite a file that is there already"},
    {0}};

static int check_arguments(const convert_args *args)
{
    if (!args->output)
        return pp_error(PP_EXIT_USAGE, "--output: found none, expected the file to write; pass -o OUT.gguf");
    if (!pp_path_ends(args->output, ".gguf"))
        return pp_error(PP_EXIT_USAGE, "%s: not the name of a GGUF file, expected one that ends in .gguf",
                        args->output);
    if (!args->force && pp_path_exists(args->output))
        return pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", args->output);
    return 0;
}

/* An adapter that came inside the checkpoint goes into a file of its own beside the output. */
static int save_adapter(const convert_args *args, const pippin_model *model)
{
    const pippin_adapter *adapter = pippin_model_adapter(model);
    if (!adapter) return 0;
    pippin_error err;
    char *path = pp_path_stem(args->output, ".adapter.safetensors");
    if (!path) return pp_no_memory();
    const pippin_status status = pippin_adapter_save(adapter, model, path, &err);
    if (status == PIPPIN_OK)
        fprintf(stderr, "pippin: the adapter inside the checkpoint was written to %s; attach it with -a\n", path);
    pp_free(path);
    return status == PIPPIN_OK ? 0 : pp_failed(&err);
}

static int convert(const convert_args *args, const pippin_model *model)
{
    const double start = pp_seconds();
    pippin_error err;
    pp_progress("writing %s", args->output);
    if (pippin_model_save_gguf(model, args->type, args->output, &err) != PIPPIN_OK) return pp_failed(&err);
    int code = save_adapter(args, model);
    pp_progress_end();
    if (code) return code;
    const pippin_type type = args->type ? args->type : pippin_model_type(model);
    const double seconds = pp_seconds() - start;
    if (args->common.json)
        return pp_print_json(json_pack("{s:o, s:s, s:f}", "path", pp_json_text(args->output, strlen(args->output)),
                                       "type", pippin_type_name(type), "seconds", seconds));
    pp_print("%s: %s in %.1f s\n", args->output, pippin_type_name(type), seconds);
    return 0;
}

static int run(const void *raw)
{
    convert_args args = *(const convert_args *)raw;
    const char *path;
    pippin_model *model = NULL;
    int code = pp_model_path(&args.common, &path);
    args.common.model = path;
    if (!code) code = check_arguments(&args);
    if (!code) code = pp_load_model(&args.common, &model);
    if (!code) code = convert(&args, model);
    pippin_model_free(model);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},
                                         {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_convert = {
    .name = "convert",
    .summary = "Write a model of any kind that opens as one GGUF file.",
    .synopsis = "SRC -o OUT.gguf [options]",
    .details =
        "SRC is a folder with config.json and model.safetensors, a toolkit .pt, a llama2.c .bin, or another GGUF. "
        "The tokenizer goes into the file: the one inside SRC or beside it, or that of --tokenizer.\n\n"
        "  pippin convert base-model.pt --type bf16 -o base.gguf",
    .groups = groups,
    .args_size = sizeof(convert_args),
    .max_operands = 1,
    .run = run,
};
