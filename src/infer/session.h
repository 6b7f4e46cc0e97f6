/* session.h - private to infer: what a session consists of. */
#ifndef PP_INFER_SESSION_H
#define PP_INFER_SESSION_H

#include "infer/infer.h"

struct pippin_session {
    pippin_model *model;
    pp_team *team;
    pp_scratch *scratch;
    pp_kv kv;
    const pp_weights *running; /* the model's, as they are run */
    pp_rope rope;              /* for good: cached keys are rotated */
    pp_lora_use loras[PP_MAX_LORA];
    int32_t n_lora;
    int32_t n_ctx, n_batch, n_logits;
    bool no_bypass;
    atomic_int cancel;
    int32_t *tokens;     /* [n_ctx] the timeline; kv.n_tok of them are evaluated */
    pp_row *rows;        /* [n_batch] of the next pass */
    const float *logits; /* [n_wanted][n_vocab] of the last tokens, in the scratch; NULL: there are none */
    int32_t n_wanted;
    pp_sampler sampler;
    int32_t *segments, *positions; /* [n_ctx] where a score gives none */
    pp_stream stream;
    size_t n_reused;
    bool remarked;
};

/* Logs once that a position is beyond those of training, where nothing stretches them. */
void pp_session_remark(pippin_session *s, int32_t position);

/* pp_forward on the session's engine; a cancel request that it served is cleared. */
pippin_status pp_session_pass(pippin_session *s, const pp_pass *pass, pippin_error *err);
/* Evaluates tokens[first..last) as one sequence from slot `first` on, and gives logits of the last n_wanted of them. */
pippin_status pp_session_extend(pippin_session *s, int32_t first, int32_t last, int32_t n_wanted, pippin_error *err);
/* Every id inside the vocabulary? */
pippin_status pp_session_check_tokens(const pippin_session *s, const int32_t *tokens, size_t n_tok, pippin_error *err);
/* An engine over the session's parts. */
pp_engine pp_session_engine(pippin_session *s);

#endif
