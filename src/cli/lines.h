/* lines.h - what somebody types, message by message. */
#ifndef PP_CLI_LINES_H
#define PP_CLI_LINES_H

#include "cli/cli.h"

typedef struct pp_lines {
    bool at_terminal;
    bool cleared;       /* Ctrl-C came as a key */
    char *history;      /* the file of the lines before; NULL: none is kept */
    const char *prompt; /* of the line that is read */
    struct editline *editor;
    struct history *past;
    void *letters;   /* a locale with UTF-8 */
    pp_buffer plain; /* the line, where nothing edits it */
} pp_lines;

typedef struct pp_message {
    pp_buffer text; /* to be freed */
    bool quoted;    /* it stood between """ and is no command, whatever it begins with */
} pp_message;

void pp_lines_open(pp_lines *lines, bool keeps_history);
void pp_lines_close(pp_lines *lines); /* writes the history */
/*
 * The next message, which may have several lines. Ctrl-C takes away what was typed of it; the second in a row is the end, as
 * Ctrl-D is. False at the end, or without memory after a line that says so.
 */
bool pp_lines_message(pp_lines *lines, pp_message *out);

#endif
