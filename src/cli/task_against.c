/* task_against.c - how often a draft finds likeliest what a model says: the answers of a task, token for token. */
#include <string.h>

#include "cli/against.h"
#include "cli/task_answer.h"

int pp_answer_against(pp_answerer *a, size_t row, const int32_t *ids, const pippin_generate_result *r)
{
    pp_question *q = &a->questions[row];
    const size_t n_prompt = q->prompt.ids.n, n = r->n_generated + (r->stop_id >= 0);
    const int32_t n_vocab = pippin_model_config(a->loaded.model)->n_vocab;
    pippin_error err;
    pippin_status status = PIPPIN_OK;
    int32_t *text = pp_alloc_zero(n_prompt + n, sizeof *text);
    if (!text) return pp_no_memory();
    memcpy(text, q->prompt.ids.items, n_prompt * sizeof *text);
    memcpy(text + n_prompt, ids, r->n_generated * sizeof *text);
    if (r->stop_id >= 0) text[n_prompt + n - 1] = r->stop_id;
    for (size_t i = n_prompt; i < n_prompt + n && status == PIPPIN_OK && !pp_interrupted(); i++) {
        status = pippin_session_sync(a->against, text, i, &err);
        if (status != PIPPIN_OK) break;
        q->n_same += pp_likeliest(pippin_session_logits(a->against), n_vocab) == text[i];
        q->n_compared++;
    }
    pp_free(text);
    return status == PIPPIN_OK ? 0 : pp_failed(&err);
}
