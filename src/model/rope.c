/*
 * rope.c - rotary angles, position * frequency, and the ways of stretching them for texts longer than those of training.
 *
 * As trained, pair i turns by f_i = theta^(-2i / d_head) a position; Llama 3's scaling belongs to that. On top, with a factor s:
 *
 *   linear  f_i / s                                (position interpolation: Chen et al. 2023, arXiv 2306.15595)
 *   ntk     theta' = theta s^(d / (d - 2)) in place of theta: the first pair stays as it is, the last turns s times slower
 *           (bloc97 2023, "NTK-aware scaled RoPE"; Peng et al. 2023, section 3.1)
 *   yarn    pairs that turn more than beta = 32 times over the n positions of training stay, those that turn less than alpha = 1
 *           times are interpolated, those between are blended: (1 - r) f_i + r f_i / s, where the ramp r rises with i from 0 at
 *           the pair that turns beta times to 1 at the one that turns alpha times. Scores are multiplied by
 *           1/t = (0.1 ln s + 1)^2. (Peng et al. 2023, arXiv 2309.00071. The ramp is that of their program, and of all that
 *           trained with it: linear in i, its ends whole numbers; the paper's text has it linear in the number of turns.)
 *
 * Programs that multiply both q and k by 0.1 ln s + 1 get the same scores; here it would be lost where a norm follows the
 * rotation, as in AFM, so it goes into the scores' scale and nowhere else.
 */
#include <math.h>
#include <string.h>

#include "model/forward.h"

static const double pi = 3.14159265358979323846;

enum { MAX_FACTOR = 1000 };

static const char *const names[] = {
    [PIPPIN_ROPE_SCALING_AUTO] = "auto", [PIPPIN_ROPE_SCALING_NONE] = "none", [PIPPIN_ROPE_SCALING_LINEAR] = "linear",
    [PIPPIN_ROPE_SCALING_NTK] = "ntk",   [PIPPIN_ROPE_SCALING_YARN] = "yarn", [PIPPIN_ROPE_SCALING_LLAMA3] = "llama3"};

const char *pippin_rope_scaling_name(pippin_rope_scaling kind)
{
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

bool pippin_rope_scaling_from_name(const char *name, pippin_rope_scaling *out)
{
    for (int kind = PIPPIN_ROPE_SCALING_AUTO; kind <= PIPPIN_ROPE_SCALING_YARN; kind++)
        if (strcmp(name, names[kind]) == 0) {
            *out = (pippin_rope_scaling)kind;
            return true;
        }
    return false;
}

/* ---- what a model has ---- */

/* Blending, and the original context that it needs. */
static bool blends(const pippin_config *c)
{
    return c->rope_scaling == PIPPIN_ROPE_SCALING_YARN || c->rope_scaling == PIPPIN_ROPE_SCALING_LLAMA3;
}

pippin_status pp_rope_check(const pippin_config *c, const char *where, pippin_error *err)
{
    const bool scaled = c->rope_scaling > PIPPIN_ROPE_SCALING_NONE;
    if (c->rope_scaling == PIPPIN_ROPE_SCALING_NTK || (unsigned)c->rope_scaling > PIPPIN_ROPE_SCALING_LLAMA3 ||
        (!scaled && c->rope_factor != 0))
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: rope_scaling is %s with factor %g, expected none, linear, yarn or llama3", where,
                       pippin_rope_scaling_name(c->rope_scaling), c->rope_factor);
    if (scaled && !(c->rope_factor >= 1 && c->rope_factor < 1e6))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: rope_scaling has factor %g, expected 1 or more", where,
                       c->rope_factor);
    if (blends(c) && !(c->rope_low_freq > 0 && c->rope_high_freq > c->rope_low_freq && c->rope_high_freq < 1e6 &&
                       c->rope_n_ctx_original > 0))
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: rope_scaling has low %g, high %g, original context %d; expected 0 < low < high and a "
                       "positive context",
                       where, c->rope_low_freq, c->rope_high_freq, (int)c->rope_n_ctx_original);
    if (!(c->rope_attention >= 0 && c->rope_attention < 1e3))
        return pp_fail(err, PIPPIN_E_FORMAT, "%s: rope_scaling has attention factor %g, expected a positive number",
                       where, c->rope_attention);
    return PIPPIN_OK;
}

/*
 * Llama 3's scaling, as Meta publishes it: wavelengths shorter than n_ctx_original / high_freq stay, those longer than
 * n_ctx_original / low_freq are stretched by the factor, and those between are blended.
 */
static double llama3(const pippin_config *c, double freq)
{
    const double wavelength = 2 * pi / freq, original = c->rope_n_ctx_original;
    if (wavelength < original / c->rope_high_freq) return freq;
    if (wavelength > original / c->rope_low_freq) return freq / c->rope_factor;
    const double smooth = (original / wavelength - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq);
    return (1 - smooth) * freq / c->rope_factor + smooth * freq;
}

double pp_rope_frequency(const pippin_config *c, int32_t i, bool with_llama3)
{
    const double freq = pow(c->rope_theta, -2.0 * i / c->d_head);
    return with_llama3 && c->rope_scaling == PIPPIN_ROPE_SCALING_LLAMA3 ? llama3(c, freq) : freq;
}

/* ---- what is put on top ---- */

/* The pair, as a real number, that turns `turns` times over n positions. */
static double pair_of(const pippin_config *c, double turns, double n)
{
    return c->d_head * log(n / (2 * pi * turns)) / (2 * log(c->rope_theta));
}

static pp_rope yarn(const pippin_config *c, double factor, double alpha, double beta, double attention, double n)
{
    const double q = attention > 0 ? attention : 0.1 * log(factor) + 1;
    pp_rope rope = {.scaling = PIPPIN_ROPE_SCALING_YARN, .factor = factor, .attention = q * q};
    rope.low = fmax(floor(pair_of(c, beta, n)), 0);
    rope.high = fmin(ceil(pair_of(c, alpha, n)), c->d_head - 1);
    if (!(rope.high > rope.low)) rope.high = rope.low + 1e-3;
    return rope;
}

static pp_rope plain(pippin_rope_scaling scaling, double factor)
{
    return (pp_rope){.scaling = scaling, .factor = factor, .attention = 1};
}

pp_rope pp_rope_own(const pippin_config *c)
{
    switch (c->rope_scaling) {
    case PIPPIN_ROPE_SCALING_LINEAR: return plain(c->rope_scaling, c->rope_factor);
    case PIPPIN_ROPE_SCALING_YARN:
        return yarn(c, c->rope_factor, c->rope_low_freq, c->rope_high_freq, c->rope_attention, c->rope_n_ctx_original);
    case PIPPIN_ROPE_SCALING_LLAMA3: return plain(c->rope_scaling, c->rope_factor);
    default: return plain(PIPPIN_ROPE_SCALING_NONE, 1);
    }
}

/* Positions that were trained before the file's own YaRN, which what is named in its place does not build on. */
static int32_t trained(const pippin_config *c)
{
    return c->rope_scaling == PIPPIN_ROPE_SCALING_YARN ? c->rope_n_ctx_original : c->n_ctx_train;
}

pippin_status pp_rope_choose(const pippin_config *c, pippin_rope_scaling scaling, double factor, int32_t n_ctx,
                             pp_rope *out, pippin_error *err)
{
    const int32_t n = trained(c);
    if ((unsigned)scaling > PIPPIN_ROPE_SCALING_YARN)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "rope scaling: %s, expected none, linear, ntk or yarn for a session",
                       pippin_rope_scaling_name(scaling));
    if (factor != 0 && scaling < PIPPIN_ROPE_SCALING_LINEAR)
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "rope factor: %g, but no scaling that has one, expected linear, ntk or yarn with it; name the "
                       "scaling, or leave the factor out",
                       factor);
    *out = scaling == PIPPIN_ROPE_SCALING_AUTO ? pp_rope_own(c) : plain(PIPPIN_ROPE_SCALING_NONE, 1);
    if (scaling < PIPPIN_ROPE_SCALING_LINEAR) return PIPPIN_OK;
    if (n == 0 && (factor == 0 || scaling == PIPPIN_ROPE_SCALING_YARN))
        return pp_fail(err, PIPPIN_E_ARGUMENT,
                       "rope scaling: the model does not say how many positions it was trained on, which %s needs; %s",
                       scaling == PIPPIN_ROPE_SCALING_YARN ? "yarn" : "the default factor",
                       scaling == PIPPIN_ROPE_SCALING_YARN ? "use linear or ntk with a factor" : "give a factor");
    if (factor == 0) factor = n_ctx > n ? (double)n_ctx / n : 1;
    if (!(factor >= 1 && factor <= MAX_FACTOR))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "rope factor: %g, expected 1 to %d", factor, MAX_FACTOR);
    if (factor == 1) return PIPPIN_OK;
    *out = scaling == PIPPIN_ROPE_SCALING_YARN ? yarn(c, factor, 1, 32, 0, n) : plain(scaling, factor);
    return PIPPIN_OK;
}

static double stretched(const pippin_config *c, const pp_rope *rope, int32_t i, double freq)
{
    switch (rope->scaling) {
    case PIPPIN_ROPE_SCALING_LINEAR: return freq / rope->factor;
    case PIPPIN_ROPE_SCALING_NTK: /* the power of the larger theta alone, so that any frequency may stand before it */
        return c->d_head > 2 ? freq * pow(rope->factor, -2.0 * i / (c->d_head - 2)) : freq;
    case PIPPIN_ROPE_SCALING_YARN: {
        const double ramp = fmin(fmax((i - rope->low) / (rope->high - rope->low), 0), 1);
        return (1 - ramp) * freq + ramp * freq / rope->factor;
    }
    default: return freq;
    }
}

void pp_rope_init(const pp_weights *w, const pp_rope *rope, double *inv_freq)
{
    for (int32_t i = 0; i < w->config.d_head / 2; i++) {
        double freq = pp_rope_frequency(&w->config, i, true);
        if (w->rope_factors) freq /= (double)w->rope_factors[i];
        inv_freq[i] = stretched(&w->config, rope, i, freq);
    }
}

/* In double: at position 200,000 a float angle would already be off by a hundredth of a radian. */
void pp_rope_angles(const double *inv_freq, int32_t d_head, int32_t position, float *cosine, float *sine)
{
    for (int32_t i = 0; i < d_head / 2; i++) {
        const double angle = position * inv_freq[i];
        cosine[i] = (float)cos(angle);
        sine[i] = (float)sin(angle);
    }
}
