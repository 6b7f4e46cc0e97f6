#!/bin/bash
# golden.sh NAME BOUND [OPTIONS] - one golden case by the command: its tokens through `pippin logits` with OPTIONS, compared
# with its logits.npy. SHARED names the folder that holds golden/; pippin and npy_compare are found in the path. ADAPTER in
# OPTIONS stands for the case's own adapter; a first option "alone:FILE" takes that file of the case, alone in a folder,
# instead of the case's safetensors model, "gguf" converts the case first, and "merged:FILE" with that adapter of the case in it.
set -eu
folder=$SHARED/golden/$1
bound=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
model=$folder
if [[ ${1:-} == alone:* ]]; then
    model=$scratch/${1#alone:}
    cp "$folder/${1#alone:}" "$model"
    shift
fi
if [[ ${1:-} == gguf || ${1:-} == merged:* ]]; then
    model=$scratch/model.gguf
    merge=()
    [ "$1" = gguf ] || merge=(--merge -a "$folder/${1#merged:}")
    shift
    pippin convert "$folder" "${merge[@]}" -o "$model" >/dev/null
fi
ids=$(tr -d ' \n' <"$folder/expected.json" | sed -n 's/.*"tokens":\[\([0-9,]*\)\].*/\1/p')
out=$scratch/logits.npy
pippin logits -m "$model" --tokens "$ids" "${@/#ADAPTER/$folder/adapter}" -o "$out"
npy_compare "$out" "$folder/logits.npy" "$bound"
