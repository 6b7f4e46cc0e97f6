/*
 * train_golden_test.c - training runs of an independent float64 program, and what must follow from them: the same through
 * pippin.h at every kernel level, with threads, recomputed activations and accumulation; and on frozen weights of every
 * other type the same as on their float copy.
 */
#define _DEFAULT_SOURCE
#include <jansson.h>
#include <math.h>

#include "formats/formats.h"
#include "tests/training.h"

enum { MAX_STEP = 8 };

static char place[] = "/tmp/pippin-golden-XXXXXX";

/* "PLACE/name" in a static buffer. */
static const char *in_place(const char *name) { return path_in(place, name); }

/* ---- one run ---- */

typedef enum job { LORA = 0, FULL, DISTILL, N_JOB } job;

static const struct {
    const char *folder, *initial, *expected, *result;
    double weights; /* bound of ||got - expected|| / ||expected - initial|| */
} cases[N_JOB] = {
    {"train-lora", "adapter_init.safetensors", "expected_adapter.safetensors", "adapter.safetensors", 1e-3},
    {"train-full", "model.safetensors", "expected_final.safetensors", "model.safetensors", 1e-3},
    {"train-distill", "model.safetensors", "expected_final.safetensors", "model.safetensors", 2e-3},
};

typedef struct course {
    double loss[MAX_STEP], norm[MAX_STEP];
    size_t n;
} course;

static int keep(void *user, const pippin_train_event *e)
{
    course *c = user;
    if (!e || e->is_eval) return 0;
    assert_true(c->n < MAX_STEP);
    c->loss[c->n] = e->loss;
    c->norm[c->n++] = e->grad_norm;
    return 0;
}

/* "golden/FOLDER/name" of a case; its folder must be there. */
static const char *in_case(job j, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "golden/%s/%s", cases[j].folder, name);
    return shared_file(path);
}

/* The options of the golden runs; the result goes into PLACE/run. */
static pippin_train_options options_of(job j)
{
    pippin_train_options o = {.output = in_place("run"),
                              .no_shuffle = true,
                              .epochs = 1,
                              .batch_size = 2,
                              .schedule = PIPPIN_SCHEDULE_CONSTANT,
                              .warmup_steps = -1,
                              .weight_decay = j == FULL ? 0.1 : 0,
                              .on_event = keep};
    o.data = in_case(j, "train.jsonl");
    return o;
}

static course train(job j, pippin_model *model, pippin_model *teacher, pippin_train_options o)
{
    course c;
    memset(&c, 0, sizeof c);
    pippin_train_result result;
    remove_folder(o.output);
    o.user = &c;
    if (j == LORA) OK(pippin_adapter_train(model, &o, &result, err));
    if (j == FULL) OK(pippin_train(model, &o, &result, err));
    if (j == DISTILL) OK(pippin_distill(model, teacher, &o, &result, err));
    assert_int_equal(result.n_step, c.n);
    return c;
}

/* ---- how far from another ---- */

static double series_error(const double *got, const double *expected, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double error = fabs(got[i] - expected[i]) / fabs(expected[i]);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

/* ||got - expected|| / ||expected - initial|| over all tensors of three files; each has the same. */
static double weights_error(const char *got_path, const char *expected_path, const char *initial_path)
{
    pp_tensors got, expected, initial;
    double error = 0, way = 0;
    OK(pp_safetensors_open(got_path, &got, err));
    OK(pp_safetensors_open(expected_path, &expected, err));
    OK(pp_safetensors_open(initial_path, &initial, err));
    assert_int_equal(got.n, expected.n);
    for (size_t i = 0; i < expected.n; i++) {
        const pp_tensor *b = &expected.items[i], *a = pp_tensors_find(&got, b->name),
                        *c = pp_tensors_find(&initial, b->name);
        assert_true(a && c && a->type == PIPPIN_F32 && a->n_elem == b->n_elem && c->n_elem == b->n_elem);
        const float *x = a->data, *y = b->data, *z = c->data;
        for (size_t k = 0; k < b->n_elem; k++) {
            error += pow((double)x[k] - (double)y[k], 2);
            way += pow((double)y[k] - (double)z[k], 2);
        }
    }
    pp_tensors_free(&got);
    pp_tensors_free(&expected);
    pp_tensors_free(&initial);
    assert_true(way > 0);
    return sqrt(error / way);
}

static const char *result_path(job j)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", in_place("run"), cases[j].result);
    return path;
}

static void read_expected(job j, course *out)
{
    json_error_t at;
    json_t *root = json_load_file(in_case(j, "expected.json"), 0, &at);
    const json_t *losses = json_object_get(root, "losses"), *norms = json_object_get(root, "grad_norms");
    out->n = json_array_size(losses);
    assert_true(out->n > 0 && out->n <= MAX_STEP && json_array_size(norms) == out->n);
    for (size_t i = 0; i < out->n; i++) {
        out->loss[i] = json_number_value(json_array_get(losses, i));
        out->norm[i] = json_number_value(json_array_get(norms, i));
    }
    json_decref(root);
}

/* ---- the golden runs ---- */

typedef struct worst {
    double loss, norm, weights;
} worst;

static void compare(job j, const course *got, const course *expected, worst *w)
{
    assert_int_equal(got->n, expected->n);
    w->loss = fmax(w->loss, series_error(got->loss, expected->loss, got->n));
    w->norm = fmax(w->norm, series_error(got->norm, expected->norm, got->n));
    w->weights =
        fmax(w->weights, weights_error(result_path(j), in_case(j, cases[j].expected), in_case(j, cases[j].initial)));
}

/* All ways to compute the same at one kernel level. */
static void all_ways(job j, pippin_model *model, pippin_model *teacher, const course *expected, worst *w)
{
    const char *init = j == LORA ? in_case(j, cases[j].initial) : NULL;
    char init_path[4096];
    if (init) snprintf(init_path, sizeof init_path, "%s", init);
    for (int32_t n_threads = 1; n_threads <= 2; n_threads++)
        for (int way = 0; way < 3; way++) {
            pippin_train_options o = options_of(j);
            o.init = init ? init_path : NULL;
            o.n_threads = n_threads;
            o.activation_checkpointing = way == 1;
            o.batch_size = way == 2 ? 1 : 2;
            o.accumulation = way == 2 ? 2 : 1;
            const course got = train(j, model, teacher, o);
            compare(j, &got, expected, w);
        }
}

static void check_case(job j)
{
    course expected;
    char model_path[4096];
    const char *folder = in_case(j, "");
    if (!folder) skip();
    snprintf(model_path, sizeof model_path, "%s", folder);
    read_expected(j, &expected);
    for (pp_isa level = PP_ISA_SCALAR; level < PP_ISA_COUNT; level++) {
        const pippin_model_options options = {.cpu = pp_isa_name(level)};
        pippin_model *model, *teacher = NULL;
        worst w = {0};
        if (!pp_isa_supported(level)) continue;
        OK(pippin_model_open(model_path, &options, &model, err));
        if (j == DISTILL) OK(pippin_model_open(in_case(j, "teacher"), &options, &teacher, err));
        all_ways(j, model, teacher, &expected, &w);
        print_message("%s: losses %.1e, norms %.1e, weights %.1e, %s\n", cases[j].folder, w.loss, w.norm, w.weights,
                      pp_isa_name(level));
        assert_true(w.loss <= 1e-5 && w.norm <= 1e-4 && w.weights <= cases[j].weights);
        pippin_model_free(teacher);
        pippin_model_free(model);
    }
    remove_folder(in_place("run"));
}

static void test_lora(void **state) { (void)state, check_case(LORA); }
static void test_full(void **state) { (void)state, check_case(FULL); }
static void test_distill(void **state) { (void)state, check_case(DISTILL); }

/* ---- frozen weights of other types ---- */

static void write_data(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint64_t sample = 0; sample < 6; sample++) {
        int32_t tokens[20];
        make_tokens(tokens, 20, 300, sample);
        for (int i = 0; i < 20; i++) fprintf(file, "%s%d", i ? "," : "{\"tokens\":[", (int)tokens[i]);
        fprintf(file, "]}\n");
    }
    assert_int_equal(fclose(file), 0);
}

/*
 * The same bits as on the float copy of what the file stands for: its rows are decoded, and the sums are those of float. Of
 * low-bit and block types losses near it (low_test and blocks_test say what they are exactly): going forward, their inputs are
 * rounded too.
 */
static void same_as_float(const char *name, const char *path, double most)
{
    pippin_model *model, *copy;
    char data[100], copy_path[100], wanted_path[100];
    snprintf(data, sizeof data, "%s", in_place("train.jsonl"));
    snprintf(copy_path, sizeof copy_path, "%s", in_place("copy.gguf"));
    snprintf(wanted_path, sizeof wanted_path, "%s", in_place("adapter.safetensors"));
    write_data(data);
    pippin_train_options o = {.data = data, .output = in_place("run"), .epochs = 2, .batch_size = 2, .rank = 4};
    o.on_event = keep;
    o.learning_rate = 1e-2;
    o.n_threads = 1;
    OK(pippin_model_open(path, NULL, &model, err));
    OK(pippin_model_save_gguf(model, &(pippin_save_options){.type = PIPPIN_F32}, copy_path, err));
    OK(pippin_model_open(copy_path, NULL, &copy, err));
    assert_int_equal(pippin_model_type(copy), PIPPIN_F32);
    assert_true(pippin_model_type(model) != PIPPIN_F32);
    const course wanted = train(LORA, copy, NULL, o);
    assert_int_equal(rename(result_path(LORA), wanted_path), 0);
    const course got = train(LORA, model, NULL, o);
    assert_int_equal(got.n, 6);
    for (int i = 0; i < 6; i++)
        if (!(fabs(got.loss[i] - wanted.loss[i]) <= most * wanted.loss[i]))
            fail_msg("%s, step %d: losses %.9g and %.9g", name, i, got.loss[i], wanted.loss[i]);
    if (most <= 0) {
        pp_map a, b;
        assert_memory_equal(&got, &wanted, sizeof got);
        OK(pp_map_open(result_path(LORA), &a, err));
        OK(pp_map_open(wanted_path, &b, err));
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
        pp_map_close(&a);
        pp_map_close(&b);
    }
    pippin_model_free(model);
    pippin_model_free(copy);
    unlink(wanted_path);
    unlink(copy_path);
    unlink(data);
    remove_folder(o.output);
}

static void test_other_types(void **state)
{
    (void)state;
    static const pippin_type types[] = {PIPPIN_F16, PIPPIN_BF16, PIPPIN_Q8, PIPPIN_Q4, PIPPIN_Q2};
    pippin_config c = small_afm();
    char path[100];
    snprintf(path, sizeof path, "%s", in_place("model.gguf"));
    c.d_ffn = 128; /* low-bit rows come in whole blocks */
    c.d_model = 64;
    c.d_head = 16;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        pippin_model *model;
        OK(pippin_model_random(&c, PIPPIN_F32, 3, NULL, &model, err));
        OK(pippin_model_save_gguf(model, &(pippin_save_options){.type = types[i]}, path, err));
        pippin_model_free(model);
        same_as_float(pippin_type_name(types[i]), path, pp_low_bits(types[i]) ? 2e-3 : 0);
        unlink(path);
    }
}

/* Block types of other programs, in other families. */
static void test_gguf_types(void **state)
{
    (void)state;
    const char *folder = shared_file("golden/gguf-types");
    int n = 0;
    if (!folder) skip();
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (const struct dirent *e; (e = readdir(list));) {
        char path[4400];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (!pp_path_ends(path, ".gguf")) continue;
        same_as_float(e->d_name, path, strstr(e->d_name, "F16") ? 0 : 5e-3);
        n++;
    }
    closedir(list);
    assert_true(n > 10);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(place) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lora), cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_distill), cmocka_unit_test(test_other_types),
                                       cmocka_unit_test(test_gguf_types)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
