/* options.c - the option tables that commands share, and the parser that fills arguments from a command's tables. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/words.h"

#define AT(field) offsetof(pp_common, field)

#define HELP_OPTIONS                                                                                                   \
    {.name = "help", .letter = 'h', .kind = PP_OPTION_FLAG, .target = AT(help), .help = "show this help"},             \
        {.name = "version", .letter = 'V', .kind = PP_OPTION_FLAG, .target = AT(version), .help = "show the version"}, \
    {                                                                                                                  \
        0                                                                                                              \
    }

const pp_option pp_options_help[] = {HELP_OPTIONS};
const pp_option pp_options_general[] = {
    {PP_OPT_FLAG("json", AT(json)), .help = "print one JSON object instead of text"}, HELP_OPTIONS};

const pp_option pp_options_model[] = {
    {PP_OPT_TEXT("model", "MODEL", AT(model)), .letter = 'm', .files = PP_MODEL_FILES,
     .help = "the model: a .gguf, a folder with config.json and model.safetensors, a toolkit .pt, or a llama2.c .bin; "
             "mini is the built-in one"},
    {0}};

const pp_option pp_options_tokenizer[] = {
    {PP_OPT_TEXT("tokenizer", "FILE", AT(tokenizer)), .files = PP_TOKENIZER_FILES,
     .help =
         "tokenizer.json, SentencePiece .model, .gguf or tok*.bin; by default the one inside the model or beside it"},
    {0}};

const pp_option pp_options_compute[] = {
    {PP_OPT_INT("threads", "N", AT(n_threads), 1, 256), .letter = 't',
     .help = "threads to compute with (default: all cores)"},
    {PP_OPT_CHOICE("cpu", "LEVEL", AT(cpu), "scalar|avx2|avx512|avx512vnni|neon|neon-dotprod|neon-i8mm"),
     .help =
         "highest instruction set to use: scalar; avx2, avx512 or avx512vnni; on ARM neon, neon-dotprod or neon-i8mm "
         "(default: all that the CPU has)"},
    {0}};

const pp_option pp_options_session[] = {
    {PP_OPT_TEXTS("adapter", "FILE[=S]", AT(adapters)), .letter = 'a', .choices = "none", .files = PP_ADAPTER_FILES,
     .help = "attach a LoRA adapter, its effect multiplied by S (default 1); may be repeated; a built-in one by "
             "its name; \"none\" drops the one inside the model file"},
    {PP_OPT_KV_TYPE(AT(kv_type)),
     .help = "type of the K/V cache: int8, bf16 or f32 (default: int8 where the model has K/V scales, f32 where its "
             "weights are f32, else bf16)"},
    {PP_OPT_CTX(AT(n_ctx)),
     .help = "tokens that the context holds (default: what the model was trained on, at most 4096)"},
    {PP_OPT_TEXT("rope-scaling", "KIND", AT(rope_scaling)), .choices = "none|linear|ntk|yarn",
     .help = "how positions are stretched for a context that is longer than the training's: none, linear, ntk or yarn "
             "(default: what the model's file says, else none)"},
    {PP_OPT_REAL("rope-factor", "X", AT(rope_factor), 1, 1000),
     .help = "by how much (default: the context against the training's, so 1 where it is not longer)"},
    {0}};

/* ---- numbers ---- */

/* strto* skips leading space; here every character counts. */
static bool starts_number(const char *text) { return *text && strchr("+-.0123456789", *text); }

bool pp_parse_int(const char *text, size_t n, int64_t low, int64_t high, int64_t *out)
{
    char digits[24], *end;
    if (n == 0 || n >= sizeof digits || !starts_number(text)) return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (errno || *end || value < low || value > high) return false;
    *out = value;
    return true;
}

bool pp_parse_real(const char *text, double *out)
{
    char *end;
    if (!starts_number(text) || strpbrk(text, "xX")) return false;
    double value = strtod(text, &end);
    if (*end || !isfinite(value)) return false;
    *out = value;
    return true;
}

static bool parse_seed(const char *text, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || value > INT64_MAX) return false; /* JSON has no larger ones */
    *out = value;
    return true;
}

/* ---- the nearest name ---- */

enum { MAX_NAME = 40 };

static size_t edits(const char *a, const char *b)
{
    return pp_word_distance((pp_word){a, strlen(a)}, (pp_word){b, strlen(b)});
}

const char *pp_nearest(const char *given, const char *const *candidates, size_t n)
{
    char word[MAX_NAME];
    snprintf(word, sizeof word, "%s", given);
    const char *best = NULL;
    const size_t n_word = strlen(word);
    /* One slip, and another for every three letters: more is another word. */
    size_t fewest = 2 + n_word / 3;
    for (size_t i = 0; i < n; i++) {
        const size_t n_name = strlen(candidates[i]);
        /* A name cut short, or made longer (--temperature), is a slip of one kind, however long the rest. */
        bool begun = (n_word && strncmp(word, candidates[i], n_word) == 0) ||
                     (n_name > 2 && strncmp(word, candidates[i], n_name) == 0);
        size_t slips = strcmp(word, candidates[i]) == 0 ? 0 : begun ? 1 : edits(word, candidates[i]);
        if (slips < fewest && slips < PP_MAX(n_word, n_name)) {
            fewest = slips;
            best = candidates[i];
        }
    }
    return best;
}

static int unknown_option(const pp_command *command, const char *dashes, const char *given, size_t n_given)
{
    const char *names[64];
    char word[MAX_NAME];
    size_t n = 0;
    snprintf(word, sizeof word, "%.*s", (int)PP_MIN(n_given, sizeof word - 1), given);
    for (const pp_option *o; n < 64 && (o = pp_command_option(command, n)); n++) names[n] = o->name;
    /* A single letter is near to everything. */
    const char *nearest = n_given > 1 ? pp_nearest(word, names, n) : NULL;
    if (!nearest)
        return pp_error(PP_EXIT_USAGE, "%s%s: not an option of \"pippin %s\"; see pippin help %s", dashes, word,
                        command->name, command->name);
    return pp_error(PP_EXIT_USAGE, "%s%s: not an option of \"pippin %s\", did you mean --%s? See pippin help %s",
                    dashes, word, command->name, nearest, command->name);
}

const pp_option *pp_command_option(const pp_command *command, size_t i)
{
    for (const pp_option_group *g = command->groups; g->options; g++)
        for (const pp_option *o = g->options; o->name; o++)
            if (i-- == 0) return o;
    return NULL;
}

/* ---- parsing ---- */

static const pp_option *find_long(const pp_command *command, const char *name, size_t n)
{
    const pp_option *o;
    for (size_t i = 0; (o = pp_command_option(command, i)); i++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
    return NULL;
}

static const pp_option *find_letter(const pp_command *command, char letter)
{
    const pp_option *o;
    for (size_t i = 0; (o = pp_command_option(command, i)); i++)
        if (o->letter == letter) return o;
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *at = choices; n;) {
        size_t n_choice = strcspn(at, "|");
        if (n_choice == n && memcmp(at, value, n) == 0) return true;
        if (!at[n_choice]) break;
        at += n_choice + 1;
    }
    return false;
}

static int bad_value(const pp_command *command, const pp_option *o, const char *value)
{
    char expected[160];
    if (o->choices)
        snprintf(expected, sizeof expected, "one of %s", o->choices);
    else if (o->kind == PP_OPTION_INT)
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->low, o->high);
    else if (o->kind == PP_OPTION_ID)
        snprintf(expected, sizeof expected, "a token id from 0 to %d", INT32_MAX);
    else if (o->kind == PP_OPTION_SEED)
        snprintf(expected, sizeof expected, "a whole number from 0 to %" PRId64, INT64_MAX);
    else
        snprintf(expected, sizeof expected, "a number from %g to %g", o->low, o->high);
    return pp_error(PP_EXIT_USAGE, "--%s: found \"%s\", expected %s; see pippin help %s", o->name, value, expected,
                    command->name);
}

static int add_text(const pp_command *command, const char *what, pp_texts *texts, size_t max, const char *text)
{
    if (texts->n == max)
        return max ? pp_error(PP_EXIT_USAGE, "%s: found \"%s\" after %zu others, expected no more; see pippin help %s",
                              what, text, max, command->name)
                   : pp_error(PP_EXIT_USAGE, "%s: found \"%s\", expected options only; see pippin help %s", what, text,
                              command->name);
    texts->items[texts->n++] = text;
    return 0;
}

static int store(const pp_command *command, const pp_option *o, const char *value, void *args)
{
    void *target = (char *)args + o->target;
    int64_t whole = 0;
    double real = 0;
    bool fits = true;
    switch (o->kind) {
    case PP_OPTION_FLAG: *(bool *)target = true; break;
    case PP_OPTION_TEXT: *(const char **)target = value; break;
    case PP_OPTION_TEXTS: {
        char what[MAX_NAME];
        snprintf(what, sizeof what, "--%s", o->name);
        return add_text(command, what, target, PP_MAX_TEXTS, value);
    }
    case PP_OPTION_CHOICE:
        fits = is_choice(o->choices, value);
        if (fits) *(const char **)target = value;
        break;
    case PP_OPTION_TYPE:
        fits = is_choice(o->choices, value);
        if (fits) *(pippin_type *)target = pippin_type_from_name(value);
        break;
    case PP_OPTION_INT:
        fits = pp_parse_int(value, strlen(value), (int64_t)o->low, (int64_t)o->high, &whole);
        if (fits) *(int32_t *)target = (int32_t)whole;
        break;
    case PP_OPTION_ID:
        fits = pp_parse_int(value, strlen(value), 0, INT32_MAX, &whole);
        if (fits) *(pp_optional_id *)target = (pp_optional_id){true, (int32_t)whole};
        break;
    case PP_OPTION_SEED: fits = parse_seed(value, target); break;
    case PP_OPTION_REAL:
        fits = pp_parse_real(value, &real) && real >= o->low && real <= o->high;
        if (fits) *(double *)target = real;
        break;
    case PP_OPTION_AMOUNT:
        fits = pp_parse_real(value, &real) && real >= o->low && real <= o->high;
        if (fits) *(double *)target = real == 0 ? -1 : real;
        break;
    }
    return fits ? 0 : bad_value(command, o, value);
}

static int no_value(const pp_command *command, const pp_option *o)
{
    return pp_error(PP_EXIT_USAGE, "--%s: found no value, expected %s; see pippin help %s", o->name, o->argument,
                    command->name);
}

/* "--name", "--name=value" or "--name value"; *i moves over a value that is its own argument. */
static int parse_long(const pp_command *command, int argc, char **argv, int *i, void *args)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const pp_option *o = find_long(command, name, n);
    if (!o) return unknown_option(command, "--", name, n);
    if (o->kind == PP_OPTION_FLAG && equals)
        return pp_error(PP_EXIT_USAGE, "--%s: found the value \"%s\", expected none; see pippin help %s", o->name,
                        equals + 1, command->name);
    if (o->kind == PP_OPTION_FLAG || equals) return store(command, o, equals ? equals + 1 : NULL, args);
    if (*i + 1 >= argc) return no_value(command, o);
    return store(command, o, argv[++*i], args);
}

/* "-x", "-xy", "-n5" or "-n 5". "-temp" is a slip, not "-t emp". */
static int parse_short(const pp_command *command, int argc, char **argv, int *i, void *args)
{
    const char *word = argv[*i] + 1;
    if (word[1] && find_long(command, word, strlen(word))) return unknown_option(command, "-", word, strlen(word));
    for (const char *at = argv[*i] + 1; *at; at++) {
        const pp_option *o = find_letter(command, *at);
        int code;
        if (!o) return unknown_option(command, "-", at, 1);
        if (o->kind == PP_OPTION_FLAG) {
            code = store(command, o, NULL, args);
            if (code) return code;
            continue;
        }
        if (at[1]) return store(command, o, at + 1, args);
        if (*i + 1 >= argc) return no_value(command, o);
        return store(command, o, argv[++*i], args);
    }
    return 0;
}

int pp_options_parse(const pp_command *command, int argc, char **argv, void *args)
{
    pp_common *common = args;
    bool operands_only = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        int code;
        if (operands_only || word[0] != '-' || !word[1])
            code = add_text(command, command->name, &common->operands, command->max_operands, word);
        else if (strcmp(word, "--") == 0) {
            operands_only = true;
            code = 0;
        } else
            code =
                word[1] == '-' ? parse_long(command, argc, argv, &i, args) : parse_short(command, argc, argv, &i, args);
        if (code || common->help || common->version) return code;
    }
    return 0;
}
