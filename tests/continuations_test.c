/*
 * continuations_test.c - what a teacher writes for its draft to learn: several texts at once, each as it would be alone, with the
 * end that it came to, which is learned too: of a turn in a conversation, of the text elsewhere.
 */
#define _DEFAULT_SOURCE
#include "tests/byte_tokenizer.h"
#include "tests/training.h"
#include "train/data.h"

enum { EOS = 257, TURN_END = 259, N_VOCAB = 263, MOST = 12, N_SAMPLE = 19 };

static const char *const pieces[] = {
    "<pad>", "<eos>", "<turn_start>", "<turn_end>", "<n>", "<executable_start>", "<executable_end>", NULL};
static const pippin_logit_bias bias[] = {{EOS, 2.5f}, {TURN_END, 2.5f}}; /* ends come soon */

static char place[] = "/tmp/pippin-continuations-XXXXXX", data_path[64], tokenizer_path[64], config_path[64],
            output[64];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Conversations, and a text every third time; more than are written at once, and no multiple of that. */
static void write_samples(void)
{
    FILE *file = fopen(data_path, "w");
    assert_non_null(file);
    for (int i = 0; i < N_SAMPLE; i++)
        if (i % 3 == 2)
            fprintf(file, "{\"text\": \"%.*s\"}\n", 2 + i, "A story of an apple, a pear and a plum.");
        else
            fprintf(file,
                    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": "
                    "\"%.*s\"}, {\"role\": \"assistant\", \"content\": \"Yes.\"}]}\n",
                    1 + i, "Is it an apple? Or a pear, or a plum?");
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(place)) return -1;
    snprintf(data_path, sizeof data_path, "%s/data.jsonl", place);
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/tokenizer.json", place);
    snprintf(config_path, sizeof config_path, "%s/tokenizer_config.json", place);
    snprintf(output, sizeof output, "%s/run", place);
    char *tokenizer = byte_tokenizer(pieces, true);
    write_file(tokenizer_path, tokenizer);
    free(tokenizer);
    write_file(config_path, "{\"eos_token\": \"<eos>\"}");
    write_samples();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(output);
    remove_folder(place);
    return 0;
}

static pippin_model *random_model(uint64_t seed)
{
    pippin_config c = tiny_afm();
    pippin_model *m;
    c.n_vocab = N_VOCAB;
    c.bos_id = c.eos_id = -1;
    OK(pippin_model_random(&c, PIPPIN_F32, seed, &(pippin_model_options){.tokenizer = tokenizer_path}, &m, err));
    assert_int_equal(pippin_tokenizer_template(pippin_model_tokenizer(m)), PIPPIN_TEMPLATE_AFM);
    return m;
}

/* seed 0: the likeliest tokens */
static pippin_train_options options_of(uint64_t seed)
{
    return (pippin_train_options){.data = data_path,
                                  .output = output,
                                  .max_length = 80,
                                  .max_steps = 1,
                                  .continuations = MOST,
                                  .sampling = {.temperature = seed ? 1 : 0, .seed = seed, .bias = bias, .n_bias = 2},
                                  .n_threads = 1};
}

static pp_dataset load(const pippin_model *m, const char *path)
{
    pp_dataset d;
    pp_dataset_options o = pp_dataset_defaults(pippin_model_config(m), pippin_model_tokenizer(m));
    o.max_length = 80;
    OK(pp_dataset_load(path, pippin_model_tokenizer(m), N_VOCAB, &o, &d, err));
    return d;
}

/* What stands before a sample's first target; of a text, whose first token alone is none, half. */
static size_t prompt_of(const pp_dataset *d, size_t i)
{
    size_t n = 0;
    while (!d->labelled[d->start[i] + n]) n++;
    return n > 1 ? n : (d->start[i + 1] - d->start[i]) / 2;
}

typedef struct ends {
    int turn, text, none;
} ends;

/* The line of a sample whose teacher writes alone; nothing stops it, so that its end is found here. */
static void expect_line(FILE *file, pippin_session *s, const pp_dataset *d, size_t i, const pippin_sampling *sampling,
                        ends *n_end)
{
    const size_t n_prompt = prompt_of(d, i);
    const int32_t *prompt = d->tokens + d->start[i], no_stop = -1;
    int32_t ids[MOST];
    const pippin_generate_options o = {.max_tokens = MOST, .sampling = *sampling, .stop_ids = &no_stop};
    OK(pippin_generate(s, prompt, n_prompt, &o, ids, MOST, NULL, err));
    size_t n = 0;
    while (n < MOST && ids[n] != EOS && ids[n] != TURN_END) n++;
    if (n == MOST)
        n_end->none++;
    else if (ids[n++] == EOS)
        n_end->text++;
    else
        n_end->turn++;
    for (size_t k = 0; k < n_prompt; k++) fprintf(file, "%s%d", k ? "," : "{\"tokens\":[", (int)prompt[k]);
    for (size_t k = 0; k < n; k++) fprintf(file, ",%d", (int)ids[k]);
    for (size_t k = 0; k < n_prompt + n; k++) fprintf(file, "%s%d", k ? "," : "],\"loss_mask\":[", k >= n_prompt);
    fprintf(file, "]}\n");
}

static void test_each_as_alone(void **state)
{
    (void)state;
    pippin_model *teacher = random_model(1), *draft = random_model(2);
    pippin_session *s;
    OK(pippin_session_create(teacher, &(pippin_session_options){.n_ctx = 200, .n_threads = 1}, &s, err));
    pp_dataset d = load(teacher, data_path);
    assert_int_equal(d.n_sample, N_SAMPLE);
    ends n_end = {0};
    for (uint64_t seed = 0; seed < 10; seed++) {
        const pippin_train_options o = options_of(seed);
        pp_map got, wanted;
        remove_folder(output);
        OK(pippin_distill(draft, teacher, &o, NULL, err));
        const char *path = path_in(place, "wanted");
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        for (size_t i = 0; i < d.n_sample; i++) expect_line(file, s, &d, i, &o.sampling, &n_end);
        assert_int_equal(fclose(file), 0);
        OK(pp_map_open(path, &wanted, err));
        OK(pp_map_open(path_in(output, "continuations.jsonl"), &got, err));
        assert_int_equal(got.size, wanted.size);
        assert_memory_equal(got.data, wanted.data, wanted.size);
        pp_map_close(&got);
        pp_map_close(&wanted);
    }
    assert_true(n_end.turn > 9 && n_end.text > 9 && n_end.none > 9);
    pp_dataset_free(&d);
    pippin_session_free(s);
    pippin_model_free(draft);
    pippin_model_free(teacher);
}

/* In the last run of those above, as data has it: a conversation that came to its end is one whose last target is that. */
static void test_ends_are_learned(void **state)
{
    (void)state;
    pippin_model *m = random_model(1);
    pp_dataset data = load(m, data_path), written = load(m, path_in(output, "continuations.jsonl"));
    for (size_t i = 0; i < data.n_sample; i++)
        assert_int_equal(data.tokens[data.start[i + 1] - 1], i % 3 == 2 ? EOS : TURN_END);
    size_t n_end = 0;
    for (size_t i = 0; i < written.n_sample; i++) {
        const size_t last = written.start[i + 1] - 1;
        const bool ended = written.tokens[last] == EOS || written.tokens[last] == TURN_END;
        n_end += ended;
        assert_true(!ended || written.labelled[last]);
    }
    assert_true(n_end > 2);
    pp_dataset_free(&written);
    pp_dataset_free(&data);
    pippin_model_free(m);
}

/* ---- what is told ---- */

typedef struct told {
    uint64_t n_call, n_done;
} told;

static void note(void *user, uint64_t n_done, uint64_t n_sample)
{
    told *t = user;
    assert_int_equal(n_sample, N_SAMPLE);
    assert_true(t->n_call++ == 0 ? n_done == 0 : n_done > t->n_done && n_done <= n_sample);
    t->n_done = n_done;
}

static void test_progress(void **state)
{
    (void)state;
    told t = {0};
    pippin_model *teacher = random_model(1), *draft = random_model(2);
    pippin_train_options o = options_of(0);
    o.on_continued = note;
    o.user = &t;
    remove_folder(output);
    OK(pippin_distill(draft, teacher, &o, NULL, err));
    assert_int_equal(t.n_done, N_SAMPLE);
    assert_true(t.n_call > 2);
    t = (told){0};
    o.resume = true; /* what is written is not written again */
    OK(pippin_distill(draft, teacher, &o, NULL, err));
    assert_int_equal(t.n_call, 0);
    pippin_model_free(draft);
    pippin_model_free(teacher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_as_alone),
        cmocka_unit_test(test_ends_are_learned),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
