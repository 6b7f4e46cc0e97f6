/*
 * kill_at.c - loaded into a process before libc (LD_PRELOAD), it ends that with SIGKILL at the PP_KILL_AT-th call that opens,
 * writes, flushes, syncs, renames or removes a file. A write gets half of its bytes into the file first. Without PP_KILL_AT it
 * appends a letter for every such call to PP_KILL_LOG. train_long.sh compiles and uses it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))(__UINTPTR_TYPE__)dlsym(RTLD_NEXT, #name))

static long n_call;

static int reached(char letter)
{
    const char *at = getenv("PP_KILL_AT"), *log = getenv("PP_KILL_LOG");
    n_call++;
    if (at) return n_call == atol(at);
    const int fd = log ? REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT, 0666) : -1;
    if (fd >= 0 && write(fd, &letter, 1) == 1) close(fd);
    return 0;
}

FILE *fopen(const char *path, const char *mode)
{
    if (mode[0] != 'r' && reached('o')) raise(SIGKILL);
    return REAL(fopen)(path, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (reached('o')) raise(SIGKILL);
    return REAL(open)(path, flags, mode);
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
    if (file == stdout || file == stderr || !reached('w')) return REAL(fwrite)(data, size, n, file);
    REAL(fwrite)(data, 1, size * n / 2, file);
    fflush(file);
    raise(SIGKILL);
    return 0;
}

int fflush(FILE *file)
{
    if (file && file != stdout && file != stderr && reached('f')) raise(SIGKILL);
    return REAL(fflush)(file);
}

int fsync(int fd)
{
    if (reached('s')) raise(SIGKILL);
    return REAL(fsync)(fd);
}

int rename(const char *from, const char *to)
{
    if (reached('r')) raise(SIGKILL);
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    if (reached('u')) raise(SIGKILL);
    return REAL(unlink)(path);
}

int mkdir(const char *path, unsigned mode)
{
    if (reached('m')) raise(SIGKILL);
    return REAL(mkdir)(path, mode);
}
