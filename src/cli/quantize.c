/* quantize.c - a model in fewer bits: by its weights alone, or so that what it makes of a text changes least. */
#include <string.h>

#include "cli/cli.h"

typedef struct quantize_args {
    pp_common common;
    pippin_type type, embedding_type;
    pp_texts tensor_types;
    const char *calibrate;
    int32_t n_calibrate;
    bool force;
} quantize_args;

#define AT(field) offsetof(quantize_args, field)

enum { DEFAULT_TOKENS = 8192, FEW_TOKENS = 2048, LEAST_TOKENS = 64 };

static const pp_option own_options[] = {
    {PP_OPT_WEIGHT_TYPE(AT(type)), .help = "type of the matrices: q2, q4, q8, bf16, f16 or f32; required"},
    {PP_OPT_TYPE("embedding-type", AT(embedding_type), "f32|f16|bf16|q8|q4|q2"),
     .help = "type of embedding and head (default: q4 with q2, else that of --type)"},
    {PP_OPT_TEXTS("tensor-type", "PATTERN=TYPE", AT(tensor_types)),
     .help = "type of the matrices whose names in OUT match, '*' standing for any characters and '?' for one: "
             "blk.*.ffn_down.weight=q4; may be repeated, the first that matches holds"},
    {PP_OPT_TEXT("calibrate", "TEXT", AT(calibrate)), .files = "",
     .help =
         "a text like those that the model is for, - for stdin: weights are rounded so that what the model makes of "
         "it changes least"},
    {PP_OPT_INT("calibrate-tokens", "N", AT(n_calibrate), LEAST_TOKENS, 1 << 20),
     .help = "how much of TEXT is read (default: 8192 tokens)"},
    {PP_OPT_FLAG("force", AT(force)), .help = "overwrite a file that is there already"},
    {0}};

static int check_arguments(const quantize_args *args)
{
    const pp_texts *files = &args->common.operands;
    if (files->n != 2)
        return pp_error(PP_EXIT_USAGE, "quantize: found %zu files, expected two: the model and the .gguf to write",
                        files->n);
    const char *output = files->items[1];
    if (!pp_path_ends(output, ".gguf"))
        return pp_error(PP_EXIT_USAGE, "%s: not the name of a GGUF file, expected one that ends in .gguf", output);
    if (!args->type)
        return pp_error(PP_EXIT_USAGE, "--type: found none, expected q2, q4, q8 or bf16; pass --type q4 for example");
    if (args->n_calibrate && !args->calibrate)
        return pp_error(PP_EXIT_USAGE, "--calibrate-tokens: found %d without --calibrate, expected a text with it",
                        (int)args->n_calibrate);
    if (!args->force && pp_path_exists(output))
        return pp_error(PP_EXIT_FAILURE, "%s: exists already; use --force to overwrite it", output);
    return 0;
}

/* ---- PATTERN=TYPE ---- */

typedef struct tensor_types {
    pippin_tensor_type items[PP_MAX_TEXTS];
    char *patterns[PP_MAX_TEXTS];
} tensor_types;

static int read_tensor_types(const pp_texts *texts, tensor_types *out)
{
    *out = (tensor_types){0};
    for (size_t i = 0; i < texts->n; i++) {
        const char *equals = strrchr(texts->items[i], '=');
        const pippin_type type = equals ? pippin_type_from_name(equals + 1) : PIPPIN_TYPE_AUTO;
        if (!type || equals == texts->items[i])
            return pp_error(PP_EXIT_USAGE,
                            "--tensor-type: found \"%s\", expected PATTERN=TYPE with one of f32, f16, bf16, q8, q4, "
                            "q2, such as blk.*.ffn_down.weight=q4",
                            texts->items[i]);
        out->patterns[i] = pp_strndup(texts->items[i], (size_t)(equals - texts->items[i]));
        if (!out->patterns[i]) return pp_no_memory();
        out->items[i] = (pippin_tensor_type){out->patterns[i], type};
    }
    return 0;
}

/* ---- the text ---- */

static int check_text(const char *path, const pp_buffer *text)
{
    size_t first = 0;
    while (first < text->n && (text->bytes[first] == ' ' || (text->bytes[first] >= '\t' && text->bytes[first] <= '\r')))
        first++;
    if (first == text->n)
        return pp_error(PP_EXIT_FAILURE, "%s: holds no text, expected some pages of what the model is for", path);
    const char *zero = memchr(text->bytes, 0, text->n);
    if (zero)
        return pp_error(PP_EXIT_FAILURE, "%s: byte %zu is 0, expected plain text; name a .txt file", path,
                        (size_t)(zero - text->bytes));
    return 0;
}

/* As many tokens as are wanted; texts are much longer than that at times, so a part is read that surely holds them. */
static int read_text(const quantize_args *args, const pippin_model *model, pp_ids *out)
{
    enum { MOST_BYTES = 64 }; /* of a token, where a text is cut before it is read */
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(model);
    const size_t wanted = args->n_calibrate ? (size_t)args->n_calibrate : DEFAULT_TOKENS;
    const char *path = strcmp(args->calibrate, "-") == 0 ? "stdin" : args->calibrate;
    pp_buffer text = {0};
    if (!tokenizer)
        return pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to read text; pass --tokenizer FILE",
                        args->common.model);
    int code = pp_read_all(args->calibrate, &text);
    if (!code) code = check_text(path, &text);
    if (!code)
        code = pp_text_to_ids(tokenizer, text.bytes, PP_MIN(text.n, wanted * MOST_BYTES),
                              pippin_tokenizer_bos(tokenizer) >= 0, out);
    pp_free(text.bytes);
    if (code) return code;
    if (out->n < LEAST_TOKENS)
        return pp_error(PP_EXIT_FAILURE, "%s: %zu tokens, expected at least %d and better %d; name a longer text", path,
                        out->n, LEAST_TOKENS, DEFAULT_TOKENS);
    if (out->n < PP_MIN(wanted, (size_t)FEW_TOKENS))
        fprintf(stderr, "pippin: %s: %zu tokens are few to calibrate by, %d and more serve better\n", path, out->n,
                DEFAULT_TOKENS);
    out->n = PP_MIN(out->n, wanted);
    return 0;
}

/* ---- the work ---- */

static int report(const quantize_args *args, const pippin_model *model, size_t n_tok, double seconds)
{
    const char *output = args->common.operands.items[1];
    pippin_model *made = NULL;
    pippin_error err;
    uint64_t bytes = 0;
    pippin_tensor_info t;
    if (pippin_model_open(output, &(pippin_model_options){.cpu = args->common.cpu}, &made, &err) != PIPPIN_OK)
        return pp_failed(&err);
    for (size_t i = 0; pippin_model_tensor(made, i, &t); i++) bytes += t.bytes;
    const bool scales = pippin_model_has_kv_scales(made) && !pippin_model_has_kv_scales(model);
    pippin_model_free(made);
    if (args->common.json)
        return pp_print_json(json_pack("{s:o, s:s, s:I, s:I, s:b, s:f}", "path", pp_json_text(output, strlen(output)),
                                       "type", pippin_type_name(args->type), "bytes", (json_int_t)bytes,
                                       "calibration_tokens", (json_int_t)n_tok, "kv_scales", (int)scales, "seconds",
                                       seconds));
    pp_print("%s: %s, %s of weights", output, pippin_type_name(args->type), pp_size(bytes).text);
    if (n_tok) pp_print(", calibrated by %s tokens", pp_count((int64_t)n_tok).text);
    pp_print("%s, in %.1f s\n", scales ? ", with K/V scales" : "", seconds);
    return 0;
}

static int quantize(const quantize_args *args, const tensor_types *types, const pippin_model *model)
{
    const double start = pp_seconds();
    const char *output = args->common.operands.items[1];
    pp_writing w = {output, start};
    pp_ids ids = {0};
    pippin_error err;
    int code = args->calibrate ? read_text(args, model, &ids) : 0;
    const pippin_save_options options = {.type = args->type,
                                         .embedding_type = args->embedding_type,
                                         .tensor_types = types->items,
                                         .n_tensor_type = args->tensor_types.n,
                                         .calibrate = ids.items,
                                         .n_calibrate = ids.n,
                                         .n_threads = args->common.n_threads,
                                         .progress = pp_writing_progress,
                                         .user = &w};
    pp_interrupt_polled();
    if (!code && pippin_model_save_gguf(model, &options, output, &err) != PIPPIN_OK) code = pp_failed(&err);
    pp_progress_end();
    if (!code && pippin_model_adapter(model))
        fprintf(stderr, "pippin: the adapter inside %s was not written; pippin convert writes it beside its output\n",
                args->common.model);
    if (!code) code = report(args, model, ids.n, pp_seconds() - start);
    pp_free(ids.items);
    return code;
}

static int run(const void *raw)
{
    quantize_args args = *(const quantize_args *)raw;
    tensor_types types = {0};
    pippin_model *model = NULL;
    int code = check_arguments(&args);
    if (!code) code = read_tensor_types(&args.tensor_types, &types);
    args.common.model = code ? NULL : args.common.operands.items[0];
    if (!code) code = pp_load_model(&args.common, &model);
    if (!code) code = quantize(&args, &types, model);
    pippin_model_free(model);
    for (size_t i = 0; i < PP_MAX_TEXTS; i++) pp_free(types.patterns[i]);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},
                                         {"Model", pp_options_tokenizer},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_quantize = {
    .name = "quantize",
    .summary = "Write a model in fewer bits, with a text to calibrate by where there is one.",
    .synopsis = "IN OUT.gguf --type q2|q4|q8|bf16 [--calibrate TEXT] [options]",
    .details =
        "IN is a model of any kind that opens, best in f32 or bf16. A matrix that has the wanted type already is "
        "copied "
        "as it is. An AFM model without static K/V scales gets those that fit TEXT.\n\n"
        "Eight bits cost next to nothing and four little; two bits after training cost much, and a model that is meant "
        "for them is trained in them (pippin train --qat q2).\n\n"
        "  pippin quantize model model-q4.gguf --type q4 --calibrate text.txt\n"
        "  pippin quantize base.gguf mixed.gguf --type q2 --tensor-type 'blk.*.ffn_down.weight=q4'",
    .groups = groups,
    .args_size = sizeof(quantize_args),
    .max_operands = 2,
    .operand = pp_options_model,
    .run = run,
};
