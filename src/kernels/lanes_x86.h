/* lanes_x86.h - what AVX2 and AVX-512 share: four floats, a quad, as the sums of one row with four others. */
#ifndef PP_KERNELS_LANES_X86_H
#define PP_KERNELS_LANES_X86_H

#include <immintrin.h>

#include "kernels/lanes.h"

typedef __m128 quad;

INLINE quad quad_zero(void) { return _mm_setzero_ps(); }
INLINE quad quad_load(const float *p) { return _mm_loadu_ps(p); }
INLINE void quad_store(float *p, quad a) { _mm_storeu_ps(p, a); }
INLINE quad quad_add(quad a, quad b) { return _mm_add_ps(a, b); }

/* Only the first n <= 4, for the last columns of a row. */
INLINE quad quad_load_n(const float *p, int n)
{
    float a[4] = {0};
    for (int i = 0; i < n; i++) a[i] = p[i];
    return _mm_loadu_ps(a);
}

INLINE void quad_store_n(float *p, quad v, int n)
{
    float a[4];
    _mm_storeu_ps(a, v);
    for (int i = 0; i < n; i++) p[i] = a[i];
}

/* Rows of a 4 x 4 square become its columns. */
INLINE void quad_transpose(quad row[4]) { _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]); }

#endif
