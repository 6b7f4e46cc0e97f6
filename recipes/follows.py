#!/usr/bin/env python3
"""follows.py METRICS CURVE [--steps N] [--within X] - whether the losses of a run's metrics.jsonl are those of a recorded one.

Every step from 1 to N has to be there and its loss within X of the curve's. The same program on the same kind of CPU gives the
same bits; CPUs of other levels round in another order, and what they differ by grows with the steps: X is for that.
"""
import argparse
import json
import sys


def losses(path):
    """step -> loss; what is measured on other text (eval_loss) is no step."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                if "loss" in row:
                    found[int(row["step"])] = float("nan" if row["loss"] is None else row["loss"])
            except (ValueError, KeyError, TypeError, AttributeError):
                sys.exit(f"{path}:{number}: found {line.strip()[:60]!r}, expected a row of metrics.jsonl; is it one?")
    return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("metrics")
    parser.add_argument("curve")
    parser.add_argument("--steps", type=int, default=140)
    parser.add_argument("--within", type=float, default=0.01)
    args = parser.parse_args()
    found, wanted = losses(args.metrics), losses(args.curve)
    worst, at = 0.0, 1
    for step in range(1, args.steps + 1):
        for path, rows in ((args.curve, wanted), (args.metrics, found)):
            if step not in rows:
                sys.exit(f"{path}: found no loss of step {step}, expected one of every step to {args.steps}; let the run end")
        difference = abs(found[step] - wanted[step])
        if not difference <= args.within:  # a NaN is far from everything
            sys.exit(f"{args.metrics}: step {step}: found loss {found[step]:.6f}, expected {wanted[step]:.6f} within "
                     f"{args.within:g} as in {args.curve}; the run is another one: compare its options, data and tokenizer")
        if difference > worst:
            worst, at = difference, step
    same = "equal to the last bit" if worst == 0 else f"{worst:.1e} apart at most (step {at}), {args.within:g} allowed"
    print(f"{args.steps} losses follow {args.curve}: {same}")


if __name__ == "__main__":
    main()
