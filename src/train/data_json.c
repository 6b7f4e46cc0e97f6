/* data_json.c - one line of training data: which kind it is, what it must hold, and its tokens. */
#include <jansson.h>
#include <string.h>

#include "train/reader.h"

/* Jansson spends up to 64 bytes on a value, of which two bytes of JSON are enough for one: values are counted before it
   starts, and may cost the file's size and SPARE. */
enum { VALUE_COST = 64, SPARE = 256 << 20 };

static const char *kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "a whole number";
    case JSON_REAL: return "a decimal number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static pippin_status bad(const pp_reader *r, const char *field, const json_t *found, const char *expected)
{
    return pp_reader_fail(r, PIPPIN_E_FORMAT, "\"%s\" is %s, expected %s; correct the line", field,
                          found ? kind_of(found) : "missing", expected);
}

/* ---- tokens ---- */

static pippin_status put_ids(pp_reader *r, json_t *list)
{
    json_t *item;
    size_t i;
    if (!json_is_array(list)) return bad(r, "tokens", list, "a list of ids");
    json_array_foreach (list, i, item) {
        if (!json_is_integer(item))
            return pp_reader_fail(r, PIPPIN_E_FORMAT, "\"tokens\"[%zu] is %s, expected an id; correct the line", i,
                                  kind_of(item));
        const json_int_t id = json_integer_value(item);
        if (id < 0 || id >= r->n_vocab)
            return pp_reader_fail(
                r, PIPPIN_E_FORMAT,
                "\"tokens\"[%zu] is %lld, expected an id from 0 to %d, the model's vocabulary; tokenise "
                "with the model's own tokenizer",
                i, (long long)id, (int)r->n_vocab - 1);
        const int32_t one = (int32_t)id;
        pippin_status status = pp_reader_put(r, &one, 1, true);
        if (status != PIPPIN_OK) return status;
    }
    return PIPPIN_OK;
}

/* The mask belongs to the n tokens that were put last. */
static pippin_status apply_mask(pp_reader *r, json_t *mask, size_t n)
{
    json_t *item;
    size_t i;
    if (!json_is_array(mask)) return bad(r, "loss_mask", mask, "a list of 0 and 1");
    if (json_array_size(mask) != n)
        return pp_reader_fail(
            r, PIPPIN_E_FORMAT,
            "\"loss_mask\" has %zu values, expected %zu, one for each of the \"tokens\"; correct the line",
            json_array_size(mask), n);
    uint8_t *labelled = r->out->labelled + (r->out->n_tok - n);
    json_array_foreach (mask, i, item) {
        const bool one = json_is_true(item) || (json_is_number(item) && json_number_value(item) == 1);
        const bool zero = json_is_false(item) || (json_is_number(item) && json_number_value(item) == 0);
        if (!one && !zero)
            return pp_reader_fail(r, PIPPIN_E_FORMAT,
                                  "\"loss_mask\"[%zu] is %s, expected 0 or 1; weights between are not supported", i,
                                  json_is_number(item) ? "another number" : kind_of(item));
        if (zero) labelled[i] = 0;
    }
    return PIPPIN_OK;
}

static pippin_status read_tokens(pp_reader *r, json_t *root)
{
    json_t *mask = json_object_get(root, "loss_mask"), *list = json_object_get(root, "tokens");
    pippin_status status = put_ids(r, list);
    if (status == PIPPIN_OK && mask) status = apply_mask(r, mask, json_array_size(list));
    return status;
}

/* ---- text ---- */

static pippin_status text_field(const pp_reader *r, json_t *root, const char *field, const char **text, size_t *n)
{
    json_t *value = json_object_get(root, field);
    if (!json_is_string(value)) return bad(r, field, value, "a text");
    *text = json_string_value(value);
    *n = json_string_length(value);
    if (*n || strcmp(field, "prompt") == 0) return PIPPIN_OK;
    return pp_reader_fail(r, PIPPIN_E_FORMAT, "\"%s\" is empty, expected text; complete the line or remove it", field);
}

static pippin_status put_id(pp_reader *r, int32_t id, bool labelled)
{
    return id < 0 ? PIPPIN_OK : pp_reader_put(r, &id, 1, labelled);
}

static pippin_status read_text(pp_reader *r, json_t *root)
{
    const char *text;
    size_t n;
    pippin_status status = text_field(r, root, "text", &text, &n);
    if (status == PIPPIN_OK) status = pp_reader_need_tokenizer(r);
    if (status == PIPPIN_OK) status = put_id(r, r->options.first_id, true);
    if (status == PIPPIN_OK) status = pp_reader_text(r, text, n, true);
    return status == PIPPIN_OK ? put_id(r, r->options.last_id, true) : status;
}

/* How many of the last n tokens of r are those of the text alone, from the first of them on. */
static pippin_status count_common(pp_reader *r, const char *text, size_t n_text, size_t n, size_t *common)
{
    const pp_encode_request request = {0};
    int32_t *ids;
    size_t n_ids;
    pippin_status status = pp_tokenizer_encode(r->tokenizer, text, n_text, &request, &ids, &n_ids, r->err);
    if (status != PIPPIN_OK) return status;
    const int32_t *whole = r->out->tokens + (r->out->n_tok - n);
    for (*common = 0; *common < n && *common < n_ids && ids[*common] == whole[*common];) ++*common;
    pp_free(ids);
    return PIPPIN_OK;
}

/*
 * Prompt and completion are tokenised as one text, as they will stand in the model's context. The completion begins where
 * the whole's tokens first differ from the prompt's own: a token that holds the end of one and the beginning of the other is
 * a target.
 */
static pippin_status put_pair(pp_reader *r, const char *prompt, size_t n_prompt, const char *completion,
                              size_t n_completion)
{
    size_t size, common = 0;
    char *whole = pp_add(n_prompt, n_completion, &size) ? pp_alloc(size) : NULL;
    if (!whole) return pp_fail_memory(r->err, r->source, n_completion);
    memcpy(whole, prompt, n_prompt);
    memcpy(whole + n_prompt, completion, n_completion);
    const size_t before = r->out->n_tok;
    pippin_status status = pp_reader_text(r, whole, size, true);
    const size_t n = r->out->n_tok - before;
    if (status == PIPPIN_OK) status = count_common(r, prompt, n_prompt, n, &common);
    if (status == PIPPIN_OK) memset(r->out->labelled + before, 0, common);
    pp_free(whole);
    return status;
}

static pippin_status read_completion(pp_reader *r, json_t *root)
{
    const char *prompt, *completion;
    size_t n_prompt, n_completion;
    pippin_status status = text_field(r, root, "prompt", &prompt, &n_prompt);
    if (status == PIPPIN_OK) status = text_field(r, root, "completion", &completion, &n_completion);
    if (status == PIPPIN_OK) status = pp_reader_need_tokenizer(r);
    if (status == PIPPIN_OK) status = put_id(r, r->options.first_id, false);
    if (status == PIPPIN_OK) status = put_pair(r, prompt, n_prompt, completion, n_completion);
    return status == PIPPIN_OK ? put_id(r, r->options.last_id, true) : status;
}

/* ---- conversations ---- */

/* The template reads the line itself; its complaints name the message by its index. */
static pippin_status read_messages(pp_reader *r, const char *line, size_t n)
{
    const pippin_prompt_options options = {.kind = r->options.kind, .complete = true};
    pippin_prompt *prompt;
    pippin_error why = {0};
    pippin_status status = pp_reader_need_tokenizer(r);
    if (status != PIPPIN_OK) return status;
    status = pippin_prompt_create(r->tokenizer, line, n, &options, &prompt, &why);
    if (status != PIPPIN_OK)
        return status == PIPPIN_E_MEMORY ? pp_fail(r->err, status, "%s", why.text)
                                         : pp_reader_fail(r, status, "%s", why.text);
    const size_t before = r->out->n_tok;
    status = pp_reader_put(r, prompt->ids, prompt->n_ids, true);
    for (size_t i = 0; i < prompt->n_ids && status == PIPPIN_OK; i++)
        r->out->labelled[before + i] &= prompt->by_assistant[i];
    pippin_prompt_free(prompt);
    return status;
}

/* A list of objects is one, under whatever name it comes first. */
static bool is_conversation(const json_t *value) { return json_is_object(json_array_get(value, 0)); }

/* ---- the line ---- */

static pippin_status unknown_line(const pp_reader *r, json_t *root)
{
    char fields[200] = "";
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach (root, key, value)
        if (n < sizeof fields) n += (size_t)snprintf(fields + n, sizeof fields - n, "%s\"%.40s\"", n ? ", " : "", key);
    return pp_reader_fail(
        r, PIPPIN_E_FORMAT,
        "%s%s, expected \"messages\", \"prompt\" and \"completion\", \"text\", or \"tokens\"; correct the line",
        n ? "found the fields " : "found an object without fields", fields);
}

static pippin_status read_object(pp_reader *r, json_t *root, const char *line, size_t size)
{
    static const char *const names[] = {"messages", "prompt", "text", "tokens"};
    const char *found[4];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++)
        if (json_object_get(root, names[i])) found[n++] = names[i];
    if (n > 1)
        return pp_reader_fail(r, PIPPIN_E_FORMAT, "has both \"%s\" and \"%s\", expected one of them; remove the other",
                              found[0], found[1]);
    if (json_object_get(root, "messages")) return read_messages(r, line, size);
    if (json_object_get(root, "prompt") || json_object_get(root, "completion")) return read_completion(r, root);
    if (json_object_get(root, "text")) return read_text(r, root);
    if (json_object_get(root, "tokens")) return read_tokens(r, root);
    json_t *first = json_object_iter_value(json_object_iter(root));
    return is_conversation(first) ? read_messages(r, line, size) : unknown_line(r, root);
}

static pippin_status parse(const pp_reader *r, const char *line, size_t n, json_t **out)
{
    size_t values = 0;
    for (size_t i = 0; i < n; i++) values += line[i] == ',' || line[i] == ':' || line[i] == '[' || line[i] == '{';
    *out = NULL;
    if (values > (r->size + SPARE) / VALUE_COST)
        return pp_reader_fail(r, PIPPIN_E_UNSUPPORTED,
                              "found about %zu values in one line, expected a sample; split the line", values);
    json_error_t at = {0};
    *out = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
    if (*out) return PIPPIN_OK;
    if (json_error_code(&at) == json_error_out_of_memory) return pp_fail_memory(r->err, r->source, n);
    return pp_reader_fail(r, PIPPIN_E_FORMAT,
                          "found no JSON: column %d: %s, expected one whole sample a line; correct the line", at.column,
                          at.text);
}

pippin_status pp_reader_line(pp_reader *r, const char *line, size_t n)
{
    json_t *root;
    pippin_status status = parse(r, line, n, &root);
    if (status == PIPPIN_OK) {
        if (json_is_object(root))
            status = read_object(r, root, line, n);
        else if (json_is_array(root))
            status = read_messages(r, line, n);
        else
            status =
                pp_reader_fail(r, PIPPIN_E_FORMAT,
                               "found %s, expected an object or a list of messages; correct the line", kind_of(root));
    }
    if (status == PIPPIN_OK) status = pp_reader_end(r);
    json_decref(root);
    return status;
}
