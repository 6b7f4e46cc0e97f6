/* template_afm.c - AFM's turns: "<turn_start> role<n>text<turn_end>", one run without breaks between them. */
#include "text/template.h"

static const char default_system[] = "A conversation between a user and a helpful assistant.";

static void begin(pp_render *r, const char *role)
{
    pp_render_special(r, "<turn_start>");
    pp_render_text(r, " ");
    pp_render_text(r, role);
    pp_render_text(r, "\n");
}

static void end(pp_render *r) { pp_render_special(r, "<turn_end>"); }

static void tools(pp_render *r, const char *title, const json_t *list)
{
    pp_render_text(r, title);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i) pp_render_text(r, "\n");
        pp_render_json(r, json_array_get(list, i), 0);
    }
}

static void system_turn(pp_render *r, const pp_message *m)
{
    begin(r, "system");
    if (m && m->n_text && (m->text[0] == ' ' || m->text[m->n_text - 1] == ' '))
        pp_render_refuse(r, 0, "content: found a space at an end of the system text, expected none; take it away");
    if (m)
        pp_render_content(r, m->text, m->n_text);
    else
        pp_render_text(r, default_system);
    if (json_array_size(r->c->tools)) tools(r, "\nsystem tools: ", r->c->tools);
    end(r);
}

static void line(pp_render *r, const char *title, const json_t *text)
{
    if (!json_is_string(text)) return;
    pp_render_text(r, title);
    pp_render_content(r, json_string_value(text), json_string_length(text));
}

static void format(pp_render *r, const json_t *response_format)
{
    const json_t *schema = json_object_get(response_format, "json_schema");
    pp_render_text(r, "\n\nresponse format in json.");
    line(r, "\nname: ", json_object_get(schema, "name"));
    line(r, "\ndescription: ", json_object_get(schema, "description"));
    if (!schema) return;
    pp_render_text(r, "\nschema: ");
    pp_render_json(r, json_object_get(schema, "schema"), 0);
}

static void assistant(pp_render *r, const pp_message *m)
{
    pp_render_answer_start(r);
    pp_render_content(r, m->text, m->n_text);
    if (m->calls) {
        pp_render_special(r, "<executable_start>");
        pp_render_text(r, " ```function\n");
        pp_render_json(r, m->calls, 0);
        pp_render_text(r, "```");
        pp_render_special(r, "<executable_end>");
    }
    end(r);
    pp_render_answer_end(r);
}

static void others(pp_render *r, const pp_message *m)
{
    if (json_is_array(m->value))
        tools(r, "new tools: ", m->value);
    else if (m->value)
        pp_render_json(r, m->value, 0);
    else
        pp_render_content(r, m->text, m->n_text);
    if (m->format) format(r, m->format);
    end(r);
}

void pp_template_afm(pp_render *r)
{
    const pp_conversation *c = r->c;
    const bool has_system = c->messages[0].role == PP_ROLE_SYSTEM;
    system_turn(r, has_system ? &c->messages[0] : NULL);
    for (size_t i = has_system; i < c->n; i++) {
        const pp_message *m = &c->messages[i];
        begin(r, m->role == PP_ROLE_USER ? "user" : m->role == PP_ROLE_TOOL ? "tool" : "assistant");
        if (m->role == PP_ROLE_ASSISTANT)
            assistant(r, m);
        else
            others(r, m);
    }
    if (!r->complete) begin(r, "assistant");
}
