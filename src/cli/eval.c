/* eval.c - how well a model predicts a text: negative log-likelihood, perplexity, bits per byte. Tasks: task.c. */
#include <math.h>
#include <string.h>

#include "cli/against.h"
#include "cli/positions.h"
#include "cli/task.h"

typedef struct eval_args {
    pp_task_args task;
    const char *text, *separator, *by_position;
    int32_t window;
} eval_args;

#define AT(field) offsetof(eval_args, field)

static const pp_option own_options[] = {
    {PP_OPT_TEXT("text", "FILE", AT(text)), .letter = 'f', .files = "", .help = "the text to predict, - for stdin"},
    {PP_OPT_TEXT("separator", "STR", AT(separator)),
     .help = "what stands between documents; each is trimmed of white space, begins anew, and is cut at the context "
             "(default: all is one document, predicted a context at a time)"},
    {PP_OPT_TEXT("by-position", "EDGES", AT(by_position)), .choices = "double",
     .help =
         "also by how many tokens stand before the one that is predicted, in buckets: double (1, 2, 4, ... are their "
         "last), or the last position of each, N,N,..., whose last step goes on: 512 is 1 to 512, 513 to 1024, ..."},
    {PP_OPT_INT("window", "N", AT(window), 2, 1 << 20),
     .help = "let the model see no more than the N last tokens of the context: each is predicted from N/2 to N - 1 of "
             "them, which are read as a text of their own (default: all of the context)"},
    {PP_OPT_TEXT("against", "MODEL", AT(task.against)), .files = PP_MODEL_FILES,
     .help =
         "a model of the same vocabulary: how far the predictions are from its own, as KL divergence and as the share "
         "of tokens where both find the same one likeliest (contexts of 512 tokens unless --ctx says otherwise); with "
         "--task a draft, and how often it finds likeliest what the model says next in its answers"},
    {0}};

/* One stretch of text that is predicted by itself. */
typedef struct document {
    size_t n_tok, n_bytes; /* tokens predicted, and the bytes that they stand for */
    double nll;            /* summed, in nats */
    bool cut;
} document;

typedef struct evaluation {
    const eval_args *args;
    pp_loaded loaded;
    pp_against against;     /* zeroed without a second model */
    pp_positions positions; /* zeroed without --by-position */
    document *documents;
    size_t n, n_room;
    document total;
    size_t n_cut;
    size_t n_read, n_text; /* bytes of the text, for those who wait */
    double since;
} evaluation;

/* ---- one pass ---- */

typedef struct scorer {
    const int32_t *ids;
    size_t n_tok, n_seen; /* of ids; the first of them whose predictions count already */
    size_t before;        /* tokens that stand before ids[0], which may be more than the model sees */
    const pippin_session *session;
    double nll;
    pp_against *against;     /* NULL: none */
    pp_positions *positions; /* NULL: none */
    bool no_memory;
} scorer;

static int score_row(void *user, size_t i, const float *logits)
{
    scorer *s = user;
    if (i + 1 == s->n_tok || i + 1 < s->n_seen) return pp_interrupted();
    if (s->against) pp_against_keep(s->against, i, logits);
    const double nll = pippin_session_log_sum(s->session, logits) - (double)logits[s->ids[i + 1]];
    s->nll += nll;
    if (s->positions && !pp_positions_add(s->positions, s->before + i + 1, nll)) s->no_memory = true;
    return s->no_memory || pp_interrupted();
}

/* Predicts ids[n_seen..n), n_seen >= 1, from what stands before each. */
static int score(evaluation *e, const int32_t *ids, size_t n, size_t n_seen, size_t before, document *out)
{
    pp_against *against = e->args->task.against ? &e->against : NULL;
    scorer s = {.ids = ids,
                .n_tok = n,
                .n_seen = n_seen,
                .before = before,
                .session = e->loaded.session,
                .against = against,
                .positions = e->args->by_position ? &e->positions : NULL};
    const pippin_score score = {.tokens = ids, .n_tok = n, .row = score_row, .user = &s};
    pippin_error err;
    const pippin_status status = pippin_session_score(e->loaded.session, &score, &err);
    if (s.no_memory) return pp_no_memory();
    if (status != PIPPIN_OK) return pp_failed(&err);
    out->nll += s.nll;
    out->n_tok += n - n_seen;
    return against ? pp_against_score(against, ids, n) : 0;
}

/* The same of ids[1..n) by windows of which each begins in the middle of the one before, with BOS as a text does. */
static int score_windows(evaluation *e, int32_t *ids, size_t n, document *out)
{
    const size_t window = e->args->window ? (size_t)e->args->window : n;
    const int32_t bos = pippin_tokenizer_bos(pippin_model_tokenizer(e->loaded.model));
    int code = 0;
    for (size_t first = 0, seen = 1; !code && seen < n; first += window / 2) {
        const size_t end = PP_MIN(first + window, n);
        const int32_t kept = ids[first];
        if (first && bos >= 0) ids[first] = bos;
        code = score(e, ids + first, end - first, seen - first, first, out);
        ids[first] = kept;
        seen = end;
    }
    return code;
}

/* ---- documents ---- */

static int add_document(evaluation *e, document d)
{
    if (!pp_make_room(&e->documents, e->n, &e->n_room, sizeof *e->documents)) return pp_no_memory();
    e->documents[e->n++] = d;
    e->total.nll += d.nll;
    e->total.n_tok += d.n_tok;
    e->total.n_bytes += d.n_bytes;
    e->n_cut += d.cut;
    pp_progress_of("eval", e->n_read, e->n_text, "bytes", e->since);
    return 0;
}

static int count_bytes(const evaluation *e, const int32_t *ids, size_t n, size_t *n_bytes)
{
    pippin_error err;
    return pippin_detokenize(pippin_model_tokenizer(e->loaded.model), ids, n, NULL, 0, n_bytes, &err) == PIPPIN_OK
               ? 0
               : pp_failed(&err);
}

/* A text of one document. With separators it is cut at the context; without, each context's worth begins anew. */
static int evaluate(evaluation *e, const char *text, size_t n)
{
    const pippin_tokenizer *tokenizer = pippin_model_tokenizer(e->loaded.model);
    const int32_t bos = pippin_tokenizer_bos(tokenizer);
    const size_t n_ctx = (size_t)pippin_session_n_ctx(e->loaded.session);
    pp_ids ids;
    document d = {0};
    int code = pp_text_to_ids(tokenizer, text, n, bos >= 0, &ids);
    for (size_t first = 0; !code && ids.n - first > 1 && (first == 0 || !e->args->separator);) {
        const size_t some = PP_MIN(ids.n - first, n_ctx);
        /* The last token of a context begins the next one, as BOS began the first. */
        if (first && bos >= 0) ids.items[first] = bos;
        code = score_windows(e, ids.items + first, some, &d);
        first += some - 1;
        d.cut = e->args->separator && some < ids.n;
        if (!code && d.cut) code = count_bytes(e, ids.items, some, &d.n_bytes);
    }
    if (!code && !d.cut) d.n_bytes = n;
    e->n_read += n;
    if (!code && d.n_tok) code = add_document(e, d);
    pp_free(ids.items);
    return code;
}

static int evaluate_parts(evaluation *e, const char *text, size_t n)
{
    const size_t n_separator = strlen(e->args->separator);
    int code = 0;
    for (size_t at = 0; !code && at <= n;) {
        size_t end = at;
        while (end < n && (n - end < n_separator || memcmp(text + end, e->args->separator, n_separator) != 0)) end++;
        size_t first = at, last = end;
        while (first < last && pp_is_space(text[first])) first++;
        while (last > first && pp_is_space(text[last - 1])) last--;
        if (last > first) code = evaluate(e, text + first, last - first);
        at = end + n_separator;
    }
    return code;
}

/* ---- results ---- */

static json_t *to_json(const evaluation *e, const pp_against_result *against)
{
    const document *t = &e->total;
    json_t *list = json_array();
    for (size_t i = 0; i < e->n; i++)
        json_array_append_new(list, json_pack("{s:I, s:o}", "tokens", (json_int_t)e->documents[i].n_tok, "nll",
                                              pp_json_number(e->documents[i].nll)));
    json_t *o =
        json_pack("{s:I, s:o, s:o, s:o, s:I, s:o}", "tokens", (json_int_t)t->n_tok, "nll", pp_json_number(t->nll),
                  "perplexity", pp_json_number(exp(t->nll / (double)t->n_tok)), "bits_per_byte",
                  pp_json_number(t->nll / log(2) / (double)t->n_bytes), "cut", (json_int_t)e->n_cut, "documents", list);
    if (o && e->args->by_position) json_object_set_new(o, "positions", pp_positions_json(&e->positions));
    if (o && e->args->task.against) json_object_set_new(o, "against", pp_against_json(against, e->args->task.against));
    return o;
}

static int report(evaluation *e)
{
    const document *t = &e->total;
    pp_progress_end();
    if (t->n_tok == 0) return pp_error(PP_EXIT_FAILURE, "%s: holds no text to predict, expected some", e->args->text);
    if (e->n_cut)
        fprintf(stderr, "pippin: %zu of %zu documents were cut at the context of %d tokens\n", e->n_cut, e->n,
                (int)pippin_session_n_ctx(e->loaded.session));
    const pp_against_result against = e->args->task.against ? pp_against_finish(&e->against) : (pp_against_result){0};
    if (e->args->task.talk.common.json) return pp_print_json(to_json(e, &against));
    pp_print("documents       %zu\ntokens          %zu\nnll             %.4f nats, %.6f a token\nperplexity      "
             "%.4f\nbits per byte   %.4f\n",
             e->n, t->n_tok, t->nll, t->nll / (double)t->n_tok, exp(t->nll / (double)t->n_tok),
             t->nll / log(2) / (double)t->n_bytes);
    if (e->args->task.against) pp_against_print(&against, t->n_tok, t->nll);
    return e->args->by_position ? pp_positions_print(&e->positions) : 0;
}

/* All logits of a context are kept where two models are compared. */
static int load(const eval_args *args, pp_loaded *out)
{
    enum { COMPARED = 512 };
    pippin_model *model;
    int code = pp_load_model(&args->task.talk.common, &model);
    if (code) return code;
    const int32_t trained = pippin_model_config(model)->n_ctx_train;
    return pp_load_session(&args->task.talk.common, model,
                           !args->task.against ? 0
                           : trained > 0       ? PP_MIN(trained, COMPARED)
                                               : COMPARED,
                           out);
}

static int check(const eval_args *args)
{
    const char *of_text = args->text          ? "--text"
                          : args->separator   ? "--separator"
                          : args->by_position ? "--by-position"
                          : args->window      ? "--window"
                                              : NULL;
    if (args->task.file && of_text)
        return pp_error(PP_EXIT_USAGE, "%s: found with --task, expected one of them; leave one out", of_text);
    int code = pp_task_check(&args->task);
    if (code || args->task.file) return code;
    code = pp_require_model(&args->task.talk.common);
    if (!code && !args->text)
        code = pp_error(PP_EXIT_USAGE, "--text: found none, expected the file to predict, or - for stdin; or --task");
    if (!code && args->separator && !*args->separator)
        code = pp_error(PP_EXIT_USAGE, "--separator: is empty, expected what stands between documents");
    if (!code && args->window && args->task.against)
        code = pp_error(PP_EXIT_USAGE, "--window: found with --against, expected one of them; leave one out");
    return code;
}

static int evaluate_text(const eval_args *args)
{
    evaluation e = {.args = args};
    pp_buffer text = {0};
    const pp_common *common = &args->task.talk.common;
    int code = args->by_position ? pp_positions_open(&e.positions, args->by_position) : 0;
    if (!code) code = pp_read_all(args->text, &text);
    if (!code) code = load(args, &e.loaded);
    if (!code && args->task.against) code = pp_against_open(&e.against, common, args->task.against, &e.loaded);
    if (!code && !pippin_model_tokenizer(e.loaded.model))
        code = pp_error(PP_EXIT_FAILURE, "%s: has no tokenizer, expected one to read text; pass --tokenizer FILE",
                        common->model);
    e.since = pp_seconds();
    e.n_text = text.n;
    if (!code) code = args->separator ? evaluate_parts(&e, text.bytes, text.n) : evaluate(&e, text.bytes, text.n);
    if (!code) code = report(&e);
    pp_against_close(&e.against);
    pp_positions_close(&e.positions);
    pp_free(e.documents);
    pp_free(text.bytes);
    if (e.loaded.model) pp_unload(&e.loaded);
    return code;
}

static int run(const void *raw)
{
    eval_args args = *(const eval_args *)raw;
    const char *path;
    int code = pp_model_path(&args.task.talk.common, &path);
    args.task.talk.common.model = path || args.task.answers ? path : pp_builtin_default();
    if (!code) code = check(&args);
    if (code) return code;
    return args.task.file ? pp_task_run(&args.task) : evaluate_text(&args);
}

static const pp_option_group groups[] = {{"Text", own_options},
                                         {"Task", pp_options_task},
                                         {"Model", pp_options_model},
                                         {NULL, pp_options_tokenizer},
                                         {NULL, pp_options_session},
                                         {"Guessing", pp_options_draft},
                                         {"Computing", pp_options_compute},
                                         {"General", pp_options_general},
                                         {0}};

const pp_command pp_command_eval = {
    .name = "eval",
    .summary = "Measure how well a model predicts a text, or does a task whose answers are known.",
    .synopsis = "[-m MODEL] (--text FILE | --task FILE) [options]",
    .details =
        "Of a text the negative log-likelihood is summed over all tokens but the first of each document. Of a task "
        "every figure comes with its 95 % interval, by bootstrap over rows. Ctrl-C ends a task early: figures are "
        "then those of the rows that were answered (exit code 130).\n\n"
        "What a context beyond the training's is worth: --by-position with --ctx and --rope-scaling, beside the same "
        "with --window, which has the same tokens predicted from the last N alone.\n\n"
        "  pippin eval -m stories260K.bin --tokenizer tok512.bin -f stories.txt --separator '<|endoftext|>'\n"
        "  pippin eval -m small.gguf --against large.gguf -f text.txt\n"
        "  pippin eval -m m.gguf -a tag.safetensors --task tag.jsonl --choices tags.txt --limit 500\n"
        "  pippin eval --task test.jsonl --answers mine.jsonl --compare first-sentence.jsonl",
    .groups = groups,
    .args_size = sizeof(eval_args),
    .max_operands = 1,
    .operand = pp_options_model,
    .run = run,
};
