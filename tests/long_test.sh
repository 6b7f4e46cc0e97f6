#!/bin/bash
# long_test.sh PIPPIN [SHARED] - long contexts as users ask for them: stretched positions, what files say about these, and
# bench at depth.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

cat >"$scratch/tiny.json" <<'END'
{"model_type": "afm7", "vocab_size": 120, "hidden_dim": 32, "num_layers": 4, "num_kv_reuse_layers": 1, "num_heads": 4,
 "num_kv_heads": 2, "hidden_dim_scale_factor": 3.0, "rope_theta": 500000, "rms_norm_eps": 1e-5}
END
model=$scratch/tiny
"$pippin" init --preset "$scratch/tiny.json" --seed 5 -o "$model" >/dev/null 2>&1
ids=$(seq -s , 1 60)

# sum_of ARGUMENTS... - of the logits that these give
sum_of() {
    rm -f "$scratch/out.npy"
    "$pippin" logits -m "$model" --tokens "$ids" -o "$scratch/out.npy" "$@" >/dev/null 2>"$scratch/err" || echo "failed: $(cat "$scratch/err")"
    sum "$scratch/out.npy"
}
# refused CODE NAME PART ARGUMENTS... - that exit code, and one line which holds PART
refused() {
    local wanted=$1 name=$2 part=$3 code=0
    shift 3
    "$pippin" "$@" >/dev/null 2>"$scratch/err" </dev/null || code=$?
    is "$name: exit code" $code "$wanted"
    is "$name: lines" "$(wc -l <"$scratch/err" | tr -d ' ')" 1
    holds "$name" "$(cat "$scratch/err")" "$part"
}

# ---- scalings ----
plain=$(sum_of)
is 'none is what there was' "$(sum_of --rope-scaling none)" "$plain"
seen=$plain
for kind in linear ntk yarn; do
    is "$kind, no longer than trained" "$(sum_of --rope-scaling $kind)" "$plain"
    is "$kind by 1" "$(sum_of --rope-scaling $kind --rope-factor 1)" "$plain"
    by_8=$(sum_of --rope-scaling $kind --rope-factor 8 -t 1)
    case $seen in *"$by_8"*) fail "$kind by 8" 'as one before it' ;; *) pass ;; esac
    seen="$seen $by_8"
    is "$kind, three threads" "$(sum_of --rope-scaling $kind --rope-factor 8 -t 3)" "$by_8"
    is "$kind, by the context" "$(sum_of --rope-scaling $kind --ctx 32768)" "$by_8"
done
for command in generate logits eval chat bench; do
    holds "$command has it" "$("$pippin" help $command)" '--rope-scaling KIND'
done
sed 's/"rms_norm_eps"/"max_position_embeddings": 40, &/' "$scratch/tiny.json" >"$model/config.json"
said() { "$pippin" generate -m "$model" --tokens "$1" -n 20 --ctx 80 "${@:2}" 2>&1 >/dev/null; }
is 'a long context alone is no matter' "$(said 1,2,3)" ''
holds 'a text longer than those of training' "$(said "$ids")" 'longer than the 40 tokens'
is 'it is said once' "$(said "$ids" | wc -l | tr -d ' ')" 1
is 'it is not said with a scaling' "$(said "$ids" --rope-scaling yarn)" ''
holds 'it is said of scores' "$("$pippin" logits -m "$model" --tokens "$ids" -o "$scratch/out.npy" 2>&1 >/dev/null)" '40 tokens'
cp "$scratch/tiny.json" "$model/config.json"

refused 2 'a factor alone' '--rope-scaling linear, ntk or yarn' generate -m "$model" --tokens 1 --rope-factor 4
refused 2 'a factor of none' 'leave the factor out' generate -m "$model" --tokens 1 --rope-scaling none --rope-factor 4
refused 2 'a factor below 1' '1 to 1000' generate -m "$model" --tokens 1 --rope-scaling yarn --rope-factor 0.5
refused 2 'dynamic' "a session's factor is fixed" generate -m "$model" --tokens 1 --rope-scaling dynamic
refused 2 'no scaling' 'none|linear|ntk|yarn' generate -m "$model" --tokens 1 --rope-scaling yam
refused 2 'auto has no name' 'none|linear|ntk|yarn' generate -m "$model" --tokens 1 --rope-scaling auto
refused 1 'too long a text' "factor of 2 is fixed" generate -m "$model" --tokens "$ids" --ctx 50 --rope-scaling ntk --rope-factor 2

# ---- what files say ----
scale() { sed "s/\"rms_norm_eps\"/\"rope_scaling\": $1, &/" "$scratch/tiny.json" >"$model/config.json"; }
scale '{"rope_type": "yarn", "factor": 8, "original_max_position_embeddings": 4096}'
is 'yarn of the file' "$(sum_of)" "${seen##* }"
is 'none in its place' "$(sum_of --rope-scaling none)" "$plain"
holds 'inspect' "$("$pippin" inspect "$model")" 'scaled by 8 beyond 4,096 (yarn)'
"$pippin" convert "$model" -o "$scratch/yarn.gguf" >/dev/null 2>&1
folder=$model model=$scratch/yarn.gguf
is 'yarn of a GGUF' "$(sum_of)" "${seen##* }"
model=$folder
scale '{"type": "dynamic", "factor": 2}'
refused 1 'dynamic in a file' "a session's factor is fixed" logits -m "$model" --tokens 1 -o "$scratch/out.npy"
scale '{"type": "longrope"}'
refused 1 'longrope in a file' 'longrope is not built' logits -m "$model" --tokens 1 -o "$scratch/out.npy"
cp "$scratch/tiny.json" "$model/config.json"

# ---- bench ----
out=$("$pippin" bench -m "$model" -p 16 -n 20 -r 2 --verify 2 --depth 100,3000 -t 3 --json 2>/dev/null)
# bytes TEST - that a token reads
bytes() { grep -oE "\"test\": \"$1\"[^}]*\}, \"bytes_per_token\": [0-9]+" <<<"$out" | grep -oE '[0-9]+$'; }
# 4 layers, 2 K/V heads of 8 f32 values, K and V: 512 bytes a token that was before, 10 at the middle of 20
is 'bytes at depth 100' "$(($(bytes tg20@100) - $(bytes tg20)))" $((512 * (100 - 8)))
is 'bytes at depth 3000' "$(($(bytes tg20@3000) - $(bytes tg20@100)))" $((512 * 2900))
holds 'bench in words' "$("$pippin" bench -m "$model" -p 16 -n 4 -r 1 --verify 2 --depth 70 --markdown 2>/dev/null)" '| tg4@70 '
refused 2 'no depth' 'from 1 to 1048576' bench -m "$model" --depth 5,0
refused 2 'too many depths' 'up to 8 numbers' bench -m "$model" --depth 1,2,3,4,5,6,7,8,9
refused 2 'too deep' 'at most 1048576' bench -m "$model" --depth 1048576
refused 1 'deeper than the context' '--ctx' bench -m "$model" --depth 600 -n 4 -p 4 --ctx 500
finish
