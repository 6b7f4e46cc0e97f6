/*
 * rope_test.c - positions beyond those of training: frequencies of each scaling against numbers of another program, the factor
 * of a session, YaRN's sharper attention counted once, and what files of other makers say.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "tests/support.h"

#include "infer/infer.h"

enum { N_PAIR = 7, N = 24 };

/* ---- frequencies ---- */

typedef struct expected {
    int32_t d_head, n_ctx_train;
    double theta, factor;
    int32_t pairs[N_PAIR];
    double linear[N_PAIR], ntk[N_PAIR], yarn[N_PAIR], attention;
} expected;

/* Computed apart from pippin, in the words of the authors' program (find_correction_range, linear ramp, get_mscale). */
static const expected golden[] = {
    {128,
     4096,
     500000,
     8,
     {0, 5, 16, 20, 25, 32, 63},
     {0.125, 0.0448412779689112, 0.00470075386635799, 0.00207005501012431, 0.000742591296959371, 0.000176776695296637,
      3.06892598891451e-07},
     {1, 0.30415443951689, 0.0221769241830804, 0.00855808586786667, 0.0026029798104784, 0.000491815966222095,
      3.06892598891451e-07},
     {1, 0.35873022375129, 0.0339498890348077, 0.0117303117240377, 0.00276408982757099, 0.000176776695296637,
      3.06892598891451e-07},
     1.2079441541679836},
    {128,
     32768,
     1000000,
     4,
     {0, 5, 16, 20, 25, 32, 63},
     {0.25, 0.084955208223564, 0.00790569415042095, 0.00333380358040831, 0.0011328959094002, 0.00025,
      3.1023444018793e-07},
     {1, 0.304415990144072, 0.0222380076461008, 0.00858756117838601, 0.00261419093904117, 0.000494528984068037,
      3.1023444018793e-07},
     {1, 0.339820832894256, 0.0316227766016838, 0.0133352143216332, 0.00413173802251839, 0.000602941176470588,
      3.1023444018793e-07},
     1.138629436111989},
    {64,
     2048,
     10000,
     50,
     {0, 5, 8, 12, 9, 16, 31},
     {0.02, 0.00474274741132331, 0.002, 0.000632455532033676, 0.00149978841866491, 0.0002, 2.66704286432665e-06},
     {1, 0.126174786909042, 0.0364381339413473, 0.0069555934825579, 0.0240852214578366, 0.00132773760512757,
      2.66704286432665e-06},
     {1, 0.237137370566166, 0.1, 0.0220872931956376, 0.0693363722782778, 0.00396923076923077, 2.66704286432665e-06},
     1.3912023005428147}};

static void test_frequencies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const expected *g = &golden[i];
        const double *const want[] = {g->linear, g->ntk, g->yarn};
        pp_weights w = {.config = small_afm()};
        w.config.d_head = g->d_head;
        w.config.rope_theta = g->theta;
        w.config.n_ctx_train = g->n_ctx_train;
        for (int kind = 0; kind < 3; kind++) {
            pp_rope rope;
            double freq[64];
            OK(pp_rope_choose(&w.config, PIPPIN_ROPE_SCALING_LINEAR + (pippin_rope_scaling)kind, g->factor, 0, &rope,
                              err));
            pp_rope_init(&w, &rope, freq);
            for (int j = 0; j < N_PAIR; j++)
                if (!(fabs(freq[g->pairs[j]] / want[kind][j] - 1) < 1e-12))
                    fail_msg("case %zu, %s, pair %d: %.15g, expected %.15g", i, pippin_rope_scaling_name(rope.scaling),
                             (int)g->pairs[j], freq[g->pairs[j]], want[kind][j]);
            const double attention = rope.scaling == PIPPIN_ROPE_SCALING_YARN ? g->attention * g->attention : 1;
            assert_true(fabs(rope.attention / attention - 1) < 1e-14);
        }
    }
}

/* ---- the factor of a session ---- */

static void refused(const pippin_config *c, pippin_rope_scaling kind, double factor, const char *part)
{
    pp_rope rope;
    pippin_error failure = {0};
    assert_int_equal(pp_rope_choose(c, kind, factor, 8192, &rope, &failure), PIPPIN_E_ARGUMENT);
    if (!strstr(failure.text, part)) fail_msg("\"%s\" has no \"%s\"", failure.text, part);
}

static void test_choice(void **state)
{
    (void)state;
    pippin_config c = small_afm();
    pp_rope rope;
    for (pippin_rope_scaling kind = PIPPIN_ROPE_SCALING_LINEAR; kind <= PIPPIN_ROPE_SCALING_YARN; kind++) {
        OK(pp_rope_choose(&c, kind, 0, 32768, &rope, err));
        assert_true(rope.scaling == kind && rope.factor == 8);
        OK(pp_rope_choose(&c, kind, 0, 4096, &rope, err)); /* no longer than trained */
        assert_true(rope.scaling == PIPPIN_ROPE_SCALING_NONE && rope.factor == 1 && rope.attention == 1);
        OK(pp_rope_choose(&c, kind, 2.5, 100, &rope, err));
        assert_true(rope.scaling == kind && rope.factor == 2.5);
        refused(&c, kind, 0.5, "1 to 1000");
        refused(&c, kind, 1001, "1 to 1000");
        refused(&c, kind, NAN, "1 to 1000");
    }
    OK(pp_rope_choose(&c, PIPPIN_ROPE_SCALING_AUTO, 0, 32768, &rope, err));
    assert_int_equal(rope.scaling, PIPPIN_ROPE_SCALING_NONE);
    refused(&c, PIPPIN_ROPE_SCALING_AUTO, 4, "name the scaling");
    refused(&c, PIPPIN_ROPE_SCALING_NONE, 4, "name the scaling");
    refused(&c, PIPPIN_ROPE_SCALING_LLAMA3, 4, "llama3");
    refused(&c, (pippin_rope_scaling)77, 4, "unknown");
    c.n_ctx_train = 0;
    refused(&c, PIPPIN_ROPE_SCALING_LINEAR, 0, "give a factor");
    refused(&c, PIPPIN_ROPE_SCALING_YARN, 4, "use linear or ntk");
    OK(pp_rope_choose(&c, PIPPIN_ROPE_SCALING_NTK, 4, 100, &rope, err));

    /* A file's own YaRN holds, until another kind is named, which then builds on the positions from before it. */
    c.n_ctx_train = 131072;
    c.rope_scaling = PIPPIN_ROPE_SCALING_YARN;
    c.rope_factor = 4;
    c.rope_low_freq = 1;
    c.rope_high_freq = 32;
    c.rope_n_ctx_original = 32768;
    OK(pp_rope_choose(&c, PIPPIN_ROPE_SCALING_AUTO, 0, 4096, &rope, err));
    assert_true(rope.scaling == PIPPIN_ROPE_SCALING_YARN && rope.factor == 4);
    OK(pp_rope_choose(&c, PIPPIN_ROPE_SCALING_NONE, 0, 65536, &rope, err));
    assert_int_equal(rope.scaling, PIPPIN_ROPE_SCALING_NONE);
    OK(pp_rope_choose(&c, PIPPIN_ROPE_SCALING_YARN, 0, 65536, &rope, err));
    assert_true(rope.scaling == PIPPIN_ROPE_SCALING_YARN && rope.factor == 2);
}

/* ---- what comes out ---- */

static void last_logits(pippin_model *model, pippin_session_options o, float *out)
{
    int32_t tokens[N];
    pippin_session *s;
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 3);
    o.n_ctx = N;
    o.n_threads = 1;
    OK(pippin_session_create(model, &o, &s, err));
    if (o.rope_scaling > PIPPIN_ROPE_SCALING_NONE) {
        assert_int_equal(pippin_session_rope_scaling(s), o.rope_scaling);
        assert_true(pippin_session_rope_factor(s) == o.rope_factor);
    }
    OK(pippin_session_sync(s, tokens, N, err));
    memcpy(out, pippin_session_logits(s), (size_t)pippin_model_config(model)->n_vocab * sizeof *out);
    pippin_session_free(s);
}

/* No two of the scalings are the same, and the model's own holds where none is named. */
static void test_all_differ(void **state)
{
    (void)state;
    static float out[PIPPIN_ROPE_SCALING_LLAMA3][301], own[301];
    pippin_config c = small_afm();
    for (int with_own = 0; with_own < 2; with_own++) {
        pippin_model *model;
        if (with_own) {
            c.rope_scaling = PIPPIN_ROPE_SCALING_LINEAR;
            c.rope_factor = 6;
        }
        OK(pippin_model_random(&c, PIPPIN_F32, 5, NULL, &model, err));
        for (pippin_rope_scaling kind = PIPPIN_ROPE_SCALING_AUTO; kind <= PIPPIN_ROPE_SCALING_YARN; kind++)
            last_logits(
                model,
                (pippin_session_options){.rope_scaling = kind, .rope_factor = kind > PIPPIN_ROPE_SCALING_NONE ? 6 : 0},
                out[kind]);
        pippin_model_free(model);
        for (int i = with_own ? PIPPIN_ROPE_SCALING_NONE : PIPPIN_ROPE_SCALING_AUTO; i < PIPPIN_ROPE_SCALING_LLAMA3;
             i++)
            for (int j = i + 1; j < PIPPIN_ROPE_SCALING_LLAMA3; j++)
                if (i == PIPPIN_ROPE_SCALING_AUTO && j == PIPPIN_ROPE_SCALING_NONE)
                    assert_memory_equal(out[i], out[j], sizeof out[i]);
                else
                    assert_memory_not_equal(out[i], out[j], sizeof out[i]);
        if (with_own) assert_memory_equal(out[PIPPIN_ROPE_SCALING_AUTO], out[PIPPIN_ROPE_SCALING_LINEAR], sizeof own);
    }
}

static int keep_last(void *user, size_t i, const float *logits)
{
    if (i == N - 1) memcpy(user, logits, 301 * sizeof *logits);
    return 0;
}

static void plain_logits(pippin_model *model, float *out)
{
    int32_t tokens[N];
    pippin_session *s;
    make_tokens(tokens, N, pippin_model_config(model)->n_vocab, 3);
    OK(pippin_session_create(model, &(pippin_session_options){.n_ctx = N}, &s, err));
    OK(pippin_session_score(
        s, &(pippin_score){.tokens = tokens, .n_tok = N, .reference = true, .row = keep_last, .user = out}, err));
    pippin_session_free(s);
}

/*
 * In AFM a norm follows the rotation, and would undo a factor of q and k. Without any stretching, a factor of 2 on both is
 * the same as q norms whose weights are 4 - in all layers, those that read another's keys too, and to the bit.
 */
static void test_attention_once(void **state)
{
    (void)state;
    static float scaled[301], wanted[301], plain[301], fours[18];
    pippin_config c = small_afm();
    pippin_model *model;
    for (int i = 0; i < 18; i++) fours[i] = 4;
    OK(pippin_model_random(&c, PIPPIN_F32, 5, NULL, &model, err));
    last_logits(model, (pippin_session_options){0}, plain);
    for (int32_t i = 0; i < c.n_layer; i++) model->weights.layers[i].q_norm = fours;
    last_logits(model, (pippin_session_options){0}, wanted);
    assert_memory_not_equal(plain, wanted, sizeof wanted);
    plain_logits(model, plain);
    pippin_model_free(model);

    c.rope_scaling = PIPPIN_ROPE_SCALING_YARN;
    c.rope_factor = 1;
    c.rope_low_freq = 1;
    c.rope_high_freq = 32;
    c.rope_attention = 2;
    c.rope_n_ctx_original = 4096;
    OK(pippin_model_random(&c, PIPPIN_F32, 5, NULL, &model, err));
    last_logits(model, (pippin_session_options){0}, scaled);
    assert_memory_equal(scaled, wanted, sizeof wanted);
    plain_logits(model, scaled);
    for (int i = 0; i < 301; i++) assert_true(fabsf(scaled[i] - plain[i]) <= 1e-5f);
    pippin_model_free(model);
}

/* ---- files ---- */

static pippin_status parse(const char *rope, pippin_config *out, pippin_error *err)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"model_type\": \"llama\", \"vocab_size\": 100, \"hidden_size\": 32, \"num_hidden_layers\": 2, "
             "\"num_attention_heads\": 4, \"intermediate_size\": 64, \"rms_norm_eps\": 1e-5, "
             "\"max_position_embeddings\": 2048, %s}",
             rope);
    return pp_config_parse(json, strlen(json), "config.json", out, err);
}

static void test_config(void **state)
{
    (void)state;
    pippin_config c;
    OK(parse("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}", &c, err));
    assert_true(c.rope_scaling == PIPPIN_ROPE_SCALING_LINEAR && c.rope_factor == 4);
    OK(parse("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 512}",
             &c, err));
    assert_true(c.rope_scaling == PIPPIN_ROPE_SCALING_YARN && c.rope_n_ctx_original == 512);
    assert_true(c.rope_low_freq == 1 && c.rope_high_freq == 32 && c.rope_attention == 0);
    OK(parse("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 16, \"beta_slow\": 2, "
             "\"attention_factor\": 1.5}",
             &c, err));
    assert_true(c.rope_low_freq == 2 && c.rope_high_freq == 16 && c.rope_n_ctx_original == 2048);
    assert_true(pp_rope_own(&c).attention == 2.25);
    OK(parse("\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 12345.0}", &c, err));
    assert_true(c.rope_theta == 12345 && c.rope_factor == 0);
    OK(parse(
        "\"rope_parameters\": {\"rope_theta\": 7, \"rope_type\": \"linear\", \"factor\": 2}, \"rope_scaling\": null",
        &c, err));
    assert_true(c.rope_theta == 7 && c.rope_factor == 2);

    static const char *const bad[][2] = {
        {"\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}", "a session's factor is fixed"},
        {"\"rope_scaling\": {\"type\": \"longrope\", \"factor\": 2}", "longrope is not built"},
        {"\"rope_scaling\": {\"factor\": 2}", "none named"},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2, \"mscale\": 1}", "mscale"},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2, \"truncate\": false}", "truncate"},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2, \"beta_fast\": 1}", "low 1, high 1"},
        {"\"rope_scaling\": {\"type\": \"yarn\"}", "factor 0"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}", "factor 0.5"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": \"4\"}", "factor is of another kind"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pippin_error failure = {0};
        assert_int_not_equal(parse(bad[i][0], &c, &failure), PIPPIN_OK);
        if (!strstr(failure.text, bad[i][1])) fail_msg("\"%s\" has no \"%s\"", failure.text, bad[i][1]);
    }
}

static void same_scaling(const char *path, const pippin_config *want)
{
    pippin_model *model;
    OK(pippin_model_open(path, NULL, &model, err));
    const pippin_config *got = pippin_model_config(model);
    assert_int_equal(got->rope_scaling, want->rope_scaling);
    assert_int_equal(got->rope_n_ctx_original, want->rope_n_ctx_original);
    assert_true(got->rope_factor == want->rope_factor && got->rope_low_freq == want->rope_low_freq);
    assert_true(got->rope_high_freq == want->rope_high_freq);
    assert_true(fabs(got->rope_attention - want->rope_attention) < 1e-6);
    pippin_model_free(model);
}

/* What a folder and a GGUF keep of it, in AFM and in other families. */
static void test_saved(void **state)
{
    (void)state;
    char dir[] = "/tmp/pippin-rope-XXXXXX", file[64];
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 4; i++) {
        pippin_config c = tiny_afm();
        if (i % 2) {
            c.arch = PIPPIN_ARCH_QWEN2;
            c.n_reuse = 0;
            c.qk_norm = PIPPIN_QK_NORM_NONE;
            c.rope_pairs = PIPPIN_ROPE_HALVES;
            c.qkv_bias = true;
        }
        c.rope_scaling = i < 2 ? PIPPIN_ROPE_SCALING_LINEAR : PIPPIN_ROPE_SCALING_YARN;
        c.rope_factor = 4.5;
        if (i >= 2) {
            c.rope_low_freq = 2;
            c.rope_high_freq = 24;
            c.rope_attention = i == 2 ? 1.25 : 0;
            c.rope_n_ctx_original = 1024;
        }
        pippin_model *model;
        OK(pippin_model_random(&c, PIPPIN_F32, 5, NULL, &model, err));
        OK(pippin_model_save(model, dir, err));
        same_scaling(dir, &c);
        snprintf(file, sizeof file, "%s/model.gguf", dir);
        OK(pippin_model_save_gguf(model, NULL, file, err));
        same_scaling(file, &c);
        pippin_model_free(model);
        assert_int_equal(remove(file), 0);
    }
    static const char *const names[] = {"model.safetensors", "config.json"};
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", dir, names[i]);
        assert_int_equal(remove(file), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frequencies), cmocka_unit_test(test_choice),
                                       cmocka_unit_test(test_all_differ),  cmocka_unit_test(test_attention_once),
                                       cmocka_unit_test(test_config),      cmocka_unit_test(test_saved)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
