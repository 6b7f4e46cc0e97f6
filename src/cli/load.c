/* load.c - from the options that commands share to models, adapters and sessions. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int pp_load_preset(const char *name, pippin_config *out)
{
    pippin_error err;
    if (strchr(name, '/') || pp_path_ends(name, ".json"))
        return pippin_config_load(name, out, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
    if (pippin_config_preset(name, out, &err) == PIPPIN_OK) return 0;
    const char *names[PP_MAX_TEXTS];
    size_t n = 0;
    for (; n < PP_MAX_TEXTS && pippin_preset_name(n); n++) names[n] = pippin_preset_name(n);
    const char *nearest = pp_nearest(name, names, n);
    return pp_error(
        PP_EXIT_USAGE,
        "--preset: found \"%s\", expected a preset%s%s%s or the path of a config.json; see pippin help inspect", name,
        nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
}

int pp_model_path(const pp_common *common, const char **path)
{
    const char *operand = common->operands.n ? common->operands.items[0] : NULL;
    *path = operand ? operand : common->model;
    if (!operand || !common->model) return 0;
    return pp_error(PP_EXIT_USAGE, "MODEL: found %s and --model %s, expected one of them; leave one out", operand,
                    common->model);
}

int pp_require_model(const pp_common *common)
{
    if (common->model) return 0;
    return pp_error(PP_EXIT_USAGE,
                    "--model: none given, and the built-in one, %s.gguf, is neither in ../models nor in "
                    "../share/pippin seen from this program's folder; pass -m MODEL",
                    pp_builtin_model);
}

/* A file, or one of the built-in models. */
static int open_model(const char *name, const pippin_model_options *options, pippin_model **out)
{
    pippin_error err;
    char *path = pp_builtin_or(name, ".gguf");
    if (!path) return pp_no_memory();
    const pippin_status status = pippin_model_open(path, options, out, &err);
    pp_free(path);
    return status == PIPPIN_OK ? 0 : pp_failed(&err);
}

int pp_load_model(const pp_common *common, pippin_model **out)
{
    const pippin_model_options options = {.tokenizer = common->tokenizer, .cpu = common->cpu};
    *out = NULL;
    int code = pp_require_model(common);
    return code ? code : open_model(common->model, &options, out);
}

/* ---- adapters ---- */

/* "FILE" or "FILE=S": only a number after the last '=' is a scale, so that a name may hold one. */
static char *split_adapter(const char *text, double *scale)
{
    const char *equals = strrchr(text, '=');
    *scale = 1;
    if (equals && equals != text && pp_parse_real(equals + 1, scale)) return pp_strndup(text, (size_t)(equals - text));
    *scale = 1;
    return pp_strdup(text);
}

static int open_adapter(pippin_model *model, const char *text, pippin_adapter **adapter, pippin_adapter_use *use)
{
    double scale;
    char *name = split_adapter(text, &scale);
    char *path = name ? pp_builtin_or(name, ".safetensors") : NULL;
    pp_free(name);
    if (!path) return pp_no_memory();
    pippin_error err;
    pippin_status status = pippin_adapter_open(path, model, adapter, &err);
    pp_free(path);
    if (status != PIPPIN_OK) return pp_failed(&err);
    *use = (pippin_adapter_use){*adapter, (float)scale};
    return 0;
}

int pp_adapters_open(const pp_texts *texts, pippin_model *model, pp_adapters *out)
{
    *out = (pp_adapters){0};
    for (size_t i = 0; i < texts->n; i++) {
        if (strcmp(texts->items[i], "none") == 0) continue;
        int code = open_adapter(model, texts->items[i], &out->items[out->n], &out->uses[out->n]);
        if (code) return code;
        out->n++;
    }
    return 0;
}

void pp_adapters_close(pp_adapters *adapters)
{
    for (size_t i = 0; i < adapters->n; i++) pippin_adapter_free(adapters->items[i]);
    *adapters = (pp_adapters){0};
}

static int attach_adapters(const pp_adapters *a, pippin_session *session)
{
    pippin_error err;
    return pippin_session_set_adapters(session, a->uses, a->n, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
}

/* ---- sessions ---- */

/* The kinds whose factor grows with the text are known by name, to say why they are not to be had. */
static int choose_rope(const pp_common *common, pippin_session_options *options)
{
    const char *name = common->rope_scaling;
    options->rope_factor = common->rope_factor;
    if (common->rope_factor != 0 && (!name || strcmp(name, "none") == 0))
        return pp_error(PP_EXIT_USAGE,
                        "--rope-factor: found %g without a scaling, expected --rope-scaling linear, ntk "
                        "or yarn with it; name one, or leave the factor out",
                        common->rope_factor);
    if (!name) return 0;
    if (strcmp(name, "dynamic") == 0 || strcmp(name, "longrope") == 0)
        return pp_error(PP_EXIT_USAGE,
                        "--rope-scaling: found \"%s\", whose factor depends on the text, expected one of "
                        "none|linear|ntk|yarn: keys are cached after their rotation, so a session's "
                        "factor is fixed; choose --ctx for the longest text",
                        name);
    if (pippin_rope_scaling_from_name(name, &options->rope_scaling) &&
        options->rope_scaling != PIPPIN_ROPE_SCALING_AUTO)
        return 0;
    return pp_error(PP_EXIT_USAGE, "--rope-scaling: found \"%s\", expected one of none|linear|ntk|yarn", name);
}

int pp_load_session(const pp_common *common, pippin_model *model, int32_t n_ctx, pp_loaded *out)
{
    const double start = pp_seconds();
    *out = (pp_loaded){.model = model, .n_together = 1};
    pippin_session_options options = {.n_ctx = common->n_ctx ? common->n_ctx : n_ctx,
                                      .n_threads = common->n_threads,
                                      .kv_type = common->kv_type,
                                      .no_embedded_adapter = common->adapters.n > 0};
    pippin_error err;
    int code = choose_rope(common, &options);
    if (!code && pippin_session_create(model, &options, &out->session, &err) != PIPPIN_OK) code = pp_failed(&err);
    if (!code && common->adapters.n) code = pp_adapters_open(&common->adapters, model, &out->adapters);
    if (!code && common->adapters.n) code = attach_adapters(&out->adapters, out->session);
    if (code)
        pp_unload(out);
    else
        pp_interrupt_cancels(out->together[0] = out->session);
    out->seconds = pp_seconds() - start;
    return code;
}

int pp_load(const pp_common *common, int32_t n_ctx, pp_loaded *out)
{
    const double start = pp_seconds();
    pippin_model *model;
    *out = (pp_loaded){0};
    int code = pp_load_model(common, &model);
    if (!code) code = pp_load_session(common, model, n_ctx, out);
    out->seconds = pp_seconds() - start;
    return code;
}

static int load_beside(const pp_common *common, pp_loaded *loaded)
{
    pippin_session **session = &loaded->together[loaded->n_together];
    const pippin_session_options options = {.n_ctx = pippin_session_n_ctx(loaded->session),
                                            .kv_type = pippin_session_kv_type(loaded->session),
                                            .no_embedded_adapter = common->adapters.n > 0,
                                            .with = loaded->session};
    pippin_error err;
    if (pippin_session_create(loaded->model, &options, session, &err) != PIPPIN_OK) return pp_failed(&err);
    loaded->n_together++;
    pp_interrupt_cancels_too(*session);
    return common->adapters.n ? attach_adapters(&loaded->adapters, *session) : 0;
}

int pp_load_together(const pp_common *common, size_t n, pp_loaded *loaded)
{
    int code = 0;
    n = PP_MIN(n, (size_t)pippin_session_n_logits(loaded->session));
    while (!code && loaded->n_together < n) code = load_beside(common, loaded);
    return code;
}

int pp_load_draft(const pp_common *common, const char *path, int32_t n_shortlist, pp_loaded *loaded)
{
    const double start = pp_seconds();
    pippin_model *model = NULL;
    pippin_session_options options = {
        .n_ctx = pippin_session_n_ctx(loaded->session), .n_threads = common->n_threads, .n_shortlist = n_shortlist};
    pippin_error err;
    int code = choose_rope(common, &options);
    if (!code) code = open_model(path, &(pippin_model_options){.cpu = common->cpu, .type = PIPPIN_Q8}, &model);
    if (!code && pippin_session_create(model, &options, &loaded->draft, &err) != PIPPIN_OK) code = pp_failed(&err);
    pippin_model_free(model); /* the session keeps it */
    loaded->seconds += pp_seconds() - start;
    return code;
}

void pp_unload(pp_loaded *loaded)
{
    pp_interrupt_cancels(NULL);
    for (size_t i = 1; i < loaded->n_together; i++) pippin_session_free(loaded->together[i]);
    pippin_session_free(loaded->draft);
    pippin_session_free(loaded->session);
    pp_adapters_close(&loaded->adapters);
    pippin_model_free(loaded->model);
    *loaded = (pp_loaded){0};
}

/* ---- what inspect and plan talk about ---- */

int pp_subject_open(const char *preset, const char *path, pp_subject *out)
{
    pippin_error err;
    int code = 0;
    *out = (pp_subject){0};
    if (preset && path)
        return pp_error(PP_EXIT_USAGE, "--preset: found \"%s\" and the model %s, expected one of them; leave one out",
                        preset, path);
    if (preset || (path && pp_path_ends(path, ".json") && !pp_path_ends(path, ".index.json"))) {
        code = preset                                                      ? pp_load_preset(preset, &out->config)
               : pippin_config_load(path, &out->config, &err) == PIPPIN_OK ? 0
                                                                           : pp_failed(&err);
    } else {
        code = pp_load_model(&(pp_common){.model = path}, &out->model);
        if (code) return code;
        out->config = *pippin_model_config(out->model);
        out->type = pippin_model_type(out->model);
        /* As a session chooses: exact where the model says how to round, else no worse than its weights. */
        out->kv_type = pippin_model_has_kv_scales(out->model) ? PIPPIN_I8
                       : out->type == PIPPIN_F32              ? PIPPIN_F32
                                                              : PIPPIN_BF16;
    }
    if (!code) pippin_ledger_compute(&out->config, &out->ledger);
    return code;
}

void pp_subject_close(pp_subject *subject)
{
    pippin_model_free(subject->model);
    *subject = (pp_subject){0};
}

/* ---- random weights ---- */

pippin_type pp_random_type(const pippin_config *config)
{
    pippin_ledger ledger;
    pippin_ledger_compute(config, &ledger);
    return ledger.frozen <= 500000000 ? PIPPIN_F32 : PIPPIN_BF16;
}

/* Bytes that this machine, or the container around the program, can still give; UINT64_MAX where nobody says. */
static uint64_t memory_available(void)
{
    char line[128];
    uint64_t bytes = UINT64_MAX;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "MemAvailable:", 13) == 0) bytes = strtoull(line + 13, NULL, 10) * 1024;
    if (file) fclose(file);
    file = fopen("/sys/fs/cgroup/memory.max", "r");
    if (file && fgets(line, sizeof line, file) && line[0] >= '0' && line[0] <= '9')
        bytes = PP_MIN(bytes, strtoull(line, NULL, 10));
    if (file) fclose(file);
    return bytes;
}

int pp_check_random(const char *command, const pippin_config *config, pippin_type type, uint64_t n_bytes)
{
    const uint64_t available = memory_available();
    if (n_bytes <= available) return 0;
    return pp_error(PP_EXIT_FAILURE, "%s: %s at %s needs %s of memory, %s are available; %s", command,
                    *config->name ? config->name : "the model", pippin_type_name(type), pp_size(n_bytes).text,
                    pp_size(available).text,
                    type == PIPPIN_F32 ? "use --type bf16, or close other programs" : "close other programs");
}
