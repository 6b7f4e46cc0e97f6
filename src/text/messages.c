/* messages.c - a conversation as JSON, in OpenAI's shape: read, brought into one form, and checked, message by message. */
#include <string.h>

#include "text/template.h"

static const char *const roles[] = {"system", "user", "assistant", "tool"};

typedef struct parser {
    pp_conversation *c;
    bool complete;
    pippin_error *err;
} parser;

static pippin_status no_memory(const parser *p) { return pp_fail_memory(p->err, "messages", 0); }

static const char *kind_of(const json_t *value)
{
    if (!value) return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a text";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: break;
    }
    return "null";
}

static pippin_status bad(const parser *p, size_t i, const char *field, const char *found, const char *expected)
{
    return pp_fail(p->err, PIPPIN_E_ARGUMENT, "messages[%zu]%s%s: found %s, expected %s", i, *field ? "." : "", field,
                   found, expected);
}

static pippin_status load(const char *what, const char *text, size_t n, json_t **out, pippin_error *err)
{
    json_error_t at;
    *out = json_loadb(text, n, JSON_ALLOW_NUL, &at);
    if (*out) return PIPPIN_OK;
    if (json_error_code(&at) == json_error_out_of_memory) return pp_fail_memory(err, what, n);
    return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: line %d, column %d: %s; expected JSON", what, at.line, at.column,
                   at.text);
}

/* Keeps a new value as long as the conversation; NULL when out of memory. */
static json_t *keep(const parser *p, json_t *value)
{
    return value && json_array_append_new(p->c->kept, value) == 0 ? value : NULL;
}

/* ---- content ---- */

/* Is it a list of {"type": "text", "text": ...}? */
static bool is_parts(const json_t *list)
{
    size_t i;
    const json_t *part;
    json_array_foreach (list, i, part) {
        const json_t *type = json_object_get(part, "type");
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0) return false;
        if (!json_is_string(json_object_get(part, "text"))) return false;
    }
    return json_is_array(list);
}

static pippin_status join_parts(const parser *p, const json_t *list, pp_message *m)
{
    size_t i, n = 0;
    const json_t *part;
    json_array_foreach (list, i, part) n += json_string_length(json_object_get(part, "text"));
    char *joint = pp_alloc(n), *end = joint;
    if (!joint) return no_memory(p);
    json_array_foreach (list, i, part) {
        const json_t *text = json_object_get(part, "text");
        memcpy(end, json_string_value(text), json_string_length(text));
        end += json_string_length(text);
    }
    const json_t *kept = keep(p, json_stringn_nocheck(joint, n));
    pp_free(joint);
    if (!kept) return no_memory(p);
    m->text = json_string_value(kept);
    m->n_text = n;
    return PIPPIN_OK;
}

static bool all_objects(const json_t *list)
{
    size_t i;
    const json_t *item;
    json_array_foreach (list, i, item)
        if (!json_is_object(item)) return false;
    return json_is_array(list);
}

static pippin_status read_content(const parser *p, size_t i, const json_t *content, pp_message *m)
{
    m->text = "";
    if (json_is_string(content)) {
        m->text = json_string_value(content);
        m->n_text = json_string_length(content);
        return PIPPIN_OK;
    }
    if (is_parts(content)) return join_parts(p, content, m);
    if (m->role == PP_ROLE_TOOL) {
        if (!json_is_object(content) && !all_objects(content))
            return bad(p, i, "content", kind_of(content), "a text, an object, or a list of new tools");
        m->value = content;
        return PIPPIN_OK;
    }
    if (m->role == PP_ROLE_ASSISTANT && m->calls && (!content || json_is_null(content))) return PIPPIN_OK;
    return bad(p, i, "content", json_is_array(content) ? "a list with other parts than texts" : kind_of(content),
               "a text");
}

/* ---- tools and calls ---- */

static pippin_status add_tools(const parser *p, const char *where, const json_t *tools)
{
    if (!tools || json_is_null(tools)) return PIPPIN_OK;
    if (!all_objects(tools))
        return pp_fail(p->err, PIPPIN_E_ARGUMENT, "%s: found %s, expected a list of objects, one a tool", where,
                       json_is_array(tools) ? "a list with something else in it" : kind_of(tools));
    json_t *extended = (json_t *)(uintptr_t)tools; /* jansson reads it only, but has no way to say so */
    return json_array_extend(p->c->tools, extended) == 0 ? PIPPIN_OK : no_memory(p);
}

/* An object, or one as JSON text, or none at all; *out is a new reference. */
static pippin_status read_arguments(const parser *p, size_t i, json_t *arguments, json_t **out)
{
    const char *text = json_is_string(arguments) ? json_string_value(arguments) : "";
    *out = NULL;
    if (json_is_object(arguments)) {
        *out = json_incref(arguments);
    } else if (!arguments || (json_is_string(arguments) && !*text)) {
        *out = json_object();
        if (!*out) return no_memory(p);
    } else if (json_is_string(arguments)) {
        pippin_error why;
        if (load("", text, json_string_length(arguments), out, &why) == PIPPIN_E_MEMORY) return no_memory(p);
    }
    if (json_is_object(*out)) return PIPPIN_OK;
    json_decref(*out);
    return bad(p, i, "tool_calls", json_is_string(arguments) ? "arguments that are no JSON object" : "other arguments",
               "an object, or one as JSON text");
}

static pippin_status read_call(const parser *p, size_t i, const json_t *call, json_t *calls, json_t *ids)
{
    const json_t *function = json_object_get(call, "function");
    json_t *name = json_object_get(function, "name"), *id = json_object_get(call, "id"), *arguments;
    if (!json_is_string(name))
        return bad(p, i, "tool_calls", "a call without name", "{\"function\": {\"name\": ..., \"arguments\": ...}}");
    pippin_status status = read_arguments(p, i, json_object_get(function, "arguments"), &arguments);
    if (status != PIPPIN_OK) return status;
    json_t *clean = json_object();
    bool ok = clean && json_object_set(clean, "name", name) == 0;
    ok = ok && json_object_set(clean, "arguments", arguments) == 0;
    json_decref(arguments);
    ok = ok && json_array_append(calls, clean) == 0;
    json_decref(clean);
    ok = ok && json_array_append_new(ids, json_is_string(id) ? json_incref(id) : json_null()) == 0;
    return ok ? PIPPIN_OK : no_memory(p);
}

static pippin_status read_calls(const parser *p, size_t i, const json_t *list, pp_message *m)
{
    size_t k;
    const json_t *call;
    if (!list || json_is_null(list)) return PIPPIN_OK;
    if (!json_is_array(list)) return bad(p, i, "tool_calls", kind_of(list), "a list of calls");
    if (json_array_size(list) == 0) return PIPPIN_OK;
    json_t *calls = keep(p, json_array()), *ids = keep(p, json_array());
    if (!calls || !ids) return no_memory(p);
    json_array_foreach (list, k, call) {
        pippin_status status = read_call(p, i, call, calls, ids);
        if (status != PIPPIN_OK) return status;
    }
    m->calls = calls;
    m->call_ids = ids;
    return PIPPIN_OK;
}

static pippin_status read_format(const parser *p, size_t i, const json_t *format, pp_message *m)
{
    if (!format || json_is_null(format)) return PIPPIN_OK;
    const json_t *type = json_object_get(format, "type"), *schema = json_object_get(format, "json_schema");
    const char *name = json_is_string(type) ? json_string_value(type) : "";
    if (strcmp(name, "text") == 0) return PIPPIN_OK;
    if (strcmp(name, "json_object") != 0 && strcmp(name, "json_schema") != 0)
        return bad(p, i, "response_format", json_is_string(type) ? "another type" : "no type",
                   "the type text, json_object or json_schema");
    if (strcmp(name, "json_schema") == 0 && !json_is_object(json_object_get(schema, "schema")))
        return bad(p, i, "response_format", "a json_schema without schema", "{\"name\": ..., \"schema\": {...}}");
    m->format = format;
    return PIPPIN_OK;
}

/* ---- one message, and their order ---- */

static bool read_role(const json_t *message, pp_role *role)
{
    const json_t *value = json_object_get(message, "role");
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(name, "developer") == 0) name = "system"; /* its newer name */
    for (int i = 0; i < 4; i++)
        if (strcmp(name, roles[i]) == 0) {
            *role = (pp_role)i;
            return true;
        }
    return false;
}

static pippin_status read_message(const parser *p, size_t i, const json_t *message, pp_message *m)
{
    char where[64];
    if (!json_is_object(message))
        return bad(p, i, "", kind_of(message), "an object such as {\"role\": \"user\", \"content\": \"Hello\"}");
    if (!read_role(message, &m->role)) {
        const json_t *role = json_object_get(message, "role");
        char found[64];
        snprintf(found, sizeof found, "\"%.40s\"", json_is_string(role) ? json_string_value(role) : "");
        return bad(p, i, "role", json_is_string(role) ? found : kind_of(role), "system, user, assistant or tool");
    }
    pippin_status status = PIPPIN_OK;
    if (m->role == PP_ROLE_ASSISTANT) status = read_calls(p, i, json_object_get(message, "tool_calls"), m);
    if (status == PIPPIN_OK && m->role == PP_ROLE_USER)
        status = read_format(p, i, json_object_get(message, "response_format"), m);
    snprintf(where, sizeof where, "messages[%zu].tools", i);
    if (status == PIPPIN_OK && m->role == PP_ROLE_SYSTEM)
        status = add_tools(p, where, json_object_get(message, "tools"));
    if (status == PIPPIN_OK) status = read_content(p, i, json_object_get(message, "content"), m);
    const json_t *id = json_object_get(message, "tool_call_id");
    m->call_id = json_is_string(id) ? id : NULL;
    return status;
}

/* What may follow what; a conversation begins after "system" in any case. */
static pippin_status check_order(const parser *p)
{
    static const struct {
        bool may[4];
        const char *expected;
    } after[] = {{{false, true, false, false}, "user"},
                 {{false, false, true, false}, "assistant"},
                 {{false, true, false, true}, "user or tool"},
                 {{false, true, true, true}, "assistant, tool or user"}};
    const pp_conversation *c = p->c;
    char found[48];
    for (size_t i = 0; i < c->n; i++) {
        const pp_role role = c->messages[i].role, before = i ? c->messages[i - 1].role : PP_ROLE_SYSTEM;
        if (i == 0 && role == PP_ROLE_SYSTEM) continue;
        if (after[before].may[role]) continue;
        snprintf(found, sizeof found, "%s %s%s", roles[role], i ? "after " : "", i ? roles[before] : "first");
        return bad(p, i, "role", found,
                   i == 0                   ? "system or user"
                   : role == PP_ROLE_SYSTEM ? "system as the first message only"
                                            : after[before].expected);
    }
    const pp_role last = c->messages[c->n - 1].role;
    snprintf(found, sizeof found, "%s last", roles[last]);
    if (p->complete && last != PP_ROLE_ASSISTANT)
        return bad(p, c->n - 1, "role", found, "assistant, whose message is to be learnt");
    if (!p->complete && last != PP_ROLE_USER && last != PP_ROLE_TOOL)
        return bad(p, c->n - 1, "role", found, "user or tool, whose message is to be answered");
    return PIPPIN_OK;
}

/* ---- the whole ---- */

/* A list, or an object that holds it: as "messages", or else as its first value. */
static const json_t *find_list(const pp_conversation *c)
{
    if (json_is_array(c->root)) return c->root;
    const json_t *list = json_object_get(c->root, "messages");
    void *first = json_object_iter(c->root);
    if (!list && first) list = json_object_iter_value(first);
    return list;
}

static pippin_status read_all(const parser *p, const pippin_prompt_options *o)
{
    pp_conversation *c = p->c;
    const json_t *list = find_list(c), *message;
    json_t *more = NULL;
    size_t i;
    if (!json_is_array(list))
        return pp_fail(p->err, PIPPIN_E_ARGUMENT,
                       "messages: found %s, expected a list of messages, or an object with \"messages\"",
                       kind_of(list));
    if (json_array_size(list) == 0)
        return pp_fail(p->err, PIPPIN_E_ARGUMENT, "messages: found none, expected at least one");
    c->n = json_array_size(list);
    c->messages = pp_alloc_zero(c->n, sizeof *c->messages);
    if (!c->messages) return no_memory(p);
    json_array_foreach (list, i, message) {
        pippin_status status = read_message(p, i, message, &c->messages[i]);
        if (status != PIPPIN_OK) return status;
    }
    pippin_status status = check_order(p);
    if (status == PIPPIN_OK && json_is_object(c->root))
        status = add_tools(p, "tools", json_object_get(c->root, "tools"));
    if (status == PIPPIN_OK && o->tools) {
        status = load("tools", o->tools, o->n_tools, &more, p->err);
        if (status == PIPPIN_OK) status = add_tools(p, "tools", more);
        json_decref(more);
    }
    return status;
}

pippin_status pp_conversation_parse(const char *text, size_t n, const pippin_prompt_options *options,
                                    pp_conversation *out, pippin_error *err)
{
    *out = (pp_conversation){.tools = json_array(), .kept = json_array()};
    const parser p = {out, options->complete, err};
    pippin_status status = out->tools && out->kept ? load("messages", text, n, &out->root, err) : no_memory(&p);
    if (status == PIPPIN_OK) status = read_all(&p, options);
    if (status != PIPPIN_OK) pp_conversation_free(out);
    return status;
}

void pp_conversation_free(pp_conversation *c)
{
    pp_free(c->messages);
    json_decref(c->root);
    json_decref(c->tools);
    json_decref(c->kept);
    *c = (pp_conversation){0};
}
