/* render.c - a prompt in the making: text with what is special in it and what others wrote, and the ids of that. */
#include <string.h>

#include "text/template.h"

/* ---- writing ---- */

static bool grow(pp_render *r, void **items, size_t n, size_t more, size_t size, size_t *room)
{
    if (r->status != PIPPIN_OK) return false;
    if (*room - n >= more) return true;
    const size_t bigger = 2 * *room + more + 64;
    void *grown = pp_grow(*items, n, bigger, size);
    if (!grown) {
        r->status = pp_fail_memory(r->err, "prompt", bigger * size);
        return false;
    }
    *items = grown;
    *room = bigger;
    return true;
}

static bool put(void *user, const char *bytes, size_t n)
{
    pp_render *r = user;
    void *text = r->text;
    if (!grow(r, &text, r->n, n, 1, &r->text_room)) return false;
    r->text = text;
    if (n) memcpy(r->text + r->n, bytes, n);
    r->n += n;
    return true;
}

void pp_render_guard(pp_render *r, int32_t id)
{
    for (size_t i = 0; i < r->n_guarded; i++)
        if (r->guarded[i] == id) return;
    if (id >= 0 && r->n_guarded < PP_MAX_GUARDED) r->guarded[r->n_guarded++] = id;
}

static void mark(pp_render *r, int32_t id)
{
    void *marks = r->marks;
    const pp_piece *p = &r->t->pieces[id];
    if (!grow(r, &marks, r->n_mark, 1, sizeof *r->marks, &r->mark_room)) return;
    r->marks = marks;
    r->marks[r->n_mark++] = (pp_mark){r->n, id};
    pp_render_guard(r, id);
    put(r, p->stored, p->n_stored);
}

/* Notes that what was written from `start` on came from others. */
static void note_content(pp_render *r, size_t start)
{
    void *content = r->content;
    if (start == r->n || !grow(r, &content, r->n_content, 1, sizeof *r->content, &r->content_room)) return;
    r->content = content;
    r->content[r->n_content++] = (pp_span){start, r->n};
}

void pp_render_special(pp_render *r, const char *piece)
{
    const int32_t id = pp_tokenizer_special_id(r->t, piece);
    if (id >= 0)
        mark(r, id);
    else if (r->status == PIPPIN_OK)
        r->status = pp_fail(r->err, PIPPIN_E_ARGUMENT,
                            "messages: need the piece %s, which this tokenizer has not; leave tools and calls out, or "
                            "use another template",
                            piece);
}

void pp_render_maybe_special(pp_render *r, const char *piece)
{
    const int32_t id = pp_tokenizer_special_id(r->t, piece);
    if (id >= 0)
        mark(r, id);
    else
        put(r, piece, strlen(piece));
}

/* Text with its newlines as pieces where there is one for them; each part is content, or none is. */
static void put_lines(pp_render *r, const char *text, size_t n, bool content)
{
    for (size_t at = 0; at < n && r->status == PIPPIN_OK;) {
        const char *newline = r->newline >= 0 ? memchr(text + at, '\n', n - at) : NULL;
        const size_t end = newline ? (size_t)(newline - text) : n, start = r->n;
        put(r, text + at, end - at);
        if (content) note_content(r, start);
        if (newline) mark(r, r->newline);
        at = end + (newline != NULL);
    }
}

void pp_render_text(pp_render *r, const char *text) { put_lines(r, text, strlen(text), false); }
void pp_render_content(pp_render *r, const char *text, size_t n) { put_lines(r, text, n, true); }

void pp_render_json(pp_render *r, const json_t *value, int indent)
{
    const size_t start = r->n;
    pp_json_python(value, indent, put, r);
    note_content(r, start);
}

void pp_render_list(pp_render *r, const json_t *list, const char *before, const char *after)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        pp_render_text(r, before);
        pp_render_json(r, json_array_get(list, i), 0);
        pp_render_text(r, after);
    }
}

void pp_render_answer_start(pp_render *r)
{
    void *answers = r->answers;
    if (!grow(r, &answers, r->n_answer, 1, sizeof *r->answers, &r->answer_room)) return;
    r->answers = answers;
    r->answers[r->n_answer++] = (pp_answer){.start = r->n, .n_before = r->n_mark};
}

void pp_render_answer_end(pp_render *r)
{
    if (r->status == PIPPIN_OK) r->answers[r->n_answer - 1].end_mark = r->n_mark - 1;
}

void pp_render_refuse(pp_render *r, size_t i, const char *what)
{
    if (r->status == PIPPIN_OK) r->status = pp_fail(r->err, PIPPIN_E_ARGUMENT, "messages[%zu].%s", i, what);
}

void pp_render_free(pp_render *r)
{
    pp_free(r->text);
    pp_free(r->content);
    pp_free(r->marks);
    pp_free(r->answers);
}

/* ---- ids ---- */

/* The text from a byte on as ids; pieces of the template match outside of content only, whatever their kind. */
static pippin_status encode(const pp_render *r, size_t start, size_t end, int32_t **ids, size_t *n_ids)
{
    pp_span *spans = pp_alloc(r->n_content * sizeof *spans);
    if (!spans) return pp_fail_memory(r->err, "prompt", r->n_content * sizeof *spans);
    size_t n_span = 0;
    for (size_t i = 0; i < r->n_content; i++)
        if (r->content[i].start >= start && r->content[i].end <= end)
            spans[n_span++] = (pp_span){r->content[i].start - start, r->content[i].end - start};
    const pp_encode_request request = {true, spans, n_span, r->guarded, r->n_guarded};
    pippin_status status = pp_tokenizer_encode(r->t, r->text + start, end - start, &request, ids, n_ids, r->err);
    pp_free(spans);
    return status;
}

/* Where the marks stand among the ids: content gives none of their ids, so they are the same in the same order. */
static pippin_status place_marks(const pp_render *r, const int32_t *ids, size_t n_ids, size_t *places)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids && n < r->n_mark; i++)
        if (ids[i] == r->marks[n].id) places[n++] = i;
    if (n == r->n_mark) return PIPPIN_OK;
    return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                   "tokenizer: does not find the template's piece %zu of %zu in its text; use another template", n + 1,
                   r->n_mark);
}

/*
 * Which ids the assistant wrote. An answer begins where the ids differ from those of the prompt before it: what it shares
 * an id with is its own. That prompt is looked at from the last mark on, as ids do not reach across.
 */
static pippin_status mark_answer(const pp_render *r, const pp_answer *a, const size_t *places, const int32_t *ids,
                                 bool *by_assistant)
{
    const pp_mark *before = a->n_before ? &r->marks[a->n_before - 1] : NULL;
    size_t first = before ? places[a->n_before - 1] + 1 : 0, n_prompt = 0, at = 0;
    int32_t *prompt = NULL;
    pippin_status status = encode(r, before ? before->at : 0, a->start, &prompt, &n_prompt);
    if (status != PIPPIN_OK) return status;
    while (before && at < n_prompt && prompt[at++] != before->id) continue;
    while (at < n_prompt && first < places[a->end_mark] && prompt[at] == ids[first]) {
        at++;
        first++;
    }
    pp_free(prompt);
    for (size_t i = first; i <= places[a->end_mark]; i++) by_assistant[i] = true;
    return PIPPIN_OK;
}

static pippin_status make_ids(const pp_render *r, const int32_t *ids, size_t n_ids, int32_t head, pippin_prompt *out)
{
    size_t *places = pp_alloc(r->n_mark * sizeof *places);
    bool *by_assistant = pp_alloc_zero(n_ids, sizeof *by_assistant);
    out->ids = pp_alloc((n_ids + 1) * sizeof *out->ids);
    out->by_assistant = pp_alloc_zero(n_ids + 1, sizeof *out->by_assistant);
    const bool room = places && by_assistant && out->ids && out->by_assistant;
    pippin_status status = room ? place_marks(r, ids, n_ids, places) : pp_fail_memory(r->err, "prompt", n_ids);
    for (size_t i = 0; i < r->n_answer && status == PIPPIN_OK; i++)
        status = mark_answer(r, &r->answers[i], places, ids, by_assistant);
    if (status == PIPPIN_OK) {
        /* A vocabulary that puts a space before texts puts it before the first piece too, where it belongs to nothing. */
        const size_t skip = r->n_mark && r->marks[0].at == 0 ? places[0] : 0;
        if (head >= 0) out->ids[out->n_ids++] = head;
        memcpy(out->ids + out->n_ids, ids + skip, (n_ids - skip) * sizeof *ids);
        memcpy(out->by_assistant + out->n_ids, by_assistant + skip, (n_ids - skip) * sizeof *by_assistant);
        out->n_ids += n_ids - skip;
    }
    pp_free(places);
    pp_free(by_assistant);
    return status;
}

pippin_status pp_render_finish(pp_render *r, int32_t head, pippin_prompt *out)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    put(r, "", 1); /* the text ends as one of C */
    if (r->status != PIPPIN_OK) return r->status;
    r->n--;
    pippin_status status = encode(r, 0, r->n, &ids, &n_ids);
    if (status == PIPPIN_OK) status = make_ids(r, ids, n_ids, head, out);
    pp_free(ids);
    out->text = r->text;
    out->n_bytes = r->n;
    r->text = NULL;
    return status;
}
