/* lines.c - a line from whoever talks: edited, with a history, at a terminal; plain from a pipe, or without libedit. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef PIPPIN_LIBEDIT
#include <histedit.h>
#include <locale.h>
#endif

#include "cli/lines.h"

enum { MAX_HISTORY = 1000 };

/* A folder and those above it; the last one failing says enough. */
static bool make_folders(char *path)
{
    pippin_error err;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        pp_dir_create(path, &err);
        *slash = '/';
    }
    return pp_dir_create(path, &err) == PIPPIN_OK;
}

/* $XDG_STATE_HOME/pippin/history, or below ~/.local/state; made as needed. NULL: no place for it. To be freed. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char dir[4096];
    if (state && *state == '/')
        snprintf(dir, sizeof dir, "%s", state);
    else if (home && *home == '/')
        snprintf(dir, sizeof dir, "%s/.local/state", home);
    else
        return NULL;
    char *own = pp_path_join(dir, "pippin"), *path = NULL;
    if (own && make_folders(own)) path = pp_path_join(own, "history");
    pp_free(own);
    return path;
}

#ifdef PIPPIN_LIBEDIT
static void remember(const pp_lines *l, const char *line)
{
    HistEvent event;
    history(l->past, &event, H_ENTER, line);
}

/* The last lines of the file become the history; one that has grown twice as long is cut to them. */
static void load_history(const pp_lines *l)
{
    pp_buffer all;
    pippin_error err;
    pp_writer w = {0};
    size_t start, n = 0;
    if (!pp_path_exists(l->history) || pp_read_all(l->history, &all) != 0) return;
    for (start = all.n; start > 0; start--)
        if (all.bytes[start - 1] == '\n' && n++ == MAX_HISTORY) break;
    for (size_t at = start, end; at < all.n; at = end + 1) {
        char *newline = memchr(all.bytes + at, '\n', all.n - at);
        if (!newline) break; /* broken off */
        end = (size_t)(newline - all.bytes);
        *newline = 0;
        remember(l, all.bytes + at);
        *newline = '\n';
    }
    for (size_t i = 0; i < start; i++) n += all.bytes[i] == '\n';
    if (n > 2 * MAX_HISTORY && pp_writer_open(l->history, &w, &err) == PIPPIN_OK &&
        pp_writer_write(&w, all.bytes + start, all.n - start, &err) == PIPPIN_OK)
        pp_writer_commit(&w, &err);
    pp_writer_abort(&w);
    pp_free(all.bytes);
}

/* Now, as Ctrl-C leaves at once; behind what another chat wrote. What one says to a model is nobody else's to read. */
static void keep_line(const char *path, const char *line)
{
    const int made = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    FILE *file = made >= 0 ? fdopen(made, "a") : NULL;
    if (file) {
        fprintf(file, "%s\n", line);
        fclose(file);
    } else if (made >= 0) {
        close(made);
    }
}

static char *prompt_of(EditLine *editor)
{
    pp_lines *l;
    el_get(editor, EL_CLIENTDATA, &l);
    return l->prompt;
}

static void open_editor(pp_lines *l, bool keeps_history)
{
    HistEvent event;
    /* Characters are the user's; numbers stay as they are everywhere. */
    l->locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (l->locale) uselocale(l->locale);
    l->editor = el_init("pippin", stdin, stdout, stderr);
    l->past = history_init();
    if (!l->editor || !l->past) return; /* lines come plain, then */
    history(l->past, &event, H_SETSIZE, MAX_HISTORY);
    history(l->past, &event, H_SETUNIQUE, 1);
    el_set(l->editor, EL_CLIENTDATA, l);
    el_set(l->editor, EL_PROMPT, prompt_of);
    el_set(l->editor, EL_SIGNAL, 1);
    el_set(l->editor, EL_EDITOR, "emacs");
    el_set(l->editor, EL_HIST, history, l->past);
    l->history = keeps_history ? history_path() : NULL;
    const mode_t others = umask(077);
    if (l->history) load_history(l);
    umask(others);
}

static char *edited_line(pp_lines *l)
{
    int n = 0;
    const char *typed = el_gets(l->editor, &n);
    if (!typed || n <= 0) return NULL;
    char *line = pp_strndup(typed, (size_t)n - (typed[n - 1] == '\n'));
    if (line && *line) {
        remember(l, line);
        if (l->history) keep_line(l->history, line);
    }
    return line;
}
#endif

void pp_lines_open(pp_lines *l, bool keeps_history)
{
    *l = (pp_lines){.edits = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
#ifdef PIPPIN_LIBEDIT
    if (l->edits) open_editor(l, keeps_history);
#else
    (void)keeps_history;
    (void)history_path;
#endif
}

void pp_lines_close(pp_lines *l)
{
#ifdef PIPPIN_LIBEDIT
    if (l->editor) el_end(l->editor);
    if (l->past) history_end(l->past);
    if (l->locale) {
        uselocale(LC_GLOBAL_LOCALE);
        freelocale(l->locale);
    }
#endif
    pp_free(l->history);
    *l = (pp_lines){0};
}

static char *plain_line(pp_lines *l, const char *prompt)
{
    if (l->edits) {
        pp_write(prompt, strlen(prompt));
        pp_flush();
    }
    pp_buffer line = {0};
    int byte;
    bool ok = true;
    while (ok && (byte = getc(stdin)) != EOF && byte != '\n') ok = pp_append(&line, &(char){(char)byte}, 1);
    ok = ok && !(byte == EOF && line.n == 0) && pp_append(&line, "", 1);
    if (!ok) pp_free(line.bytes);
    return ok ? line.bytes : NULL;
}

char *pp_lines_read(pp_lines *l, char *prompt)
{
#ifdef PIPPIN_LIBEDIT
    l->prompt = prompt;
    if (l->editor && l->past) return edited_line(l);
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
    static char begin[] = "> ", on[] = "... "; /* libedit wants them so */
    bool quoted = false, more = true, first = true, ok = true;
    *out = (pp_buffer){0};
    while (more && ok) {
        char *line = pp_lines_read(l, first ? begin : on);
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
