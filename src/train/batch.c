/* batch.c - the order of an epoch, its packs and its batches: pure functions of (data, options, epoch, batch). */
#include <stdlib.h>
#include <string.h>

#include "train/data.h"

/* Keeps the order's random numbers apart from those of other parts with the same seed. */
static const uint64_t order_stream = (uint64_t)0x6f72646572 << 24;

static size_t length_of(const pp_dataset *d, size_t sample) { return d->start[sample + 1] - d->start[sample]; }

/* ---- epochs ---- */

/* Fisher and Yates; every epoch begins with the file's order, so that none depends on another. */
static void put_in_order(pp_plan *plan)
{
    const size_t n = plan->data->n_sample;
    for (size_t i = 0; i < n; i++) plan->order[i] = (uint32_t)i;
    for (size_t i = n; plan->options.shuffle && i > 1; i--) {
        const size_t j = (size_t)(pp_random_bits(plan->options.seed, order_stream + plan->epoch, i) % i);
        const uint32_t swap = plan->order[i - 1];
        plan->order[i - 1] = plan->order[j];
        plan->order[j] = swap;
    }
}

/* Greedy in the epoch's order: a pack is closed when the next sample would make it longer than max_length. */
static void put_in_sequences(pp_plan *plan)
{
    const size_t n = plan->data->n_sample;
    plan->n_sequence = 0;
    for (size_t i = 0, held = 0; i < n; i++) {
        const size_t length = length_of(plan->data, plan->order[i]);
        const bool fits = plan->options.pack && i > 0 && held + length <= plan->options.max_length;
        if (!fits) plan->sequence[plan->n_sequence++] = (uint32_t)i;
        held = fits ? held + length : length;
    }
    plan->sequence[plan->n_sequence] = (uint32_t)n;
}

static void go_to(pp_plan *plan, uint64_t epoch)
{
    if (plan->epoch == epoch) return;
    plan->epoch = epoch;
    put_in_order(plan);
    put_in_sequences(plan);
}

/* ---- how large a batch can become ---- */

static int by_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/*
 * Without packs: the longest samples in one batch. With packs: batch_size full ones, and as many segments as the shortest
 * samples fit into them. Whatever an epoch's order, no batch is larger.
 */
static pippin_status find_bounds(pp_plan *plan, pippin_error *err)
{
    const size_t n = plan->data->n_sample, batch = PP_MIN(plan->options.batch_size, n);
    size_t *lengths = pp_alloc_zero(n, sizeof *lengths);
    if (!lengths) return pp_fail_memory(err, "the plan of an epoch", (uint64_t)n * sizeof *lengths);
    for (size_t i = 0; i < n; i++) lengths[i] = length_of(plan->data, i);
    qsort(lengths, n, sizeof *lengths, by_size);
    size_t room = 0;
    plan->max_segment = plan->max_tok = 0;
    if (!plan->options.pack) {
        for (size_t i = 0; i < batch; i++) plan->max_tok += lengths[n - 1 - i];
        plan->max_segment = batch;
    } else {
        if (!pp_mul(batch, plan->options.max_length, &room)) room = SIZE_MAX;
        plan->max_tok = PP_MIN(room, plan->data->n_tok);
        for (size_t held = 0; plan->max_segment < n && lengths[plan->max_segment] <= plan->max_tok - held;
             plan->max_segment++)
            held += lengths[plan->max_segment];
    }
    pp_free(lengths);
    return PIPPIN_OK;
}

static pippin_status check_options(const pp_dataset *data, const pp_plan_options *o, pippin_error *err)
{
    if (o->batch_size == 0) return pp_fail(err, PIPPIN_E_ARGUMENT, "--batch-size: is 0, expected 1 or more");
    if (o->pack && !o->max_length)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "--pack-sequences: found no length to pack to, expected one; pass --max-sequence-length");
    for (size_t i = 0; o->pack && i < data->n_sample; i++)
        if (length_of(data, i) > o->max_length)
            return pp_fail(
                err, PIPPIN_E_ARGUMENT,
                "sample %zu: has %zu tokens, expected at most the %zu of a pack; load the data with the same bound", i,
                length_of(data, i), o->max_length);
    return PIPPIN_OK;
}

pippin_status pp_plan_create(const pp_dataset *data, const pp_plan_options *options, pp_plan *out, pippin_error *err)
{
    *out = (pp_plan){.data = data, .options = *options};
    pippin_status status = check_options(data, options, err);
    if (status == PIPPIN_OK) status = find_bounds(out, err);
    if (status == PIPPIN_OK) {
        out->order = pp_alloc_zero(data->n_sample, sizeof *out->order);
        out->sequence = pp_alloc_zero(data->n_sample + 1, sizeof *out->sequence);
        if (!out->order || !out->sequence)
            status = pp_fail_memory(err, "the plan of an epoch", (uint64_t)data->n_sample * 2 * sizeof *out->order);
    }
    if (status != PIPPIN_OK) {
        pp_plan_free(out);
        return status;
    }
    put_in_order(out);
    put_in_sequences(out);
    return PIPPIN_OK;
}

void pp_plan_free(pp_plan *plan)
{
    pp_free(plan->order);
    pp_free(plan->sequence);
    *plan = (pp_plan){0};
}

size_t pp_plan_n_batch(pp_plan *plan, uint64_t epoch)
{
    go_to(plan, epoch);
    const size_t size = plan->options.batch_size;
    return plan->n_sequence / size + (plan->n_sequence % size > 0);
}

/* ---- batches ---- */

pippin_status pp_batch_create(const pp_plan *plan, pp_batch *out, pippin_error *err)
{
    const size_t n = plan->max_tok, n_segment = plan->max_segment;
    *out = (pp_batch){.tokens = pp_alloc_zero(n, sizeof *out->tokens),
                      .position = pp_alloc_zero(n, sizeof *out->position),
                      .target = pp_alloc_zero(n, sizeof *out->target),
                      .segment_start = pp_alloc_zero(n_segment + 1, sizeof *out->segment_start),
                      .sequence_start = pp_alloc_zero(n_segment + 1, sizeof *out->sequence_start)};
    if (out->tokens && out->position && out->target && out->segment_start && out->sequence_start) return PIPPIN_OK;
    pp_batch_free(out);
    return pp_fail_memory(err, "a batch", (uint64_t)n * 3 * sizeof *out->tokens);
}

void pp_batch_free(pp_batch *b)
{
    pp_free(b->tokens);
    pp_free(b->position);
    pp_free(b->target);
    pp_free(b->segment_start);
    pp_free(b->sequence_start);
    *b = (pp_batch){0};
}

static void add_segment(const pp_dataset *d, size_t sample, pp_batch *b)
{
    const size_t first = d->start[sample], n = length_of(d, sample);
    b->segment_start[b->n_segment++] = b->n_tok;
    memcpy(b->tokens + b->n_tok, d->tokens + first, n * sizeof *b->tokens);
    for (size_t i = 0; i < n; i++) {
        const bool learned = i + 1 < n && d->labelled[first + i + 1];
        b->position[b->n_tok + i] = (int32_t)i;
        b->target[b->n_tok + i] = learned ? d->tokens[first + i + 1] : -1;
        b->n_target += learned;
    }
    b->n_tok += n;
}

void pp_plan_batch(pp_plan *plan, uint64_t epoch, size_t k, pp_batch *b)
{
    go_to(plan, epoch);
    const size_t first = k * plan->options.batch_size,
                 last = PP_MIN(first + plan->options.batch_size, plan->n_sequence);
    b->n_tok = b->n_segment = b->n_sequence = b->n_target = 0;
    for (size_t s = first; s < last; s++) {
        b->sequence_start[b->n_sequence++] = b->n_segment;
        for (size_t i = plan->sequence[s]; i < plan->sequence[s + 1]; i++) add_segment(plan->data, plan->order[i], b);
    }
    b->segment_start[b->n_segment] = b->n_tok;
    b->sequence_start[b->n_sequence] = b->n_segment;
}
