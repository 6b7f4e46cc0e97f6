/* ballot.h - several answers to one text, and what they come to: votes of generate, chat and eval. */
#ifndef PP_CLI_BALLOT_H
#define PP_CLI_BALLOT_H

#include "base/base.h"

typedef struct pp_ballot {
    char **answers; /* [room] */
    size_t n, room;
} pp_ballot;

bool pp_ballot_open(pp_ballot *ballot, size_t n_answer); /* false without memory */
/* An answer to a text that it may only put right (pp_guard), or with NULL a free one. False without memory. */
bool pp_ballot_add(pp_ballot *ballot, const char *text, const char *answer, size_t n_bytes);
/*
 * Of corrections of a text those that `least` of them have (pp_guard_elect). Of free answers, text NULL, the one that is most like
 * the others, the first of equals; two are as like as rouge-l has it, by twice the words in common, in order, over those of both.
 * That is the answer of least expected risk: Kumar and Byrne, "Minimum Bayes-risk decoding for statistical machine translation"
 * (NAACL 2004). NULL without memory; free with pp_free.
 */
char *pp_ballot_elect(const pp_ballot *ballot, const char *text, size_t least) PP_MUST_USE;
void pp_ballot_empty(pp_ballot *ballot);
void pp_ballot_close(pp_ballot *ballot);
/* Votes are drawn: at temperature 1 where none was chosen. */
void pp_ballot_heat(int32_t n_vote, pippin_sampling *sampling);
/* What --share of --votes is in answers: 1 or more; a share of 0 is the default. */
size_t pp_ballot_least(double share, int32_t n_vote);

#endif
