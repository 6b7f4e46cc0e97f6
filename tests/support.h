/* support.h - what the tests share: cmocka's includes, small models, and finding the data that only some machines have. */
#ifndef PP_TESTS_SUPPORT_H
#define PP_TESTS_SUPPORT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

/* Runs a call that must succeed, and shows its error text when it does not. */
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        pippin_error err_ = {0};                                                                                       \
        pippin_error *err = &err_;                                                                                     \
        if ((call) != PIPPIN_OK) fail_msg("%s: %s", #call, err->text);                                                 \
    } while (0)

/* "SHARED/name" in a static buffer, or NULL after saying "SKIPPED name" where there is no such file on this machine. */
static inline const char *shared_file(const char *name)
{
    static char path[4][4096];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof *path, "%s/%s", PIPPIN_SHARED, name);
    if (pp_path_exists(p)) return p;
    print_message("SKIPPED %s: not on this machine\n", name);
    return NULL;
}

/* "folder/name" in one of a few static buffers. */
static inline const char *path_in(const char *folder, const char *name)
{
    static char path[4][4400];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof *path, "%s/%s", folder, name);
    return p;
}

/* With the files in it; there may be none of that name. */
static inline void remove_folder(const char *path)
{
    DIR *list = opendir(path);
    if (!list) return;
    for (const struct dirent *e; (e = readdir(list));) {
        char file[700];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file);
    }
    closedir(list);
    rmdir(path);
}

static inline void assert_same_files(const char *folder, const char *a, const char *b)
{
    pp_map x, y;
    OK(pp_map_open(path_in(folder, a), &x, err));
    OK(pp_map_open(path_in(folder, b), &y, err));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    pp_map_close(&x);
    pp_map_close(&y);
}

/* A small AFM: 3 full layers and 2 that reuse, odd sizes, 4 heads on 2 K/V heads. */
static inline pippin_config small_afm(void)
{
    pippin_config c;
    OK(pippin_config_preset("afm-base", &c, err));
    snprintf(c.name, sizeof c.name, "small-afm");
    c.n_vocab = 301;
    c.d_model = 72;
    c.n_head = 4;
    c.n_kv_head = 2;
    c.d_head = 18;
    c.d_ffn = 130;
    c.n_layer = 5;
    c.n_reuse = 2;
    return c;
}

/* Smaller still, where every number of it is tried. */
static inline pippin_config tiny_afm(void)
{
    pippin_config c = small_afm();
    c.n_vocab = 97;
    c.d_model = 24;
    c.d_head = 6;
    c.d_ffn = 40;
    return c;
}

/* Deterministic ids in [1, n_vocab). */
static inline void make_tokens(int32_t *tokens, size_t n, int32_t n_vocab, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) tokens[i] = 1 + (int32_t)(pp_random_bits(seed, 99, i) % (uint64_t)(n_vocab - 1));
}

#endif
