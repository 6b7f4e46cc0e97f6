/* lines.c - a line from whoever talks: edited, with a history, at a terminal; plain from a pipe, or without libedit. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef PIPPIN_LIBEDIT
#include <editline/readline.h>
#endif

#include "cli/lines.h"

/* $XDG_STATE_HOME/pippin/history, or below ~/.local/state; made as needed. NULL: no place for it. To be freed. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char dir[4096];
    pippin_error err;
    if (state && *state == '/')
        snprintf(dir, sizeof dir, "%s", state);
    else if (home && *home == '/')
        snprintf(dir, sizeof dir, "%s/.local/state", home);
    else
        return NULL;
    char *own = pp_path_join(dir, "pippin"), *path = NULL;
    if (own && pp_dir_create(own, &err) == PIPPIN_OK) path = pp_path_join(own, "history");
    pp_free(own);
    return path;
}

void pp_lines_open(pp_lines *l, bool keeps_history)
{
    *l = (pp_lines){.edits = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
#ifdef PIPPIN_LIBEDIT
    if (!l->edits) return;
    using_history();
    stifle_history(1000);
    l->history = keeps_history ? history_path() : NULL;
    if (l->history) read_history(l->history);
#else
    (void)keeps_history;
    (void)history_path;
#endif
}

void pp_lines_close(pp_lines *l)
{
#ifdef PIPPIN_LIBEDIT
    if (l->history) write_history(l->history);
#endif
    pp_free(l->history);
    free(l->plain);
    *l = (pp_lines){0};
}

static char *plain_line(pp_lines *l, const char *prompt)
{
    if (l->edits) {
        pp_write(prompt, strlen(prompt));
        pp_flush();
    }
    const ssize_t n = getline(&l->plain, &l->room, stdin);
    if (n < 0) return NULL;
    if (n > 0 && l->plain[n - 1] == '\n') l->plain[n - 1] = 0;
    return pp_strdup(l->plain);
}

char *pp_lines_read(pp_lines *l, const char *prompt)
{
#ifdef PIPPIN_LIBEDIT
    if (l->edits) {
        char *line = readline(prompt), *copy = line ? pp_strdup(line) : NULL;
        if (line && *line) add_history(line);
        free(line);
        return copy;
    }
#endif
    return plain_line(l, prompt);
}

static bool add(pp_buffer *to, const char *line, size_t n)
{
    return (to->n == 0 || pp_append(to, "\n", 1)) && pp_append(to, line, n);
}

/* A line that ends in a backslash goes on; """ begins and ends a text of several lines. */
bool pp_lines_message(pp_lines *l, pp_buffer *out)
{
    bool quoted = false, more = true, first = true, ok = true;
    *out = (pp_buffer){0};
    while (more && ok) {
        char *line = pp_lines_read(l, first ? "> " : "... ");
        if (!line) break;
        size_t n = strlen(line);
        const char *text = line;
        if (!quoted && first && strncmp(line, "\"\"\"", 3) == 0) {
            quoted = true;
            text += 3;
            n -= 3;
        }
        const bool ends = quoted && n >= 3 && strcmp(text + n - 3, "\"\"\"") == 0;
        const bool goes_on = !quoted && n > 0 && text[n - 1] == '\\';
        if (ends) n -= 3;
        if (goes_on) n--;
        if (n > 0 || !(quoted && (first || ends))) ok = add(out, text, n); /* the lines of the quotes alone are none */
        more = quoted ? !ends : goes_on;
        first = false;
        pp_free(line);
    }
    return ok && !first;
}
