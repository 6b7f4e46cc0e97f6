/*
 * damage_test.c - what a user's broken disk or a stranger's file may do: 500 cut or bit-flipped copies of every kind of
 * file, opened and run in a process of its own. Each ends with an error that names the file, or runs; none crashes,
 * takes longer than a second, or more memory than the file's size and 64 MB.
 */
#define _DEFAULT_SOURCE
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support.h"

enum { COPIES = 500, CHILD_RAN = 0, CHILD_ERROR = 1, CHILD_BAD_TEXT = 2 };

/* One kind of file: a folder with everything that a model needs, and which of its files is damaged. */
typedef struct kind {
    const char *name;
    struct {
        const char *from, *to; /* below fuzz/corpus or ../shared, and its name in the folder */
    } files[4];
    const char *damaged, *model, *adapter, *tokenizer;
} kind;

static const kind kinds[] = {
    {"safetensors",
     {{"safetensors/afm-kv-scales.safetensors", "model.safetensors"}, {"config/afm.json", "config.json"}},
     "model.safetensors",
     ".",
     NULL,
     NULL},
    {"config.json",
     {{"safetensors/afm.safetensors", "model.safetensors"}, {"config/afm.json", "config.json"}},
     "config.json",
     ".",
     NULL,
     NULL},
    {"torch .pt", {{"torch/afm-adapter.pt", "base.pt"}}, "base.pt", "base.pt", NULL, NULL},
    {"adapter .pt",
     {{"torch/afm.pt", "base.pt"}, {"torch/adapter.pt", "adapter.pt"}},
     "adapter.pt",
     "base.pt",
     "adapter.pt",
     NULL},
    {"adapter .safetensors",
     {{"torch/afm.pt", "base.pt"}, {"safetensors/adapter.safetensors", "adapter.safetensors"}},
     "adapter.safetensors",
     "base.pt",
     "adapter.safetensors",
     NULL},
    {"llama2.c .bin", {{"llama2c/untied.bin", "model.bin"}}, "model.bin", "model.bin", NULL, NULL},
    {"llama2.c tokenizer",
     {{"llama2c/tied.bin", "model.bin"}, {"tokenizer/tok.bin", "tok.bin"}},
     "tok.bin",
     "model.bin",
     NULL,
     "tok.bin"},
    {"tokenizer.json",
     {{"llama2c/tied.bin", "model.bin"}, {"tokenizer_json/bytes.json", "tokenizer.json"}},
     "tokenizer.json",
     "model.bin",
     NULL,
     "tokenizer.json"},
    {"SentencePiece BPE",
     {{"llama2c/tied.bin", "model.bin"}, {"sentencepiece/bpe.model", "tokenizer.model"}},
     "tokenizer.model",
     "model.bin",
     NULL,
     "tokenizer.model"},
    {"SentencePiece unigram",
     {{"llama2c/tied.bin", "model.bin"}, {"sentencepiece/unigram.model", "tokenizer.model"}},
     "tokenizer.model",
     "model.bin",
     NULL,
     "tokenizer.model"},
    {".gguf with its tokenizer's file", {{"llama2c/tied.bin", "model.bin"}}, "model.gguf", "model.gguf", NULL, NULL},
    {".gguf of q2", {{"llama2c/tied.bin", "model.bin"}}, "model.gguf", "model.gguf", NULL, NULL},
    {"real .gguf with a vocabulary",
     {{"data/gguf-tiny-random/llama-2-tiny-random.gguf", "model.gguf"}},
     "model.gguf",
     "model.gguf",
     NULL,
     NULL},
    {"tokenizer beside a model",
     {{"data/tinystories-656k/tokenizer.json", "tokenizer.json"},
      {"data/tinystories-656k/config.json", "config.json"},
      {"data/tinystories-656k/model.safetensors", "model.safetensors"}},
     "tokenizer.json",
     ".",
     NULL,
     NULL},
    {".gguf", {{"gguf/llama-Q8_0.gguf", "model.gguf"}}, "model.gguf", "model.gguf", NULL, NULL},
    {"real .gguf", {{"golden/gguf-types/qwen3-Q4_K_M.gguf", "model.gguf"}}, "model.gguf", "model.gguf", NULL, NULL},
    {"real llama2.c .bin", {{"data/stories260K/stories260K.bin", "model.bin"}}, "model.bin", "model.bin", NULL, NULL},
    {"real tokenizer",
     {{"data/stories260K/tok512.bin", "tok.bin"}, {"data/stories260K/stories260K.bin", "model.bin"}},
     "tok.bin",
     "model.bin",
     NULL,
     "tok.bin"},
    {"real toolkit .pt", {{"golden/base-lora/toolkit.pt", "base.pt"}}, "base.pt", "base.pt", NULL, NULL},
    {"index of shards",
     {{"golden/hf-llama3/model.safetensors.index.json", "model.safetensors.index.json"},
      {"golden/hf-llama3/config.json", "config.json"},
      {"golden/hf-llama3/model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors"},
      {"golden/hf-llama3/model-00002-of-00002.safetensors", "model-00002-of-00002.safetensors"}},
     "model.safetensors.index.json",
     ".",
     NULL,
     NULL},
    {"shard",
     {{"golden/hf-llama3/model.safetensors.index.json", "model.safetensors.index.json"},
      {"golden/hf-llama3/config.json", "config.json"},
      {"golden/hf-llama3/model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors"},
      {"golden/hf-llama3/model-00002-of-00002.safetensors", "model-00002-of-00002.safetensors"}},
     "model-00001-of-00002.safetensors",
     ".",
     NULL,
     NULL},
};

enum { N_KIND = sizeof kinds / sizeof *kinds };

static char *read_file(const char *path, size_t *size)
{
    pp_map map;
    OK(pp_map_open(path, &map, err));
    char *bytes = test_malloc(map.size + 1);
    memcpy(bytes, map.data, map.size);
    *size = map.size;
    pp_map_close(&map);
    return bytes;
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Half the time near the ends, where headers and directories are. */
static size_t place(size_t size, uint64_t random)
{
    const size_t near = PP_MIN(size, (size_t)2048), at = (size_t)(random >> 2) % near;
    if (random & 1) return (size_t)(random >> 2) % size;
    return random & 2 ? at : size - 1 - at;
}

/* Copy number n of a file: cut, or with one to eight bits flipped. */
static size_t damage(char *bytes, size_t size, uint64_t n)
{
    if (n % 2) return place(size, pp_random_bits(1, n, 0));
    const uint64_t flips = 1 + pp_random_bits(1, n, 1) % 8;
    for (uint64_t i = 0; i < flips; i++) {
        const uint64_t random = pp_random_bits(1, n, 2 + i);
        bytes[place(size, random)] ^= (char)(1 << (random >> 61));
    }
    return size;
}

static int says(const pippin_error *err, const char *dir)
{
    /* Files are named by their path; the folder's name stands for all of them. */
    return err->text[0] && !strchr(err->text, '\n') && strstr(err->text, dir) ? CHILD_ERROR : CHILD_BAD_TEXT;
}

/* Opens everything and evaluates three tokens, as a command would. */
static int child(const kind *k, const char *dir)
{
    char model_path[300], adapter_path[300], tokenizer_path[300];
    snprintf(model_path, sizeof model_path, "%s/%s", dir, k->model);
    snprintf(adapter_path, sizeof adapter_path, "%s/%s", dir, k->adapter ? k->adapter : "");
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/%s", dir, k->tokenizer ? k->tokenizer : "");
    pippin_model_options options = {.tokenizer = k->tokenizer ? tokenizer_path : NULL};
    pippin_model *model;
    pippin_adapter *adapter = NULL;
    pippin_session *session;
    pippin_error failure = {0};
    if (pippin_model_open(model_path, &options, &model, &failure) != PIPPIN_OK) return says(&failure, dir);
    if (k->adapter && pippin_adapter_open(adapter_path, model, &adapter, &failure) != PIPPIN_OK) {
        pippin_model_free(model);
        return says(&failure, dir);
    }
    const pippin_adapter_use use = {adapter, 1};
    int32_t ids[8] = {1, 2, 3};
    size_t n_ids = 3;
    if (k->tokenizer) OK(pippin_tokenize(pippin_model_tokenizer(model), "a b", 3, NULL, ids, 8, &n_ids, err));
    OK(pippin_session_create(model, &(pippin_session_options){.n_ctx = 64, .n_threads = 1}, &session, err));
    if (adapter) OK(pippin_session_set_adapters(session, &use, 1, err));
    OK(pippin_generate(session, ids, PP_MIN(n_ids, (size_t)8), &(pippin_generate_options){.max_tokens = 2}, NULL, 0,
                       NULL, err));
    pippin_session_free(session);
    pippin_adapter_free(adapter);
    pippin_model_free(model);
    return pippin_memory_used().live_bytes ? CHILD_BAD_TEXT : CHILD_RAN;
}

typedef struct tally {
    int errors, ran;
    double slowest;
    long largest_rss; /* kB */
} tally;

static void run_child(const kind *k, const char *dir, uint64_t n, size_t size, tally *t)
{
    const double start = pp_seconds();
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(child(k, dir));
    int status;
    struct rusage usage;
    alarm(20); /* a hang ends the whole test */
    assert_int_equal(wait4(pid, &status, 0, &usage), pid);
    alarm(0);
    const double seconds = pp_seconds() - start;
    if (!WIFEXITED(status)) fail_msg("%s, copy %d: killed by signal %d", k->name, (int)n, WTERMSIG(status));
    const int code = WEXITSTATUS(status);
    if (code == CHILD_BAD_TEXT)
        fail_msg("%s, copy %d: the error is not one line that names the file, or memory leaked", k->name, (int)n);
    if (code != CHILD_RAN && code != CHILD_ERROR) fail_msg("%s, copy %d: exit code %d", k->name, (int)n, code);
    code == CHILD_RAN ? t->ran++ : t->errors++;
    t->slowest = PP_MAX(t->slowest, seconds);
    t->largest_rss = PP_MAX(t->largest_rss, usage.ru_maxrss - (long)(size / 1024));
}

/* The folder of a kind, filled with its files; false where these are not on this machine. */
/* What `convert` makes of a model and a tokenizer of another maker's kind. */
static void convert(const char *dir, pippin_type type)
{
    char model_path[300], tokenizer[4200], gguf[300];
    pippin_model *model;
    snprintf(model_path, sizeof model_path, "%s/model.bin", dir);
    snprintf(tokenizer, sizeof tokenizer, "%s/fuzz/corpus/sentencepiece/bpe.model", PIPPIN_SOURCE);
    snprintf(gguf, sizeof gguf, "%s/model.gguf", dir);
    OK(pippin_model_open(model_path, &(pippin_model_options){.tokenizer = tokenizer}, &model, err));
    OK(pippin_model_save_gguf(model, &(pippin_save_options){.type = type}, gguf, err));
    pippin_model_free(model);
}

static bool prepare(const kind *k, char *dir)
{
    for (size_t i = 0; i < 4 && k->files[i].from; i++) {
        char own[4096], to[300];
        snprintf(own, sizeof own, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, k->files[i].from);
        const char *from = pp_path_exists(own) ? own : shared_file(k->files[i].from);
        if (!from) return false;
        if (i == 0) assert_non_null(mkdtemp(dir));
        size_t size;
        char *bytes = read_file(from, &size);
        snprintf(to, sizeof to, "%s/%s", dir, k->files[i].to);
        write_file(to, bytes, size);
        test_free(bytes);
    }
    if (strcmp(k->model, "model.gguf") == 0 && strcmp(k->files[0].to, "model.gguf") != 0)
        convert(dir, strstr(k->name, "q2") ? PIPPIN_Q2 : PIPPIN_TYPE_AUTO);
    return true;
}

static void remove_dir(const kind *k, const char *dir)
{
    char path[300];
    for (size_t i = 0; i < 4 && k->files[i].from; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, k->files[i].to);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/%s", dir, k->damaged); /* where it was made here */
    unlink(path);
    rmdir(dir);
}

static void damage_kind(const kind *k)
{
    char dir[] = "/tmp/pippin-damage-XXXXXX", path[300];
    if (!prepare(k, dir)) return;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", dir, k->damaged);
    char *whole = read_file(path, &size), *copy = test_malloc(size + 1);
    tally undamaged = {0}, t = {0};
    run_child(k, dir, 0, size, &undamaged);
    assert_int_equal(undamaged.ran, 1);
    for (uint64_t n = 0; n < COPIES; n++) {
        memcpy(copy, whole, size);
        const size_t length = damage(copy, size, n);
        write_file(path, copy, length);
        run_child(k, dir, n, size, &t);
    }
    print_message("%s: %d copies, %d errors, %d ran, slowest %.3f s, at most %.1f MB more than undamaged\n", k->name,
                  COPIES, t.errors, t.ran, t.slowest, (double)PP_MAX(t.largest_rss - undamaged.largest_rss, 0) / 1024);
    assert_true(t.errors > COPIES / 4); /* the damage is real */
    assert_true(t.slowest < 1);
    assert_true(t.largest_rss - undamaged.largest_rss < 64 * 1024);
    test_free(whole);
    test_free(copy);
    remove_dir(k, dir);
}

static void test_damage(void **state) { damage_kind(*state); }

int main(void)
{
    struct CMUnitTest tests[N_KIND];
    for (size_t i = 0; i < N_KIND; i++)
        tests[i] = (struct CMUnitTest){
            .name = kinds[i].name, .test_func = test_damage, .initial_state = (void *)(uintptr_t)&kinds[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
