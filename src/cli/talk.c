/* talk.c - what generate and chat share: options of sampling and of the chat template, and prompts from text to ids. */
#include <string.h>

#include "cli/talk.h"

#define AT(field) offsetof(pp_talk, field)

const pp_option pp_options_length[] = {
    {PP_OPT_MAX_TOKENS(AT(n)), .help = "tokens to generate at most (default: until the context is full)"}, {0}};

const pp_option pp_options_sampling[] = {
    {PP_OPT_REAL("temp", "T", AT(temperature), 0, 1000),
     .help = "temperature: 0 always takes the likeliest token, larger ones vary more (default: 0)"},
    {PP_OPT_INT("top-k", "K", AT(top_k), 0, 1 << 24), .help = "keep the K likeliest tokens (default: all)"},
    {PP_OPT_REAL("top-p", "P", AT(top_p), 0, 1),
     .help = "keep the fewest likeliest tokens whose probabilities reach P together (default: all)"},
    {PP_OPT_REAL("min-p", "P", AT(min_p), 0, 1),
     .help = "keep tokens with at least P times the probability of the likeliest (default: all)"},
    {PP_OPT_REAL("repeat-penalty", "R", AT(repeat_penalty), 0, 1000),
     .help = "make what the last 64 tokens said less likely; 1 does nothing (default: 1)"},
    {PP_OPT_TEXTS("stop", "TEXT", AT(stops)), .help = "end before this text comes; may be repeated"},
    {PP_OPT_SEED(AT(seed)),
     .help = "same seed, same text, whatever the number of threads (default: 0); with guesses: --draft-tokens K"},
    {0}};

const pp_option pp_options_template[] = {
    {PP_OPT_TEXT("system", "TEXT", AT(system)),
     .help = "what the model is told before the conversation (default: what its template says)"},
    {PP_OPT_TEMPLATE(AT(template)),
     .help = "chat template: afm, llama3, chatml or mistral (default: the tokenizer's own)"},
    {0}};

const pp_option pp_options_draft[] = {
    {PP_OPT_TEXT("draft", "MODEL", AT(draft)), .letter = 'd', .files = PP_MODEL_FILES,
     .help = "a smaller model with the same vocabulary that guesses tokens; the text follows the same law, and comes "
             "sooner"},
    {PP_OPT_TEXT("draft-tokens", "K", AT(draft_tokens)), .choices = "auto|1|2|3|4|5|6|7|8",
     .help = "tokens to guess at once, 1 to 8, or auto: as many as pay, or none (default: auto)"},
    {PP_OPT_DRAFT_VOCAB(AT(draft_vocab))},
    {PP_OPT_FLAG("lookup", AT(lookup)),
     .help = "guess what followed the same words earlier in the text, before a draft is asked"},
    {0}};

/* 0: as many as pay. */
static bool read_draft_tokens(const char *text, int32_t *out)
{
    int64_t n = 0;
    const bool good = !text || strcmp(text, "auto") == 0 || pp_parse_int(text, strlen(text), 1, 8, &n);
    *out = (int32_t)n;
    return good;
}

int pp_talk_check(const pp_talk *t)
{
    int32_t n;
    if (!read_draft_tokens(t->draft_tokens, &n))
        return pp_error(PP_EXIT_USAGE, "--draft-tokens: found \"%s\", expected 1 to 8, or auto", t->draft_tokens);
    if (t->draft_vocab && !t->draft)
        return pp_error(PP_EXIT_USAGE,
                        "--draft-vocab: found without --draft, expected both; name the model that guesses");
    if (t->draft_tokens && !t->draft && !t->lookup)
        return pp_error(PP_EXIT_USAGE,
                        "--draft-tokens: found without --draft and --lookup, expected one of them, which "
                        "guess; name one, or leave it out");
    return 0;
}

int pp_talk_load_draft(const pp_talk *t, pp_loaded *loaded)
{
    return t->draft ? pp_load_draft(&t->common, t->draft, t->draft_vocab, loaded) : 0;
}

pippin_generate_options pp_talk_generate(const pp_talk *t, const pp_loaded *loaded, const pp_prompt *p)
{
    pippin_generate_options o = {.max_tokens = (size_t)t->n,
                                 .sampling = {.temperature = t->temperature,
                                              .top_k = t->top_k,
                                              .top_p = t->top_p,
                                              .min_p = t->min_p,
                                              .repeat_penalty = t->repeat_penalty,
                                              .seed = t->seed},
                                 .stop_ids = p->n_stop_ids ? p->stop_ids : NULL,
                                 .n_stop_ids = p->n_stop_ids,
                                 .stop_strings = t->stops.items,
                                 .n_stop_strings = t->stops.n,
                                 .draft = loaded->draft,
                                 .lookup = t->lookup};
    read_draft_tokens(t->draft_tokens, &o.draft_tokens);
    return o;
}

int pp_gather(void *gathered, const pippin_token_event *event)
{
    pp_gathered *g = gathered;
    for (size_t i = 0; i < event->n_bytes && !g->no_memory; i++) {
        const char *c = event->text[i] ? event->text + i : "\xef\xbf\xbd";
        g->no_memory = !pp_append(&g->text, c, event->text[i] ? 1 : 3);
    }
    return g->no_memory || pp_interrupted();
}

pippin_status pp_gathered_status(const pp_gathered *g, const pippin_generation *job, pippin_error *err)
{
    if (g->no_memory) return pp_fail_memory(err, "an answer", g->text.n);
    if (job->status != PIPPIN_OK) *err = job->error;
    return job->result.finish == PIPPIN_FINISH_CANCELLED && job->status == PIPPIN_OK ? PIPPIN_E_CANCELLED : job->status;
}

pp_remark pp_talk_guesses(const pippin_generate_result *r)
{
    pp_remark note = {""};
    if (r->n_verify)
        snprintf(note.text, sizeof note.text, "; %zu of %zu guesses right, %.2f tokens a pass that checked some",
                 r->n_accepted, r->n_drafted, (double)(r->n_accepted + r->n_verify) / (double)r->n_verify);
    return note;
}

pippin_template pp_talk_template(const pp_talk *t, const pippin_tokenizer *tokenizer)
{
    pippin_template kind = PIPPIN_TEMPLATE_NONE;
    if (t->raw) return kind;
    if (t->template && pippin_template_from_name(t->template, &kind)) return kind;
    return pippin_tokenizer_template(tokenizer);
}

/* ---- prompts ---- */

void pp_prompt_free(pp_prompt *p)
{
    pp_free(p->text.bytes);
    pp_free(p->ids.items);
    *p = (pp_prompt){0};
}

static int raw_ids(const pp_talk *t, const pippin_tokenizer *tokenizer, pp_prompt *p)
{
    if (t->system || p->is_messages)
        return pp_error(PP_EXIT_FAILURE,
                        "%s: found, but this model has no chat template that is known, expected one for a "
                        "conversation; name it with --template",
                        t->system ? "--system" : "--messages");
    int code = pp_text_to_ids(tokenizer, p->text.bytes, p->text.n, pippin_tokenizer_bos(tokenizer) >= 0, &p->ids);
    if (!code && p->ids.n == 0)
        code = pp_error(PP_EXIT_FAILURE,
                        "prompt: found no text, expected some, as this model has no token that begins a text");
    return code;
}

/* A text as the user's words, after what the system says; NULL without memory. Both are UTF-8. */
static json_t *as_messages(const pp_talk *t, const pp_prompt *p)
{
    json_t *list = json_array();
    json_t *system = t->system ? json_pack("{s:s, s:s}", "role", "system", "content", t->system) : NULL;
    json_t *user =
        json_pack("{s:s, s:o}", "role", "user", "content", json_stringn(p->text.bytes ? p->text.bytes : "", p->text.n));
    bool good = list && user && (system || !t->system);
    if (system) good = json_array_append_new(list, system) == 0 && good;
    good = json_array_append_new(list, user) == 0 && good;
    if (good) return list;
    json_decref(list);
    return NULL;
}

static bool is_utf8(const char *text, size_t n)
{
    json_t *string = json_stringn(text, n);
    json_decref(string);
    return string != NULL;
}

static int check_text(const char *what, const char *text, size_t n)
{
    if (is_utf8(text ? text : "", n)) return 0;
    return pp_error(PP_EXIT_FAILURE, "%s: found bytes that are no UTF-8, expected text for a chat template; %s", what,
                    strcmp(what, "prompt") == 0 ? "pass it with --raw" : "write it in UTF-8");
}

int pp_prompt_render(const pippin_tokenizer *tokenizer, pippin_template kind, const char *messages, size_t n,
                     pp_prompt *p)
{
    pippin_prompt *made;
    pippin_error err;
    if (pippin_prompt_create(tokenizer, messages, n, &(pippin_prompt_options){.kind = kind}, &made, &err) != PIPPIN_OK)
        return pp_failed(&err);
    pp_free(p->text.bytes);
    p->text = (pp_buffer){0};
    p->ids.items = pp_alloc(made->n_ids * sizeof *p->ids.items);
    const bool room = p->ids.items && pp_append(&p->text, made->text, made->n_bytes);
    if (room) memcpy(p->ids.items, made->ids, made->n_ids * sizeof *p->ids.items);
    p->ids.n = room ? made->n_ids : 0;
    p->n_stop_ids = pippin_template_stop_ids(tokenizer, kind, p->stop_ids, PP_MAX_STOP_IDS);
    pippin_prompt_free(made);
    return room ? 0 : pp_no_memory();
}

int pp_prompt_tokenize(const pp_talk *t, const pippin_model *model, pp_prompt *p)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(model);
    if (!tokenizer)
        return pp_error(PP_EXIT_FAILURE,
                        "%s: has no tokenizer, expected one for a prompt in text; pass --tokenizer FILE, or the "
                        "prompt as --tokens IDS",
                        t->common.model);
    const pippin_template kind = pp_talk_template(t, tokenizer);
    if (kind == PIPPIN_TEMPLATE_NONE) return raw_ids(t, tokenizer, p);
    if (p->is_messages) {
        pp_buffer messages = p->text;
        p->text = (pp_buffer){0};
        const int code = pp_prompt_render(tokenizer, kind, messages.bytes ? messages.bytes : "", messages.n, p);
        pp_free(messages.bytes);
        return code;
    }
    int code = check_text("prompt", p->text.bytes, p->text.n);
    if (!code && t->system) code = check_text("--system", t->system, strlen(t->system));
    if (code) return code;
    json_t *list = as_messages(t, p);
    pp_buffer text = {0};
    const bool dumped = list && pp_json_dump(list, JSON_COMPACT, &text);
    json_decref(list);
    code = dumped ? pp_prompt_render(tokenizer, kind, text.bytes, text.n, p) : pp_no_memory();
    pp_free(text.bytes);
    return code;
}
