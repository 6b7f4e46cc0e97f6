#!/usr/bin/env python3
"""answers.py DATA OUT TASK=ANSWERS.jsonl... - rows for a draft to learn from, in OUT/train.jsonl, every 100th in OUT/valid.jsonl: those of
DATA/TASK/train.jsonl with what the model answered (pippin eval --save-answers) in place of what is right, a twentieth as many of the
text that the model learned, in a mixed order.
"""
import json
import pathlib
import sys

from mini_data import number


def answered(rows, answers):
    """The first rows, as many as there are answers, each with its own."""
    for line, answer in zip(rows, answers):
        row = json.loads(line)
        row["messages"][-1]["content"] = json.loads(answer)["answer"]
        if row["messages"][-1]["content"]:
            yield json.dumps(row, ensure_ascii=False)


def main(data, out, tasks):
    made = []
    for task in tasks:
        name, answers = task.split("=", 1)
        with (data / name / "train.jsonl").open() as rows, open(answers) as lines:
            made += answered(rows, lines)
    text = sorted((data / "text" / "train.jsonl").read_text().splitlines(), key=lambda line: number("draft", line))
    made += text[: len(made) // 20]
    made.sort(key=lambda line: number("order", line))
    out.mkdir(parents=True, exist_ok=True)
    (out / "valid.jsonl").write_text("".join(line + "\n" for line in made[::100]))
    del made[::100]
    (out / "train.jsonl").write_text("".join(line + "\n" for line in made))
    print(f"{out}: {len(made):,} rows to learn")


if __name__ == "__main__":
    if len(sys.argv) < 4 or not all("=" in task for task in sys.argv[3:]):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
