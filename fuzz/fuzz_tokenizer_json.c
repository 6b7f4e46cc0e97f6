/* fuzz_tokenizer_json.c - any bytes as a tokenizer.json; where they are one, text keeps the laws of fuzz/text.h. */
#include "fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pippin_tokenizer *t;
    pippin_error err;
    /* The input stands in for tokenizer_config.json too: its fields have other names. */
    const pp_map config = {data, size};
    if (pp_tokenizer_parse_json(data, size, &config, "input", &t, &err) != PIPPIN_OK) {
        fuzz_check_error(&err, "input");
        return 0;
    }
    fuzz_use_tokenizer(t, data, size);
    pippin_tokenizer_free(t);
    return 0;
}
