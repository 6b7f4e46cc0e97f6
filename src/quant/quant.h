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
enum { PP_LOW_SPAN = 256 };

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
/* to[i] = x[i] * scale of row + i. */
void pp_low_by_scales(int bits, const void *matrix, size_t columns, size_t row, size_t n, const float *x, float *to);
/*
 * Columns first .. first + n - 1 of n_row rows from `row` on, as the rows of a matrix of n_row columns with the same codes and
 * scales of 1 (transpose.c). row and first are multiples of 32; where the matrix ends within the last 32 columns, what the rows
 * past them hold has no meaning.
 */
void pp_low_transpose(int bits, const void *matrix, size_t columns, size_t row, size_t n_row, size_t first, size_t n,
                      void *to);

/* ---- block types of GGUF files, packed into groups of 32 rows (packed.c): what integer kernels read ---- */

/*
 * A weight of a block type is what its codes and scales say:
 *
 *     d * (code - zero)                       zero is 0 where there are minima
 *     d * code + m                            with minima
 *     d * s * (code - zero), d * s * code - m * u   blocks of 256, where s and u are bytes, one for each 16 or 32 columns
 *
 * Packed, nothing of that changes, only its place: rows come in groups of 32 and the same thing of 32 rows lies side by side, so
 * that a lane of a vector is a row and a kernel reads one ascending stream, of as many bytes as the file has (K types with six
 * bits a scale: 3 % more). A group is its blocks one after the other:
 *
 *     blocks of 32       d f16 [32 rows], where there are minima m f16 [32], then one unit of codes
 *     blocks of 256      d f16 [32], where there are minima m f16 [32], then two spans of 128 columns
 *     a span             the scales of its sub-blocks by pairs, where there are minima these too, then four units of codes
 *     a pair             two bytes a row, of two sub-blocks that follow each other; in Q2_K a byte is a scale (low four bits) and a
 *                        minimum
 *     a unit             the codes of 32 columns: the plane of their `low` bits, then the plane of the `high` ones above
 *     a plane            as pippin's own codes of so many bits, blocks of 128 bytes (see above)
 *
 * Rows past the last are all 0.
 */
typedef struct pp_block_form {
    int low, high; /* bits of a code in its two planes */
    int columns;   /* that share a scale */
    int zero;
    bool super;  /* blocks of 256: scales are bytes, signed ones where there are no minima */
    bool minima; /* there is a second number beside a scale */
} pp_block_form;

/* X(name of the kernel, type, low, high, columns, zero, super, minima) */
#define PP_BLOCK_FORMS(X)                                                                                              \
    X(q4_0, PIPPIN_GGUF_Q4_0, 4, 0, 32, 8, false, false)                                                               \
    X(q4_1, PIPPIN_GGUF_Q4_1, 4, 0, 32, 0, false, true)                                                                \
    X(q5_0, PIPPIN_GGUF_Q5_0, 4, 1, 32, 16, false, false)                                                              \
    X(q5_1, PIPPIN_GGUF_Q5_1, 4, 1, 32, 0, false, true)                                                                \
    X(q8_0, PIPPIN_GGUF_Q8_0, 8, 0, 32, 128, false, false)                                                             \
    X(q2_k, PIPPIN_GGUF_Q2_K, 2, 0, 16, 0, true, true)                                                                 \
    X(q3_k, PIPPIN_GGUF_Q3_K, 2, 1, 16, 4, true, false)                                                                \
    X(q4_k, PIPPIN_GGUF_Q4_K, 4, 0, 32, 0, true, true)                                                                 \
    X(q5_k, PIPPIN_GGUF_Q5_K, 4, 1, 32, 0, true, true)                                                                 \
    X(q6_k, PIPPIN_GGUF_Q6_K, 4, 2, 16, 32, true, false)

enum { PP_UNIT = 32, PP_SUPER = 256 }; /* columns of a unit of codes, and of a block with scales of its scales */

_Static_assert((int)PP_SUPER == (int)PP_LOW_SPAN, "a block of 256 is a span: its f16, its scales, its codes");

/* Sizes of what a group is made of, in bytes; written here, as kernels want constants of them. */
static inline bool pp_form_nibbles(pp_block_form f) { return f.super && f.minima && f.columns == 16; }
static inline int pp_form_unit(pp_block_form f) { return (f.low + f.high) * PP_LOW_BLOCK; }
static inline int pp_form_head(pp_block_form f) { return PP_LOW_ROWS * 2 * (f.minima ? 2 : 1); }
static inline int pp_form_subs(pp_block_form f) { return PP_LOW_SPAN / f.columns; } /* sub-blocks of a span */
static inline int pp_form_codes(pp_block_form f)                                    /* where a span's codes begin */
{
    return pp_form_subs(f) * PP_LOW_ROWS * (f.minima && !pp_form_nibbles(f) ? 2 : 1);
}
static inline int pp_form_span(pp_block_form f) { return pp_form_codes(f) + PP_LOW_SPAN / PP_UNIT * pp_form_unit(f); }
static inline size_t pp_form_group(pp_block_form f, size_t columns)
{
    if (f.super) return columns / PP_SUPER * (size_t)(pp_form_head(f) + pp_form_span(f));
    return columns / PP_UNIT * (size_t)(pp_form_head(f) + pp_form_unit(f));
}

/* False: not a block type. */
bool pp_block_form_of(pippin_type type, pp_block_form *out);
/* Bytes of a packed matrix. */
size_t pp_packed_bytes(pippin_type type, size_t rows, size_t columns);
/* Rows first .. first + 31 of a file's matrix of `rows` rows, as far as they are there, become a group. */
void pp_pack_rows(pippin_type type, const void *matrix, size_t rows, size_t columns, size_t first, void *group);
/* The blocks of columns first .. first + n - 1 of a row, as the file has them: pp_type_bytes(type, n) bytes. */
void pp_packed_row(pippin_type type, const void *packed, size_t columns, size_t row, size_t first, size_t n,
                   void *blocks);
/* The same decoded, as pp_matrix_decode does with the file's matrix. */
void pp_packed_decode(pippin_type type, const void *packed, size_t columns, size_t row, size_t first, size_t n,
                      float *dst);

#endif
