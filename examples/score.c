/*
 * score.c - the logits of every token of a text, for a model that needs no file: the shape of afm-draft, random
 * weights.
 *
 *     cc score.c $(pkg-config --cflags --libs pippin) -o score
 *     ./score
 */
#include <pippin.h>
#include <stdio.h>

/* Called once a token, in order. */
static int print_row(void *user, size_t i, const float *logits)
{
    const pippin_config *config = (const pippin_config *)user;
    int32_t best = 0;
    for (int32_t id = 1; id < config->n_vocab; id++)
        if (logits[id] > logits[best]) best = id;
    printf("token %zu: the largest of %d logits is %.4f, of id %d\n", i, (int)config->n_vocab, (double)logits[best],
           (int)best);
    return 0;
}

int main(void)
{
    static const int32_t tokens[] = {7, 42, 1000, 42};
    pippin_config config;
    pippin_model *model = NULL;
    pippin_session *session = NULL;
    pippin_error err;

    pippin_status status = pippin_config_preset("afm-draft", &config, &err);
    if (status == PIPPIN_OK) status = pippin_model_random(&config, PIPPIN_BF16, 1, NULL, &model, &err);
    if (status == PIPPIN_OK) {
        pippin_session_options options = {0};
        options.n_ctx = 64;
        status = pippin_session_create(model, &options, &session, &err);
    }
    if (status == PIPPIN_OK) {
        pippin_score score = {0};
        score.tokens = tokens;
        score.n_tok = sizeof tokens / sizeof *tokens;
        score.row = print_row;
        score.user = &config;
        status = pippin_session_score(session, &score, &err);
    }
    if (status != PIPPIN_OK) fprintf(stderr, "%s\n", err.text);
    pippin_session_free(session);
    pippin_model_free(model);
    return status == PIPPIN_OK ? 0 : 1;
}
