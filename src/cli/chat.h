/* chat.h - a conversation at the terminal: turns (chat.c), and what can be done between them (chat_commands.c). */
#ifndef PP_CLI_CHAT_H
#define PP_CLI_CHAT_H

#include "cli/talk.h"

typedef struct pp_chat {
    const pp_talk *talk;
    pp_loaded loaded;
    pippin_template kind;
    json_t *messages;     /* the system's first, where there is one */
    pp_adapters adapters; /* those of /adapter, in place of the options' */
    pippin_generate_result last;
    pp_buffer answer;
    bool guards;   /* answers may only put the user's words right */
    int32_t votes; /* answers that one comes from, or 0 */
    double share;  /* of them that a correction needs; 0: the default */
    bool broken;   /* no memory, or nobody reads the answer */
    bool failed;   /* something that was asked for could not be done */
} pp_chat;

bool pp_chat_push(json_t *messages, const char *role, const char *text, size_t n); /* false without memory */
/* Answers the last message. False after a message when there is no answer, not even a part of one. */
bool pp_chat_reply(pp_chat *chat);
/* One line beside the conversation. */
void pp_chat_note(const char *text);
/* What the system says; "": what the template does. False after a message, with everything as it was. */
bool pp_chat_set_system(pp_chat *chat, const char *text);
/* A line that begins with a slash. False: leave. */
bool pp_chat_command(pp_chat *chat, char *line);

#endif
