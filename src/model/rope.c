/* rope.c - rotary angles: position * theta^(-2i/d_head), with Llama 3's scaling of the long wavelengths. */
#include <math.h>

#include "model/forward.h"

/*
 * Llama 3's scaling, as Meta publishes it: wavelengths shorter than n_ctx_original / high_freq stay, those longer than
 * n_ctx_original / low_freq are stretched by the factor, and those between are blended.
 */
static double scaled(const pippin_config *c, double freq)
{
    const double pi = 3.14159265358979323846, wavelength = 2 * pi / freq, original = c->rope_n_ctx_original;
    if (wavelength < original / c->rope_high_freq) return freq;
    if (wavelength > original / c->rope_low_freq) return freq / c->rope_factor;
    const double smooth = (original / wavelength - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq);
    return (1 - smooth) * freq / c->rope_factor + smooth * freq;
}

double pp_rope_frequency(const pippin_config *c, int32_t i, bool with_scaling)
{
    const double freq = pow(c->rope_theta, -2.0 * i / c->d_head);
    return with_scaling && c->rope_factor != 0 ? scaled(c, freq) : freq;
}

void pp_rope_init(const pp_weights *w, double *inv_freq)
{
    for (int32_t i = 0; i < w->config.d_head / 2; i++) {
        inv_freq[i] = pp_rope_frequency(&w->config, i, true);
        if (w->rope_factors) inv_freq[i] /= (double)w->rope_factors[i];
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
