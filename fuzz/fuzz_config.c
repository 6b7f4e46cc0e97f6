/* fuzz_config.c - any bytes as config.json: an error, or numbers that fit together and survive being written and read.
 */
#include "fuzz/fuzz.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pippin_config c, again;
    pippin_ledger ledger;
    pippin_error err;
    if (pp_config_parse((const char *)data, size, "input", &c, &err) != PIPPIN_OK) {
        fuzz_check_error(&err, "input");
        return 0;
    }
    pippin_ledger_compute(&c, &ledger);
    if (ledger.total <= 0 || ledger.total != ledger.frozen + ledger.trainable) abort();
    char *json = pp_config_json(&c);
    if (!json || pp_config_parse(json, strlen(json), "again", &again, &err) != PIPPIN_OK) abort();
    if (again.d_ffn != c.d_ffn || again.d_head != c.d_head || again.n_reuse != c.n_reuse ||
        again.rope_theta != c.rope_theta)
        abort();
    pp_free(json);
    return 0;
}
