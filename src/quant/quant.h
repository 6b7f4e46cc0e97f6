/*
 * quant - element types: their sizes, and rows of them to and from float. A row is what one output of a linear layer
 * multiplies; low-bit types pack along it.
 */
#ifndef PP_QUANT_H
#define PP_QUANT_H

#include "base/base.h"

/* Elements that are packed together: 1 for plain types, 32 or 256 for GGUF's blocks, 0 where there is no layout yet. */
size_t pp_type_block(pippin_type type);
/* Bytes of n consecutive elements, n a multiple of the block. */
size_t pp_type_bytes(pippin_type type, size_t n);
/* Does this version read and compute with weights of this type? */
bool pp_type_is_weight(pippin_type type);

/* n elements at src, which need not be aligned -> float; n is a multiple of the block. Exact. */
void pp_decode_row(pippin_type type, const void *src, float *dst, size_t n);
/* f32, f16, bf16 only. Round to nearest, ties to even; overflow becomes infinity, NaN stays NaN. */
void pp_encode_row(pippin_type type, const float *src, void *dst, size_t n);

/* ---- matrices: rows of plain and of block types lie one after the other; q2, q4 and q8 in groups of 32 rows (low.h) ---- */

/* Bytes of a matrix; plain and block types: columns a multiple of the block. */
size_t pp_matrix_bytes(pippin_type type, size_t rows, size_t columns);
/* Where row `first` begins; for q2, q4 and q8 a multiple of 32. */
const void *pp_matrix_rows(pippin_type type, const void *matrix, size_t columns, size_t first);
/* Elements first .. first + n - 1 of a row; of block types, whole blocks. Exact. */
void pp_matrix_decode(pippin_type type, const void *matrix, size_t columns, size_t row, size_t first, size_t n,
                      float *dst);

float pp_f16_to_f32(uint16_t h);
uint16_t pp_f32_to_f16(float f);
float pp_bf16_to_f32(uint16_t h);
uint16_t pp_f32_to_bf16(float f);

#endif
