/*
 * fuzz_messages.c - any bytes as a conversation, in every template: an error that says where, or ids in range with as many
 * special pieces as the template wrote, and the answers marked.
 */
#include "fuzz/text.h"

static const char *const specials[] = {"<unk>",
                                       "</s>",
                                       "<s>",
                                       "<turn_start>",
                                       "<turn_end>",
                                       "<n>",
                                       "<executable_start>",
                                       "<executable_end>",
                                       "<|start_header_id|>",
                                       "<|end_header_id|>",
                                       "<|eot_id|>",
                                       "<|im_start|>",
                                       "<|im_end|>",
                                       "[INST]",
                                       "[/INST]",
                                       "[AVAILABLE_TOOLS]",
                                       "[/AVAILABLE_TOOLS]",
                                       "[TOOL_CALLS]",
                                       "[TOOL_RESULTS]",
                                       "[/TOOL_RESULTS]"};
enum { N_SPECIAL = sizeof specials / sizeof *specials };

/* A SentencePiece vocabulary of these and a piece a byte. */
static pippin_tokenizer *make_tokenizer(void)
{
    pippin_tokenizer *t;
    char name[8];
    if (pp_tokenizer_new(N_SPECIAL + 256, "fuzz", &t, NULL) != PIPPIN_OK) abort();
    t->kind = PP_TOKENIZER_SCORES;
    t->byte_fallback = true;
    t->rules = (pp_sp_rules){.dummy_prefix = true, .escape = true};
    for (int32_t id = 0; id < N_SPECIAL + 256; id++) {
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)(id - N_SPECIAL) & 255u);
        const char *stored = id < N_SPECIAL ? specials[id] : name;
        if (pp_piece_set(t, id, stored, strlen(stored), "fuzz", NULL) != PIPPIN_OK) abort();
        t->pieces[id].kind = id == 0 ? PP_PIECE_UNKNOWN : id < 3 ? PP_PIECE_CONTROL : PP_PIECE_USER;
        if (id >= N_SPECIAL) pp_piece_make_byte(t, id, id - N_SPECIAL);
    }
    if (pp_sp_finish(t, "fuzz", NULL) != PIPPIN_OK) abort();
    t->unk = 0;
    t->eos = 1;
    t->bos = 2;
    return t;
}

/* Special pieces that the text spells, and newlines, which are one: the ids have no more, as content may spell them too. */
static size_t spelt(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t at = 0; at < n; at++) {
        count += text[at] == '\n';
        for (size_t i = 1; i < N_SPECIAL; i++)
            count += strlen(specials[i]) <= n - at && memcmp(text + at, specials[i], strlen(specials[i])) == 0;
    }
    return count;
}

static void check_prompt(const pippin_prompt *p, bool complete)
{
    size_t n_special = 0, n_answer = 0;
    if (p->text[p->n_bytes] || !p->n_ids) abort();
    for (size_t i = 0; i < p->n_ids; i++) {
        if (p->ids[i] <= 0 || p->ids[i] >= N_SPECIAL + 256) abort();
        n_special += p->ids[i] < N_SPECIAL;
        n_answer += p->by_assistant[i];
    }
    if (n_special > spelt(p->text, p->n_bytes) + 1) abort();
    if (complete && !n_answer) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    pippin_tokenizer *t = make_tokenizer();
    const pippin_prompt_options options = {.kind = (pippin_template)(PIPPIN_TEMPLATE_AFM + data[0] % 4),
                                           .complete = data[1] % 2};
    pippin_prompt *p;
    pippin_error err;
    if (pippin_prompt_create(t, (const char *)data + 2, size - 2, &options, &p, &err) != PIPPIN_OK) {
        if (p || strchr(err.text, '\n')) abort();
        fuzz_check_error(&err, strncmp(err.text, "tools", 5) == 0 ? "tools" : "messages");
    } else {
        check_prompt(p, options.complete);
        pippin_prompt_free(p);
    }
    pp_template_tell(t, (const char *)data, size);
    if (pippin_tokenizer_template(t) == PIPPIN_TEMPLATE_AUTO) abort();
    pippin_tokenizer_free(t);
    return 0;
}
