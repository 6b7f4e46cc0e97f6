#!/bin/bash
# train_test.sh PIPPIN [SHARED] - training runs by the command: golden runs of an independent program; bits that do not
# depend on threads, recomputed activations or an interruption; what is refused; what a low-bit run leaves; that it learns.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
compare=$(dirname "$pippin")/tests/run_compare

# below NAME GOT BOUND
below() {
    if awk -v a="$2" -v b="$3" 'BEGIN { exit !(a ~ /^[0-9]/ && a + 0 <= b + 0) }'; then pass; else fail "$1" "found \"$2\", at most $3"; fi
}
# run NAME ARGUMENTS... - a run into the folder $scratch/NAME; leaves $code and $err
run() {
    local name=$1
    shift
    "$pippin" "$@" -o "$scratch/$name" >"$scratch/$name.out" 2>"$scratch/$name.err" </dev/null
    code=$?
    err=$(cat "$scratch/$name.err")
}
# good NAME ARGUMENTS... - the same, and it must succeed
good() {
    run "$@"
    [ $code = 0 ] && pass || fail "$1" "exit code $code: ${err: -300}"
}
# same NAME RUN RUN FILE
same() { is "$1" "$(sum "$scratch/$3/$4")" "$(sum "$scratch/$2/$4")"; is "$1: there" "$([ -s "$scratch/$2/$4" ] && echo yes)" yes; }

# ---- golden ----

case_command() { case $1 in lora) echo adapter train ;; full) echo train ;; distill) echo distill ;; esac; }
case_file() { [ "$1" = lora ] && echo adapter.safetensors || echo model.safetensors; }
# case_options CASE
case_options() {
    local dir=$shared/golden/train-$1
    echo "-m $dir --data $dir/train.jsonl --epochs 1 --batch-size 2 --schedule constant --warmup-steps 0 --shuffle none"
    case $1 in
    lora) echo "--init $dir/adapter_init.safetensors" ;;
    full) echo --weight-decay 0.1 ;;
    distill) echo "--teacher $dir/teacher" ;;
    esac
}
# golden CASE WEIGHTS_BOUND RUN OPTIONS... - one run against the figures of the independent program
golden() {
    local dir=$shared/golden/train-$1 bound=$2 name=$3 initial=model.safetensors expected=expected_final.safetensors
    [ "$1" = lora ] && initial=adapter_init.safetensors expected=expected_adapter.safetensors
    # shellcheck disable=SC2046
    good "$name" $(case_command "$1") $(case_options "$1") "${@:4}"
    below "$name: losses" "$("$compare" losses "$scratch/$name" "$dir/expected.json")" 1e-5
    below "$name: norms" "$("$compare" norms "$scratch/$name" "$dir/expected.json")" 1e-4
    below "$name: weights" \
        "$("$compare" weights "$scratch/$name/$(case_file "$1")" "$dir/$expected" "$dir/$initial")" "$bound"
}

if [ -d "$shared/golden/train-lora" ]; then
    for case in lora:1e-3 full:1e-3 distill:2e-3; do
        name=${case%:*} bound=${case#*:}
        for cpu in scalar ''; do
            for threads in 1 2; do
                for again in '' --activation-checkpointing; do
                    # shellcheck disable=SC2086
                    golden "$name" "$bound" "$name-${cpu:-best}-$threads$again" ${cpu:+--cpu $cpu} -t $threads $again
                done
            done
            same "$name, $cpu: 1 thread and 2" "$name-${cpu:-best}-1" "$name-${cpu:-best}-2" "$(case_file "$name")"
            same "$name, $cpu: activations computed again" "$name-${cpu:-best}-1" \
                "$name-${cpu:-best}-2--activation-checkpointing" "$(case_file "$name")"
        done
        # Two batches of one that make a step are one batch of two but for the order of sums.
        golden "$name" "$bound" "$name-accumulated" --batch-size 1 --grad-accumulation 2
        below "$name: accumulated" "$("$compare" losses "$scratch/$name-accumulated" "$scratch/$name-best-1")" 1e-6
    done
else
    echo 'SKIPPED golden training runs: no shared folder'
fi

# ---- runs of a small model from random weights, which need no other files ----

train_small || fail init "cannot make a model"
"$pippin" init --preset "$scratch/tiny.json" --seed 6 -o "$scratch/teacher" >/dev/null 2>&1
data="--data $scratch/train.jsonl --eval-data $scratch/valid.jsonl --max-sequence-length 32 --pack-sequences"
# Everything that has a state: order, dropout, packing, accumulation, evaluation, a falling rate.
varied="$data --dropout 0.1 --grad-accumulation 2 --batch-size 2 --eval-every 3 --checkpoint-every 4 --seed 9"
# kind NAME - command and options of a kind of run
kind() {
    case $1 in
    train) echo "train -m $scratch/base $varied" ;;
    q2) echo "train -m $scratch/base $varied --qat q2" ;;
    adapter) echo "adapter train -m $scratch/base $varied --lora-dropout 0.1 --rank 4" ;;
    distill) echo "distill -m $scratch/base --teacher $scratch/teacher $varied" ;;
    esac
}

# shellcheck disable=SC2046
for kind in train q2 adapter distill; do
    file=$(file_of $kind)
    good "$kind-1" $(kind $kind) -t 1
    for threads in 2 3; do
        good "$kind-$threads" $(kind $kind) -t $threads
        same "$kind: 1 thread and $threads" "$kind-1" "$kind-$threads" "$file"
    done
    good "$kind-again" $(kind $kind) -t 2 --activation-checkpointing
    same "$kind: activations computed again" "$kind-1" "$kind-again" "$file"
    good "$kind-other" $(kind $kind) -t 1 --seed 10
    [ "$(sum "$scratch/$kind-1/$file")" != "$(sum "$scratch/$kind-other/$file")" ] && pass ||
        fail "$kind" "another seed gave the same bits"
    is "$kind: files" "$("$compare" whole "$scratch/$kind-1" | cut -d , -f 1)" whole
done

# What a teacher writes does not depend on threads either, and how far it is is told.
for threads in 1 2; do
    good "continued-$threads" distill -m "$scratch/base" --teacher "$scratch/teacher" $data --continuations 6 --temp 1 --max-steps 1 -t $threads
    holds 'progress of continuations' "$err" 'distill: 40 of 40 continuations, '
done
same 'continuations: 1 thread and 2' continued-1 continued-2 continuations.jsonl

# ---- Ctrl-C ----

# interrupted NAME KIND - a long run, interrupted after some steps; leaves $code, $err
interrupted() {
    local name=$1 i
    # A script's background jobs ignore SIGINT, so that a Ctrl-C in the terminal does not end them; undo that.
    # shellcheck disable=SC2046
    env --default-signal=INT "$pippin" $(kind "$2") $long -t 1 -o "$scratch/$name" \
        >"$scratch/$name.out" 2>"$scratch/$name.err" &
    for ((i = 0; i < 2000; i++)); do
        [ "$(wc -l 2>/dev/null <"$scratch/$name/metrics.jsonl" || echo 0)" -ge 20 ] && break
        sleep 0.005
    done
    kill -INT $!
    wait $!
    code=$?
    err=$(tail -n 1 "$scratch/$name.err")
}
long='--epochs 40 --eval-every 20 --checkpoint-every 30'
if env --default-signal=INT true 2>/dev/null; then
    for kind in train q2 adapter; do
        # shellcheck disable=SC2046
        good "$kind-whole" $(kind $kind) $long -t 1
        interrupted "$kind-stopped" $kind
        is "$kind, Ctrl-C: exit code" $code 130
        holds "$kind, Ctrl-C: what to do" "$err" --resume
        is "$kind, Ctrl-C: one line of error" "$(grep -c '^pippin: ' "$scratch/$kind-stopped.err")" 1
        is "$kind, Ctrl-C: no result yet" "$(sum "$scratch/$kind-stopped/$(file_of $kind)")" "no $(file_of $kind)"
        step=$(sed -n 's/.*after step \([0-9]*\) of.*/\1/p' <<<"$err")
        is "$kind, Ctrl-C: its checkpoint" "$("$compare" whole "$scratch/$kind-stopped")" "whole, newest checkpoint $step"
        # shellcheck disable=SC2046
        good "$kind-stopped" $(kind $kind) $long -t 2 --resume
        same "$kind: stopped and resumed" "$kind-whole" "$kind-stopped" "$(file_of $kind)"
        is "$kind: losses of both" "$("$compare" losses "$scratch/$kind-whole" "$scratch/$kind-stopped")" 0.00e+00
    done
else
    echo 'SKIPPED Ctrl-C: no env --default-signal'
fi

# ---- packed is separate ----

plain="--data $scratch/train.jsonl --shuffle none --epochs 1 --schedule constant --warmup-steps 0 --batch-size 40 --max-steps 1"
good separate train -m "$scratch/base" $plain
good packed train -m "$scratch/base" $plain --max-sequence-length 64 --pack-sequences
below 'packed and separate: losses' "$("$compare" losses "$scratch/packed" "$scratch/separate")" 1e-6
below 'packed and separate: norms' "$("$compare" norms "$scratch/packed" "$scratch/separate")" 1e-6

# ---- what is refused ----

# refused NAME CODE PART ARGUMENTS... - one line that holds PART
refused() {
    local name=$1 wanted=$2 part=$3
    shift 3
    "$pippin" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    is "$name: exit code" $? "$wanted"
    is "$name: lines" "$(wc -l <"$scratch/err" | tr -d ' ')" 1
    holds "$name" "$(cat "$scratch/err")" "$part"
}
before=$(sum "$scratch/train-1/model.safetensors")
# shellcheck disable=SC2046
refused 'a run over another one' 1 "$scratch/train-1/model.safetensors: exists already" $(kind train) -o "$scratch/train-1"
is 'a run over another one: the result' "$(sum "$scratch/train-1/model.safetensors")" "$before"
# shellcheck disable=SC2046
refused 'other settings' 1 'dropout: the run of' $(kind train) --dropout 0.2 --learning-rate 1e-3 -o "$scratch/train-1" --resume
# shellcheck disable=SC2046
refused 'another optimizer' 1 'optimizer: the run of' $(kind train) --optimizer muon -o "$scratch/train-1" --resume
# shellcheck disable=SC2046
refused 'another command' 1 'command: the run of' $(kind adapter) -o "$scratch/train-1" --resume
# shellcheck disable=SC2046
refused 'other data' 1 'data: the run of' $(kind train) --data "$scratch/valid.jsonl" -o "$scratch/train-1" --resume
refused 'resume into a model' 1 'exists already' train -m "$scratch/base" --data "$scratch/train.jsonl" -o "$scratch/teacher" --resume
refused 'no data' 2 '--data' train -m "$scratch/base" -o "$scratch/none"
refused 'no output' 2 '--output' train -m "$scratch/base" --data "$scratch/train.jsonl"
refused 'no teacher' 2 '--teacher' distill -m "$scratch/base" --data "$scratch/train.jsonl" -o "$scratch/none"
refused 'two warm-ups' 2 '--warmup-steps' train -m "$scratch/base" --data "$scratch/train.jsonl" -o "$scratch/none" \
    --warmup-steps 1 --warmup-epochs 1
refused 'a rate that is none' 2 '--learning-rate' train -m "$scratch/base" --data "$scratch/train.jsonl" -o "$scratch/none" \
    --learning-rate 1e30
refused 'no rate' 2 '--learning-rate' train -m "$scratch/base" --data "$scratch/train.jsonl" -o "$scratch/none" --learning-rate 0
# Where there is nothing to resume, a run begins and says so; where there is nothing left to do, that is said.
good fresh train -m "$scratch/base" --data "$scratch/train.jsonl" --max-steps 2 --resume
holds 'resume of nothing' "$err" 'fresh: holds no checkpoint to resume; the run begins'
before=$(sum "$scratch/fresh/model.safetensors")
good fresh train -m "$scratch/base" --data "$scratch/train.jsonl" --max-steps 2 --resume
holds 'resume of a run that is over' "$err" 'fresh: going on after step 2 of 2'
holds 'resume of a run that is over: result' "$(cat "$scratch/fresh.out")" 'written again; the run was over'
is 'resume of a run that is over: bits' "$(sum "$scratch/fresh/model.safetensors")" "$before"
refused 'another model of that shape' 1 'model: the run of' train -m "$scratch/teacher" --data "$scratch/train.jsonl" --max-steps 2 \
    --resume -o "$scratch/fresh"
# At a constant rate a run may be given more steps once it is over, not fewer.
steady="train -m $scratch/base --data $scratch/train.jsonl --schedule constant --warmup-steps 1"
good longer $steady --max-steps 3
good longer $steady --max-steps 7 --epochs 9 --resume
good at-once $steady --max-steps 7 --epochs 9
same 'a run that was given more steps' longer at-once model.safetensors
refused 'fewer steps' 1 'is at step 7 already' $steady --max-steps 5 --resume -o "$scratch/longer"
# Data: the file and the line, before anything is written.
n=0
while IFS= read -r text; do
    n=$((n + 1))
    { cat "$scratch/valid.jsonl" && printf '%s\n' "$text"; } >"$scratch/bad.jsonl"
    refused "bad line $n" 1 "$scratch/bad.jsonl:7: " train -m "$scratch/base" --data "$scratch/bad.jsonl" -o "$scratch/none"
    refused "bad line $n of eval data" 1 "$scratch/bad.jsonl:7: " adapter train -m "$scratch/base" \
        --data "$scratch/train.jsonl" --eval-data "$scratch/bad.jsonl" -o "$scratch/none"
    is "bad line $n: nothing is written" "$([ -e "$scratch/none" ] && echo written)" ''
done <<'END'
{"tokens": [1, 2, 999]}
{"tokens": [1, 2
{"token": [1, 2]}
{"tokens": [1, 2, 3], "loss_mask": [0, 1]}
{"tokens": [1, 2, 3], "loss_mask": [0, 0, 0]}
{"tokens": [1]}
17
END

# ---- no number any more ----

# shellcheck disable=SC2046
run diverged $(kind train) --learning-rate 100 --weight-decay 10 --schedule constant --warmup-steps 0 --epochs 30
is 'divergence: exit code' $code 1
is 'divergence: one line' "$(grep -c '^pippin: ' <<<"$err")" 1
holds 'divergence' "$err" 'training diverged'
step=$(sed -n 's/^pippin: step \([0-9]*\): .*/\1/p' <<<"$err")
is 'divergence: the checkpoint before' "$("$compare" whole "$scratch/diverged")" "whole, newest checkpoint $((step - 1))"

# ---- two bits ----

is 'q2: values in a row' "$("$compare" levels "$scratch/q2-1/model.safetensors")" 'matrices 4, embedding 16'
"$pippin" logits -m "$scratch/q2-1" --tokens 1,2,3,4 -o "$scratch/q2.npy" >"$scratch/out" 2>&1
is 'q2: logits' $? 0
"$pippin" convert "$scratch/q2-1" --type q2 -o "$scratch/q2.gguf" >"$scratch/out" 2>&1
is 'q2: one file of it' "$(sum "$scratch/q2-1/model.gguf")" "$(sum "$scratch/q2.gguf")"
same 'q2: one file, 1 thread and 2' q2-1 q2-2 model.gguf
is 'q2: scales of K and V, a pair a full layer' "$(grep -aoE '[a-z0-9_.]*(k|v)[a-z_]*scale"' "$scratch/q2-1/model.safetensors" |
    grep -cE 'quant|kv')" 6

# ---- that it learns: real text by heart ----

text=$shared/data/tinystories-text/stories.txt tokenizer=$shared/data/tinystories-656k/tokenizer.json
if [ -e "$text" ] && [ -e "$tokenizer" ]; then
    sed 's/"vocab_size": 120, "hidden_dim": 32/"vocab_size": 2048, "hidden_dim": 64/' "$scratch/tiny.json" >"$scratch/heart.json"
    head -c 500 "$text" >"$scratch/heart.txt"
    learn="--tokenizer $tokenizer --data $scratch/heart.txt --max-sequence-length 256 --batch-size 1 --weight-decay 0"
    learn="$learn --epochs 100 --learning-rate 1e-2 --warmup-steps 10 --checkpoint-every 1000"
    # nll RUN - nats a token, by the command that measures models
    nll() {
        "$pippin" eval -m "$scratch/$1" --text "$scratch/heart.txt" --json 2>"$scratch/err" |
            sed -n 's/^{"tokens": \([0-9]*\), "nll": \([0-9.e-]*\),.*/\1 \2/p' | awk '{ print $2 / $1 }'
    }
    TIMEFORMAT=%U # others may use this machine too: its own seconds
    # shellcheck disable=SC2086
    { time good heart train --preset "$scratch/heart.json" $learn; } 2>"$scratch/time"
    below 'by heart: seconds' "$(tail -n 1 "$scratch/time")" 20
    below 'by heart: loss' "$(tail -n 1 "$scratch/heart/metrics.jsonl" | sed 's/.*"loss":\([^,]*\),.*/\1/')" 0.05
    # Before the first word eval puts the vocabulary's BOS, training what the toolkit puts there: that word is not by heart.
    below 'by heart: eval' "$(nll heart)" 0.25
    # With rounding in the loop too: what was measured in training is what the saved model does.
    # shellcheck disable=SC2086
    good heart-q2 train --preset "$scratch/heart.json" $learn --qat q2
    below 'by heart in two bits: eval' "$(nll heart-q2)" 0.4
else
    echo 'SKIPPED by heart: no text or tokenizer'
fi

finish
