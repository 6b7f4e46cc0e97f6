/* template_llama3.c - Llama 3's turns: a header, an empty line, the text without white space around it, <|eot_id|>. */
#include "text/template.h"

static void begin(pp_render *r, const char *role)
{
    pp_render_special(r, "<|start_header_id|>");
    pp_render_text(r, role);
    pp_render_special(r, "<|end_header_id|>");
    pp_render_text(r, "\n\n");
}

static void end(pp_render *r) { pp_render_special(r, "<|eot_id|>"); }

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void trimmed(pp_render *r, const pp_message *m)
{
    size_t start = 0, stop = m->n_text;
    while (start < stop && is_blank(m->text[start])) start++;
    while (stop > start && is_blank(m->text[stop - 1])) stop--;
    pp_render_content(r, m->text + start, stop - start);
}

/* Tools stand before the first user's text, as those who trained it advise. */
static void tools(pp_render *r)
{
    pp_render_text(r, "Given the following functions, please respond with a JSON for a function call with its proper "
                      "arguments that best answers the given prompt.\n\nRespond in the format {\"name\": function "
                      "name, \"parameters\": dictionary of argument name and its value}.Do not use variables.\n\n");
    for (size_t i = 0; i < json_array_size(r->c->tools); i++) {
        pp_render_json(r, json_array_get(r->c->tools, i), 4);
        pp_render_text(r, "\n\n");
    }
}

static void assistant(pp_render *r, size_t i)
{
    const pp_message *m = &r->c->messages[i];
    const json_t *call = json_array_get(m->calls, 0);
    if (json_array_size(m->calls) > 1)
        pp_render_refuse(r, i, "tool_calls: found several calls, expected one, as template llama3 has no more");
    begin(r, "assistant");
    pp_render_answer_start(r);
    if (call) {
        pp_render_text(r, "{\"name\": ");
        pp_render_json(r, json_object_get(call, "name"), 0);
        pp_render_text(r, ", \"parameters\": ");
        pp_render_json(r, json_object_get(call, "arguments"), 0);
        pp_render_text(r, "}");
    } else {
        trimmed(r, m);
    }
    end(r);
    pp_render_answer_end(r);
}

void pp_template_llama3(pp_render *r)
{
    const pp_conversation *c = r->c;
    bool tools_wait = json_array_size(c->tools) > 0;
    if (tools_wait) {
        begin(r, "system");
        pp_render_text(r, "Environment: ipython\n");
        if (c->messages[0].role == PP_ROLE_SYSTEM) trimmed(r, &c->messages[0]);
        end(r);
    }
    for (size_t i = tools_wait && c->messages[0].role == PP_ROLE_SYSTEM; i < c->n; i++) {
        const pp_message *m = &c->messages[i];
        if (m->role == PP_ROLE_ASSISTANT) {
            assistant(r, i);
            continue;
        }
        begin(r, m->role == PP_ROLE_SYSTEM ? "system" : m->role == PP_ROLE_TOOL ? "ipython" : "user");
        if (m->role == PP_ROLE_USER && tools_wait) {
            tools(r);
            tools_wait = false;
        }
        if (m->value)
            pp_render_json(r, m->value, 0);
        else
            trimmed(r, m);
        end(r);
    }
    if (!r->complete) begin(r, "assistant");
}
