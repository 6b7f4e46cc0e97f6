#!/usr/bin/env python3
"""Writes a GGUF file of random weights for other programs, in the block types that they have: what docs/COMPARISON.md measures.

Uses Python's standard library alone. Speed does not depend on the weights, so blocks are drawn as they are stored: random codes,
and scales that keep activations finite. The embedding is q4_0 in every file, as it is 4 bits in pippin's q2 and q4. AFM goes as
qwen3 with 56 full layers: other programs know nothing of layers that reuse keys and values. There is no vocabulary inside.
usage: tools/peer_model.py afm|llama3b|qwen3b iq2_bn|tq2_0|q2_k|q4_0 OUT.gguf
"""
import random
import struct
import sys

SHAPES = {
    "afm": dict(arch="qwen3", vocab=153600, d=2048, heads=16, kv=2, ffn=6656, layers=56, theta=5e5),
    "llama3b": dict(arch="llama", vocab=128256, d=3072, heads=24, kv=8, ffn=8192, layers=28, theta=5e5),
    "qwen3b": dict(arch="qwen2", vocab=151936, d=2048, heads=16, kv=2, ffn=11008, layers=36, theta=1e6),
}
D_HEAD = 128
ALIGN = 32
F32, Q4_0, Q2_K, TQ2_0, IQ2_BN = 0, 2, 10, 35, 135
# The last two have three levels: of llama.cpp with a scale for each 256, of ik_llama.cpp with a scale for each row.
FILE_TYPES = {"q4_0": (Q4_0, 2), "q2_k": (Q2_K, 10), "tq2_0": (TQ2_0, 37), "iq2_bn": (IQ2_BN, 129)}
# Codes of two bits, four a byte, of which the highest is not used: levels are -1, 0 and 1.
TERNARY = bytes(sum(min(b >> s & 3, 2) << s for s in (0, 2, 4, 6)) for b in range(256))


def put_halves(blocks, at, step, value):
    low, high = struct.pack("<e", value)
    n = len(blocks) // step
    blocks[at::step] = bytes([low]) * n
    blocks[at + 1 :: step] = bytes([high]) * n


def size(kind, n_in, n_out):
    row = {F32: 4 * n_in, Q4_0: n_in // 32 * 18, Q2_K: n_in // 256 * 84, TQ2_0: n_in // 256 * 66, IQ2_BN: 4 + n_in // 4}
    return row[kind] * n_out


def draw(rng, kind, n_in, n_out):
    if kind == F32:
        return struct.pack("<f", 1.0) * n_in
    data = bytearray(rng.randbytes(size(kind, n_in, n_out)))
    if kind == Q4_0:  # 16 bytes of codes after a scale
        put_halves(data, 0, 18, 0.0045)
    elif kind == Q2_K:  # 16 scales and minima of 4 bits, 64 bytes of codes, the scale of each; minima are centred
        put_halves(data, 80, 84, 0.002)
        put_halves(data, 82, 84, 0.003)
    elif kind == TQ2_0:  # 64 bytes of codes before a scale
        data = bytearray(data.translate(TERNARY))
        put_halves(data, 64, 66, 0.025)
    else:
        data = bytearray(data.translate(TERNARY))
        row = size(kind, n_in, 1)
        for i, byte in enumerate(struct.pack("<f", 0.025)):
            data[i::row] = bytes([byte]) * n_out
    return data


def tensors(s, kind):
    """Name, type, inputs, outputs of each; a vector has one output."""
    q, kv, d, ffn = s["heads"] * D_HEAD, s["kv"] * D_HEAD, s["d"], s["ffn"]
    yield "token_embd.weight", Q4_0, d, s["vocab"]
    yield "output_norm.weight", F32, d, 1
    for i in range(s["layers"]):
        p = "blk.%d." % i
        for name, n_in, n_out in (
            ("attn_q", d, q), ("attn_k", d, kv), ("attn_v", d, kv), ("attn_output", q, d),
            ("ffn_gate", d, ffn), ("ffn_up", d, ffn), ("ffn_down", ffn, d),
        ):
            yield p + name + ".weight", kind, n_in, n_out
        yield p + "attn_norm.weight", F32, d, 1
        yield p + "ffn_norm.weight", F32, d, 1
        if s["arch"] == "qwen3":
            yield p + "attn_q_norm.weight", F32, D_HEAD, 1
            yield p + "attn_k_norm.weight", F32, D_HEAD, 1
        if s["arch"] == "qwen2":
            for name, n in (("attn_q", q), ("attn_k", kv), ("attn_v", kv)):
                yield p + name + ".bias", F32, n, 1


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def metadata(shape, s, file_type):
    a = s["arch"] + "."
    values = [("general.architecture", s["arch"]), ("general.name", shape), ("general.file_type", file_type),
              ("tokenizer.ggml.model", "no_vocab"), (a + "vocab_size", s["vocab"]), (a + "context_length", 32768),
              (a + "embedding_length", s["d"]), (a + "block_count", s["layers"]), (a + "feed_forward_length", s["ffn"]),
              (a + "attention.head_count", s["heads"]), (a + "attention.head_count_kv", s["kv"]),
              (a + "attention.key_length", D_HEAD), (a + "attention.value_length", D_HEAD),
              (a + "rope.dimension_count", D_HEAD), (a + "rope.freq_base", s["theta"]),
              (a + "attention.layer_norm_rms_epsilon", 1e-6)]
    out = b""
    for key, value in values:
        kind = {str: 8, int: 4, float: 6}[type(value)]
        out += text(key) + struct.pack("<I", kind)
        out += text(value) if kind == 8 else struct.pack("<I" if kind == 4 else "<f", value)
    return len(values), out


def main(shape, kind, path):
    s, (block, file_type) = SHAPES[shape], FILE_TYPES[kind]
    rng = random.Random(1)
    todo = list(tensors(s, block))
    n_meta, head = metadata(shape, s, file_type)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(todo), n_meta) + head
    at = 0
    for name, type_, n_in, n_out in todo:
        dims = [n_in] if n_out == 1 else [n_in, n_out]
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, type_, at)
        at += -(-size(type_, n_in, n_out) // ALIGN) * ALIGN
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGN))
        for _, type_, n_in, n_out in todo:
            data = draw(rng, type_, n_in, n_out)
            f.write(data)
            f.write(bytes(-len(data) % ALIGN))
    print("%s: %s, %s, %d bytes" % (path, shape, kind, len(head) + -len(head) % ALIGN + at))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in SHAPES or sys.argv[2] not in FILE_TYPES:
        sys.exit(__doc__)
    main(*sys.argv[1:])
