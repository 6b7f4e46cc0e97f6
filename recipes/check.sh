#!/bin/bash
# check.sh [DIR] [--data FOLDER] [OPTIONS of pippin train] - makes the first 1 % of the steps of `mini` again, in DIR or in
# a temporary folder, and compares data, tokenizer and every loss with what is recorded: mini.sha256, mini.curve.jsonl. Data is
# made as well (4 minutes, from the network), unless DIR or --data has it. PIPPIN names the command (default: build/pippin).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
steps=180 # 1 % of the 18,000 of its three stages; at a constant rate a shorter run is the beginning of a longer one
dir=
data=
fail() {
    echo "$1" >&2
    exit 1
}
case ${1-} in '' | -*) ;; *) dir=$1 && shift ;; esac
if [ "${1-}" = --data ]; then
    [ -e "${2-}/manifest.json" ] || fail "--data: found no manifest.json in \"${2-}\", expected it; make the data by mini_data.py"
    data=$(realpath "$2")
    shift 2
fi
if [ -z "$dir" ]; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
fi
mkdir -p "$dir"
if [ -n "$data" ]; then
    [ ! -e "$dir/data" ] || fail "$dir/data: found with --data, expected one of them; remove it or leave --data out"
    ln -s "$data" "$dir/data"
fi
# With a command in pippin's place that does nothing, data and tokenizer alone are made.
PIPPIN=$(type -P true) "$here/mini.sh" "$dir"
(cd "$dir" && sha256sum --quiet -c "$here/mini.sha256") ||
    fail "$dir: found other data or another tokenizer, expected those of mini.sha256; see which package or spm_train is another"
"$here/mini.sh" "$dir" --max-steps $steps -o check "$@"
"$here/follows.py" "$dir/check/metrics.jsonl" "$here/mini.curve.jsonl" --steps $steps
