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

/* ---- matrices: rows of plain and of block types lie one after the other; q2, q4 and q8 in groups of 32 rows (below) ---- */

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

/* ---- low-bit matrices ---- */

/*
 * pippin's own low-bit matrices (low.c): q2, q4 and q8. A row has one scale and its elements are small unsigned codes:
 *
 *     q2   scale * (code - 1.5)     -1.5 -0.5 0.5 1.5
 *     q4   scale * (code - 7.5)     -7.5 .. 7.5 in steps of 1
 *     q8   scale * (code - 128)     -127 .. 127
 *
 * Layout: rows come in groups of 32, a group is 32 float scales and then its codes, so that a kernel reads one ascending
 * stream. Codes come in blocks of 128 bytes, four bytes a row: byte b of row r's four holds, from its low bits on, the
 * codes of k0 + b, k0 + 4 + b, ... A block so covers 32 / bits columns, and a kernel gets the codes of four adjacent columns
 * of all rows with one shift and one mask. Columns past the last and rows past the last have code 0 and scale 0.
 */

enum { PP_LOW_ROWS = 32, PP_LOW_BLOCK = 128 };

/* Columns of an input that share a scale when it is rounded to int8: whole blocks of every type. */
enum { PP_LOW_SPAN = 128 };

/* Bits of a code: 2, 4 or 8; 0 for other types. */
int pp_low_bits(pippin_type type);
/* Twice what is taken off a code: 3, 15 or 256. */
int pp_low_zero2(int bits);
/* Columns of a row, rounded up to whole blocks: what a kernel multiplies. */
size_t pp_low_columns(int bits, size_t columns);
size_t pp_low_spans(size_t columns);
/* Bytes of 32 rows. */
size_t pp_low_group_bytes(int bits, size_t columns);
/* The squared error of a row that is rounded with this scale, each element's times its weight [n]; NULL: 1. */
double pp_low_error(int bits, const float *w, const float *weight, size_t n, float scale);
/* The scale with the least such error, of some; its own where the row lies on levels already. 0 for a row of zeros. */
float pp_low_best_scale(int bits, const float *w, const float *weight, size_t n);
/* The level, in units of the scale, that u = w / scale is rounded to. */
float pp_low_level(int bits, float u);
/* The code of that level. */
uint8_t pp_low_code(int bits, float u);
/* What embedding and head are stored in beside linear layers of this type: q4 with q2, which would cost them too much. */
pippin_type pp_type_of_embedding(pippin_type linear);
/* Puts a row into a matrix that was zeroed. */
void pp_low_encode_row(int bits, void *matrix, size_t columns, size_t row, const float *w, float scale);
void pp_low_decode(int bits, const void *matrix, size_t columns, size_t row, size_t first, size_t n, float *dst);

#endif
