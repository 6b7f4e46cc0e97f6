/*
 * cli - the program: one file per command, flags to options, nothing else. It uses pippin.h and base only, which proves
 * that the API is enough. Options are data: parsing, help texts and usage errors come from one table per command.
 */
#ifndef PP_CLI_H
#define PP_CLI_H

#include <jansson.h>

#include "base/base.h"

enum { PP_EXIT_OK = 0, PP_EXIT_FAILURE = 1, PP_EXIT_USAGE = 2, PP_EXIT_INTERRUPTED = 130 };

/* ---- options as data (options.c, help.c) ---- */

typedef enum pp_option_kind {
    PP_OPTION_FLAG,   /* bool: given or not */
    PP_OPTION_TEXT,   /* const char *, any */
    PP_OPTION_TEXTS,  /* pp_texts: may be given several times */
    PP_OPTION_CHOICE, /* const char *, one of `choices` */
    PP_OPTION_TYPE,   /* pippin_type, one of `choices` */
    PP_OPTION_INT,    /* int32_t, `low` to `high`; low > 0, as 0 means "not given" */
    PP_OPTION_ID,     /* pp_optional_id */
    PP_OPTION_SEED,   /* uint64_t, 0 to INT64_MAX */
    PP_OPTION_REAL,   /* double, `low` to `high` */
    PP_OPTION_AMOUNT  /* double, `low` to `high`; a given 0 becomes -1, as 0 means "not given" */
} pp_option_kind;

typedef struct pp_option {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* 0: no short form */
    pp_option_kind kind;
    const char *argument; /* its name in help texts; NULL for flags */
    const char *help;     /* one sentence, and the default where there is one */
    size_t target;        /* offset in the command's arguments of what the kind says */
    double low, high;
    const char *choices; /* "a|b|c"; offered but not checked where the kind is TEXT or TEXTS */
    const char *files;   /* what shells offer: ends of names "gguf|pt", "" any file, "/" folders; NULL: no files */
    unsigned offers;     /* PP_OFFER_..., what shells offer beside these */
} pp_option;

/* What an entry of a table begins with, by its kind; .help follows, and the rest where it is wanted. */
#define PP_OPT_FLAG(named, at)      .name = named, .kind = PP_OPTION_FLAG, .target = at
#define PP_OPT_TEXT(named, of, at)  .name = named, .kind = PP_OPTION_TEXT, .argument = of, .target = at
#define PP_OPT_TEXTS(named, of, at) .name = named, .kind = PP_OPTION_TEXTS, .argument = of, .target = at
#define PP_OPT_CHOICE(named, of, at, list)                                                                             \
    .name = named, .kind = PP_OPTION_CHOICE, .argument = of, .target = at, .choices = list
#define PP_OPT_TYPE(named, at, list)                                                                                   \
    .name = named, .kind = PP_OPTION_TYPE, .argument = "TYPE", .target = at, .choices = list
#define PP_OPT_INT(named, of, at, least, most)                                                                         \
    .name = named, .kind = PP_OPTION_INT, .argument = of, .target = at, .low = least, .high = most
#define PP_OPT_REAL(named, of, at, least, most)                                                                        \
    .name = named, .kind = PP_OPTION_REAL, .argument = of, .target = at, .low = least, .high = most
#define PP_OPT_AMOUNT(named, of, at, most)                                                                             \
    .name = named, .kind = PP_OPTION_AMOUNT, .argument = of, .target = at, .high = most

/* Of options that several tables have, each with a help of its own. */
#define PP_OPT_PRESET(at)           PP_OPT_TEXT("preset", "NAME", at), .files = "json", .offers = PP_OFFER_PRESETS
#define PP_OPT_OUTPUT(of, at, ends) PP_OPT_TEXT("output", of, at), .letter = 'o', .files = ends
#define PP_OPT_WEIGHT_TYPE(at)      PP_OPT_TYPE("type", at, "f32|f16|bf16|q8|q4|q2")
#define PP_OPT_MADE_TYPE(at)                                                                                           \
    PP_OPT_TYPE("type", at, "f32|f16|bf16|q8|q4|q2|Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|Q2_K|Q3_K|Q4_K|Q5_K|Q6_K")
#define PP_OPT_KV_TYPE(at) PP_OPT_TYPE("kv-type", at, "int8|bf16|f32")
#define PP_OPT_CTX(at)     PP_OPT_INT("ctx", "N", at, 1, 1 << 20)
#define PP_OPT_SEED(at)    .name = "seed", .kind = PP_OPTION_SEED, .argument = "N", .target = at

enum { PP_OFFER_PRESETS = 1, PP_OFFER_COMMANDS = 2, PP_OFFER_LIST = 4 /* several, with commas between */ };

/* Ends of names, for `files`. Folders are offered with all of them. */
#define PP_MODEL_FILES     "gguf|pt|safetensors|bin|json"
#define PP_TOKENIZER_FILES "json|model|gguf|bin"
#define PP_ADAPTER_FILES   "safetensors|pt"

typedef struct pp_option_group {
    const char *title; /* NULL: continues the group before */
    const pp_option *options;
} pp_option_group;

typedef struct pp_optional_id {
    bool given;
    int32_t id;
} pp_optional_id;

enum { PP_MAX_TEXTS = 16 };

typedef struct pp_texts {
    const char *items[PP_MAX_TEXTS];
    size_t n;
} pp_texts;

/* What every command's arguments begin with. Zero means "not given" in all arguments, and every default is a zero. */
typedef struct pp_common {
    bool help, version, json;
    const char *model, *tokenizer, *cpu;
    pp_texts adapters;
    int32_t n_threads, n_ctx;
    pippin_type kv_type;
    const char *rope_scaling;
    double rope_factor;
    pp_texts operands;
} pp_common;

typedef struct pp_command {
    const char *name, *summary;
    const char *synopsis;          /* what follows the name in the usage line */
    const char *details;           /* paragraphs below the options; NULL: none */
    const pp_option_group *groups; /* ended by one without options */
    size_t args_size;
    size_t max_operands;
    const pp_option *operand;     /* what operands are, as the value of an option; NULL where there are none */
    int (*run)(const void *args); /* gives the exit code */
    bool builtin;                 /* without -m it uses the built-in model, where that is there */
} pp_command;

/* The commands, in the order of the help text; NULL ends the list. */
extern const pp_command *const pp_commands[];
extern const pp_command pp_command_chat, pp_command_inspect, pp_command_plan, pp_command_check, pp_command_init,
    pp_command_logits, pp_command_generate, pp_command_tokenize, pp_command_eval, pp_command_convert,
    pp_command_quantize, pp_command_help, pp_command_completion, pp_command_train, pp_command_distill,
    pp_command_adapter, pp_command_bench;

/* The i-th option of a command, over all its groups; NULL past the end. */
const pp_option *pp_command_option(const pp_command *command, size_t i);
const pp_command *pp_command_find(const char *name); /* NULL: there is none */
/* PP_EXIT_USAGE after a message. */
int pp_command_unknown(const char *name);

/* Groups that commands share; targets are fields of pp_common. */
extern const pp_option pp_options_general[];   /* --json, --help, --version */
extern const pp_option pp_options_help[];      /* --help, --version */
extern const pp_option pp_options_model[];     /* --model */
extern const pp_option pp_options_tokenizer[]; /* --tokenizer */
extern const pp_option pp_options_compute[];   /* --threads, --cpu */
extern const pp_option pp_options_session[];   /* --adapter, --kv-type, --ctx, --rope-scaling, --rope-factor */

/* Fills args (zeroed, command->args_size bytes) from argv[0..argc); 0, or PP_EXIT_USAGE after a message. Stops early at
   --help and --version. Texts stay argv's. */
int pp_options_parse(const pp_command *command, int argc, char **argv, void *args);
/* The candidate with the fewest slips of the finger from `given`; NULL when none is near enough to be meant. */
const char *pp_nearest(const char *given, const char *const *candidates, size_t n);
/* A whole number in all of text[0..n), low to high. */
bool pp_parse_int(const char *text, size_t n, int64_t low, int64_t high, int64_t *out);
bool pp_parse_real(const char *text, double *out); /* a finite number in all of text */

typedef struct pp_exit_code {
    int code;
    const char *meaning; /* NULL ends the table */
} pp_exit_code;

extern const pp_exit_code pp_exit_codes[];
extern const char pp_about[]; /* the program in a sentence */

enum { PP_MAX_HELP = 512 };

/* An option's help, the presets' names after it where one may be given. */
void pp_option_help(const pp_option *o, char out[PP_MAX_HELP]);
void pp_help_command(const pp_command *command);
void pp_help_program(void);
void pp_man_print(void); /* man.c: the page, as man(7) source */

/* ---- output (output.c): results to stdout, all else to stderr ---- */

void pp_write(const void *bytes, size_t n);
void pp_print(const char *format, ...) PP_PRINTF(1, 2);
/* Flushes what was written so far; false from the first failure on. */
bool pp_flush(void);
/* Flushes; `code`, or PP_EXIT_FAILURE with a message when stdout could not be written. */
int pp_finish(int code);

/* One line on stderr; gives `code` back. The text is "WHAT: what was found, what was expected; what to do". */
int pp_error(int code, const char *format, ...) PP_PRINTF(2, 3);
/* The library's error: PP_EXIT_INTERRUPTED for CANCELLED, else PP_EXIT_FAILURE. */
int pp_failed(const pippin_error *err);
int pp_no_memory(void);
/* A line that the next one, or a result, replaces; nothing unless stderr is a terminal. */
void pp_progress(const char *format, ...) PP_PRINTF(1, 2);
/* The same of work that is `done` of `total` since the time `since`: rate and time left. unit "": bytes. */
void pp_progress_of(const char *what, uint64_t done, uint64_t total, const char *unit, double since);
void pp_progress_end(void); /* takes the line away */
typedef struct pp_line {
    char text[512];
} pp_line;
/* What pp_progress_of shows, for those who show it elsewhere too. */
pp_line pp_progress_line(const char *what, uint64_t done, uint64_t total, const char *unit, double since);
/* A file that grows: pippin_save_options' callback, with a pp_writing as its user. Ctrl-C stops it. */
typedef struct pp_writing {
    const char *path;
    double since;
} pp_writing;
int pp_writing_progress(void *user, uint64_t done, uint64_t total);

void pp_heading(const char *text); /* a line, bold where that is welcome */
int pp_print_json(json_t *object); /* one line; takes the reference; NULL counts as out of memory */
/* Any bytes as a JSON string; what is not UTF-8 becomes U+FFFD. */
json_t *pp_json_text(const char *bytes, size_t n);
json_t *pp_json_number(double value); /* null where it is not finite */
json_t *pp_json_ids(const int32_t *ids, size_t n);

/* Numbers for people, by value: use pp_count(n).text within one expression. */
typedef struct pp_short {
    char text[32];
} pp_short;

pp_short pp_count(int64_t n);         /* 3,178,001,792 */
pp_short pp_size(uint64_t n_bytes);   /* 12.712 GB, 699.1 MB, 17.9 kB */
pp_short pp_flops(int64_t n);         /* 6.22 GFLOP */
pp_short pp_duration(double seconds); /* 2h 03m, 4m 05s, 6s */

/* ---- tables (table.c): aligned text or markdown ---- */

enum { PP_MAX_COLUMN = PP_MAX_TEXTS + 1 };

typedef struct pp_table {
    const char *title;
    char align[PP_MAX_COLUMN + 1]; /* 'l' or 'r' a column */
    size_t n_col, n_cell, n_room;
    char **cells; /* the first row is the header; in text it is left out when empty */
    bool failed;
} pp_table;

pp_table pp_table_of(const char *title, const char *align);
void pp_cell(pp_table *table, const char *format, ...) PP_PRINTF(2, 3); /* the next one, row by row */
/* Prints and frees. 0, or PP_EXIT_FAILURE when memory ran out. */
int pp_table_print(pp_table *table, bool markdown);

/* ---- input (input.c) ---- */

typedef struct pp_buffer {
    char *bytes; /* free with pp_free */
    size_t n, room;
} pp_buffer;

/* JSON text of a value, to be freed in any case; false when memory ran out. */
bool pp_json_dump(const json_t *value, size_t flags, pp_buffer *out);
/* All of a file, "-" being stdin; 0 or an exit code after a message. */
int pp_read_all(const char *path, pp_buffer *out);
bool pp_append(pp_buffer *buffer, const char *bytes, size_t n); /* false when memory ran out */

typedef struct pp_ids {
    int32_t *items; /* free with pp_free */
    size_t n;
} pp_ids;

/* "1,2 3", "@FILE" or "-" (stdin) -> ids; `flag` names the option in messages. */
int pp_read_ids(const char *flag, const char *text, pp_ids *out);
/* The ids in text[0..n). */
int pp_parse_ids(const char *where, const char *text, size_t n, pp_ids *out);
/* Text to ids with the buffer that it takes. */
int pp_text_to_ids(const pippin_tokenizer *tokenizer, const char *text, size_t n, bool bos, pp_ids *out);
int pp_text_to_ids_as(const pippin_tokenizer *tokenizer, const char *text, size_t n,
                      const pippin_tokenize_options *options, pp_ids *out);
/* And back; out is to be freed in any case. */
int pp_ids_to_text(const pippin_tokenizer *tokenizer, const pp_ids *ids, pp_buffer *out);

/* ---- what comes with the program (builtin.c) ---- */

extern const char pp_builtin_model[]; /* its name; where the pointer is this one, no -m was given */

/*
 * The path of the built-in model or adapter of that name, NAME + ending: in ../models (a clone) or ../share/pippin (an
 * installation) from the folder of the program, else where it was to be installed; never from the working folder; where
 * the environment has PIPPIN_MODELS, in that folder alone. NULL: there is none. Free with pp_free.
 */
char *pp_builtin(const char *name, const char *ending) PP_MUST_USE;
const char *pp_builtin_default(void); /* pp_builtin_model where it is there, else NULL */
/* pp_builtin for a bare name that no file has, and for pp_builtin_model; all else is the path as it stands. NULL without memory. */
char *pp_builtin_or(const char *name, const char *ending) PP_MUST_USE;

/* ---- models (load.c) ---- */

/* A preset's name, or the path of a config.json; 0 or an exit code after a message. */
int pp_load_preset(const char *name, pippin_config *out);
/* The model of a command that takes it as an operand too; NULL when none was named. 0, or PP_EXIT_USAGE for both. */
int pp_model_path(const pp_common *common, const char **path);
/* Is there one, named or built in? Asked before anything is read from stdin, which may take its time. */
int pp_require_model(const pp_common *common);
int pp_load_model(const pp_common *common, pippin_model **out);

/* The adapters that -a names, "none" left out. To be closed also after a failure. */
typedef struct pp_adapters {
    pippin_adapter *items[PP_MAX_TEXTS];
    pippin_adapter_use uses[PP_MAX_TEXTS];
    size_t n;
} pp_adapters;

int pp_adapters_open(const pp_texts *texts, pippin_model *model, pp_adapters *out);
void pp_adapters_close(pp_adapters *adapters);

enum { PP_MAX_TOGETHER = 16 };

/* A model with a session and the adapters that the options name. */
typedef struct pp_loaded {
    pippin_model *model;
    pippin_session *session;
    pippin_session *together[PP_MAX_TOGETHER]; /* [n_together] the session first, then those of pp_load_together */
    size_t n_together;
    pp_adapters adapters;
    pippin_session *draft; /* of the model that guesses; NULL: none */
    double seconds;        /* that opening and preparing took */
} pp_loaded;

/* n_ctx is used where --ctx is not given; 0: the model's own. Ctrl-C cancels the session from here on. */
int pp_load(const pp_common *common, int32_t n_ctx, pp_loaded *out);
/* The same for a model that is open already; takes the reference, also on failure. */
int pp_load_session(const pp_common *common, pippin_model *model, int32_t n_ctx, pp_loaded *out);
/* Sessions like the one that was loaded, for texts of one pass: up to n of them with it, no more than a pass has logits for. */
int pp_load_together(const pp_common *common, size_t n, pp_loaded *loaded);
/* The model that guesses for a loaded one, in q8 where its file has more bits, with a session as long; n_shortlist: see there. */
int pp_load_draft(const pp_common *common, const char *path, int32_t n_shortlist, pp_loaded *loaded);
void pp_unload(pp_loaded *loaded);

/* What inspect and plan talk about: a preset, a config.json or an opened model. */
typedef struct pp_subject {
    pippin_config config;
    pippin_ledger ledger;
    pippin_model *model;       /* NULL unless opened */
    pippin_type type, kv_type; /* AUTO unless opened */
} pp_subject;

int pp_subject_open(const char *preset, const char *path, pp_subject *out);
void pp_subject_close(pp_subject *subject);

/* The type for random weights when none is asked for: f32 for small models, bf16 for large ones. */
pippin_type pp_random_type(const pippin_config *config);
/* Refuses what pippin_model_random cannot make or this machine cannot hold; 0 or an exit code after a message. */
int pp_check_random(const char *command, const pippin_config *config, pippin_type type, uint64_t n_bytes);

/* ---- Ctrl-C (interrupt.c) ---- */

void pp_interrupt_install(void);
void pp_interrupt_cancels(pippin_session *session);     /* NULL: none; the program then ends at once */
void pp_interrupt_cancels_too(pippin_session *session); /* beside it, up to PP_MAX_TOGETHER */
void pp_interrupt_polled(void);                         /* from now on somebody asks pp_interrupted and ends in order */
bool pp_interrupted(void);
void pp_interrupt_handled(void); /* it stopped what it was meant for; the next one counts anew */

#endif
