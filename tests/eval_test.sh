#!/bin/bash
# eval_test.sh PIPPIN [SHARED] - eval, convert, and what generate does with stop texts and log-probabilities, on a trained
# model of others: losses a story against llama2.c's, and the same after conversion.
set -u
export LC_ALL=C
pippin=$1
shared=${2:-}
stories=$shared/data/stories260K
texts=$shared/data/tinystories-text
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
# is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1: found \"${2:0:300}\", expected \"$3\""
    fi
}
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
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
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

echo "$passed passed, $failed failed"
[ $failed = 0 ]
