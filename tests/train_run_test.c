/*
 * train_run_test.c - whole training runs through pippin.h: all weights, in two bits, an adapter, a draft. Stopped at every
 * place where a run can be stopped, and resumed, they end with the same bits; a step allocates nothing; what a run says of
 * itself adds up; a run that cannot go on leaves a checkpoint.
 */
#define _DEFAULT_SOURCE
#include <math.h>

#include "formats/formats.h"
#include "tests/training.h"
#include "train/files.h"

/* ---- folders and data, in a place of their own ---- */

static char place[] = "/tmp/pippin-run-XXXXXX", data_path[64], eval_path[64];

static const char *fresh(const char *name)
{
    static char path[4][64];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof *path, "%s/%s", place, name);
    remove_folder(p);
    return p;
}

/* Samples of 3 to 17 tokens, of which the first third is not learned. */
static void write_samples(const char *path, int n_sample, uint64_t seed)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < n_sample; i++) {
        int32_t tokens[17];
        const size_t n = 3 + (size_t)(pp_random_bits(seed, 1, (uint64_t)i) % 15);
        make_tokens(tokens, n, 97, seed + 1000 * (uint64_t)i);
        for (size_t k = 0; k < n; k++) fprintf(file, "%s%d", k ? "," : "{\"tokens\":[", (int)tokens[k]);
        for (size_t k = 0; k < n; k++) fprintf(file, "%s%d", k ? "," : "],\"loss_mask\":[", k >= n / 3);
        fprintf(file, "]}\n");
    }
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(place)) return -1;
    snprintf(data_path, sizeof data_path, "%s/train.jsonl", place);
    snprintf(eval_path, sizeof eval_path, "%s/valid.jsonl", place);
    write_samples(data_path, 20, 5);
    write_samples(eval_path, 3, 6);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(data_path);
    unlink(eval_path);
    return rmdir(place);
}

/* ---- the kinds of run ---- */

typedef enum kind { FULL = 0, Q2, MUON, ADAPTER, DRAFT, N_KIND } kind;

static const char *const kind_names[] = {"train", "train --qat q2", "train --optimizer muon", "adapter train",
                                         "distill"};

static pippin_model *random_model(uint64_t seed)
{
    pippin_config c = tiny_afm();
    c.n_layer = 3;
    c.n_reuse = 1;
    pippin_model *model = NULL;
    OK(pippin_model_random(&c, PIPPIN_F32, seed, NULL, &model, err));
    return model;
}

/* All that has a state of its own: order, dropout, packing, accumulation, evaluation, a falling rate. */
static pippin_train_options options_of(kind k, const char *output)
{
    pippin_train_options o = {.data = data_path,
                              .eval_data = eval_path,
                              .output = output,
                              .max_length = 20,
                              .pack = true,
                              .seed = 11,
                              .epochs = 2,
                              .batch_size = 2,
                              .accumulation = 2,
                              .learning_rate = 1e-2,
                              .dropout = 0.2,
                              .eval_every = 3,
                              .checkpoint_every = 2,
                              .n_threads = 1};
    if (k == Q2) o.qat = PIPPIN_Q2;
    if (k == MUON) o.optimizer = PIPPIN_OPTIMIZER_MUON;
    if (k == ADAPTER) {
        o.checkpoint_every = 1000; /* only when it ends or is stopped */
        o.rank = 3;
        o.lora_dropout = 0.2;
    }
    if (k == DRAFT) {
        o.continuations = 5;
        o.sampling = (pippin_sampling){.temperature = 1, .seed = 4};
    }
    return o;
}

static uint64_t model_seed = 1, teacher_seed = 2;

static pippin_status start(kind k, const pippin_train_options *o, pippin_train_result *result, pippin_error *err)
{
    pippin_model *model = random_model(model_seed), *teacher = k == DRAFT ? random_model(teacher_seed) : NULL;
    pippin_status status = k == DRAFT     ? pippin_distill(model, teacher, o, result, err)
                           : k == ADAPTER ? pippin_adapter_train(model, o, result, err)
                                          : pippin_train(model, o, result, err);
    pippin_model_free(model);
    pippin_model_free(teacher);
    return status;
}

/* ---- what a run left ---- */

static pp_map result_of(kind k, const char *folder)
{
    char path[400];
    pp_map map;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, k == ADAPTER ? "adapter" : "model");
    OK(pp_map_open(path, &map, err));
    return map;
}

/* The same bits, and the same rows of metrics but for the time that they took. */
static void assert_same_run(kind k, const char *got, const char *wanted)
{
    pp_map a = result_of(k, got), b = result_of(k, wanted);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    pp_map_close(&a);
    pp_map_close(&b);
    pp_metric *x, *y;
    size_t n_x, n_y;
    OK(pp_metrics_read(got, &x, &n_x, err));
    OK(pp_metrics_read(wanted, &y, &n_y, err));
    assert_int_equal(n_x, n_y);
    for (size_t i = 0; i < n_x; i++) {
        assert_int_equal(x[i].step, y[i].step);
        assert_int_equal(x[i].is_eval, y[i].is_eval);
        assert_int_equal(x[i].tokens, y[i].tokens);
        assert_memory_equal(&x[i].loss, &y[i].loss, sizeof(double));
        assert_memory_equal(&x[i].grad_norm, &y[i].grad_norm, sizeof(double));
        assert_memory_equal(&x[i].lr, &y[i].lr, sizeof(double));
        assert_memory_equal(&x[i].eval_loss, &y[i].eval_loss, sizeof(double));
    }
    pp_free(x);
    pp_free(y);
}

/* ---- stopped and resumed ---- */

typedef struct stopper {
    int n;              /* calls so far */
    int at;             /* stops at this one; 0: never */
    bool after_a_step;  /* stops at the first call that tells of a step */
    bool wrote_nothing; /* the call before any step */
} stopper;

static int stop(void *user, const pippin_train_event *event)
{
    stopper *s = user;
    s->n++;
    if (s->after_a_step) return event && !event->is_eval;
    return s->n == s->at;
}

static void test_stopped_anywhere(void **state)
{
    (void)state;
    for (kind k = FULL; k < N_KIND; k++) {
        stopper counter = {0};
        const char *whole = fresh("whole");
        pippin_train_options o = options_of(k, whole);
        o.on_event = stop;
        o.user = &counter;
        OK(start(k, &o, NULL, err));
        assert_true(counter.n > 15);
        for (int at = 1; at <= counter.n; at++) {
            stopper s = {.at = at};
            pippin_error why = {0};
            o.output = fresh("stopped");
            o.user = &s;
            const pippin_status status = start(k, &o, NULL, &why);
            if (status != PIPPIN_E_CANCELLED && !(status == PIPPIN_OK && at >= counter.n - 1))
                fail_msg("%s, stopped at call %d: %s", kind_names[k], at, why.text);
            o.resume = true;
            s.at = 0;
            OK(start(k, &o, NULL, err));
            assert_same_run(k, o.output, whole);
            o.resume = false;
        }
        print_message("%s: stopped at each of %d places\n", kind_names[k], counter.n);
        remove_folder(o.output);
        remove_folder(whole);
    }
}

static void test_stopped_after_every_step(void **state)
{
    (void)state;
    for (kind k = FULL; k < N_KIND; k++) {
        const char *whole = fresh("whole"), *parts = fresh("parts");
        pippin_train_options o = options_of(k, whole);
        pippin_train_result result;
        stopper s = {.after_a_step = true};
        OK(start(k, &o, &result, err));
        const uint64_t n_step = result.n_step;
        o.output = parts;
        o.on_event = stop;
        o.user = &s;
        o.resume = true; /* where there is nothing yet, a run begins */
        uint64_t n_run = 0;
        for (pippin_status status = PIPPIN_E_CANCELLED; status != PIPPIN_OK; n_run++) {
            pippin_error why = {0};
            o.n_threads = 1 + (int32_t)(n_run % 3); /* nor does it matter with how many threads a run goes on */
            o.activation_checkpointing = n_run % 2;
            status = start(k, &o, NULL, &why);
            if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED) fail_msg("%s: %s", kind_names[k], why.text);
            assert_true(n_run <= n_step);
        }
        assert_int_equal(n_run, n_step);
        assert_same_run(k, parts, whole);
        OK(start(k, &o, NULL, err)); /* a run that is over is over */
        assert_same_run(k, parts, whole);
        remove_folder(parts);
        remove_folder(whole);
    }
}

static void expect_refused(kind k, const pippin_train_options *o, const char *name)
{
    pippin_error why = {0};
    const pippin_status status = start(k, o, NULL, &why);
    if (status != PIPPIN_E_ARGUMENT || strncmp(why.text, name, strlen(name)) != 0)
        fail_msg("%s: status %d, \"%s\"", name, (int)status, why.text);
}

/* Expects a refusal that begins with the name of what is set to another value. */
#define EXPECT_NAMED(kind, field, value, name)                                                                         \
    do {                                                                                                               \
        pippin_train_options other = o;                                                                                \
        other.field = value;                                                                                           \
        expect_refused(kind, &other, name);                                                                            \
    } while (0)

static void test_another_run_is_not_resumed(void **state)
{
    (void)state;
    const char *folder = fresh("first");
    pippin_train_options o = options_of(FULL, folder);
    o.max_steps = 1;
    OK(start(FULL, &o, NULL, err));
    o.resume = true;
    EXPECT_NAMED(FULL, epochs, 5, "epochs");
    EXPECT_NAMED(FULL, max_steps, 2, "steps");
    EXPECT_NAMED(FULL, batch_size, 3, "batch size");
    EXPECT_NAMED(FULL, accumulation, 3, "accumulation");
    EXPECT_NAMED(FULL, optimizer, PIPPIN_OPTIMIZER_MUON, "optimizer");
    EXPECT_NAMED(FULL, learning_rate, 2e-2, "learning rate");
    EXPECT_NAMED(FULL, schedule, PIPPIN_SCHEDULE_CONSTANT, "schedule");
    EXPECT_NAMED(FULL, warmup_steps, 1, "warmup steps");
    EXPECT_NAMED(FULL, weight_decay, 0.5, "weight decay");
    EXPECT_NAMED(FULL, clip_grad_norm, 2, "clip");
    EXPECT_NAMED(FULL, dropout, 0.3, "dropout");
    EXPECT_NAMED(FULL, no_shuffle, true, "shuffle");
    EXPECT_NAMED(FULL, pack, false, "pack");
    EXPECT_NAMED(FULL, max_length, 21, "max length");
    EXPECT_NAMED(FULL, max_length, 9, "max length");
    EXPECT_NAMED(FULL, data, eval_path, "data");
    EXPECT_NAMED(FULL, seed, 12, "seed");
    EXPECT_NAMED(FULL, qat, PIPPIN_Q2, "qat");
    EXPECT_NAMED(FULL, distill_loss, PIPPIN_DISTILL_FORWARD_KL, "distill loss");
    expect_refused(ADAPTER, &o, "command");
    OK(start(FULL, &o, NULL, err)); /* none of them did any harm */
    remove_folder(folder);

    o = options_of(ADAPTER, fresh("second"));
    o.max_steps = 1;
    OK(start(ADAPTER, &o, NULL, err));
    o.resume = true;
    EXPECT_NAMED(ADAPTER, optimizer, PIPPIN_OPTIMIZER_MUON, "optimizer");
    EXPECT_NAMED(ADAPTER, rank, 4, "rank");
    EXPECT_NAMED(ADAPTER, alpha, 9, "alpha");
    EXPECT_NAMED(ADAPTER, lora_dropout, 0.1, "lora dropout");
    char adapter[400];
    snprintf(adapter, sizeof adapter, "%s/adapter.safetensors", o.output);
    EXPECT_NAMED(ADAPTER, init, adapter, "init");
    model_seed = 7; /* of the same shape, but other weights */
    expect_refused(ADAPTER, &o, "model");
    model_seed = 1;
    OK(start(ADAPTER, &o, NULL, err));
    remove_folder(o.output);

    o = options_of(DRAFT, fresh("third"));
    o.max_steps = 1;
    OK(start(DRAFT, &o, NULL, err));
    o.resume = true;
    EXPECT_NAMED(DRAFT, continuations, 6, "continuations");
    EXPECT_NAMED(DRAFT, continuations, 0, "continuations");
    EXPECT_NAMED(DRAFT, distill_loss, PIPPIN_DISTILL_FORWARD_KL, "loss");
    EXPECT_NAMED(DRAFT, sampling.temperature, 0.5, "temp");
    EXPECT_NAMED(DRAFT, sampling.seed, 5, "sampling seed");
    EXPECT_NAMED(DRAFT, data, eval_path, "data"); /* though what is learned was written long ago */
    teacher_seed = 7;
    expect_refused(DRAFT, &o, "teacher");
    teacher_seed = 2;
    OK(start(DRAFT, &o, NULL, err));
    remove_folder(o.output);
}

static void test_nothing_is_written_over(void **state)
{
    (void)state;
    pippin_train_options o = options_of(FULL, fresh("first"));
    char path[400];
    o.max_steps = 1;
    OK(start(FULL, &o, NULL, err));
    expect_refused(FULL, &o, o.output);
    expect_refused(ADAPTER, &o, o.output);
    o.output = fresh("model"); /* a model, which no run has made */
    pippin_model *model = random_model(3);
    OK(pippin_model_save(model, o.output, err));
    pippin_model_free(model);
    pp_map before = result_of(FULL, o.output);
    expect_refused(FULL, &o, o.output);
    o.resume = true;
    expect_refused(FULL, &o, o.output);
    pp_map after = result_of(FULL, o.output);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, after.size);
    pp_map_close(&before);
    pp_map_close(&after);
    snprintf(path, sizeof path, "%s/checkpoint-1.safetensors", o.output);
    assert_false(pp_path_exists(path));
    remove_folder(o.output);
    remove_folder(fresh("first"));
}

/* ---- memory ---- */

typedef struct memory_log {
    uint64_t first, last; /* allocations after steps 2 and N */
    uint64_t n_step;
} memory_log;

static int note_allocations(void *user, const pippin_train_event *event)
{
    memory_log *log = user;
    pippin_memory memory = pippin_memory_used();
    if (!event || event->is_eval) return 0;
    if (event->step == 2) log->first = memory.allocations;
    if (event->step > 2) log->last = memory.allocations;
    log->n_step = event->step;
    return 0;
}

static void test_a_step_allocates_nothing(void **state)
{
    (void)state;
    for (kind k = FULL; k < N_KIND; k++)
        for (int again = 0; again < 2; again++) {
            memory_log log = {0};
            pippin_train_options o = options_of(k, fresh("memory"));
            o.checkpoint_every = 1000;
            o.n_threads = 2;
            o.activation_checkpointing = again;
            o.on_event = note_allocations;
            o.user = &log;
            OK(start(k, &o, NULL, err));
            assert_true(log.n_step > 4 && log.first > 0);
            assert_int_equal(log.last, log.first);
            remove_folder(o.output);
        }
}

/* ---- what it says ---- */

typedef struct account {
    uint64_t n_step, n_tok, n_eval;
    double loss, eval_loss;
} account;

static int add_up(void *user, const pippin_train_event *e)
{
    account *a = user;
    if (!e) return 0;
    if (e->is_eval) {
        a->n_eval++;
        a->eval_loss = e->eval_loss;
        return 0;
    }
    assert_int_equal(e->step, ++a->n_step);
    assert_true(e->step <= e->n_step && e->epoch >= 1 && e->epoch <= e->n_epoch && e->seconds_left >= 0);
    assert_true(e->n_tok > 0 && e->tokens_per_second > 0 && e->grad_norm > 0 && e->learning_rate >= 0);
    a->n_tok += e->n_tok;
    a->loss = e->loss;
    return 0;
}

static void test_events_add_up(void **state)
{
    (void)state;
    for (kind k = FULL; k < N_KIND; k++) {
        account a = {0};
        pippin_train_result result;
        pippin_train_options o = options_of(k, fresh("events"));
        o.on_event = add_up;
        o.user = &a;
        OK(start(k, &o, &result, err));
        assert_int_equal(result.n_step, a.n_step);
        assert_int_equal(result.n_tok, a.n_tok);
        assert_true(result.loss == a.loss && result.eval_loss == a.eval_loss);
        /* before the first step, after every third, after the last */
        assert_int_equal(a.n_eval, 1 + a.n_step / 3 + (a.n_step % 3 != 0));
        remove_folder(o.output);
    }
}

/* ---- no number any more ---- */

static void test_divergence(void **state)
{
    (void)state;
    pippin_train_options o = options_of(FULL, fresh("diverged"));
    pippin_error why = {0};
    int64_t step;
    o.learning_rate = 100;
    o.weight_decay = 10; /* 1 - 1000: every step multiplies the weights */
    o.schedule = PIPPIN_SCHEDULE_CONSTANT;
    o.warmup_steps = -1;
    o.epochs = 50;
    assert_int_equal(start(FULL, &o, NULL, &why), PIPPIN_E_DIVERGED);
    assert_null(strchr(why.text, '\n'));
    OK(pp_checkpoint_find(o.output, &step, err));
    assert_true(step > 0);
    char said[64];
    snprintf(said, sizeof said, "step %lld:", (long long)step + 1);
    assert_non_null(strstr(why.text, said));
    o.resume = true; /* and it is a checkpoint: the run gets as far again */
    pippin_error again = {0};
    assert_int_equal(start(FULL, &o, NULL, &again), PIPPIN_E_DIVERGED);
    assert_string_equal(again.text, why.text);
    remove_folder(o.output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_anywhere),
        cmocka_unit_test(test_stopped_after_every_step),
        cmocka_unit_test(test_another_run_is_not_resumed),
        cmocka_unit_test(test_nothing_is_written_over),
        cmocka_unit_test(test_a_step_allocates_nothing),
        cmocka_unit_test(test_events_add_up),
        cmocka_unit_test(test_divergence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
