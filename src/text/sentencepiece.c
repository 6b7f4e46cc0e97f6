/*
 * sentencepiece.c - reads a SentencePiece model. The file is one protobuf message, but only a dozen of its fields matter
 * here and its hundreds of thousands of pieces would each cost protobuf-c two allocations and a copy; a bounded reader of
 * the wire format is shorter than the generated code's build rules.
 */
#include <string.h>

#include "text/tokenizer.h"

/* ---- the wire: a field is a number, and a value or a message of bytes ---- */

typedef struct field {
    uint32_t number;
    uint64_t value; /* of a whole number */
    float real;     /* of four bytes */
    pp_bytes bytes; /* of a text or message */
} field;

static uint64_t take_varint(pp_bytes *b)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = pp_bytes_u8(b);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    b->failed = true;
    return 0;
}

/* False at the end, and where the wire is broken: then b->failed. */
static bool take_field(pp_bytes *b, field *f)
{
    if (pp_bytes_left(b) == 0 || b->failed) return false;
    const uint64_t tag = take_varint(b);
    *f = (field){.number = (uint32_t)(tag >> 3)};
    uint64_t n;
    switch (tag & 7) {
    case 0: f->value = take_varint(b); break;
    case 1: pp_bytes_u64(b); break;
    case 2:
        n = take_varint(b);
        if (n > pp_bytes_left(b)) b->failed = true;
        if (!b->failed) f->bytes = pp_bytes_of(pp_bytes_take(b, (size_t)n), (size_t)n);
        break;
    case 5: f->real = pp_bytes_f32(b); break;
    default: b->failed = true;
    }
    return !b->failed && tag >> 3 > 0 && tag >> 3 < UINT32_MAX;
}

/* ---- the message ---- */

enum { ROOT_PIECE = 1, ROOT_TRAINER = 2, ROOT_NORMALIZER = 3 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

typedef struct reader {
    pippin_tokenizer *t;
    const char *source;
    pippin_error *err;
    uint64_t model; /* kind */
    bool space_is_suffix;
    pp_bytes unknown, bos, eos; /* how these pieces are called, or what unknown text looks like */
} reader;

static pippin_status bad(const reader *r, const char *what)
{
    return pp_fail(r->err, PIPPIN_E_FORMAT, "%s: %s; expected a SentencePiece model, check that the file is whole",
                   r->source, what);
}

static pippin_status read_piece(reader *r, int32_t id, pp_bytes b)
{
    static const uint8_t kinds[] = {PP_PIECE_NORMAL, PP_PIECE_NORMAL, PP_PIECE_UNKNOWN, PP_PIECE_CONTROL,
                                    PP_PIECE_USER,   PP_PIECE_UNUSED, PP_PIECE_NORMAL};
    pp_piece *p = &r->t->pieces[id];
    pp_bytes text = pp_bytes_of("", 0);
    uint64_t type = TYPE_NORMAL;
    for (field f; take_field(&b, &f);) {
        if (f.number == 1) text = f.bytes;
        if (f.number == 2) p->score = f.real;
        if (f.number == 3) type = f.value;
    }
    if (b.failed || text.size == 0 || type < TYPE_NORMAL || type > TYPE_BYTE)
        return bad(r, "a piece that is damaged or empty");
    if (p->score != p->score) p->score = 0; /* a NaN would have no order */
    p->kind = kinds[type];
    pippin_status status = pp_piece_set(r->t, id, (const char *)text.data, text.size, r->source, r->err);
    if (status != PIPPIN_OK) return status;
    if (type == TYPE_BYTE && !pp_piece_set_byte(r->t, id)) return bad(r, "a byte piece that spells no byte");
    if (p->kind == PP_PIECE_UNKNOWN) r->t->unk = id;
    return PIPPIN_OK;
}

static void read_trainer(reader *r, pp_bytes b)
{
    for (field f; take_field(&b, &f);) switch (f.number) {
        case 3: r->model = f.value; break;
        case 24: r->space_is_suffix = f.value != 0; break;
        case 35: r->t->byte_fallback = f.value != 0; break;
        case 44: r->unknown = f.bytes; break;
        case 46: r->bos = f.bytes; break;
        case 47: r->eos = f.bytes; break;
        default: break;
        }
}

pippin_status pp_sp_read_table(pippin_tokenizer *t, pp_bytes b, const char *source, pippin_error *err)
{
    pp_sp_rules *rules = &t->rules;
    if (b.size == 0 || rules->trie) return PIPPIN_OK;
    const uint32_t n = pp_bytes_u32(&b);
    const size_t n_text = b.failed || n > pp_bytes_left(&b) ? 0 : pp_bytes_left(&b) - n;
    if (n_text == 0 || n % 4 || n == 0 || b.data[b.size - 1] != 0)
        return pp_fail(
            err, PIPPIN_E_FORMAT,
            "%s: a table of characters that is damaged; expected SentencePiece's, check that the file is whole",
            source);
    rules->trie = pp_alloc(n);
    rules->replacements = pp_alloc(n_text);
    if (!rules->trie || !rules->replacements) return pp_fail_memory(err, source, n + n_text);
    rules->n_trie = n / 4;
    rules->n_replacements = n_text;
    for (size_t i = 0; i < rules->n_trie; i++) rules->trie[i] = pp_bytes_u32(&b);
    memcpy(rules->replacements, pp_bytes_take(&b, n_text), n_text);
    return PIPPIN_OK;
}

static pippin_status read_normalizer(reader *r, pp_bytes b)
{
    pippin_status status = PIPPIN_OK;
    pp_sp_rules *rules = &r->t->rules;
    for (field f; status == PIPPIN_OK && take_field(&b, &f);) switch (f.number) {
        case 2: status = pp_sp_read_table(r->t, f.bytes, r->source, r->err); break;
        case 3: rules->dummy_prefix = f.value != 0; break;
        case 4: rules->one_space = f.value != 0; break;
        case 5: rules->escape = f.value != 0; break;
        default: break;
        }
    return status;
}

static pippin_status read_all(reader *r, pp_bytes b)
{
    int32_t id = 0;
    pippin_status status = PIPPIN_OK;
    for (field f; status == PIPPIN_OK && take_field(&b, &f);) switch (f.number) {
        case ROOT_PIECE: status = read_piece(r, id++, f.bytes); break;
        case ROOT_TRAINER: read_trainer(r, f.bytes); break;
        case ROOT_NORMALIZER: status = read_normalizer(r, f.bytes); break;
        default: break;
        }
    return status;
}

/* ---- what follows from it ---- */

static int32_t control(const pippin_tokenizer *t, pp_bytes name)
{
    const int32_t id = pp_tokenizer_find(t, (const char *)name.data, name.size);
    return id >= 0 && t->pieces[id].kind == PP_PIECE_CONTROL ? id : -1;
}

pippin_status pp_sp_finish(pippin_tokenizer *t, const char *source, pippin_error *err)
{
    pippin_status status = t->rules.escape ? pp_pieces_replace(t, "\xe2\x96\x81", " ", source, err) : PIPPIN_OK;
    if (status != PIPPIN_OK) return status;
    /* Where the vocabulary has a piece for newlines, it is one before everything else, and comes back as one. */
    for (int32_t id = 0; id < t->n_piece; id++) {
        pp_piece *p = &t->pieces[id];
        if (p->n_stored != 3 || memcmp(p->stored, "<n>", 3) != 0 ||
            (p->kind != PP_PIECE_USER && p->kind != PP_PIECE_CONTROL))
            continue;
        p->kind = PP_PIECE_USER;
        p->text = "\n";
        p->n_text = 1;
        t->newline = id;
        break;
    }
    t->strip_space = t->rules.dummy_prefix;
    t->fuse_unknown = true;
    return pp_tokenizer_build_index(t, source, err);
}

pippin_status pp_sp_finish_unigram(pippin_tokenizer *t, const char *source, pippin_error *err)
{
    for (int32_t id = 0; id < t->n_piece; id++)
        if (t->pieces[id].kind == PP_PIECE_NORMAL) t->worst = PP_MIN(t->worst, t->pieces[id].score);
    return pp_prefix_build(t, 1u << PP_PIECE_NORMAL, &t->normal, source, err);
}

static pippin_status finish(reader *r)
{
    pippin_tokenizer *t = r->t;
    if (r->model != MODEL_UNIGRAM && r->model != MODEL_BPE)
        return pp_fail(r->err, PIPPIN_E_UNSUPPORTED,
                       "%s: trainer_spec.model_type %llu, expected 1 (unigram) or 2 (BPE); use another tokenizer",
                       r->source, (unsigned long long)r->model);
    if (r->space_is_suffix)
        return pp_fail(
            r->err, PIPPIN_E_UNSUPPORTED,
            "%s: trainer_spec.treat_whitespace_as_suffix is set, expected spaces before words; use another tokenizer",
            r->source);
    if (t->unk < 0) return bad(r, "no piece for unknown text");
    t->kind = r->model == MODEL_BPE ? PP_TOKENIZER_SCORES : PP_TOKENIZER_UNIGRAM;
    const char *surface = pp_tokenizer_keep(t, (const char *)r->unknown.data, r->unknown.size);
    if (!surface) return pp_fail_memory(r->err, r->source, r->unknown.size);
    t->pieces[t->unk].text = surface;
    t->pieces[t->unk].n_text = (uint32_t)PP_MIN(r->unknown.size, (size_t)64);
    pippin_status status = pp_sp_finish(t, r->source, r->err);
    if (status == PIPPIN_OK && t->kind == PP_TOKENIZER_UNIGRAM) status = pp_sp_finish_unigram(t, r->source, r->err);
    if (status != PIPPIN_OK) return status;
    t->bos = control(t, r->bos);
    t->eos = control(t, r->eos);
    return PIPPIN_OK;
}

pippin_status pp_tokenizer_parse_sentencepiece(const void *data, size_t size, const char *source,
                                               pippin_tokenizer **out, pippin_error *err)
{
    reader r = {.source = source,
                .err = err,
                .model = MODEL_UNIGRAM,
                .unknown = pp_bytes_of(" \xe2\x81\x87 ", 5),
                .bos = pp_bytes_of("<s>", 3),
                .eos = pp_bytes_of("</s>", 4)};
    pp_bytes b = pp_bytes_of(data, size), counting = b;
    size_t n = 0;
    *out = NULL;
    for (field f; take_field(&counting, &f);) n += f.number == ROOT_PIECE;
    if (counting.failed || pp_bytes_left(&counting) || n == 0) return bad(&r, "no message of pieces");
    pippin_status status = pp_tokenizer_new(n, source, &r.t, err);
    if (status != PIPPIN_OK) return status;
    r.t->rules = (pp_sp_rules){.dummy_prefix = true, .one_space = true, .escape = true};
    status = read_all(&r, b);
    if (status == PIPPIN_OK) status = finish(&r);
    if (status != PIPPIN_OK)
        pippin_tokenizer_free(r.t);
    else
        *out = r.t;
    return status;
}
