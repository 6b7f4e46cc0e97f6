/*
 * calibrate_test.c - rounding that minds a text: scales by weights, second moments, levels that make the error on the text's
 * inputs smaller; and files: the same for any threads, types where they were asked for, nothing left by a cancel.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <unistd.h>

#include "model/calibrate.h"
#include "model/names.h"
#include "tests/support.h"

static const pippin_type types[] = {PIPPIN_Q8, PIPPIN_Q4, PIPPIN_Q2};
enum { N_TYPE = 3, N_TEXT = 600, N_VOCAB = 301 };

static char folder[] = "/tmp/pippin-quantize-XXXXXX";

static const char *in_folder(const char *name) { return path_in(folder, name); }

static float noise(uint64_t stream, size_t i) { return (float)(pp_random_unit(7, stream, i) - 0.5); }

/* ---- one matrix ---- */

static void weights_choose_the_scale(void **state)
{
    (void)state;
    enum { N = 131 };
    int n_better = 0;
    for (int t = 1; t < N_TYPE; t++)
        for (uint64_t row = 0; row < 50; row++) {
            const int bits = pp_low_bits(types[t]);
            float w[N], weight[N];
            for (size_t i = 0; i < N; i++) {
                w[i] = noise(2 * row, i) * (i % 9 ? 1 : 4);
                weight[i] = expf(6 * noise(2 * row + 1, i));
            }
            const double plain = pp_low_error(bits, w, weight, N, pp_low_best_scale(bits, w, NULL, N)),
                         weighted = pp_low_error(bits, w, weight, N, pp_low_best_scale(bits, w, weight, N));
            assert_true(weighted <= plain);
            n_better += weighted < 0.99 * plain;
        }
    print_message("%d of 100 rows by more than a hundredth\n", n_better);
    assert_true(n_better > 20);
}

typedef struct text_of {
    size_t n, n_row;
    float *x; /* [n_row][n], columns that go together, of sizes far apart */
} text_of;

static text_of make_text(size_t n, size_t n_row)
{
    text_of t = {n, n_row, test_malloc(n * n_row * sizeof(float))};
    for (size_t r = 0; r < n_row; r++)
        for (size_t i = 0; i < n; i++)
            t.x[r * n + i] = (noise(100 + r, i % 7) + 0.5f * noise(5000 + r, i)) * expf(3 * noise(3, i));
    return t;
}

static pp_moments moments_of(const text_of *t, const pp_kernels *kernels, pp_team *team)
{
    pp_moments m;
    OK(pp_moments_create(t->n + 13, kernels, team, &m, err));
    pp_moments_start(&m, t->n);
    for (size_t first = 0; first < t->n_row; first += 37)
        pp_moments_add(&m, t->x + first * t->n, PP_MIN((size_t)37, t->n_row - first));
    pp_moments_finish(&m);
    return m;
}

static void moments_are_sums(void **state)
{
    (void)state;
    pp_kernels kernels;
    pp_kernels_fill(&kernels, PP_ISA_COUNT);
    pp_team *team = pp_team_create(2);
    const text_of t = make_text(150, 100);
    pp_moments m = moments_of(&t, &kernels, team);
    double trace = 0;
    for (size_t i = 0; i < t.n; i++) trace += (double)m.weight[i];
    for (size_t i = 0; i < t.n; i++)
        for (size_t j = 0; j < t.n; j++) {
            double sum = i == j ? 0.01 * trace / (double)t.n : 0, size = sum;
            for (size_t r = 0; r < t.n_row; r++) {
                const double p = (double)t.x[r * t.n + i] * (double)t.x[r * t.n + j] / (double)t.n_row;
                sum += p;
                size += fabs(p);
            }
            assert_true(fabs((double)m.second[i * t.n + j] - sum) <= 1e-5 * size);
        }
    pp_moments_free(&m);
    pp_team_free(team);
    test_free(t.x);
}

/* Mean over the text of what each row's output changes by, squared, with what moments add to the diagonal. */
static double output_error(const text_of *t, const pp_moments *m, const float *w, const float *rounded)
{
    const double more = (double)m->second[0] - (double)m->weight[0];
    double error = 0;
    for (size_t r = 0; r < t->n_row; r++) {
        double y = 0;
        for (size_t i = 0; i < t->n; i++) y += (double)(w[i] - rounded[i]) * (double)t->x[r * t->n + i];
        error += y * y / (double)t->n_row;
    }
    for (size_t i = 0; i < t->n; i++) error += more * pow((double)(w[i] - rounded[i]), 2);
    return error;
}

static float *make_matrix(size_t n, size_t n_out)
{
    float *w = test_malloc(n * n_out * sizeof *w);
    for (size_t i = 0; i < n * n_out; i++) w[i] = i / n == 5 ? 0 : noise(40 + i / n, i % n);
    for (size_t i = 0; i < n; i++) w[6 * n + i] = 0.25f * pp_low_level(2, 4 * noise(9, i)); /* on levels of 2 bits */
    return w;
}

static void rounding_minds_the_text(void **state)
{
    (void)state;
    enum { N = 131, ROWS = 71 };
    for (int isa = 0; isa < PP_ISA_COUNT; isa++) {
        if (!pp_isa_supported((pp_isa)isa)) continue;
        pp_kernels kernels;
        pp_kernels_fill(&kernels, (pp_isa)isa);
        pp_team *team = pp_team_create(2);
        const text_of t = make_text(N, 90);
        pp_moments m = moments_of(&t, &kernels, team);
        float *w = make_matrix(N, ROWS), *rounded = test_malloc(N * ROWS * sizeof *w), scales[ROWS], nearest[N];
        for (int k = 0; k < N_TYPE; k++) {
            const int bits = pp_low_bits(types[k]);
            double before = 0, after = 0;
            memcpy(rounded, w, N * ROWS * sizeof *w);
            pp_round_matrix(&m, bits, rounded, ROWS, scales);
            for (size_t r = 0; r < ROWS; r++) {
                const float scale = pp_low_best_scale(bits, w + r * N, m.weight, N);
                for (size_t i = 0; i < N; i++) {
                    nearest[i] = scale > 0 ? scale * pp_low_level(bits, w[r * N + i] / scale) : 0;
                    const float u = scales[r] > 0 ? rounded[r * N + i] / scales[r] : 0;
                    assert_true(scales[r] == 0 || fabsf(u - pp_low_level(bits, u)) < 1e-4f); /* a level */
                }
                const double plain = output_error(&t, &m, w + r * N, nearest),
                             calibrated = output_error(&t, &m, w + r * N, rounded + r * N);
                if (!(calibrated <= plain * 1.0001 + 1e-12))
                    fail_msg("row %zu at %d bits: %g, nearest %g", r, bits, calibrated, plain);
                before += plain;
                after += calibrated;
            }
            print_message("%s, %d bits: error on the text %.4g, to nearest %.4g\n", pp_isa_name((pp_isa)isa), bits,
                          after, before);
            assert_true(after < 0.5 * before);
        }
        assert_memory_equal(rounded + 6 * N, w + 6 * N, N * sizeof *w); /* the last type is q2 */
        test_free(w);
        test_free(rounded);
        test_free(t.x);
        pp_moments_free(&m);
        pp_team_free(team);
    }
}

static void ranges_follow(void **state)
{
    (void)state;
    pp_kv_range r = {0};
    pp_kv_range_see(&r, -2, 1);
    assert_true(r.low == -2 && r.high == 1 && r.scale == 2.0f / 128);
    pp_kv_range_see(&r, -1, 11);
    assert_true(fabsf(r.low + 1.9f) < 1e-6f && fabsf(r.high - 2) < 1e-6f && fabsf(r.scale - 2.0f / 127) < 1e-7f);
}

static void names_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool same;
    } cases[] = {{"blk.0.attn_q.weight", "blk.0.attn_q.weight", true},
                 {"blk.*.ffn_*", "blk.31.ffn_down.weight", true},
                 {"*", "", true},
                 {"", "a", false},
                 {"a*b*c", "aXbYbZc", true},
                 {"a*b*c", "aXbYbZ", false},
                 {"blk.?.x", "blk.7.x", true},
                 {"blk.?.x", "blk.17.x", false},
                 {"**down", "up.down", true},
                 {"blk.0", "blk.0.attn_q", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pp_name_matches(cases[i].pattern, cases[i].name), cases[i].same);
}

/* ---- models ---- */

static pippin_config small_llama(void)
{
    pippin_config c = small_afm();
    c.arch = PIPPIN_ARCH_LLAMA;
    c.rope_pairs = PIPPIN_ROPE_HALVES;
    c.qk_norm = PIPPIN_QK_NORM_NONE;
    c.n_reuse = 0;
    c.n_layer = 3;
    c.pad_id = -1;
    return c;
}

static pippin_model *random_model(const pippin_config *c)
{
    pippin_model *m;
    OK(pippin_model_random(c, PIPPIN_F32, 4, NULL, &m, err));
    return m;
}

static pippin_model *open_model(const char *name)
{
    pippin_model *m;
    OK(pippin_model_open(in_folder(name), NULL, &m, err));
    return m;
}

static const int32_t *text(void)
{
    static int32_t tokens[N_TEXT];
    make_tokens(tokens, N_TEXT, N_VOCAB, 8);
    return tokens;
}

static pippin_save_options calibrated(pippin_type type, int32_t n_threads)
{
    return (pippin_save_options){.type = type, .calibrate = text(), .n_calibrate = N_TEXT, .n_threads = n_threads};
}

static int keep(void *user, size_t i, const float *logits)
{
    memcpy((float *)user + i * N_VOCAB, logits, N_VOCAB * sizeof *logits);
    return 0;
}

static float *logits_of(pippin_model *m)
{
    pippin_session *s;
    float *logits = test_malloc(N_TEXT * N_VOCAB * sizeof *logits);
    OK(pippin_session_create(m, &(pippin_session_options){.n_ctx = N_TEXT, .kv_type = PIPPIN_F32}, &s, err));
    OK(pippin_session_score(s, &(pippin_score){.tokens = text(), .n_tok = N_TEXT, .row = keep, .user = logits}, err));
    pippin_session_free(s);
    return logits;
}

/* Squared distance of its logits from those of the plain model, over their own square. */
static double distance(const char *name, const float *plain)
{
    pippin_model *m = open_model(name);
    float *logits = logits_of(m);
    double error = 0, size = 0;
    for (size_t i = 0; i < N_TEXT * N_VOCAB; i++) {
        error += pow((double)logits[i] - (double)plain[i], 2);
        size += pow((double)plain[i], 2);
    }
    test_free(logits);
    pippin_model_free(m);
    return error / size;
}

static void models_come_nearer(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        const pippin_config c = family ? small_llama() : small_afm();
        pippin_model *m = random_model(&c);
        float *plain = logits_of(m);
        for (int t = 1; t < N_TYPE; t++) {
            pippin_save_options o = calibrated(types[t], 1);
            OK(pippin_model_save_gguf(m, &o, in_folder("one.gguf"), err));
            for (o.n_threads = 2; o.n_threads <= 3; o.n_threads++) {
                OK(pippin_model_save_gguf(m, &o, in_folder("other.gguf"), err));
                assert_same_files(folder, "one.gguf", "other.gguf");
            }
            OK(pippin_model_save_gguf(m, &(pippin_save_options){.type = types[t]}, in_folder("other.gguf"), err));
            const double with = distance("one.gguf", plain), without = distance("other.gguf", plain);
            print_message("%s %s: logits off by %.4f calibrated, %.4f by weights alone\n", family ? "llama" : "afm",
                          pippin_type_name(types[t]), with, without);
            assert_true(with < 0.9 * without);
        }
        test_free(plain);
        pippin_model_free(m);
    }
}

/* Sequences do not see each other: in another order they give the same sums, but for rounding, and so nearly the same file. */
static void sequences_stand_alone(void **state)
{
    (void)state;
    enum { N = 512 };
    static int32_t tokens[2 * N];
    const pippin_config c = small_llama();
    pippin_model *m = random_model(&c);
    pippin_save_options o = {.type = PIPPIN_Q4, .calibrate = tokens, .n_calibrate = 2 * N};
    for (int swapped = 0; swapped < 2; swapped++) {
        make_tokens(tokens + swapped * N, N, 20, 8);
        make_tokens(tokens + (1 - swapped) * N, N, N_VOCAB, 9);
        OK(pippin_model_save_gguf(m, &o, in_folder(swapped ? "other.gguf" : "one.gguf"), err));
    }
    pp_map x, y;
    size_t n = 0;
    OK(pp_map_open(in_folder("one.gguf"), &x, err));
    OK(pp_map_open(in_folder("other.gguf"), &y, err));
    assert_int_equal(x.size, y.size);
    for (size_t i = 0; i < x.size; i++) n += abs(x.data[i] - y.data[i]) > 1; /* scales differ in their last bits */
    print_message("%zu of %zu bytes differ\n", n, x.size);
    assert_true(n < x.size / 20);
    pp_map_close(&x);
    pp_map_close(&y);
    pippin_model_free(m);
}

/* Static scales: an AFM without them gets some that int8 can live with, others have no place for them; what is there stays. */
static void scales_are_observed(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        const pippin_config c = family ? small_llama() : small_afm();
        pippin_model *m = random_model(&c), *again;
        float *plain = logits_of(m);
        pippin_save_options o = calibrated(PIPPIN_F32, 2);
        OK(pippin_model_save_gguf(m, &o, in_folder("one.gguf"), err));
        again = open_model("one.gguf");
        assert_int_equal(pippin_model_has_kv_scales(again), family == 0);
        const double off = distance("one.gguf", plain);
        assert_true(family ? off < 1e-9 : off > 1e-9 && off < 1e-3);
        o.n_calibrate = 70; /* another text */
        OK(pippin_model_save_gguf(again, &o, in_folder("other.gguf"), err));
        assert_same_files(folder, "one.gguf", "other.gguf");
        pippin_model_free(again);
        test_free(plain);
        pippin_model_free(m);
    }
}

static void what_has_the_type_stays(void **state)
{
    (void)state;
    const pippin_config c = small_llama();
    pippin_model *m = random_model(&c);
    for (int t = 0; t < N_TYPE; t++) {
        pippin_save_options o = {.type = types[t]};
        OK(pippin_model_save_gguf(m, &o, in_folder("one.gguf"), err));
        pippin_model *low = open_model("one.gguf");
        OK(pippin_model_save_gguf(low, &o, in_folder("other.gguf"), err));
        assert_same_files(folder, "one.gguf", "other.gguf");
        o = calibrated(types[t], 2);
        OK(pippin_model_save_gguf(low, &o, in_folder("other.gguf"), err));
        assert_same_files(folder, "one.gguf", "other.gguf");
        pippin_model_free(low);
    }
    pippin_model_free(m);
}

static void types_land_where_asked(void **state)
{
    (void)state;
    const pippin_tensor_type wanted[] = {{"blk.1.ffn_down.weight", PIPPIN_F32},
                                         {"blk.*.ffn_down.weight", PIPPIN_Q4},
                                         {"blk.?.attn_v.*", PIPPIN_Q8},
                                         {"token_embd.weight", PIPPIN_BF16}};
    const pippin_config c = small_afm();
    pippin_model *m = random_model(&c);
    for (int text_too = 0; text_too < 2; text_too++) {
        pippin_save_options o = text_too ? calibrated(PIPPIN_Q2, 2) : (pippin_save_options){.type = PIPPIN_Q2};
        o.tensor_types = wanted;
        o.n_tensor_type = 4;
        OK(pippin_model_save_gguf(m, &o, in_folder("one.gguf"), err));
        pippin_model *low = open_model("one.gguf");
        pippin_tensor_info t;
        for (size_t i = 0; pippin_model_tensor(low, i, &t); i++) {
            if (t.n_dim != 2) continue;
            const bool down = strstr(t.name, "ffn_down"), value = strstr(t.name, "attn_v.");
            const pippin_type type = strcmp(t.name, wanted[0].pattern) == 0 ? PIPPIN_F32
                                     : down                                 ? PIPPIN_Q4
                                     : value                                ? PIPPIN_Q8
                                     : strcmp(t.name, "token_embd.weight")  ? PIPPIN_Q2
                                                                            : PIPPIN_BF16;
            if (t.type != type)
                fail_msg("%s: %s, expected %s", t.name, pippin_type_name(t.type), pippin_type_name(type));
        }
        test_free(logits_of(low)); /* it runs */
        pippin_model_free(low);
    }
    pippin_model_free(m);
}

typedef struct patience {
    int calls, last;
} patience;

static int stop(void *user, uint64_t done, uint64_t total)
{
    patience *p = user;
    assert_true(done <= total);
    return ++p->calls == p->last;
}

static void refusals_and_cancels_leave_nothing(void **state)
{
    (void)state;
    static const int32_t wild[] = {5, N_VOCAB};
    const pippin_tensor_type none[] = {{"blk.*", PIPPIN_Q4}, {"blk.*.ffn_donw.*", PIPPIN_Q4}};
    const pippin_config c = small_afm();
    pippin_model *m = random_model(&c);
    pippin_error e;
    const char *path = in_folder("never.gguf");
    pippin_save_options o = {.calibrate = wild, .n_calibrate = 2};
    assert_int_equal(pippin_model_save_gguf(m, &o, path, &e), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(e.text, "token 1 has id 301"));
    o = (pippin_save_options){.n_calibrate = 2};
    assert_int_equal(pippin_model_save_gguf(m, &o, path, &e), PIPPIN_E_ARGUMENT);
    o = (pippin_save_options){.tensor_types = none, .n_tensor_type = 2};
    assert_int_equal(pippin_model_save_gguf(m, &o, path, &e), PIPPIN_E_ARGUMENT);
    assert_non_null(strstr(e.text, "ffn_donw"));
    patience p = {0, -1};
    o = calibrated(PIPPIN_Q4, 2);
    o.progress = stop;
    o.user = &p;
    OK(pippin_model_save_gguf(m, &o, in_folder("one.gguf"), err));
    const int n = p.calls;
    assert_true(n > 50);
    for (int last = 1; last <= n; last += 7) {
        p = (patience){0, last};
        assert_int_equal(pippin_model_save_gguf(m, &o, path, &e), PIPPIN_E_CANCELLED);
        assert_int_equal(p.calls, last); /* and nobody asks again */
    }
    assert_false(pp_path_exists(path));
    pp_names left;
    OK(pp_dir_list(folder, &left, err));
    for (size_t i = 0; i < left.n; i++) assert_null(strstr(left.items[i], ".tmp-"));
    pp_names_free(&left);
    pippin_model_free(m);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_choose_the_scale),
                                       cmocka_unit_test(moments_are_sums),
                                       cmocka_unit_test(rounding_minds_the_text),
                                       cmocka_unit_test(ranges_follow),
                                       cmocka_unit_test(names_match),
                                       cmocka_unit_test(models_come_nearer),
                                       cmocka_unit_test(sequences_stand_alone),
                                       cmocka_unit_test(scales_are_observed),
                                       cmocka_unit_test(what_has_the_type_stays),
                                       cmocka_unit_test(types_land_where_asked),
                                       cmocka_unit_test(refusals_and_cancels_leave_nothing)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(in_folder("one.gguf"));
    unlink(in_folder("other.gguf"));
    rmdir(folder);
    return failed;
}
