/*
 * data.h - what a model is trained on: files to samples (data.c, data_json.c), samples to an epoch's batches (batch.c).
 *
 * A file is read and checked as a whole before anything else happens; afterwards it is no longer needed. The order of an
 * epoch and every batch of it are pure functions of (data, options, epoch, batch), so that a run can go on anywhere.
 */
#ifndef PP_TRAIN_DATA_H
#define PP_TRAIN_DATA_H

#include "base/base.h"

/* ---- samples ---- */

typedef struct pp_dataset_options {
    int32_t first_id, last_id; /* put before and after every text; -1: none */
    int32_t pad_id;            /* a target of this id is not learned; -1: none */
    const char *separator;     /* of plain text: what stands between documents; NULL: the file is one stream */
    size_t max_length;         /* tokens of a sample, first_id and last_id included; 0: no bound */
    size_t window;             /* tokens of the windows that a stream is cut into when max_length is 0; 0: 1024 */
    pippin_template kind;      /* of conversations; AUTO: the tokenizer's own */
    size_t chunk;              /* bytes of a long text that are tokenised at once; 0: 1 MB (tests set it) */
} pp_dataset_options;

/* What texts begin and end with in this family, with this tokenizer (may be NULL), and its padding; the rest zero. */
pp_dataset_options pp_dataset_defaults(const pippin_config *config, const pippin_tokenizer *tokenizer);

typedef struct pp_dataset {
    int32_t *tokens;   /* [n_tok] all samples, one after the other */
    uint8_t *labelled; /* [n_tok] 1 where the token is a target; never the first of a sample */
    size_t *start;     /* [n_sample + 1] where each sample begins in tokens; every sample has 2 tokens and 1 target */
    size_t n_sample, n_tok, n_labelled;
    size_t n_truncated; /* samples that were longer than max_length */
    size_t n_dropped;   /* samples that had no target within max_length, and are not in here */
} pp_dataset;

/*
 * Reads training data: a .jsonl or .json file with a sample a line, any other file as plain text, or a folder's
 * train.jsonl or train.txt. A line is
 *   {"tokens":[..],"loss_mask":[..]}  ids, and 0 or 1 for each as a target (no mask: all are)
 *   {"text":".."}                     first_id, text, last_id; all are targets
 *   {"prompt":"..","completion":".."} first_id, both as one text, last_id; targets from where the completion begins
 *   {"messages":[..]} or [..]         a conversation; the assistant's tokens are targets
 * Plain text with a separator: each document is trimmed and stands as {"text"}. Without: one stream in windows, each
 * begun by first_id (without one by the last token of the window before), so that every token is a target once.
 *
 * Blank lines are skipped. Anything else that is wrong with a line stops the reading: FORMAT, or ARGUMENT where a tokenizer is
 * missing or another model's; the text begins with FILE:LINE. What was cut or dropped is counted and said through
 * the log hook. On failure *out is zeroed; else free it with pp_dataset_free.
 */
pippin_status pp_dataset_load(const char *path, const pippin_tokenizer *tokenizer, int32_t n_vocab,
                              const pp_dataset_options *options, pp_dataset *out, pippin_error *err);
/* The same from bytes in memory, which are plain text or JSON lines; `source` names them in messages. */
pippin_status pp_dataset_parse(const void *data, size_t size, bool json, const char *source,
                               const pippin_tokenizer *tokenizer, int32_t n_vocab, const pp_dataset_options *options,
                               pp_dataset *out, pippin_error *err);
void pp_dataset_free(pp_dataset *d);

/* Where the folder `path` holds valid.jsonl or valid.txt: that file's path, to be freed. *out is NULL, with OK, otherwise. */
pippin_status pp_dataset_find_valid(const char *path, char **out, pippin_error *err);

/* ---- batches ---- */

typedef struct pp_plan_options {
    size_t
        batch_size; /* sequences of a batch: samples, or packs of samples; the last batch of an epoch may have fewer */
    bool
        pack; /* join samples to sequences of up to max_length, in the epoch's order; each stays a segment of its own */
    size_t max_length; /* needed with pack */
    bool shuffle;      /* a new order every epoch; else the file's */
    uint64_t seed;
} pp_plan_options;

/* The batches of the epochs over one dataset, which must outlive it. Holds one epoch's order at a time. */
typedef struct pp_plan {
    const pp_dataset *data;
    pp_plan_options options;
    uint64_t epoch;
    uint32_t *order;    /* [n_sample] this epoch's */
    uint32_t *sequence; /* [n_sequence + 1] where each sequence begins in order */
    size_t n_sequence;
    size_t max_tok, max_segment; /* no batch of any epoch has more */
} pp_plan;

/* Samples without padding, one after the other. */
typedef struct pp_batch {
    size_t n_tok, n_segment, n_sequence, n_target;
    int32_t *tokens;        /* [n_tok] */
    int32_t *position;      /* [n_tok] from 0 in each segment */
    int32_t *target;        /* [n_tok] the next token of the segment where it is to be learned, else -1 */
    size_t *segment_start;  /* [n_segment + 1] in tokens: a segment is a sample, and attends to itself only */
    size_t *sequence_start; /* [n_sequence + 1] in segments */
} pp_batch;

pippin_status pp_plan_create(const pp_dataset *data, const pp_plan_options *options, pp_plan *out, pippin_error *err);
void pp_plan_free(pp_plan *plan);
/* Batches of an epoch: with pack and shuffle the packs, and so their number, differ from epoch to epoch. Never allocates. */
size_t pp_plan_n_batch(pp_plan *plan, uint64_t epoch);

/* Room for any batch of the plan. */
pippin_status pp_batch_create(const pp_plan *plan, pp_batch *out, pippin_error *err);
void pp_batch_free(pp_batch *batch);
/* Batch k < pp_plan_n_batch(plan, epoch) of an epoch. Never allocates. */
void pp_plan_batch(pp_plan *plan, uint64_t epoch, size_t k, pp_batch *batch);

#endif
