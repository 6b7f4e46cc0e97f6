#!/bin/bash
# accept.sh BUILD [SHARED] - the claims, each with the command that shows it. Every figure comes from running the command
# here and now. Exit 1 when a line does not hold; a line that needs files which this machine lacks is SKIPPED.
set -u
build=$(cd "${1:?build folder}" && pwd)
SHARED=$(cd "${2:-/nonexistent}" 2>/dev/null && pwd || echo "${2:-shared}")
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export SHARED scratch
export PATH="$build:$build/tests:$PATH"
n_ok=0 n_bad=0 n_skipped=0

# ---- how a figure is taken from what a command printed ----
# json PATH - the number or text at PATH (a.b.c) of the JSON object on stdin
json() {
    local text key
    text=$(tr -d '\n')
    IFS=. read -ra keys <<<"$1"
    for key in "${keys[@]}"; do text=${text#*\""$key"\":}; done
    sed -E 's/^ *"?([^],"}]*).*/\1/' <<<"$text"
}
# ratio KEY KEY - of two numbers of such objects
ratio() {
    local text
    text=$(cat)
    awk -v a="$(json "$1" <<<"$text")" -v b="$(json "$2" <<<"$text")" 'BEGIN { print a / b }'
}
# number PATTERN [N] - the N-th number (1) of the first line that matches PATTERN, without thousands separators
number() { grep -m1 -E -- "$1" | grep -oE -- '-?[0-9][0-9,]*(\.[0-9]+)?(e[-+]?[0-9]+)?' | tr -d , | sed -n "${2:-1}p"; }
# count PATTERN - how many lines match
count() { grep -cE -- "$1"; }
# passed - "N" cases passed of a test program, or what it said last when one failed
passed() {
    local text
    text=$(cat)
    if grep -qE '^\[  FAILED  \]' <<<"$text"; then echo failed; else grep -cE '^\[       OK \]' <<<"$text"; fi
}

# ---- the table ----
# line CLAIM COMMAND FIGURE COMPARISON BOUND
#   COMMAND     run by bash in the repository; pippin and the programs in build/tests are in the path; a line whose command
#               names $SHARED, or is a golden case, is skipped where that folder is absent, one that names $MINI_DATA where
#               that is not set to the folder that recipes/mini_data.py made; one that says "# VNNI" where the
#               CPU has no such instructions
#   FIGURE      reads the command's output (stdout and stderr), prints the figure: json KEY, number PATTERN, passed, ...
#   COMPARISON  ==, <=, <, >=, >, or "is" for texts
line() {
    local claim=$1 command=$2 figure=$3 comparison=$4 bound=$5 got status=0 verdict
    local program=${command%% *}
    if [[ $command == *'$SHARED'* || $command == tests/golden.sh* || $command == tests/train_claim.sh* ]] && [ ! -d "$SHARED" ]; then
        verdict=SKIPPED got='needs data'
    elif [[ $command == *'$MINI_DATA'* ]] && [ ! -d "${MINI_DATA:-}" ]; then
        verdict=SKIPPED got='needs MINI_DATA'
    elif [[ $command == *'# VNNI' ]] && ! grep -qw avx512_vnni /proc/cpuinfo; then
        verdict=SKIPPED got='needs VNNI'
    elif ! command -v "$program" >/dev/null; then
        verdict=NO got="no $program"
    else
        bash -c "$command" >"$scratch/said" 2>&1 || status=$?
        got=$(eval "$figure" <"$scratch/said")
        if [ $status != 0 ]; then
            verdict=NO got="exit $status: $(tail -n 1 "$scratch/said" | cut -c 1-60)"
        elif [ -z "$got" ]; then
            verdict=NO got='no figure'
        elif holds "$got" "$comparison" "$bound"; then
            verdict=ok
        else
            verdict=NO
        fi
    fi
    case $verdict in ok) n_ok=$((n_ok + 1)) ;; NO) n_bad=$((n_bad + 1)) ;; *) n_skipped=$((n_skipped + 1)) ;; esac
    printf '%-42s | %-66s | %16s | %-18s | %s\n' "$claim" "$command" "$got" "$comparison $bound" "$verdict"
}
holds() {
    if [ "$2" = is ]; then [ "$1" = "$3" ]; return; fi
    awk -v a="$1" -v b="$3" -v how="$2" 'BEGIN {
        if (a !~ /^-?[0-9.]/) exit 1
        a += 0; b += 0
        exit !(how == "==" ? a == b : how == "<=" ? a <= b : how == "<" ? a < b : how == ">=" ? a >= b : a > b) }'
}
section() { printf '\n%s\n' "$1"; }

printf '%-42s | %-66s | %16s | %-18s | %s\n' claim command figure bound ok

section 'parameters'
for preset in afm-base:3178001792:3111368064:66633728 afm-draft:48765952:48765952:0; do
    IFS=: read -r name total frozen trainable <<<"$preset"
    line "$name, all parameters" "pippin inspect --preset $name --json" 'json parameters.total' == "$total"
    line "$name, frozen" "pippin inspect --preset $name --json" 'json parameters.frozen' == "$frozen"
    line "$name, LoRA" "pippin inspect --preset $name --json" 'json parameters.trainable' == "$trainable"
done
line 'llama-3.2-3b, all parameters' 'pippin inspect --preset llama-3.2-3b --json' 'json parameters.total' == 3212749824
line 'qwen2.5-3b, all parameters' 'pippin inspect --preset qwen2.5-3b --json' 'json parameters.total' == 3085938688
line 'afm-base, attention' 'pippin inspect --preset afm-base --json' 'json parameters.attention' == 526429568
line 'afm-base, feed-forward' 'pippin inspect --preset afm-base --json' 'json parameters.feed_forward' == 2336997376
line 'afm-base, norms' 'pippin inspect --preset afm-base --json' 'json parameters.norm' == 243072
line 'afm-base, LoRA modules' 'pippin inspect --preset afm-base --json' 'json lora.modules' == 350
line 'afm-base, LoRA tensors' 'pippin inspect --preset afm-base --json' 'json lora.tensors' == 700

line 'afm-base, LoRA of a full layer' 'pippin inspect --preset afm-base' 'number "a full layer" 3' == 1245184
line 'afm-base, LoRA of a reuse layer' 'pippin inspect --preset afm-base' 'number "a reuse layer" 3' == 1097728
line 'afm-draft, a layer' 'pippin inspect --preset afm-draft --json' 'grep -oE "\"count\": 12, \"parameters\": [0-9]+" | number parameters 2' == 787008

section 'memory, before anything is loaded'
# The bytes stand before their short form, "146.8 MB".
plan_row() { line "$1" "pippin plan --preset $2 --all --ctx 4096" "grep -E '^  $3 +$4 ' | awk '{ print \$(NF - 2) }' | tr -d ," == "$5"; }
plan_row 'afm-base, linear layers at 2 bits' afm-base 'linear layers' q2 699138048
plan_row 'afm-base, with the embedding at 4 bits' afm-base 'linear layers and embedding' q2 856424448
plan_row 'afm-base, every parameter in f32' afm-base "every parameter at this type, the adapter.s too" f32 12712007168
plan_row 'afm-base, every parameter in f16' afm-base "every parameter at this type, the adapter.s too" f16 6356003584
plan_row 'afm-base, K/V cache of 8192 tokens' afm-base 'K.V cache, 8,192 tokens' int8 146800640
plan_row 'afm-base, if no layer reused K/V' afm-base 'K.V cache, a token, if all 56 layers had their own' int8 28672
plan_row 'afm-base, adapter in f16' afm-base adapter f16 133267456
plan_row 'afm-draft, every parameter in f32' afm-draft 'every parameter at this type' f32 195063808
plan_row 'afm-draft at 4 bits' afm-draft 'linear layers and embedding' q4 24379392
line 'afm-base, K/V bytes a token' 'pippin inspect --preset afm-base --json' 'json memory.kv_bytes_per_token' == 17920
line 'afm-base, K/V cache of 4096 tokens' 'pippin plan --preset afm-base --ctx 4096 --json' 'json kv' == 73400320

section 'one pass through the presets with random weights'
for preset in 'afm-draft --type f32' 'afm-base --type bf16'; do
    line "$preset, output" "pippin check --preset $preset --json" "grep -oE -m1 '\[1, 64, [0-9]+\], \"finite\": true'" is '[1, 64, 153600], "finite": true'
done

section 'two bits: afm-base with random weights, everything measured in one run of bench'
base=$scratch/base.gguf
# bench TEST FIELD - of the run that lies in bench.json
bench() { sed 's/}, {/}\n{/g' "$scratch/bench.json" | grep -m1 "\"test\": \"$1" | grep -oE "\"$2\": *[0-9.e+-]+" | grep -oE '[0-9.e+-]+$'; }
line 'the file, bytes' 'bash -c "pippin init --preset afm-base --type q2 -o $scratch/base.gguf >$scratch/init && wc -c <$scratch/base.gguf"' 'number .' '<=' 930000000
line 'from start to a token, ms' 'bash tests/median_ms.sh pippin generate -m $scratch/base.gguf --tokens 9,8,7,6,5,4 -n 1' 'number ms' '<=' 500
line '4,096 tokens in the cache, peak bytes' 'bash -c "pippin generate -m $scratch/base.gguf --tokens @<(seq 1000 5079) -n 16 --json"' 'json peak_rss_bytes' '<=' 1050000000
pippin bench -m "$base" --json >"$scratch/bench.json" 2>"$scratch/said" || cat "$scratch/said"
# What is promised holds for CPUs with VNNI; others have half of the multiplications to offer, and must not fall behind what was seen.
at_least=(0.70 0.45)
if grep -qw avx512_vnni /proc/cpuinfo; then
    at_least=(0.90 0.70)
    json bandwidth_gb_s <"$scratch/bench.json" | awk '{ exit !($1 >= 60) }' && at_least[0]=0.82
fi
line 'decode, of plain reads' 'cat $scratch/bench.json' 'bench tg bandwidth_share' '>=' "${at_least[0]}"
line 'a prompt of 512, of an int8 loop' 'cat $scratch/bench.json' 'bench pp peak_share' '>=' "${at_least[1]}"
line '4 tokens verified, times one' 'cat $scratch/bench.json # VNNI' 'bench verify4 time_ratio' '<=' 1.35
line '8 tokens verified, times one' 'cat $scratch/bench.json # VNNI' 'bench verify8 time_ratio' '<=' 2.3
line 'the same logits, however they are computed' 'same_logits $scratch/base.gguf 200' 'grep -oE "[0-9]+ with other bits" | number .' == 0
line 'integers: scalar = this CPU, rounds' 'bash -c "PIPPIN_TEST_ROUNDS=8000 PIPPIN_TEST_ONLY=\"avx*/matmul_q*\" kernels_test"' passed '>=' 13
printf '{"tokens":[%s]}\n' "$(seq -s, 1000 3047)" >"$scratch/text.jsonl"
line 'LoRA, a step of 2,048 tokens, peak bytes' 'pippin adapter train -m $scratch/base.gguf --data $scratch/text.jsonl --max-steps 1 --activation-checkpointing -o $scratch/step --json' 'json peak_rss_bytes' '<=' 4000000000
line 'the same, tokens a second' 'cat $scratch/step/metrics.jsonl # VNNI' 'json tokens_per_second' '>=' 20

section 'speculation and batches on these shapes; random weights never guess right, so how many are right is simulated'
draft=$scratch/draft.gguf
pippin init --preset afm-draft --type q4 -o "$draft" >"$scratch/init"
guesses() { pippin bench -m "$base" -d "$draft" --json "$@" >"$scratch/bench.json" 2>"$scratch/said" || cat "$scratch/said"; }
guesses --acceptance 0.7 -n 128 -r 6 --draft-tokens 3
line '7 of 10 guesses right, times plain' 'cat $scratch/bench.json # VNNI' 'bench spec\" against_plain' '>=' 1.75
line 'outside of both models, ms a pass' 'cat $scratch/bench.json' 'bench spec3 outside_ms' '<=' 0.7
guesses --acceptance 0 -n 256 -r 5 --draft-tokens 1
line 'no guess right, times plain' 'cat $scratch/bench.json' 'bench spec\" against_plain' '>=' 0.97
pippin bench -m "$base" -n 32 -p 1 --verify 1 --batch 8 --json >"$scratch/bench.json" 2>"$scratch/said" || cat "$scratch/said"
line '8 texts, a token each, times one' 'cat $scratch/bench.json # VNNI' 'bench batch8 time_ratio' '<=' 2.66
head -c 800 README.md >"$scratch/some.txt"
pippin adapter train -m "$base" --tokenizer models/mini.gguf --data "$scratch/some.txt" --max-steps 1 --max-sequence-length 32 --activation-checkpointing --save-type f16 -o "$scratch/some" 2>"$scratch/said" || cat "$scratch/said"
line 'with draft and adapter at 4,096, peak bytes' 'bash -c "pippin generate -m $scratch/base.gguf -d $scratch/draft.gguf -a $scratch/some/adapter.safetensors --tokens @<(seq 1000 5079) -n 16 --draft-tokens 3 --json"' 'json peak_rss_bytes' '<=' 1200000000
rm -rf "$base" "$draft" "$scratch/some"

section 'a clone'
line 'make demo again, seconds' 'bash -c "SECONDS=0; make demo >/dev/null; echo seconds \$SECONDS"' 'number seconds' '<' 60

section 'laws, kernels, damage: cases that passed'
line 'threads, chunks, bypass, reuse, packing' laws_test passed '>=' 12
line 'every kernel = scalar, at every level' kernels_test passed '>=' 40
line '500 damaged copies of each kind of file' damage_test passed '>=' 12
line 'every allocation failed once' faults_test passed '>=' 5
line 'readers refuse what lies, read what is real' formats_test passed '>=' 11
line 'a draw has the law of its filters' sampler_test passed '>=' 5
line 'speculation: the law of a step, within 1e-12' accept_test passed '>=' 4
line 'guesses change no greedy text' speculation_test passed '>=' 11
line 'guesses pay, or are left' guess_test passed '>=' 8
line 'Spec-Bench, a sample, the pair: the plain answers' 'questions $SHARED 40 models/mini.gguf models/mini-draft.gguf' 'count "times as fast"' == 27
line 'Spec-Bench, a sample: the plain answers' 'questions $SHARED 40' 'count "times as fast"' == 36
line 'ids of real vocabularies' tokenizer_test passed '>=' 4
line 'every command, errors, published texts' 'bash tests/cli_test.sh "$(command -v pippin)" $SHARED "$(command -v npy_compare)"' 'grep -oE "[0-9]+ failed" | number failed' == 0
line 'golden, published logits, GGUF types' 'golden_test # $SHARED' passed '>=' 21

section "golden cases: largest difference over the row's largest logit"
# golden NAME BOUND [OPTIONS]
golden() { line "$1" "tests/golden.sh $*" 'number "at row"' '<=' "$2"; }
golden base 5e-5
golden base 2e-5 --reference
golden base 5e-5 alone:toolkit.pt
golden base-kv8 5e-3
golden base-kv8 5e-3 alone:toolkit.pt
golden base-lora 5e-5 -a ADAPTER.safetensors
golden base-lora 5e-5 -a ADAPTER.pt
golden base-lora 5e-5 alone:toolkit.pt
golden base-lora 2e-5 alone:toolkit.pt --reference
golden base-lora-alpha 5e-5 -a ADAPTER.safetensors
golden base-packed 5e-5 --segments 2
golden base-packed 2e-5 --segments 2 --reference
golden base-packed-continue 5e-5 --segments 2 --positions continue
golden draft 5e-5
golden draft 2e-5 --reference
golden draft 5e-5 alone:toolkit.pt
golden hf-llama3 5e-5
golden hf-qwen2 5e-5
golden hf-qwen3 5e-5

section 'the same after convert to GGUF, and with the adapter merged'
golden base 5e-5 gguf
golden base-kv8 5e-3 gguf
golden base-lora 5e-5 merged:adapter.pt
golden base-lora-alpha 5e-5 merged:adapter.safetensors
golden draft 5e-5 gguf
golden hf-llama3 5e-5 gguf
golden hf-qwen2 5e-5 gguf
golden hf-qwen3 5e-5 gguf

section 'files, tokenizers, conversations'
line 'tokenizers inside GGUF: the same ids' gguf_tokenizer_test passed '>=' 12
line 'conversations by the command' 'bash tests/chat_test.sh "$(command -v pippin)" $SHARED' 'grep -oE "[0-9]+ failed" | number failed' == 0
line 'low-bit weights: rows, files, models' low_test passed '>=' 3
line 'what goes back through low-bit weights' low_gradient_test passed '>=' 2
line 'rounding for a text: moments, levels, files' calibrate_test passed '>=' 11
line 'quantize: messages, files, what a text brings' 'bash tests/quantize_test.sh "$(command -v pippin)" $SHARED' 'grep -oE "[0-9]+ failed" | number failed' == 0
line 'chat templates, content that spells pieces' template_test passed '>=' 8
line 'stories: losses, conversion, KL divergence' 'bash tests/eval_test.sh "$(command -v pippin)" $SHARED' 'grep -oE "[0-9]+ failed" | number failed' == 0
line 'KL divergence of a model from itself' 'pippin eval -m $SHARED/data/tinystories-656k --against $SHARED/data/tinystories-656k -f $SHARED/data/tinystories-text/README.md --json' 'json against.kl' == 0
line 'a small model from start to a token, ms' 'bash tests/median_ms.sh pippin generate -m $SHARED/data/tinystories-656k -p Once -n 1' 'number ms' '<' 50
line 'pages of man and completion' 'bash tests/completion_test.sh "$(command -v pippin)"' 'grep -oE "[0-9]+ failed" | number failed' == 0

section 'training: the arithmetic, and runs of an independent program'
line 'gradients, largest error of any tensor' gradients_test 'sed -n "s/.*largest error \([0-9.e+-]*\),.*/\1/p" | sort -g | tail -n 1' '<=' 1e-7
# trained CASE WEIGHTS_BOUND
trained() {
    line "$1: losses, relative" "tests/train_claim.sh $1" 'number losses' '<=' 1e-5
    line "$1: gradient norms, relative" "tests/train_claim.sh $1" 'number norms' '<=' 1e-4
    line "$1: weights, of their way" "tests/train_claim.sh $1" 'number weights' '<=' "$2"
}
trained lora 1e-3
trained full 1e-3
trained distill 2e-3
line 'results with 1, 2 and 3 threads' 'tests/train_claim.sh threads' 'number results' == 1
line 'stopped anywhere, resumed: the same bits' train_run_test passed '>=' 7
line 'on other types: the bits of the f32 copy' 'train_golden_test # $SHARED' passed '>=' 5
line 'a text by heart, nats a token' 'tests/train_claim.sh heart' 'grep -oE "loss [0-9.]+" | number loss' '<=' 0.05

section 'a trained model of others'
# both CLAIM COMMAND FIGURE ... - a line by stories260K.bin with its tokenizer file, one after conversion by the GGUF alone; M
# stands for the model
stories='$SHARED/data/stories260K/stories260K.bin --tokenizer $SHARED/data/stories260K/tok512.bin'
if [ -d "$SHARED" ]; then eval "pippin convert $stories -o $scratch/stories.gguf" >/dev/null; fi
both() {
    line "$1" "${2//M/$stories}" "${@:3}"
    line "$1, GGUF" "${2//M/\$scratch/stories.gguf} # \$SHARED" "${@:3}"
}
both 'published texts' 'bash tests/published.sh -m M' 'number "texts equal"' == 3
both 'nats a token, 100 stories (1.607438)' 'pippin eval -m M --text $SHARED/data/tinystories-text/stories.txt --separator "<|endoftext|>"' 'number nll 2 | awk "{printf \"%.1e\", (\$1 > 1.607438 ? \$1 - 1.607438 : 1.607438 - \$1) / 1.607438}"' '<=' 1e-4
line 'published logits: as given and converted' 'golden_test # $SHARED' 'count "positions within 1e-3"' == 8
line 'GGUF block types: files within 5e-5' 'golden_test # $SHARED' 'count "^gguf-types .* fast"' == 12
line 'a prompt longer than the context' 'bash -c "! pippin generate -m \$scratch/stories.gguf --tokens 1,2,3,4,5,6,7,8,9 --ctx 4" # $SHARED' 'grep -oE "9 tokens, the context holds 4"' is '9 tokens, the context holds 4'
for temperature in 0 0.8; do
    line "1 thread = 2 threads, temperature $temperature" "bash -c \"cmp <(pippin generate -m \\\$scratch/stories.gguf -p Once -n 60 --temp $temperature --seed 5 -t 1) <(pippin generate -m \\\$scratch/stories.gguf -p Once -n 60 --temp $temperature --seed 5 -t 2) && echo same\" # \$SHARED" cat is same
done

line 'a draft that computes a part of its head: the same text' 'bash -c "cmp <(pippin generate -m \$scratch/stories.gguf -p Once -n 200) <(pippin generate -m \$scratch/stories.gguf -d \$scratch/stories.gguf --draft-vocab 64 --draft-tokens 4 -p Once -n 200) && echo same" # $SHARED' cat is same

section 'what comes with the program'
line 'mini corrects' 'pippin generate -a proofread --system "Correct the errors." -p "It is a libary for acessing files on a remote machien."' cat is 'It is a library for accessing files on a remote machine.'
line 'one process from start to end, MB' 'pippin generate -a proofread --system "Correct the errors." -p "Teh end." --json' 'json peak_rss_bytes | awk "{ print \$1 / 1e6 }"' '<=' 25
line 'its parameters' 'pippin inspect mini --json' 'json parameters.frozen' == 4316768
line 'held-out text, bits a byte (5-gram, same tokens: 1.559)' "pippin eval --text \$MINI_DATA/text/test.txt --separator \$'\\n\\n' --json" 'json bits_per_byte' '<' 1.559
proofread='pippin eval -a proofread --task $MINI_DATA/proofread/test.jsonl --guard --errors $MINI_DATA/proofread/test.errors.jsonl --json'
line 'proofread: corrected, one answer' "$proofread >\$scratch/proofread; cat \$scratch/proofread" 'json scores.corrected' '>=' 0.61
line 'proofread: corrected, 16 votes, the first 600' 'pippin eval -a proofread --task $MINI_DATA/proofread/test.jsonl --limit 600 --guard --votes 16 --share 0.125 --temp 0.8 --json >$scratch/votes; cat $scratch/votes # $MINI_DATA' 'json scores.corrected' '>=' 0.65
line 'and damaged' 'cat $scratch/votes # $MINI_DATA' 'json scores.damaged' '<' 0.01
line 'proofread: clean words damaged' 'cat $scratch/proofread # $MINI_DATA' 'json scores.damaged' '<' 0.01
line 'summarize: ROUGE-L (first ten words: 0.246)' 'pippin eval -a summarize --ctx 768 --task $MINI_DATA/summarize/test.jsonl --metric rouge-l --json' 'json scores.rouge_l' '>=' 0.276
line 'the same, 16 votes, the first 300 (one answer: 0.302)' 'pippin eval -a summarize --ctx 768 --task $MINI_DATA/summarize/test.jsonl --limit 300 --metric rouge-l --votes 16 --temp 0.5 --json' 'json scores.rouge_l' '>=' 0.32
line 'tag: micro-F1 of the first 500 (of all: 0.597)' 'pippin eval -a tag --ctx 768 --task $MINI_DATA/tag/test.jsonl --limit 500 --choices $MINI_DATA/tag/tags.txt --votes 20 --json' 'json scores.micro_f1' '>=' 0.45

drafted='--metric exact --limit 200 --draft-tokens 4 -d mini-draft --json'
# drafted JOB AGREEMENT RIGHT - mini-draft on 200 held-out rows: how often it finds likeliest what mini says, and of four guesses right
drafted() {
    line "$1: mini-draft and mini agree" "pippin eval -a $1 --ctx 768 --task \$MINI_DATA/$1/test.jsonl $drafted --against mini-draft >\$scratch/drafted; cat \$scratch/drafted" 'json against.top1_agreement' '>=' "$2"
    line "$1: of four guesses right" 'cat $scratch/drafted # $MINI_DATA' 'ratio draft_n_accepted draft_n' '>=' "$3"
}
drafted summarize 0.65 0.25
drafted tag 0.84 0.5
drafted proofread 0.80 0.4
line 'proofread: of four right, with lookup' "pippin eval -a proofread --ctx 768 --task \$MINI_DATA/proofread/test.jsonl $drafted --lookup" 'ratio draft_n_accepted draft_n' '>=' 0.6
line 'mini-draft, bytes a token, of mini' 'bash -c "pippin inspect mini-draft --json; echo; pippin inspect mini --json | sed s/weights/whole/"' 'ratio weights whole' '<=' 0.125

printf '\n%d ok, %d not, %d skipped\n' "$n_ok" "$n_bad" "$n_skipped"
[ "$n_bad" = 0 ]
