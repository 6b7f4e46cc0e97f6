/* schedule.c - the course of the learning rate. */
#include <math.h>

#include "train/files.h"

int64_t pp_schedule_epochs(double epochs, const int64_t *epoch_steps, size_t n_epoch)
{
    double steps = 0;
    for (size_t i = 0; i < n_epoch && epochs > 0; i++, epochs -= 1)
        steps += (double)epoch_steps[i] * PP_MIN(epochs, 1.0);
    return (int64_t)llround(steps);
}

double pp_schedule_at(const pp_schedule *s, int64_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < s->warmup) return (double)step / (double)s->warmup;
    if (s->kind == PP_SCHEDULE_CONSTANT) return 1;
    if (step >= s->total) return 0;
    return 0.5 * (1 + cos(pi * (double)(step - s->warmup) / (double)(s->total - s->warmup)));
}
