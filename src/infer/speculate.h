/*
 * speculate.h - private to infer: the next tokens of a text, several at a time where they can be guessed. A source guesses
 * (draft.c, lookup.c), one pass of the model gives its own law at each place, and pp_accept decides so that what comes out
 * has the model's law whatever was guessed. How many guesses pay is pace.c's to say.
 */
#ifndef PP_INFER_SPECULATE_H
#define PP_INFER_SPECULATE_H

#include "infer/infer.h"

/*
 * Takes a token that was drawn from q, or one in its place, so that the law of *id is p: Leviathan et al., "Fast inference
 * from transformers via speculative decoding" (ICML 2023). Two numbers in [0, 1), of which the second counts only where it
 * refuses. True: accepted, *id is `drafted`. A pure function.
 */
bool pp_accept(const pp_law *p, const pp_law *q, int32_t drafted, double u_accept, double u_token, int32_t *id);

/* ---- how many guesses pay (pace.c) ---- */

/* What a pass of so many tokens costs, as measured. */
typedef struct pp_pace {
    double seconds[PP_MAX_DRAFT + 2]; /* by the tokens of the pass */
    uint32_t n_seen[PP_MAX_DRAFT + 2];
} pp_pace;

/* What guesses of one source cost and how many are right, old ones counting less. All zero at first. */
typedef struct pp_odds {
    double seconds;         /* of a guess */
    double reading;         /* of a token of the text that has to be read before */
    double tried, accepted; /* guesses that were decided on */
    int32_t wait, idle;     /* where none pay: tokens between two tries, and those since the last */
    uint32_t turn;          /* of those that paid */
    bool trying;            /* the last answer was such a try */
} pp_odds;

/* How many tokens to guess now, 0 .. most, where the source has n_unread to read first, n_done came and n_wanted are wanted still. */
int32_t pp_pace_choose(const pp_pace *p, pp_odds *o, int32_t most, size_t n_unread, size_t n_done, size_t n_wanted);
void pp_pace_saw_pass(pp_pace *p, int32_t n_tok, double seconds);
void pp_pace_saw_guesses(pp_odds *o, int32_t n, double seconds);
void pp_pace_saw_reading(pp_odds *o, double seconds); /* of a token */
void pp_pace_saw_check(pp_odds *o, int32_t n, int32_t n_accepted);

/* ---- sources of guesses ---- */

/* A text that is to be guessed on. */
typedef struct pp_prefix {
    pp_history text;
    const pippin_sampling *sampling;
    uint64_t index; /* of the next token in the answer: what random numbers hang on */
} pp_prefix;

typedef struct pp_draft {
    int32_t n;
    int32_t ids[PP_MAX_DRAFT];
    pp_law laws[PP_MAX_DRAFT]; /* what each was drawn from; the source keeps the weights until it is asked again */
    double seconds;            /* what they cost, where that is what the next ones will cost too; else 0 */
    double reading;            /* what each token of a longer text cost that had to be read first; else 0 */
} pp_draft;

typedef struct pp_source {
    /* At most `most` tokens that may come next, none where it has no idea. Fails by CANCELLED only. */
    pippin_status (*guess)(const struct pp_source *self, const pp_prefix *prefix, int32_t most, pp_draft *out,
                           pippin_error *err);
    pippin_session *model, *draft; /* whose text it is; of a draft model */
    pp_odds *odds;
} pp_source;

/* The longest end of the text that was there before, and what came after it then (lookup.c). */
pippin_status pp_lookup_guess(const pp_source *self, const pp_prefix *prefix, int32_t most, pp_draft *out,
                              pippin_error *err);
/* What a smaller model says (draft.c). */
pippin_status pp_draft_guess(const pp_source *self, const pp_prefix *prefix, int32_t most, pp_draft *out,
                             pippin_error *err);
/* Tokens of the text that the draft's session does not hold. */
size_t pp_draft_unread(const pippin_session *draft, const pp_history *text);
/* May this session draft for that one? ARGUMENT says what differs. */
pippin_status pp_draft_check(pippin_session *model, pippin_session *draft, pippin_error *err);

/* ---- the next tokens of a text (speculate.c) ---- */

enum { PP_SOURCE_LOOKUP = 0, PP_SOURCE_DRAFT, PP_N_SOURCE };

typedef struct pp_speculation {
    pippin_session *s;
    const pippin_generate_options *options;
    size_t n_prompt;
    pp_source sources[PP_N_SOURCE]; /* in the order in which they are asked: the cheaper first */
    int32_t n_source;
    int32_t ids[PP_MAX_DRAFT + 1]; /* [n] the tokens that come next; the last is not evaluated yet */
    int32_t n;
    pp_draft draft;      /* the guesses after those, of the pass that comes */
    pp_source *by;       /* whose they are; NULL: there are none */
    const float *logits; /* [n][n_vocab] the model's, that the ids were chosen by */
    size_t n_drafted, n_accepted, n_verify;
} pp_speculation;

/* options must outlive it. s holds the prompt, which the first pass evaluates. */
void pp_speculation_init(pp_speculation *sp, pippin_session *s, const pippin_generate_options *options,
                         size_t n_prompt);
/*
 * The last id goes into the timeline, and guesses of those after it: at most `most` tokens are wanted, after n_done of the answer;
 * alone: no other text takes part in the pass, so that its time says what guesses cost. *n_tok: tokens to evaluate beyond what is
 * evaluated, with as many logits.
 */
pippin_status pp_speculation_guess(pp_speculation *sp, size_t n_done, size_t most, bool alone, int32_t *n_tok,
                                   pippin_error *err);
/* The next 1 .. n_tok tokens by the logits of the pass that took `seconds`. */
void pp_speculation_judge(pp_speculation *sp, size_t n_done, double seconds);

#endif
