/* training.h - what the tests of whole runs share: folders that are taken away, and a disk that is not waited for. */
#ifndef PP_TESTS_TRAINING_H
#define PP_TESTS_TRAINING_H

#include <dirent.h>
#include <unistd.h>

#include "pippin_train.h"
#include "tests/support.h"

/* In place of the system's: nothing here is about power cuts, and thousands of files are written. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

/* With the files in it; there may be none of that name. */
static void remove_folder(const char *path)
{
    DIR *list = opendir(path);
    if (!list) return;
    for (const struct dirent *e; (e = readdir(list));) {
        char file[400];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file);
    }
    closedir(list);
    rmdir(path);
}

#endif
