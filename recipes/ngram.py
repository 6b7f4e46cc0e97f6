#!/usr/bin/env python3
"""ngram.py TRAIN TEST TOKENIZER [--ctx N] [--order N] [--json] - how well an n-gram model of tokens predicts TEST, as a model's bits per
byte: interpolated modified Kneser-Ney (Chen and Goodman 1999), 5-gram by default. TRAIN and TEST are .jsonl: of {"text": ...}
the text is a document, of {"messages": [...]} each content but the system's.

What is predicted is what `pippin eval --text TEST --separator` predicts: every token of a document, the first after BOS; its end
is not, and so takes no probability here either. The vocabulary is closed: over all ids probabilities sum to 1.

Needs numpy, and pippin to tokenise (PIPPIN names it; default: build/pippin). Memory: about 60 bytes a token of TRAIN.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    sys.exit(f"ngram.py: {sys.executable} has no numpy, expected it; install Debian's python3-numpy and run /usr/bin/python3")

PIPPIN = pathlib.Path(os.environ.get("PIPPIN") or pathlib.Path(__file__).resolve().parent.parent / "build" / "pippin")
BITS = 12  # of an id in a key: five of them fit 64 bits, the last one lowest
MOST = 64 // BITS

# ---- text to ids ----


def documents(path):
    """The texts of a .jsonl, trimmed as `pippin eval --separator` trims them."""
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            texts = [row["text"]] if "text" in row else [m["content"] for m in row["messages"] if m["role"] != "system"]
            yield from filter(None, (text.strip(" \t\n\v\f\r") for text in texts))


def pippin_tokenize(said, tokenizer, *options):
    return subprocess.run([PIPPIN, "tokenize", *options, "--tokenizer", tokenizer], input=said.encode(), check=True,
                          stdout=subprocess.PIPE).stdout


def tokenize(text, tokenizer, *options):
    return np.fromstring(pippin_tokenize(text, tokenizer, "--ids", *options), dtype=np.int64, sep=" ")


def n_decoded(ids, tokenizer):
    """Bytes of the text of ids."""
    return len(pippin_tokenize(" ".join(map(str, ids)), tokenizer, "--decode"))


def encode(texts, tokenizer):
    """(ids of all documents, where each begins), BOS first in each. All are one text, to pay for one process, with more newlines
    between documents than within any. A newline is a piece by itself and nothing merges across it, so a document has the
    ids that it has alone; the space stands for the one that SentencePiece puts before a text."""
    bos, = tokenize("", tokenizer, "--bos")
    *prefix, newline = tokenize("\n", tokenizer)
    n = 1 + max((len(run) for text in texts for run in re.findall("\n+", text)), default=0)
    ids = tokenize(("\n" * n + " " * len(prefix)).join(["", *texts]), tokenizer)[len(prefix) :]
    between = np.logical_and.reduce([ids[i : len(ids) - n + 1 + i] == newline for i in range(n)]).nonzero()[0]
    ids[between] = bos
    for i in range(1, n):
        ids[between + i] = -1
    ids = ids[ids >= 0]
    starts = np.flatnonzero(ids == bos)
    if len(starts) != len(texts) or len(starts) != len(between):
        sys.exit(f"ngram.py: {tokenizer}: found {len(starts)} documents in the ids of {len(texts)}, expected as many; the "
                 "tokenizer has to have a piece for a newline")
    return ids, starts


# ---- windows ----


def places(ids, starts):
    """Of every token how many are before it in its document."""
    return np.arange(len(ids)) - np.repeat(starts, np.diff(np.append(starts, len(ids))))


def windows(ids, order):
    """Of every token it and the ids before it, `order` in all, as a key."""
    keys = np.zeros(len(ids), np.uint64)
    for back in range(min(order, len(ids)) - 1, -1, -1):
        keys <<= np.uint64(BITS)
        keys[back:] |= ids[: len(ids) - back].astype(np.uint64)
    return keys


def last(keys, n):
    return keys & np.uint64((1 << (BITS * n)) - 1)


# ---- the model ----


def discounts(counts):
    """What is taken off counts of 0, 1, 2 and 3 or more. Where so few were seen that the estimate is none, constants."""
    n = [int(np.count_nonzero(counts == i)) for i in range(1, 5)]
    if all(n):
        y = n[0] / (n[0] + 2 * n[1])
        found = [i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3)]
        if all(0 <= d <= i for i, d in enumerate(found, start=1)):
            return np.array([0, *found])
    return np.array([0, 0.5, 1, 1.5])


class Level:
    """The n-grams of one order: `grams` sorted, `less` their counts less the discount; `contexts` sorted, of each the `total` of its
    counts and the share `free` of it that discounts have set free."""

    def __init__(self, grams, counts):
        taken = discounts(counts)[np.minimum(counts, 3)]
        self.grams, self.less = grams, counts - taken
        self.contexts, first = np.unique(grams >> np.uint64(BITS), return_index=True)
        self.total = np.add.reduceat(counts, first).astype(float)
        self.free = np.add.reduceat(taken, first) / self.total


def find(sorted_keys, keys):
    """Where each key stands, and whether it does."""
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return at, sorted_keys[at] == keys


class KneserNey:
    def __init__(self, ids, starts, n_vocab, order=5):
        """Counted are, of grams of the highest order and of those that begin a document, their occurrences; of others the
        different ids before them."""
        self.n_vocab, self.levels = n_vocab, []
        keys, place = windows(ids, order), places(ids, starts)
        grams, counts = np.unique(keys[place >= max(order - 1, 1)], return_counts=True)
        for n in range(order, 0, -1):
            if len(grams):
                self.levels.insert(0, Level(grams, counts))
            inner, n_before = np.unique(last(grams, n - 1), return_counts=True)
            begin = starts + n - 2
            begin = begin[begin < len(ids)] if n > 2 else begin[:0]
            first, n_times = np.unique(last(keys[begin[place[begin] == n - 2]], n - 1), return_counts=True)
            grams, counts = np.concatenate((inner, first)), np.concatenate((n_before, n_times))
            order_of = np.argsort(grams)
            grams, counts = grams[order_of], counts[order_of]

    def probabilities(self, keys):
        """Of the last id of each window, given those before it. Where a window reaches beyond its document BOS is within it, and
        it is in no context then, as BOS is first in those that have it."""
        p = np.full(len(keys), 1 / self.n_vocab)
        for n, level in enumerate(self.levels, start=1):
            gram = last(keys, n)
            at, known = find(level.contexts, gram >> np.uint64(BITS))
            here, seen = find(level.grams, gram)
            p = np.where(known, np.where(seen, level.less[here], 0) / level.total[at] + level.free[at] * p, p)
        return p


# ---- a text ----


def train(paths, tokenizer, n_vocab=1 << BITS, order=5):
    texts = [text for path in paths for text in documents(path)]
    ids, starts = encode(texts, tokenizer)
    if ids.max() >= n_vocab:
        sys.exit(f"ngram.py: {tokenizer}: found the id {ids.max()}, expected ids below {n_vocab}")
    return KneserNey(ids, starts, n_vocab, order)


def score(model, path, tokenizer, order=5, n_ctx=None):
    """The figures that `pippin eval` prints, and what they are made of. Documents are cut at n_ctx ids, BOS among them."""
    texts = list(documents(path))
    ids, starts = encode(texts, tokenizer)
    n_ctx, place = n_ctx or len(ids), places(ids, starts)
    p = model.probabilities(windows(ids, order)[(place > 0) & (place < n_ctx)])
    cut = np.diff(np.append(starts, len(ids))) > n_ctx
    n_bytes = sum(len(text.encode()) for text, is_cut in zip(texts, cut) if not is_cut)
    n_bytes += sum(n_decoded(ids[start : start + n_ctx], tokenizer) for start in starts[cut])
    nll = -float(np.log(p).sum())
    return {"documents": len(texts), "cut": int(cut.sum()), "tokens": len(p), "bytes": n_bytes, "nll": nll,
            "nats_per_token": nll / len(p), "bits_per_byte": nll / math.log(2) / n_bytes}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("train", type=pathlib.Path, nargs="+")
    parser.add_argument("test", type=pathlib.Path)
    parser.add_argument("tokenizer", type=pathlib.Path)
    parser.add_argument("--ctx", type=int, help="cut documents at so many tokens, as eval does at the context of its model")
    parser.add_argument("--order", type=int, default=5, choices=range(1, MOST + 1))
    parser.add_argument("--vocab", type=int, default=1 << BITS, help="ids there are, at most 4096")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = train(args.train, args.tokenizer, args.vocab, args.order)
    figures = score(model, args.test, args.tokenizer, args.order, args.ctx)
    if args.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name.replace('_', ' '):15} {figure:.6g}" if isinstance(figure, float) else f"{name:15} {figure}")


if __name__ == "__main__":
    main()
