/*
 * fuzz_training.c - any bytes as training data: an error that names the line, or samples that keep what data.h says. The first
 * byte chooses how the rest is read.
 */
#include "fuzz/fuzz.h"
#include "text/text.h"
#include "train/data.h"

enum { N_VOCAB = 265 };

/* llama2.c's form: three special pieces, 256 bytes, and a few that merge. */
static pippin_tokenizer *make_tokenizer(void)
{
    static const char *const pieces[] = {" a", "b", " ab", "c", " ", "a"};
    uint8_t file[4 + N_VOCAB * 20];
    size_t n = 4;
    pippin_tokenizer *t;
    pippin_error err;
    memset(file, 0, sizeof file);
    file[0] = 8;
    for (int i = 0; i < N_VOCAB; i++) {
        char text[16];
        if (i < 3)
            snprintf(text, sizeof text, "<s%d>", i);
        else if (i < 259)
            snprintf(text, sizeof text, "<0x%02X>", (unsigned)i - 3);
        else
            snprintf(text, sizeof text, "%s", pieces[i - 259]);
        const float score = (float)-i;
        memcpy(file + n, &score, sizeof score);
        file[n + 4] = (uint8_t)strlen(text);
        memcpy(file + n + 8, text, strlen(text));
        n += 8 + strlen(text);
    }
    if (pp_tokenizer_parse_llama2c(file, n, "made", &t, &err) != PIPPIN_OK) abort();
    return t;
}

static void check(const pp_dataset *d, const pp_dataset_options *o)
{
    size_t targets = 0;
    if (!d->n_sample || d->start[0] != 0 || d->start[d->n_sample] != d->n_tok) abort();
    for (size_t s = 0; s < d->n_sample; s++) {
        size_t own = 0;
        const size_t length = d->start[s + 1] - d->start[s];
        if (d->start[s + 1] < d->start[s] || length < 2 || (o->max_length && length > o->max_length)) abort();
        for (size_t i = d->start[s]; i < d->start[s + 1]; i++) {
            if (d->tokens[i] < 0 || d->tokens[i] >= N_VOCAB || d->labelled[i] > (i > d->start[s])) abort();
            if (d->labelled[i] && d->tokens[i] == o->pad_id) abort();
            own += d->labelled[i];
        }
        if (!own) abort();
        targets += own;
    }
    if (targets != d->n_labelled) abort();
}

static void check_batches(const pp_dataset *d, uint8_t choice)
{
    pp_plan plan;
    pp_batch b;
    pippin_error err;
    const pp_plan_options o = {
        .batch_size = 1 + choice % 3, .pack = choice & 4, .max_length = 1 << 20, .shuffle = choice & 8};
    size_t targets = 0;
    if (pp_plan_create(d, &o, &plan, &err) != PIPPIN_OK || pp_batch_create(&plan, &b, &err) != PIPPIN_OK) abort();
    for (size_t k = 0; k < pp_plan_n_batch(&plan, 1); k++) {
        pp_plan_batch(&plan, 1, k, &b);
        targets += b.n_target;
    }
    if (targets != d->n_labelled) abort();
    pp_batch_free(&b);
    pp_plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const uint8_t choice = data[0];
    const bool json = choice & 64, ids = choice & 2;
    const pp_dataset_options o = {.first_id = ids ? 1 : -1,
                                  .last_id = ids ? 2 : -1,
                                  .pad_id = choice & 16 ? 0 : -1,
                                  .separator = choice & 1 ? "|" : NULL,
                                  .max_length = choice & 32 ? 3 : 0,
                                  .chunk = 20};
    pippin_tokenizer *t = make_tokenizer();
    pp_dataset d;
    pippin_error err = {0};
    if (pp_dataset_parse(data + 1, size - 1, json, "input", t, N_VOCAB, &o, &d, &err) == PIPPIN_OK) {
        check(&d, &o);
        check_batches(&d, choice);
        pp_dataset_free(&d);
    } else {
        fuzz_check_error(&err, "input:");
    }
    pippin_tokenizer_free(t);
    return 0;
}
