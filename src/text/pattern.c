/*
 * pattern.c - the regular expressions that cut text into words, by PCRE2. They come from files, so matching is bounded; they
 * see valid UTF-8 only, which is checked before. One character differs from Hugging Face's engine: U+180E is a space to PCRE2.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/tokenizer.h"

/* An honest pattern steps back over what it has seen at most a few times; a text of n bytes gets STEPS_FREE + STEPS_A_BYTE n. */
enum {
    STEPS_FREE = 50000,
    STEPS_A_BYTE = 8,
    HEAP_LIMIT_KB = 20000,
    STACK_START = 32 << 10,
    STACK_LIMIT = 1 << 20,
    MAX_REGEX = 1 << 16,
    NO_MEMORY = 121
};

struct pp_pattern {
    pcre2_general_context *memory;
    pcre2_code *code;
};

struct pp_matcher {
    pcre2_general_context *memory;
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

static void *take(size_t size, void *unused)
{
    (void)unused;
    return pp_alloc(size);
}

static void give(void *block, void *unused)
{
    (void)unused;
    pp_free(block);
}

static pippin_status compile(pp_pattern *p, const char *regex, size_t n, const char *source, pippin_error *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(p->memory);
    if (!context) return pp_fail_memory(err, source, n);
    pcre2_set_parens_nest_limit(context, 50);
    /* Patterns of tokenizers mean Unicode's letters and spaces. A lone \C could cut characters. */
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    p->code = pcre2_compile((PCRE2_SPTR)regex, n, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!p->code && code == NO_MEMORY) return pp_fail_memory(err, source, n);
    if (!p->code) {
        char why[120] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: the pre-tokenizer's pattern at byte %zu: %s; expected a regular expression of PCRE2",
                       source, (size_t)at, why);
    }
    /* Where a system forbids code made at run time the pattern is interpreted: slower, the same words. */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return PIPPIN_OK;
}

pippin_status pp_pattern_compile(const char *regex, size_t n, const char *source, pp_pattern **out, pippin_error *err)
{
    *out = NULL;
    if (n > MAX_REGEX)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "%s: a pattern of %zu bytes, expected at most %d; use another tokenizer", source, n, MAX_REGEX);
    pp_pattern *p = pp_alloc_zero(1, sizeof *p);
    if (!p) return pp_fail_memory(err, source, sizeof *p);
    p->memory = pcre2_general_context_create(take, give, NULL);
    pippin_status status = p->memory ? compile(p, regex, n, source, err) : pp_fail_memory(err, source, sizeof *p);
    if (status != PIPPIN_OK)
        pp_pattern_free(p);
    else
        *out = p;
    return status;
}

void pp_pattern_free(pp_pattern *p)
{
    if (!p) return;
    pcre2_code_free(p->code);
    pcre2_general_context_free(p->memory);
    pp_free(p);
}

pippin_status pp_steps_add(pippin_tokenizer *t, const char *regex, size_t n, pp_split split, bool invert,
                           const char *source, pippin_error *err)
{
    if (t->n_step == PP_MAX_STEPS)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED, "%s: more than %d pre-tokenizers; use another tokenizer", source,
                       PP_MAX_STEPS);
    pp_step *step = &t->steps[t->n_step];
    pippin_status status = pp_pattern_compile(regex, n, source, &step->pattern, err);
    if (status != PIPPIN_OK) return status;
    step->regex = pp_tokenizer_keep(t, regex, n);
    step->n_regex = n;
    if (!step->regex) {
        pp_pattern_free(step->pattern);
        return pp_fail_memory(err, source, n);
    }
    step->split = split;
    step->invert = invert;
    t->n_step++;
    return PIPPIN_OK;
}

pippin_status pp_matcher_create(size_t n, pp_matcher **out, pippin_error *err)
{
    pp_matcher *m = *out = pp_alloc_zero(1, sizeof *m);
    if (!m) return pp_fail_memory(err, "tokenizer", sizeof *m);
    m->memory = pcre2_general_context_create(take, give, NULL);
    m->context = m->memory ? pcre2_match_context_create(m->memory) : NULL;
    m->data = m->memory ? pcre2_match_data_create(1, m->memory) : NULL;
    m->stack = m->memory ? pcre2_jit_stack_create(STACK_START, STACK_LIMIT, m->memory) : NULL;
    if (!m->context || !m->data) {
        pp_matcher_free(m);
        *out = NULL;
        return pp_fail_memory(err, "tokenizer", sizeof *m);
    }
    pcre2_set_match_limit(m->context, (uint32_t)PP_MIN(STEPS_FREE + STEPS_A_BYTE * n, (size_t)UINT32_MAX));
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KB);
    if (m->stack) pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return PIPPIN_OK;
}

void pp_matcher_free(pp_matcher *m)
{
    if (!m) return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    pcre2_general_context_free(m->memory);
    pp_free(m);
}

pippin_status pp_pattern_next(const pp_pattern *p, pp_matcher *m, const char *text, size_t n, size_t *start,
                              size_t *end, bool *found, pippin_error *err)
{
    *found = false;
    const int code =
        pcre2_match(p->code, (PCRE2_SPTR)text, n, *end, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, m->data, m->context);
    if (code == PCRE2_ERROR_NOMATCH) return PIPPIN_OK;
    if (code == PCRE2_ERROR_NOMEMORY) return pp_fail_memory(err, "tokenizer", n);
    if (code < 0)
        return pp_fail(err, PIPPIN_E_UNSUPPORTED,
                       "tokenizer: its pattern needs more steps than allowed for byte %zu of a text (PCRE2 error %d); "
                       "use another tokenizer",
                       *end, code);
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(m->data);
    /* \K can put the start behind the end, or both before where the search began. */
    if (pair[0] < *end || pair[1] <= pair[0]) return PIPPIN_OK;
    *start = pair[0];
    *end = pair[1];
    *found = true;
    return PIPPIN_OK;
}
