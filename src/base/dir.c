/* dir.c - what a folder holds, removing files, appending, and sweeping up after writers that died. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool add_name(pp_names *names, size_t *room, const char *name)
{
    if (!pp_make_room(&names->items, names->n, room, sizeof *names->items)) return false;
    names->items[names->n] = pp_strdup(name);
    return names->items[names->n] && ++names->n;
}

pippin_status pp_dir_list(const char *path, pp_names *out, pippin_error *err)
{
    *out = (pp_names){0};
    DIR *dir = opendir(path);
    if (!dir)
        return pp_fail(err, PIPPIN_E_IO, "%s: the folder cannot be read: %s; check the path", path, strerror(errno));
    size_t room = 0;
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) ok = add_name(out, &room, e->d_name);
    closedir(dir);
    if (!ok) {
        pp_names_free(out);
        return pp_fail_memory(err, path, 64);
    }
    if (out->n) qsort(out->items, out->n, sizeof *out->items, by_bytes);
    return PIPPIN_OK;
}

void pp_names_free(pp_names *names)
{
    for (size_t i = 0; i < names->n; i++) pp_free(names->items[i]);
    pp_free(names->items);
    *names = (pp_names){0};
}

pippin_status pp_file_remove(const char *path, pippin_error *err)
{
    if (unlink(path) == 0 || errno == ENOENT) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_IO, "%s: cannot be removed: %s; remove it by hand", path, strerror(errno));
}

pippin_status pp_append_open(const char *path, FILE **out, pippin_error *err)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    *out = fd < 0 ? NULL : fdopen(fd, "ab");
    if (*out) return PIPPIN_OK;
    const int reason = errno;
    if (fd >= 0) close(fd);
    return pp_fail(err, PIPPIN_E_IO, "%s: cannot be appended to: %s", path, strerror(reason));
}

/* The process of "NAME.tmp-PID", or 0 where the name is none of a writer's. */
static long writer_of(const char *name)
{
    const char *mark = strstr(name, ".tmp-");
    if (!mark) return 0;
    long pid = 0;
    const char *p = mark + 5;
    for (; *p >= '0' && *p <= '9' && pid < 100000000; p++) pid = 10 * pid + (*p - '0');
    return *p ? 0 : pid;
}

pippin_status pp_writer_clean(const char *dir, pippin_error *err)
{
    pp_names names;
    pippin_status status = pp_dir_list(dir, &names, err);
    for (size_t i = 0; i < names.n && status == PIPPIN_OK; i++) {
        const long pid = writer_of(names.items[i]);
        /* Our own number is another's old one: this process has no writer open, as the caller promises. */
        if (pid <= 0 || (pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno != ESRCH))) continue;
        char *path = pp_path_join(dir, names.items[i]);
        status = path ? pp_file_remove(path, err) : pp_fail_memory(err, dir, 64);
        pp_free(path);
    }
    pp_names_free(&names);
    return status;
}
