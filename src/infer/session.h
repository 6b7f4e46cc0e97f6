/* session.h - private to infer: what a session consists of. */
#ifndef PP_INFER_SESSION_H
#define PP_INFER_SESSION_H

#include "infer/speculate.h"

/* Threads, and the memory that passes work in: one session's own, or shared by several of one thread (workspace.c). */
typedef struct pp_workspace {
    int32_t n_users; /* sessions; a workspace belongs to one thread at a time, as they do */
    pp_team *team;
    pp_scratch *scratch;
    pp_rope rope;
    int32_t n_ctx, n_batch, n_logits;
    pp_row *rows;    /* [n_batch] of the next pass */
    uint64_t n_pass; /* so far: logits are those of one, and gone with the next */
    uint64_t n_call; /* so far, of several sessions */
    bool remarked;   /* pp_session_remark has spoken */
} pp_workspace;

pippin_status pp_workspace_create(const pippin_model *model, const pp_rope *rope, pp_scratch_sizes sizes,
                                  pp_workspace **out, pippin_error *err);
/* Gives one user's count back. */
void pp_workspace_free(pp_workspace *w);

struct pippin_session {
    pippin_model *model;
    pp_workspace *work;
    pp_kv kv;
    const pp_weights *running; /* the model's, as they are run */
    pp_rope rope;              /* for good: cached keys are rotated */
    pp_lora_use loras[PP_MAX_LORA];
    int32_t n_lora;
    int32_t n_ctx;
    bool no_bypass;
    atomic_int cancel;
    void (*at_layer)(void *user, int32_t layer); /* may be NULL */
    void *at_layer_user;
    int32_t *tokens;     /* [n_ctx] the timeline; kv.n_tok of them are evaluated */
    const float *logits; /* [n_wanted][n_vocab] of the last tokens, in the scratch; NULL: there are none */
    int32_t n_wanted;
    uint64_t pass;                 /* the workspace's, that the logits are of */
    int32_t *segments, *positions; /* [n_ctx] where a score gives none */
    int32_t n_shortlist;           /* tokens of the vocabulary that always have logits; 0: all have */
    bool *head_groups;             /* [PP_HEAD_GROUPS(n_vocab)] which those are, and the text's own */
    pp_sampler sampler;
    pp_stream stream;
    size_t n_reused;
    uint64_t call;  /* the workspace's, that it takes part in */
    double seconds; /* of all passes that it took part in, with their logits */
    pippin_session
        *leader;        /* while it guesses for another: whose threads it takes, and whose cancel request it heeds */
    pippin_model *fits; /* a draft whose vocabulary was compared already and is the same; kept alive */
    pp_pace pace;       /* what passes of several tokens cost, and what guesses were worth, over all answers */
    pp_odds odds[PP_N_SOURCE];
};

/* Are its last logits still those of the last pass? */
bool pp_session_has_logits(const pippin_session *s);
/* Logs that a position is beyond those of training, where nothing stretches them: once for all that share a workspace. */
void pp_session_remark(pippin_session *s, int32_t position);

/* Makes tokens [n_tok], of which the last n_last are to be evaluated anyhow, the timeline; those that it has already stay. */
void pp_session_take(pippin_session *s, const int32_t *tokens, size_t n_tok, int32_t n_last);
/* Forgets all tokens from n_tok on, and their logits; those before keep theirs. */
void pp_session_rewind(pippin_session *s, size_t n_tok);
/* Every id inside the vocabulary? */
pippin_status pp_session_check_tokens(const pippin_session *s, const int32_t *tokens, size_t n_tok, pippin_error *err);
/* An engine over the session's parts. */
pp_engine pp_session_engine(pippin_session *s);
/* How it takes part in a pass. */
pp_sequence pp_session_sequence(pippin_session *s);

/* The head's groups with a token that has logits after the first n_tok of its timeline; NULL: all. They hang on these tokens alone. */
const bool *pp_session_list(pippin_session *s, int32_t n_tok);

/* ---- evaluating timelines, one or several at once (extend.c) ---- */

/* What is to be evaluated of a timeline: tokens kv.n_tok .. end - 1, with logits of the last n_wanted. */
typedef struct pp_extension {
    pippin_session *s;
    int32_t end, n_wanted;
} pp_extension;

/* Sessions of one pass. */
enum { PP_MAX_SESSIONS = 64 };

/*
 * One pass over what is left of the items [n], whose sessions share a workspace: short ones first and whole, then parts of long
 * ones as far as they fit. An item is done when its kv.n_tok is `end`; its logits then hold until the next pass of the workspace.
 * CANCELLED: one of the sessions was asked to stop, and all are as before.
 */
pippin_status pp_extend_pass(const pp_extension *items, int32_t n, pippin_error *err);
/* Session i of a call that several take part in; ARGUMENT where it may not. */
pippin_status pp_session_join(pippin_session *s, pippin_session *first, size_t i, pippin_error *err);
/* All of them, with their logits all at once where their number fits. A cancel request that was served is cleared. */
pippin_status pp_session_extend(pippin_session *s, int32_t end, int32_t n_wanted, pippin_error *err);

#endif
