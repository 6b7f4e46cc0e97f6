/* inspect.c - what a model is: architecture, parameter ledger, memory, arithmetic; alone, or models side by side. */
#include <inttypes.h>
#include <string.h>

#include "cli/inspect.h"

typedef struct inspect_args {
    pp_common common;
    const char *preset, *compare;
    bool tensors, markdown;
} inspect_args;

#define AT(field) offsetof(inspect_args, field)

static const pp_option own_options[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "a shape without weights, or the path of a config.json"},
    {PP_OPT_FLAG("tensors", AT(tensors)), .help = "list the stored tensors of MODEL: name, type, shape, bytes"},
    {PP_OPT_TEXT("compare", "P1,P2,..", AT(compare)), .files = PP_MODEL_FILES,
     .offers = PP_OFFER_PRESETS | PP_OFFER_LIST, .help = "put several presets or models side by side"},
    {PP_OPT_FLAG("markdown", AT(markdown)), .help = "print tables in markdown"},
    {0}};

/* ---- JSON ---- */

static json_t *layers_json(const pippin_ledger *ledger)
{
    json_t *layers = json_array();
    for (int32_t i = 0; i < ledger->n_group; i++) {
        const pippin_ledger_group *g = &ledger->groups[i];
        json_array_append_new(layers,
                              json_pack("{s:i, s:i, s:I, s:I}", "segment", g->segment, "count", g->count, "parameters",
                                        (json_int_t)g->parameters, "trainable", (json_int_t)g->trainable));
    }
    return layers;
}

json_t *pp_inspect_json(const pp_subject *s)
{
    const pippin_config *c = &s->config;
    const pippin_ledger *l = &s->ledger;
    const pippin_plan plan = pp_inspect_plan(s, s->type);
    json_t *parameters = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "total", (json_int_t)l->total, "frozen",
                                   (json_int_t)l->frozen, "trainable", (json_int_t)l->trainable, "embedding",
                                   (json_int_t)l->embedding, "attention", (json_int_t)l->attention, "feed_forward",
                                   (json_int_t)l->feed_forward, "norm", (json_int_t)l->norm, "layers", layers_json(l));
    if (l->head) json_object_set_new(parameters, "head", json_integer(l->head));
    json_t *lora =
        json_pack("{s:i, s:f, s:i, s:i, s:i}", "rank", c->lora_rank, "alpha", (double)c->lora_alpha, "modules",
                  l->lora_modules, "adapted_linears", l->lora_linears, "tensors", l->lora_tensors);
    json_t *memory = json_pack("{s:I, s:I, s:s}", "weights", (json_int_t)plan.weights, "kv_bytes_per_token",
                               (json_int_t)plan.kv_per_token, "kv_type", pippin_type_name(plan.kv_type));
    const int32_t most = pp_inspect_max_context(c);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:{s:o, s:o}, s:s}", "architecture", pp_inspect_arch(c),
                     "name", pp_json_text(c->name, strlen(c->name)), "parameters", parameters, "lora", lora, "memory",
                     memory, "flops_per_token", "prefill", (json_int_t)l->flops_prefill, "decode",
                     (json_int_t)l->flops_decode, "context", "trained",
                     c->n_ctx_train ? json_integer(c->n_ctx_train) : json_null(), "max",
                     most ? json_integer(most) : json_null(), "type", pippin_type_name(plan.type));
}

static json_t *tensors_json(const pippin_model *model)
{
    json_t *list = json_array();
    pippin_tensor_info t;
    for (size_t i = 0; pippin_model_tensor(model, i, &t); i++) {
        json_t *shape = json_array();
        for (int32_t j = 0; j < t.n_dim; j++) json_array_append_new(shape, json_integer(t.shape[j]));
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:o, s:I}", "name", pp_json_text(t.name, strlen(t.name)), "type",
                                        pippin_type_name(t.type), "shape", shape, "bytes", (json_int_t)t.bytes));
    }
    return list;
}

/* ---- text ---- */

static int print_tensors(const pippin_model *model, bool markdown)
{
    pp_table table = pp_table_of("Stored tensors", "llrr");
    pp_cell(&table, "name");
    pp_cell(&table, "type");
    pp_cell(&table, "shape");
    pp_cell(&table, "bytes");
    pippin_tensor_info t;
    for (size_t i = 0; pippin_model_tensor(model, i, &t); i++) {
        char shape[96] = "";
        for (int32_t j = 0; j < t.n_dim; j++) {
            const size_t n = strlen(shape);
            snprintf(shape + n, sizeof shape - n, j ? " x %" PRId64 : "%" PRId64, t.shape[j]);
        }
        pp_cell(&table, "%s", t.name);
        pp_cell(&table, "%s", pippin_type_name(t.type));
        pp_cell(&table, "%s", t.n_dim ? shape : "scalar");
        pp_cell(&table, "%s", pp_count((int64_t)t.bytes).text);
    }
    pp_print("\n");
    return pp_table_print(&table, markdown);
}

static int inspect_one(const inspect_args *args, const pp_subject *s)
{
    if (args->tensors && !s->model)
        return pp_error(PP_EXIT_USAGE,
                        "--tensors: found a shape without weights, expected a model that is stored; pass MODEL");
    if (args->common.json) {
        json_t *json = pp_inspect_json(s);
        if (args->tensors && json) json_object_set_new(json, "tensors", tensors_json(s->model));
        return pp_print_json(json);
    }
    int code = pp_inspect_print(s, args->markdown);
    return !code && args->tensors ? print_tensors(s->model, args->markdown) : code;
}

/* ---- several ---- */

static bool is_preset(const char *name)
{
    for (size_t i = 0; pippin_preset_name(i); i++)
        if (strcmp(pippin_preset_name(i), name) == 0) return true;
    return false;
}

/* What exists or has a slash was meant as a path, all else as a preset: so a slip in either gets its own message. */
static int open_named(const char *name, pp_subject *out)
{
    const bool path = !is_preset(name) && (pp_path_exists(name) || strchr(name, '/'));
    return pp_subject_open(path ? NULL : name, path ? name : NULL, out);
}

static int compare(const inspect_args *args)
{
    enum { MAX_MODELS = 8 };
    pp_subject subjects[MAX_MODELS];
    size_t n = 0;
    int code = 0;
    for (const char *at = args->compare; !code;) {
        const size_t length = strcspn(at, ",");
        if (length && n == MAX_MODELS)
            code = pp_error(PP_EXIT_USAGE, "--compare: found more than %d names, expected at most as many", MAX_MODELS);
        char *name = code || !length ? NULL : pp_strndup(at, length);
        if (!code && length) code = name ? open_named(name, &subjects[n]) : pp_no_memory();
        pp_free(name);
        if (!code && length) n++;
        if (!at[length]) break;
        at += length + 1;
    }
    if (!code && n == 0)
        code = pp_error(PP_EXIT_USAGE, "--compare: found no names, expected some such as afm-base,llama-3.2-3b");
    if (!code && args->common.json) {
        json_t *models = json_array();
        for (size_t i = 0; i < n; i++) json_array_append_new(models, pp_inspect_json(&subjects[i]));
        code = pp_print_json(json_pack("{s:o}", "models", models));
    } else if (!code)
        code = pp_inspect_compare(subjects, n, args->markdown);
    for (size_t i = 0; i < n; i++) pp_subject_close(&subjects[i]);
    return code;
}

static int run(const void *raw)
{
    const inspect_args *args = raw;
    const char *path;
    int code = pp_model_path(&args->common, &path);
    if (code) return code;
    if (args->compare && (path || args->preset || args->tensors))
        return pp_error(PP_EXIT_USAGE,
                        "--compare: found with %s, expected alone; name all models in --compare P1,P2,..",
                        args->tensors ? "--tensors"
                        : path        ? path
                                      : args->preset);
    if (args->compare) return compare(args);
    pp_subject subject;
    code = pp_subject_open(args->preset, path, &subject);
    if (code) return code;
    code = inspect_one(args, &subject);
    pp_subject_close(&subject);
    return code;
}

static const pp_option_group groups[] = {
    {"Options", own_options}, {"Model", pp_options_model}, {"General", pp_options_general}, {0}};

const pp_command pp_command_inspect = {
    .name = "inspect",
    .summary = "Show a model's architecture, its parameter ledger, its memory and its arithmetic.",
    .synopsis = "[options] MODEL | --preset NAME | --compare P1,P2,..",
    .details = "No weights need to exist for a preset or a config.json; its memory is then that of bf16 weights. "
               "MODEL is what -m takes.\n\n"
               "  pippin inspect --preset afm-base\n"
               "  pippin inspect base-model.pt --tensors\n"
               "  pippin inspect --compare afm-base,llama-3.2-3b,qwen2.5-3b --markdown",
    .groups = groups,
    .args_size = sizeof(inspect_args),
    .max_operands = 1,
    .operand = pp_options_model,
    .run = run,
};
