/* score.c - logits of every token of a text that may be several sequences, packed, with padding. */
#include "infer/session.h"

/* Fills in the segments and positions that the caller left out. */
static void complete(pippin_session *s, const pippin_score *in, pippin_score *out)
{
    *out = *in;
    int32_t *segments = s->segments, *positions = s->positions;
    if (!in->segments) {
        for (size_t i = 0; i < in->n_tok; i++) segments[i] = 0;
        out->segments = segments;
    }
    if (in->positions) return;
    for (size_t i = 0; i < in->n_tok; i++) {
        /* The index within its own segment: one more than the nearest earlier token of it. */
        size_t j = i;
        while (j > 0 && out->segments[j - 1] != out->segments[i]) j--;
        positions[i] = out->segments[i] < 0 || j == 0 ? 0 : positions[j - 1] + 1;
    }
    out->positions = positions;
}

static pippin_status emit(pippin_session *s, const pp_engine *e, const pp_pass *pass, const pippin_score *score,
                          size_t at, pippin_error *err)
{
    const size_t n_vocab = (size_t)s->model->weights.config.n_vocab;
    for (int32_t first = 0; first < pass->n_row; first += s->work->n_logits) {
        const int32_t some = PP_MIN(s->work->n_logits, pass->n_row - first);
        const float *logits = pp_forward_logits(e, pass, first, some);
        for (int32_t i = 0; i < some; i++)
            if (score->row && score->row(score->user, at + (size_t)(first + i), logits + (size_t)i * n_vocab))
                return pp_fail(err, PIPPIN_E_CANCELLED, "score: stopped by the caller");
    }
    return PIPPIN_OK;
}

static pippin_status fast_score(pippin_session *s, const pippin_score *score, pippin_error *err)
{
    const pp_engine engine = pp_session_engine(s);
    const pp_sequence sequence = pp_session_sequence(s);
    pippin_status status = PIPPIN_OK;
    for (size_t at = 0; at < score->n_tok && status == PIPPIN_OK;) {
        const int32_t n = (int32_t)PP_MIN(score->n_tok - at, (size_t)s->work->n_batch);
        for (int32_t i = 0; i < n; i++) {
            const size_t t = at + (size_t)i;
            s->work->rows[i] = (pp_row){.token = score->tokens[t],
                                        .position = score->positions[t],
                                        .segment = score->segments[t],
                                        .slot = (int32_t)t,
                                        .wants_logits = true};
        }
        const pp_pass pass = {s->work->rows, n, &sequence, 1, s->no_bypass, s->at_layer, s->at_layer_user};
        s->work->n_pass++;
        status = pp_forward(&engine, &pass, err);
        if (status == PIPPIN_OK) status = emit(s, &engine, &pass, score, at, err);
        at += (size_t)n;
    }
    if (status == PIPPIN_E_CANCELLED) atomic_store(&s->cancel, 0); /* the request has been served */
    return status;
}

pippin_status pippin_session_score(pippin_session *s, const pippin_score *in, pippin_error *err)
{
    pippin_score score;
    pippin_status status = pp_session_check_tokens(s, in->tokens, in->n_tok, err);
    if (status != PIPPIN_OK) return status;
    for (size_t i = 0; in->positions && i < in->n_tok; i++)
        if (in->positions[i] < 0)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "token %zu: position %d, expected 0 or more", i,
                           (int)in->positions[i]);
    complete(s, in, &score);
    for (size_t i = 0; i < score.n_tok; i++) pp_session_remark(s, score.positions[i]);
    pp_kv_rewind(&s->kv, 0);
    s->logits = NULL;
    if (score.reference)
        status = pp_reference_score(&s->model->weights, &s->rope, s->loras, s->n_lora, &score, err);
    else
        status = fast_score(s, &score, err);
    /* The cache now holds a text of the caller's own arrangement, which no prefix may match. */
    pp_kv_rewind(&s->kv, 0);
    return status;
}

/* ---- into a file ---- */

typedef struct npy_sink {
    const pippin_score *score;
    pp_npy npy;
    pippin_status status;
    pippin_error *err;
} npy_sink;

static int npy_row(void *user, size_t i, const float *logits)
{
    npy_sink *sink = user;
    sink->status = pp_npy_row(&sink->npy, logits, sink->err);
    if (sink->status != PIPPIN_OK) return 1;
    return sink->score->row ? sink->score->row(sink->score->user, i, logits) : 0;
}

pippin_status pippin_session_score_npy(pippin_session *s, const pippin_score *score, const char *path,
                                       pippin_error *err)
{
    npy_sink sink = {.score = score, .err = err};
    pippin_status status = pp_npy_create(path, score->n_tok, (size_t)s->model->weights.config.n_vocab, &sink.npy, err);
    if (status != PIPPIN_OK) return status;
    pippin_score inner = *score;
    inner.row = npy_row;
    inner.user = &sink;
    pippin_error inner_err = {0};
    status = pippin_session_score(s, &inner, &inner_err);
    if (status == PIPPIN_OK) return pp_npy_commit(&sink.npy, err);
    pp_npy_abort(&sink.npy);
    if (sink.status != PIPPIN_OK) return sink.status; /* the file's error is the cause, and stands in err */
    if (err) *err = inner_err;
    return status;
}
