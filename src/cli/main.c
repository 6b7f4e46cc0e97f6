/* main.c - the command table, and what surrounds every command: its arguments, its help, its signals, its exit code. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

const pp_command *const pp_commands[] = {&pp_command_generate, &pp_command_chat,       &pp_command_tokenize,
                                         &pp_command_logits,   &pp_command_inspect,    &pp_command_plan,
                                         &pp_command_check,    &pp_command_init,       &pp_command_convert,
                                         &pp_command_quantize, &pp_command_eval,       &pp_command_train,
                                         &pp_command_distill,  &pp_command_adapter,    &pp_command_bench,
                                         &pp_command_help,     &pp_command_completion, NULL};

const pp_command *pp_command_find(const char *name)
{
    for (const pp_command *const *c = pp_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

int pp_command_unknown(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (const pp_command *const *c = pp_commands; *c && n < 32; c++) names[n++] = (*c)->name;
    const char *nearest = pp_nearest(name, names, n);
    if (!nearest) return pp_error(PP_EXIT_USAGE, "%s: not a command; see pippin --help", name);
    return pp_error(PP_EXIT_USAGE, "%s: not a command, did you mean \"%s\"? See pippin --help", name, nearest);
}

static int print_version(void)
{
    pp_print("pippin %s\n", pippin_version());
    return PP_EXIT_OK;
}

static int run_command(const pp_command *command, int argc, char **argv)
{
    pp_common *args = pp_alloc_zero(1, command->args_size);
    if (!args) return pp_no_memory();
    int code = pp_options_parse(command, argc, argv, args);
    if (code == 0 && args->help)
        pp_help_command(command);
    else if (code == 0 && args->version)
        code = print_version();
    else if (code == 0) {
        if (command->builtin && !args->model) args->model = pp_builtin_default();
        code = command->run(args);
    }
    pp_free(args);
    return code;
}

static int dispatch(int argc, char **argv)
{
    if (argc == 0)
        return pp_error(PP_EXIT_USAGE, "COMMAND: found none, expected one such as \"generate\"; see pippin --help");
    const char *name = argv[0];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) return print_version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = pp_command_help.name;
    if (name[0] == '-')
        return pp_error(PP_EXIT_USAGE, "%s: found an option, expected a command before it; see pippin --help", name);
    const pp_command *command = pp_command_find(name);
    return command ? run_command(command, argc - 1, argv + 1) : pp_command_unknown(name);
}

static void log_line(void *user, const char *line)
{
    (void)user;
    pp_progress_end();
    fprintf(stderr, "pippin: %s\n", line);
}

/*
 * A program may be started with stdout closed; the next file that it opens then becomes descriptor 1, and results would
 * be written into it. Filling the gap with a descriptor that cannot be written makes that an ordinary write error.
 */
static void fill_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(PP_EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    fill_standard_files();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error like any other */
    pp_interrupt_install();
    pippin_set_hooks(&(pippin_hooks){.log = log_line});
    int skip = argc > 0;
    return pp_finish(dispatch(argc - skip, argv + skip));
}
