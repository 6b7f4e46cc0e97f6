/* chat_commands.c - what can be done between the turns of a conversation: lines that begin with a slash. */
#include <string.h>

#include "cli/chat.h"

void pp_chat_note(const char *text)
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

static bool has_system(const pp_chat *c) { return is_role(json_array_get(c->messages, 0), "system"); }

/* Is it the model's turn? */
static bool waits(const json_t *list)
{
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    return is_role(last, "user") || is_role(last, "tool");
}

/* Does the template take this, with a user's next words where they are to come? If not, says why. */
static bool is_conversation(const pp_chat *c, json_t *list)
{
    pp_prompt p = {0};
    pp_buffer text = {0};
    json_t *next = json_copy(list);
    bool good = next && (waits(list) || pp_chat_push(next, "user", "-", 1)) && pp_json_dump(next, JSON_COMPACT, &text);
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
bool pp_chat_set_system(pp_chat *c, const char *text)
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

static void do_system(pp_chat *c, const char *text)
{
    if (!pp_chat_set_system(c, text))
        c->failed = true;
    else
        pp_chat_note(*text ? "The system's words are set." : "The system's words are the template's own.");
}

static void do_reset(pp_chat *c, const char *unused)
{
    (void)unused;
    while (json_array_size(c->messages) > (size_t)has_system(c))
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    pp_chat_note("A new conversation.");
}

static void do_adapter(pp_chat *c, const char *text)
{
    pp_adapters next;
    pippin_error err;
    if (!*text) {
        pp_chat_note("/adapter FILE[=S] attaches a LoRA adapter, /adapter none drops it");
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
    pp_chat_note(next.n ? "The adapter is attached." : "No adapter is attached.");
}

static void do_guard(pp_chat *c, const char *text)
{
    const bool on = strcmp(text, "on") == 0;
    if (!on && strcmp(text, "off") != 0) {
        pp_chat_note("/guard on|off: an answer may only put your words right");
        return;
    }
    c->guards = on;
    pp_chat_note(on ? "Answers put your words right and do nothing else." : "Answers are free.");
}

static void do_votes(pp_chat *c, const char *text)
{
    const size_t n = strcspn(text, " \t");
    const char *share = text + n + strspn(text + n, " \t");
    int64_t votes = 0;
    double least = 0;
    const bool off = strcmp(text, "off") == 0, good = pp_parse_int(text, n, 1, 1000, &votes);
    if (!off && (!good || (*share && (!pp_parse_real(share, &least) || least <= 0 || least > 1)))) {
        pp_chat_note("/votes N [SHARE]|off: an answer comes from N of 1 to 1000 that are drawn; SHARE, up to 1, is for "
                     "/guard on");
        return;
    }
    c->votes = (int32_t)votes;
    c->share = least;
    pp_chat_note(off ? "An answer is one answer." : "An answer is what several come to.");
}

static void do_save(pp_chat *c, const char *path)
{
    pp_buffer text = {0};
    pippin_error err;
    pp_writer w = {0};
    if (!*path) {
        pp_chat_note("/save FILE writes the conversation as JSON");
        return;
    }
    if (!pp_json_dump(c->messages, JSON_INDENT(1), &text) || !pp_append(&text, "\n", 1))
        c->failed = pp_no_memory() != 0;
    else if (pp_writer_open(path, &w, &err) != PIPPIN_OK ||
             pp_writer_write(&w, text.bytes, text.n, &err) != PIPPIN_OK || pp_writer_commit(&w, &err) != PIPPIN_OK)
        c->failed = pp_failed(&err) != 0;
    else
        pp_chat_note("The conversation is saved.");
    pp_writer_abort(&w);
    pp_free(text.bytes);
}

/* Goes on with these messages, answering the last one where that is what comes next; else with those before. */
static bool go_on(pp_chat *c, json_t *list)
{
    json_t *before = c->messages;
    if (!is_conversation(c, list)) return false;
    c->messages = json_incref(list);
    pp_chat_note("The conversation is loaded.");
    const bool good = !waits(list) || pp_chat_reply(c);
    if (!good) c->messages = before;
    json_decref(good ? before : list);
    return good;
}

static void do_load(pp_chat *c, const char *path)
{
    json_error_t at;
    if (!*path) {
        pp_chat_note("/load FILE goes on with a saved conversation");
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

static void do_stats(pp_chat *c, const char *unused)
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

static void do_help(pp_chat *c, const char *unused);

static const struct {
    const char *name, *help;
    void (*run)(pp_chat *c, const char *argument);
} commands[] = {
    {"/help", "this list", do_help},
    {"/system", "TEXT: what the model is told before the conversation; nothing: the template's own words", do_system},
    {"/adapter", "FILE[=S]|none: attach a LoRA adapter, or drop it", do_adapter},
    {"/guard", "on|off: answers are your words with corrections alone", do_guard},
    {"/votes", "N [SHARE]|off: of N answers the one most like the others, guarded what a share has (0.3)", do_votes},
    {"/reset", "a new conversation", do_reset},
    {"/save", "FILE: write the conversation as JSON", do_save},
    {"/load", "FILE: go on with a saved one", do_load},
    {"/stats", "tokens in the context, from the cache, speed", do_stats},
    {"/exit", "leave; Ctrl-D does too", NULL},
};

enum { N_COMMAND = sizeof commands / sizeof *commands };

static void do_help(pp_chat *c, const char *unused)
{
    (void)c, (void)unused;
    pp_flush();
    for (int i = 0; i < N_COMMAND; i++) fprintf(stderr, "%-9s %s\n", commands[i].name, commands[i].help);
    fprintf(stderr, "A line that ends in \\ goes on in the next; \"\"\" begins and ends a text of several lines. "
                    "Ctrl-C stops an answer.\n");
}

/* False: leave. */
bool pp_chat_command(pp_chat *c, char *line)
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
