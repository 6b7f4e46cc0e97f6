/*
 * json_python.c - JSON as Python writes it: ", " and ": " between, characters beyond ASCII kept, keys in their order,
 * numbers as the shortest text that reads back as the same one. Models have seen this form and no other.
 */
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

typedef struct writer {
    bool (*put)(void *user, const char *bytes, size_t n);
    void *user;
    int indent;
} writer;

static bool put(const writer *w, const char *text) { return w->put(w->user, text, strlen(text)); }

static bool put_string(const writer *w, const char *text, size_t n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t start = 0;
    bool ok = put(w, "\"");
    for (size_t i = 0; i < n && ok; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char escape[8];
        const char *which = c ? strchr(from, c) : NULL;
        if (which)
            snprintf(escape, sizeof escape, "\\%c", to[which - from]);
        else
            snprintf(escape, sizeof escape, "\\u%04x", c);
        ok = w->put(w->user, text + start, i - start) && put(w, escape);
        start = i + 1;
    }
    return ok && w->put(w->user, text + start, n - start) && put(w, "\"");
}

/* The fewest digits that read back as the same number, and its power of ten; the locale's point is left out. */
static int shortest_digits(double value, char digits[20], int *exponent)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value || precision == 16) break;
    }
    int n = 0;
    const char *e = strrchr(text, 'e');
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9' && n < 19) digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = 0;
    *exponent = (int)strtol(e + 1, NULL, 10);
    return n;
}

/* repr(float): plain from 1e-4 to below 1e16, always with a point or an exponent. */
static bool put_real(const writer *w, double value)
{
    char digits[20], text[48];
    int exponent;
    const char *sign = value < 0 || (value == 0 && 1 / value < 0) ? "-" : "";
    const int n = shortest_digits(value < 0 ? -value : value, digits, &exponent);
    if (exponent < -4 || exponent >= 16)
        snprintf(text, sizeof text, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
    else if (exponent < 0)
        snprintf(text, sizeof text, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    else if (n <= exponent + 1)
        snprintf(text, sizeof text, "%s%s%.*s.0", sign, digits, exponent + 1 - n, "0000000000000000");
    else
        snprintf(text, sizeof text, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
    return put(w, text);
}

static bool put_break(const writer *w, int depth)
{
    bool ok = !w->indent || put(w, "\n");
    for (int i = 0; w->indent && i < depth * w->indent && ok; i++) ok = put(w, " ");
    return ok;
}

static bool put_value(const writer *w, const json_t *value, int depth);

static bool put_comma(const writer *w, bool first, int depth)
{
    return (first || put(w, w->indent ? "," : ", ")) && put_break(w, depth);
}

static bool put_object(const writer *w, const json_t *object, int depth)
{
    bool ok = put(w, "{"), first = true;
    /* Jansson's walk changes nothing, but wants an object that could be. */
    json_t *walked = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(walked); at && ok; at = json_object_iter_next(walked, at), first = false)
        ok = put_comma(w, first, depth + 1) &&
             put_string(w, json_object_iter_key(at), strlen(json_object_iter_key(at))) && put(w, ": ") &&
             put_value(w, json_object_iter_value(at), depth + 1);
    return ok && (first || put_break(w, depth)) && put(w, "}");
}

static bool put_array(const writer *w, const json_t *array, int depth)
{
    const size_t n = json_array_size(array);
    bool ok = put(w, "[");
    for (size_t i = 0; i < n && ok; i++)
        ok = put_comma(w, i == 0, depth + 1) && put_value(w, json_array_get(array, i), depth + 1);
    return ok && (n == 0 || put_break(w, depth)) && put(w, "]");
}

/* The depth of this recursion is what jansson let pass. */
static bool put_value(const writer *w, const json_t *value, int depth)
{
    char text[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT: return put_object(w, value, depth);
    case JSON_ARRAY: return put_array(w, value, depth);
    case JSON_STRING: return put_string(w, json_string_value(value), json_string_length(value));
    case JSON_REAL: return put_real(w, json_real_value(value));
    case JSON_INTEGER: snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value)); return put(w, text);
    case JSON_TRUE: return put(w, "true");
    case JSON_FALSE: return put(w, "false");
    case JSON_NULL: break;
    }
    return put(w, "null");
}

bool pp_json_python(const json_t *value, int indent, bool (*put_bytes)(void *user, const char *bytes, size_t n),
                    void *user)
{
    return put_value(&(writer){put_bytes, user, indent}, value, 0);
}
