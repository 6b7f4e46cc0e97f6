/* exp.h - the exponential for any lanes_*.h, as level.h has it. */

INLINE vec v_exp(vec of)
{
    const vec x = v_min(v_set1(EXP_HIGH), v_max(v_set1(EXP_LOW), of));
    vec n = v_round(v_mul(x, v_set1(EXP_LOG2E)));
    vec r = v_fma(n, v_set1(-EXP_LN2), x);
    r = v_fma(n, v_set1(-EXP_LN2_REST), r);
    vec p = v_fma(v_set1(EXP_P5), r, v_set1(EXP_P4));
    p = v_fma(p, r, v_set1(EXP_P3));
    p = v_fma(p, r, v_set1(EXP_P2));
    p = v_fma(p, r, v_set1(EXP_P1));
    p = v_fma(p, r, v_set1(EXP_P0));
    return v_zero_below(v_ldexp(v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f)), n), of, v_set1(EXP_LOW));
}
