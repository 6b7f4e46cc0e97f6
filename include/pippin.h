/*
 * pippin.h - language models of Apple's on-device architecture (AFMTextV7), and Llama and Qwen as the same block.
 *
 * Read this file from top to bottom: errors, models, tokens, conversations, adapters, sessions, generation, arithmetic about models.
 * Training is in pippin_train.h.
 *
 * Two types carry the library. A `pippin_model` is what was opened: immutable, mapped read-only, counted by its users,
 * shared by any number of threads. A `pippin_session` is one timeline of tokens over a model: it owns its K/V cache and
 * scratch memory, allocates when it is created and never while it evaluates, and belongs to one thread at a time.
 *
 * Conventions
 * - A fallible function returns a `pippin_status`; details go to a caller-owned `pippin_error`, which may be NULL.
 * - `_open`/`_create`/`_load` give an object on success and set *out to NULL on failure; `_free` takes it, NULL accepted.
 * - Option structs: zero every field (`= {0}`), then set what differs. Zero always means "the default". NULL options
 *   mean all defaults.
 * - Sizes in bytes are size_t or uint64_t, token ids int32_t; arrays are row-major, shapes are written [rows][columns].
 * - The library never prints, exits, aborts or reads the environment.
 */
#ifndef PIPPIN_H
#define PIPPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PIPPIN_VERSION "0.1.0"

#if defined(PIPPIN_BUILD) && defined(__GNUC__)
#define PIPPIN_API __attribute__((visibility("default")))
#else
#define PIPPIN_API
#endif

/* ---- errors --------------------------------------------------------------------------------------------------- */

typedef enum pippin_status {
    PIPPIN_OK = 0,
    PIPPIN_E_ARGUMENT,    /* the call itself is wrong: a NULL, a range, an option that does not fit the model */
    PIPPIN_E_IO,          /* the operating system refused: missing file, full disk, no permission */
    PIPPIN_E_FORMAT,      /* the file is damaged, or not what it should be */
    PIPPIN_E_UNSUPPORTED, /* well formed, but this version cannot run it */
    PIPPIN_E_MEMORY,      /* an allocation failed; nothing leaked, the object is as before the call */
    PIPPIN_E_CONTEXT,     /* more tokens than the session's context holds */
    PIPPIN_E_CANCELLED,   /* pippin_session_cancel was called, or a callback asked to stop */
    PIPPIN_E_DIVERGED     /* training: the loss or the gradient is no number any more */
} pippin_status;

/* Filled on failure only. `text` is one line: "FILE or FIELD: what was found, what was expected; what to do". */
typedef struct pippin_error {
    pippin_status status;
    char text[1000];
} pippin_error;

PIPPIN_API const char *pippin_version(void);
PIPPIN_API const char *pippin_status_name(pippin_status status);

/*
 * Process-wide hooks; set them before any other call, or leave them. `alloc` returns `size` bytes (never 0) aligned to
 * `align` (a power of two, at least 16) or NULL; `release` takes what it gave. `log` receives one line without newline,
 * for things a user should know that are not errors (an assumed alpha, a dropped tensor).
 */
typedef struct pippin_hooks {
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*release)(void *user, void *block);
    void (*log)(void *user, const char *line);
    void *user;
} pippin_hooks;

PIPPIN_API void pippin_set_hooks(const pippin_hooks *hooks);

typedef struct pippin_memory {
    uint64_t live_bytes;  /* allocated through the hook and not yet released */
    uint64_t peak_bytes;  /* the largest live_bytes so far */
    uint64_t allocations; /* how many allocations were made so far */
} pippin_memory;

PIPPIN_API pippin_memory pippin_memory_used(void);

/* ---- what a model is: its configuration ------------------------------------------------------------------------- */

/* Element types of weights and caches. Q8, Q4 and Q2 are pippin's own low-bit types. */
typedef enum pippin_type {
    PIPPIN_TYPE_AUTO = 0,
    PIPPIN_F32,
    PIPPIN_F16,
    PIPPIN_BF16,
    PIPPIN_Q8,
    PIPPIN_Q4,
    PIPPIN_Q2,
    PIPPIN_I8,        /* K/V cache: one scale a layer where the model has static scales, else one a token and head */
    PIPPIN_I64,       /* counters in checkpoints; never a weight */
    PIPPIN_GGUF_Q4_0, /* block types of other makers' GGUF files */
    PIPPIN_GGUF_Q4_1,
    PIPPIN_GGUF_Q5_0,
    PIPPIN_GGUF_Q5_1,
    PIPPIN_GGUF_Q8_0,
    PIPPIN_GGUF_Q2_K,
    PIPPIN_GGUF_Q3_K,
    PIPPIN_GGUF_Q4_K,
    PIPPIN_GGUF_Q5_K,
    PIPPIN_GGUF_Q6_K
} pippin_type;

PIPPIN_API const char *pippin_type_name(pippin_type type);
/* "f32", "f16", "bf16", "q8", "q4", "q2", "int8", "Q4_K", ...; PIPPIN_TYPE_AUTO when the name is none of them. */
PIPPIN_API pippin_type pippin_type_from_name(const char *name);

typedef enum pippin_arch { PIPPIN_ARCH_AFM = 1, PIPPIN_ARCH_LLAMA, PIPPIN_ARCH_QWEN2, PIPPIN_ARCH_QWEN3 } pippin_arch;

/* Which dimensions of a head rotate together: (2i, 2i+1), or (i, i + d_head/2). */
typedef enum pippin_rope_pairs { PIPPIN_ROPE_ADJACENT = 0, PIPPIN_ROPE_HALVES } pippin_rope_pairs;

/* How rotary frequencies are stretched, by a factor, for longer texts than those of training; formulas: src/model/rope.c. */
typedef enum pippin_rope_scaling {
    PIPPIN_ROPE_SCALING_AUTO = 0, /* of a session: what the model has; of a configuration: none */
    PIPPIN_ROPE_SCALING_NONE,
    PIPPIN_ROPE_SCALING_LINEAR, /* all frequencies alike: positions are interpolated */
    PIPPIN_ROPE_SCALING_NTK,    /* a larger theta: the slower a frequency, the more */
    PIPPIN_ROPE_SCALING_YARN,   /* slow frequencies only, and sharper attention */
    PIPPIN_ROPE_SCALING_LLAMA3  /* slow frequencies only; of a model, never of a session */
} pippin_rope_scaling;

PIPPIN_API const char *pippin_rope_scaling_name(pippin_rope_scaling kind); /* "none", "linear", ... */
/* False: none of "auto", "none", "linear", "ntk", "yarn"; *out is then untouched. */
PIPPIN_API bool pippin_rope_scaling_from_name(const char *name, pippin_rope_scaling *out);

/* RMSNorm on each head of Q and K: nowhere (Llama), after the rotation (AFM), before it (Qwen3). */
typedef enum pippin_qk_norm {
    PIPPIN_QK_NORM_NONE = 0,
    PIPPIN_QK_NORM_AFTER_ROPE,
    PIPPIN_QK_NORM_BEFORE_ROPE
} pippin_qk_norm;

/* One decoder: the numbers of its shape, and the switches of the one block that all families share. */
typedef struct pippin_config {
    char name[64]; /* for people: the preset's name, or the file's */
    pippin_arch arch;
    int32_t n_vocab, d_model, n_head, n_kv_head, d_head, d_ffn;
    int32_t n_layer; /* all layers, full ones first */
    int32_t n_reuse; /* how many of the last layers have no K/V of their own and read the last full layer's */
    pippin_rope_pairs rope_pairs;
    pippin_qk_norm qk_norm;
    bool qkv_bias;
    bool tied_head; /* the output head is the embedding */
    float norm_eps, qk_norm_eps;
    double rope_theta;
    pippin_rope_scaling rope_scaling;     /* AUTO or NONE, LINEAR, YARN, LLAMA3; what does not apply of the rest is 0 */
    double rope_factor;                   /* >= 1 */
    double rope_low_freq, rope_high_freq; /* rotations over the original context between which YARN and LLAMA3 blend */
    double rope_attention;                /* of YARN: what Q and K are multiplied by; 0: 0.1 ln(factor) + 1 */
    int32_t rope_n_ctx_original;          /* of YARN and LLAMA3: positions that were trained before any stretching */
    int32_t n_ctx_train;                  /* positions seen in training; 0 when the file does not say */
    int32_t bos_id, eos_id, pad_id;       /* -1 where the file does not say */
    /* The adapter that belongs to it: a preset's, or the one inside a file; rank 0 = none. */
    int32_t lora_rank;
    float lora_alpha;
} pippin_config;

/* Presets: "afm-base", "afm-draft", "llama-3.2-3b", "qwen2.5-3b". */
PIPPIN_API size_t pippin_preset_count(void);
PIPPIN_API const char *pippin_preset_name(size_t i); /* NULL past the end */
PIPPIN_API pippin_status pippin_config_preset(const char *name, pippin_config *out, pippin_error *err);
/* Reads a config.json: mlx-lm's `afm7` fields, or Hugging Face's for llama, qwen2, qwen3. */
PIPPIN_API pippin_status pippin_config_load(const char *path, pippin_config *out, pippin_error *err);

/* ---- models ----------------------------------------------------------------------------------------------------- */

typedef struct pippin_model pippin_model;
typedef struct pippin_tokenizer pippin_tokenizer;
typedef struct pippin_adapter pippin_adapter;
typedef struct pippin_session pippin_session;

typedef struct pippin_model_options {
    const char *tokenizer; /* path of a tokenizer file; NULL: the one inside the model or beside it, if there is one */
    /* Highest kernel level to use: "scalar", "avx2", "avx512", "avx512vnni", and on ARM "neon", "neon-dotprod", "neon-i8mm";
       NULL: all that the CPU has. */
    const char *cpu;
    /* What matrices of F32, F16 and BF16 become in memory: Q8, Q4 or Q2; AUTO: they stay. For drafts, which are read most often. */
    pippin_type type;
} pippin_model_options;

/*
 * Opens a model: a folder with config.json and model.safetensors (or shards with an index), a .safetensors file with
 * config.json beside it, a toolkit .pt, or a llama2.c .bin. The file stays mapped until the last user frees the model;
 * do not change it in the meantime. Errors: IO, FORMAT, UNSUPPORTED, MEMORY, ARGUMENT (unknown cpu level).
 */
PIPPIN_API pippin_status pippin_model_open(const char *path, const pippin_model_options *options, pippin_model **out,
                                           pippin_error *err);

/* A model of this shape with random weights of `type` in memory, any type of weights; with Q2 the embedding is Q4, with Q2_K to Q5_K
   Q6_K. Norms are 1. Same seed, same bits. UNSUPPORTED where rows are no whole blocks of the type. */
PIPPIN_API pippin_status pippin_model_random(const pippin_config *config, pippin_type type, uint64_t seed,
                                             const pippin_model_options *options, pippin_model **out,
                                             pippin_error *err);

/* Writes folder `dir` (created if absent): config.json, model.safetensors and the tokenizer's files, each written aside,
   synced, renamed. UNSUPPORTED for low-bit weights, which are stored in GGUF only. */
PIPPIN_API pippin_status pippin_model_save(const pippin_model *model, const char *dir, pippin_error *err);

typedef struct pippin_adapter_use pippin_adapter_use;

/* Matrices of a type of their own, by their names in the file; '*' stands for any characters, '?' for one: "blk.*.ffn_down.weight". */
typedef struct pippin_tensor_type {
    const char *pattern;
    pippin_type type;
} pippin_tensor_type;

typedef struct pippin_save_options {
    pippin_type type;           /* of the matrices: F32, F16, BF16, Q8, Q4, Q2; AUTO: as they are */
    pippin_type embedding_type; /* of embedding and head, where another than that; AUTO: Q4 with Q2, else as `type` */
    const pippin_tensor_type
        *tensor_types; /* [n_tensor_type] before those two: of the patterns that match, the first holds */
    size_t n_tensor_type;
    /*
     * [n_calibrate] tokens of a text that the model is run over. Matrices that become Q8, Q4 or Q2 are then rounded so that what
     * they give for this text changes least, and an AFM model without K/V scales gets those that fit it. NULL: rounding goes by
     * the weights alone. It is read in sequences of 512 tokens, each after BOS where the tokenizer has one; 8192 are enough.
     */
    const int32_t *calibrate;
    size_t n_calibrate;
    int32_t n_threads; /* 0: one a core; the file does not depend on it */
    /* [n_merge] adapters that become part of the matrices, W + scale alpha/rank (A B)^T, in f32 before they are encoded. */
    const pippin_adapter_use *merge;
    size_t n_merge;
    /* Called as the file grows, and more often where it calibrates; NULL: not. Non-zero stops with CANCELLED, and no file is left. */
    int (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
} pippin_save_options;

/*
 * Writes one GGUF file that other readers list, and for llama, qwen2 and qwen3 run. The tokenizer is written with it and is
 * found again when the file is opened. An adapter inside the model is not written, unless it is merged. A matrix that has the
 * wanted type already is copied as it is. Errors: UNSUPPORTED (the type; or merging into matrices of a block type that keep it),
 * IO, ARGUMENT (an adapter of another model, a token outside of the vocabulary, a pattern that matches no matrix), MEMORY,
 * CANCELLED.
 */
PIPPIN_API pippin_status pippin_model_save_gguf(const pippin_model *model, const pippin_save_options *options,
                                                const char *path, pippin_error *err);

PIPPIN_API pippin_model *pippin_model_retain(pippin_model *model); /* counts one more user; returns `model` */
PIPPIN_API void pippin_model_free(pippin_model *model);            /* gives one user's count back */

PIPPIN_API const pippin_config *pippin_model_config(const pippin_model *model);       /* owned by the model */
PIPPIN_API const pippin_tokenizer *pippin_model_tokenizer(const pippin_model *model); /* owned; NULL if it has none */
/* The adapter that came inside a .pt, owned by the model; NULL if there was none. */
PIPPIN_API const pippin_adapter *pippin_model_adapter(const pippin_model *model);
PIPPIN_API pippin_type pippin_model_type(const pippin_model *model); /* of its linear layers */
PIPPIN_API bool pippin_model_has_kv_scales(const pippin_model *model);
PIPPIN_API const char *pippin_model_cpu(const pippin_model *model); /* name of the kernel level in use */

/* One stored tensor, as the file has it. Pointers belong to the model. */
typedef struct pippin_tensor_info {
    const char *name;
    pippin_type type;
    int32_t n_dim;
    int64_t shape[4];
    uint64_t bytes;
} pippin_tensor_info;

PIPPIN_API size_t pippin_model_tensor_count(const pippin_model *model);
/* False past the end. */
PIPPIN_API bool pippin_model_tensor(const pippin_model *model, size_t i, pippin_tensor_info *out);

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

/*
 * Opens a bare tokenizer file, told by its content: Hugging Face's tokenizer.json (a BPE model; tokenizer_config.json beside
 * it is read for BOS and EOS), a SentencePiece .model (BPE or unigram), the vocabulary inside a .gguf, or llama2.c's
 * tok*.bin. The file stays mapped until pippin_tokenizer_free; do not change it in the meantime. Errors: IO, FORMAT, UNSUPPORTED (names the part), MEMORY.
 */
PIPPIN_API pippin_status pippin_tokenizer_open(const char *path, pippin_tokenizer **out, pippin_error *err);
PIPPIN_API void pippin_tokenizer_free(pippin_tokenizer *tokenizer);

typedef struct pippin_tokenize_options {
    bool bos; /* put pippin_tokenizer_bos first */
    bool eos; /* put the end-of-sequence id last */
    /* Find control and user-defined pieces (</s>, <|im_start|>, <turn_end>) in the text; never for what users write. */
    bool special;
} pippin_tokenize_options;

/*
 * Text of n_bytes bytes (any bytes; need not be UTF-8) -> ids. Writes at most `capacity` ids and sets *n_ids to how many
 * there are; call again with more room when it is larger. Without options->special text never yields special ids, but for the
 * one that stands for unknown characters.
 */
PIPPIN_API pippin_status pippin_tokenize(const pippin_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                         const pippin_tokenize_options *options, int32_t *ids, size_t capacity,
                                         size_t *n_ids, pippin_error *err);

/* Ids -> bytes, the same way: at most `capacity` bytes (no terminating 0), *n_bytes is how many there are. */
PIPPIN_API pippin_status pippin_detokenize(const pippin_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                           char *text, size_t capacity, size_t *n_bytes, pippin_error *err);

PIPPIN_API int32_t pippin_tokenizer_size(const pippin_tokenizer *tokenizer);
/*
 * What a text begins with, in training, scoring and generation alike; -1 if nothing. It is the file's BOS, but for a
 * vocabulary with AFM's template, whose texts begin with EOS.
 */
PIPPIN_API int32_t pippin_tokenizer_bos(const pippin_tokenizer *tokenizer);
PIPPIN_API int32_t pippin_tokenizer_eos(const pippin_tokenizer *tokenizer); /* -1 if none */
/* The stored piece of an id, as the file has it, and its length; NULL for an id out of range. Owned by the tokenizer. */
PIPPIN_API const char *pippin_tokenizer_piece(const pippin_tokenizer *tokenizer, int32_t id, size_t *n_bytes);

/* ---- conversations ------------------------------------------------------------------------------------------------ */

/* How a conversation is written for a model: the pieces around its turns. */
typedef enum pippin_template {
    PIPPIN_TEMPLATE_AUTO = 0, /* the tokenizer's own */
    PIPPIN_TEMPLATE_NONE,     /* it has none: prompts are text as it is */
    PIPPIN_TEMPLATE_AFM,
    PIPPIN_TEMPLATE_LLAMA3,
    PIPPIN_TEMPLATE_CHATML, /* Qwen and many others */
    PIPPIN_TEMPLATE_MISTRAL
} pippin_template;

/* "auto", "none", "afm", "llama3", "chatml", "mistral". */
PIPPIN_API const char *pippin_template_name(pippin_template kind);
PIPPIN_API bool pippin_template_from_name(const char *name, pippin_template *out); /* false: none of them */

/*
 * The one that belongs to a tokenizer, never AUTO: told by the file's own chat template where it has one (it is recognised,
 * not run), else by its special pieces; NONE where neither says one of those above.
 */
PIPPIN_API pippin_template pippin_tokenizer_template(const pippin_tokenizer *tokenizer);

/*
 * The ids that end an answer: EOS, and the pieces that end a turn. Writes at most `capacity` of them (5 are enough) and gives
 * how many there are. Those of AUTO are pippin_generate's own choice where it is given none.
 */
PIPPIN_API size_t pippin_template_stop_ids(const pippin_tokenizer *tokenizer, pippin_template kind, int32_t *ids,
                                           size_t capacity);

typedef struct pippin_prompt_options {
    pippin_template kind;
    const char *tools; /* JSON text [n_tools], a list of tools beside those that the system message has; NULL: none */
    size_t n_tools;
    /* The last message is the assistant's and nothing comes after it (for training); else the prompt ends where the
       assistant's next one begins. */
    bool complete;
} pippin_prompt_options;

/* A conversation as a model reads it. */
typedef struct pippin_prompt {
    pippin_template kind; /* the one that was used, not AUTO */
    char *text;           /* [n_bytes] and a 0: what the ids stand for, but for the first id that begins a text */
    size_t n_bytes;
    int32_t *ids;       /* [n_ids] */
    bool *by_assistant; /* [n_ids] the assistant wrote it: its texts, its calls, and the pieces that end its turns */
    size_t n_ids;
} pippin_prompt;

/*
 * Messages to ids. `messages` is JSON text [n_bytes] in OpenAI's shape: a list of messages, or an object with the list as
 * "messages" (and maybe "tools"). A message has a role - system (developer), user, assistant, tool - and content: a text, or
 * a list of {"type": "text", "text"}. A system message may have `tools`; an assistant's `tool_calls`, and content null; a
 * tool's content may be an object too, or a list: new tools. A user's `response_format` becomes part of the prompt in AFM's
 * template only.
 * Order: system first only; then user and assistant in turn; tool messages after an assistant's or one another. Content
 * never gives the pieces that templates are made of: a "<turn_end>" in it is text like any other.
 * *out is to be freed with pippin_prompt_free. Errors: ARGUMENT (names the message by its index), UNSUPPORTED, MEMORY.
 */
PIPPIN_API pippin_status pippin_prompt_create(const pippin_tokenizer *tokenizer, const char *messages, size_t n_bytes,
                                              const pippin_prompt_options *options, pippin_prompt **out,
                                              pippin_error *err);
PIPPIN_API void pippin_prompt_free(pippin_prompt *prompt);

/* ---- adapters (LoRA) ---------------------------------------------------------------------------------------------- */

/*
 * Opens an adapter (.safetensors or .pt, toolkit names or mlx-lm's) and checks it against the model. The adapter keeps
 * the model alive.
 */
PIPPIN_API pippin_status pippin_adapter_open(const char *path, pippin_model *model, pippin_adapter **out,
                                             pippin_error *err);
/* Writes a .safetensors file of this type, F32, F16 or BF16, under the toolkit's names, rank and alpha in its metadata. AUTO: as
   the adapter is held, which is F16 or BF16 where all tensors of a file of its own are, else F32. */
PIPPIN_API pippin_status pippin_adapter_save(const pippin_adapter *adapter, const pippin_model *model, pippin_type type,
                                             const char *path, pippin_error *err);
PIPPIN_API void pippin_adapter_free(pippin_adapter *adapter);
PIPPIN_API int32_t pippin_adapter_rank(const pippin_adapter *adapter);
PIPPIN_API float pippin_adapter_alpha(const pippin_adapter *adapter);

struct pippin_adapter_use {
    const pippin_adapter *adapter; /* must outlive the session, or the next pippin_session_set_adapters */
    float scale;                   /* multiplies alpha/rank: 1 is the adapter as it was trained, 0 has no effect */
};

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

typedef struct pippin_session_options {
    int32_t n_ctx;     /* tokens that the cache holds; 0: what the model was trained on, at most 4096 */
    int32_t n_threads; /* 0: one a core */
    int32_t n_batch;   /* tokens that one pass takes at most; 0: 512 */
    int32_t n_logits;  /* rows of logits that one pass keeps; 0: 16 */
    pippin_type
        kv_type; /* PIPPIN_I8, PIPPIN_BF16 or PIPPIN_F32; AUTO: int8 where the model has K/V scales, f32 where its
                            weights are f32, else bf16 */
    /* For good, as keys are cached after their rotation: AUTO, or what is to hold in place of the file's own LINEAR or YARN. */
    pippin_rope_scaling rope_scaling;
    double rope_factor;       /* 1 to 1000, of LINEAR, NTK and YARN; 0: n_ctx / the context of training, at least 1 */
    bool no_embedded_adapter; /* do not attach the adapter that came inside the model file */
    bool no_bypass;           /* run every layer for every token, also where nothing reads the result (for tests) */
    /*
     * A session of the same model whose threads and working memory this one uses too, so that it costs little but its cache, and both
     * may take part in one pass (pippin_generate_many). They then belong to one thread at a time, and logits of either are gone when
     * the other evaluates. Threads, passes and rotary scaling are that session's, whatever is said above; n_ctx is at most its.
     */
    pippin_session *with;
    /*
     * For a draft, whose head is most of it: logits of the first so many tokens of the vocabulary, which is the order of how often they
     * come where a tokenizer was made by merging, and of those in the text; in groups of 32. Those of all others are -INFINITY: they are
     * never guessed, and what is generated has the same law ("FR-Spec", Zhao et al. 2025). 0: of all, as in pippin_session_score anyway.
     */
    int32_t n_shortlist;
} pippin_session_options;

/* The session keeps the model alive. All its memory is allocated here; the first one of a model with weights of GGUF's block types also
   has them packed for the kernels, a copy that the model keeps. */
PIPPIN_API pippin_status pippin_session_create(pippin_model *model, const pippin_session_options *options,
                                               pippin_session **out, pippin_error *err);
PIPPIN_API void pippin_session_free(pippin_session *session);
PIPPIN_API const pippin_model *pippin_session_model(const pippin_session *session); /* its own as long as it lives */
PIPPIN_API int32_t pippin_session_n_ctx(const pippin_session *session);
PIPPIN_API int32_t pippin_session_n_threads(const pippin_session *session);
PIPPIN_API pippin_type pippin_session_kv_type(const pippin_session *session);
PIPPIN_API pippin_rope_scaling
pippin_session_rope_scaling(const pippin_session *session); /* NONE where it comes to 1 */
PIPPIN_API double pippin_session_rope_factor(const pippin_session *session);

/* Replaces the attached adapters (at most 8; their contributions add up) and forgets the cached tokens. */
PIPPIN_API pippin_status pippin_session_set_adapters(pippin_session *session, const pippin_adapter_use *uses, size_t n,
                                                     pippin_error *err);

/*
 * Makes `tokens` [n_tok] the session's timeline: keeps the longest prefix that it already has, forgets the rest, and
 * evaluates what is new. Afterwards pippin_session_logits is the prediction after the last token. n_tok >= 1.
 * Errors: CONTEXT (names both numbers), ARGUMENT (an id outside the vocabulary), CANCELLED (the timeline then ends at the
 * last pass that was complete).
 */
PIPPIN_API pippin_status pippin_session_sync(pippin_session *session, const int32_t *tokens, size_t n_tok,
                                             pippin_error *err);
/* The same with the predictions after each of the last n_last tokens, 1 to the session's n_logits: what a guess of several
   tokens is checked with. Each is the one that it would be alone, bit for bit. */
PIPPIN_API pippin_status pippin_session_sync_last(pippin_session *session, const int32_t *tokens, size_t n_tok,
                                                  int32_t n_last, pippin_error *err);

typedef struct pippin_text {
    pippin_session *session;
    const int32_t *tokens; /* [n_tok] */
    size_t n_tok;
} pippin_text;

/* pippin_session_sync for several texts at once, in passes that they share: each session then has the logits that it would have
   alone, bit for bit, until one of them evaluates again. At most n_logits texts; their sessions share working memory (`with`). */
PIPPIN_API pippin_status pippin_sync_many(const pippin_text *texts, size_t n, pippin_error *err);
PIPPIN_API int32_t pippin_session_n_logits(const pippin_session *session);
/* [n_vocab] after the last token, valid until the session is used again; NULL before the first sync. */
PIPPIN_API const float *pippin_session_logits(const pippin_session *session);
/* log sum_i exp(logits[i]) of a row [n_vocab]: a token's log-probability is its logit less this. Within 1e-6. */
PIPPIN_API double pippin_session_log_sum(const pippin_session *session, const float *logits);
/* After the token that is `back` before the last; NULL where the last sync gave none. */
PIPPIN_API const float *pippin_session_logits_of(const pippin_session *session, int32_t back);
PIPPIN_API size_t pippin_session_n_tok(const pippin_session *session); /* tokens in the cache */
PIPPIN_API size_t
pippin_session_n_reused(const pippin_session *session); /* of the last sync's, those found in the cache */

PIPPIN_API const int32_t *pippin_session_tokens(const pippin_session *session); /* [n_tok], until it is used again */
/* For measurements: the timeline becomes n_tok >= 1 random tokens whose K and V are random values, about as large as a model's, in
   place of computed ones. Same seed, same values. Errors: CONTEXT, ARGUMENT. */
PIPPIN_API pippin_status pippin_session_fill(pippin_session *session, size_t n_tok, uint64_t seed, pippin_error *err);

/* May be called from another thread or a signal handler: the call that runs, or else the next one that evaluates, returns
   CANCELLED within one layer's time. */
PIPPIN_API void pippin_session_cancel(pippin_session *session);

/* at_layer is called before each layer of this session's passes, with the layer's number, by the thread that evaluates: to see how
   far a long prompt is, or how the machine does meanwhile. Of sessions that share a pass the first one's is called. It may cancel a
   session, and do nothing else with any. NULL: none. */
PIPPIN_API void pippin_session_on_layer(pippin_session *session, void (*at_layer)(void *user, int32_t layer),
                                        void *user);

/*
 * Logits of every token of a text, which need not be one sequence. Forgets the session's timeline.
 * segments: equal numbers belong together, and a token attends to earlier tokens of its own segment only; a negative one
 * is padding. positions: where each token stands; NULL: its index within its own segment.
 * row: called once a token in order, with logits [n_vocab] valid during the call; non-zero stops with CANCELLED.
 */
typedef struct pippin_score {
    const int32_t *tokens;    /* [n_tok] */
    const int32_t *segments;  /* [n_tok], or NULL: all one segment */
    const int32_t *positions; /* [n_tok], or NULL */
    size_t n_tok;
    bool
        reference; /* by the plain f32 network of reference.c instead of the kernels; slow, and never rounded to a cache type */
    int (*row)(void *user, size_t i, const float *logits);
    void *user;
} pippin_score;

PIPPIN_API pippin_status pippin_session_score(pippin_session *session, const pippin_score *score, pippin_error *err);
/* The same into a float32 .npy file [n_tok, n_vocab], written aside and renamed; score->row may be NULL and is called too. */
PIPPIN_API pippin_status pippin_session_score_npy(pippin_session *session, const pippin_score *score, const char *path,
                                                  pippin_error *err);

/* ---- what the machine could do -------------------------------------------------------------------------------------- */

/* Reads memory and multiplies int8 as fast as the machine can, with nothing else to do: what a model's speed is held against. */
typedef struct pippin_probe pippin_probe;

/* n_threads: 0 for one a core; cpu as in pippin_model_options, or NULL. Holds 256 MB. Errors: ARGUMENT, MEMORY. */
PIPPIN_API pippin_status pippin_probe_create(int32_t n_threads, const char *cpu, pippin_probe **out, pippin_error *err);
PIPPIN_API void pippin_probe_free(pippin_probe *probe);
PIPPIN_API double pippin_probe_read(pippin_probe *probe); /* bytes a second, of one read of its memory (some 10 ms) */
PIPPIN_API double pippin_probe_multiply(pippin_probe *probe); /* multiply-adds of int8 a second, in some 10 ms */

/* ---- generation --------------------------------------------------------------------------------------------------- */

/* A token and the logarithm of the probability that the model gives it, before bias, penalties and filters. */
typedef struct pippin_logprob {
    int32_t id;
    float logprob;
} pippin_logprob;

typedef struct pippin_token_event {
    int32_t id;       /* -1 in a last event that only brings what was held back */
    size_t index;     /* 0 for the first generated token */
    const char *text; /* whole characters that may be shown now; not 0-terminated; empty without a tokenizer */
    size_t n_bytes;
    float logprob;             /* of the token; only where logprobs were asked for */
    const pippin_logprob *top; /* [n_top] the likeliest tokens at its place, in falling order */
    size_t n_top;
} pippin_token_event;

typedef struct pippin_logit_bias {
    int32_t id;
    float value; /* added to the token's logit */
} pippin_logit_bias;

/*
 * How the next token is chosen, in this order: bias, penalties, temperature, top_k, top_p, min_p; each filter works on what
 * the one before it left. Zero leaves each out.
 */
typedef struct pippin_sampling {
    double temperature;    /* 0: greedy, after bias and penalties */
    int32_t top_k;         /* keep the k likeliest */
    double top_p;          /* keep the fewest likeliest whose probabilities reach p together */
    double min_p;          /* keep those with at least this share of the likeliest one's probability */
    double repeat_penalty; /* divides positive logits of tokens among the last ones, multiplies negative; 1: none */
    int32_t repeat_window; /* how many last tokens, the prompt's too; 0: 64; -1: all */
    double presence_penalty, frequency_penalty; /* taken off for a token of the answer: once, and for each time */
    const pippin_logit_bias *bias;              /* [n_bias] */
    size_t n_bias;
    uint64_t seed; /* same seed, same text, whatever the thread count; of guesses see draft_tokens */
} pippin_sampling;

enum { PIPPIN_MAX_LOGPROBS = 64 };

typedef struct pippin_generate_options {
    size_t max_tokens; /* 0: until the context is full */
    pippin_sampling sampling;
    const int32_t *
        stop_ids; /* [n_stop_ids]; NULL: the ids that end or begin a text or end a turn, none for a model without tokenizer */
    size_t n_stop_ids;
    const char *const *stop_strings; /* [n_stop_strings]; the text ends before the first that comes */
    size_t n_stop_strings;
    int32_t logprobs; /* likeliest tokens to tell at each place, at most PIPPIN_MAX_LOGPROBS; 0: no log-probabilities */
    int (*on_token)(void *user, const pippin_token_event *event); /* may be NULL; non-zero stops */
    void *user;
    /*
     * Speculative decoding: tokens are guessed, and one pass checks several of them. A greedy text is the same as without, a
     * sampled one follows the same law (Leviathan et al. 2023), with other random numbers.
     */
    pippin_session *draft; /* of a smaller model with the same vocabulary; this call's until it returns. NULL: none */
    bool lookup;           /* guess what followed the same tokens before in this text; asked before the draft */
    /* 1 to 8 guesses a pass; 0: as many as pay, or none, by what passes are measured to cost and how many guesses were right.
       As that goes by the clock, it is with a fixed number that a seed gives the same sampled text again. */
    int32_t draft_tokens;
    /* For measurements: the probability by which a guess is taken for right, whatever the model says; negative: none ever is;
       0: the model decides. */
    double acceptance;
} pippin_generate_options;

typedef enum pippin_finish { PIPPIN_FINISH_STOP = 0, PIPPIN_FINISH_LENGTH, PIPPIN_FINISH_CANCELLED } pippin_finish;

typedef struct pippin_generate_result {
    pippin_finish finish; /* STOP: a stop id or string came; LENGTH: max_tokens or the context's end */
    size_t n_prompt, n_cached, n_generated;
    double prompt_seconds, generate_seconds;
    size_t n_drafted, n_accepted;        /* tokens that were guessed, and those of them that were right */
    size_t n_verify;                     /* passes that checked guesses */
    double model_seconds, draft_seconds; /* of generate_seconds, in passes of the two; the rest is choosing */
    int32_t stop_id;                     /* that ended the text; -1: none did */
} pippin_generate_result;

/*
 * Continues `prompt` [n_prompt]. `ids` (may be NULL) receives the generated ids, at most `capacity`; a stop id is neither
 * given to the callback nor counted. `result` may be NULL. Afterwards the session holds the text without its last token, or all
 * of it where a stop id came. Errors as pippin_session_sync; ARGUMENT for a draft of another vocabulary (says what differs).
 */
PIPPIN_API pippin_status pippin_generate(pippin_session *session, const int32_t *prompt, size_t n_prompt,
                                         const pippin_generate_options *options, int32_t *ids, size_t capacity,
                                         pippin_generate_result *result, pippin_error *err);

/* One of several texts that are continued together. */
typedef struct pippin_generation {
    pippin_session *session; /* its own; all of them share working memory (pippin_session_options.with) */
    const int32_t *prompt;   /* [n_prompt] */
    size_t n_prompt;
    const pippin_generate_options *options; /* NULL: all defaults */
    int32_t *ids;                           /* receives at most `capacity` generated ids; may be NULL */
    size_t capacity;
    /* Filled in: */
    pippin_generate_result result; /* of seconds it has all that passed, the other texts' share too */
    pippin_status status;
    pippin_error error;
} pippin_generation;

/*
 * Continues several texts at once, each with its own adapters, sampling and end, in passes that they share: weights are read once for
 * all of them. Each gets the tokens that pippin_generate gives it alone, and fails alone, too: see its status. Prompts are
 * taken a pass at a time beside texts that are being written already. With more than 64, the others wait for a place. Guesses are made for several texts only
 * where draft_tokens says how many. Errors: ARGUMENT (sessions that share nothing, or one twice), MEMORY.
 */
PIPPIN_API pippin_status pippin_generate_many(pippin_generation *generations, size_t n, pippin_error *err);

/* ---- arithmetic about models ----------------------------------------------------------------------------------------- */

typedef struct pippin_ledger_group {
    int32_t segment, count;        /* layers of this kind */
    int64_t parameters, trainable; /* of one layer, its LoRA included; its LoRA alone */
} pippin_ledger_group;

/*
 * Where the parameters are. attention and feed_forward count their pre-norm and LoRA; norm repeats what the two hold,
 * plus the output norm; total = frozen + trainable.
 */
typedef struct pippin_ledger {
    int64_t total, frozen, trainable;
    int64_t embedding, attention, feed_forward, norm, head; /* head: 0 where it is the embedding */
    pippin_ledger_group groups[2];
    int32_t n_group;
    int32_t lora_modules, lora_linears, lora_tensors;
    int64_t linear_weights;        /* the matrices of the layers: what the low-bit type applies to */
    int64_t linear_weights_full;   /* of the full layers: what a prompt token multiplies */
    int64_t kv_elements_per_token; /* K and V values that one token adds to the cache */
    int64_t flops_prefill,
        flops_decode; /* 2 a multiply-add, matrices only: a prompt token (full layers), a decoded one */
} pippin_ledger;

PIPPIN_API void pippin_ledger_compute(const pippin_config *config, pippin_ledger *out);

typedef struct pippin_plan_options {
    pippin_type type;           /* of the linear layers; AUTO: bf16 */
    pippin_type embedding_type; /* AUTO: q4 where type is q2, Q6_K where it is Q2_K to Q5_K, else as type */
    pippin_type kv_type;        /* AUTO: int8 for AFM, else bf16 */
    int32_t n_ctx;              /* 0: 4096 */
    int32_t n_sessions;         /* 0: 1 */
    int32_t n_batch;            /* 0: 512 */
    bool adapter;               /* one f16 adapter of the architecture's rank is loaded */
} pippin_plan_options;

/* Bytes that are needed, known before anything is loaded. */
typedef struct pippin_plan {
    pippin_type type, embedding_type, kv_type;
    int32_t n_ctx, n_sessions;
    uint64_t linear, embedding, norms; /* and their sum: */
    uint64_t weights;
    uint64_t adapter;
    uint64_t kv_per_token, kv; /* of one session */
    uint64_t scratch;          /* of one session */
    uint64_t total;            /* weights + adapter + n_sessions * (kv + scratch) */
    uint64_t
        train_adapter; /* extra for AdamW on a LoRA of the architecture's rank: weights, gradient, two moments in f32 */
    uint64_t train_full; /* the same for all weights */
} pippin_plan;

PIPPIN_API void pippin_plan_compute(const pippin_config *config, const pippin_plan_options *options, pippin_plan *out);

#ifdef __cplusplus
}
#endif
#endif
