/*
 * continuations.c - what a draft is distilled on: texts that the teacher itself writes after the data's prompts. A draft is
 * asked to guess its teacher's words, so these are the places where it has to be right (Zhou et al. 2023).
 *
 * They are kept as continuations.jsonl in the output folder, in the form of training data, and read again by a resumed run.
 */
#include <inttypes.h>
#include <string.h>

#include "train/trainer.h"

/* How much of a sample the teacher continues: what comes before its first target, or half of a text without a prompt. */
static size_t prompt_length(const pp_dataset *d, size_t sample)
{
    const size_t first = d->start[sample], n = d->start[sample + 1] - first;
    size_t prompt = 0;
    while (prompt < n && !d->labelled[first + prompt]) prompt++;
    return prompt > 1 ? prompt : PP_MAX(1, n / 2);
}

static pippin_status write_sample(pp_writer *w, const int32_t *tokens, size_t n, size_t n_prompt, pippin_error *err)
{
    char text[32];
    pippin_status status = pp_writer_write(w, "{\"tokens\":[", 11, err);
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++) {
        const int size = snprintf(text, sizeof text, "%s%" PRId32, i ? "," : "", tokens[i]);
        status = pp_writer_write(w, text, (size_t)size, err);
    }
    if (status == PIPPIN_OK) status = pp_writer_write(w, "],\"loss_mask\":[", 15, err);
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++)
        status = pp_writer_write(w, i == 0 ? "0" : i < n_prompt ? ",0" : ",1", i == 0 ? 1 : 2, err);
    return status == PIPPIN_OK ? pp_writer_write(w, "]}\n", 3, err) : status;
}

/* ---- several at once ---- */

enum { TOGETHER = 8 };

typedef struct writing {
    pp_trainer *t;
    pippin_session *sessions[TOGETHER];
    int32_t *tokens[TOGETHER]; /* [n_together][longest] prompts, and what comes after them */
    size_t n_together, longest;
    bool stopped;
} writing;

static pippin_status open_writing(pp_trainer *t, const char *path, writing *w, pippin_error *err)
{
    *w = (writing){.t = t, .longest = t->options.max_length + (size_t)t->options.continuations + 1};
    const size_t n = PP_MIN(t->train.data.n_sample, TOGETHER);
    pippin_session_options options = {.n_ctx = (int32_t)w->longest, .n_threads = t->options.n_threads};
    pippin_status status = PIPPIN_OK;
    for (; w->n_together < n && status == PIPPIN_OK; w->n_together++) {
        const size_t i = w->n_together;
        options.with = w->sessions[0];
        w->tokens[i] = pp_alloc(w->longest * sizeof **w->tokens);
        status = w->tokens[i] ? pippin_session_create(t->teacher, &options, &w->sessions[i], err)
                              : pp_fail_memory(err, path, w->longest * sizeof **w->tokens);
    }
    return status;
}

static void close_writing(writing *w)
{
    for (size_t i = 0; i < TOGETHER; i++) {
        pippin_session_free(w->sessions[i]);
        pp_free(w->tokens[i]);
    }
}

static bool asked_to_stop(writing *w)
{
    const pippin_train_options *o = &w->t->options;
    w->stopped = w->stopped || (o->on_event && o->on_event(o->user, NULL));
    return w->stopped;
}

static int on_token(void *user, const pippin_token_event *event)
{
    (void)event;
    return asked_to_stop(user);
}

/* What training data ends with: the end of a turn or of the text, the latter also where the teacher went on to begin another. */
static int32_t end_of(const pippin_tokenizer *tokenizer, int32_t stop_id)
{
    const int32_t eos = tokenizer ? pippin_tokenizer_eos(tokenizer) : -1;
    return eos >= 0 && stop_id == pippin_tokenizer_bos(tokenizer) ? eos : stop_id;
}

/* The teacher's answer after a sample's prompt, its end included; nothing where it has nothing to say. */
static pippin_status write_answer(const writing *w, const pippin_generation *g, int32_t *tokens, pp_writer *out,
                                  pippin_error *err)
{
    size_t n = g->n_prompt + g->result.n_generated;
    if (g->status != PIPPIN_OK) {
        *err = g->error;
        return g->status;
    }
    if (g->result.stop_id >= 0) tokens[n++] = end_of(w->t->teacher->tokenizer, g->result.stop_id);
    return n > g->n_prompt ? write_sample(out, tokens, n, g->n_prompt, err) : PIPPIN_OK;
}

/* Samples [first, first + n). */
static pippin_status continue_samples(writing *w, size_t first, size_t n, pp_writer *out, pippin_error *err)
{
    const pp_dataset *d = &w->t->train.data;
    const size_t most = (size_t)w->t->options.continuations;
    const pippin_generate_options options = {
        .max_tokens = most, .sampling = w->t->options.sampling, .on_token = on_token, .user = w};
    pippin_generation jobs[TOGETHER];
    for (size_t i = 0; i < n; i++) {
        const size_t n_prompt = prompt_length(d, first + i);
        int32_t *tokens = w->tokens[i];
        memcpy(tokens, d->tokens + d->start[first + i], n_prompt * sizeof *tokens);
        jobs[i] = (pippin_generation){.session = w->sessions[i],
                                      .prompt = tokens,
                                      .n_prompt = n_prompt,
                                      .options = &options,
                                      .ids = tokens + n_prompt,
                                      .capacity = most};
    }
    pippin_status status = asked_to_stop(w) ? PIPPIN_OK : pippin_generate_many(jobs, n, err);
    if (w->stopped)
        return pp_fail(err, PIPPIN_E_CANCELLED, "distillation: stopped while the teacher wrote continuation %zu of %zu",
                       first, d->n_sample);
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++) status = write_answer(w, &jobs[i], w->tokens[i], out, err);
    return status;
}

static void tell(const pp_trainer *t, size_t n_done)
{
    if (t->options.on_continued) t->options.on_continued(t->options.user, n_done, t->train.data.n_sample);
}

static pippin_status write_all(pp_trainer *t, const char *path, pippin_error *err)
{
    const size_t n_sample = t->train.data.n_sample;
    writing w;
    pp_writer out = {0};
    pippin_status status = open_writing(t, path, &w, err);
    if (status == PIPPIN_OK) status = pp_writer_open(path, &out, err);
    for (size_t first = 0; first < n_sample && status == PIPPIN_OK; first += w.n_together) {
        tell(t, first);
        status = continue_samples(&w, first, PP_MIN(n_sample - first, w.n_together), &out, err);
    }
    if (status == PIPPIN_OK) tell(t, n_sample);
    if (status == PIPPIN_OK) status = pp_writer_commit(&out, err);
    pp_writer_abort(&out);
    close_writing(&w);
    return status;
}

pippin_status pp_trainer_continue(pp_trainer *t, pippin_error *err)
{
    char *path = pp_path_join(t->options.output, "continuations.jsonl");
    if (!path) return pp_fail_memory(err, t->options.output, 256);
    pippin_status status = PIPPIN_OK;
    if (!t->options.resume || !pp_path_exists(path)) {
        pp_log("%zu continuations of up to %d tokens are being written by the teacher", t->train.data.n_sample,
               (int)t->options.continuations);
        status = write_all(t, path, err);
    }
    if (status == PIPPIN_OK) {
        pp_feed_close(&t->train);
        status = pp_feed_open(t, path, false, &t->train, err);
    }
    pp_free(path);
    return status;
}
