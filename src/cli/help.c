/* help.c - help texts, made from the same tables that the parser reads, and the command that prints them. */
#include <string.h>
#include <sys/ioctl.h>

#include "cli/cli.h"

enum { MIN_WIDTH = 40, MAX_WIDTH = 100, OPTION_COLUMN = 26 };

const char pp_about[] = "Language models of the AFMTextV7 architecture, and Llama and Qwen, on the CPU.";

const pp_exit_code pp_exit_codes[] = {{PP_EXIT_OK, "success"},
                                      {PP_EXIT_FAILURE, "failure"},
                                      {PP_EXIT_USAGE, "wrong usage"},
                                      {PP_EXIT_INTERRUPTED, "interrupted"},
                                      {0}};

/* The terminal's width, also where stdout goes through a pager; lines longer than MAX_WIDTH are hard to read. */
static int width(void)
{
    for (int fd = 1; fd <= 2; fd++) {
        struct winsize size;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= MIN_WIDTH) return PP_MIN((int)size.ws_col, MAX_WIDTH);
    }
    return MAX_WIDTH;
}

/* Prints text from column `at` on, wrapped at the width, further lines indented. */
static void print_wrapped(const char *text, int at, int indent)
{
    const int most = width();
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (at > indent && at + 1 + n > most) {
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

void pp_option_help(const pp_option *o, char out[PP_MAX_HELP])
{
    int n = snprintf(out, PP_MAX_HELP, "%s", o->help);
    for (size_t i = 0; o->offers & PP_OFFER_PRESETS && pippin_preset_name(i) && n < PP_MAX_HELP; i++)
        n += snprintf(out + n, PP_MAX_HELP - (size_t)n, "%s%s", i ? ", " : "; presets: ", pippin_preset_name(i));
}

static void print_option(const pp_option *o)
{
    char left[64], help[PP_MAX_HELP];
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
    pp_option_help(o, help);
    print_wrapped(help, n, OPTION_COLUMN);
}

/* Paragraphs; lines that begin with a space are examples, and stay as they are. */
static void print_details(const char *text)
{
    bool examples = false;
    while (*text) {
        char line[1024];
        const size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (line[0] == ' ') {
            if (!examples) pp_heading("Examples");
            examples = true;
            pp_print("%s\n", line);
        } else
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
    pp_print("usage: pippin COMMAND [options]\n\n");
    print_wrapped(pp_about, 0, 0);
    pp_print("\n");
    pp_heading("Commands");
    for (const pp_command *const *c = pp_commands; *c; c++) {
        pp_print("  %-12s", (*c)->name);
        print_wrapped((*c)->summary, 14, 14);
    }
    pp_print("\n"
             "  pippin help COMMAND   the options of a command\n"
             "  pippin --version      the version\n\n"
             "Exit codes: ");
    for (const pp_exit_code *e = pp_exit_codes; e->meaning; e++)
        pp_print("%s%d %s", e == pp_exit_codes ? "" : ", ", e->code, e->meaning);
    pp_print(".\n");
}

/* ---- the command ---- */

typedef struct help_args {
    pp_common common;
    bool man;
} help_args;

static const pp_option own_options[] = {
    {PP_OPT_FLAG("man", offsetof(help_args, man)), .help = "print the manual page pippin(1) instead, as man(7) source"},
    {0}};

static const pp_option operand = {.name = "command", .argument = "COMMAND", .offers = PP_OFFER_COMMANDS};

static int run(const void *raw)
{
    const help_args *args = raw;
    const char *name = args->common.operands.n ? args->common.operands.items[0] : NULL;
    const pp_command *command = name ? pp_command_find(name) : NULL;
    if (name && !command) return pp_command_unknown(name);
    if (args->man)
        pp_man_print();
    else if (command)
        pp_help_command(command);
    else
        pp_help_program();
    return PP_EXIT_OK;
}

static const pp_option_group groups[] = {{"Options", own_options}, {"General", pp_options_help}, {0}};

const pp_command pp_command_help = {
    .name = "help",
    .summary = "Show the commands, the options of one, or the manual.",
    .synopsis = "[--man] [COMMAND]",
    .details = "  pippin help generate\n"
               "  pippin help --man | man -l -",
    .groups = groups,
    .args_size = sizeof(help_args),
    .max_operands = 1,
    .operand = &operand,
    .run = run,
};
