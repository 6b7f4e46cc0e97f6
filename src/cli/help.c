/* help.c - help texts, made from the same tables that the parser reads. */
#include <string.h>

#include "cli/cli.h"

enum { WIDTH = 80, OPTION_COLUMN = 26 };

/* Prints text from column `at` on, wrapped at WIDTH, further lines indented. */
static void print_wrapped(const char *text, int at, int indent)
{
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (at > indent && at + 1 + n > WIDTH) {
            pp_print("\n");
            at = 0;
        }
        const int gap = at < indent ? indent - at : at > indent;
        pp_print("%*s%.*s", gap, "", n, text);
        at += gap + n;
        text += n;
        while (*text == ' ') text++;
    }
    pp_print("\n");
}

static void print_option(const pp_option *o)
{
    char left[64];
    const char *argument = o->argument ? o->argument : "";
    int n = o->letter
                ? snprintf(left, sizeof left, "  -%c, --%s%s%s", o->letter, o->name, *argument ? " " : "", argument)
                : snprintf(left, sizeof left, "      --%s%s%s", o->name, *argument ? " " : "", argument);
    pp_print("%s", left);
    if (n + 2 > OPTION_COLUMN) {
        pp_print("\n");
        n = 0;
    } else {
        pp_print("%*s", OPTION_COLUMN - 1 - n, "");
        n = OPTION_COLUMN - 1;
    }
    print_wrapped(o->help, n, OPTION_COLUMN);
}

/* Paragraphs; a line that begins with a space is an example, and stays as it is. */
static void print_details(const char *text)
{
    while (*text) {
        char line[512];
        const size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (line[0] == ' ')
            pp_print("%s\n", line);
        else
            print_wrapped(line, 0, 0);
        text += n + (text[n] != 0);
    }
}

void pp_help_command(const pp_command *command)
{
    pp_print("usage: pippin %s %s\n\n", command->name, command->synopsis);
    print_wrapped(command->summary, 0, 0);
    for (const pp_option_group *g = command->groups; g->options; g++) {
        if (g->title) {
            pp_print("\n");
            pp_heading(g->title);
        }
        for (const pp_option *o = g->options; o->name; o++) print_option(o);
    }
    if (command->details) {
        pp_print("\n");
        print_details(command->details);
    }
}

void pp_help_program(void)
{
    pp_print("usage: pippin COMMAND [options]\n\n"
             "Language models of the AFMTextV7 architecture, and Llama and Qwen, on the CPU.\n\n");
    pp_heading("Commands");
    for (const pp_command *const *c = pp_commands; *c; c++) {
        pp_print("  %-10s", (*c)->name);
        print_wrapped((*c)->summary, 12, 13);
    }
    pp_print("\n"
             "  pippin help COMMAND   the options of a command\n"
             "  pippin --version      the version\n\n"
             "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.\n");
}
