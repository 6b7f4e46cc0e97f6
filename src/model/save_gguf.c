/*
 * save_gguf.c - a model as GGUF: other makers' names and keys where they have them, "afm7" with keys of our own for what
 * only AFM has. Llama's Q and K rows are stored for the rotation of adjacent pairs, as every reader of that architecture
 * expects them. Adapters are merged a row at a time, so that no second model is ever in memory.
 */
#include <math.h>
#include <string.h>

#include "model/forward.h"
#include "model/names.h"

static const char *arch_name(pippin_arch arch)
{
    static const char *const names[] = {[PIPPIN_ARCH_AFM] = "afm7",
                                        [PIPPIN_ARCH_LLAMA] = "llama",
                                        [PIPPIN_ARCH_QWEN2] = "qwen2",
                                        [PIPPIN_ARCH_QWEN3] = "qwen3"};
    return names[arch];
}

typedef struct saver {
    const pp_weights *w;
    const pippin_save_options *o;
    const pp_lora_use *merge; /* [n_merge] */
    size_t n_merge;
    pp_gguf_writer *file, tensors;
    const char *path;
    int32_t layer;
    bool announcing;      /* first pass: descriptions; second: bytes */
    const float *factors; /* [d_head / 2] of the rotary frequencies, or NULL */
    float *row, *delta;   /* [widest] */
    void *encoded;        /* the same in the wanted type */
    pippin_status status;
    pippin_error *err;
} saver;

static void put_values(saver *s)
{
    const pippin_config *c = &s->w->config;
    const char *arch = arch_name(c->arch);
    char key[96];
    pp_gguf_put_text(s->file, "general.architecture", arch);
    pp_gguf_put_text(s->file, "general.name", c->name);
#define KEY(name) (snprintf(key, sizeof key, "%s." name, arch), key)
    pp_gguf_put_u32(s->file, KEY("context_length"), (uint32_t)c->n_ctx_train);
    pp_gguf_put_u32(s->file, KEY("embedding_length"), (uint32_t)c->d_model);
    pp_gguf_put_u32(s->file, KEY("block_count"), (uint32_t)c->n_layer);
    pp_gguf_put_u32(s->file, KEY("feed_forward_length"), (uint32_t)c->d_ffn);
    pp_gguf_put_u32(s->file, KEY("attention.head_count"), (uint32_t)c->n_head);
    pp_gguf_put_u32(s->file, KEY("attention.head_count_kv"), (uint32_t)c->n_kv_head);
    pp_gguf_put_u32(s->file, KEY("attention.key_length"), (uint32_t)c->d_head);
    pp_gguf_put_u32(s->file, KEY("attention.value_length"), (uint32_t)c->d_head);
    pp_gguf_put_f32(s->file, KEY("attention.layer_norm_rms_epsilon"), c->norm_eps);
    pp_gguf_put_u32(s->file, KEY("rope.dimension_count"), (uint32_t)c->d_head);
    pp_gguf_put_f32(s->file, KEY("rope.freq_base"), (float)c->rope_theta);
    if (c->rope_scaling == PIPPIN_ROPE_SCALING_LINEAR || c->rope_scaling == PIPPIN_ROPE_SCALING_YARN) {
        pp_gguf_put_text(s->file, KEY("rope.scaling.type"), pippin_rope_scaling_name(c->rope_scaling));
        pp_gguf_put_f32(s->file, KEY("rope.scaling.factor"), (float)c->rope_factor);
    }
    if (c->rope_scaling == PIPPIN_ROPE_SCALING_YARN) {
        pp_gguf_put_u32(s->file, KEY("rope.scaling.original_context_length"), (uint32_t)c->rope_n_ctx_original);
        pp_gguf_put_f32(s->file, KEY("rope.scaling.yarn_beta_slow"), (float)c->rope_low_freq);
        pp_gguf_put_f32(s->file, KEY("rope.scaling.yarn_beta_fast"), (float)c->rope_high_freq);
        if (c->rope_attention > 0)
            pp_gguf_put_f32(s->file, KEY("rope.scaling.attn_factor"),
                            (float)(c->rope_attention / (0.1 * log(c->rope_factor) + 1)));
    }
    pp_gguf_put_u32(s->file, KEY("vocab_size"), (uint32_t)c->n_vocab);
    if (c->n_reuse) pp_gguf_put_u32(s->file, KEY("kv_reuse_block_count"), (uint32_t)c->n_reuse);
#undef KEY
    /* What the tokenizer says about these two may be another thing than what the configuration does. */
    if (c->bos_id >= 0) pp_gguf_put_u32(s->file, "pippin.bos_token_id", (uint32_t)c->bos_id);
    if (c->eos_id >= 0) pp_gguf_put_u32(s->file, "pippin.eos_token_id", (uint32_t)c->eos_id);
    if (c->lora_rank > 0 && s->n_merge == 0) {
        pp_gguf_put_u32(s->file, "pippin.lora.rank", (uint32_t)c->lora_rank);
        pp_gguf_put_f32(s->file, "pippin.lora.alpha", c->lora_alpha);
    }
}

/* Rows of one head in the order of adjacent pairs: row 2i + p comes from row i + p * half. */
static size_t source_row(const saver *s, pp_site site, size_t row)
{
    const pippin_config *c = &s->w->config;
    const bool permute =
        c->arch == PIPPIN_ARCH_LLAMA && c->rope_pairs == PIPPIN_ROPE_HALVES && (site == PP_Q || site == PP_K);
    if (!permute) return row;
    const size_t d_head = (size_t)c->d_head, in = row % d_head;
    return row - in + in / 2 + in % 2 * (d_head / 2);
}

/* The row of a layer's matrix in f32 with the adapters' part: row += scale B[row] A. */
static void merge_row(saver *s, const pp_lora_site *const sites[PP_MAX_LORA], size_t row, size_t n_in)
{
    for (size_t i = 0; i < s->n_merge; i++) {
        const pp_lora *lora = s->merge[i].lora;
        const size_t rank = (size_t)lora->rank;
        if (!sites[i] || !sites[i]->a) continue;
        memset(s->delta, 0, n_in * sizeof *s->delta);
        for (size_t r = 0; r < rank; r++) {
            const float b = sites[i]->b[row * rank + r], *a = sites[i]->a + r * n_in;
            for (size_t j = 0; j < n_in; j++) s->delta[j] += b * a[j];
        }
        for (size_t j = 0; j < n_in; j++) s->row[j] += s->merge[i].scale * s->delta[j];
    }
}

/* The adapters' parts of a matrix; false where none has one. Outside the layers there are none. */
static bool find_sites(const saver *s, pp_site site, const pp_lora_site *sites[PP_MAX_LORA])
{
    bool any = false;
    for (size_t i = 0; i < s->n_merge; i++) {
        sites[i] = site == PP_N_SITE ? NULL : &s->merge[i].lora->sites[(size_t)s->layer * PP_N_SITE + site];
        any |= sites[i] && sites[i]->a;
    }
    return any;
}

static void tell(saver *s)
{
    if (s->status == PIPPIN_OK && s->o->progress && s->o->progress(s->o->user, s->file->written, s->file->data_size))
        s->status = pp_fail(s->err, PIPPIN_E_CANCELLED, "%s: writing was cancelled, no file is left", s->path);
}

/* The type that a matrix is written in: embedding and head have one of their own, q4 beside q2. */
static pippin_type type_of(const saver *s, const pp_linear *l, pp_site site)
{
    if (!s->o->type) return l->type;
    if (site != PP_N_SITE) return s->o->type;
    return s->o->embedding_type ? s->o->embedding_type : pp_type_of_embedding(s->o->type);
}

/* Bytes to other readers, a matrix to us: see formats/gguf.c. */
static void announce_low(saver *s, const char *name, pippin_type type, const pp_linear *l)
{
    const int64_t bytes = (int64_t)pp_matrix_bytes(type, (size_t)l->n_out, (size_t)l->n_in);
    char key[PP_NAME_SIZE + 16], text[64];
    snprintf(key, sizeof key, "pippin.tensor.%s", name);
    snprintf(text, sizeof text, "%s %d %d", pippin_type_name(type), (int)l->n_out, (int)l->n_in);
    pp_gguf_put_text(s->file, key, text);
    pp_gguf_announce(s->file, &s->tensors, name, PIPPIN_I8, 1, &bytes);
}

/* One row of the matrix as it will be: in f32, with the adapters' part. */
static void wanted_row(saver *s, const pp_linear *l, pp_site site, size_t row,
                       const pp_lora_site *const sites[PP_MAX_LORA])
{
    const size_t source = source_row(s, site, row), n_in = (size_t)l->n_in;
    pp_matrix_decode(l->type, l->w, n_in, source, 0, n_in, s->row);
    merge_row(s, sites, source, n_in);
}

static void save_low(saver *s, const pp_linear *l, pp_site site, pippin_type type,
                     const pp_lora_site *const sites[PP_MAX_LORA])
{
    const int bits = pp_low_bits(type);
    const size_t n_in = (size_t)l->n_in, n_out = (size_t)l->n_out, group_bytes = pp_low_group_bytes(bits, n_in);
    for (size_t first = 0; first < n_out && s->status == PIPPIN_OK; first += PP_LOW_ROWS) {
        memset(s->encoded, 0, group_bytes);
        for (size_t row = first; row < PP_MIN(first + PP_LOW_ROWS, n_out); row++) {
            wanted_row(s, l, site, row, sites);
            pp_low_encode_row(bits, s->encoded, n_in, row - first, s->row, pp_low_best_scale(bits, s->row, n_in));
        }
        s->status = pp_gguf_data(s->file, s->encoded, group_bytes, s->err);
        tell(s);
    }
}

static void save_matrix(saver *s, const char *name, const pp_linear *l, pp_site site)
{
    if (!l->w || s->status != PIPPIN_OK) return;
    const int64_t shape[2] = {l->n_out, l->n_in};
    const pippin_type type = type_of(s, l, site);
    const pp_lora_site *sites[PP_MAX_LORA];
    const bool merged = find_sites(s, site, sites);
    if (pp_low_bits(type)) {
        if (s->announcing)
            announce_low(s, name, type, l);
        else if (type == l->type && !merged)
            s->status = pp_gguf_data(s->file, l->w, pp_matrix_bytes(type, (size_t)l->n_out, (size_t)l->n_in), s->err);
        else
            save_low(s, l, site, type, sites);
        if (!s->announcing && s->status == PIPPIN_OK) s->status = pp_gguf_pad(s->file, s->err);
        tell(s);
        return;
    }
    if (s->announcing) {
        if (merged && pp_type_block(type) != 1)
            s->status =
                pp_fail(s->err, PIPPIN_E_UNSUPPORTED,
                        "%s: %s is of type %s, which this version cannot write a merged matrix in; ask for f16, "
                        "bf16 or f32",
                        s->w->tensors.source, name, pippin_type_name(type));
        pp_gguf_announce(s->file, &s->tensors, name, type, 2, shape);
        return;
    }
    const size_t n_in = (size_t)l->n_in, from_bytes = pp_type_bytes(l->type, n_in),
                 to_bytes = pp_type_bytes(type, n_in);
    for (size_t row = 0; row < (size_t)l->n_out && s->status == PIPPIN_OK; row++) {
        const size_t source = source_row(s, site, row);
        const uint8_t *from = (const uint8_t *)l->w + source * from_bytes;
        if (merged || type != l->type) {
            wanted_row(s, l, site, row, sites);
            pp_encode_row(type, s->row, s->encoded, n_in);
            from = s->encoded;
        }
        s->status = pp_gguf_data(s->file, from, to_bytes, s->err);
        if (row % 256 == 255) tell(s);
    }
    if (s->status == PIPPIN_OK) s->status = pp_gguf_pad(s->file, s->err);
}

static void save_vector(saver *s, const char *name, const float *v, int64_t n)
{
    if (!v || s->status != PIPPIN_OK) return;
    if (s->announcing) {
        pp_gguf_announce(s->file, &s->tensors, name, PIPPIN_F32, 1, &n);
        return;
    }
    s->status = pp_gguf_data(s->file, v, (size_t)n * sizeof *v, s->err);
    if (s->status == PIPPIN_OK) s->status = pp_gguf_pad(s->file, s->err);
}

/* Biases of Q and K are permuted with their rows. */
static void save_bias(saver *s, const char *name, const pp_linear *l, pp_site site)
{
    if (!l->bias) return;
    for (size_t i = 0; i < (size_t)l->n_out && !s->announcing; i++) s->row[i] = l->bias[source_row(s, site, i)];
    save_vector(s, name, s->announcing ? l->bias : s->row, l->n_out);
}

static pp_part bias_of(pp_site site)
{
    return site == PP_Q ? PP_PART_Q_BIAS : site == PP_K ? PP_PART_K_BIAS : PP_PART_V_BIAS;
}

static void save_layer(saver *s, int32_t i)
{
    static const pp_part matrices[PP_N_SITE] = {PP_PART_Q,    PP_PART_K,  PP_PART_V,   PP_PART_O,
                                                PP_PART_GATE, PP_PART_UP, PP_PART_DOWN};
    const pippin_config *c = &s->w->config;
    const pp_layer *l = &s->w->layers[i];
    char name[PP_NAME_SIZE];
    s->layer = i;
#define NAME(part) (pp_part_name(c, PP_NAMING_GGUF, i, part, false, name), name)
    save_vector(s, NAME(PP_PART_ATTN_NORM), l->attn_norm, c->d_model);
    save_vector(s, NAME(PP_PART_FFN_NORM), l->ffn_norm, c->d_model);
    save_vector(s, NAME(PP_PART_Q_NORM), l->q_norm, c->d_head);
    save_vector(s, NAME(PP_PART_K_NORM), l->k_norm, c->d_head);
    for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
        save_matrix(s, NAME(matrices[site]), &l->site[site], site);
        if (site <= PP_V) save_bias(s, NAME(bias_of(site)), &l->site[site], site);
    }
#undef NAME
    for (int value = 0; value < 2; value++)
        if (l->k_scale > 0 && pp_scale_name(c, PP_NAMING_GGUF, i, value, name))
            save_vector(s, name, value ? &l->v_scale : &l->k_scale, 1);
}

static void save_all(saver *s, bool announcing)
{
    const pp_weights *w = s->w;
    s->announcing = announcing;
    save_matrix(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_EMBEDDING), &w->embedding, PP_N_SITE);
    save_vector(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_NORM), w->out_norm, w->config.d_model);
    if (!w->config.tied_head) save_matrix(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_HEAD), &w->head, PP_N_SITE);
    save_vector(s, "rope_freqs.weight", s->factors, w->config.d_head / 2);
    for (int32_t i = 0; i < w->config.n_layer; i++) save_layer(s, i);
}

/* Llama 3's scaling as the factors that other readers know: what the plain frequency is divided by. */
static void find_factors(saver *s, float *factors)
{
    const pippin_config *c = &s->w->config;
    s->factors = s->w->rope_factors;
    if (c->rope_scaling != PIPPIN_ROPE_SCALING_LLAMA3) return;
    for (int32_t i = 0; i < c->d_head / 2; i++) {
        const double freq = pp_rope_frequency(c, i, false);
        factors[i] = (float)(freq / pp_rope_frequency(c, i, true));
    }
    s->factors = factors;
}

static void write_all(saver *s, float *factors)
{
    find_factors(s, factors);
    put_values(s);
    save_all(s, true);
    if (s->status == PIPPIN_OK) s->status = pp_gguf_start(s->file, &s->tensors, s->path, s->err);
    if (s->status == PIPPIN_OK) save_all(s, false);
    tell(s);
    if (s->status == PIPPIN_OK) s->status = pp_gguf_commit(s->file, s->err);
}

pippin_status pp_weights_save_gguf(const pp_weights *w, const pippin_save_options *options, const pp_lora_use *merge,
                                   size_t n_merge, pp_gguf_writer *values, const char *path, pippin_error *err)
{
    for (int i = 0; i < 2; i++) {
        const pippin_type wanted = i ? options->embedding_type : options->type;
        if (wanted && !pp_low_bits(wanted) && (pp_type_block(wanted) != 1 || !pp_type_is_weight(wanted)))
            return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                           "type %s: cannot be written by this version, expected f32, f16, bf16, q8, q4 or q2",
                           pippin_type_name(wanted));
    }
    const pippin_config *c = &w->config;
    const size_t widest = (size_t)PP_MAX(PP_MAX(c->d_model, c->d_ffn), c->n_head * c->d_head);
    saver s = {.w = w, .o = options, .merge = merge, .n_merge = n_merge, .file = values, .path = path, .err = err};
    float *factors = pp_alloc((size_t)c->d_head * sizeof *factors);
    s.row = pp_alloc(widest * sizeof *s.row);
    s.delta = pp_alloc(widest * sizeof *s.delta);
    s.encoded = pp_alloc(PP_MAX(widest * sizeof *s.row, pp_low_group_bytes(8, widest)));
    if (!factors || !s.row || !s.delta || !s.encoded)
        s.status = pp_fail_memory(err, path, 3 * widest * sizeof *s.row);
    else
        write_all(&s, factors);
    pp_gguf_abort(&s.tensors);
    pp_free(factors);
    pp_free(s.row);
    pp_free(s.delta);
    pp_free(s.encoded);
    return s.status;
}
