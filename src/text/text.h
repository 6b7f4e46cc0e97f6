/*
 * text - text to ids and back, and the streaming decoder that never splits a character.
 */
#ifndef PP_TEXT_H
#define PP_TEXT_H

#include "base/base.h"
#include "formats/formats.h"

/* ---- opening. `source` names the bytes in messages; the bytes may be freed afterwards. ---- */

/* llama2.c's tok*.bin: SentencePiece BPE with scores, byte pieces at ids 3..258, BOS 1, EOS 2. */
pippin_status pp_tokenizer_parse_llama2c(const void *data, size_t size, const char *source, pippin_tokenizer **out,
                                         pippin_error *err);
/* Hugging Face's tokenizer.json with a BPE model. `config` is the tokenizer_config.json beside it, or NULL. */
pippin_status pp_tokenizer_parse_json(const void *data, size_t size, const pp_map *config, const char *source,
                                      pippin_tokenizer **out, pippin_error *err);
/* A SentencePiece model: BPE or unigram. */
pippin_status pp_tokenizer_parse_sentencepiece(const void *data, size_t size, const char *source,
                                               pippin_tokenizer **out, pippin_error *err);
/*
 * The vocabulary inside a GGUF: the tokenizer's own file where pippin put it in, else what tokenizer.ggml.* says. *out stays
 * NULL, with OK, where the file has none. The GGUF's bytes must outlive the tokenizer.
 */
pippin_status pp_tokenizer_from_gguf(const pp_gguf *g, const char *source, pippin_tokenizer **out, pippin_error *err);
/*
 * Puts a tokenizer into the GGUF of a model: tokenizer.ggml.* for every reader, and for pippin the file that it
 * came from, byte for byte, as only that says all of it. The configuration's BOS and EOS stand in where the tokenizer has none.
 */
pippin_status pp_tokenizer_put_gguf(const pippin_tokenizer *tokenizer, const pippin_config *config, pp_gguf_writer *w,
                                    pippin_error *err);

/* ---- encoding with a template ---- */

typedef struct pp_span {
    size_t start, end; /* bytes of the text, half open */
} pp_span;

/*
 * Special pieces (control and user-defined ones) are found in the text only where `special` is set, and never inside
 * `content`, the spans that a user wrote. The whole text is one pass: ids at the seams are those of the whole.
 * `guarded` pieces keep out of content also where the vocabulary has them as added ones, which are found in any text.
 */
typedef struct pp_encode_request {
    bool special;
    const pp_span *content; /* [n_content] in rising order, not overlapping */
    size_t n_content;
    const int32_t *guarded; /* [n_guarded] */
    size_t n_guarded;
} pp_encode_request;

/* *ids is to be freed with pp_free. */
pippin_status pp_tokenizer_encode(const pippin_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                  const pp_encode_request *request, int32_t **ids, size_t *n_ids, pippin_error *err);
/* The bytes that an id stands for in the middle of a text; *n_bytes 0 for those that give none. Owned by the tokenizer. */
const char *pp_tokenizer_bytes(const pippin_tokenizer *tokenizer, int32_t id, size_t *n_bytes);
/* Id of the special piece whose stored text is this, or -1. Templates ask for theirs by name. */
int32_t pp_tokenizer_special_id(const pippin_tokenizer *tokenizer, const char *name);

/* ---- streaming: ids to text as they come; holds back the bytes of an unfinished UTF-8 character ---- */

typedef struct pp_stream {
    const pippin_tokenizer *tokenizer; /* NULL: every id gives no text */
    bool started;                      /* the space before the very first word has been dealt with */
    char held[4];
    size_t n_held;
    char *text; /* [capacity] what the last call completed */
    size_t capacity;
} pp_stream;

/* Allocates room for the longest piece; nothing is allocated later. `started`: text comes before (a prompt), so keep a leading space. */
pippin_status pp_stream_init(pp_stream *s, const pippin_tokenizer *tokenizer, bool started, pippin_error *err);
void pp_stream_restart(pp_stream *s, bool started); /* for another text */
void pp_stream_free(pp_stream *s);
/* Whole characters completed by id, valid until the next call; *n_bytes may be 0. A byte that can never become part of a
   character comes out as U+FFFD. */
const char *pp_stream_push(pp_stream *s, int32_t id, size_t *n_bytes);
/* What is still held back, as U+FFFD; call once at the end. */
const char *pp_stream_finish(pp_stream *s, size_t *n_bytes);

/*
 * Writes the files that the tokenizer came from into a folder, where a model beside them finds them. *saved is false, with
 * OK, for a kind that no folder has (a vocabulary inside a GGUF, llama2.c's).
 */
pippin_status pp_tokenizer_save(const pippin_tokenizer *tokenizer, const char *dir, bool *saved, pippin_error *err);

#endif
