#!/bin/bash
# stages.sh DIR STAGE [--resume] - what follows the first stage of `mini` (mini.sh), in DIR:
#   q2         the rate goes down to 0, with two bits in the loop -> q2-SEED/model.gguf, which is mini
#   bf16       the same steps without rounding: its twin, to see what two bits cost -> bf16-SEED
#   summarize, tag, proofread, extract
#              an adapter on q2-1 for that task -> TASK/adapter.safetensors
#   drill      proofread goes on with what drill.py makes -> drill/adapter.safetensors
# SEED (default 1) is of order and dropout; PIPPIN names the command (default: build/pippin). Nothing is written over; --resume
# goes on with a stage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pippin=$(realpath "${PIPPIN:-$here/../build/pippin}")
cd "$1"
stage=$2
shift 2
seed=${SEED:-1}
rows="--max-sequence-length 512 --pack-sequences --batch-size 4 --seed $seed"

[ "$stage" = q2 ] && qat='--qat q2' || qat=
# shellcheck disable=SC2086
case $stage in
q2 | bf16)
    grep -q _name_or_path base/config.json || sed -i 's/"model_type"/"_name_or_path": "mini",\n  &/' base/config.json
    exec "$pippin" train -m base --data data/base/train.jsonl --eval-data data/base/valid.jsonl $rows --optimizer muon \
        --learning-rate 6e-3 --schedule cosine --warmup-steps 100 --max-steps 3600 --eval-every 600 --checkpoint-every 300 \
        $qat -o "$stage-$seed" "$@"
    ;;
drill)
    [ -e data/proofread/drill.jsonl ] || "$here/drill.py" data
    # shellcheck disable=SC2086
    exec "$pippin" adapter train -m q2-1/model.gguf --init proofread/adapter.safetensors --data data/proofread/drill.jsonl \
        --eval-data data/proofread/valid.jsonl $rows --learning-rate 4e-3 --schedule cosine --warmup-steps 50 \
        --max-steps 6000 --epochs 20 --eval-every 500 --checkpoint-every 250 -o drill "$@"
    ;;
proofread) steps=2800 ;;
summarize) steps=1600 ;;
tag) steps=1200 ;;
extract) steps=600 ;;
*)
    echo "stages.sh: found stage \"$stage\", expected q2, bf16, summarize, tag, proofread, drill or extract" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086
exec "$pippin" adapter train -m q2-1/model.gguf --data "data/$stage/train.jsonl" --eval-data "data/$stage/valid.jsonl" $rows \
    --learning-rate 6e-3 --schedule cosine --warmup-steps 50 --max-steps $steps --epochs 20 --eval-every 500 \
    --checkpoint-every 250 -o "$stage" "$@"
