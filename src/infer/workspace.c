/* workspace.c - threads, and the memory that passes work in. */
#include "infer/session.h"

pippin_status pp_workspace_create(const pippin_model *model, const pp_rope *rope, pp_scratch_sizes sizes,
                                  pp_workspace **out, pippin_error *err)
{
    pp_workspace *w = *out = pp_alloc_zero(1, sizeof *w);
    if (!w) return pp_fail_memory(err, "session", sizeof *w);
    w->n_users = 1;
    w->rope = *rope;
    w->n_ctx = sizes.n_ctx;
    w->n_batch = sizes.n_row;
    w->n_logits = sizes.n_logits;
    w->team = pp_team_create(sizes.n_thread);
    w->rows = pp_alloc_zero((size_t)sizes.n_row, sizeof *w->rows);
    pippin_status status = PIPPIN_OK;
    if (!w->team)
        status = pp_fail(err, PIPPIN_E_MEMORY, "threads: %d could not be started; ask for fewer", (int)sizes.n_thread);
    else if (!w->rows)
        status = pp_fail_memory(err, "session", (uint64_t)sizes.n_row * sizeof *w->rows);
    if (status == PIPPIN_OK) status = pp_scratch_create(&model->weights, rope, sizes, &w->scratch, err);
    if (status == PIPPIN_OK) return status;
    pp_workspace_free(w);
    *out = NULL;
    return status;
}

void pp_workspace_free(pp_workspace *w)
{
    if (!w || --w->n_users) return;
    pp_team_free(w->team);
    pp_scratch_free(w->scratch);
    pp_free(w->rows);
    pp_free(w);
}
