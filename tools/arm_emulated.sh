#!/bin/bash
# arm_emulated.sh WHAT BUILD ... - pippin for 64-bit ARM on another machine: compiled by a cross compiler, run in qemu's user mode
# emulation. What it shows is whether results are right, never how fast they come. BUILD is a build folder, all lies in BUILD/arm.
#   fetch BUILD                  the libraries for ARM, by apt-get into BUILD/arm/sysroot: no root needed, nothing is installed
#   kernels BUILD [PATTERN...]   the kernels' test; a PATTERN chooses trials by name, otherwise all levels but scalar
#   all BUILD SHARED             the whole test of kernels, other tests, and a model that must answer as it does in BUILD
# Exits 0 when all is right, 1 when something is not, 2 when it could not be run. Needs what `tools/deps.sh arm` installs.
set -eu -o pipefail
what=${1:-}
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -lt 2 ] || [ ! -f "$2/CMakeCache.txt" ] || [[ $what != fetch && $what != kernels && $what != all ]]; then
    echo "usage: arm_emulated.sh fetch|kernels|all BUILD ...   BUILD being a configured folder; make arm does all" >&2
    exit 2
fi
arm=$(cd "$2" && pwd)/arm
shift 2
jobs=$(nproc 2>/dev/null || echo 2)
libraries='libcmocka-dev libjansson-dev libpcre2-dev libutf8proc-dev'
emulate() { qemu-aarch64 -cpu "$cpu" -L "$arm/sysroot" "$@"; }
cpu=max
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "arm_emulated.sh: $*" >&2
    exit 2
}

# quietly COMMAND... - its output only when it fails
quietly() { "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; return 1; }; }

# An apt of its own, which knows of no installed package and of ARM alone.
fetch() {
    case $(uname -m) in aarch64 | arm64) fail "this is an ARM machine: make test runs its kernels" ;; esac
    [ ! -f "$arm/sysroot/fetched" ] || return 0
    command -v apt-get >/dev/null || fail "no apt-get here to fetch libraries for ARM with"
    local apt=$scratch/apt package
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    apt() {
        apt-get -qq -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "APT::Sandbox::User=$(id -un)" \
            -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" "$@"
    }
    echo "Fetching libraries for ARM with apt-get ..."
    quietly apt update || true # a source without ARM may be among others; what counts is the next step
    # shellcheck disable=SC2086
    quietly apt --download-only --no-install-recommends install $libraries || fail "apt-get has no $libraries for arm64"
    rm -rf "$arm/sysroot"
    mkdir -p "$arm/sysroot"
    for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$arm/sysroot"; done
    : >"$arm/sysroot/fetched"
}

# build FOLDER TARGET... [-- OPTION...] - in BUILD/arm/FOLDER
build() {
    local folder=$arm/$1 targets=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1"); shift; done
    [ $# -eq 0 ] || shift
    export PKG_CONFIG_LIBDIR=$arm/sysroot/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$arm/sysroot
    [ -f "$folder/Makefile" ] || quietly cmake -G 'Unix Makefiles' -S "$root" -B "$folder" -DCMAKE_SYSTEM_NAME=Linux \
        -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DPIPPIN_TESTS=ON -DPIPPIN_WERROR=ON \
        "$@" || fail "$folder could not be configured"
    quietly cmake --build "$folder" -j "$jobs" --target "${targets[@]}" || { echo "FAILED compiling for ARM"; exit 1; }
}

# trials PROGRAM PATTERN... - 1 when one of them fails, or a pattern is the name of none. On a CPU that has the level and nothing
# beyond it, so that a kernel that needs more ends with an illegal instruction.
trials() {
    local program=$1 pattern status=0
    shift
    for pattern in "$@"; do
        case $pattern in
        neon/*) cpu=cortex-a53 ;;
        neon-dotprod/*) cpu=neoverse-n1 ;;
        *) cpu=max ;;
        esac
        PIPPIN_TEST_ONLY=$pattern emulate "$program" 2>&1 | sed '/^SKIPPED neon/d' | tee "$scratch/trials" || status=1
        grep -q '^\[       OK \]' "$scratch/trials" || { echo "FAILED no trial was passed that is named like $pattern"; status=1; }
    done
    cpu=max
    return $status
}

# same_answer NAME ARGUMENT... - the same ids here as there, at each level
same_answer() {
    local name=$1 level here there
    shift
    here=$("$arm/../pippin" generate "$@" 2>/dev/null) || true
    for level in scalar neon neon-dotprod neon-i8mm; do
        there=$(emulate "$arm/all/pippin" generate --cpu $level "$@" 2>&1) || true
        if [ -n "$here" ] && [ "$here" = "$there" ]; then
            echo "ok $name, $level"
        else
            echo "FAILED $name, $level: found \"$there\", expected \"$here\""
            failed=1
        fi
    done
}

# same_bits TYPE MODEL - with weights of that type scalar gives the bits that it gives here, and the levels for ARM, whose floats
# are the same code and whose integers are exact, give one another's. (Between the two a last bit may round a code of the
# activations otherwise, so texts of low-bit models are no law.)
same_bits() {
    local level there=$scratch/there.npy tokens
    tokens=$(seq -s , 5 11 1105)
    "$arm/../pippin" convert -m "$2" --type "$1" -o "$scratch/$1.gguf" >/dev/null 2>&1 || true
    "$arm/../pippin" logits -m "$scratch/$1.gguf" --cpu scalar --tokens "$tokens" -o "$scratch/scalar.npy" >/dev/null || true
    for level in scalar neon neon-dotprod neon-i8mm; do
        emulate "$arm/all/pippin" logits -m "$scratch/$1.gguf" --cpu $level --tokens "$tokens" -o "$there" >/dev/null || true
        if [ $level = neon ]; then
            mv "$there" "$scratch/neon.npy"
        elif cmp -s "$there" "$scratch/${level%%-*}.npy"; then
            echo "ok $1: $level as ${level%%-*}"
        else
            echo "FAILED $1, $level: not the bits of ${level%%-*}"
            failed=1
        fi
    done
    rm -f "$there" "$scratch/$1.gguf"
}

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $program >/dev/null || fail "$program is missing; run   tools/deps.sh arm"
done
[ $what = kernels ] || fetch
[ -f "$arm/sysroot/fetched" ] || fail "no libraries for ARM; run   tools/arm_emulated.sh fetch ${arm%/arm}"

case $what in
kernels)
    [ $# -gt 0 ] || set -- 'neon/*' 'neon-dotprod/*' 'neon-i8mm/*' levels_are_chosen
    build kernels kernels_test -- '-DPIPPIN_ROOMS=base;quant;kernels'
    trials "$arm/kernels/tests/kernels_test" "$@"
    ;;
all)
    shared=${1:-$root/../shared}
    [ ! -d "$shared" ] || shared=$(cd "$shared" && pwd)
    programs='kernels_test low_test golden_test laws_test text_test tokenizer_test train_golden_test'
    failed=0
    # shellcheck disable=SC2086
    build all pippin $programs -- "-DPIPPIN_SHARED=$shared"
    for program in $programs; do
        echo "$program:"
        (cd "$scratch" && emulate "$arm/all/tests/$program" 2>&1) || failed=1
    done
    stories=$shared/data/stories260K
    small=$shared/data/tinystories-656k
    if [ -d "$stories" ] && [ -d "$small" ]; then
        same_answer stories260K -m "$stories/stories260K.bin" --tokenizer "$stories/tok512.bin" -p 'Once upon a time' -n 120
        same_answer tinystories-656k -m "$small" -p 'Once upon a time' -n 60
        for type in q8 q4 q2; do same_bits $type "$small"; done
    else
        echo "SKIPPED answers of models: no stories260K and tinystories-656k in $shared/data"
    fi
    exit $failed
    ;;
esac
