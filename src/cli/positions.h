/* positions.h - eval --by-position: what is predicted, in buckets of how many tokens stand before it. */
#ifndef PP_CLI_POSITIONS_H
#define PP_CLI_POSITIONS_H

#include "cli/cli.h"

typedef struct pp_bucket {
    size_t n_tok;
    double nll; /* summed, in nats */
} pp_bucket;

/* Position p has p tokens before it, BOS among them; the first that is predicted has 1. */
typedef struct pp_positions {
    pp_ids ends; /* the last position of each of the first buckets, rising; the last step goes on behind them */
    pp_bucket *buckets;
    size_t n, n_room;
    size_t longest; /* position that was added */
} pp_positions;

/* edges: "double", or "N,N,..." as in `ends`. 0, or an exit code after a message; pp_positions_close in any case. */
int pp_positions_open(pp_positions *p, const char *edges);
void pp_positions_close(pp_positions *p);
bool pp_positions_add(pp_positions *p, size_t position, double nll); /* position >= 1; false without memory */
json_t *pp_positions_json(const pp_positions *p);
int pp_positions_print(const pp_positions *p);

#endif
