/* tokenizer.h - private to text: what every kind of tokenizer is made of. */
#ifndef PP_TEXT_TOKENIZER_H
#define PP_TEXT_TOKENIZER_H

#include "text/text.h"

typedef struct pp_piece {
    const char *text; /* not 0-terminated; points into `pool` */
    uint32_t n_bytes;
    float score;      /* of a merge that yields this piece: the highest goes first */
    int16_t byte;     /* 0..255 for a byte-fallback piece, else -1 */
    bool special;     /* never found in text, gives no text */
} pp_piece;

struct pippin_tokenizer {
    int32_t n_piece, bos, eos;
    pp_piece *pieces;   /* [n_piece] */
    char *pool;         /* the text of all pieces */
    int32_t byte_id[256]; /* the byte-fallback piece of each byte, or -1 */
    int32_t *index;     /* hash table of ordinary pieces; -1: empty */
    uint32_t index_mask;
    uint32_t longest;   /* bytes of the longest piece */
};

/* Fills the index; call once when the pieces are there. */
pippin_status pp_tokenizer_build_index(pippin_tokenizer *t, const char *source, pippin_error *err);
/* Id of an ordinary piece with this text, or -1. */
int32_t pp_tokenizer_find(const pippin_tokenizer *t, const char *text, size_t n_bytes);
/*
 * The bytes that an id stands for in running text, without the space that encoding puts before the first word: *started
 * says whether text came before, and is set. `byte` is room for a byte piece. *n_bytes 0: none (a special id).
 */
const char *pp_tokenizer_text(const pippin_tokenizer *t, int32_t id, bool *started, char *byte, size_t *n_bytes);
/* SentencePiece's BPE over `text`, byte fallback included. Appends to ids (capacity n_bytes is enough). */
pippin_status pp_bpe_encode(const pippin_tokenizer *t, const char *text, size_t n_bytes, int32_t *ids, size_t *n_ids,
                            pippin_error *err);

#endif
