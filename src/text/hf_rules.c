/* hf_rules.c - what a tokenizer.json says about text before and after its model: normaliser, pre-tokenizer, decoder, ends. */
#include <string.h>
#include <utf8proc.h>

#include "text/hf.h"

enum { MAX_DEPTH = 4 }; /* of sequences in sequences */

static const char *type_of(const json_t *value)
{
    const json_t *type = json_object_get(value, "type");
    return json_is_string(type) ? json_string_value(type) : "";
}

static bool is(const json_t *value, const char *type) { return strcmp(type_of(value), type) == 0; }

static const char *text_of(const json_t *value, const char *key, size_t *n)
{
    const json_t *text = json_object_get(value, key);
    *n = json_is_string(text) ? json_string_length(text) : 0;
    return json_is_string(text) ? json_string_value(text) : NULL;
}

/* A flag that is true where the file does not say. */
static bool unless_false(const json_t *value, const char *key) { return !json_is_false(json_object_get(value, key)); }

pippin_status pp_hf_unknown(const pp_hf *h, const char *part, const json_t *value)
{
    return pp_fail(h->err, PIPPIN_E_UNSUPPORTED,
                   "%s: %s of type \"%.40s\", expected one that this version knows; use another tokenizer", h->source,
                   part, type_of(value));
}

static pippin_status each(pp_hf *h, const json_t *list, int depth, pippin_status (*rule)(pp_hf *, const json_t *, int),
                          const char *part, const json_t *value)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(list) || depth == MAX_DEPTH) return pp_hf_unknown(h, part, value);
    json_array_foreach (list, i, item) {
        pippin_status status = rule(h, item, depth + 1);
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

/* ---- operations on text ---- */

static pippin_status add_op(pp_hf *h, pp_op_kind kind, int unicode, const char *from, size_t n_from, const char *to,
                            size_t n_to)
{
    pippin_tokenizer *t = h->t;
    if (t->n_op == PP_MAX_OPS || n_from > PP_OP_TEXT || n_to > PP_OP_TEXT)
        return pp_fail(h->err, PIPPIN_E_UNSUPPORTED,
                       "%s: more than %d normalisers, or a text in one of more than %d bytes; use another tokenizer",
                       h->source, PP_MAX_OPS, PP_OP_TEXT);
    pp_op *op = &t->ops[t->n_op++];
    *op = (pp_op){.kind = kind, .unicode = unicode, .n_from = (uint32_t)n_from, .n_to = (uint32_t)n_to};
    if (n_from) memcpy(op->from, from, n_from);
    if (n_to) memcpy(op->to, to, n_to);
    return PIPPIN_OK;
}

static pippin_status add_replace(pp_hf *h, const json_t *value)
{
    size_t n_from, n_to;
    const char *from = text_of(json_object_get(value, "pattern"), "String", &n_from),
               *to = text_of(value, "content", &n_to);
    if (!from || !to || n_from == 0) return pp_hf_unknown(h, "normalizer", value);
    return add_op(h, PP_OP_REPLACE, 0, from, n_from, to, n_to);
}

pippin_status pp_hf_normalizer(pp_hf *h, const json_t *value, int depth)
{
    static const struct {
        const char *name;
        int options;
    } forms[] = {{"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
                 {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
                 {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
                 {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
    if (!value || json_is_null(value)) return PIPPIN_OK;
    for (size_t i = 0; i < 4; i++)
        if (is(value, forms[i].name)) return add_op(h, PP_OP_UNICODE, forms[i].options, NULL, 0, NULL, 0);
    if (is(value, "Sequence"))
        return each(h, json_object_get(value, "normalizers"), depth, pp_hf_normalizer, "normalizer", value);
    if (is(value, "Replace")) return add_replace(h, value);
    size_t n;
    const char *text = text_of(value, "prepend", &n);
    if (is(value, "Prepend") && text) return add_op(h, PP_OP_PREPEND, 0, NULL, 0, text, n);
    return pp_hf_unknown(h, "normalizer", value);
}

/* ---- words ---- */

static const char words_of_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static pippin_status add_step(pp_hf *h, const char *regex, size_t n, pp_split split, bool invert)
{
    return pp_steps_add(h->t, regex, n, split, invert, h->source, h->err);
}

/* A literal text as a pattern. */
static pippin_status add_literal(pp_hf *h, const char *text, size_t n, pp_split split, bool invert)
{
    char regex[2 * PP_OP_TEXT];
    size_t n_regex = 0;
    if (n == 0 || n > PP_OP_TEXT)
        return pp_fail(h->err, PIPPIN_E_UNSUPPORTED,
                       "%s: a Split at a text of %zu bytes, expected 1 to %d; use another tokenizer", h->source, n,
                       PP_OP_TEXT);
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool plain = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!plain) regex[n_regex++] = '\\';
        regex[n_regex++] = text[i];
    }
    return add_step(h, regex, n_regex, split, invert);
}

static pippin_status add_split(pp_hf *h, const json_t *value)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const json_t *pattern = json_object_get(value, "pattern");
    const bool invert = json_is_true(json_object_get(value, "invert"));
    size_t n, n_behavior;
    const char *behavior = text_of(value, "behavior", &n_behavior);
    int split = 0;
    while (split < 5 && (!behavior || strcmp(behavior, names[split]) != 0)) split++;
    if (split == 5) return pp_hf_unknown(h, "pre_tokenizer with an unknown behavior", value);
    const char *regex = text_of(pattern, "Regex", &n);
    if (regex) return add_step(h, regex, n, (pp_split)split, invert);
    const char *text = text_of(pattern, "String", &n);
    return text ? add_literal(h, text, n, (pp_split)split, invert)
                : pp_hf_unknown(h, "pre_tokenizer without a pattern", value);
}

static pippin_status add_byte_level(pp_hf *h, const json_t *value)
{
    h->t->byte_level = true;
    pippin_status status = PIPPIN_OK;
    if (unless_false(value, "add_prefix_space")) {
        /* The space would go before every part of an earlier cut. */
        if (h->t->n_step) return pp_hf_unknown(h, "pre_tokenizer with add_prefix_space after another", value);
        status = add_op(h, PP_OP_PREPEND_MISSING, 0, NULL, 0, " ", 1);
        h->t->strip_space = true;
    }
    if (status == PIPPIN_OK && unless_false(value, "use_regex"))
        status = add_step(h, words_of_gpt2, strlen(words_of_gpt2), PP_SPLIT_ISOLATED, false);
    return status;
}

static pippin_status add_metaspace(pp_hf *h, const json_t *value)
{
    size_t n, n_scheme;
    const char *mark = text_of(value, "replacement", &n), *scheme = text_of(value, "prepend_scheme", &n_scheme);
    if (!scheme) scheme = unless_false(value, "add_prefix_space") ? "always" : "never";
    if (!mark || n == 0 || h->t->n_step) return pp_hf_unknown(h, "pre_tokenizer", value);
    pippin_status status = add_op(h, PP_OP_REPLACE, 0, " ", 1, mark, n);
    if (status == PIPPIN_OK && strcmp(scheme, "never") != 0)
        status =
            add_op(h, strcmp(scheme, "first") == 0 ? PP_OP_PREPEND_FIRST : PP_OP_PREPEND_MISSING, 0, NULL, 0, mark, n);
    if (status == PIPPIN_OK && unless_false(value, "split"))
        status = add_literal(h, mark, n, PP_SPLIT_WITH_NEXT, false);
    return status;
}

pippin_status pp_hf_pre_tokenizer(pp_hf *h, const json_t *value, int depth)
{
    if (!value || json_is_null(value)) return PIPPIN_OK;
    if (is(value, "Sequence"))
        return each(h, json_object_get(value, "pretokenizers"), depth, pp_hf_pre_tokenizer, "pre_tokenizer", value);
    if (is(value, "Split")) return add_split(h, value);
    if (is(value, "ByteLevel")) return add_byte_level(h, value);
    if (is(value, "Metaspace")) return add_metaspace(h, value);
    if (is(value, "Digits")) {
        const char *regex = json_is_true(json_object_get(value, "individual_digits")) ? "\\p{N}" : "\\p{N}+";
        return add_step(h, regex, strlen(regex), PP_SPLIT_ISOLATED, false);
    }
    return pp_hf_unknown(h, "pre_tokenizer", value);
}

/* ---- decoding ---- */

static pippin_status decode_replace(pp_hf *h, const json_t *value)
{
    size_t n_from, n_to;
    const char *from = text_of(json_object_get(value, "pattern"), "String", &n_from),
               *to = text_of(value, "content", &n_to);
    if (!from || !to || n_to > n_from) return pp_hf_unknown(h, "decoder", value);
    return pp_pieces_replace(h->t, from, to, h->source, h->err);
}

static pippin_status decode_metaspace(pp_hf *h, const json_t *value)
{
    size_t n;
    const char *mark = text_of(value, "replacement", &n), *scheme = text_of(value, "prepend_scheme", &n);
    h->t->strip_space = scheme ? strcmp(scheme, "never") != 0 : unless_false(value, "add_prefix_space");
    return mark && *mark ? pp_pieces_replace(h->t, mark, " ", h->source, h->err) : pp_hf_unknown(h, "decoder", value);
}

pippin_status pp_hf_decoder(pp_hf *h, const json_t *value, int depth)
{
    if (!value || json_is_null(value) || is(value, "ByteLevel") || is(value, "ByteFallback") || is(value, "Fuse"))
        return PIPPIN_OK;
    if (is(value, "Sequence"))
        return each(h, json_object_get(value, "decoders"), depth, pp_hf_decoder, "decoder", value);
    if (is(value, "Replace")) return decode_replace(h, value);
    if (is(value, "Metaspace")) return decode_metaspace(h, value);
    size_t n;
    const char *text = text_of(value, "content", &n);
    if (!is(value, "Strip") || !text || strcmp(text, " ") != 0) return pp_hf_unknown(h, "decoder", value);
    h->t->strip_space = json_integer_value(json_object_get(value, "start")) > 0;
    return PIPPIN_OK;
}

/* ---- BOS and EOS ---- */

/* The id of a token that is written as a text, or as an object with one. */
static int32_t token_id(const pp_hf *h, const json_t *token)
{
    const json_t *text = json_is_object(token) ? json_object_get(token, "content") : token;
    return json_is_string(text) ? pp_tokenizer_find(h->t, json_string_value(text), json_string_length(text)) : -1;
}

/* A template puts special tokens before and after "A", the text. */
static void ends_of_template(pp_hf *h, const json_t *value)
{
    size_t i;
    const json_t *item;
    bool after = false;
    json_array_foreach (json_object_get(value, "single"), i, item) {
        const int32_t id = token_id(h, json_object_get(json_object_get(item, "SpecialToken"), "id"));
        if (json_object_get(item, "Sequence")) after = true;
        if (id >= 0 && after) h->t->eos = id;
        if (id >= 0 && !after) h->t->bos = id;
    }
}

void pp_hf_ends(pp_hf *h)
{
    const json_t *post = json_object_get(h->root, "post_processor"), *item;
    size_t i;
    if (is(post, "TemplateProcessing")) ends_of_template(h, post);
    json_array_foreach (json_object_get(post, "processors"), i, item)
        if (is(item, "TemplateProcessing")) ends_of_template(h, item);
    const json_t *adds = json_object_get(h->config, "add_bos_token");
    if (h->t->bos < 0 && json_is_true(adds)) h->t->bos = token_id(h, json_object_get(h->config, "bos_token"));
    if (h->t->eos < 0) h->t->eos = token_id(h, json_object_get(h->config, "eos_token"));
}
