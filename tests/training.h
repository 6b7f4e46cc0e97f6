/* training.h - what the tests of whole runs share: folders that are taken away, and a disk that is not waited for. */
#ifndef PP_TESTS_TRAINING_H
#define PP_TESTS_TRAINING_H

#include <math.h>
#include <unistd.h>

#include "pippin_train.h"
#include "tests/support.h"

/* In place of the system's: nothing here is about power cuts, and thousands of files are written. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

/*
 * How many of n_row rows [n_vocab] are within 1e-5 of the largest of the truth's, and how far off the worst one is. Where an
 * input is rounded otherwise, as sums in another order may have it, a row is off by more.
 */
static inline int rows_close(const float *rows, const float *truth, int n_row, int n_vocab, double *worst)
{
    int close = 0;
    *worst = 0;
    for (int i = 0; i < n_row; i++, rows += n_vocab, truth += n_vocab) {
        double off = 0, largest = 0;
        for (int v = 0; v < n_vocab; v++) {
            const double d = fabs((double)rows[v] - (double)truth[v]);
            if (!(d <= off)) off = d; /* a NaN stays */
            largest = fmax(largest, fabs((double)truth[v]));
        }
        close += off <= 1e-5 * largest;
        *worst = fmax(*worst, off / largest);
    }
    return close;
}

/* Mean negative log-likelihood of tokens 1 .. n_tok - 1, by logits [n_tok][n_vocab]. */
static inline double nll_of(const int32_t *tokens, const float *logits, int n_tok, int n_vocab)
{
    double nll = 0;
    for (int i = 0; i + 1 < n_tok; i++, logits += n_vocab) {
        double sum = 0;
        for (int v = 0; v < n_vocab; v++) sum += exp((double)logits[v]);
        nll += (log(sum) - (double)logits[tokens[i + 1]]) / (n_tok - 1);
    }
    return nll;
}

/* The loss of an adapter's first step on one text, when it has no effect yet; nothing stays in the folder. */
static inline double first_loss(pippin_model *m, const int32_t *tokens, int n_tok, const char *folder)
{
    char data[400], output[400];
    snprintf(data, sizeof data, "%s/data.jsonl", folder);
    snprintf(output, sizeof output, "%s/run", folder);
    FILE *file = fopen(data, "w");
    assert_non_null(file);
    for (int i = 0; i < n_tok; i++) fprintf(file, "%s%d", i ? "," : "{\"tokens\":[", (int)tokens[i]);
    fprintf(file, "]}\n");
    assert_int_equal(fclose(file), 0);
    pippin_train_result result;
    OK(pippin_adapter_train(m, &(pippin_train_options){.data = data, .output = output, .max_steps = 1, .rank = 4},
                            &result, err));
    remove_folder(output);
    unlink(data);
    return result.loss;
}

#endif
