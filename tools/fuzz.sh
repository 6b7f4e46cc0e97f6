#!/bin/bash
# fuzz.sh FOLDER SECONDS - runs each fuzzer of a build folder for SECONDS, from fuzz/corpus and from what it found before.
set -eu
folder=$1
seconds=$2
shopt -s nullglob
programs=("$folder"/fuzz/fuzz_*)
if [ ${#programs[@]} = 0 ]; then
    echo "no fuzzers: fuzz/fuzz_*.c is empty"
    exit 1
fi
status=0
for program in "${programs[@]}"; do
    name=${program##*/fuzz_}
    found=$folder/corpus/$name
    mkdir -p "$found" "$folder/crashes"
    seeds=()
    if [ -d "fuzz/corpus/$name" ]; then seeds=("fuzz/corpus/$name"); fi
    dict=()
    if [ -f "fuzz/$name.dict" ]; then dict=(-dict="fuzz/$name.dict"); fi
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "${dict[@]}" \
        -artifact_prefix="$folder/crashes/$name-" "$found" "${seeds[@]}" >"$folder/$name.log" 2>&1; then
        echo "ok $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log") inputs in $seconds s"
    else
        echo "FAILED $name: $folder/$name.log; the input is in $folder/crashes"
        status=1
    fi
done
exit $status
