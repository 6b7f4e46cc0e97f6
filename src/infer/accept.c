/*
 * accept.c - the one place where speculation is decided: a token guessed by q is taken with min(1, p/q), and else one is drawn
 * from what p has beyond q. What comes out has the law p.
 */
#include "infer/speculate.h"

static double beyond(const pp_law *p, const pp_law *q, int32_t id)
{
    const double more = pp_law_of(p, id) - pp_law_of(q, id);
    return more > 0 ? more : 0;
}

/* From norm(max(0, p - q)); where the two are one law up to rounding, from p. */
static int32_t draw_beyond(const pp_law *p, const pp_law *q, double u)
{
    double sum = 0;
    int32_t last = -1;
    if (p->only >= 0) return p->only;
    for (int32_t i = 0; i < p->n_vocab; i++) sum += beyond(p, q, i);
    double left = u * sum;
    for (int32_t i = 0; i < p->n_vocab; i++) {
        const double more = beyond(p, q, i);
        left -= more;
        if (more > 0) last = i;
        if (left < 0 && more > 0) return i;
    }
    return last >= 0 ? last : pp_law_draw(p, u);
}

bool pp_accept(const pp_law *p, const pp_law *q, int32_t drafted, double u_accept, double u_token, int32_t *id)
{
    const bool accepted = u_accept * pp_law_of(q, drafted) < pp_law_of(p, drafted);
    *id = accepted ? drafted : draw_beyond(p, q, u_token);
    return accepted;
}
