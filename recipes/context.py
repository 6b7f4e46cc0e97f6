#!/usr/bin/env python3
"""context.py MODEL TEXT OUT [--times 10,25,50] [--contexts 1] [--tokenizer FILE] [--name NAME] [other options of eval] - what
contexts beyond the training's are worth. TEXT is predicted in contexts of so many times the model's training window, with positions
as they are (none) and stretched (linear, ntk, yarn), and by the same model that sees no more than a window of it: the level.

OUT.json   every run: nats and tokens, by position; what is in it already is not run again
OUT.svg    nats a token against position, a panel for each length
stdout     a table in markdown: means behind the window, and how far they are above the level

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
    """The last positions of buckets: half octaves on both sides of the window, whose last position is window - 1."""
    found, k = [], -6
    while not found or found[-1] < n_ctx - 1:
        found.append(min(round(window * 2 ** (k / 2)), n_ctx) - 1)
        k += 1
    return sorted(set(e for e in found if e > 0))


def beginning(tokenizer, text, n_tok):
    """A text's first n_tok tokens, but for a few: it is cut at a space."""
    count = lambda part: len(pippin("tokenize", "-m", tokenizer, input=part)["ids"])
    found, end = count(text), len(text)
    if found < n_tok:
        fail(f"the text has {found:,} tokens, expected {n_tok:,}; take a longer one, or fewer --times or --contexts")
    for _ in range(4):
        if abs(found - n_tok) > n_tok // 500 + 8:
            end = text.rfind(b" ", 1, end * n_tok // found)
            found = count(text[:end])
    return text[:end]


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
    parts = [p for p in run["positions"] if p["first"] >= window]
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
LABELS = {k: k for k in KINDS} | {WINDOW: "no more than a window of it is read"}
WIDTH, GAP, LEFT, TOP, BOTTOM = 1068, 22, 62, 92, 56
ROWS = ((TOP, 230), (TOP + 230 + 40, 190))  # where the panels of a row begin, and how high they are


def short(n):
    return f"{n / 1024:g}K" if n % 1024 == 0 else f"{n:,}"


class Axis:
    """Up a row of panels: round values around all that is shown."""

    def __init__(self, row, values):
        self.top, self.height = ROWS[row]
        span = max(values) - min(values)
        self.step = next(s * 10.0**e for e in range(-4, 9) for s in (1, 2, 5) if span <= s * 10.0**e * 6)
        self.low, high = math.floor(min(values) / self.step), math.ceil(max(values) / self.step)
        self.n = max(1, high - self.low)

    def y(self, value):
        return self.top + self.height * (1 - (value / self.step - self.low) / self.n)

    def ticks(self):
        digits = max(0, -math.floor(math.log10(self.step)))
        return [(f"{(self.low + i) * self.step:.{digits}f}", self.top + self.height * (1 - i / self.n)) for i in range(self.n + 1)]


class Plot:
    """Two rows of panels, one panel a length: nats a token, and how far that is from reading a window at a time."""

    def __init__(self, runs, times):
        self.runs, self.times, self.window = runs, times, runs.all["window"]
        self.out, self.panel_width = [], (WIDTH - LEFT + GAP) / len(times) - GAP
        self.axes = [Axis(row, [v for t in times for k in (WINDOW, *KINDS) for _, v in self.points(row, t, k)]) for row in (0, 1)]

    def points(self, row, times, kind):
        """(position, value), a bucket each; buckets of all runs of a length are the same, and so are the tokens in them."""
        return [((p["first"] + p["last"]) / 2, (p["nll"] - row * level["nll"]) / p["tokens"]) for p, level in
                zip(self.runs.get(times, kind)["positions"], self.runs.get(times, WINDOW)["positions"])]

    def put(self, text):
        self.out.append(text)

    def text(self, x, y, text, anchor="middle", **style):
        style = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in style.items())
        self.put(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{html.escape(text)}</text>')

    def line(self, path, kind):
        dashes = ' stroke-dasharray="5 4"' if kind == WINDOW else ""
        self.put(f'<path d="M{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2" stroke-linejoin="round"{dashes}/>')

    def panel(self, row, at):
        axis, times = self.axes[row], self.times[at]
        left, n_ctx, first = LEFT + at * (self.panel_width + GAP), times * self.window, self.window / 16
        x = lambda position: left + self.panel_width * math.log(position / first) / math.log(n_ctx / first)
        bottom = axis.top + axis.height
        self.put(f'<rect x="{left:.1f}" y="{axis.top}" width="{x(self.window) - left:.1f}" height="{axis.height}" fill="#eef0ea"/>')
        for label, y in axis.ticks():
            self.put(f'<path d="M{left:.1f} {y:.1f}h{self.panel_width:.1f}" stroke="#dcdcd6"/>')
            if at == 0:
                self.text(left - 8, y + 4, label, "end")
        for position in sorted({self.window // 8, self.window, n_ctx} | ({8 * self.window} if times >= 20 else set())):
            self.put(f'<path d="M{x(position):.1f} {bottom}v5" stroke="#666"/>')
            self.text(x(position), bottom + 18, short(position), "end" if position == n_ctx else "middle")
        self.put(f'<rect x="{left:.1f}" y="{axis.top}" width="{self.panel_width:.1f}" height="{axis.height}" fill="none" '
                 'stroke="#8a8a84"/>')
        if row == 0:
            self.text(left + 8, axis.top + 18, f"{times} x the window", "start", font_weight="600")
        for kind in (WINDOW, *KINDS):
            points = [(x(position), axis.y(value)) for position, value in self.points(row, times, kind)]
            self.line("L".join(f"{px:.1f} {py:.1f}" for px, py in points), kind)
            if kind != WINDOW:
                self.put("".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.2" fill="{COLOURS[kind]}"/>' for px, py in points))

    def legend(self):
        x, y = LEFT, 66
        for kind in (*KINDS, WINDOW):
            self.line(f"{x} {y}h24", kind)
            self.text(x + 31, y + 4, LABELS[kind], "start")
            x += 56 + 6.4 * len(LABELS[kind])
        self.put(f'<rect x="{x:.1f}" y="{y - 7}" width="24" height="14" fill="#eef0ea" stroke="#c9cbc4"/>')
        self.text(x + 31, y + 4, "positions of the training", "start")

    def draw(self):
        height = ROWS[-1][0] + ROWS[-1][1] + BOTTOM
        subject = self.runs.all
        self.put(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + GAP} {height}" width="{WIDTH + GAP}" '
                 f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">')
        self.put(f'<rect width="{WIDTH + GAP}" height="{height}" fill="#fdfdfb"/>')
        self.text(LEFT, 26, f"{subject['model']}: nats a token by position", "start", font_size=17, font_weight="600")
        self.text(LEFT, 45, f"{subject['text']}; trained in windows of {self.window:,} tokens; points are means of half an octave, "
                  f"at the left of {self.window // 8 - 1:,} tokens", "start", fill="#666")
        self.legend()
        for row, label in enumerate(("nats a token", "above a window")):
            for at in range(len(self.times)):
                self.panel(row, at)
            y = ROWS[row][0] + ROWS[row][1] / 2
            self.text(18, y, label, transform=f"rotate(-90 18 {y})")
        self.text((LEFT + WIDTH) / 2, height - 14, "tokens that stand before the predicted one")
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
    parser.add_argument("--name", help="of the model, for the plot")
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
    subject = {"model": args.name or pathlib.Path(args.model).resolve().name, "text": args.text.name, "window": window,
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
