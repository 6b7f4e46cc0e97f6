/*
 * lanes_x86.h - what AVX2 and AVX-512 share: four floats (a quad, the sums of one row with four others), prefetching,
 * and the words that make a compiler build the tiles as meant.
 */
#ifndef PP_KERNELS_LANES_X86_H
#define PP_KERNELS_LANES_X86_H

#include <immintrin.h>

/* Kernels are written once as functions of element type and tile size, and become one loop each by constant folding. */
#define INLINE static inline __attribute__((always_inline))
/* Over arrays of vectors: each element becomes a register only where the loop is gone. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef __m128 quad;

INLINE quad quad_load(const float *p) { return _mm_loadu_ps(p); }
INLINE void quad_store(float *p, quad a) { _mm_storeu_ps(p, a); }
INLINE quad quad_add(quad a, quad b) { return _mm_add_ps(a, b); }
INLINE quad quad_mul(quad a, quad b) { return _mm_mul_ps(a, b); }

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

INLINE void prefetch_l1(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
INLINE void prefetch_for_writing(const void *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)p + at, 1);
}

INLINE void prefetch_l2(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }

#endif
