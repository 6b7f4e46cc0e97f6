/*
 * fuzz_pickle.c - any bytes as the data.pkl of a torch.save file whose zip is whole: mutations of the archive seldom
 * get as far as the pickle machine, these all do. The archive has one storage, "0", of 64 bytes.
 */
#include "fuzz/fuzz.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22, STORAGE = 64 };

static const char *const names[2] = {"a/data.pkl", "a/data/0"};

typedef struct archive {
    uint8_t *bytes;
    size_t n;
} archive;

static void number(archive *a, uint32_t value, int size)
{
    for (int i = 0; i < size; i++) a->bytes[a->n++] = (uint8_t)(value >> (8 * i));
}

static void bytes_of(archive *a, const void *from, size_t size)
{
    if (size) memcpy(a->bytes + a->n, from, size);
    a->n += size;
}

/* The fields that a local header and an entry of the directory have in common, from the version to the extra field's
 * size. */
static void common(archive *a, const char *name, size_t size)
{
    number(a, 20, 2);
    for (int i = 0; i < 4; i++) number(a, 0, 2); /* flags, stored, time, date */
    number(a, 0, 4);                             /* checksum */
    number(a, (uint32_t)size, 4);
    number(a, (uint32_t)size, 4);
    number(a, (uint32_t)strlen(name), 2);
    number(a, 0, 2);
}

static archive wrap(const uint8_t *pickle, size_t size)
{
    static const uint8_t storage[STORAGE] = {1, 2, 3, 4, 5, 6, 7, 8};
    const size_t sizes[2] = {size, STORAGE};
    const size_t n_name = strlen(names[0]) + strlen(names[1]);
    archive a = {malloc(2 * (LOCAL + CENTRAL) + 2 * n_name + size + STORAGE + END), 0};
    uint32_t at[2];
    if (!a.bytes) abort();
    for (int i = 0; i < 2; i++) {
        at[i] = (uint32_t)a.n;
        number(&a, 0x04034b50, 4);
        common(&a, names[i], sizes[i]);
        bytes_of(&a, names[i], strlen(names[i]));
        bytes_of(&a, i ? storage : pickle, sizes[i]);
    }
    const uint32_t directory = (uint32_t)a.n;
    for (int i = 0; i < 2; i++) {
        number(&a, 0x02014b50, 4);
        number(&a, 20, 2);
        common(&a, names[i], sizes[i]);
        for (int j = 0; j < 5; j++) number(&a, 0, 2); /* comment, disk, attributes */
        number(&a, at[i], 4);
        bytes_of(&a, names[i], strlen(names[i]));
    }
    const uint32_t end = (uint32_t)a.n;
    number(&a, 0x06054b50, 4);
    number(&a, 0, 4);
    number(&a, 2 | 2 << 16, 4); /* entries on this disk, entries */
    number(&a, end - directory, 4);
    number(&a, directory, 4);
    number(&a, 0, 2);
    return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pp_tensors t;
    pippin_error err;
    archive a = wrap(data, size);
    const uint64_t before = pippin_memory_used().live_bytes;
    if (pp_torch_parse(a.bytes, a.n, "input", &t, &err) == PIPPIN_OK)
        fuzz_touch(&t);
    else
        fuzz_check_error(&err, "input");
    pp_tensors_free(&t);
    if (pippin_memory_used().live_bytes != before) abort();
    free(a.bytes);
    return 0;
}
