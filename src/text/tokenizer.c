/* tokenizer.c - the tokenizer object: opening by content, text to ids, ids to text. */
#include <string.h>

#include "text/tokenizer.h"

typedef enum content {
    CONTENT_NONE = 0,
    CONTENT_JSON,
    CONTENT_SENTENCEPIECE,
    CONTENT_GGUF,
    CONTENT_LLAMA2C,
    CONTENT_TIKTOKEN
} content;

/* tiktoken's files are lines of a piece in base64, a space, and its rank. */
static bool is_tiktoken(const uint8_t *d, size_t size)
{
    size_t n = 0, n_digit = 0;
    while (n < size &&
           (memchr("+/=", d[n], 3) || (d[n] >= '0' && d[n] <= '9') || ((d[n] | 0x20) >= 'a' && (d[n] | 0x20) <= 'z')))
        n++;
    if (n < 4 || n % 4 || n == size || d[n] != ' ') return false;
    while (n + 1 + n_digit < size && d[n + 1 + n_digit] >= '0' && d[n + 1 + n_digit] <= '9') n_digit++;
    return n_digit && n + 1 + n_digit < size && d[n + 1 + n_digit] == '\n';
}

/*
 * A tok*.bin begins with the length of its longest piece, an int32, so its third and fourth byte are 0; a SentencePiece
 * model begins with field 1, a length, and the tag of the piece's own first field, which is not 0.
 */
static content content_of(const uint8_t *d, size_t size)
{
    if (size < 4) return CONTENT_NONE;
    if (memcmp(d, "GGUF", 4) == 0) return CONTENT_GGUF;
    for (size_t i = 0; i < size && memchr(" \t\r\n{", d[i], 5); i++)
        if (d[i] == '{') return CONTENT_JSON;
    if (d[0] == 0x0a && d[2]) return CONTENT_SENTENCEPIECE;
    if (d[2] == 0 && d[3] == 0) return CONTENT_LLAMA2C;
    return is_tiktoken(d, size) ? CONTENT_TIKTOKEN : CONTENT_NONE;
}

pippin_status pp_tokenizer_parse(const void *data, size_t size, const pp_map *config, const char *source,
                                 pippin_tokenizer **out, pippin_error *err)
{
    *out = NULL;
    switch (content_of(data, size)) {
    case CONTENT_JSON:
        return pp_tokenizer_parse_json(data, size, config && config->data ? config : NULL, source, out, err);
    case CONTENT_SENTENCEPIECE: return pp_tokenizer_parse_sentencepiece(data, size, source, out, err);
    case CONTENT_LLAMA2C: return pp_tokenizer_parse_llama2c(data, size, source, out, err);
    case CONTENT_TIKTOKEN:
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: is a tiktoken file, which has no patterns and no special pieces in it; use the model's "
                       "tokenizer.json instead",
                       source);
    case CONTENT_GGUF:
    case CONTENT_NONE: break;
    }
    return pp_fail(err, PIPPIN_E_FORMAT,
                   "%s: found no tokenizer, expected a tokenizer.json, a SentencePiece .model, a .gguf with a "
                   "vocabulary or llama2.c's "
                   "tok*.bin; check the path",
                   source);
}

static pippin_status parse_gguf(const pp_map *map, const char *path, pippin_tokenizer **out, pippin_error *err)
{
    pp_gguf g;
    pippin_status status = pp_gguf_parse(map->data, map->size, path, &g, err);
    if (status != PIPPIN_OK) return status;
    status = pp_tokenizer_from_gguf(&g, path, out, err);
    pp_gguf_free(&g);
    if (status == PIPPIN_OK && !*out)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: has no tokenizer.ggml.model, expected a vocabulary inside; name the tokenizer's own file",
                       path);
    return status;
}

/* ---- where it came from ---- */

const char *pp_tokenizer_file_name(const void *data, size_t size)
{
    const content kind = content_of(data, size);
    return kind == CONTENT_JSON ? "tokenizer.json" : kind == CONTENT_SENTENCEPIECE ? "tokenizer.model" : NULL;
}

void pp_origin_free(pp_origin *origin)
{
    pp_map_close(&origin->file);
    pp_map_close(&origin->config);
    pp_map_close(&origin->chat);
    pp_free(origin->values);
    *origin = (pp_origin){0};
}

static pippin_status map_beside(const char *path, const char *name, pp_map *out, pippin_error *err)
{
    char *dir = pp_path_dir(path), *beside = dir ? pp_path_join(dir, name) : NULL;
    pippin_status status = beside ? PIPPIN_OK : pp_fail_memory(err, path, strlen(path));
    if (status == PIPPIN_OK && pp_path_exists(beside)) status = pp_map_open(beside, out, err);
    pp_free(beside);
    pp_free(dir);
    return status;
}

static pippin_status open_parts(const char *path, pp_origin *o, pippin_tokenizer **out, pippin_error *err)
{
    pippin_status status = pp_map_open(path, &o->file, err);
    const content kind = status == PIPPIN_OK ? content_of(o->file.data, o->file.size) : CONTENT_NONE;
    if (status == PIPPIN_OK && kind == CONTENT_JSON) {
        status = map_beside(path, "tokenizer_config.json", &o->config, err);
        if (status == PIPPIN_OK) status = map_beside(path, "chat_template.jinja", &o->chat, err);
    }
    if (status != PIPPIN_OK) return status;
    status = kind == CONTENT_GGUF ? parse_gguf(&o->file, path, out, err)
                                  : pp_tokenizer_parse(o->file.data, o->file.size, &o->config, path, out, err);
    /* Where a folder has its chat template as a file of its own, that one counts. */
    if (status == PIPPIN_OK && o->chat.size) pp_template_tell(*out, (const char *)o->chat.data, o->chat.size);
    return status;
}

pippin_status pippin_tokenizer_open(const char *path, pippin_tokenizer **out, pippin_error *err)
{
    pp_origin origin = {0};
    *out = NULL;
    pippin_status status = open_parts(path, &origin, out, err);
    if (status != PIPPIN_OK) {
        pp_origin_free(&origin);
        return status;
    }
    origin.values = (*out)->origin.values; /* a GGUF's, which lie in the mapping */
    origin.n_value = (*out)->origin.n_value;
    (*out)->origin = origin;
    return PIPPIN_OK;
}

int32_t pippin_tokenizer_size(const pippin_tokenizer *t) { return t->n_piece; }
int32_t pippin_tokenizer_eos(const pippin_tokenizer *t) { return t->eos; }

const char *pippin_tokenizer_piece(const pippin_tokenizer *t, int32_t id, size_t *n_bytes)
{
    if (id < 0 || id >= t->n_piece) return NULL;
    if (n_bytes) *n_bytes = t->pieces[id].n_stored;
    return t->pieces[id].stored;
}

pippin_status pippin_tokenize(const pippin_tokenizer *t, const char *text, size_t n_bytes,
                              const pippin_tokenize_options *options, int32_t *ids, size_t capacity, size_t *n_ids,
                              pippin_error *err)
{
    const pippin_tokenize_options o = options ? *options : (pippin_tokenize_options){0};
    *n_ids = 0;
    const int32_t bos = pippin_tokenizer_bos(t);
    if ((o.bos && bos < 0) || (o.eos && t->eos < 0))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "tokenizer: has no %s id; ask without it",
                       o.bos && bos < 0 ? "BOS" : "EOS");
    int32_t *found;
    size_t n_found;
    pippin_status status =
        pp_tokenizer_encode(t, text, n_bytes, &(pp_encode_request){.special = o.special}, &found, &n_found, err);
    if (status != PIPPIN_OK) return status;
    size_t n = 0;
    if (o.bos && n++ < capacity) ids[0] = bos;
    for (size_t i = 0; i < n_found; i++, n++)
        if (n < capacity) ids[n] = found[i];
    if (o.eos && n++ < capacity) ids[n - 1] = t->eos;
    *n_ids = n;
    pp_free(found);
    return PIPPIN_OK;
}

const char *pp_tokenizer_bytes(const pippin_tokenizer *t, int32_t id, size_t *n_bytes)
{
    const pp_piece *p = &t->pieces[id];
    *n_bytes = p->kind == PP_PIECE_CONTROL ? 0 : p->n_text;
    return p->text;
}

const char *pp_tokenizer_text(const pippin_tokenizer *t, int32_t id, bool *started, size_t *n_bytes)
{
    const char *text = pp_tokenizer_bytes(t, id, n_bytes);
    if (*n_bytes == 0) return text;
    const bool skip = t->strip_space && !*started && text[0] == ' ' && t->pieces[id].kind != PP_PIECE_UNKNOWN;
    *started = true;
    *n_bytes -= skip;
    return text + skip;
}

pippin_status pippin_detokenize(const pippin_tokenizer *t, const int32_t *ids, size_t n_ids, char *text,
                                size_t capacity, size_t *n_bytes, pippin_error *err)
{
    size_t n = 0;
    bool started = false;
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= t->n_piece)
            return pp_fail(err, PIPPIN_E_ARGUMENT, "token %zu: id %d is outside the vocabulary of %d", i, (int)ids[i],
                           (int)t->n_piece);
        size_t length;
        const char *from = pp_tokenizer_text(t, ids[i], &started, &length);
        for (size_t j = 0; j < length; j++, n++)
            if (n < capacity) text[n] = from[j];
    }
    *n_bytes = n;
    return PIPPIN_OK;
}
