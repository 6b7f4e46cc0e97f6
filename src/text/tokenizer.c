/* tokenizer.c - the tokenizer object: opening by content, text to ids, ids to text. */
#include <string.h>

#include "text/tokenizer.h"

typedef enum content { CONTENT_NONE = 0, CONTENT_JSON, CONTENT_SENTENCEPIECE, CONTENT_GGUF, CONTENT_LLAMA2C } content;

/*
 * A tok*.bin begins with the length of its longest piece, an int32, so its third and fourth byte are 0; a SentencePiece
 * model begins with field 1, a length, and the tag of the piece's own first field, which is not 0.
 */
static content content_of(const pp_map *map)
{
    const uint8_t *d = map->data;
    if (map->size < 4) return CONTENT_NONE;
    if (memcmp(d, "GGUF", 4) == 0) return CONTENT_GGUF;
    for (size_t i = 0; i < map->size && memchr(" \t\r\n{", d[i], 5); i++)
        if (d[i] == '{') return CONTENT_JSON;
    if (d[0] == 0x0a && d[2]) return CONTENT_SENTENCEPIECE;
    return d[2] == 0 && d[3] == 0 ? CONTENT_LLAMA2C : CONTENT_NONE;
}

/* Where a folder has its chat template as a file of its own, that one counts. */
static pippin_status tell_beside(pippin_tokenizer *t, const char *dir, pippin_error *err)
{
    char *beside = pp_path_join(dir, "chat_template.jinja");
    pp_map map;
    if (!beside) return pp_fail_memory(err, dir, strlen(dir));
    pippin_status status = PIPPIN_OK;
    if (pp_path_exists(beside)) {
        status = pp_map_open(beside, &map, err);
        if (status == PIPPIN_OK) {
            pp_template_tell(t, map.size ? (const char *)map.data : "", map.size);
            pp_map_close(&map);
        }
    }
    pp_free(beside);
    return status;
}

static pippin_status parse_json(const pp_map *map, const char *path, pippin_tokenizer **out, pippin_error *err)
{
    char *dir = pp_path_dir(path), *beside = dir ? pp_path_join(dir, "tokenizer_config.json") : NULL;
    pp_map config = {0};
    pippin_status status = beside ? PIPPIN_OK : pp_fail_memory(err, path, strlen(path));
    if (status == PIPPIN_OK && pp_path_exists(beside)) status = pp_map_open(beside, &config, err);
    if (status == PIPPIN_OK)
        status = pp_tokenizer_parse_json(map->data, map->size, config.data ? &config : NULL, path, out, err);
    if (status == PIPPIN_OK) status = tell_beside(*out, dir, err);
    if (status != PIPPIN_OK) {
        pippin_tokenizer_free(*out);
        *out = NULL;
    }
    pp_map_close(&config);
    pp_free(beside);
    pp_free(dir);
    return status;
}

static pippin_status parse_gguf(const pp_map *map, const char *path, pippin_tokenizer **out, pippin_error *err)
{
    pp_gguf g;
    pippin_status status = pp_gguf_parse(map->data, map->size, path, &g, err);
    if (status != PIPPIN_OK) return status;
    status = pp_tokenizer_from_gguf(&g, out, err);
    pp_gguf_free(&g);
    if (status == PIPPIN_OK && !*out)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: has no tokenizer.ggml.model, expected a vocabulary inside; name the tokenizer's own file",
                       path);
    return status;
}

static pippin_status parse(const pp_map *map, const char *path, pippin_tokenizer **out, pippin_error *err)
{
    switch (content_of(map)) {
    case CONTENT_JSON: return parse_json(map, path, out, err);
    case CONTENT_SENTENCEPIECE: return pp_tokenizer_parse_sentencepiece(map->data, map->size, path, out, err);
    case CONTENT_GGUF: return parse_gguf(map, path, out, err);
    case CONTENT_LLAMA2C: return pp_tokenizer_parse_llama2c(map->data, map->size, path, out, err);
    case CONTENT_NONE: break;
    }
    return pp_fail(err, PIPPIN_E_FORMAT,
                   "%s: found no tokenizer, expected a tokenizer.json, a SentencePiece .model, a .gguf with a "
                   "vocabulary or llama2.c's "
                   "tok*.bin; check the path",
                   path);
}

pippin_status pippin_tokenizer_open(const char *path, pippin_tokenizer **out, pippin_error *err)
{
    *out = NULL;
    pp_map map;
    pippin_status status = pp_map_open(path, &map, err);
    if (status != PIPPIN_OK) return status;
    status = parse(&map, path, out, err);
    pp_map_close(&map);
    return status;
}

int32_t pippin_tokenizer_size(const pippin_tokenizer *t) { return t->n_piece; }
int32_t pippin_tokenizer_bos(const pippin_tokenizer *t) { return t->bos; }
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
    if ((o.bos && t->bos < 0) || (o.eos && t->eos < 0))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "tokenizer: has no %s id; ask without it",
                       o.bos && t->bos < 0 ? "BOS" : "EOS");
    int32_t *found;
    size_t n_found;
    pippin_status status =
        pp_tokenizer_encode(t, text, n_bytes, &(pp_encode_request){.special = o.special}, &found, &n_found, err);
    if (status != PIPPIN_OK) return status;
    size_t n = 0;
    if (o.bos && n++ < capacity) ids[0] = t->bos;
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
