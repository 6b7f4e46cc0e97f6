/* template_chatml.c - ChatML's turns: "<|im_start|>role", a line each, "<|im_end|>"; tools and calls as Qwen has them. */
#include <string.h>

#include "text/template.h"

static void begin(pp_render *r, const char *role)
{
    pp_render_special(r, "<|im_start|>");
    pp_render_text(r, role);
    pp_render_text(r, "\n");
}

static void end(pp_render *r)
{
    pp_render_special(r, "<|im_end|>");
    pp_render_text(r, "\n");
}

static void tools(pp_render *r)
{
    pp_render_text(r,
                   "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided "
                   "with function signatures within <tools></tools> XML tags:\n<tools>");
    pp_render_list(r, r->c->tools, "\n", "");
    pp_render_text(r, "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
                      "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
                      "\"arguments\": <args-json-object>}\n</tool_call>");
}

static void system_turn(pp_render *r, const pp_message *m)
{
    const bool has_tools = json_array_size(r->c->tools) > 0;
    if (!m && !r->default_system && !has_tools) return;
    begin(r, "system");
    if (m)
        pp_render_content(r, m->text, m->n_text);
    else if (r->default_system)
        pp_render_text(r, r->default_system);
    if (has_tools && (m || r->default_system)) pp_render_text(r, "\n\n");
    if (has_tools) tools(r);
    end(r);
}

static void assistant(pp_render *r, const pp_message *m)
{
    begin(r, "assistant");
    pp_render_answer_start(r);
    pp_render_content(r, m->text, m->n_text);
    for (size_t i = 0; i < json_array_size(m->calls); i++) {
        if (i || m->n_text) pp_render_text(r, "\n");
        pp_render_text(r, "<tool_call>\n");
        pp_render_json(r, json_array_get(m->calls, i), 0);
        pp_render_text(r, "\n</tool_call>");
    }
    pp_render_special(r, "<|im_end|>");
    pp_render_answer_end(r);
    pp_render_text(r, "\n");
}

/* Results that follow one another are one turn, and the user's. */
static void result(pp_render *r, size_t i)
{
    const pp_conversation *c = r->c;
    const pp_message *m = &c->messages[i];
    if (c->messages[i - 1].role != PP_ROLE_TOOL) {
        pp_render_special(r, "<|im_start|>");
        pp_render_text(r, "user");
    }
    pp_render_text(r, "\n<tool_response>\n");
    if (m->value)
        pp_render_json(r, m->value, 0);
    else
        pp_render_content(r, m->text, m->n_text);
    pp_render_text(r, "\n</tool_response>");
    if (i + 1 == c->n || c->messages[i + 1].role != PP_ROLE_TOOL) end(r);
}

void pp_template_chatml(pp_render *r)
{
    const pp_conversation *c = r->c;
    const bool has_system = c->messages[0].role == PP_ROLE_SYSTEM;
    system_turn(r, has_system ? &c->messages[0] : NULL);
    for (size_t i = has_system; i < c->n; i++) {
        const pp_message *m = &c->messages[i];
        if (m->role == PP_ROLE_ASSISTANT) {
            assistant(r, m);
        } else if (m->role == PP_ROLE_TOOL) {
            result(r, i);
        } else {
            begin(r, "user");
            pp_render_content(r, m->text, m->n_text);
            end(r);
        }
    }
    if (!r->complete) begin(r, "assistant");
}
