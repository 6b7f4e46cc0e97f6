/*
 * blocks_test.c - models in GGUF's block types as they are run: packed, with inputs rounded to int8. The same bits for any threads,
 * passes and kernels; the numbers of a double-precision run over the decoded weights and the same rounded inputs; adapters
 * that are trained on what runs; files that keep every byte.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "model/model.h"
#include "tests/training.h"

enum { N_TOK = 24, N_VOCAB = 301 };

static const pippin_type types[] = {
#define TYPE(name, type, ...) type,
    PP_BLOCK_FORMS(TYPE)
#undef TYPE
};

enum { N_TYPE = sizeof types / sizeof *types };

static char folder[] = "/tmp/pippin-blocks-XXXXXX";

static const char *in_folder(const char *name) { return path_in(folder, name); }

/* Rows of whole blocks, and where these are small none of whole spans. */
static pippin_config small_llama(pippin_type type)
{
    const bool wide = pp_type_block(type) == PP_SUPER;
    pippin_config c;
    OK(pippin_config_preset("llama-3.2-3b", &c, err));
    snprintf(c.name, sizeof c.name, "small");
    c.n_vocab = N_VOCAB;
    c.d_model = wide ? 256 : 160;
    c.n_head = wide ? 4 : 5;
    c.n_kv_head = wide ? 2 : 1;
    c.d_head = wide ? 64 : 32;
    c.d_ffn = wide ? 768 : 224;
    c.n_layer = 2;
    c.bos_id = c.eos_id = -1;
    return c;
}

/* From a file, as such models come. */
static pippin_model *model_of(pippin_type type, const char *cpu)
{
    const pippin_config c = small_llama(type);
    pippin_model *made, *m;
    OK(pippin_model_random(&c, type, 4, NULL, &made, err));
    OK(pippin_model_save_gguf(made, NULL, in_folder("blocks.gguf"), err));
    pippin_model_free(made);
    OK(pippin_model_open(in_folder("blocks.gguf"), &(pippin_model_options){.cpu = cpu}, &m, err));
    assert_int_equal(pippin_model_type(m), type);
    return m;
}

typedef float rows[N_TOK][N_VOCAB];

static int keep(void *user, size_t i, const float *logits)
{
    memcpy((*(rows *)user)[i], logits, sizeof(float) * N_VOCAB);
    return 0;
}

static void score(pippin_model *m, int32_t n_threads, int32_t n_batch, const int32_t *tokens, const int32_t *segments,
                  rows *out)
{
    pippin_session *s;
    const pippin_session_options options = {.n_threads = n_threads, .n_batch = n_batch, .kv_type = PIPPIN_F32};
    OK(pippin_session_create(m, &options, &s, err));
    OK(pippin_session_score(
        s, &(pippin_score){.tokens = tokens, .segments = segments, .n_tok = N_TOK, .row = keep, .user = out}, err));
    pippin_session_free(s);
}

static void the_same_bits(void **state)
{
    (void)state;
    static rows one, other;
    int32_t tokens[N_TOK];
    make_tokens(tokens, N_TOK, N_VOCAB, 8);
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        score(m, 1, 0, tokens, NULL, &one);
        for (int32_t batch = 1; batch <= N_TOK; batch += 7) {
            score(m, 1 + batch % 3, batch, tokens, NULL, &other);
            assert_memory_equal(other, one, sizeof one);
        }
        pippin_model_free(m);
    }
}

/* ---- the reference, over weights that say that they are packed, rounds as they are run ---- */

static void run_reference(const char *path, const int32_t *tokens, const int32_t *segments, const int32_t *positions,
                          rows *out)
{
    pp_gguf g;
    pippin_config c;
    pp_weights w;
    pp_packed packed;
    pp_team *team = pp_team_create(2);
    OK(pp_gguf_open(path, &g, err));
    OK(pp_config_from_gguf(&g, &c, err));
    OK(pp_weights_bind(&c, PP_NAMING_GGUF, &g.tensors, &w, err));
    OK(pp_weights_pack(&w, team, &packed, err));
    assert_true(packed.n_block > 0 && packed.bytes > 0);
    const pp_rope rope = pp_rope_own(&c);
    OK(pp_reference_score(
        &packed.weights, &rope, NULL, 0,
        &(pippin_score){
            .tokens = tokens, .segments = segments, .positions = positions, .n_tok = N_TOK, .row = keep, .user = out},
        err));
    pp_packed_free(&packed);
    pp_weights_free(&w);
    pp_gguf_free(&g);
    pp_team_free(team);
}

/*
 * Two tokens a segment: where an input is rounded otherwise, as sums in another order may have it, that does not spread to all
 * that come after. A wrong scale or minimum moves every row by far more.
 */
static void make_pairs(uint64_t seed, int32_t tokens[N_TOK], int32_t segments[N_TOK])
{
    make_tokens(tokens, N_TOK, N_VOCAB, seed);
    for (int32_t i = 0; i < N_TOK; i++) segments[i] = i / 2;
}

static void expect_close(const char *name, float (*fast)[N_VOCAB], float (*truth)[N_VOCAB])
{
    double worst;
    const int close = rows_close(fast[0], truth[0], N_TOK, N_VOCAB, &worst);
    print_message("%s: %d of %d rows within 1e-5, the others within %.1e\n", name, close, N_TOK, worst);
    assert_true(close >= N_TOK * 3 / 4 && worst < 5e-2);
}

static void as_the_reference(void **state)
{
    (void)state;
    static rows truth, fast;
    int32_t tokens[N_TOK], segments[N_TOK], positions[N_TOK];
    make_pairs(8, tokens, segments);
    for (int32_t i = 0; i < N_TOK; i++) positions[i] = i % 2;
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        run_reference(in_folder("blocks.gguf"), tokens, segments, positions, &truth);
        score(m, 1, 0, tokens, segments, &fast);
        pippin_model_free(m);
        expect_close(pippin_type_name(types[t]), fast, truth);
    }
}

/* Norms and attention differ in their last bits from level to level, and so may a rounding. */
static void levels_agree(void **state)
{
    (void)state;
    static rows fast, plain;
    int32_t tokens[N_TOK], segments[N_TOK];
    make_pairs(9, tokens, segments);
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], "scalar");
        score(m, 2, 0, tokens, segments, &plain);
        pippin_model_free(m);
        m = model_of(types[t], NULL);
        score(m, 2, 0, tokens, segments, &fast);
        pippin_model_free(m);
        expect_close(pippin_type_name(types[t]), fast, plain);
    }
}

/* ---- training ---- */

/* An adapter is trained on the numbers that a session gives; see low_test.c for why not every text has to agree. */
static void training_sees_what_runs(void **state)
{
    (void)state;
    enum { N_TEXT = 5 };
    static rows logits;
    int32_t tokens[N_TOK];
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        int close = 0;
        double worst = 0;
        for (uint64_t text = 0; text < N_TEXT; text++) {
            make_tokens(tokens, N_TOK, N_VOCAB, 8 + text);
            score(m, 2, 0, tokens, NULL, &logits);
            const double nll = nll_of(tokens, logits[0], N_TOK, N_VOCAB),
                         off = fabs(first_loss(m, tokens, N_TOK, folder) - nll) / nll;
            close += off <= 1e-6;
            worst = fmax(worst, off);
        }
        print_message("%s: %d of %d losses as a session's, the others within %.1e\n", pippin_type_name(types[t]), close,
                      N_TEXT, worst);
        assert_true(close > 0 && worst < 1e-3);
        pippin_model_free(m);
    }
}

/* ---- files ---- */

/* Saved as it is, also after it ran, it is the same file. */
static void files_keep_every_byte(void **state)
{
    (void)state;
    static rows logits;
    int32_t tokens[N_TOK];
    make_tokens(tokens, N_TOK, N_VOCAB, 8);
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        pp_map one, two;
        score(m, 2, 0, tokens, NULL, &logits);
        OK(pippin_model_save_gguf(m, NULL, in_folder("again.gguf"), err));
        pippin_model_free(m);
        OK(pp_map_open(in_folder("blocks.gguf"), &one, err));
        OK(pp_map_open(in_folder("again.gguf"), &two, err));
        assert_int_equal(one.size, two.size);
        assert_memory_equal(one.data, two.data, one.size);
        pp_map_close(&one);
        pp_map_close(&two);
    }
}

/* What is only opened and saved does not pay for packing. */
static void only_running_packs(void **state)
{
    (void)state;
    pippin_session *s;
    pippin_model *m = model_of(PIPPIN_GGUF_Q4_K, NULL);
    const uint64_t packed = pp_packed_bytes(PIPPIN_GGUF_Q4_K, 256, 256); /* of one matrix: Q of the first layer */
    const uint64_t before = pippin_memory_used().live_bytes;
    OK(pippin_model_save_gguf(m, NULL, in_folder("again.gguf"), err));
    assert_int_equal(pippin_memory_used().live_bytes, before);
    OK(pippin_session_create(m, &(pippin_session_options){.n_threads = 1, .n_ctx = 16}, &s, err));
    pippin_session_free(s);
    assert_true(pippin_memory_used().live_bytes >= before + packed);
    pippin_model_free(m);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits),
                                       cmocka_unit_test(as_the_reference),
                                       cmocka_unit_test(levels_agree),
                                       cmocka_unit_test(only_running_packs),
                                       cmocka_unit_test(training_sees_what_runs),
                                       cmocka_unit_test(files_keep_every_byte)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(in_folder("blocks.gguf"));
    unlink(in_folder("again.gguf"));
    rmdir(folder);
    return failed;
}
