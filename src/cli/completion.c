/* completion.c - scripts that complete pippin's command lines in bash, zsh and fish, made from the parser's tables. */
#include <string.h>

#include "cli/cli.h"

/* ---- what the three have in common ---- */

/* The words that a value may be, or NULL past the end. */
typedef struct words {
    const char *at; /* in choices */
    size_t i_preset, i_command;
} words;

static const char *next_word(const pp_option *o, words *state, int *n)
{
    const char *word = state->at ? state->at : o->choices;
    if (word && *word) {
        *n = (int)strcspn(word, "|");
        state->at = word + *n + (word[*n] == '|');
        return word;
    }
    word = NULL;
    if (o->offers & PP_OFFER_PRESETS) word = pippin_preset_name(state->i_preset++);
    if (!word && (o->offers & PP_OFFER_COMMANDS) && pp_commands[state->i_command])
        word = pp_commands[state->i_command++]->name;
    if (word) *n = (int)strlen(word);
    return word;
}

static bool has_words(const pp_option *o)
{
    int n;
    return next_word(o, &(words){0}, &n);
}

static void print_words(const pp_option *o)
{
    words state = {0};
    int n;
    const char *word;
    for (const char *gap = ""; (word = next_word(o, &state, &n)); gap = " ") pp_print("%s%.*s", gap, n, word);
}

static bool is_folder(const pp_option *o) { return strcmp(o->files, "/") == 0; }

/* `text` without its details: up to a colon, a semicolon or a bracket. Within the shell's single quotes: a backslash before
   what `special` names, an apostrophe as `apostrophe`. */
static void print_brief(const char *text, const char *special, const char *apostrophe)
{
    size_t n = strcspn(text, ":;(");
    while (n && text[n - 1] == ' ') n--;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\'')
            pp_print("%s", apostrophe);
        else
            pp_print(strchr(special, text[i]) ? "\\%c" : "%c", text[i]);
}

static void print_header(const char *shell)
{
    if (strcmp(shell, "zsh") == 0) pp_print("#compdef pippin\n");
    pp_print("# Completes pippin's command lines in %s. Made by: pippin completion %s\n\n", shell, shell);
}

/* ---- bash ---- */

static const char bash_functions[] =
    "# WORDS - those that begin as what was typed\n"
    "_pippin_words() {\n"
    "    local word\n"
    "    while IFS= read -r word; do COMPREPLY+=(\"$before$word\"); done < <(compgen -W \"$1\" -- \"$cur\")\n"
    "}\n\n"
    "# [END...] - folders, and files whose names have one of these ends\n"
    "_pippin_files() {\n"
    "    local path end\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    while IFS= read -r path; do COMPREPLY+=(\"$before$path\"); done < <(\n"
    "        compgen -d -- \"$cur\"\n"
    "        for end; do compgen -f -X \"!*.$end\" -- \"$cur\"; done\n"
    "    )\n"
    "}\n\n"
    "_pippin_any_file() {\n"
    "    local path\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    while IFS= read -r path; do COMPREPLY+=(\"$path\"); done < <(compgen -f -- \"$cur\")\n"
    "}\n\n";

static const char bash_begin[] =
    "_pippin() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} before='' options=''\n"
    "    COMPREPLY=()\n"
    "    # For bash \"--name=value\" is three words.\n"
    "    if [[ $cur == '=' ]]; then\n"
    "        cur=''\n"
    "    elif [[ $prev == '=' ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n";

static void bash_values(const pp_option *o)
{
    if (o->offers & PP_OFFER_LIST) pp_print("before=${cur%%\"${cur##*,}\"} cur=${cur##*,}; ");
    if (has_words(o)) {
        pp_print("_pippin_words '");
        print_words(o);
        pp_print("'; ");
    }
    if (!o->files) return;
    if (!*o->files) {
        pp_print("_pippin_any_file; ");
        return;
    }
    pp_print("_pippin_files");
    if (!is_folder(o))
        for (const char *c = o->files; *c; c++) {
            if (c == o->files) pp_print(" ");
            pp_print("%c", *c == '|' ? ' ' : *c);
        }
    pp_print("; ");
}

static void bash_command(const pp_command *command)
{
    const pp_option *o;
    pp_print("    %s)\n        options='", command->name);
    for (size_t i = 0; (o = pp_command_option(command, i)); i++) pp_print("%s--%s", i ? " " : "", o->name);
    pp_print("'\n        case $prev in\n");
    for (size_t i = 0; (o = pp_command_option(command, i)); i++) {
        if (o->kind == PP_OPTION_FLAG) continue;
        pp_print("        ");
        if (o->letter) pp_print("-%c | ", o->letter);
        pp_print("--%s) ", o->name);
        bash_values(o);
        pp_print("return ;;\n");
    }
    pp_print("        esac\n");
    if (command->operand) {
        pp_print("        if [[ $cur != -* ]]; then ");
        bash_values(command->operand);
        pp_print("return; fi\n");
    }
    pp_print("        ;;\n");
}

static void bash(void)
{
    pp_print("%s%s    if ((COMP_CWORD == 1)); then\n        _pippin_words '", bash_functions, bash_begin);
    for (const pp_command *const *c = pp_commands; *c; c++) pp_print("%s ", (*c)->name);
    pp_print("--help --version'\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (const pp_command *const *c = pp_commands; *c; c++) bash_command(*c);
    pp_print("    esac\n"
             "    _pippin_words \"$options\"\n"
             "}\n\n"
             "complete -F _pippin pippin\n");
}

/* ---- zsh ---- */

static const char zsh_functions[] = "# WORDS ENDS - these words, or files whose names have one of these ends\n"
                                    "_pippin_either() {\n"
                                    "    _alternative \"words:name:($1)\" \"files:file:_files -g '*.($2)'\"\n"
                                    "}\n\n"
                                    "# The same, several with commas between.\n"
                                    "_pippin_list() {\n"
                                    "    compset -P '*,'\n"
                                    "    _pippin_either \"$@\"\n"
                                    "}\n\n";

/* ":WHAT:ACTION" of _arguments; an action with a space before it is called without more arguments. */
static void zsh_values(const pp_option *o)
{
    pp_print(":%s:", o->argument);
    if (has_words(o) && o->files) {
        pp_print(" %s \"", o->offers & PP_OFFER_LIST ? "_pippin_list" : "_pippin_either");
        print_words(o);
        pp_print("\" \"%s\"", o->files);
    } else if (has_words(o)) {
        pp_print("(");
        print_words(o);
        pp_print(")");
    } else if (!o->files)
        pp_print(" ");
    else if (!*o->files)
        pp_print("_files");
    else if (is_folder(o))
        pp_print("_files -/");
    else
        pp_print("_files -g \"*.(%s)\"", o->files);
}

static void zsh_option(const pp_option *o)
{
    const bool takes = o->kind != PP_OPTION_FLAG, many = o->kind == PP_OPTION_TEXTS;
    pp_print(" \\\n            ");
    if (!o->letter)
        pp_print("'%s--%s%s", many ? "*" : "", o->name, takes ? "=" : "");
    else {
        if (many)
            pp_print("'*'");
        else
            pp_print("'(-%c --%s)'", o->letter, o->name);
        pp_print("{-%c%s,--%s%s}'", o->letter, takes ? "+" : "", o->name, takes ? "=" : "");
    }
    pp_print("[");
    print_brief(o->help, "[]\\", "'\\''");
    pp_print("]");
    if (takes) zsh_values(o);
    pp_print("'");
}

static void zsh_command(const pp_command *command)
{
    const pp_option *o;
    pp_print("    %s)\n        _arguments -s -S", command->name);
    for (size_t i = 0; (o = pp_command_option(command, i)); i++) zsh_option(o);
    if (command->operand) {
        pp_print(" \\\n            '1");
        zsh_values(command->operand);
        pp_print("'");
    }
    pp_print("\n        ;;\n");
}

static void zsh(void)
{
    pp_print("%s_pippin() {\n    local -a commands=(", zsh_functions);
    for (const pp_command *const *c = pp_commands; *c; c++) {
        pp_print("\n        '%s:", (*c)->name);
        print_brief((*c)->summary, "\\", "'\\''");
        pp_print("'");
    }
    pp_print("\n    )\n"
             "    if ((CURRENT == 2)); then\n"
             "        _describe -t commands command commands\n"
             "        _arguments '--help[show the commands]' '--version[show the version]'\n"
             "        return\n"
             "    fi\n"
             "    local command=$words[2]\n"
             "    shift words\n"
             "    ((CURRENT--))\n"
             "    case $command in\n");
    for (const pp_command *const *c = pp_commands; *c; c++) zsh_command(*c);
    pp_print("    esac\n"
             "}\n\n"
             "# Sourced it registers the function, in a folder of $fpath it is the function.\n"
             "if [[ ${funcstack[1]} == _pippin ]]; then _pippin \"$@\"; else compdef _pippin pippin; fi\n");
}

/* ---- fish ---- */

static const char fish_functions[] =
    "function __pippin_in # COMMAND - does the line so far call it?\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -gt 1; and test $words[2] = $argv[1]\n"
    "end\n\n"
    "function __pippin_token # what was typed of the value\n"
    "    commandline -ct | string replace -r -- '^--[a-z-]+=' ''\n"
    "end\n\n"
    "function __pippin_files # ENDS - folders, and files whose names have one of these ends\n"
    "    set -l token (__pippin_token)\n"
    "    complete -C \"'' $token\" | string match -r -- \"^(?:[^\\t]*/|[^\\t]*\\.(?:$argv[1]))(?=\\t|\\$)\"\n"
    "end\n\n"
    "function __pippin_list # WORD... - after what was typed before the last comma\n"
    "    set -l before (__pippin_token | string replace -r -- '[^,]*$' '')\n"
    "    printf '%s\\n' $before$argv\n"
    "end\n\n";

static void fish_values(const pp_option *o)
{
    const bool any = has_words(o), list = any && o->offers & PP_OFFER_LIST;
    if (o->files && !*o->files) {
        pp_print(" -r -F");
        return;
    }
    pp_print(" -x");
    if (!any && !o->files) return;
    pp_print(" -a '");
    if (list) pp_print("(__pippin_list ");
    print_words(o);
    if (list) pp_print(")");
    if (any && o->files) pp_print(" ");
    if (o->files) {
        if (is_folder(o))
            pp_print("(__fish_complete_directories (__pippin_token))");
        else
            pp_print("(__pippin_files \"%s\")", o->files);
    }
    pp_print("'");
}

static void fish_command(const pp_command *command)
{
    const pp_option *o;
    pp_print("\ncomplete -c pippin -n __fish_use_subcommand -a %s -d '", command->name);
    print_brief(command->summary, "\\", "\\'");
    pp_print("'\n");
    for (size_t i = 0; (o = pp_command_option(command, i)); i++) {
        pp_print("complete -c pippin -n '__pippin_in %s'", command->name);
        if (o->letter) pp_print(" -s %c", o->letter);
        pp_print(" -l %s", o->name);
        if (o->kind != PP_OPTION_FLAG) fish_values(o);
        pp_print(" -d '");
        print_brief(o->help, "\\", "\\'");
        pp_print("'\n");
    }
    if (command->operand) {
        pp_print("complete -c pippin -n '__pippin_in %s'", command->name);
        fish_values(command->operand);
        pp_print("\n");
    }
}

static void fish(void)
{
    pp_print("%scomplete -c pippin -f\n"
             "complete -c pippin -n __fish_use_subcommand -l help -d 'show the commands'\n"
             "complete -c pippin -n __fish_use_subcommand -l version -d 'show the version'\n",
             fish_functions);
    for (const pp_command *const *c = pp_commands; *c; c++) fish_command(*c);
}

/* ---- the command ---- */

static const pp_option operand = {.name = "shell", .argument = "SHELL", .choices = "bash|zsh|fish"};

static int run(const void *raw)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    const pp_common *common = raw;
    const char *name = common->operands.n ? common->operands.items[0] : NULL;
    if (!name) return pp_error(PP_EXIT_USAGE, "SHELL: found none, expected one of %s", operand.choices);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(name, shells[i].name) == 0) {
            print_header(name);
            shells[i].print();
            return PP_EXIT_OK;
        }
    return pp_error(PP_EXIT_USAGE, "SHELL: found \"%s\", expected one of %s", name, operand.choices);
}

static const pp_option_group groups[] = {{"Options", pp_options_help}, {0}};

const pp_command pp_command_completion = {
    .name = "completion",
    .summary = "Print a script that completes pippin's command lines in a shell.",
    .synopsis = "bash | zsh | fish",
    .details = "\"make install\" puts all three where the shells look for them. Without it, a line in the shell's own "
               "start file, or a file in a folder that it reads:\n\n"
               "  source <(pippin completion bash)                                # in ~/.bashrc\n"
               "  source <(pippin completion zsh)                                 # in ~/.zshrc, after compinit\n"
               "  pippin completion fish > ~/.config/fish/completions/pippin.fish",
    .groups = groups,
    .args_size = sizeof(pp_common),
    .max_operands = 1,
    .operand = &operand,
    .run = run,
};
