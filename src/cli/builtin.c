/* builtin.c - the models and adapters that come with the program, by name. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#ifndef PIPPIN_DATA_DIR
#define PIPPIN_DATA_DIR "/usr/local/share/pippin"
#endif

const char pp_builtin_model[] = "mini";

/* FOLDER/NAME.ending where that is a file; NULL: it is not, or there was no memory. */
static char *look_in(const char *folder, const char *name, const char *ending)
{
    char file[64];
    const int n = snprintf(file, sizeof file, "%s%s", name, ending);
    char *path = n > 0 && (size_t)n < sizeof file ? pp_path_join(folder, file) : NULL;
    if (path && pp_path_exists(path)) return path;
    pp_free(path);
    return NULL;
}

char *pp_builtin(const char *name, const char *ending)
{
    static const char *const beside[] = {"../models", "../share/pippin"};
    const char *given = getenv("PIPPIN_MODELS");
    if (given && *given) return look_in(given, name, ending);
    char *program = pp_path_program();
    char *folder = program ? pp_path_dir(program) : NULL, *found = NULL;
    for (size_t i = 0; folder && !found && i < sizeof beside / sizeof *beside; i++) {
        char *place = pp_path_join(folder, beside[i]);
        if (place) found = look_in(place, name, ending);
        pp_free(place);
    }
    pp_free(folder);
    pp_free(program);
    return found ? found : look_in(PIPPIN_DATA_DIR, name, ending);
}

const char *pp_builtin_default(void)
{
    char *path = pp_builtin(pp_builtin_model, ".gguf");
    const bool there = path != NULL;
    pp_free(path);
    return there ? pp_builtin_model : NULL;
}

char *pp_builtin_or(const char *name, const char *ending)
{
    const bool bare = *name && !strpbrk(name, "/.") && !pp_path_exists(name);
    char *found = bare || name == pp_builtin_model ? pp_builtin(name, ending) : NULL;
    return found ? found : pp_strdup(name);
}
