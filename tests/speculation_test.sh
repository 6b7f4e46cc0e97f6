#!/bin/bash
# speculation_test.sh PIPPIN SHARED - guesses from the command line: the same answers, what is told about them, what does not fit.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

model=$shared/data/tinystories-656k
train_small || exit 1
sed 's/120/121/' "$scratch/tiny.json" >"$scratch/other.json"
"$pippin" init --preset "$scratch/other.json" -o "$scratch/other" >/dev/null 2>&1

# refused NAME PART CODE ARGUMENTS... - one line with PART, and this exit code
refused() {
    local name=$1 part=$2 code=$3 said
    shift 3
    said=$("$pippin" "$@" 2>&1 >/dev/null </dev/null)
    is "$name: exit code" $? "$code"
    holds "$name" "$said" "$part"
}
refused 'a number of guesses' '--draft-tokens: found "9", expected 1 to 8, or auto' 2 generate -m "$scratch/base" --tokens 1 --lookup --draft-tokens 9
refused 'guesses of nobody' 'found without --draft and --lookup' 2 generate -m "$scratch/base" --tokens 1 --draft-tokens 2
refused 'a draft that is not there' 'nothing.gguf: no such file' 1 generate -m "$scratch/base" --tokens 1 -d "$scratch/nothing.gguf"
refused 'a draft of another vocabulary' 'its vocabulary has 121 tokens, expected the 120 of' 1 generate -m "$scratch/base" --tokens 1 -d "$scratch/other"
refused 'acceptance without a draft' '--acceptance: found without --draft' 2 bench -m "$scratch/base" --acceptance 0.5
refused 'numbers without a draft' '--draft-tokens: found without --draft' 2 bench -m "$scratch/base" --draft-tokens 1

refused 'a part of the vocabulary of no draft' '--draft-vocab: found without --draft' 2 generate -m "$scratch/base" --tokens 1 --lookup --draft-vocab 9
refused 'a part of no vocabulary' '--draft-vocab: found "0"' 2 generate -m "$scratch/base" --tokens 1 -d "$scratch/base" --draft-vocab 0

# The same ids whatever guesses; the numbers that scripts read.
generate() { "$pippin" generate -m "$scratch/base" --tokens 1,2,3,4,5,6,1,2,3 -n 40 -t 1 "$@"; }
number() { grep -o "\"$1\": [0-9]*" | grep -o '[0-9]*$'; }
plain=$(generate)
for options in '--lookup' '--lookup --draft-tokens 3' "-d $scratch/base" "-d $scratch/base --draft-tokens 8" \
    "--draft $scratch/base --lookup --draft-tokens 2" "-d $scratch/base --draft-vocab 1 --draft-tokens 8" \
    "-d $scratch/base --draft-vocab 1000"; do
    # shellcheck disable=SC2086
    is "the same: $options" "$(generate $options)" "$plain"
done
json=$(generate -d "$scratch/base" --draft-tokens 4 --json)
drafted=$(number draft_n <<<"$json")
accepted=$(number draft_n_accepted <<<"$json")
if [ "${drafted:-0}" -ge "${accepted:-0}" ] && [ "${accepted:-0}" -gt 0 ]; then pass; else fail 'timings' "$json"; fi
# Of 120 tokens 32 and the text's own: it guesses the same where the answer is among them.
some=$(generate -d "$scratch/base" --draft-tokens 4 --draft-vocab 1 --json | number draft_n_accepted)
if [ "${some:-0}" -gt 0 ] && [ "$some" -le "$accepted" ]; then pass; else fail 'a part of the vocabulary' "$some of $accepted"; fi
is 'no guesses' "$(generate --json | number draft_n)" 0
holds 'the footer' "$(generate -d "$scratch/base" --draft-tokens 4 -v 2>&1 >/dev/null)" "$accepted of $drafted guesses right"
# A seed gives its text again.
sampled=(--temp 1 --seed 3 -d "$scratch/base" --draft-tokens 3)
is 'a seed' "$(generate "${sampled[@]}")" "$(generate "${sampled[@]}" -t 2)"

# What is simulated says so, and comes out as asked: with 1 all guesses are right, with 0 none.
bench() { "$pippin" bench -m "$scratch/base" -d "$scratch/base" -n 60 -p 8 -r 1 -t 1 --draft-tokens 2,5 "$@"; }
holds 'simulated' "$(bench --acceptance 0.5)" 'SIMULATED: each guess is taken for right with probability 0.50'
is 'rows' "$(bench --json | grep -o '"test": "[a-z0-9]*"' | tr '\n' ' ')" '"test": "plain" "test": "spec" "test": "spec2" "test": "spec5" '
holds 'all right' "$(bench --acceptance 1 --json)" '"accepted": 1.0, "simulated": true, "tokens_per_check": 2.9'
is 'none right' "$(bench --acceptance 0 --json | grep -o '"accepted": 0.0, "simulated": true' | wc -l | tr -d ' ')" 4

if [ -d "$model" ]; then
    words='Once upon a time, there was a'
    wanted=$("$pippin" generate -m "$model" -p "$words" -t 1 -n 80)
    is 'words with a draft' "$("$pippin" generate -m "$model" -d "$model" -p "$words" -t 1 -n 80)" "$wanted"
    is 'words looked up' "$("$pippin" generate -m "$model" --lookup -p "$words" -t 1 -n 80)" "$wanted"
    # A sample of the prompts that `make check-long` has answered; every answer as without guesses.
    said=$("$(dirname "$pippin")/tests/questions" "$shared" 40)
    case $? in
    0) pass ;;
    77) echo "$said" ;;
    *) fail 'questions' "$said" ;;
    esac
else
    skip 'tinystories-656k: not on this machine'
fi
finish
