/* bytes.c - the bounded little-endian reader that every binary parser uses. */
#include <string.h>

#include "base/base.h"

pp_bytes pp_bytes_of(const void *data, size_t size) { return (pp_bytes){data, size, 0, false}; }

size_t pp_bytes_left(const pp_bytes *b) { return b->failed ? 0 : b->size - b->at; }

const uint8_t *pp_bytes_take(pp_bytes *b, size_t n)
{
    if (b->failed || n > b->size - b->at) {
        b->failed = true;
        return NULL;
    }
    const uint8_t *p = b->data + b->at;
    b->at += n;
    return p;
}

/* Assembled byte by byte, so that the host's order and alignment do not matter. */
static uint64_t little_endian(pp_bytes *b, size_t n)
{
    const uint8_t *p = pp_bytes_take(b, n);
    uint64_t value = 0;
    for (size_t i = 0; p && i < n; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

uint8_t pp_bytes_u8(pp_bytes *b) { return (uint8_t)little_endian(b, 1); }
uint16_t pp_bytes_u16(pp_bytes *b) { return (uint16_t)little_endian(b, 2); }
uint32_t pp_bytes_u32(pp_bytes *b) { return (uint32_t)little_endian(b, 4); }
uint64_t pp_bytes_u64(pp_bytes *b) { return little_endian(b, 8); }
int32_t pp_bytes_i32(pp_bytes *b) { return (int32_t)pp_bytes_u32(b); }

float pp_bytes_f32(pp_bytes *b)
{
    uint32_t bits = pp_bytes_u32(b);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
