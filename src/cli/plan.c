/* plan.c - the bytes that a model needs, known before anything is loaded. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"

typedef struct plan_args {
    pp_common common;
    const char *preset;
    int32_t n_sessions;
    pippin_type type;
    bool train, all;
} plan_args;

#define AT(field) offsetof(plan_args, field)

static const pp_option own_options[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "a shape without weights, or the path of a config.json"},
    {PP_OPT_CTX(offsetof(pp_common, n_ctx)), .help = "tokens that a session's context holds (default: 4096)"},
    {PP_OPT_INT("sessions", "N", AT(n_sessions), 1, 65536), .help = "conversations at the same time (default: 1)"},
    {PP_OPT_WEIGHT_TYPE(AT(type)),
     .help = "type of the weights: f32, f16, bf16, q8, q4 or q2 (default: MODEL's own, else bf16); q2 means q2 "
             "linear layers and a q4 embedding"},
    {PP_OPT_KV_TYPE(offsetof(pp_common, kv_type)),
     .help = "type of the K/V cache: int8, bf16 or f32 (default: MODEL's own, else int8 for AFM, bf16 for others)"},
    {PP_OPT_FLAG("train", AT(train)), .help = "add what training takes"},
    {PP_OPT_FLAG("all", AT(all)), .help = "print a row for every type and use"},
    {0}};

/* ---- rows ---- */

enum { MAX_ROWS = 96, USE_SIZE = 72 };

typedef struct plan_row {
    char use[USE_SIZE];
    const char *type;
    uint64_t n_bytes;
} plan_row;

typedef struct plan_rows {
    plan_row items[MAX_ROWS];
    size_t n;
} plan_rows;

static void add_row(plan_rows *rows, pippin_type type, uint64_t n_bytes, const char *format, ...) PP_PRINTF(4, 5);

static void add_row(plan_rows *rows, pippin_type type, uint64_t n_bytes, const char *format, ...)
{
    if (rows->n == MAX_ROWS) return;
    plan_row *row = &rows->items[rows->n++];
    va_list args;
    va_start(args, format);
    vsnprintf(row->use, sizeof row->use, format, args);
    va_end(args);
    row->type = type ? pippin_type_name(type) : "";
    row->n_bytes = n_bytes;
}

static pippin_plan plan_at(const pp_subject *s, const pippin_plan *like, pippin_type type, pippin_type kv_type,
                           int32_t n_ctx)
{
    pippin_plan plan;
    const pippin_plan_options options = {
        .type = type, .kv_type = kv_type, .n_ctx = n_ctx, .n_sessions = like->n_sessions, .adapter = true};
    pippin_plan_compute(&s->config, &options, &plan);
    return plan;
}

static void add_training(plan_rows *rows, const pp_subject *s, const pippin_plan *plan)
{
    if (s->ledger.trainable)
        add_row(rows, PIPPIN_F32, plan->train_adapter,
                "training the adapter, in addition (weights, gradient, two moments)");
    add_row(rows, PIPPIN_F32, plan->train_full, "training all weights, in addition (weights, gradient, two moments)");
}

static void add_summary(plan_rows *rows, const pp_subject *s, const pippin_plan *plan, bool train)
{
    add_row(rows, plan->type, plan->linear, "linear layers");
    add_row(rows, plan->embedding_type, plan->embedding, s->ledger.head ? "embedding and output head" : "embedding");
    add_row(rows, PIPPIN_F32, plan->norms, s->config.qkv_bias ? "norms and biases" : "norms");
    add_row(rows, PIPPIN_TYPE_AUTO, plan->weights, "weights");
    add_row(rows, plan->kv_type, plan->kv, "K/V cache of a session");
    add_row(rows, PIPPIN_F32, plan->scratch, "scratch of a session");
    add_row(rows, PIPPIN_TYPE_AUTO, plan->total, "total");
    if (s->ledger.trainable)
        add_row(rows, PIPPIN_F16, plan_at(s, plan, plan->type, plan->kv_type, plan->n_ctx).adapter,
                "an adapter, in addition");
    if (train) add_training(rows, s, plan);
}

/* What a file of this type holds that stores every parameter in it, the adapter's too: a toolkit checkpoint at f32. */
static uint64_t file_bytes(int64_t n_parameter, pippin_type type)
{
    static const uint8_t bits[] = {
        [PIPPIN_F32] = 32, [PIPPIN_F16] = 16, [PIPPIN_BF16] = 16, [PIPPIN_Q8] = 8, [PIPPIN_Q4] = 4, [PIPPIN_Q2] = 2};
    return ((uint64_t)n_parameter * bits[type] + 7) / 8;
}

static void add_weights(plan_rows *rows, const pp_subject *s, const pippin_plan *like, pippin_type type)
{
    const pippin_plan plan = plan_at(s, like, type, like->kv_type, like->n_ctx);
    add_row(rows, plan.type, plan.linear, "linear layers");
    add_row(rows, plan.embedding_type, plan.embedding, s->ledger.head ? "embedding and output head" : "embedding");
    add_row(rows, plan.type, plan.linear + plan.embedding, "linear layers and embedding");
    add_row(rows, plan.type, plan.weights, "weights, with f32 norms");
    add_row(rows, plan.type, file_bytes(s->ledger.total, type),
            s->ledger.trainable ? "every parameter at this type, the adapter's too" : "every parameter at this type");
    add_row(rows, plan.type, plan.total - plan.adapter, "total: weights and %d session%s of %s tokens",
            (int)plan.n_sessions, plan.n_sessions == 1 ? "" : "s", pp_count(plan.n_ctx).text);
}

static void add_cache(plan_rows *rows, const pp_subject *s, const pippin_plan *like, pippin_type kv_type)
{
    const int32_t contexts[] = {like->n_ctx, 4096, 8192};
    const pippin_plan plan = plan_at(s, like, like->type, kv_type, like->n_ctx);
    add_row(rows, kv_type, plan.kv_per_token, "K/V cache, a token");
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++)
        if (i == 0 || contexts[i] != like->n_ctx)
            add_row(rows, kv_type, plan_at(s, like, like->type, kv_type, contexts[i]).kv, "K/V cache, %s tokens",
                    pp_count(contexts[i]).text);
    const int32_t n_full = s->config.n_layer - s->config.n_reuse;
    if (s->config.n_reuse)
        add_row(rows, kv_type, plan.kv_per_token / (uint64_t)n_full * (uint64_t)s->config.n_layer,
                "K/V cache, a token, if all %d layers had their own", (int)s->config.n_layer);
}

static void add_all(plan_rows *rows, const pp_subject *s, const pippin_plan *plan)
{
    static const pippin_type types[] = {PIPPIN_F32, PIPPIN_F16, PIPPIN_BF16, PIPPIN_Q8, PIPPIN_Q4, PIPPIN_Q2};
    static const pippin_type kv_types[] = {PIPPIN_I8, PIPPIN_BF16, PIPPIN_F32};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) add_weights(rows, s, plan, types[i]);
    for (size_t i = 0; i < sizeof kv_types / sizeof *kv_types; i++) add_cache(rows, s, plan, kv_types[i]);
    add_row(rows, PIPPIN_F32, plan->scratch, "scratch of a session");
    if (s->ledger.trainable) {
        add_row(rows, PIPPIN_F16, file_bytes(s->ledger.trainable, PIPPIN_F16), "adapter");
        add_row(rows, PIPPIN_F32, file_bytes(s->ledger.trainable, PIPPIN_F32), "adapter");
    }
    add_training(rows, s, plan);
}

/* ---- output ---- */

static json_t *to_json(const plan_args *args, const pp_subject *s, const pippin_plan *plan, const plan_rows *rows)
{
    json_t *weights =
        json_pack("{s:I, s:I, s:I, s:I}", "linear", (json_int_t)plan->linear, "embedding", (json_int_t)plan->embedding,
                  "norms", (json_int_t)plan->norms, "total", (json_int_t)plan->weights);
    json_t *json =
        json_pack("{s:o, s:s, s:s, s:s, s:i, s:i, s:o, s:I, s:I, s:I, s:I, s:I}", "name",
                  pp_json_text(s->config.name, strlen(s->config.name)), "type", pippin_type_name(plan->type),
                  "embedding_type", pippin_type_name(plan->embedding_type), "kv_type", pippin_type_name(plan->kv_type),
                  "context", plan->n_ctx, "sessions", plan->n_sessions, "weights", weights, "kv_bytes_per_token",
                  (json_int_t)plan->kv_per_token, "kv", (json_int_t)plan->kv, "scratch", (json_int_t)plan->scratch,
                  "total", (json_int_t)plan->total, "adapter", (json_int_t)file_bytes(s->ledger.trainable, PIPPIN_F16));
    if (json && args->train)
        json_object_set_new(
            json, "train",
            json_pack("{s:I, s:I}", "adapter", (json_int_t)plan->train_adapter, "full", (json_int_t)plan->train_full));
    if (!json || !args->all) return json;
    json_t *list = json_array();
    for (size_t i = 0; i < rows->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "use", rows->items[i].use, "type", rows->items[i].type,
                                              "bytes", (json_int_t)rows->items[i].n_bytes));
    json_object_set_new(json, "rows", list);
    return json;
}

static int print_text(const pp_subject *s, const pippin_plan *plan, const plan_rows *rows)
{
    pp_print("%s: %s parameters, planned at %s, %d session%s of %s tokens (K/V cache %s, %s bytes a token)\n\n",
             *s->config.name ? s->config.name : "model", pp_count(s->ledger.total).text, pippin_type_name(plan->type),
             (int)plan->n_sessions, plan->n_sessions == 1 ? "" : "s", pp_count(plan->n_ctx).text,
             pippin_type_name(plan->kv_type), pp_count((int64_t)plan->kv_per_token).text);
    pp_table table = pp_table_of(NULL, "llrr");
    pp_cell(&table, "use");
    pp_cell(&table, "type");
    pp_cell(&table, "bytes");
    pp_cell(&table, "%s", "");
    for (size_t i = 0; i < rows->n; i++) {
        pp_cell(&table, "%s", rows->items[i].use);
        pp_cell(&table, "%s", rows->items[i].type);
        pp_cell(&table, "%s", pp_count((int64_t)rows->items[i].n_bytes).text);
        pp_cell(&table, "%s", pp_size(rows->items[i].n_bytes).text);
    }
    return pp_table_print(&table, false);
}

static int plan_subject(const plan_args *args, const pp_subject *s)
{
    const pippin_plan_options options = {.type = args->type ? args->type : s->type,
                                         .kv_type = args->common.kv_type ? args->common.kv_type : s->kv_type,
                                         .n_ctx = args->common.n_ctx,
                                         .n_sessions = args->n_sessions};
    pippin_plan plan;
    pippin_plan_compute(&s->config, &options, &plan);
    plan_rows *rows = pp_alloc_zero(1, sizeof *rows);
    if (!rows) return pp_no_memory();
    if (args->all)
        add_all(rows, s, &plan);
    else
        add_summary(rows, s, &plan, args->train);
    int code = args->common.json ? pp_print_json(to_json(args, s, &plan, rows)) : print_text(s, &plan, rows);
    pp_free(rows);
    return code;
}

static int run(const void *raw)
{
    const plan_args *args = raw;
    const char *path;
    int code = pp_model_path(&args->common, &path);
    if (code) return code;
    pp_subject subject;
    code = pp_subject_open(args->preset, path, &subject);
    if (code) return code;
    code = plan_subject(args, &subject);
    pp_subject_close(&subject);
    return code;
}

static const pp_option_group groups[] = {
    {"Options", own_options}, {"Model", pp_options_model}, {"General", pp_options_general}, {0}};

const pp_command pp_command_plan = {
    .name = "plan",
    .summary = "Count the bytes of weights, cache, scratch and training before anything is loaded.",
    .synopsis = "[options] MODEL | --preset NAME",
    .details = "Exact bytes, and decimal MB and GB. Low-bit types count their codes alone; their scales are below a "
               "thousandth.\n\n"
               "  pippin plan base.gguf --sessions 4\n"
               "  pippin plan --preset afm-base --type q2 --ctx 8192\n"
               "  pippin plan --preset afm-base --all",
    .groups = groups,
    .args_size = sizeof(plan_args),
    .max_operands = 1,
    .operand = pp_options_model,
    .run = run,
};
