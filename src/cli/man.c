/* man.c - the manual page, made from the same tables that the parser reads; man(7) macros, which every man reads. */
#include <string.h>

#include "cli/cli.h"

/* Text as roff shows it: hyphens that can be pasted into a shell, nothing taken for a request or an escape. */
static void print_escaped(const char *text, size_t n)
{
    if (n && (text[0] == '.' || text[0] == '\'')) pp_print("\\&");
    for (size_t i = 0; i < n; i++) switch (text[i]) {
        case '\\': pp_print("\\e"); break;
        case '-': pp_print("\\-"); break;
        case '\'': pp_print("\\(aq"); break;
        case '`': pp_print("\\(ga"); break;
        case '"': pp_print("\\(dq"); break;
        case '^': pp_print("\\(ha"); break;
        case '~': pp_print("\\(ti"); break;
        default: pp_write(text + i, 1);
        }
}

static void print_text(const char *text) { print_escaped(text, strlen(text)); }

static void print_line(const char *text)
{
    print_text(text);
    pp_print("\n");
}

static void print_section(const char *title) { pp_print(".SH %s\n", title); }

/* ---- options ---- */

/* Groups that several commands use are described once. */
static bool is_shared(const pp_option *options)
{
    size_t n = 0;
    for (const pp_command *const *c = pp_commands; *c; c++)
        for (const pp_option_group *g = (*c)->groups; g->options; g++) n += g->options == options;
    return n > 1;
}

/* "--name" in bold */
static void print_name(const pp_option *o)
{
    pp_print("\\fB\\-\\-");
    print_text(o->name);
    pp_print("\\fR");
}

static void print_option(const pp_option *o)
{
    char help[PP_MAX_HELP];
    pp_print(".TP\n");
    if (o->letter) pp_print("\\fB\\-%c\\fR, ", o->letter);
    print_name(o);
    if (o->argument) {
        pp_print(" \\fI");
        print_text(o->argument);
        pp_print("\\fR");
    }
    pp_print("\n");
    pp_option_help(o, help);
    print_line(help);
}

static void print_options(const pp_option *options)
{
    for (const pp_option *o = options; o->name; o++) print_option(o);
}

static void print_shared_names(const pp_command *command)
{
    bool any = false;
    for (const pp_option_group *g = command->groups; g->options; g++)
        for (const pp_option *o = g->options; o->name && is_shared(g->options); o++) {
            pp_print(any ? ",\n" : ".PP\nAlso, as described under COMMON OPTIONS:\n");
            print_name(o);
            any = true;
        }
    if (any) pp_print(".\n");
}

/* Each shared group where the first command that has it stands. */
static void print_shared_options(void)
{
    for (const pp_command *const *c = pp_commands; *c; c++)
        for (const pp_option_group *g = (*c)->groups; g->options; g++) {
            bool seen = false;
            for (const pp_command *const *b = pp_commands; b != c; b++)
                for (const pp_option_group *h = (*b)->groups; h->options; h++) seen |= h->options == g->options;
            if (!seen && is_shared(g->options)) print_options(g->options);
        }
}

/* ---- commands ---- */

/* Paragraphs; lines that begin with a space are examples. */
static void print_details(const char *text)
{
    bool example = false;
    while (*text) {
        const size_t n = strcspn(text, "\n");
        const bool starts = n && text[0] == ' ';
        if (starts != example)
            pp_print(starts ? ".PP\n.nf\n.RS 4\n" : ".RE\n.fi\n");
        else if (!example && n)
            pp_print(".PP\n");
        example = starts;
        const size_t indent = strspn(text, " ");
        if (n) {
            print_escaped(text + indent, n - indent);
            pp_print("\n");
        }
        text += n + (text[n] != 0);
    }
    if (example) pp_print(".RE\n.fi\n");
}

static void print_command(const pp_command *command)
{
    pp_print(".SS ");
    print_line(command->name);
    pp_print("\\fBpippin %s\\fR ", command->name);
    print_line(command->synopsis);
    pp_print(".PP\n");
    print_line(command->summary);
    for (const pp_option_group *g = command->groups; g->options; g++)
        if (!is_shared(g->options)) print_options(g->options);
    print_shared_names(command);
    if (command->details) print_details(command->details);
}

void pp_man_print(void)
{
    pp_print(".\\\" Made by: pippin help \\-\\-man\n"
             ".TH PIPPIN 1 \"\" \"pippin %s\" \"User Commands\"\n",
             pippin_version());
    print_section("NAME");
    pp_print("pippin \\- language models of Apple\\(aqs on\\-device architecture, on the CPU\n");
    print_section("SYNOPSIS");
    pp_print("\\fBpippin\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n");
    print_section("DESCRIPTION");
    print_line(pp_about);
    pp_print("Results go to standard output, progress and messages to standard error.\n"
             "A value follows its option as the next word or after an equals sign; short options may be joined, and\n"
             "after \\fB\\-\\-\\fR every word is an operand.\n");
    print_section("COMMANDS");
    for (const pp_command *const *c = pp_commands; *c; c++) print_command(*c);
    print_section("COMMON OPTIONS");
    print_shared_options();
    print_section("EXIT STATUS");
    for (const pp_exit_code *e = pp_exit_codes; e->meaning; e++) pp_print(".TP\n\\fB%d\\fR\n%s\n", e->code, e->meaning);
    pp_print(".PP\nEvery error is one line on standard error: the file or field, what was found, what was expected,\n"
             "and what to do.\n");
    print_section("ENVIRONMENT");
    pp_print(".TP\n\\fBNO_COLOR\\fR\nwhen set and not empty, headings are not in bold type\n");
    pp_print(".TP\n\\fBPIPPIN_MODELS\\fR\nthe folder of the built-in models and adapters, in place of those beside the "
             "program\n");
    print_section("SEE ALSO");
    pp_print(
        "README.md, ARCHITECTURE.md and the pages beside them, in the folder share/doc/pippin of the installation;\n"
        "\\fBpippin.h\\fR for the library.\n");
}
