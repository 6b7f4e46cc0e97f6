/* bench_guess.h - the part of bench that measures speculative decoding. */
#ifndef PP_CLI_BENCH_GUESS_H
#define PP_CLI_BENCH_GUESS_H

#include "cli/cli.h"
#include "cli/series.h"

enum { PP_GUESS_ROWS = 10 }; /* without guesses, auto, 1 .. 8 */

typedef struct pp_guess_row {
    int32_t draft_tokens;   /* -1: no guesses; 0: auto */
    pp_series rate, ratio;  /* tokens a second, and against the round's first row */
    double seconds_outside; /* of both models' passes */
    size_t n_drafted, n_accepted, n_verify;
} pp_guess_row;

typedef struct pp_guess_bench {
    pp_loaded *loaded;
    const int32_t *prompt; /* [n_prompt] */
    size_t n_prompt, n_generate;
    double acceptance; /* as in pippin_generate_options */
    pp_guess_row rows[PP_GUESS_ROWS];
    size_t n_row;
    uint64_t n_round; /* so far: each has other random numbers */
} pp_guess_bench;

/* numbers: of --draft-tokens, each 1 to 8; none: all. */
void pp_guess_bench_init(pp_guess_bench *g, pp_loaded *loaded, const pp_ids *numbers);
/* Each row once, one round of n_round; 0 or an exit code after a message. */
int pp_guess_bench_round(pp_guess_bench *g, int32_t n_round);
void pp_guess_bench_json(const pp_guess_bench *g, json_t *results);
int pp_guess_bench_print(const pp_guess_bench *g, bool markdown);

#endif
