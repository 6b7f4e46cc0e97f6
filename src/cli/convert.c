/* convert.c - a model of any kind that opens, as one GGUF file. */
#include <string.h>

#include "cli/cli.h"

typedef struct convert_args {
    pp_common common;
    const char *output;
    pippin_type type;
    bool merge, force;
} convert_args;

#define AT(field) offsetof(convert_args, field)

static const pp_option own_options[] = {
    {PP_OPT_OUTPUT("OUT.gguf", AT(output), "gguf"), .help = "the file to write"},
    {PP_OPT_WEIGHT_TYPE(AT(type)),
     .help = "type of the matrices: f32, f16, bf16, q8, q4 or q2 (default: as they are); q2 is for the layers, "
             "embedding and head "
             "are then q4"},
    {PP_OPT_FLAG("merge", AT(merge)),
     .help = "make an adapter part of the matrices: the one inside SRC, or those of --adapter"},
    {PP_OPT_TEXTS("adapter", "FILE[=S]", AT(common.adapters)), .letter = 'a',
     .help = "with --merge: the LoRA adapter to merge, its effect multiplied by S (default 1); may be repeated"},
    {PP_OPT_FLAG("force", AT(force)), .help = "overwrite a file that is there already"},
    {0}};

static int check_arguments(const convert_args *args)
{
    if (!args->output)
        return pp_error(PP_EXIT_USAGE, "--output: found none, expected the file to write; pass -o OUT.gguf");
    if (!pp_path_ends(args->output, ".gguf"))
        return pp_error(PP_EXIT_USAGE, "%s: not the name of a GGUF file, expected one that ends in .gguf",
                        args->output);
    if (args->common.adapters.n && !args->merge)
        return pp_error(PP_EXIT_USAGE,
                        "--adapter: found %s, expected --merge with it; or attach it when the model runs",
                        args->common.adapters.items[0]);
    if (!args->force && pp_path_exists(args->output))
        return pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", args->output);
    return 0;
}

/* An adapter that came inside the checkpoint goes into a file of its own beside the output; *path is to be freed. */
static int save_adapter(const convert_args *args, const pippin_model *model, char **path)
{
    const pippin_adapter *adapter = pippin_model_adapter(model);
    *path = NULL;
    if (!adapter || args->merge) return 0;
    pippin_error err;
    *path = pp_path_stem(args->output, ".adapter.safetensors");
    if (!*path) return pp_no_memory();
    if (!args->force && pp_path_exists(*path))
        return pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", *path);
    return pippin_adapter_save(adapter, model, PIPPIN_TYPE_AUTO, *path, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
}

/* What --merge means: the adapters that were named, else the one inside. */
static int find_merged(const convert_args *args, pippin_model *model, pp_adapters *out)
{
    *out = (pp_adapters){0};
    if (!args->merge) return 0;
    int code = pp_adapters_open(&args->common.adapters, model, out);
    if (code || out->n) return code;
    const pippin_adapter *inside = args->common.adapters.n ? NULL : pippin_model_adapter(model);
    if (!inside)
        return pp_error(PP_EXIT_FAILURE, "%s: has no adapter inside, expected one to merge; name it with -a FILE",
                        args->common.model);
    out->uses[0] = (pippin_adapter_use){inside, 1};
    return 0;
}

static int report(const convert_args *args, const pippin_model *model, const char *adapter, double seconds)
{
    const pippin_type type = args->type ? args->type : pippin_model_type(model);
    if (args->common.json)
        return pp_print_json(json_pack("{s:o, s:s, s:f, s:b, s:o}", "path",
                                       pp_json_text(args->output, strlen(args->output)), "type", pippin_type_name(type),
                                       "seconds", seconds, "merged", (int)args->merge, "adapter",
                                       adapter ? pp_json_text(adapter, strlen(adapter)) : json_null()));
    if (adapter)
        fprintf(stderr, "pippin: the adapter inside the checkpoint was written to %s; attach it with -a\n", adapter);
    pp_print("%s: %s%s in %.1f s\n", args->output, pippin_type_name(type), args->merge ? ", adapter merged" : "",
             seconds);
    return 0;
}

static int convert(const convert_args *args, pippin_model *model)
{
    const double start = pp_seconds();
    pippin_error err;
    pp_adapters merged;
    char *adapter = NULL;
    int code = find_merged(args, model, &merged);
    pp_writing w = {args->output, start};
    const pippin_save_options options = {.type = args->type,
                                         .merge = merged.uses,
                                         .n_merge = args->merge ? PP_MAX(merged.n, (size_t)1) : 0,
                                         .n_threads = args->common.n_threads,
                                         .progress = pp_writing_progress,
                                         .user = &w};
    pp_interrupt_polled();
    if (!code) code = save_adapter(args, model, &adapter); /* first: where it is refused, nothing has been written */
    if (!code && pippin_model_save_gguf(model, &options, args->output, &err) != PIPPIN_OK) code = pp_failed(&err);
    pp_progress_end();
    if (!code) code = report(args, model, adapter, pp_seconds() - start);
    pp_free(adapter);
    pp_adapters_close(&merged);
    return code;
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

static const pp_option_group groups[] = {{"Options", own_options},        {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},    {"Computing", pp_options_compute},
                                         {"General", pp_options_general}, {0}};

const pp_command pp_command_convert = {
    .name = "convert",
    .summary = "Write a model of any kind that opens as one GGUF file.",
    .synopsis = "SRC -o OUT.gguf [options]",
    .details =
        "SRC is a folder with config.json and model.safetensors, a toolkit .pt, a llama2.c .bin, or another GGUF. "
        "The tokenizer goes into the file: the one inside SRC or beside it, or that of --tokenizer.\n\n"
        "An adapter inside SRC is written beside OUT.gguf as OUT.adapter.safetensors, or merged with --merge.\n\n"
        "  pippin convert base-model.pt --type bf16 -o base.gguf\n"
        "  pippin convert base-model.pt --merge -a adapter.safetensors=0.5 -o mine.gguf",
    .groups = groups,
    .args_size = sizeof(convert_args),
    .max_operands = 1,
    .operand = pp_options_model,
    .run = run,
};
