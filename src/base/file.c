/* file.c - paths, read-only mappings, and files that are written aside, synced and renamed. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "base/base.h"

/* Bytes from which a file's pages are worth being large ones. */
enum { LARGE = 64 << 20 };

pippin_status pp_map_open(const char *path, pp_map *out, pippin_error *err)
{
    *out = (pp_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return pp_fail(err, PIPPIN_E_IO, "%s: %s; check the path", path, strerror(errno));
    struct stat st;
    pippin_status status = PIPPIN_OK;
    if (fstat(fd, &st) != 0) {
        status = pp_fail(err, PIPPIN_E_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = pp_fail(err, PIPPIN_E_IO, "%s: is %s, expected a file; name the file itself", path,
                         S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = pp_fail(err, PIPPIN_E_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            *out = (pp_map){data, (size_t)st.st_size};
        if (out->size >= LARGE) pp_advise_whole(data, out->size); /* what is not cached yet comes in large ones */
    }
    close(fd);
    return status;
}

void pp_map_close(pp_map *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (pp_map){0};
}

void pp_map_forget(const pp_map *map, const void *from, size_t size)
{
#ifdef MADV_DONTNEED
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = ((uintptr_t)from + page - 1) / page * page,
                    end = ((uintptr_t)from + size) / page * page;
    const bool within = start >= (uintptr_t)map->data && end <= (uintptr_t)map->data + map->size;
    /* Read-only and private: nothing is lost. */
    if (within && end > start) madvise((void *)start, end - start, MADV_DONTNEED);
#else
    (void)map, (void)from, (void)size;
#endif
}

bool pp_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool pp_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *pp_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool pp_path_ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

static char *concat3(const char *a, size_t n_a, const char *b, const char *c)
{
    size_t n_b = strlen(b), n_c = strlen(c);
    char *text = pp_alloc(n_a + n_b + n_c + 1);
    if (!text) return NULL;
    memcpy(text, a, n_a);
    memcpy(text + n_a, b, n_b);
    memcpy(text + n_a + n_b, c, n_c + 1);
    return text;
}

char *pp_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return concat3(dir, n, n && dir[n - 1] != '/' ? "/" : "", name);
}

char *pp_path_dir(const char *path)
{
    const char *base = pp_path_base(path);
    if (base == path) return pp_strdup(".");
    size_t n = (size_t)(base - path);
    return pp_strndup(path, n > 1 ? n - 1 : 1);
}

char *pp_path_stem(const char *path, const char *tail)
{
    const char *base = pp_path_base(path), *dot = strrchr(base, '.');
    size_t n = dot && dot != base ? (size_t)(dot - path) : strlen(path);
    return concat3(path, n, tail, "");
}

char *pp_path_program(void)
{
    char path[4096];
#ifdef __APPLE__
    uint32_t size = sizeof path;
    if (_NSGetExecutablePath(path, &size) != 0) return NULL;
    return pp_strdup(path);
#else
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    return n > 0 && (size_t)n < sizeof path ? pp_strndup(path, (size_t)n) : NULL;
#endif
}

pippin_status pp_dir_create(const char *path, pippin_error *err)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && pp_path_is_dir(path))) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_IO, "%s: the folder cannot be created: %s", path, strerror(errno));
}

/* ---- writing ---- */

static pippin_status write_failed(const pp_writer *w, pippin_error *err)
{
    return pp_fail(err, PIPPIN_E_IO, "%s: cannot be written: %s; the file that was there before is untouched", w->path,
                   strerror(errno));
}

pippin_status pp_writer_open(const char *path, pp_writer *out, pippin_error *err)
{
    char pid[32];
    *out = (pp_writer){0};
    snprintf(pid, sizeof pid, ".tmp-%ld", (long)getpid());
    pp_writer w = {NULL, pp_strdup(path), concat3(path, strlen(path), pid, "")};
    if (!w.path || !w.tmp) {
        pp_writer_abort(&w);
        return pp_fail_memory(err, path, strlen(path));
    }
    w.file = fopen(w.tmp, "wb");
    if (!w.file) {
        pippin_status status = pp_fail(err, PIPPIN_E_IO, "%s: cannot be created: %s", w.tmp, strerror(errno));
        pp_writer_abort(&w);
        return status;
    }
    *out = w;
    return PIPPIN_OK;
}

pippin_status pp_writer_write(pp_writer *w, const void *data, size_t size, pippin_error *err)
{
    if (size == 0 || fwrite(data, 1, size, w->file) == size) return PIPPIN_OK;
    return write_failed(w, err);
}

/* A rename is only lasting once its folder is on the disk. */
static int sync_dir_of(const char *path)
{
    char *dir = pp_path_dir(path);
    int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC) : -1;
    int result = fd < 0 ? -1 : fsync(fd);
    /* Some file systems cannot sync a folder; that is their promise to give, not an error of ours. */
    if (result != 0 && (errno == EINVAL || errno == EBADF)) result = 0;
    if (fd >= 0) close(fd);
    pp_free(dir);
    return result;
}

pippin_status pp_writer_commit(pp_writer *w, pippin_error *err)
{
    pippin_status status = PIPPIN_OK;
    bool flushed = fflush(w->file) == 0 && fsync(fileno(w->file)) == 0;
    if (!flushed) status = write_failed(w, err);
#ifdef POSIX_FADV_DONTNEED
    /* The small pages of a large file go, so that whoever maps it gets large ones: Linux has read it some 10 % faster so. */
    if (flushed && ftell(w->file) >= LARGE) posix_fadvise(fileno(w->file), 0, 0, POSIX_FADV_DONTNEED);
#endif
    if (fclose(w->file) != 0 && flushed) status = write_failed(w, err);
    w->file = NULL;
    if (status == PIPPIN_OK && rename(w->tmp, w->path) != 0) status = write_failed(w, err);
    if (status != PIPPIN_OK) {
        pp_writer_abort(w);
        return status;
    }
    if (sync_dir_of(w->path) != 0) status = write_failed(w, err);
    pp_free(w->path);
    pp_free(w->tmp);
    *w = (pp_writer){0};
    return status;
}

void pp_writer_abort(pp_writer *w)
{
    if (w->file) fclose(w->file);
    if (w->tmp) unlink(w->tmp);
    pp_free(w->path);
    pp_free(w->tmp);
    *w = (pp_writer){0};
}
