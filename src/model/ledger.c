/* ledger.c - where the parameters, the bytes and the multiply-adds are: arithmetic on a configuration, no weights needed. */
#include <string.h>

#include "model/model.h"

bool pp_site_shape(const pippin_config *c, int32_t layer, pp_site site, int32_t *n_in, int32_t *n_out)
{
    const int32_t q = c->n_head * c->d_head, kv = c->n_kv_head * c->d_head;
    const int32_t shapes[PP_N_SITE][2] = {{c->d_model, q},       {c->d_model, kv},       {c->d_model, kv},
                                          {q, c->d_model},       {c->d_model, c->d_ffn}, {c->d_model, c->d_ffn},
                                          {c->d_ffn, c->d_model}};
    *n_in = shapes[site][0];
    *n_out = shapes[site][1];
    return (site != PP_K && site != PP_V) || layer < c->n_layer - c->n_reuse;
}

/* Sums over the sites of one layer. */
typedef struct layer_sums {
    int64_t attention, feed_forward;           /* weights and biases of the linears */
    int64_t lora_attention, lora_feed_forward; /* rank * (n_in + n_out) */
    int64_t matrices;                          /* weights alone */
    int32_t n_site;
} layer_sums;

static layer_sums sum_layer(const pippin_config *c, int32_t layer)
{
    layer_sums s = {0};
    for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
        int32_t n_in, n_out;
        if (!pp_site_shape(c, layer, site, &n_in, &n_out)) continue;
        int64_t weights = (int64_t)n_in * n_out, lora = (int64_t)c->lora_rank * (n_in + n_out);
        s.matrices += weights;
        s.n_site++;
        if (site < PP_GATE) {
            s.attention += weights + (c->qkv_bias && site != PP_O ? n_out : 0);
            s.lora_attention += lora;
        } else {
            s.feed_forward += weights;
            s.lora_feed_forward += lora;
        }
    }
    return s;
}

/* The layers of one kind, from `first` on. */
static void add_group(pippin_ledger *out, const pippin_config *c, int32_t segment, int32_t first, int32_t count)
{
    if (count == 0) return;
    const bool reuse = segment == 1;
    layer_sums s = sum_layer(c, first);
    int64_t qk_norms = c->qk_norm == PIPPIN_QK_NORM_NONE ? 0 : (reuse ? 1 : 2) * (int64_t)c->d_head;
    int64_t attention = s.attention + s.lora_attention + c->d_model + qk_norms;
    int64_t feed_forward = s.feed_forward + s.lora_feed_forward + c->d_model;
    int64_t trainable = s.lora_attention + s.lora_feed_forward;
    out->groups[out->n_group++] = (pippin_ledger_group){segment, count, attention + feed_forward, trainable};
    out->attention += count * attention;
    out->feed_forward += count * feed_forward;
    out->norm += count * (2 * (int64_t)c->d_model + qk_norms);
    out->trainable += count * trainable;
    out->linear_weights += count * s.matrices;
    if (!reuse) out->linear_weights_full += count * s.matrices;
    if (c->lora_rank) {
        out->lora_modules += count * s.n_site;
        out->lora_tensors += count * 2 * s.n_site;
        /* The toolkit wraps a full layer's Q, K and V as one fused linear. */
        out->lora_linears += count * (reuse ? s.n_site : s.n_site - 2);
    }
}

void pippin_ledger_compute(const pippin_config *c, pippin_ledger *out)
{
    *out = (pippin_ledger){0};
    const int32_t n_full = c->n_layer - c->n_reuse;
    add_group(out, c, 0, 0, n_full);
    add_group(out, c, 1, n_full, c->n_reuse);
    out->embedding = (int64_t)c->n_vocab * c->d_model;
    out->head = c->tied_head ? 0 : out->embedding;
    out->norm += c->d_model;
    out->total = out->embedding + out->head + out->attention + out->feed_forward + c->d_model;
    out->frozen = out->total - out->trainable;
    out->kv_elements_per_token = 2 * (int64_t)n_full * c->n_kv_head * c->d_head;
    out->flops_prefill = 2 * out->linear_weights_full;
    out->flops_decode = 2 * (out->linear_weights + out->embedding);
}

/* ---- memory ---- */

/*
 * Stored bits of a weight. The low-bit types count codes alone: their scales are one a row, below a thousandth. Block types count
 * as they are run, packed.
 */
static uint64_t weight_bytes(pippin_type type, int64_t n)
{
    static const uint8_t bits[] = {[PIPPIN_F32] = 32, [PIPPIN_F16] = 16, [PIPPIN_BF16] = 16, [PIPPIN_Q8] = 8,
                                   [PIPPIN_Q4] = 4,   [PIPPIN_Q2] = 2,   [PIPPIN_I8] = 8,    [PIPPIN_I64] = 64};
    const size_t block = pp_type_block(type);
    if (block > 1) return (uint64_t)n / block * pp_packed_bytes(type, PP_LOW_ROWS, block) / PP_LOW_ROWS;
    return ((uint64_t)n * bits[type] + 7) / 8;
}

void pippin_plan_compute(const pippin_config *c, const pippin_plan_options *options, pippin_plan *out)
{
    pippin_plan_options o = options ? *options : (pippin_plan_options){0};
    pippin_ledger ledger;
    pippin_ledger_compute(c, &ledger);
    *out = (pippin_plan){0};
    out->type = o.type ? o.type : PIPPIN_BF16;
    out->embedding_type = o.embedding_type ? o.embedding_type : pp_type_of_embedding(out->type);
    out->kv_type = o.kv_type ? o.kv_type : c->arch == PIPPIN_ARCH_AFM ? PIPPIN_I8 : PIPPIN_BF16;
    out->n_ctx = o.n_ctx ? o.n_ctx : 4096;
    out->n_sessions = o.n_sessions ? o.n_sessions : 1;

    const int64_t f32_values = ledger.frozen - ledger.linear_weights - ledger.embedding - ledger.head;
    out->linear = weight_bytes(out->type, ledger.linear_weights);
    out->embedding = weight_bytes(out->embedding_type, ledger.embedding + ledger.head);
    out->norms = weight_bytes(PIPPIN_F32, f32_values);
    out->weights = out->linear + out->embedding + out->norms;
    out->adapter = o.adapter ? weight_bytes(PIPPIN_F16, ledger.trainable) : 0;
    out->kv_per_token = weight_bytes(out->kv_type, ledger.kv_elements_per_token);
    out->kv = out->kv_per_token * (uint64_t)out->n_ctx;
    out->scratch = pp_scratch_bytes(c, (pp_scratch_sizes){o.n_batch ? o.n_batch : 512, 16, out->n_ctx, pp_cpu_count()});
    out->total = out->weights + out->adapter + (uint64_t)out->n_sessions * (out->kv + out->scratch);
    out->train_adapter = 4 * weight_bytes(PIPPIN_F32, ledger.trainable);
    out->train_full = 4 * weight_bytes(PIPPIN_F32, ledger.frozen);
}
