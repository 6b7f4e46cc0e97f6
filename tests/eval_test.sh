#!/bin/bash
# eval_test.sh PIPPIN [SHARED] - eval, convert, and what generate does with stop texts and log-probabilities, on a trained
# model of others: losses a story against llama2.c's, and the same after conversion.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
stories=$shared/data/stories260K
texts=$shared/data/tinystories-text
# refused NAME PART ARGUMENTS... - exit code 2 and a line that holds PART
refused() {
    local name=$1 part=$2 code=0
    shift 2
    "$pippin" "$@" >/dev/null 2>"$scratch/err" </dev/null || code=$?
    is "$name: exit code" $code 2
    is "$name: lines" "$(grep -cF -- "$part" "$scratch/err")" 1
}

for command in inspect plan convert eval; do refused "$command, a model named twice" 'leave one out' $command one -m other; done
refused 'eval without text' '--text' eval -m model
refused 'eval, empty separator' '--separator' eval -m model --text file --separator ''
refused 'convert without output' '--output' convert model
refused 'convert, not to GGUF' '.gguf' convert model -o out.bin
refused 'logprobs without json' '--json' generate -m model -p x --logprobs 2

if [ ! -e "$stories/stories260K.bin" ] || [ ! -e "$texts/stories.txt" ]; then
    echo 'SKIPPED eval: no shared folder'
    finish
fi

# losses MODEL... - "tokens nll" of each story
losses() {
    "$pippin" eval -m "$@" --text "$texts/stories.txt" --separator '<|endoftext|>' --json \
        2>/dev/null | sed 's/.*"documents"//' | grep -oE '"tokens": [0-9]+, "nll": [0-9.]+' | tr -d ',"a-z:'
}
"$pippin" convert "$stories/stories260K.bin" --tokenizer "$stories/tok512.bin" -o "$scratch/stories.gguf" >/dev/null 2>&1
for model in "$stories/stories260K.bin" "$scratch/stories.gguf"; do
    arguments=("$model")
    [ "$model" = "$scratch/stories.gguf" ] || arguments+=(--tokenizer "$stories/tok512.bin")
    losses "${arguments[@]}" >"$scratch/got"
    # The reference counts BOS as a token; its last line is the total.
    grep -v total "$texts/reference_nll_stories260K.txt" | paste - "$scratch/got" |
        awk '{ d = ($3 - $5) / $3; if (d < 0) d = -d; if (NF == 5 && $2 - 1 == $4 && d <= 1e-4) n++ } END { print n + 0 }' >"$scratch/n"
    is "losses of 100 stories, ${model##*.}" "$(cat "$scratch/n")" 100
done

say() { "$pippin" generate -m "$stories/stories260K.bin" --tokenizer "$stories/tok512.bin" -p 'Once upon a time' "$@" 2>/dev/null; }
is 'a text ends before a stop text' "$(say -n 60 --stop 'to play' --stop 'park')" ', there was a little girl named Lily. She loved '
is 'finish reason of a stop text' "$(say -n 60 --stop 'to play' --json | grep -oE '"finish_reason": "[a-z]+"')" '"finish_reason": "stop"'
is 'top-k 1 is greedy' "$(say -n 40 --temp 1 --top-k 1 --seed 9)" "$(say -n 40)"
is 'one seed, any threads' "$(say -n 40 --temp 1 --top-p 0.9 --seed 9 -t 1)" "$(say -n 40 --temp 1 --top-p 0.9 --seed 9 -t 2)"
is 'a log-probability a token' "$(say -n 7 --logprobs 3 --json | grep -oE '"top_logprobs"' | wc -l | tr -d ' ')" 7

# ---- eval --against: nothing from itself; from its bf16 copy what the logits of both say ----
tiny=$shared/data/tinystories-656k
compare=$(dirname "$pippin")/tests/npy_compare
if [ -e "$tiny/model.safetensors" ] && [ -x "$compare" ]; then
    head -c 600 "$texts/stories.txt" >"$scratch/text"
    # field NAME - of the last answer's "against"
    field() { grep -oE "\"$1\": [-0-9.e]+" "$scratch/answer" | tail -1 | cut -d' ' -f2; }
    "$pippin" eval -m "$tiny" --against "$tiny" -f "$scratch/text" --json >"$scratch/answer" 2>"$scratch/err"
    is 'no divergence from itself' "$(field kl) $(field kl_max) $(field top1_agreement)" '0.0 0.0 1.0'
    is 'its own likelihood' "$(grep -oE '"nll": [0-9]+\.[0-9]{3}' "$scratch/answer" | sort -u | wc -l | tr -d ' ')" 1
    "$pippin" convert "$tiny" --type bf16 -o "$scratch/half.gguf" >/dev/null 2>&1
    ids=$("$pippin" tokenize -m "$tiny" --bos --ids <"$scratch/text" | tr ' ' ',')
    for model in half.gguf tiny; do
        path=$scratch/$model
        [ $model = tiny ] && path=$tiny
        "$pippin" logits -m "$path" --tokens "$ids" -o "$scratch/$model.npy" >/dev/null 2>&1
    done
    "$pippin" eval -m "$scratch/half.gguf" --against "$tiny" -f "$scratch/text" --json >"$scratch/answer" 2>"$scratch/err"
    is 'divergence of the bf16 copy' "$(printf '%.6f' "$(field kl)")" "$("$compare" "$scratch/half.gguf.npy" "$scratch/tiny.npy" kl)"
    code=0
    "$pippin" eval -m "$tiny" --against "$scratch/stories.gguf" -f "$scratch/text" >/dev/null 2>"$scratch/err" || code=$?
    is 'another vocabulary: exit code' $code 1
    is 'another vocabulary: both sizes' "$(grep -c 'has 512 ids, expected the 2048' "$scratch/err")" 1
fi

# ---- an adapter that lies beside the output is somebody's ----
checkpoint=$shared/golden/base-lora/toolkit.pt
if [ -e "$checkpoint" ]; then
    echo mine >"$scratch/base.adapter.safetensors"
    code=0
    "$pippin" convert "$checkpoint" -o "$scratch/base.gguf" >/dev/null 2>"$scratch/err" || code=$?
    is 'an adapter beside is kept' "$code $(cat "$scratch/base.adapter.safetensors") $(grep -c 'adapter.safetensors: exists already' "$scratch/err")" '1 mine 1'
    is 'and nothing is written' "$([ -e "$scratch/base.gguf" ] && echo written)" ''
    "$pippin" convert "$checkpoint" -o "$scratch/base.gguf" --force >/dev/null 2>&1
    is '--force writes both' "$([ -s "$scratch/base.gguf" ] && head -c 4 "$scratch/base.adapter.safetensors" | grep -c mine)" 0
fi

finish
