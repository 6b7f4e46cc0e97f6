/*
 * infer - what was opened, ready to be evaluated: the model object of the public API, K/V caches, sessions, the sampler.
 */
#ifndef PP_INFER_H
#define PP_INFER_H

#include "adapter/adapter.h"
#include "base/base.h"
#include "model/model.h"
#include "text/text.h"

struct pippin_model {
    atomic_int users;
    pp_weights weights;
    pp_kernels kernels;
    pippin_tokenizer *tokenizer; /* NULL if there is none */
    pippin_adapter *adapter;     /* the one inside the file, or NULL */
};

/* ---- K/V cache (cache.c) ---- */

/* The cache type that AUTO means for this model. */
pippin_type pp_kv_auto(const pp_weights *w);
uint64_t pp_kv_bytes(const pippin_config *c, pippin_type type, bool static_scales, int32_t n_slot);
pippin_status pp_kv_create(const pp_weights *w, pippin_type type, int32_t n_slot, pp_kv *out, pippin_error *err);
void pp_kv_free(pp_kv *kv);
/* Forgets all slots from n_tok on. */
void pp_kv_rewind(pp_kv *kv, int32_t n_tok);

/* ---- sampling (sampler.c) ---- */

/* The id of the largest logit; the smallest such id when several are equal. */
int32_t pp_sample_greedy(const float *logits, int32_t n_vocab);
/* Draws from softmax(logits / temperature) with the number that belongs to (seed, index). probs is scratch, [n_vocab]. */
int32_t pp_sample(const float *logits, int32_t n_vocab, double temperature, uint64_t seed, uint64_t index, float *probs);

#endif
