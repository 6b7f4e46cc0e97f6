#!/bin/bash
# stages.sh DIR STAGE [OPTIONS of pippin train] - what follows the first stage of `mini` (mini.sh), in DIR:
#   longer     the same, with more errors to correct in the sentences (drill.py) -> longer
#   q2         the rate goes down to 0, with two bits in the loop -> q2-SEED/model.gguf, which is mini
#   bf16       the same steps without rounding: its twin, to see what two bits cost -> bf16-SEED
#   summarize, tag, proofread, extract
#              an adapter on q2-1 for that task -> TASK/adapter.safetensors
#   draft      mini-draft, all weights in float, on what mini learned -> draft
#   answers    what mini says to rows that its adapters learned -> answers/draft
#   imitate    the draft goes on with these answers, at a constant rate -> imitate
#   distill    the rate goes down to 0, with two bits in the loop -> distill/model.gguf, which is mini-draft
# SEED (default 1) is of order and dropout; PIPPIN names the command (default: build/pippin). Nothing is written over; options go
# last and so win, --resume goes on with a stage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pippin=$(realpath "${PIPPIN:-$here/../build/pippin}")
cd "$1"
stage=$2
shift 2
seed=${SEED:-1}
rows="--max-sequence-length 512 --pack-sequences --batch-size 4 --seed $seed"

# Of all weights, on everything: stage 1 saw its rows in another order.
whole="--data data/base/drilled.jsonl --eval-data data/base/valid.jsonl $rows --optimizer muon --learning-rate 6e-3 \
    --warmup-steps 100 --checkpoint-every 300"
[ "$stage" = q2 ] && whole="$whole --qat q2"
# shellcheck disable=SC2086
case $stage in
longer)
    [ -e data/base/drilled.jsonl ] || "$here/drill.py" data
    exec "$pippin" train -m base $whole --seed 3 --schedule constant --max-steps 4200 --eval-every 1000 -o longer "$@"
    ;;
q2 | bf16)
    exec "$pippin" train -m longer $whole --schedule cosine --max-steps 3600 --eval-every 600 -o "$stage-$seed" "$@"
    ;;
draft)
    exec "$pippin" train --preset mini-draft --tokenizer tokenizer.model $whole --learning-rate 1e-2 --schedule constant \
        --max-steps 4000 --eval-every 1000 -o draft "$@"
    ;;
answers)
    mkdir -p answers
    for job in summarize:52633 tag:26000 proofread:10000; do
        task=${job%:*}
        [ -e "answers/$task.train.jsonl" ] || "$pippin" eval -m q2-1/model.gguf -a "$task/adapter.safetensors" --ctx 1024 \
            --task "data/$task/train.jsonl" --limit "${job#*:}" --metric exact --batch-size 16 \
            --save-answers "answers/$task.train.jsonl" "$@"
    done
    exec "$here/answers.py" data answers/draft summarize=answers/summarize.train.jsonl tag=answers/tag.train.jsonl \
        proofread=answers/proofread.train.jsonl
    ;;
imitate)
    exec "$pippin" train -m draft --data answers/draft $rows --optimizer muon --learning-rate 1e-2 --schedule constant \
        --warmup-steps 100 --max-steps 8000 --epochs 20 --eval-every 1000 --checkpoint-every 2000 -o imitate "$@"
    ;;
distill)
    exec "$pippin" train -m imitate --data answers/draft $rows --seed 2 --optimizer muon --learning-rate 4e-3 --schedule cosine \
        --warmup-steps 100 --max-steps 12000 --epochs 20 --eval-every 1000 --checkpoint-every 2000 --qat q2 -o distill "$@"
    ;;
proofread) steps=2800 ;;
summarize) steps=1600 ;;
tag) steps=1200 ;;
extract) steps=600 ;;
*)
    echo "stages.sh: found stage \"$stage\", expected longer, q2, bf16, summarize, tag," \
        "proofread, extract, draft, answers, imitate or distill" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086
exec "$pippin" adapter train -m q2-1/model.gguf --data "data/$stage/train.jsonl" --eval-data "data/$stage/valid.jsonl" $rows \
    --learning-rate 6e-3 --schedule cosine --warmup-steps 50 --max-steps $steps --epochs 20 --eval-every 500 \
    --checkpoint-every 250 --save-type f16 -o "$stage" "$@"
