/*
 * same_logits.c MODEL [N_TOK] [FILE] - the logits of a text's last 16 tokens, computed in every way that must not matter:
 * threads, tokens of a pass, the bypass, what the cache holds before, other texts in the same passes. Prints a line a way and
 * exits 1 where one has other bits; FILE gets the logits themselves as raw floats. Meant for models of full size, where
 * laws_test and many_test have small ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { LAST = 16 };

typedef struct text {
    int32_t *tokens; /* [n] */
    size_t n, n_vocab;
} text;

static float *wanted, *found; /* [LAST][n_vocab] */
static int n_way, n_different;

static void must(pippin_status status, const pippin_error *err)
{
    if (status == PIPPIN_OK) return;
    fprintf(stderr, "same_logits: %s\n", err->text);
    exit(2);
}

static pippin_session *create(pippin_model *model, const text *t, pippin_session_options o)
{
    pippin_error err;
    pippin_session *s;
    o.n_ctx = (int32_t)t->n + 64;
    o.n_logits = LAST;
    must(pippin_session_create(model, &o, &s, &err), &err);
    return s;
}

/* Logits of the last n of the first n_tok tokens into `found`, where those of the whole text's last LAST have their places. */
static void take(pippin_session *s, const text *t, size_t n_tok, int32_t n)
{
    pippin_error err;
    must(pippin_session_sync_last(s, t->tokens, n_tok, n, &err), &err);
    for (int32_t back = 0; back < n; back++) {
        const size_t row = LAST - 1 - (t->n - n_tok) - (size_t)back;
        memcpy(found + row * t->n_vocab, pippin_session_logits_of(s, back), t->n_vocab * sizeof(float));
    }
}

static void compare(const text *t, const char *way, double start)
{
    const size_t size = LAST * t->n_vocab * sizeof(float);
    const bool same = memcmp(found, wanted, size) == 0;
    printf("%-46s %6.1f s  %s\n", way, pp_seconds() - start, same ? "the same bits" : "OTHER BITS");
    fflush(stdout);
    n_way++;
    n_different += !same;
    memset(found, 0xff, size);
}

/* The whole text in a new session; where a pass is shorter than LAST, its last logits alone. */
static void fresh(pippin_model *model, const text *t, const char *way, pippin_session_options o)
{
    const double start = pp_seconds();
    pippin_session *s = create(model, t, o);
    const bool some = o.n_batch && o.n_batch < LAST;
    if (some) memcpy(found, wanted, LAST * t->n_vocab * sizeof(float));
    take(s, t, t->n, some ? 1 : LAST);
    pippin_session_free(s);
    compare(t, way, start);
}

/* All but the last LAST tokens, and then these, n of them in a pass. */
static void passes(pippin_session *s, const text *t, int32_t n)
{
    char way[64];
    pippin_error err;
    const double start = pp_seconds();
    must(pippin_session_sync(s, t->tokens, t->n - LAST, &err), &err);
    for (size_t done = 0; done < LAST;) {
        const size_t now = done + (size_t)n > LAST ? LAST - done : (size_t)n;
        done += now;
        take(s, t, t->n - LAST + done, (int32_t)now);
    }
    snprintf(way, sizeof way, "the last %d by passes of %d, after a cache hit", LAST, (int)n);
    compare(t, way, start);
}

/* Another text first, that shares its first half; then this one. */
static void after_another(pippin_session *s, const text *t)
{
    pippin_error err;
    int32_t *other = malloc(t->n * sizeof *other);
    if (!other) exit(2);
    for (size_t i = 0; i < t->n; i++) other[i] = i < t->n / 2 ? t->tokens[i] : t->tokens[t->n - 1 - i];
    must(pippin_session_sync(s, other, t->n, &err), &err);
    free(other);
    const double start = pp_seconds();
    take(s, t, t->n, LAST);
    compare(t, "after another text with the same first half", start);
}

/* The whole text as one of n that share their passes; the others are other texts, shorter and longer parts of it. */
static void in_company(pippin_model *model, const text *t)
{
    enum { MOST = 16 };
    char way[64];
    pippin_error err;
    pippin_session *s[MOST];
    pippin_text texts[MOST];
    s[0] = create(model, t, (pippin_session_options){0});
    for (int i = 1; i < MOST; i++) s[i] = create(model, t, (pippin_session_options){.with = s[0]});
    for (int n = 1; n <= MOST; n++) {
        const double start = pp_seconds();
        const size_t others = t->n / 4;
        for (int i = 0; i < n; i++) texts[i] = (pippin_text){s[i], t->tokens + i, others + (size_t)i};
        texts[n / 2] = (pippin_text){s[n / 2], t->tokens, t->n};
        must(pippin_sync_many(texts, (size_t)n, &err), &err);
        memcpy(found, wanted, LAST * t->n_vocab * sizeof(float));
        memcpy(found + (LAST - 1) * t->n_vocab, pippin_session_logits(s[n / 2]), t->n_vocab * sizeof(float));
        snprintf(way, sizeof way, "one of %d texts", n);
        compare(t, way, start);
    }
    for (int i = 0; i < MOST; i++) pippin_session_free(s[i]);
}

static void all_ways(pippin_model *model, const text *t)
{
    static const int32_t chunks[] = {1, 2, 7, 16, 33, 100, 512};
    char way[64];
    for (int32_t threads = 1; threads <= 4; threads++) {
        snprintf(way, sizeof way, "%d threads", (int)threads);
        fresh(model, t, way, (pippin_session_options){.n_threads = threads});
    }
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        snprintf(way, sizeof way, "at most %d tokens a pass", (int)chunks[i]);
        fresh(model, t, way, (pippin_session_options){.n_batch = chunks[i]});
    }
    fresh(model, t, "without the bypass", (pippin_session_options){.no_bypass = true});
    pippin_session *s = create(model, t, (pippin_session_options){0});
    for (int32_t n = 1; n <= LAST; n++) passes(s, t, n);
    after_another(s, t);
    in_company(model, t);
    pippin_session_free(s);
}

int main(int argc, char **argv)
{
    pippin_model *model;
    pippin_error err;
    if (argc < 2) {
        fprintf(stderr, "usage: same_logits MODEL [N_TOK] [FILE]\n");
        return 2;
    }
    must(pippin_model_open(argv[1], NULL, &model, &err), &err);
    text t = {.n = argc > 2 ? strtoul(argv[2], NULL, 10) : 300, .n_vocab = (size_t)pippin_model_config(model)->n_vocab};
    if (t.n < 2 * LAST) t.n = 2 * LAST;
    const size_t size = LAST * t.n_vocab * sizeof(float);
    t.tokens = malloc(t.n * sizeof *t.tokens);
    wanted = malloc(size);
    found = malloc(size);
    if (!t.tokens || !wanted || !found) return 2;
    for (size_t i = 0; i < t.n; i++) t.tokens[i] = (int32_t)((i * 2654435761u + 12345) % t.n_vocab);
    pippin_session *s = create(model, &t, (pippin_session_options){0});
    take(s, &t, t.n, LAST);
    pippin_session_free(s);
    memcpy(wanted, found, size);
    memset(found, 0xff, size);
    all_ways(model, &t);
    printf("%d ways, %d with other bits\n", n_way, n_different);
    FILE *file = argc > 3 ? fopen(argv[3], "wb") : NULL;
    if (argc > 3 && (!file || fwrite(wanted, 1, size, file) != size || fclose(file) != 0)) return 2;
    free(t.tokens);
    free(wanted);
    free(found);
    pippin_model_free(model);
    return n_different != 0;
}
