/*
 * data.c - training data: finding the file, plain text, and the arrays that samples are gathered in. Tokens take 5 bytes
 * each and nothing else is kept, so that a file of a gigabyte needs about another one; long texts are tokenised in parts.
 */
#include <string.h>

#include "train/reader.h"

enum { DEFAULT_WINDOW = 1024, DEFAULT_CHUNK = 1 << 20 };

pp_dataset_options pp_dataset_defaults(const pippin_config *config, const pippin_tokenizer *tokenizer)
{
    /* A text is learned behind the token that it will be read behind, and behind none where there is none. */
    const int32_t first = tokenizer ? pippin_tokenizer_bos(tokenizer) : -1,
                  eos = tokenizer ? pippin_tokenizer_eos(tokenizer) : -1;
    return (pp_dataset_options){.first_id = first,
                                .last_id = eos >= 0 ? eos : config->eos_id,
                                /* In AFM id 0 is padding. */
                                .pad_id = config->arch == PIPPIN_ARCH_AFM ? PP_MAX(config->pad_id, 0) : -1};
}

void pp_dataset_free(pp_dataset *d)
{
    pp_free(d->tokens);
    pp_free(d->labelled);
    pp_free(d->start);
    *d = (pp_dataset){0};
}

pippin_status pp_reader_fail(const pp_reader *r, pippin_status status, const char *format, ...)
{
    char text[800];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pp_fail(r->err, status, "%s:%zu: %s", r->source, r->line, text);
}

pippin_status pp_reader_need_tokenizer(const pp_reader *r)
{
    if (r->tokenizer) return PIPPIN_OK;
    return pp_reader_fail(r, PIPPIN_E_ARGUMENT,
                          "holds text, and the model has no tokenizer, expected one to read it with; name one with "
                          "--tokenizer, or give \"tokens\"");
}

/* ---- room ---- */

/*
 * How many items to make room for when `wanted` are needed now. What the part of the file that was read needed, the rest
 * will need too: one step to the whole instead of doublings, the last of which would hold everything three times.
 */
static size_t more_room(const pp_reader *r, size_t wanted)
{
    if (r->at <= r->size / 16) return 2 * wanted + 256;
    const double whole = 1.05 * (double)wanted / (double)r->at * (double)r->size;
    return PP_MAX((size_t)whole, wanted + wanted / 8) + 256;
}

static pippin_status make_tok_room(pp_reader *r, size_t n)
{
    pp_dataset *d = r->out;
    size_t wanted;
    if (!pp_add(d->n_tok, n, &wanted) || wanted > SIZE_MAX / 16) return pp_fail_memory(r->err, r->source, n);
    if (wanted <= r->tok_room) return PIPPIN_OK;
    const size_t room = more_room(r, wanted);
    int32_t *tokens = pp_grow(d->tokens, d->n_tok, room, sizeof *tokens);
    if (!tokens) return pp_fail_memory(r->err, r->source, (uint64_t)room * sizeof *tokens);
    d->tokens = tokens;
    uint8_t *labelled = pp_grow(d->labelled, d->n_tok, room, 1);
    if (!labelled) return pp_fail_memory(r->err, r->source, room);
    d->labelled = labelled;
    r->tok_room = room;
    return PIPPIN_OK;
}

static pippin_status make_sample_room(pp_reader *r)
{
    pp_dataset *d = r->out;
    if (d->n_sample + 1 < r->sample_room) return PIPPIN_OK;
    const size_t room = more_room(r, d->n_sample + 2);
    size_t *start = pp_grow(d->start, d->start ? d->n_sample + 1 : 0, room, sizeof *start);
    if (!start) return pp_fail_memory(r->err, r->source, (uint64_t)room * sizeof *start);
    start[d->n_sample] = d->n_sample ? start[d->n_sample] : 0;
    d->start = start;
    r->sample_room = room;
    return PIPPIN_OK;
}

/* ---- samples ---- */

pippin_status pp_reader_put(pp_reader *r, const int32_t *ids, size_t n, bool labelled)
{
    pippin_status status = make_tok_room(r, n);
    if (status != PIPPIN_OK) return status;
    pp_dataset *d = r->out;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= r->n_vocab)
            return pp_reader_fail(r, PIPPIN_E_ARGUMENT,
                                  "the tokenizer gives id %d, expected ids below the model's vocabulary of %d; use the "
                                  "model's own tokenizer",
                                  (int)ids[i], (int)r->n_vocab);
        d->tokens[d->n_tok + i] = ids[i];
        d->labelled[d->n_tok + i] = labelled && ids[i] != r->options.pad_id;
    }
    d->n_tok += n;
    return PIPPIN_OK;
}

pippin_status pp_reader_end(pp_reader *r)
{
    pippin_status status = make_sample_room(r);
    if (status != PIPPIN_OK) return status;
    pp_dataset *d = r->out;
    const size_t start = d->start[d->n_sample], n = d->n_tok - start;
    const size_t kept = r->options.max_length ? PP_MIN(n, r->options.max_length) : n;
    size_t targets = 0, targets_kept = 0;
    if (n) d->labelled[start] = 0;
    for (size_t i = 0; i < n; i++) {
        targets += d->labelled[start + i];
        if (i < kept) targets_kept = targets;
    }
    if (!targets)
        return pp_reader_fail(r, PIPPIN_E_FORMAT,
                              "found %zu token%s and nothing to learn, expected a token after the first that is a "
                              "target; complete the line or remove it",
                              n, n == 1 ? "" : "s");
    d->n_truncated += kept < n;
    d->n_dropped += !targets_kept;
    d->n_tok = start + (targets_kept ? kept : 0);
    if (!targets_kept) return PIPPIN_OK;
    d->n_labelled += targets_kept;
    d->start[++d->n_sample] = d->n_tok;
    return PIPPIN_OK;
}

/* ---- text to tokens ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool cuts_word(const char *text, size_t i)
{
    return !is_space(text[i - 1]) && text[i] == ' ' && !is_space(text[i + 1]);
}
static bool cuts_line(const char *text, size_t i)
{
    return text[i - 1] == '\n' && !is_space(text[i - 2]) && !is_space(text[i]);
}

/*
 * The end of the part of a long text that begins at `at`. A part ends before a space between two words, else behind a line,
 * where tokenizers cut in any case, so that the parts' tokens are those of the whole (but for vocabularies whose pieces
 * reach across words: there a token at the seam may differ); where there is no such place for long, between characters.
 */
static size_t part_end(const char *text, size_t n, size_t at, size_t chunk)
{
    if (n - at <= chunk + 2) return n;
    size_t end = n - at - chunk > chunk ? at + 2 * chunk : n;
    for (size_t i = at + chunk; i < end - 1; i++)
        if (cuts_word(text, i)) return i;
    for (size_t i = at + chunk; i < end - 1; i++)
        if (i - at >= 2 && cuts_line(text, i)) return i;
    while (end < n && ((unsigned char)text[end] & 0xc0) == 0x80) end++;
    return end;
}

static pippin_status encode(pp_reader *r, const char *text, size_t n, int32_t **ids, size_t *n_ids)
{
    const pp_encode_request request = {0};
    return pp_tokenizer_encode(r->tokenizer, text, n, &request, ids, n_ids, r->err);
}

typedef pippin_status (*take_ids)(pp_reader *r, const int32_t *ids, size_t n, bool labelled);

/*
 * A part that does not begin its text is tokenised behind the character before it, whose ids are dropped: a tokenizer that
 * marks the beginning of a text must not mark this one. Where that character's ids do not come first, the part stands alone.
 */
static pippin_status take_part(pp_reader *r, const char *text, size_t first, size_t end, bool labelled, take_ids take)
{
    size_t context = first;
    while (context > 0 && ((unsigned char)text[--context] & 0xc0) == 0x80) continue;
    int32_t *before = NULL, *ids = NULL;
    size_t n_before = 0, n;
    pippin_status status = first ? encode(r, text + context, first - context, &before, &n_before) : PIPPIN_OK;
    if (status == PIPPIN_OK) status = encode(r, text + context, end - context, &ids, &n);
    if (status == PIPPIN_OK && (n < n_before || (n_before && memcmp(ids, before, n_before * sizeof *ids) != 0))) {
        pp_free(ids);
        n_before = 0;
        status = encode(r, text + first, end - first, &ids, &n);
    }
    if (status == PIPPIN_OK) status = take(r, ids + n_before, n - n_before, labelled);
    pp_free(before);
    pp_free(ids);
    return status;
}

static pippin_status take_text(pp_reader *r, const char *text, size_t n, bool labelled, take_ids take)
{
    const size_t chunk = r->options.chunk ? r->options.chunk : DEFAULT_CHUNK;
    pippin_status status = PIPPIN_OK;
    for (size_t at = 0, end; at < n && status == PIPPIN_OK; at = end) {
        end = part_end(text, n, at, chunk);
        /* Only a text that stands in the file as it is says how far the file has been read. */
        const uintptr_t place = (uintptr_t)text + end, start = (uintptr_t)r->text;
        if (place > start && place - start <= r->size) r->at = (size_t)(place - start);
        status = take_part(r, text, at, end, labelled, take);
    }
    return status;
}

pippin_status pp_reader_text(pp_reader *r, const char *text, size_t n, bool labelled)
{
    return take_text(r, text, n, labelled, pp_reader_put);
}

/* ---- plain text ---- */

/* Windows over one stream. The last window is as short as what is left. */
static pippin_status put_window(pp_reader *r, const int32_t *ids, size_t n, bool labelled)
{
    pp_dataset *d = r->out;
    const size_t window = r->options.max_length;
    pippin_status status = make_sample_room(r);
    while (n && status == PIPPIN_OK) {
        const size_t held = d->n_tok - d->start[d->n_sample];
        if (held == 0 && (r->options.first_id >= 0 || d->n_sample)) {
            const int32_t first = r->options.first_id >= 0 ? r->options.first_id : d->tokens[d->n_tok - 1];
            status = pp_reader_put(r, &first, 1, false);
        } else if (held == window) {
            status = pp_reader_end(r);
        } else {
            const size_t some = PP_MIN(n, window - held);
            status = pp_reader_put(r, ids, some, labelled);
            ids += some;
            n -= some;
        }
    }
    return status;
}

static pippin_status read_stream(pp_reader *r)
{
    if (!r->options.max_length) r->options.max_length = r->options.window ? r->options.window : DEFAULT_WINDOW;
    pippin_status status = take_text(r, r->text, r->size, true, put_window);
    const pp_dataset *d = r->out;
    return status == PIPPIN_OK && d->n_tok && d->n_tok > d->start[d->n_sample] ? pp_reader_end(r) : status;
}

static pippin_status read_document(pp_reader *r, const char *text, size_t n)
{
    const pp_dataset_options *o = &r->options;
    pippin_status status = o->first_id < 0 ? PIPPIN_OK : pp_reader_put(r, &o->first_id, 1, true);
    if (status == PIPPIN_OK) status = pp_reader_text(r, text, n, true);
    if (status == PIPPIN_OK && o->last_id >= 0) status = pp_reader_put(r, &o->last_id, 1, true);
    return status == PIPPIN_OK ? pp_reader_end(r) : status;
}

static const char *find_bytes(const char *text, size_t n, const char *what, size_t n_what)
{
    for (const char *p; n >= n_what && (p = memchr(text, *what, n - n_what + 1));
         n -= (size_t)(p + 1 - text), text = p + 1)
        if (memcmp(p, what, n_what) == 0) return p;
    return NULL;
}

static size_t count_lines(const char *text, size_t n)
{
    size_t lines = 0;
    for (const char *p; n && (p = memchr(text, '\n', n)); n -= (size_t)(p + 1 - text), text = p + 1) lines++;
    return lines;
}

static pippin_status read_documents(pp_reader *r)
{
    const size_t n_separator = strlen(r->options.separator);
    const char *at = r->text, *end = r->text + r->size;
    const char *counted = at;
    pippin_status status = PIPPIN_OK;
    while (at && at < end && status == PIPPIN_OK) {
        const char *found = find_bytes(at, (size_t)(end - at), r->options.separator, n_separator);
        const char *first = at, *last = found ? found : end;
        while (first < last && is_space(*first)) first++;
        while (last > first && is_space(last[-1])) last--;
        r->line += count_lines(counted, (size_t)(first - counted));
        counted = first;
        if (last > first) status = read_document(r, first, (size_t)(last - first));
        at = found ? found + n_separator : NULL;
    }
    return status;
}

/* ---- files ---- */

static pippin_status read_lines(pp_reader *r)
{
    const char *at = r->text, *end = r->text + r->size;
    if (r->size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    pippin_status status = PIPPIN_OK;
    for (r->line = 1; at < end && status == PIPPIN_OK; r->line++) {
        const char *found = memchr(at, '\n', (size_t)(end - at));
        const char *last = found ? found : end, *next = found ? found + 1 : end;
        while (at < last && is_space(*at)) at++;
        r->at = (size_t)(next - r->text);
        if (at < last) status = pp_reader_line(r, at, (size_t)(last - at));
        at = next;
    }
    return status;
}

static pippin_status check_options(const pp_reader *r)
{
    const pp_dataset_options *o = &r->options;
    if (o->separator && !*o->separator)
        return pp_fail(r->err, PIPPIN_E_ARGUMENT, "--separator: is empty, expected what stands between documents");
    if (o->max_length == 1 || (!o->max_length && o->window == 1))
        return pp_fail(r->err, PIPPIN_E_ARGUMENT,
                       "--max-sequence-length: is 1, expected 2 or more: a token is learned from those before it");
    if (o->first_id >= r->n_vocab || o->last_id >= r->n_vocab)
        return pp_fail(
            r->err, PIPPIN_E_ARGUMENT,
            "%s: the ids %d and %d begin and end a text, expected them below the vocabulary of %d; use the model's "
            "own tokenizer",
            r->source, (int)o->first_id, (int)o->last_id, (int)r->n_vocab);
    return PIPPIN_OK;
}

static pippin_status read_text_file(pp_reader *r)
{
    r->line = 1;
    pippin_status status = pp_reader_need_tokenizer(r);
    if (status != PIPPIN_OK) return status;
    return r->options.separator ? read_documents(r) : read_stream(r);
}

static pippin_status finish(pp_reader *r)
{
    const pp_dataset *d = r->out;
    const unsigned long long longest = r->options.max_length;
    if (!d->n_sample && !d->n_dropped)
        return pp_fail(r->err, PIPPIN_E_FORMAT, "%s: holds no sample, expected one a line or some text; check the path",
                       r->source);
    if (!d->n_sample)
        return pp_fail(
            r->err, PIPPIN_E_FORMAT,
            "%s: none of the %zu samples has a target within %llu tokens, expected some; raise --max-sequence-length",
            r->source, d->n_dropped, longest);
    if (d->n_sample > UINT32_MAX - 1)
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                       "%s: holds %zu samples, expected at most 4294967294; split the file", r->source, d->n_sample);
    if (d->n_truncated)
        pp_log("%s: %zu of %zu samples were longer than %llu tokens and cut there", r->source, d->n_truncated,
               d->n_sample + d->n_dropped, longest);
    if (d->n_dropped) pp_log("%s: %zu of them had no target left and are not used", r->source, d->n_dropped);
    return PIPPIN_OK;
}

pippin_status pp_dataset_parse(const void *data, size_t size, bool json, const char *source,
                               const pippin_tokenizer *tokenizer, int32_t n_vocab, const pp_dataset_options *options,
                               pp_dataset *out, pippin_error *err)
{
    *out = (pp_dataset){0};
    pp_reader r = {.source = source,
                   .tokenizer = tokenizer,
                   .n_vocab = n_vocab,
                   .options = *options,
                   .text = data,
                   .size = size,
                   .out = out,
                   .err = err};
    pippin_status status = check_options(&r);
    if (status == PIPPIN_OK && size) status = json ? read_lines(&r) : read_text_file(&r);
    if (status == PIPPIN_OK) status = finish(&r);
    if (status != PIPPIN_OK) pp_dataset_free(out);
    return status;
}

/* "PART.jsonl" or "PART.txt" in a folder, to be freed; NULL, with OK, where there is neither. */
static pippin_status find_part(const char *dir, const char *const names[2], char **out, pippin_error *err)
{
    *out = NULL;
    for (int i = 0; i < 2; i++) {
        char *path = pp_path_join(dir, names[i]);
        if (!path) return pp_fail_memory(err, dir, strlen(dir));
        if (pp_path_exists(path)) {
            *out = path;
            return PIPPIN_OK;
        }
        pp_free(path);
    }
    return PIPPIN_OK;
}

pippin_status pp_dataset_find_valid(const char *path, char **out, pippin_error *err)
{
    static const char *const names[] = {"valid.jsonl", "valid.txt"};
    *out = NULL;
    return pp_path_is_dir(path) ? find_part(path, names, out, err) : PIPPIN_OK;
}

pippin_status pp_dataset_load(const char *path, const pippin_tokenizer *tokenizer, int32_t n_vocab,
                              const pp_dataset_options *options, pp_dataset *out, pippin_error *err)
{
    static const char *const names[] = {"train.jsonl", "train.txt"};
    char *inside = NULL;
    pp_map map = {0};
    *out = (pp_dataset){0};
    pippin_status status = pp_path_is_dir(path) ? find_part(path, names, &inside, err) : PIPPIN_OK;
    if (status == PIPPIN_OK && !inside && pp_path_is_dir(path))
        status = pp_fail(
            err, PIPPIN_E_IO,
            "%s: found no train.jsonl or train.txt, expected one in a folder of data; name the file itself", path);
    const char *file = inside ? inside : path;
    if (status == PIPPIN_OK) status = pp_map_open(file, &map, err);
    const bool json = pp_path_ends(file, ".jsonl") || pp_path_ends(file, ".json");
    if (status == PIPPIN_OK)
        status = pp_dataset_parse(map.data, map.size, json, file, tokenizer, n_vocab, options, out, err);
    pp_map_close(&map);
    pp_free(inside);
    return status;
}
