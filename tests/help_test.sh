#!/bin/bash
# help_test.sh PIPPIN [SHARED] - help texts as a newcomer meets them: examples that parse, lines that fit the terminal, names
# that are near suggested for misspelt ones.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch" || exit 1
commands=$("$pippin" help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')

# An example with --help after it is parsed up to there, and runs nothing. What stands around the call is left out.
test_examples() {
    local command example n
    pippin() { "$pippin" "$@"; }
    for command in $commands; do
        n=0
        while IFS= read -r example; do
            n=$((n + 1))
            [ ${#example} -le 100 ] || fail "example" "too long: $example"
            example=$(sed -E 's/^.*(pippin )/\1/; s/(\) | [|>] ?).*//' <<<"$example")
            case $example in "pippin "*) ;; *) fail "example of $command" "no call in: $example" ;; esac
            if (eval "$example --help") >out 2>err </dev/null; then pass; else fail "example of $command" "$example: $(cat err)"; fi
            holds_usage "$example"
        done < <("$pippin" help "$command" | sed -n '/^Examples/,$p' | tail -n +2)
        if [ $n -ge 1 ] && [ $n -le 4 ]; then pass; else fail "examples of $command" "found $n, expected 1 to 4"; fi
    done
}
holds_usage() { if grep -q '^usage: pippin ' out; then pass; else fail "$1" 'does not reach --help'; fi; }

# widest LIMIT NAME - no line of stdin is wider
widest() {
    local n
    n=$(tr -d '\r' | awk '{if (length > n) n = length} END {print n + 0}')
    if [ "$n" -le "$1" ] && [ "$n" -gt $(($1 / 2)) ]; then pass; else fail "$2" "its widest line has $n columns, expected at most $1"; fi
}

test_width() {
    local command
    for command in $commands; do "$pippin" help "$command" 2>/dev/null | widest 100 "help $command"; done
    "$pippin" help 2>/dev/null | widest 100 help
    if ! script --version >/dev/null 2>&1; then
        skip 'width of a terminal: no script(1)'
        return
    fi
    for columns in 60 80 200; do
        script -qec "stty cols $columns; TERM=dumb '$pippin' help plan" /dev/null </dev/null | sed '/^Examples/,$d' |
            widest $((columns < 100 ? columns : 100)) "help in a terminal of $columns columns"
    done
}

# suggests WHAT ARGUMENTS... - exit code 2 and one line with "did you mean WHAT?"; nothing is suggested for WHAT = -
suggests() {
    local wanted=$1 err code
    shift
    err=$("$pippin" "$@" 2>&1 >/dev/null </dev/null)
    code=$?
    [ $code = 2 ] || fail "$*" "exit code $code, expected 2"
    [ "$(wc -l <<<"$err")" -eq 1 ] || fail "$*" "more than one line: $err"
    case $wanted:$err in
    -:*'did you mean'*) fail "$*" "suggests something: $err" ;;
    -:*) pass ;;
    *"did you mean $wanted?"*) pass ;;
    *) fail "$*" "does not suggest $wanted: $err" ;;
    esac
}

test_suggestions() {
    local command option
    suggests '"generate"' genrate
    suggests '"generate"' gen
    suggests '"inspect"' help inpsect
    suggests '"tokenize"' tokenise
    suggests - frobnicate
    suggests - help x
    suggests --temp generate --tmep 1
    suggests --temp generate --temperature 1
    suggests --temp generate -temp 1
    suggests --model generate -model x
    suggests --top-k generate --top_k 1
    suggests --max-tokens generate --max_token 1
    suggests --kv-type plan --kvtype int8
    suggests --output init --out x
    suggests - generate --frobnicate
    suggests - generate -x
    suggests - plan -x
    suggests afm-base inspect --preset afm-bsae
    suggests - inspect --preset gpt-5
    # A slip in any option of any command finds it again, unless another one is as near.
    for command in $commands; do
        for option in $("$pippin" help "$command" | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'); do
            [ ${#option} -ge 8 ] || continue
            suggests "$option" "$command" "${option:0:4}${option:5}"
        done
    done
}

for part in examples width suggestions; do "test_$part"; done
finish
