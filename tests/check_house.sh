#!/bin/bash
# check_house.sh [--self-test] [--rule=NAME] [BUILD] - the rules of the house that a machine can hold. With a build folder it also looks
# at what the library exports and keeps. --self-test plants a violation of each rule in a copy and wants it caught.
set -eu
shopt -s nullglob

root=$(cd "$(dirname "$0")/.." && pwd)
rules='layers calls headers text exports globals'
self_test=no
build=
for arg in "$@"; do
    case $arg in
    --self-test) self_test=yes ;;
    --rule=*) rules=${arg#--rule=} ;;
    *) build=$(cd "$arg" && pwd) ;;
    esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rule=

# bad TEXT - one finding; a file counts them, because some are found in pipes
: >"$scratch/found"
bad() {
    echo "FAILED house/$rule: $1"
    echo "$1" >>"$scratch/found"
}

skip() {
    echo "SKIPPED house/$rule: $1"
    skipped=yes
}

# findings PREFIX - each line of stdin is one
findings() {
    local line
    while IFS= read -r line; do bad "$1$line"; done
}

# ---- code without comments and string contents, line for line ----
strip_comments() {
    awk '
    FNR == 1 { comment = 0; out = ENVIRON["TO"] "/" FILENAME }
    {
        line = $0; kept = ""
        while (line != "") {
            if (comment) {
                at = index(line, "*/")
                if (!at) { line = ""; break }
                line = substr(line, at + 2); comment = 0; kept = kept " "
                continue
            }
            if (!match(line, /\/\*|\/\/|"|\047/)) { kept = kept line; break }
            kept = kept substr(line, 1, RSTART - 1)
            mark = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
            if (mark == "/*") comment = 1
            else if (mark == "//") line = ""
            else {
                # An include keeps its name; any other string or character becomes empty.
                text = match(line, mark == "\"" ? /^([^"\\]|\\.)*"/ : /^([^\047\\]|\\.)*\047/) ? substr(line, 1, RLENGTH - 1) : ""
                line = substr(line, RLENGTH > 0 ? RLENGTH + 1 : 1)
                kept = kept mark (kept ~ /^[ ]*#[ ]*include/ ? text : "") mark
            }
        }
        print kept > out
    }' "$@"
}

prepare() {
    cd "$root"
    code=(include/*.h src/*/*.c src/*/*.h)
    others=(tests/*.c tests/*.h tests/support/*.c fuzz/*.c fuzz/*.h bench/*.c bench/*.h examples/*.c)
    scripts=(tools/*.sh tests/*.sh .ci/run)
    texts=(.editorconfig *.md docs/*.md models/*.md recipes/*.md CMakeLists.txt cmake/* src/LAYERS .clang-format .gitignore)
    rm -rf "$scratch/code"
    local dir
    for dir in include src/*; do mkdir -p "$scratch/code/$dir"; done
    TO=$scratch/code strip_comments "${code[@]}"
}

# ---- rules ----

check_layers() {
    local rooms room
    rooms=$(awk '/^[0-9]/ {print $2}' src/LAYERS)
    for room in src/*/; do
        room=$(basename "$room")
        grep -qx "$room" <<<"$rooms" || bad "src/$room is not in src/LAYERS"
    done
    grep -n '^ *# *include' "${code[@]}" | awk '
    FILENAME == "src/LAYERS" { if ($1 ~ /^[0-9]/) rank[$2] = $1; next }
    {
        split($0, at, ":"); file = at[1]; where = at[1] ":" at[2]
        if (split(file, part, "/") < 3 || part[1] != "src") next
        own = part[2]
        if (match($0, /<[^>]*>/)) {
            name = substr($0, RSTART + 1, RLENGTH - 2)
            if (name ~ /^(unistd|pthread|sched|fcntl|dirent|signal|threads|sys\/.*|windows)\.h$/ && own != "base" && own != "cli" && own != "serve")
                print where ": <" name ">: only base speaks to the operating system"
            next
        }
        if (!match($0, /"[^"]*"/)) { print where ": include of neither <...> nor \"...\""; next }
        name = substr($0, RSTART + 1, RLENGTH - 2)
        if (name ~ /^pippin(_train)?\.h$/) next
        if (split(name, to, "/") != 2) { print where ": \"" name "\", expected \"room/file.h\" or \"pippin.h\""; next }
        if (to[1] == own) next
        if (!(to[1] in rank)) { print where ": \"" name "\": no such room"; next }
        if (to[2] != to[1] ".h") { print where ": \"" name "\": across rooms only " to[1] "/" to[1] ".h"; next }
        if (own == "cli" || own == "serve") {
            if (to[1] != "base") print where ": \"" name "\": " own " uses pippin.h and base/base.h only"
        } else if (rank[to[1]] >= rank[own]) print where ": \"" name "\": " to[1] " (" rank[to[1]] ") is not below " own " (" rank[own] ")"
    }' src/LAYERS - | findings ''
}

# calls RULE-TEXT NAMES FILE... - finds calls of these functions in stripped code
calls() {
    local why=$1 names=$2
    shift 2
    [ $# -gt 0 ] || return 0
    (cd "$scratch/code" && grep -HnoE "(^|[^A-Za-z0-9_.>])($names) *\(" "$@") |
        sed -E 's/^([^:]*:[0-9]+:).*[^A-Za-z0-9_]([A-Za-z0-9_]+) *\($/\1 \2/; s/^([^:]*:[0-9]+:)([a-z_0-9]+) *\($/\1 \2/' |
        sed "s|\$|: $why|" | findings ''
}

check_calls() {
    local file library=() all=(src/*/*.c src/*/*.h) not_memory=()
    for file in "${all[@]}"; do
        case $file in src/cli/* | src/serve/*) ;; *) library+=("$file") ;; esac
        case $file in src/base/memory.c) ;; *) not_memory+=("$file") ;; esac
    done
    calls 'not in this house' \
        'strcpy|strcat|stpcpy|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|alloca|system|popen|setlocale|rand|srand|setjmp|longjmp' "${all[@]}"
    calls 'the library never ends the program or reads the environment' \
        'abort|exit|_exit|_Exit|quick_exit|atexit|getenv|secure_getenv' "${library[@]}"
    calls 'the library never prints' 'printf|vprintf|puts|putchar|perror' "${library[@]}"
    calls 'memory comes from base (pp_alloc, pp_free); jansson gives text through json_dumpb or json_dump_callback' \
        'malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|aligned_alloc|posix_memalign|json_dumps' "${not_memory[@]}"
    (cd "$scratch/code" && grep -HnwE 'stdout|stderr|stdin' "${library[@]}") | sed 's/$/: the library never prints/' | findings ''
}

# Every header compiles alone; the public one as C++17 too. One without an include guard is a piece of whatever includes
# it, which only the kernels, written once for several instruction sets, may have.
check_headers() {
    local header machine
    machine=$(uname -m)
    for header in include/*.h src/*/*.h; do
        if ! grep -q '^#ifndef' "$header"; then
            case $header in src/kernels/*) ;; *) bad "$header has no include guard" ;; esac
            continue
        fi
        case $machine:$header in x86_64:*neon* | aarch64:*x86* | aarch64:*avx*) continue ;; esac
        "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -fsyntax-only -Iinclude -Isrc -x c "$header" >"$scratch/log" 2>&1 ||
            bad "$header does not compile alone: $(grep -m1 error "$scratch/log")"
    done
    if command -v "${CXX:-c++}" >/dev/null; then
        "${CXX:-c++}" -std=c++17 -Wall -Wextra -Werror -fsyntax-only -Iinclude -x c++ include/pippin_train.h >"$scratch/log" 2>&1 ||
            bad "the public headers are not C++17: $(grep -m1 error "$scratch/log")"
    else
        skip 'no C++ compiler to try pippin.h with'
    fi
}

check_text() {
    local file lines all=("${code[@]}" "${others[@]}" "${scripts[@]}" "${texts[@]}" Makefile)
    local tab=$'\t'
    for file in "${code[@]}" "${others[@]}" "${scripts[@]}"; do
        lines=$(wc -l <"$file")
        if [ "$lines" -gt 700 ]; then
            bad "$file has $lines lines, the limit is 700"
        elif [ "$lines" -gt 450 ]; then
            echo "note: $file has $lines lines; files stay below 450 where they can"
        fi
    done
    for file in "${code[@]}" "${others[@]}"; do
        head -n 1 "$file" | grep -qE '^(/\*|//|#include)' || bad "$file begins with neither a comment nor an include"
    done
    for file in "${all[@]}"; do
        [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || bad "$file does not end with a newline"
    done
    grep -nE '[ '"$tab"']+$' "${all[@]}" | cut -d: -f1,2 | sed 's/$/: blanks at the end of the line/' | findings ''
    grep -n "$tab" "${code[@]}" "${others[@]}" "${scripts[@]}" "${texts[@]}" | cut -d: -f1,2 | sed 's/$/: a tab/' | findings ''
    grep -n $'\r' "${all[@]}" | cut -d: -f1,2 | sed 's/$/: a carriage return/' | findings ''
    for file in "${texts[@]}"; do
        awk '/^\|/ && last !~ /^\|/ { ruled = NR + 1 }
            NR == ruled && !/^\|[ :|-]+\|$/ { print FILENAME ":" NR ": a table without a head" }
            { last = $0 }' "$file"
    done | findings ''
    # Paths of one machine have no place here.
    grep -nE "/wor""k/|/tm""p/h[0-9]|/hom""e/[a-z]|/roo""t/" "${all[@]}" | cut -d: -f1,2 | sed 's/$/: a path of one machine/' | findings ''
}

# What the shared library exports is what the header promises.
check_exports() {
    if [ -z "$build" ] || [ ! -e "$build/libpippin.so" ]; then
        skip 'no build folder with libpippin.so given'
        return
    fi
    cat "$scratch"/code/include/*.h | tr '\n' ' ' | sed 's/# *define *PIPPIN_API//g' | grep -oE 'PIPPIN_API [^;(]*\(' | grep -oE '[a-z0-9_]+\($' | tr -d '(' |
        LC_ALL=C sort >"$scratch/promised"
    nm -D --defined-only "$build/libpippin.so" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | LC_ALL=C sort >"$scratch/exported"
    LC_ALL=C comm -23 "$scratch/promised" "$scratch/exported" | sed 's/$/: in a header, not exported/' | findings ''
    LC_ALL=C comm -13 "$scratch/promised" "$scratch/exported" | sed 's/$/: exported, in no header/' | findings ''
}

# No mutable globals but the hooks and counters of base/memory.c.
check_globals() {
    if [ -z "$build" ] || [ ! -e "$build/libpippin.a" ] || grep -q '^PIPPIN_SANITIZE:STRING=.' "$build/CMakeCache.txt" 2>/dev/null; then
        skip 'needs a build folder without sanitizers'
        return
    fi
    objdump -t "$build/libpippin.a" | awk '
    / file format / { object = $1; sub(/:$/, "", object); next }
    object != "memory.c.o" && / O \.(data|bss|tdata|tbss)[ \t]/ { print object ": " $NF ": a mutable global" }' | findings ''
}

run_rules() {
    local before
    prepare
    for rule in $rules; do
        before=$(wc -l <"$scratch/found")
        skipped=no
        "check_$rule"
        [ "$(wc -l <"$scratch/found")" != "$before" ] || [ $skipped = yes ] || echo "ok house/$rule"
    done
}

# ---- the self-test ----

# caught RULE EXPECTED BUILD - does the copy's own script fail by this rule, and say so?
caught() {
    local said
    rule=self-test
    if said=$(bash "$copy/tests/check_house.sh" --rule="$1" $3); then
        bad "$1 passed, though it should have found: $2"
    elif grep '^FAILED' <<<"$said" | grep -qF -- "$2"; then
        echo "ok house/self-test $1: $2"
    else
        bad "$1 did not name: $2"
    fi
}

# plant RULE EXPECTED FILE SED-SCRIPT - changes FILE of the copy, wants it caught, and puts it back
plant() {
    sed -i "$4" "$copy/$3"
    if cmp -s "$root/$3" "$copy/$3"; then
        bad "$3: nothing was planted by $4"
    else
        caught "$1" "$2" "$build"
    fi
    cp "$root/$3" "$copy/$3"
}

plant_all() {
    local name
    copy=$scratch/copy
    mkdir "$copy"
    tar -c -C "$root" --exclude='./build*' --exclude=./.git --exclude=./fuzz/corpus . | tar -x -C "$copy"
    # shellcheck disable=SC2086
    bash "$copy/tests/check_house.sh" $build || { bad 'the untouched copy must pass first'; return 0; }

    plant layers 'is not below quant' src/quant/types.c '1a #include "model/model.h"'
    plant layers 'is not below formats' src/formats/tensors.c '1a #include "kernels/kernels.h"'
    plant layers 'across rooms only base/base.h' src/quant/types.c '1a #include "base/hooks.h"'
    plant layers 'cli uses pippin.h and base/base.h only' src/cli/main.c '1a #include "infer/infer.h"'
    plant layers 'expected "room/file.h"' src/quant/types.c '1a #include "quant.h"'
    plant layers 'no such room' src/quant/types.c '1a #include "nowhere/nowhere.h"'
    plant layers 'only base speaks' src/quant/types.c '1a #include <unistd.h>'
    plant layers 'quant is not in src/LAYERS' src/LAYERS '/quant/d'
    for name in strcpy strcat sprintf vsprintf gets atoi atof strtok alloca system popen getenv setlocale abort exit printf puts \
        malloc calloc realloc free strdup json_dumps; do
        plant calls "types.c:2: $name:" src/quant/types.c "1a void planted(void) { $name(0); }"
    done
    plant calls 'types.c:2:' src/quant/types.c '1a void planted(void) { fprintf(stderr, "x"); }'
    plant calls 'main.c:2: atoi' src/cli/main.c '1a int planted(void) { /* " */ return atoi("1"); }'
    plant headers 'quant.h does not compile alone' src/quant/quant.h 's/#include "base.base.h"//'
    plant headers 'text.h has no include guard' src/text/text.h '/^#ifndef/d'
    plant headers 'is not C++17' include/pippin.h '/^typedef struct pippin_error/i typedef struct { int class; } pippin_planted;'
    plant text 'the limit is 700' src/quant/types.c "\$a $(printf '\\n%.0s' $(seq 700))"
    plant text 'neither a comment nor an include' src/quant/types.c '1i int planted;'
    plant text 'blanks at the end' src/quant/types.c '2s/$/  /'
    plant text 'a tab' src/quant/types.c '2s/^/\t/'
    plant text 'a carriage return' src/quant/types.c '2s/$/\r/'
    plant text 'README.md:2: a table without a head' README.md '1i | a | b |\n| c | d |'
    plant text 'a path of one machine' src/quant/types.c "1a /* /wor""k/here */"
    if [ -n "$build" ]; then
        plant exports 'pippin_planted: in a header, not exported' include/pippin.h \
            '/^typedef struct pippin_error/i PIPPIN_API int\npippin_planted(int x);'
        plant exports 'pippin_version: exported, in no header' include/pippin.h '/pippin_version/d'
        mkdir -p "$scratch/bare"
        cp "$build/libpippin.a" "$scratch/bare/"
        (cd "$scratch/bare" && echo 'int planted = 1;' >planted.c && "${CC:-cc}" -c planted.c -o planted.c.o &&
            ar q libpippin.a planted.c.o 2>/dev/null)
        caught globals 'planted: a mutable global' "$scratch/bare"
    fi
}

if [ $self_test = yes ]; then
    plant_all
else
    run_rules
fi
[ ! -s "$scratch/found" ] || { echo "$(wc -l <"$scratch/found") findings"; exit 1; }
