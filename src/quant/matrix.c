/* matrix.c - weights of a linear layer as they lie in memory: rows one after the other, or pippin's groups of 32. */
#include "quant/quant.h"

size_t pp_matrix_bytes(pippin_type type, size_t rows, size_t columns)
{
    const int bits = pp_low_bits(type);
    if (bits) return (rows + PP_LOW_ROWS - 1) / PP_LOW_ROWS * pp_low_group_bytes(bits, columns);
    return rows * pp_type_bytes(type, columns);
}

const void *pp_matrix_rows(pippin_type type, const void *matrix, size_t columns, size_t first)
{
    const int bits = pp_low_bits(type);
    const size_t bytes =
        bits ? first / PP_LOW_ROWS * pp_low_group_bytes(bits, columns) : first * pp_type_bytes(type, columns);
    return (const uint8_t *)matrix + bytes;
}

void pp_matrix_decode(pippin_type type, const void *matrix, size_t columns, size_t row, size_t first, size_t n,
                      float *dst)
{
    const int bits = pp_low_bits(type);
    if (bits)
        pp_low_decode(bits, matrix, columns, row, first, n, dst);
    else
        pp_decode_row(type, (const uint8_t *)pp_matrix_rows(type, matrix, columns, row) + pp_type_bytes(type, first),
                      dst, n);
}
