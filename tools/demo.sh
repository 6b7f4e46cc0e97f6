#!/bin/sh
# demo.sh PIPPIN - the models that come with the program at work, then what it knows about Apple's: architecture, memory, one pass.
set -eu
pippin=$1
models=$(dirname "$0")/../models
run() {
    printf '\n$ pippin %s\n' "$*"
    "$pippin" "$@"
}
run generate -d mini-draft --draft-tokens 2 --raw --echo -p 'This package contains' -n 60 --temp 0.7 --seed 1 --verbose
# The ten prompts of the model's card, whole and in their order; adapters are switched between them.
printf '\n$ pippin chat -d mini-draft --echo <models/prompts.txt\n'
"$pippin" chat -d mini-draft --echo <"$models/prompts.txt"
run inspect --preset afm-base
run plan --preset afm-base --ctx 4096
printf '\n%s --help lists the commands; README.md shows how to open a model.\n' "$pippin"
