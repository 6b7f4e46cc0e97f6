#!/bin/bash
# train_claim.sh CLAIM - one figure about training, for accept.sh. SHARED names the folder with golden/ and data/; pippin and
# run_compare are found in the path.
#   lora, full, distill   a golden run: how far losses, gradient norms and weights are from those of an independent program
#   threads               different results of an adapter's training with 1, 2 and 3 threads
#   heart                 the loss of a small model with two segments, trained from nothing on one batch of text
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
golden="--epochs 1 --batch-size 2 --schedule constant --warmup-steps 0 --shuffle none"
case $1 in
lora) command='adapter train' options='--init DIR/adapter_init.safetensors' files='adapter expected_adapter adapter_init' ;;
full) command=train options='--weight-decay 0.1' files='model expected_final model' ;;
distill) command=distill options='--teacher DIR/teacher' files='model expected_final model' ;;
esac
case $1 in
lora | full | distill)
    dir=$SHARED/golden/train-$1
    read -r got wanted from <<<"$files"
    # shellcheck disable=SC2086
    pippin $command -m "$dir" --data "$dir/train.jsonl" $golden ${options//DIR/$dir} -o "$scratch/run" 2>/dev/null
    echo "losses $(run_compare losses "$scratch/run" "$dir/expected.json")"
    echo "norms $(run_compare norms "$scratch/run" "$dir/expected.json")"
    echo "weights $(run_compare weights "$scratch/run/$got.safetensors" "$dir/$wanted.safetensors" "$dir/$from.safetensors")"
    ;;
threads)
    dir=$SHARED/golden/train-lora
    for n in 1 2 3; do
        pippin adapter train -m "$dir" --data "$dir/train.jsonl" --epochs 4 --dropout 0.1 --lora-dropout 0.1 -t $n \
            -o "$scratch/$n" >/dev/null 2>&1
    done
    echo "results $(sha256sum "$scratch"/?/adapter.safetensors | cut -c 1-64 | sort -u | wc -l)"
    ;;
heart)
    echo '{"model_type": "afm7", "rms_norm_eps": 1e-5, "rope_theta": 500000, "vocab_size": 2048, "hidden_dim": 64,
        "num_layers": 4, "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2, "hidden_dim_scale_factor": 3.0}' \
        >"$scratch/config.json"
    head -c 500 "$SHARED/data/tinystories-text/stories.txt" >"$scratch/text.txt"
    pippin train --preset "$scratch/config.json" --tokenizer "$SHARED/data/tinystories-656k/tokenizer.json" \
        --data "$scratch/text.txt" --max-sequence-length 256 --batch-size 1 --epochs 100 --learning-rate 1e-2 \
        --warmup-steps 10 --weight-decay 0 --checkpoint-every 1000 -o "$scratch/run" 2>/dev/null
    ;;
*)
    echo "train_claim.sh: unknown claim $1" >&2
    exit 2
    ;;
esac
