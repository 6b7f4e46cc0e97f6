/*
 * model - the network. Three structs are the architecture: pippin_config (numbers and switches), pp_layer (weights of
 * one block), pp_weights (the whole). bind.c validates a file by asking for each tensor with its shape; block.c runs the
 * layers as one loop; reference.c is the whole network again in plain C, the truth that the fast path is tested against.
 */
#ifndef PP_MODEL_H
#define PP_MODEL_H

#include "base/base.h"
#include "formats/formats.h"
#include "kernels/kernels.h"
#include "quant/quant.h"

/* ---- configuration (config.c, presets.c) ---- */

/* What Apple's own models and those of their kind have in common. */
#define PP_AFM                                                                                                         \
    .arch = PIPPIN_ARCH_AFM, .rope_pairs = PIPPIN_ROPE_ADJACENT, .qk_norm = PIPPIN_QK_NORM_AFTER_ROPE,                 \
    .tied_head = true, .norm_eps = 1e-5f, .qk_norm_eps = 1e-5f, .rope_theta = 500000, .bos_id = -1, .eos_id = -1,      \
    .pad_id = 0

/* Checks ranges and that the numbers fit together; `where` opens the message. */
pippin_status pp_config_check(const pippin_config *c, const char *where, pippin_error *err);
pippin_status pp_config_parse(const char *json, size_t size, const char *source, pippin_config *out, pippin_error *err);
/* config.json text of c, to be freed with pp_free; NULL when out of memory. */
char *pp_config_json(const pippin_config *c);
/* From the shapes and names of a toolkit checkpoint; theta is 500,000. */
pippin_status pp_config_from_toolkit(const pp_tensors *t, pippin_config *out, pippin_error *err);
/* From the values of a GGUF file: architectures llama, qwen2, qwen3, and pippin's own afm7. */
pippin_status pp_config_from_gguf(const pp_gguf *g, pippin_config *out, pippin_error *err);
pippin_status pp_config_from_llama2c(const pp_llama2c_header *h, const char *source, pippin_config *out,
                                     pippin_error *err);

/* ---- weights ---- */

/* The linear layers of a block, in the order of the toolkit's adapter files. A reuse layer has no K and V. */
typedef enum pp_site { PP_Q = 0, PP_K, PP_V, PP_O, PP_GATE, PP_UP, PP_DOWN, PP_N_SITE } pp_site;

/* y = x W^T + bias. */
typedef struct pp_linear {
    const void *w; /* [n_out][n_in] of `type`; NULL: the layer has no such part */
    pippin_type type;
    int32_t n_in, n_out;
    const float *bias;  /* [n_out] or NULL */
    const void *packed; /* the same matrix as integer kernels read it (packed.c), or NULL */
} pp_linear;

typedef struct pp_layer {
    pp_linear site[PP_N_SITE];
    const float *attn_norm, *ffn_norm; /* [d_model] */
    const float *q_norm, *k_norm;      /* [d_head] or NULL */
    float k_scale, v_scale;            /* static K/V quantiser; 0: none */
    int32_t kv_layer;                  /* whose K and V it attends to: its own index, or the last full layer's */
} pp_layer;

/* Which names a file uses for the same tensors. */
typedef enum pp_naming { PP_NAMING_MLX = 0, PP_NAMING_HF, PP_NAMING_TOOLKIT, PP_NAMING_GGUF } pp_naming;

/* Everything that the forward pass reads. Immutable once bound. */
typedef struct pp_weights {
    pippin_config config;
    int32_t n_full; /* n_layer - n_reuse: layers with K/V */
    bool has_kv_scales;
    pp_naming naming;
    pp_linear embedding; /* [n_vocab][d_model] */
    pp_linear head;      /* the embedding again where tied */
    const float *out_norm;
    const float *rope_factors; /* [d_head / 2] that divide the rotary frequencies (Llama 3 in GGUF), or NULL */
    pp_layer *layers;          /* [n_layer] */
    pp_tensors tensors;        /* owns the bytes */
} pp_weights;

/* in/out sizes of a site: false where the layer has no such site. */
bool pp_site_shape(const pippin_config *c, int32_t layer, pp_site site, int32_t *n_in, int32_t *n_out);

/* What the names of a layer's tensors begin with: "model.layers.0", "layers.segment_1.layer_3". */
void pp_layer_prefix(const pippin_config *c, pp_naming naming, int32_t layer, char *prefix, size_t size);
/* Takes `tensors` (also on failure) and points `out` into them; every tensor is asked for with its shape. */
pippin_status pp_weights_bind(const pippin_config *config, pp_naming naming, pp_tensors *tensors, pp_weights *out,
                              pippin_error *err);
pippin_status pp_weights_random(const pippin_config *config, pippin_type type, uint64_t seed, pp_weights *out,
                                pippin_error *err);
/* config.json and model.safetensors into dir, under the names that pp_weights_bind finds again. */
pippin_status pp_weights_save(const pp_weights *w, const char *dir, pippin_error *err);
/* The same with other tensors than those that w was bound to. */
pippin_status pp_weights_save_tensors(const pp_weights *w, const pp_tensors *tensors, const char *dir,
                                      pippin_error *err);
/* Matrices of F32, F16 or BF16 become Q8, Q4 or Q2, in memory; the stored tensors stay what they are (encode.c). */
pippin_status pp_weights_encode(pp_weights *w, pippin_type type, pippin_error *err);
/* Name of the static K (or V) scale of a full layer in such a file; false: it has none. */
bool pp_weights_scale_name(const pp_weights *w, int32_t layer, bool value, char *name, size_t size);
/*
 * A copy for training, every parameter in f32: *values [*n] holds them all, in the order of out->tensors, and n_extra zeros
 * after them; it is owned by `out`, which points into it. It can be saved with pp_weights_save. UNSUPPORTED where a folder
 * could not say what this file does.
 */
pippin_status pp_weights_master(const pp_weights *from, size_t n_extra, pp_weights *out, float **values, size_t *n,
                                pippin_error *err);
void pp_weights_free(pp_weights *w);

/* ---- weights as they are run (packed.c) ---- */

/* A view of other weights, which must outlive it, in which every matrix of a GGUF block type has its `packed`. */
typedef struct pp_packed {
    pp_weights weights; /* never to be freed as such */
    pp_layer *layers;   /* NULL: there was nothing to pack, and these are the others' own */
    void **blocks;      /* [n_block] packed matrices */
    size_t n_block;
    uint64_t bytes; /* of all of them */
} pp_packed;

/* On failure (MEMORY) *out is zeroed. */
pippin_status pp_weights_pack(const pp_weights *from, pp_team *team, pp_packed *out, pippin_error *err);
void pp_packed_free(pp_packed *p);

/* ---- rotary embedding (rope.c) ---- */

/* How positions are stretched: by the model's own scaling, or by what a session was asked for. */
typedef struct pp_rope {
    pippin_rope_scaling scaling; /* never AUTO */
    double factor;               /* 1 with NONE */
    double low, high;            /* YARN: the pairs between which frequencies are blended */
    double attention;            /* what scores are multiplied by beside 1 / sqrt(d_head); 1 but with YARN */
} pp_rope;

/* Do the configuration's numbers of scaling fit together? */
pippin_status pp_rope_check(const pippin_config *c, const char *where, pippin_error *err);
pp_rope pp_rope_own(const pippin_config *c);
/* For a session of n_ctx tokens; factor 0: n_ctx / the context of training. ARGUMENT where the two do not fit. */
pippin_status pp_rope_choose(const pippin_config *c, pippin_rope_scaling scaling, double factor, int32_t n_ctx,
                             pp_rope *out, pippin_error *err);
/* Rotary frequencies [d_head / 2]. */
void pp_rope_init(const pp_weights *w, const pp_rope *rope, double *inv_freq);

/* ---- LoRA as the block sees it: y += scale * (x A) B, for every site that has one ---- */

typedef struct pp_lora_site {
    const void *a; /* [rank][n_in]: A transposed, so that the matmul kernel takes it; NULL: site not adapted */
    const void *b; /* [n_out][rank] */
} pp_lora_site;

typedef struct pp_lora {
    int32_t rank;
    pippin_type type;          /* of all A and B: F32, F16 or BF16; what is trained is F32 */
    float scale;               /* alpha / rank */
    const pp_lora_site *sites; /* [n_layer][PP_N_SITE] */
} pp_lora;

#define PP_MAX_LORA 8

/* One adapter in use. */
typedef struct pp_lora_use {
    const pp_lora *lora;
    float scale; /* alpha / rank, times the user's factor */
} pp_lora_use;

/* ---- inputs of linear layers of low-bit and block types: int8 with a scale a span of columns, so that products are of integers
   (low.c) ---- */

typedef struct pp_low_rows {
    int8_t *codes;         /* [n_row][stride], -127 .. 127, 0 past the last column */
    size_t stride, widest; /* columns of a row at most */
    float *scale;          /* [n_row][n_span] max |x| / 127 of the span */
    int32_t *sum;          /* [n_row][n_span] of its codes */
    float *offset;         /* [n_row] sum of scale * sum */
    int n_span;
    int16_t *sums16,
        *sums32; /* [n_row][stride / 16], [n_row][stride / 32] of so many codes each; for block types only */
} pp_low_rows;

/* Memory for n_row rows of at most `widest` columns. */
void pp_low_rows_cut(pp_low_rows *r, uint64_t n_row, uint64_t widest, pp_cutter *k);
/* Does the layer multiply rounded inputs? Then what they are wanted for. */
typedef enum pp_rounding { PP_ROUND_NOT = 0, PP_ROUND_LOW, PP_ROUND_BLOCKS } pp_rounding;
pp_rounding pp_low_wanted(const pp_linear *l);
/* Where the weights of output `first` begin, a multiple of 32, as they are multiplied. */
const void *pp_linear_rows(const pp_linear *l, size_t first);
/* Rounds x [n][n_in]; for blocks, for both. */
void pp_low_rows_round(const pp_low_rows *r, const pp_kernels *kernels, pp_team *team, const float *x, int32_t n,
                       int32_t n_in, pp_rounding wanted);
/* Rounds x [n_in] to one of the rows. */
void pp_low_row_round(const pp_low_rows *r, const pp_kernels *kernels, const float *x, int32_t n_in, size_t row,
                      pp_rounding wanted);
/* m, with the rows that were rounded, from `row` on, as its x; its w is pp_linear_rows of the layer. */
void pp_low_rows_multiply(const pp_low_rows *r, const pp_kernels *kernels, const pp_linear *l, size_t row,
                          const pp_matmul *m);

/* ---- the K/V cache as the block sees it (memory is owned by infer) ---- */

typedef struct pp_kv {
    pippin_type type; /* F32, BF16 or I8 */
    int32_t n_slot;
    uint8_t *k, *v;             /* [n_full][n_kv_head][n_slot][d_head] */
    float *k_scales, *v_scales; /* [n_full][n_kv_head][n_slot] where int8 has no static scales, else NULL */
    int32_t *segment;           /* [n_slot]; negative: padding, which nothing attends to */
    int32_t n_tok;              /* slots in use */
    bool one_segment;           /* all slots in use belong to one segment */
} pp_kv;

/* What K or V of a layer was seen to lie in, and the int8 scale that follows. */
typedef struct pp_kv_range {
    float low, high, scale;
    float n_seen; /* batches, at most 2: the first replaces the range, later ones move it */
} pp_kv_range;

/* One more batch, whose least and largest value these are, 0 among them: nine tenths of what was, and one of these (calibrate.c). */
void pp_kv_range_see(pp_kv_range *r, float low, float high);

/* ---- one pass through the network (forward.c, attention.c, feed_forward.c) ---- */

/* One token of a pass. */
typedef struct pp_row {
    int32_t token, position, segment; /* segment < 0: padding */
    int32_t slot;                     /* of its sequence's cache; rows of one sequence come in slot order */
    int32_t sequence;                 /* index into pp_pass.sequences */
    bool wants_logits;
} pp_row;

/* A timeline that takes part: its cache and its adapters. Rows of one sequence are adjacent. */
typedef struct pp_sequence {
    pp_kv *kv;
    const pp_lora_use *loras; /* [n_lora] */
    int32_t n_lora;
    const atomic_int *cancel; /* polled once a layer; may be NULL */
    /* [PP_HEAD_GROUPS(n_vocab)] which rows of the head are computed for it, in groups of PP_GRAIN; logits of the others are -INFINITY. NULL: all. */
    const bool *head_groups;
} pp_sequence;

/* Outputs of a linear layer that stay together: a whole tile of any kernel. */
enum { PP_GRAIN = 32 };
#define PP_HEAD_GROUPS(n_vocab) (((size_t)(n_vocab) + PP_GRAIN - 1) / PP_GRAIN)

typedef struct pp_pass {
    const pp_row *rows; /* [n_row] */
    int32_t n_row;
    const pp_sequence *sequences;
    int32_t n_sequence;
    bool no_bypass;
    void (*at_layer)(void *user, int32_t layer); /* called before each; may be NULL */
    void *user;
} pp_pass;

/* Scratch memory for passes of up to n_row rows: allocated once, nothing is allocated later. */
typedef struct pp_scratch pp_scratch;
typedef struct pp_scratch_sizes {
    int32_t n_row, n_logits, n_ctx, n_thread;
} pp_scratch_sizes;
uint64_t pp_scratch_bytes(const pippin_config *c, pp_scratch_sizes sizes);
pippin_status pp_scratch_create(const pp_weights *w, const pp_rope *rope, pp_scratch_sizes sizes, pp_scratch **out,
                                pippin_error *err);
void pp_scratch_free(pp_scratch *s);

/* What a pass needs besides its rows. */
typedef struct pp_engine {
    const pp_weights *weights;
    const pp_kernels *kernels;
    pp_team *team;
    pp_scratch *scratch;
} pp_engine;

/*
 * Runs the rows through the layers, writes their K and V into the caches, and leaves the hidden states of those that want
 * logits in the scratch. Where nothing reads a row's result any more - after the last full layer has written its K and V,
 * for rows that want no logits - it is dropped, exactly. CANCELLED leaves the caches' n_tok as it was.
 */
pippin_status pp_forward(const pp_engine *e, const pp_pass *pass, pippin_error *err);
/* Logits [n_vocab] of the pass's wanted rows first .. first + n - 1 (n <= the scratch's n_logits), in order; owned by the scratch. */
const float *pp_forward_logits(const pp_engine *e, const pp_pass *pass, int32_t first, int32_t n);

/* ---- saving as GGUF (save_gguf.c) ---- */

/* A text that a model is run over while it is saved in fewer bits, and what it runs with. */
typedef struct pp_calibration {
    pp_scratch *scratch;   /* for n_row rows */
    pp_kv *kv;             /* of n_tok slots */
    pp_row *rows;          /* [n_row] of a pass */
    const int32_t *tokens; /* [n_tok] */
    size_t n_tok;
    size_t n_row; /* tokens of a sequence; the last may have fewer */
} pp_calibration;

/* What saving works with. */
typedef struct pp_saving {
    const pippin_save_options *options; /* all but merge, n_merge, calibrate and n_calibrate */
    const pp_lora_use *merge;           /* [n_merge] all F32 */
    size_t n_merge;
    const pp_calibration *calibration; /* NULL: by the weights alone */
    const pp_kernels *kernels;
    pp_team *team;
    pp_gguf_writer *values; /* what was put already (the tokenizer); the caller's to abort */
} pp_saving;

/* One GGUF file. */
pippin_status pp_weights_save_gguf(const pp_weights *w, const pp_saving *how, const char *path, pippin_error *err);

/* ---- the reference (reference.c) ---- */

/*
 * Logits of every token into row(user, i, logits), by plain loops over f32 weights with double sums. segments and
 * positions as in pippin_score, but given. The K/V quantiser of the model is applied, and inputs of low-bit matrices are rounded;
 * those of block types are not, unless the weights are those of a pp_packed.
 */
pippin_status pp_reference_score(const pp_weights *w, const pp_rope *rope, const pp_lora_use *loras, int32_t n_lora,
                                 const pippin_score *score, pippin_error *err);

#endif
