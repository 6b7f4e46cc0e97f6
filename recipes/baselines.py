#!/usr/bin/env python3
"""baselines.py DATA OUT [TASK...] - what adapters of `mini` have to be better than: answers of simple rules to the test rows of
DATA/TASK, in OUT/TASK.RULE.jsonl, as `pippin eval --task DATA/TASK/test.jsonl --answers` reads them. Rules learn from train and
choose on valid; they never see an answer of test. Python's standard library, and aspell for proofread.

text       bits per byte are printed, none written. xz: the test text alone, and what it adds behind all of train. ngram: a Kneser-Ney
           5-gram (ngram.py: needs numpy, DATA/../tokenizer.model and pippin)
summarize  first-sentence, first-10-words
tag        majority: always the k most frequent tags. keyword: tags one of whose words, those that tell most of them, are in the text
proofread  copy: the text as it is. aspell: its first suggestion for every word that it does not know
extract    lexicon: entities seen in train, by their most frequent type. capitals: these and runs of capitalised words
"""
import argparse
import collections
import importlib.util
import itertools
import json
import lzma
import math
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import mini_data


def read(path):
    """(what the user says, the right answer) of every row."""
    with open(path, encoding="utf-8") as file:
        return [(m[-2]["content"], m[-1]["content"]) for m in (json.loads(line)["messages"] for line in file)]


class Task:
    def __init__(self, data, out, name):
        self.out, self.name = out, name
        self.folder = data / name
        self.parts = {split: read(self.folder / f"{split}.jsonl") for split in mini_data.SPLITS}
        self.texts = [text for text, _ in self.parts["test"]]

    def write(self, rule, answers, note=""):
        path = self.out / f"{self.name}.{rule}.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            for answer in answers:
                print(json.dumps({"answer": answer}, ensure_ascii=False), file=file)
        print(f"{len(answers):6,} answers  {path.name}{note}")


def f1(pairs):
    """Micro-F1 of (found, right) counters or sets."""
    common = found = right = 0
    for a, b in pairs:
        a, b = collections.Counter(a), collections.Counter(b)
        common += sum((a & b).values())
        found += sum(a.values())
        right += sum(b.values())
    return 2 * common / max(1, found + right)


# ---- summarize ----


def first_sentence(text):
    return mini_data.sentences(text.split("\n")[0])[0]


def summarize(task):
    task.write("first-sentence", [first_sentence(text) for text in task.texts])
    task.write("first-10-words", [" ".join(text.split()[:10]) for text in task.texts])


# ---- tag ----


def words(text):
    return set(re.findall(r"[a-z][a-z0-9+-]+", text.lower()))


def tags(text):
    return text.split(", ")


class Keywords:
    """For each tag its words by pointwise mutual information: log of how much likelier a word is in texts that have the tag."""

    def __init__(self, rows):
        self.of_word, self.of_tag, self.both = (collections.Counter() for _ in range(3))
        for text, answer in rows:
            found, right = words(text), tags(answer)
            self.of_word.update(found)
            self.of_tag.update(right)
            self.both.update(itertools.product(right, found))
        self.n = len(rows)

    def choose(self, least, n_word):
        """word -> tags that it tells, of the n_word best of every tag that it has `least` times."""
        ranked = collections.defaultdict(list)
        for (tag, word), n in self.both.items():
            if n >= least:
                ranked[tag].append((math.log(n * self.n / self.of_word[word] / self.of_tag[tag]), word))
        told = collections.defaultdict(set)
        for tag, found in ranked.items():
            for _, word in sorted(found, reverse=True)[:n_word]:
                told[word].add(tag)
        return told


def guess(text, told, most, n_hit):
    """Tags that n_hit words tell, and those that every text gets."""
    hits = collections.Counter(tag for word in words(text) for tag in told.get(word, ()))
    return set(most) | {tag for tag, n in hits.items() if n >= n_hit} or {most}


def tag(task):
    valid, learned = task.parts["valid"], Keywords(task.parts["train"])
    frequent = [t for t, _ in learned.of_tag.most_common()]
    k = max(range(1, 12), key=lambda k: f1((frequent[:k], tags(answer)) for _, answer in valid))
    task.write("majority", [", ".join(sorted(frequent[:k]))] * len(task.texts), f"  k = {k}")
    best = (-1,)
    for least, n_word in itertools.product((10, 30, 100), (3, 6, 12, 25)):
        told = learned.choose(least, n_word)
        for n_most, n_hit in itertools.product((1, 2, 3, 4, 5), (1, 2, 3)):
            score = f1((guess(text, told, frequent[:n_most], n_hit), tags(answer)) for text, answer in valid)
            best = max(best, (score, least, n_word, n_most, n_hit))
    _, least, n_word, n_most, n_hit = best
    told = learned.choose(least, n_word)
    task.write("keyword", [", ".join(sorted(guess(text, told, frequent[:n_most], n_hit))) for text in task.texts],
               f"  {n_word} words a tag, each {least} times with it; {n_hit} of them in the text; {n_most} tags always")


# ---- proofread ----


def corrected(text, said):
    """The text with aspell's first suggestions put in; `said` is what it says of a line, counted from the '^' before it."""
    for line in reversed(said):
        found = re.match(r"& (\S+) \d+ (\d+): ([^,]+)", line)
        if found:
            at = int(found[2]) - 1
            assert text[at : at + len(found[1])] == found[1], (text, line)
            text = text[:at] + found[3] + text[at + len(found[1]) :]
    return text


def proofread(task):
    task.write("copy", task.texts)
    if not shutil.which("aspell"):
        print("SKIPPED proofread.aspell: aspell is not here (packages aspell, aspell-en)")
        return
    lines = "!\n" + "".join(f"^{' '.join(text.split())}\n" for text in task.texts)
    said = subprocess.run(["aspell", "-a", "--lang=en", "--encoding=utf-8"], input=lines, check=True, capture_output=True,
                          encoding="utf-8").stdout
    blocks, block = [], []
    for line in said.split("\n")[1:]:
        if line:
            block.append(line)
        else:
            blocks, block = blocks + [block], []
    task.write("aspell", [corrected(" ".join(text.split()), block) for text, block in zip(task.texts, blocks)])


# ---- extract ----


def items(answer):
    return [tuple(item) for item in json.loads(answer)]


def spans(text, most=6):
    """For every word of a text where it begins, and where up to `most` words from it on end, the longest first."""
    places = [m.span() for m in re.finditer(r"\w+", text)]
    for i, (start, _) in enumerate(places):
        yield start, [end for _, end in places[i : i + most]][::-1]


class Names:
    """Entities as they were seen in train, each by its most frequent type, and the share of its places where it was one."""

    def __init__(self, rows):
        seen, kinds, places = collections.defaultdict(collections.Counter), collections.Counter(), collections.Counter()
        for _, answer in rows:
            for kind, name in items(answer):
                seen[name][kind] += 1
                kinds[kind] += 1
        for text, _ in rows:
            places.update(text[start:end] for start, ends in spans(text) for end in ends if text[start:end] in seen)
        self.kind = {name: found.most_common(1)[0][0] for name, found in seen.items()}
        self.share = {name: sum(found.values()) / max(1, places[name]) for name, found in seen.items()}
        self.usual = kinds.most_common(1)[0][0]

    def find(self, text, share, n_word):
        """[(type, name)] in their order: names that are entities in more than `share` of their places, and runs of n_word
        capitalised words or more that do not begin a sentence."""
        runs = {m.start(): m[0] for m in re.finditer(r"(?<![\w#@/.])[A-Z]\w*[a-z]\w*(?:[ -][A-Z]\w*)*", text)
                if len(m[0].split()) >= n_word and not re.search(r"(^|[.!?] )\W*$", text[: m.start()])}
        found, behind = [], 0
        for start, ends in spans(text):
            if start < behind:
                continue
            known = next((text[start:end] for end in ends if self.share.get(text[start:end], 0) > share), "")
            name = max(known, runs.get(start, ""), key=len)
            if name:
                found.append((self.kind.get(name, self.usual), name))
                behind = start + len(name)
        return found


def extract(task):
    """No choice is made on valid: its entities are train's, those of test are new ones by design."""
    names = Names(task.parts["train"])
    for rule, n_word in (("lexicon", 99), ("capitals", 1)):
        found = [names.find(text, 0.5, n_word) for text in task.texts]
        task.write(rule, [json.dumps(f, ensure_ascii=False, separators=(",", ":")) for f in found])


# ---- text ----

N_CTX = 512  # of mini: longer documents are cut there


def packed(texts, n_dictionary):
    """Bytes that xz makes of texts one behind the other, by its strongest preset (`xz -9e` has a dictionary of 64 MiB)."""
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": n_dictionary}])
    return sum(len(packer.compress(text)) for text in texts) + len(packer.flush())


def held_out_text(data):
    def say(rule, bits):
        print(f"{bits:.4f} bits per byte  text.{rule}", flush=True)

    learned, tested = ("".join(f"{json.loads(row)['text']}\n\n" for row in open(data / "text" / f"{split}.jsonl", encoding="utf-8"))
                       .encode() for split in ("train", "test"))
    say("xz", 8 * packed([tested], 64 << 20) / len(tested))
    say("xz-after-train", 8 * (packed([learned, tested], 256 << 20) - packed([learned], 256 << 20)) / len(tested))
    tokenizer = data.parent / "tokenizer.model"
    if not tokenizer.exists() or not importlib.util.find_spec("numpy"):
        print(f"SKIPPED text.ngram: no {'numpy (package python3-numpy)' if tokenizer.exists() else tokenizer}")
        return
    import ngram
    model = ngram.train([data / "text" / "train.jsonl"], tokenizer)
    say("ngram", ngram.score(model, data / "text" / "test.jsonl", tokenizer, n_ctx=N_CTX)["bits_per_byte"])


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rules = {"summarize": summarize, "tag": tag, "proofread": proofread, "extract": extract, "text": held_out_text}
    for name, rule in rules.items():
        if name not in (args.tasks or rules):
            continue
        if not (args.data / name / "test.jsonl").exists():
            print(f"SKIPPED {name}: no {args.data / name / 'test.jsonl'}")
        elif rule == held_out_text:
            rule(args.data)
        else:
            rule(Task(args.data, args.out, name))


if __name__ == "__main__":
    main()
