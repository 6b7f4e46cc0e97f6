#!/bin/bash
# published.sh ARGUMENTS... - the published greedy texts of stories260K by the model that these arguments of `pippin generate`
# name; prints "texts equal: N". SHARED names the folder with data/; pippin is found in the path.
set -u
n_equal=0
while IFS= read -r line; do
    case $line in
    *'"prompt":'*) prompt=${line#*: \"} prompt=${prompt%\",} ;;
    *'"max_pos":'*) positions=$(tr -cd 0-9 <<<"$line") ;;
    *'"text":'*)
        wanted=$(printf '%b' "$(sed 's/.*"text": "\(.*\)",*$/\1/; s/\\"/"/g' <<<"$line")")
        n=$(pippin generate "$@" -p "$prompt" --count-tokens)
        # A position yields a token: those of the prompt but BOS are given, the others are generated.
        got=$(pippin generate "$@" -p "$prompt" -n $((positions - n + 1)) --echo)
        [ "$got" != "$wanted" ] || n_equal=$((n_equal + 1))
        ;;
    esac
done <"$SHARED/data/stories260K/expected_text.json"
echo "texts equal: $n_equal"
