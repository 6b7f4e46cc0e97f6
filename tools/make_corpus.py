#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus: small valid files of every kind that pippin reads, and files that lie.

Uses Python's standard library alone. Deterministic: run it again and nothing changes.
usage: tools/make_corpus.py [fuzz/corpus]
"""
import io
import json
import os
import random
import struct
import sys
import zipfile
import zlib

ROOT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "fuzz", "corpus")
VOCAB, D, HEADS, KV, D_HEAD, FFN, FULL, REUSE, RANK = 16, 8, 2, 1, 4, 26, 2, 1, 2
rng = random.Random(1)


def put(kind, name, data):
    folder = os.path.join(ROOT, kind)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def floats(n, scale=0.2):
    return struct.pack("<%df" % n, *(rng.uniform(-scale, scale) for _ in range(n)))


def product(shape):
    n = 1
    for s in shape:
        n *= s
    return n


# ---- the tensors of a tiny AFM, under both conventions ----

def afm(toolkit, wrapped=False, scales=False):
    t = {}
    w = ".wrapped" if wrapped else ""
    t["embedding.weight" if toolkit else "model.embedding.weight"] = [VOCAB, D]
    for i in range(FULL + REUSE):
        reuse = i >= FULL
        if toolkit:
            p = "layers.segment_%d.layer_%d." % (reuse, i - FULL if reuse else i)
            t[p + "attention.norm.weight"] = [D]
            if reuse:
                t[p + "attention.q_transform" + w + ".weight"] = [HEADS * D_HEAD, D]
                t[p + "attention.q_norm.query_norm.weight"] = [D_HEAD]
            else:
                t[p + "attention.qkv_transform" + w + ".fused_linear.weight"] = [(HEADS + 2 * KV) * D_HEAD, D]
                t[p + "attention.qk_norm.query_norm.weight"] = [D_HEAD]
                t[p + "attention.qk_norm.key_norm.weight"] = [D_HEAD]
                if scales:
                    for which in ("key", "value"):
                        q = p + "attention.kv_quantizer.%s_quantizer.activation_post_process." % which
                        t[q + "range"] = "range"
                        t[q + "num_samples"] = "count"
            t[p + "attention.output_transform" + w + ".weight"] = [D, HEADS * D_HEAD]
            t[p + "feed_forward.norm.weight"] = [D]
            t[p + "feed_forward.hidden_transform.linear_0" + w + ".weight"] = [FFN, D]
            t[p + "feed_forward.hidden_transform.linear_1" + w + ".weight"] = [FFN, D]
            t[p + "feed_forward.output_transform" + w + ".weight"] = [D, FFN]
        else:
            p = "model.%s.%d." % ("kv_reuse_layers" if reuse else "layers", i - FULL if reuse else i)
            t[p + "input_layernorm.weight"] = [D]
            t[p + "self_attn.q_proj.weight" if reuse else p + "self_attn.qkv_proj.weight"] = \
                [HEADS * D_HEAD if reuse else (HEADS + 2 * KV) * D_HEAD, D]
            t[p + "self_attn.q_norm.weight"] = [D_HEAD]
            if not reuse:
                t[p + "self_attn.k_norm.weight"] = [D_HEAD]
                if scales:
                    t[p + "self_attn.quant_key_scale"] = "scale"
                    t[p + "self_attn.quant_value_scale"] = "scale"
            t[p + "self_attn.out_proj.weight"] = [D, HEADS * D_HEAD]
            t[p + "post_attention_layernorm.weight"] = [D]
            t[p + "mlp.gate_proj.weight"] = [FFN, D]
            t[p + "mlp.up_proj.weight"] = [FFN, D]
            t[p + "mlp.down_proj.weight"] = [D, FFN]
    t["output_norm.weight" if toolkit else "model.output_norm.weight"] = [D]
    return t


def filled(shapes):
    """name -> (dtype, shape, bytes)"""
    out = {}
    for name, shape in shapes.items():
        if shape == "range":
            out[name] = ("F32", [2], struct.pack("<2f", -3.5, 3.0))
        elif shape == "count":
            out[name] = ("I64", [], struct.pack("<q", 7))
        elif shape == "scale":
            out[name] = ("F32", [], struct.pack("<f", 0.03))
        else:
            out[name] = ("F32", shape, floats(product(shape)))
    return out


def adapter(rank=RANK, only_layer=None):
    out = {}
    for i in range(FULL + REUSE):
        if only_layer is not None and i != only_layer:
            continue
        reuse = i >= FULL
        p = "layers.segment_%d.layer_%d." % (reuse, i - FULL if reuse else i)
        sites = [("attention.q_transform.adapters.base_adapter.", D, HEADS * D_HEAD)] if reuse else [
            ("attention.qkv_transform.adapters.base_adapter.lora_%d." % j, D, n * D_HEAD)
            for j, n in enumerate((HEADS, KV, KV))]
        sites += [("attention.output_transform.adapters.base_adapter.", HEADS * D_HEAD, D),
                  ("feed_forward.hidden_transform.linear_0.adapters.base_adapter.", D, FFN),
                  ("feed_forward.hidden_transform.linear_1.adapters.base_adapter.", D, FFN),
                  ("feed_forward.output_transform.adapters.base_adapter.", FFN, D)]
        for site, n_in, n_out in sites:
            out[p + site + "a_transpose"] = ("F32", [n_in, rank], floats(n_in * rank))
            out[p + site + "b_transpose"] = ("F32", [rank, n_out], floats(rank * n_out))
    return out


# ---- safetensors ----

def safetensors(tensors, metadata=None, header=None):
    h, data = {}, b""
    if metadata:
        h["__metadata__"] = metadata
    for name, (dtype, shape, raw) in tensors.items():
        h[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header if header is not None else h, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors_text(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


# ---- torch.save ----

STORAGE = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage", "I64": "LongStorage", "I8": "CharStorage",
           "F64": "DoubleStorage"}
SIZE = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I8": 1, "F64": 8}


def p_int(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if 0 <= n < 65536:
        return b"M" + struct.pack("<H", n)
    if -2**31 <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    raw = n.to_bytes(9, "little", signed=True)[:8] if n < 2**63 else n.to_bytes(9, "little")
    return b"\x8a" + bytes([len(raw)]) + raw


def p_text(s):
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def p_tuple(items):
    return b"(" + b"".join(items) + b"t"


def p_tensor(dtype, key, n_elem, shape, stride=None, offset=0):
    if stride is None:
        stride, n = [], 1
        for s in reversed(shape):
            stride.insert(0, n)
            n *= s
    storage = p_tuple([p_text("storage"), b"ctorch\n" + STORAGE[dtype].encode() + b"\n", p_text(key), p_text("cpu"),
                       p_int(n_elem)]) + b"Q"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n" +
            p_tuple([storage, p_int(offset), p_tuple([p_int(s) for s in shape]), p_tuple([p_int(s) for s in stride]), b"\x89",
                     b"ccollections\nOrderedDict\n)R"]) + b"R")


def p_dict(items):
    return b"}(" + b"".join(p_text(k) + v for k, v in items) + b"u"


def torch_zip(pickle, storages, folder="archive", compress=False, byteorder=True):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as z:
        def add(name, data):
            info = zipfile.ZipInfo(folder + "/" + name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            z.writestr(info, data)
        add("data.pkl", pickle)
        if byteorder:
            add("byteorder", b"little" if byteorder is True else byteorder)
        for key, raw in storages.items():
            add("data/" + key, raw)
        add("version", b"3\n")
    return f.getvalue()


def torch_zip64(pickle, storages, folder="archive"):
    """The same, with every size and place in the 64-bit records that large checkpoints need."""
    body, directory = b"", b""
    members = [("data.pkl", pickle)] + [("data/" + k, v) for k, v in storages.items()]
    for name, data in members:
        name = (folder + "/" + name).encode()
        ones = 0xffffffff
        extra = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        central = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(body))
        crc = zlib.crc32(data)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0, 0, 33, crc, ones, ones, len(name),
                                 len(central), 0, 0, 0, 0, ones) + name + central
        body += struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 33, crc, ones, ones, len(name), len(extra))
        body += name + extra + data
    n, at = len(members), len(body)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, n, n, len(directory), at)
    locator = struct.pack("<IIQI", 0x07064b50, 0, at + len(directory), 1)
    end = struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return body + directory + end64 + locator + end


def torch_file(tensors, wrap=None, **options):
    items, storages = [], {}
    for i, (name, (dtype, shape, raw)) in enumerate(tensors.items()):
        items.append((name, p_tensor(dtype, str(i), len(raw) // SIZE[dtype], shape)))
        storages[str(i)] = raw
    body = p_dict(items)
    if wrap:
        body = p_dict([(wrap, body)])
    return torch_zip(b"\x80\x02" + body + b".", storages, **options)


def torch_pickle(body, storages=None, **options):
    return torch_zip(b"\x80\x02" + body + b".", storages or {"0": floats(6)}, **options)


# ---- llama2.c ----

def llama2c(d=8, ffn=12, layers=2, heads=2, kv=1, vocab=265, ctx=16, shared=True):
    n = vocab * d + layers * (2 * d + 2 * d * d + 2 * d * (d // heads * kv) + 3 * d * ffn) + d + ctx * (d // heads)
    n += 0 if shared else vocab * d
    return struct.pack("<7i", d, ffn, layers, heads, kv, vocab if shared else -vocab, ctx) + floats(n)


def llama2c_tokenizer(extra=(" a", "b", " ab", "c", " ", "a")):
    pieces = [("<unk>", 0.0), ("\n<s>\n", 0.0), ("\n</s>\n", 0.0)] + [("<0x%02X>" % b, 0.0) for b in range(256)]
    pieces += [(p, -float(i)) for i, p in enumerate(extra)]
    out = struct.pack("<i", max(len(p.encode()) for p, _ in pieces))
    for p, score in pieces:
        raw = p.encode()
        out += struct.pack("<fi", score, len(raw)) + raw
    return out


# ---- GGUF ----

GGUF_TYPES = {"u8": (0, "<B"), "i32": (5, "<i"), "u32": (4, "<I"), "f32": (6, "<f"), "bool": (7, "<B"), "u64": (10, "<Q"), "f64": (12, "<d")}
# name -> number, elements and bytes of a block
BLOCKS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24),
          "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176),
          "Q6_K": (14, 256, 210), "BF16": (30, 1, 2)}


def g_text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def g_value(value):
    if isinstance(value, str):
        return struct.pack("<I", 8) + g_text(value)
    kind, payload = value
    if kind == "texts":
        return struct.pack("<IIQ", 9, 8, len(payload)) + b"".join(g_text(p) for p in payload)
    if kind.startswith("["):
        number, form = GGUF_TYPES[kind[1:-1]]
        return struct.pack("<IIQ", 9, number, len(payload)) + b"".join(struct.pack(form, p) for p in payload)
    number, form = GGUF_TYPES[kind]
    return struct.pack("<I", number) + struct.pack(form, payload)


def gguf(values, tensors, alignment=32, version=3):
    """tensors: name -> (type, shape, data or None for random bytes whose block scales are small)"""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for key, value in values.items():
        head += g_text(key) + g_value(value)
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        number, block, size = BLOCKS[kind]
        if raw is None:
            raw = bytes(rng.randrange(64) for _ in range(product(shape) // block * size))
        head += g_text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", s) for s in reversed(shape))
        head += struct.pack("<IQ", number, len(data))
        data += raw + b"\0" * (-len(raw) % alignment)
    return head + b"\0" * (-len(head) % alignment) + data


def gguf_model(arch, kind="F32", d=32, ffn=64, vocab=40, heads=2, kv=1):
    d_head = d // heads
    values = {"general.architecture": arch, arch + ".context_length": ("u32", 64), arch + ".embedding_length": ("u32", d),
              arch + ".block_count": ("u32", 1), arch + ".feed_forward_length": ("u32", ffn), arch + ".attention.head_count": ("u32", heads),
              arch + ".attention.head_count_kv": ("u32", kv), arch + ".rope.freq_base": ("f32", 10000.0),
              arch + ".attention.layer_norm_rms_epsilon": ("f32", 1e-5), "tokenizer.ggml.bos_token_id": ("u32", 1),
              "tokenizer.ggml.tokens": ("texts", ["t%d" % i for i in range(vocab)]), "tokenizer.ggml.scores": ("[f32]", [0.5] * vocab),
              "general.file_type": ("u32", 0), "a.bool": ("bool", 1), "a.double": ("f64", 2.5)}
    norm = lambda n: ("F32", [n], floats(n, 1))
    matrix = lambda rows, columns: (kind, [rows, columns], floats(rows * columns) if kind == "F32" else None)
    t = {"token_embd.weight": matrix(vocab, d), "output_norm.weight": norm(d), "output.weight": matrix(vocab, d),
         "blk.0.attn_norm.weight": norm(d), "blk.0.attn_q.weight": matrix(d, d), "blk.0.attn_k.weight": matrix(kv * d_head, d),
         "blk.0.attn_v.weight": matrix(kv * d_head, d), "blk.0.attn_output.weight": matrix(d, d), "blk.0.ffn_norm.weight": norm(d),
         "blk.0.ffn_gate.weight": matrix(ffn, d), "blk.0.ffn_up.weight": matrix(ffn, d), "blk.0.ffn_down.weight": matrix(d, ffn)}
    if arch == "qwen2":
        for part, n in (("q", d), ("k", kv * d_head), ("v", kv * d_head)):
            t["blk.0.attn_%s.bias" % part] = norm(n)
    if arch == "qwen3":
        t["blk.0.attn_q_norm.weight"] = norm(d_head)
        t["blk.0.attn_k_norm.weight"] = norm(d_head)
    return values, t


# ---- the seeds ----

def make_safetensors():
    put("safetensors", "afm.safetensors", safetensors(filled(afm(False)), {"format": "pt"}))
    put("safetensors", "afm-kv-scales.safetensors", safetensors(filled(afm(False, scales=True))))
    put("safetensors", "adapter.safetensors", safetensors(adapter(), {"rank": str(RANK), "alpha": "3"}))
    put("safetensors", "types.safetensors", safetensors({
        "a": ("F16", [3], b"\0\x3c\0\x40\0\x44"), "b": ("BF16", [1, 3], b"\x80\x3f\0\x40\x40\x40"), "c": ("I8", [2], b"\1\xff"),
        "d": ("I64", [], struct.pack("<q", -5)), "empty": ("F32", [0, 4], b"")}))
    put("safetensors", "unaligned.safetensors", safetensors_text(
        b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}', b"\7" + floats(2)))
    put("safetensors", "nothing.safetensors", safetensors({}))
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    def bad(name, header, data=b"\0" * 8):
        put("safetensors", "bad-%s.safetensors" % name, safetensors_text(header if isinstance(header, bytes) else json.dumps(header).encode(), data))
    bad("length", b"")
    put("safetensors", "bad-huge-length.safetensors", struct.pack("<Q", 2**63) + b"{}")
    bad("hole", {"a": dict(one, data_offsets=[4, 12])}, b"\0" * 12)
    bad("overlap", {"a": one, "b": dict(one, data_offsets=[4, 12])}, b"\0" * 12)
    bad("past-end", {"a": dict(one, data_offsets=[0, 2**40], shape=[2**38])})
    bad("negative", {"a": dict(one, data_offsets=[-8, 0])})
    bad("shape-overflow", {"a": dict(one, shape=[2**62, 2**62])})
    bad("shape-size", {"a": dict(one, shape=[3])})
    bad("five-dims", {"a": dict(one, shape=[1, 1, 1, 1, 2])})
    bad("dtype", {"a": dict(one, dtype="F8_E4M3")})
    bad("no-dtype", {"a": {"shape": [2], "data_offsets": [0, 8]}})
    bad("duplicate", b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
    bad("not-json", b"{]")
    bad("array", b"[1]")
    bad("deep", b"[" * 5000 + b"]" * 5000)
    bad("tail", {"a": one}, b"\0" * 9)
    bad("name", {"": one})


def make_torch():
    put("torch", "afm.pt", torch_file(filled(afm(True))))
    base = filled(afm(True, wrapped=True, scales=True))
    put("torch", "afm-kv-scales.pt", torch_file(base))
    put("torch", "afm-adapter.pt", torch_file({**base, **adapter()}))
    put("torch", "adapter.pt", torch_file(adapter(), folder="adapter-final"))
    put("torch", "wrapped.pt", torch_file({"x": ("F32", [2, 3], floats(6))}, wrap="state_dict", byteorder=False))
    put("torch", "types.pt", torch_file({"h": ("F16", [2], b"\0\x3c\0\xc0"), "b": ("BF16", [2], b"\x80\x3f\0\x40"),
                                         "i": ("I8", [3], b"\1\2\3"), "n": ("I64", [], struct.pack("<q", 9)),
                                         "double": ("F64", [1], b"\0" * 8), "empty": ("F32", [0], b"")}))
    t = lambda *a, **k: p_tensor("F32", "0", 6, *a, **k)
    put("torch", "transposed.pt", torch_pickle(p_dict([("x", t([3, 2], [1, 3])), ("y", t([2, 3])), ("row", t([3], [1], 3))])))
    put("torch", "parameter.pt", torch_pickle(p_dict([("x", b"ctorch._utils\n_rebuild_parameter\n" + p_tuple([t([6]), b"\x89", b"ccollections\nOrderedDict\n)R"]) + b"R")])))
    put("torch", "ordered-metadata.pt", torch_pickle(
        b"ccollections\nOrderedDict\n)Rq\0(" + p_text("x") + t([6]) + b"u" + p_dict([("_metadata", p_dict([]))]) + b"b"))
    put("torch", "protocol4.pt", torch_zip(
        b"\x80\x04\x95" + struct.pack("<Q", 0) + b"}\x94(\x8c\x01x\x94" + t([2, 3]) + b"\x94u.", {"0": floats(6)}))
    def bad(name, body, **k):
        put("torch", "bad-%s.pt" % name, torch_pickle(body, **k))
    bad("system", b"cposix\nsystem\n" + p_tuple([p_text("true")]) + b"R")
    bad("eval", b"c__builtin__\neval\n" + p_tuple([p_text("1")]) + b"R")
    bad("stack-global", p_text("os") + p_text("system") + b"\x93")
    bad("past-storage", p_dict([("x", t([7]))]))
    bad("offset", p_dict([("x", t([1], [1], 6))]))
    bad("huge-shape", p_dict([("x", t([2**62, 2**62], [0, 0]))]))
    bad("huge-broadcast", p_dict([("x", t([2**31 - 1, 2**20], [0, 0]))]))
    bad("negative-stride", p_dict([("x", t([2], [-1], 1))]))
    bad("missing-storage", p_dict([("x", p_tensor("F32", "9", 6, [6]))]))
    bad("path-storage", p_dict([("x", p_tensor("F32", "../../../etc/passwd", 6, [6]))]))
    bad("cycle", b"}q\0(" + p_text("a") + b"h\0u")
    bad("twice", b"}(" + p_text("a") + t([6]) + p_text("a") + t([6]) + b"u")
    bad("fan", b"}q\0(" + b"".join(p_text("k%d" % i) + b"h\0" for i in range(40)) + b"u")
    bad("memo", b"}r\xff\xff\xff\x7f")
    bad("memo-missing", b"h\7")
    bad("empty-stack", b"0000")
    bad("marks", b"(" * 3000)
    bad("odd-dict", b"}(" + p_text("a") + b"u")
    bad("text-past-end", b"X\xff\xff\xff\x7fab")
    bad("opcode", b"\xff")
    bad("list", b"]")
    bad("number", b"K\7")
    bad("big-endian", p_dict([("x", t([6]))]), byteorder=b"big")
    put("torch", "bad-no-stop.pt", torch_zip(b"\x80\x02}", {}))
    put("torch", "bad-compressed.pt", torch_file({"x": ("F32", [64], b"\0" * 256)}, compress=True))
    put("torch", "bad-not-zip.pt", b"PK\3\4 this is not a zip archive")
    good = torch_file({"x": ("F32", [2], floats(2))})
    put("torch", "bad-cut.pt", good[:-30])
    put("torch", "bad-no-pickle.pt", good.replace(b"data.pkl", b"dada.pkl"))


def make_llama2c():
    put("llama2c", "tied.bin", llama2c())
    put("llama2c", "untied.bin", llama2c(shared=False))
    good = llama2c(vocab=20)
    put("llama2c", "small.bin", good)
    put("llama2c", "bad-cut.bin", good[:-4])
    put("llama2c", "bad-longer.bin", good + b"\0" * 4)
    put("llama2c", "bad-short.bin", good[:20])
    for i, value in enumerate((0, -1, 2**31 - 1, -2**31, 3)):
        for field in range(7):
            put("llama2c", "bad-%d-%d.bin" % (field, i), good[:4 * field] + struct.pack("<i", value) + good[4 * field + 4:400])


def make_tokenizer():
    good = llama2c_tokenizer()
    put("tokenizer", "tok.bin", good)
    put("tokenizer", "bad-cut.bin", good[:-1])
    put("tokenizer", "bad-few.bin", llama2c_tokenizer(())[:-20])
    put("tokenizer", "bad-length.bin", good[:8] + struct.pack("<i", 2**31 - 1) + good[12:])
    put("tokenizer", "bad-negative.bin", good[:8] + struct.pack("<i", -1) + good[12:])
    put("tokenizer", "nan.bin", good[:4] + struct.pack("<f", float("nan")) + good[8:])
    put("tokenizer", "empty.bin", b"")


# ---- tokenizer.json ----

def byte_spelling():
    """The characters that stand for the bytes of a byte-level vocabulary."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(0x100 + i) for i, b in enumerate(rest)}}


GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def json_tokenizer(**changes):
    """Byte-level: 256 bytes, a few merges, one special and one ordinary added token; 265 ids."""
    spelt = byte_spelling()
    vocab = {spelt[b]: b for b in range(256)}
    for piece in ("\u0120a", "ab", "\u0120ab", "bc", "aa", "aaaa"):
        vocab[piece] = len(vocab)
    added = [{"id": 262, "content": "<|end|>", "special": True}, {"id": 263, "content": "<think>", "special": False},
             {"id": 264, "content": "<|x y|>", "special": True, "lstrip": True, "rstrip": True, "single_word": True}]
    root = {"version": "1.0", "added_tokens": added, "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": GPT2_WORDS}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
            "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "byte_fallback": False, "unk_token": None, "vocab": vocab,
                      "merges": ["\u0120 a", "a b", "\u0120 ab", "b c", ["a", "a"], ["aa", "aa"]]}}
    for path, value in changes.items():
        part, *key = path.split("__")
        if key:
            root[part][key[0]] = value
        else:
            root[part] = value
    return root


def make_tokenizer_json():
    def one(name, value):
        put("tokenizer_json", name + ".json", value if isinstance(value, bytes) else json.dumps(value).encode())
    one("bytes", json_tokenizer())
    one("whole-words", json_tokenizer(model__ignore_merges=True))
    one("gpt2", json_tokenizer(normalizer=None, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}))
    one("splits", json_tokenizer(pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "b"}, "behavior": "MergedWithPrevious"},
        {"type": "Split", "pattern": {"String": "."}, "behavior": "MergedWithNext", "invert": True},
        {"type": "Split", "pattern": {"Regex": "c|\\\\s"}, "behavior": "Contiguous"},
        {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}]}))
    mark = "\u2581"
    spelt = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + [mark, "a", "b", mark + "a", "ab", mark + "ab"]
    llama = {"added_tokens": [{"id": i, "content": spelt[i], "special": True, "normalized": True} for i in range(3)],
             "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": mark},
                                                                {"type": "Replace", "pattern": {"String": " "}, "content": mark}]},
             "pre_tokenizer": None,
             "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                                        {"Sequence": {"id": "A", "type_id": 0}}]},
             "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": mark}, "content": " "},
                                                          {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
             "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                       "vocab": {p: i for i, p in enumerate(spelt)}, "merges": [mark + " a", "a b", mark + "a b"]}}
    one("llama", llama)
    one("metaspace", {**llama, "normalizer": {"type": "NFKC"}, "decoder": {"type": "Metaspace", "replacement": mark},
                      "pre_tokenizer": {"type": "Metaspace", "replacement": mark, "prepend_scheme": "first", "split": True}})
    def bad(name, **changes):
        one("bad-" + name, json_tokenizer(**changes))
    bad("unigram", model__type="Unigram")
    bad("no-merges", model__merges={})
    bad("merge", model__merges=["a z"])
    bad("merge-three", model__merges=[["a", "b", "c"]])
    bad("huge-id", model__vocab={"a": 2**40})
    bad("holes", model__vocab={"a": 10**6})
    bad("negative-id", model__vocab={"a": -1})
    bad("affix", model__continuing_subword_prefix="##")
    bad("normalizer", normalizer={"type": "BertNormalizer"})
    bad("pre", pre_tokenizer={"type": "Whitespace"})
    bad("decoder", decoder={"type": "WordPiece"})
    bad("regex", pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})
    bad("steps", pre_tokenizer={"type": "Split", "pattern": {"Regex": "((a+)+)+$"}, "behavior": "Isolated"})
    bad("growth", normalizer={"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}] * 8})
    deep = {"type": "NFC"}
    for _ in range(30):
        deep = {"type": "Sequence", "normalizers": [deep]}
    bad("deep-rules", normalizer=deep)
    bad("added", added_tokens=[{"id": 9}])
    one("bad-deep", b'{"model":' + b"[" * 5000)
    one("bad-cut", json.dumps(json_tokenizer()).encode()[:-2])
    one("bad-escape", b'{"model":{"vocab":{"\\q":1},"merges":[]}}')
    one("escapes", b'{"model":{"vocab":{"\\u0041":0,"\\ud83d\\ude00":1,"\\ud83d":2,"\\n\\"":3},"merges":[]}}')
    one("empty", b"{}")


# ---- SentencePiece ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def wire(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SP_BYTES = [("<0x%02X>" % b, 0.0, BYTE) for b in range(256)]
SP_HEAD = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]


def sentencepiece(pieces, model, trainer=b"", normalizer=b""):
    out = b"".join(wire(1, wire(1, text) + wire(2, score) + (wire(3, kind) if kind != NORMAL else b"")) for text, score, kind in pieces)
    return out + wire(2, wire(3, model) + trainer) + wire(3, wire(1, "identity") + normalizer)


def charsmap(units=None):
    """A double array with one entry, "A", that becomes "a"."""
    array = [0] * 64
    array[0], array[1], array[3] = 0x40 << 10, 2 << 10 | 0x100 | 0x41, 0x80000000
    raw = struct.pack("<64I", *(units or array))
    return struct.pack("<I", len(raw)) + raw + b"a\0"


def make_sentencepiece():
    mark = "\u2581"
    keep_spaces = wire(4, 0)
    scored = lambda texts: [(t, -float(i), NORMAL) for i, t in enumerate(texts)]
    bpe = SP_HEAD + SP_BYTES + scored([mark + "a", mark + "ab", "a", "b", "c", mark])
    put("sentencepiece", "bpe.model", sentencepiece(bpe, 2, wire(35, 1), keep_spaces))
    # Apple's kind: pad, ends, templates' pieces, one for newlines.
    afm = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN),
           ("<turn_start>", 0.0, USER), ("<turn_end>", 0.0, USER), ("<n>", 0.0, USER)] + SP_BYTES
    afm += scored([mark + "u", "se", mark + "use", mark + "user", "er", "hi", "<", "turn", mark, *"abcdefghijklmnopqrstuvwxyz_<>/"])
    turns = afm[:7] + [("<executable_start>", 0.0, USER), ("<executable_end>", 0.0, USER)] + afm[7:]
    put("sentencepiece", "turns.model", sentencepiece(turns, 2, wire(35, 1) + wire(46, "<s>") + wire(47, "</s>"), keep_spaces))
    put("sentencepiece", "afm.model", sentencepiece(afm, 2, wire(35, 1) + wire(46, "<s>") + wire(47, "</s>"), keep_spaces))
    unigram = SP_HEAD + scored([mark, "a", "b", "c", mark + "a", "ab", "abc", mark + "abc"])
    put("sentencepiece", "unigram.model", sentencepiece(unigram, 1, b"", wire(2, charsmap())))
    put("sentencepiece", "user.model", sentencepiece(unigram + [("bc", 0.0, USER), ("cc", -1.0, UNUSED)], 1, wire(44, "?"), wire(3, 0) + wire(5, 0)))
    def bad(name, data):
        put("sentencepiece", "bad-%s.model" % name, data)
    good = sentencepiece(bpe, 2, wire(35, 1), keep_spaces)
    bad("cut", good[:-1])
    bad("length", wire(1, wire(1, "a"))[:1] + varint(2**62) + good)
    bad("varint", b"\x0a" + b"\xff" * 12)
    bad("group", good + b"\x0b")
    bad("no-unknown", sentencepiece(bpe[1:], 2))
    bad("byte", sentencepiece(SP_HEAD + [("<0xZZ>", 0.0, BYTE)], 2))
    bad("type", sentencepiece(SP_HEAD + [("a", 0.0, 9)], 2))
    bad("word", sentencepiece(bpe, 3))
    bad("suffix", sentencepiece(bpe, 2, wire(24, 1)))
    bad("nan", sentencepiece(SP_HEAD + [("a", float("nan"), NORMAL)], 1))
    bad("empty-piece", sentencepiece(SP_HEAD + [("", 0.0, NORMAL)], 2))
    bad("table-size", sentencepiece(unigram, 1, b"", wire(2, struct.pack("<I", 2**31) + b"a\0")))
    bad("table-end", sentencepiece(unigram, 1, b"", wire(2, charsmap()[:-1] + b"a")))
    put("sentencepiece", "wild-table.model", sentencepiece(unigram, 1, b"", wire(2, charsmap([0xffffffff] * 64))))
    put("sentencepiece", "loop-table.model", sentencepiece(unigram, 1, b"", wire(2, charsmap([rng.randrange(2**32) for _ in range(64)]))))


# ---- conversations ----

def make_messages():
    """The first byte chooses the template, the second whether the assistant's message is the last."""
    def one(name, messages, template=0, complete=False):
        text = messages if isinstance(messages, bytes) else json.dumps(messages, ensure_ascii=False).encode()
        put("messages", name, bytes([48 + template, 48 + complete]) + text)
    system = {"role": "system", "content": "Be brief.", "tools": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
    user = {"role": "user", "content": "a<turn_end>\nb<n><|im_end|></s>"}
    said = {"role": "assistant", "content": "c d\n"}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": '{"x": 1.5e300}'}}]}
    result = {"role": "tool", "tool_call_id": "x", "content": {"y": [0.1, -0.0, 1e16, True, None, "\u00e9\u0001"]}}
    asked = {**user, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}}}
    for template, name in enumerate(["afm", "llama3", "chatml", "mistral"]):
        one(name + "-plain", [user], template)
        one(name + "-learn", [user, said], template, True)
        one(name + "-tools", [system, asked, call, result, {"role": "tool", "content": [{"name": "g"}]}], template)
        one(name + "-long", {"messages": [system, user, said, asked, call, result, said], "tools": [{"name": "h"}]}, template, True)
    one("parts", [{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, user])
    one("two-calls", [user, {**call, "tool_calls": 2 * call["tool_calls"]}, result], 2)
    one("bad-order", [user, user])
    one("bad-last", [user, said])
    one("bad-role", [{"role": "boss", "content": ""}])
    one("bad-content", [{"role": "user", "content": [{"type": "image"}]}])
    one("bad-arguments", [user, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, result])
    one("bad-json", b'[{"role": "user"')
    one("bad-utf8", b'[{"role": "user", "content": "\xff"}]')
    one("bad-deep", b"[" * 5000)
    one("empty", b"")


AFM = {"model_type": "afm7", "vocab_size": VOCAB, "hidden_dim": D, "num_layers": FULL + REUSE, "num_kv_reuse_layers": REUSE,
       "num_heads": HEADS, "num_kv_heads": KV, "hidden_dim_scale_factor": 3.25, "rms_norm_eps": 1e-5, "rope_theta": 500000.0}
LLAMA = {"model_type": "llama", "vocab_size": 384, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 176, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "bos_token_id": 1,
         "eos_token_id": [2, 3], "tie_word_embeddings": True, "rope_scaling": {
             "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}


def make_config():
    def one(name, value):
        put("config", name + ".json", value if isinstance(value, bytes) else json.dumps(value).encode())
    one("afm", AFM)
    one("afm-rope-parameters", {**{k: v for k, v in AFM.items() if k != "rope_theta"}, "rope_parameters": {"rope_theta": 1e6}})
    one("llama", LLAMA)
    one("qwen2", {**LLAMA, "model_type": "qwen2", "rope_scaling": None, "use_sliding_window": False})
    one("qwen3", {**LLAMA, "model_type": "qwen3", "head_dim": 32, "rope_scaling": {"type": "default"}})
    one("bad-sliding", {**LLAMA, "model_type": "qwen2", "rope_scaling": None, "use_sliding_window": True})
    one("bad-family", {**LLAMA, "model_type": "gpt2"})
    one("bad-scaling", {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4}})
    for name, change in {"zero-heads": {"num_heads": 0}, "negative": {"vocab_size": -1}, "huge": {"hidden_dim": 2**40},
                         "text": {"num_layers": "five"}, "reuse-all": {"num_kv_reuse_layers": 3}, "odd-head": {"hidden_dim": 6},
                         "uneven": {"num_heads": 4, "num_kv_heads": 3}, "theta": {"rope_theta": -1}, "eps": {"rms_norm_eps": 7},
                         "ffn": {"hidden_dim_scale_factor": 1e300}, "float": {"num_layers": 3.5}}.items():
        one("bad-" + name, {**AFM, **change})
    one("bad-missing", {k: v for k, v in AFM.items() if k != "num_heads"})
    one("bad-array", b"[]")
    one("bad-json", b'{"model_type": "afm7",')
    one("bad-deep", b"[" * 5000)
    one("empty", b"")


def make_found():
    """Inputs that once broke a limit. Made last, so that the random numbers of the seeds above stay as they are."""
    t = p_tensor("F32", "0", 6, [2, 3])
    # A storage at an odd place, and tensors that share it: copied once and shared still.
    for n in range(1, 5):
        data = torch_pickle(p_dict([("a", t), ("b", t), ("c", p_tensor("F32", "0", 6, [2], [1], 4))]), folder="f" * n)
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            at = z.getinfo("f" * n + "/data/0").header_offset + 30 + n + len("/data/0")
        if at % 4:
            put("torch", "unaligned.pt", data)
            break
    # 30 x 30 x 30 x 30 names for one tensor.
    body, memo = t + b"r\1\0\0\0" + b"0", 1
    for depth in range(4):
        keys = b"".join(p_text(("%d" % i).ljust(80, "x")) + b"j" + struct.pack("<I", memo) for i in range(30))
        memo += 1
        body += b"}(" + keys + b"ur" + struct.pack("<I", memo) + (b"0" if depth < 3 else b"")
    put("torch", "bad-fan-names.pt", torch_pickle(body))
    put("torch", "empty-huge-dims.pt", torch_pickle(p_dict([("x", p_tensor("F32", "0", 6, [0, 2**62, 4], [0, 4, 1]))])))
    put("torch", "bad-append-below-mark.pt", torch_pickle(b"]N(at."))
    put("torch", "bad-utf8.pt", torch_pickle(b"}(X" + struct.pack("<I", 2) + b"a\xff" + t + b"u"))
    two = b"\x80\x02" + p_dict([("x", t), ("y", p_tensor("F32", "1", 2, [2]))]) + b"."
    big = torch_zip64(two, {"0": struct.pack("<6f", *range(6)), "1": struct.pack("<2f", 7, 8)})
    assert zipfile.ZipFile(io.BytesIO(big)).testzip() is None
    put("torch", "zip64.pt", big)
    end64 = big.index(b"PK\x06\x06")
    put("torch", "bad-zip64-count.pt", big[:end64 + 32] + struct.pack("<Q", 2**62) + big[end64 + 40:])
    put("torch", "bad-zip64-place.pt", big[:end64 + 48] + struct.pack("<Q", 2**64 - 8) + big[end64 + 56:])
    put("torch", "bad-zip64-member.pt", big.replace(struct.pack("<HHQQ", 1, 24, 8, 8), struct.pack("<HHQQ", 1, 24, 2**63, 2**63)))
    put("safetensors", "bad-blank.safetensors", safetensors_text(b' {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8))
    put("llama2c", "bad-many-layers.bin", struct.pack("<7i", 2, 1, 600000, 1, 1, 3, 1) + b"\0" * 400)


def make_gguf():
    for arch, kind in (("llama", "Q8_0"), ("qwen2", "Q4_0"), ("qwen3", "Q5_1")):
        put("gguf", "%s-%s.gguf" % (arch, kind), gguf(*gguf_model(arch, kind)))
    values, tensors = gguf_model("llama")
    tied = {k: v for k, v in tensors.items() if k != "output.weight"}
    tied["rope_freqs.weight"] = ("F32", [8], struct.pack("<8f", *[1.0 + i for i in range(8)]))
    good = gguf(values, tied)
    put("gguf", "llama-F32-tied.gguf", good)
    put("gguf", "alignment.gguf", gguf({**values, "general.alignment": ("u32", 64)}, tied, alignment=64))
    put("gguf", "version2.gguf", gguf({"general.architecture": "llama"}, {"x": ("F32", [2], floats(2))}, version=2))
    put("gguf", "vocabulary.gguf", gguf({"general.architecture": "llama", "tokenizer.ggml.tokens": ("texts", ["a", "b"])}, {}))
    spelt = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + ["\u2581a", "\u2581", "a", "b", "ab"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * 5
    pieces = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ("texts", spelt), "tokenizer.ggml.token_type": ("[i32]", kinds),
              "tokenizer.ggml.scores": ("[f32]", [-float(i) for i in range(264)]), "tokenizer.ggml.bos_token_id": ("u32", 1),
              "tokenizer.ggml.eos_token_id": ("u32", 2), "tokenizer.ggml.unknown_token_id": ("u32", 0)}
    put("gguf", "pieces.gguf", gguf(pieces, {}))
    spelt = [*byte_spelling().values(), "\u0120a", "ab", "<|end|>", "<t>"]
    merged = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.tokens": ("texts", spelt),
              "tokenizer.ggml.token_type": ("[i32]", [1] * 258 + [3, 4]), "tokenizer.ggml.merges": ("texts", ["\u0120 a", "a b"]),
              "tokenizer.ggml.bos_token_id": ("u32", 258)}
    put("gguf", "merges.gguf", gguf(merged, {}))
    put("gguf", "bad-pre.gguf", gguf({**merged, "tokenizer.ggml.pre": "falcon"}, {}))
    put("gguf", "bad-merges.gguf", gguf({**merged, "tokenizer.ggml.merges": ("texts", ["ab"])}, {}))
    put("gguf", "bad-scores.gguf", gguf({**pieces, "tokenizer.ggml.scores": ("[f32]", [0.0])}, {}))
    put("gguf", "bad-tokens.gguf", gguf({**pieces, "tokenizer.ggml.tokens": ("texts", [])}, {}))
    put("gguf", "types.gguf", gguf({}, {name: (name, [256], None) for name in BLOCKS}))
    def bad(name, data):
        put("gguf", "bad-%s.gguf" % name, data)
    tiny = gguf({"k": ("u32", 1)}, {"x": ("F32", [2, 2], floats(4))})
    bad("magic", b"GGML" + tiny[4:])
    bad("version", tiny[:4] + struct.pack("<I", 4) + tiny[8:])
    bad("big-endian", tiny[:4] + struct.pack(">I", 3) + tiny[8:])
    bad("many-tensors", tiny[:8] + struct.pack("<Q", 2**63) + tiny[16:])
    bad("many-values", tiny[:16] + struct.pack("<Q", 2**63) + tiny[24:])
    bad("cut", tiny[:-4])
    bad("alignment", gguf({"general.alignment": ("u32", 3)}, {"x": ("F32", [2], floats(2))}))
    bad("key-size", tiny[:24] + struct.pack("<Q", 2**64 - 1) + tiny[32:])
    bad("offset", tiny.replace(struct.pack("<IQ", 0, 0), struct.pack("<IQ", 0, 2**64 - 32), 1))
    bad("shape", tiny.replace(struct.pack("<QQ", 2, 2), struct.pack("<QQ", 2**62, 2**62), 1))
    bad("rows", gguf({}, {"x": ("Q4_0", [32], None)}).replace(struct.pack("<Q", 32), struct.pack("<Q", 33), 1))
    bad("type", tiny.replace(struct.pack("<IQ", 0, 0), struct.pack("<IQ", 16, 0), 1))
    bad("array", gguf({"k": ("[u32]", [1])}, {}).replace(struct.pack("<IQ", 4, 1), struct.pack("<IQ", 4, 2**62), 1))
    bad("nested", gguf({"k": ("[u32]", [1])}, {}).replace(struct.pack("<IQ", 4, 1), struct.pack("<IQ", 9, 1), 1))
    bad("twice", gguf({}, {"x": ("F32", [2], floats(2)), "y": ("F32", [2], floats(2))}).replace(g_text("y"), g_text("x")))
    bad("family", gguf({**values, "general.architecture": "gpt2"}, tied))
    bad("no-architecture", gguf({k: v for k, v in values.items() if k != "general.architecture"}, tied))
    bad("no-layers", gguf({k: v for k, v in values.items() if k != "llama.block_count"}, tied))
    bad("scaling", gguf({**values, "llama.rope.scaling.type": "yarn"}, tied))
    bad("tensor-missing", gguf(values, {k: v for k, v in tied.items() if k != "blk.0.attn_q.weight"}))


def make_pickles():
    """The pickles of the torch seeds, for fuzz_pickle, which puts them into an archive itself."""
    folder = os.path.join(ROOT, "torch")
    for name in sorted(os.listdir(folder)):
        if "zip64" in name:
            continue  # they differ in the archive alone
        try:
            with zipfile.ZipFile(os.path.join(folder, name)) as z:
                for member in z.namelist():
                    if member.endswith("/data.pkl"):
                        put("pickle", name[:-3] + ".pkl", z.read(member))
        except zipfile.BadZipFile:
            pass


def make_training():
    """The first byte chooses options: '@' (64) is JSON lines, 'B' with ids around texts, 'b' cut at 3 tokens; below, plain text."""
    def lines(name, *rows, how=b"B"):
        put("training", name, how + b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in rows))
    user, assistant = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    lines("tokens.jsonl", {"tokens": [5, 6, 7], "loss_mask": [0, 1, 1]}, {"tokens": [1, 2]}, how=b"@")
    lines("long.jsonl", {"tokens": [5, 6, 7, 8], "loss_mask": [0, 0, 0, 1]}, {"tokens": [1, 2, 3, 4]}, how=b"b")
    lines("pad.jsonl", {"tokens": [5, 0, 7, 0]}, how=b"P")
    lines("text.jsonl", {"text": "ab ab c"}, {"text": "\u0000\u00e9"}, b"", b"  \r")
    lines("completion.jsonl", {"prompt": "a", "completion": "b c"}, {"prompt": "", "completion": " "}, {"completion": "x", "prompt": "a b"})
    lines("mixed.jsonl", b"\xef\xbb\xbf" + json.dumps({"text": "a b"}).encode(), {"tokens": [3, 4], "loss_mask": [True, True]},
          {"prompt": "c", "completion": "b"}, how=b"N")
    lines("bad-messages.jsonl", [user, assistant])
    lines("bad-conversation.jsonl", {"conversation": [user, assistant], "tools": []})
    lines("bad-roles.jsonl", {"messages": [assistant, assistant]})
    for i, row in enumerate((b"{", b"7", b"[]", b"[7]", b"{}", b'{"x":1}', b'{"tokens":[5,265]}', b'{"tokens":[5,-1]}', b'{"tokens":[5,1e2]}',
                             b'{"tokens":[5,6],"loss_mask":[1]}', b'{"tokens":[5,6],"loss_mask":[1,0.5]}', b'{"tokens":[5]}', b'{"text":""}',
                             b'{"text":"\xff"}', b'{"prompt":"a"}', b'{"text":"a","tokens":[1,2]}', b'{"tokens":[5,6],"tokens":[5,6]}',
                             b"[" * 3000, b'{"tokens":[99999999999999999999,1]}', b'{"messages":{}}')):
        lines("bad-%02d.jsonl" % i, {"tokens": [1, 2]}, row)
    put("training", "stream.txt", b"\2ab ab c\n\nabab\nc c\xc3\xa9 a b abababababababababababababababababababab ab ab a b c\n")
    put("training", "windows.txt", b"\x20ab ab c ab ab ab c c c a b")
    put("training", "documents.txt", b"\3 ab | |c|\n\nb b|")
    put("training", "one.txt", b"\1ab ab|a")
    put("training", "empty.txt", b"\0")


# Each kind starts from the same seed, so that a new one leaves the others as they are.
for make in (make_safetensors, make_torch, make_gguf, make_llama2c, make_tokenizer, make_config, make_found, make_pickles, make_tokenizer_json,
             make_sentencepiece, make_training, make_messages):
    rng.seed(1)
    make()
