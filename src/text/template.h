/*
 * template.h - private to text: conversations. Messages are JSON (messages.c); a template writes them into a pp_render as
 * text, and notes what of it is special and what others wrote (template_NAME.c); render.c makes ids of that.
 */
#ifndef PP_TEXT_TEMPLATE_H
#define PP_TEXT_TEMPLATE_H

#include <jansson.h>

#include "text/tokenizer.h"

/* ---- messages (messages.c) ---- */

typedef enum pp_role { PP_ROLE_SYSTEM = 0, PP_ROLE_USER, PP_ROLE_ASSISTANT, PP_ROLE_TOOL } pp_role;

typedef struct pp_message {
    pp_role role;
    const char *text; /* the content where it is text; "" where there is none */
    size_t n_text;
    const json_t *value;    /* a tool's result that is an object, or a list of new tools; NULL: none of them */
    const json_t *calls;    /* the assistant's: a list of {"name", "arguments": an object}; NULL: none */
    const json_t *call_ids; /* [calls] a text each, or null */
    const json_t *call_id;  /* which call a tool's result answers: a text, or NULL */
    const json_t *format;   /* a user's response_format that asks for JSON, or NULL */
} pp_message;

typedef struct pp_conversation {
    pp_message *messages; /* [n] in an order that check_order of messages.c allows */
    size_t n;
    json_t *tools;       /* a list, maybe empty: the option's after the system message's */
    json_t *root, *kept; /* what the pointers above point into */
} pp_conversation;

/* `complete`: the last message is to be the assistant's, else one to be answered. On failure there is nothing to free. */
pippin_status pp_conversation_parse(const char *text, size_t n, const pippin_prompt_options *options,
                                    pp_conversation *out, pippin_error *err);
void pp_conversation_free(pp_conversation *c);

/* ---- JSON as Python's json.dumps(value, ensure_ascii=False, indent=indent) writes it; indent 0: None (json_python.c) ---- */

/* False when `put` gave false, which ends it. */
bool pp_json_python(const json_t *value, int indent, bool (*put)(void *user, const char *bytes, size_t n), void *user);

/* ---- a prompt in the making (render.c) ---- */

/* A special piece that the template wrote at a byte of the text. */
typedef struct pp_mark {
    size_t at;
    int32_t id;
} pp_mark;

/* What the assistant wrote: from a byte on, after so many marks, to a mark: the piece that ends its turn. */
typedef struct pp_answer {
    size_t start, n_before, end_mark;
} pp_answer;

enum { PP_MAX_GUARDED = 32 };

/* The first failure stays, and what is written after it is lost; templates need not look. */
typedef struct pp_render {
    const pippin_tokenizer *t;
    const pp_conversation *c;
    bool complete;
    int32_t newline;            /* the piece that newlines become, or -1 */
    const char *default_system; /* of the file's own template, or NULL */
    pippin_error *err;
    pippin_status status;
    char *text; /* [n] */
    size_t n, text_room;
    pp_span *content; /* [n_content] what others wrote */
    size_t n_content, content_room;
    pp_mark *marks;
    size_t n_mark, mark_room;
    int32_t guarded[PP_MAX_GUARDED]; /* [n_guarded] pieces that content never gives */
    size_t n_guarded;
    pp_answer *answers;
    size_t n_answer, answer_room;
} pp_render;

void pp_render_text(pp_render *r, const char *text);           /* the template's own */
void pp_render_special(pp_render *r, const char *piece);       /* fails where the vocabulary has none of this name */
void pp_render_maybe_special(pp_render *r, const char *piece); /* ordinary text where it has none */
void pp_render_content(pp_render *r, const char *text, size_t n);
void pp_render_json(pp_render *r, const json_t *value, int indent);                           /* content too */
void pp_render_list(pp_render *r, const json_t *list, const char *before, const char *after); /* each item as JSON */
/* Around what the assistant wrote; the end comes right after the piece that ends its turn. */
void pp_render_answer_start(pp_render *r);
void pp_render_answer_end(pp_render *r);
/* The ids: `head` (-1: none) and those of the text, which goes to `out` too. */
pippin_status pp_render_finish(pp_render *r, int32_t head, pippin_prompt *out);
void pp_render_free(pp_render *r);
/* Content never gives this piece (-1: none), whatever its kind; those that the template writes need not be named. */
void pp_render_guard(pp_render *r, int32_t id);
/* The messages do not fit the template. */
void pp_render_refuse(pp_render *r, size_t i_message, const char *what);

void pp_template_afm(pp_render *r);
void pp_template_llama3(pp_render *r);
void pp_template_chatml(pp_render *r);
void pp_template_mistral(pp_render *r);

#endif
