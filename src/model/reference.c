/*
 * reference.c - the whole network in plain C, for ever: one token after another, no kernels, no threads, no cache types,
 * sums in double. It is the truth that the fast path is tested against, and the shortest description of the model that
 * can be run. Read it from reference_token() down.
 */
#include <math.h>
#include <string.h>

#include "model/forward.h"

typedef struct reference {
    const pp_weights *w;
    const pp_rope *rope;
    const pp_lora_use *loras;
    int32_t n_lora;
    double *inv_freq;
    float *cosine, *sine;         /* [d_head / 2] of the current token */
    float *x, *h, *y;             /* [d_model], [max width] twice */
    float *q, *mixed, *gate, *up; /* one token's */
    float *row, *rounded;         /* one row of weights, widened; the input of a layer that rounds it */
    float *k, *v;                 /* [n_full][n_tok][n_kv_head * d_head] */
    double *scores;               /* [n_tok] */
    float *logits;                /* [n_vocab] */
    size_t n_tok;
} reference;

static double dot(const float *a, const float *b, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* y = x / sqrt(mean(x^2) + eps) * weight */
static void rms_norm(float *y, const float *x, const float *weight, int32_t n, float eps)
{
    const double scale = 1 / sqrt(dot(x, x, n) / n + (double)eps);
    for (int32_t i = 0; i < n; i++) y[i] = (float)((double)x[i] * scale * (double)weight[i]);
}

/* What a layer that multiplies integers sees of its input: in each span of columns 255 levels, the largest value being the last. */
static const float *rounded(reference *r, const float *x, int32_t n)
{
    for (int32_t k = 0; k < n; k += PP_LOW_SPAN) {
        const int32_t end = PP_MIN(k + PP_LOW_SPAN, n);
        float most = 0;
        for (int32_t i = k; i < end; i++) most = fmaxf(most, fabsf(x[i]));
        const float scale = most / 127;
        for (int32_t i = k; i < end; i++) r->rounded[i] = scale > 0 ? scale * rintf(x[i] / scale) : 0;
    }
    return r->rounded;
}

/* y = x W^T + bias + sum over adapters of scale * (x A) B */
static void linear(reference *r, float *y, const float *x, const pp_linear *l, int32_t layer, int site)
{
    const float *seen = pp_low_wanted(l) ? rounded(r, x, l->n_in) : x;
    for (int32_t o = 0; o < l->n_out; o++) {
        pp_matrix_decode(l->type, l->w, (size_t)l->n_in, (size_t)o, 0, (size_t)l->n_in, r->row);
        y[o] = (float)(dot(seen, r->row, l->n_in) + (l->bias ? (double)l->bias[o] : 0));
    }
    for (int32_t i = 0; i < r->n_lora && site >= 0; i++) {
        const pp_lora *lora = r->loras[i].lora;
        const pp_lora_site *s = &lora->sites[(size_t)layer * PP_N_SITE + (size_t)site];
        if (!s->a) continue;
        const size_t n_in = (size_t)l->n_in, rank = (size_t)lora->rank;
        float t[PP_MAX_RANK], row[PP_MAX_RANK];
        for (size_t j = 0; j < rank; j++) {
            pp_matrix_decode(lora->type, s->a, n_in, j, 0, n_in, r->row);
            t[j] = (float)dot(x, r->row, l->n_in);
        }
        for (size_t o = 0; o < (size_t)l->n_out; o++) {
            pp_matrix_decode(lora->type, s->b, rank, o, 0, rank, row);
            y[o] += r->loras[i].scale * (float)dot(t, row, lora->rank);
        }
    }
}

static void rotate(const reference *r, float *head)
{
    const pippin_config *c = &r->w->config;
    const int32_t half = c->d_head / 2;
    for (int32_t i = 0; i < half; i++) {
        float *a = c->rope_pairs == PIPPIN_ROPE_ADJACENT ? head + 2 * i : head + i;
        float *b = c->rope_pairs == PIPPIN_ROPE_ADJACENT ? head + 2 * i + 1 : head + i + half;
        const float a0 = *a, b0 = *b;
        *a = a0 * r->cosine[i] - b0 * r->sine[i];
        *b = a0 * r->sine[i] + b0 * r->cosine[i];
    }
}

/* Rotation and norm of each head, in the family's order. */
static void prepare_heads(const reference *r, float *heads, int32_t n, const float *norm)
{
    const pippin_config *c = &r->w->config;
    for (int32_t i = 0; i < n; i++) {
        float *head = heads + i * c->d_head;
        if (c->qk_norm == PIPPIN_QK_NORM_BEFORE_ROPE) rms_norm(head, head, norm, c->d_head, c->qk_norm_eps);
        rotate(r, head);
        if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE) rms_norm(head, head, norm, c->d_head, c->qk_norm_eps);
    }
}

/* The model's own K/V quantiser: int8, symmetric, one scale a layer. */
static void fake_quantise(float *x, int32_t n, float scale)
{
    if (!(scale > 0)) return;
    for (int32_t i = 0; i < n; i++) x[i] = scale * fminf(127, fmaxf(-128, nearbyintf(x[i] / scale)));
}

static void attend(reference *r, int32_t layer, size_t t, const int32_t *segments)
{
    const pippin_config *c = &r->w->config;
    const size_t width = (size_t)(c->n_kv_head * c->d_head);
    const size_t cache = (size_t)r->w->layers[layer].kv_layer * r->n_tok * width;
    const double scale = r->rope->attention / sqrt((double)c->d_head);
    for (int32_t head = 0; head < c->n_head; head++) {
        const float *q = r->q + head * c->d_head;
        const size_t in = (size_t)(head / (c->n_head / c->n_kv_head) * c->d_head);
        double largest = -INFINITY, sum = 0;
        for (size_t j = 0; j <= t; j++) {
            const bool seen = j == t || (segments[j] == segments[t] && segments[t] >= 0);
            r->scores[j] = seen ? scale * dot(q, r->k + cache + j * width + in, c->d_head) : -INFINITY;
            largest = fmax(largest, r->scores[j]);
        }
        for (size_t j = 0; j <= t; j++) sum += r->scores[j] = exp(r->scores[j] - largest);
        for (int32_t i = 0; i < c->d_head; i++) {
            double value = 0;
            for (size_t j = 0; j <= t; j++) value += r->scores[j] * (double)r->v[cache + j * width + in + (size_t)i];
            r->mixed[head * c->d_head + i] = (float)(value / sum);
        }
    }
}

static void attention(reference *r, int32_t layer, size_t t, const int32_t *segments)
{
    const pippin_config *c = &r->w->config;
    const pp_layer *l = &r->w->layers[layer];
    rms_norm(r->h, r->x, l->attn_norm, c->d_model, c->norm_eps);
    linear(r, r->q, r->h, &l->site[PP_Q], layer, PP_Q);
    prepare_heads(r, r->q, c->n_head, l->q_norm);
    if (layer < r->w->n_full) {
        const size_t width = (size_t)(c->n_kv_head * c->d_head), at = ((size_t)layer * r->n_tok + t) * width;
        linear(r, r->k + at, r->h, &l->site[PP_K], layer, PP_K);
        linear(r, r->v + at, r->h, &l->site[PP_V], layer, PP_V);
        prepare_heads(r, r->k + at, c->n_kv_head, l->k_norm);
        fake_quantise(r->k + at, (int32_t)width, l->k_scale);
        fake_quantise(r->v + at, (int32_t)width, l->v_scale);
    }
    attend(r, layer, t, segments);
    linear(r, r->y, r->mixed, &l->site[PP_O], layer, PP_O);
    for (int32_t i = 0; i < c->d_model; i++) r->x[i] += r->y[i];
}

static void feed_forward(reference *r, int32_t layer)
{
    const pippin_config *c = &r->w->config;
    const pp_layer *l = &r->w->layers[layer];
    rms_norm(r->h, r->x, l->ffn_norm, c->d_model, c->norm_eps);
    linear(r, r->gate, r->h, &l->site[PP_GATE], layer, PP_GATE);
    linear(r, r->up, r->h, &l->site[PP_UP], layer, PP_UP);
    for (int32_t i = 0; i < c->d_ffn; i++) {
        const double g = (double)r->gate[i];
        r->gate[i] = (float)(g / (1 + exp(-g)) * (double)r->up[i]);
    }
    linear(r, r->y, r->gate, &l->site[PP_DOWN], layer, PP_DOWN);
    for (int32_t i = 0; i < c->d_model; i++) r->x[i] += r->y[i];
}

static void reference_token(reference *r, const pippin_score *score, size_t t)
{
    const pp_weights *w = r->w;
    const pippin_config *c = &w->config;
    const size_t d = (size_t)c->d_model;
    pp_matrix_decode(w->embedding.type, w->embedding.w, d, (size_t)score->tokens[t], 0, d, r->x);
    pp_rope_angles(r->inv_freq, c->d_head, score->positions[t], r->cosine, r->sine);
    for (int32_t layer = 0; layer < c->n_layer; layer++) {
        attention(r, layer, t, score->segments);
        feed_forward(r, layer);
    }
    rms_norm(r->h, r->x, w->out_norm, c->d_model, c->norm_eps);
    linear(r, r->logits, r->h, &w->head, 0, -1);
}

/* n zeroed floats, or doubles; *ok turns false when there is no memory, and stays so. */
static void *room(bool *ok, size_t n, size_t size)
{
    void *p = *ok ? pp_alloc_zero(n, size) : NULL;
    *ok = p != NULL;
    return p;
}

static bool reference_alloc(reference *r)
{
    const pippin_config *c = &r->w->config;
    const size_t q = (size_t)c->n_head * (size_t)c->d_head, kv = (size_t)c->n_kv_head * (size_t)c->d_head;
    const size_t d = (size_t)c->d_model, ffn = (size_t)c->d_ffn, half = (size_t)c->d_head / 2;
    const size_t widest = PP_MAX(PP_MAX(q, d), ffn);
    bool ok = true;
    r->inv_freq = room(&ok, half, sizeof *r->inv_freq);
    r->scores = room(&ok, r->n_tok, sizeof *r->scores);
    r->cosine = room(&ok, half, sizeof(float));
    r->sine = room(&ok, half, sizeof(float));
    r->x = room(&ok, d, sizeof(float));
    r->h = room(&ok, d, sizeof(float));
    r->y = room(&ok, d, sizeof(float));
    r->q = room(&ok, q, sizeof(float));
    r->mixed = room(&ok, q, sizeof(float));
    r->gate = room(&ok, ffn, sizeof(float));
    r->up = room(&ok, ffn, sizeof(float));
    r->row = room(&ok, widest, sizeof(float));
    r->rounded = room(&ok, widest, sizeof(float));
    r->k = room(&ok, (size_t)r->w->n_full * r->n_tok, kv * sizeof(float));
    r->v = room(&ok, (size_t)r->w->n_full * r->n_tok, kv * sizeof(float));
    r->logits = room(&ok, (size_t)c->n_vocab, sizeof(float));
    return ok;
}

static void reference_free(reference *r)
{
    void *blocks[] = {r->inv_freq, r->scores, r->cosine, r->sine, r->x,       r->h, r->y, r->q,
                      r->mixed,    r->gate,   r->up,     r->row,  r->rounded, r->k, r->v, r->logits};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) pp_free(blocks[i]);
}

pippin_status pp_reference_score(const pp_weights *w, const pp_rope *rope, const pp_lora_use *loras, int32_t n_lora,
                                 const pippin_score *score, pippin_error *err)
{
    reference r = {.w = w, .rope = rope, .loras = loras, .n_lora = n_lora, .n_tok = score->n_tok};
    pippin_status status = PIPPIN_OK;
    if (reference_alloc(&r))
        pp_rope_init(w, rope, r.inv_freq);
    else
        status = pp_fail_memory(err, "reference",
                                2 * (uint64_t)w->n_full * score->n_tok *
                                    (uint64_t)(w->config.n_kv_head * w->config.d_head) * sizeof(float));
    for (size_t t = 0; t < score->n_tok && status == PIPPIN_OK; t++) {
        reference_token(&r, score, t);
        if (score->row && score->row(score->user, t, r.logits))
            status = pp_fail(err, PIPPIN_E_CANCELLED, "reference: cancelled");
    }
    reference_free(&r);
    return status;
}
