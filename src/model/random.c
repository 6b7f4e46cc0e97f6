/*
 * random.c - models with random weights, for benchmarks and training from scratch; and saving. Matrices are normal with
 * standard deviation 1/sqrt(n_in), those that write to the residual stream smaller by sqrt(2 n_layer) so that its
 * variance does not grow with depth; the embedding has 0.02; norms are 1.
 */
#include <math.h>
#include <string.h>

#include "model/names.h"

enum { N_QUANTILE = 1 << 16 };

/* Inverse of the normal distribution (Acklam's rational approximation, 1.2e-9 relative), for 0 < p < 1. */
static double normal_quantile(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                               1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,  -1.556989798598866e+02,
                               6.680131188771972e+01,  -1.328068155288572e+01, 1.0};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                               -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00, 1.0};
    const double q = p - 0.5, tail = sqrt(-2 * log(p < 0.5 ? p : 1 - p));
    double above = 0, below = 0;
    if (fabs(q) <= 0.47575) {
        for (int i = 0; i < 6; i++) above = above * q * q + a[i], below = below * q * q + b[i];
        return q * above / below;
    }
    for (int i = 0; i < 6; i++) above = above * tail + c[i];
    for (int i = 0; i < 5; i++) below = below * tail + d[i];
    return p < 0.5 ? above / below : -above / below;
}

/* One tensor being filled by a team: 16 random bits choose one of 65,536 equally likely values, stored in its type. */
typedef struct fill {
    pippin_type type;
    void *data;
    size_t n, rows, columns; /* n elements; of low-bit types the matrix's two sides */
    uint64_t seed, stream;
    float scale; /* of every row of a low-bit matrix, or block */
    float values[N_QUANTILE];
    uint16_t halves[N_QUANTILE];
    uint8_t codes[N_QUANTILE];
} fill;

/* One block's bytes, each of codes that 4 columns lie apart; those past the last row or column stay 0. */
static void fill_block(const fill *f, int bits, size_t row, size_t k, uint64_t index, uint8_t *to)
{
    const size_t each = 8 / (size_t)bits; /* codes of a byte */
    uint64_t random = 0;
    size_t n = 0;
    for (size_t i = 0; i < PP_LOW_BLOCK; i++) {
        unsigned byte = 0;
        for (size_t j = 0; j < each; j++, n++, random >>= 16) {
            if (n % 4 == 0) random = pp_random_fast(f->seed, f->stream, index * (PP_LOW_BLOCK * each / 4) + n / 4);
            if (k + 4 * j + i % 4 < f->columns) byte |= (unsigned)f->codes[random & 0xffff] << (size_t)bits * j;
        }
        to[i] = row + i / 4 < f->rows ? (uint8_t)byte : 0;
    }
}

static void fill_low_share(void *arg, int thread, int n_thread)
{
    const fill *f = arg;
    const int bits = pp_low_bits(f->type);
    const size_t group_bytes = pp_low_group_bytes(bits, f->columns), width = 32 / (size_t)bits;
    const size_t n_block = pp_low_columns(bits, f->columns) / width;
    size_t first, last;
    pp_team_share((f->rows + PP_LOW_ROWS - 1) / PP_LOW_ROWS, 1, thread, n_thread, &first, &last);
    for (size_t group = first; group < last; group++) {
        uint8_t *at = (uint8_t *)f->data + group * group_bytes;
        for (size_t r = 0; r < PP_LOW_ROWS; r++)
            ((float *)(void *)at)[r] = group * PP_LOW_ROWS + r < f->rows ? f->scale : 0;
        at += PP_LOW_ROWS * sizeof(float);
        for (size_t b = 0; b < n_block; b++, at += PP_LOW_BLOCK)
            fill_block(f, bits, group * PP_LOW_ROWS, b * width, group * n_block + b, at);
    }
}

static void fill_share(void *arg, int thread, int n_thread)
{
    const fill *f = arg;
    size_t first, last;
    pp_team_share(f->n, 4, thread, n_thread, &first, &last);
    uint64_t bits = 0; /* of four values; shares start at a multiple of four */
    for (size_t i = first; i < last; i++) {
        if (i % 4 == 0) bits = pp_random_fast(f->seed, f->stream, i / 4);
        const uint16_t pick = (uint16_t)(bits >> (16 * (i % 4)));
        if (f->type == PIPPIN_F32)
            ((float *)f->data)[i] = f->values[pick];
        else
            ((uint16_t *)f->data)[i] = f->halves[pick];
    }
}

/* Blocks of GGUF's types: any bytes are codes and scales of theirs, and the f16 beside them give these their size. */
typedef struct block_numbers {
    uint8_t d, m;    /* where the f16 are in a block; m 0: there is none */
    float deviation; /* of a block's weights where d is 1, */
    float low;       /* and m that which makes their mean 0 */
} block_numbers;

static const block_numbers blocks[] = {
    [PIPPIN_GGUF_Q4_0] = {0, 0, 4.6f, 0},    [PIPPIN_GGUF_Q4_1] = {0, 2, 4.6f, -7.5f},
    [PIPPIN_GGUF_Q5_0] = {0, 0, 9.2f, 0},    [PIPPIN_GGUF_Q5_1] = {0, 2, 9.2f, -15.5f},
    [PIPPIN_GGUF_Q8_0] = {0, 0, 74, 0},      [PIPPIN_GGUF_Q2_K] = {80, 82, 13.9f, 1.5f},
    [PIPPIN_GGUF_Q3_K] = {108, 0, 43, 0},    [PIPPIN_GGUF_Q4_K] = {0, 2, 258, 7.5f},
    [PIPPIN_GGUF_Q5_K] = {0, 2, 526, 15.5f}, [PIPPIN_GGUF_Q6_K] = {208, 0, 1365, 0},
};

static void fill_blocks_share(void *arg, int thread, int n_thread)
{
    const fill *f = arg;
    const block_numbers *b = &blocks[f->type];
    const size_t width = pp_type_block(f->type), bytes = pp_type_bytes(f->type, width);
    const uint16_t d = pp_f32_to_f16(f->scale), m = pp_f32_to_f16(f->scale * b->low);
    size_t first, last;
    pp_team_share(f->n / width, 1, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i++) {
        uint8_t *to = (uint8_t *)f->data + i * bytes;
        uint64_t random = 0;
        for (size_t j = 0; j < bytes; j++, random >>= 8) {
            if (j % 8 == 0) random = pp_random_fast(f->seed, f->stream, i * 32 + j / 8);
            to[j] = (uint8_t)random;
        }
        memcpy(to + b->d, &d, sizeof d);
        if (b->m) memcpy(to + b->m, &m, sizeof m);
    }
}

typedef struct maker {
    const pippin_config *config;
    pippin_type type, embedding_type;
    pp_tensors tensors;
    pp_team *team;
    fill *fill;
    float *quantiles; /* [N_QUANTILE] of the unit normal */
    pippin_error *err;
} maker;

/* Fills one tensor with normal values of its type. */
static void fill_normal(maker *m, const pp_tensor *t, void *data, double deviation)
{
    fill *f = m->fill;
    const int bits = pp_low_bits(t->type);
    f->type = t->type;
    f->data = data;
    f->n = t->n_elem;
    f->rows = (size_t)t->shape[0];
    f->columns = t->n_elem / f->rows;
    f->stream = m->tensors.n;
    for (int i = 0; i < N_QUANTILE; i++) f->values[i] = (float)(deviation * (double)m->quantiles[i]);
    if (pp_type_block(t->type) > 1) {
        f->scale = (float)deviation / blocks[t->type].deviation;
        pp_team_run(m->team, fill_blocks_share, f);
        return;
    }
    if (bits) {
        f->scale = pp_low_best_scale(bits, f->values, NULL, N_QUANTILE);
        for (int i = 0; i < N_QUANTILE; i++) f->codes[i] = pp_low_code(bits, f->values[i] / f->scale);
    } else if (t->type != PIPPIN_F32) {
        pp_encode_row(t->type, f->values, f->halves, N_QUANTILE);
    }
    pp_team_run(m->team, bits ? fill_low_share : fill_share, f);
}

/* Adds a tensor of `type`: normal values where deviation > 0, else f32 and all `constant`. */
static pippin_status make(maker *m, const char *name, pippin_type type, const int64_t *shape, int32_t n_dim,
                          double deviation, float constant)
{
    pp_tensor t = {.type = deviation > 0 ? type : PIPPIN_F32, .n_dim = n_dim, .n_elem = 1};
    for (int32_t i = 0; i < n_dim; i++) {
        t.shape[i] = shape[i];
        t.n_elem *= (size_t)shape[i];
    }
    if (!pp_low_bits(t.type) && shape[n_dim - 1] % (int64_t)pp_type_block(t.type))
        return pp_fail(m->err, PIPPIN_E_UNSUPPORTED,
                       "%s: rows of %lld weights, expected whole blocks of %zu for %s; use another type", name,
                       (long long)shape[n_dim - 1], pp_type_block(t.type), pippin_type_name(t.type));
    t.bytes = pp_matrix_bytes(t.type, n_dim == 2 ? (size_t)shape[0] : 1, (size_t)shape[n_dim - 1]);
    void *data = pp_alloc(t.bytes);
    if (!data) return pp_fail_memory(m->err, name, t.bytes);
    t.data = data;
    pp_advise_whole(data, t.bytes);
    if (deviation > 0)
        fill_normal(m, &t, data, deviation);
    else
        for (size_t i = 0; i < t.n_elem; i++) ((float *)data)[i] = constant;
    pippin_status status = pp_tensors_own_block(&m->tensors, data, m->err);
    return status == PIPPIN_OK ? pp_tensors_add(&m->tensors, name, strlen(name), &t, m->err) : status;
}

static pippin_status make_part(maker *m, pp_naming naming, int32_t layer, pp_part part)
{
    const pippin_config *c = m->config;
    int32_t n_dim;
    int64_t shape[2];
    char name[PP_NAME_SIZE];
    if (!pp_part_shape(c, naming, layer, part, &n_dim, shape)) return PIPPIN_OK;
    pp_part_name(c, naming, layer, part, false, name);
    const bool bias = part == PP_PART_Q_BIAS || part == PP_PART_K_BIAS || part == PP_PART_V_BIAS;
    if (n_dim == 1) return make(m, name, PIPPIN_F32, shape, 1, 0, bias ? 0 : 1);
    const double residual = part == PP_PART_O || part == PP_PART_DOWN ? 2.0 * c->n_layer : 1.0;
    return make(m, name, m->type, shape, 2, 1 / sqrt((double)shape[1] * residual), 0);
}

/*
 * Static K/V scales, where the model is to run as AFM does on its device, low-bit weights and all: K after its norm and V are
 * near one in size, and four deviations of them fit int8.
 */
static pippin_status make_kv_scales(maker *m, pp_naming naming, int32_t layer)
{
    const int64_t one = 1;
    char name[PP_NAME_SIZE];
    pippin_status status = PIPPIN_OK;
    for (int value = 0; value < 2 && status == PIPPIN_OK; value++)
        if (pp_scale_name(m->config, naming, layer, value, name))
            status = make(m, name, PIPPIN_F32, &one, 1, 0, 4.0f / 127);
    return status;
}

static pippin_status make_all(maker *m, pp_naming naming)
{
    const pippin_config *c = m->config;
    const int64_t matrix[2] = {c->n_vocab, c->d_model};
    const bool kv_scales = pp_low_bits(m->type) && c->qk_norm != PIPPIN_QK_NORM_NONE;
    pippin_status status = make(m, pp_top_name(naming, PP_TOP_EMBEDDING), m->embedding_type, matrix, 2, 0.02, 0);
    for (int32_t layer = 0; layer < c->n_layer; layer++) {
        for (pp_part part = PP_PART_ATTN_NORM; part < PP_N_PART && status == PIPPIN_OK; part++)
            status = make_part(m, naming, layer, part);
        if (status == PIPPIN_OK && kv_scales) status = make_kv_scales(m, naming, layer);
    }
    if (status == PIPPIN_OK) status = make(m, pp_top_name(naming, PP_TOP_NORM), PIPPIN_F32, matrix + 1, 1, 0, 1);
    if (status == PIPPIN_OK && !c->tied_head)
        status = make(m, pp_top_name(naming, PP_TOP_HEAD), m->embedding_type, matrix, 2, 0.02, 0);
    return status == PIPPIN_OK ? pp_tensors_finish(&m->tensors, m->err) : status;
}

pp_naming pp_native_naming(const pippin_config *c) { return c->arch == PIPPIN_ARCH_AFM ? PP_NAMING_MLX : PP_NAMING_HF; }

pippin_status pp_weights_random(const pippin_config *config, pippin_type type, uint64_t seed, pp_weights *out,
                                pippin_error *err)
{
    *out = (pp_weights){0};
    if (!pp_type_is_weight(type))
        return pp_fail(err, PIPPIN_E_UNSUPPORTED, "type %s: cannot be made by this version, expected a type of weights",
                       pippin_type_name(type));
    pippin_status status = pp_config_check(config, config->name, err);
    if (status != PIPPIN_OK) return status;
    maker m = {.config = config, .type = type, .embedding_type = pp_type_of_embedding(type), .err = err};
    m.team = pp_team_create(pp_cpu_count());
    m.fill = pp_alloc(sizeof *m.fill);
    m.quantiles = pp_alloc(N_QUANTILE * sizeof *m.quantiles);
    if (!m.team || !m.fill || !m.quantiles) {
        status = pp_fail_memory(err, config->name, sizeof *m.fill);
    } else {
        m.fill->seed = seed;
        for (int i = 0; i < N_QUANTILE; i++) m.quantiles[i] = (float)normal_quantile((i + 0.5) / N_QUANTILE);
        status = pp_tensors_init(&m.tensors, config->name, err);
        if (status == PIPPIN_OK) status = make_all(&m, pp_native_naming(config));
        if (status == PIPPIN_OK) status = pp_weights_bind(config, pp_native_naming(config), &m.tensors, out, err);
    }
    pp_tensors_free(&m.tensors);
    pp_team_free(m.team);
    pp_free(m.fill);
    pp_free(m.quantiles);
    return status;
}

bool pp_weights_scale_name(const pp_weights *w, int32_t layer, bool value, char *name, size_t size)
{
    char full[PP_NAME_SIZE];
    if (!pp_scale_name(&w->config, pp_native_naming(&w->config), layer, value, full)) return false;
    snprintf(name, size, "%s", full);
    return true;
}

pippin_status pp_weights_save(const pp_weights *w, const char *dir, pippin_error *err)
{
    return pp_weights_save_tensors(w, &w->tensors, dir, err);
}

pippin_status pp_weights_save_tensors(const pp_weights *w, const pp_tensors *tensors, const char *dir,
                                      pippin_error *err)
{
    const pippin_config *c = &w->config;
    if (w->naming != pp_native_naming(c) || (c->arch == PIPPIN_ARCH_LLAMA && c->rope_pairs != PIPPIN_ROPE_HALVES))
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: this file's layout cannot be saved as a folder; only safetensors models can",
                       w->tensors.source);
    pippin_status status = pp_dir_create(dir, err);
    if (status != PIPPIN_OK) return status;
    char *config_path = pp_path_join(dir, "config.json"), *weights_path = pp_path_join(dir, "model.safetensors");
    char *json = pp_config_json(c);
    pp_writer writer = {0};
    if (!config_path || !weights_path || !json) status = pp_fail_memory(err, dir, 4096);
    if (status == PIPPIN_OK)
        status =
            pp_safetensors_write(weights_path, tensors->items, tensors->n, tensors->metadata, tensors->n_metadata, err);
    if (status == PIPPIN_OK) status = pp_writer_open(config_path, &writer, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&writer, json, strlen(json), err);
    if (status == PIPPIN_OK) status = pp_writer_commit(&writer, err);
    pp_writer_abort(&writer);
    pp_free(config_path);
    pp_free(weights_path);
    pp_free(json);
    return status;
}
