/*
 * task_labels.c - rows are answered with labels of a closed vocabulary, several at once: at every place the likeliest token wins that
 * the vocabulary allows. A row that is done leaves its place to the next one. With votes a row is answered again and again, by
 * tokens drawn from what is allowed, on the session that has its prompt; a label's votes are then its own probability, and
 * not that of the one likeliest list.
 */
#include <math.h>
#include <string.h>

#include "cli/ballot.h"
#include "cli/task_answer.h"

/* Where a row is answered. */
typedef struct place {
    pippin_session *session;
    int32_t *ids; /* the prompt, and what came after it */
    bool busy;
    size_t row, n_prompt, n, most; /* tokens of the answer, and how many there may be */
    pp_chosen answer;
    uint32_t *votes; /* [choices->n] of answers that are over */
    int32_t n_vote;
    size_t n_tok; /* of all answers */
    bool cut;     /* one of them was */
} place;

typedef struct labeller {
    pp_answerer *a;
    pp_buffer pieces;   /* what every id adds to a text */
    size_t *piece_ends; /* [n_vocab] */
    place places[PP_MAX_TOGETHER];
    size_t n_place, next; /* row that nobody has begun */
} labeller;

/* What ids add to a text that has begun: their text behind a letter. */
static int gather_pieces(labeller *l)
{
    const pp_answerer *a = l->a;
    const size_t n_vocab = (size_t)pippin_model_config(a->loaded.model)->n_vocab;
    const size_t n_known = PP_MIN(n_vocab, (size_t)pippin_tokenizer_size(a->tokenizer));
    pp_ids letter;
    int code = pp_text_to_ids(a->tokenizer, "a", 1, false, &letter);
    if (code) return code;
    l->piece_ends = pp_alloc_zero(n_vocab, sizeof *l->piece_ends);
    if (!l->piece_ends || !letter.n) code = pp_no_memory();
    for (size_t id = 0; !code && id < n_vocab; id++) {
        int32_t both[] = {letter.n ? letter.items[letter.n - 1] : 0, (int32_t)id};
        pp_buffer one = {0}, two = {0};
        if (id < n_known) code = pp_ids_to_text(a->tokenizer, &(pp_ids){both, 1}, &one);
        if (id < n_known && !code) code = pp_ids_to_text(a->tokenizer, &(pp_ids){both, 2}, &two);
        if (!code && two.n > one.n && !pp_append(&l->pieces, two.bytes + one.n, two.n - one.n)) code = pp_no_memory();
        l->piece_ends[id] = l->pieces.n;
        pp_free(one.bytes);
        pp_free(two.bytes);
    }
    pp_free(letter.items);
    return code;
}

static const char *piece(const labeller *l, int32_t id, size_t *n)
{
    const size_t first = id ? l->piece_ends[id - 1] : 0;
    *n = l->piece_ends[id] - first;
    return l->pieces.bytes + first;
}

/* ---- one row ---- */

static int begin(labeller *l, place *p)
{
    const pp_ids *prompt = &l->a->questions[l->next].prompt.ids;
    p->most = PP_MIN(l->a->max_tokens, (size_t)pippin_session_n_ctx(p->session) - prompt->n);
    pp_free(p->ids);
    p->ids = pp_alloc_zero(prompt->n + p->most, sizeof *p->ids);
    if (!p->ids || !pp_choices_begin(l->a->choices, &p->answer)) return pp_no_memory();
    memcpy(p->ids, prompt->items, prompt->n * sizeof *p->ids);
    p->n_prompt = prompt->n;
    p->n = p->n_tok = 0;
    p->n_vote = 0;
    p->cut = false;
    memset(p->votes, 0, l->a->choices->n * sizeof *p->votes);
    p->row = l->next++;
    p->busy = true;
    return 0;
}

/* What the largest of wins: logits, or with votes logits with noise, by which the token is one drawn at that temperature (Gumbel). */
static double value(const labeller *l, const place *p, const float *logits, int32_t id)
{
    const pp_talk *talk = &l->a->task->talk;
    if (!l->a->task->votes) return (double)logits[id];
    const uint64_t answer = p->row * (uint64_t)l->a->task->votes + (uint64_t)p->n_vote;
    const double u = pp_random_unit(talk->seed, answer, (uint64_t)p->n << 32 | (uint64_t)id);
    return (double)logits[id] / (talk->temperature > 0 ? talk->temperature : 1) - log(-log(u + 0x1p-54));
}

/* The likeliest id of those that go on, or that end where an end may be; -1: none is allowed. */
static int32_t choose(const labeller *l, const place *p, bool *ends)
{
    const pp_prompt *prompt = &l->a->questions[p->row].prompt;
    const float *logits = pippin_session_logits(p->session);
    const int32_t n_vocab = pippin_model_config(l->a->loaded.model)->n_vocab;
    int32_t best = -1;
    double most = -INFINITY;
    *ends = pp_choices_ends(l->a->choices, &p->answer);
    for (size_t k = 0; *ends && k < prompt->n_stop_ids; k++) {
        const double one = value(l, p, logits, prompt->stop_ids[k]);
        if (best >= 0 && !(one > most)) continue;
        best = prompt->stop_ids[k];
        most = one;
    }
    for (int32_t id = 0; id < n_vocab; id++) {
        size_t n;
        const char *text = piece(l, id, &n);
        const double one = n ? value(l, p, logits, id) : -INFINITY;
        if (!n || (best >= 0 && !(one > most))) continue;
        if (!pp_choices_allow(l->a->choices, &p->answer, text, n)) continue;
        best = id;
        most = one;
        *ends = false;
    }
    return best;
}

static int cannot_go_on(const labeller *l, const place *p)
{
    const pp_buffer *text = &p->answer.text;
    return pp_row_bad(l->a->rows->path, l->a->rows->items[p->row].line,
                      "no token goes on to a label of %s after \"%.*s\", expected a tokenizer that can write them all",
                      l->a->task->choices, (int)PP_MIN(text->n, 200), text->n ? text->bytes : "");
}

/* An answer is over: the row's, or one more that votes. */
static int finish(labeller *l, place *p, bool cut)
{
    const pp_task_args *task = l->a->task;
    const pp_choices *choices = l->a->choices;
    p->n_tok += p->n;
    p->cut |= cut;
    if (task->votes) {
        pp_choices_count(choices, &p->answer, p->votes);
        p->n = 0;
        if (++p->n_vote < task->votes) return pp_choices_begin(choices, &p->answer) ? 0 : pp_no_memory();
        if (!pp_choices_elect(choices, p->votes, (uint32_t)pp_ballot_least(task->share, task->votes), &p->answer))
            return pp_no_memory();
    }
    p->busy = false;
    return pp_answer_keep(l->a, p->row, &p->answer.text, p->n_tok, p->cut);
}

/* A token further, or to its end. */
static int go_on(labeller *l, place *p)
{
    bool ends;
    size_t n;
    const int32_t id = choose(l, p, &ends);
    if (!ends) {
        if (id < 0) return cannot_go_on(l, p);
        const char *text = piece(l, id, &n);
        if (!pp_choices_take(l->a->choices, &p->answer, text, n)) return pp_no_memory();
        p->ids[p->n_prompt + p->n++] = id;
        if (p->n < p->most) return 0;
    }
    pp_choices_cut(l->a->choices, &p->answer);
    return finish(l, p, !ends);
}

/* ---- all rows ---- */

static int take_rows(labeller *l)
{
    int code = 0;
    for (size_t i = 0; !code && i < l->n_place && l->next < l->a->rows->n; i++)
        if (!l->places[i].busy) code = begin(l, &l->places[i]);
    return code;
}

/* A token for every row that is at hand; *done where there is none. */
static int step(labeller *l, bool *done)
{
    pippin_text texts[PP_MAX_TOGETHER];
    place *busy[PP_MAX_TOGETHER];
    size_t n = 0;
    pippin_error err;
    int code = take_rows(l);
    for (size_t i = 0; i < l->n_place; i++)
        if (l->places[i].busy) busy[n++] = &l->places[i];
    *done = n == 0;
    if (code || *done) return code;
    for (size_t i = 0; i < n; i++)
        texts[i] = (pippin_text){busy[i]->session, busy[i]->ids, busy[i]->n_prompt + busy[i]->n};
    const pippin_status status = pippin_sync_many(texts, n, &err);
    if (status != PIPPIN_OK) return status == PIPPIN_E_CANCELLED ? 0 : pp_failed(&err);
    for (size_t i = 0; !code && i < n; i++) code = go_on(l, busy[i]);
    pp_answer_tell(l->a);
    return code;
}

int pp_answer_labels(pp_answerer *a)
{
    labeller l = {.a = a, .n_place = a->loaded.n_together};
    bool done = false;
    int code = 0;
    for (size_t i = 0; i < l.n_place; i++) {
        l.places[i].session = a->loaded.together[i];
        l.places[i].votes = pp_alloc_zero(a->choices->n, sizeof *l.places[i].votes);
        if (!l.places[i].votes) code = pp_no_memory();
    }
    if (!code) code = gather_pieces(&l);
    while (!code && !done && !pp_interrupted()) code = step(&l, &done);
    for (size_t i = 0; i < l.n_place; i++) {
        pp_free(l.places[i].ids);
        pp_free(l.places[i].votes);
        pp_chosen_free(&l.places[i].answer);
    }
    pp_free(l.pieces.bytes);
    pp_free(l.piece_ends);
    return code;
}
