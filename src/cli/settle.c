/* settle.c - answers that are computed whole: corrections of the user's words, one (guard.c) or what several come to (ballot.c). */
#include <string.h>

#include "cli/ballot.h"
#include "cli/settle.h"

int pp_correct_text(const char *words, size_t n, char **out)
{
    *out = NULL;
    if (n && memchr(words, 0, n))
        return pp_error(PP_EXIT_FAILURE, "guard: found a byte 0 in the user's words, expected a text; take it out");
    *out = pp_strndup(n ? words : "", n);
    return *out ? 0 : pp_no_memory();
}

int pp_correct_words(const json_t *messages, char **out)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *content = json_object_get(last, "content");
    const char *role = json_string_value(json_object_get(last, "role"));
    *out = NULL;
    if (json_is_string(content) && role && strcmp(role, "user") == 0)
        return pp_correct_text(json_string_value(content), json_string_length(content), out);
    return pp_error(PP_EXIT_FAILURE, "guard: found messages whose last is not a text of the user, expected what "
                                     "is to be put right; end them with it");
}

/* Adds n answers to the ballot, written at once. */
static pippin_status add_answers(const pippin_generate_options *options, const pp_prompt *p, const char *words,
                                 const pp_loaded *loaded, size_t n, pp_ballot *ballot, pippin_generate_result *sum,
                                 pippin_error *err)
{
    pippin_generate_options o[PP_MAX_TOGETHER];
    pippin_generation jobs[PP_MAX_TOGETHER];
    pp_gathered texts[PP_MAX_TOGETHER] = {0};
    const size_t first = ballot->n;
    for (size_t i = 0; i < n; i++) {
        o[i] = *options;
        o[i].sampling.seed += first + i;
        o[i].user = &texts[i];
        jobs[i] = (pippin_generation){
            .session = loaded->together[i], .prompt = p->ids.items, .n_prompt = p->ids.n, .options = &o[i]};
    }
    pippin_status status = pippin_generate_many(jobs, n, err);
    for (size_t i = 0; i < n && status == PIPPIN_OK; i++) {
        const pippin_generate_result *r = &jobs[i].result;
        status = pp_gathered_status(&texts[i], &jobs[i], err);
        if (status == PIPPIN_OK && !pp_ballot_add(ballot, words, texts[i].text.bytes, texts[i].text.n))
            status = pp_fail_memory(err, "an answer", texts[i].text.n);
        if (first + i == 0)
            *sum = *r;
        else
            sum->n_generated += r->n_generated;
        if (r->finish == PIPPIN_FINISH_LENGTH) sum->finish = r->finish;
    }
    for (size_t i = 0; i < n; i++) pp_free(texts[i].text.bytes);
    return status;
}

pippin_status pp_settle(const pp_talk *talk, int32_t n_vote, double share, const char *words, const pp_prompt *p,
                        const pp_loaded *loaded, char **out, pippin_generate_result *sum, pippin_error *err)
{
    const double start = pp_seconds();
    const size_t n_answer = (size_t)PP_MAX(n_vote, 1);
    pp_ballot ballot;
    pippin_status status = PIPPIN_OK;
    *out = NULL;
    if (!pp_ballot_open(&ballot, n_answer)) return pp_fail_memory(err, "answers", n_answer * sizeof *ballot.answers);
    pippin_generate_options options = pp_talk_generate(talk, loaded, p);
    options.on_token = pp_gather;
    if (words && !options.max_tokens) options.max_tokens = 2 * p->ids.n + 16; /* more is no correction */
    pp_ballot_heat(n_vote, &options.sampling);
    while (status == PIPPIN_OK && ballot.n < n_answer)
        status =
            add_answers(&options, p, words, loaded, PP_MIN(n_answer - ballot.n, loaded->n_together), &ballot, sum, err);
    sum->generate_seconds = pp_seconds() - start - sum->prompt_seconds;
    if (status == PIPPIN_OK) *out = pp_ballot_elect(&ballot, words, pp_ballot_least(share, n_vote));
    if (status == PIPPIN_OK && !*out) status = pp_fail_memory(err, "an answer", p->text.n);
    pp_ballot_close(&ballot);
    return status;
}
