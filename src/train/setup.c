/* setup.c - from the options of a training run to everything that it works with, allocated once. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "train/trainer.h"

/* ---- options ---- */

static double or_default(double value, double otherwise) { return value == 0 ? otherwise : value < 0 ? 0 : value; }

static pippin_status check_range(const char *name, double value, double low, double high, pippin_error *err)
{
    if (value >= low && value <= high) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: found %g, expected %g .. %g", name, value, low, high);
}

static pippin_status check_options(pp_job_kind kind, const pippin_train_options *o, pippin_error *err)
{
    if (o->continuations < 0 || (o->continuations && kind != PP_TRAIN_DISTILL))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "continuations: found %d, expected 0, or for a draft the tokens of each",
                       (int)o->continuations);
    if (o->optimizer != PIPPIN_OPTIMIZER_ADAMW && (o->optimizer != PIPPIN_OPTIMIZER_MUON || kind == PP_TRAIN_ADAPTER))
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "optimizer: found %s, expected AdamW, or for all weights of a model Muon",
                       o->optimizer == PIPPIN_OPTIMIZER_MUON ? "Muon for an adapter" : "none that is known");
    if (o->distill_loss != PIPPIN_DISTILL_REVERSE_KL &&
        (o->distill_loss != PIPPIN_DISTILL_FORWARD_KL || kind != PP_TRAIN_DISTILL))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "distill loss: found %s, expected reverse, or for a draft forward KL",
                       o->distill_loss == PIPPIN_DISTILL_FORWARD_KL ? "forward KL without a teacher"
                                                                    : "none that is known");
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {{"epochs", o->epochs, 1, 1e6},
                  {"batch size", o->batch_size, 1, 1 << 16},
                  {"accumulation", o->accumulation, 1, 1 << 16},
                  {"learning rate", o->learning_rate, 0, 100},
                  {"weight decay", o->weight_decay, 0, 10},
                  {"clip", o->clip_grad_norm, 0, 1e9},
                  {"dropout", o->dropout, 0, 0.99},
                  {"lora dropout", o->lora_dropout, 0, 0.99},
                  {"max length", (double)o->max_length, 2, 1 << 20},
                  {"threads", o->n_threads, 1, 1024}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const pippin_status status = check_range(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high, err);
        if (status != PIPPIN_OK) return status;
    }
    if (!o->data) return pp_fail(err, PIPPIN_E_ARGUMENT, "data: none given, expected a .jsonl, a .txt or a folder");
    if (o->qat && o->qat != PIPPIN_Q2 && o->qat != PIPPIN_Q4)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED, "qat: %s, expected q2 or q4", pippin_type_name(o->qat));
    if (o->save_type && !pp_adapter_holds(o->save_type))
        return pp_fail(err, PIPPIN_E_UNSUPPORTED, "save type: %s, expected f32, f16 or bf16",
                       pippin_type_name(o->save_type));
    if (!o->output) return pp_fail(err, PIPPIN_E_ARGUMENT, "output: none given, expected the folder to write into");
    return PIPPIN_OK;
}

static pippin_status fill_options(pp_trainer *t, const pippin_train_options *options, pippin_error *err)
{
    const int32_t n_ctx = t->model->weights.config.n_ctx_train;
    pippin_train_options *o = &t->options;
    *o = options ? *options : (pippin_train_options){0};
    if (!o->epochs) o->epochs = 2;
    if (!o->batch_size) o->batch_size = 4;
    if (!o->accumulation) o->accumulation = 1;
    if (o->learning_rate == 0) o->learning_rate = 1e-3;
    if (!o->max_length) o->max_length = n_ctx > 0 ? (size_t)PP_MIN(n_ctx, 4096) : 4096;
    if (!o->n_threads) o->n_threads = pp_cpu_count();
    o->weight_decay = or_default(o->weight_decay, 0.01);
    o->clip_grad_norm = or_default(o->clip_grad_norm, 1);
    return check_options(t->kind, o, err);
}

/* ---- data ---- */

pippin_status pp_feed_open(const pp_trainer *t, const char *path, bool eval, pp_feed *feed, pippin_error *err)
{
    const pippin_train_options *o = &t->options;
    const pippin_config *c = &t->model->weights.config;
    pp_dataset_options data = pp_dataset_defaults(c, t->model->tokenizer);
    data.separator = o->separator;
    data.max_length = o->max_length;
    pippin_status status = pp_dataset_load(path, t->model->tokenizer, c->n_vocab, &data, &feed->data, err);
    const pp_plan_options plan = {.batch_size = (size_t)o->batch_size,
                                  .pack = o->pack && !eval,
                                  .max_length = o->max_length,
                                  .shuffle = !o->no_shuffle && !eval,
                                  .seed = o->seed};
    if (status == PIPPIN_OK) status = pp_plan_create(&feed->data, &plan, &feed->plan, err);
    if (status == PIPPIN_OK) status = pp_batch_create(&feed->plan, &feed->batch, err);
    return status;
}

static pippin_status open_data(pp_trainer *t, pippin_error *err)
{
    char *valid = NULL;
    const char *eval = t->options.eval_data;
    pippin_status status = pp_feed_open(t, t->options.data, false, &t->train, err);
    if (status == PIPPIN_OK) t->data_hash = pp_dataset_hash(&t->train.data);
    if (status == PIPPIN_OK && !eval) {
        status = pp_dataset_find_valid(t->options.data, &valid, err);
        eval = valid;
    }
    if (status == PIPPIN_OK && eval) status = pp_feed_open(t, eval, true, &t->eval, err);
    pp_free(valid);
    return status;
}

void pp_feed_close(pp_feed *f)
{
    pp_batch_free(&f->batch);
    pp_plan_free(&f->plan);
    pp_dataset_free(&f->data);
    *f = (pp_feed){0};
}

/* ---- how long ---- */

/* Steps of warm-up: as asked for; else the toolkit's one epoch for an adapter, but no more than half of the run. */
static int64_t warmup_of(const pp_trainer *t, const int64_t *each)
{
    const pippin_train_options *o = &t->options;
    if (o->warmup_steps > 0) return o->warmup_steps;
    if (o->warmup_steps < 0 || o->warmup_epochs < 0) return 0;
    if (o->warmup_epochs > 0) return pp_schedule_epochs(o->warmup_epochs, each, t->n_epoch);
    return t->kind == PP_TRAIN_ADAPTER ? PP_MIN(each[0], (int64_t)t->n_step / 2) : (int64_t)t->n_step / 20;
}

static pippin_status count_steps(pp_trainer *t, pippin_error *err)
{
    const pippin_train_options *o = &t->options;
    const uint64_t per_step = (uint64_t)o->accumulation;
    t->n_epoch = (uint64_t)o->epochs;
    t->epoch_step = pp_alloc_zero(t->n_epoch + 1, sizeof *t->epoch_step);
    int64_t *each = pp_alloc_zero(t->n_epoch, sizeof *each);
    if (!t->epoch_step || !each) {
        pp_free(each);
        return pp_fail_memory(err, "epochs", t->n_epoch * sizeof *each);
    }
    for (uint64_t epoch = 0; epoch < t->n_epoch; epoch++) {
        each[epoch] = (int64_t)((pp_plan_n_batch(&t->train.plan, epoch) + per_step - 1) / per_step);
        t->epoch_step[epoch + 1] = t->epoch_step[epoch] + (uint64_t)each[epoch];
    }
    t->n_step = t->epoch_step[t->n_epoch];
    if (o->max_steps && o->max_steps < t->n_step) t->n_step = o->max_steps;
    t->schedule = (pp_schedule){
        o->schedule == PIPPIN_SCHEDULE_CONSTANT ? PP_SCHEDULE_CONSTANT : PP_SCHEDULE_COSINE,
        warmup_of(t, each),
        (int64_t)t->n_step,
    };
    pp_free(each);
    return PIPPIN_OK;
}

/* ---- the network ---- */

static pippin_status open_adapter(pp_trainer *t, pippin_error *err)
{
    const pippin_train_options *o = &t->options;
    const pippin_config *c = &t->model->weights.config;
    pippin_adapter *adapter = NULL;
    pippin_status status;
    if (o->init) {
        status = pp_adapter_load(o->init, c, true, &adapter, err);
        if (status == PIPPIN_OK && o->rank && o->rank != adapter->lora.rank)
            status = pp_fail(err, PIPPIN_E_ARGUMENT, "rank: %d, but %s has rank %d; leave the rank out", (int)o->rank,
                             o->init, (int)adapter->lora.rank);
        if (status == PIPPIN_OK && o->alpha > 0) {
            adapter->alpha = o->alpha;
            adapter->lora.scale = o->alpha / (float)adapter->lora.rank;
        }
    } else {
        const int32_t rank = o->rank ? o->rank : 32;
        status = pp_adapter_new(c, rank, o->alpha > 0 ? o->alpha : (float)rank / 2, o->seed, &adapter, err);
    }
    if (status == PIPPIN_OK) return pp_params_adapter(&t->model->weights, adapter, &t->params, err);
    pp_adapter_destroy(adapter);
    return status;
}

static pippin_status open_weights(pp_trainer *t, pippin_error *err)
{
    const pippin_type qat = t->options.qat;
    const pp_weights *w = &t->model->weights;
    pippin_status status = pp_params_full(w, qat ? pp_qat_n_ratio(w) : 0, t->options.optimizer, &t->params, err);
    return status == PIPPIN_OK && qat ? pp_qat_create(&t->params, qat, t->team, &t->qat, err) : status;
}

static pippin_status open_nets(pp_trainer *t, pippin_error *err)
{
    const pippin_train_options *o = &t->options;
    const bool adapts = t->kind == PP_TRAIN_ADAPTER;
    pp_net_options n = {.max_tok = (int32_t)PP_MAX(t->train.plan.max_tok, t->eval.plan.max_tok),
                        .max_segment = (int32_t)PP_MAX(t->train.plan.max_segment, t->eval.plan.max_segment),
                        .checkpointing = o->activation_checkpointing,
                        .dropout = (float)o->dropout,
                        .lora_dropout = adapts ? (float)o->lora_dropout : 0};
    const pp_weights *w = t->options.qat ? &t->qat.weights : &t->params.weights, *teacher = NULL;
    const pp_lora *lora = adapts ? &t->params.adapter->lora : NULL;
    pippin_status status = adapts ? pp_model_run(t->model, t->team, &w, err) : PIPPIN_OK;
    if (status == PIPPIN_OK && t->teacher) status = pp_model_run(t->teacher, t->team, &teacher, err);
    if (status != PIPPIN_OK) return status;
    status = pp_net_create(w, lora, &t->kernels, t->team, &n, &t->net, err);
    t->net.grads = t->params.grads;
    t->net.seed = o->seed;
    t->net.ranges = t->qat.ranges;
    if (status != PIPPIN_OK || !t->teacher) return status;
    n.inference = true;
    lora = t->teacher->adapter ? &t->teacher->adapter->lora : NULL;
    return pp_net_create(teacher, lora, &t->kernels, t->team, &n, &t->teacher_net, err);
}

static pippin_status check_teacher(const pp_trainer *t, pippin_error *err)
{
    const int32_t draft = t->model->weights.config.n_vocab,
                  teacher = t->teacher ? t->teacher->weights.config.n_vocab : draft;
    if (draft == teacher) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_ARGUMENT,
                   "teacher: its vocabulary has %d ids, the draft's %d; a draft must have its teacher's", (int)teacher,
                   (int)draft);
}

/* ---- the folder ---- */

/* A run never writes over another one's, nor over a model: one that is resumed has a checkpoint, or no result yet. */
static pippin_status check_output(const pp_trainer *t, pippin_error *err)
{
    static const char *const results[] = {"model.safetensors", "adapter.safetensors", "metrics.jsonl"};
    const char *dir = t->options.output;
    int64_t step;
    pippin_status status = pp_checkpoint_find(dir, &step, err);
    const size_t n = !t->options.resume ? 3 : step < 0 ? 2 : 0;
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++) {
        char *path = pp_path_join(dir, results[i]);
        if (!path) return pp_fail_memory(err, dir, 256);
        if (pp_path_exists(path))
            status =
                pp_fail(err, PIPPIN_E_ARGUMENT, "%s: exists already%s, or choose another output folder", path,
                        t->options.resume ? " without a checkpoint beside it; put that back" : "; resume that run");
        pp_free(path);
    }
    return status;
}

/* Once all that was given is known to be good. */
static pippin_status open_output(pp_trainer *t, pippin_error *err)
{
    const pippin_status status = pp_dir_create(t->options.output, err);
    return status == PIPPIN_OK && t->options.continuations ? pp_trainer_continue(t, err) : status;
}

pippin_status pp_trainer_open(pp_trainer *t, const pippin_train_options *options, pippin_error *err)
{
    t->kernels = t->model->kernels;
    t->result.loss = t->result.eval_loss = NAN;
    pippin_status status = fill_options(t, options, err);
    if (status == PIPPIN_OK) status = check_teacher(t, err);
    if (status == PIPPIN_OK) status = check_output(t, err);
    if (status == PIPPIN_OK) status = open_data(t, err);
    if (status == PIPPIN_OK) status = open_output(t, err);
    if (status == PIPPIN_OK) status = count_steps(t, err);
    if (status == PIPPIN_OK) {
        t->team = pp_team_create(t->options.n_threads);
        if (!t->team)
            status = pp_fail(err, PIPPIN_E_MEMORY, "threads: %d could not be started", (int)t->options.n_threads);
    }
    if (status == PIPPIN_OK) status = t->kind == PP_TRAIN_ADAPTER ? open_adapter(t, err) : open_weights(t, err);
    if (status == PIPPIN_OK) status = open_nets(t, err);
    if (status == PIPPIN_OK) pp_trainer_describe(t);
    if (status == PIPPIN_OK && t->options.resume) status = pp_trainer_restore(t, err);
    if (status == PIPPIN_OK)
        status = pp_metrics_open(t->options.output, t->step > 0 ? (int64_t)t->step : -1, &t->metrics, err);
    return status;
}

void pp_trainer_close(pp_trainer *t)
{
    pp_metrics_close(&t->metrics);
    pp_net_free(&t->teacher_net);
    pp_net_free(&t->net);
    pp_qat_free(&t->qat);
    pp_params_free(&t->params);
    pp_team_free(t->team);
    pp_free(t->epoch_step);
    pp_feed_close(&t->eval);
    pp_feed_close(&t->train);
}
