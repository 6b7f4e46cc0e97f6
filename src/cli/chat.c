/*
 * chat.c - a conversation. The whole of it is rendered anew for every turn, and the session finds what it has read already: the
 * next answer begins after the new words only.
 */
#include <string.h>

#include "cli/chat.h"
#include "cli/lines.h"
#include "cli/settle.h"

typedef struct chat_args {
    pp_talk talk;
    bool no_history, echo;
} chat_args;

#define AT(field) offsetof(chat_args, field)

static const pp_option own_options[] = {
    {PP_OPT_FLAG("no-history", AT(no_history)), .help = "keep no file of the lines that were typed"},
    {PP_OPT_FLAG("echo", AT(echo)), .help = "print what comes from a pipe before its answer, as a transcript"},
    {0}};

/* ---- a turn ---- */

static int on_token(void *user, const pippin_token_event *event)
{
    pp_chat *c = user;
    pp_write(event->text, event->n_bytes);
    c->broken |= !pp_append(&c->answer, event->text, event->n_bytes) || !pp_flush();
    return c->broken || pp_interrupted();
}

/* The context is the one thing that a user can run out of; everything else that fails is told as it is. */
static int tell_failure(const pp_chat *c, const pippin_error *err)
{
    if (err->status != PIPPIN_E_CONTEXT) return pp_failed(err);
    return pp_error(PP_EXIT_FAILURE,
                    "%s; /reset begins a new conversation, --ctx N makes room for a longer one (%d now)", err->text,
                    (int)pippin_session_n_ctx(c->loaded.session));
}

/* What the votes say, or a guarded answer, when it is whole. */
static pippin_status settle(pp_chat *c, const char *words, const pp_prompt *p, pippin_error *err)
{
    char *text;
    const pippin_status status = pp_settle(c->talk, c->votes, c->share, words, p, &c->loaded, &text, &c->last, err);
    if (status != PIPPIN_OK) return status;
    pp_write(text, strlen(text));
    c->broken |= !pp_append(&c->answer, text, strlen(text));
    pp_free(text);
    return status;
}

/* The answer as it comes. */
static pippin_status say(pp_chat *c, const pp_prompt *p, pippin_error *err)
{
    pippin_generate_options options = pp_talk_generate(c->talk, &c->loaded, p);
    options.on_token = on_token;
    options.user = c;
    return pippin_generate(c->loaded.session, p->ids.items, p->ids.n, &options, NULL, 0, &c->last, err);
}

/*
 * A Ctrl-C that came when the answer before had just ended waits in the session for the next call: nobody means it any more, so
 * what it stops begins again. `words`: what the answer may put right, NULL where it is free.
 */
static pippin_status speak(pp_chat *c, const char *words, const pp_prompt *p, pippin_error *err)
{
    pippin_status status;
    pp_interrupt_handled();
    pp_interrupt_cancels(c->loaded.session);
    do status = words || c->votes ? settle(c, words, p, err) : say(c, p, err);
    while (status == PIPPIN_E_CANCELLED && !pp_interrupted() && !c->broken);
    pp_interrupt_cancels(NULL);
    return status;
}

/* 0, or an exit code after a message. What there is of an answer that was stopped is in c->answer. */
static int answer(pp_chat *c)
{
    pp_buffer text = {0};
    pp_prompt p = {0};
    pippin_error err;
    char *words = NULL;
    const int n_ctx = pippin_session_n_ctx(c->loaded.session);
    c->answer.n = 0;
    int code = c->guards ? pp_correct_words(c->messages, &words) : 0;
    if (!code && !pp_json_dump(c->messages, JSON_COMPACT, &text)) code = pp_no_memory();
    if (!code) code = pp_prompt_render(pippin_model_tokenizer(c->loaded.model), c->kind, text.bytes, text.n, &p);
    pp_free(text.bytes);
    if (!code) {
        const pippin_status status = speak(c, words, &p, &err);
        if (status == PIPPIN_OK || c->answer.n) pp_print("\n");
        c->broken |= !pp_flush();
        if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED)
            code = tell_failure(c, &err);
        else if (status == PIPPIN_OK && c->last.finish == PIPPIN_FINISH_LENGTH &&
                 pippin_session_n_tok(c->loaded.session) >= (size_t)n_ctx)
            fprintf(stderr, "The context of %d tokens is full; /reset begins a new conversation.\n", n_ctx);
    }
    pp_prompt_free(&p);
    pp_free(words);
    return code;
}

bool pp_chat_push(json_t *messages, const char *role, const char *text, size_t n)
{
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", pp_json_text(text, n));
    return message && json_array_append_new(messages, message) == 0;
}

bool pp_chat_reply(pp_chat *c)
{
    if (answer(c)) {
        c->failed = true;
        return false;
    }
    if (pp_interrupted() && c->answer.n == 0) return false;
    return pp_chat_push(c->messages, "assistant", c->answer.bytes ? c->answer.bytes : "", c->answer.n) ||
           pp_no_memory() == 0;
}

/* What was said is forgotten again when it cannot be answered, so that the conversation stays one. */
static void turn(pp_chat *c, const pp_buffer *words)
{
    const size_t before = json_array_size(c->messages);
    if (!pp_chat_push(c->messages, "user", words->bytes, words->n))
        c->failed = pp_no_memory() != 0;
    else if (!pp_chat_reply(c))
        json_array_remove(c->messages, before);
}

/* ---- the conversation ---- */

static bool is_blank(const pp_buffer *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!strchr(" \t\r\n", b->bytes[i])) return false;
    return true;
}

static int talk(pp_chat *c, const chat_args *args)
{
    pp_lines lines;
    pp_message message;
    bool stays = true;
    pp_lines_open(&lines, !args->no_history);
    pp_interrupt_cancels(NULL); /* until an answer runs */
    const bool at_terminal = lines.at_terminal;
    if (at_terminal) pp_chat_note("/help lists commands; Ctrl-C stops an answer, Ctrl-D leaves.");
    while (stays && !c->broken && pp_lines_message(&lines, &message)) {
        pp_buffer *words = &message.text;
        if (args->echo && !at_terminal) pp_print("> %.*s\n", (int)PP_MIN(words->n, INT32_MAX), words->bytes);
        if (!message.quoted && words->n && words->bytes[0] == '/')
            stays = !pp_append(words, "", 1) || pp_chat_command(c, words->bytes);
        else if (!is_blank(words))
            turn(c, words);
        pp_free(words->bytes);
    }
    if (at_terminal) pp_print("\n");
    pp_lines_close(&lines);
    /* Who is there has seen what went wrong; a script asks. */
    return c->broken || (c->failed && !at_terminal) ? PP_EXIT_FAILURE : 0;
}

static int start(pp_chat *c, const chat_args *args)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(c->loaded.model);
    const char *path = c->talk->common.model;
    if (!tokenizer)
        return pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to talk with; pass --tokenizer FILE",
                        path);
    c->kind = pp_talk_template(c->talk, tokenizer);
    if (c->kind == PIPPIN_TEMPLATE_NONE)
        return pp_error(PP_EXIT_FAILURE,
                        "%s: has no chat template that is known, expected one to talk with; name one with --template, "
                        "or use pippin generate",
                        path);
    c->messages = json_array();
    if (!c->messages) return pp_no_memory();
    if (c->talk->system && !pp_chat_set_system(c, c->talk->system)) return PP_EXIT_FAILURE;
    return talk(c, args);
}

static int run(const void *raw)
{
    const chat_args *args = raw;
    pp_chat c = {.talk = &args->talk};
    int code = pp_talk_check(c.talk);
    if (!code) code = pp_load(&c.talk->common, 0, &c.loaded);
    if (!code) code = pp_talk_load_draft(c.talk, &c.loaded);
    if (!code) code = start(&c, args);
    json_decref(c.messages);
    pp_free(c.answer.bytes);
    if (c.loaded.model) pp_unload(&c.loaded);
    pp_adapters_close(&c.adapters);
    return code;
}

static const pp_option_group groups[] = {
    {"Conversation", pp_options_template}, {NULL, own_options},          PP_TALK_GROUPS,
    {"Computing", pp_options_compute},     {"General", pp_options_help}, {0}};

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
