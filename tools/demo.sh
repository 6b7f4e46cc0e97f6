#!/bin/sh
# demo.sh PIPPIN - what the program can show without a file: the architecture, its memory, one pass through a network.
set -eu
pippin=$1
run() {
    printf '\n$ pippin %s\n' "$*"
    "$pippin" "$@"
}
run inspect --preset afm-base
run plan --preset afm-base --ctx 4096
run check --preset afm-draft
printf '\n%s --help lists the commands; README.md shows how to open a model.\n' "$pippin"
