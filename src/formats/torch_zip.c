/*
 * torch_zip.c - the zip archive of a torch.save file. libzip reads the directory; what it does not tell is where a stored
 * member's bytes lie, and a 12 GB checkpoint must be mapped, not copied. So libzip is given the mapping as a source of our
 * own that remembers the position of its last read: after opening a member and reading one byte of it, that is where the
 * member begins.
 */
#include <string.h>
#include <zip.h>

#include "formats/torch.h"

struct pp_zip {
    const uint8_t *data;
    size_t size;
    const char *source;
    zip_t *archive;
    zip_error_t error;
    zip_int64_t at, last_read; /* of the source */
    char *folder;
};

static zip_int64_t read_source(pp_zip *z, void *to, zip_uint64_t length)
{
    const zip_uint64_t left = z->size - (zip_uint64_t)z->at, n = PP_MIN(left, length);
    z->last_read = z->at;
    if (n) memcpy(to, z->data + z->at, n);
    z->at += (zip_int64_t)n;
    return (zip_int64_t)n;
}

static zip_int64_t stat_source(const pp_zip *z, void *to, zip_uint64_t length)
{
    if (length < sizeof(zip_stat_t)) return -1;
    zip_stat_t *st = to;
    zip_stat_init(st);
    st->size = z->size;
    st->valid = ZIP_STAT_SIZE;
    return sizeof *st;
}

static zip_int64_t source_callback(void *user, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    pp_zip *z = user;
    switch (command) {
    case ZIP_SOURCE_OPEN: z->at = 0; return 0;
    case ZIP_SOURCE_READ: return read_source(z, data, length);
    case ZIP_SOURCE_STAT: return stat_source(z, data, length);
    case ZIP_SOURCE_TELL: return z->at;
    case ZIP_SOURCE_SEEK: {
        const zip_int64_t to = zip_source_seek_compute_offset((zip_uint64_t)z->at, z->size, data, length, &z->error);
        if (to < 0) return -1;
        z->at = to;
        return 0;
    }
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&z->error, data, length);
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
                                              ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    default: zip_error_set(&z->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static pippin_status zip_failed(const pp_zip *z, zip_error_t *e, pippin_error *err)
{
    if (zip_error_code_zip(e) == ZIP_ER_MEMORY) return pp_fail_memory(err, z->source, z->size);
    return pp_fail(err, PIPPIN_E_FORMAT, "%s: not a readable zip archive (%s), expected a file of torch.save; check that it is whole", z->source,
                   zip_error_strerror(e));
}

/* The folder is whatever stands before "/data.pkl" in the one member that ends so. */
static pippin_status find_folder(pp_zip *z, pippin_error *err)
{
    const zip_int64_t n = zip_get_num_entries(z->archive, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(z->archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (!name || !pp_path_ends(name, "/data.pkl")) continue;
        z->folder = pp_strndup(name, strlen(name) - strlen("/data.pkl"));
        return z->folder ? PIPPIN_OK : pp_fail_memory(err, z->source, strlen(name));
    }
    return pp_fail(err, PIPPIN_E_FORMAT, "%s: a zip archive without data.pkl, expected a file of torch.save", z->source);
}

pippin_status pp_zip_open(const void *data, size_t size, const char *source, pp_zip **out, pippin_error *err)
{
    *out = NULL;
    pp_zip *z = pp_alloc_zero(1, sizeof *z);
    if (!z) return pp_fail_memory(err, source, sizeof *z);
    z->data = data;
    z->size = size;
    z->source = source;
    zip_error_init(&z->error);
    zip_error_t e;
    zip_error_init(&e);
    pippin_status status = PIPPIN_OK;
    zip_source_t *s = zip_source_function_create(source_callback, z, &e);
    z->archive = s ? zip_open_from_source(s, ZIP_RDONLY, &e) : NULL;
    if (!z->archive) {
        status = zip_failed(z, &e, err);
        zip_source_free(s); /* a failed open leaves the source to its maker */
    }
    zip_error_fini(&e);
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
    if (z->archive) zip_discard(z->archive);
    zip_error_fini(&z->error);
    pp_free(z->folder);
    pp_free(z);
}

const char *pp_zip_folder(const pp_zip *z) { return z->folder; }

bool pp_zip_has(pp_zip *z, const char *name) { return zip_name_locate(z->archive, name, ZIP_FL_ENC_RAW) >= 0; }

/* Opens the member and reads one byte, to see where libzip reads it. */
static bool locate(pp_zip *z, zip_uint64_t index)
{
    char byte;
    zip_file_t *f = zip_fopen_index(z->archive, index, ZIP_FL_COMPRESSED);
    if (!f) return false;
    const bool ok = zip_fread(f, &byte, 1) == 1;
    zip_fclose(f);
    return ok;
}

pippin_status pp_zip_member(pp_zip *z, const char *name, const uint8_t **bytes, size_t *size, pippin_error *err)
{
    zip_stat_t st;
    const zip_int64_t index = zip_name_locate(z->archive, name, ZIP_FL_ENC_RAW);
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    *bytes = NULL;
    *size = 0;
    if (index < 0 || zip_stat_index(z->archive, (zip_uint64_t)index, ZIP_FL_ENC_RAW, &st) != 0 || (st.valid & needed) != needed)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: member %.200s is missing, expected as torch.save writes it; check that the file is whole", z->source, name);
    if (st.comp_method != ZIP_CM_STORE || st.encryption_method != ZIP_EM_NONE || st.comp_size != st.size)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: member %.200s is compressed or encrypted, expected stored as torch.save writes it; save the file again with torch.save",
                       z->source, name);
    if (st.size == 0) return PIPPIN_OK;
    if (!locate(z, (zip_uint64_t)index) || st.size > z->size || (zip_uint64_t)z->last_read > z->size - st.size)
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: member %.200s lies outside the file; check that it is whole", z->source, name);
    *bytes = z->data + z->last_read;
    *size = (size_t)st.size;
    return PIPPIN_OK;
}
