/*
 * attention.c - x += W_o attend(q, K, V). What is AFM's own stands here, once:
 * - rotation comes first and the norm of Q and K after it (Qwen3: before it; Llama: none);
 * - K and V are rounded to int8 with one static scale a layer when the model has them, and cached;
 * - only full layers write the cache; a reuse layer has its own queries and reads the last full layer's K and V.
 */
#include <string.h>

#include "model/forward.h"

/* Rotates and norms the n_head heads of one row, in the order that the family wants. */
static void prepare_heads(const pp_state *st, float *heads, int32_t n_head, const float *norm, int32_t row)
{
    const pippin_config *c = &st->engine->weights->config;
    const pp_kernels *kernels = st->engine->kernels;
    const float *cosine = st->s->cosine + (size_t)row * (size_t)(c->d_head / 2);
    const float *sine = st->s->sine + (size_t)row * (size_t)(c->d_head / 2);
    for (int32_t i = 0; i < n_head; i++) {
        float *head = heads + (size_t)i * (size_t)c->d_head;
        if (c->qk_norm == PIPPIN_QK_NORM_BEFORE_ROPE) kernels->rmsnorm(head, head, norm, c->d_head, c->qk_norm_eps);
        if (c->rope_pairs == PIPPIN_ROPE_ADJACENT)
            kernels->rope_adjacent(head, cosine, sine, c->d_head);
        else
            kernels->rope_halves(head, cosine, sine, c->d_head);
        if (c->qk_norm == PIPPIN_QK_NORM_AFTER_ROPE) kernels->rmsnorm(head, head, norm, c->d_head, c->qk_norm_eps);
    }
}

/* Where slot `slot` of a K/V head lies, in elements. */
static size_t kv_offset(const pippin_config *c, const pp_kv *kv, int32_t layer, int32_t head, int32_t slot)
{
    return (((size_t)layer * (size_t)c->n_kv_head + (size_t)head) * (size_t)kv->n_slot + (size_t)slot) *
           (size_t)c->d_head;
}

/*
 * One head's K or V into the cache. A static scale is part of the network: other cache types then hold the rounded value,
 * so that every type gives the same numbers as int8 does. Without one, int8 takes the scale from the vector itself.
 */
static void store(const pp_state *st, const pp_kv *kv, uint8_t *cache, float *scales, size_t at, float *value,
                  float scale)
{
    const pp_kernels *kernels = st->engine->kernels;
    const int32_t n = st->engine->weights->config.d_head;
    if (kv->type == PIPPIN_I8) {
        if (scales) {
            scale = kernels->absmax(value, n) / 127.0f;
            scales[at / (size_t)n] = scale;
        }
        kernels->quantize_i8((int8_t *)cache + at, value, n, scale > 0 ? scale : 1.0f);
        return;
    }
    if (scale > 0) {
        int8_t codes[1024]; /* the largest d_head that a configuration may have */
        kernels->quantize_i8(codes, value, n, scale);
        for (int32_t i = 0; i < n; i++) value[i] = scale * (float)codes[i];
    }
    if (kv->type == PIPPIN_BF16)
        kernels->to_bf16((uint16_t *)(void *)cache + at, value, n);
    else
        memcpy((float *)(void *)cache + at, value, (size_t)n * sizeof *value);
}

static void store_row(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    const pp_layer *l = &st->engine->weights->layers[st->layer];
    const pp_row *r = &st->s->rows[row];
    const pp_kv *kv = st->pass->sequences[r->sequence].kv;
    const size_t width = (size_t)c->n_kv_head * (size_t)c->d_head;
    float *k = st->s->k + (size_t)row * width, *v = st->s->v + (size_t)row * width;
    prepare_heads(st, k, c->n_kv_head, l->k_norm, row);
    for (int32_t head = 0; head < c->n_kv_head; head++) {
        const size_t at = kv_offset(c, kv, st->layer, head, r->slot), in = (size_t)head * (size_t)c->d_head;
        store(st, kv, kv->k, kv->k_scales, at, k + in, l->k_scale);
        store(st, kv, kv->v, kv->v_scales, at, v + in, l->v_scale);
    }
}

static void prepare_queries(void *arg, int32_t row)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    float *q = st->s->q + (size_t)row * (size_t)c->n_head * (size_t)c->d_head;
    prepare_heads(st, q, c->n_head, st->engine->weights->layers[st->layer].q_norm, row);
}

/* ---- attending ---- */

/* The slots that a row sees: earlier ones of its own segment and itself, in order; padding sees itself alone. NULL: the first n. */
static const int32_t *visible(const pp_row *r, const pp_kv *kv, int32_t *list, int *n)
{
    *n = 0;
    if (r->segment < 0) {
        list[(*n)++] = r->slot;
        return list;
    }
    if (kv->one_segment) {
        *n = (int)r->slot + 1;
        return NULL;
    }
    for (int32_t slot = 0; slot <= r->slot; slot++)
        if (kv->segment[slot] == r->segment) list[(*n)++] = slot;
    return list;
}

/* Rows that follow each other in a segment see the same keys but for themselves, and pass over them together. */
static void find_tiles(const pp_state *st)
{
    const pippin_config *c = &st->engine->weights->config;
    const int32_t most = PP_MAX(1, PP_ATTEND_QUERIES / (c->n_head / c->n_kv_head));
    pp_scratch *s = st->s;
    s->n_tile = 0;
    for (int32_t i = 0, in_tile = 0; i < s->n_live; i++) {
        const pp_row *r = &s->rows[i], *before = r - 1;
        const bool joins = in_tile > 0 && in_tile < most && r->segment >= 0 && r->sequence == before->sequence &&
                           r->segment == before->segment && r->slot == before->slot + 1;
        in_tile = joins ? in_tile + 1 : 1;
        if (!joins) s->tiles[s->n_tile++] = i;
    }
    s->tiles[s->n_tile] = s->n_live;
}

/* One K/V head of a tile: all of its keys as a call takes them, with out where attention's result is wanted. */
typedef struct tile {
    pp_attend a;
    void (*attend)(const pp_attend *a);
    int n_part;
} tile;

static tile open_tile(const pp_state *st, int32_t index, int32_t head, const pp_attend_space *space)
{
    const pp_weights *w = st->engine->weights;
    const pippin_config *c = &w->config;
    const pp_kernels *kernels = st->engine->kernels;
    const pp_scratch *s = st->s;
    const int32_t row = s->tiles[index], last = s->tiles[index + 1] - 1, layer = w->layers[st->layer].kv_layer;
    const pp_kv *kv = st->pass->sequences[s->rows[row].sequence].kv;
    const int32_t n_group = c->n_head / c->n_kv_head;
    const size_t width = (size_t)c->n_head * (size_t)c->d_head, in = (size_t)head * (size_t)(n_group * c->d_head);
    const size_t at = kv_offset(c, kv, layer, head, 0), element = pp_type_bytes(kv->type, 1);
    tile t = {.attend = kv->type == PIPPIN_I8     ? kernels->attend_i8
                        : kv->type == PIPPIN_BF16 ? kernels->attend_bf16
                                                  : kernels->attend_f32};
    int n_key;
    const int32_t *slots = visible(&s->rows[last], kv, space->slots, &n_key);
    t.n_part = (n_key + PP_ATTEND_SPLIT - 1) / PP_ATTEND_SPLIT;
    t.a = (pp_attend){.q = s->q + (size_t)row * width + in,
                      .out = s->mixed + (size_t)row * width + in,
                      .q_stride = width,
                      .out_stride = width,
                      .max = space->max,
                      .sum = space->sum,
                      .n_tok = last - row + 1,
                      .n_group = n_group,
                      .d_head = c->d_head,
                      .k = kv->k + at * element,
                      .v = kv->v + at * element,
                      .slots = slots,
                      .n_key = n_key - (last - row),
                      .scale = s->attention_scale,
                      .k_scale = w->layers[layer].k_scale,
                      .v_scale = w->layers[layer].v_scale,
                      .k_scales = kv->k_scales ? kv->k_scales + at / (size_t)c->d_head : NULL,
                      .v_scales = kv->v_scales ? kv->v_scales + at / (size_t)c->d_head : NULL,
                      .scratch = space->scratch};
    return t;
}

/* What a part of the keys gives: for each head of each token of a tile, side by side. */
typedef struct part {
    float *out, *max, *sum; /* [n_tok][n_group][d_head], [n_tok][n_group] twice */
} part;

static part part_at(const pp_state *st, float *block, size_t i)
{
    const size_t n = st->s->n_query, d_head = (size_t)st->engine->weights->config.d_head;
    float *out = block + i * n * (d_head + 2);
    return (part){out, out + n * d_head, out + n * (d_head + 1)};
}

/* The first token of the tile that sees anything of part i; those after it do too. */
static int first_token(const tile *t, int i) { return PP_MAX(0, i * PP_ATTEND_SPLIT + 1 - t->a.n_key); }

static void attend_part(const tile *t, int i, size_t out_stride, part to)
{
    pp_attend a = t->a;
    const int token = first_token(t, i);
    a.q += (size_t)token * a.q_stride;
    a.out = to.out + (size_t)token * out_stride;
    a.out_stride = out_stride;
    a.max = to.max + token * a.n_group;
    a.sum = to.sum + token * a.n_group;
    a.first = i * PP_ATTEND_SPLIT;
    a.n_tok -= token;
    a.n_key += token;
    t->attend(&a);
}

/* Adds part i to what the tile has of the parts before it. */
static void merge_part(const pp_kernels *kernels, const tile *t, int i, part from)
{
    const size_t d_head = (size_t)t->a.d_head;
    for (int token = first_token(t, i); token < t->a.n_tok; token++)
        for (int g = 0; g < t->a.n_group; g++) {
            const size_t at = (size_t)(token * t->a.n_group + g);
            float *out = t->a.out + (size_t)token * t->a.out_stride + (size_t)g * d_head;
            kernels->attend_merge(out, &t->a.max[at], &t->a.sum[at], from.out + at * d_head, from.max[at], from.sum[at],
                                  t->a.d_head);
        }
}

static void close_tile(const pp_kernels *kernels, const tile *t)
{
    for (int token = 0; token < t->a.n_tok; token++)
        for (int g = 0; g < t->a.n_group; g++)
            kernels->scale(t->a.out + (size_t)token * t->a.out_stride + (size_t)g * (size_t)t->a.d_head,
                           1.0f / t->a.sum[token * t->a.n_group + g], t->a.d_head);
}

/* Items are (tile, K/V head). */
static void attend_piece(void *arg, int thread, size_t first, size_t last)
{
    const pp_state *st = arg;
    const pippin_config *c = &st->engine->weights->config;
    const pp_kernels *kernels = st->engine->kernels;
    const pp_attend_space *space = &st->s->spaces[thread];
    const size_t side_by_side = (size_t)(c->n_head / c->n_kv_head) * (size_t)c->d_head;
    const part spare = part_at(st, space->part, 0);
    for (int32_t item = (int32_t)first; item < (int32_t)last; item++) {
        const tile t = open_tile(st, item / c->n_kv_head, item % c->n_kv_head, space);
        attend_part(&t, 0, t.a.out_stride, (part){t.a.out, t.a.max, t.a.sum});
        for (int i = 1; i < t.n_part; i++) {
            attend_part(&t, i, side_by_side, spare);
            merge_part(kernels, &t, i, spare);
        }
        close_tile(kernels, &t);
    }
}

/* ---- the same of one tile with its parts shared out: where there are fewer items than threads, or a rest of them ---- */

typedef struct shared_tile {
    const pp_state *st;
    int32_t index;
    size_t n_part;
} shared_tile;

/* Items are (K/V head, part of its keys). */
static void attend_parts(void *arg, int thread, size_t first, size_t last)
{
    const shared_tile *shared = arg;
    const pp_state *st = shared->st;
    const pippin_config *c = &st->engine->weights->config;
    const size_t side_by_side = (size_t)(c->n_head / c->n_kv_head) * (size_t)c->d_head;
    tile t = open_tile(st, shared->index, (int32_t)(first / shared->n_part), &st->s->spaces[thread]);
    for (size_t item = first; item < last; item++) {
        if (item > first && item % shared->n_part == 0)
            t = open_tile(st, shared->index, (int32_t)(item / shared->n_part), &st->s->spaces[thread]);
        attend_part(&t, (int)(item % shared->n_part), side_by_side, part_at(st, st->s->parts, item));
    }
}

static void merge_task(void *arg, int thread, int n_thread)
{
    const shared_tile *shared = arg;
    const pp_state *st = shared->st;
    const pippin_config *c = &st->engine->weights->config;
    for (int32_t head = thread; head < c->n_kv_head; head += n_thread) {
        tile t = open_tile(st, shared->index, head, &st->s->spaces[thread]);
        const part all = part_at(st, st->s->parts, (size_t)(head * t.n_part));
        const size_t row = (size_t)(t.a.n_group * t.a.d_head);
        t.a.max = all.max;
        t.a.sum = all.sum;
        for (int token = 0; token < t.a.n_tok; token++)
            memcpy(t.a.out + (size_t)token * t.a.out_stride, all.out + (size_t)token * row, row * sizeof *all.out);
        for (int i = 1; i < t.n_part; i++)
            merge_part(st->engine->kernels, &t, i, part_at(st, st->s->parts, (size_t)(head * t.n_part + i)));
        close_tile(st->engine->kernels, &t);
    }
}

/* Multiply-adds of all rows: every head with every key up to the row's own slot, twice. */
static uint64_t attend_work(const pp_state *st)
{
    const pippin_config *c = &st->engine->weights->config;
    uint64_t keys = 0;
    for (int32_t i = 0; i < st->s->n_live; i++) keys += (uint64_t)st->s->rows[i].slot + 1;
    return 2 * keys * (uint64_t)c->n_head * (uint64_t)c->d_head;
}

static void attend_rows(const pp_state *st)
{
    pp_team *team = st->engine->team;
    const int32_t n_head = st->engine->weights->config.n_kv_head, n_thread = pp_team_size(team);
    find_tiles(st);
    const int32_t n_item = st->s->n_tile * n_head;
    const bool share = n_item % n_thread != 0 && n_item < 4 * n_thread;
    for (int32_t i = 0; share && i < st->s->n_tile; i++) {
        shared_tile shared = {st, i, (size_t)open_tile(st, i, 0, &st->s->spaces[0]).n_part};
        pp_team_run_pieces(team, attend_work(st) / (uint64_t)st->s->n_tile, (size_t)n_head * shared.n_part,
                           attend_parts, &shared);
        pp_team_run_worth(team, attend_work(st) / PP_ATTEND_SPLIT, merge_task, &shared);
    }
    if (!share) pp_team_run_pieces(team, attend_work(st), (size_t)n_item, attend_piece, (void *)(uintptr_t)st);
}

/* Does anything still read the rows that want no logits? Not once the last full layer has written its K and V. */
static bool can_drop(const pp_state *st)
{
    if (st->pass->no_bypass || st->layer != st->engine->weights->n_full - 1) return false;
    for (int32_t i = 0; i < st->s->n_live; i++)
        if (!st->s->rows[i].wants_logits) return true;
    return false;
}

void pp_attention_forward(const pp_state *st)
{
    const pp_weights *w = st->engine->weights;
    pp_scratch *s = st->s;
    const bool full = st->layer < w->n_full, drop = can_drop(st);
    const float *norm = w->layers[st->layer].attn_norm;
    const pp_job jobs[3] = {{PP_K, s->k, false}, {PP_V, s->v, false}, {PP_Q, s->q, false}};
    if (drop) {
        pp_linears(st, s->h, norm, jobs, 2, NULL);
        pp_each_row(st, store_row, (void *)(uintptr_t)st);
        pp_keep_wanted(st);
        if (s->n_live == 0) return;
        pp_linears(st, s->h, NULL, jobs + 2, 1, NULL);
    } else if (full) {
        pp_linears(st, s->h, norm, jobs, 3, NULL);
        pp_each_row(st, store_row, (void *)(uintptr_t)st);
    } else {
        pp_linears(st, s->h, norm, jobs + 2, 1, NULL);
    }
    pp_each_row(st, prepare_queries, (void *)(uintptr_t)st);
    attend_rows(st);
    pp_linears(st, s->mixed, NULL, &(pp_job){PP_O, s->x, true}, 1, NULL);
}
