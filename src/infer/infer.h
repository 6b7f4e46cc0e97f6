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
    struct pp_running *running; /* the same as they are run */
    pp_kernels kernels;
    pippin_tokenizer *tokenizer; /* NULL if there is none */
    pippin_adapter *adapter;     /* the one inside the file, or NULL */
};

/*
 * The model's weights as they are run, which are made with this team when somebody first asks: what is only inspected or saved does
 * not pay for it. They live as long as the model (model.c).
 */
pippin_status pp_model_run(const pippin_model *model, pp_team *team, const pp_weights **out, pippin_error *err);

/* At most PP_MAX_LORA, all opened for this model? Then as the block sees them (session.c). */
pippin_status pp_adapters_check(const pippin_adapter_use *uses, size_t n, const pippin_model *model,
                                pp_lora_use out[PP_MAX_LORA], pippin_error *err);

/* ---- tokenizers of models (vocabulary.c): each sets m->tokenizer, or leaves it NULL where there is none ---- */

pippin_status pp_model_open_tokenizer(const char *path, pippin_model *m,
                                      pippin_error *err); /* this file, and no other */
pippin_status pp_model_gguf_tokenizer(const pp_gguf *g, const char *path, pippin_model *m, pippin_error *err);
pippin_status pp_model_tokenizer_beside(const char *path, pippin_model *m,
                                        pippin_error *err); /* beside a folder's or toolkit's weights */

/* The tokenizer's own files into a model's folder; without any it is logged (model.c). */
pippin_status pp_model_save_tokenizer(const pippin_model *model, const char *dir, pippin_error *err);

/* ---- K/V cache (cache.c) ---- */

/* The cache type that AUTO means for this model. */
pippin_type pp_kv_auto(const pp_weights *w);
pippin_status pp_kv_create(const pp_weights *w, pippin_type type, int32_t n_slot, pp_kv *out, pippin_error *err);
void pp_kv_free(pp_kv *kv);
/* n_tok tokens of one segment, with random K and V: codes up to 127, by the layer's static scale or 1/64. */
void pp_kv_fill(pp_kv *kv, const pp_weights *w, pp_team *team, int32_t n_tok, uint64_t seed);
/* Forgets all slots from n_tok on. */
void pp_kv_rewind(pp_kv *kv, int32_t n_tok);

/* ---- sampling (sampler.c) ---- */

/* Tokens that are guessed at once, at most. */
enum { PP_MAX_DRAFT = 8 };

/* Random numbers for different purposes must not be the same ones: each has a stream, indexed by the token's place in the answer. */
enum { PP_STREAM_TOKEN = 1, PP_STREAM_DRAFT, PP_STREAM_ACCEPT };

typedef struct pp_candidate {
    float value; /* logit or weight: what they are ordered by */
    int32_t id;
} pp_candidate;

/* Scratch of a session's sampler. */
typedef struct pp_sampler {
    const pp_kernels *kernels;
    int32_t n_vocab;
    pp_candidate *candidates; /* [n_vocab] */
    int32_t *counts;          /* [n_vocab], all 0 between calls */
    float *weights;           /* [PP_MAX_DRAFT + 1][n_vocab] of laws */
} pp_sampler;

/* What a token is drawn from, bias, penalties, temperature and filters applied. */
typedef struct pp_law {
    int32_t only; /* the one token that there is, and nothing below counts; -1: there are weights */
    int32_t best; /* the likeliest */
    int32_t n_vocab;
    const float *weight; /* [n_vocab] not normalised; 0: not to be drawn */
    double sum;          /* of the weights */
} pp_law;

static inline pp_law pp_law_only(int32_t id) { return (pp_law){.only = id, .best = id, .sum = 1}; }

static inline double pp_law_of(const pp_law *l, int32_t id)
{
    return l->only >= 0 ? (double)(id == l->only) : (double)l->weight[id] / l->sum;
}

/* A text up to the token that is to be chosen: what penalties look at. */
typedef struct pp_history {
    const int32_t *tokens;  /* [n_tok] */
    size_t n_tok, n_prompt; /* the first n_prompt are the prompt */
} pp_history;

/* kernels must outlive the sampler. */
pippin_status pp_sampler_create(const pp_kernels *kernels, int32_t n_vocab, pp_sampler *out, pippin_error *err);
void pp_sampler_free(pp_sampler *s);
/* Every option in its range? */
pippin_status pp_sampling_check(const pippin_sampling *o, int32_t n_vocab, pippin_error *err);
/* The id of the largest logit; the smallest such id when several are equal. */
int32_t pp_sample_greedy(const pp_sampler *s, const float *logits);
/* The law of the next token. place: 0 .. PP_MAX_DRAFT, whose weights it takes; it holds until the next law at that place. */
pp_law pp_sampler_law(pp_sampler *s, const pippin_sampling *o, const float *logits, const pp_history *h, int32_t place);
/* A token of this law, by a number in [0, 1). */
int32_t pp_law_draw(const pp_law *l, double u);
/* The next id, drawn with the number of (seed, index). */
int32_t pp_sample(pp_sampler *s, const pippin_sampling *o, const float *logits, const pp_history *h, uint64_t index);
/* log(sum(exp(logits))): a token's log-probability is its logit less this. */
double pp_log_sum(const pp_sampler *s, const float *logits);
/* The n likeliest tokens, in falling order; n <= n_vocab. */
void pp_top_logprobs(pp_sampler *s, const float *logits, double log_sum, pippin_logprob *top, int32_t n);

/* ---- stop strings (stop.c) ---- */

typedef struct pp_stopper {
    const char *const *strings; /* [n_strings] */
    size_t n_strings;
    char *held; /* [capacity] given out, then held back */
    size_t n_held, n_given, capacity;
} pp_stopper;

/* Allocates only where there are stop strings. longest_piece: bytes that one push brings at most. */
pippin_status pp_stopper_init(pp_stopper *s, const char *const *strings, size_t n, size_t longest_piece,
                              pippin_error *err);
void pp_stopper_free(pp_stopper *s);
/* Text that may be shown, valid until the next call; *stopped: a stop string came, and the text ends before it. */
const char *pp_stopper_push(pp_stopper *s, const char *text, size_t *n_bytes, bool *stopped);
/* What is still held back, when the text ends otherwise. */
const char *pp_stopper_rest(const pp_stopper *s, size_t *n_bytes);

#endif
