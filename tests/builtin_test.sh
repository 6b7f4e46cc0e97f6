#!/bin/bash
# builtin_test.sh PIPPIN SHARED - what comes with the program is found from the program's own place, by its name, and nothing else is.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset PIPPIN_MODELS

cat >"$scratch/small.json" <<'END'
{"model_type": "afm7", "rms_norm_eps": 1e-5, "rope_theta": 500000, "vocab_size": 120, "hidden_dim": 64, "num_layers": 4,
 "num_kv_reuse_layers": 1, "num_heads": 2, "num_kv_heads": 1, "hidden_dim_scale_factor": 3.0}
END
# ids WHERE ARGUMENTS... - what a greedy answer of the program in WHERE begins with
ids() {
    local where=$1
    shift
    (cd "$scratch/cwd" && "$where/pippin" generate --tokens 5,6,7 -n 8 --json "$@" 2>&1) | sed 's/.*"tokens": \[\([^]]*\)\].*/\1/'
}
model() { # SEED FILE
    "$pippin" init --preset "$scratch/small.json" --type q2 --seed "$1" -o "$2" >/dev/null 2>&1 || fail "model $2"
}

mkdir -p "$scratch"/{clone/build,clone/models,prefix/bin,prefix/share/pippin,bare,cwd}
for place in clone/build prefix/bin bare; do cp "$pippin" "$scratch/$place/pippin"; done
model 1 "$scratch/clone/models/mini.gguf"
model 1 "$scratch/prefix/share/pippin/mini.gguf"
model 2 "$scratch/clone/models/mini-draft.gguf"
model 3 "$scratch/cwd/mini.gguf"
"$pippin" init --preset "$scratch/small.json" --seed 4 -o "$scratch/cwd/mini" >/dev/null 2>&1 # a folder of that name

right=$("$pippin" generate -m "$scratch/clone/models/mini.gguf" --tokens 5,6,7 -n 8 --json | sed 's/.*"tokens": \[\([^]]*\)\].*/\1/')
is 'from a clone' "$(ids "$scratch/clone/build")" "$right"
is 'from an installation' "$(ids "$scratch/prefix/bin")" "$right"
ln -s "$scratch/clone/build/pippin" "$scratch/bare/link"
is 'through a link' "$(cd "$scratch/cwd" && "$scratch/bare/link" generate --tokens 5,6,7 -n 8 --json | sed 's/.*"tokens": \[\([^]]*\)\].*/\1/')" "$right"
[ "$(ids "$scratch/clone/build" -m mini)" != "$right" ] && pass || fail 'a folder that is named' 'the built-in model was taken'
rm -r "$scratch/cwd/mini"
is 'by its name' "$(ids "$scratch/clone/build" -m mini)" "$right"
is 'a draft by its name' "$(ids "$scratch/clone/build" -d mini-draft --draft-tokens 2)" "$right"
out=$(ids "$scratch/clone/build" -m mini-drift)
holds 'a name that is none' "$out" 'mini-drift: no such file'

# An adapter by its name, as trained without -m.
printf '{"tokens":[5,6,7,8,9],"loss_mask":[0,0,1,1,1]}\n' >"$scratch/cwd/data.jsonl"
(cd "$scratch/cwd" && "$scratch/clone/build/pippin" adapter train --data data.jsonl --rank 2 --epochs 20 --learning-rate 0.1 \
    --warmup-steps 1 -o run) >"$scratch/out" 2>&1 || fail 'adapter train' "$(tail -n 1 "$scratch/out")"
cp "$scratch/cwd/run/adapter.safetensors" "$scratch/clone/models/say.safetensors"
is 'an adapter by its name' "$(ids "$scratch/clone/build" -a say)" "$(ids "$scratch/clone/build" -a "$scratch/clone/models/say.safetensors")"
[ "$(ids "$scratch/clone/build" -a say)" != "$right" ] && pass || fail 'an adapter by its name' 'it has no effect'
out=$(ids "$scratch/clone/build" -a nay)
holds 'an adapter that is none' "$out" 'nay: No such file'

is 'in a folder that is named' "$(PIPPIN_MODELS=$scratch/prefix/share/pippin ids "$scratch/bare")" "$right"
out=$(PIPPIN_MODELS=$scratch/cwd/run ids "$scratch/clone/build")
holds 'not in a folder that is named' "$out" '--model: none given'

# The test knows that there is none where it was to be installed: else this one would find that.
data=$(sed -n 's/^CMAKE_INSTALL_PREFIX:[A-Z]*=//p' "$(dirname "$pippin")/CMakeCache.txt" 2>/dev/null)/share/pippin
if [ -e "$data/mini.gguf" ]; then
    skip "no built-in model: $data has one"
else
    out=$(ids "$scratch/bare")
    holds 'there is none' "$out" '--model: none given'
    holds 'there is none: where it was sought' "$out" '../models'
    (cd "$scratch/cwd" && "$scratch/bare/pippin" tokenize </dev/null >"$scratch/out" 2>&1)
    is 'there is none: exit code' $? 2
fi
finish
