/* llama2c.c - reads llama2.c's "legacy v0" checkpoints in place. The layout is the order of the calls in
 * read_tensors(). */
#include <string.h>

#include "formats/formats.h"

typedef struct reader {
    pp_tensors *t;
    pp_bytes bytes;
    pippin_status status;
    pippin_error *err;
} reader;

/* The next rows x columns floats (columns 0: a vector of `rows`). */
static void take(reader *r, const char *name, int64_t rows, int64_t columns)
{
    if (r->status != PIPPIN_OK) return;
    pp_tensor t = {.type = PIPPIN_F32, .n_dim = columns ? 2 : 1, .shape = {rows, columns}};
    size_t n;
    if (!pp_mul((size_t)rows, (size_t)(columns ? columns : 1), &n) || !pp_mul(n, sizeof(float), &t.bytes) ||
        !(t.data = pp_bytes_take(&r->bytes, t.bytes))) {
        r->status = pp_fail(
            r->err, PIPPIN_E_FORMAT,
            "%s: ends inside tensor %s, expected a llama2.c checkpoint of this shape; check that the file is whole",
            r->t->source, name);
        return;
    }
    r->status = pp_tensors_add(r->t, name, strlen(name), &t, r->err);
}

/* The same part of every layer, one after another. */
static void take_layers(reader *r, const pp_llama2c_header *h, const char *part, int64_t rows, int64_t columns)
{
    for (int32_t i = 0; i < h->n_layer && r->status == PIPPIN_OK; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)i, part);
        take(r, name, rows, columns);
    }
}

static void read_tensors(reader *r, const pp_llama2c_header *h)
{
    const int64_t d = h->d_model, d_head = d / h->n_head, kv = d_head * h->n_kv_head;
    take(r, "model.embed_tokens.weight", h->n_vocab, d);
    take_layers(r, h, "input_layernorm", d, 0);
    take_layers(r, h, "self_attn.q_proj", d, d);
    take_layers(r, h, "self_attn.k_proj", kv, d);
    take_layers(r, h, "self_attn.v_proj", kv, d);
    take_layers(r, h, "self_attn.o_proj", d, d);
    take_layers(r, h, "post_attention_layernorm", d, 0);
    take_layers(r, h, "mlp.gate_proj", h->d_ffn, d);
    take_layers(r, h, "mlp.down_proj", d, h->d_ffn);
    take_layers(r, h, "mlp.up_proj", h->d_ffn, d);
    take(r, "model.norm.weight", d, 0);
    /* Cosines and sines of the rotation, which nothing reads any more. */
    if (r->status == PIPPIN_OK) pp_bytes_take(&r->bytes, (size_t)h->n_ctx * (size_t)(d_head / 2) * 2 * sizeof(float));
    if (!h->shared_head) take(r, "lm_head.weight", h->n_vocab, d);
}

/* The limits keep the sums below from overflowing, and tensors that are smaller than their names from filling the
 * memory. */
static bool plausible(const pp_llama2c_header *h)
{
    const int32_t limit = 1 << 24, max_layer = 1024;
    return h->d_model > 0 && h->d_model < limit && h->d_ffn > 0 && h->d_ffn < limit && h->n_layer > 0 &&
           h->n_layer <= max_layer && h->n_head > 0 && h->n_kv_head > 0 && h->n_vocab > 0 && h->n_vocab < limit &&
           h->n_ctx > 0 && h->n_ctx < limit && h->d_model % h->n_head == 0 && h->n_head % h->n_kv_head == 0;
}

pippin_status pp_llama2c_parse(const void *data, size_t size, const char *source, pp_llama2c_header *header,
                               pp_tensors *out, pippin_error *err)
{
    reader r = {.t = out, .bytes = pp_bytes_of(data, size), .err = err};
    r.status = pp_tensors_init(out, source, err);
    if (r.status != PIPPIN_OK) return r.status;
    int32_t v[7];
    for (int i = 0; i < 7; i++) v[i] = pp_bytes_i32(&r.bytes);
    *header = (pp_llama2c_header){v[0], v[1],    v[2], v[3], v[4], v[5] == INT32_MIN ? 0 : v[5] < 0 ? -v[5] : v[5],
                                  v[6], v[5] > 0};
    if (!plausible(header))
        r.status = pp_fail(err, PIPPIN_E_FORMAT,
                           "%s: the header says width %d, FFN %d, %d layers, %d heads, %d K/V heads, vocabulary %d, "
                           "context %d in a file of %zu bytes; "
                           "expected a llama2.c checkpoint (legacy version 0)",
                           source, (int)v[0], (int)v[1], (int)v[2], (int)v[3], (int)v[4], (int)v[5], (int)v[6], size);
    else
        read_tensors(&r, header);
    if (r.status == PIPPIN_OK && (r.bytes.failed || pp_bytes_left(&r.bytes) > 0))
        r.status =
            pp_fail(err, PIPPIN_E_FORMAT, "%s: has %zu bytes, expected %s for this shape; check that the file is whole",
                    source, size, r.bytes.failed ? "more" : "fewer");
    if (r.status == PIPPIN_OK) r.status = pp_tensors_finish(out, err);
    if (r.status != PIPPIN_OK) pp_tensors_free(out);
    return r.status;
}

pippin_status pp_llama2c_open(const char *path, pp_llama2c_header *header, pp_tensors *out, pippin_error *err)
{
    pp_map map;
    *out = (pp_tensors){0};
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = pp_llama2c_parse(map.data, map.size, path, header, out, err);
    return pp_tensors_keep_map(status, out, map, err);
}
