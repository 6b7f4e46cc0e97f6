/* train_options.c - the options of the training commands, as data. */
#include "cli/train.h"

#define AT(field) offsetof(pp_train_args, field)

const pp_option pp_options_train_data[] = {
    {PP_OPT_TEXT("data", "FILE", AT(data)), .files = "jsonl|txt|/",
     .help = "what to learn: .jsonl with a sample a line, .txt, or a folder with train.jsonl and valid.jsonl"},
    {PP_OPT_TEXT("eval-data", "FILE", AT(eval_data)), .files = "jsonl|txt",
     .help = "what to measure the loss on, never learned (default: the folder's valid.jsonl)"},
    {PP_OPT_OUTPUT("DIR", AT(output), "/"),
     .help = "folder for the result, checkpoints, metrics.jsonl and loss.svg; created if absent"},
    {PP_OPT_FLAG("resume", AT(resume)),
     .help = "go on from the newest checkpoint in the output folder, as if the run had never stopped"},
    {PP_OPT_INT("max-sequence-length", "N", AT(max_length), 2, 1 << 20),
     .help = "tokens of a sample, longer ones are cut (default: what the model was trained on, at most 4096)"},
    {PP_OPT_FLAG("pack-sequences", AT(pack)),
     .help = "join short samples to sequences of that length; each still sees itself only"},
    {PP_OPT_FLAG("fixed-sized-sequences", AT(fixed)),
     .help = "accepted for the toolkit's sake: padding is never computed here, so it changes nothing"},
    {PP_OPT_TEXT("separator", "TEXT", AT(separator)),
     .help = "what stands between the documents of a .txt (default: it is one stream)"},
    {PP_OPT_CHOICE("shuffle", "HOW", AT(shuffle), "none|seed"),
     .help = "order of the samples: as in the file, or a new one every epoch from --seed (default)"},
    {PP_OPT_SEED(AT(seed)), .help = "of order, initial weights and dropout (default: 0)"},
    {0}};

const pp_option pp_options_train_steps[] = {
    {PP_OPT_INT("epochs", "N", AT(epochs), 1, 1000000), .help = "times that all data is gone through (default: 2)"},
    {PP_OPT_INT("max-steps", "N", AT(max_steps), 1, INT32_MAX), .help = "end after this many steps"},
    {PP_OPT_INT("batch-size", "N", AT(batch_size), 1, 65536), .help = "sequences computed together (default: 4)"},
    {PP_OPT_INT("grad-accumulation", "N", AT(accumulation), 1, 65536),
     .help = "batches that make one step (default: 1)"},
    {PP_OPT_REAL("learning-rate", "RATE", AT(rate), 1e-20, 100), .help = "at its highest (default: 0.001)"},
    {PP_OPT_CHOICE("schedule", "HOW", AT(schedule), "cosine|constant"),
     .help =
         "of the rate after the warm-up: down to 0 along a cosine, or as it is (default: cosine; distill: constant)"},
    {PP_OPT_AMOUNT("warmup-epochs", "N", AT(warmup_epochs), 1e6),
     .help = "epochs in which the rate rises from 0 (default: 1 for an adapter, else a twentieth of all)"},
    {PP_OPT_AMOUNT("warmup-steps", "N", AT(warmup_steps), 1e9), .help = "the same in steps"},
    {PP_OPT_AMOUNT("weight-decay", "X", AT(weight_decay), 10),
     .help = "times the rate, the share of a weight that goes (default: 0.01)"},
    {PP_OPT_AMOUNT("clip-grad-norm", "X", AT(clip), 1e9),
     .help = "cut the gradient to this norm; 0: never (default: 1)"},
    {PP_OPT_REAL("dropout", "P", AT(dropout), 0, 0.99),
     .help = "share of what attention and feed-forward parts add that is left out (default: 0)"},
    {PP_OPT_FLAG("activation-checkpointing", AT(checkpointing)),
     .help = "keep layers' inputs only and compute the rest again: less memory, a third more time"},
    {PP_OPT_CHOICE("precision", "TYPE", AT(precision), "f32|bf16"),
     .help = "of the products (default, and all that this version has: f32)"},
    {PP_OPT_INT("eval-every", "N", AT(eval_every), 1, INT32_MAX),
     .help = "measure --eval-data every N steps (default: once an epoch)"},
    {PP_OPT_INT("checkpoint-every", "N", AT(checkpoint_every), 1, INT32_MAX),
     .help = "write a checkpoint every N steps (default: once an epoch); the newest two are kept"},
    {0}};

const pp_option pp_options_train_adapter[] = {
    {PP_OPT_INT("rank", "N", AT(rank), 1, 256), .help = "of the adapter's matrices (default: 32)"},
    {PP_OPT_REAL("alpha", "X", AT(alpha), 1e-6, 1e6),
     .help = "its effect is multiplied by alpha / rank (default: rank / 2)"},
    {PP_OPT_REAL("lora-dropout", "P", AT(lora_dropout), 0, 0.99),
     .help = "share of the adapter's inputs that is left out (default: 0)"},
    {PP_OPT_TEXT("init", "ADAPTER", AT(init)), .files = PP_ADAPTER_FILES,
     .help = "start from this adapter; its rank and alpha hold"},
    {PP_OPT_TYPE("save-type", AT(save_type), "f32|f16|bf16"),
     .help = "of the adapter's file: f32 (default), or f16 or bf16, half the size on disk and in memory"},
    {0}};

const pp_option pp_options_train_preset[] = {
    {PP_OPT_PRESET(AT(preset)), .help = "in place of --model: random weights of this shape, or of a config.json's"},
    {0}};

const pp_option pp_options_train_weights[] = {
    {PP_OPT_CHOICE("optimizer", "NAME", AT(optimizer), "adamw|muon"),
     .help = "adamw (default), or muon for the matrices of the layers and adamw for the rest; the same rate and decay"},
    {PP_OPT_TYPE("qat", AT(qat), "q2|q4"),
     .help = "train with rounding in the loop: q2 (2-bit weights, 4-bit embedding) or q4; K and V int8"},
    {0}};

const pp_option pp_options_train_teacher[] = {
    {PP_OPT_CHOICE("loss", "NAME", AT(loss), "reverse-kl|forward-kl"),
     .help = "KL(draft || teacher) (default), or KL(teacher || draft), for a draft with random weights"},
    {PP_OPT_INT("continuations", "N", AT(continuations), 1, 1 << 20),
     .help = "learn up to N tokens that the teacher itself writes after each prompt, in place of the data's"},
    {PP_OPT_REAL("temp", "T", AT(temperature), 0, 100),
     .help = "temperature of these continuations (default: 0, greedy)"},
    {PP_OPT_TEXT("teacher", "MODEL", AT(teacher)), .files = PP_MODEL_FILES,
     .help = "whose predictions the draft is to learn; its vocabulary must be the draft's"},
    {0}};
