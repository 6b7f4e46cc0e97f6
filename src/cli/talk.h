/* talk.h - what generate and chat share. */
#ifndef PP_CLI_TALK_H
#define PP_CLI_TALK_H

#include <stdlib.h>

#include "cli/cli.h"

enum { PP_MAX_STOP_IDS = 8 };

typedef struct pp_prompt {
    pp_buffer text;   /* as given; after tokenizing with a template as the model reads it; empty when ids were given */
    bool is_messages; /* the text is JSON */
    pp_ids ids;
    int32_t stop_ids[PP_MAX_STOP_IDS];
    size_t n_stop_ids; /* 0: the library's own choice */
} pp_prompt;

/* A part of a line. */
typedef struct pp_remark {
    char text[96];
} pp_remark;

/* What the arguments of both begin with. */
typedef struct pp_talk {
    pp_common common;
    pp_texts stops;
    int32_t n, top_k, draft_vocab;
    double temperature, top_p, min_p, repeat_penalty;
    uint64_t seed;
    const char *system, *template;
    const char *draft, *draft_tokens;
    bool raw, lookup;
} pp_talk;

/* Targets are fields of pp_talk. */
extern const pp_option pp_options_length[], pp_options_sampling[], pp_options_template[], pp_options_draft[];

#define PP_OPT_MAX_TOKENS(at) PP_OPT_INT("max-tokens", "N", at, 1, 1 << 20), .letter = 'n'
#define PP_OPT_DRAFT_VOCAB(at)                                                                                         \
    PP_OPT_INT("draft-vocab", "N", at, 1, INT32_MAX),                                                                  \
        .help =                                                                                                        \
            "the draft guesses among the first N tokens of its vocabulary, usually the more frequent ones, and those " \
            "of the text alone, which costs less; the text follows the same law (default: all)"
#define PP_OPT_TEMPLATE(at) PP_OPT_CHOICE("template", "NAME", at, "afm|llama3|chatml|mistral")

/* Options that do not go together, or mean nothing; 0 or an exit code after a message. */
int pp_talk_check(const pp_talk *talk);
/* Loads the draft where there is one. */
int pp_talk_load_draft(const pp_talk *talk, pp_loaded *loaded);
/* What the options say of a generation: length, sampling, what stops it, what guesses. */
pippin_generate_options pp_talk_generate(const pp_talk *talk, const pp_loaded *loaded, const pp_prompt *prompt);

/* An answer as it comes. Where a token has a byte of 0 the text has U+FFFD, so that the whole is a text of C's. */
typedef struct pp_gathered {
    pp_buffer text;
    bool no_memory;
} pp_gathered;

/* What a generation calls for each token, its user a pp_gathered; stops at Ctrl-C. */
int pp_gather(void *gathered, const pippin_token_event *event);
/* How it went: CANCELLED too where there is a part of an answer. */
pippin_status pp_gathered_status(const pp_gathered *gathered, const pippin_generation *job, pippin_error *err);

/* Groups that generate and chat have alike. */
#define PP_TALK_GROUPS                                                                                                 \
    {"Sampling", pp_options_length}, {NULL, pp_options_sampling}, {"Model", pp_options_model},                         \
        {NULL, pp_options_tokenizer}, {NULL, pp_options_session},                                                      \
    {                                                                                                                  \
        "Guessing", pp_options_draft                                                                                   \
    }

/* "; 60 of 80 guesses right, 3.0 tokens a pass", or nothing where none were checked. */
pp_remark pp_talk_guesses(const pippin_generate_result *result);
/* The template that the options and the tokenizer mean; NONE: prompts are text as it is. */
pippin_template pp_talk_template(const pp_talk *talk, const pippin_tokenizer *tokenizer);

/* 0 or an exit code after a message; pp_prompt_free in any case. */
int pp_prompt_tokenize(const pp_talk *talk, const pippin_model *model, pp_prompt *prompt);
/* The same from messages as JSON text. */
int pp_prompt_render(const pippin_tokenizer *tokenizer, pippin_template kind, const char *messages, size_t n,
                     pp_prompt *prompt);
void pp_prompt_free(pp_prompt *prompt);

#endif
