/*
 * bench.c - how fast a model runs here, and how much of the machine that is: prompts, single tokens, and several tokens checked at
 * once. What memory and multipliers give at best is measured in turns with it, since both move on a machine that is shared.
 */
#include <math.h>
#include <string.h>

#include "cli/bench_run.h"
#include "cli/talk.h"

#define AT(field) offsetof(pp_bench_args, field)

static const pp_option own_options[] = {
    {PP_OPT_INT("prompt", "N", AT(n_prompt), 1, 1 << 20), .letter = 'p', .help = "tokens of a prompt (default: 512)"},
    {PP_OPT_INT("generate", "N", AT(n_generate), 1, 1 << 20), .letter = 'n',
     .help = "tokens that are computed one by one (default: 128)"},
    {PP_OPT_TEXT("verify", "K,K,...", AT(verify)),
     .help = "tokens that one pass checks at once, as guesses are, 1 to 16 each (default: 2,4,8)"},
    {PP_OPT_TEXT("depth", "N,N,...", AT(depth)),
     .help =
         "generate also after so many tokens, 1 to 1,048,576 each, with random keys and values that are not computed"},
    {PP_OPT_TEXT("batch", "N,N,...", AT(batch)), .letter = 'b',
     .help = "generate also for so many texts at once, 1 to 16 each, a token of each a pass"},
    {PP_OPT_TEXT("draft", "MODEL", AT(draft)), .letter = 'd', .files = PP_MODEL_FILES,
     .help = "measure generation with guesses of this smaller model, against generation without, and nothing else"},
    {PP_OPT_TEXT("draft-tokens", "K,K,...", AT(draft_tokens)),
     .help = "guesses to check at once, 1 to 8 each; as many as pay are measured too (default: all of them)"},
    {PP_OPT_DRAFT_VOCAB(AT(draft_vocab))},
    {PP_OPT_AMOUNT("acceptance", "A", AT(acceptance), 1),
     .help =
         "with --draft, take each guess for right with this probability, whatever the model says: for random weights"},
    {PP_OPT_INT("rounds", "N", AT(n_round), 1, 100), .letter = 'r',
     .help = "times that everything is measured (default: 3)"},
    {PP_OPT_PRESET(AT(preset)), .help = "in place of --model: random weights of this shape, or of a config.json's"},
    {PP_OPT_MADE_TYPE(AT(type)),
     .help = "type of the random weights (default: f32 up to 500 million parameters, else bf16)"},
    {PP_OPT_FLAG("markdown", AT(markdown)), .help = "print the table as markdown"},
    {0}};

enum { MAX_CTX = 1 << 20 };

/* ---- preparing ---- */

/* Stored bytes of what one token multiplies: all matrices, an embedding only where it is the head too. */
static double bytes_per_token(const pippin_model *model)
{
    double bytes = 0;
    pippin_tensor_info tensor;
    for (size_t i = 0; pippin_model_tensor(model, i, &tensor); i++)
        if (tensor.n_dim == 2 && (pippin_model_config(model)->tied_head || !strstr(tensor.name, "emb")))
            bytes += (double)tensor.bytes;
    return bytes;
}

/* Bytes of K and V that a token after n others reads: those of every layer, also where it is another layer's. */
static double kv_bytes(const pp_bench *b, double n)
{
    const pippin_config *c = pippin_model_config(b->loaded.model);
    const pippin_type type = pippin_session_kv_type(b->loaded.session);
    const double value = type == PIPPIN_I8 ? 1 : type == PIPPIN_BF16 ? 2 : 4;
    const double scale = type == PIPPIN_I8 && !pippin_model_has_kv_scales(b->loaded.model) ? 4 : 0;
    return 2 * n * c->n_layer * c->n_kv_head * (c->d_head * value + scale);
}

static pp_bench_test *add_test(pp_bench *b, pp_bench_test t, const char *kind)
{
    pp_bench_test *to = &b->tests[b->n_test++];
    *to = t;
    if (t.depth)
        snprintf(to->name, sizeof to->name, "%s%d@%d", kind, (int)t.n, (int)t.depth);
    else
        snprintf(to->name, sizeof to->name, "%s%d", kind, (int)t.n);
    return to;
}

/* The numbers of an option, at most n and from 1 to high each. */
static int read_numbers(const char *flag, const char *text, size_t n, int32_t high, pp_ids *out)
{
    int code = text ? pp_parse_ids(flag, text, strlen(text), out) : 0;
    bool good = out->n <= n;
    for (size_t i = 0; i < out->n; i++) good = good && out->items[i] >= 1 && out->items[i] <= high;
    if (code || good) return code;
    return pp_error(PP_EXIT_USAGE, "%s: found \"%s\", expected up to %zu numbers from 1 to %d", flag, text, n,
                    (int)high);
}

static void add_tests(pp_bench *b)
{
    const pp_bench_args *a = b->args;
    const double bytes = bytes_per_token(b->loaded.model), half = 0.5 * a->n_generate;
    pippin_ledger ledger;
    pippin_ledger_compute(pippin_model_config(b->loaded.model), &ledger);
    add_test(b, (pp_bench_test){.n = a->n_prompt, .macs = (double)ledger.linear_weights_full}, "pp");
    add_test(b, (pp_bench_test){.n = a->n_generate, .bytes = bytes + kv_bytes(b, PP_BENCH_SHORT + half)}, "tg");
    for (size_t i = 0; i < b->depths.n; i++) {
        const int32_t depth = b->depths.items[i];
        add_test(b, (pp_bench_test){.n = a->n_generate, .depth = depth, .bytes = bytes + kv_bytes(b, depth + half)},
                 "tg");
    }
    for (size_t i = 0; i < b->sizes.n; i++) add_test(b, (pp_bench_test){.n = b->sizes.items[i]}, "verify");
    for (size_t i = 0; i < b->batches.n; i++) add_test(b, (pp_bench_test){.n = b->batches.items[i]}, "batch");
}

/* Tokens that the context must hold. */
static int32_t tokens_needed(const pp_bench *b)
{
    int32_t most = PP_MAX(b->args->n_prompt, PP_BENCH_SHORT + b->args->n_generate);
    for (size_t i = 0; i < b->depths.n; i++) most = PP_MAX(most, b->depths.items[i] + b->args->n_generate);
    return most;
}

static int open_model(pp_bench *b)
{
    const pp_bench_args *a = b->args;
    pippin_model *model;
    pippin_config config;
    pippin_error err;
    const double start = pp_seconds();
    int code;
    if (!a->preset) {
        code = pp_load_model(&a->common, &model);
    } else if (a->common.model) {
        code = pp_error(PP_EXIT_USAGE, "--preset: found %s and --model %s, expected one of them; leave one out",
                        a->preset, a->common.model);
    } else {
        code = pp_load_preset(a->preset, &config);
        if (code) return code;
        const pippin_type type = a->type ? a->type : pp_random_type(&config);
        pippin_plan plan;
        pippin_plan_compute(&config, &(pippin_plan_options){.type = type}, &plan);
        code = pp_check_random("bench", &config, type, plan.weights);
        pp_progress("making %s weights of %s", pippin_type_name(type), config.name);
        if (!code && pippin_model_random(&config, type, 0, &(pippin_model_options){.cpu = a->common.cpu}, &model,
                                         &err) != PIPPIN_OK)
            code = pp_failed(&err);
    }
    if (code) return code;
    /* No more context than is measured: a session's memory is part of what is reported. */
    code =
        pp_load_session(&a->common, model,
                        PP_MAX(tokens_needed(b), PP_BENCH_SHORT + PP_BENCH_PIECE * (PP_BENCH_PIECE + 1)), &b->loaded);
    b->loaded.seconds = pp_seconds() - start;
    return code;
}

static int prepare_guesses(pp_bench *b)
{
    pp_ids numbers = {0};
    int code = read_numbers("--draft-tokens", b->args->draft_tokens, PP_GUESS_ROWS - 2, 8, &numbers);
    if (!code) code = pp_load_draft(&b->args->common, b->args->draft, b->args->draft_vocab, &b->loaded);
    b->guess.prompt = b->tokens;
    b->guess.n_prompt = PP_BENCH_SHORT;
    b->guess.n_generate = (size_t)b->args->n_generate;
    b->guess.acceptance = b->args->acceptance;
    if (!code) pp_guess_bench_init(&b->guess, &b->loaded, &numbers);
    pp_free(numbers.items);
    return code;
}

/* Options that would have no effect. */
static int check_options(const pp_bench_args *a)
{
    const char *given = a->draft_tokens      ? "--draft-tokens"
                        : a->draft_vocab     ? "--draft-vocab"
                        : a->acceptance != 0 ? "--acceptance"
                                             : NULL;
    if (a->draft || !given) return 0;
    return pp_error(PP_EXIT_USAGE, "%s: found without --draft, expected both; name the model that guesses", given);
}

static int prepare(pp_bench *b)
{
    int code = check_options(b->args);
    if (!code) code = read_numbers("--verify", b->args->verify, PP_BENCH_MAX_VERIFY, PP_BENCH_PIECE, &b->sizes);
    if (!code) code = read_numbers("--depth", b->args->depth, PP_BENCH_MAX_DEPTH, MAX_CTX, &b->depths);
    if (!code) code = read_numbers("--batch", b->args->batch, PP_BENCH_MAX_BATCH, PP_BATCH_TEXTS, &b->batches);
    const int32_t needed = tokens_needed(b);
    if (!code && needed > MAX_CTX)
        code =
            pp_error(PP_EXIT_USAGE, "--depth: with the tokens that are generated it comes to %d, expected at most %d",
                     (int)needed, MAX_CTX);
    if (!code) code = open_model(b);
    if (code) return code;
    b->n_ctx = pippin_session_n_ctx(b->loaded.session);
    if (b->n_ctx < needed)
        return pp_error(PP_EXIT_FAILURE, "--ctx: %d tokens, expected at least the %d that are to be measured",
                        (int)b->n_ctx, (int)needed);
    b->tokens = pp_alloc_zero((size_t)b->n_ctx, sizeof *b->tokens);
    if (!b->tokens) return pp_no_memory();
    if (b->args->draft) return prepare_guesses(b);
    add_tests(b);
    int32_t texts = 0;
    for (size_t i = 0; i < b->batches.n; i++) texts = PP_MAX(texts, b->batches.items[i]);
    return texts ? pp_batch_bench_init(&b->texts, b->loaded.model, b->loaded.session, (size_t)texts) : 0;
}

/* ---- results ---- */

static json_t *test_json(const pp_bench_test *t)
{
    return json_pack("{s:s, s:{s:o, s:o, s:o}, s:o, s:o, s:o, s:o}", "test", t->name, "tokens_per_second", "min",
                     pp_json_number(pp_series_quantile(&t->rate, 0)), "median",
                     pp_json_number(pp_series_median(&t->rate)), "max", pp_json_number(pp_series_quantile(&t->rate, 1)),
                     "bytes_per_token", t->bytes > 0 ? json_integer((json_int_t)t->bytes) : json_null(),
                     "bandwidth_share", pp_json_number(pp_series_median(&t->bandwidth)), "peak_share",
                     pp_json_number(pp_series_median(&t->peak)), "time_ratio",
                     pp_json_number(pp_series_median(&t->ratio)));
}

static int report_json(const pp_bench *b, uint64_t peak_rss)
{
    const pippin_model *model = b->loaded.model;
    const char *name = pippin_model_config(model)->name;
    json_t *results = json_array();
    for (size_t i = 0; i < b->n_test; i++) json_array_append_new(results, test_json(&b->tests[i]));
    pp_guess_bench_json(&b->guess, results);
    return pp_print_json(json_pack("{s:s, s:i, s:o, s:o, s:o, s:s, s:o, s:f, s:I}", "cpu", pippin_model_cpu(model),
                                   "threads", (int)pippin_session_n_threads(b->loaded.session), "bandwidth_gb_s",
                                   pp_json_number(1e-9 * pp_series_median(&b->read)), "int8_peak_gmac_s",
                                   pp_json_number(1e-9 * pp_series_median(&b->multiply)), "model",
                                   pp_json_text(name, strlen(name)), "type", pippin_type_name(pippin_model_type(model)),
                                   "results", results, "load_ms", 1e3 * b->loaded.seconds, "peak_rss_bytes",
                                   (json_int_t)peak_rss));
}

static void share_cell(pp_table *table, const pp_series *s, const char *format, double factor)
{
    if (s->n)
        pp_cell(table, format, factor * pp_series_median(s));
    else
        pp_cell(table, "%s", "");
}

static int report_text(const pp_bench *b, uint64_t peak_rss)
{
    const pippin_model *model = b->loaded.model;
    pp_print("%s, %s, %s, %d threads; loaded in %.2f s, %s at the peak\n", pippin_model_config(model)->name,
             pippin_type_name(pippin_model_type(model)), pippin_model_cpu(model),
             (int)pippin_session_n_threads(b->loaded.session), b->loaded.seconds, pp_size(peak_rss).text);
    pp_print("this machine reads %.1f GB/s (%.1f to %.1f) and multiplies int8 at %.0f GMAC/s (%.0f to %.0f)\n\n",
             1e-9 * pp_series_median(&b->read), 1e-9 * pp_series_quantile(&b->read, 0),
             1e-9 * pp_series_quantile(&b->read, 1), 1e-9 * pp_series_median(&b->multiply),
             1e-9 * pp_series_quantile(&b->multiply, 0), 1e-9 * pp_series_quantile(&b->multiply, 1));
    if (b->guess.n_row) return pp_guess_bench_print(&b->guess, b->args->markdown);
    pp_table table = pp_table_of(NULL, "lrrrrrr");
    static const char *const heads[] = {"test", "tokens/s", "from", "to", "bandwidth", "int8 peak", "time of one"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) pp_cell(&table, "%s", heads[i]);
    for (size_t i = 0; i < b->n_test; i++) {
        const pp_bench_test *t = &b->tests[i];
        pp_cell(&table, "%s", t->name);
        pp_cell(&table, "%.1f", pp_series_median(&t->rate));
        pp_cell(&table, "%.1f", pp_series_quantile(&t->rate, 0));
        pp_cell(&table, "%.1f", pp_series_quantile(&t->rate, 1));
        share_cell(&table, &t->bandwidth, "%.0f %%", 100);
        share_cell(&table, &t->peak, "%.0f %%", 100);
        share_cell(&table, &t->ratio, "%.2f", 1);
    }
    return pp_table_print(&table, b->args->markdown);
}

static int run(const void *raw)
{
    pp_bench_args args = *(const pp_bench_args *)raw;
    if (!args.n_prompt) args.n_prompt = 512;
    if (!args.n_generate) args.n_generate = 128;
    if (!args.n_round) args.n_round = 3;
    if (!args.verify) args.verify = "2,4,8";
    const char *path;
    int code = pp_model_path(&args.common, &path);
    args.common.model = path || args.preset ? path : pp_builtin_default();
    if (code) return code;
    pp_bench *b = pp_alloc_zero(1, sizeof *b);
    if (!b) return pp_no_memory();
    b->args = &args;
    code = prepare(b);
    uint64_t peak_rss;
    if (!code) code = pp_bench_warm_up(b, &peak_rss);
    for (int32_t round = 0; round < args.n_round && !code; round++) code = pp_bench_round(b, round);
    pp_progress_end();
    if (!code) code = args.common.json ? report_json(b, peak_rss) : report_text(b, peak_rss);
    pippin_probe_free(b->probe);
    pp_batch_bench_free(&b->texts);
    if (b->loaded.model) pp_unload(&b->loaded);
    pp_free(b->tokens);
    pp_free(b->sizes.items);
    pp_free(b->depths.items);
    pp_free(b->batches.items);
    pp_free(b);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},        {"Model", pp_options_model},
                                         {NULL, pp_options_session},      {"Computing", pp_options_compute},
                                         {"General", pp_options_general}, {0}};

const pp_command pp_command_bench = {
    .name = "bench",
    .summary = "Measure prompts, generation and verification, and the share of this machine that they use.",
    .synopsis = "[-m MODEL|--preset NAME] [options]",
    .details =
        "Tokens are random. Between measurements a plain read of memory and a loop of multiplications show what the "
        "machine gives at that moment; shares are medians of what was measured side by side. Let nothing else run.\n\n"
        "  pippin bench -m base.gguf\n"
        "  pippin bench --preset afm-base --type q2 -p 512 -n 128 --markdown\n"
        "  pippin bench -m base.gguf -n 32 --depth 4096,32768 --batch 4,16\n"
        "  pippin bench -m base.gguf -d draft.gguf --acceptance 0.7 -n 256",
    .groups = groups,
    .args_size = sizeof(pp_bench_args),
    .max_operands = 1,
    .operand = pp_options_model,
    .run = run,
};
