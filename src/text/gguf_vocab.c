/*
 * gguf_vocab.c - the vocabulary inside a GGUF: the tokenizer's own file where pippin put it in; else SentencePiece pieces with
 * scores ("llama", and "t5" for the most probable path), or byte-level pieces with merges ("gpt2").
 */
#include <string.h>

#include "text/tokenizer.h"

/* How words are cut, by the name that the file gives; the file has no patterns of its own. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORDS        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define REST         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"

static const struct pre {
    const char *name;
    const char *patterns[4];
    bool whole_words, bos; /* a word that is a piece stays whole; texts begin with BOS unless the file says otherwise */
} pres[] = {{"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
            {"gpt-2", {GPT2 "|\\s+"}, false, false},
            {"qwen2", {CONTRACTIONS "|" WORDS "|\\p{N}|" REST}, false, false},
            {"llama-bpe", {CONTRACTIONS "|" WORDS "|\\p{N}{1,3}|" REST}, true, true},
            {"llama3", {CONTRACTIONS "|" WORDS "|\\p{N}{1,3}|" REST}, true, true},
            {"llama-v3", {CONTRACTIONS "|" WORDS "|\\p{N}{1,3}|" REST}, true, true}};

typedef struct reader {
    const pp_gguf *g;
    pippin_tokenizer *t;
    const char *source;
    pippin_error *err;
} reader;

static pippin_status bad(const reader *r, const char *key)
{
    return pp_fail(
        r->err, PIPPIN_E_FORMAT,
        "%s: tokenizer.ggml.%s is missing or does not fit; expected a vocabulary, check that the file is whole",
        r->source, key);
}

static const pp_gguf_entry *entry(const reader *r, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s", name);
    return pp_gguf_find(r->g, key);
}

static const pp_gguf_entry *array(const reader *r, const char *name, enum pp_gguf_item item)
{
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s", name);
    return pp_gguf_array(r->g, key, item);
}

static bool flag(const reader *r, const char *name, bool otherwise)
{
    const pp_gguf_entry *e = entry(r, name);
    return e && e->kind == PP_GGUF_NUMBER ? e->integer != 0 : otherwise;
}

static int32_t id_of(const reader *r, const char *name)
{
    const pp_gguf_entry *e = entry(r, name);
    return e && e->kind == PP_GGUF_NUMBER && e->integer >= 0 && e->integer < r->t->n_piece ? (int32_t)e->integer : -1;
}

static const char *take_text(pp_bytes *b, size_t *n)
{
    const uint64_t size = pp_bytes_u64(b);
    *n = (size_t)size;
    return (const char *)pp_bytes_take(b, size <= SIZE_MAX ? (size_t)size : SIZE_MAX);
}

/* ---- pieces ---- */

/* A byte-level file's user-defined pieces are ordinary added ones; SentencePiece's belong to templates. */
static uint8_t kind_of(const reader *r, int32_t type)
{
    switch (type) {
    case 2: return PP_PIECE_UNKNOWN;
    case 3: return PP_PIECE_CONTROL;
    case 4: return r->t->kind == PP_TOKENIZER_MERGES ? PP_PIECE_ADDED : PP_PIECE_USER;
    case 5: return PP_PIECE_UNUSED;
    default: return PP_PIECE_NORMAL;
    }
}

static pippin_status read_pieces(reader *r, const pp_gguf_entry *tokens)
{
    pippin_tokenizer *t = r->t;
    const pp_gguf_entry *scores = array(r, "scores", PP_GGUF_F32), *types = array(r, "token_type", PP_GGUF_I32);
    if ((scores && scores->n_item != tokens->n_item) || (types && types->n_item != tokens->n_item))
        return bad(r, "scores or token_type");
    pp_bytes text = pp_bytes_of(tokens->items, tokens->items_size);
    pp_bytes score = pp_bytes_of(scores ? scores->items : NULL, scores ? scores->items_size : 0);
    pp_bytes type = pp_bytes_of(types ? types->items : NULL, types ? types->items_size : 0);
    for (int32_t id = 0; id < t->n_piece; id++) {
        size_t n;
        const char *stored = take_text(&text, &n);
        if (!stored) return bad(r, "tokens");
        pippin_status status = pp_piece_set(t, id, stored, n, r->source, r->err);
        if (status != PIPPIN_OK) return status;
        pp_piece *p = &t->pieces[id];
        const int32_t number = types ? pp_bytes_i32(&type) : 1;
        p->kind = kind_of(r, number);
        p->score = scores ? pp_bytes_f32(&score) : 0;
        if (p->score != p->score) p->score = 0; /* a NaN would have no order */
        if (t->kind != PP_TOKENIZER_MERGES && (number == 6 || !types)) pp_piece_set_byte(t, id);
    }
    return PIPPIN_OK;
}

/* ---- byte-level ---- */

static const struct pre *find_pre(const reader *r)
{
    const pp_gguf_entry *e = entry(r, "pre");
    if (!e) return &pres[0];
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (e->kind == PP_GGUF_TEXT && e->n_text == strlen(pres[i].name) &&
            memcmp(e->text, pres[i].name, e->n_text) == 0)
            return &pres[i];
    return NULL;
}

static pippin_status read_merges(reader *r)
{
    const pp_gguf_entry *merges = array(r, "merges", PP_GGUF_TEXTS);
    if (!merges) return bad(r, "merges");
    pippin_status status = pp_merges_create(r->t, (size_t)merges->n_item, r->source, r->err);
    pp_bytes b = pp_bytes_of(merges->items, merges->items_size);
    for (uint64_t rank = 0; rank < merges->n_item && status == PIPPIN_OK; rank++) {
        size_t n;
        const char *left = take_text(&b, &n), *space = left ? memchr(left, ' ', n) : NULL;
        if (!space) return bad(r, "merges");
        const size_t n_left = (size_t)(space - left);
        if (!pp_merges_add(r->t, left, n_left, space + 1, n - n_left - 1, (int32_t)rank)) return bad(r, "merges");
    }
    return status;
}

static pippin_status build_byte_level(reader *r, const pp_gguf_entry *tokens)
{
    const struct pre *pre = find_pre(r);
    if (!pre) {
        const pp_gguf_entry *e = entry(r, "pre");
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                       "%s: tokenizer.ggml.pre is \"%.*s\", expected default, gpt-2, qwen2 or llama-bpe; name the "
                       "model's tokenizer.json",
                       r->source, (int)PP_MIN(e->n_text, (size_t)40), e->text ? e->text : "");
    }
    r->t->kind = PP_TOKENIZER_MERGES;
    r->t->ignore_merges = pre->whole_words;
    pippin_status status = read_pieces(r, tokens);
    for (int i = 0; i < 4 && pre->patterns[i] && status == PIPPIN_OK; i++)
        status =
            pp_steps_add(r->t, pre->patterns[i], strlen(pre->patterns[i]), PP_SPLIT_ISOLATED, false, r->source, r->err);
    if (status == PIPPIN_OK) status = pp_byte_level_pieces(r->t, r->source, r->err);
    if (status == PIPPIN_OK) status = pp_tokenizer_build_index(r->t, r->source, r->err);
    if (status == PIPPIN_OK) status = read_merges(r);
    if (flag(r, "add_bos_token", pre->bos)) r->t->bos = id_of(r, "bos_token_id");
    return status;
}

static pippin_status build_scores(reader *r, const pp_gguf_entry *tokens, bool unigram)
{
    pippin_tokenizer *t = r->t;
    t->kind = unigram ? PP_TOKENIZER_UNIGRAM : PP_TOKENIZER_SCORES;
    t->rules = (pp_sp_rules){.dummy_prefix = flag(r, "add_space_prefix", true),
                             .one_space = flag(r, "remove_extra_whitespaces", false),
                             .escape = true};
    t->byte_fallback = true;
    const pp_gguf_entry *table = array(r, "precompiled_charsmap", PP_GGUF_U8);
    pippin_status status = read_pieces(r, tokens);
    if (status == PIPPIN_OK && table)
        status = pp_sp_read_table(t, pp_bytes_of(table->items, table->items_size), r->source, r->err);
    if (status == PIPPIN_OK) status = pp_sp_finish(t, r->source, r->err);
    if (status == PIPPIN_OK && unigram) status = pp_sp_finish_unigram(t, r->source, r->err);
    t->unk = id_of(r, "unknown_token_id");
    if (flag(r, "add_bos_token", true)) t->bos = id_of(r, "bos_token_id");
    return status;
}

const char *pp_tokenizer_pre(const pippin_tokenizer *t)
{
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        bool same = t->ignore_merges == pres[i].whole_words;
        for (int j = 0; j < 4 && same; j++) {
            const char *pattern = pres[i].patterns[j];
            const pp_step *step = &t->steps[j];
            same = pattern ? j < t->n_step && step->split == PP_SPLIT_ISOLATED && !step->invert &&
                                 step->n_regex == strlen(pattern) && memcmp(step->regex, pattern, step->n_regex) == 0
                           : j >= t->n_step;
        }
        if (same) return pres[i].name;
    }
    return NULL;
}

/* ---- the whole ---- */

static pippin_status build_standard(reader *r)
{
    const pp_gguf *g = r->g;
    const bool scores = pp_gguf_text_is(g, "tokenizer.ggml.model", "llama"),
               unigram = pp_gguf_text_is(g, "tokenizer.ggml.model", "t5"),
               bytes = pp_gguf_text_is(g, "tokenizer.ggml.model", "gpt2");
    if (!scores && !unigram && !bytes)
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                       "%s: tokenizer.ggml.model is none of llama, gpt2 and t5; name a tokenizer file", r->source);
    const pp_gguf_entry *tokens = array(r, "tokens", PP_GGUF_TEXTS);
    if (!tokens || tokens->n_item == 0 || tokens->n_item > INT32_MAX) return bad(r, "tokens");
    pippin_status status = pp_tokenizer_new((size_t)tokens->n_item, r->source, &r->t, r->err);
    if (status != PIPPIN_OK) return status;
    status = bytes ? build_byte_level(r, tokens) : build_scores(r, tokens, unigram);
    r->t->eos = id_of(r, "eos_token_id");
    return status;
}

static bool is_about_tokenizer(const pp_gguf_entry *e)
{
    static const char *const prefixes[] = {"tokenizer.", "pippin.tokenizer."};
    for (size_t i = 0; i < 2; i++)
        if (e->n_key > strlen(prefixes[i]) && memcmp(e->key, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static pippin_status keep_values(reader *r)
{
    pp_origin *o = &r->t->origin;
    o->values = pp_alloc(r->g->n_entries * sizeof *o->values);
    if (!o->values) return pp_fail_memory(r->err, r->source, r->g->n_entries * sizeof *o->values);
    for (size_t i = 0; i < r->g->n_entries; i++) {
        const pp_gguf_entry *e = &r->g->entries[i];
        if (is_about_tokenizer(e)) o->values[o->n_value++] = (pp_view){e->raw, e->n_raw};
    }
    return PIPPIN_OK;
}

pippin_status pp_tokenizer_from_gguf(const pp_gguf *g, const char *source, pippin_tokenizer **out, pippin_error *err)
{
    reader r = {.g = g, .source = source, .err = err};
    pippin_status status = PIPPIN_OK;
    *out = NULL;
    const pp_gguf_entry *file = pp_gguf_array(g, "pippin.tokenizer.file", PP_GGUF_U8),
                        *beside = pp_gguf_array(g, "pippin.tokenizer.config", PP_GGUF_U8);
    if (file) {
        const pp_map config = {beside ? beside->items : NULL, beside ? beside->items_size : 0};
        status = pp_tokenizer_parse(file->items, file->items_size, &config, r.source, &r.t, err);
    } else if (entry(&r, "model")) {
        status = build_standard(&r);
    }
    const pp_gguf_entry *chat = pp_gguf_find(g, "tokenizer.chat_template");
    if (status == PIPPIN_OK && r.t && chat && chat->kind == PP_GGUF_TEXT)
        pp_template_tell(r.t, chat->text, chat->n_text);
    if (status == PIPPIN_OK && r.t) status = keep_values(&r);
    if (status != PIPPIN_OK)
        pippin_tokenizer_free(r.t);
    else
        *out = r.t;
    return status;
}
