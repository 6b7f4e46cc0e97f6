#!/bin/bash
# measure.sh DIR - what `mini` and its adapters in DIR are worth on the held-out rows, beside the rules of baselines.py; the figures of
# models/README.md. Answers and figures go to DIR/answers; ROWS=N takes the first N rows of each task alone.
# PIPPIN names the command (default: build/pippin).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pippin=$(realpath "${PIPPIN:-$here/../build/pippin}")
cd "$1"
[ -d answers ] || "$here/baselines.py" data answers

# task NAME BASELINE OPTIONS... - the adapter's figures against a rule's
task() {
    local name=$1 rule=$2 limit=
    shift 2
    [ -e "$name/adapter.safetensors" ] || return 0
    [ -z "${ROWS:-}" ] || limit="--limit $ROWS"
    printf '\n%s\n' "$name"
    # shellcheck disable=SC2086
    "$pippin" eval -m q2-1/model.gguf -a "$name/adapter.safetensors" --ctx 768 --task "data/$name/test.jsonl" $limit \
        --compare "answers/$name.$rule.jsonl" --save-answers "answers/$name.mini.jsonl" "$@" | tee "answers/$name.txt"
}
task summarize first-10-words --metric rouge-l
task tag keyword --metric labels --choices data/tag/tags.txt --votes 20
task proofread aspell --guard --errors data/proofread/test.errors.jsonl
task extract capitals --metric json
printf '\ntext\n'
"$pippin" eval -m q2-1/model.gguf --text data/text/test.txt --separator $'\n\n'
