/* bench_run.h - the part of bench that measures: prompts, single tokens, several tokens checked at once. */
#ifndef PP_CLI_BENCH_RUN_H
#define PP_CLI_BENCH_RUN_H

#include "cli/bench_batch.h"
#include "cli/bench_guess.h"

typedef struct pp_bench_args {
    pp_common common;
    const char *preset, *verify, *depth, *batch, *draft, *draft_tokens;
    double acceptance;
    pippin_type type;
    int32_t n_prompt, n_generate, n_round, draft_vocab;
    bool markdown;
} pp_bench_args;

enum {
    PP_BENCH_MAX_VERIFY = 6,
    PP_BENCH_MAX_DEPTH = 8,
    PP_BENCH_MAX_BATCH = 6,
    PP_BENCH_MAX_TEST = 2 + PP_BENCH_MAX_VERIFY + PP_BENCH_MAX_DEPTH + PP_BENCH_MAX_BATCH,
    PP_BENCH_PIECE = 16, /* tokens of a batch, or pairs of passes, that are timed in a round */
    PP_BENCH_SHORT = 8   /* tokens in the cache before the first that is timed */
};

typedef struct pp_bench_test {
    char name[32];
    int32_t n;          /* tokens of a pass, or that are generated */
    int32_t depth;      /* tokens in the cache before the first that is generated; 0: a few that are computed */
    double bytes, macs; /* a token's, 0: not counted */
    pp_series rate;     /* tokens a second */
    pp_series bandwidth, peak, ratio; /* shares of the machine's; time against that of one token */
} pp_bench_test;

typedef struct pp_bench {
    const pp_bench_args *args;
    pp_loaded loaded;
    pippin_probe *probe;
    int32_t *tokens; /* [n_ctx] */
    int32_t n_ctx;
    pp_ids sizes, depths, batches; /* of --verify, --depth and --batch */
    pp_batch_bench texts;          /* of --batch */
    pp_bench_test tests[PP_BENCH_MAX_TEST];
    size_t n_test;
    pp_series read, multiply; /* all that the probes gave */
    uint64_t random;
    pp_guess_bench guess; /* no rows: nothing guesses */
} pp_bench;

/* A prompt that brings the weights in, and the longest timeline that is measured; the memory at most is taken here, before the probe
   takes its own. */
int pp_bench_warm_up(pp_bench *b, uint64_t *peak_rss);
/* All tests once more; 0 or an exit code after a message. */
int pp_bench_round(pp_bench *b, int32_t round);

#endif
