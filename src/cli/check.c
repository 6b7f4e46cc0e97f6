/* check.c - a few tokens through the whole forward pass: does it run, is all finite, how fast, how much memory. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/cli.h"

enum { N_TOK = 64 };

typedef struct check_args {
    pp_common common;
    const char *preset;
    pippin_type type;
    uint64_t seed;
} check_args;

#define AT(field) offsetof(check_args, field)

static const pp_option own_options[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "check random weights of this shape, or of the shape in a config.json"},
    {PP_OPT_WEIGHT_TYPE(AT(type)),
     .help = "type of random weights: f32, f16 or bf16 (default: f32 up to 500 million parameters, else bf16)"},
    {PP_OPT_SEED(AT(seed)), .help = "seed of the random weights and of the tokens (default: 0)"},
    {0}};

typedef struct statistics {
    int32_t n_vocab;
    size_t n_row, n, n_not_finite;
    double sum, squares, low, high;
    double seconds; /* that gathering these took, which is no part of the forward pass */
} statistics;

static int on_row(void *user, size_t i, const float *logits)
{
    statistics *s = user;
    const double start = pp_seconds();
    for (int32_t j = 0; j < s->n_vocab; j++) {
        const double x = (double)logits[j];
        if (!isfinite(x)) {
            s->n_not_finite++;
            continue;
        }
        s->low = s->n ? PP_MIN(s->low, x) : x;
        s->high = s->n ? PP_MAX(s->high, x) : x;
        s->sum += x;
        s->squares += x * x;
        s->n++;
    }
    s->n_row++;
    s->seconds += pp_seconds() - start;
    pp_progress("forward pass: %zu of %d tokens", i + 1, N_TOK);
    return pp_interrupted();
}

static double mean_of(const statistics *s) { return s->n ? s->sum / (double)s->n : (double)NAN; }

static double deviation_of(const statistics *s)
{
    const double mean = mean_of(s);
    return s->n ? sqrt(PP_MAX(0.0, s->squares / (double)s->n - mean * mean)) : (double)NAN;
}

/* What the report says beside the statistics. */
typedef struct outcome {
    const pp_loaded *loaded;
    double load_seconds, seconds;
    uint64_t n_planned;
} outcome;

static json_t *to_json(const check_args *args, const statistics *s, const outcome *o)
{
    const pippin_config *config = pippin_model_config(o->loaded->model);
    const double nan = (double)NAN;
    json_t *json = json_pack("{s:o, s:[i, I, i], s:b, s:o, s:o, s:o, s:o}", "name",
                             pp_json_text(config->name, strlen(config->name)), "shape", 1, (json_int_t)s->n_row,
                             s->n_vocab, "finite", s->n_not_finite == 0, "mean", pp_json_number(mean_of(s)), "std",
                             pp_json_number(deviation_of(s)), "min", pp_json_number(s->n ? s->low : nan), "max",
                             pp_json_number(s->n ? s->high : nan));
    json_t *rest = json_pack("{s:f, s:f, s:f, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "seconds", o->seconds,
                             "tokens_per_second", (double)s->n_row / o->seconds, "load_seconds", o->load_seconds,
                             "type", pippin_type_name(pippin_model_type(o->loaded->model)), "kv_type",
                             pippin_type_name(pippin_session_kv_type(o->loaded->session)), "cpu",
                             pippin_model_cpu(o->loaded->model), "threads",
                             (int)pippin_session_n_threads(o->loaded->session), "seed", (json_int_t)args->seed,
                             "planned_bytes", (json_int_t)o->n_planned, "peak_rss_bytes", (json_int_t)pp_peak_rss());
    if (json && rest) json_object_update(json, rest);
    json_decref(rest);
    return json;
}

static void print_text(const statistics *s, const outcome *o)
{
    const pippin_model *model = o->loaded->model;
    pp_print("%s at %s\n", pippin_model_config(model)->name, pippin_type_name(pippin_model_type(model)));
    pp_print("  output   [1, %zu, %d], ", s->n_row, (int)s->n_vocab);
    if (s->n_not_finite)
        pp_print("%zu values are NaN or infinite\n", s->n_not_finite);
    else
        pp_print("all finite\n");
    if (s->n)
        pp_print("  values   mean %.6g, std %.6g, range %.6g to %.6g\n", mean_of(s), deviation_of(s), s->low, s->high);
    pp_print("  time     %.3f s, %.1f tokens/s with %d threads (%s); loading %.2f s\n", o->seconds,
             (double)s->n_row / o->seconds, (int)pippin_session_n_threads(o->loaded->session), pippin_model_cpu(model),
             o->load_seconds);
    pp_print("  memory   %s at the peak, %s planned\n", pp_size(pp_peak_rss()).text, pp_size(o->n_planned).text);
}

static int forward(const check_args *args, outcome *o)
{
    const pippin_config *config = pippin_model_config(o->loaded->model);
    int32_t tokens[N_TOK];
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (int32_t)(pp_random_bits(args->seed, 0, (uint64_t)i) % (uint64_t)config->n_vocab);
    statistics s = {.n_vocab = config->n_vocab};
    const pippin_score score = {.tokens = tokens, .n_tok = N_TOK, .row = on_row, .user = &s};
    pippin_error err;
    const double start = pp_seconds();
    if (pippin_session_score(o->loaded->session, &score, &err) != PIPPIN_OK) return pp_failed(&err);
    o->seconds = pp_seconds() - start - s.seconds;
    int code = 0;
    if (args->common.json)
        code = pp_print_json(to_json(args, &s, o));
    else
        print_text(&s, o);
    if (!code && s.n_not_finite)
        code =
            pp_error(PP_EXIT_FAILURE,
                     "logits: %zu of %zu values are not finite, expected none; the weights or this build are damaged",
                     s.n_not_finite, s.n_not_finite + s.n);
    return code;
}

static int open_random(const check_args *args, pippin_model **out)
{
    pippin_config config;
    pippin_plan plan;
    pippin_error err;
    int code = pp_load_preset(args->preset, &config);
    if (code) return code;
    const pippin_type type = args->type ? args->type : pp_random_type(&config);
    pippin_plan_compute(&config, &(pippin_plan_options){.type = type, .n_ctx = N_TOK, .n_batch = N_TOK}, &plan);
    code = pp_check_random("check", &config, type, plan.total);
    if (code) return code;
    pp_progress("making %s weights of %s", pippin_type_name(type), config.name);
    const pippin_model_options options = {.cpu = args->common.cpu};
    return pippin_model_random(&config, type, args->seed, &options, out, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
}

static int run(const void *raw)
{
    const check_args *args = raw;
    if (args->preset && args->common.model)
        return pp_error(PP_EXIT_USAGE, "--preset: found together with --model, expected one of them; leave one out");
    if (!args->preset && args->type)
        return pp_error(PP_EXIT_USAGE,
                        "--type: found without --preset, expected the type of random weights; a model has its own");
    const double start = pp_seconds();
    pippin_model *model;
    pp_loaded loaded;
    int code = args->preset ? open_random(args, &model) : pp_load_model(&args->common, &model);
    if (!code) code = pp_load_session(&args->common, model, N_TOK, &loaded);
    if (code) return code;
    pippin_plan plan;
    const pippin_plan_options options = {.type = pippin_model_type(model),
                                         .kv_type = pippin_session_kv_type(loaded.session),
                                         .n_ctx = N_TOK,
                                         .n_batch = N_TOK};
    pippin_plan_compute(pippin_model_config(model), &options, &plan);
    outcome o = {.loaded = &loaded, .load_seconds = pp_seconds() - start, .n_planned = plan.total};
    code = forward(args, &o);
    pp_unload(&loaded);
    return code;
}

static const pp_option_group groups[] = {{"Options", own_options},
                                         {"Model", pp_options_model},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_check = {
    .name = "check",
    .summary = "Send 64 tokens through the forward pass: shape, finiteness, statistics, time and memory.",
    .synopsis = "--preset NAME | -m MODEL [options]",
    .details = "The tokens are pseudo-random and the same for the same seed. Exit code 1 when a value is not "
               "finite.\n\n"
               "  pippin check --preset afm-draft\n"
               "  pippin check -m base.gguf --cpu scalar -t 1",
    .groups = groups,
    .args_size = sizeof(check_args),
    .run = run,
};
