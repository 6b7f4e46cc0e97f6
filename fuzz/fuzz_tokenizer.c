/*
 * fuzz_tokenizer.c - any bytes as a tokenizer; where they are one, the rest of the input is text, which must come back
 * as it was when every byte has its piece.
 */
#include "fuzz/fuzz.h"
#include "text/text.h"

static void round_trip(const pippin_tokenizer *t, const char *text, size_t n)
{
    int32_t ids[300];
    char back[4096];
    size_t n_ids, n_back;
    pippin_error err;
    if (pippin_tokenize(t, text, n, NULL, ids, 300, &n_ids, &err) != PIPPIN_OK || n_ids > 300) return;
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 3 || ids[i] >= pippin_tokenizer_size(t))
            abort(); /* 0, 1, 2 are special: text may not yield them */
    if (pippin_detokenize(t, ids, n_ids, back, sizeof back, &n_back, &err) != PIPPIN_OK || n_back != n ||
        memcmp(back, text, n) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pippin_tokenizer *t;
    pippin_error err;
    if (pp_tokenizer_parse_llama2c(data, size, "input", &t, &err) != PIPPIN_OK) {
        fuzz_check_error(&err, "input");
        return 0;
    }
    round_trip(t, (const char *)data, PP_MIN(size, (size_t)250));
    round_trip(t, (const char *)data + size - PP_MIN(size, (size_t)100), PP_MIN(size, (size_t)100));
    pp_stream s;
    size_t n;
    if (pp_stream_init(&s, t, false, &err) != PIPPIN_OK) abort();
    for (size_t i = 0; i < PP_MIN(size, (size_t)500); i++) pp_stream_push(&s, data[i] * 2, &n);
    pp_stream_finish(&s, &n);
    pp_stream_free(&s);
    pippin_tokenizer_free(t);
    return 0;
}
