/* error.c - status names, error texts, the log hook's printf. */
#include "base/base.h"
#include "base/hooks.h"

const char *pippin_version(void) { return PIPPIN_VERSION; }

const char *pippin_status_name(pippin_status status)
{
    switch (status) {
    case PIPPIN_OK: return "ok";
    case PIPPIN_E_ARGUMENT: return "argument";
    case PIPPIN_E_IO: return "io";
    case PIPPIN_E_FORMAT: return "format";
    case PIPPIN_E_UNSUPPORTED: return "unsupported";
    case PIPPIN_E_MEMORY: return "memory";
    case PIPPIN_E_CONTEXT: return "context";
    case PIPPIN_E_CANCELLED: return "cancelled";
    case PIPPIN_E_DIVERGED: return "diverged";
    }
    return "unknown";
}

/* Names out of a file may hold anything; an error is one printable line whatever they held. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
}

pippin_status pp_fail(pippin_error *err, pippin_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        make_printable(err->text);
    }
    return status;
}

pippin_status pp_fail_memory(pippin_error *err, const char *what, uint64_t n_bytes)
{
    return pp_fail(err, PIPPIN_E_MEMORY,
                   "%s: %.1f MB of memory could not be had; close other programs or use a smaller model or context",
                   what, (double)n_bytes / 1e6);
}

void pp_log(const char *format, ...)
{
    const pippin_hooks *hooks = pp_hooks();
    if (!hooks->log) return;
    char line[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    make_printable(line);
    hooks->log(hooks->user, line);
}
