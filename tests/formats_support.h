/* formats_support.h - what the tests of the readers share: seeds, tensors that must be there, and refusals. */
#ifndef PP_TESTS_FORMATS_SUPPORT_H
#define PP_TESTS_FORMATS_SUPPORT_H

#include "formats/formats.h"
#include "tests/support.h"

static inline const char *in_corpus(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", PIPPIN_SOURCE, name);
    return path;
}

static inline const pp_tensor *need(const pp_tensors *t, const char *name)
{
    const pp_tensor *found = pp_tensors_find(t, name);
    if (!found) fail_msg("%s: no tensor %s", t->source, name);
    return found;
}

static inline float value(const pp_tensors *t, const char *name, size_t i)
{
    const pp_tensor *found = need(t, name);
    assert_int_equal(found->type, PIPPIN_F32);
    assert_true(i < found->n_elem);
    return ((const float *)found->data)[i];
}

static inline void same(const pp_tensor *a, const pp_tensor *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n_dim, b->n_dim);
    for (int32_t i = 0; i < a->n_dim; i++) assert_int_equal(a->shape[i], b->shape[i]);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->n_elem, b->n_elem);
    if (a->bytes) assert_memory_equal(a->data, b->data, a->bytes);
}

/* The call failed with this status and one line that names the source and says `words`; the object is empty. */
static inline void refused(pippin_status got, pippin_status expected, const pp_tensors *t, const pippin_error *err,
                           const char *source, const char *words)
{
    if (got != expected || err->status != expected || strncmp(err->text, source, strlen(source)) != 0 ||
        !strstr(err->text, words) || strchr(err->text, '\n'))
        fail_msg("expected %s and \"%s: ...%s\", got %s and \"%s\"", pippin_status_name(expected), source, words,
                 pippin_status_name(got), got == PIPPIN_OK ? "" : err->text);
    assert_true(t->n == 0 && !t->items && !t->source && !t->blocks);
}

#endif
