/*
 * level.h - what the files of this room share: one function for each level that overwrites a table's entries, and the
 * exponential, whose numbers are the same at every level.
 */
#ifndef PP_KERNELS_LEVEL_H
#define PP_KERNELS_LEVEL_H

#include "kernels/kernels.h"

/* Each sets every entry that its level implements; the caller knows that the CPU runs it. */
void pp_kernels_set_scalar(pp_kernels *t);
#if defined(__x86_64__)
void pp_kernels_set_avx2(pp_kernels *t);
void pp_kernels_set_avx512(pp_kernels *t);
void pp_kernels_set_avx512vnni(pp_kernels *t);
#elif defined(__aarch64__)
void pp_kernels_set_neon(pp_kernels *t);
void pp_kernels_set_neon_dotprod(pp_kernels *t);
void pp_kernels_set_neon_i8mm(pp_kernels *t);
#endif

/*
 * exp(x) = 2^n * e^r with n = round(x / ln 2) and |r| <= ln 2 / 2 (Cody and Waite: n * ln 2 is taken off in two parts,
 * by fused multiply-adds). e^r is 1 + r + r^2 * P(r), P of degree 5 (Moshier's Cephes). x is first clamped to a range
 * above which the result is infinity anyway; below it, where it would be less than 1.2e-38, it is 0: subnormal results, and
 * those that are rounded to 0, take an Intel CPU a hundred times as long as others. NaN stays NaN. Every level does these
 * steps in this order, so all give the same bits. Error: at most 1.02 ulp, found by trying all floats.
 */
#define EXP_LOW      (-87.33f)
#define EXP_HIGH     89.0f
#define EXP_LOG2E    1.44269504f
#define EXP_LN2      0.693147182f      /* ln 2 rounded to float, */
#define EXP_LN2_REST (-1.90465421e-9f) /* and ln 2 minus that */
#define EXP_P5       1.9875691500e-4f
#define EXP_P4       1.3981999507e-3f
#define EXP_P3       8.3334519073e-3f
#define EXP_P2       4.1665795894e-2f
#define EXP_P1       1.6666665459e-1f
#define EXP_P0       5.0000001201e-1f

#endif
