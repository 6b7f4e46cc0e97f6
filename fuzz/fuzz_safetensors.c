/* fuzz_safetensors.c - any bytes given to the reader: an error or tensors whose every byte can be read. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pp_tensors t;
    pippin_error err;
    if (pp_safetensors_parse(data, size, "input", &t, &err) == PIPPIN_OK)
        fuzz_touch(&t);
    else
        fuzz_check_error(&err, "input");
    pp_tensors_free(&t);
    return 0;
}
