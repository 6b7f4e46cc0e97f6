/*
 * hf_json.c - reads Hugging Face's tokenizer.json with a BPE model: vocabulary and merges by a walk over the text, all else
 * through jansson.
 */
#include <string.h>

#include "text/hf.h"

/* Ids may have holes, but a file cannot make us allocate much more than it holds. */
enum { MAX_HOLES = 1 << 14 };

static pippin_status bad(const pp_hf *h, const char *what)
{
    return pp_fail(h->err, PIPPIN_E_FORMAT,
                   "%s: %s; expected a tokenizer.json with a BPE model, check that the file is whole", h->source, what);
}

static bool is_key(const char *key, size_t n, const char *name)
{
    return n == strlen(name) && memcmp(key, name, n) == 0;
}

/* ---- the file's parts ---- */

static pippin_status keep_value(const pp_hf *h, json_t *object, const char *key, size_t n, pp_scan value)
{
    json_error_t at;
    char name[64];
    if (value.failed) return bad(h, "JSON that breaks off");
    json_t *parsed = json_loadb(value.at, (size_t)(value.end - value.at), JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
    if (!parsed && json_error_code(&at) == json_error_out_of_memory)
        return pp_fail_memory(h->err, h->source, (size_t)(value.end - value.at));
    if (!parsed)
        return pp_fail(h->err, PIPPIN_E_FORMAT, "%s: %.*s: %s; expected a tokenizer.json, check that the file is whole",
                       h->source, (int)PP_MIN(n, (size_t)40), key, at.text);
    snprintf(name, sizeof name, "%.*s", (int)n, key);
    return json_object_set_new(object, name, parsed) == 0 ? PIPPIN_OK : pp_fail_memory(h->err, h->source, n);
}

static pippin_status read_model(pp_hf *h, pp_scan *s)
{
    pp_scratch scratch = {0};
    pippin_status status = PIPPIN_OK;
    pp_scan_enter(s, '{');
    for (bool first = true; status == PIPPIN_OK && !s->failed && pp_scan_next(s, '}', &first);) {
        size_t n;
        const char *key = pp_scan_key(s, &scratch, &n);
        pp_scan value = pp_scan_skip(s);
        if (s->failed) break;
        if (is_key(key, n, "vocab"))
            h->vocab = value;
        else if (is_key(key, n, "merges"))
            h->merges = value;
        else if (n < 40)
            status = keep_value(h, h->model, key, n, value);
    }
    pp_free(scratch.bytes);
    return s->failed && status == PIPPIN_OK ? bad(h, "a model whose JSON breaks off") : status;
}

static bool is_rule(const char *key, size_t n)
{
    static const char *const names[] = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"};
    for (size_t i = 0; i < 5; i++)
        if (is_key(key, n, names[i])) return true;
    return false;
}

static pippin_status read_root(pp_hf *h, pp_scan s)
{
    pp_scratch scratch = {0};
    pippin_status status = PIPPIN_OK;
    pp_scan_enter(&s, '{');
    for (bool first = true; status == PIPPIN_OK && !s.failed && pp_scan_next(&s, '}', &first);) {
        size_t n;
        const char *key = pp_scan_key(&s, &scratch, &n);
        const bool model = is_key(key, n, "model"), rule = is_rule(key, n);
        if (model && !s.failed) {
            status = read_model(h, &s);
            continue;
        }
        pp_scan value = pp_scan_skip(&s);
        if (s.failed) break;
        if (rule) status = keep_value(h, h->root, key, n, value);
    }
    pp_free(scratch.bytes);
    if (status == PIPPIN_OK && (s.failed || pp_scan_peek(&s)))
        return bad(h, "JSON that breaks off or goes on after its end");
    return status;
}

static pippin_status check_model(const pp_hf *h)
{
    const json_t *type = json_object_get(h->model, "type");
    if (json_is_string(type) && strcmp(json_string_value(type), "BPE") != 0) return pp_hf_unknown(h, "model", h->model);
    if (!h->vocab.at || !h->merges.at) return bad(h, "no model with vocab and merges");
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const json_t *affix = json_object_get(h->model, affixes[i]);
        if (json_is_string(affix) && json_string_length(affix))
            return pp_fail(h->err, PIPPIN_E_UNSUPPORTED, "%s: model.%s is set, expected none; use another tokenizer",
                           h->source, affixes[i]);
    }
    return PIPPIN_OK;
}

/* ---- pieces ---- */

static pippin_status each_piece(pp_hf *h, size_t *n_seen, int64_t *highest)
{
    pp_scan s = h->vocab;
    pp_scratch scratch = {0};
    pippin_status status = PIPPIN_OK;
    pp_scan_enter(&s, '{');
    for (bool first = true; status == PIPPIN_OK && !s.failed && pp_scan_next(&s, '}', &first);) {
        size_t n;
        const char *text = pp_scan_key(&s, &scratch, &n);
        const int64_t id = pp_scan_integer(&s);
        if (s.failed || id < 0) break;
        if (n_seen) {
            ++*n_seen;
            *highest = PP_MAX(*highest, id);
        } else {
            status = pp_piece_set(h->t, (int32_t)id, text, n, h->source, h->err);
            h->t->pieces[id].kind = PP_PIECE_NORMAL;
        }
    }
    pp_free(scratch.bytes);
    if (scratch.no_memory) return pp_fail_memory(h->err, h->source, scratch.capacity);
    if (status != PIPPIN_OK) return status;
    return s.failed || pp_scan_peek(&s) ? bad(h, "model.vocab is not one object of texts and ids") : PIPPIN_OK;
}

static int64_t added_id(const json_t *token)
{
    const json_t *id = json_object_get(token, "id");
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

static pippin_status make_pieces(pp_hf *h)
{
    size_t n = 0, i;
    int64_t highest = -1;
    const json_t *token, *added = json_object_get(h->root, "added_tokens");
    pippin_status status = each_piece(h, &n, &highest);
    if (status != PIPPIN_OK) return status;
    json_array_foreach (added, i, token) highest = PP_MAX(highest, added_id(token));
    n += json_array_size(added);
    if (highest < 0 || (uint64_t)highest >= 2 * (uint64_t)n + MAX_HOLES)
        return bad(h, "ids that are missing or far beyond the number of pieces");
    status = pp_tokenizer_new((size_t)highest + 1, h->source, &h->t, h->err);
    return status == PIPPIN_OK ? each_piece(h, NULL, NULL) : status;
}

static pippin_status add_tokens(pp_hf *h)
{
    size_t i;
    const json_t *token;
    json_array_foreach (json_object_get(h->root, "added_tokens"), i, token) {
        const json_t *content = json_object_get(token, "content");
        const int64_t id = added_id(token);
        if (id < 0 || !json_is_string(content)) return bad(h, "an added token without id or content");
        pippin_status status =
            pp_piece_set(h->t, (int32_t)id, json_string_value(content), json_string_length(content), h->source, h->err);
        if (status != PIPPIN_OK) return status;
        pp_piece *p = &h->t->pieces[id];
        p->kind = json_is_true(json_object_get(token, "special")) ? PP_PIECE_CONTROL : PP_PIECE_ADDED;
        p->eats_left = json_is_true(json_object_get(token, "lstrip"));
        p->eats_right = json_is_true(json_object_get(token, "rstrip"));
        p->whole_word = json_is_true(json_object_get(token, "single_word"));
    }
    return PIPPIN_OK;
}

/* The unknown piece is never found in text; one that is also a special token gives none. */
static void read_unknown(pp_hf *h)
{
    const json_t *name = json_object_get(h->model, "unk_token");
    pippin_tokenizer *t = h->t;
    for (int32_t id = 0; id < t->n_piece && json_is_string(name) && t->unk < 0; id++) {
        pp_piece *p = &t->pieces[id];
        if (p->kind == PP_PIECE_UNUSED || p->n_stored != json_string_length(name) ||
            memcmp(p->stored, json_string_value(name), p->n_stored) != 0)
            continue;
        if (p->kind == PP_PIECE_CONTROL) p->n_text = 0;
        p->kind = PP_PIECE_UNKNOWN;
        t->unk = id;
    }
}

static void read_flags(pp_hf *h)
{
    pippin_tokenizer *t = h->t;
    t->kind = PP_TOKENIZER_MERGES;
    t->byte_fallback = json_is_true(json_object_get(h->model, "byte_fallback"));
    t->fuse_unknown = json_is_true(json_object_get(h->model, "fuse_unk"));
    t->ignore_merges = json_is_true(json_object_get(h->model, "ignore_merges"));
    for (int32_t id = 0; id < t->n_piece && t->byte_fallback; id++)
        if (t->pieces[id].kind == PP_PIECE_NORMAL) pp_piece_set_byte(t, id);
    read_unknown(h);
}

/* ---- merges ---- */

/* "a b" or ["a", "b"]. */
static bool read_merge(pp_hf *h, pp_scan *s, pp_scratch scratch[2], int32_t rank)
{
    size_t n_left, n_right;
    const char *left, *right;
    if (pp_scan_peek(s) == '"') {
        left = pp_scan_string(s, &scratch[0], &n_left);
        right = memchr(left, ' ', n_left);
        if (!right) return false;
        n_right = n_left - (size_t)(right - left) - 1;
        n_left = (size_t)(right - left);
        right++;
    } else {
        bool first = true, two;
        pp_scan_enter(s, '[');
        two = pp_scan_next(s, ']', &first);
        left = pp_scan_string(s, &scratch[0], &n_left);
        two = two && pp_scan_next(s, ']', &first);
        right = pp_scan_string(s, &scratch[1], &n_right);
        if (!two || pp_scan_next(s, ']', &first)) return false;
    }
    return !s->failed && pp_merges_add(h->t, left, n_left, right, n_right, rank);
}

static pippin_status read_merges(pp_hf *h)
{
    pp_scan s = h->merges, counting = s;
    pp_scratch scratch[2] = {0};
    size_t n = 0;
    int32_t rank = 0;
    pp_scan_enter(&counting, '[');
    for (bool first = true; !counting.failed && pp_scan_next(&counting, ']', &first); n++) pp_scan_skip(&counting);
    pippin_status status =
        counting.failed ? bad(h, "model.merges is not an array") : pp_merges_create(h->t, n, h->source, h->err);
    pp_scan_enter(&s, '[');
    for (bool first = true; status == PIPPIN_OK && pp_scan_next(&s, ']', &first); rank++)
        if (!read_merge(h, &s, scratch, rank))
            status =
                pp_fail(h->err, PIPPIN_E_FORMAT,
                        "%s: merge %d is no pair of pieces whose joint text is a piece; check that the file is whole",
                        h->source, (int)rank);
    if (scratch[0].no_memory || scratch[1].no_memory) status = pp_fail_memory(h->err, h->source, 0);
    pp_free(scratch[0].bytes);
    pp_free(scratch[1].bytes);
    return status;
}

/* ---- the chat template: a text, or a list of them with names, of which one is called "default" ---- */

static void tell_template(const pp_hf *h)
{
    const json_t *template = json_object_get(h->config, "chat_template"), *item;
    size_t i;
    const json_t *list = template;
    json_array_foreach (list, i, item) {
        const json_t *name = json_object_get(item, "name");
        if (i == 0 || (json_is_string(name) && strcmp(json_string_value(name), "default") == 0))
            template = json_object_get(item, "template");
    }
    if (json_is_string(template)) pp_template_tell(h->t, json_string_value(template), json_string_length(template));
}

/* ---- all of it ---- */

static pippin_status build(pp_hf *h)
{
    pippin_status status = check_model(h);
    if (status == PIPPIN_OK) status = make_pieces(h);
    if (status == PIPPIN_OK) status = add_tokens(h);
    if (status != PIPPIN_OK) return status;
    read_flags(h);
    status = pp_hf_normalizer(h, json_object_get(h->root, "normalizer"), 0);
    if (status == PIPPIN_OK) status = pp_hf_pre_tokenizer(h, json_object_get(h->root, "pre_tokenizer"), 0);
    if (status == PIPPIN_OK && h->t->byte_level) status = pp_byte_level_pieces(h->t, h->source, h->err);
    if (status == PIPPIN_OK) status = pp_hf_decoder(h, json_object_get(h->root, "decoder"), 0);
    if (status == PIPPIN_OK) status = pp_tokenizer_build_index(h->t, h->source, h->err);
    if (status == PIPPIN_OK) status = read_merges(h);
    if (status == PIPPIN_OK) pp_hf_ends(h);
    if (status == PIPPIN_OK) tell_template(h);
    return status;
}

pippin_status pp_tokenizer_parse_json(const void *data, size_t size, const pp_map *config, const char *source,
                                      pippin_tokenizer **out, pippin_error *err)
{
    pp_hf h = {.source = source, .err = err, .root = json_object(), .model = json_object()};
    *out = NULL;
    json_error_t at;
    pippin_status status = h.root && h.model ? PIPPIN_OK : pp_fail_memory(err, source, size);
    /* What is beside is a help, not a must: a damaged one says nothing. "No limit" is a number there that no int64 holds. */
    if (config) h.config = json_loadb((const char *)config->data, config->size, JSON_DECODE_INT_AS_REAL, &at);
    if (config && !h.config && json_error_code(&at) == json_error_out_of_memory)
        status = pp_fail_memory(err, source, config->size);
    if (status == PIPPIN_OK) status = read_root(&h, (pp_scan){data, (const char *)data + size, false});
    if (status == PIPPIN_OK) status = build(&h);
    json_decref(h.root);
    json_decref(h.model);
    json_decref(h.config);
    if (status != PIPPIN_OK)
        pippin_tokenizer_free(h.t);
    else
        *out = h.t;
    return status;
}
