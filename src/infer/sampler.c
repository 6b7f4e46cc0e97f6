/* sampler.c - from logits to the next id. */
#include <math.h>

#include "infer/infer.h"

/* Random numbers for different purposes must not be the same ones: each has a stream of its own. */
enum { STREAM_TOKEN = 1 };

int32_t pp_sample_greedy(const float *logits, int32_t n_vocab)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int32_t pp_sample(const float *logits, int32_t n_vocab, double temperature, uint64_t seed, uint64_t index, float *probs)
{
    const int32_t best = pp_sample_greedy(logits, n_vocab);
    double sum = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        probs[i] = (float)exp(((double)logits[i] - (double)logits[best]) / temperature);
        sum += (double)probs[i];
    }
    double left = pp_random_unit(seed, STREAM_TOKEN, index) * sum;
    for (int32_t i = 0; i < n_vocab; i++) {
        left -= (double)probs[i];
        if (left < 0 && probs[i] > 0) return i;
    }
    return best; /* rounding left a crumb */
}
