/* generate_guard.c - an answer that may only put the user's own words right: one, or what several agree on (guard.c). */
#include <string.h>

#include "cli/generate_guard.h"
#include "cli/words.h"

int pp_guard_words(const pp_prompt *p, char **out)
{
    json_error_t at;
    json_t *root = p->is_messages ? json_loadb(p->text.bytes, p->text.n, 0, &at) : NULL;
    const json_t *list = json_is_object(root) ? json_object_get(root, "messages") : root;
    const json_t *last = json_array_get(list, json_array_size(list) - 1), *content = json_object_get(last, "content");
    const char *role = json_string_value(json_object_get(last, "role"));
    const char *words = p->is_messages ? json_string_value(content) : p->text.n ? p->text.bytes : "";
    const size_t n = p->is_messages ? json_string_length(content) : p->text.n;
    int code = 0;
    *out = NULL;
    if (p->is_messages && (!words || !role || strcmp(role, "user") != 0))
        code = pp_error(PP_EXIT_FAILURE, "--guard: found messages whose last is not a text of the user, expected what "
                                         "is to be put right; end them with it");
    else if (n && memchr(words, 0, n))
        code = pp_error(PP_EXIT_FAILURE, "--guard: found a byte 0 in the user's words, expected a text; take it out");
    else if (!(*out = pp_strndup(words, n)))
        code = pp_no_memory();
    json_decref(root);
    return code;
}

/* An answer as it comes. */
typedef struct gathering {
    pp_buffer text;
    bool no_memory;
} gathering;

static int on_token(void *user, const pippin_token_event *event)
{
    gathering *g = user;
    g->no_memory = !pp_gather(&g->text, event);
    return g->no_memory || pp_interrupted();
}

/* Adds n answers to the ballot, written at once. 0 or an exit code, after a message but for Ctrl-C. */
static int add_answers(const pippin_generate_options *options, const pp_prompt *p, const char *words,
                       const pp_loaded *loaded, size_t n, pp_ballot *ballot, pippin_generate_result *sum)
{
    pippin_generate_options o[PP_MAX_TOGETHER];
    pippin_generation jobs[PP_MAX_TOGETHER];
    gathering texts[PP_MAX_TOGETHER] = {0};
    pippin_error err;
    const size_t first = ballot->n;
    for (size_t i = 0; i < n; i++) {
        o[i] = *options;
        o[i].sampling.seed += first + i;
        o[i].user = &texts[i];
        jobs[i] = (pippin_generation){
            .session = loaded->together[i], .prompt = p->ids.items, .n_prompt = p->ids.n, .options = &o[i]};
    }
    int code = pippin_generate_many(jobs, n, &err) == PIPPIN_OK ? 0 : pp_failed(&err);
    for (size_t i = 0; i < n && !code; i++) {
        const pippin_generate_result *r = &jobs[i].result;
        if (texts[i].no_memory)
            code = pp_no_memory();
        else if (jobs[i].status != PIPPIN_OK && jobs[i].status != PIPPIN_E_CANCELLED)
            code = pp_failed(&jobs[i].error);
        else if (r->finish == PIPPIN_FINISH_CANCELLED)
            code = PP_EXIT_INTERRUPTED; /* a part of an answer would put nothing right, and look as if all were */
        else if (!pp_ballot_add(ballot, words, texts[i].text.bytes, texts[i].text.n))
            code = pp_no_memory();
        if (first + i == 0)
            *sum = *r;
        else
            sum->n_generated += r->n_generated;
    }
    for (size_t i = 0; i < n; i++) pp_free(texts[i].text.bytes);
    return code;
}

int pp_guard_generate(const pp_talk *talk, const pp_guarding *how, const char *words, const pp_prompt *p,
                      pp_loaded *loaded, char **out, pippin_generate_result *sum)
{
    enum { TOGETHER = 8 };
    const double start = pp_seconds();
    const size_t n_answer = how->votes ? (size_t)how->votes : 1;
    pp_ballot ballot = {0};
    *out = NULL;
    int code = pp_load_together(&talk->common, PP_MIN(n_answer, TOGETHER), loaded);
    if (!code && !pp_ballot_open(&ballot, n_answer)) code = pp_no_memory();
    pippin_generate_options options = pp_talk_generate(talk, loaded, p);
    options.on_token = on_token;
    if (!options.max_tokens) options.max_tokens = 2 * p->ids.n + 16; /* more is no correction */
    if (how->votes && !(options.sampling.temperature > 0)) options.sampling.temperature = 1;
    while (!code && ballot.n < n_answer)
        code = add_answers(&options, p, words, loaded, PP_MIN(n_answer - ballot.n, loaded->n_together), &ballot, sum);
    sum->generate_seconds = pp_seconds() - start - sum->prompt_seconds;
    if (!code) *out = pp_ballot_elect(&ballot, words, how->votes ? pp_ballot_least(how->share, how->votes) : 1);
    if (!code && !*out) code = pp_no_memory();
    pp_ballot_close(&ballot);
    return code;
}
