/* state.c - a run's checkpoints: all parameters with their moments, the steps done, and what the run was started with. */
#include <inttypes.h>

#include "train/trainer.h"

enum { MAX_ARRAY = 4 };

static size_t list_arrays(pp_trainer *t, pp_array arrays[MAX_ARRAY])
{
    arrays[0] = (pp_array){"parameters", PP_ARRAY_F32, t->params.n, t->params.value};
    arrays[1] = (pp_array){"moments.first", PP_ARRAY_F32, t->params.n, t->params.m};
    arrays[2] = (pp_array){"moments.second", PP_ARRAY_F32, t->params.n_v, t->params.v};
    if (!t->qat.n_range) return 3;
    const size_t n_float = t->qat.n_range * sizeof *t->qat.ranges / sizeof(float);
    arrays[3] = (pp_array){"kv.ranges", PP_ARRAY_F32, n_float, t->qat.ranges};
    return 4;
}

pippin_status pp_trainer_save(pp_trainer *t, pippin_error *err)
{
    pp_array arrays[MAX_ARRAY];
    const size_t n_array = list_arrays(t, arrays);
    const pp_state state = {.step = (int64_t)t->step,
                            .arrays = arrays,
                            .n_array = n_array,
                            .metadata = t->settings.entries,
                            .n_metadata = t->settings.n};
    return pp_checkpoint_save(t->options.output, &state, err);
}

pippin_status pp_trainer_restore(pp_trainer *t, pippin_error *err)
{
    pp_array arrays[MAX_ARRAY];
    pp_checkpoint checkpoint = {0};
    const size_t n_array = list_arrays(t, arrays);
    const pp_state want = {
        .arrays = arrays, .n_array = n_array, .metadata = t->settings.entries, .n_metadata = t->settings.n};
    pippin_status status = pp_checkpoint_load(t->options.output, &want, &checkpoint, err);
    if (status == PIPPIN_OK && checkpoint.step < 0)
        pp_log("%s: holds no checkpoint to resume; the run begins", t->options.output);
    else if (status == PIPPIN_OK && (uint64_t)checkpoint.step > t->n_step)
        status = pp_fail(err, PIPPIN_E_ARGUMENT,
                         "steps: the run of %s is at step %" PRId64 " already, this one ends after %" PRIu64
                         "; let it end there or later",
                         t->options.output, checkpoint.step, t->n_step);
    else if (status == PIPPIN_OK) {
        t->step = (uint64_t)checkpoint.step;
        pp_log("%s: going on after step %" PRIu64 " of %" PRIu64, t->options.output, t->step, t->n_step);
    }
    pp_checkpoint_free(&checkpoint);
    return status;
}
