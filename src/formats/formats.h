/*
 * formats - files to tensors and back. Every reader parses bytes that it does not trust and gives the same thing, a
 * pp_tensors: named views into memory that the object owns (a mapping, or copies where the file's bytes are not aligned
 * to their element type). Parsers promise: an error or a valid object, never a crash, within time and memory
 * proportional to the file.
 */
#ifndef PP_FORMATS_H
#define PP_FORMATS_H

#include "base/base.h"
#include "quant/quant.h"

typedef struct pp_tensor {
    const char *name;
    pippin_type type;
    int32_t n_dim; /* 0 to 4 */
    int64_t shape[4];
    const void *data; /* row-major, aligned to the element */
    size_t n_elem, bytes;
} pp_tensor;

typedef struct pp_entry {
    const char *key, *value;
} pp_entry;

/* Everything hangs on this object and is freed with it. */
typedef struct pp_tensors {
    char *source;     /* the path (or name) for messages */
    pp_tensor *items; /* in file order */
    size_t n, capacity;
    pp_entry *metadata; /* string pairs, as the file has them */
    size_t n_metadata, metadata_capacity;
    pp_map *maps; /* files kept open */
    size_t n_maps;
    void **blocks; /* owned memory: names, copies */
    size_t n_blocks, blocks_capacity;
    uint32_t *index; /* [n] item numbers in the order of their names, built by pp_tensors_finish */
} pp_tensors;

void pp_tensors_free(pp_tensors *t); /* frees what it holds and zeroes it; not `t` itself */
/* Gives the memory of mapped bytes back until they are read again; of others it does nothing. */
void pp_tensors_forget(const pp_tensors *t, const void *from, size_t size);
/* NULL when absent. */
const pp_tensor *pp_tensors_find(const pp_tensors *t, const char *name);
const char *pp_tensors_metadata(const pp_tensors *t, const char *key);

/* For the readers (tensors.c): start an object, add to it, close it. pp_tensors_finish refuses two tensors of one name,
   copies misaligned data, and builds the index. */
pippin_status pp_tensors_init(pp_tensors *t, const char *source, pippin_error *err);
pippin_status pp_tensors_add(pp_tensors *t, const char *name, size_t name_size, const pp_tensor *tensor,
                             pippin_error *err);
pippin_status pp_tensors_add_metadata(pp_tensors *t, const char *key, const char *value, pippin_error *err);
pippin_status pp_tensors_own_map(pp_tensors *t, pp_map map, pippin_error *err); /* takes the map, also on failure */
/* The end of every _open: keeps the mapping that t was parsed from, or closes it where parsing failed; takes both. */
pippin_status pp_tensors_keep_map(pippin_status parsed, pp_tensors *t, pp_map map, pippin_error *err);
pippin_status pp_tensors_own_block(pp_tensors *t, void *block,
                                   pippin_error *err); /* takes the block, also on failure */
pippin_status pp_tensors_finish(pp_tensors *t, pippin_error *err);
/* "[2560, 2048]" for messages; `text` is at least 96 bytes and returned. */
char *pp_shape_text(const int64_t *shape, int32_t n_dim, char *text);

/* ---- readers. `_parse` works on bytes that must outlive the object and is what the fuzzers call; `_open` maps a file.
   On failure *out is zeroed. ---- */

pippin_status pp_safetensors_parse(const void *data, size_t size, const char *source, pp_tensors *out,
                                   pippin_error *err);
/* A .safetensors file, or a model.safetensors.index.json with the shards that it names beside it. */
pippin_status pp_safetensors_open(const char *path, pp_tensors *out, pippin_error *err);

/*
 * torch.save files: a zip of stored members and a pickle. The pickle machine knows dictionaries, tuples, numbers,
 * strings and the tensor-rebuild functions and refuses everything else by name; nothing is ever called. Nested
 * dictionaries give names joined by '.'. Tensors that share storage share memory here too.
 */
pippin_status pp_torch_parse(const void *data, size_t size, const char *source, pp_tensors *out, pippin_error *err);
pippin_status pp_torch_open(const char *path, pp_tensors *out, pippin_error *err);

/* llama2.c's "legacy v0" checkpoint: seven int32, then float32 in a fixed order (Q and K rotate in adjacent pairs). */
typedef struct pp_llama2c_header {
    int32_t d_model, d_ffn, n_layer, n_head, n_kv_head, n_vocab, n_ctx;
    bool shared_head; /* n_vocab was positive in the file */
} pp_llama2c_header;

/* Tensor names are Hugging Face's (model.layers.0.self_attn.q_proj.weight, ...), so that one binding serves. */
pippin_status pp_llama2c_parse(const void *data, size_t size, const char *source, pp_llama2c_header *header,
                               pp_tensors *out, pippin_error *err);
pippin_status pp_llama2c_open(const char *path, pp_llama2c_header *header, pp_tensors *out, pippin_error *err);

/*
 * GGUF: tensors, and typed values under keys. Texts and arrays are views into the file, not 0-terminated.
 */
/* What arrays hold, as the file numbers it. */
enum pp_gguf_item { PP_GGUF_U8 = 0, PP_GGUF_I32 = 5, PP_GGUF_F32 = 6, PP_GGUF_TEXTS = 8 };

typedef enum pp_gguf_kind { PP_GGUF_NUMBER = 0, PP_GGUF_TEXT, PP_GGUF_ARRAY } pp_gguf_kind;

typedef struct pp_gguf_entry {
    const char *key;
    size_t n_key;
    pp_gguf_kind kind;
    int64_t integer; /* of whole numbers and booleans */
    double number;   /* of any number */
    const char *text;
    size_t n_text;
    uint32_t item_type; /* of an array: one of pp_gguf_item, or another that the file has */
    uint64_t n_item;
    const uint8_t *items;
    size_t items_size;
    const uint8_t *raw; /* key and value as they lie in the file */
    size_t n_raw;
} pp_gguf_entry;

typedef struct pp_gguf {
    pp_tensors tensors;
    pp_gguf_entry *entries; /* [n_entries] in file order */
    size_t n_entries;
} pp_gguf;

pippin_status pp_gguf_parse(const void *data, size_t size, const char *source, pp_gguf *out, pippin_error *err);
pippin_status pp_gguf_open(const char *path, pp_gguf *out, pippin_error *err);
void pp_gguf_free(pp_gguf *g); /* the tensors too, unless they were taken and zeroed */
const pp_gguf_entry *pp_gguf_find(const pp_gguf *g, const char *key);  /* NULL when absent */
bool pp_gguf_number(const pp_gguf *g, const char *key, double *value); /* false when absent or no number */
bool pp_gguf_text_is(const pp_gguf *g, const char *key, const char *value);
/* The array of such items under this key; NULL when there is none. */
const pp_gguf_entry *pp_gguf_array(const pp_gguf *g, const char *key, enum pp_gguf_item item);

/* ---- writers ---- */

/* Data of each tensor must stay valid during the call. Atomic: see pp_writer. */
pippin_status pp_safetensors_write(const char *path, const pp_tensor *tensors, size_t n, const pp_entry *metadata,
                                   size_t n_metadata, pippin_error *err);

/* A float32 .npy (format 1.0) written a row at a time; commit checks that all n_row rows came. */
typedef struct pp_npy {
    pp_writer writer;
    size_t n_row, n_col, written;
} pp_npy;

pippin_status pp_npy_create(const char *path, size_t n_row, size_t n_col, pp_npy *out, pippin_error *err);
pippin_status pp_npy_row(pp_npy *npy, const float *row, pippin_error *err);
pippin_status pp_npy_commit(pp_npy *npy, pippin_error *err);
void pp_npy_abort(pp_npy *npy);

/*
 * A GGUF file: values with pp_gguf_put_*, tensors with pp_gguf_announce (their descriptions gather in a second writer,
 * `tensors`), then pp_gguf_start, then for each tensor in the same order its bytes and pp_gguf_pad, then commit. Both
 * writers start zeroed and are given to pp_gguf_abort in any case. A failed allocation shows in pp_gguf_start.
 */
typedef struct pp_gguf_writer {
    pp_writer writer;
    uint8_t *header;
    size_t n_header, capacity;
    uint64_t n_values, n_tensors, data_size, written;
    bool failed;
} pp_gguf_writer;

void pp_gguf_put_text(pp_gguf_writer *w, const char *key, const char *text);
void pp_gguf_put_text_n(pp_gguf_writer *w, const char *key, const char *text, size_t n);
void pp_gguf_put_u32(pp_gguf_writer *w, const char *key, uint32_t value);
void pp_gguf_put_f32(pp_gguf_writer *w, const char *key, float value);
void pp_gguf_put_bool(pp_gguf_writer *w, const char *key, bool value);
void pp_gguf_put_bytes(pp_gguf_writer *w, const char *key, const void *bytes, size_t n); /* an array of u8 */
/* An array of n items, which follow one by one. */
void pp_gguf_put_array(pp_gguf_writer *w, const char *key, enum pp_gguf_item item, size_t n);
void pp_gguf_item_text(pp_gguf_writer *w, const char *text, size_t n);
void pp_gguf_item_bytes(pp_gguf_writer *w, const void *bytes, size_t n); /* n of an array of u8 */
void pp_gguf_item_i32(pp_gguf_writer *w, int32_t value);
void pp_gguf_item_f32(pp_gguf_writer *w, float value);
/* A key and its value as another file has them: the `raw` of its entry. */
void pp_gguf_put_raw(pp_gguf_writer *w, const uint8_t *raw, size_t n);
void pp_gguf_announce(pp_gguf_writer *w, pp_gguf_writer *tensors, const char *name, pippin_type type, int32_t n_dim,
                      const int64_t *shape);
pippin_status pp_gguf_start(pp_gguf_writer *w, const pp_gguf_writer *tensors, const char *path, pippin_error *err);
pippin_status pp_gguf_data(pp_gguf_writer *w, const void *bytes, size_t n, pippin_error *err);
pippin_status pp_gguf_pad(pp_gguf_writer *w, pippin_error *err);
pippin_status pp_gguf_commit(pp_gguf_writer *w, pippin_error *err);
void pp_gguf_abort(pp_gguf_writer *w);

#endif
