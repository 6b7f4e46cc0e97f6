/*
 * template_mistral.c - Mistral's turns: "[INST] text[/INST] answer</s>", the brackets being pieces in newer vocabularies and
 * text in older ones. The system's text stands before the first user's; tools need the newer pieces.
 */
#include "text/template.h"

static void tools(pp_render *r)
{
    if (json_array_size(r->c->tools) == 0) return;
    pp_render_special(r, "[AVAILABLE_TOOLS]");
    pp_render_text(r, " ");
    pp_render_json(r, r->c->tools, 0);
    pp_render_special(r, "[/AVAILABLE_TOOLS]");
}

static void user(pp_render *r, const pp_message *m, const pp_message *system)
{
    pp_render_maybe_special(r, "[INST]");
    pp_render_text(r, " ");
    if (system) {
        pp_render_content(r, system->text, system->n_text);
        pp_render_text(r, "\n\n");
    }
    pp_render_content(r, m->text, m->n_text);
    pp_render_maybe_special(r, "[/INST]");
}

static void calls(pp_render *r, const pp_message *m)
{
    pp_render_special(r, "[TOOL_CALLS]");
    pp_render_text(r, " [");
    for (size_t i = 0; i < json_array_size(m->calls); i++) {
        const json_t *call = json_array_get(m->calls, i), *id = json_array_get(m->call_ids, i);
        pp_render_text(r, i ? ", {\"name\": " : "{\"name\": ");
        pp_render_json(r, json_object_get(call, "name"), 0);
        pp_render_text(r, ", \"arguments\": ");
        pp_render_json(r, json_object_get(call, "arguments"), 0);
        if (json_is_string(id)) {
            pp_render_text(r, ", \"id\": ");
            pp_render_json(r, id, 0);
        }
        pp_render_text(r, "}");
    }
    pp_render_text(r, "]");
}

static void assistant(pp_render *r, const pp_message *m)
{
    pp_render_answer_start(r);
    if (m->calls) {
        calls(r, m);
    } else {
        pp_render_text(r, " ");
        pp_render_content(r, m->text, m->n_text);
    }
    pp_render_special(r, "</s>");
    pp_render_answer_end(r);
}

static void result(pp_render *r, const pp_message *m)
{
    pp_render_special(r, "[TOOL_RESULTS]");
    pp_render_text(r, " {\"content\": ");
    if (m->value)
        pp_render_json(r, m->value, 0);
    else
        pp_render_content(r, m->text, m->n_text);
    if (m->call_id) {
        pp_render_text(r, ", \"call_id\": ");
        pp_render_json(r, m->call_id, 0);
    }
    pp_render_text(r, "}");
    pp_render_special(r, "[/TOOL_RESULTS]");
}

void pp_template_mistral(pp_render *r)
{
    const pp_conversation *c = r->c;
    const pp_message *system = c->messages[0].role == PP_ROLE_SYSTEM ? &c->messages[0] : NULL;
    tools(r);
    for (size_t i = system != NULL; i < c->n; i++) {
        const pp_message *m = &c->messages[i];
        if (m->role == PP_ROLE_ASSISTANT) {
            assistant(r, m);
        } else if (m->role == PP_ROLE_TOOL) {
            result(r, m);
        } else {
            user(r, m, system);
            system = NULL;
        }
    }
}
