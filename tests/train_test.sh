#!/bin/bash
# train_test.sh PIPPIN [SHARED] - training runs by the command: golden runs of an independent program; bits that do not
# depend on threads, recomputed activations or an interruption; what is refused; what a low-bit run leaves; that it learns.
set -u
export LC_ALL=C
pippin=$1
shared=${2:-}
compare=$(dirname "$pippin")/tests/run_compare
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED $1: $2"
}
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then pass; else fail "$1" "found \"${2:0:300}\", expected \"${3:0:300}\""; fi; }
# holds NAME TEXT PART
holds() { case $2 in *"$3"*) pass ;; *) fail "$1" "found no \"$3\" in \"${2:0:400}\"" ;; esac; }
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
# sum FILE - what stands for its bytes
sum() { sha256sum <"$1" 2>/dev/null | cut -d ' ' -f 1; }
# same NAME RUN RUN FILE
same() { is "$1" "$(sum "$scratch/$3/$4")" "$(sum "$scratch/$2/$4")"; }

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

echo "$passed passed, $failed failed"
[ $failed = 0 ]
