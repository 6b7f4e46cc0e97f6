#!/bin/bash
# compare.sh PIPPIN FOLDER [OPTIONS OF BENCH...] - models of random weights side by side on this machine, as rows of markdown: AFM,
# Llama 3.2 3B and Qwen2.5 3B, in q2 and q4. They are made in FOLDER (8 GB) unless they are there. docs/COMPARISON.md has what
# came of it. Let nothing else run.
#   SHAPES, TYPES   others than these: presets or paths of a config.json, types that `pippin init` makes
set -eu -o pipefail
export LC_ALL=C
if [ $# -lt 2 ] || [ ! -x "$1" ]; then
    echo 'usage: compare.sh PIPPIN FOLDER [OPTIONS OF BENCH...]   as in: tools/compare.sh build/pippin /tmp/shapes -t 1' >&2
    exit 2
fi
pippin=$1 folder=$2
shift 2
read -ra shapes <<<"${SHAPES:-afm-base llama-3.2-3b qwen2.5-3b}"
read -ra types <<<"${TYPES:-q2 q4}"
tools=$(dirname "$0")
mkdir -p "$folder"

# field OF NAME - of what bench printed: its own where OF is -, else of the test whose name begins with OF; "-" where there is none
field() {
    # shellcheck disable=SC2001
    sed 's|[{},]|\n|g' <<<"$said" | awk -F '": *' -v of="$1" -v name="$2" '
        { gsub(/^ *"|"$/, "", $1); gsub(/"/, "", $2) }
        $1 == "test" { test = $2 }
        $1 == name && (of == "-" ? test == "" || name == "peak_rss_bytes" : index(test, of) == 1) { value = $2; exit }
        END { print value == "" || value == "null" ? "-" : value }'
}
scaled() { awk -v x="$1" -v by="$2" -v as="$3" 'BEGIN { if (x == "-") print x; else printf as, x * by }'; }

echo '| shape | type | file, MB | memory, MB | load | prompt, tokens/s | of int8 peak | generation, tokens/s | of bandwidth | 4 at once | 8 at once |'
echo '|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|'
for shape in "${shapes[@]}"; do
    for type in "${types[@]}"; do
        name=$(basename "$shape" .json) file=$folder/$(basename "$shape" .json)-$type.gguf
        [ -f "$file" ] || "$pippin" init --preset "$shape" --type "$type" -o "$file" >/dev/null
        load=$(bash "$tools/../tests/median_ms.sh" "$pippin" generate -m "$file" --tokens 1 -n 1)
        said=$("$pippin" bench -m "$file" -n 64 --verify 4,8 --json "$@")
        printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$type" \
            "$(scaled "$(wc -c <"$file")" 1e-6 %.0f)" "$(scaled "$(field - peak_rss_bytes)" 1e-6 %.0f)" "$load" \
            "$(scaled "$(field pp median)" 1 %.1f)" "$(scaled "$(field pp peak_share)" 100 '%.0f %%')" \
            "$(scaled "$(field tg median)" 1 %.1f)" "$(scaled "$(field tg bandwidth_share)" 100 '%.0f %%')" \
            "$(scaled "$(field verify4 median)" 1 %.1f)" "$(scaled "$(field verify8 median)" 1 %.1f)"
    done
done
