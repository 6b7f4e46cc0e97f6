/* logits.c - what a model predicts after every token of a text, into a .npy file. */
#include <math.h>
#include <string.h>

#include "cli/cli.h"

typedef struct logits_args {
    pp_common common;
    const char *tokens, *positions, *output;
    pp_optional_id segments;
    bool padding, reference;
} logits_args;

#define AT(field) offsetof(logits_args, field)

static const pp_option own_options[] = {
    {PP_OPT_TEXT("tokens", "IDS", AT(tokens)),
     .help = "the text as token ids, separated by commas or white space; @FILE reads them from a file, - from stdin"},
    {PP_OPT_OUTPUT("FILE.npy", AT(output), "npy"),
     .help = "the file to write: float32 [tokens, vocabulary], a row a token"},
    {.name = "segments",
     .kind = PP_OPTION_ID,
     .argument = "ID",
     .target = AT(segments),
     .help = "several texts in one: a new segment starts at each token ID, and tokens see their own segment only "
             "(default: one segment)"},
    {PP_OPT_CHOICE("positions", "HOW", AT(positions), "reset|continue"),
     .help = "where positions count from: reset, 0 in each segment; continue, the whole text (default: reset)"},
    {PP_OPT_FLAG("padding", AT(padding)),
     .help = "tokens with the padding id (0) are padding that no token sees; AFM models only"},
    {PP_OPT_FLAG("reference", AT(reference)),
     .help = "compute with the plain f32 network instead of the kernels; slow"},
    {0}};

typedef struct scoring {
    const pp_ids *tokens;
    int32_t *segments, *positions; /* NULL: the library's default */
    const pippin_session *session;
    int32_t n_vocab;
    double nll, nll_within, since;
    size_t n_predicted, n_within; /* tokens after the first, padding apart; of them those that continue their segment */
} scoring;

static int on_row(void *user, size_t i, const float *logits)
{
    scoring *s = user;
    const size_t n = s->tokens->n, next = i + 1;
    pp_progress_of("logits", next, n, "tokens", s->since);
    if (next < n && (!s->segments || (s->segments[i] >= 0 && s->segments[next] >= 0))) {
        const double nll = pippin_session_log_sum(s->session, logits) - (double)logits[s->tokens->items[next]];
        const bool within = !s->segments || s->segments[next] == s->segments[i];
        s->nll += nll;
        s->nll_within += within ? nll : 0;
        s->n_predicted++;
        s->n_within += within;
    }
    return pp_interrupted();
}

/* The segment of a token is how often the separator came up to and including it; padding is in none. */
static int lay_out(const logits_args *args, const pippin_config *config, scoring *s)
{
    const size_t n = s->tokens->n;
    const int32_t pad = args->padding ? PP_MAX(config->pad_id, 0) : -1;
    if (args->segments.given || args->padding) {
        s->segments = pp_alloc_zero(n, sizeof *s->segments);
        if (!s->segments) return pp_no_memory();
    }
    if (args->positions && strcmp(args->positions, "continue") == 0) {
        s->positions = pp_alloc_zero(n, sizeof *s->positions);
        if (!s->positions) return pp_no_memory();
    }
    int32_t segment = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = s->tokens->items[i];
        segment += args->segments.given && id == args->segments.id;
        if (s->segments) s->segments[i] = id == pad ? -1 : segment;
        if (s->positions) s->positions[i] = (int32_t)i;
    }
    return 0;
}

static double mean_of(double sum, size_t n) { return n ? sum / (double)n : (double)NAN; }

static int report(const logits_args *args, const pp_loaded *loaded, const scoring *s, double seconds)
{
    const double mean = mean_of(s->nll, s->n_predicted), within = mean_of(s->nll_within, s->n_within);
    if (args->common.json)
        return pp_print_json(json_pack(
            "{s:[I, i], s:o, s:I, s:o, s:I, s:f, s:f, s:b, s:s, s:i, s:o}", "shape", (json_int_t)s->tokens->n,
            s->n_vocab, "mean_nll", pp_json_number(mean), "predicted", (json_int_t)s->n_predicted,
            "mean_nll_within_segments", pp_json_number(within), "predicted_within_segments", (json_int_t)s->n_within,
            "seconds", seconds, "load_seconds", loaded->seconds, "reference", (int)args->reference, "kv_type",
            pippin_type_name(pippin_session_kv_type(loaded->session)), "threads",
            (int)pippin_session_n_threads(loaded->session), "path", pp_json_text(args->output, strlen(args->output))));
    pp_print("%s: float32 [%zu, %d], %.2f s", args->output, s->tokens->n, (int)s->n_vocab, seconds);
    if (s->n_predicted) pp_print(", mean nll of %zu predicted tokens %.6f", s->n_predicted, mean);
    if (s->n_within != s->n_predicted) pp_print(" (of the %zu within a segment %.6f)", s->n_within, within);
    pp_print("\n");
    return 0;
}

static int score(const logits_args *args, pp_loaded *loaded, const pp_ids *tokens)
{
    const pippin_config *config = pippin_model_config(loaded->model);
    scoring s = {.tokens = tokens, .session = loaded->session, .n_vocab = config->n_vocab, .since = pp_seconds()};
    int code = 0;
    if (args->padding && config->arch != PIPPIN_ARCH_AFM)
        code = pp_error(PP_EXIT_USAGE, "--padding: found with a model of another family, expected AFM; leave it out");
    if (!code) code = lay_out(args, config, &s);
    if (!code) {
        pippin_error err;
        const pippin_score request = {.tokens = tokens->items,
                                      .segments = s.segments,
                                      .positions = s.positions,
                                      .n_tok = tokens->n,
                                      .reference = args->reference,
                                      .row = on_row,
                                      .user = &s};
        const double start = pp_seconds();
        if (pippin_session_score_npy(loaded->session, &request, args->output, &err) != PIPPIN_OK)
            code = pp_failed(&err);
        else
            code = report(args, loaded, &s, pp_seconds() - start);
    }
    pp_free(s.segments);
    pp_free(s.positions);
    return code;
}

static int check_arguments(const logits_args *args)
{
    if (!args->tokens)
        return pp_error(PP_EXIT_USAGE, "--tokens: found none, expected ids such as 1,2,3; see pippin help logits");
    if (!args->output || strcmp(args->output, "-") == 0)
        return pp_error(PP_EXIT_USAGE, "--output: found %s, expected the path of a .npy file; pass -o FILE.npy",
                        args->output ? "stdout" : "none");
    return pp_require_model(&args->common);
}

static int run(const void *raw)
{
    const logits_args *args = raw;
    pp_ids tokens;
    pp_loaded loaded;
    int code = check_arguments(args);
    if (!code) code = pp_read_ids("--tokens", args->tokens, &tokens);
    if (code) return code;
    const int32_t n_ctx = (int32_t)PP_MIN(tokens.n, (size_t)INT32_MAX);
    code = tokens.n ? 0 : pp_error(PP_EXIT_USAGE, "--tokens: found no ids, expected at least one, such as 1,2,3");
    if (!code) code = pp_load(&args->common, n_ctx, &loaded);
    if (!code) {
        code = score(args, &loaded, &tokens);
        pp_unload(&loaded);
    }
    pp_free(tokens.items);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},
                                         {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},
                                         {NULL, pp_options_session},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_logits = {
    .name = "logits",
    .summary = "Write what a model predicts after every token of a text.",
    .synopsis = "[-m MODEL] --tokens IDS [options] -o FILE.npy",
    .details = "The context is as large as the text unless --ctx says otherwise. Also prints the mean negative "
               "log-likelihood of every token after the first, and of those that continue a segment where there are "
               "several.\n\n"
               "  pippin logits -m base.gguf --tokens 1,403,407 -o logits.npy\n"
               "  pippin logits -m base.gguf --tokens @ids.txt --reference -o reference.npy",
    .groups = groups,
    .args_size = sizeof(logits_args),
    .run = run,
    .builtin = true,
};
