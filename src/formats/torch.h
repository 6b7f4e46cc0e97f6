/* torch.h - private to formats: the two halves of a torch.save file, the zip of storages and the pickle that describes them. */
#ifndef PP_FORMATS_TORCH_H
#define PP_FORMATS_TORCH_H

#include "formats/formats.h"

/* ---- torch_zip.c: where the members' bytes lie ---- */

typedef struct pp_zip pp_zip;

pippin_status pp_zip_open(const void *data, size_t size, const char *source, pp_zip **out, pippin_error *err);
void pp_zip_close(pp_zip *zip);
/* The bytes of a stored member, inside the data that was opened. FORMAT when it is missing, compressed, or out of bounds. */
pippin_status pp_zip_member(const pp_zip *zip, const char *name, const uint8_t **bytes, size_t *size,
                            pippin_error *err);
/* From now on the member's bytes are those at `bytes`, a copy of them in a better place. */
void pp_zip_move(pp_zip *zip, const char *name, const uint8_t *bytes);
bool pp_zip_has(const pp_zip *zip, const char *name);
/* The folder that all members lie in: "archive" for "archive/data.pkl"; owned by the zip. */
const char *pp_zip_folder(const pp_zip *zip);

/* ---- pickle.c: a machine that builds plain values and calls nothing ---- */

typedef enum pp_value_kind {
    PP_VALUE_NONE = 0, /* also booleans, floats: things that no tensor needs */
    PP_VALUE_INT,
    PP_VALUE_TEXT,
    PP_VALUE_TUPLE, /* also lists */
    PP_VALUE_DICT,
    PP_VALUE_GLOBAL,  /* one of the names that are known */
    PP_VALUE_STORAGE, /* of a persistent id */
    PP_VALUE_TENSOR
} pp_value_kind;

typedef enum pp_global {
    PP_GLOBAL_REBUILD_TENSOR = 0,
    PP_GLOBAL_REBUILD_PARAMETER,
    PP_GLOBAL_ORDERED_DICT,
    PP_GLOBAL_STORAGE /* with its element type */
} pp_global;

/* Values refer to each other by number; 0 is None. */
typedef struct pp_value {
    pp_value_kind kind;
    union {
        int64_t integer;
        struct {
            uint32_t start, size; /* in the pickle */
        } text;
        struct {
            uint32_t first, last, n; /* chain of links: elements, or key, value, key, value, ... */
        } items;
        struct {
            pp_global which;
            pippin_type type; /* of a storage; AUTO: one that no tensor here can have */
        } global;
        struct {
            pippin_type type;
            uint32_t key; /* a text */
            int64_t n_elem;
        } storage;
        struct {
            uint32_t storage, args; /* args: the whole tuple that the tensor is rebuilt from */
        } tensor;
    } u;
} pp_value;

typedef struct pp_link {
    uint32_t value, next; /* next 0: the end */
} pp_link;

typedef struct pp_pickle {
    const uint8_t *data;
    size_t size;
    const char *source;
    pp_value *values;
    pp_link *links;
    size_t n_values, n_links, values_capacity, links_capacity;
    uint32_t root;
} pp_pickle;

/* Runs the pickle; out->root is what it leaves. Free in any case. */
pippin_status pp_pickle_run(const uint8_t *data, size_t size, const char *source, pp_pickle *out, pippin_error *err);
void pp_pickle_free(pp_pickle *p);
/* Element i of a tuple; None (0) past the end. */
uint32_t pp_pickle_item(const pp_pickle *p, uint32_t tuple, uint32_t i);

#endif
