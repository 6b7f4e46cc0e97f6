/*
 * sampler.c - from logits to the next id. The order of the filters is that of the Hugging Face and vLLM samplers: bias and
 * penalties on the logits, then temperature, then top-k, top-p and min-p on what is left, each relative to what the one
 * before it kept.
 */
#include <math.h>
#include <string.h>

#include "infer/infer.h"

/* Random numbers for different purposes must not be the same ones: each has a stream of its own. */
enum { STREAM_TOKEN = 1, DEFAULT_REPEAT_WINDOW = 64 };

pippin_status pp_sampler_create(const pp_kernels *kernels, int32_t n_vocab, pp_sampler *out, pippin_error *err)
{
    *out = (pp_sampler){.kernels = kernels, .n_vocab = n_vocab};
    out->candidates = pp_alloc_zero((size_t)n_vocab, sizeof *out->candidates);
    out->counts = pp_alloc_zero((size_t)n_vocab, sizeof *out->counts);
    if (out->candidates && out->counts) return PIPPIN_OK;
    pp_sampler_free(out);
    return pp_fail_memory(err, "sampler", (uint64_t)n_vocab * (sizeof *out->candidates + sizeof *out->counts));
}

void pp_sampler_free(pp_sampler *s)
{
    pp_free(s->candidates);
    pp_free(s->counts);
    *s = (pp_sampler){0};
}

pippin_status pp_sampling_check(const pippin_sampling *o, int32_t n_vocab, pippin_error *err)
{
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {{"temperature", o->temperature, 0, 1e6},
                  {"top_k", o->top_k, 0, INT32_MAX},
                  {"top_p", o->top_p, 0, 1},
                  {"min_p", o->min_p, 0, 1},
                  {"repeat_penalty", o->repeat_penalty, 0, 1e3},
                  {"repeat_window", o->repeat_window, -1, INT32_MAX},
                  {"presence_penalty", o->presence_penalty, -1e3, 1e3},
                  {"frequency_penalty", o->frequency_penalty, -1e3, 1e3}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: %g, expected %g to %g", ranges[i].name, ranges[i].value,
                           ranges[i].low, ranges[i].high);
    for (size_t i = 0; i < o->n_bias; i++)
        if (o->bias[i].id < 0 || o->bias[i].id >= n_vocab || o->bias[i].value != o->bias[i].value)
            return pp_fail(err, PIPPIN_E_ARGUMENT,
                           "logit bias %zu: id %d, value %g; expected an id below %d and a number", i,
                           (int)o->bias[i].id, (double)o->bias[i].value, (int)n_vocab);
    return PIPPIN_OK;
}

/* The largest of each block of logits in vectors, and only in the best of them which one it is. */
int32_t pp_sample_greedy(const pp_sampler *s, const float *logits)
{
    enum { BLOCK = 1024 };
    int32_t first = 0;
    float most = -INFINITY;
    for (int32_t i = 0; i < s->n_vocab; i += BLOCK) {
        const float max = s->kernels->largest(logits + i, PP_MIN(BLOCK, s->n_vocab - i));
        if (max > most) {
            most = max;
            first = i;
        }
    }
    for (int32_t i = first; i < s->n_vocab; i++)
        if (logits[i] == most) return i;
    return 0; /* nothing but NaN */
}

/* ---- bias and penalties ---- */

static bool seen_before(const int32_t *tokens, size_t at, size_t first)
{
    for (size_t i = first; i < at; i++)
        if (tokens[i] == tokens[at]) return true;
    return false;
}

/* Keskar et al. 2019 (CTRL): what was said lately becomes less likely, whatever the sign of its logit. */
static void penalise_repeats(pp_candidate *c, const pippin_sampling *o, const int32_t *tokens, size_t n)
{
    if (o->repeat_penalty == 0 || o->repeat_penalty == 1) return;
    const size_t window = o->repeat_window == 0  ? DEFAULT_REPEAT_WINDOW
                          : o->repeat_window < 0 ? n
                                                 : (size_t)o->repeat_window;
    const size_t first = n > window ? n - window : 0;
    for (size_t i = first; i < n; i++) {
        if (seen_before(tokens, i, first)) continue;
        float *logit = &c[tokens[i]].logit;
        *logit = *logit > 0 ? *logit / (float)o->repeat_penalty : *logit * (float)o->repeat_penalty;
    }
}

/* OpenAI's penalties, on what this answer has said so far. */
static void penalise_answer(pp_sampler *s, const pippin_sampling *o, const int32_t *answer, size_t n)
{
    if (o->presence_penalty == 0 && o->frequency_penalty == 0) return;
    for (size_t i = 0; i < n; i++) s->counts[answer[i]]++;
    for (size_t i = 0; i < n; i++) {
        int32_t *count = &s->counts[answer[i]];
        if (*count == 0) continue; /* dealt with */
        s->candidates[answer[i]].logit -= (float)(o->presence_penalty + o->frequency_penalty * *count);
        *count = 0;
    }
}

/* ---- the candidates in falling order, as far as they are needed ---- */

/* Equal logits: the smaller id first, so that the order is one. */
static bool before(const pp_candidate *a, const pp_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sift_down(pp_candidate *heap, int32_t n, int32_t i)
{
    const pp_candidate moving = heap[i];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &moving)) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* Moves the first of the heap of n to its end. */
static pp_candidate pop(pp_candidate *heap, int32_t n)
{
    const pp_candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift_down(heap, n - 1, 0);
    return top;
}

static double weight(const pp_candidate *c, float largest, double temperature)
{
    return exp(((double)c->logit - (double)largest) / temperature);
}

/*
 * How many of the likeliest stay, and the sum of their weights. They end up at the back of the array, the likeliest last;
 * without filters all stay, in order of id.
 */
static int32_t filter(pp_sampler *s, const pippin_sampling *o, float largest, double *sum)
{
    pp_candidate *c = s->candidates;
    const int32_t n = s->n_vocab, most = o->top_k > 0 ? PP_MIN(o->top_k, n) : n;
    const double top_p = o->top_p > 0 ? o->top_p : 1;
    *sum = 0;
    if (most == n && top_p >= 1 && o->min_p <= 0) {
        for (int32_t i = 0; i < n; i++) *sum += weight(&c[i], largest, o->temperature);
        return n;
    }
    for (int32_t i = n / 2; i-- > 0;) sift_down(c, n, i);
    /* What top-p is a share of: all, or the k that top-k leaves. */
    double whole = 0;
    if (most == n)
        for (int32_t i = 0; i < n; i++) whole += weight(&c[i], largest, o->temperature);
    int32_t kept = 0;
    for (; kept < most; kept++) {
        const pp_candidate top = pop(c, n - kept);
        const double w = weight(&top, largest, o->temperature);
        if (most < n)
            whole += w;
        else if (kept && (*sum >= top_p * whole || w < o->min_p))
            break;
        *sum += w;
    }
    if (most == n) return kept;
    /* top-k is known now: the other two among its k. */
    double mass = 0;
    int32_t k = 0;
    for (; k < kept; k++) {
        const double w = weight(&c[n - 1 - k], largest, o->temperature);
        if (k && (mass >= top_p * whole || w < o->min_p)) break;
        mass += w;
    }
    *sum = mass;
    return k;
}

int32_t pp_sample(pp_sampler *s, const pippin_sampling *o, const float *logits, const int32_t *tokens, size_t n_tok,
                  size_t n_prompt, uint64_t index)
{
    const bool changes = o->n_bias || (o->repeat_penalty != 0 && o->repeat_penalty != 1) || o->presence_penalty != 0 ||
                         o->frequency_penalty != 0;
    if (o->temperature <= 0 && !changes) return pp_sample_greedy(s, logits);
    pp_candidate *c = s->candidates;
    for (int32_t i = 0; i < s->n_vocab; i++) c[i] = (pp_candidate){logits[i], i};
    for (size_t i = 0; i < o->n_bias; i++) c[o->bias[i].id].logit += o->bias[i].value;
    penalise_repeats(c, o, tokens, n_tok);
    penalise_answer(s, o, tokens + n_prompt, n_tok - n_prompt);
    int32_t best = 0;
    for (int32_t i = 1; i < s->n_vocab; i++)
        if (before(&c[i], &c[best])) best = i;
    best = c[best].id;
    if (o->temperature <= 0) return best;
    double sum;
    const float largest = c[best].logit;
    const int32_t kept = filter(s, o, largest, &sum);
    double left = pp_random_unit(o->seed, STREAM_TOKEN, index) * sum;
    for (int32_t i = 0; i < kept; i++) {
        const pp_candidate *chosen = kept == s->n_vocab ? &c[i] : &c[s->n_vocab - 1 - i];
        const double w = weight(chosen, largest, o->temperature);
        left -= w;
        if (left < 0 && w > 0) return chosen->id;
    }
    return best; /* rounding left a crumb */
}

/* ---- log-probabilities: of the model, before bias, penalties and filters ---- */

double pp_log_sum(const pp_sampler *s, const float *logits)
{
    const float largest = s->kernels->largest(logits, s->n_vocab);
    double sum = 0;
    for (int32_t i = 0; i < s->n_vocab; i++) sum += exp((double)logits[i] - (double)largest);
    return (double)largest + log(sum);
}

void pp_top_logprobs(pp_sampler *s, const float *logits, double log_sum, pippin_logprob *top, int32_t n)
{
    pp_candidate *c = s->candidates;
    for (int32_t i = 0; i < s->n_vocab; i++) c[i] = (pp_candidate){logits[i], i};
    for (int32_t i = s->n_vocab / 2; i-- > 0;) sift_down(c, s->n_vocab, i);
    for (int32_t i = 0; i < n; i++) {
        const pp_candidate next = pop(c, s->n_vocab - i);
        top[i] = (pippin_logprob){next.id, (float)((double)next.logit - log_sum)};
    }
}
