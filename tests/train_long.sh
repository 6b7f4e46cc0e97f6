#!/bin/bash
# train_long.sh PIPPIN [KILLS] - training runs under SIGKILL: at KILLS (50) random moments, and once at each call that opens,
# writes, flushes, syncs, renames or removes a file. After each: every file in the folder is whole, no more than a checkpoint
# interval is lost, --resume goes on, nothing is left over, and the bits in the end are those of a run that was let alone.
# `make check-long` runs it; it takes minutes.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
kills=${2:-50}
compare=$(dirname "$pippin")/tests/run_compare
train_small || exit 1
common="-m $scratch/base --data $scratch/train.jsonl --eval-data $scratch/valid.jsonl -t 1 --dropout 0.1 --batch-size 2
    --grad-accumulation 2 --pack-sequences --max-sequence-length 32 --resume"

# job KIND - command and options; $interval is the run's
job() {
    case $1 in
    adapter) echo "adapter train $common --rank 4 --lora-dropout 0.1 --checkpoint-every $interval" ;;
    q2) echo "train $common --qat q2 --checkpoint-every $interval" ;;
    esac
}

lost_most=0 torn=0
# inspect_killed NAME FOLDER - what a killed run left behind
inspect_killed() {
    local said steps checkpoint
    [ -d "$2" ] || return
    said=$("$compare" killed "$2") || fail "$1: $said"
    case $said in *'cut short') torn=$((torn + 1)) ;; esac
    checkpoint=$(sed -n 's/.*newest checkpoint \([0-9]*\).*/\1/p' <<<"$said")
    # The last whole row of a step; the cut one may be of the step after.
    steps=$(grep -a '"loss".*}$' "$2/metrics.jsonl" 2>/dev/null | tail -n 1 | sed 's/{"step":\([0-9]*\),.*/\1/')
    local lost=$((${steps:-0} - ${checkpoint:-0}))
    [ $lost -gt $lost_most ] && lost_most=$lost
    [ $lost -le $interval ] || fail "$1: $lost steps are lost, expected at most $interval"
}
# inspect_ended NAME FOLDER WANTED_SUM FILE
inspect_ended() {
    local said
    said=$("$compare" whole "$2") || fail "$1: $said"
    [ "$(sum "$2/$4")" = "$3" ] || fail "$1: other bits than those of the run that was let alone"
}

# ---- at random moments ----

interval=5
RANDOM=1
for kind in adapter q2; do
    file=$(file_of $kind)
    options="$(job $kind) --epochs 60"
    start=$(date +%s%N)
    # shellcheck disable=SC2086
    "$pippin" $options -o "$scratch/alone" >/dev/null 2>&1 || fail "$kind: the run that is let alone"
    milliseconds=$((($(date +%s%N) - start) / 1000000))
    wanted=$(sum "$scratch/alone/$file")
    n_kill=0 n_whole=0 lost_most=0 torn=0
    while [ $n_kill -lt "$kills" ] && [ $failed -lt 10 ]; do
        # shellcheck disable=SC2086
        "$pippin" $options -o "$scratch/killed" >/dev/null 2>"$scratch/err" &
        pid=$!
        # Some ten kills a run.
        moment=$(awk -v r=$RANDOM -v ms=$milliseconds 'BEGIN { print 0.01 + r / 32768 * ms / 5000 }')
        (sleep "$moment" && kill -KILL $pid) 2>/dev/null &
        killer=$!
        wait $pid 2>/dev/null
        code=$?
        { kill $killer && wait $killer; } 2>/dev/null
        case $code in
        137)
            n_kill=$((n_kill + 1))
            inspect_killed "$kind, kill $n_kill" "$scratch/killed"
            ;;
        0)
            inspect_ended "$kind, after $n_kill kills" "$scratch/killed" "$wanted" "$file"
            n_whole=$((n_whole + 1))
            rm -r "$scratch/killed"
            ;;
        *) fail "$kind, kill $n_kill: exit code $code: $(tail -n 1 "$scratch/err")" ;;
        esac
    done
    if [ -d "$scratch/killed" ]; then
        # shellcheck disable=SC2086
        "$pippin" $options -o "$scratch/killed" >/dev/null 2>&1 || fail "$kind: resumed after the last kill"
        inspect_ended "$kind, in the end" "$scratch/killed" "$wanted" "$file"
        n_whole=$((n_whole + 1))
        rm -r "$scratch/killed"
    fi
    rm -r "$scratch/alone"
    echo "$kind: $n_kill kills at random moments, $n_whole runs ended with the same bits; at most $lost_most steps lost" \
        "(a checkpoint every $interval), $torn lines cut short"
done

# ---- at each call ----

if ! "${CC:-cc}" -shared -fPIC -O1 -o "$scratch/kill_at.so" "$root/tests/preload/kill_at.c" -ldl 2>"$scratch/err"; then
    echo "SKIPPED kills at each call: preload/kill_at.c does not compile: $(head -n 1 "$scratch/err")"
else
    interval=1
    for kind in adapter q2; do
        file=$(file_of $kind)
        options="$(job $kind) --max-steps 3"
        lost_most=0 torn=0
        # shellcheck disable=SC2086
        PP_KILL_LOG=$scratch/calls LD_PRELOAD=$scratch/kill_at.so "$pippin" $options -o "$scratch/alone" >/dev/null 2>&1
        wanted=$(sum "$scratch/alone/$file")
        calls=$(cat "$scratch/calls")
        for ((n = 1; n <= ${#calls} && failed < 10; n++)); do
            # shellcheck disable=SC2086
            { PP_KILL_AT=$n LD_PRELOAD=$scratch/kill_at.so "$pippin" $options -o "$scratch/killed"; } >/dev/null 2>&1
            code=$?
            [ $code = 137 ] || fail "$kind, call $n: exit code $code"
            inspect_killed "$kind, call $n" "$scratch/killed"
            # shellcheck disable=SC2086
            "$pippin" $options -o "$scratch/killed" >/dev/null 2>"$scratch/err" ||
                fail "$kind, call $n: cannot be resumed: $(tail -n 1 "$scratch/err")"
            inspect_ended "$kind, call $n" "$scratch/killed" "$wanted" "$file"
            rm -r "$scratch/killed"
        done
        count() { tr -cd "$1" <<<"$calls" | wc -c | tr -d ' '; }
        echo "$kind: killed once at each of ${#calls} calls ($(count o) opens, $(count w) writes, $(count f) flushes," \
            "$(count s) syncs, $(count r) renames, $(count u) removals); at most $lost_most steps lost" \
            "(a checkpoint every $interval), $torn lines cut short"
        rm -rf "$scratch/alone" "$scratch/calls"
    done
fi

[ $failed = 0 ] && echo 'training under SIGKILL: all whole, all resumed, all the same bits'
exit $((failed > 0))
