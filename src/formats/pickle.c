/*
 * pickle.c - the part of pickle that torch.save uses for dictionaries of tensors. It builds values and calls nothing: a
 * name that is not one of the tensor-rebuild functions is refused as soon as it appears. Every opcode takes at least a
 * byte and makes at most one value, nothing recurses, and the number of values is limited.
 */
#include <string.h>

#include "formats/torch.h"

/* A checkpoint of 1,200 tensors makes 20,000 values. */
enum { MAX_VALUES = 1 << 19, MAX_MEMO = 1 << 19 };

typedef struct machine {
    pp_pickle *p;
    pp_bytes in;
    uint32_t *stack, *marks, *memo;
    size_t n_stack, stack_capacity, n_marks, marks_capacity, memo_size;
    uint64_t n_memoized;
    pippin_status status;
    pippin_error *err;
} machine;

static void damaged(machine *m, const char *what)
{
    if (m->status == PIPPIN_OK)
        m->status = pp_fail(m->err, PIPPIN_E_FORMAT,
                            "%s: byte %zu of data.pkl: %s; expected a dictionary of tensors as torch.save writes it",
                            m->p->source, m->in.at, what);
}

static bool reserve(machine *m, void **array, size_t n, size_t *capacity, size_t size, size_t limit)
{
    if (m->status != PIPPIN_OK) return false;
    if (n < *capacity) return true;
    if (n >= limit) {
        damaged(m, "too many values");
        return false;
    }
    const size_t bigger = *capacity ? 2 * *capacity : 256;
    void *grown = pp_grow(*array, n, bigger, size);
    if (!grown) {
        m->status = pp_fail_memory(m->err, m->p->source, bigger * size);
        return false;
    }
    *array = grown;
    *capacity = bigger;
    return true;
}

static void push_number(machine *m, uint32_t number)
{
    void *array = m->stack;
    if (!reserve(m, &array, m->n_stack, &m->stack_capacity, sizeof *m->stack, MAX_VALUES)) return;
    m->stack = array;
    m->stack[m->n_stack++] = number;
}

static uint32_t new_value(machine *m, pp_value value)
{
    void *array = m->p->values;
    if (!reserve(m, &array, m->p->n_values, &m->p->values_capacity, sizeof value, MAX_VALUES)) return 0;
    m->p->values = array;
    m->p->values[m->p->n_values] = value;
    return (uint32_t)m->p->n_values++;
}

static void push(machine *m, pp_value value) { push_number(m, new_value(m, value)); }

/* Where the last mark lies: instructions that know how many values they want find them above it. */
static size_t floor_of(const machine *m) { return m->n_marks ? m->marks[m->n_marks - 1] : 0; }

static uint32_t pop(machine *m)
{
    if (m->n_stack <= floor_of(m)) {
        damaged(m, "the stack is empty");
        return 0;
    }
    return m->stack[--m->n_stack];
}

static size_t pop_mark(machine *m)
{
    if (m->n_marks == 0) {
        damaged(m, "a mark is missing");
        return m->n_stack;
    }
    return m->marks[--m->n_marks];
}

static void append(machine *m, uint32_t container, uint32_t element)
{
    void *array = m->p->links;
    if (!reserve(m, &array, m->p->n_links, &m->p->links_capacity, sizeof *m->p->links, 2 * MAX_VALUES)) return;
    m->p->links = array;
    const uint32_t link = (uint32_t)m->p->n_links++;
    m->p->links[link] = (pp_link){element, 0};
    pp_value *v = &m->p->values[container];
    if (v->u.items.n++)
        m->p->links[v->u.items.last].next = link;
    else
        v->u.items.first = link;
    v->u.items.last = link;
}

/* A tuple (or list, or dictionary) of what lies on the stack from `first` on. */
static void collect(machine *m, pp_value_kind kind, size_t first)
{
    const uint32_t container = new_value(m, (pp_value){.kind = kind});
    if (kind == PP_VALUE_DICT && (m->n_stack - first) % 2) damaged(m, "a key has no value");
    for (size_t i = first; i < m->n_stack && m->status == PIPPIN_OK; i++) append(m, container, m->stack[i]);
    m->n_stack = first;
    push_number(m, container);
}

static void collect_few(machine *m, size_t n)
{
    if (m->n_stack - floor_of(m) < n)
        damaged(m, "the stack is empty");
    else
        collect(m, PP_VALUE_TUPLE, m->n_stack - n);
}

/* Adds what lies above `first` to the list or dictionary below it. */
static void add_items(machine *m, pp_value_kind kind, size_t first)
{
    if (m->status != PIPPIN_OK) return;
    if (first <= floor_of(m) || m->p->values[m->stack[first - 1]].kind != kind ||
        (kind == PP_VALUE_DICT && (m->n_stack - first) % 2)) {
        damaged(m, "elements without a container");
        return;
    }
    const uint32_t container = m->stack[first - 1];
    for (size_t i = first; i < m->n_stack && m->status == PIPPIN_OK; i++) append(m, container, m->stack[i]);
    m->n_stack = first;
}

/* ---- texts and names ---- */

static void push_text(machine *m, uint64_t n)
{
    const uint8_t *text = n <= UINT32_MAX ? pp_bytes_take(&m->in, (size_t)n) : NULL;
    if (!text) {
        damaged(m, "a text goes past the end");
        return;
    }
    push(m, (pp_value){.kind = PP_VALUE_TEXT, .u.text = {(uint32_t)(text - m->p->data), (uint32_t)n}});
}

static bool equals(const machine *m, pp_value text, const char *expected)
{
    const size_t n = strlen(expected);
    return text.kind == PP_VALUE_TEXT && text.u.text.size == n &&
           memcmp(m->p->data + text.u.text.start, expected, n) == 0;
}

static void push_global(machine *m, pp_value module, pp_value name)
{
    static const struct {
        const char *module, *name;
        pp_global which;
        pippin_type type;
    } known[] = {
        {"torch._utils", "_rebuild_tensor_v2", PP_GLOBAL_REBUILD_TENSOR, 0},
        {"torch._utils", "_rebuild_tensor", PP_GLOBAL_REBUILD_TENSOR, 0},
        {"torch._utils", "_rebuild_parameter", PP_GLOBAL_REBUILD_PARAMETER, 0},
        {"collections", "OrderedDict", PP_GLOBAL_ORDERED_DICT, 0},
        {"torch", "FloatStorage", PP_GLOBAL_STORAGE, PIPPIN_F32},
        {"torch", "HalfStorage", PP_GLOBAL_STORAGE, PIPPIN_F16},
        {"torch", "BFloat16Storage", PP_GLOBAL_STORAGE, PIPPIN_BF16},
        {"torch", "LongStorage", PP_GLOBAL_STORAGE, PIPPIN_I64},
        {"torch", "CharStorage", PP_GLOBAL_STORAGE, PIPPIN_I8},
        {"torch", "DoubleStorage", PP_GLOBAL_STORAGE, 0},
        {"torch", "IntStorage", PP_GLOBAL_STORAGE, 0},
        {"torch", "ShortStorage", PP_GLOBAL_STORAGE, 0},
        {"torch", "ByteStorage", PP_GLOBAL_STORAGE, 0},
        {"torch", "BoolStorage", PP_GLOBAL_STORAGE, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (equals(m, module, known[i].module) && equals(m, name, known[i].name)) {
            push(m, (pp_value){.kind = PP_VALUE_GLOBAL, .u.global = {known[i].which, known[i].type}});
            return;
        }
    if (m->status != PIPPIN_OK) return;
    if (module.kind != PP_VALUE_TEXT || name.kind != PP_VALUE_TEXT) {
        damaged(m, "a name that is not a text");
        return;
    }
    m->status =
        pp_fail(m->err, PIPPIN_E_UNSUPPORTED,
                "%s: the pickle wants %.*s.%.*s, expected nothing but tensors; save the state dictionary alone, and do "
                "not trust the file's origin",
                m->p->source, (int)PP_MIN(module.u.text.size, 100u), (const char *)m->p->data + module.u.text.start,
                (int)PP_MIN(name.u.text.size, 100u), (const char *)m->p->data + name.u.text.start);
}

/* A line of the pickle as a text, without its newline. */
static pp_value take_line(machine *m)
{
    const size_t left = pp_bytes_left(&m->in);
    const uint8_t *from = m->in.data + m->in.at, *newline = left ? memchr(from, '\n', left) : NULL;
    if (!newline) {
        damaged(m, "a name goes past the end");
        return (pp_value){0};
    }
    pp_bytes_take(&m->in, (size_t)(newline - from) + 1);
    return (pp_value){.kind = PP_VALUE_TEXT, .u.text = {(uint32_t)(from - m->p->data), (uint32_t)(newline - from)}};
}

/* ---- the calls that are not made ---- */

static void reduce(machine *m)
{
    const uint32_t args = pop(m), callable = pop(m);
    if (m->status != PIPPIN_OK) return;
    const pp_value f = m->p->values[callable];
    if (f.kind != PP_VALUE_GLOBAL || m->p->values[args].kind != PP_VALUE_TUPLE) {
        damaged(m, "a call of something that is no function");
    } else if (f.u.global.which == PP_GLOBAL_ORDERED_DICT) {
        if (m->p->values[args].u.items.n)
            damaged(m, "an ordered dictionary that is not made empty");
        else
            push(m, (pp_value){.kind = PP_VALUE_DICT});
    } else if (f.u.global.which == PP_GLOBAL_REBUILD_PARAMETER) {
        push_number(m, pp_pickle_item(m->p, args, 0));
    } else if (f.u.global.which == PP_GLOBAL_REBUILD_TENSOR) {
        const uint32_t storage = pp_pickle_item(m->p, args, 0);
        if (m->p->values[storage].kind != PP_VALUE_STORAGE)
            damaged(m, "a tensor without storage");
        else
            push(m, (pp_value){.kind = PP_VALUE_TENSOR, .u.tensor = {storage, args}});
    } else {
        damaged(m, "a call of a storage type");
    }
}

/* ('storage', type, key, location, number of elements) */
static void persistent_id(machine *m)
{
    const uint32_t id = pop(m);
    if (m->status != PIPPIN_OK) return;
    const pp_pickle *p = m->p;
    const uint32_t key = pp_pickle_item(p, id, 2);
    const pp_value type = p->values[pp_pickle_item(p, id, 1)], n = p->values[pp_pickle_item(p, id, 4)];
    if (p->values[id].kind != PP_VALUE_TUPLE || !equals(m, p->values[pp_pickle_item(p, id, 0)], "storage") ||
        type.kind != PP_VALUE_GLOBAL || type.u.global.which != PP_GLOBAL_STORAGE ||
        p->values[key].kind != PP_VALUE_TEXT || n.kind != PP_VALUE_INT)
        damaged(m, "a persistent id that is no storage");
    else
        push(m, (pp_value){.kind = PP_VALUE_STORAGE, .u.storage = {type.u.global.type, key, n.u.integer}});
}

/* BUILD sets attributes; a state dictionary's are its versions, which are not needed. */
static void build(machine *m)
{
    pop(m);
    const uint32_t object = pop(m);
    if (m->status == PIPPIN_OK && m->p->values[object].kind != PP_VALUE_DICT)
        damaged(m, "attributes of something that is no dictionary");
    push_number(m, object);
}

/* ---- memo and numbers ---- */

static void memo_put(machine *m, uint64_t at)
{
    const uint32_t top = pop(m);
    push_number(m, top);
    if (m->status != PIPPIN_OK) return;
    if (at >= MAX_MEMO) {
        damaged(m, "a memo entry out of range");
        return;
    }
    if (at >= m->memo_size) {
        const size_t bigger = PP_MAX(2 * m->memo_size, (size_t)at + 256);
        uint32_t *grown = pp_grow(m->memo, m->memo_size, bigger, sizeof *grown);
        if (!grown) {
            m->status = pp_fail_memory(m->err, m->p->source, bigger * sizeof *grown);
            return;
        }
        memset(grown + m->memo_size, 0, (bigger - m->memo_size) * sizeof *grown);
        m->memo = grown;
        m->memo_size = bigger;
    }
    m->memo[at] = top + 1; /* 0: no entry */
}

static void memo_get(machine *m, uint64_t at)
{
    if (at >= m->memo_size || !m->memo[at])
        damaged(m, "a memo entry that does not exist");
    else
        push_number(m, m->memo[at] - 1);
}

static void push_int(machine *m, int64_t value) { push(m, (pp_value){.kind = PP_VALUE_INT, .u.integer = value}); }

/* A little-endian two's complement integer of n bytes. */
static void push_long(machine *m, size_t n)
{
    const uint8_t *bytes = pp_bytes_take(&m->in, n);
    if (!bytes || n > 8) {
        damaged(m, "a number that is too long");
        return;
    }
    uint64_t value = n && bytes[n - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = n; i > 0; i--) value = value << 8 | bytes[i - 1];
    push_int(m, (int64_t)value);
}

static void push_mark(machine *m)
{
    void *array = m->marks;
    if (!reserve(m, &array, m->n_marks, &m->marks_capacity, sizeof *m->marks, MAX_VALUES)) return;
    m->marks = array;
    m->marks[m->n_marks++] = (uint32_t)m->n_stack;
}

static void stack_global(machine *m)
{
    const uint32_t name = pop(m), module = pop(m);
    if (m->status == PIPPIN_OK) push_global(m, m->p->values[module], m->p->values[name]);
}

/* One instruction; false after STOP. Opcodes are named as in Python's pickletools. */
static bool step(machine *m)
{
    static const pp_value none = {0};
    pp_bytes *in = &m->in;
    const uint8_t opcode = pp_bytes_u8(in);
    if (in->failed) {
        damaged(m, "it ends without STOP");
        return false;
    }
    switch (opcode) {
    case 0x80: pp_bytes_u8(in); break;         /* PROTO */
    case 0x95: pp_bytes_u64(in); break;        /* FRAME */
    case '.': return false;                    /* STOP */
    case '(': push_mark(m); break;             /* MARK */
    case '0': pop(m); break;                   /* POP */
    case '1': m->n_stack = pop_mark(m); break; /* POP_MARK */
    case 'N': push(m, none); break;            /* NONE */
    case 0x88:
    case 0x89: push(m, none); break; /* NEWTRUE, NEWFALSE */
    case 'G':
        pp_bytes_u64(in);
        push(m, none);
        break;                                        /* BINFLOAT */
    case 'K': push_int(m, pp_bytes_u8(in)); break;    /* BININT1 */
    case 'M': push_int(m, pp_bytes_u16(in)); break;   /* BININT2 */
    case 'J': push_int(m, pp_bytes_i32(in)); break;   /* BININT */
    case 0x8a: push_long(m, pp_bytes_u8(in)); break;  /* LONG1 */
    case 'X': push_text(m, pp_bytes_u32(in)); break;  /* BINUNICODE */
    case 0x8c: push_text(m, pp_bytes_u8(in)); break;  /* SHORT_BINUNICODE */
    case 0x8d: push_text(m, pp_bytes_u64(in)); break; /* BINUNICODE8 */
    case ')': collect_few(m, 0); break;               /* EMPTY_TUPLE */
    case 0x85:
    case 0x86:
    case 0x87: collect_few(m, opcode - 0x84u); break;                                  /* TUPLE1, 2, 3 */
    case 't': collect(m, PP_VALUE_TUPLE, pop_mark(m)); break;                          /* TUPLE */
    case ']': collect_few(m, 0); break;                                                /* EMPTY_LIST */
    case 'l': collect(m, PP_VALUE_TUPLE, pop_mark(m)); break;                          /* LIST */
    case 'a': add_items(m, PP_VALUE_TUPLE, m->n_stack ? m->n_stack - 1 : 0); break;    /* APPEND */
    case 'e': add_items(m, PP_VALUE_TUPLE, pop_mark(m)); break;                        /* APPENDS */
    case '}': push(m, (pp_value){.kind = PP_VALUE_DICT}); break;                       /* EMPTY_DICT */
    case 'd': collect(m, PP_VALUE_DICT, pop_mark(m)); break;                           /* DICT */
    case 's': add_items(m, PP_VALUE_DICT, m->n_stack > 1 ? m->n_stack - 2 : 0); break; /* SETITEM */
    case 'u': add_items(m, PP_VALUE_DICT, pop_mark(m)); break;                         /* SETITEMS */
    case 'q': memo_put(m, pp_bytes_u8(in)); break;                                     /* BINPUT */
    case 'r': memo_put(m, pp_bytes_u32(in)); break;                                    /* LONG_BINPUT */
    case 0x94: memo_put(m, m->n_memoized++); break;                                    /* MEMOIZE */
    case 'h': memo_get(m, pp_bytes_u8(in)); break;                                     /* BINGET */
    case 'j': memo_get(m, pp_bytes_u32(in)); break;                                    /* LONG_BINGET */
    case 'c': {                                                                        /* GLOBAL */
        const pp_value module = take_line(m), name = take_line(m);
        push_global(m, module, name);
        break;
    }
    case 0x93: stack_global(m); break; /* STACK_GLOBAL */
    case 'R': reduce(m); break;        /* REDUCE */
    case 'Q': persistent_id(m); break; /* BINPERSID */
    case 'b': build(m); break;         /* BUILD */
    default: damaged(m, "an opcode that no state dictionary needs");
    }
    if (in->failed) damaged(m, "it ends inside an instruction");
    return true;
}

pippin_status pp_pickle_run(const uint8_t *data, size_t size, const char *source, pp_pickle *out, pippin_error *err)
{
    *out = (pp_pickle){.data = data, .size = size, .source = source};
    machine m = {.p = out, .in = pp_bytes_of(data, size), .err = err};
    new_value(&m, (pp_value){0});
    if (size > UINT32_MAX) damaged(&m, "it is larger than 4 GB");
    while (m.status == PIPPIN_OK && step(&m)) {
    }
    if (m.status == PIPPIN_OK) out->root = pop(&m);
    pp_free(m.stack);
    pp_free(m.marks);
    pp_free(m.memo);
    return m.status;
}

void pp_pickle_free(pp_pickle *p)
{
    pp_free(p->values);
    pp_free(p->links);
    *p = (pp_pickle){0};
}

uint32_t pp_pickle_item(const pp_pickle *p, uint32_t tuple, uint32_t i)
{
    const pp_value *v = &p->values[tuple];
    if (v->kind != PP_VALUE_TUPLE || i >= v->u.items.n) return 0;
    uint32_t link = v->u.items.first;
    while (i--) link = p->links[link].next;
    return p->links[link].value;
}
