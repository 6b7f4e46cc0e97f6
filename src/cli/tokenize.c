/* tokenize.c - text to ids and back. */
#include <string.h>

#include "cli/cli.h"

typedef struct tokenize_args {
    pp_common common;
    bool ids, decode, bos, special;
} tokenize_args;

#define AT(field) offsetof(tokenize_args, field)

static const pp_option own_options[] = {
    {PP_OPT_FLAG("ids", AT(ids)), .help = "print the ids alone, on one line"},
    {PP_OPT_FLAG("decode", AT(decode)),
     .help = "turn ids from stdin, separated by commas or white space, into the exact bytes of their text"},
    {PP_OPT_FLAG("bos", AT(bos)), .help = "put the id first that a text begins with"},
    {PP_OPT_FLAG("special", AT(special)), .help = "find special pieces (</s>, <|im_start|>) in the text"},
    {0}};

/* The tokenizer of a model, or a bare one; `model` owns it in the first case, the caller in the second. */
typedef struct source {
    pippin_model *model;
    pippin_tokenizer *bare;
    const pippin_tokenizer *tokenizer;
} source;

static void close_source(source *s)
{
    pippin_tokenizer_free(s->bare);
    pippin_model_free(s->model);
}

static int open_bare(const char *path, source *out)
{
    pippin_error err;
    if (pippin_tokenizer_open(path, &out->bare, &err) != PIPPIN_OK) return pp_failed(&err);
    out->tokenizer = out->bare;
    return 0;
}

/* -m names a model with a tokenizer, or a tokenizer file that passes for no model. */
static int open_source(const pp_common *common, source *out)
{
    *out = (source){0};
    if (common->tokenizer) return open_bare(common->tokenizer, out);
    int code = pp_require_model(common);
    if (code) return code;
    char *path = pp_builtin_or(common->model, ".gguf");
    if (!path) return pp_no_memory();
    pippin_error model_err, err;
    pippin_status status = pippin_model_open(path, NULL, &out->model, &model_err);
    pp_free(path);
    if (status == PIPPIN_OK) {
        out->tokenizer = pippin_model_tokenizer(out->model);
        if (out->tokenizer) return 0;
        close_source(out);
        return pp_error(PP_EXIT_FAILURE, "%s: found no tokenizer beside the model, expected one; pass --tokenizer FILE",
                        common->model);
    }
    if (pp_path_is_dir(common->model) || !pp_path_exists(common->model)) return pp_failed(&model_err);
    if (pippin_tokenizer_open(common->model, &out->bare, &err) == PIPPIN_OK) {
        out->tokenizer = out->bare;
        return 0;
    }
    return pp_error(PP_EXIT_FAILURE, "%s: neither a model nor a tokenizer; as a model: %s; as a tokenizer: %s",
                    common->model, model_err.text, err.text);
}

/* A piece for people: in quotes, control characters and stray bytes as in C. */
static void print_piece(const char *piece, size_t n)
{
    pp_print("\"");
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)piece[i];
        if (c == '\n')
            pp_print("\\n");
        else if (c == '\t')
            pp_print("\\t");
        else if (c == '"' || c == '\\')
            pp_print("\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            pp_print("\\x%02x", c);
        else
            pp_write(piece + i, 1);
    }
    pp_print("\"");
}

static int print_json_ids(const pippin_tokenizer *tokenizer, const pp_ids *ids)
{
    json_t *pieces = json_array();
    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        const char *piece = pippin_tokenizer_piece(tokenizer, ids->items[i], &n);
        json_array_append_new(pieces, pp_json_text(piece, piece ? n : 0));
    }
    return pp_print_json(json_pack("{s:o, s:o}", "ids", pp_json_ids(ids->items, ids->n), "pieces", pieces));
}

static void print_ids(const pippin_tokenizer *tokenizer, const pp_ids *ids, bool bare)
{
    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        if (bare) {
            pp_print(i ? " %d" : "%d", (int)ids->items[i]);
            continue;
        }
        const char *piece = pippin_tokenizer_piece(tokenizer, ids->items[i], &n);
        pp_print("%7d  ", (int)ids->items[i]);
        print_piece(piece, piece ? n : 0);
        pp_print("\n");
    }
    if (bare) pp_print("\n");
}

static int encode(const tokenize_args *args, const pippin_tokenizer *tokenizer)
{
    pp_buffer text;
    pp_ids ids;
    int code = pp_read_all("-", &text);
    if (code) return code;
    const pippin_tokenize_options options = {.bos = args->bos, .special = args->special};
    code = pp_text_to_ids_as(tokenizer, text.bytes, text.n, &options, &ids);
    pp_free(text.bytes);
    if (code) return code;
    if (args->common.json)
        code = print_json_ids(tokenizer, &ids);
    else
        print_ids(tokenizer, &ids, args->ids);
    pp_free(ids.items);
    return code;
}

static int print_decoded(const pippin_tokenizer *tokenizer, const pp_ids *ids, bool json)
{
    pippin_error err;
    size_t n;
    if (pippin_detokenize(tokenizer, ids->items, ids->n, NULL, 0, &n, &err) != PIPPIN_OK) return pp_failed(&err);
    char *text = pp_alloc(n);
    if (!text) return pp_no_memory();
    int code = 0;
    if (pippin_detokenize(tokenizer, ids->items, ids->n, text, n, &n, &err) != PIPPIN_OK)
        code = pp_failed(&err);
    else if (json)
        code = pp_print_json(json_pack("{s:o}", "text", pp_json_text(text, n)));
    else
        pp_write(text, n);
    pp_free(text);
    return code;
}

static int decode(const tokenize_args *args, const pippin_tokenizer *tokenizer)
{
    pp_ids ids;
    int code = pp_read_ids("stdin", "-", &ids);
    if (code) return code;
    code = print_decoded(tokenizer, &ids, args->common.json);
    pp_free(ids.items);
    return code;
}

static int run(const void *raw)
{
    const tokenize_args *args = raw;
    source from;
    if (args->decode && (args->ids || args->bos || args->special))
        return pp_error(PP_EXIT_USAGE, "--decode: found with --%s, expected alone; leave one out",
                        args->ids   ? "ids"
                        : args->bos ? "bos"
                                    : "special");
    int code = open_source(&args->common, &from);
    if (code) return code;
    code = args->decode ? decode(args, from.tokenizer) : encode(args, from.tokenizer);
    close_source(&from);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},
                                         {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_tokenize = {
    .name = "tokenize",
    .summary = "Turn text into token ids, or ids into text.",
    .synopsis = "[--ids | --decode] [-m MODEL] < TEXT",
    .details = "All of stdin is one text, to its last byte: a final newline is part of it. Prints an id and its "
               "piece a line. -m also takes a bare tokenizer file (tokenizer.json, a "
               "SentencePiece .model, a vocabulary in a .gguf, llama2.c's tok*.bin). Text yields no special ids "
               "without --special.\n\n"
               "  printf 'Once upon a time' | pippin tokenize -m tok512.bin --ids\n"
               "  echo 403 407 261 378 | pippin tokenize -m tok512.bin --decode",
    .groups = groups,
    .args_size = sizeof(tokenize_args),
    .run = run,
    .builtin = true,
};
