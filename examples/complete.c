/*
 * complete.c - opens a model and continues a text, greedily.
 *
 *     cc complete.c $(pkg-config --cflags --libs pippin) -o complete
 *     ./complete MODEL "Once upon a time" [TOKENIZER]
 */
#include <pippin.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PROMPT = 1024, MAX_NEW = 64 };

static int print_token(void *user, const pippin_token_event *event)
{
    (void)user;
    fwrite(event->text, 1, event->n_bytes, stdout);
    fflush(stdout);
    return 0; /* non-zero would stop */
}

int main(int argc, char **argv)
{
    pippin_model_options model_options = {0};
    pippin_model *model = NULL;
    pippin_session *session = NULL;
    pippin_error err;
    pippin_status status;
    int32_t prompt[MAX_PROMPT];
    size_t n_prompt = 0;

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: complete MODEL PROMPT [TOKENIZER]\n");
        return 2;
    }
    if (argc == 4) model_options.tokenizer = argv[3]; /* else the one beside the model, if there is one */
    status = pippin_model_open(argv[1], &model_options, &model, &err);
    if (status == PIPPIN_OK) status = pippin_session_create(model, NULL, &session, &err);
    if (status == PIPPIN_OK) {
        pippin_tokenize_options options = {0};
        options.bos = true;
        /* n_prompt may come out larger than the room given: then the text was longer. */
        status = pippin_tokenize(pippin_model_tokenizer(model), argv[2], strlen(argv[2]), &options, prompt, MAX_PROMPT,
                                 &n_prompt, &err);
    }
    if (status == PIPPIN_OK) {
        pippin_generate_options options = {0};
        options.max_tokens = MAX_NEW;
        options.on_token = print_token;
        status = pippin_generate(session, prompt, n_prompt < MAX_PROMPT ? n_prompt : (size_t)MAX_PROMPT, &options, NULL,
                                 0, NULL, &err);
        putchar('\n');
    }
    if (status != PIPPIN_OK) fprintf(stderr, "%s\n", err.text);
    pippin_session_free(session);
    pippin_model_free(model);
    return status == PIPPIN_OK ? 0 : 1;
}
