/*
 * lanes.h - what all lanes_*.h share: the words that make a compiler build the tiles as meant, prefetching, the sizes of
 * tiles, and the last few bytes of a row.
 */
#ifndef PP_KERNELS_LANES_H
#define PP_KERNELS_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

/* Kernels are written once as functions of element type and tile size, and become one loop each by constant folding. */
#define INLINE   static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
/* Over arrays of vectors: each element becomes a register only where the loop is gone. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

enum { QUAD = 4 }; /* sums that are taken across lanes together */

/* Of what rows of weights, keys and values hold. */
INLINE size_t element_bytes(pippin_type type) { return type == PIPPIN_F32 ? 4 : type == PIPPIN_I8 ? 1 : 2; }

/* What of a byte i_pairs takes (blocks.h). */
enum { PAIRS_BYTES, PAIRS_SIGNED, PAIRS_LOW, PAIRS_HIGH };

INLINE void prefetch_l1(const void *p) { __builtin_prefetch(p, 0, 3); }
INLINE void prefetch_l2(const void *p) { __builtin_prefetch(p, 0, 2); }

INLINE void prefetch_for_writing(const void *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)p + at, 1);
}

/* The tile size, at most max, that splits count most evenly. */
INLINE int even_step(int count, int max)
{
    const int n_tile = (count + max - 1) / max;
    return n_tile ? (count + n_tile - 1) / n_tile : 1;
}

/* n < 8 bytes, then zeros: for levels that mask nothing narrower than 32 bits. A call of memcpy would spill all sums. */
INLINE uint64_t load_few(const uint8_t *p, size_t n)
{
    uint64_t v = n & 1 ? p[n - 1] : 0;
    uint16_t two;
    uint32_t four;
    if (n & 2) {
        memcpy(&two, p + (n & 4), sizeof two);
        v = v << 16 | two;
    }
    if (n & 4) {
        memcpy(&four, p, sizeof four);
        v = v << 32 | four;
    }
    return v;
}

#endif
