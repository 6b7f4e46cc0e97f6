/* lines.c - a message from whoever talks: edited, with a history, at a terminal; plain from a pipe, or without libedit. */
#define _POSIX_C_SOURCE 200809L
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef PIPPIN_LIBEDIT
#include <histedit.h>
#endif

#include "cli/lines.h"

typedef enum line_kind { LINE_END, LINE_TEXT, LINE_CLEARED } line_kind;

#ifdef PIPPIN_LIBEDIT

/* ---- the history ---- */

enum { MAX_PAST = 1000 };

/* All folders of a path, as far as they are not there; false when one cannot be made. */
static bool create_folders(char *path)
{
    pippin_error err;
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        const bool there = pp_dir_create(path, &err) == PIPPIN_OK;
        *at = '/';
        if (!there) return false;
    }
    return true;
}

/* $XDG_STATE_HOME/pippin/history, or below ~/.local/state; its folders are made. NULL: no place for it. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const bool has_state = state && *state == '/';
    if (!has_state && !(home && *home == '/')) return NULL;
    char *path = pp_path_join(has_state ? state : home, has_state ? "pippin/history" : ".local/state/pippin/history");
    if (path && create_folders(path)) return path;
    pp_free(path);
    return NULL;
}

/* What people tell a model is theirs alone to read. */
static void save_history(const pp_lines *l)
{
    pp_writer w;
    HistEvent event;
    pippin_error err;
    if (pp_writer_open(l->history, &w, &err) != PIPPIN_OK || fchmod(fileno(w.file), S_IRUSR | S_IWUSR) != 0 ||
        history(l->past, &event, H_SAVE_FP, w.file) < 0 || pp_writer_commit(&w, &err) != PIPPIN_OK)
        pp_error(PP_EXIT_FAILURE,
                 "%s: the history could not be written, expected a file of your own; leave it out with "
                 "--no-history",
                 l->history);
    pp_writer_abort(&w);
}

static void remember(pp_lines *l, const char *line, size_t n)
{
    HistEvent event;
    char *copy = n ? pp_strndup(line, n) : NULL;
    if (copy) history(l->past, &event, H_ENTER, copy);
    pp_free(copy);
}

/* ---- the editor ---- */

static char *prompt_of(EditLine *editor)
{
    pp_lines *l = NULL;
    el_get(editor, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

static unsigned char on_ctrl_c(EditLine *editor, int key)
{
    pp_lines *l = NULL;
    (void)key;
    el_get(editor, EL_CLIENTDATA, &l);
    l->cleared = true;
    return CC_EOF;
}

/*
 * The editor asks the locale what a letter is, and without one it drops all that is not ASCII. Text is UTF-8 here whatever the
 * environment says, and numbers have points: so this thread has letters of UTF-8, and only while a line is edited.
 */
static locale_t begin_letters(const pp_lines *l) { return l->letters ? uselocale((locale_t)l->letters) : (locale_t)0; }

static void end_letters(locale_t before)
{
    if (before) uselocale(before);
}

/* Stops the program, as the key does elsewhere; libedit gives the terminal back and takes it again. */
static unsigned char on_ctrl_z(EditLine *editor, int key)
{
    (void)editor, (void)key;
    raise(SIGTSTP);
    return CC_REFRESH;
}

static void set_up_editor(pp_lines *l)
{
    el_set(l->editor, EL_CLIENTDATA, l);
    el_set(l->editor, EL_EDITOR, "emacs");
    el_set(l->editor, EL_SIGNAL, 1); /* what stops the program gives the terminal back first */
    el_set(l->editor, EL_HIST, history, l->past);
    el_set(l->editor, EL_PROMPT, prompt_of);
    /*
     * While a line is edited Ctrl-C is a key like any other; while an answer runs it is the signal. (A signal cannot be waited
     * for here: libedit reads on after it.)
     */
    el_set(l->editor, EL_ADDFN, "pippin-clear", "Take the message away", on_ctrl_c);
    el_set(l->editor, EL_ADDFN, "pippin-stop", "Stop the program", on_ctrl_z);
    el_set(l->editor, EL_SETTY, "-d", "-isig", NULL);
    el_set(l->editor, EL_BIND, "^C", "pippin-clear", NULL);
    el_set(l->editor, EL_BIND, "^Z", "pippin-stop", NULL);
}

static void open_editor(pp_lines *l, bool keeps_history)
{
    HistEvent event;
    l->letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    const locale_t before = begin_letters(l); /* which keys are letters is asked once, here */
    l->editor = el_init("pippin", stdin, stdout, stderr);
    l->past = history_init();
    if (l->editor && l->past) {
        history(l->past, &event, H_SETSIZE, MAX_PAST);
        history(l->past, &event, H_SETUNIQUE, 1);
        l->history = keeps_history ? history_path() : NULL;
        if (l->history) history(l->past, &event, H_LOAD, l->history);
        set_up_editor(l);
    }
    end_letters(before);
}

static void close_editor(pp_lines *l)
{
    if (l->history) save_history(l);
    if (l->editor) el_end(l->editor);
    if (l->past) history_end(l->past);
    if (l->letters) freelocale((locale_t)l->letters);
}

static bool has_editor(const pp_lines *l) { return l->editor && l->past; }

static const char *edited_line(pp_lines *l, size_t *n)
{
    int count = 0;
    const locale_t before = begin_letters(l);
    el_set(l->editor, EL_PREP_TERM, 1); /* or the prompt is there before Ctrl-C is a key */
    const char *line = el_gets(l->editor, &count);
    end_letters(before);
    if (!line || count <= 0) return NULL;
    *n = (size_t)count;
    if (line[*n - 1] == '\n') --*n;
    remember(l, line, *n);
    return line;
}

#endif

/* ---- lines ---- */

void pp_lines_open(pp_lines *l, bool keeps_history)
{
    *l = (pp_lines){.at_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    if (l->at_terminal) pp_interrupt_polled();
#ifdef PIPPIN_LIBEDIT
    if (l->at_terminal) open_editor(l, keeps_history);
#else
    (void)keeps_history;
#endif
}

void pp_lines_close(pp_lines *l)
{
#ifdef PIPPIN_LIBEDIT
    close_editor(l);
#endif
    pp_free(l->history);
    pp_free(l->plain.bytes);
    *l = (pp_lines){0};
}

static const char *plain_line(pp_lines *l, size_t *n)
{
    if (l->at_terminal) {
        pp_write(l->prompt, strlen(l->prompt));
        pp_flush();
    }
    int c;
    l->plain.n = 0;
    while ((c = getc(stdin)) != EOF && c != '\n')
        if (!pp_append(&l->plain, &(char){(char)c}, 1)) {
            pp_no_memory();
            return NULL;
        }
    if (c == EOF && pp_interrupted()) {
        l->cleared = true;
        clearerr(stdin); /* a read that a signal ended is no end */
        return NULL;
    }
    if (c == EOF && (l->plain.n == 0 || ferror(stdin))) return NULL;
    *n = l->plain.n;
    return l->plain.bytes ? l->plain.bytes : "";
}

/* The line without its end; it is there until the next one is read. */
static line_kind read_line(pp_lines *l, const char *prompt, const char **text, size_t *n)
{
    l->prompt = prompt;
    l->cleared = false;
    pp_interrupt_handled();
#ifdef PIPPIN_LIBEDIT
    *text = has_editor(l) ? edited_line(l, n) : plain_line(l, n);
#else
    *text = plain_line(l, n);
#endif
    return *text ? LINE_TEXT : l->cleared ? LINE_CLEARED : LINE_END;
}

/* ---- messages ---- */

static bool add(pp_buffer *to, const char *line, size_t n)
{
    return (to->n == 0 || pp_append(to, "\n", 1)) && pp_append(to, line, n);
}

static bool has_quotes(const char *text, size_t n) { return n >= 3 && memcmp(text, "\"\"\"", 3) == 0; }

/* A line that ends in a backslash goes on; """ begins and ends a text of several lines. */
static bool add_line(pp_message *m, const char *text, size_t n, bool first, bool *more)
{
    if (first && has_quotes(text, n)) {
        m->quoted = true;
        text += 3;
        n -= 3;
    }
    const bool ends = m->quoted && n >= 3 && has_quotes(text + n - 3, 3);
    const bool goes_on = !m->quoted && n > 0 && text[n - 1] == '\\';
    if (ends) n -= 3;
    if (goes_on) n--;
    *more = m->quoted ? !ends : goes_on;
    if (n == 0 && m->quoted && (first || ends)) return true; /* the lines of the quotes alone are none */
    return add(&m->text, text, n);
}

static bool end_of_lines(pp_message *m)
{
    pp_free(m->text.bytes);
    *m = (pp_message){0};
    return false;
}

bool pp_lines_message(pp_lines *l, pp_message *out)
{
    bool more = true, first = true;
    int n_clear = 0;
    *out = (pp_message){0};
    while (more) {
        const char *text;
        size_t n = 0;
        const line_kind kind = read_line(l, first ? "> " : "... ", &text, &n);
        if (kind == LINE_END) return !first || end_of_lines(out);
        if (kind == LINE_CLEARED) {
            pp_print(l->editor ? "^C\n" : "\n"); /* a terminal shows the key by itself */
            pp_flush();
            if (++n_clear == 2) return end_of_lines(out);
            out->text.n = 0;
            out->quoted = false;
            first = true;
            continue;
        }
        if (!add_line(out, text, n, first, &more)) {
            pp_no_memory();
            return end_of_lines(out);
        }
        first = false;
        n_clear = 0;
    }
    return true;
}
