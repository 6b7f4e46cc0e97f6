/*
 * torch_zip.c - the zip archive of a torch.save file: finds where stored members lie, so that a 12 GB checkpoint is
 * mapped and never copied. Written here and not taken from libzip because libzip does not tell a member's place in the
 * file, and its 1.7 leaks when an allocation fails while a member is opened. Only what torch.save writes is known: one
 * disk, stored members, zip64 where sizes need it. (Layout: PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16 and 4.5.3.)
 */
#include <stdlib.h>
#include <string.h>

#include "formats/torch.h"

enum {
    LOCAL_SIGNATURE = 0x04034b50,
    CENTRAL_SIGNATURE = 0x02014b50,
    END_SIGNATURE = 0x06054b50,
    END64_SIGNATURE = 0x06064b50,
    LOCATOR64_SIGNATURE = 0x07064b50,
    END_SIZE = 22,
    LOCATOR64_SIZE = 20,
    MAX_COMMENT = 65535,
    FLAG_ENCRYPTED = 1,
    EXTRA_ZIP64 = 1
};

typedef struct entry {
    const char *name; /* in the file, not 0-terminated */
    uint16_t name_size, flags, method;
    uint64_t packed, size, local; /* bytes stored, bytes of the member, place of its local header */
    const uint8_t *moved;         /* a copy that stands for the member's bytes, or NULL */
} entry;

struct pp_zip {
    const uint8_t *data;
    size_t size;
    const char *source;
    entry *entries; /* sorted by name */
    size_t n;
    char *folder;
};

static pippin_status bad(const pp_zip *z, const char *what, pippin_error *err)
{
    return pp_fail(err, PIPPIN_E_FORMAT,
                   "%s: not a readable zip archive (%s), expected a file of torch.save; check that it is whole",
                   z->source, what);
}

/* Place of the end record: the last one whose comment reaches exactly to the end of the file. */
static bool find_end(const pp_zip *z, size_t *at)
{
    for (size_t comment = 0; comment <= MAX_COMMENT && comment + END_SIZE <= z->size; comment++) {
        pp_bytes b = pp_bytes_of(z->data, z->size);
        pp_bytes_take(&b, z->size - END_SIZE - comment);
        *at = b.at;
        if (pp_bytes_u32(&b) != END_SIGNATURE) continue;
        pp_bytes_take(&b, 16);
        if (pp_bytes_u16(&b) == comment) return true;
    }
    return false;
}

typedef struct directory {
    uint64_t n, size, at;
} directory;

/* The 64-bit numbers of the directory, where the end record says that they do not fit it. */
static bool read_end64(const pp_zip *z, size_t end, directory *d)
{
    if (end < LOCATOR64_SIZE) return false;
    pp_bytes b = pp_bytes_of(z->data, z->size);
    pp_bytes_take(&b, end - LOCATOR64_SIZE);
    if (pp_bytes_u32(&b) != LOCATOR64_SIGNATURE) return false;
    pp_bytes_u32(&b);
    const uint64_t at = pp_bytes_u64(&b);
    if (b.failed || at > z->size) return false;
    b = pp_bytes_of(z->data, z->size);
    pp_bytes_take(&b, (size_t)at);
    if (pp_bytes_u32(&b) != END64_SIGNATURE) return false;
    pp_bytes_take(&b, 28); /* its own size, versions, disks, entries on this disk */
    d->n = pp_bytes_u64(&b);
    d->size = pp_bytes_u64(&b);
    d->at = pp_bytes_u64(&b);
    return !b.failed;
}

static bool read_end(const pp_zip *z, directory *d)
{
    size_t end;
    if (!find_end(z, &end)) return false;
    pp_bytes b = pp_bytes_of(z->data, z->size);
    pp_bytes_take(&b, end + 10);
    d->n = pp_bytes_u16(&b);
    d->size = pp_bytes_u32(&b);
    d->at = pp_bytes_u32(&b);
    return (d->n != UINT16_MAX && d->size != UINT32_MAX && d->at != UINT32_MAX) || read_end64(z, end, d);
}

/* Replaces the 32-bit numbers that are all ones by those of the zip64 extra field, in its fixed order. */
static void read_extra(entry *e, pp_bytes extra)
{
    while (pp_bytes_left(&extra) >= 4) {
        const uint16_t id = pp_bytes_u16(&extra), size = pp_bytes_u16(&extra);
        pp_bytes field = pp_bytes_of(pp_bytes_take(&extra, size), extra.failed ? 0 : size);
        if (id != EXTRA_ZIP64) continue;
        if (e->size == UINT32_MAX) e->size = pp_bytes_u64(&field);
        if (e->packed == UINT32_MAX) e->packed = pp_bytes_u64(&field);
        if (e->local == UINT32_MAX) e->local = pp_bytes_u64(&field);
    }
}

static bool read_entry(pp_bytes *b, entry *e)
{
    if (pp_bytes_u32(b) != CENTRAL_SIGNATURE) return false;
    pp_bytes_take(b, 4); /* versions */
    e->flags = pp_bytes_u16(b);
    e->method = pp_bytes_u16(b);
    pp_bytes_take(b, 8); /* time, date, checksum: torch does not check it either, and 12 GB would take seconds */
    e->packed = pp_bytes_u32(b);
    e->size = pp_bytes_u32(b);
    e->name_size = pp_bytes_u16(b);
    const uint16_t extra_size = pp_bytes_u16(b), comment_size = pp_bytes_u16(b);
    pp_bytes_take(b, 8); /* disk, attributes */
    e->local = pp_bytes_u32(b);
    e->name = (const char *)pp_bytes_take(b, e->name_size);
    const uint8_t *extra = pp_bytes_take(b, extra_size);
    pp_bytes_take(b, comment_size);
    if (!b->failed) read_extra(e, pp_bytes_of(extra, extra_size));
    return !b->failed;
}

static int compare_names(const char *a, size_t n_a, const char *b, size_t n_b)
{
    const int order = memcmp(a, b, PP_MIN(n_a, n_b));
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int order = compare_names(x->name, x->name_size, y->name, y->name_size);
    return order ? order : (x->local > y->local) - (x->local < y->local);
}

static pippin_status read_directory(pp_zip *z, pippin_error *err)
{
    enum { SMALLEST = 46 }; /* bytes of an entry without name */
    directory d;
    if (!read_end(z, &d)) return bad(z, "it has no directory", err);
    if (d.at > z->size || d.size > z->size - d.at || d.n > d.size / SMALLEST)
        return bad(z, "its directory lies outside the file", err);
    z->entries = pp_alloc_zero((size_t)d.n, sizeof *z->entries);
    if (!z->entries) return pp_fail_memory(err, z->source, d.n * sizeof *z->entries);
    pp_bytes b = pp_bytes_of(z->data + d.at, (size_t)d.size);
    for (; z->n < d.n; z->n++)
        if (!read_entry(&b, &z->entries[z->n])) return bad(z, "its directory is damaged", err);
    qsort(z->entries, z->n, sizeof *z->entries, by_name);
    return PIPPIN_OK;
}

/* The folder is whatever stands before "/data.pkl" in the member that ends so. */
static pippin_status find_folder(pp_zip *z, pippin_error *err)
{
    static const char tail[] = "/data.pkl";
    const size_t n_tail = sizeof tail - 1;
    for (size_t i = 0; i < z->n; i++) {
        const entry *e = &z->entries[i];
        if (e->name_size <= n_tail || memcmp(e->name + e->name_size - n_tail, tail, n_tail) != 0) continue;
        z->folder = pp_strndup(e->name, e->name_size - n_tail);
        return z->folder ? PIPPIN_OK : pp_fail_memory(err, z->source, e->name_size);
    }
    return pp_fail(err, PIPPIN_E_FORMAT, "%s: a zip archive without data.pkl, expected a file of torch.save",
                   z->source);
}

pippin_status pp_zip_open(const void *data, size_t size, const char *source, pp_zip **out, pippin_error *err)
{
    *out = NULL;
    pp_zip *z = pp_alloc_zero(1, sizeof *z);
    if (!z) return pp_fail_memory(err, source, sizeof *z);
    *z = (pp_zip){.data = data, .size = size, .source = source};
    pippin_status status = read_directory(z, err);
    if (status == PIPPIN_OK) status = find_folder(z, err);
    if (status != PIPPIN_OK)
        pp_zip_close(z);
    else
        *out = z;
    return status;
}

void pp_zip_close(pp_zip *z)
{
    if (!z) return;
    pp_free(z->entries);
    pp_free(z->folder);
    pp_free(z);
}

const char *pp_zip_folder(const pp_zip *z) { return z->folder; }

static entry *find(const pp_zip *z, const char *name)
{
    const size_t n = strlen(name);
    size_t low = 0, high = z->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        entry *e = &z->entries[middle];
        if (compare_names(e->name, e->name_size, name, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < z->n && compare_names(z->entries[low].name, z->entries[low].name_size, name, n) == 0 ? &z->entries[low]
                                                                                                      : NULL;
}

void pp_zip_move(pp_zip *z, const char *name, const uint8_t *bytes)
{
    entry *e = find(z, name);
    if (e) e->moved = bytes;
}

bool pp_zip_has(const pp_zip *z, const char *name) { return find(z, name) != NULL; }

pippin_status pp_zip_member(const pp_zip *z, const char *name, const uint8_t **bytes, size_t *size, pippin_error *err)
{
    const entry *e = find(z, name);
    *bytes = NULL;
    *size = 0;
    if (!e)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: member %.200s is missing, expected as torch.save writes it; check that the file is whole",
                       z->source, name);
    if (e->method != 0 || e->flags & FLAG_ENCRYPTED || e->packed != e->size)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: member %.200s is compressed or encrypted, expected stored as torch.save writes it; save "
                       "the file again with torch.save",
                       z->source, name);
    pp_bytes b = pp_bytes_of(z->data, z->size);
    pp_bytes_take(&b, e->local <= z->size ? (size_t)e->local : SIZE_MAX);
    const uint32_t signature = pp_bytes_u32(&b);
    pp_bytes_take(&b, 22);
    const uint16_t name_size = pp_bytes_u16(&b), extra_size = pp_bytes_u16(&b);
    pp_bytes_take(&b, (size_t)name_size + extra_size);
    if (b.failed || signature != LOCAL_SIGNATURE || e->size > pp_bytes_left(&b))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: member %.200s lies outside the file; check that it is whole",
                       z->source, name);
    *bytes = e->moved ? e->moved : z->data + b.at;
    *size = (size_t)e->size;
    return PIPPIN_OK;
}
