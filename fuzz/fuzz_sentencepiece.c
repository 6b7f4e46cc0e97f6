/* fuzz_sentencepiece.c - any bytes as a SentencePiece model; where they are one, text keeps the laws of fuzz/text.h. */
#include "fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pippin_tokenizer *t;
    pippin_error err;
    if (pp_tokenizer_parse_sentencepiece(data, size, "input", &t, &err) != PIPPIN_OK) {
        fuzz_check_error(&err, "input");
        return 0;
    }
    fuzz_use_tokenizer(t, data, size);
    pippin_tokenizer_free(t);
    return 0;
}
