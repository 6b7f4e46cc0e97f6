#!/bin/bash
# measure.sh DIR - what `mini` and its adapters in DIR are worth on the held-out rows, beside the rules of baselines.py; the figures of
# models/README.md. Answers and figures go to DIR/answers; ROWS=N takes the first N rows of each task alone.
# PIPPIN names the command (default: build/pippin).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pippin=$(realpath "${PIPPIN:-$here/../build/pippin}")
cd "$1"
[ -d answers ] || "$here/baselines.py" data answers

mini=q2-1/model.gguf draft=distill/model.gguf
limit=
[ -z "${ROWS:-}" ] || limit="--limit $ROWS"
# task NAME FILE OPTIONS... - the adapter's figures, kept in answers/FILE.txt
task() {
    local name=$1 file=$2
    shift 2
    [ -e "$name/adapter.safetensors" ] || return 0
    printf '\n%s\n' "$file"
    "$pippin" eval -m $mini -a "$name/adapter.safetensors" --ctx 768 --task "data/$name/test.jsonl" "$@" | tee "answers/$file.txt"
}
# rated NAME RULE OPTIONS... - beside those of a rule
rated() {
    local name=$1 rule=$2
    shift 2
    # shellcheck disable=SC2086
    task "$name" "$name" $limit --compare "answers/$name.$rule.jsonl" --save-answers "answers/$name.mini.jsonl" "$@"
}
rated summarize first-10-words --metric rouge-l
rated tag keyword --metric labels --choices data/tag/tags.txt --votes 20
rated proofread aspell --guard --errors data/proofread/test.errors.jsonl
rated extract capitals --metric json
# shellcheck disable=SC2086
task proofread proofread.votes $limit --compare answers/proofread.aspell.jsonl --guard --errors data/proofread/test.errors.jsonl \
    --votes 16 --share 0.125 --temp 0.8
# shellcheck disable=SC2086
task summarize summarize.votes $limit --compare answers/summarize.first-10-words.jsonl --metric rouge-l --votes 16 --temp 0.5
printf '\ntext\n'
"$pippin" eval -m $mini --text data/text/test.txt --separator $'\n\n'

# The draft: how often it finds likeliest what mini says next, and how many of four guesses are right, one answer after the other.
[ -e $draft ] || exit 0
for name in summarize tag proofread; do
    task $name $name.draft --limit 200 --against $draft -d $draft --draft-tokens 4
done
task proofread proofread.lookup --limit 200 -d $draft --lookup --draft-tokens 4
"$pippin" eval -m $mini --against $draft --text data/text/test.txt --separator $'\n\n' | tee answers/text.draft.txt
