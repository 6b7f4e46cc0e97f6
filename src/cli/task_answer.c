/* task_answer.c - a model answers the rows of a task, several at once: freely, or with labels (task_labels.c). */
#include <string.h>

#include "cli/against.h"
#include "cli/ballot.h"
#include "cli/task_answer.h"

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

static int render(const pp_answerer *a, const pp_row *row, pippin_template kind, pp_prompt *out)
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

static int make_prompt(const pp_answerer *a, const pp_row *row, pp_prompt *out)
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
static int make_prompts(pp_answerer *a)
{
    const size_t n_ctx = (size_t)pippin_session_n_ctx(a->loaded.session);
    size_t longest = 0;
    a->questions = pp_alloc_zero(a->rows->n, sizeof *a->questions);
    if (!a->questions) return pp_no_memory();
    for (size_t i = 0; i < a->rows->n; i++) {
        const pp_row *row = &a->rows->items[i];
        pp_prompt *p = &a->questions[i].prompt;
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

/* ---- answers ---- */

int pp_answer_keep(pp_answerer *a, size_t row, const pp_buffer *text, size_t n_tok, bool cut)
{
    pp_question *q = &a->questions[row];
    q->n_tok = n_tok;
    q->cut = cut;
    a->rows->items[row].answer = pp_strndup(text->bytes ? text->bytes : "", text->n);
    if (!a->rows->items[row].answer) return pp_no_memory();
    a->n_done++;
    return 0;
}

void pp_answer_tell(const pp_answerer *a)
{
    if (a->n_done) pp_progress_of("eval", a->n_done, a->rows->n, "rows", a->since);
}

/* Rows up to the first without an answer: after Ctrl-C some of those behind it may have theirs, and count no more than it does. */
static void count(const pp_answerer *a, pp_answered *out)
{
    for (; out->n_row < a->rows->n && a->rows->items[out->n_row].answer; out->n_row++) {
        out->n_tok += a->questions[out->n_row].n_tok;
        out->n_cut += a->questions[out->n_row].cut;
        out->n_drafted += a->questions[out->n_row].n_drafted;
        out->n_accepted += a->questions[out->n_row].n_accepted;
        out->n_compared += a->questions[out->n_row].n_compared;
        out->n_same += a->questions[out->n_row].n_same;
    }
    out->seconds = pp_seconds() - a->since;
}

/* ---- any text ---- */

/* An answer that is written. */
typedef struct writing {
    pippin_generate_options options;
    pp_gathered answer;
    int32_t *ids; /* [max_tokens] */
} writing;

static size_t n_try(const pp_answerer *a) { return a->task->votes ? (size_t)a->task->votes : 1; }

/* Answer number `number` of all: with votes a row has several. */
static pippin_generation begin(pp_answerer *a, size_t number, pippin_session *session, writing *w)
{
    const size_t row = number / n_try(a);
    const pp_prompt *p = &a->questions[row].prompt;
    pippin_generate_options *o = &w->options;
    *o = pp_talk_generate(&a->task->talk, &a->loaded, p);
    if (is_raw(&a->rows->items[row])) { /* ends where texts end */
        o->stop_ids = NULL;
        o->n_stop_ids = 0;
    }
    o->max_tokens = a->max_tokens;
    o->on_token = pp_gather;
    o->user = &w->answer;
    o->sampling.seed += number;
    pp_ballot_heat(a->task->votes, &o->sampling);
    w->answer.text.n = 0;
    return (pippin_generation){.session = session,
                               .prompt = p->ids.items,
                               .n_prompt = p->ids.n,
                               .options = o,
                               .ids = w->ids,
                               .capacity = a->max_tokens};
}

/* ---- votes ---- */

/* A row's answers so far. */
typedef struct voting {
    pp_ballot ballot;
    size_t row, n_tok;
    bool cut;
} voting;

/* Takes one more answer of the row; the last of them decides. */
static int vote(pp_answerer *a, size_t row, const pippin_generation *g, const pp_buffer *text, voting *v)
{
    const char *user = a->task->guard ? a->rows->items[row].user : NULL; /* what may be put right */
    if (v->row != row) { /* the one before is elected, or Ctrl-C left it */
        pp_ballot_empty(&v->ballot);
        *v = (voting){.ballot = v->ballot, .row = row};
    }
    if (!pp_ballot_add(&v->ballot, user, text->bytes, text->n)) return pp_no_memory();
    v->n_tok += g->result.n_generated;
    v->cut |= g->result.finish == PIPPIN_FINISH_LENGTH;
    if (v->ballot.n < v->ballot.room) return 0;
    char *elected = pp_ballot_elect(&v->ballot, user, pp_ballot_least(a->task->share, a->task->votes));
    const pp_buffer out = {.bytes = elected, .n = elected ? strlen(elected) : 0};
    const int code = elected ? pp_answer_keep(a, row, &out, v->n_tok, v->cut) : pp_no_memory();
    pp_free(elected);
    return code;
}

/* ---- any text, of all rows ---- */

static int finish(pp_answerer *a, size_t row, const pippin_generation *g, const writing *w, voting *v)
{
    pippin_error err;
    const pippin_status status = pp_gathered_status(&w->answer, g, &err);
    if (status == PIPPIN_E_CANCELLED) return 0; /* a part of an answer is none */
    if (status != PIPPIN_OK) return pp_failed(&err);
    if (a->task->votes) return vote(a, row, g, &w->answer.text, v);
    a->questions[row].n_drafted = g->result.n_drafted;
    a->questions[row].n_accepted = g->result.n_accepted;
    const int code = a->against ? pp_answer_against(a, row, w->ids, &g->result) : 0;
    if (code) return code;
    return pp_answer_keep(a, row, &w->answer.text, g->result.n_generated, g->result.finish == PIPPIN_FINISH_LENGTH);
}

static int answer_freely(pp_answerer *a)
{
    writing writings[PP_MAX_TOGETHER] = {0};
    pippin_generation jobs[PP_MAX_TOGETHER];
    pippin_error err;
    voting v = {0};
    int code = pp_ballot_open(&v.ballot, n_try(a)) ? 0 : pp_no_memory();
    for (size_t i = 0; !code && i < a->loaded.n_together; i++) {
        writings[i].ids = pp_alloc_zero(a->max_tokens, sizeof *writings[i].ids);
        if (!writings[i].ids) code = pp_no_memory();
    }
    for (size_t first = 0; !code && first < a->rows->n * n_try(a) && !pp_interrupted();) {
        const size_t n = PP_MIN(a->rows->n * n_try(a) - first, a->loaded.n_together);
        for (size_t i = 0; i < n; i++) jobs[i] = begin(a, first + i, a->loaded.together[i], &writings[i]);
        if (pippin_generate_many(jobs, n, &err) != PIPPIN_OK) code = pp_failed(&err);
        for (size_t i = 0; !code && i < n; i++) code = finish(a, (first + i) / n_try(a), &jobs[i], &writings[i], &v);
        first += n;
        pp_answer_tell(a);
    }
    for (size_t i = 0; i < PP_MAX_TOGETHER; i++) {
        pp_free(writings[i].answer.text.bytes);
        pp_free(writings[i].ids);
    }
    pp_ballot_close(&v.ballot);
    return code;
}

/* ---- all rows ---- */

/* Texts that guesses are made for come one by one: a draft knows one text. */
static int load_rest(pp_answerer *a)
{
    enum { TOGETHER = 8 };
    const pp_task_args *t = a->task;
    const pp_common *common = &t->talk.common;
    pp_loaded other = {.session = a->loaded.session};
    const size_t batch = t->talk.draft || t->talk.lookup ? 1 : t->batch ? (size_t)t->batch : TOGETHER;
    int code = pp_load_together(common, PP_MIN(a->rows->n, batch), &a->loaded);
    if (!code) code = pp_talk_load_draft(&t->talk, &a->loaded);
    if (!code && t->against) code = pp_load_draft(common, t->against, t->talk.draft_vocab, &other);
    a->against = other.draft;
    if (!code && other.draft)
        code = pp_against_check(pippin_session_model(other.draft), t->against, a->loaded.model, common->model);
    return code;
}

int pp_task_answer(const pp_task_args *task, pp_rows *rows, const pp_choices *choices, pp_answered *out)
{
    pp_answerer a = {.task = task, .rows = rows, .choices = choices};
    *out = (pp_answered){0};
    int code = pp_load(&task->talk.common, 0, &a.loaded);
    if (code) return code;
    a.tokenizer = pippin_model_tokenizer(a.loaded.model);
    if (!a.tokenizer)
        code = pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to read text; pass --tokenizer FILE",
                        task->talk.common.model);
    if (!code) code = make_prompts(&a);
    if (!code) code = load_rest(&a);
    a.since = pp_seconds();
    if (!code) code = choices ? pp_answer_labels(&a) : answer_freely(&a);
    pp_progress_end();
    if (!code) count(&a, out);
    for (size_t i = 0; a.questions && i < rows->n; i++) pp_prompt_free(&a.questions[i].prompt);
    pp_free(a.questions);
    pippin_session_free(a.against);
    pp_unload(&a.loaded);
    return code;
}
