/* hf.h - private to text: reading Hugging Face's tokenizer.json. */
#ifndef PP_TEXT_HF_H
#define PP_TEXT_HF_H

#include <jansson.h>

#include "text/tokenizer.h"

/* ---- a walk over JSON text (json_scan.c): vocabularies are too many values to build a tree of ---- */

typedef struct pp_scan {
    const char *at, *end;
    bool failed; /* stays set; every call then gives nothing */
} pp_scan;

/* Room for one string without its escapes; zero it, free `bytes`. */
typedef struct pp_scratch {
    char *bytes;
    size_t capacity;
    bool no_memory;
} pp_scratch;

char pp_scan_peek(pp_scan *s);             /* the next character that is no blank; 0 at the end */
void pp_scan_enter(pp_scan *s, char open); /* '{' or '[' */
/* Is there another element before `close`? `*first` is true before the first one; leaves the container when not. */
bool pp_scan_next(pp_scan *s, char close, bool *first);
/* A string: a view into the text, or into the scratch where it has escapes. */
const char *pp_scan_string(pp_scan *s, pp_scratch *scratch, size_t *n);
const char *pp_scan_key(pp_scan *s, pp_scratch *scratch, size_t *n); /* and the ':' after it */
int64_t pp_scan_integer(pp_scan *s);
pp_scan pp_scan_skip(pp_scan *s); /* passes over any value and gives it as a text of its own */

/* ---- the file ---- */

typedef struct pp_hf {
    pippin_tokenizer *t;
    const char *source;
    pippin_error *err;
    pp_scan vocab, merges; /* `at` NULL where absent */
    json_t *root, *model;  /* all that is not vocabulary or merges */
    json_t *config;        /* tokenizer_config.json, or NULL */
} pp_hf;

/* ---- what it says about text before and after the model (hf_rules.c) ---- */

pippin_status pp_hf_unknown(const pp_hf *h, const char *part, const json_t *value);
pippin_status pp_hf_normalizer(pp_hf *h, const json_t *value, int depth);
pippin_status pp_hf_pre_tokenizer(pp_hf *h, const json_t *value, int depth);
pippin_status pp_hf_decoder(pp_hf *h, const json_t *value, int depth);
void pp_hf_ends(pp_hf *h); /* BOS and EOS */

#endif
