/*
 * master.c - a copy of a model's weights for training: every parameter in f32, all of them in one block, under the names
 * that saving uses. Static K/V scales come along but are no parameters.
 */
#include <string.h>

#include "model/names.h"

/*
 * Rows of l into `to`. A file that rotates adjacent pairs (llama2.c, GGUF) gets the rows of each head in the order of Hugging
 * Face, which rotates halves: row 2i + p of a head goes to p * d_head / 2 + i.
 */
static void copy_matrix(const pp_linear *l, int32_t d_head_to_split, float *to)
{
    const size_t n_in = (size_t)l->n_in, d = (size_t)d_head_to_split;
    for (size_t row = 0; row < (size_t)l->n_out; row++) {
        const size_t i = d ? row % d : 0, place = d ? row - i + i % 2 * (d / 2) + i / 2 : row;
        pp_matrix_decode(l->type, l->w, n_in, row, 0, n_in, to + place * n_in);
    }
}

static void copy_part(const pp_weights *w, int32_t layer, pp_part part, float *to, size_t n)
{
    const pp_layer *l = &w->layers[layer];
    const pippin_config *c = &w->config;
    const int32_t split = c->arch == PIPPIN_ARCH_LLAMA && c->rope_pairs == PIPPIN_ROPE_ADJACENT ? c->d_head : 0;
    const float *vector = NULL;
    switch (part) {
    case PP_PART_ATTN_NORM: vector = l->attn_norm; break;
    case PP_PART_FFN_NORM: vector = l->ffn_norm; break;
    case PP_PART_Q_NORM: vector = l->q_norm; break;
    case PP_PART_K_NORM: vector = l->k_norm; break;
    case PP_PART_Q_BIAS: vector = l->site[PP_Q].bias; break;
    case PP_PART_K_BIAS: vector = l->site[PP_K].bias; break;
    case PP_PART_V_BIAS: vector = l->site[PP_V].bias; break;
    case PP_PART_QKV:
        for (pp_site site = PP_Q; site <= PP_V; site++) {
            copy_matrix(&l->site[site], 0, to);
            to += (size_t)l->site[site].n_out * (size_t)l->site[site].n_in;
        }
        return;
    case PP_PART_Q: copy_matrix(&l->site[PP_Q], split, to); return;
    case PP_PART_K: copy_matrix(&l->site[PP_K], split, to); return;
    case PP_PART_V: copy_matrix(&l->site[PP_V], 0, to); return;
    case PP_PART_O: copy_matrix(&l->site[PP_O], 0, to); return;
    case PP_PART_GATE: copy_matrix(&l->site[PP_GATE], 0, to); return;
    case PP_PART_UP: copy_matrix(&l->site[PP_UP], 0, to); return;
    case PP_PART_DOWN: copy_matrix(&l->site[PP_DOWN], 0, to); return;
    case PP_N_PART: return;
    }
    if (vector)
        memcpy(to, vector, n * sizeof *to);
    else
        memset(to, 0, n * sizeof *to); /* a bias that the file left out */
}

typedef struct master {
    const pp_weights *from;
    pp_naming naming;
    pp_tensors tensors;
    float *values; /* NULL while the parameters are being counted */
    size_t n;
    pippin_error *err;
} master;

/* The next parameter's place; NULL while counting, and after a failure. */
static float *place(master *m, const char *name, int32_t n_dim, const int64_t *shape, pippin_status *status)
{
    pp_tensor t = {.type = PIPPIN_F32, .n_dim = n_dim, .n_elem = 1};
    for (int32_t i = 0; i < n_dim; i++) {
        t.shape[i] = shape[i];
        t.n_elem *= (size_t)shape[i];
    }
    float *to = m->values ? m->values + m->n : NULL;
    t.data = to;
    t.bytes = t.n_elem * sizeof(float);
    m->n += t.n_elem;
    if (to && *status == PIPPIN_OK) *status = pp_tensors_add(&m->tensors, name, strlen(name), &t, m->err);
    return *status == PIPPIN_OK ? to : NULL;
}

static pippin_status place_all(master *m)
{
    const pp_weights *w = m->from;
    const pippin_config *c = &w->config;
    const int64_t matrix[2] = {c->n_vocab, c->d_model};
    pippin_status status = PIPPIN_OK;
    float *to = place(m, pp_top_name(m->naming, PP_TOP_EMBEDDING), 2, matrix, &status);
    if (to) copy_matrix(&w->embedding, 0, to);
    for (int32_t layer = 0; layer < c->n_layer; layer++)
        for (pp_part part = PP_PART_ATTN_NORM; part < PP_N_PART && status == PIPPIN_OK; part++) {
            int32_t n_dim;
            int64_t shape[2];
            char name[PP_NAME_SIZE];
            if (!pp_part_shape(c, m->naming, layer, part, &n_dim, shape)) continue;
            pp_part_name(c, m->naming, layer, part, false, name);
            to = place(m, name, n_dim, shape, &status);
            if (to) copy_part(w, layer, part, to, (size_t)shape[0]);
        }
    to = place(m, pp_top_name(m->naming, PP_TOP_NORM), 1, matrix + 1, &status);
    if (to) memcpy(to, w->out_norm, (size_t)c->d_model * sizeof *to);
    to = c->tied_head ? NULL : place(m, pp_top_name(m->naming, PP_TOP_HEAD), 2, matrix, &status);
    if (to) copy_matrix(&w->head, 0, to);
    return status;
}

static pippin_status copy_scales(master *m)
{
    const pp_weights *w = m->from;
    pippin_status status = PIPPIN_OK;
    for (int32_t layer = 0; w->has_kv_scales && layer < w->n_full; layer++)
        for (int value = 0; value < 2 && status == PIPPIN_OK; value++) {
            char name[PP_NAME_SIZE];
            float *scale = pp_alloc(sizeof *scale);
            if (!scale) return pp_fail_memory(m->err, "K/V scales", sizeof *scale);
            *scale = value ? w->layers[layer].v_scale : w->layers[layer].k_scale;
            const pp_tensor t = {.type = PIPPIN_F32, .data = scale, .n_elem = 1, .bytes = sizeof *scale};
            pp_scale_name(&w->config, m->naming, layer, value, name);
            status = pp_tensors_own_block(&m->tensors, scale, m->err);
            if (status == PIPPIN_OK) status = pp_tensors_add(&m->tensors, name, strlen(name), &t, m->err);
        }
    return status;
}

pippin_status pp_weights_master(const pp_weights *from, size_t n_extra, pp_weights *out, float **values, size_t *n,
                                pippin_error *err)
{
    pippin_config config = from->config;
    master m = {.from = from, .naming = pp_native_naming(&config), .err = err};
    *out = (pp_weights){0};
    if (from->rope_factors)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: rope_freqs.weight: this file stretches rotary frequencies one by one, "
                       "which a config.json cannot say; train from the Hugging Face folder",
                       from->tensors.source);
    pippin_status status = place_all(&m);
    const size_t count = m.n;
    m.n = 0;
    m.values = pp_alloc_zero(count + n_extra, sizeof *m.values);
    if (!m.values) return pp_fail_memory(err, "weights in f32", count * sizeof *m.values);
    pp_advise_whole(m.values, count * sizeof *m.values);
    *values = m.values;
    *n = count;
    status = pp_tensors_init(&m.tensors, from->tensors.source, err);
    if (status == PIPPIN_OK)
        status = pp_tensors_own_block(&m.tensors, m.values, err);
    else
        pp_free(m.values);
    if (status == PIPPIN_OK) status = place_all(&m);
    if (status == PIPPIN_OK) status = copy_scales(&m);
    if (status == PIPPIN_OK) status = pp_tensors_finish(&m.tensors, err);
    if (config.arch == PIPPIN_ARCH_LLAMA) config.rope_pairs = PIPPIN_ROPE_HALVES;
    if (status == PIPPIN_OK) status = pp_weights_bind(&config, m.naming, &m.tensors, out, err);
    pp_tensors_free(&m.tensors);
    return status;
}
