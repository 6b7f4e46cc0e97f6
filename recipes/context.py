#!/usr/bin/env python3
"""context.py MODEL TEXT OUT [--times 10,25,50] [--contexts 1] [--tokenizer FILE] [other options of eval] - what contexts
beyond the training's are worth. TEXT is predicted in contexts of so many times the model's training window, with positions as they
are (none) and stretched (linear, ntk, yarn), and by the same model that sees no more than a window of it: the level to beat.

OUT.json   every run: nats and tokens, by position; what is in it already is not run again
OUT.svg    nats a token against position, a panel for each length
stdout     a table in markdown

docs/CONTEXT.md says how to read them. Needs Python's standard library; PIPPIN names the command (default: build/pippin).
"""
import argparse
import hashlib
import html
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ("none", "linear", "ntk", "yarn")
WINDOW = "window"  # the run that sees a window of the text at a time


def fail(text):
    sys.exit(f"context.py: {text}")


def pippin(*arguments, **how):
    """The JSON that a command gives."""
    command = [os.environ.get("PIPPIN", HERE.parent / "build/pippin"), *map(str, arguments), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, **how)
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}, expected the command; build it, or name it in PIPPIN")
    if done.returncode:
        fail(f"pippin {command[1]} ended with {done.returncode}: {done.stderr.decode().strip()}")
    return json.loads(done.stdout)


def sha256_of(model):
    """Of the weights alone, so that runs of different models do not mix."""
    path, found = pathlib.Path(model), hashlib.sha256()
    for file in sorted(path.glob("model*.safetensors")) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    return found.hexdigest()


# ---- runs ----


def edges(window, n_ctx):
    """The last positions of buckets: half octaves on both sides of the window, from an eighth of it to the context's end."""
    found, k = [], -6
    while not found or found[-1] < n_ctx:
        found.append(min(round(window * 2 ** (k / 2)), n_ctx))
        k += 1
    return sorted(set(e for e in found if e > 0))


def beginning(tokenizer, text, n_tok):
    """About n_tok tokens of a text, up to a space."""
    found = len(pippin("tokenize", "-m", tokenizer, input=text)["ids"])
    if found < n_tok:
        fail(f"the text has {found:,} tokens, expected {n_tok:,}; take a longer one, or fewer --times or --contexts")
    end = len(text) * n_tok // found
    return text[: text.rfind(b" ", 0, end) if end < len(text) else end]


class Runs:
    """What was run, in OUT.json."""

    def __init__(self, path, subject, options):
        self.path, self.options = path, options
        self.all = {**subject, "runs": []}
        if path.exists():
            old = json.loads(path.read_text())
            if {k: old.get(k) for k in subject} != subject:
                fail(f"{path}: holds runs of another model, text or length; move it away, or name another OUT")
            self.all = old

    def get(self, times, kind):
        return next((r for r in self.all["runs"] if (r["times"], r["kind"]) == (times, kind)), None)

    def run(self, model, text, times, kind):
        window = self.all["window"]
        n_ctx = times * window
        how = ["--window", window] if kind == WINDOW else ["--rope-scaling", kind]
        found = pippin("eval", "-m", model, "--text", text, "--ctx", n_ctx, *how, "--by-position",
                       ",".join(map(str, edges(window, n_ctx))), *self.options)
        self.all["runs"].append({"times": times, "ctx": n_ctx, "kind": kind,
                                 **{k: found[k] for k in ("tokens", "nll", "positions")}})
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(json.dumps(self.all, indent=1) + "\n")
        new.replace(self.path)
        return self.all["runs"][-1]


def beyond(run, window):
    """Nats a token behind the window, and how many tokens that is the mean of; a bucket ends there."""
    parts = [p for p in run["positions"] if p["first"] > window]
    tokens = sum(p["tokens"] for p in parts)
    return (sum(p["nll"] for p in parts) / tokens, tokens) if tokens else (math.nan, 0)


def table(runs, times):
    window = runs.all["window"]
    lines = [["context", "tokens behind the window", "a window at a time", *KINDS], ["---:"] * (3 + len(KINDS))]
    for t in times:
        level, tokens = beyond(runs.get(t, WINDOW), window)
        lines.append([f"{t}x = {t * window:,}", f"{tokens:,}", f"{level:.3f}"])
        for kind in KINDS:
            nats = beyond(runs.get(t, kind), window)[0]
            lines[-1].append(f"{nats:.3f} ({nats - level:+.3f})")
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


# ---- the plot ----

COLOURS = {"none": "#c8452c", "linear": "#d99a1b", "ntk": "#2f6fb5", "yarn": "#2c8a5a", WINDOW: "#3a3a3a"}
LABELS = {"none": "none", "linear": "linear", "ntk": "ntk", "yarn": "yarn", WINDOW: "no more than a window of it is read"}
PANEL, HEIGHT, GAP, LEFT, TOP, BOTTOM = 320, 300, 22, 62, 96, 56


def short(n):
    return f"{n / 1024:g}K" if n % 1024 == 0 else f"{n:,}"


class Plot:
    def __init__(self, runs, times):
        self.runs, self.times, self.window = runs, times, runs.all["window"]
        self.out = []
        values = [p["nll"] / p["tokens"] for r in runs.all["runs"] if r["times"] in times for p in r["positions"]]
        span = max(values) - min(values)
        self.step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if span / s <= 9)
        self.low = math.floor(min(values) / self.step) * self.step
        self.high = math.ceil(max(values) / self.step) * self.step
        self.width = LEFT + len(times) * (PANEL + GAP) + 2

    def put(self, text):
        self.out.append(text)

    def text(self, x, y, text, anchor="middle", **style):
        style = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in style.items())
        self.put(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{html.escape(text)}</text>')

    def y(self, value):
        return TOP + HEIGHT * (self.high - value) / (self.high - self.low)

    def panel(self, at, times):
        left, n_ctx, first = LEFT + at * (PANEL + GAP), times * self.window, self.window / 64
        x = lambda position: left + PANEL * math.log(position / first) / math.log(n_ctx / first)
        self.put(f'<rect x="{left}" y="{TOP}" width="{x(self.window) - left:.1f}" height="{HEIGHT}" fill="#eef0ea"/>')
        for i in range(round((self.high - self.low) / self.step) + 1):
            value = self.low + i * self.step
            self.put(f'<path d="M{left} {self.y(value):.1f}h{PANEL}" stroke="#dcdcd6"/>')
            if at == 0:
                self.text(left - 8, self.y(value) + 4, f"{value:.{2 if self.step < 0.1 else 1}f}", "end")
        for factor in (1 / 8, 1, 8, times):
            if factor < times / 2 or factor == times:
                self.put(f'<path d="M{x(factor * self.window):.1f} {TOP + HEIGHT}v5" stroke="#666"/>')
                self.text(x(factor * self.window), TOP + HEIGHT + 19, short(round(factor * self.window)))
        self.put(f'<rect x="{left}" y="{TOP}" width="{PANEL}" height="{HEIGHT}" fill="none" stroke="#8a8a84"/>')
        self.text(left + 6, TOP + 16, f"{times} x the training's window", "start", font_weight="600")
        for kind in (WINDOW, *KINDS):
            self.curve([(x(math.sqrt(p["first"] * p["last"])), self.y(p["nll"] / p["tokens"]))
                        for p in self.runs.get(times, kind)["positions"]], kind)

    def curve(self, points, kind):
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if kind == WINDOW else ""
        self.put(f'<path d="M{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2" stroke-linejoin="round"{dashes}/>')
        if kind != WINDOW:
            self.put("".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{COLOURS[kind]}"/>' for x, y in points))

    def legend(self):
        x = LEFT
        for kind in (*KINDS, WINDOW):
            dashes = ' stroke-dasharray="5 4"' if kind == WINDOW else ""
            self.put(f'<path d="M{x} 66h24" stroke="{COLOURS[kind]}" stroke-width="2.5"{dashes}/>')
            self.text(x + 31, 70, LABELS[kind], "start")
            x += 56 + 7 * len(LABELS[kind])
        self.put(f'<rect x="{x}" y="59" width="24" height="14" fill="#eef0ea" stroke="#c9cbc4"/>')
        self.text(x + 31, 70, "positions of the training", "start")

    def draw(self):
        height = TOP + HEIGHT + BOTTOM
        subject = self.runs.all
        self.put(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" width="{self.width}" '
                 f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">')
        self.put(f'<rect width="{self.width}" height="{height}" fill="#fdfdfb"/>')
        self.text(LEFT, 26, f"{subject['model']}: nats a token by position", "start", font_size=17, font_weight="600")
        self.text(LEFT, 45, f"{subject['text']}, window of {self.window:,} tokens; a point is the mean of half an octave",
                  "start", fill="#666")
        self.legend()
        for at, times in enumerate(self.times):
            self.panel(at, times)
        self.text(LEFT + (self.width - LEFT) / 2, height - 14, "tokens that stand before the predicted one")
        y = TOP + HEIGHT / 2
        self.text(18, y, "nats a token", transform=f"rotate(-90 18 {y})")
        self.put("</svg>")
        return "\n".join(self.out) + "\n"


def main():
    parser = argparse.ArgumentParser(usage=" ".join(__doc__.split(" - ")[0].split()), allow_abbrev=False)
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--times", default="10,25,50")
    parser.add_argument("--contexts", type=int, default=1)
    parser.add_argument("--tokenizer")
    args, options = parser.parse_known_args()
    options += ["--tokenizer", args.tokenizer] if args.tokenizer else []
    try:
        times = sorted({int(t) for t in args.times.split(",")})
    except ValueError:
        times = []
    if not times or times[0] < 2 or args.contexts < 1:
        fail(f'--times: found "{args.times}", expected whole numbers from 2, as 10,25,50, with --contexts of 1 or more')
    window = pippin("inspect", args.model)["context"]["trained"]
    if not window:
        fail(f"{args.model}: does not say how many positions it was trained on, expected max_position_embeddings")
    text = beginning(args.tokenizer or args.model, args.text.read_bytes(), args.contexts * times[-1] * window)
    subject = {"model": pathlib.Path(args.model).name, "text": args.text.name, "window": window,
               "sha256": [sha256_of(args.model), hashlib.sha256(text).hexdigest()], "options": options}
    runs = Runs(args.out.with_name(args.out.name + ".json"), subject, options)
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        for t in times:
            for kind in (WINDOW, *KINDS):
                if not runs.get(t, kind):
                    print(f"{t}x, {kind}", file=sys.stderr)
                    runs.run(args.model, file.name, t, kind)
    args.out.with_name(args.out.name + ".svg").write_text(Plot(runs, times).draw())
    print(table(runs, times), end="")


if __name__ == "__main__":
    main()
