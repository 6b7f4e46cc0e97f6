/*
 * save_gguf.c - a model as GGUF: other makers' names and keys where they have them, "afm7" with keys of our own for what
 * only AFM has. Llama's Q and K rows are stored for the rotation of adjacent pairs, as every reader of that architecture
 * expects them. Adapters are merged a row at a time, so that no second model is ever in memory. With a text to calibrate by, a
 * layer is rounded just before it is written, and embedding and head come last.
 */
#include <math.h>
#include <string.h>

#include "model/calibrate.h"
#include "model/names.h"

static const char *arch_name(pippin_arch arch)
{
    static const char *const names[] = {[PIPPIN_ARCH_AFM] = "afm7",
                                        [PIPPIN_ARCH_LLAMA] = "llama",
                                        [PIPPIN_ARCH_QWEN2] = "qwen2",
                                        [PIPPIN_ARCH_QWEN3] = "qwen3"};
    return names[arch];
}

enum { SLICE = 8 * PP_LOW_ROWS }; /* rows that are encoded together: a group a thread */

typedef struct saver {
    const pp_weights *w;
    const pp_saving *how;
    const pippin_save_options *o;
    pp_gguf_writer *file, tensors;
    const char *path;
    int32_t layer;
    bool announcing;           /* first pass: descriptions; second: bytes */
    const float *factors;      /* [d_head / 2] of the rotary frequencies, or NULL */
    bool *matched;             /* [n_tensor_type] whether anything was */
    float *row, *delta;        /* [widest] */
    float *rows, *scales;      /* [SLICE][widest], [SLICE]: rows of a low-bit matrix */
    void *encoded;             /* as many in the wanted type */
    pp_calibrator *calibrator; /* NULL: by the weights alone */
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
    if (c->lora_rank > 0 && s->how->n_merge == 0) {
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

/* The adapters' part of a row of a layer's matrix: to += scale B[row] A. */
static void merge_row(saver *s, const pp_lora_site *const sites[PP_MAX_LORA], size_t row, size_t n_in, float *to)
{
    for (size_t i = 0; i < s->how->n_merge; i++) {
        const pp_lora *lora = s->how->merge[i].lora;
        const size_t rank = (size_t)lora->rank;
        if (!sites[i] || !sites[i]->a) continue;
        memset(s->delta, 0, n_in * sizeof *s->delta);
        for (size_t r = 0; r < rank; r++) {
            const float *a = (const float *)sites[i]->a + r * n_in, b = ((const float *)sites[i]->b)[row * rank + r];
            for (size_t j = 0; j < n_in; j++) s->delta[j] += b * a[j];
        }
        for (size_t j = 0; j < n_in; j++) to[j] += s->how->merge[i].scale * s->delta[j];
    }
}

/* The adapters' parts of a matrix; false where none has one. Outside the layers there are none. */
static bool find_sites(const saver *s, pp_site site, const pp_lora_site *sites[PP_MAX_LORA])
{
    bool any = false;
    for (size_t i = 0; i < s->how->n_merge; i++) {
        sites[i] = site == PP_N_SITE ? NULL : &s->how->merge[i].lora->sites[(size_t)s->layer * PP_N_SITE + site];
        any |= sites[i] && sites[i]->a;
    }
    return any;
}

static void tell(saver *s)
{
    if (s->status == PIPPIN_OK && s->o->progress && s->o->progress(s->o->user, s->file->written, s->file->data_size))
        s->status = pp_fail(s->err, PIPPIN_E_CANCELLED, "%s: writing was cancelled, no file is left", s->path);
}

/* The type that a matrix is written in: that of the first pattern; embedding and head have one of their own, q4 beside q2. */
static pippin_type type_of(const saver *s, const char *name, const pp_linear *l, pp_site site)
{
    for (size_t i = 0; i < s->o->n_tensor_type; i++)
        if (pp_name_matches(s->o->tensor_types[i].pattern, name)) return s->o->tensor_types[i].type;
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

/* One row of the file's matrix as it will be, before it is rounded: in f32, with the adapters' part. */
static void plain_row(saver *s, const pp_linear *l, size_t row, const pp_lora_site *const sites[PP_MAX_LORA], float *to)
{
    pp_matrix_decode(l->type, l->w, (size_t)l->n_in, row, 0, (size_t)l->n_in, to);
    merge_row(s, sites, row, (size_t)l->n_in, to);
}

/* ---- low bits ---- */

typedef struct slice {
    const saver *s;
    int bits;
    size_t n_in, n_row;
    bool rounded; /* the rows are, and their scales are there */
} slice;

static void encode_task(void *arg, int thread, int n_thread)
{
    const slice *a = arg;
    const size_t group_bytes = pp_low_group_bytes(a->bits, a->n_in);
    size_t first, last;
    pp_team_share(a->n_row, PP_LOW_ROWS, thread, n_thread, &first, &last);
    for (size_t row = first; row < last; row++) {
        uint8_t *group = (uint8_t *)a->s->encoded + row / PP_LOW_ROWS * group_bytes;
        const float *w = a->s->rows + row * a->n_in;
        if (row % PP_LOW_ROWS == 0) memset(group, 0, group_bytes);
        const float scale = a->rounded ? a->s->scales[row] : pp_low_best_scale(a->bits, w, NULL, a->n_in);
        pp_low_encode_row(a->bits, group, a->n_in, row % PP_LOW_ROWS, w, scale);
    }
}

/* The head, also where it is the embedding. */
static bool is_calibrated_head(const saver *s, const pp_linear *l, pp_site site)
{
    return s->calibrator && site == PP_N_SITE && l->w == s->w->head.w;
}

/* Rows of a slice: of a layer that was calibrated as it left them, else plain, and of the head then rounded for its inputs. */
static bool fill_slice(saver *s, const pp_linear *l, pp_site site, const pp_lora_site *const sites[PP_MAX_LORA],
                       size_t first, const slice *a)
{
    const pp_calibrator *c = s->calibrator;
    for (size_t i = 0; i < a->n_row; i++) {
        const size_t row = source_row(s, site, first + i);
        float *to = s->rows + i * a->n_in;
        if (!c || site == PP_N_SITE) {
            plain_row(s, l, row, sites, to);
            continue;
        }
        memcpy(to, c->matrix[site] + row * a->n_in, a->n_in * sizeof *to);
        s->scales[i] = c->scales[site][row];
    }
    const bool head = is_calibrated_head(s, l, site);
    if (head) pp_round_matrix(&c->moments, a->bits, s->rows, a->n_row, s->scales);
    return head || (c && site < PP_N_SITE);
}

static void save_low(saver *s, const pp_linear *l, pp_site site, pippin_type type,
                     const pp_lora_site *const sites[PP_MAX_LORA])
{
    slice a = {.s = s, .bits = pp_low_bits(type), .n_in = (size_t)l->n_in};
    const size_t n_out = (size_t)l->n_out;
    if (is_calibrated_head(s, l, site)) pp_calibrator_head(s->calibrator);
    for (size_t first = 0; first < n_out && s->status == PIPPIN_OK; first += SLICE) {
        a.n_row = PP_MIN((size_t)SLICE, n_out - first);
        a.rounded = fill_slice(s, l, site, sites, first, &a);
        pp_team_run_worth(s->how->team, (uint64_t)a.n_row * a.n_in * 40, encode_task, &a);
        s->status = pp_gguf_data(s->file, s->encoded, pp_matrix_bytes(type, a.n_row, a.n_in), s->err);
        tell(s);
    }
}

static void mark_matches(saver *s, const char *name)
{
    for (size_t i = 0; i < s->o->n_tensor_type && s->announcing; i++)
        s->matched[i] |= pp_name_matches(s->o->tensor_types[i].pattern, name);
}

static void save_matrix(saver *s, const char *name, const pp_linear *l, pp_site site)
{
    if (!l->w || s->status != PIPPIN_OK) return;
    const int64_t shape[2] = {l->n_out, l->n_in};
    const pippin_type type = type_of(s, name, l, site);
    mark_matches(s, name);
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
            plain_row(s, l, source, sites, s->row);
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

static const pp_part matrices[PP_N_SITE] = {PP_PART_Q,    PP_PART_K,  PP_PART_V,   PP_PART_O,
                                            PP_PART_GATE, PP_PART_UP, PP_PART_DOWN};

/* Rounds the matrices of a layer for the text; what has its type already stays. */
static void calibrate_layer(saver *s)
{
    pp_calibrator *c = s->calibrator;
    char name[PP_NAME_SIZE];
    for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
        const pp_linear *l = &s->w->layers[s->layer].site[site];
        const pp_lora_site *sites[PP_MAX_LORA];
        const bool merged = find_sites(s, site, sites);
        if (!l->w) continue;
        pp_part_name(&s->w->config, PP_NAMING_GGUF, s->layer, matrices[site], false, name);
        const pippin_type type = type_of(s, name, l, site);
        c->bits[site] = type == l->type && !merged ? 0 : pp_low_bits(type);
        for (size_t row = 0; row < (size_t)l->n_out; row++)
            plain_row(s, l, row, sites, c->matrix[site] + row * (size_t)l->n_in);
    }
    pp_calibrator_layer(c, s->layer);
}

/* The static scales of K and V: the model's own, or those that were observed. */
static void save_kv_scales(saver *s)
{
    const pp_layer *l = &(s->calibrator ? s->calibrator->weights.layers : s->w->layers)[s->layer];
    const bool observed = s->calibrator && s->calibrator->observes;
    char name[PP_NAME_SIZE];
    for (int value = 0; value < 2; value++)
        if ((l->k_scale > 0 || observed) && pp_scale_name(&s->w->config, PP_NAMING_GGUF, s->layer, value, name))
            save_vector(s, name, value ? &l->v_scale : &l->k_scale, 1);
}

static void save_layer(saver *s, int32_t i)
{
    const pippin_config *c = &s->w->config;
    const pp_layer *l = &s->w->layers[i];
    char name[PP_NAME_SIZE];
    s->layer = i;
    if (s->calibrator && !s->announcing && s->status == PIPPIN_OK) calibrate_layer(s);
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
    save_kv_scales(s);
}

static void save_all(saver *s, bool announcing)
{
    const pp_weights *w = s->w;
    s->announcing = announcing;
    save_vector(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_NORM), w->out_norm, w->config.d_model);
    save_vector(s, "rope_freqs.weight", s->factors, w->config.d_head / 2);
    for (int32_t i = 0; i < w->config.n_layer; i++) save_layer(s, i);
    save_matrix(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_EMBEDDING), &w->embedding, PP_N_SITE);
    if (!w->config.tied_head) save_matrix(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_HEAD), &w->head, PP_N_SITE);
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

/* After the descriptions: has every pattern found something? */
static void check_matches(saver *s)
{
    for (size_t i = 0; i < s->o->n_tensor_type && s->status == PIPPIN_OK; i++)
        if (!s->matched[i])
            s->status = pp_fail(s->err, PIPPIN_E_ARGUMENT,
                                "tensor type %s=%s: matches no matrix of %s, expected names as the GGUF file has them, "
                                "such as blk.0.ffn_down.weight, blk.*.attn_?.weight or token_embd.weight",
                                s->o->tensor_types[i].pattern, pippin_type_name(s->o->tensor_types[i].type),
                                s->w->tensors.source);
}

static bool cancelled(void *user)
{
    saver *s = user;
    tell(s);
    return s->status != PIPPIN_OK;
}

static void write_all(saver *s, float *factors)
{
    find_factors(s, factors);
    put_values(s);
    save_all(s, true);
    check_matches(s);
    if (s->status == PIPPIN_OK) s->status = pp_gguf_start(s->file, &s->tensors, s->path, s->err);
    if (s->status == PIPPIN_OK) save_all(s, false);
    tell(s);
    if (s->status == PIPPIN_OK) s->status = pp_gguf_commit(s->file, s->err);
}

/* Where there is a text: the first layer's inputs are the rows of the embedding as they will be. */
static void start_calibration(saver *s, pp_calibrator *c)
{
    const pp_linear *e = &s->w->embedding;
    const pippin_type type = type_of(s, pp_top_name(PP_NAMING_GGUF, PP_TOP_EMBEDDING), e, PP_N_SITE);
    s->calibrator = c;
    s->announcing = false;
    if (s->status == PIPPIN_OK)
        s->status = pp_calibrator_create(s->w, s->how, type == e->type ? 0 : pp_low_bits(type), c, s->err);
    c->stop = cancelled;
    c->user = s;
}

static bool allocate(saver *s, size_t widest)
{
    s->matched = pp_alloc_zero(s->o->n_tensor_type + 1, sizeof *s->matched);
    s->row = pp_alloc(widest * sizeof *s->row);
    s->delta = pp_alloc(widest * sizeof *s->delta);
    s->rows = pp_alloc(SLICE * widest * sizeof *s->rows);
    s->scales = pp_alloc(SLICE * sizeof *s->scales);
    s->encoded = pp_alloc(PP_MAX(widest * sizeof *s->row, pp_matrix_bytes(PIPPIN_Q8, SLICE, widest)));
    return s->matched && s->row && s->delta && s->rows && s->scales && s->encoded;
}

static pippin_status check_type(pippin_type wanted, pippin_error *err)
{
    if (!wanted || pp_low_bits(wanted) || (pp_type_block(wanted) == 1 && pp_type_is_weight(wanted))) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                   "type %s: cannot be written by this version, expected f32, f16, bf16, q8, q4 or q2",
                   pippin_type_name(wanted));
}

pippin_status pp_weights_save_gguf(const pp_weights *w, const pp_saving *how, const char *path, pippin_error *err)
{
    const pippin_config *c = &w->config;
    const size_t widest = (size_t)PP_MAX(PP_MAX(c->d_model, c->d_ffn), c->n_head * c->d_head);
    saver s = {.w = w, .how = how, .o = how->options, .file = how->values, .path = path, .err = err};
    s.status = check_type(s.o->type, err);
    if (s.status == PIPPIN_OK) s.status = check_type(s.o->embedding_type, err);
    for (size_t i = 0; i < s.o->n_tensor_type && s.status == PIPPIN_OK; i++)
        s.status = check_type(s.o->tensor_types[i].type, err);
    if (s.status != PIPPIN_OK) return s.status;
    float *factors = pp_alloc((size_t)c->d_head * sizeof *factors);
    pp_calibrator calibrator = {0};
    if (!allocate(&s, widest) || !factors)
        s.status = pp_fail_memory(err, path, (SLICE + 4) * widest * sizeof *s.row);
    else if (how->calibration)
        start_calibration(&s, &calibrator);
    if (s.status == PIPPIN_OK) write_all(&s, factors);
    pp_calibrator_free(&calibrator);
    pp_gguf_abort(&s.tensors);
    pp_free(factors);
    pp_free(s.matched);
    pp_free(s.row);
    pp_free(s.delta);
    pp_free(s.rows);
    pp_free(s.scales);
    pp_free(s.encoded);
    return s.status;
}
