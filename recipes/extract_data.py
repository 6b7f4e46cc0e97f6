#!/usr/bin/env python3
"""extract_data.py WNUT17 OUT - the task `extract` from the named entities of WNUT-17 (CC BY 4.0): a sentence as people write it
and its entities as compact JSON, in their order: [["person","John Smith"],["location","Oslo"]], [] where there are none.

OUT/extract/{train,valid,test}.jsonl   conversations; test is WNUT-17's dev file, valid a part of its train file by hash

WNUT17 holds wnut17train.conll and emerging.dev.conll; both are at https://github.com/leondz/emerging_entities_17.
"""
import argparse
import html
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True
import mini_data

CLITIC = re.compile(r"(s|t|m|d|ve|ll|re)$", re.I)


def read(path):
    """Sentences as lists of (token, tag)."""
    sentence = []
    for line in path.read_text(encoding="utf-8").splitlines():
        token, _, tag = line.partition("\t")
        if token.strip():
            sentence.append((html.unescape(token.strip()), tag.strip()))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def joined(tokens):
    """The text of tokens with the white space that people write, and where each token stands in it."""
    text, spans, glue, quoted = "", [], True, False
    for i, token in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        left = glue or re.match(r"([.,!?;:)\]}\u2026%]+|'(s|m|d|ve|ll|re)|n't)$", token, re.I)
        glue = token in ("(", "[", "{", "#", "$", "/", "_")
        if token in ("'", "\u2019", "\u00b4") and CLITIC.match(after) and text:
            left = glue = True  # should ' ve
        elif token in ("/", "_"):
            left = True
        elif token == '"':
            left, glue, quoted = left or quoted, not quoted, not quoted
        text += ("" if left else " ") + token
        spans.append((len(text) - len(token), len(text)))
    return text, spans


def entities(sentence, text, spans):
    """(type, text) in their order; an I- that continues nothing begins one, as readers of IOB2 do."""
    found = []
    for (_, tag), (first, last) in zip(sentence, spans):
        mark, _, kind = tag.partition("-")
        if mark == "I" and found and found[-1][0] == kind and found[-1][3]:
            found[-1][2] = last
        elif mark in ("B", "I"):
            found.append([kind, first, last, True])
        elif found:
            found[-1][3] = False
    return [[kind, text[first:last]] for kind, first, last, _ in found]


def rows(path):
    for sentence in read(path):
        text, spans = joined([token for token, _ in sentence])
        answer = json.dumps(entities(sentence, text, spans), ensure_ascii=False, separators=(",", ":"))
        yield mini_data.row("extract", text, answer)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("wnut17", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    parts = {"train": [], "valid": [], "test": list(rows(args.wnut17 / "emerging.dev.conll"))}
    tested = {r["messages"][1]["content"] for r in parts["test"]}
    for row in rows(args.wnut17 / "wnut17train.conll"):
        text = row["messages"][1]["content"]
        if text not in tested:
            parts["valid" if mini_data.number("extract", text) < 0.06 else "train"].append(row)
    for split, found in parts.items():
        mini_data.write_rows(args.out / "extract" / f"{split}.jsonl", found)
        n = sum(len(json.loads(r["messages"][2]["content"])) for r in found)
        print(f"{len(found):6,} sentences, {n:6,} entities  extract/{split}.jsonl")


if __name__ == "__main__":
    main()
