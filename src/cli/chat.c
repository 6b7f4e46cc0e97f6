/*
 * chat.c - a conversation. The whole of it is rendered anew for every turn, and the session finds what it has read already: the
 * next answer begins after the new words only.
 */
#include <string.h>

#include "cli/lines.h"
#include "cli/talk.h"

typedef struct chat_args {
    pp_talk talk;
    bool no_history;
} chat_args;

#define AT(field) offsetof(chat_args, field)

static const pp_option own_options[] = {{.name = "no-history",
                                         .kind = PP_OPTION_FLAG,
                                         .target = AT(no_history),
                                         .help = "keep no file of the lines that were typed"},
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
} chat;

/* ---- a turn ---- */

static int on_token(void *user, const pippin_token_event *event)
{
    chat *c = user;
    pp_write(event->text, event->n_bytes);
    c->broken |= !pp_append(&c->answer, event->text, event->n_bytes) || !pp_flush();
    return c->broken || pp_interrupted();
}

/* The answer may go on, but there is no more room for it. */
static void tell_full(const chat *c)
{
    const int32_t n_ctx = pippin_session_n_ctx(c->loaded.session);
    if (c->last.finish != PIPPIN_FINISH_LENGTH || c->last.n_prompt + c->last.n_generated <= (size_t)n_ctx) return;
    pp_error(
        0,
        "context: %zu tokens of the conversation and %zu of this answer fill the %d that it holds; /reset begins a "
        "new one, --ctx N makes room for a longer one",
        c->last.n_prompt, c->last.n_generated, (int)n_ctx);
}

/* The context is the one thing that a user can run out of; everything else that fails is told as it is. */
static int tell_failure(const chat *c, const pippin_error *err)
{
    if (err->status != PIPPIN_E_CONTEXT) return pp_failed(err);
    return pp_error(PP_EXIT_FAILURE,
                    "%s; /reset begins a new conversation, --ctx N makes room for a longer one (%d now)", err->text,
                    (int)pippin_session_n_ctx(c->loaded.session));
}

static int answer(chat *c)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(c->loaded.model);
    pp_buffer text;
    pp_prompt p = {0};
    pippin_error err;
    int code = pp_json_dump(c->messages, JSON_COMPACT, &text)
                   ? pp_prompt_render(tokenizer, c->kind, text.bytes, text.n, &p)
                   : pp_no_memory();
    pp_free(text.bytes);
    c->answer.n = 0;
    if (!code) {
        const pippin_generate_options options = {.max_tokens = (size_t)c->args->talk.n,
                                                 .sampling = pp_talk_sampling(&c->args->talk),
                                                 .stop_ids = p.n_stop_ids ? p.stop_ids : NULL,
                                                 .n_stop_ids = p.n_stop_ids,
                                                 .stop_strings = c->args->talk.stops.items,
                                                 .n_stop_strings = c->args->talk.stops.n,
                                                 .on_token = on_token,
                                                 .user = c};
        const pippin_status status =
            pippin_generate(c->loaded.session, p.ids.items, p.ids.n, &options, NULL, 0, &c->last, &err);
        pp_print("\n");
        pp_flush();
        if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED) code = tell_failure(c, &err);
        if (status == PIPPIN_OK) tell_full(c);
    }
    pp_prompt_free(&p);
    return code;
}

static bool push(json_t *messages, const char *role, const char *text, size_t n)
{
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", pp_json_text(text, n));
    return message && json_array_append_new(messages, message) == 0;
}

/* What was said is forgotten again when it cannot be answered, so that the conversation stays one. */
static void turn(chat *c, const pp_buffer *words)
{
    const size_t before = json_array_size(c->messages);
    if (!push(c->messages, "user", words->bytes, words->n)) {
        pp_no_memory();
        return;
    }
    pp_interrupt_cancels(c->loaded.session);
    const int code = answer(c);
    if (code || (pp_interrupted() && c->answer.n == 0) ||
        !push(c->messages, "assistant", c->answer.bytes ? c->answer.bytes : "", c->answer.n))
        while (json_array_size(c->messages) > before) json_array_remove(c->messages, json_array_size(c->messages) - 1);
    pp_interrupt_handled();
}

/* ---- commands ---- */

static void note(const char *text)
{
    pp_flush();
    fprintf(stderr, "%s\n", text);
}

static bool has_system(const chat *c)
{
    const char *role = json_string_value(json_object_get(json_array_get(c->messages, 0), "role"));
    return role && strcmp(role, "system") == 0;
}

static void set_system(chat *c, const char *text)
{
    if (has_system(c)) json_array_remove(c->messages, 0);
    if (*text)
        json_array_insert_new(c->messages, 0,
                              json_pack("{s:s, s:o}", "role", "system", "content", pp_json_text(text, strlen(text))));
}

static void do_system(chat *c, const char *text)
{
    set_system(c, text);
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
    if (pp_adapters_open(&texts, c->loaded.model, &next) == 0) {
        if (pippin_session_set_adapters(c->loaded.session, next.uses, next.n, &err) != PIPPIN_OK) {
            pp_failed(&err);
            pp_adapters_close(&next);
            return;
        }
        pp_adapters_close(&c->adapters);
        c->adapters = next;
        note(next.n ? "The adapter is attached." : "No adapter is attached.");
    } else
        pp_adapters_close(&next);
}

static void do_save(chat *c, const char *path)
{
    pp_buffer text;
    const bool dumped = pp_json_dump(c->messages, JSON_INDENT(1), &text);
    pippin_error err;
    pp_writer w = {0};
    if (!*path)
        note("/save FILE writes the conversation as JSON");
    else if (!dumped)
        pp_no_memory();
    else if (pp_writer_open(path, &w, &err) != PIPPIN_OK ||
             pp_writer_write(&w, text.bytes, text.n, &err) != PIPPIN_OK ||
             pp_writer_write(&w, "\n", 1, &err) != PIPPIN_OK || pp_writer_commit(&w, &err) != PIPPIN_OK)
        pp_failed(&err);
    else
        note("The conversation is saved.");
    pp_writer_abort(&w);
    pp_free(text.bytes);
}

/* Does the template take this as what comes before a user's next words? If not, says why. */
static bool is_conversation(const chat *c, const json_t *list)
{
    pp_prompt p = {0};
    const size_t n = json_array_size(list);
    const char *last = json_string_value(json_object_get(json_array_get(list, n - 1), "role"));
    json_t *next = json_copy((json_t *)(uintptr_t)list);
    if (n == 0 || !last || strcmp(last, "assistant") == 0 || strcmp(last, "system") == 0) push(next, "user", "-", 1);
    pp_buffer text;
    const bool good =
        pp_json_dump(next, JSON_COMPACT, &text)
            ? pp_prompt_render(pippin_model_tokenizer(c->loaded.model), c->kind, text.bytes, text.n, &p) == 0
            : pp_no_memory() == 0;
    pp_prompt_free(&p);
    pp_free(text.bytes);
    json_decref(next);
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
    else if (is_conversation(c, list)) {
        json_decref(c->messages);
        c->messages = json_incref(list);
        note("The conversation is loaded.");
    }
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
            "%.1f tokens/s; memory %s\n",
            pippin_session_n_tok(c->loaded.session), (int)pippin_session_n_ctx(c->loaded.session), r->n_prompt,
            r->n_cached, r->prompt_seconds > 0 ? (double)n_read / r->prompt_seconds : 0, r->n_generated,
            r->generate_seconds > 0 ? (double)r->n_generated / r->generate_seconds : 0, pp_size(pp_peak_rss()).text);
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
    char *argument = line + strcspn(line, " \t\n");
    if (*argument) *argument++ = 0;
    argument += strspn(argument, " \t\n");
    for (int i = 0; i < N_COMMAND; i++) {
        names[i] = commands[i].name;
        if (strcmp(line, commands[i].name) != 0) continue;
        if (commands[i].run) commands[i].run(c, argument);
        return commands[i].run != NULL;
    }
    const char *nearest = pp_nearest(line, names, N_COMMAND);
    pp_error(0, "%s: not a command%s%s%s; see /help", line, nearest ? ", did you mean " : "", nearest ? nearest : "",
             nearest ? "?" : "");
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
    pp_buffer words;
    bool stays = true;
    pp_lines_open(&lines, !c->args->no_history);
    if (lines.edits) note("/help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.");
    while (stays && !c->broken) {
        pp_interrupt_cancels(NULL); /* nothing runs: Ctrl-C leaves */
        if (!pp_lines_message(&lines, &words)) break;
        if (words.n && words.bytes[0] == '/' && pp_append(&words, "", 1))
            stays = command(c, words.bytes);
        else if (!is_blank(&words))
            turn(c, &words);
        pp_free(words.bytes);
    }
    if (lines.edits) pp_print("\n");
    pp_lines_close(&lines);
    return c->broken ? PP_EXIT_FAILURE : 0;
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
    if (c->args->talk.system) set_system(c, c->args->talk.system);
    return talk(c);
}

static int run(const void *raw)
{
    chat c = {.args = raw};
    int code = pp_load(&c.args->talk.common, 0, &c.loaded);
    if (!code) code = start(&c);
    json_decref(c.messages);
    pp_free(c.answer.bytes);
    if (c.loaded.model) pp_unload(&c.loaded);
    pp_adapters_close(&c.adapters);
    return code;
}

static const pp_option_group groups[] = {
    {"Conversation", pp_options_template}, {NULL, own_options},          {"Sampling", pp_options_sampling},
    {"Model", pp_options_model},           {NULL, pp_options_tokenizer}, {NULL, pp_options_session},
    {"Computing", pp_options_compute},     {"General", pp_options_help}, {0}};

const pp_command pp_command_chat = {
    .name = "chat",
    .summary = "Talk with a model, turn by turn.",
    .synopsis = "-m MODEL [options]",
    .details = "Answers are streamed as they come. /help lists what can be done between turns. From a pipe, every line "
               "is a turn.\n\n"
               "  pippin chat -m base.gguf --system \"Answer in one sentence.\"\n"
               "  printf 'Hello\\nAnd now?\\n' | pippin chat -m base.gguf -n 50",
    .groups = groups,
    .args_size = sizeof(chat_args),
    .run = run,
};
