/*
 * tokenizer.h - private to text: what every kind of tokenizer is made of. All kinds share pieces, their index, byte-pair
 * merging and decoding; they differ in what happens to text before (struct fields below) and in `kind`.
 */
#ifndef PP_TEXT_TOKENIZER_H
#define PP_TEXT_TOKENIZER_H

#include "text/text.h"

/* ---- pieces ---- */

typedef enum pp_piece_kind {
    PP_PIECE_NORMAL = 0,
    PP_PIECE_ADDED,   /* ordinary text that is matched before everything else */
    PP_PIECE_USER,    /* matched like that, but only where the caller asks: templates are made of these */
    PP_PIECE_CONTROL, /* the same, and gives no text */
    PP_PIECE_UNKNOWN, /* stands for what has no piece */
    PP_PIECE_BYTE,    /* one byte of a character that has no piece */
    PP_PIECE_UNUSED
} pp_piece_kind;

typedef struct pp_piece {
    const char *stored; /* as the file has it; not 0-terminated */
    const char *text;   /* the bytes that it stands for */
    uint32_t n_stored, n_text;
    float score; /* of a merge that yields this piece: the highest goes first; in a unigram model its log-probability */
    int16_t byte; /* 0..255 for a byte piece, else -1 */
    uint8_t kind;
    bool eats_left, eats_right,
        whole_word; /* of an added piece: swallows white space around it; is no part of a word */
} pp_piece;

/* Pieces in the order of their bytes, to be walked down a byte at a time (pieces.c). */
typedef struct pp_prefix {
    const pp_piece **items;
    int32_t n;
    int32_t first[257]; /* where the pieces that begin with a byte start */
} pp_prefix;

/* The merge of two pieces, in a hash table (merges.c). */
typedef struct pp_merge {
    int32_t left, right, id, rank; /* left -1: an empty place */
} pp_merge;

/* ---- what happens to text before merging ---- */

enum { PP_MAX_OPS = 16, PP_MAX_STEPS = 16, PP_OP_TEXT = 64 };

typedef enum pp_op_kind {
    PP_OP_UNICODE,         /* to a normal form of Unicode */
    PP_OP_REPLACE,         /* from -> to */
    PP_OP_PREPEND,         /* to */
    PP_OP_PREPEND_MISSING, /* to, unless the text begins with it */
    PP_OP_PREPEND_FIRST    /* the same, at the very beginning of a text only */
} pp_op_kind;

typedef struct pp_op {
    pp_op_kind kind;
    int unicode; /* options of utf8proc */
    uint32_t n_from, n_to;
    char from[PP_OP_TEXT], to[PP_OP_TEXT];
} pp_op;

typedef struct pp_pattern pp_pattern;
typedef struct pp_matcher pp_matcher;

typedef enum pp_split {
    PP_SPLIT_ISOLATED = 0,
    PP_SPLIT_REMOVED,
    PP_SPLIT_WITH_PREVIOUS,
    PP_SPLIT_WITH_NEXT,
    PP_SPLIT_CONTIGUOUS
} pp_split;

typedef struct pp_step {
    pp_pattern *pattern;
    const char *regex; /* [n_regex] what it was made of */
    size_t n_regex;
    pp_split split;
    bool invert; /* what lies between the matches counts as the match */
} pp_step;

/* SentencePiece's own normaliser. */
typedef struct pp_sp_rules {
    bool dummy_prefix, one_space,
        escape;     /* a space first; no spaces at the ends or twice; spaces are stored as U+2581 */
    uint32_t *trie; /* [n_trie] a double array of what is replaced, or NULL */
    size_t n_trie;
    char *replacements; /* [n_replacements] 0-terminated texts; the last byte is 0 */
    size_t n_replacements;
} pp_sp_rules;

typedef enum pp_tokenizer_kind {
    PP_TOKENIZER_SCORES,  /* SentencePiece text; neighbours merge by the score of the joint piece */
    PP_TOKENIZER_UNIGRAM, /* SentencePiece text; the most probable path */
    PP_TOKENIZER_MERGES   /* text cut into words by patterns; neighbours merge by a list of pairs */
} pp_tokenizer_kind;

typedef struct pp_block pp_block;

/* ---- where it came from, mapped and not copied: so it is written into a GGUF as it was, byte for byte ---- */

typedef struct pp_view {
    const uint8_t *data;
    size_t size;
} pp_view;

typedef struct pp_origin {
    pp_map file, config, chat; /* its own mappings: the file; tokenizer_config.json and chat_template.jinja beside it */
    pp_view *values;           /* [n_value] of a GGUF: its keys and values about the tokenizer, in the GGUF's bytes */
    size_t n_value;
} pp_origin;

void pp_origin_free(pp_origin *origin);
/* What a tokenizer's file is called beside a model: "tokenizer.json" or "tokenizer.model"; NULL for other kinds. */
const char *pp_tokenizer_file_name(const void *data, size_t size);

struct pippin_tokenizer {
    pp_origin origin;
    pp_tokenizer_kind kind;
    int32_t n_piece;
    int32_t bos, eos, unk; /* as the file says, -1: none; what a text begins with is pippin_tokenizer_bos */
    int32_t newline;       /* the piece that stands for "\n" before everything else, or -1 */
    pp_piece *pieces;      /* [n_piece] */
    pp_block *blocks;      /* the text of all pieces */
    int32_t byte_id[256];  /* the piece of each byte, or -1 */
    int32_t *index;        /* hash table of stored texts; -1: empty */
    uint32_t index_mask;
    uint32_t longest_stored, longest_text;
    pp_prefix special; /* what is matched before everything else */
    bool strip_space;  /* decoding drops the space before the first word */
    bool byte_fallback, fuse_unknown;
    pippin_template chat;       /* what the file's own template is; AUTO: it has none, and special pieces tell */
    const char *default_system; /* what that one says where no system message is given, or NULL */
    /* SCORES, UNIGRAM */
    pp_sp_rules rules;
    pp_prefix normal; /* UNIGRAM */
    float worst;      /* UNIGRAM: the lowest score */
    /* MERGES */
    bool byte_level;    /* a symbol is a byte, and stored texts spell bytes as characters (byte_level.c) */
    bool ignore_merges; /* a word that is a piece stays whole */
    pp_merge *merges;
    uint32_t merges_mask;
    pp_op ops[PP_MAX_OPS];
    pp_step steps[PP_MAX_STEPS];
    int n_op, n_step;
};

/* ---- pieces.c ---- */

/* An empty tokenizer with n pieces of kind UNUSED. */
pippin_status pp_tokenizer_new(size_t n, const char *source, pippin_tokenizer **out, pippin_error *err);
/* A copy of these bytes that lives as long as the tokenizer; NULL when out of memory. */
char *pp_tokenizer_keep(pippin_tokenizer *t, const char *bytes, size_t n);
/* Gives a piece its stored text, which is also what it stands for until something else is set. */
pippin_status pp_piece_set(pippin_tokenizer *t, int32_t id, const char *stored, size_t n, const char *source,
                           pippin_error *err);
/* Makes a piece this byte, whatever its stored text is. */
void pp_piece_make_byte(pippin_tokenizer *t, int32_t id, int byte);
/* Makes a piece the byte that "<0x41>" spells; false when it spells none. */
bool pp_piece_set_byte(pippin_tokenizer *t, int32_t id);
/* The text of every ordinary piece is its stored one with `from` replaced by `to`. */
pippin_status pp_pieces_replace(pippin_tokenizer *t, const char *from, const char *to, const char *source,
                                pippin_error *err);
/* Fills the index and the special pieces; call once when the pieces are there. */
pippin_status pp_tokenizer_build_index(pippin_tokenizer *t, const char *source, pippin_error *err);
/* Id of the piece with this stored text, an ordinary one where there are several, or -1. */
int32_t pp_tokenizer_find(const pippin_tokenizer *t, const char *text, size_t n_bytes);
/* The same for a text in two parts. */
int32_t pp_tokenizer_find_joint(const pippin_tokenizer *t, const char *left, size_t n_left, const char *right,
                                size_t n_right);
/* The same for what may come out of merging: an ordinary piece. */
int32_t pp_tokenizer_find_normal(const pippin_tokenizer *t, const char *text, size_t n_bytes);

pippin_status pp_prefix_build(pippin_tokenizer *t, unsigned kinds, pp_prefix *out, const char *source,
                              pippin_error *err);
/* Walking: start with pp_prefix_start, then a step a byte, depth 0, 1, ...; false: no piece goes on like that. */
typedef struct pp_prefix_range {
    int32_t low, high;
} pp_prefix_range;
bool pp_prefix_step(const pp_prefix *p, pp_prefix_range *r, uint32_t depth, unsigned char byte);
/* The piece that ends after `depth` steps, or NULL. */
const pp_piece *pp_prefix_here(const pp_prefix *p, const pp_prefix_range *r, uint32_t depth);

/* Takes a note of the file's own chat template, of whose language nothing is run (template.c). */
void pp_template_tell(pippin_tokenizer *t, const char *text, size_t n);

/* A tokenizer's own file by its content, whatever is beside it (tokenizer.c). */
pippin_status pp_tokenizer_parse(const void *data, size_t size, const pp_map *config, const char *source,
                                 pippin_tokenizer **out, pippin_error *err);
/* What a GGUF calls the patterns that cut this tokenizer's words (tokenizer.ggml.pre); NULL where it has no name for them. */
const char *pp_tokenizer_pre(const pippin_tokenizer *t);
/* SentencePiece's table of replacements: the size of a double array, the array, the texts that it points to. */
pippin_status pp_sp_read_table(pippin_tokenizer *t, pp_bytes b, const char *source, pippin_error *err);
/* The pieces that a unigram model walks down, and the lowest of their scores. */
pippin_status pp_sp_finish_unigram(pippin_tokenizer *t, const char *source, pippin_error *err);
/* What every vocabulary of SentencePiece needs at the end: texts, the newline piece, the index (sentencepiece.c). */
pippin_status pp_sp_finish(pippin_tokenizer *t, const char *source, pippin_error *err);

/* ---- merges.c ---- */

pippin_status pp_merges_create(pippin_tokenizer *t, size_t n, const char *source, pippin_error *err);
/* `left` and `right` are stored texts. A merge whose pieces are not ordinary is left out; false: a piece does not exist. */
bool pp_merges_add(pippin_tokenizer *t, const char *left, size_t n_left, const char *right, size_t n_right,
                   int32_t rank);
const pp_merge *pp_merges_find(const pippin_tokenizer *t, int32_t left, int32_t right);

/* ---- byte_level.c ---- */

/* The bytes that a stored text spells, into `out` (n bytes are enough); false when a character spells none. */
bool pp_byte_level_decode(const char *stored, size_t n, char *out, size_t *n_out);
/* How bytes are stored, into `out` (2 n bytes are enough). */
size_t pp_byte_level_encode(const char *bytes, size_t n, char *out);
/* Texts and bytes of all pieces of a byte-level vocabulary. */
pippin_status pp_byte_level_pieces(pippin_tokenizer *t, const char *source, pippin_error *err);

/* ---- utf8.c ---- */

/* How many bytes a character that starts with this byte has; 0 if none does. */
size_t pp_utf8_lead(unsigned char first);
/* May `byte` stand second after `first`? Excludes overlong forms, surrogates, and what lies beyond U+10FFFF. */
bool pp_utf8_second_fits(unsigned char first, unsigned char byte);
/* Bytes of the valid character at the beginning of text, 0 if there is none. */
size_t pp_utf8_size(const char *text, size_t n);

/* ---- encoding: one call's memory ---- */

typedef struct pp_buffer_text {
    char *bytes;
    size_t n, capacity;
} pp_buffer_text;

typedef struct pp_encoder {
    const pippin_tokenizer *t;
    const pp_encode_request *request;
    size_t next_content; /* the first span of content that does not end before where the search is */
    pippin_error *err;
    int32_t *ids;
    size_t n_ids, ids_capacity;
    pp_buffer_text text[2]; /* normalised text, and where it comes from or goes to */
    void *symbols, *heap;   /* bpe.c */
    size_t n_symbol_room, n_heap_room;
    pp_matcher *matcher; /* pattern.c */
} pp_encoder;

pippin_status pp_encoder_push(pp_encoder *e, int32_t id);
pippin_status pp_encoder_put(pp_encoder *e, pp_buffer_text *b, const char *bytes, size_t n);
/* Unknown symbols become bytes or the unknown piece. `fuse`: the last id pushed is that of an unknown neighbour. */
pippin_status pp_encoder_push_unknown(pp_encoder *e, const char *text, size_t n, bool *fuse);
/* The longest special piece at text[at] that may be matched there, or NULL. */
const pp_piece *pp_encoder_special(pp_encoder *e, const char *text, size_t n, size_t at);

/* Byte-pair merging of one word (bpe.c), and the most probable path (unigram.c). */
pippin_status pp_bpe_encode(pp_encoder *e, const char *text, size_t n_bytes);
pippin_status pp_unigram_encode(pp_encoder *e, const char *text, size_t n_bytes);
/* A whole text (sp_normalize.c; words.c). */
pippin_status pp_sp_encode(pp_encoder *e, const char *text, size_t n_bytes);
pippin_status pp_words_encode(pp_encoder *e, const char *text, size_t n_bytes);
/* text[0] becomes text[0] in a normal form of Unicode; its bytes are valid UTF-8 (unicode.c). */
pippin_status pp_unicode_normalize(pp_encoder *e, int options);

/* ---- pattern.c: regular expressions ---- */

pippin_status pp_pattern_compile(const char *regex, size_t n, const char *source, pp_pattern **out, pippin_error *err);
void pp_pattern_free(pp_pattern *p);
/* Adds a step to a tokenizer. */
pippin_status pp_steps_add(pippin_tokenizer *t, const char *regex, size_t n, pp_split split, bool invert,
                           const char *source, pippin_error *err);
/* For texts of at most n bytes. */
pippin_status pp_matcher_create(size_t n, pp_matcher **out, pippin_error *err);
void pp_matcher_free(pp_matcher *m);
/* The next match in text at or after *end; sets both. *found false: there is none. */
pippin_status pp_pattern_next(const pp_pattern *p, pp_matcher *m, const char *text, size_t n, size_t *start,
                              size_t *end, bool *found, pippin_error *err);

/*
 * The bytes that an id stands for in running text, without the space that encoding puts before the first word: *started
 * says whether text came before, and is set. *n_bytes 0: none (a control piece).
 */
const char *pp_tokenizer_text(const pippin_tokenizer *t, int32_t id, bool *started, size_t *n_bytes);

#endif
