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

/* The teacher's answer after one sample's prompt, its end included; nothing where it has nothing to say. */
static pippin_status continue_sample(pp_trainer *t, pippin_session *s, size_t sample, int32_t *tokens, pp_writer *w,
                                     pippin_error *err)
{
    const pp_dataset *d = &t->train.data;
    const size_t n_prompt = prompt_length(d, sample), most = (size_t)t->options.continuations;
    const pippin_generate_options options = {.max_tokens = most, .sampling = t->options.sampling};
    pippin_generate_result result;
    memcpy(tokens, d->tokens + d->start[sample], n_prompt * sizeof *tokens);
    pippin_status status = pippin_generate(s, tokens, n_prompt, &options, tokens + n_prompt, most, &result, err);
    if (status != PIPPIN_OK) return status;
    size_t n = n_prompt + result.n_generated;
    const int32_t end = t->teacher->tokenizer ? pippin_tokenizer_eos(t->teacher->tokenizer) : -1;
    if (result.finish == PIPPIN_FINISH_STOP && end >= 0) tokens[n++] = end;
    return n > n_prompt ? write_sample(w, tokens, n, n_prompt, err) : PIPPIN_OK;
}

static pippin_status write_all(pp_trainer *t, const char *path, pippin_error *err)
{
    const pp_dataset *d = &t->train.data;
    const size_t longest = t->options.max_length + (size_t)t->options.continuations + 1;
    const pippin_session_options options = {.n_ctx = (int32_t)longest, .n_threads = t->options.n_threads};
    pippin_session *s = NULL;
    pp_writer w = {0};
    int32_t *tokens = pp_alloc(longest * sizeof *tokens);
    pippin_status status = tokens ? PIPPIN_OK : pp_fail_memory(err, path, longest * sizeof *tokens);
    if (status == PIPPIN_OK) status = pippin_session_create(t->teacher, &options, &s, err);
    if (status == PIPPIN_OK) status = pp_writer_open(path, &w, err);
    for (size_t i = 0; i < d->n_sample && status == PIPPIN_OK; i++) {
        if (t->options.on_event && t->options.on_event(t->options.user, NULL))
            status = pp_fail(err, PIPPIN_E_CANCELLED,
                             "distillation: stopped while the teacher wrote continuation %zu of %zu", i, d->n_sample);
        else
            status = continue_sample(t, s, i, tokens, &w, err);
    }
    if (status == PIPPIN_OK) status = pp_writer_commit(&w, err);
    pp_writer_abort(&w);
    pippin_session_free(s);
    pp_free(tokens);
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
