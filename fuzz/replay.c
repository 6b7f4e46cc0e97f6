/* replay.c - runs a fuzz target over every file of the folders named, in name order: the corpus as an ordinary test. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdio.h>

#include "fuzz/fuzz.h"

static int replay_file(const char *path)
{
    pp_map map;
    pippin_error err;
    if (pp_map_open(path, &map, &err) != PIPPIN_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    /* A copy of exactly its size, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(map.size ? map.size : 1);
    if (!copy) return 1;
    if (map.size) memcpy(copy, map.data, map.size);
    LLVMFuzzerTestOneInput(copy, map.size);
    free(copy);
    pp_map_close(&map);
    return 0;
}

int main(int argc, char **argv)
{
    int n = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        const int n_entry = scandir(argv[i], &entries, NULL, alphasort);
        for (int j = 0; j < n_entry; j++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[j]->d_name);
            if (entries[j]->d_name[0] != '.') {
                failed += replay_file(path);
                n++;
            }
            free(entries[j]);
        }
        if (n_entry >= 0) free(entries);
    }
    const uint64_t leaked = pippin_memory_used().live_bytes;
    if (leaked) fprintf(stderr, "%llu bytes leaked\n", (unsigned long long)leaked);
    printf("%d passed, %d failed\n", n - failed, failed);
    return n == 0 || failed || leaked ? 1 : 0;
}
