/* byte_tokenizer.h - a tokenizer.json of single bytes, ids 0 to 255, and the special pieces that a test names. */
#ifndef PP_TESTS_BYTE_TOKENIZER_H
#define PP_TESTS_BYTE_TOKENIZER_H

#include <jansson.h>

#include "tests/support.h"
#include "text/tokenizer.h"

/* The file's text, to be freed; specials end with NULL. */
static inline char *byte_tokenizer(const char *const *specials, bool special)
{
    json_t *vocab = json_object(), *added = json_array();
    int id = 0;
    for (; id < 256; id++) {
        const char byte = (char)id;
        char spelt[4];
        spelt[pp_byte_level_encode(&byte, 1, spelt)] = 0;
        json_object_set_new(vocab, spelt, json_integer(id));
    }
    for (; *specials; specials++, id++)
        json_array_append_new(added, json_pack("{s:i, s:s, s:b}", "id", id, "content", *specials, "special", special));
    json_t *root = json_pack("{s:o, s:{s:s, s:b}, s:{s:s, s:o, s:[]}}", "added_tokens", added, "pre_tokenizer", "type",
                             "ByteLevel", "add_prefix_space", 0, "model", "type", "BPE", "vocab", vocab, "merges");
    char *text = json_dumps(root, 0);
    json_decref(root);
    return text;
}

#endif
