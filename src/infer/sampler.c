/*
 * sampler.c - from logits to the next id. The order of the filters is that of the Hugging Face and vLLM samplers: bias and
 * penalties on the logits, then temperature, then top-k, top-p and min-p on what is left, each relative to what the one
 * before it kept.
 */
#include <math.h>
#include <string.h>

#include "infer/infer.h"

enum { DEFAULT_REPEAT_WINDOW = 64, N_LAW = PP_MAX_DRAFT + 1 };

pippin_status pp_sampler_create(const pp_kernels *kernels, int32_t n_vocab, pp_sampler *out, pippin_error *err)
{
    *out = (pp_sampler){.kernels = kernels, .n_vocab = n_vocab};
    out->candidates = pp_alloc_zero((size_t)n_vocab, sizeof *out->candidates);
    out->counts = pp_alloc_zero((size_t)n_vocab, sizeof *out->counts);
    out->weights = pp_alloc((size_t)n_vocab * N_LAW * sizeof *out->weights); /* not touched until it is drawn from */
    if (out->candidates && out->counts && out->weights) return PIPPIN_OK;
    pp_sampler_free(out);
    return pp_fail_memory(err, "sampler",
                          (uint64_t)n_vocab *
                              (sizeof *out->candidates + sizeof *out->counts + N_LAW * sizeof *out->weights));
}

void pp_sampler_free(pp_sampler *s)
{
    pp_free(s->candidates);
    pp_free(s->counts);
    pp_free(s->weights);
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
static void penalise_repeats(float *logits, const pippin_sampling *o, const int32_t *tokens, size_t n)
{
    if (o->repeat_penalty == 0 || o->repeat_penalty == 1) return;
    const size_t window = o->repeat_window == 0  ? DEFAULT_REPEAT_WINDOW
                          : o->repeat_window < 0 ? n
                                                 : (size_t)o->repeat_window;
    const size_t first = n > window ? n - window : 0;
    for (size_t i = first; i < n; i++) {
        if (seen_before(tokens, i, first)) continue;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0 ? *logit / (float)o->repeat_penalty : *logit * (float)o->repeat_penalty;
    }
}

/* OpenAI's penalties, on what this answer has said so far. */
static void penalise_answer(pp_sampler *s, float *logits, const pippin_sampling *o, const int32_t *answer, size_t n)
{
    if (o->presence_penalty == 0 && o->frequency_penalty == 0) return;
    for (size_t i = 0; i < n; i++) s->counts[answer[i]]++;
    for (size_t i = 0; i < n; i++) {
        int32_t *count = &s->counts[answer[i]];
        if (*count == 0) continue; /* dealt with */
        logits[answer[i]] -= (float)(o->presence_penalty + o->frequency_penalty * *count);
        *count = 0;
    }
}

/* ---- the candidates in falling order, as far as they are needed ---- */

/* Equal ones: the smaller id first, so that the order is one. */
static bool before(const pp_candidate *a, const pp_candidate *b)
{
    return a->value > b->value || (a->value == b->value && a->id < b->id);
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

/* Tokens of at least this weight as candidates; how many, and *mass, the sum of their weights. */
static int32_t gather(pp_sampler *s, const float *w, float least, double *mass)
{
    int32_t n = 0;
    *mass = 0;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        if (!(w[i] > 0 && w[i] >= least)) continue;
        s->candidates[n++] = (pp_candidate){w[i], i};
        *mass += (double)w[i];
    }
    return n;
}

/* So few that the filters' choice is among them: it is of the likeliest, and putting a whole vocabulary in order takes its time. */
static int32_t gather_enough(pp_sampler *s, const pippin_sampling *o, const float *w, double whole)
{
    const bool by_k = o->top_k > 0 && o->top_k < s->n_vocab;
    for (float least = 0.1f;; least = least > 1e-5f ? least / 100 : 0) {
        double mass;
        const int32_t n = gather(s, w, least, &mass);
        const bool by_p = o->top_p > 0 && mass >= o->top_p * whole,
                   by_least = o->min_p > 0 && (double)least <= o->min_p;
        if (least == 0 || (by_k ? n >= o->top_k : by_p || by_least)) return n;
    }
}

/*
 * How many of the likeliest stay, given the weights of all and their sum. They end up at the back of the *n candidates, the
 * likeliest last.
 */
static int32_t filter(pp_sampler *s, const pippin_sampling *o, const float *w, double whole, int32_t *n)
{
    pp_candidate *c = s->candidates;
    const bool by_k = o->top_k > 0 && o->top_k < s->n_vocab;
    const double top_p = o->top_p > 0 ? o->top_p : 1;
    *n = gather_enough(s, o, w, whole);
    const int32_t most = by_k ? PP_MIN(o->top_k, *n) : *n;
    double mass = 0;
    int32_t k = 0;
    for (int32_t i = *n / 2; i-- > 0;) sift_down(c, *n, i);
    if (by_k) { /* top-p is a share of what top-k leaves */
        whole = 0;
        for (int32_t i = 0; i < most; i++) whole += (double)pop(c, *n - i).value;
    }
    for (; k < most; k++) {
        const double weight = (double)(by_k ? c[*n - 1 - k] : pop(c, *n - k)).value;
        if (k && (mass >= top_p * whole || weight < o->min_p)) break;
        mass += weight;
    }
    return k;
}

/* Logits to weights, the largest 1. What is some e^-87 of it or less has none. */
static double weigh(const pp_sampler *s, float *w, float largest, double temperature)
{
    double sums[4] = {0};
    const float least = 1e-37f;
    /* Less the largest first: large logits by a large factor would lose the digits that tell them apart. */
    for (int32_t i = 0; i < s->n_vocab; i++) w[i] -= largest;
    s->kernels->softmax_again(w, s->n_vocab, (float)PP_MIN(1 / temperature, 1e30), 0);
    for (int32_t i = 0; i < s->n_vocab; i++) {
        w[i] = w[i] >= least ? w[i] : 0;
        sums[i % 4] += (double)w[i];
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* Takes the weight of all but the kept candidates; the sum of what is left. */
static double keep(const pp_sampler *s, float *w, const pp_candidate *kept, int32_t n)
{
    double sum = 0;
    memset(w, 0, (size_t)s->n_vocab * sizeof *w);
    for (int32_t i = 0; i < n; i++) {
        w[kept[i].id] = kept[i].value;
        sum += (double)kept[i].value;
    }
    return sum;
}

pp_law pp_sampler_law(pp_sampler *s, const pippin_sampling *o, const float *logits, const pp_history *h, int32_t place)
{
    const bool changes = o->n_bias || (o->repeat_penalty != 0 && o->repeat_penalty != 1) || o->presence_penalty != 0 ||
                         o->frequency_penalty != 0;
    if (o->temperature <= 0 && !changes) return pp_law_only(pp_sample_greedy(s, logits));
    float *w = s->weights + (size_t)place * (size_t)s->n_vocab;
    memcpy(w, logits, (size_t)s->n_vocab * sizeof *w);
    for (size_t i = 0; i < o->n_bias; i++) w[o->bias[i].id] += o->bias[i].value;
    penalise_repeats(w, o, h->tokens, h->n_tok);
    penalise_answer(s, w, o, h->tokens + h->n_prompt, h->n_tok - h->n_prompt);
    const int32_t best = pp_sample_greedy(s, w);
    if (o->temperature <= 0) return pp_law_only(best);
    const bool filters = (o->top_k > 0 && o->top_k < s->n_vocab) || (o->top_p > 0 && o->top_p < 1) || o->min_p > 0;
    double sum = weigh(s, w, w[best], o->temperature);
    if (filters) {
        int32_t n;
        const int32_t kept = filter(s, o, w, sum, &n);
        sum = keep(s, w, s->candidates + (n - kept), kept);
    }
    return (pp_law){.only = -1, .weight = w, .n_vocab = s->n_vocab, .sum = sum, .best = best};
}

int32_t pp_law_draw(const pp_law *l, double u)
{
    if (l->only >= 0) return l->only;
    double left = u * l->sum;
    for (int32_t i = 0; i < l->n_vocab; i++) {
        left -= (double)l->weight[i];
        if (left < 0 && l->weight[i] > 0) return i;
    }
    return l->best; /* rounding left a crumb */
}

int32_t pp_sample(pp_sampler *s, const pippin_sampling *o, const float *logits, const pp_history *h, uint64_t index)
{
    const pp_law law = pp_sampler_law(s, o, logits, h, 0);
    return pp_law_draw(&law, pp_random_unit(o->seed, PP_STREAM_TOKEN, index));
}

/* ---- log-probabilities: of the model, before bias, penalties and filters ---- */

double pp_log_sum(const pp_sampler *s, const float *logits) { return s->kernels->log_sum(logits, s->n_vocab); }

void pp_top_logprobs(pp_sampler *s, const float *logits, double log_sum, pippin_logprob *top, int32_t n)
{
    pp_candidate *c = s->candidates;
    for (int32_t i = 0; i < s->n_vocab; i++) c[i] = (pp_candidate){logits[i], i};
    for (int32_t i = s->n_vocab / 2; i-- > 0;) sift_down(c, s->n_vocab, i);
    for (int32_t i = 0; i < n; i++) {
        const pp_candidate next = pop(c, s->n_vocab - i);
        top[i] = (pippin_logprob){next.id, (float)((double)next.value - log_sum)};
    }
}
