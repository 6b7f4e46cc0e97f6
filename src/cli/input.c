/* input.c - files and stdin as a whole, lists of token ids, text to ids. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"

bool pp_append(pp_buffer *buffer, const char *bytes, size_t n)
{
    size_t wanted;
    if (!pp_add(buffer->n, n, &wanted) || wanted > SIZE_MAX / 2) return false;
    if (wanted > buffer->room) {
        const size_t room = PP_MAX(2 * wanted, 4096);
        char *bigger = pp_grow(buffer->bytes, buffer->n, room, 1);
        if (!bigger) return false;
        buffer->bytes = bigger;
        buffer->room = room;
    }
    if (n) memcpy(buffer->bytes + buffer->n, bytes, n);
    buffer->n = wanted;
    return true;
}

int pp_read_all(const char *path, pp_buffer *out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    *out = (pp_buffer){0};
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file)
        return pp_error(PP_EXIT_FAILURE, "%s: cannot be opened: %s; expected a file to read", path, strerror(errno));
    char block[65536];
    size_t n;
    bool room = true;
    errno = 0;
    while (room && (n = fread(block, 1, sizeof block, file)) > 0) room = pp_append(out, block, n);
    int code = 0;
    if (!room)
        code = pp_no_memory();
    else if (ferror(file))
        code = pp_error(PP_EXIT_FAILURE, "%s: cannot be read: %s; expected a file with text", is_stdin ? "stdin" : path,
                        strerror(errno));
    if (!is_stdin) fclose(file);
    if (code) {
        pp_free(out->bytes);
        *out = (pp_buffer){0};
    }
    return code;
}

static bool is_between(char c) { return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* One more id; n_room grows by doubling. */
static bool append_id(pp_ids *ids, size_t *n_room, int32_t id)
{
    if (ids->n == *n_room) {
        const size_t n_new = *n_room ? 2 * *n_room : 256;
        int32_t *items = pp_grow(ids->items, ids->n, n_new, sizeof *items);
        if (!items) return false;
        ids->items = items;
        *n_room = n_new;
    }
    ids->items[ids->n++] = id;
    return true;
}

int pp_parse_ids(const char *where, const char *text, size_t n, pp_ids *out)
{
    size_t n_room = 0, end;
    int code = 0;
    *out = (pp_ids){0};
    for (size_t i = 0; i < n && !code; i = end) {
        int64_t id;
        for (end = i; end < n && !is_between(text[end]);) end++;
        if (end == i)
            end++;
        else if (!pp_parse_int(text + i, end - i, 0, INT32_MAX, &id))
            code = pp_error(PP_EXIT_USAGE,
                            "%s: token %zu: found \"%.*s\", expected an id from 0 to %d; separate ids by "
                            "commas or white space",
                            where, out->n, (int)PP_MIN(end - i, 40), text + i, INT32_MAX);
        else if (!append_id(out, &n_room, (int32_t)id))
            code = pp_no_memory();
    }
    if (code) {
        pp_free(out->items);
        *out = (pp_ids){0};
    }
    return code;
}

int pp_read_ids(const char *flag, const char *text, pp_ids *out)
{
    bool is_file = text[0] == '@';
    if (!is_file && strcmp(text, "-") != 0) return pp_parse_ids(flag, text, strlen(text), out);
    pp_buffer buffer;
    int code = pp_read_all(is_file ? text + 1 : text, &buffer);
    if (code) return code;
    code = pp_parse_ids(is_file ? text + 1 : "stdin", buffer.bytes, buffer.n, out);
    pp_free(buffer.bytes);
    return code;
}

int pp_text_to_ids(const pippin_tokenizer *tokenizer, const char *text, size_t n, bool bos, pp_ids *out)
{
    const pippin_tokenize_options options = {.bos = bos};
    return pp_text_to_ids_as(tokenizer, text, n, &options, out);
}

int pp_text_to_ids_as(const pippin_tokenizer *tokenizer, const char *text, size_t n,
                      const pippin_tokenize_options *options, pp_ids *out)
{
    pippin_error err;
    size_t n_ids;
    *out = (pp_ids){0};
    if (pippin_tokenize(tokenizer, text, n, options, NULL, 0, &n_ids, &err) != PIPPIN_OK) return pp_failed(&err);
    out->items = pp_alloc_zero(n_ids, sizeof *out->items);
    if (!out->items) return pp_no_memory();
    if (pippin_tokenize(tokenizer, text, n, options, out->items, n_ids, &out->n, &err) == PIPPIN_OK) return 0;
    pp_free(out->items);
    *out = (pp_ids){0};
    return pp_failed(&err);
}

int pp_ids_to_text(const pippin_tokenizer *tokenizer, const pp_ids *ids, pp_buffer *out)
{
    pippin_error err;
    size_t n;
    *out = (pp_buffer){0};
    if (pippin_detokenize(tokenizer, ids->items, ids->n, NULL, 0, &n, &err) != PIPPIN_OK) return pp_failed(&err);
    out->bytes = pp_alloc(n);
    if (!out->bytes) return pp_no_memory();
    out->room = n;
    return pippin_detokenize(tokenizer, ids->items, ids->n, out->bytes, n, &out->n, &err) == PIPPIN_OK
               ? 0
               : pp_failed(&err);
}
