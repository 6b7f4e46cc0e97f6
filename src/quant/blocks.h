/* blocks.h - private to quant: decoders of the block types that GGUF files hold. */
#ifndef PP_QUANT_BLOCKS_H
#define PP_QUANT_BLOCKS_H

#include "quant/quant.h"

/* One block of `src` -> its elements (32 for *_0 and *_1, 256 for *_K). */
typedef void (*pp_block_decoder)(const uint8_t *src, float *dst);
void pp_decode_q4_0(const uint8_t *src, float *dst);
void pp_decode_q4_1(const uint8_t *src, float *dst);
void pp_decode_q5_0(const uint8_t *src, float *dst);
void pp_decode_q5_1(const uint8_t *src, float *dst);
void pp_decode_q8_0(const uint8_t *src, float *dst);
void pp_decode_q2_k(const uint8_t *src, float *dst);
void pp_decode_q3_k(const uint8_t *src, float *dst);
void pp_decode_q4_k(const uint8_t *src, float *dst);
void pp_decode_q5_k(const uint8_t *src, float *dst);
void pp_decode_q6_k(const uint8_t *src, float *dst);

#endif
