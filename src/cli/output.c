/* output.c - results to stdout with every write checked, errors and progress to stderr, JSON, numbers for people. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* ---- stdout ---- */

static int write_errno; /* why the first write that failed did; 0: none did */

static void note_failure(void)
{
    if (!write_errno) write_errno = errno ? errno : EIO;
}

void pp_write(const void *bytes, size_t n)
{
    pp_progress_end();
    if (!write_errno && n && fwrite(bytes, 1, n, stdout) != n) note_failure();
}

void pp_print(const char *format, ...)
{
    pp_progress_end();
    if (write_errno) return;
    va_list args;
    va_start(args, format);
    if (vfprintf(stdout, format, args) < 0) note_failure();
    va_end(args);
}

bool pp_flush(void)
{
    if (!write_errno && fflush(stdout) != 0) note_failure();
    return write_errno == 0;
}

int pp_finish(int code)
{
    pp_progress_end();
    if (pp_flush()) return code;
    /* A reader that went away (`| head`) wants no more of anything, messages included. */
    if (write_errno != EPIPE)
        pp_error(PP_EXIT_FAILURE,
                 "stdout: could not be written (%s), the output is not complete; make room, or write elsewhere",
                 strerror(write_errno));
    return PP_EXIT_FAILURE;
}

static bool is_styled(void)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal && strcmp(terminal, "dumb") != 0;
}

void pp_heading(const char *text) { pp_print(is_styled() ? "\033[1m%s\033[0m\n" : "%s\n", text); }

/* ---- stderr ---- */

int pp_error(int code, const char *format, ...)
{
    pippin_error err;
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    for (char *c = err.text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?'; /* one line, whatever a file's name holds */
    pp_progress_end();
    pp_flush(); /* what came before is to be seen before */
    fprintf(stderr, "pippin: %s\n", err.text);
    return code;
}

int pp_failed(const pippin_error *err)
{
    if (err->status == PIPPIN_E_CANCELLED) return PP_EXIT_INTERRUPTED;
    return pp_error(PP_EXIT_FAILURE, "%s", err->text);
}

int pp_no_memory(void)
{
    return pp_error(PP_EXIT_FAILURE, "memory: found none left, expected room for the result; close other programs");
}

static double progress_shown; /* when the line was last written; 0: there is none */

void pp_progress(const char *format, ...)
{
    const double now = pp_seconds();
    if (now - progress_shown < 0.1 || !isatty(STDERR_FILENO)) return;
    va_list args;
    va_start(args, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, args);
    fflush(stderr);
    va_end(args);
    progress_shown = now;
}

pp_short pp_duration(double seconds)
{
    pp_short s;
    const int64_t n = (int64_t)(seconds + 0.5), hours = n / 3600, minutes = n / 60 % 60;
    if (hours)
        snprintf(s.text, sizeof s.text, "%" PRId64 "h %02" PRId64 "m", hours, minutes);
    else if (minutes)
        snprintf(s.text, sizeof s.text, "%" PRId64 "m %02" PRId64 "s", minutes, n % 60);
    else
        snprintf(s.text, sizeof s.text, "%" PRId64 "s", n);
    return s;
}

pp_line pp_progress_line(const char *what, uint64_t done, uint64_t total, const char *unit, double since)
{
    const double seconds = pp_seconds() - since, rate = seconds > 0 ? (double)done / seconds : 0;
    const double left = rate > 0 ? (double)(total - PP_MIN(done, total)) / rate : 0;
    pp_line line;
    if (!*unit)
        snprintf(line.text, sizeof line.text, "%s: %s of %s, %s/s, %s left", what, pp_size(done).text,
                 pp_size(total).text, pp_size((uint64_t)rate).text, pp_duration(left).text);
    else
        snprintf(line.text, sizeof line.text, "%s: %s of %s %s, %.*f/s, %s left", what, pp_count((int64_t)done).text,
                 pp_count((int64_t)total).text, unit, rate < 10 ? 2 : 0, rate, pp_duration(left).text);
    return line;
}

void pp_progress_of(const char *what, uint64_t done, uint64_t total, const char *unit, double since)
{
    pp_progress("%s", pp_progress_line(what, done, total, unit, since).text);
}

void pp_progress_end(void)
{
    if (progress_shown > 0) fputs("\r\033[K", stderr);
    progress_shown = 0;
}

int pp_writing_progress(void *user, uint64_t done, uint64_t total)
{
    const pp_writing *w = user;
    pp_progress_of(w->path, done, total, "", w->since);
    return pp_interrupted();
}

/* ---- JSON ---- */

static int write_json(const char *bytes, size_t n, void *user)
{
    (void)user;
    pp_write(bytes, n);
    return 0;
}

static int append_json(const char *bytes, size_t n, void *user) { return pp_append(user, bytes, n) ? 0 : -1; }

bool pp_json_dump(const json_t *value, size_t flags, pp_buffer *out)
{
    *out = (pp_buffer){0};
    return json_dump_callback(value, append_json, out, flags) == 0;
}

int pp_print_json(json_t *object)
{
    /* 15 digits give a number back as it was written down, without the noise of 17. */
    int failed = !object || json_dump_callback(object, write_json, NULL, JSON_REAL_PRECISION(15)) != 0;
    json_decref(object);
    if (failed) return pp_no_memory();
    pp_print("\n");
    return PP_EXIT_OK;
}

/* How many bytes the UTF-8 character at the front has; 0 if none is there. */
static size_t character_size(const unsigned char *c, size_t n)
{
    if (c[0] < 0x80) return 1;
    size_t size = c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    if (size > n) return 0;
    for (size_t i = 1; i < size; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
        (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return size;
}

json_t *pp_json_text(const char *bytes, size_t n)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    size_t room;
    char *text = pp_mul(n, 3, &room) ? pp_alloc(room) : NULL;
    if (!text) return NULL;
    size_t n_text = 0;
    for (size_t i = 0; i < n;) {
        size_t size = character_size((const unsigned char *)bytes + i, n - i);
        memcpy(text + n_text, size ? bytes + i : replacement, size ? size : 3);
        n_text += size ? size : 3;
        i += size ? size : 1;
    }
    json_t *value = json_stringn(text, n_text);
    pp_free(text);
    return value;
}

json_t *pp_json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *pp_json_ids(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, json_integer(ids[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* ---- numbers ---- */

pp_short pp_count(int64_t n)
{
    char digits[24];
    pp_short out;
    size_t n_digit = (size_t)snprintf(digits, sizeof digits, "%" PRId64, n), at = 0, first = n < 0;
    for (size_t i = 0; i < n_digit; i++) {
        if (i > first && (n_digit - i) % 3 == 0) out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = 0;
    return out;
}

pp_short pp_size(uint64_t n_bytes)
{
    pp_short out;
    double n = (double)n_bytes;
    if (n >= 1e9)
        snprintf(out.text, sizeof out.text, "%.3f GB", n / 1e9);
    else if (n >= 1e6)
        snprintf(out.text, sizeof out.text, "%.1f MB", n / 1e6);
    else if (n >= 1e3)
        snprintf(out.text, sizeof out.text, "%.1f kB", n / 1e3);
    else
        snprintf(out.text, sizeof out.text, "%.0f B", n);
    return out;
}

pp_short pp_flops(int64_t n)
{
    pp_short out;
    double f = (double)n;
    if (f >= 1e9)
        snprintf(out.text, sizeof out.text, "%.2f GFLOP", f / 1e9);
    else
        snprintf(out.text, sizeof out.text, "%.2f MFLOP", f / 1e6);
    return out;
}
