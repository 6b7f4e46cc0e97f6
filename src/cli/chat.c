/*
 * chat.c - a conversation. The whole of it is rendered anew for every turn, and the session finds what it has read already: the
 * next answer begins after the new words only.
 */
#include <string.h>

#include "cli/lines.h"
#include "cli/talk.h"

typedef struct chat_args {
    pp_talk talk;
    bool no_history, echo;
} chat_args;

#define AT(field) offsetof(chat_args, field)

static const pp_option own_options[] = {
    {PP_OPT_FLAG("no-history", AT(no_history)), .help = "keep no file of the lines that were typed"},
    {PP_OPT_FLAG("echo", AT(echo)), .help = "print what comes from a pipe before its answer, as a transcript"},
    {0}};

typedef struct chat {
    const chat_args *args;
    pp_loaded loaded;
    pippin_template kind;
    json_t *messages;     /* the system's first, where there is one */
    pp_adapters adapters; /* those of /adapter, in place of the options' */
    pippin_generate_result last;
    pp_buffer answer;
    bool broken; /* no memory, or nobody reads the answer */
    bool failed; /* something that was asked for could not be done */
} chat;

/* ---- a turn ---- */

static int on_token(void *user, const pippin_token_event *event)
{
    chat *c = user;
    pp_write(event->text, event->n_bytes);
    c->broken |= !pp_append(&c->answer, event->text, event->n_bytes) || !pp_flush();
    return c->broken || pp_interrupted();
}

/* The context is the one thing that a user can run out of; everything else that fails is told as it is. */
static int tell_failure(const chat *c, const pippin_error *err)
{
    if (err->status != PIPPIN_E_CONTEXT) return pp_failed(err);
    return pp_error(PP_EXIT_FAILURE,
                    "%s; /reset begins a new conversation, --ctx N makes room for a longer one (%d now)", err->text,
                    (int)pippin_session_n_ctx(c->loaded.session));
}

/*
 * A Ctrl-C that came when the answer before had just ended waits in the session for the next call: nobody means it any more, so
 * what it stops begins again.
 */
static pippin_status speak(chat *c, const pp_prompt *p, pippin_error *err)
{
    pippin_generate_options options = pp_talk_generate(&c->args->talk, &c->loaded, p);
    options.on_token = on_token;
    options.user = c;
    pippin_status status;
    pp_interrupt_handled();
    pp_interrupt_cancels(c->loaded.session);
    do status = pippin_generate(c->loaded.session, p->ids.items, p->ids.n, &options, NULL, 0, &c->last, err);
    while (status == PIPPIN_E_CANCELLED && !pp_interrupted() && !c->broken);
    pp_interrupt_cancels(NULL);
    return status;
}

/* 0, or an exit code after a message. What there is of an answer that was stopped is in c->answer. */
static int answer(chat *c)
{
    pp_buffer text;
    pp_prompt p = {0};
    pippin_error err;
    const int n_ctx = pippin_session_n_ctx(c->loaded.session);
    c->answer.n = 0;
    int code = pp_json_dump(c->messages, JSON_COMPACT, &text)
                   ? pp_prompt_render(pippin_model_tokenizer(c->loaded.model), c->kind, text.bytes, text.n, &p)
                   : pp_no_memory();
    pp_free(text.bytes);
    if (!code) {
        const pippin_status status = speak(c, &p, &err);
        if (status == PIPPIN_OK || c->answer.n) pp_print("\n");
        pp_flush();
        if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED)
            code = tell_failure(c, &err);
        else if (status == PIPPIN_OK && c->last.finish == PIPPIN_FINISH_LENGTH &&
                 c->last.n_prompt + c->last.n_generated >= (size_t)n_ctx)
            fprintf(stderr, "The context of %d tokens is full; /reset begins a new conversation.\n", n_ctx);
    }
    pp_prompt_free(&p);
    return code;
}

static bool push(json_t *messages, const char *role, const char *text, size_t n)
{
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", pp_json_text(text, n));
    return message && json_array_append_new(messages, message) == 0;
}

/* Answers the last message. False when there is no answer, not even a part of one. */
static bool reply(chat *c)
{
    if (answer(c)) {
        c->failed = true;
        return false;
    }
    if (pp_interrupted() && c->answer.n == 0) return false;
    return push(c->messages, "assistant", c->answer.bytes ? c->answer.bytes : "", c->answer.n) || pp_no_memory() == 0;
}

/* What was said is forgotten again when it cannot be answered, so that the conversation stays one. */
static void turn(chat *c, const pp_buffer *words)
{
    const size_t before = json_array_size(c->messages);
    if (!push(c->messages, "user", words->bytes, words->n))
        c->failed = pp_no_memory() != 0;
    else if (!reply(c))
        json_array_remove(c->messages, before);
}

/* ---- commands ---- */

static void note(const char *text)
{
    pp_flush();
    fprintf(stderr, "%s\n", text);
}

static const char *role_of(const json_t *message) { return json_string_value(json_object_get(message, "role")); }

static bool is_role(const json_t *message, const char *role)
{
    const char *found = role_of(message);
    return found && strcmp(found, role) == 0;
}

static bool has_system(const chat *c) { return is_role(json_array_get(c->messages, 0), "system"); }

/* Is it the model's turn? */
static bool waits(const json_t *list)
{
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    return is_role(last, "user") || is_role(last, "tool");
}

/* Does the template take this, with a user's next words where they are to come? If not, says why. */
static bool is_conversation(const chat *c, json_t *list)
{
    pp_prompt p = {0};
    pp_buffer text = {0};
    json_t *next = json_copy(list);
    bool good = next && (waits(list) || push(next, "user", "-", 1)) && pp_json_dump(next, JSON_COMPACT, &text);
    if (!good)
        pp_no_memory();
    else
        good = pp_prompt_render(pippin_model_tokenizer(c->loaded.model), c->kind, text.bytes, text.n, &p) == 0;
    pp_prompt_free(&p);
    pp_free(text.bytes);
    json_decref(next);
    return good;
}

/* False after a message, with everything as it was. Takes effect only where the template can write it. */
static bool set_system(chat *c, const char *text)
{
    json_t *next = json_copy(c->messages);
    bool good = next && (!has_system(c) || json_array_remove(next, 0) == 0);
    if (good && *text)
        good =
            json_array_insert_new(
                next, 0, json_pack("{s:s, s:o}", "role", "system", "content", pp_json_text(text, strlen(text)))) == 0;
    if (!good) pp_no_memory();
    good = good && is_conversation(c, next);
    if (good) {
        json_decref(c->messages);
        c->messages = json_incref(next);
    }
    json_decref(next);
    return good;
}

static void do_system(chat *c, const char *text)
{
    if (!set_system(c, text))
        c->failed = true;
    else
        note(*text ? "The system's words are set." : "The system's words are the template's own.");
}

static void do_reset(chat *c, const char *unused)
{
    (void)unused;
    while (json_array_size(c->messages) > (size_t)has_system(c))
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    note("A new conversation.");
}

static void do_adapter(chat *c, const char *text)
{
    pp_adapters next;
    pippin_error err;
    if (!*text) {
        note("/adapter FILE[=S] attaches a LoRA adapter, /adapter none drops it");
        return;
    }
    const pp_texts texts = {{text}, 1};
    int code = pp_adapters_open(&texts, c->loaded.model, &next);
    if (!code && pippin_session_set_adapters(c->loaded.session, next.uses, next.n, &err) != PIPPIN_OK)
        code = pp_failed(&err);
    if (code) {
        pp_adapters_close(&next);
        c->failed = true;
        return;
    }
    pp_adapters_close(&c->adapters);
    c->adapters = next;
    note(next.n ? "The adapter is attached." : "No adapter is attached.");
}

static void do_save(chat *c, const char *path)
{
    pp_buffer text = {0};
    pippin_error err;
    pp_writer w = {0};
    if (!*path) {
        note("/save FILE writes the conversation as JSON");
        return;
    }
    if (!pp_json_dump(c->messages, JSON_INDENT(1), &text) || !pp_append(&text, "\n", 1))
        c->failed = pp_no_memory() != 0;
    else if (pp_writer_open(path, &w, &err) != PIPPIN_OK ||
             pp_writer_write(&w, text.bytes, text.n, &err) != PIPPIN_OK || pp_writer_commit(&w, &err) != PIPPIN_OK)
        c->failed = pp_failed(&err) != 0;
    else
        note("The conversation is saved.");
    pp_writer_abort(&w);
    pp_free(text.bytes);
}

/* Goes on with these messages, answering the last one where that is what comes next; else with those before. */
static bool go_on(chat *c, json_t *list)
{
    json_t *before = c->messages;
    if (!is_conversation(c, list)) return false;
    c->messages = json_incref(list);
    note("The conversation is loaded.");
    const bool good = !waits(list) || reply(c);
    if (!good) c->messages = before;
    json_decref(good ? before : list);
    return good;
}

static void do_load(chat *c, const char *path)
{
    json_error_t at;
    if (!*path) {
        note("/load FILE goes on with a saved conversation");
        return;
    }
    json_t *loaded = json_load_file(path, 0, &at),
           *list = json_is_object(loaded) ? json_object_get(loaded, "messages") : loaded;
    if (!json_is_array(list))
        pp_error(PP_EXIT_FAILURE, "%s: line %d: %s; expected a JSON list of messages", path, loaded ? 1 : at.line,
                 loaded ? "no list" : at.text);
    else if (loaded != list && json_object_get(loaded, "tools"))
        pp_error(PP_EXIT_FAILURE,
                 "%s: found tools beside the messages, expected them in the system's message; move them there", path);
    else if (go_on(c, list)) {
        json_decref(loaded);
        return;
    }
    c->failed = true;
    json_decref(loaded);
}

static void do_stats(chat *c, const char *unused)
{
    const pippin_generate_result *r = &c->last;
    const size_t n_read = r->n_prompt - r->n_cached;
    (void)unused;
    pp_flush();
    fprintf(stderr,
            "context %zu of %d tokens; last prompt %zu tokens, %zu of them cached, %.1f tokens/s; answer %zu tokens, "
            "%.1f tokens/s%s; memory %s\n",
            pippin_session_n_tok(c->loaded.session), (int)pippin_session_n_ctx(c->loaded.session), r->n_prompt,
            r->n_cached, r->prompt_seconds > 0 ? (double)n_read / r->prompt_seconds : 0, r->n_generated,
            r->generate_seconds > 0 ? (double)r->n_generated / r->generate_seconds : 0, pp_talk_guesses(r).text,
            pp_size(pp_peak_rss()).text);
}

static void do_help(chat *c, const char *unused);

static const struct {
    const char *name, *help;
    void (*run)(chat *c, const char *argument);
} commands[] = {
    {"/help", "this list", do_help},
    {"/system", "TEXT: what the model is told before the conversation; nothing: the template's own words", do_system},
    {"/adapter", "FILE[=S]|none: attach a LoRA adapter, or drop it", do_adapter},
    {"/reset", "a new conversation", do_reset},
    {"/save", "FILE: write the conversation as JSON", do_save},
    {"/load", "FILE: go on with a saved one", do_load},
    {"/stats", "tokens in the context, from the cache, speed", do_stats},
    {"/exit", "leave; Ctrl-D does too", NULL},
};

enum { N_COMMAND = sizeof commands / sizeof *commands };

static void do_help(chat *c, const char *unused)
{
    (void)c, (void)unused;
    pp_flush();
    for (int i = 0; i < N_COMMAND; i++) fprintf(stderr, "%-9s %s\n", commands[i].name, commands[i].help);
    fprintf(stderr, "A line that ends in \\ goes on in the next; \"\"\" begins and ends a text of several lines. "
                    "Ctrl-C stops an answer.\n");
}

/* False: leave. */
static bool command(chat *c, char *line)
{
    const char *names[N_COMMAND];
    char *argument = line + strcspn(line, " \t\r\n");
    if (*argument) *argument++ = 0;
    argument += strspn(argument, " \t\n");
    for (size_t n = strlen(argument); n && strchr(" \t\r\n", argument[n - 1]); n--) argument[n - 1] = 0;
    for (int i = 0; i < N_COMMAND; i++) {
        names[i] = commands[i].name;
        if (strcmp(line, commands[i].name) != 0) continue;
        if (commands[i].run) commands[i].run(c, argument);
        return commands[i].run != NULL;
    }
    const char *nearest = pp_nearest(line, names, N_COMMAND);
    c->failed = true;
    pp_error(PP_EXIT_FAILURE, "%s: not a command%s%s%s /help lists them", line, nearest ? ", did you mean " : ";",
             nearest ? nearest : "", nearest ? "?" : "");
    return true;
}

/* ---- the conversation ---- */

static bool is_blank(const pp_buffer *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!strchr(" \t\r\n", b->bytes[i])) return false;
    return true;
}

static int talk(chat *c)
{
    pp_lines lines;
    pp_message message;
    bool stays = true;
    pp_lines_open(&lines, !c->args->no_history);
    pp_interrupt_cancels(NULL); /* until an answer runs */
    const bool at_terminal = lines.at_terminal;
    if (at_terminal) note("/help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.");
    while (stays && !c->broken && pp_lines_message(&lines, &message)) {
        pp_buffer *words = &message.text;
        if (c->args->echo && !at_terminal) pp_print("> %.*s\n", (int)PP_MIN(words->n, INT32_MAX), words->bytes);
        if (!message.quoted && words->n && words->bytes[0] == '/')
            stays = !pp_append(words, "", 1) || command(c, words->bytes);
        else if (!is_blank(words))
            turn(c, words);
        pp_free(words->bytes);
    }
    if (at_terminal) pp_print("\n");
    pp_lines_close(&lines);
    /* Who is there has seen what went wrong; a script asks. */
    return c->broken || (c->failed && !at_terminal) ? PP_EXIT_FAILURE : 0;
}

static int start(chat *c)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(c->loaded.model);
    const char *path = c->args->talk.common.model;
    if (!tokenizer)
        return pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to talk with; pass --tokenizer FILE",
                        path);
    c->kind = pp_talk_template(&c->args->talk, tokenizer);
    if (c->kind == PIPPIN_TEMPLATE_NONE)
        return pp_error(PP_EXIT_FAILURE,
                        "%s: has no chat template that is known, expected one to talk with; name one with --template, "
                        "or use pippin generate",
                        path);
    c->messages = json_array();
    if (!c->messages) return pp_no_memory();
    if (c->args->talk.system && !set_system(c, c->args->talk.system)) return PP_EXIT_FAILURE;
    return talk(c);
}

static int run(const void *raw)
{
    chat c = {.args = raw};
    int code = pp_talk_check(&c.args->talk);
    if (!code) code = pp_load(&c.args->talk.common, 0, &c.loaded);
    if (!code) code = pp_talk_load_draft(&c.args->talk, &c.loaded);
    if (!code) code = start(&c);
    json_decref(c.messages);
    pp_free(c.answer.bytes);
    if (c.loaded.model) pp_unload(&c.loaded);
    pp_adapters_close(&c.adapters);
    return code;
}

static const pp_option_group groups[] = {{"Conversation", pp_options_template},
                                         {NULL, own_options},
                                         {"Sampling", pp_options_length},
                                         {NULL, pp_options_sampling},
                                         {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},
                                         {NULL, pp_options_session},
                                         {"Guessing", pp_options_draft},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_help},
                                         {0}};

const pp_command pp_command_chat = {
    .name = "chat",
    .summary = "Talk with a model, turn by turn.",
    .synopsis = "[-m MODEL] [options]",
    .details =
        "Answers are streamed as they come. /help lists what can be done between turns. A line that ends in a "
        "backslash goes on in the next; \"\"\" begins and ends a text of several lines. Ctrl-C stops an answer and "
        "keeps what is there; while a line is typed it takes the line away, and twice, as Ctrl-D, it leaves. From a "
        "pipe every line is a turn, and the exit code is 1 when one of them failed.\n\n"
        "  pippin chat -m base.gguf --system \"Answer in one sentence.\"\n"
        "  printf 'Hello\\nAnd now?\\n' | pippin chat -m base.gguf -n 50",
    .groups = groups,
    .args_size = sizeof(chat_args),
    .run = run,
    .builtin = true,
};
