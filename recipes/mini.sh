#!/bin/bash
# mini.sh DIR [OPTIONS of pippin train] - the first stage of `mini` in DIR: data, tokenizer and training, each where it is not there
# yet. Options go last and so win; --resume goes on with a run. PIPPIN names the command (default: build/pippin). Nothing in
# DIR/base is written over.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pippin=$(realpath "${PIPPIN:-$here/../build/pippin}")
mkdir -p "$1"
cd "$1"
shift
[ -e data/manifest.json ] || "$here/mini_data.py" data
if [ ! -e tokenizer.model ]; then
    # A third of what is learned; AFM's special pieces, a newline by its own piece, digits one by one.
    python3 - <<'END'
import json
with open("data/base/train.jsonl") as rows, open("spm.txt", "w") as out:
    for i, row in enumerate(map(json.loads, rows)):
        if i % 3 == 0:
            print(row.get("text") or "\n".join(m["content"] for m in row["messages"][1:]), file=out)
END
    spm_train --input=spm.txt --model_prefix=tokenizer --vocab_size=4096 --model_type=bpe --byte_fallback --split_digits \
        --character_coverage=0.9999 --pad_id=0 --eos_id=1 --bos_id=2 --unk_id=3 --normalization_rule_name=identity \
        --remove_extra_whitespaces=false --max_sentence_length=8192 --num_threads=2 \
        --user_defined_symbols='<turn_start>,<turn_end>,<n>,<executable_start>,<executable_end>' >spm.log 2>&1
    rm spm.txt
fi
exec "$pippin" train --preset mini --tokenizer tokenizer.model --data data/base/train.jsonl \
    --eval-data data/base/valid.jsonl --max-sequence-length 512 --pack-sequences --batch-size 4 --optimizer muon \
    --learning-rate 6e-3 --schedule constant --warmup-steps 100 --max-steps 10200 --eval-every 1000 \
    --checkpoint-every 300 --seed 1 -o base "$@"
