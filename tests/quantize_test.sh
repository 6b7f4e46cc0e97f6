#!/bin/bash
# quantize_test.sh PIPPIN [SHARED] - the command quantize: what it refuses and how it says so, what it leaves, and on trained
# models of others what a text to calibrate by brings.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# refused NAME CODE PART ARGUMENTS... - this exit code, one line that holds PART, and no file
refused() {
    local name=$1 wanted=$2 part=$3 code=0
    shift 3
    "$pippin" quantize "$@" >/dev/null 2>"$scratch/err" </dev/null || code=$?
    is "$name: exit code" $code "$wanted"
    is "$name: lines" "$(grep -cF -- "$part" "$scratch/err") of $(wc -l <"$scratch/err" | tr -d ' ')" '1 of 1'
    is "$name: no file" "$(find "$scratch" -name 'out.gguf*')" ''
}
out=$scratch/out.gguf
refused 'no output' 2 'found 1 files, expected two' model --type q4
refused 'not to GGUF' 2 'ends in .gguf' model out.bin --type q4
refused 'no type' 2 '--type: found none' model "$out"
refused 'another type' 2 '--type' model "$out" --type q3
refused 'tokens without a text' 2 '--calibrate-tokens' model "$out" --type q4 --calibrate-tokens 100
refused 'a pattern without type' 2 'expected PATTERN=TYPE' model "$out" --type q4 --tensor-type 'blk.*'
refused 'a pattern of no type' 2 'expected PATTERN=TYPE' model "$out" --type q4 --tensor-type 'blk.*=q5'
refused 'no model' 1 'no such file' "$scratch/absent.gguf" "$out" --type q4

train_small # of AFM's kind, without a tokenizer
refused 'no tokenizer' 1 'pass --tokenizer' "$scratch/base" "$out" --type q4 --calibrate "$scratch/tiny.json"
refused 'nothing matches' 1 'blk.9.*=q4: matches no matrix' "$scratch/base" "$out" --type q2 --tensor-type 'blk.9.*=q4'
mkdir "$scratch/a" "$scratch/b"
"$pippin" quantize "$scratch/base" "$scratch/a/m.gguf" --type q8 >"$scratch/said" 2>&1
holds 'it says what it made' "$(cat "$scratch/said")" 'm.gguf: q8, '
"$pippin" quantize "$scratch/a/m.gguf" "$scratch/b/m.gguf" --type q8 >/dev/null 2>&1
is 'q8 of q8 is the file itself' "$(sum "$scratch/b/m.gguf")" "$(sum "$scratch/a/m.gguf")"
"$pippin" convert "$scratch/base" --type q4 -o "$scratch/converted.gguf" >/dev/null 2>&1
"$pippin" quantize "$scratch/base" "$scratch/quantized.gguf" --type q4 -t 1 >/dev/null 2>&1
is 'without a text as convert has it' "$(sum "$scratch/quantized.gguf")" "$(sum "$scratch/converted.gguf")"
code=0
"$pippin" quantize "$scratch/base" "$scratch/quantized.gguf" --type q4 >/dev/null 2>"$scratch/err" || code=$?
is 'a file that is there' "$code $(grep -c 'exists already' "$scratch/err")" '1 1'

model=$shared/data/tinystories-656k
stories=$shared/data/tinystories-text/stories.txt
if [ ! -e "$model/model.safetensors" ] || [ ! -e "$stories" ]; then
    skip 'quantize on trained models: no shared folder'
    finish
fi
: >"$scratch/empty.txt"
printf ' \n\n' >"$scratch/blank.txt"
printf 'Once upon a time\0there' >"$scratch/zero.txt"
echo 'Once upon a time.' >"$scratch/short.txt"
refused 'an empty text' 1 'empty.txt: holds no text' "$model" "$out" --type q4 --calibrate "$scratch/empty.txt"
refused 'a blank text' 1 'blank.txt: holds no text' "$model" "$out" --type q4 --calibrate "$scratch/blank.txt"
refused 'not a text' 1 'zero.txt: byte 16 is 0' "$model" "$out" --type q4 --calibrate "$scratch/zero.txt"
refused 'a short text' 1 'expected at least 64' "$model" "$out" --type q4 --calibrate "$scratch/short.txt"
refused 'no text' 1 'absent.txt' "$model" "$out" --type q4 --calibrate "$scratch/absent.txt"

# Calibrated by the first half of the stories, measured on some of the second.
head -c 42000 "$stories" | grep -v endoftext >"$scratch/text"
tail -c 12000 "$stories" >"$scratch/other"
# of KEY NAME - a figure of NAME.gguf against the model
of() {
    "$pippin" eval -m "$scratch/$2.gguf" --against "$model" -f "$scratch/other" --separator '<|endoftext|>' --json 2>/dev/null |
        grep -oE "\"$1\": [0-9.e-]+" | tail -n 1 | cut -d ' ' -f 2
}
# less NAME A B FACTOR - A < FACTOR B
less() { if awk -v a="$2" -v b="$3" -v f="$4" 'BEGIN { exit !(a + 0 > 0 && a < f * b) }'; then pass; else fail "$1" "$2, expected less than $4 of $3"; fi; }
for type in q4 q2; do
    "$pippin" quantize "$model" "$scratch/plain-$type.gguf" --type $type >/dev/null 2>&1
    "$pippin" quantize "$model" "$scratch/text-$type.gguf" --type $type --calibrate "$scratch/text" -t 2 --json >"$scratch/said" 2>/dev/null
    holds "$type: tokens read" "$(cat "$scratch/said")" '"calibration_tokens": 8192'
    "$pippin" quantize "$model" "$scratch/one.gguf" --type $type --calibrate "$scratch/text" -t 1 --force >/dev/null 2>&1
    is "$type: one thread or two" "$(sum "$scratch/one.gguf")" "$(sum "$scratch/text-$type.gguf")"
    less "$type: divergence with a text" "$(of kl text-$type)" "$(of kl plain-$type)" 0.85
done
"$pippin" quantize "$model" "$scratch/stdin.gguf" --type q4 --calibrate - <"$scratch/text" >/dev/null 2>&1
is 'a text from stdin' "$(sum "$scratch/stdin.gguf")" "$(sum "$scratch/text-q4.gguf")"
"$pippin" quantize "$model" "$scratch/mixed.gguf" --type q2 --tensor-type 'blk.*.ffn_down.weight=q8' --tensor-type 'blk.*=q4' >/dev/null 2>&1
is 'types by name' "$("$pippin" inspect "$scratch/mixed.gguf" --tensors | grep -E 'ffn_down|attn_q.weight|token_embd' | grep -oE 'q[248]' | tr '\n' ' ')" 'q4 q8 q4 q8 q4 '
finish
