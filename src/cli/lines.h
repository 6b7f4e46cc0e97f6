/* lines.h - what somebody types, line by line. */
#ifndef PP_CLI_LINES_H
#define PP_CLI_LINES_H

#include "cli/cli.h"

typedef struct pp_lines {
    bool edits;    /* at a terminal */
    char *history; /* its file; NULL: none */
    char *prompt;
    void *editor, *past, *locale; /* libedit's, where the program is built with it */
} pp_lines;

void pp_lines_open(pp_lines *l, bool keeps_history);
void pp_lines_close(pp_lines *l);
/* The next line without its end, to be freed with pp_free; NULL at the end, or without memory. */
char *pp_lines_read(pp_lines *l, char *prompt);
/* The next message, which may have several lines; false at the end. out->bytes is to be freed. */
bool pp_lines_message(pp_lines *l, pp_buffer *out);

#endif
