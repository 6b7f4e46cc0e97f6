# lib.sh - what the test scripts share. They source it with their own arguments: PIPPIN, the command, and SHARED, the folder
# with golden/ and data/, which may be absent. $root is the repository, $scratch a folder of the test's own.
# shellcheck shell=bash disable=SC2034
set -u
export LC_ALL=C
unset NO_COLOR
export PIPPIN_MODELS=/nonexistent # tests say which model they mean
pippin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shared=${2:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

pass() { passed=$((passed + 1)); }
# fail NAME [WHAT]
fail() {
    failed=$((failed + 1))
    echo "FAILED $1${2:+: $2}"
}
skip() { echo "SKIPPED $1"; }
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then pass; else fail "$1" "found \"${2:0:400}\", expected \"${3:0:400}\""; fi; }
# holds NAME TEXT PART
holds() { case $2 in *"$3"*) pass ;; *) fail "$1" "found no \"$3\" in \"${2:0:400}\"" ;; esac; }
# Says how it went, and ends the test.
finish() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}

# ---- for training ----

# train_small - in $scratch a configuration, tiny.json, a model of it with random weights, base, and what it is trained on,
# train.jsonl and valid.jsonl: lines of tokens, of which the first third is not learned
train_small() {
    cat >"$scratch/tiny.json" <<'END'
{"model_type": "afm7", "rms_norm_eps": 1e-5, "rope_theta": 500000, "vocab_size": 120, "hidden_dim": 32, "num_layers": 4,
 "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2, "hidden_dim_scale_factor": 3.0}
END
    samples 40 3 >"$scratch/train.jsonl"
    samples 6 4 >"$scratch/valid.jsonl"
    "$pippin" init --preset "$scratch/tiny.json" --seed 5 -o "$scratch/base" >/dev/null 2>&1
}
# samples N SEED
samples() {
    awk -v n="$1" -v seed="$2" 'BEGIN {
        for (srand(seed); n > 0; n--) {
            length_ = 4 + int(rand() * 20)
            tokens = mask = ""
            for (k = 0; k < length_; k++) {
                tokens = tokens (k ? "," : "") (1 + int(rand() * 119))
                mask = mask (k ? "," : "") (k >= length_ / 3 ? 1 : 0)
            }
            print "{\"tokens\":[" tokens "],\"loss_mask\":[" mask "]}"
        }
    }'
}
# sum FILE - what stands for its bytes
sum() { if [ -e "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; else echo "no ${1##*/}"; fi; }
# file_of KIND - what a run leaves
file_of() { [ "$1" = adapter ] && echo adapter.safetensors || echo model.safetensors; }
