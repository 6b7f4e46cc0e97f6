/* describe.c - a model in words and tables. */
#include <string.h>

#include "cli/inspect.h"

/* The roadmap's cap for AFM: trained on 4,096 positions, made to run to this many. */
enum { AFM_MAX_CONTEXT = 205000 };

const char *pp_inspect_arch(const pippin_config *c)
{
    static const char *const names[] = {[PIPPIN_ARCH_AFM] = "afm7",
                                        [PIPPIN_ARCH_LLAMA] = "llama",
                                        [PIPPIN_ARCH_QWEN2] = "qwen2",
                                        [PIPPIN_ARCH_QWEN3] = "qwen3"};
    return names[c->arch];
}

static const char *family(const pippin_config *c)
{
    static const char *const names[] = {[PIPPIN_ARCH_AFM] = "AFMTextV7",
                                        [PIPPIN_ARCH_LLAMA] = "Llama",
                                        [PIPPIN_ARCH_QWEN2] = "Qwen2",
                                        [PIPPIN_ARCH_QWEN3] = "Qwen3"};
    return names[c->arch];
}

int32_t pp_inspect_max_context(const pippin_config *c)
{
    return c->arch == PIPPIN_ARCH_AFM ? AFM_MAX_CONTEXT : c->n_ctx_train;
}

pippin_plan pp_inspect_plan(const pp_subject *s, pippin_type type)
{
    pippin_plan plan;
    pippin_plan_compute(&s->config, &(pippin_plan_options){.type = type, .kv_type = s->kv_type}, &plan);
    return plan;
}

static const char *name_of(const pp_subject *s) { return *s->config.name ? s->config.name : family(&s->config); }

/* ---- one model ---- */

static void layers_row(pp_table *t, const pippin_config *c)
{
    const int n_full = c->n_layer - c->n_reuse;
    pp_cell(t, "layers");
    if (c->n_reuse)
        pp_cell(t, "%d = %d full (segment 0) + %d reuse (segment 1: no K/V of their own, they read layer %d's)",
                (int)c->n_layer, n_full, (int)c->n_reuse, n_full - 1);
    else
        pp_cell(t, "%d", (int)c->n_layer);
}

static void attention_rows(pp_table *t, const pippin_config *c)
{
    pp_cell(t, "attention");
    if (c->n_head == c->n_kv_head)
        pp_cell(t, "%d heads x %d", (int)c->n_head, (int)c->d_head);
    else
        pp_cell(t, "%d query heads x %d, %d K/V heads (%d query heads share one)", (int)c->n_head, (int)c->d_head,
                (int)c->n_kv_head, (int)(c->n_head / c->n_kv_head));
    pp_cell(t, "positions");
    char scaling[96] = "";
    if (c->rope_n_ctx_original)
        snprintf(scaling, sizeof scaling, ", scaled by %g beyond %s%s", c->rope_factor,
                 pp_count(c->rope_n_ctx_original).text, c->rope_scaling == PIPPIN_ROPE_SCALING_YARN ? " (yarn)" : "");
    else if (c->rope_factor != 0)
        snprintf(scaling, sizeof scaling, ", scaled by %g (linear)", c->rope_factor);
    pp_cell(t, "RoPE on %s, theta %s%s", c->rope_pairs == PIPPIN_ROPE_ADJACENT ? "adjacent pairs" : "half-split pairs",
            pp_count((int64_t)c->rope_theta).text, scaling);
    if (c->qk_norm != PIPPIN_QK_NORM_NONE) {
        pp_cell(t, "Q/K norm");
        pp_cell(t, "RMSNorm on each head of Q and K, %s the rotation, eps %g",
                c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE ? "after" : "before", (double)c->qk_norm_eps);
    }
    if (c->qkv_bias) {
        pp_cell(t, "biases");
        pp_cell(t, "on Q, K and V");
    }
}

static int print_architecture(const pp_subject *s, bool markdown)
{
    const pippin_config *c = &s->config;
    pp_table t = pp_table_of("Architecture", "ll");
    pp_cell(&t, "%s", "");
    pp_cell(&t, "%s", "");
    layers_row(&t, c);
    pp_cell(&t, "model width");
    pp_cell(&t, "%d", (int)c->d_model);
    attention_rows(&t, c);
    pp_cell(&t, "feed-forward");
    pp_cell(&t, "SwiGLU, %d -> %d -> %d", (int)c->d_model, (int)c->d_ffn, (int)c->d_model);
    pp_cell(&t, "norm");
    pp_cell(&t, "RMSNorm before attention, before feed-forward and at the output, eps %g", (double)c->norm_eps);
    pp_cell(&t, "vocabulary");
    pp_cell(&t, "%s, %s", pp_count(c->n_vocab).text,
            c->tied_head ? "the output head is the embedding" : "with an output head of its own");
    pp_cell(&t, "context");
    const int32_t most = pp_inspect_max_context(c);
    if (c->n_ctx_train)
        pp_cell(&t, "%s trained, %s at most", pp_count(c->n_ctx_train).text, pp_count(most).text);
    else
        pp_cell(&t, most ? "%s at most" : "%s", most ? pp_count(most).text : "not said");
    if (c->lora_rank) {
        pp_cell(&t, "adapter");
        pp_cell(&t, "LoRA, rank %d, alpha %g: %d modules on %d linears, %d tensors", (int)c->lora_rank,
                (double)c->lora_alpha, (int)s->ledger.lora_modules, (int)s->ledger.lora_linears,
                (int)s->ledger.lora_tensors);
    }
    return pp_table_print(&t, markdown);
}

static void ledger_row(pp_table *t, const char *what, int64_t n, int64_t total, const char *note)
{
    pp_cell(t, "%s", what);
    pp_cell(t, "%s", pp_count(n).text);
    if (total)
        pp_cell(t, "%.1f %%", 100.0 * (double)n / (double)total);
    else
        pp_cell(t, "%s", "");
    pp_cell(t, "%s", note);
}

static int print_ledger(const pp_subject *s, bool markdown)
{
    const pippin_ledger *l = &s->ledger;
    pp_table t = pp_table_of("Parameters", "lrrl");
    pp_cell(&t, "part");
    pp_cell(&t, "parameters");
    pp_cell(&t, "share");
    pp_cell(&t, "%s", "");
    ledger_row(&t, "embedding", l->embedding, l->total, "");
    if (l->head) ledger_row(&t, "output head", l->head, l->total, "");
    ledger_row(&t, "attention", l->attention, l->total, l->trainable ? "with its norms and LoRA" : "with its norms");
    ledger_row(&t, "feed-forward", l->feed_forward, l->total,
               l->trainable ? "with its norms and LoRA" : "with its norms");
    ledger_row(&t, "output norm", s->config.d_model, 0, "");
    ledger_row(&t, "total", l->total, l->total, "");
    if (l->trainable) {
        ledger_row(&t, "of it frozen", l->frozen, l->total, "");
        ledger_row(&t, "of it LoRA", l->trainable, l->total, "");
    }
    ledger_row(&t, "of it norms", l->norm, 0, "");
    for (int32_t i = 0; i < l->n_group; i++) {
        const pippin_ledger_group *g = &l->groups[i];
        char what[48], note[64] = "";
        const char *kind = g->segment ? "reuse " : s->config.n_reuse ? "full " : "";
        snprintf(what, sizeof what, "a %slayer (x %d)", kind, (int)g->count);
        if (g->trainable) snprintf(note, sizeof note, "%s of it LoRA", pp_count(g->trainable).text);
        ledger_row(&t, what, g->parameters, 0, note);
    }
    return pp_table_print(&t, markdown);
}

static void cost_row(pp_table *t, const char *what, const char *exact, const char *rounded)
{
    pp_cell(t, "%s", what);
    pp_cell(t, "%s", exact);
    pp_cell(t, "%s", rounded);
}

static int print_costs(const pp_subject *s, bool markdown)
{
    const pippin_ledger *l = &s->ledger;
    const pippin_plan plan = pp_inspect_plan(s, s->type);
    char what[80];
    pp_table t = pp_table_of("Memory and arithmetic", "lrr");
    cost_row(&t, "what", "exact", "");
    snprintf(what, sizeof what, "weights, %s at %s", s->model ? "opened" : "planned", pippin_type_name(plan.type));
    cost_row(&t, what, pp_count((int64_t)plan.weights).text, pp_size(plan.weights).text);
    snprintf(what, sizeof what, "K/V cache a token, %s", pippin_type_name(plan.kv_type));
    cost_row(&t, what, pp_count((int64_t)plan.kv_per_token).text, pp_size(plan.kv_per_token).text);
    cost_row(&t, "arithmetic of a prompt token", pp_count(l->flops_prefill).text, pp_flops(l->flops_prefill).text);
    cost_row(&t, "arithmetic of a generated token", pp_count(l->flops_decode).text, pp_flops(l->flops_decode).text);
    return pp_table_print(&t, markdown);
}

int pp_inspect_print(const pp_subject *s, bool markdown)
{
    char rounded[40] = "";
    const double n = (double)s->ledger.total;
    if (n >= 1e6)
        snprintf(rounded, sizeof rounded, n >= 1e9 ? " (%.2f billion)" : " (%.2f million)", n / (n >= 1e9 ? 1e9 : 1e6));
    pp_print(markdown ? "## %s\n\n%s, %s parameters%s.\n\n" : "%s: %s, %s parameters%s\n\n", name_of(s),
             family(&s->config), pp_count(s->ledger.total).text, rounded);
    int code = print_architecture(s, markdown);
    pp_print("\n");
    if (!code) code = print_ledger(s, markdown);
    pp_print("\n");
    return code ? code : print_costs(s, markdown);
}

/* ---- side by side ---- */

typedef enum property {
    FAMILY,
    TOTAL,
    FROZEN,
    LORA,
    LAYERS,
    WIDTH,
    HEADS,
    KV_HEADS,
    D_HEAD,
    D_FFN,
    VOCABULARY,
    EMBEDDING,
    THETA,
    TRAINED,
    KV_INT8,
    KV_BF16,
    FLOPS_PROMPT,
    FLOPS_DECODE,
    AS_F32,
    AS_BF16,
    AS_Q8,
    AS_Q4,
    AS_Q2,
    N_PROPERTY
} property;

static const char *const property_names[N_PROPERTY] = {"architecture",
                                                       "parameters",
                                                       "of them frozen",
                                                       "of them LoRA",
                                                       "layers",
                                                       "model width",
                                                       "query heads",
                                                       "K/V heads",
                                                       "head width",
                                                       "FFN width",
                                                       "vocabulary",
                                                       "embedding parameters",
                                                       "RoPE theta",
                                                       "trained context",
                                                       "K/V bytes a token, int8",
                                                       "K/V bytes a token, bf16",
                                                       "FLOP of a prompt token",
                                                       "FLOP of a generated token",
                                                       "weights, f32",
                                                       "weights, bf16",
                                                       "weights, q8",
                                                       "weights, q4",
                                                       "weights, q2 (embedding q4)"};

static void count_cell(pp_table *t, int64_t n) { pp_cell(t, "%s", pp_count(n).text); }

static void weights_cell(pp_table *t, const pp_subject *s, pippin_type type)
{
    pp_cell(t, "%s", pp_size(pp_inspect_plan(s, type).weights).text);
}

/* The K/V rows count codes alone; a cache without static scales adds one scale a token and head. */
static void property_cell(pp_table *t, property p, const pp_subject *s)
{
    const pippin_config *c = &s->config;
    const pippin_ledger *l = &s->ledger;
    switch (p) {
    case FAMILY: pp_cell(t, "%s", family(c)); break;
    case TOTAL: count_cell(t, l->total); break;
    case FROZEN: count_cell(t, l->frozen); break;
    case LORA: count_cell(t, l->trainable); break;
    case LAYERS:
        if (c->n_reuse)
            pp_cell(t, "%d (%d + %d reuse)", (int)c->n_layer, (int)(c->n_layer - c->n_reuse), (int)c->n_reuse);
        else
            count_cell(t, c->n_layer);
        break;
    case WIDTH: count_cell(t, c->d_model); break;
    case HEADS: count_cell(t, c->n_head); break;
    case KV_HEADS: count_cell(t, c->n_kv_head); break;
    case D_HEAD: count_cell(t, c->d_head); break;
    case D_FFN: count_cell(t, c->d_ffn); break;
    case VOCABULARY: count_cell(t, c->n_vocab); break;
    case EMBEDDING: count_cell(t, l->embedding + l->head); break;
    case THETA: count_cell(t, (int64_t)c->rope_theta); break;
    case TRAINED: count_cell(t, c->n_ctx_train); break;
    case KV_INT8: count_cell(t, l->kv_elements_per_token); break;
    case KV_BF16: count_cell(t, 2 * l->kv_elements_per_token); break;
    case FLOPS_PROMPT: pp_cell(t, "%s", pp_flops(l->flops_prefill).text); break;
    case FLOPS_DECODE: pp_cell(t, "%s", pp_flops(l->flops_decode).text); break;
    case AS_F32: weights_cell(t, s, PIPPIN_F32); break;
    case AS_BF16: weights_cell(t, s, PIPPIN_BF16); break;
    case AS_Q8: weights_cell(t, s, PIPPIN_Q8); break;
    case AS_Q4: weights_cell(t, s, PIPPIN_Q4); break;
    case AS_Q2: weights_cell(t, s, PIPPIN_Q2); break;
    case N_PROPERTY: break;
    }
}

int pp_inspect_compare(const pp_subject *subjects, size_t n, bool markdown)
{
    char align[PP_MAX_COLUMN + 1] = "l";
    for (size_t i = 0; i < n; i++) align[i + 1] = 'r';
    pp_table t = pp_table_of(NULL, align);
    pp_cell(&t, "%s", "");
    for (size_t i = 0; i < n; i++) pp_cell(&t, "%s", name_of(&subjects[i]));
    for (property p = FAMILY; p < N_PROPERTY; p++) {
        pp_cell(&t, "%s", property_names[p]);
        for (size_t i = 0; i < n; i++) property_cell(&t, p, &subjects[i]);
    }
    return pp_table_print(&t, markdown);
}
