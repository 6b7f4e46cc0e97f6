/* template.c - conversations to prompts: the templates that there are, and which one a tokenizer has. */
#include <string.h>

#include "text/template.h"

/* ---- the templates ---- */

typedef struct form {
    pippin_template kind;
    const char *name;
    const char *sign;      /* in the file's own template, or a piece of the vocabulary */
    const char *unless[3]; /* a file's own template with one of these is another one */
    const char *needs[4];  /* pieces that it cannot be written without */
    const char *stops[4];  /* pieces that end an answer, where there are such; EOS does in any case */
    const char *bos;       /* what texts begin with where the tokenizer names no BOS */
    void (*render)(pp_render *r);
} form;

static const form forms[] = {{.kind = PIPPIN_TEMPLATE_AFM,
                              .name = "afm",
                              .sign = "<turn_start>",
                              .needs = {"<turn_start>", "<turn_end>"},
                              .stops = {"<turn_end>"},
                              .render = pp_template_afm},
                             {.kind = PIPPIN_TEMPLATE_LLAMA3,
                              .name = "llama3",
                              .sign = "<|start_header_id|>",
                              .needs = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
                              .stops = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"},
                              .bos = "<|begin_of_text|>",
                              .render = pp_template_llama3},
                             {.kind = PIPPIN_TEMPLATE_CHATML,
                              .name = "chatml",
                              .sign = "<|im_start|>",
                              .unless = {"<|im_sep|>"}, /* Phi-4 */
                              .needs = {"<|im_start|>", "<|im_end|>"},
                              .stops = {"<|im_end|>", "<|endoftext|>"},
                              .render = pp_template_chatml},
                             {.kind = PIPPIN_TEMPLATE_MISTRAL,
                              .name = "mistral",
                              .sign = "[INST]",
                              .unless = {"<<SYS>>", "[SYSTEM_PROMPT]"}, /* Llama 2; later Mistrals */
                              .needs = {"</s>"},
                              .stops = {"</s>"},
                              .bos = "<s>",
                              .render = pp_template_mistral}};

enum { N_FORM = sizeof forms / sizeof *forms, MAX_ENDS = 5 };

static const form *form_of(pippin_template kind)
{
    for (size_t i = 0; i < N_FORM; i++)
        if (forms[i].kind == kind) return &forms[i];
    return NULL;
}

const char *pippin_template_name(pippin_template kind)
{
    const form *f = form_of(kind);
    return f ? f->name : kind == PIPPIN_TEMPLATE_NONE ? "none" : "auto";
}

bool pippin_template_from_name(const char *name, pippin_template *out)
{
    for (int kind = PIPPIN_TEMPLATE_AUTO; kind <= PIPPIN_TEMPLATE_MISTRAL; kind++)
        if (strcmp(name, pippin_template_name((pippin_template)kind)) == 0) {
            *out = (pippin_template)kind;
            return true;
        }
    return false;
}

/* ---- which one ---- */

static const char *find(const char *text, size_t n, const char *part)
{
    const size_t n_part = strlen(part);
    for (const char *at = text, *end = text + n; (size_t)(end - at) >= n_part; at++) {
        at = memchr(at, part[0], (size_t)(end - at) - n_part + 1);
        if (!at) return NULL;
        if (memcmp(at, part, n_part) == 0) return at;
    }
    return NULL;
}

static bool is_form(const form *f, const char *text, size_t n)
{
    bool is = find(text, n, f->sign) != NULL;
    for (int i = 0; i < 3 && f->unless[i]; i++) is = is && !find(text, n, f->unless[i]);
    return is;
}

/* What a ChatML template says where no system message is given, as one literal: 'system\nYou are ...<|im_end|>'. */
static void find_default_system(pippin_tokenizer *t, const char *text, size_t n)
{
    static const char start[] = "<|im_start|>system", end[] = "<|im_end|>";
    const char *at = text;
    while ((at = find(at, n - (size_t)(at - text), start)) != NULL) {
        at += sizeof start - 1;
        const size_t left = n - (size_t)(at - text);
        const size_t newline = left > 2 && at[0] == '\n' ? 1 : left > 2 && memcmp(at, "\\n", 2) == 0 ? 2 : 0;
        const char *stop = newline ? find(at, left, end) : NULL;
        if (!stop) continue;
        const char *said = at + newline;
        const size_t n_said = (size_t)(stop - said);
        bool literal = n_said > 0 && n_said < 200;
        for (size_t i = 0; i < n_said && literal; i++) literal = !strchr("'\"{}\\+", said[i]) && said[i];
        if (!literal) continue;
        char *kept = pp_tokenizer_keep(t, said, n_said + 1); /* without memory it has none */
        if (kept) kept[n_said] = 0;
        t->default_system = kept;
        return;
    }
}

void pp_template_tell(pippin_tokenizer *t, const char *text, size_t n)
{
    t->chat = PIPPIN_TEMPLATE_NONE;
    for (size_t i = 0; i < N_FORM && t->chat == PIPPIN_TEMPLATE_NONE; i++)
        if (is_form(&forms[i], text, n)) t->chat = forms[i].kind;
    if (t->chat == PIPPIN_TEMPLATE_CHATML) find_default_system(t, text, n);
}

pippin_template pippin_tokenizer_template(const pippin_tokenizer *t)
{
    if (t->chat != PIPPIN_TEMPLATE_AUTO) return t->chat;
    for (size_t i = 0; i < N_FORM; i++)
        if (pp_tokenizer_special_id(t, forms[i].sign) >= 0) return forms[i].kind;
    return PIPPIN_TEMPLATE_NONE;
}

/* AFM has a BOS that no text begins with: there EOS stands before a text as it stands behind it. */
int32_t pippin_tokenizer_bos(const pippin_tokenizer *t)
{
    return pippin_tokenizer_template(t) == PIPPIN_TEMPLATE_AFM && t->eos >= 0 ? t->eos : t->bos;
}

size_t pippin_template_stop_ids(const pippin_tokenizer *t, pippin_template kind, int32_t *ids, size_t capacity)
{
    const form *f = form_of(kind == PIPPIN_TEMPLATE_AUTO ? pippin_tokenizer_template(t) : kind);
    size_t n = 0;
    if (t->eos >= 0 && n++ < capacity) ids[0] = t->eos;
    for (int i = 0; f && i < 4 && f->stops[i]; i++) {
        const int32_t id = pp_tokenizer_special_id(t, f->stops[i]);
        if (id >= 0 && id != t->eos && n++ < capacity) ids[n - 1] = id;
    }
    return n;
}

/* ---- the whole ---- */

static pippin_status choose(const pippin_tokenizer *t, pippin_template kind, const form **out, pippin_error *err)
{
    if (kind == PIPPIN_TEMPLATE_AUTO) kind = pippin_tokenizer_template(t);
    *out = form_of(kind);
    if (!*out)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "template: this tokenizer has none that is known; name one of afm, llama3, chatml or mistral, "
                       "or give the prompt as it is");
    for (int i = 0; i < 4 && (*out)->needs[i]; i++)
        if (pp_tokenizer_special_id(t, (*out)->needs[i]) < 0)
            return pp_fail(err, PIPPIN_E_ARGUMENT,
                           "template %s: needs the piece %s, which this tokenizer has not; use another template",
                           (*out)->name, (*out)->needs[i]);
    return PIPPIN_OK;
}

/* The id before everything: EOS for AFM, where it begins a text and ends it. */
static int32_t head_of(const pippin_tokenizer *t, const form *f)
{
    if (f->kind == PIPPIN_TEMPLATE_AFM) return t->eos;
    return t->bos >= 0 || !f->bos ? t->bos : pp_tokenizer_special_id(t, f->bos);
}

pippin_status pippin_prompt_create(const pippin_tokenizer *t, const char *messages, size_t n_bytes,
                                   const pippin_prompt_options *options, pippin_prompt **out, pippin_error *err)
{
    const pippin_prompt_options o = options ? *options : (pippin_prompt_options){0};
    const form *f;
    pp_conversation c;
    *out = NULL;
    pippin_status status = choose(t, o.kind, &f, err);
    if (status == PIPPIN_OK) status = pp_conversation_parse(messages, n_bytes, &o, &c, err);
    if (status != PIPPIN_OK) return status;
    pp_render r = {.t = t, .c = &c, .complete = o.complete, .newline = -1, .err = err};
    if (f->kind == PIPPIN_TEMPLATE_AFM) r.newline = pp_tokenizer_special_id(t, "<n>");
    if (f->kind == t->chat) r.default_system = t->default_system;
    int32_t ends[MAX_ENDS];
    const size_t n_end = pippin_template_stop_ids(t, f->kind, ends, MAX_ENDS);
    pp_render_guard(&r, head_of(t, f));
    for (size_t i = 0; i < n_end && i < MAX_ENDS; i++) pp_render_guard(&r, ends[i]);
    f->render(&r);
    pippin_prompt *p = pp_alloc_zero(1, sizeof *p);
    status = p ? pp_render_finish(&r, head_of(t, f), p) : pp_fail_memory(err, "prompt", sizeof *p);
    if (status == PIPPIN_OK)
        p->kind = f->kind;
    else
        pippin_prompt_free(p);
    if (status == PIPPIN_OK) *out = p;
    pp_render_free(&r);
    pp_conversation_free(&c);
    return status;
}

void pippin_prompt_free(pippin_prompt *p)
{
    if (!p) return;
    pp_free(p->text);
    pp_free(p->ids);
    pp_free(p->by_assistant);
    pp_free(p);
}
