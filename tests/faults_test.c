/*
 * faults_test.c - the n-th allocation fails, for every n: of opening each kind of model, of adapters, of sessions, of
 * evaluating, scoring, generating and saving; once, and from then on. Each time there is an error or success, nothing
 * leaks, and the same call works afterwards. Those of the libraries underneath are counted for leaks only where they come
 * here: hidden symbols keep Jansson's away, and have to, as version 2.14 runs past its buffer when one of them fails.
 */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <unistd.h>

#include "pippin_train.h"
#include "tests/support.h"
#include "train/data.h"
#include "train/files.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
int main(void)
{
    puts("SKIPPED faults_test: malloc cannot be replaced under this sanitizer or libc");
    return 0;
}
#else

/* In place of the system's: nothing here is about power cuts, and thousands of files are written. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *block);

static atomic_long live;                 /* blocks that exist */
static atomic_long countdown;            /* allocations until one fails; 0 or less: none will */
static atomic_bool persistent, happened; /* all after it fail too; it has failed */

static bool fails(void)
{
    if (atomic_load(&countdown) <= 0) return false;
    if (atomic_fetch_sub(&countdown, 1) > 1) return false;
    atomic_store(&happened, true);
    if (atomic_load(&persistent)) atomic_store(&countdown, 1);
    return true;
}

static void *counted(void *block)
{
    if (block) atomic_fetch_add(&live, 1);
    return block;
}

void *malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : counted(__libc_calloc(n, size)); }
void *aligned_alloc(size_t align, size_t size) { return fails() ? NULL : counted(__libc_memalign(align, size)); }

void *realloc(void *block, size_t size)
{
    if (!block) return malloc(size);
    return fails() ? NULL : __libc_realloc(block, size);
}

void free(void *block)
{
    if (block) atomic_fetch_sub(&live, 1);
    __libc_free(block);
}

/* ---- the operations ---- */

static char corpus[4096], folder[64];
static pippin_error failure; /* the last one */

static const char *in_corpus(const char *name) { return path_in(corpus, name); }

/* Opens a model and uses it in every way; gives back the first error. */
static pippin_status use_model(const char *path, const char *tokenizer, const char *adapter_path)
{
    pippin_model_options options = {.tokenizer = tokenizer};
    pippin_model *model;
    pippin_adapter *adapter = NULL;
    pippin_session *session = NULL;
    failure = (pippin_error){0};
    int32_t ids[16] = {1, 2, 3};
    size_t n = 3;
    pippin_status status = pippin_model_open(path, &options, &model, &failure);
    if (status != PIPPIN_OK) return status;
    if (adapter_path) status = pippin_adapter_open(adapter_path, model, &adapter, &failure);
    if (status == PIPPIN_OK)
        status =
            pippin_session_create(model, &(pippin_session_options){.n_ctx = 32, .n_threads = 2}, &session, &failure);
    if (status == PIPPIN_OK && adapter)
        status = pippin_session_set_adapters(session, &(pippin_adapter_use){adapter, 1}, 1, &failure);
    if (status == PIPPIN_OK && tokenizer)
        status = pippin_tokenize(pippin_model_tokenizer(model), "a b ab", 6, NULL, ids, 16, &n, &failure);
    if (status == PIPPIN_OK)
        status = pippin_generate(session, ids, n, &(pippin_generate_options){.max_tokens = 3}, NULL, 0, NULL, &failure);
    pippin_score score = {.tokens = ids, .n_tok = n, .reference = true};
    char npy[100];
    snprintf(npy, sizeof npy, "%s/logits.npy", folder);
    if (status == PIPPIN_OK) status = pippin_session_score_npy(session, &score, npy, &failure);
    pippin_session_free(session);
    pippin_adapter_free(adapter);
    pippin_model_free(model);
    return status;
}

/* A draft in fewer bits than its file has, that guesses for the same model as it is. */
static pippin_status use_draft(void)
{
    const char *path = in_corpus("llama2c/tied.bin"), *tokenizer = in_corpus("tokenizer/tok.bin");
    const int32_t prompt[] = {1, 2, 3, 1, 2, 3, 1};
    const pippin_session_options o = {.n_ctx = 32, .n_threads = 2};
    pippin_model *model = NULL, *small = NULL;
    pippin_session *session = NULL, *draft = NULL;
    pippin_status status = pippin_model_open(path, &(pippin_model_options){.tokenizer = tokenizer}, &model, &failure);
    if (status == PIPPIN_OK)
        status = pippin_model_open(path, &(pippin_model_options){.tokenizer = tokenizer, .type = PIPPIN_Q8}, &small,
                                   &failure);
    if (status == PIPPIN_OK) status = pippin_session_create(model, &o, &session, &failure);
    if (status == PIPPIN_OK) status = pippin_session_create(small, &o, &draft, &failure);
    if (status == PIPPIN_OK)
        status =
            pippin_generate(session, prompt, 7,
                            &(pippin_generate_options){
                                .max_tokens = 9, .stop_ids = prompt, .draft = draft, .lookup = true, .draft_tokens = 3},
                            NULL, 0, NULL, &failure);
    pippin_session_free(session);
    pippin_session_free(draft);
    pippin_model_free(model);
    pippin_model_free(small);
    return status;
}

static pippin_status use_toolkit(void)
{
    return use_model(in_corpus("torch/afm-adapter.pt"), NULL, in_corpus("torch/adapter.pt"));
}
static pippin_status use_llama2c(void)
{
    return use_model(in_corpus("llama2c/tied.bin"), in_corpus("tokenizer/tok.bin"), NULL);
}
static pippin_status use_json(void)
{
    return use_model(in_corpus("llama2c/tied.bin"), in_corpus("tokenizer_json/bytes.json"), NULL);
}
static pippin_status use_sentencepiece(void)
{
    return use_model(in_corpus("llama2c/tied.bin"), in_corpus("sentencepiece/bpe.model"), NULL);
}

static pippin_status use_tokenizer(const char *path)
{
    pippin_tokenizer *t;
    int32_t ids[16];
    size_t n;
    pippin_status status = pippin_tokenizer_open(path, &t, &failure);
    if (status != PIPPIN_OK) return status;
    /* A mark to be composed, so that no step is left out. */
    status = pippin_tokenize(t, "a b abe\xcc\x81", 9, NULL, ids, 16, &n, &failure);
    pippin_tokenizer_free(t);
    return status;
}

static pippin_status use_tokenizers(void)
{
    static const char *const names[] = {"sentencepiece/unigram.model", "tokenizer_json/splits.json",
                                        "tokenizer_json/metaspace.json", "gguf/merges.gguf", "gguf/pieces.gguf"};
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < 5 && status == PIPPIN_OK; i++) status = use_tokenizer(in_corpus(names[i]));
    return status;
}

static pippin_status use_messages(void)
{
    static const char messages[] =
        "[{\"role\":\"system\",\"content\":\"a\",\"tools\":[{\"name\":\"f\"}]},{\"role\":\"user\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"b\\na\"}]},{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]}]";
    pippin_tokenizer *t;
    pippin_prompt *p = NULL;
    pippin_status status = pippin_tokenizer_open(in_corpus("sentencepiece/turns.model"), &t, &failure);
    if (status != PIPPIN_OK) return status;
    const pippin_prompt_options options = {.complete = true, .tools = "[{\"name\":\"g\"}]", .n_tools = 14};
    status = pippin_prompt_create(t, messages, strlen(messages), &options, &p, &failure);
    pippin_prompt_free(p);
    pippin_tokenizer_free(t);
    return status;
}

static pippin_status use_gguf(void) { return use_model(in_corpus("gguf/qwen2-Q4_0.gguf"), NULL, NULL); }
static pippin_status use_folder(void) { return use_model(folder, NULL, in_corpus("safetensors/adapter.safetensors")); }

/* A model with this tokenizer into a GGUF, and back. */
static pippin_status convert_with(const char *tokenizer)
{
    pippin_model *model;
    char gguf[100];
    snprintf(gguf, sizeof gguf, "%s/model.gguf", folder);
    const pippin_model_options options = {.tokenizer = tokenizer};
    pippin_status status = pippin_model_open(in_corpus("llama2c/tied.bin"), &options, &model, NULL);
    if (status != PIPPIN_OK) return status;
    status = pippin_model_save_gguf(model, &(pippin_save_options){.type = PIPPIN_F16}, gguf, NULL);
    pippin_model_free(model);
    if (status == PIPPIN_OK) status = pippin_model_open(gguf, NULL, &model, NULL);
    if (status == PIPPIN_OK) pippin_model_free(model);
    return status;
}

static pippin_status convert(void)
{
    static const char *const names[] = {"tokenizer/tok.bin", "tokenizer_json/bytes.json", "sentencepiece/bpe.model",
                                        "gguf/pieces.gguf"};
    pippin_status status = PIPPIN_OK;
    for (size_t i = 0; i < 4 && status == PIPPIN_OK; i++) status = convert_with(in_corpus(names[i]));
    return status;
}

/* A model in four bits by a text, scales of K and V with it. */
static pippin_status quantize(void)
{
    static const int32_t text[] = {5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2};
    const pippin_tensor_type wide = {"blk.0.*", PIPPIN_Q8};
    pippin_config c;
    pippin_model *model;
    char gguf[100];
    pippin_status status = pippin_config_load(in_corpus("config/afm.json"), &c, NULL);
    if (status == PIPPIN_OK) status = pippin_model_random(&c, PIPPIN_BF16, 1, NULL, &model, NULL);
    if (status != PIPPIN_OK) return status;
    snprintf(gguf, sizeof gguf, "%s/model.gguf", folder);
    const pippin_save_options options = {.type = PIPPIN_Q4,
                                         .tensor_types = &wide,
                                         .n_tensor_type = 1,
                                         .calibrate = text,
                                         .n_calibrate = 12,
                                         .n_threads = 2};
    status = pippin_model_save_gguf(model, &options, gguf, NULL);
    pippin_model_free(model);
    return status;
}

static pippin_status make_and_save(void)
{
    pippin_config c;
    pippin_model *model;
    pippin_status status = pippin_config_load(in_corpus("config/afm.json"), &c, NULL);
    if (status == PIPPIN_OK) status = pippin_model_random(&c, PIPPIN_BF16, 1, NULL, &model, NULL);
    if (status != PIPPIN_OK) return status;
    status = pippin_model_save(model, folder, NULL);
    char gguf[100];
    snprintf(gguf, sizeof gguf, "%s/model.gguf", folder);
    if (status == PIPPIN_OK)
        status = pippin_model_save_gguf(model, &(pippin_save_options){.type = PIPPIN_F16}, gguf, NULL);
    pippin_model_free(model);
    return status;
}

static pippin_status use_data(const char *path, const pippin_tokenizer *t)
{
    const pp_dataset_options o = {.first_id = 1, .last_id = 2, .pad_id = -1, .chunk = 20};
    pp_dataset d;
    pp_plan plan;
    pp_batch batch;
    pippin_status status = pp_dataset_load(path, t, 265, &o, &d, &failure);
    if (status != PIPPIN_OK) return status;
    status = pp_plan_create(&d, &(pp_plan_options){.batch_size = 2}, &plan, &failure);
    if (status == PIPPIN_OK) {
        status = pp_batch_create(&plan, &batch, &failure);
        if (status == PIPPIN_OK) pp_batch_free(&batch);
        pp_plan_free(&plan);
    }
    pp_dataset_free(&d);
    return status;
}

static pippin_status use_training_data(void)
{
    pippin_tokenizer *t;
    pippin_status status = pippin_tokenizer_open(in_corpus("tokenizer/tok.bin"), &t, NULL);
    if (status != PIPPIN_OK) return status;
    char lines[100];
    snprintf(lines, sizeof lines, "%s/lines.jsonl", folder);
    status = use_data(in_corpus("training/stream.txt"), t);
    if (status == PIPPIN_OK) status = use_data(lines, t);
    pippin_tokenizer_free(t);
    return status;
}

/* A run's folder: a checkpoint saved and loaded, a metric written and plotted. */
static pippin_status use_run(void)
{
    float weights[3] = {1, 2, 3};
    uint8_t flags[1] = {7};
    const pp_array arrays[] = {{"flags", PP_ARRAY_U8, 1, flags}, {"weights", PP_ARRAY_F32, 3, weights}};
    const pp_entry text = {"options", "x"};
    pp_checkpoint c;
    pp_metrics m = {0};
    pp_metric *rows = NULL;
    size_t n = 0;
    pippin_status status = pp_checkpoint_save(folder, &(pp_state){1, arrays, 2, &text, 1}, &failure);
    if (status == PIPPIN_OK) {
        status = pp_checkpoint_load(folder, &(pp_state){0, arrays, 2, NULL, 0}, &c, &failure);
        if (status == PIPPIN_OK) pp_checkpoint_free(&c);
    }
    if (status == PIPPIN_OK) status = pp_metrics_open(folder, 0, &m, &failure);
    if (status == PIPPIN_OK) status = pp_metrics_put(&m, &(pp_metric){.step = 1, .loss = 2}, &failure);
    pp_metrics_close(&m);
    if (status == PIPPIN_OK) status = pp_metrics_read(folder, &rows, &n, &failure);
    if (status == PIPPIN_OK) status = pp_plot_write(folder, "run", rows, n, &failure);
    pp_free(rows);
    return status;
}

/* ---- training ---- */

static char run_folder[80];

typedef enum job { TRAIN = 0, DISTILL, ADAPTER } job;

static pippin_status train(job j, const pippin_train_options *o, pippin_error *err)
{
    pippin_config c;
    pippin_model *model = NULL, *teacher = NULL;
    pippin_status status = pippin_config_load(in_corpus("config/afm.json"), &c, err);
    if (status == PIPPIN_OK) status = pippin_model_random(&c, PIPPIN_F32, 1, NULL, &model, err);
    if (status == PIPPIN_OK && j == DISTILL) status = pippin_model_random(&c, PIPPIN_BF16, 2, NULL, &teacher, err);
    if (status == PIPPIN_OK)
        status = j == ADAPTER   ? pippin_adapter_train(model, o, NULL, err)
                 : j == DISTILL ? pippin_distill(model, teacher, o, NULL, err)
                                : pippin_train(model, o, NULL, err);
    pippin_model_free(teacher);
    pippin_model_free(model);
    return status;
}

/* A run with all that allocates, and the same once more from its checkpoint. */
static pippin_status train_twice(job j)
{
    char data[100];
    snprintf(data, sizeof data, "%s/ids.jsonl", folder);
    const pippin_train_options o = {.data = data,
                                    .eval_data = data,
                                    .output = run_folder,
                                    .max_length = 8,
                                    .pack = true,
                                    .epochs = 1,
                                    .batch_size = 1,
                                    .optimizer = j == TRAIN ? PIPPIN_OPTIMIZER_MUON : PIPPIN_OPTIMIZER_ADAMW,
                                    .dropout = 0.1,
                                    .qat = j == TRAIN ? PIPPIN_Q2 : PIPPIN_TYPE_AUTO,
                                    .continuations = j == DISTILL ? 3 : 0,
                                    .rank = j == ADAPTER ? 2 : 0,
                                    .resume = true,
                                    .n_threads = 2};
    remove_folder(run_folder);
    pippin_status status = train(j, &o, &failure);
    return status == PIPPIN_OK ? train(j, &o, &failure) : status;
}

static pippin_status use_train(void) { return train_twice(TRAIN); }
static pippin_status use_distill(void) { return train_twice(DISTILL); }
static pippin_status use_adapter_train(void) { return train_twice(ADAPTER); }

/* No half-written file may stay behind. */
static void no_leftovers(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) assert_null(strstr(e->d_name, ".tmp-"));
    closedir(dir);
}

/* Every `stride`-th allocation of the operation, others each time. */
static void fail_some(pippin_status (*operation)(void), long stride)
{
    assert_int_equal(operation(), PIPPIN_OK); /* also warms up what libc keeps */
    for (int mode = 0; mode < 2; mode++) {
        atomic_store(&persistent, mode == 1);
        long n = mode * stride / 2 - stride + 1, n_failed = -1;
        do {
            const long before = atomic_load(&live);
            atomic_store(&happened, false);
            atomic_store(&countdown, n += stride);
            n_failed++;
            const pippin_status status = operation();
            atomic_store(&countdown, 0);
            if (atomic_load(&happened) && status != PIPPIN_OK && status != PIPPIN_E_MEMORY && status != PIPPIN_E_IO &&
                status != PIPPIN_E_FORMAT)
                fail_msg("allocation %ld: status %s: %s", n, pippin_status_name(status), failure.text);
            if (!atomic_load(&happened)) assert_int_equal(status, PIPPIN_OK);
            if (atomic_load(&live) != before || pippin_memory_used().live_bytes)
                fail_msg("allocation %ld: %ld blocks leaked, status %s", n, atomic_load(&live) - before,
                         pippin_status_name(status));
            no_leftovers(folder);
            no_leftovers(run_folder);
        } while (atomic_load(&happened));
        print_message("%s: %ld allocations failed one by one\n", mode ? "from there on" : "once", n_failed);
        assert_true(n_failed > 20);
    }
    assert_int_equal(operation(), PIPPIN_OK);
}

static void fail_each(pippin_status (*operation)(void)) { fail_some(operation, 1); }

static void test_save(void **state) { (void)state, fail_each(make_and_save); }
static void test_convert(void **state) { (void)state, fail_each(convert); }
static void test_quantize(void **state) { (void)state, fail_each(quantize); }
static void test_toolkit(void **state) { (void)state, fail_each(use_toolkit); }
static void test_llama2c(void **state) { (void)state, fail_each(use_llama2c); }
static void test_draft(void **state) { (void)state, fail_each(use_draft); }
static void test_gguf(void **state) { (void)state, fail_each(use_gguf); }
static void test_json(void **state) { (void)state, fail_each(use_json); }
static void test_sentencepiece(void **state) { (void)state, fail_each(use_sentencepiece); }

static void test_tokenizers(void **state) { (void)state, fail_each(use_tokenizers); }
static void test_messages(void **state) { (void)state, fail_each(use_messages); }
static void test_folder(void **state) { (void)state, fail_each(use_folder); }
static void test_training_data(void **state) { (void)state, fail_each(use_training_data); }
static void test_train(void **state) { (void)state, fail_some(use_train, 11); }
static void test_distill(void **state) { (void)state, fail_some(use_distill, 11); }
static void test_adapter_train(void **state) { (void)state, fail_some(use_adapter_train, 11); }
static void test_run(void **state) { (void)state, fail_each(use_run); }

int main(void)
{
    snprintf(corpus, sizeof corpus, "%s/fuzz/corpus", PIPPIN_SOURCE);
    snprintf(folder, sizeof folder, "/tmp/pippin-faults-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    char lines[100];
    snprintf(lines, sizeof lines, "%s/lines.jsonl", folder);
    FILE *f = fopen(lines, "wb");
    if (!f) return 1;
    fputs("{\"tokens\":[5,6,7],\"loss_mask\":[0,1,1]}\n{\"text\":\"ab ab\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}\n",
          f);
    fclose(f);
    snprintf(run_folder, sizeof run_folder, "%s/run", folder);
    snprintf(lines, sizeof lines, "%s/ids.jsonl", folder);
    if (!(f = fopen(lines, "wb"))) return 1;
    fputs("{\"tokens\":[5,6,7,8]}\n{\"tokens\":[1,2,3]}\n{\"tokens\":[9,8,7,6,5]}\n", f);
    fclose(f);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save),       cmocka_unit_test(test_toolkit),       cmocka_unit_test(test_llama2c),
        cmocka_unit_test(test_gguf),       cmocka_unit_test(test_json),          cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_tokenizers), cmocka_unit_test(test_folder),        cmocka_unit_test(test_training_data),
        cmocka_unit_test(test_run),        cmocka_unit_test(test_convert),       cmocka_unit_test(test_train),
        cmocka_unit_test(test_distill),    cmocka_unit_test(test_adapter_train), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_quantize),   cmocka_unit_test(test_draft)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const files[] = {
        "config.json", "model.safetensors",        "logits.npy",  "model.gguf", "metrics.jsonl",
        "loss.svg",    "checkpoint-1.safetensors", "lines.jsonl", "ids.jsonl"};
    for (int i = 0; i < 9; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    remove_folder(run_folder);
    rmdir(folder);
    return failed;
}
#endif
