#!/bin/bash
# golden.sh NAME BOUND [OPTIONS] - one golden case by the command: its tokens through `pippin logits` with OPTIONS, compared
# with its logits.npy. SHARED names the folder that holds golden/; pippin and npy_compare are found in the path. ADAPTER in
# OPTIONS stands for the case's own adapter.
set -eu
folder=$SHARED/golden/$1
bound=$2
shift 2
ids=$(tr -d ' \n' <"$folder/expected.json" | sed -n 's/.*"tokens":\[\([0-9,]*\)\].*/\1/p')
out=$(mktemp)
trap 'rm -f "$out"' EXIT
pippin logits -m "$folder" --tokens "$ids" "${@/#ADAPTER/$folder/adapter.safetensors}" -o "$out"
npy_compare "$out" "$folder/logits.npy" "$bound"
