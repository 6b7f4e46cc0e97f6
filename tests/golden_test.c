/*
 * golden_test.c - numbers that others computed: the golden cases of an independent float64 program, and the published
 * logits and texts of a trained model.
 */
#define _DEFAULT_SOURCE
#include <jansson.h>
#include <math.h>
#include <unistd.h>

#include "tests/support.h"

typedef struct golden {
    const char *folder, *model, *adapter; /* adapter "none": drop the one inside the file */
    double bound;                         /* of the largest error, relative to a row's largest logit */
    const char *expected;                 /* folder of logits.npy and expected.json, where it is another */
} golden;

static const golden cases[] = {
    {"base", "", NULL, 5e-5, NULL},
    {"base", "toolkit.pt", NULL, 5e-5, NULL},
    {"base-kv8", "", NULL, 5e-3, NULL},
    {"base-kv8", "toolkit.pt", NULL, 5e-3, NULL},
    {"base-lora", "", "adapter.pt", 5e-5, NULL},
    {"base-lora", "", "adapter.safetensors", 5e-5, NULL},
    {"base-lora", "toolkit.pt", NULL, 5e-5, NULL},
    {"base-lora", "toolkit.pt", "adapter.pt", 5e-5, NULL},
    {"base-lora", "toolkit.pt", "none", 5e-5, "base"},
    {"base-lora-alpha", "", "adapter.safetensors", 5e-5, NULL},
    {"base-packed", "", NULL, 5e-5, NULL},
    {"base-packed", "toolkit.pt", NULL, 5e-5, NULL},
    {"base-packed-continue", "", NULL, 5e-5, NULL},
    {"draft", "", NULL, 5e-5, NULL},
    {"draft", "toolkit.pt", NULL, 5e-5, NULL},
    {"hf-llama3", "", NULL, 5e-5, NULL},
    {"hf-qwen2", "", NULL, 5e-5, NULL},
    {"hf-qwen3", "", NULL, 5e-5, NULL},
};

enum { N_CASE = sizeof cases / sizeof *cases, MAX_TOK = 512 };

/* "golden/FOLDER/NAME" on this machine, or NULL. */
static const char *in_golden(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "golden/%s/%s", folder, name);
    return shared_file(path);
}

static size_t read_ints(json_t *array, int32_t *to)
{
    const size_t n = json_array_size(array);
    assert_true(n <= MAX_TOK);
    for (size_t i = 0; i < n; i++) to[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return n;
}

/* The float32 data of a .npy file, to be freed with test_free. */
static float *read_npy(const char *path, size_t n)
{
    pp_map map;
    OK(pp_map_open(path, &map, err));
    const size_t start = 10 + map.data[8] + 256u * map.data[9];
    assert_int_equal(map.size, start + n * sizeof(float));
    float *values = test_malloc(n * sizeof *values);
    memcpy(values, map.data + start, n * sizeof *values);
    pp_map_close(&map);
    return values;
}

typedef struct comparison {
    const float *expected;
    size_t n_vocab;
    double worst; /* largest error of a row relative to its largest logit */
} comparison;

static int compare_row(void *user, size_t i, const float *logits)
{
    comparison *c = user;
    double largest = 0, error = 0;
    for (size_t j = 0; j < c->n_vocab; j++) {
        const double expected = (double)c->expected[i * c->n_vocab + j],
                     difference = fabs((double)logits[j] - expected);
        largest = fmax(largest, fabs(expected));
        if (!(difference <= error)) error = difference; /* a NaN counts as the worst */
    }
    if (!(error / largest <= c->worst)) c->worst = error / largest;
    return 0;
}

static void check_logits(const golden *g, pippin_session *s, pippin_score score, size_t n_vocab)
{
    const char *folder = g->expected ? g->expected : g->folder;
    float *expected = read_npy(in_golden(folder, "logits.npy"), score.n_tok * n_vocab);
    for (int reference = 0; reference < 2; reference++) {
        comparison c = {expected, n_vocab, 0};
        const double bound = reference ? PP_MAX(2e-5, g->bound > 1e-4 ? g->bound : 0) : g->bound;
        score.reference = reference;
        score.row = compare_row;
        score.user = &c;
        OK(pippin_session_score(s, &score, err));
        print_message("golden %s/%s %s %s: %.2g of %.2g\n", g->folder, g->model, g->adapter ? g->adapter : "",
                      reference ? "reference" : "fast", c.worst, bound);
        if (!(c.worst <= bound)) fail_msg("%s: error %g, bound %g", g->folder, c.worst, bound);
    }
    test_free(expected);
}

static void check_greedy(pippin_session *s, const int32_t *tokens, size_t n_tok, json_t *greedy)
{
    int32_t expected[MAX_TOK], ids[MAX_TOK];
    const size_t n = read_ints(greedy, expected);
    pippin_generate_result result;
    const int32_t no_stop = -1;
    OK(pippin_generate(s, tokens, n_tok,
                       &(pippin_generate_options){.max_tokens = n, .stop_ids = &no_stop, .n_stop_ids = 1}, ids, n,
                       &result, err));
    assert_int_equal(result.n_generated, n);
    assert_memory_equal(ids, expected, n * sizeof *ids);
}

/* The same after conversion: a GGUF in another file, and in the same types, gives the same numbers; a merged adapter too. */
static void check_converted(const golden *g, pippin_model *model, const pippin_adapter *merged, pippin_score score)
{
    char path[] = "/tmp/pippin-golden-XXXXXX.gguf";
    const int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    pippin_model *again;
    pippin_session *s;
    const pippin_adapter_use use = {merged, 1};
    const pippin_save_options options = {.merge = &use, .n_merge = merged ? 1 : 0};
    OK(pippin_model_save_gguf(model, &options, path, err));
    OK(pippin_model_open(path, NULL, &again, err));
    assert_int_equal(pippin_model_config(again)->lora_rank, merged ? 0 : pippin_model_config(model)->lora_rank);
    assert_int_equal(pippin_model_has_kv_scales(again), pippin_model_has_kv_scales(model));
    OK(pippin_session_create(again, &(pippin_session_options){.n_threads = 2}, &s, err));
    print_message(merged ? "merged, as GGUF: " : "as GGUF: ");
    check_logits(g, s, score, (size_t)pippin_model_config(again)->n_vocab);
    pippin_session_free(s);
    pippin_model_free(again);
    remove(path);
}

static void test_golden(void **state)
{
    const golden *g = *state;
    const char *expected_path = in_golden(g->expected ? g->expected : g->folder, "expected.json"),
               *model_path = in_golden(g->folder, g->model);
    if (!expected_path || !model_path) return;
    json_t *expected = json_load_file(expected_path, 0, NULL);
    assert_non_null(expected);
    int32_t tokens[MAX_TOK], segments[MAX_TOK], positions[MAX_TOK];
    const size_t n_tok = read_ints(json_object_get(expected, "tokens"), tokens);
    json_t *segment_ids = json_object_get(expected, "segment_ids");
    if (segment_ids) read_ints(segment_ids, segments);
    if (segment_ids) read_ints(json_object_get(expected, "positions"), positions);
    pippin_model *model;
    pippin_session *s;
    pippin_adapter *adapter = NULL;
    OK(pippin_model_open(model_path, NULL, &model, err));
    const bool none = g->adapter && strcmp(g->adapter, "none") == 0;
    OK(pippin_session_create(model, &(pippin_session_options){.no_embedded_adapter = none, .n_threads = 2}, &s, err));
    if (g->adapter && !none) {
        OK(pippin_adapter_open(in_golden(g->folder, g->adapter), model, &adapter, err));
        OK(pippin_session_set_adapters(s, &(pippin_adapter_use){adapter, 1}, 1, err));
    }
    const pippin_score score = {.tokens = tokens,
                                .segments = segment_ids ? segments : NULL,
                                .positions = segment_ids ? positions : NULL,
                                .n_tok = n_tok};
    check_logits(g, s, score, (size_t)pippin_model_config(model)->n_vocab);
    check_converted(g, model, none ? NULL : adapter ? adapter : pippin_model_adapter(model), score);
    if (json_object_get(expected, "greedy")) check_greedy(s, tokens, n_tok, json_object_get(expected, "greedy"));
    pippin_session_free(s);
    pippin_adapter_free(adapter);
    pippin_model_free(model);
    json_decref(expected);
}

/*
 * ---- GGUF's block types: logits of the decoded weights, by the plain path, and what rounding inputs to int8 costs them ----
 * Measured with these random weights: 0.020 to 0.027. Scales of neighbouring sub-blocks exchanged gave 1.5, minima taken from the
 * scales 19. That the fast path does what it should to the last digits is for blocks_test.
 */

static const double ROUNDED = 4e-2;

static void check_gguf(const char *file, json_t *expected)
{
    char npy[256];
    int32_t tokens[MAX_TOK];
    const size_t n_tok = read_ints(json_object_get(expected, "tokens"), tokens);
    snprintf(npy, sizeof npy, "%.200s.npy", file);
    memcpy(strstr(npy, ".gguf"), ".npy", 5);
    pippin_model *model;
    pippin_session *s;
    OK(pippin_model_open(in_golden("gguf-types", file), NULL, &model, err));
    OK(pippin_session_create(model, &(pippin_session_options){.n_threads = 2, .kv_type = PIPPIN_F32, .n_ctx = 64}, &s,
                             err));
    const size_t n_vocab = (size_t)pippin_model_config(model)->n_vocab;
    float *values = read_npy(in_golden("gguf-types", npy), n_tok * n_vocab);
    for (int reference = 0; reference < 2; reference++) {
        comparison c = {values, n_vocab, 0};
        OK(pippin_session_score(
            s,
            &(pippin_score){.tokens = tokens, .n_tok = n_tok, .reference = reference, .row = compare_row, .user = &c},
            err));
        const bool rounds = !reference && !strstr(file, "F16") && !strstr(file, "BF16");
        const double bound = rounds ? ROUNDED : 5e-5;
        print_message("gguf-types %s %s: %.2g of %.2g\n", file, reference ? "reference" : "fast", c.worst, bound);
        assert_true(c.worst <= bound);
    }
    test_free(values);
    pippin_session_free(s);
    pippin_model_free(model);
}

static void test_gguf_types(void **state)
{
    (void)state;
    const char *path = in_golden("gguf-types", "expected.json"), *file;
    if (!path) return;
    json_t *all = json_load_file(path, 0, NULL), *expected;
    assert_true(json_object_size(all) >= 12);
    json_object_foreach (all, file, expected) check_gguf(file, expected);
    json_decref(all);
}

/* ---- trained models of others: per position the id that follows, its log-probability and the five largest logits ---- */

typedef struct published {
    json_t *positions;
    int32_t n_vocab;
} published;

static int compare_top5(void *user, size_t i, const float *logits)
{
    const published *p = user;
    json_t *position = json_array_get(p->positions, i), *pair;
    double largest = -INFINITY, sum = 0;
    size_t j;
    for (int32_t v = 0; v < p->n_vocab; v++) largest = fmax(largest, (double)logits[v]);
    for (int32_t v = 0; v < p->n_vocab; v++) sum += exp((double)logits[v] - largest);
    const double logprob = (double)logits[json_integer_value(json_object_get(position, "next"))] - largest - log(sum);
    assert_true(fabs(logprob - json_number_value(json_object_get(position, "logprob"))) < 1e-3);
    json_array_foreach (json_object_get(position, "top5"), j, pair)
        assert_true(fabs((double)logits[json_integer_value(json_array_get(pair, 0))] -
                         json_number_value(json_array_get(pair, 1))) < 1e-3);
    return 0;
}

static void check_published_model(pippin_model *model, const char *reference_path)
{
    pippin_session *s;
    OK(pippin_session_create(model, &(pippin_session_options){.kv_type = PIPPIN_F32}, &s, err));
    json_t *reference = json_load_file(reference_path, 0, NULL);
    published p = {json_object_get(reference, "positions"), pippin_model_config(model)->n_vocab};
    int32_t tokens[MAX_TOK];
    const size_t n = json_array_size(p.positions);
    assert_true(n > 5 && n <= MAX_TOK);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)json_integer_value(json_object_get(json_array_get(p.positions, i), "in"));
    OK(pippin_session_score(s, &(pippin_score){.tokens = tokens, .n_tok = n, .row = compare_top5, .user = &p}, err));
    print_message("%s: %zu positions within 1e-3\n", reference_path, n);
    json_decref(reference);
    pippin_session_free(s);
}

/* The model as it lies there, and after conversion. */
static void check_published(const char *model_name, const char *reference_name)
{
    const char *model_path = shared_file(model_name), *reference_path = shared_file(reference_name);
    if (!model_path || !reference_path) return;
    char path[] = "/tmp/pippin-golden-XXXXXX.gguf";
    const int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    pippin_model *model, *again;
    OK(pippin_model_open(model_path, NULL, &model, err));
    check_published_model(model, reference_path);
    OK(pippin_model_save_gguf(model, NULL, path, err));
    OK(pippin_model_open(path, NULL, &again, err));
    check_published_model(again, reference_path);
    pippin_model_free(model);
    pippin_model_free(again);
    remove(path);
}

static void test_published(void **state)
{
    (void)state;
    check_published("data/stories260K/stories260K.bin", "data/stories260K/reference_logits_bos.json");
    check_published("data/stories260K/stories260K.bin", "data/stories260K/reference_logits_zoo.json");
    check_published("data/gguf-tiny-random/llama-2-tiny-random.gguf", "data/gguf-tiny-random/reference_logits_a.json");
    check_published("data/tinystories-656k", "data/tinystories-656k/reference_logits_tokenizer_prompt.json");
}

/* ---- the ledger: what the architecture's public parameter counts say, to the last one ---- */

static void test_ledgers(void **state)
{
    (void)state;
    static const struct {
        const char *preset;
        int64_t total, trainable, layer, layer_trainable, reuse, reuse_trainable;
    } expected[] = {{"afm-base", 3178001792, 66633728, 51581184, 1245184, 50385024, 1097728},
                    {"afm-draft", 48765952, 0, 787008, 0, 0, 0},
                    {"llama-3.2-3b", 3212749824, 0, 0, 0, 0, 0},
                    {"qwen2.5-3b", 3085938688, 0, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        pippin_config c;
        pippin_ledger l;
        OK(pippin_config_preset(expected[i].preset, &c, err));
        pippin_ledger_compute(&c, &l);
        assert_int_equal(l.total, expected[i].total);
        assert_int_equal(l.trainable, expected[i].trainable);
        assert_int_equal(l.frozen, l.total - l.trainable);
        if (expected[i].layer) assert_int_equal(l.groups[0].parameters, expected[i].layer);
        assert_int_equal(l.groups[0].trainable, expected[i].layer_trainable);
        assert_int_equal(l.groups[1].parameters, expected[i].reuse);
        assert_int_equal(l.groups[1].trainable, expected[i].reuse_trainable);
    }
    pippin_config c;
    pippin_ledger l;
    OK(pippin_config_preset("afm-base", &c, err));
    pippin_ledger_compute(&c, &l);
    assert_int_equal(l.embedding, 314572800);
    assert_int_equal(l.attention, 526429568);
    assert_int_equal(l.feed_forward, 2336997376);
    assert_int_equal(l.norm, 243072);
    assert_int_equal(l.linear_weights, 2796552192);
    assert_int_equal(l.kv_elements_per_token, 17920);
    assert_int_equal(l.lora_modules, 350);
    assert_int_equal(l.lora_linears, 280);
    assert_int_equal(l.lora_tensors, 700);
}

int main(void)
{
    struct CMUnitTest tests[N_CASE + 3] = {cmocka_unit_test(test_ledgers), cmocka_unit_test(test_published),
                                           cmocka_unit_test(test_gguf_types)};
    for (size_t i = 0; i < N_CASE; i++)
        tests[i + 3] = (struct CMUnitTest){
            .name = cases[i].folder, .test_func = test_golden, .initial_state = (void *)(uintptr_t)&cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
