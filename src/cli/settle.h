/* settle.h - answers that are computed whole before they are printed, in generate and chat. */
#ifndef PP_CLI_SETTLE_H
#define PP_CLI_SETTLE_H

#include "cli/talk.h"

/* What is to be put right, of n bytes. 0 or an exit code after a message; pp_free. */
int pp_correct_text(const char *words, size_t n, char **out);
/* The same of the user's words that a conversation ends with. */
int pp_correct_words(const json_t *messages, char **out);
/*
 * What answers to a tokenized prompt come to (pp_ballot_elect), pp_free: with `words` corrections of these, of n_vote drawn ones those
 * of a `share`, or with n_vote 0 those of one; with NULL the free answer of n_vote drawn ones that is most like the others. As many
 * at once as `loaded` has sessions. The result is the first answer's, with the tokens and the time of all, and LENGTH where one was
 * cut. CANCELLED without a text: a part of an answer would put nothing right, and look as if all were.
 */
pippin_status pp_settle(const pp_talk *talk, int32_t n_vote, double share, const char *words, const pp_prompt *prompt,
                        const pp_loaded *loaded, char **out, pippin_generate_result *result, pippin_error *err);

#endif
