/*
 * low_test.c - q2, q4 and q8: rows in and out, files of them, and models that run on them: the same bits for any threads and
 * passes, and the reference's numbers.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "model/model.h"
#include "tests/training.h"

static const pippin_type types[] = {PIPPIN_Q8, PIPPIN_Q4, PIPPIN_Q2};
enum { N_TYPE = 3, N_TOK = 40, N_VOCAB = 301 };

static char folder[] = "/tmp/pippin-low-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Each row comes back within half a level, rows next to it untouched; what lies on levels already comes back as it was. */
static void rows_come_back(void **state)
{
    (void)state;
    enum { ROWS = 70, COLUMNS = 53 };
    for (int t = 0; t < N_TYPE; t++) {
        const int bits = pp_low_bits(types[t]);
        const size_t bytes = pp_matrix_bytes(types[t], ROWS, COLUMNS);
        uint8_t *m = test_calloc(1, bytes), *again = test_calloc(1, bytes);
        float w[ROWS][COLUMNS], back[COLUMNS], part[COLUMNS];
        for (int r = 0; r < ROWS; r++) {
            for (int i = 0; i < COLUMNS; i++)
                w[r][i] = r == 3 ? 0 : (float)(pp_random_unit(1, (uint64_t)r, (uint64_t)i) - 0.5) * (float)(r + 1);
            pp_low_encode_row(bits, m, COLUMNS, (size_t)r, w[r], pp_low_best_scale(bits, w[r], NULL, COLUMNS));
        }
        for (size_t r = 0; r < ROWS; r++) {
            const float scale = pp_low_best_scale(bits, w[r], NULL, COLUMNS);
            pp_matrix_decode(types[t], m, COLUMNS, r, 0, COLUMNS, back);
            for (int i = 0; i < COLUMNS; i++) {
                const float most = bits == 8 ? 127 * scale : scale * (float)((1 << bits) - 1) / 2;
                assert_true(fabsf(back[i] - fminf(most, fmaxf(-most, w[r][i]))) <= scale * 0.5001f);
            }
            pp_matrix_decode(types[t], m, COLUMNS, r, 7, 30, part);
            assert_memory_equal(part, back + 7, 30 * sizeof *part);
            pp_low_encode_row(bits, again, COLUMNS, r, back, pp_low_best_scale(bits, back, NULL, COLUMNS));
        }
        for (size_t r = 0; r < ROWS && bits < 8; r++) {
            float twice[COLUMNS];
            pp_matrix_decode(types[t], m, COLUMNS, r, 0, COLUMNS, back);
            pp_matrix_decode(types[t], again, COLUMNS, r, 0, COLUMNS, twice);
            assert_memory_equal(twice, back, sizeof twice);
        }
        test_free(m);
        test_free(again);
    }
}

static pippin_model *model_of(pippin_type type, const char *cpu)
{
    const pippin_config c = small_afm();
    pippin_model *made, *m;
    OK(pippin_model_random(&c, PIPPIN_F32, 4, NULL, &made, err));
    OK(pippin_model_save_gguf(made, &(pippin_save_options){.type = type, .embedding_type = type}, in_folder("low.gguf"),
                              err));
    pippin_model_free(made);
    OK(pippin_model_open(in_folder("low.gguf"), &(pippin_model_options){.cpu = cpu}, &m, err));
    assert_int_equal(pippin_model_type(m), type);
    return m;
}

typedef float rows[N_TOK][N_VOCAB];

static int keep(void *user, size_t i, const float *logits)
{
    memcpy((*(rows *)user)[i], logits, sizeof(float) * N_VOCAB);
    return 0;
}

static void score_tokens(pippin_model *m, int32_t n_threads, int32_t n_batch, bool reference, size_t part,
                         const int32_t *tokens, rows *out)
{
    int32_t segments[N_TOK];
    for (size_t i = 0; i < N_TOK; i++) segments[i] = (int32_t)(i / part);
    pippin_session *s;
    OK(pippin_session_create(
        m, &(pippin_session_options){.n_threads = n_threads, .n_batch = n_batch, .kv_type = PIPPIN_F32}, &s, err));
    OK(pippin_session_score(
        s,
        &(pippin_score){
            .tokens = tokens, .segments = segments, .n_tok = N_TOK, .reference = reference, .row = keep, .user = out},
        err));
    pippin_session_free(s);
}

static void score_parts(pippin_model *m, int32_t n_threads, int32_t n_batch, bool reference, size_t part, rows *out)
{
    int32_t tokens[N_TOK];
    make_tokens(tokens, N_TOK, N_VOCAB, 8);
    score_tokens(m, n_threads, n_batch, reference, part, tokens, out);
}

static void score(pippin_model *m, int32_t n_threads, int32_t n_batch, bool reference, rows *out)
{
    score_parts(m, n_threads, n_batch, reference, N_TOK, out);
}

static void models_run(void **state)
{
    (void)state;
    static rows one, other, truth;
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        score(m, 1, 0, false, &one);
        for (int32_t threads = 1; threads <= 3; threads++)
            for (int32_t batch = 1; batch <= 40; batch += 13) {
                score(m, threads, batch, false, &other);
                assert_memory_equal(other, one, sizeof one);
            }
        /* Two tokens a segment: where a rounding falls otherwise, it does not spread to all that come after. */
        score_parts(m, 1, 0, true, 2, &truth);
        score_parts(m, 1, 0, false, 2, &one);
        double worst;
        const int close = rows_close(one[0], truth[0], N_TOK, N_VOCAB, &worst);
        print_message("%s: %d of %d rows within 1e-5 of the reference, the others, where a rounding fell otherwise, "
                      "within %.1e\n",
                      pippin_type_name(types[t]), close, N_TOK, worst);
        assert_true(close >= N_TOK * 9 / 10 && worst < 5e-2);
        pippin_model_free(m);
    }
}

/*
 * An adapter is trained on the numbers that a session gives. Where the rounding of an input falls otherwise, and with few bits
 * that shows, a loss is another in its fifth digit; so most of several texts have to agree, not all.
 */
static void training_sees_what_runs(void **state)
{
    (void)state;
    enum { N_TEXT = 7 };
    static rows logits;
    int32_t tokens[N_TOK];
    for (int t = 0; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL);
        int close = 0;
        double worst = 0;
        for (uint64_t text = 0; text < N_TEXT; text++) {
            make_tokens(tokens, N_TOK, N_VOCAB, 8 + text);
            score_tokens(m, 2, 0, false, N_TOK, tokens, &logits);
            const double nll = nll_of(tokens, logits[0], N_TOK, N_VOCAB),
                         off = fabs(first_loss(m, tokens, N_TOK, folder) - nll) / nll;
            close += off <= 1e-6;
            worst = fmax(worst, off);
        }
        print_message("%s: %d of %d losses as a session's, the others within %.1e\n", pippin_type_name(types[t]), close,
                      N_TEXT, worst);
        assert_true(close > (types[t] == PIPPIN_Q2 ? 0 : N_TEXT / 2) && worst < 1e-3);
        pippin_model_free(m);
    }
}

/* A low-bit model saved again as it is, or by way of f32, is the same model. */
static void files_keep_them(void **state)
{
    (void)state;
    static rows one, other;
    for (int t = 1; t < N_TYPE; t++) {
        pippin_model *m = model_of(types[t], NULL), *again;
        score(m, 2, 0, false, &one);
        OK(pippin_model_save_gguf(m, NULL, in_folder("same.gguf"), err));
        OK(pippin_model_save_gguf(m, &(pippin_save_options){.type = PIPPIN_F32}, in_folder("float.gguf"), err));
        pippin_model_free(m);
        OK(pippin_model_open(in_folder("same.gguf"), NULL, &again, err));
        score(again, 2, 0, false, &other);
        assert_memory_equal(other, one, sizeof one);
        pippin_model_free(again);
        OK(pippin_model_open(in_folder("float.gguf"), NULL, &m, err));
        OK(pippin_model_save_gguf(m, &(pippin_save_options){.type = types[t], .embedding_type = types[t]},
                                  in_folder("same.gguf"), err));
        pippin_model_free(m);
        OK(pippin_model_open(in_folder("same.gguf"), NULL, &again, err));
        score(again, 2, 0, false, &other);
        assert_memory_equal(other, one, sizeof one);
        pippin_model_free(again);
    }
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_come_back), cmocka_unit_test(models_run),
                                       cmocka_unit_test(training_sees_what_runs), cmocka_unit_test(files_keep_them)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const files[] = {"low.gguf", "same.gguf", "float.gguf"};
    for (int i = 0; i < 3; i++) unlink(in_folder(files[i]));
    rmdir(folder);
    return failed;
}
