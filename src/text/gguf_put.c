/*
 * gguf_put.c - a tokenizer into a GGUF. The keys that every reader knows (tokenizer.ggml.*) cannot say all that a tokenizer
 * does: llama2.c's plain spaces, a newline piece, normalisers, how a tokenizer.json cuts words, what added pieces swallow. So
 * the file that it was read from lies beside them whole, pippin.tokenizer.file, and reading it back is exact because it is the
 * same bytes through the same reader. What came from a GGUF goes on as it was.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

typedef struct putter {
    const pippin_tokenizer *t;
    const pippin_config *config;
    pp_gguf_writer *w;
    bool plain; /* spaces are stored as they are (llama2.c), not as U+2581 */
    pippin_error *err;
} putter;

/* ---- what other readers call the pieces ---- */

/* Without a piece's own file other readers take it for one that SentencePiece wrote. */
static void put_plain(const putter *p, int32_t id, char *scratch)
{
    const pp_piece *piece = &p->t->pieces[id];
    const char *text = piece->stored;
    size_t n = piece->n_stored, n_out = 0;
    if (piece->kind == PP_PIECE_BYTE) {
        n_out = (size_t)snprintf(scratch, 8, "<0x%02X>", (unsigned)piece->byte);
    } else if (piece->kind == PP_PIECE_CONTROL) { /* "\n<s>\n" */
        while (n && *text == '\n') text++, n--;
        while (n && text[n - 1] == '\n') n--;
        memcpy(scratch, text, n_out = n);
    } else {
        for (size_t i = 0; i < n; i++) {
            const char *from = text[i] == ' ' ? "\xe2\x96\x81" : &text[i];
            for (size_t j = 0; j < (text[i] == ' ' ? 3u : 1u); j++) scratch[n_out++] = from[j];
        }
    }
    pp_gguf_item_text(p->w, scratch, n_out);
}

static pippin_status put_texts(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    char *scratch = pp_alloc(3 * (size_t)t->longest_stored + 16);
    if (!scratch) return pp_fail_memory(p->err, "tokenizer", 3 * (size_t)t->longest_stored);
    pp_gguf_put_array(p->w, "tokenizer.ggml.tokens", PP_GGUF_TEXTS, (size_t)p->config->n_vocab);
    for (int32_t id = 0; id < p->config->n_vocab; id++) {
        const pp_piece *piece = id < t->n_piece ? &t->pieces[id] : NULL;
        char pad[24];
        /* Ids without a piece, since vocabularies are padded, need a text that no other id has. */
        if (!piece || piece->n_stored == 0)
            pp_gguf_item_text(p->w, pad, (size_t)snprintf(pad, sizeof pad, "[PAD%d]", (int)id));
        else if (p->plain)
            put_plain(p, id, scratch);
        else
            pp_gguf_item_text(p->w, piece->stored, piece->n_stored);
    }
    pp_free(scratch);
    return PIPPIN_OK;
}

static bool is_unknown(const putter *p, int32_t id)
{
    const pp_piece *piece = &p->t->pieces[id];
    return piece->kind == PP_PIECE_UNKNOWN ||
           (p->plain && id == 0 && piece->n_stored == 5 && memcmp(piece->stored, "<unk>", 5) == 0);
}

static void put_types(const putter *p)
{
    static const int32_t numbers[] = {
        [PP_PIECE_NORMAL] = 1,  [PP_PIECE_ADDED] = 4, [PP_PIECE_USER] = 4,  [PP_PIECE_CONTROL] = 3,
        [PP_PIECE_UNKNOWN] = 2, [PP_PIECE_BYTE] = 6,  [PP_PIECE_UNUSED] = 5};
    pp_gguf_put_array(p->w, "tokenizer.ggml.token_type", PP_GGUF_I32, (size_t)p->config->n_vocab);
    for (int32_t id = 0; id < p->config->n_vocab; id++) {
        const uint8_t kind = id < p->t->n_piece ? p->t->pieces[id].kind : PP_PIECE_UNUSED;
        pp_gguf_item_i32(p->w, id < p->t->n_piece && is_unknown(p, id) ? 2 : numbers[kind]);
    }
}

/* Merges as scores of what they yield, for readers that merge the neighbours whose joint piece scores highest. */
static pippin_status put_scores(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    const bool ranks = t->kind == PP_TOKENIZER_MERGES;
    float *scores = pp_alloc_zero((size_t)p->config->n_vocab, sizeof *scores);
    if (!scores) return pp_fail_memory(p->err, "tokenizer", (size_t)p->config->n_vocab * sizeof *scores);
    for (int32_t id = 0; id < t->n_piece; id++) scores[id] = ranks ? -1e6f : t->pieces[id].score;
    for (size_t i = 0; ranks && i <= t->merges_mask; i++) {
        const pp_merge *m = &t->merges[i];
        if (m->left >= 0) scores[m->id] = PP_MAX(scores[m->id], -(float)m->rank);
    }
    pp_gguf_put_array(p->w, "tokenizer.ggml.scores", PP_GGUF_F32, (size_t)p->config->n_vocab);
    for (int32_t id = 0; id < p->config->n_vocab; id++) pp_gguf_item_f32(p->w, scores[id]);
    pp_free(scores);
    return PIPPIN_OK;
}

static int by_rank(const void *a, const void *b)
{
    const int32_t left = ((const pp_merge *)a)->rank, right = ((const pp_merge *)b)->rank;
    return (left > right) - (left < right);
}

static pippin_status put_merges(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    size_t n = 0;
    pp_merge *merges = pp_alloc(((size_t)t->merges_mask + 1) * sizeof *merges);
    char *text = pp_alloc(2 * (size_t)t->longest_stored + 1);
    if (merges && text) {
        for (size_t i = 0; i <= t->merges_mask; i++)
            if (t->merges[i].left >= 0) merges[n++] = t->merges[i];
        qsort(merges, n, sizeof *merges, by_rank);
        pp_gguf_put_array(p->w, "tokenizer.ggml.merges", PP_GGUF_TEXTS, n);
        for (size_t i = 0; i < n; i++) {
            const pp_piece *l = &t->pieces[merges[i].left], *r = &t->pieces[merges[i].right];
            memcpy(text, l->stored, l->n_stored);
            text[l->n_stored] = ' ';
            memcpy(text + l->n_stored + 1, r->stored, r->n_stored);
            pp_gguf_item_text(p->w, text, l->n_stored + 1 + r->n_stored);
        }
    }
    const bool complete = merges && text;
    pp_free(merges);
    pp_free(text);
    return complete ? PIPPIN_OK : pp_fail_memory(p->err, "tokenizer", (size_t)t->merges_mask * sizeof *merges);
}

/* ---- rules ---- */

static void put_table(const putter *p)
{
    const pp_sp_rules *r = &p->t->rules;
    const size_t n_trie = r->n_trie * sizeof *r->trie;
    if (!n_trie) return;
    pp_gguf_put_array(p->w, "tokenizer.ggml.precompiled_charsmap", PP_GGUF_U8, 4 + n_trie + r->n_replacements);
    pp_gguf_item_i32(p->w, (int32_t)n_trie);
    for (size_t i = 0; i < r->n_trie; i++) pp_gguf_item_i32(p->w, (int32_t)r->trie[i]);
    pp_gguf_item_bytes(p->w, r->replacements, r->n_replacements);
}

static void put_rules(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    bool prepends = t->rules.dummy_prefix;
    for (int i = 0; i < t->n_op; i++)
        prepends |= t->ops[i].kind == PP_OP_PREPEND || t->ops[i].kind == PP_OP_PREPEND_MISSING ||
                    t->ops[i].kind == PP_OP_PREPEND_FIRST;
    if (t->byte_level) {
        const char *pre = pp_tokenizer_pre(t);
        if (pre) pp_gguf_put_text(p->w, "tokenizer.ggml.pre", pre);
        return;
    }
    pp_gguf_put_text(p->w, "tokenizer.ggml.pre", "default");
    pp_gguf_put_bool(p->w, "tokenizer.ggml.add_space_prefix", prepends);
    pp_gguf_put_bool(p->w, "tokenizer.ggml.remove_extra_whitespaces", t->rules.one_space);
    put_table(p);
}

static void put_id(const putter *p, const char *key, int32_t id, int32_t otherwise)
{
    const int32_t found = id >= 0 ? id : otherwise;
    if (found >= 0 && found < p->config->n_vocab) pp_gguf_put_u32(p->w, key, (uint32_t)found);
}

static void put_ids(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    put_id(p, "tokenizer.ggml.bos_token_id", t->bos, p->config->bos_id);
    put_id(p, "tokenizer.ggml.eos_token_id", t->eos, p->config->eos_id);
    put_id(p, "tokenizer.ggml.unknown_token_id", t->unk, is_unknown(p, 0) ? 0 : -1);
    pp_gguf_put_bool(p->w, "tokenizer.ggml.add_bos_token", t->bos >= 0);
    pp_gguf_put_bool(p->w, "tokenizer.ggml.add_eos_token", false);
}

/* ---- the chat template: a file of its own, or in tokenizer_config.json a text, or a list of named ones ---- */

static const json_t *template_in(const json_t *config)
{
    const json_t *list = json_object_get(config, "chat_template"), *found = list, *item;
    size_t i;
    json_array_foreach (list, i, item) {
        const json_t *name = json_object_get(item, "name");
        if (i == 0 || (json_is_string(name) && strcmp(json_string_value(name), "default") == 0))
            found = json_object_get(item, "template");
    }
    return json_is_string(found) ? found : NULL;
}

static pippin_status put_template(const putter *p)
{
    static const char key[] = "tokenizer.chat_template";
    const pp_origin *o = &p->t->origin;
    json_error_t at;
    if (o->chat.size) {
        pp_gguf_put_text_n(p->w, key, (const char *)o->chat.data, o->chat.size);
        return PIPPIN_OK;
    }
    if (!o->config.size) return PIPPIN_OK;
    json_t *config = json_loadb((const char *)o->config.data, o->config.size, JSON_DECODE_INT_AS_REAL, &at);
    if (!config && json_error_code(&at) == json_error_out_of_memory)
        return pp_fail_memory(p->err, "tokenizer_config.json", o->config.size);
    const json_t *text = template_in(config);
    if (text) pp_gguf_put_text_n(p->w, key, json_string_value(text), json_string_length(text));
    json_decref(config);
    return PIPPIN_OK;
}

/* ---- the whole ---- */

static pippin_status put_standard(const putter *p)
{
    const pippin_tokenizer *t = p->t;
    pp_gguf_put_text(p->w, "tokenizer.ggml.model",
                     t->byte_level                     ? "gpt2"
                     : t->kind == PP_TOKENIZER_UNIGRAM ? "t5"
                                                       : "llama");
    put_rules(p);
    pippin_status status = put_texts(p);
    put_types(p);
    if (status == PIPPIN_OK) status = t->byte_level ? put_merges(p) : put_scores(p);
    put_ids(p);
    return status;
}

pippin_status pp_tokenizer_put_gguf(const pippin_tokenizer *t, const pippin_config *config, pp_gguf_writer *w,
                                    pippin_error *err)
{
    const pp_origin *o = &t->origin;
    const putter p = {
        .t = t, .config = config, .w = w, .plain = t->kind == PP_TOKENIZER_SCORES && !t->rules.escape, .err = err};
    for (size_t i = 0; i < o->n_value; i++) pp_gguf_put_raw(w, o->values[i].data, o->values[i].size);
    if (o->n_value) return PIPPIN_OK;
    pippin_status status = put_standard(&p);
    if (status == PIPPIN_OK) status = put_template(&p);
    if (o->file.size) pp_gguf_put_bytes(w, "pippin.tokenizer.file", o->file.data, o->file.size);
    if (o->config.size) pp_gguf_put_bytes(w, "pippin.tokenizer.config", o->config.data, o->config.size);
    return status;
}
