/*
 * questions.c - questions SHARED [STEP [MODEL DRAFT]]: a real model answers every STEP-th question of Spec-Bench, alone and with
 * guesses of several kinds and numbers; every answer must be the plain one, token for token. Prints how often guesses were right
 * and how fast it went. Without a model it is TinyStories-656K, in fewer bits its own draft. Exit code 1 for an answer that
 * differs, 77 where the data is not on this machine.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { MOST = 384, CUT = 256, N_NEW = 128, N_CTX = 512, N_GUESS = 9, N_WAY = 4 };

typedef struct way {
    const char *name;
    pippin_session *draft;
    bool lookup;
    struct {
        size_t n, n_drafted, n_accepted, n_verify;
        double seconds;
    } sums[N_GUESS]; /* by the tokens that are guessed; 0: auto */
} way;

typedef struct bench {
    pippin_model *model;
    pippin_session *s;
    way ways[N_WAY];
    size_t n_way, n_plain, n_prompt;
    double plain_seconds;
} bench;

static void must(pippin_status status, const pippin_error *err)
{
    if (status == PIPPIN_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* The model of a folder, in fewer bits where a type is given, on a session. */
static pippin_session *open_session(const char *path, pippin_type type, pippin_model **model)
{
    pippin_error err;
    pippin_session *s;
    must(pippin_model_open(path, &(pippin_model_options){.type = type}, model, &err), &err);
    must(pippin_session_create(*model, &(pippin_session_options){.n_ctx = N_CTX, .n_threads = 1}, &s, &err), &err);
    return s;
}

static pippin_generate_result answer(bench *b, const int32_t *prompt, size_t n, pippin_generate_options o, int32_t *ids)
{
    pippin_generate_result r;
    pippin_error err;
    o.max_tokens = N_NEW;
    must(pippin_generate(b->s, prompt, n, &o, ids, N_NEW, &r, &err), &err);
    return r;
}

static void ask(bench *b, const char *text, int line)
{
    int32_t prompt[4096], plain[N_NEW], ids[N_NEW];
    size_t n;
    pippin_error err;
    must(pippin_tokenize(pippin_model_tokenizer(b->model), text, strlen(text), &(pippin_tokenize_options){.bos = true},
                         prompt, 4096, &n, &err),
         &err);
    if (n > MOST) n = CUT;
    answer(b, prompt, n, (pippin_generate_options){0}, plain); /* reads the prompt, for all the others */
    const pippin_generate_result alone = answer(b, prompt, n, (pippin_generate_options){0}, plain);
    b->n_prompt++;
    b->n_plain += alone.n_generated;
    b->plain_seconds += alone.generate_seconds;
    for (size_t i = 0; i < b->n_way; i++)
        for (int32_t k = 0; k < N_GUESS; k++) {
            way *w = &b->ways[i];
            const pippin_generate_options o = {.draft = w->draft, .lookup = w->lookup, .draft_tokens = k};
            const pippin_generate_result r = answer(b, prompt, n, o, ids);
            if (r.n_generated != alone.n_generated || memcmp(ids, plain, r.n_generated * sizeof *ids) != 0) {
                printf("FAILED line %d, %s, %d guesses: not the plain answer\n", line, w->name, (int)k);
                exit(1);
            }
            w->sums[k].n += r.n_generated;
            w->sums[k].n_drafted += r.n_drafted;
            w->sums[k].n_accepted += r.n_accepted;
            w->sums[k].n_verify += r.n_verify;
            w->sums[k].seconds += r.generate_seconds;
        }
}

static void report(const bench *b)
{
    const double plain = (double)b->n_plain / b->plain_seconds;
    printf("%zu prompts, %zu tokens alone, %.0f tokens/s\n", b->n_prompt, b->n_plain, plain);
    for (size_t i = 0; i < b->n_way; i++)
        for (int32_t k = 0; k < N_GUESS; k++) {
            const way *w = &b->ways[i];
            char number[16] = "auto";
            if (k) snprintf(number, sizeof number, "%d", (int)k);
            printf("%-8s %-4s %5.1f %% of %6zu right, %.2f tokens a check, %5.2f times as fast\n", w->name, number,
                   100.0 * (double)w->sums[k].n_accepted / (double)PP_MAX(w->sums[k].n_drafted, 1),
                   w->sums[k].n_drafted,
                   (double)(w->sums[k].n_accepted + w->sums[k].n_verify) / (double)PP_MAX(w->sums[k].n_verify, 1),
                   (double)w->sums[k].n / w->sums[k].seconds / plain);
        }
}

/* The model, and the ways that are tried. */
static void open_all(bench *b, const char *model, const char *draft)
{
    const struct {
        const char *name;
        pippin_type type;
    } drafts[] = {{draft ? "draft" : "q4", draft ? PIPPIN_TYPE_AUTO : PIPPIN_Q4}, {"q2", PIPPIN_Q2}};
    b->s = open_session(model, PIPPIN_TYPE_AUTO, &b->model);
    for (size_t i = 0; i < (draft ? 1 : 2); i++) {
        pippin_model *opened;
        pippin_session *s = open_session(draft ? draft : model, drafts[i].type, &opened);
        b->ways[b->n_way++] = (way){.name = drafts[i].name, .draft = s};
        pippin_model_free(opened); /* the session keeps it */
    }
    b->ways[b->n_way++] = (way){.name = "lookup", .lookup = true};
    b->ways[b->n_way++] = (way){.name = "both", .draft = b->ways[0].draft, .lookup = true};
}

int main(int argc, char **argv)
{
    char stories[4096], questions[4096];
    static char line[1 << 20];
    static bench b;
    const int step = argc > 2 ? atoi(argv[2]) : 1;
    if (argc < 2 || argc == 4 || step < 1) return 2;
    snprintf(stories, sizeof stories, "%s/data/tinystories-656k", argv[1]);
    snprintf(questions, sizeof questions, "%s/data/spec-bench/question.jsonl", argv[1]);
    FILE *file = fopen(questions, "r");
    if (!file || (argc < 5 && !pp_path_exists(stories))) {
        printf("SKIPPED questions: not on this machine\n");
        return 77;
    }
    open_all(&b, argc < 5 ? stories : argv[3], argc < 5 ? NULL : argv[4]);
    for (int n = 0; fgets(line, sizeof line, file); n++) {
        if (n % step) continue;
        json_t *question = json_loads(line, 0, NULL);
        const char *text = json_string_value(json_array_get(json_object_get(question, "turns"), 0));
        if (text) ask(&b, text, n + 1);
        json_decref(question);
    }
    fclose(file);
    report(&b);
    pippin_session_free(b.s);
    for (size_t i = 0; i + 1 < b.n_way; i++) pippin_session_free(b.ways[i].draft); /* the last way's is the first's */
    pippin_model_free(b.model);
    return 0;
}
