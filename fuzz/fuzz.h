/* fuzz.h - what the fuzz targets share. */
#ifndef PP_FUZZ_H
#define PP_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "formats/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte of every tensor, so that a view outside its memory is seen, and every name and pair. */
static inline void fuzz_touch(const pp_tensors *t)
{
    static volatile unsigned sink;
    unsigned sum = 0;
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = 0; j < t->items[i].bytes; j++) sum += ((const uint8_t *)t->items[i].data)[j];
        if (pp_tensors_find(t, t->items[i].name) != &t->items[i]) abort();
    }
    for (size_t i = 0; i < t->n_metadata; i++)
        sum += (unsigned)(strlen(t->metadata[i].key) + strlen(t->metadata[i].value));
    sink = sum;
    (void)sink;
}

/* An error is one line that begins with the name of what was read. */
static inline void fuzz_check_error(const pippin_error *err, const char *source)
{
    if (err->status == PIPPIN_OK || strncmp(err->text, source, strlen(source)) != 0 || strchr(err->text, '\n')) abort();
}

#endif
