#!/usr/bin/env python3
"""drill.py DATA - more to learn proofreading from: DATA/proofread/drill.jsonl, the rows of train.jsonl and each of their sentences once
more, with every fourth word or so damaged by a random edit. An adapter that saw the rows of train.jsonl alone put right two thirds of
the listed misspellings and two fifths of the edits, which follow rules that only practice teaches.
"""
import json
import pathlib
import random
import re
import sys

from mini_data import damaged, number, row


def drilled(text):
    """The text with a quarter of its plain words damaged; never the first letter, and a word of at least four."""
    draw = random.Random(int(2**56 * number("drill", text))).random
    words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
    for i, word in enumerate(words):
        if word.isalpha() and word.islower() and len(word) >= 4 and draw() < 0.25:
            words[i] = damaged(word, ("drop", "double", "swap", "key")[int(draw() * 4)], draw)
    return "".join(words)


def main(folder):
    lines = (folder / "train.jsonl").read_text().splitlines()
    known = {w for line in lines for w in re.findall(r"[a-z]+", json.loads(line)["messages"][-1]["content"].lower())}
    out = []
    for line in lines:
        text = json.loads(line)["messages"][-1]["content"]
        made = drilled(text)
        # An edit that makes another word is no error that a reader could see.
        if made != text and not any(w in known and w not in text.lower() for w in re.findall(r"[a-z]+", made.lower())):
            out.append(json.dumps(row("proofread", made, text), ensure_ascii=False))
    both = sorted(lines + out, key=lambda one: number("order", one))
    (folder / "drill.jsonl").write_text("".join(one + "\n" for one in both))
    print(f"{len(both):,} rows, {len(out):,} of them drilled")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]) / "proofread")
