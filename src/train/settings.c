/* settings.c - what a resumed run must have in common with the one that it continues, as texts. */
#include <inttypes.h>
#include <string.h>

#include "train/trainer.h"

static void set(pp_settings *s, const char *key, const char *format, ...) PP_PRINTF(3, 4);
static void set(pp_settings *s, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->values[s->n], sizeof s->values[s->n], format, args);
    va_end(args);
    s->entries[s->n] = (pp_entry){key, s->values[s->n]};
    s->n++;
}

uint64_t pp_dataset_hash(const pp_dataset *d)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < d->n_tok; i++) hash = pp_random_fast(hash, (uint64_t)d->tokens[i], d->labelled[i]);
    for (size_t i = 0; i < d->n_sample; i++) hash = pp_random_fast(hash, d->start[i], 2);
    return hash;
}

/* Of the beginnings of all tensors: models that were trained differ in every one, and large ones need not be read whole. */
static uint64_t fingerprint_weights(const pp_tensors *t)
{
    enum { MOST = 4096 };
    uint64_t hash = 0;
    for (size_t i = 0; i < t->n; i++) {
        const uint8_t *data = t->items[i].data;
        const size_t n = PP_MIN(t->items[i].bytes, MOST);
        for (size_t k = 0; k < n; k += sizeof hash) {
            uint64_t word = 0;
            memcpy(&word, data + k, PP_MIN(sizeof word, n - k));
            hash = pp_random_fast(hash, word, k);
        }
        hash = pp_random_fast(hash, t->items[i].bytes, 3);
    }
    return hash;
}

static uint64_t fingerprint_floats(const float *values, size_t n)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, &values[i], sizeof word);
        hash = pp_random_fast(hash, word, 4);
    }
    return hash;
}

/* Whose weights they are, and what the teacher was asked to write. */
static void describe_models(const pp_trainer *t, pp_settings *s)
{
    const pippin_sampling *p = &t->options.sampling;
    const pp_weights *w = &t->model->weights;
    set(s, "model", "%.24s, %016" PRIx64, w->config.name, fingerprint_weights(&w->tensors));
    if (!t->teacher) return;
    w = &t->teacher->weights;
    set(s, "teacher", "%.24s, %016" PRIx64, w->config.name, fingerprint_weights(&w->tensors));
    set(s, "loss", "%s", t->options.distill_loss == PIPPIN_DISTILL_FORWARD_KL ? "forward-kl" : "reverse-kl");
    set(s, "continuations", "%d", (int)t->options.continuations);
    set(s, "temp", "%.17g", p->temperature);
    set(s, "top-k", "%d", (int)p->top_k);
    set(s, "top-p", "%.17g", p->top_p);
    set(s, "min-p", "%.17g", p->min_p);
    set(s, "sampling seed", "%" PRIu64, p->temperature > 0 ? p->seed : 0);
}

/* Causes before what follows from them: the first that differs is what a user is told. */
void pp_trainer_describe(pp_trainer *t)
{
    static const char *const kinds[] = {"train", "distill", "adapter train"};
    const pippin_train_options *o = &t->options;
    pp_settings *s = &t->settings;
    set(s, "command", "%s", kinds[t->kind]);
    set(s, "seed", "%" PRIu64, o->seed); /* of a model's random weights too */
    describe_models(t, s);
    set(s, "max length", "%zu", o->max_length);
    set(s, "data", "%016" PRIx64, t->data_hash);
    if (t->options.continuations)
        set(s, "continuations.jsonl", "%zu samples, %016" PRIx64, t->train.data.n_sample,
            pp_dataset_hash(&t->train.data));
    if (t->schedule.kind != PP_SCHEDULE_CONSTANT) { /* else a longer run begins with a shorter one */
        set(s, "epochs", "%" PRIu64, t->n_epoch);
        set(s, "steps", "%" PRIu64, t->n_step);
    }
    set(s, "batch size", "%d", (int)o->batch_size);
    set(s, "accumulation", "%d", (int)o->accumulation);
    set(s, "optimizer", "%s", o->optimizer == PIPPIN_OPTIMIZER_MUON ? "muon" : "adamw");
    set(s, "learning rate", "%.17g", o->learning_rate);
    set(s, "schedule", "%s", o->schedule == PIPPIN_SCHEDULE_CONSTANT ? "constant" : "cosine");
    set(s, "warmup steps", "%" PRId64, t->schedule.warmup);
    set(s, "weight decay", "%.17g", o->weight_decay);
    set(s, "clip", "%.17g", o->clip_grad_norm);
    set(s, "dropout", "%.17g", o->dropout);
    set(s, "lora dropout", "%.17g", o->lora_dropout);
    set(s, "shuffle", "%s", o->no_shuffle ? "none" : "seed");
    set(s, "pack", "%s", o->pack ? "yes" : "no");
    set(s, "qat", "%s", o->qat ? pippin_type_name(o->qat) : "none");
    if (t->params.adapter) {
        set(s, "rank", "%d", (int)t->params.adapter->lora.rank);
        set(s, "alpha", "%.9g", (double)t->params.adapter->alpha);
        set(s, "init", "%016" PRIx64, fingerprint_floats(t->params.value, t->params.n));
    }
    set(s, "parameters", "%zu", t->params.n);
}
