#!/bin/bash
# completion_test.sh PIPPIN [SHARED] - the manual and the completions hold every command and every option that the help
# texts name, the shells take the scripts, and bash, zsh and fish really complete with them.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
export HOME=$scratch/home XDG_CONFIG_HOME=$scratch/home XDG_DATA_HOME=$scratch/home
mkdir "$HOME" "$scratch/files"
sorted() { tr ' ' '\n' | grep -v '^$' | sort -u; }

# The commands and options as the help texts have them.
commands=$("$pippin" help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')
options_of() { "$pippin" help "$1" | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'; }
flags_of() { "$pippin" help "$1" | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\)\(   .*\|$\)/\2/p'; }
# The values of an enumeration, as the parser says them.
choices_of() { "$pippin" "$1" "$2" '?' 2>&1 | sed -n 's/.*expected one of \([^;]*\);.*/\1/p' | tr '|' ' '; }

test_tables() {
    is 'at least the founding commands' "$(grep -cxE 'generate|tokenize|logits|inspect|plan|check|init|convert|eval|help|completion' <<<"$commands")" 11
    is 'options of plan' "$(options_of plan | grep -cxE -- '--preset|--ctx|--kv-type|--model|--json|--help')" 6
    is 'flags of plan' "$(flags_of plan | tr '\n' ' ')" '--train --all --json --help --version '
    is 'choices of --kv-type' "$(choices_of plan --kv-type)" 'int8 bf16 f32'
}

test_man() {
    local command option page
    "$pippin" help --man >"$scratch/pippin.1"
    is 'man: exit code' $? 0
    # As roff reads it: the escapes of hyphens and the fonts taken away.
    page=$(sed 's/\\-/-/g; s/\\f[BIR]//g; s/\\&//g' "$scratch/pippin.1")
    for command in $commands; do
        holds "man: $command" "$page" "
.SS $command
pippin $command "
        for option in $(options_of "$command"); do
            # Under its own command, or in the common options.
            if awk -v section=".SS $command" '/^\.S[SH] / {on = $0 == section || $0 == ".SH COMMON OPTIONS"} on' <<<"$page" |
                grep -A1 '^\.TP' | grep -qE -- "(^|, )$option( |\$)"; then pass; else fail "man: $command" "no $option"; fi
        done
    done
    for option in 0 1 2 130; do holds 'man: exit codes' "${page#*.SH EXIT STATUS}" "
$option
"; done
    if ! command -v groff >/dev/null; then
        skip 'man: no groff'
        return
    fi
    groff -mandoc -Tutf8 -ww -rLL=100n "$scratch/pippin.1" >"$scratch/out" 2>"$scratch/err"
    is 'groff: exit code' $? 0
    is 'groff: warnings' "$(cat "$scratch/err")" ''
    holds 'groff: an option' "$(sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g' "$scratch/out")" '--repeat-penalty R'
    if man -l "$scratch/pippin.1" 2>/dev/null </dev/null | grep -q '^NAME'; then
        man --warnings -l "$scratch/pippin.1" >"$scratch/out" 2>"$scratch/err" </dev/null
        is 'man: exit code' $? 0
        is 'man: warnings' "$(cat "$scratch/err")" ''
    else
        skip 'man: no man -l here'
    fi
}

# bash_offers WORD... - what bash offers for the last of these words
bash_offers() {
    (cd "$scratch/files" && bash --norc -c '
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _pippin
        [ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"' "$scratch/pippin.bash" pippin "$@" 2>"$scratch/err" | sort -u)
    [ ! -s "$scratch/err" ] || fail "bash: $*" "$(cat "$scratch/err")"
}
offers() { # NAME 'WANTED...' WORD...
    local name=$1 wanted=$2
    shift 2
    is "bash: $name" "$(bash_offers "$@")" "$(sorted <<<"$wanted")"
}

test_bash() {
    local command option choices
    "$pippin" completion bash >"$scratch/pippin.bash"
    is 'bash: exit code' $? 0
    is 'bash -n' "$(bash -n "$scratch/pippin.bash" 2>&1)" ''
    bash -n "$scratch/pippin.bash" 2>/dev/null || return
    is 'bash: registered' "$(bash --norc -c 'source "$0" && complete -p pippin' "$scratch/pippin.bash")" 'complete -F _pippin pippin'
    offers 'commands' "$commands --help --version" ''
    offers 'a command begun' 'generate' gen
    for command in $commands; do
        offers "$command --" "$(options_of "$command")" "$command" --
        for option in $(options_of "$command"); do
            flags_of "$command" | grep -qx -- "$option" && continue
            choices=$(choices_of "$command" "$option")
            [ -n "$choices" ] || continue
            offers "$command $option" "$choices" "$command" "$option" ''
            offers "$command $option=" "$choices" "$command" "$option" '='
            offers "$command $option=${choices:0:1}" "$(sorted <<<"$choices" | grep "^${choices:0:1}")" "$command" "$option" = "${choices:0:1}"
        done
    done
    offers 'shells' 'bash zsh fish' completion ''
    offers 'help' "$commands" help ''
    offers 'free text' '' generate -p ''
    offers 'a model' 'm.gguf c.json w.safetensors folder' generate -m ''
    offers 'a model in a folder' 'folder/q.pt' generate --model = folder/
    offers 'the operand' 'm.gguf' inspect m
    offers 'an adapter' 'none' generate -a no
    offers 'any file' 'x.txt' generate -f x
    offers 'a folder to write' 'folder' init -o f
    offers 'a preset' 'afm-base afm-draft' plan --preset afm
    offers 'presets with commas' 'afm-base,llama-3.2-3b' inspect --compare afm-base,ll
}

fish_offers() {
    (cd "$scratch/files" && fish -c 'source $argv[1]; complete -C "$argv[2]"' "$scratch/pippin.fish" "pippin $*" 2>&1 | cut -f1 | sort -u)
}
test_fish() {
    local command option
    "$pippin" completion fish >"$scratch/pippin.fish"
    is 'fish: exit code' $? 0
    for command in $commands; do
        for option in $(options_of "$command"); do
            grep -qE -- "__pippin_in $command'.* -l ${option#--}( |\$)" "$scratch/pippin.fish" && pass || fail "fish: $command" "no $option"
        done
    done
    if ! command -v fish >/dev/null; then
        skip 'fish: not installed'
        return
    fi
    is 'fish -n' "$(fish -n "$scratch/pippin.fish" 2>&1)" ''
    is 'fish: commands' "$(fish_offers '')" "$(sorted <<<"$commands")"
    is 'fish: values' "$(fish_offers generate --cpu '')" "$(printf 'avx2\navx512\navx512vnni\nneon\nneon-dotprod\nneon-i8mm\nscalar')"
    is 'fish: a model' "$(fish_offers inspect -m m)" 'm.gguf'
    is 'fish: presets' "$(fish_offers plan --preset afm-)" "$(printf 'afm-base\nafm-draft')"
    is 'fish: help' "$(fish_offers help pl)" 'plan'
    for command in $commands; do
        is "fish: $command --" "$(fish_offers "$command" --)" "$(options_of "$command" | sort -u)"
    done
}

# zsh is asked through a terminal of its own, as its completion works nowhere else.
zsh_offers() {
    (cd "$scratch/files" && timeout 30 zsh -f -c '
        zmodload zsh/zpty || exit 77
        zpty shell zsh -f -i
        zpty -w shell "PROMPT=; unset zle_bracketed_paste; stty -echo; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey \"^I\" list-choices; echo READY-\$((1 + 1))"
        while zpty -r shell line && [[ $line != *READY-2* ]]; do :; done
        zpty -w -n shell "$2"$'"'\\t'"'
        for i in {1..40}; do
            sleep 0.1
            while zpty -r -t shell line; do all+=$line; done
            [[ $all == *$3* ]] && break
        done
        zpty -d shell
        print -r -- "$all"' zsh "$scratch/zsh" "$1" "$2")
}
test_zsh() {
    local command option
    mkdir "$scratch/zsh"
    "$pippin" completion zsh >"$scratch/zsh/_pippin"
    is 'zsh: exit code' $? 0
    is 'zsh: first line' "$(head -n 1 "$scratch/zsh/_pippin")" '#compdef pippin'
    for command in $commands; do
        for option in $(options_of "$command"); do
            awk -v case="    $command)" '/^    [a-z]*\)$/ {on = $0 == case} on' "$scratch/zsh/_pippin" |
                grep -qE -- "['*{,]$option[=[}]" && pass || fail "zsh: $command" "no $option"
        done
    done
    if ! command -v zsh >/dev/null; then
        skip 'zsh: not installed'
        return
    fi
    is 'zsh -n' "$(zsh -n "$scratch/zsh/_pippin" 2>&1)" ''
    holds 'zsh: commands' "$(zsh_offers 'pippin ' tokenize)" tokenize
    holds 'zsh: values' "$(zsh_offers 'pippin generate --cpu ' avx512)" avx512
    holds 'zsh: a model' "$(zsh_offers 'pippin inspect -m ' m.gguf)" m.gguf
}

test_usage() {
    local err
    for arguments in completion 'completion tcsh' 'completion bash zsh' 'completion --json bash'; do
        # shellcheck disable=SC2086
        err=$("$pippin" $arguments 2>&1 >/dev/null)
        is "$arguments: exit code" $? 2
        is "$arguments: one line" "$(wc -l <<<"$err" | tr -d ' ')" 1
    done
    holds 'completion: shells' "$("$pippin" completion tcsh 2>&1)" 'bash|zsh|fish'
}

mkdir "$scratch/files/folder"
touch "$scratch/files/"{m.gguf,x.txt,c.json,w.safetensors,folder/q.pt}
test_tables
test_man
test_bash
test_zsh
test_fish
test_usage
finish
