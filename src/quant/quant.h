/*
 * quant - element types: their sizes, and rows of them to and from float. A row is what one output of a linear layer
 * multiplies; low-bit types pack along it.
 */
#ifndef PP_QUANT_H
#define PP_QUANT_H

#include "base/base.h"

/* Bytes of n consecutive elements; 0 for a type that has no layout yet (q8, q4, q2). */
size_t pp_type_bytes(pippin_type type, size_t n);
/* Does this version read, compute with, and write weights of this type? */
bool pp_type_is_weight(pippin_type type);

/* n elements at src, which need not be aligned -> float. Exact for f32, f16, bf16. */
void pp_decode_row(pippin_type type, const void *src, float *dst, size_t n);
/* Round to nearest, ties to even; overflow becomes infinity, NaN stays NaN. */
void pp_encode_row(pippin_type type, const float *src, void *dst, size_t n);

float pp_f16_to_f32(uint16_t h);
uint16_t pp_f32_to_f16(float f);
float pp_bf16_to_f32(uint16_t h);
uint16_t pp_f32_to_bf16(float f);

#endif
