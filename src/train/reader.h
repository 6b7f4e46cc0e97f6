/* reader.h - private to train: a dataset while its file is being read. */
#ifndef PP_TRAIN_READER_H
#define PP_TRAIN_READER_H

#include "text/text.h"
#include "train/data.h"

typedef struct pp_reader {
    const char *source;
    const pippin_tokenizer *tokenizer;
    int32_t n_vocab;
    pp_dataset_options options;
    const char *text; /* [size] the file */
    size_t size, at;  /* and how far it is read: tells how much room all of it will need */
    size_t line;      /* the one being read, from 1 */
    pp_dataset *out;
    size_t tok_room, sample_room;
    pippin_error *err;
} pp_reader;

/* Tokens for the sample under way, checked against the vocabulary. */
pippin_status pp_reader_put(pp_reader *r, const int32_t *ids, size_t n, bool labelled);
/* A text for the sample under way. */
pippin_status pp_reader_text(pp_reader *r, const char *text, size_t n, bool labelled);
/* Ends the sample under way: cuts it, counts it, or refuses it where it has nothing to learn. */
pippin_status pp_reader_end(pp_reader *r);
/* "FILE:LINE: ..." */
pippin_status pp_reader_fail(const pp_reader *r, pippin_status status, const char *format, ...) PP_PRINTF(3, 4);
pippin_status pp_reader_need_tokenizer(const pp_reader *r);

/* One line of JSON (data_json.c). */
pippin_status pp_reader_line(pp_reader *r, const char *line, size_t n);

#endif
