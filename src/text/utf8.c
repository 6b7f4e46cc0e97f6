/* utf8.c - what is a character. */
#include "text/tokenizer.h"

size_t pp_utf8_lead(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

bool pp_utf8_second_fits(unsigned char first, unsigned char byte)
{
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return byte >= low && byte <= high;
}

size_t pp_utf8_size(const char *text, size_t n)
{
    const size_t size = n ? pp_utf8_lead((unsigned char)text[0]) : 0;
    if (size == 0 || size > n) return 0;
    if (size > 1 && !pp_utf8_second_fits((unsigned char)text[0], (unsigned char)text[1])) return 0;
    for (size_t i = 2; i < size; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80) return 0;
    return size;
}
