/*
 * train_files_test.c - what a run leaves in its folder. Checkpoints: killed or refused at every call to the file system while
 * one is saved, damaged at every byte, made for other shapes - there is always a complete one or an error. Metrics: torn
 * lines, rows of steps that a resumed run makes again. The plot and the learning rate.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support.h"
#include "train/files.h"

/* ---- the file system, of which the n-th call fails or ends the process ---- */

static int countdown; /* calls until it happens; 0: never */
static bool kills;
static char calls[200]; /* their first letters */

static bool happens(char letter)
{
    const size_t n = strlen(calls);
    if (n < sizeof calls - 1) calls[n] = letter;
    return countdown > 0 && --countdown == 0;
}

static int refuse(void)
{
    if (kills) raise(SIGKILL);
    errno = ENOSPC;
    return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

FILE *fopen(const char *path, const char *mode)
{
    if (mode[0] == 'w' && happens('o')) return refuse() ? NULL : NULL;
    return REAL(fopen)(path, mode);
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
    if (file == stdout || file == stderr || !happens('w')) return REAL(fwrite)(data, size, n, file);
    REAL(fwrite)(data, 1, size * n / 2, file); /* a part of it gets there */
    fflush(file);
    refuse();
    return 0;
}

int fsync(int fd) { return happens('s') ? refuse() : REAL(fsync)(fd); }
int rename(const char *from, const char *to) { return happens('r') ? refuse() : REAL(rename)(from, to); }
int unlink(const char *path) { return happens('u') ? refuse() : REAL(unlink)(path); }

/* ---- a state and its folder ---- */

enum { N_F32 = 37, N_U8 = 5, SEEDS = 3 };

typedef struct values {
    float weights[N_F32];
    double moment[N_F32];
    int64_t counters[3];
    uint8_t flags[N_U8];
} values;

static char folder[] = "/tmp/pippin-train-XXXXXX";

static values made(int64_t step)
{
    values v;
    memset(&v, 0, sizeof v);
    for (int i = 0; i < N_F32; i++) {
        v.weights[i] = (float)pp_random_unit(1, (uint64_t)step, (uint64_t)i);
        v.moment[i] = pp_random_unit(2, (uint64_t)step, (uint64_t)i);
    }
    for (int i = 0; i < N_U8; i++) v.flags[i] = (uint8_t)(250 + i);
    v.counters[1] = -step;
    return v;
}

/* In an order of their own, so that the wide ones would lie unaligned behind the narrow ones. */
static const pp_array *arrays_of(values *v)
{
    static pp_array arrays[4];
    arrays[0] = (pp_array){"flags", PP_ARRAY_U8, N_U8, v->flags};
    arrays[1] = (pp_array){"weights \"w\"", PP_ARRAY_F32, N_F32, v->weights};
    arrays[2] = (pp_array){"moment", PP_ARRAY_F64, N_F32, v->moment};
    arrays[3] = (pp_array){"counters", PP_ARRAY_I64, 3, v->counters};
    return arrays;
}

static pippin_status save(int64_t step, pippin_error *err)
{
    values v = made(step);
    const pp_entry texts[] = {{"options", "{\"rank\": 4}"}, {"data", "caf\xc3\xa9"}};
    return pp_checkpoint_save(folder, &(pp_state){step, arrays_of(&v), 4, texts, 2}, err);
}

/* Loads, and wants what was saved at the step that it gives. */
static int64_t load(void)
{
    values v, expected;
    memset(&v, 0, sizeof v);
    pp_checkpoint c;
    OK(pp_checkpoint_load(folder, &(pp_state){.arrays = arrays_of(&v), .n_array = 4}, &c, err));
    const int64_t step = c.step;
    if (step >= 0) {
        expected = made(step);
        assert_memory_equal(&v, &expected, sizeof v);
        assert_string_equal(pp_checkpoint_text(&c, "options"), "{\"rank\": 4}");
        assert_string_equal(pp_checkpoint_text(&c, "data"), "caf\xc3\xa9");
        assert_null(pp_checkpoint_text(&c, "nothing"));
    }
    pp_checkpoint_free(&c);
    return step;
}

static void empty_folder(void)
{
    pp_names names;
    char path[300];
    OK(pp_dir_list(folder, &names, err));
    for (size_t i = 0; i < names.n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names.items[i]);
        unlink(path);
    }
    pp_names_free(&names);
}

static void expect_names(const char *expected)
{
    pp_names names;
    char text[1000] = "";
    OK(pp_dir_list(folder, &names, err));
    for (size_t i = 0; i < names.n; i++) snprintf(text + strlen(text), 300, "%s%s", i ? " " : "", names.items[i]);
    pp_names_free(&names);
    assert_string_equal(text, expected);
}

static char said[2000];

static void listen(void *user, const char *line)
{
    (void)user;
    snprintf(said, sizeof said, "%s", line);
}

/* ---- checkpoints ---- */

static void test_generations(void **state)
{
    (void)state;
    int64_t step;
    empty_folder();
    assert_int_equal(load(), -1);
    OK(pp_checkpoint_find("/nonexistent/folder", &step, err));
    assert_int_equal(step, -1);
    for (int64_t s = 0; s <= 30; s += 10) {
        OK(save(s, err));
        assert_int_equal(load(), s);
        OK(pp_checkpoint_find(folder, &step, err));
        assert_int_equal(step, s);
    }
    expect_names("checkpoint-20.safetensors checkpoint-30.safetensors");
    /* A run that went back leaves nothing newer behind. */
    OK(save(25, err));
    expect_names("checkpoint-20.safetensors checkpoint-25.safetensors");
    /* Names that only look like ours. */
    static const char *const others[] = {"checkpoint-.safetensors", "checkpoint-007.safetensors",
                                         "checkpoint-9.safetensors.bak", "checkpoint-99999999999999999999.safetensors"};
    for (int i = 0; i < 4; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", folder, others[i]);
        FILE *f = fopen(path, "wb");
        fclose(f);
    }
    assert_int_equal(load(), 25);
    OK(save(26, err));
    pp_names names;
    OK(pp_dir_list(folder, &names, err));
    assert_int_equal(names.n, 6);
    pp_names_free(&names);
    pippin_error err = {0};
    assert_int_equal(save(-1, &err), PIPPIN_E_ARGUMENT);
}

/* The bytes reach the disk before the name does, and the name before the older one goes. */
static void test_call_order(void **state)
{
    (void)state;
    empty_folder();
    OK(save(1, err));
    OK(save(2, err));
    memset(calls, 0, sizeof calls);
    OK(save(3, err));
    const char *tail = strrchr(calls, 'w');
    assert_non_null(tail);
    assert_string_equal(tail, "wsrsu");
}

/* Two generations are there; what happens while the third is saved must leave the second or the third. */
static int interrupted_save(int n, bool kill_it)
{
    empty_folder();
    OK(save(1, err));
    OK(save(2, err));
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        kills = kill_it;
        countdown = n;
        pippin_error err;
        const pippin_status status = save(3, &err);
        const bool clean = pippin_memory_used().live_bytes == 0;
        _exit(!clean ? 9 : countdown > 0 ? 1 : status == PIPPIN_E_IO ? 2 : status == PIPPIN_OK ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const int64_t step = load();
    assert_true(step == 2 || step == 3);
    if (kill_it && WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        OK(save(4, err)); /* sweeps up behind the dead */
        assert_int_equal(load(), 4);
        expect_names(step == 3 ? "checkpoint-3.safetensors checkpoint-4.safetensors"
                               : "checkpoint-2.safetensors checkpoint-4.safetensors");
        return 2;
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_interrupted(void **state)
{
    (void)state;
    for (int kill_it = 0; kill_it < 2; kill_it++) {
        int n = 0, code;
        do {
            code = interrupted_save(++n, kill_it);
            /* A refused removal of the file aside is not worth an error; everything else is. */
            assert_true(code == 1 || code == 2);
            pp_names names;
            OK(pp_dir_list(folder, &names, err));
            for (size_t i = 0; i < names.n; i++) assert_null(strstr(names.items[i], ".tmp-"));
            pp_names_free(&names);
        } while (code != 1);
        print_message("%s at each of %d calls\n", kill_it ? "killed" : "refused", n - 1);
        assert_true(n > 8);
    }
}

/* The file of a process that is alive stays. */
static void test_leftovers(void **state)
{
    (void)state;
    char path[3][300];
    const long pids[] = {(long)getppid(), (long)getpid(), 99999999};
    empty_folder();
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s/x.tmp-%ld", folder, pids[i]);
        FILE *f = fopen(path[i], "wb");
        fclose(f);
    }
    OK(pp_writer_clean(folder, err));
    assert_true(pp_path_exists(path[0]) && !pp_path_exists(path[1]) && !pp_path_exists(path[2]));
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void test_damage(void **state)
{
    (void)state;
    char path[300], *copy;
    pp_map map;
    empty_folder();
    OK(save(1, err));
    OK(save(2, err));
    snprintf(path, sizeof path, "%s/checkpoint-2.safetensors", folder);
    OK(pp_map_open(path, &map, err));
    const size_t size = map.size;
    copy = test_malloc(size + 1);
    memcpy(copy, map.data, size);
    pp_map_close(&map);
    pippin_set_hooks(&(pippin_hooks){.log = listen});
    for (size_t i = 0; i < size; i++) {
        const char before = copy[i];
        copy[i] ^= (char)(1 << i % 8);
        write_bytes(path, copy, size);
        copy[i] = before;
        said[0] = 0;
        if (load() != 1) fail_msg("byte %zu damaged, and not seen", i);
        assert_non_null(strstr(said, "checkpoint-2.safetensors"));
        assert_non_null(strstr(said, "going back to step 1"));
    }
    /* Twice the highest bit of a word, words that one lane of the sum takes one after the other. */
    uint64_t header;
    memcpy(&header, copy, sizeof header);
    copy[8 + header + 7] ^= (char)0x80;
    copy[8 + header + 39] ^= (char)0x80;
    write_bytes(path, copy, size);
    assert_int_equal(load(), 1);
    copy[8 + header + 7] ^= (char)0x80;
    copy[8 + header + 39] ^= (char)0x80;
    for (size_t n = 0; n < size; n += n < 100 ? 1 : 37) {
        write_bytes(path, copy, n);
        assert_int_equal(load(), 1);
    }
    write_bytes(path, copy, size);
    assert_int_equal(load(), 2);
    /* Both damaged: nothing is invented. */
    char older[300];
    snprintf(older, sizeof older, "%s/checkpoint-1.safetensors", folder);
    write_bytes(path, copy, size - 1);
    write_bytes(older, copy, size); /* whole, but under another's name */
    values v = made(0), untouched = v;
    pp_checkpoint c;
    pippin_error err = {0};
    assert_int_equal(pp_checkpoint_load(folder, &(pp_state){.arrays = arrays_of(&v), .n_array = 4}, &c, &err),
                     PIPPIN_E_FORMAT);
    assert_non_null(strstr(err.text, "checkpoint-1.safetensors: is of step 2"));
    assert_memory_equal(&v, &untouched, sizeof v);
    pippin_set_hooks(&(pippin_hooks){0});
    test_free(copy);
}

static void refuse_shapes(const pp_array *arrays, size_t n, const char *expected)
{
    pp_checkpoint c;
    pippin_error err = {0};
    assert_int_equal(pp_checkpoint_load(folder, &(pp_state){.arrays = arrays, .n_array = n}, &c, &err),
                     PIPPIN_E_FORMAT);
    if (!strstr(err.text, expected)) fail_msg("expected \"%s\", found \"%s\"", expected, err.text);
    assert_non_null(strstr(err.text, "checkpoint-2.safetensors: "));
}

static void test_other_shapes(void **state)
{
    (void)state;
    empty_folder();
    OK(save(1, err));
    OK(save(2, err));
    values v = made(0);
    const values untouched = v;
    pp_array arrays[4];
    memcpy(arrays, arrays_of(&v), sizeof arrays);
    arrays[3].n = 2;
    refuse_shapes(arrays, 4, "counters: holds 3 i64, expected 2 i64");
    arrays[3].n = 3;
    arrays[3].type = PP_ARRAY_F64;
    refuse_shapes(arrays, 4, "counters: holds 3 i64, expected 3 f64");
    arrays[3] = (pp_array){"other", PP_ARRAY_I64, 3, v.counters};
    refuse_shapes(arrays, 4, "has no other, expected 3 i64");
    refuse_shapes(arrays, 3, "counters: is not known to this run, expected 3 arrays");
    assert_memory_equal(&v, &untouched, sizeof v);
}

/* ---- metrics ---- */

static pp_metric row_of(int64_t step)
{
    return (pp_metric){.step = step,
                       .loss = 13.240943549708078 / (double)step,
                       .grad_norm = 1.0 / 3,
                       .lr = 1e-3,
                       .tokens = 40 * step,
                       .tokens_per_second = 0.1};
}

static void put_rows(int64_t after, int64_t from, int64_t to)
{
    pp_metrics m;
    OK(pp_metrics_open(folder, after, &m, err));
    for (int64_t s = from; s <= to; s++) {
        const pp_metric row = row_of(s), eval = {.step = s, .is_eval = true, .eval_loss = 2.5};
        OK(pp_metrics_put(&m, &row, err));
        if (s % 2 == 0) OK(pp_metrics_put(&m, &eval, err));
    }
    pp_metrics_close(&m);
}

static void expect_rows(int64_t last)
{
    pp_metric *rows;
    size_t n, i = 0;
    OK(pp_metrics_read(folder, &rows, &n, err));
    for (int64_t s = 1; s <= last; s++) {
        const pp_metric expected = row_of(s);
        assert_true(i < n && !rows[i].is_eval && rows[i].step == s && rows[i].loss == expected.loss);
        assert_true(rows[i].grad_norm == expected.grad_norm && rows[i].lr == expected.lr);
        assert_true(rows[i].tokens == expected.tokens && rows[i].tokens_per_second == expected.tokens_per_second);
        i++;
        if (s % 2) continue;
        assert_true(i < n && rows[i].is_eval && rows[i].step == s && rows[i].eval_loss == 2.5);
        i++;
    }
    assert_int_equal(i, n);
    pp_free(rows);
}

static void test_metrics(void **state)
{
    (void)state;
    char path[300];
    pp_map map;
    empty_folder();
    expect_rows(0);
    put_rows(-1, 1, 1);
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    OK(pp_map_open(path, &map, err));
    static const char line[] =
        "{\"step\":1,\"loss\":13.240943549708078,\"grad_norm\":0.3333333333333333,\"lr\":0.001,\"tokens\":40,"
        "\"tokens_per_second\":0.1}\n";
    assert_int_equal(map.size, sizeof line - 1);
    assert_memory_equal(map.data, line, map.size);
    pp_map_close(&map);
    put_rows(1, 2, 6);
    expect_rows(6);
    put_rows(4, 5, 9); /* resumed from step 4 */
    expect_rows(9);
    put_rows(-1, 1, 3); /* begun anew */
    expect_rows(3);
    /* Torn at any byte of the last line, the run goes on as if it had not been written; whole but for its end, as if it had. */
    OK(pp_map_open(path, &map, err));
    const size_t size = map.size;
    char *copy = test_malloc(size);
    memcpy(copy, map.data, size);
    pp_map_close(&map);
    size_t last = size - 1;
    while (copy[last - 1] != '\n') last--;
    for (size_t n = last; n <= size; n++) {
        write_bytes(path, copy, n);
        put_rows(3, n >= size - 1 ? 4 : 3, 5);
        expect_rows(5);
    }
    test_free(copy);
}

static void test_numbers(void **state)
{
    (void)state;
    enum { N = 300 };
    double numbers[N] = {0, -0.0, 1, 1e300, -1e-300, 5e-324, 0.1, 1.0 / 3, 1e22, 123456789012345680.0, NAN, INFINITY};
    for (size_t i = 12; i < N; i++) {
        const uint64_t bits = pp_random_bits(5, 5, i);
        memcpy(&numbers[i], &bits, sizeof bits);
    }
    pp_metrics m;
    pp_metric *rows;
    size_t n;
    empty_folder();
    OK(pp_metrics_open(folder, -1, &m, err));
    for (size_t i = 0; i < N; i++) {
        const pp_metric row = {.step = (int64_t)i, .is_eval = true, .eval_loss = numbers[i]};
        OK(pp_metrics_put(&m, &row, err));
    }
    pp_metrics_close(&m);
    OK(pp_metrics_read(folder, &rows, &n, err));
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++) {
        if (isfinite(numbers[i]))
            assert_true(rows[i].eval_loss == numbers[i]);
        else
            assert_true(isnan(rows[i].eval_loss));
    }
    pp_free(rows);
}

/* ---- the plot ---- */

/* Every bracket closed, no number that is none, and small. */
static void check_plot(const pp_metric *rows, size_t n, const char *expected)
{
    char path[300];
    pp_map map;
    OK(pp_plot_write(folder, "a <b> & \"c\"", rows, n, err));
    snprintf(path, sizeof path, "%s/loss.svg", folder);
    OK(pp_map_open(path, &map, err));
    char *text = test_malloc(map.size + 1);
    memcpy(text, map.data, map.size);
    text[map.size] = 0;
    assert_true(map.size < 60000);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_null(strstr(text, "script"));
    assert_non_null(strstr(text, "a &#60;b&#62; &#38; \"c\""));
    if (!strstr(text, expected)) fail_msg("found no \"%s\"", expected);
    int depth = 0;
    for (const char *c = text; *c; c++) {
        depth += (*c == '<') - (*c == '>');
        assert_true(depth == 0 || depth == 1);
    }
    assert_int_equal(depth, 0);
    assert_non_null(strstr(text, "</svg>"));
    test_free(text);
    pp_map_close(&map);
}

static void test_plot(void **state)
{
    (void)state;
    enum { N = 100000 };
    pp_metric *rows = test_calloc(N, sizeof *rows);
    empty_folder();
    check_plot(NULL, 0, "no steps yet");
    for (size_t i = 0; i < N; i++) {
        const double x = (double)i / N, noise = pp_random_unit(1, 1, i);
        rows[i] = (pp_metric){.step = (int64_t)i + 1, .loss = 2 + 9 * exp(-50 * x) + noise, .lr = 1e-3 * (1 - x)};
        if (i % 50 == 49) rows[i] = (pp_metric){.step = (int64_t)i, .is_eval = true, .eval_loss = 3 + noise};
    }
    check_plot(rows, N, ">80k</text>");
    check_plot(rows, 1, ">train 1"); /* one point alone */
    check_plot(rows, 40, ">40</text>");
    check_plot(rows, N, "logarithmic");
    for (size_t i = 0; i < 100; i++) rows[i].loss = i % 3 ? 5 : NAN;
    check_plot(rows, 100, ">train 5</text>");
    for (size_t i = 0; i < 100; i++)
        rows[i] = (pp_metric){.step = (int64_t)i, .loss = i % 2 ? 1e300 : -1e300, .lr = INFINITY};
    check_plot(rows, 100, "train");
    for (size_t i = 0; i < 100; i++) rows[i] = (pp_metric){.step = 7, .loss = 0, .lr = 1e-12};
    check_plot(rows, 100, ">train 0</text>");
    for (size_t i = 0; i < 100; i++)
        rows[i] = (pp_metric){.step = (int64_t)i, .loss = pow(10, -5.5 * (double)i / 99), .lr = 5e-6};
    check_plot(rows, 100, ">1e-05</text>");
    test_free(rows);
}

/* ---- the learning rate ---- */

static void near(double found, double expected) { assert_true(fabs(found - expected) < 1e-12); }

static void test_schedule(void **state)
{
    (void)state;
    const pp_schedule cosine = {PP_SCHEDULE_COSINE, 4, 12};
    static const double expected[] = {0, 0.25, 0.5, 0.75, 1};
    for (int i = 0; i < 5; i++) near(pp_schedule_at(&cosine, i), expected[i]);
    near(pp_schedule_at(&cosine, 6), 0.5 * (1 + sqrt(0.5)));
    near(pp_schedule_at(&cosine, 8), 0.5);
    near(pp_schedule_at(&cosine, 10), 0.5 * (1 - sqrt(0.5)));
    near(pp_schedule_at(&cosine, 12), 0);
    near(pp_schedule_at(&cosine, 100), 0);
    const pp_schedule constant = {PP_SCHEDULE_CONSTANT, 0, 12}, warm = {PP_SCHEDULE_CONSTANT, 2, 12};
    near(pp_schedule_at(&constant, 0), 1); /* the full rate from the first step */
    near(pp_schedule_at(&warm, 0), 0);
    near(pp_schedule_at(&warm, 1), 0.5);
    near(pp_schedule_at(&warm, 50), 1);
    const pp_schedule no_warmup = {PP_SCHEDULE_COSINE, 0, 2}, only_warmup = {PP_SCHEDULE_COSINE, 4, 4};
    near(pp_schedule_at(&no_warmup, 0), 1);
    near(pp_schedule_at(&no_warmup, 1), 0.5);
    near(pp_schedule_at(&only_warmup, 3), 0.75);
    near(pp_schedule_at(&only_warmup, 4), 0);
    const int64_t steps[] = {10, 7, 9};
    static const struct {
        double epochs;
        int64_t steps;
    } cases[] = {{0, 0}, {-1, 0}, {0.5, 5}, {1, 10}, {1.5, 14}, {2, 17}, {3, 26}, {9, 26}};
    for (size_t i = 0; i < 8; i++) assert_int_equal(pp_schedule_epochs(cases[i].epochs, steps, 3), cases[i].steps);
}

static void test_no_leak(void **state)
{
    (void)state;
    assert_true(pippin_memory_used().live_bytes == 0);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generations), cmocka_unit_test(test_call_order), cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_leftovers),   cmocka_unit_test(test_damage),     cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_metrics),     cmocka_unit_test(test_numbers),    cmocka_unit_test(test_plot),
        cmocka_unit_test(test_schedule),    cmocka_unit_test(test_no_leak)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    empty_folder();
    rmdir(folder);
    return failed;
}
