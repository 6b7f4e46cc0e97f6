/*
 * text - text to ids and back, and the streaming decoder that never splits a character.
 */
#ifndef PP_TEXT_H
#define PP_TEXT_H

#include "base/base.h"

/* llama2.c's tok*.bin: SentencePiece BPE with scores, byte pieces at ids 3..258, BOS 1, EOS 2. Bytes may be freed afterwards. */
pippin_status pp_tokenizer_parse_llama2c(const void *data, size_t size, const char *source, pippin_tokenizer **out,
                                         pippin_error *err);

/* Ids to text as they come: holds back the bytes of an unfinished UTF-8 character. */
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

#endif
