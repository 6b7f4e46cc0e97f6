/* generate.c - one continuation of a prompt, streamed as it comes. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <unistd.h>

#include "cli/settle.h"

typedef struct generate_args {
    pp_talk talk;
    const char *prompt, *file, *tokens, *messages;
    int32_t logprobs, votes;
    double share;
    bool guard, echo, count_tokens, show_prompt, verbose;
} generate_args;

#define AT(field) offsetof(generate_args, field)

static const pp_option prompt_options[] = {
    {PP_OPT_TEXT("prompt", "TEXT", AT(prompt)), .letter = 'p',
     .help = "the text to continue; \"\" is the beginning of a text"},
    {PP_OPT_TEXT("file", "FILE", AT(file)), .letter = 'f', .files = "",
     .help = "read the prompt from a file, - for stdin (default: stdin, unless it is a terminal)"},
    {PP_OPT_TEXT("tokens", "IDS", AT(tokens)),
     .help = "the prompt as token ids, separated by commas or white space; @FILE reads them from a file, - from stdin"},
    {PP_OPT_TEXT("messages", "FILE", AT(messages)), .files = "json",
     .help = "the prompt as a conversation: a JSON list of messages in OpenAI's shape, - for stdin"},
    {PP_OPT_FLAG("raw", AT(talk.raw)),
     .help = "the prompt as it is, without chat template; what models without one do anyway"},
    {0}};

static const pp_option vote_options[] = {
    {PP_OPT_FLAG("guard", AT(guard)),
     .help = "the answer may only put the user's words right: single words nearly alike, and one said twice may go; "
             "it is printed when it is whole"},
    {PP_OPT_INT("votes", "N", AT(votes), 1, 1000),
     .help = "draw N answers by their probability at --temp (default: 1) and print the one that has most in common "
             "with the others, or with --guard the corrections that enough of them have"},
    {PP_OPT_REAL("share", "X", AT(share), 0, 1),
     .help = "with --guard, the share of --votes that a correction needs (default: 0.3)"},
    {0}};

static const pp_option output_options[] = {
    {PP_OPT_FLAG("echo", AT(echo)), .help = "put the prompt before the continuation"},
    {PP_OPT_INT("logprobs", "K", AT(logprobs), 1, PIPPIN_MAX_LOGPROBS),
     .help =
         "with --json, each token's log-probability and the K likeliest at its place, before penalties and filters"},
    {PP_OPT_FLAG("count-tokens", AT(count_tokens)), .help = "only print how many tokens the prompt has"},
    {PP_OPT_FLAG("show-prompt", AT(show_prompt)), .help = "only print the prompt as the model reads it"},
    {PP_OPT_FLAG("verbose", AT(verbose)), .letter = 'v', .help = "rates on stderr at the end"},
    {0}};

/* ---- the prompt ---- */

/* An answer that is computed whole. */
static int check_whole(const generate_args *args)
{
    const pp_talk *t = &args->talk;
    if (args->share > 0 && (!args->votes || !args->guard))
        return pp_error(PP_EXIT_USAGE, "--share: found without %s, expected it with that; pass both",
                        args->votes ? "--guard" : "--votes");
    if (args->votes && (t->draft || t->lookup))
        return pp_error(PP_EXIT_USAGE,
                        "%s: found with --votes, whose answers are drawn together, expected one of them; leave one out",
                        t->draft ? "--draft" : "--lookup");
    if (args->guard && t->raw)
        return pp_error(PP_EXIT_USAGE,
                        "--raw: found with --guard, which puts a user's words right, expected one of them; leave one "
                        "out");
    const char *other = args->tokens ? "--tokens" : args->echo ? "--echo" : args->logprobs ? "--logprobs" : NULL;
    if ((!args->guard && !args->votes) || !other) return 0;
    return pp_error(PP_EXIT_USAGE,
                    "%s: found with %s, whose answer is a text of its own, expected one of them; leave one out", other,
                    args->guard ? "--guard" : "--votes");
}

/* Options that would have no effect together are slips. */
static int check_options(const generate_args *args)
{
    const pp_talk *t = &args->talk;
    const int n_given =
        (args->prompt != NULL) + (args->file != NULL) + (args->tokens != NULL) + (args->messages != NULL);
    if (args->logprobs && !t->common.json)
        return pp_error(PP_EXIT_USAGE,
                        "--logprobs: found without --json, expected both; a plain text has no place for them");
    if (n_given > 1)
        return pp_error(PP_EXIT_USAGE,
                        "prompt: found more than one of --prompt, --file, --tokens and --messages, expected "
                        "one; leave others out");
    if (args->count_tokens && args->show_prompt)
        return pp_error(PP_EXIT_USAGE, "--show-prompt: found with --count-tokens, expected one of them; leave one out");
    if (t->raw && (t->template || t->system || args->messages))
        return pp_error(PP_EXIT_USAGE,
                        "--raw: found with %s, which needs a chat template, expected one of them; "
                        "leave one out",
                        t->template ? "--template"
                        : t->system ? "--system"
                                    : "--messages");
    if (args->tokens && (t->template || t->system))
        return pp_error(PP_EXIT_USAGE,
                        "%s: found with --tokens, which are taken as they are, expected one of them; leave one out",
                        t->template ? "--template" : "--system");
    if (args->messages && t->system)
        return pp_error(PP_EXIT_USAGE,
                        "--system: found with --messages, expected one of them; put it into the messages");
    return check_whole(args);
}

/* Reads what does not need the model, so that a slip shows before a large file is opened. */
static int read_prompt(const generate_args *args, pp_prompt *out)
{
    *out = (pp_prompt){0};
    int code = check_options(args);
    if (!code) code = pp_talk_check(&args->talk);
    if (code) return code;
    if (args->tokens) return pp_read_ids("--tokens", args->tokens, &out->ids);
    if (args->prompt) return pp_append(&out->text, args->prompt, strlen(args->prompt)) ? 0 : pp_no_memory();
    out->is_messages = args->messages != NULL;
    const char *file = args->messages ? args->messages : args->file;
    if (!file && isatty(STDIN_FILENO))
        return pp_error(PP_EXIT_USAGE,
                        "prompt: found none, expected -p TEXT, -f FILE, --messages FILE, --tokens IDS, or text "
                        "on stdin");
    return pp_read_all(file ? file : "-", &out->text);
}

/* What --guard lets an answer put right. */
static int read_words(const pp_prompt *p, char **out)
{
    json_error_t at;
    if (!p->is_messages) return pp_correct_text(p->text.bytes, p->text.n, out);
    json_t *root = json_loadb(p->text.bytes, p->text.n, 0, &at);
    const int code = pp_correct_words(json_is_object(root) ? json_object_get(root, "messages") : root, out);
    json_decref(root);
    return code;
}

static int tokenize_prompt(const generate_args *args, const pippin_model *model, pp_prompt *p)
{
    if (!args->tokens) return pp_prompt_tokenize(&args->talk, model, p);
    return p->ids.n ? 0 : pp_error(PP_EXIT_USAGE, "--tokens: found no ids, expected at least one, such as 1,2,3");
}

/* ---- the answer ---- */

typedef struct answer {
    bool streams, has_text;
    int32_t *ids; /* [n_ctx + 1] */
    size_t n;
    pp_buffer text;   /* gathered for --json only */
    json_t *logprobs; /* a list, where they were asked for */
    bool no_memory;
} answer;

static void emit_text(answer *a, const char *bytes, size_t n)
{
    if (a->streams)
        pp_write(bytes, n);
    else if (!pp_append(&a->text, bytes, n))
        a->no_memory = true;
}

static void emit_id(answer *a, int32_t id, bool first)
{
    if (a->streams) pp_print(first ? "%d" : " %d", (int)id);
}

/* OpenAI's shape, with ids instead of token texts, which need not be whole characters. */
static void keep_logprobs(answer *a, const pippin_token_event *event)
{
    json_t *top = json_array();
    for (size_t i = 0; i < event->n_top; i++)
        json_array_append_new(top, json_pack("{s:i, s:o}", "id", (int)event->top[i].id, "logprob",
                                             pp_json_number((double)event->top[i].logprob)));
    json_array_append_new(a->logprobs, json_pack("{s:i, s:o, s:o}", "id", (int)event->id, "logprob",
                                                 pp_json_number((double)event->logprob), "top_logprobs", top));
}

static int on_token(void *user, const pippin_token_event *event)
{
    answer *a = user;
    if (event->id >= 0) a->ids[a->n++] = event->id;
    if (event->id >= 0 && a->logprobs) keep_logprobs(a, event);
    if (a->has_text)
        emit_text(a, event->text, event->n_bytes);
    else if (event->id >= 0)
        emit_id(a, event->id, a->n == 1);
    /* Nobody reads what cannot be written: stop computing it. */
    return a->no_memory || (a->streams && !pp_flush()) || pp_interrupted();
}

static int echo_prompt(const generate_args *args, const pippin_tokenizer *tokenizer, const pp_prompt *p, answer *a)
{
    if (!args->tokens) {
        emit_text(a, p->text.bytes, p->text.n); /* with the template's pieces around it, where there is one */
        return 0;
    }
    if (!tokenizer) {
        for (size_t i = 0; i < p->ids.n; i++) emit_id(a, p->ids.items[i], i == 0);
        if (a->streams) pp_print(" ");
        return 0;
    }
    pp_buffer text;
    const int code = pp_ids_to_text(tokenizer, &p->ids, &text);
    if (!code) emit_text(a, text.bytes, text.n);
    pp_free(text.bytes);
    return code;
}

static double rate(size_t n, double seconds) { return seconds > 0 ? (double)n / seconds : 0; }

static json_t *to_json(const answer *a, const pippin_generate_result *r, double load_seconds)
{
    static const char *const reasons[] = {
        [PIPPIN_FINISH_STOP] = "stop", [PIPPIN_FINISH_LENGTH] = "length", [PIPPIN_FINISH_CANCELLED] = "cancelled"};
    const size_t n_read = r->n_prompt - r->n_cached;
    json_t *timings =
        json_pack("{s:f, s:I, s:f, s:f, s:I, s:f, s:f, s:I, s:I}", "load_ms", 1e3 * load_seconds, "prompt_n",
                  (json_int_t)n_read, "prompt_ms", 1e3 * r->prompt_seconds, "prompt_per_second",
                  rate(n_read, r->prompt_seconds), "predicted_n", (json_int_t)r->n_generated, "predicted_ms",
                  1e3 * r->generate_seconds, "predicted_per_second", rate(r->n_generated, r->generate_seconds),
                  "draft_n", (json_int_t)r->n_drafted, "draft_n_accepted", (json_int_t)r->n_accepted);
    json_t *o = json_pack("{s:o, s:o, s:s, s:{s:I, s:I, s:I}, s:o, s:I}", "text",
                          a->has_text ? pp_json_text(a->text.bytes, a->text.n) : json_null(), "tokens",
                          pp_json_ids(a->ids, a->n), "finish_reason", reasons[r->finish], "usage", "prompt_tokens",
                          (json_int_t)r->n_prompt, "cached_tokens", (json_int_t)r->n_cached, "completion_tokens",
                          (json_int_t)r->n_generated, "timings", timings, "peak_rss_bytes", (json_int_t)pp_peak_rss());
    if (o && a->logprobs) json_object_set(o, "logprobs", a->logprobs);
    return o;
}

static void print_footer(const pippin_generate_result *r, double load_seconds)
{
    const size_t n_read = r->n_prompt - r->n_cached;
    fprintf(stderr,
            "pippin: loaded in %.2f s; prompt %zu tokens, %.1f tokens/s; generated %zu tokens, %.1f tokens/s%s; "
            "peak memory %s\n",
            load_seconds, r->n_prompt, rate(n_read, r->prompt_seconds), r->n_generated,
            rate(r->n_generated, r->generate_seconds), pp_talk_guesses(r).text, pp_size(pp_peak_rss()).text);
}

static int generate(const generate_args *args, const pp_loaded *loaded, const pp_prompt *p, answer *a)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(loaded->model);
    int code = args->echo ? echo_prompt(args, tokenizer, p, a) : 0;
    if (code) return code;
    if (a->streams) pp_flush();
    pippin_generate_options options = pp_talk_generate(&args->talk, loaded, p);
    options.logprobs = args->talk.common.json ? args->logprobs : 0;
    options.on_token = on_token;
    options.user = a;
    pippin_generate_result result = {.n_prompt = p->ids.n, .finish = PIPPIN_FINISH_CANCELLED};
    pippin_error err;
    const pippin_status status =
        pippin_generate(loaded->session, p->ids.items, p->ids.n, &options, NULL, 0, &result, &err);
    const bool begun = a->n > 0 || args->echo;
    if (a->streams && (begun || status == PIPPIN_OK)) pp_print("\n");
    if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED) return pp_failed(&err);
    if (a->no_memory) return pp_no_memory();
    if (!a->streams) code = pp_print_json(to_json(a, &result, loaded->seconds));
    if (args->verbose) print_footer(&result, loaded->seconds);
    return pp_interrupted() ? PP_EXIT_INTERRUPTED : code;
}

/* --guard, --votes: not before all answers are over is there a text. */
static int settle(const generate_args *args, const char *words, pp_loaded *loaded, const pp_prompt *p, answer *a)
{
    enum { TOGETHER = 8 };
    pippin_generate_result result = {.n_prompt = p->ids.n};
    pippin_error err;
    char *text;
    int code = pp_load_together(&args->talk.common, PP_MIN((size_t)args->votes, TOGETHER), loaded);
    if (code) return code;
    const pippin_status status =
        pp_settle(&args->talk, args->votes, args->share, words, p, loaded, &text, &result, &err);
    if (status == PIPPIN_E_CANCELLED) return PP_EXIT_INTERRUPTED;
    if (status != PIPPIN_OK) return pp_failed(&err);
    emit_text(a, text, strlen(text));
    pp_free(text);
    if (a->no_memory) return pp_no_memory();
    if (a->streams)
        pp_print("\n");
    else
        code = pp_print_json(to_json(a, &result, loaded->seconds));
    if (args->verbose) print_footer(&result, loaded->seconds);
    return code;
}

/* `words`: what --guard lets an answer put right, else NULL. */
static int start(const generate_args *args, pippin_model *model, double open_seconds, const char *words,
                 const pp_prompt *p)
{
    pp_loaded loaded;
    int code = pp_load_session(&args->talk.common, model, 0, &loaded);
    if (code) return code;
    loaded.seconds += open_seconds;
    code = pp_talk_load_draft(&args->talk, &loaded);
    if (code) {
        pp_unload(&loaded);
        return code;
    }
    answer a = {.streams = !args->talk.common.json, .has_text = pippin_model_tokenizer(loaded.model) != NULL};
    a.ids = pp_alloc_zero((size_t)pippin_session_n_ctx(loaded.session) + 1, sizeof *a.ids);
    if (args->logprobs) a.logprobs = json_array();
    if (!a.ids || (args->logprobs && !a.logprobs))
        code = pp_no_memory();
    else
        code = words || args->votes ? settle(args, words, &loaded, p, &a) : generate(args, &loaded, p, &a);
    json_decref(a.logprobs);
    pp_free(a.ids);
    pp_free(a.text.bytes);
    pp_unload(&loaded);
    return code;
}

/* --count-tokens and --show-prompt: the same prompt that would be run, and nothing is. */
static int tell_prompt(const generate_args *args, const pippin_model *model, const pp_prompt *p)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(model);
    pp_buffer text = {0};
    if (args->count_tokens) {
        if (args->talk.common.json) return pp_print_json(json_pack("{s:I}", "prompt_tokens", (json_int_t)p->ids.n));
        pp_print("%zu\n", p->ids.n);
        return 0;
    }
    if (args->tokens && !tokenizer)
        return pp_error(PP_EXIT_FAILURE,
                        "--show-prompt: found ids without a tokenizer, expected one that tells their text; pass "
                        "--tokenizer FILE");
    int code = args->tokens ? pp_ids_to_text(tokenizer, &p->ids, &text) : 0;
    const pp_buffer *shown = args->tokens ? &text : &p->text;
    if (!code && args->talk.common.json)
        code = pp_print_json(json_pack("{s:o, s:o}", "prompt", pp_json_text(shown->bytes, shown->n), "tokens",
                                       pp_json_ids(p->ids.items, p->ids.n)));
    else if (!code) {
        pp_write(shown->bytes, shown->n);
        pp_print("\n");
    }
    pp_free(text.bytes);
    return code;
}

static int run(const void *raw)
{
    const generate_args *args = raw;
    pp_prompt p = {0};
    pippin_model *model = NULL;
    char *words = NULL;
    int code = pp_require_model(&args->talk.common);
    if (!code) code = read_prompt(args, &p);
    if (!code && args->guard) code = read_words(&p, &words);
    const double opening = pp_seconds();
    if (!code) code = pp_load_model(&args->talk.common, &model);
    const double open_seconds = pp_seconds() - opening;
    if (!code) code = tokenize_prompt(args, model, &p);
    if (code || args->count_tokens || args->show_prompt) {
        if (!code) code = tell_prompt(args, model, &p);
        pippin_model_free(model);
    } else
        code = start(args, model, open_seconds, words, &p);
    pp_prompt_free(&p);
    pp_free(words);
    return code;
}

static const pp_option_group groups[] = {{"Prompt", prompt_options},
                                         {NULL, pp_options_template},
                                         PP_TALK_GROUPS,
                                         {"Corrections and votes", vote_options},
                                         {"Output", output_options},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_generate = {
    .name = "generate",
    .summary = "Continue a prompt, and print the continuation as it comes.",
    .synopsis = "[-m MODEL] [options] [-p TEXT | -f FILE | --messages FILE | --tokens IDS]",
    .details =
        "Prints the continuation only, then a newline; with --echo the prompt before it. Where the model has a chat "
        "template, the prompt is what a user says and the answer is continued; pieces of the template in it "
        "are text like any other. Without template, or with --raw, a text is taken to its last byte, and the "
        "token that begins a text is put before it where the model has one. "
        "Without tokenizer the prompt is given as --tokens, and ids are printed. Ctrl-C stops and keeps what "
        "is there (exit code 130). With --draft or --lookup tokens are guessed, and one pass of the model checks "
        "several: the answer is the one that it would be without, where it is sampled one by the same law. With "
        "--guard the answer is the user's text with corrections alone, and with --votes it is one of several: it is "
        "computed whole and then printed, without token ids.\n\n"
        "  pippin generate -m stories260K.bin --tokenizer tok512.bin -p \"Once upon a time\" -n 60\n"
        "  pippin generate -m base.gguf -d draft.gguf -p \"What is a graft?\" --verbose\n"
        "  pippin generate -m base.gguf --lookup -f report.txt --system \"Correct the spelling.\"\n"
        "  pippin generate -a proofread --system \"Correct the errors.\" --guard -p \"Teh end.\"",
    .groups = groups,
    .args_size = sizeof(generate_args),
    .run = run,
    .builtin = true,
};
