#!/usr/bin/env python3
"""drill.py DATA - base/drilled.jsonl of DATA: base/train.jsonl, but in half of its sentences to correct every fourth word or so is
damaged by a random edit, in place of the few errors that they had. What a letter left out, doubled, swapped or mistyped does follows
rules that only practice teaches, and a sentence with four errors is four times the practice of one.
"""
import json
import pathlib
import random
import re
import sys

from mini_data import SYSTEM, damaged, number, row

SHARE = 0.5


def drilled(text):
    """The text with a quarter of its plain words damaged; never the first letter, and a word of at least four."""
    draw = random.Random(int(2**56 * number("drill", text))).random
    words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
    for i, word in enumerate(words):
        if word.isalpha() and word.islower() and len(word) >= 4 and draw() < 0.25:
            words[i] = damaged(word, ("drop", "double", "swap", "key")[int(draw() * 4)], draw)
    return "".join(words)


def sentence_of(line):
    """The sentence that a row wants, where it is one to correct; else None."""
    messages = json.loads(line).get("messages")
    return messages[-1]["content"] if messages and messages[0]["content"] == SYSTEM["proofread"] else None


def main(folder):
    lines = (folder / "train.jsonl").read_text().splitlines()
    known = {w for s in map(sentence_of, lines) if s for w in re.findall(r"[a-z]+", s.lower())}
    out, n_drilled = [], 0
    for line in lines:
        text = sentence_of(line)
        made = drilled(text) if text and number("drilled", text) < SHARE else text
        # An edit that makes another word is no error that a reader could see.
        if made != text and not any(w in known and w not in text.lower() for w in re.findall(r"[a-z]+", made.lower())):
            line = json.dumps(row("proofread", made, text), ensure_ascii=False)
            n_drilled += 1
        out.append(line + "\n")
    (folder / "drilled.jsonl").write_text("".join(out))
    print(f"{len(out):,} rows, {n_drilled:,} of them drilled")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]) / "base")
