/* task_answer.c - a model answers the rows of a task: freely, or with labels of a closed vocabulary. */
#include <string.h>

#include "cli/task.h"

typedef struct answerer {
    const pp_task_args *task;
    pp_rows *rows;
    const pp_choices *choices; /* NULL: any text */
    pp_answered *out;
    pp_loaded loaded;
    const pippin_tokenizer *tokenizer;
    pp_prompt *prompts; /* [rows->n] */
    size_t max_tokens;
    pp_buffer text; /* of the answer at hand */
    pp_chosen chosen;
    bool no_memory;
    pp_buffer pieces;   /* with choices: what every id adds to a text */
    size_t *piece_ends; /* [n_vocab] */
} answerer;

/* ---- prompts ---- */

/* A prompt with its completion: text as it is, without a template. */
static bool is_raw(const pp_row *row) { return json_is_object(row->root) && !json_object_get(row->root, "messages"); }

/* The conversation but for its last message, as JSON. */
static bool question(const pp_row *row, pp_buffer *out)
{
    json_t *root = json_deep_copy(row->root);
    json_t *list = json_is_array(root) ? root : json_object_get(root, "messages");
    const bool good =
        root && json_array_remove(list, json_array_size(list) - 1) == 0 && pp_json_dump(root, JSON_COMPACT, out);
    json_decref(root);
    return good;
}

static int render(const answerer *a, const pp_row *row, pippin_template kind, pp_prompt *out)
{
    pippin_prompt *made = NULL;
    pippin_error err;
    pp_buffer messages = {0};
    const bool room = question(row, &messages);
    const pippin_status status = room ? pippin_prompt_create(a->tokenizer, messages.bytes, messages.n,
                                                             &(pippin_prompt_options){.kind = kind}, &made, &err)
                                      : PIPPIN_E_MEMORY;
    pp_free(messages.bytes);
    if (!room) return pp_no_memory();
    if (status != PIPPIN_OK) return pp_row_bad(a->rows->path, row->line, "%s", err.text);
    out->ids.items = pp_alloc_zero(made->n_ids, sizeof *out->ids.items);
    if (out->ids.items) {
        memcpy(out->ids.items, made->ids, made->n_ids * sizeof *out->ids.items);
        out->ids.n = made->n_ids;
    }
    pippin_prompt_free(made);
    return out->ids.items ? 0 : pp_no_memory();
}

static int make_prompt(const answerer *a, const pp_row *row, pp_prompt *out)
{
    const pippin_template kind = pp_talk_template(&a->task->talk, a->tokenizer);
    out->n_stop_ids = pippin_template_stop_ids(a->tokenizer, kind, out->stop_ids, PP_MAX_STOP_IDS);
    if (is_raw(row))
        return pp_text_to_ids(a->tokenizer, row->user, strlen(row->user), pippin_tokenizer_bos(a->tokenizer) >= 0,
                              &out->ids);
    if (kind == PIPPIN_TEMPLATE_NONE)
        return pp_row_bad(a->rows->path, row->line,
                          "found a conversation, but this model has no chat template that is known; name it with "
                          "--template, or give \"prompt\" and \"completion\"");
    return render(a, row, kind, out);
}

/* All are made before the first is answered, so that what does not fit is known at once. */
static int make_prompts(answerer *a)
{
    const size_t n_ctx = (size_t)pippin_session_n_ctx(a->loaded.session);
    size_t longest = 0;
    a->prompts = pp_alloc_zero(a->rows->n, sizeof *a->prompts);
    if (!a->prompts) return pp_no_memory();
    for (size_t i = 0; i < a->rows->n; i++) {
        const pp_row *row = &a->rows->items[i];
        pp_prompt *p = &a->prompts[i];
        pp_ids reference;
        int code = make_prompt(a, row, p);
        if (!code) code = pp_text_to_ids(a->tokenizer, row->reference, strlen(row->reference), false, &reference);
        if (code) return code;
        longest = PP_MAX(longest, reference.n);
        pp_free(reference.items);
        if (p->ids.n == 0 || p->ids.n >= n_ctx)
            return pp_row_bad(a->rows->path, row->line,
                              "its prompt has %zu tokens, expected 1 to %zu, the context less the answer; %s", p->ids.n,
                              n_ctx - 1, p->ids.n ? "pass a larger --ctx" : "give it a text");
    }
    a->max_tokens = a->task->talk.n ? (size_t)a->task->talk.n : 2 * longest + 16;
    return 0;
}

/* ---- any text ---- */

static int on_token(void *user, const pippin_token_event *event)
{
    answerer *a = user;
    for (size_t i = 0; i < event->n_bytes && !a->no_memory; i++) {
        /* A text of C ends at a 0; U+FFFD stands for it. */
        const char *c = event->text[i] ? event->text + i : "\xef\xbf\xbd";
        a->no_memory = !pp_append(&a->text, c, event->text[i] ? 1 : 3);
    }
    return a->no_memory || pp_interrupted();
}

static int answer_freely(answerer *a, size_t i)
{
    const pp_prompt *p = &a->prompts[i];
    const pp_talk *talk = &a->task->talk;
    pippin_generate_options options = pp_talk_generate(talk, &a->loaded, p);
    if (is_raw(&a->rows->items[i])) { /* ends where texts end */
        options.stop_ids = NULL;
        options.n_stop_ids = 0;
    }
    options.max_tokens = a->max_tokens;
    options.on_token = on_token;
    options.user = a;
    options.sampling.seed += i;
    pippin_generate_result result = {0};
    pippin_error err;
    const pippin_status status =
        pippin_generate(a->loaded.session, p->ids.items, p->ids.n, &options, NULL, 0, &result, &err);
    if (status != PIPPIN_OK && status != PIPPIN_E_CANCELLED) return pp_failed(&err);
    if (a->no_memory) return pp_no_memory();
    a->out->n_tok += result.n_generated;
    a->out->n_cut += result.finish == PIPPIN_FINISH_LENGTH;
    return 0;
}

/* ---- labels ---- */

/* What ids add to a text that has begun: their text behind a letter. */
static int gather_pieces(answerer *a)
{
    const size_t n_vocab = (size_t)pippin_model_config(a->loaded.model)->n_vocab;
    const size_t n_known = PP_MIN(n_vocab, (size_t)pippin_tokenizer_size(a->tokenizer));
    pp_ids letter;
    int code = pp_text_to_ids(a->tokenizer, "a", 1, false, &letter);
    if (code) return code;
    a->piece_ends = pp_alloc_zero(n_vocab, sizeof *a->piece_ends);
    if (!a->piece_ends || !letter.n) code = pp_no_memory();
    for (size_t id = 0; !code && id < n_vocab; id++) {
        int32_t both[] = {letter.n ? letter.items[letter.n - 1] : 0, (int32_t)id};
        pp_buffer one = {0}, two = {0};
        if (id < n_known) code = pp_ids_to_text(a->tokenizer, &(pp_ids){both, 1}, &one);
        if (id < n_known && !code) code = pp_ids_to_text(a->tokenizer, &(pp_ids){both, 2}, &two);
        if (!code && two.n > one.n && !pp_append(&a->pieces, two.bytes + one.n, two.n - one.n)) code = pp_no_memory();
        a->piece_ends[id] = a->pieces.n;
        pp_free(one.bytes);
        pp_free(two.bytes);
    }
    pp_free(letter.items);
    return code;
}

static const char *piece(const answerer *a, int32_t id, size_t *n)
{
    const size_t first = id ? a->piece_ends[id - 1] : 0;
    *n = a->piece_ends[id] - first;
    return a->pieces.bytes + first;
}

/* The likeliest id of those that go on, or that end where an end may be; -1: none is allowed. */
static int32_t choose(const answerer *a, const pp_prompt *p, const float *logits, bool *ends)
{
    const int32_t n_vocab = pippin_model_config(a->loaded.model)->n_vocab;
    int32_t best = -1;
    *ends = pp_choices_ends(a->choices, &a->chosen);
    for (size_t k = 0; *ends && k < p->n_stop_ids; k++)
        if (best < 0 || logits[p->stop_ids[k]] > logits[best]) best = p->stop_ids[k];
    for (int32_t id = 0; id < n_vocab; id++) {
        size_t n;
        const char *text = piece(a, id, &n);
        if ((best >= 0 && !(logits[id] > logits[best])) || !n) continue;
        if (!pp_choices_allow(a->choices, &a->chosen, text, n)) continue;
        best = id;
        *ends = false;
    }
    return best;
}

static int cannot_go_on(const answerer *a, size_t row)
{
    const pp_buffer *text = &a->chosen.text;
    return pp_row_bad(a->rows->path, a->rows->items[row].line,
                      "no token goes on to a label of %s after \"%.*s\", expected a tokenizer that can write them all",
                      a->task->choices, (int)PP_MIN(text->n, 200), text->n ? text->bytes : "");
}

static int take(answerer *a, int32_t id)
{
    size_t n;
    const char *text = piece(a, id, &n);
    return pp_choices_take(a->choices, &a->chosen, text, n) ? 0 : pp_no_memory();
}

static int answer_labels(answerer *a, size_t row)
{
    const pp_prompt *p = &a->prompts[row];
    const size_t n_ctx = (size_t)pippin_session_n_ctx(a->loaded.session);
    const size_t n_room = PP_MIN(a->max_tokens, n_ctx - p->ids.n);
    int32_t *ids = pp_alloc_zero(p->ids.n + n_room, sizeof *ids);
    if (!ids || !pp_choices_begin(a->choices, &a->chosen)) {
        pp_free(ids);
        return pp_no_memory();
    }
    memcpy(ids, p->ids.items, p->ids.n * sizeof *ids);
    size_t n = 0;
    int code = 0;
    bool ends = false;
    for (; !code && n < n_room && !pp_interrupted(); n++) {
        pippin_error err;
        const pippin_status status = pippin_session_sync(a->loaded.session, ids, p->ids.n + n, &err);
        if (status != PIPPIN_OK) {
            code = status == PIPPIN_E_CANCELLED ? 0 : pp_failed(&err);
            break;
        }
        const int32_t id = choose(a, p, pippin_session_logits(a->loaded.session), &ends);
        if (ends) break;
        code = id < 0 ? cannot_go_on(a, row) : take(a, id);
        ids[p->ids.n + n] = id;
    }
    pp_free(ids);
    a->out->n_tok += n;
    a->out->n_cut += !ends;
    pp_choices_cut(a->choices, &a->chosen);
    return code;
}

/* ---- all rows ---- */

static int answer_all(answerer *a)
{
    const double since = pp_seconds();
    int code = 0;
    while (!code && a->out->n_row < a->rows->n) {
        const size_t i = a->out->n_row, n_cut = a->out->n_cut;
        a->text.n = 0;
        code = a->choices ? answer_labels(a, i) : answer_freely(a, i);
        if (pp_interrupted()) {
            a->out->n_cut = n_cut; /* a part of an answer is none */
            break;
        }
        if (code) break;
        const pp_buffer *text = a->choices ? &a->chosen.text : &a->text;
        a->rows->items[i].answer = pp_strndup(text->bytes ? text->bytes : "", text->n);
        if (!a->rows->items[i].answer) return pp_no_memory();
        a->out->n_row++;
        pp_progress_of("eval", a->out->n_row, a->rows->n, "rows", since);
    }
    a->out->seconds = pp_seconds() - since;
    pp_progress_end();
    return code;
}

int pp_task_answer(const pp_task_args *task, pp_rows *rows, const pp_choices *choices, pp_answered *out)
{
    answerer a = {.task = task, .rows = rows, .choices = choices, .out = out};
    *out = (pp_answered){0};
    int code = pp_load(&task->talk.common, 0, &a.loaded);
    if (code) return code;
    a.tokenizer = pippin_model_tokenizer(a.loaded.model);
    if (!a.tokenizer)
        code = pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to read text; pass --tokenizer FILE",
                        task->talk.common.model);
    if (!code) code = make_prompts(&a);
    if (!code && choices) code = gather_pieces(&a);
    if (!code) code = answer_all(&a);
    for (size_t i = 0; a.prompts && i < rows->n; i++) pp_prompt_free(&a.prompts[i]);
    pp_free(a.prompts);
    pp_free(a.text.bytes);
    pp_chosen_free(&a.chosen);
    pp_free(a.pieces.bytes);
    pp_free(a.piece_ends);
    pp_unload(&a.loaded);
    return code;
}
