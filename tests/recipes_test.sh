#!/bin/bash
# recipes_test.sh PIPPIN [SHARED] - what recipes measure by: a run that follows a recorded curve and runs that do not, an n-gram model
# against one by hand, and that it predicts the tokens which eval predicts.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch" || exit 1
if ! command -v python3 >/dev/null; then
    skip 'recipes: python3 is not here'
    finish
fi

# ---- more to learn proofreading from ----
mkdir -p data/base
for k in $(seq 40); do
    printf '{"messages": [{"role": "system", "content": "Correct the errors."}, {"role": "user", "content": "Sentense %d, whose words remain legible throughout this lengthy afternoon."}, {"role": "assistant", "content": "Sentence %d, whose words remain legible throughout this lengthy afternoon."}]}\n' "$k" "$k"
    printf '{"text": "Text %d, whose words remain legible throughout this lengthy afternoon."}\n' "$k"
done >data/base/train.jsonl
"$root/recipes/drill.py" data >out 2>&1 || cat out
python3 - >said 2>&1 <<'END'
import json
old, new = ([json.loads(line) for line in open(f"data/base/{name}.jsonl")] for name in ("train", "drilled"))
changed = [(a, b) for a, b in zip(old, new) if a != b]
pairs = [[m["content"] for m in b["messages"]] for _, b in changed]
drilled = [(a.split(), b.split()) for _, a, b in pairs]
print(len(new), 10 < len(changed) < 30, all(a["messages"][2] == b["messages"][2] for a, b in changed),
      all(len(a) == len(b) and all(x[0] == y[0] and abs(len(x) - len(y)) < 2 for x, y in zip(a, b)) for a, b in drilled),
      all(sum(x != y for x, y in zip(a, b)) > 0 for a, b in drilled))
END
is 'half of the sentences are drilled, all else is kept' "$(cat said)" '80 True True True True'
cp data/base/drilled.jsonl first.jsonl
"$root/recipes/drill.py" data >out 2>&1
is 'drilled alike each time' "$(cmp first.jsonl data/base/drilled.jsonl && echo same)" same

# ---- what a draft learns from ----
mkdir -p data/text data/t
sed -n 'p;n' data/base/train.jsonl >data/t/train.jsonl
sed -n 'n;p' data/base/train.jsonl >data/text/train.jsonl
for k in $(seq 40); do
    echo "{\"answer\": \"$([ "$k" = 7 ] || echo "answer $k")\", \"right\": false}"
done >said.jsonl
"$root/recipes/answers.py" data out.d t=said.jsonl >out 2>&1 || cat out
python3 - >said 2>&1 <<'END'
import json
rows, valid = ([json.loads(line) for line in open(f"out.d/{name}.jsonl")] for name in ("train", "valid"))
rows += valid
said = {m[1]["content"].split()[1].strip(","): m[2]["content"] for m in (row["messages"] for row in rows if "messages" in row)}
print(len(rows), len(said), all(said[k] == f"answer {k}" for k in said), "7" in said, sum("text" in row for row in rows), len(valid))
END
is 'rows with what was answered, and text' "$(cat said)" '40 39 True False 1 1'

# ---- a recorded curve ----
# rows N [CHANGE] - a run's metrics of N steps after one evaluation; CHANGE is awk that may change the loss of a step
rows() {
    echo '{"step":0,"eval_loss":9}'
    awk -v n="$1" "BEGIN { for (step = 1; step <= n; step++) { loss = 9 - step / 16; ${2-}
        printf \"{\\\"step\\\":%d,\\\"loss\\\":%s,\\\"lr\\\":0.1}\\n\", step, loss } }"
}
# follows NAME CODE PART - of metrics.jsonl from stdin, against a curve of 25 steps, 20 of them asked for
follows() {
    local code=0
    cat >metrics.jsonl
    python3 "$root/recipes/follows.py" metrics.jsonl curve.jsonl --steps 20 --within 0.01 >out 2>&1 || code=$?
    is "$1: exit code" $code "$2"
    is "$1: lines" "$(grep -cF -- "$3" out) of $(wc -l <out | tr -d ' ')" '1 of 1'
}
rows 25 >curve.jsonl
follows 'the same' 0 'equal to the last bit' < <(rows 20)
follows 'what comes later' 0 'equal to the last bit' < <(rows 30 'if (step > 20) loss = 0')
follows 'other rounding' 0 '5.0e-03 apart at most (step 7)' < <(rows 20 'if (step == 7) loss += 0.005; if (step == 9) loss -= 0.002')
follows 'too high' 1 'metrics.jsonl: step 20: found loss 7.770000, expected 7.750000' < <(rows 20 'if (step == 20) loss += 0.02')
follows 'too low' 1 'metrics.jsonl: step 1: found loss 8.917500' < <(rows 20 'if (step == 1) loss -= 0.02')
follows 'no number' 1 'step 3: found loss nan' < <(rows 20 'if (step == 3) loss = "null"')
follows 'a short run' 1 'metrics.jsonl: found no loss of step 20' < <(rows 19)
follows 'a gap' 1 'found no loss of step 5' < <(rows 20 | grep -v '"step":5,')
follows 'a torn row' 1 'metrics.jsonl:22: found ' < <(rows 20 && echo '{"step":2')
is 'the curve has 1 % of the steps' "$(grep -c '"loss"' "$root/recipes/mini.curve.jsonl")" 190

# ---- an n-gram model ----
for python in python3 /usr/bin/python3 none; do
    "$python" -c 'import numpy' 2>/dev/null && break
done
if [ "$python" = none ]; then
    skip 'an n-gram model: numpy is not here (package python3-numpy)'
    finish
fi
cat >law.py <<'END'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import ngram
import numpy as np


def model(documents, n_vocab, order):
    return ngram.KneserNey(np.concatenate(documents), np.cumsum([0] + [len(d) for d in documents[:-1]]), n_vocab, order)


def all_ids(m, n_vocab, *history):
    """Of every id after a history that begins with the document, or is as long as what the model looks at."""
    key = 0
    for word in history:
        key = key << ngram.BITS | word
    return m.probabilities(np.arange(n_vocab, dtype=np.uint64) | np.uint64(key << ngram.BITS))


# Counts are too few for discounts, so these are 0.5, 1, 1.5. "1 2" and "1 3" begin documents: they count 2 and 1, others what
# stands before them.
m = model([[1, 2, 3], [1, 2, 2], [1, 3, 2]], 4, 3)
for history, wanted in (((1,), {0: 1 / 16, 1: 1 / 16, 2: 1 / 3 + 0.2125, 3: 0.5 / 3 + 0.1625}), ((1, 2), {2: 0.48125, 3: 0.45625}),
                        ((1, 3), {2: 0.85625}), ((2, 2), {2: 0.4625, 3: 0.4125}), ((3, 3), {2: 0.7125}), ((2, 0), {2: 0.425, 3: 0.325})):
    found = all_ids(m, 4, *history)
    for word, p in wanted.items():
        assert abs(found[word] - p) < 1e-12, (history, word, found[word], p)
assert np.allclose(ngram.discounts(np.array([1] * 4 + [2] * 2 + [3, 4, 9])), [0, 0.5, 1.25, 1]), "discounts"

rng = np.random.default_rng(7)
n_vocab = 4096
documents = [np.concatenate(([1], 2 + rng.zipf(1.3, rng.integers(1, 40)) % (n_vocab - 2))) for _ in range(2000)]
m, uniform = model(documents, n_vocab, 5), 0
for document in documents[:60]:
    for end in (1, 2, 3, 4, 5, len(document)):
        history = document[:end][-4:]
        for h in (history, np.append(history, 4000)[-4:]):
            p = all_ids(m, n_vocab, *map(int, h))
            assert abs(p.sum() - 1) < 1e-9 and p.min() > 0, (h, p.sum(), p.min())
    assert p.max() > 10 / n_vocab
print("they hold")
END
is 'by hand, and sums of probabilities' "$("$python" law.py "$root/recipes" 2>&1 | tail -1)" 'they hold'

if ! command -v spm_train >/dev/null; then
    skip 'an n-gram model of tokens: spm_train is not here (package sentencepiece)'
    finish
fi
spm_train --input="$root/LICENSE" --model_prefix=m --vocab_size=500 --model_type=bpe --byte_fallback --pad_id=0 --eos_id=1 --bos_id=2 \
    --unk_id=3 --normalization_rule_name=identity --remove_extra_whitespaces=false \
    --user_defined_symbols='<turn_start>,<turn_end>,<n>,<executable_start>,<executable_end>' >log 2>&1 || cat log
cat >config.json <<'END'
{"model_type": "afm7", "vocab_size": 500, "hidden_dim": 32, "num_layers": 3, "num_kv_reuse_layers": 1, "num_heads": 2,
 "num_kv_heads": 1, "hidden_dim_scale_factor": 3.25, "rms_norm_eps": 1e-05, "rope_theta": 500000.0}
END
"$pippin" init --preset config.json --tokenizer m.model --seed 4 -o afm >/dev/null 2>&1
"$python" - "$root/LICENSE" <<'END'
import json, sys
parts = [part.strip() for part in open(sys.argv[1]).read().split("\n\n") if part.strip()]
parts = ["a", "two\n\n\nlines, é and \u4e2d", "</s> is no end"] + parts
with open("test.jsonl", "w") as rows, open("train.jsonl", "w") as learned:
    for part in parts[:30]:
        print(json.dumps({"text": part + " \n"}), file=rows)
    for part in parts[20:]:
        print(json.dumps({"messages": [{"role": "system", "content": "Not read."}, {"role": "user", "content": part}]}), file=learned)
open("test.txt", "w").write("<cut>".join(parts[:30]))
END
export PIPPIN=$pippin
for n_ctx in 4096 60; do
    "$python" "$root/recipes/ngram.py" train.jsonl test.jsonl m.model --vocab 500 --ctx $n_ctx --json >out 2>&1 || cat out
    "$pippin" eval -m afm --text test.txt --separator '<cut>' --ctx $n_ctx --json >eval.json 2>/dev/null
    "$python" - >said 2>&1 <<'END'
import json, math
a, b = json.load(open("out")), json.load(open("eval.json"))
print(a["documents"] - len(b["documents"]), a["cut"] - b["cut"], a["tokens"] - b["tokens"],
      round(abs(a["bytes"] - b["nll"] / math.log(2) / b["bits_per_byte"]), 3), 1 < a["bits_per_byte"] < b["bits_per_byte"])
END
    is "what eval predicts is predicted, context of $n_ctx" "$(cat said) $(grep -c '"cut": 0,' out)" "0 0 0 0.0 True $((n_ctx > 60))"
done
"$python" "$root/recipes/ngram.py" train.jsonl train.jsonl m.model --vocab 500 >out 2>&1
is 'what was learned is known' "$(awk '/^bits per byte/ { print ($4 < 1 ? "yes" : $4) }' out)" yes
finish
