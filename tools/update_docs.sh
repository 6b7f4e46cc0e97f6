#!/bin/bash
# update_docs.sh PIPPIN [--check] - fills what stands between
#     <!-- generated: pippin ARGUMENTS -->
#     <!-- end -->
# in *.md and docs/*.md with what that command prints. With --check nothing is written; exit 1 when a file is not current.
set -eu
shopt -s nullglob
pippin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
check=no
[ "${2-}" != --check ] || check=yes
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
status=0

fill() { # FILE
    local line inside=no command
    while IFS= read -r line; do
        [ $inside = no ] || [ "$line" = '<!-- end -->' ] || continue
        if [ "$line" = '<!-- end -->' ]; then inside=no; fi
        printf '%s\n' "$line"
        if [[ $line =~ ^'<!-- generated: pippin '([-A-Za-z0-9_.,\ ]+)' -->'$ ]]; then
            read -ra command <<<"${BASH_REMATCH[1]}"
            printf '\n'
            "$pippin" "${command[@]}" || return 1
            printf '\n'
            inside=yes
        fi
    done <"$1"
    [ $inside = no ] || { echo "$1: a generated part without <!-- end -->" >&2; return 1; }
}

for file in *.md docs/*.md; do
    grep -q '^<!-- generated: ' "$file" || continue
    fill "$file" >"$new"
    if cmp -s "$new" "$file"; then
        echo "ok docs/$(basename "$file") is current"
    elif [ $check = yes ]; then
        echo "FAILED docs/$(basename "$file") is not current; run   make docs"
        diff "$file" "$new" | head -n 20 || true
        status=1
    else
        cat "$new" >"$file"
        echo "$file: updated"
    fi
done
exit $status
