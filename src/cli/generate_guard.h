/* generate_guard.h - generate --guard: an answer that may only put the user's own words right. */
#ifndef PP_CLI_GENERATE_GUARD_H
#define PP_CLI_GENERATE_GUARD_H

#include "cli/talk.h"

/* What the options say of it. */
typedef struct pp_guarding {
    bool on;
    int32_t votes; /* 0: one answer, as --temp has it */
    double share;
} pp_guarding;

/* What the user says: the prompt as it was given, or the last of messages. 0 or an exit code after a message; pp_free. */
int pp_guard_words(const pp_prompt *prompt, char **out);
/*
 * What answers to a tokenized prompt agree on (pp_guard_elect) to `words`, pp_free. The result is the first answer's, with
 * the tokens and the time of all. 0, PP_EXIT_INTERRUPTED without a text, or an exit code after a message.
 */
int pp_guard_generate(const pp_talk *talk, const pp_guarding *how, const char *words, const pp_prompt *prompt,
                      pp_loaded *loaded, char **out, pippin_generate_result *result);

#endif
