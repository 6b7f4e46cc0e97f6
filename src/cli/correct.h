/* correct.h - answers that may only put the user's own words right, in generate and chat. */
#ifndef PP_CLI_CORRECT_H
#define PP_CLI_CORRECT_H

#include "cli/talk.h"

/* What is to be put right, of n bytes. 0 or an exit code after a message; pp_free. */
int pp_correct_text(const char *words, size_t n, char **out);
/* The same of the user's words that a conversation ends with. */
int pp_correct_words(const json_t *messages, char **out);
/*
 * What answers to a tokenized prompt agree on to `words` (pp_guard_elect), pp_free: a `share` of n_vote drawn ones, or with n_vote 0
 * one, guarded; as many at once as `loaded` has sessions. The result is the first answer's, with the tokens and the time of all.
 * CANCELLED without a text: a part of an answer would put nothing right, and look as if all were.
 */
pippin_status pp_correct(const pp_talk *talk, int32_t n_vote, double share, const char *words, const pp_prompt *prompt,
                         const pp_loaded *loaded, char **out, pippin_generate_result *result, pippin_error *err);

#endif
