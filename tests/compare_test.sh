#!/bin/bash
# compare_test.sh PIPPIN - tools/compare.sh: a row for each shape and type, with a figure in every cell, files that are there kept.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
compare() { SHAPES="$1" TYPES="$2" "$root/tools/compare.sh" "$pippin" "$scratch/m" -p 16 -n 4 -r 1 -t 1 2>"$scratch/err"; }

cat >"$scratch/tiny.json" <<'END'
{"model_type": "afm7", "rms_norm_eps": 1e-5, "rope_theta": 500000, "vocab_size": 120, "hidden_dim": 128, "num_layers": 4,
 "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2, "hidden_dim_scale_factor": 3.0}
END
rows=$(compare "$scratch/tiny.json" 'q2 q4') || fail 'it runs' "$(cat "$scratch/err")"
is 'a row each' "$(cut -d '|' -f 2,3 <<<"$rows" | tail -n +3 | tr -d '\n')" ' tiny | q2  tiny | q4 '
is 'cells' "$(awk -F '|' '{ print NF - 2 }' <<<"$rows" | uniq)" 11
number='[0-9]+(\.[0-9]+)?'
for row in 3 4; do
    cells=$(sed -n ${row}p <<<"$rows" | cut -d '|' -f 4-12)
    is "figures of row $row" "$(grep -cE "^( $number( %| ms)? ?\|?)+$" <<<"$cells") $(grep -oE "$number" <<<"$cells" | wc -l | tr -d ' ')" '1 9'
done
before=$(sum "$scratch/m/tiny-q2.gguf")
"$pippin" init --preset "$scratch/tiny.json" --type q2 --seed 9 --force -o "$scratch/m/tiny-q2.gguf" >/dev/null 2>&1
other=$(sum "$scratch/m/tiny-q2.gguf")
compare "$scratch/tiny.json" q2 >/dev/null || fail 'it runs again' "$(cat "$scratch/err")"
is 'a file that is there is kept' "$(sum "$scratch/m/tiny-q2.gguf") $([ "$before" != "$other" ] && echo another)" "$other another"
code=0
compare "$scratch/absent.json" q2 >/dev/null || code=$?
is 'a shape that is not there' "$([ $code = 0 ] || echo refused) $(grep -c 'absent.json' "$scratch/err")" 'refused 1'
code=0
"$root/tools/compare.sh" >/dev/null 2>"$scratch/err" || code=$?
is 'no arguments' "$code $(grep -c '^usage: ' "$scratch/err")" '2 1'
finish
