#!/bin/bash
# cli_test.sh PIPPIN [SHARED] - the command as users and scripts meet it: help, errors, JSON, figures, texts, logits,
# signals, full disks. SHARED is the folder with golden/ and data/; what needs it is skipped where it is absent.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# run ARGUMENTS... - leaves $code, $out, $err
run() {
    "$pippin" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    code=$?
    out=$(cat "$scratch/out")
    err=$(cat "$scratch/err")
}

if command -v python3 >/dev/null && python3 -c 'import json' 2>/dev/null; then
    is_json() { python3 -m json.tool >/dev/null 2>&1; }
elif command -v jq >/dev/null; then
    is_json() { jq -es 'length == 1' >/dev/null 2>&1; }
else
    is_json() { tr -d '\n' | grep -qE '^\{.*\}$'; }
fi
# json NAME ARGUMENTS... - succeeds with one JSON object, leaves it in $out
json() {
    local name=$1
    shift
    run "$@" --json
    is "$name: exit code" $code 0
    if is_json <"$scratch/out" && [ "${out:0:1}" = '{' ]; then pass; else fail "$name" "not one JSON object: ${out:0:300}"; fi
}
# usage NAME PART ARGUMENTS... - exit code 2, one line on stderr that holds PART, nothing on stdout
usage() {
    local name="usage: $1" part=$2
    shift 2
    run "$@"
    is "$name: exit code" $code 2
    is "$name: stdout" "$out" ''
    one_line "$name" "$part"
}
# failure NAME PART ARGUMENTS... - the same with exit code 1
failure() {
    local name="failure: $1" part=$2
    shift 2
    run "$@"
    is "$name: exit code" $code 1
    is "$name: stdout" "$out" ''
    one_line "$name" "$part"
}
one_line() {
    is "$1: lines on stderr" "$(wc -l <"$scratch/err" | tr -d ' ')" 1
    is "$1: the line's start" "${err:0:8}" 'pippin: '
    holds "$1" "$err" "$2"
}

commands='generate tokenize logits inspect plan check init convert eval bench'

test_help() {
    local command all by_help
    run --help
    is 'help: exit code' $code 0
    is 'help: stderr' "$err" ''
    all=$out
    for command in $commands; do
        holds 'help' "$all" "
  $command "
        run help "$command"
        is "help $command: exit code" $code 0
        by_help=$out
        run "$command" --help
        is "$command --help: exit code" $code 0
        is "$command --help: stderr" "$err" ''
        is "$command --help: the same as help $command" "$out" "$by_help"
        holds "$command --help" "$out" "usage: pippin $command "
        holds "$command --help" "$out" '--json'
        run "$command" -h
        is "$command -h: the same as --help" "$out" "$by_help"
        run "$command" --version
        holds "$command --version" "$out" 'pippin '
    done
    run --version
    is 'version: exit code' $code 0
    case $out in 'pippin '[0-9]*.[0-9]*.[0-9]*) pass ;; *) fail version "found \"$out\"" ;; esac
}

test_usage() {
    usage 'no command' 'COMMAND'
    usage 'unknown command' '"generate"' genrate
    usage 'unknown command asked for' '"inspect"' help inspct
    usage 'option before the command' '--json' --json inspect
    usage 'unknown option' '--temp' generate --tmep 1
    usage 'unknown option, another command' '--segments' logits --segment=2
    usage 'unknown short option' '-x' plan -x
    usage 'number: a word' 'expected a whole number from 1 to' plan --preset afm-base --ctx many
    usage 'number: its value' '"many"' plan --preset afm-base --ctx many
    usage 'number: its flag' '--ctx' plan --preset afm-base --ctx many
    usage 'number: zero' '"0"' plan --preset afm-base --ctx=0
    usage 'number: negative' '"-4"' plan --preset afm-base --ctx -4
    usage 'number: a fraction' '"4.5"' plan --preset afm-base --ctx 4.5
    usage 'number: something after it' '"4k"' plan --preset afm-base --ctx 4k
    usage 'number: a space before it' '" 4"' plan --preset afm-base --ctx ' 4'
    usage 'number: too large' '"99999999999999999999"' plan --preset afm-base --ctx 99999999999999999999
    usage 'number: empty' '""' plan --preset afm-base --ctx=
    usage 'real: nan' '"nan"' generate --temp nan
    usage 'real: hexadecimal' '"0x1"' generate --temp 0x1
    usage 'real: negative' '"-1"' generate --temp=-1
    usage 'seed: negative' '"-1"' init --seed -1
    usage 'choice' 'int8|bf16|f32' plan --preset afm-base --kv-type q9
    usage 'type' 'f32|f16|bf16' init --type f64
    usage 'cpu level' 'scalar|avx2' generate --cpu mmx
    usage 'no value' '--ctx' plan --preset afm-base --ctx
    usage 'a value too many' '--json' plan --preset afm-base --json=yes
    usage 'an operand too many' 'b' inspect a b
    usage 'an operand where none goes' 'x' generate x
    usage 'after --' '-x' generate -- -x
    usage 'unknown preset' 'afm-base' inspect --preset afm-bsae
    usage 'preset and model' 'MODEL' inspect --preset afm-base -m x y
    usage 'no model' '-m MODEL' generate -p x
    usage 'no model to inspect' '-m MODEL' inspect
    usage 'two prompts' 'more than one' generate -m x -p a -f b
    usage 'tokens: a word' '"b"' generate -m x --tokens 1,b
    usage 'tokens: negative' '"-1"' logits -m x --tokens 1,-1 -o y
    usage 'tokens: none' '--tokens' logits -m x --tokens '' -o y
    usage 'no tokens' '--tokens' logits -m x -o y
    usage 'no output' '--output' logits -m x --tokens 1
    usage 'output to stdout' '--output' logits -m x --tokens 1 -o -
    usage 'init without shape' '--preset' init -o x
    usage 'init without output' '--output' init --preset afm-draft
    usage 'tensors of a preset' '--tensors' inspect --preset afm-base --tensors
    usage 'type of a model' '--type' check -m x --type f32
    usage 'compare and a model' '--compare' inspect --compare afm-base x
    failure 'no such model' 'no such file' generate -m "$scratch/nothing" -p x
    failure 'no such model to inspect' 'no such file' inspect "$scratch/nothing"
    failure 'no such prompt' 'No such file' generate -m x -f "$scratch/nothing"
    failure 'no such config' 'nothing.json' inspect --preset "$scratch/nothing.json"
    failure 'low-bit weights in a folder' 'NAME.gguf' init --preset afm-draft --type q4 -o "$scratch/x"
    usage 'bench: neither model nor preset' '-m MODEL' bench
    usage 'bench: both' '--preset' bench -m x --preset afm-draft
    printf 'not a model' >"$scratch/odd
name.bin"
    failure 'a name with a line break' 'odd?name.bin' generate -m "$scratch/odd
name.bin" -p x
}

# ledger PRESET 'JSON PARTS, one a line'
ledger() {
    local part
    json "inspect $1" inspect --preset "$1"
    while IFS= read -r part; do holds "ledger of $1" "$out" "$part"; done <<<"$2"
    run inspect --preset "$1"
    is "inspect $1: exit code" $code 0
    run inspect --preset "$1" --markdown
    holds "inspect $1 --markdown" "$out" '| ---'
}

test_ledger() {
    ledger afm-base '"name": "afm-base"
"total": 3178001792, "frozen": 3111368064, "trainable": 66633728
"embedding": 314572800, "attention": 526429568, "feed_forward": 2336997376, "norm": 243072
{"segment": 0, "count": 35, "parameters": 51581184, "trainable": 1245184}
{"segment": 1, "count": 21, "parameters": 50385024, "trainable": 1097728}
"rank": 32, "alpha": 16.0, "modules": 350, "adapted_linears": 280, "tensors": 700
"kv_bytes_per_token": 17920
"flops_per_token": {"prefill": 3523215360, "decode": 6222249984}
"context": {"trained": 4096, "max": 205000}
"type": "bf16"'
    ledger afm-draft '"total": 48765952, "frozen": 48765952, "trainable": 0
"embedding": 39321600
{"segment": 0, "count": 12, "parameters": 787008, "trainable": 0}'
    ledger llama-3.2-3b '"total": 3212749824'
    ledger qwen2.5-3b '"total": 3085938688'
    json 'compare' inspect --compare afm-base,afm-draft,llama-3.2-3b,qwen2.5-3b
    holds compare "$out" '{"models": [{"architecture"'
    is 'compare: models' "$(grep -o '"architecture"' <<<"$out" | wc -l | tr -d ' ')" 4
    run inspect --compare afm-base,llama-3.2-3b --markdown
    is 'compare --markdown: exit code' $code 0
    holds 'compare --markdown' "$out" '3,178,001,792'
    holds 'compare --markdown' "$out" '3,212,749,824'
}

# planned USE TYPE BYTES - a row of the last plan --all --json
planned() { holds "plan: $1, $2" "$out" "{\"use\": \"$1\", \"type\": \"$2\", \"bytes\": $3}"; }

test_plan() {
    json 'plan --all' plan --preset afm-base --all --ctx 4096
    planned 'linear layers' q2 699138048
    planned embedding q4 157286400
    planned 'linear layers and embedding' q2 856424448
    planned "every parameter at this type, the adapter's too" f32 12712007168
    planned "every parameter at this type, the adapter's too" f16 6356003584
    planned 'K/V cache, a token' int8 17920
    planned 'K/V cache, 4,096 tokens' int8 73400320
    planned 'K/V cache, 8,192 tokens' int8 146800640
    planned 'K/V cache, 8,192 tokens' bf16 293601280
    planned 'K/V cache, a token' bf16 35840
    planned 'K/V cache, a token, if all 56 layers had their own' int8 28672
    planned adapter f16 133267456
    run plan --preset afm-base --all
    holds 'plan --all in words' "$out" '12.712 GB'
    holds 'plan --all in words' "$out" '856.4 MB'
    json 'plan of the draft' plan --preset afm-draft --all
    planned 'every parameter at this type' q4 24382976
    planned 'every parameter at this type' f32 195063808
    json 'plan' plan --preset afm-base --type q2 --ctx 8192 --sessions 3 --kv-type bf16 --train
    holds plan "$out" '"type": "q2", "embedding_type": "q4", "kv_type": "bf16", "context": 8192, "sessions": 3'
    holds plan "$out" '"kv": 293601280'
    holds plan "$out" '"train": {"adapter": 1066139648'
    run plan --preset afm-base --ctx 205000
    is 'plan of a long context: exit code' $code 0
    holds 'plan of a long context' "$out" '3,673,600,000'
}

# A model that the test makes itself, so that it does not depend on shared data.
test_init() {
    cat >"$scratch/tiny.json" <<'CONFIG'
{"model_type": "afm7", "vocab_size": 512, "hidden_dim": 64, "num_layers": 5, "num_kv_reuse_layers": 2, "num_heads": 4,
 "num_kv_heads": 2, "hidden_dim_scale_factor": 3.25, "rope_theta": 500000.0, "rms_norm_eps": 1e-5}
CONFIG
    json init init --preset "$scratch/tiny.json" --seed 7 -o "$scratch/tiny"
    holds init "$out" '"type": "f32", "seed": 7'
    failure 'init again' '--force' init --preset "$scratch/tiny.json" --seed 7 -o "$scratch/tiny"
    cp "$scratch/tiny/model.safetensors" "$scratch/first"
    run init --preset "$scratch/tiny.json" --seed 7 --force --output="$scratch/tiny"
    is 'init --force: exit code' $code 0
    if cmp -s "$scratch/first" "$scratch/tiny/model.safetensors"; then pass; else fail init 'the same seed gave other bytes'; fi
    for type in f16 bf16; do
        run init --preset "$scratch/tiny.json" --type $type -o "$scratch/tiny-$type"
        is "init $type: exit code" $code 0
        json "check $type" check -m "$scratch/tiny-$type"
        holds "check $type" "$out" "\"type\": \"$type\""
    done
    for type in f32 q8 q4 q2; do
        run init --preset "$scratch/tiny.json" --type $type -o "$scratch/tiny-$type.gguf"
        is "init $type, GGUF: exit code" $code 0
        json "check $type, GGUF" check -m "$scratch/tiny-$type.gguf"
        holds "check $type, GGUF" "$out" "\"type\": \"$type\""
        holds "check $type, GGUF" "$out" '"finite": true'
    done
    cp "$scratch/tiny-q2.gguf" "$scratch/first.gguf"
    failure 'init again, GGUF' '--force' init --preset "$scratch/tiny.json" --type q2 -o "$scratch/tiny-q2.gguf"
    run init --preset "$scratch/tiny.json" --type q2 --force -o "$scratch/tiny-q2.gguf"
    is 'init --force, GGUF: the same seed' "$(sum "$scratch/tiny-q2.gguf")" "$(sum "$scratch/first.gguf")"
    run init --preset "$scratch/tiny.json" --type q2 --seed 1 --force -o "$scratch/tiny-q2.gguf"
    if cmp -s "$scratch/tiny-q2.gguf" "$scratch/first.gguf"; then fail init 'another seed gave the same bytes'; else pass; fi
    sed 's/"vocab_size": 512, "hidden_dim": 64/"vocab_size": 16000000, "hidden_dim": 262144/; s/"num_heads": 4/"num_heads": 256/' \
        "$scratch/tiny.json" >"$scratch/huge.json"
    failure 'init more than fits' 'of memory' init --preset "$scratch/huge.json" -o "$scratch/huge"
    failure 'check more than fits' 'of memory' check --preset "$scratch/huge.json"
    json 'inspect a model' inspect "$scratch/tiny" --tensors
    holds 'inspect a model' "$out" '"type": "f32"'
    holds 'inspect a model' "$out" '"shape": [512, 64]'
    run inspect -m "$scratch/tiny" --tensors
    holds 'inspect a model, in words' "$out" 'Stored tensors'
    json 'plan of a model' plan "$scratch/tiny"
    json 'plan of a config' plan --preset "$scratch/tiny.json"
    json 'compare a preset and a model' inspect --compare "afm-draft,$scratch/tiny"
}

test_check() {
    json 'check the draft' check --preset afm-draft
    holds 'check the draft' "$out" '"shape": [1, 64, 153600], "finite": true'
    holds 'check the draft' "$out" '"type": "f32"'
    run check --preset afm-draft --type bf16 -t 1
    is 'check at bf16: exit code' $code 0
    holds 'check at bf16' "$out" '[1, 64, 153600], all finite'
}

# Figures of a small model say nothing; that there are some, in the shape that scripts read, does.
test_bench() {
    json bench bench -m "$scratch/tiny-q2.gguf" -p 32 -n 20 -r 2 --verify 2,3 --batch 3 -t 2
    holds bench "$out" '"threads": 2, "bandwidth_gb_s": '
    holds bench "$out" '"test": "pp32", "tokens_per_second": {"min": '
    holds bench "$out" '"test": "tg20"'
    holds bench "$out" '"test": "verify3"'
    holds bench "$out" '"test": "batch3"'
    run bench --preset "$scratch/tiny.json" --type q4 -p 32 -n 20 -r 1 --markdown
    is 'bench in words: exit code' $code 0
    holds 'bench in words' "$out" 'this machine reads '
    holds 'bench in words' "$out" '| verify8 '
    usage 'bench: too many to verify' '17' bench -m "$scratch/tiny" --verify 2,17
    failure 'bench: a short context' '--ctx' bench -m "$scratch/tiny" --ctx 16
}

test_generate() {
    local ids
    run generate -m "$scratch/tiny" --tokens 1,2,3 -n 8
    is 'ids: exit code' $code 0
    ids=$out
    is 'ids: how many' "$(wc -w <<<"$ids" | tr -d ' ')" 8
    run generate -m "$scratch/tiny" --tokens '1 2 3' -n8 -t1
    is 'ids: with one thread' "$out" "$ids"
    printf '1,2\n3\n' >"$scratch/ids"
    run generate --model="$scratch/tiny" "--tokens=@$scratch/ids" --max-tokens=8
    is 'ids: from a file' "$out" "$ids"
    is 'ids: from stdin' "$("$pippin" generate -m "$scratch/tiny" --tokens - -n 8 <"$scratch/ids")" "$ids"
    run generate -m "$scratch/tiny" --tokens 1,2,3 -n 8 --echo
    is 'ids: --echo' "$out" "1 2 3 $ids"
    json 'ids' generate -m "$scratch/tiny" --tokens 1,2,3 -n 8
    holds 'ids --json' "$out" "\"text\": null, \"tokens\": [${ids// /, }], \"finish_reason\": \"length\""
    holds 'ids --json' "$out" '"usage": {"prompt_tokens": 3, "cached_tokens": 0, "completion_tokens": 8}'
    for field in load_ms prompt_n prompt_ms prompt_per_second predicted_n predicted_ms predicted_per_second draft_n draft_n_accepted peak_rss_bytes; do
        holds 'ids --json' "$out" "\"$field\": "
    done
    run generate -m "$scratch/tiny" --tokens 1,2,3 -n 8 --temp 1 --seed 5
    ids=$out
    run generate -m "$scratch/tiny" --tokens 1,2,3 -n 8 --temp 1 --seed 5 -t 1 -v
    is 'sampling: the same seed' "$out" "$ids"
    holds 'verbose' "$err" 'tokens/s'
    json 'count' generate -m "$scratch/tiny" --tokens 1,2,3 --count-tokens
    holds 'count' "$out" '"prompt_tokens": 3'
    run generate -m "$scratch/tiny" --tokens 1,2,3 --ctx 8
    is 'until the context is full: exit code' $code 0
    failure 'no tokenizer' '--tokenizer' generate -m "$scratch/tiny" -p x
    failure 'too long: the tokens' '5 tokens' generate -m "$scratch/tiny" --tokens 1,2,3,4,5 --ctx 4
    failure 'too long: the context' 'holds 4' generate -m "$scratch/tiny" --tokens 1,2,3,4,5 --ctx 4
    failure 'an id outside the vocabulary' '512' generate -m "$scratch/tiny" --tokens 1,512 -n 1
    failure 'no such adapter' 'nothing' generate -m "$scratch/tiny" --tokens 1 -n 1 -a "$scratch/nothing=2"
}

test_streams() {
    if [ -w /dev/full ]; then
        for arguments in 'inspect --preset afm-base' "generate -m $scratch/tiny --tokens 1 -n 5" 'inspect --preset afm-base --json' '--help'; do
            # shellcheck disable=SC2086
            "$pippin" $arguments >/dev/full 2>"$scratch/err"
            is "full disk: $arguments" $? 1
            err=$(cat "$scratch/err")
            one_line "full disk: $arguments" 'stdout'
        done
    else
        skip 'full disk'
    fi
    failure 'no such folder to write to' 'nowhere' logits -m "$scratch/tiny" --tokens 1,2 -o "$scratch/nowhere/x.npy"
    failure 'no folder to write a model to' 'nowhere' init --preset "$scratch/tiny.json" -o "$scratch/nowhere/x"
    "$pippin" inspect --preset afm-base >&- 2>"$scratch/err"
    is 'closed stdout: exit code' $? 1
    "$pippin" generate -m "$scratch/tiny" --tokens 1 --ctx 100000 2>"$scratch/err" | head -c 5 >/dev/null
    is 'closed pipe: exit code' "${PIPESTATUS[0]}" 1
    is 'closed pipe: stderr' "$(cat "$scratch/err")" ''
}

# interrupted NAME FILE ARGUMENTS... - starts the command, presses Ctrl-C once FILE is there (or after two seconds), wants 130
interrupted() {
    local name=$1 file=$2 waited=0
    shift 2
    rm -f "$scratch/out"
    # A script's background jobs ignore SIGINT, so that a Ctrl-C in the terminal does not end them; undo that.
    env --default-signal=INT "$pippin" "$@" >"$scratch/out" 2>"$scratch/err" &
    while [ $waited -lt 40 ] && ! [ -s "$file" ]; do
        sleep 0.05
        waited=$((waited + 1))
    done
    kill -INT $!
    wait $!
    is "$name: exit code" $? 130
}

test_interrupt() {
    if ! env --default-signal=INT true 2>/dev/null; then
        skip 'Ctrl-C: env has no --default-signal here'
        return
    fi
    interrupted 'Ctrl-C while streaming' "$scratch/out" generate -m "$scratch/tiny" --tokens 1 --ctx 100000
    is 'Ctrl-C while streaming: the last line is whole' "$(tail -c 1 "$scratch/out" | od -An -c | tr -d ' ')" '\n'
    interrupted 'Ctrl-C and --json' "$scratch/nothing" generate -m "$scratch/tiny" --tokens 1 --ctx 100000 --json
    holds 'Ctrl-C and --json: what was there is kept' "$(cat "$scratch/out")" '"finish_reason": "cancelled"'
    # Long enough that no machine is done in time.
    awk 'BEGIN {for (i = 0; i < 100000; i++) print i % 512}' >"$scratch/long"
    interrupted 'Ctrl-C in a long prompt' "$scratch/nothing" generate -m "$scratch/tiny" --tokens "@$scratch/long" --ctx 100000
    interrupted 'Ctrl-C in logits' "$scratch/nothing" logits -m "$scratch/tiny" --tokens "@$scratch/long" -o "$scratch/long.npy"
    is 'Ctrl-C in logits: no file is left' "$(cd "$scratch" && echo long.npy*)" 'long.npy*'
}

# field FILE NAME - the numbers of an array in a golden case's expected.json, or a number
field() { tr -d ' \n' <"$1" | sed -n "s/.*\"$2\":\[\{0,1\}\([-0-9.,e]*\).*/\1/p" | sed 's/,$//'; }

find_compare() {
    compare=$(dirname "$pippin")/tests/npy_compare
    [ -x "$compare" ] && return 0
    compare=$scratch/npy_compare
    "${CC:-cc}" -std=c11 -O1 -o "$compare" "$root/tests/npy_compare.c" -lm 2>"$scratch/err"
}

# golden NAME CASE BOUND ARGUMENTS... - logits of a case against its own
golden() {
    local name=$1 case=$2 bound=$3 nll wanted
    shift 3
    run logits --tokens "$(field "$shared/golden/$case/expected.json" tokens)" "$@" -o "$scratch/got.npy" --json
    is "golden $name: exit code" $code 0
    if said=$("$compare" "$scratch/got.npy" "$shared/golden/$case/logits.npy" "$bound" 2>&1); then
        pass
    else
        fail "golden $name" "$said"
    fi
    wanted=$(field "$shared/golden/$case/expected.json" mean_nll)
    [ -n "$wanted" ] || return 0
    nll=$(sed -n 's/.*"mean_nll": \([-0-9.e]*\).*/\1/p' <<<"$out")
    if awk -v a="$nll" -v b="$wanted" -v bound="$bound" 'BEGIN {d = a - b; exit !(a != "" && (d < 0 ? -d : d) <= 20 * bound)}'; then
        pass
    else
        fail "golden $name" "mean_nll is $nll, expected $wanted"
    fi
}

# greedy NAME CASE ARGUMENTS...
greedy() {
    local file=$shared/golden/$2/expected.json name=$1 wanted
    shift 2
    wanted=$(field "$file" greedy | tr ',' ' ')
    run generate --tokens "$(field "$file" tokens)" -n "$(wc -w <<<"$wanted")" "$@"
    is "greedy $name" "$out" "$wanted"
}

test_golden() {
    local g=$shared/golden case path
    if [ ! -d "$g/base" ]; then
        skip 'golden cases: no shared folder'
        return
    fi
    if ! find_compare; then
        skip 'golden cases: no compiler for npy_compare.c'
        return
    fi
    for case in base draft base-kv8; do
        bound=5e-5
        [ $case != base-kv8 ] || bound=5e-3
        for path in "$g/$case" "$g/$case/model.safetensors" "$g/$case/toolkit.pt"; do
            golden "$path" $case $bound -m "$path"
        done
        golden "$case by reference" $case $bound -m "$g/$case" --reference
        greedy $case $case -m "$g/$case"
        greedy "$case toolkit" $case -m "$g/$case/toolkit.pt"
    done
    for path in "$g/base-packed" "$g/base-packed/toolkit.pt"; do
        golden "$path" base-packed 5e-5 -m "$path" --segments 2
        golden "$path, positions reset" base-packed 5e-5 -m "$path" --segments=2 --positions reset
        golden "$path, reference" base-packed 5e-5 -m "$path" --segments 2 --reference
    done
    golden base-packed-continue base-packed-continue 5e-5 -m "$g/base-packed-continue" --segments 2 --positions continue
    for case in hf-llama3 hf-qwen2 hf-qwen3; do
        golden $case $case 5e-5 -m "$g/$case"
        greedy $case $case -m "$g/$case"
    done
    test_adapters "$g"
    test_paths "$g"
}

test_adapters() {
    local g=$1 plain=$scratch/plain.npy
    golden 'adapter .safetensors' base-lora 5e-5 -m "$g/base-lora" -a "$g/base-lora/adapter.safetensors"
    golden 'adapter .pt' base-lora 5e-5 -m "$g/base-lora" --adapter "$g/base-lora/adapter.pt"
    golden 'adapter inside' base-lora 5e-5 -m "$g/base-lora/toolkit.pt"
    golden 'adapter replaced' base-lora 5e-5 -m "$g/base-lora/toolkit.pt" -a "$g/base-lora/adapter.safetensors"
    golden 'adapter by reference' base-lora 5e-5 -m "$g/base-lora/toolkit.pt" --reference
    golden 'adapter in halves' base-lora 5e-5 -m "$g/base-lora" -a "$g/base-lora/adapter.safetensors=0.25" \
        "-a$g/base-lora/adapter.safetensors=.75"
    golden 'alpha from the file' base-lora-alpha 5e-5 -m "$g/base-lora-alpha" -a "$g/base-lora-alpha/adapter.safetensors"
    greedy 'adapter inside' base-lora -m "$g/base-lora/toolkit.pt"
    cp "$g/base-lora/adapter.safetensors" "$scratch/rank=4,a=b.safetensors"
    golden 'adapter with = in its name' base-lora 5e-5 -m "$g/base-lora" -a "$scratch/rank=4,a=b.safetensors=1"
    golden 'adapter with = in its name, no scale' base-lora 5e-5 -m "$g/base-lora" -a "$scratch/rank=4,a=b.safetensors"
    run logits -m "$g/base-lora" --tokens 5,6,7 -o "$plain"
    for arguments in "-m $g/base-lora/toolkit.pt -a none" "-m $g/base-lora -a $g/base-lora/adapter.safetensors=0"; do
        # shellcheck disable=SC2086
        run logits $arguments --tokens 5,6,7 -o "$scratch/got.npy"
        if cmp -s "$scratch/got.npy" "$plain"; then pass; else fail "$arguments" 'not the same as without an adapter'; fi
    done
    run logits -m "$g/base-lora/toolkit.pt" --tokens 5,6,7 -o "$scratch/got.npy"
    if cmp -s "$scratch/got.npy" "$plain"; then fail 'adapter inside' 'has no effect'; else pass; fi
}

# Threads, instruction sets, padding: the same numbers.
test_paths() {
    local g=$1 tokens
    tokens=$(field "$g/base/expected.json" tokens)
    run logits -m "$g/base" --tokens "$tokens" -t 1 -o "$scratch/one.npy"
    run logits -m "$g/base" --tokens "$tokens" -t 3 -o "$scratch/three.npy"
    if cmp -s "$scratch/one.npy" "$scratch/three.npy"; then pass; else fail 'threads' '1 and 3 threads differ'; fi
    golden 'scalar' base 5e-5 -m "$g/base" --cpu scalar
    run logits -m "$g/base" --tokens "0,0,$tokens" --padding --json -o "$scratch/padded.npy"
    is 'padding: exit code' $code 0
    # Two rows of padding before, and what follows is as without it: the file's header is 128 bytes, a row 2048.
    if cmp -s <(tail -c +129 "$scratch/one.npy") <(tail -c +$((129 + 2 * 2048)) "$scratch/padded.npy"); then
        pass
    else
        "$compare" "$scratch/one.npy" "$scratch/padded.npy" 0 || true
        fail padding 'left padding changes what follows it'
    fi
    usage 'padding in another family' '--padding' logits -m "$g/hf-llama3" --tokens 1,2 --padding -o "$scratch/got.npy"
}

# published NAME ARGUMENTS... - the three published texts by a model that these arguments name
published() {
    local s=$shared/data/stories260K n prompt wanted positions i=0 name=$1 model
    shift
    model=("$@")
    while IFS= read -r line; do
        case $line in
        *'"prompt":'*) prompt=${line#*: \"} prompt=${prompt%\",} ;;
        *'"max_pos":'*) positions=$(tr -cd 0-9 <<<"$line") ;;
        *'"text":'*)
            i=$((i + 1))
            wanted=$(printf '%b' "$(sed 's/.*"text": "\(.*\)",*$/\1/; s/\\"/"/g' <<<"$line")")
            n=$("$pippin" generate "${model[@]}" -p "$prompt" --count-tokens)
            # A position yields a token: those of the prompt but BOS are given, the others are generated.
            run generate "${model[@]}" -p "$prompt" -n $((positions - n + 1)) --echo
            is "stories: $name, text $i" "$out" "$wanted"
            printf '%s' "$prompt" >"$scratch/prompt"
            run generate "${model[@]}" -f "$scratch/prompt" -n $((positions - n + 1))
            is "stories: $name, text $i, from a file, without --echo" "$prompt$out" "$wanted"
            out=$("$pippin" generate "${model[@]}" -n $((positions - n + 1)) --raw <"$scratch/prompt")
            is "stories: $name, text $i, from stdin" "$prompt$out" "$wanted"
            ;;
        esac
    done <"$s/expected_text.json"
    is "stories: $name, texts" $i 3
}

test_stories() {
    local s=$shared/data/stories260K model
    if [ ! -e "$s/stories260K.bin" ]; then
        skip 'stories260K: no shared folder'
        return
    fi
    model=(-m "$s/stories260K.bin" --tokenizer "$s/tok512.bin")
    published '.bin' "${model[@]}"
    run convert "$s/stories260K.bin" --tokenizer "$s/tok512.bin" -o "$scratch/stories.gguf"
    is 'stories: converted' $code 0
    published '.gguf' -m "$scratch/stories.gguf"
    json 'stories: an ending' generate "${model[@]}" -p 'Once upon a time'
    holds 'stories: an ending' "$out" '"finish_reason": "stop"'
    json 'stories: inspect' inspect "$s/stories260K.bin"
    holds 'stories: inspect' "$out" '"total": 260032'
    failure 'a tokenizer of another size' 'pieces' generate -m "$shared/golden/hf-llama3" --tokenizer "$s/tok512.bin" -p x
    test_tokenize "$s"
}

test_tokenize() {
    local s=$1 ids text
    text=$'Once upon a time, h\xc3\xa9llo "x"\n\tend\n'
    for source in "-m $s/tok512.bin" "--tokenizer $s/tok512.bin" "-m $s/stories260K.bin --tokenizer $s/tok512.bin"; do
        # shellcheck disable=SC2086
        ids=$(printf '%s' "$text" | "$pippin" tokenize $source --ids)
        # shellcheck disable=SC2086
        is "tokenize $source: there and back" "$(echo "$ids" | "$pippin" tokenize $source --decode && echo .)" "$text."
    done
    is 'tokenize: ids' "$(printf 'Once upon a time' | "$pippin" tokenize -m "$s/tok512.bin" --ids)" '403 407 261 378'
    is 'tokenize: --bos' "$(printf 'Once' | "$pippin" tokenize -m "$s/tok512.bin" --ids --bos)" '1 403'
    is 'tokenize: nothing' "$(printf '' | "$pippin" tokenize -m "$s/tok512.bin" --ids)" ''
    is 'tokenize: pieces' "$(printf 'Once' | "$pippin" tokenize -m "$s/tok512.bin" | tr -s ' ')" ' 403 " Once"'
    is 'tokenize: --json' "$(printf 'Once' | "$pippin" tokenize -m "$s/tok512.bin" --json)" '{"ids": [403], "pieces": [" Once"]}'
    if printf '\377\n\001' | "$pippin" tokenize -m "$s/tok512.bin" --json | is_json; then pass; else fail 'tokenize' 'stray bytes break the JSON'; fi
    is 'decode: --json' "$(echo 403,407 | "$pippin" tokenize -m "$s/tok512.bin" --decode --json)" '{"text": "Once upon"}'
    test_tokenizers
    failure 'tokenize: neither' 'neither a model nor a tokenizer' tokenize -m "$s/README.md"
    failure 'tokenize: a model without' '--tokenizer' tokenize -m "$s/stories260K.bin"
    usage 'decode and bos' '--bos' tokenize -m x --decode --bos
}

# Every kind of file, told by content; special pieces only when asked.
test_tokenizers() {
    local corpus=${BASH_SOURCE[0]%/*}/../fuzz/corpus
    is 'tokenize: tokenizer.json' "$(printf ' ab<|end|>' | "$pippin" tokenize -m "$corpus/tokenizer_json/bytes.json" --ids --special)" '256 98 262'
    is 'tokenize: content' "$(printf 'a<|x' | "$pippin" tokenize -m "$corpus/tokenizer_json/bytes.json" --ids)" '97 60 124 120'
    is 'tokenize: SentencePiece' "$(printf 'ab a' | "$pippin" tokenize -m "$corpus/sentencepiece/bpe.model" --ids --bos)" '1 260 259'
    is 'tokenize: GGUF' "$(printf 'a' | "$pippin" tokenize -m "$corpus/gguf/pieces.gguf" --ids)" '259'
}

for part in help usage ledger plan init check bench generate streams interrupt golden stories; do "test_$part"; done
finish
