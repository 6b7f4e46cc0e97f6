/* bench_batch.h - the part of bench that measures several texts in one pass. */
#ifndef PP_CLI_BENCH_BATCH_H
#define PP_CLI_BENCH_BATCH_H

#include "cli/cli.h"
#include "cli/series.h"

enum { PP_BATCH_TEXTS = 16 };

/* Texts that each grow by a token a pass. */
typedef struct pp_batch_bench {
    pippin_session *sessions[PP_BATCH_TEXTS]; /* [n] the first is not ours */
    int32_t *tokens[PP_BATCH_TEXTS];          /* [n][n_ctx] */
    size_t n;
    int32_t n_ctx, n_vocab;
} pp_batch_bench;

/* Up to n texts on sessions that share memory with this one; 0 or an exit code after a message. */
int pp_batch_bench_init(pp_batch_bench *b, pippin_model *model, pippin_session *session, size_t n);
void pp_batch_bench_free(pp_batch_bench *b);
/*
 * Makes n of the texts grow from `depth` tokens by n_generate, one each a pass. After each pass one of them is evaluated alone: rate
 * gets tokens a second of the passes, ratio a pass's time against that of one text alone.
 */
int pp_batch_bench_run(pp_batch_bench *b, size_t n, int32_t depth, int32_t n_generate, pp_series *rate,
                       pp_series *ratio);

#endif
