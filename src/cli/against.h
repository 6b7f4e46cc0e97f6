/* against.h - a second model that predicts the same tokens, for eval --against. */
#ifndef PP_CLI_AGAINST_H
#define PP_CLI_AGAINST_H

#include "cli/cli.h"

typedef struct pp_against {
    pp_loaded other;
    int32_t n_vocab;
    float *rows; /* [n_ctx][n_vocab] what the first model predicts of the tokens at hand */
    const int32_t *ids;
    size_t n_tok; /* of ids */
    float *each;  /* [n] divergence at every token */
    size_t n, n_room, n_same;
    double kl, reverse, nll; /* sums */
    bool no_memory;
} pp_against;

/* Have both the same number of ids? 0, or an exit code after a message. */
int pp_against_check(const pippin_model *model, const char *path, const pippin_model *own, const char *own_path);
int32_t pp_likeliest(const float *logits, int32_t n); /* the first of the largest */

/* Means over tokens, in nats. p: the other model's, the reference; q: the first one's. */
typedef struct pp_against_result {
    double kl, kl_median, kl_99, kl_max; /* KL(p || q) */
    double reverse_kl;                   /* KL(q || p) */
    double same_top;                     /* share of tokens where both have the same likeliest one */
    double nll;                          /* the other's, summed */
} pp_against_result;

/* 0 or an exit code after a message; to be closed also after a failure. */
int pp_against_open(pp_against *a, const pp_common *common, const char *path, const pp_loaded *model);
void pp_against_close(pp_against *a);
/* The first model's logits of token i; then the other's run over the same tokens. */
void pp_against_keep(pp_against *a, size_t i, const float *logits);
int pp_against_score(pp_against *a, const int32_t *ids, size_t n);
pp_against_result pp_against_finish(pp_against *a);
json_t *pp_against_json(const pp_against_result *r, const char *path);
void pp_against_print(const pp_against_result *r, size_t n_tok, double own_nll);

#endif
