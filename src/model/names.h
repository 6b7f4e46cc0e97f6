/*
 * names.h - private to model: what a layer consists of, and what each file convention calls it. One table serves binding,
 * random weights and saving. A new convention is one more column.
 */
#ifndef PP_MODEL_NAMES_H
#define PP_MODEL_NAMES_H

#include "model/model.h"

typedef enum pp_part {
    PP_PART_ATTN_NORM = 0,
    PP_PART_QKV, /* rows of Q, K and V in one matrix */
    PP_PART_Q,
    PP_PART_K,
    PP_PART_V,
    PP_PART_Q_BIAS,
    PP_PART_K_BIAS,
    PP_PART_V_BIAS,
    PP_PART_Q_NORM,
    PP_PART_K_NORM,
    PP_PART_O,
    PP_PART_FFN_NORM,
    PP_PART_GATE,
    PP_PART_UP,
    PP_PART_DOWN,
    PP_N_PART
} pp_part;

typedef enum pp_top { PP_TOP_EMBEDDING = 0, PP_TOP_NORM, PP_TOP_HEAD, PP_N_TOP } pp_top;

enum { PP_NAME_SIZE = 160 };

/* The names that a folder of this family has when pippin writes it. */
pp_naming pp_native_naming(const pippin_config *c);
/* Shape of a part; false where this layer, under this convention, has no such part. */
bool pp_part_shape(const pippin_config *c, pp_naming naming, int32_t layer, pp_part part, int32_t *n_dim,
                   int64_t shape[2]);
/* `wrapped`: the toolkit's extra level around linears that an adapter hangs on. */
void pp_part_name(const pippin_config *c, pp_naming naming, int32_t layer, pp_part part, bool wrapped,
                  char name[PP_NAME_SIZE]);
const char *pp_top_name(pp_naming naming, pp_top top);
/* Name of the static K (or V) scale of a full layer: a scalar, or in the toolkit the observed [min, max]; false: none. */
bool pp_scale_name(const pippin_config *c, pp_naming naming, int32_t layer, bool value, char name[PP_NAME_SIZE]);
/* All of `name`, where in `pattern` '*' stands for any characters and '?' for one. */
bool pp_name_matches(const char *pattern, const char *name);

#endif
