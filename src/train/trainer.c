/* trainer.c - the loop: batches to gradients, gradients to a step, and what is measured, said and saved on the way. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "train/trainer.h"

/* ---- one step ---- */

/* Where a step is: its epoch, and its batches in that. */
typedef struct place {
    uint64_t epoch;
    size_t first, last;
} place;

static place place_of(pp_trainer *t, uint64_t step)
{
    place p = {0};
    while (t->epoch_step[p.epoch + 1] <= step) p.epoch++;
    const size_t each = (size_t)t->options.accumulation;
    p.first = (size_t)(step - t->epoch_step[p.epoch]) * each;
    p.last = PP_MIN(p.first + each, pp_plan_n_batch(&t->train.plan, p.epoch));
    return p;
}

/* What the mean of a step's loss is taken over: targets, or the sequences that a distilled draft's are averaged in. */
static size_t units_of(const pp_trainer *t, const pp_batch *b) { return t->teacher ? b->n_sequence : b->n_target; }

static double batch_loss(pp_trainer *t, const pp_batch *b, double weight, bool backward)
{
    t->net.training = backward;
    pp_net_forward(&t->net, b);
    if (!t->teacher) return pp_net_cross_entropy(&t->net, weight, backward);
    pp_net_forward(&t->teacher_net, b);
    return pp_net_distill(&t->net, &t->teacher_net, t->options.distill_loss, weight, backward);
}

static bool asked_to_stop(const pp_trainer *t, const pippin_train_event *event)
{
    return t->options.on_event && t->options.on_event(t->options.user, event) != 0;
}

/* Loss and gradient of a step; false: asked to stop in the middle of it. */
static bool gradient(pp_trainer *t, const place *p, pippin_train_event *event)
{
    pp_feed *feed = &t->train;
    size_t units = 0;
    for (size_t k = p->first; k < p->last; k++) {
        pp_plan_batch(&feed->plan, p->epoch, k, &feed->batch);
        units += units_of(t, &feed->batch);
    }
    pp_params_zero_grad(&t->params, t->team);
    if (t->options.qat) pp_qat_round(&t->qat, &t->params, t->team);
    for (size_t k = p->first; k < p->last; k++) {
        if (k > p->first && asked_to_stop(t, NULL)) return false;
        pp_plan_batch(&feed->plan, p->epoch, k, &feed->batch);
        t->net.step = t->step * (uint64_t)t->options.accumulation + (k - p->first);
        event->loss += batch_loss(t, &feed->batch, 1 / (double)units, true);
        pp_net_backward(&t->net);
        event->n_tok += feed->batch.n_tok;
    }
    if (t->options.qat) pp_qat_gradients(&t->qat, &t->params, t->team);
    event->grad_norm = pp_params_grad_norm(&t->params, &t->kernels, t->team);
    return true;
}

static pippin_status diverged(pp_trainer *t, const pippin_train_event *event, pippin_error *err)
{
    pp_qat_take_back(&t->qat);
    const pippin_status status = pp_trainer_save(t, err);
    if (status != PIPPIN_OK) return status;
    return pp_fail(err, PIPPIN_E_DIVERGED,
                   "step %" PRIu64
                   ": loss %g, gradient norm %g: training diverged; a checkpoint from before this step is in %s. "
                   "Try a lower learning rate, a longer warm-up or clipping",
                   t->step + 1, fabs(event->loss), fabs(event->grad_norm), t->options.output);
}

static void update(pp_trainer *t, pippin_train_event *event)
{
    const pippin_train_options *o = &t->options;
    event->learning_rate = o->learning_rate * pp_schedule_at(&t->schedule, (int64_t)t->step);
    const pp_step_options step = {.rate = event->learning_rate,
                                  .weight_decay = o->weight_decay,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .eps = 1e-8,
                                  .clip = o->clip_grad_norm,
                                  .step = t->step + 1};
    pp_params_step(&t->params, &step, event->grad_norm, &t->net);
    t->step++;
}

/* ---- what is said ---- */

static void tell_speed(pp_trainer *t, pippin_train_event *event, double seconds)
{
    const double each = seconds / (double)event->n_tok;
    t->seconds_per_token = t->seconds_per_token > 0 ? 0.9 * t->seconds_per_token + 0.1 * each : each;
    t->result.n_tok += event->n_tok;
    event->tokens_per_second = 1 / each;
    event->step = t->step;
    event->n_step = t->n_step;
    event->n_epoch = t->n_epoch;
    const double tokens_per_step = (double)t->result.n_tok / (double)++t->result.n_step;
    event->seconds_left = (double)(t->n_step - t->step) * tokens_per_step * t->seconds_per_token;
}

static pippin_status note(pp_trainer *t, const pippin_train_event *event, pippin_error *err)
{
    return pp_metrics_put(&t->metrics,
                          &(pp_metric){.step = (int64_t)event->step,
                                       .is_eval = event->is_eval,
                                       .loss = event->loss,
                                       .grad_norm = event->grad_norm,
                                       .lr = event->learning_rate,
                                       .tokens = (int64_t)event->n_tok,
                                       .tokens_per_second = event->tokens_per_second,
                                       .eval_loss = event->eval_loss},
                          err);
}

static pippin_status plot(const pp_trainer *t, pippin_error *err)
{
    static const char *const titles[] = {"Training", "Distillation", "Adapter training"};
    pp_metric *rows = NULL;
    size_t n = 0;
    pippin_status status = pp_metrics_read(t->options.output, &rows, &n, err);
    if (status == PIPPIN_OK) status = pp_plot_write(t->options.output, titles[t->kind], rows, n, err);
    pp_free(rows);
    return status;
}

static pippin_status checkpoint(pp_trainer *t, pippin_error *err)
{
    const pippin_status status = pp_trainer_save(t, err);
    return status == PIPPIN_OK ? plot(t, err) : status;
}

/* ---- evaluation ---- */

static pippin_status evaluate(pp_trainer *t, pippin_train_event *event, bool *stop, pippin_error *err)
{
    pp_feed *feed = &t->eval;
    double sum = 0;
    size_t units = 0;
    if (feed->data.n_sample == 0) return PIPPIN_OK;
    if (t->options.qat) pp_qat_round(&t->qat, &t->params, t->team);
    for (size_t k = 0; k < pp_plan_n_batch(&feed->plan, 0); k++) {
        pp_plan_batch(&feed->plan, 0, k, &feed->batch);
        units += units_of(t, &feed->batch);
        sum += batch_loss(t, &feed->batch, 1, false);
    }
    event->is_eval = true;
    event->eval_loss = t->result.eval_loss = sum / (double)units;
    *stop = asked_to_stop(t, event) || *stop;
    return note(t, event, err);
}

/* ---- the run ---- */

static bool is_due(const pp_trainer *t, uint64_t every)
{
    if (t->step == t->n_step) return true;
    if (every) return t->step % every == 0;
    for (uint64_t epoch = 1; epoch <= t->n_epoch; epoch++)
        if (t->epoch_step[epoch] == t->step) return true;
    return false;
}

static pippin_status one_step(pp_trainer *t, bool *stop, pippin_error *err)
{
    const double begin = pp_seconds();
    const place p = place_of(t, t->step);
    pippin_train_event event = {.epoch = p.epoch + 1};
    if (!gradient(t, &p, &event)) {
        pp_qat_take_back(&t->qat);
        *stop = true;
        return PIPPIN_OK;
    }
    if (!isfinite(event.loss) || !isfinite(event.grad_norm)) return diverged(t, &event, err);
    update(t, &event);
    tell_speed(t, &event, pp_seconds() - begin);
    t->result.loss = event.loss;
    pippin_status status = note(t, &event, err);
    *stop = asked_to_stop(t, &event);
    if (status == PIPPIN_OK && is_due(t, t->options.eval_every)) status = evaluate(t, &event, stop, err);
    /* A run that is asked to stop writes its own below; one that is over by then goes on to its result. */
    const bool due = is_due(t, t->options.checkpoint_every) && (!*stop || t->step == t->n_step);
    return status == PIPPIN_OK && due ? checkpoint(t, err) : status;
}

static pippin_status write_adapter(const pp_trainer *t, pippin_error *err)
{
    char *path = pp_path_join(t->options.output, "adapter.safetensors");
    if (!path) return pp_fail_memory(err, t->options.output, 256);
    const pippin_status status =
        pp_adapter_save(t->params.adapter, &t->model->weights.config, t->options.save_type, path, err);
    pp_free(path);
    return status;
}

/* What was trained in few bits, as the one file of them that it was trained for. */
static pippin_status write_gguf(const pp_trainer *t, pippin_error *err)
{
    pippin_model *model = NULL;
    char *path = pp_path_join(t->options.output, "model.gguf");
    if (!path) return pp_fail_memory(err, t->options.output, 256);
    pippin_status status = pippin_model_open(t->options.output, NULL, &model, err);
    if (status == PIPPIN_OK)
        status = pippin_model_save_gguf(model, &(pippin_save_options){.type = t->options.qat}, path, err);
    pippin_model_free(model);
    pp_free(path);
    return status;
}

static pippin_status write_result(pp_trainer *t, pippin_error *err)
{
    const char *dir = t->options.output;
    pippin_status status;
    if (t->options.qat) pp_qat_round(&t->qat, &t->params, t->team);
    if (t->kind == PP_TRAIN_ADAPTER)
        status = write_adapter(t, err);
    else
        status =
            t->options.qat ? pp_qat_save(&t->qat, &t->params, dir, err) : pp_weights_save(&t->params.weights, dir, err);
    if (status == PIPPIN_OK && t->kind != PP_TRAIN_ADAPTER) status = pp_model_save_tokenizer(t->model, dir, err);
    if (status == PIPPIN_OK && t->options.qat) status = write_gguf(t, err);
    return status == PIPPIN_OK ? plot(t, err) : status;
}

static pippin_status run(pp_trainer *t, pippin_error *err)
{
    pippin_status status = PIPPIN_OK;
    bool stop = false;
    if (t->step == 0)
        status = evaluate(t, &(pippin_train_event){.epoch = 1, .n_epoch = t->n_epoch, .n_step = t->n_step}, &stop, err);
    while (status == PIPPIN_OK && !stop && t->step < t->n_step) status = one_step(t, &stop, err);
    if (status != PIPPIN_OK) return status;
    if (!stop || t->step == t->n_step) {
        pp_net_free(
            &t->net); /* an adapter is copied while it is written: at the end of the run there is room for that */
        pp_net_free(&t->teacher_net);
        return write_result(t, err);
    }
    status = checkpoint(t, err);
    if (status != PIPPIN_OK) return status;
    return pp_fail(err, PIPPIN_E_CANCELLED,
                   "training: stopped after step %" PRIu64 " of %" PRIu64 "; its checkpoint is in %s", t->step,
                   t->n_step, t->options.output);
}

static pippin_status train(pp_trainer *t, const pippin_train_options *options, pippin_train_result *result,
                           pippin_error *err)
{
    const double begin = pp_seconds();
    pippin_status status = pp_trainer_open(t, options, err);
    if (status == PIPPIN_OK) status = run(t, err);
    t->result.seconds = pp_seconds() - begin;
    if (result) *result = t->result;
    pp_trainer_close(t);
    return status;
}

pippin_status pippin_train(const pippin_model *model, const pippin_train_options *options, pippin_train_result *result,
                           pippin_error *err)
{
    return train(&(pp_trainer){.kind = PP_TRAIN_FULL, .model = model}, options, result, err);
}

pippin_status pippin_distill(const pippin_model *draft, pippin_model *teacher, const pippin_train_options *options,
                             pippin_train_result *result, pippin_error *err)
{
    return train(&(pp_trainer){.kind = PP_TRAIN_DISTILL, .model = draft, .teacher = teacher}, options, result, err);
}

pippin_status pippin_adapter_train(const pippin_model *base, const pippin_train_options *options,
                                   pippin_train_result *result, pippin_error *err)
{
    return train(&(pp_trainer){.kind = PP_TRAIN_ADAPTER, .model = base}, options, result, err);
}
