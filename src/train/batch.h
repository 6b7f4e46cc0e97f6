#ifndef PP_TRAIN_BATCH_H
#define PP_TRAIN_BATCH_H
#include "base/base.h"
typedef struct pp_batch {
    size_t n_tok, n_segment, n_sequence, n_target;
    int32_t *tokens;        /* [n_tok] */
    int32_t *position;      /* [n_tok] from 0 in each segment */
    int32_t *target;        /* [n_tok] the next token of the segment where it is to be learned, else -1 */
    size_t *segment_start;  /* [n_segment + 1] in tokens: a segment is a sample, and attends to itself only */
    size_t *sequence_start; /* [n_sequence + 1] in segments */
} pp_batch;
#endif
