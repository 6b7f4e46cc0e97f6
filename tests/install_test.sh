#!/bin/bash
# install_test.sh PIPPIN SHARED - installs below the build folder and builds the examples as a user would: against the
# installed header and library alone, as C11 and as C++17, and statically; then runs them.
set -eu
build=$(cd "$(dirname "$1")" && pwd)
pippin=$build/$(basename "$1")
shared=$(cd "$2" 2>/dev/null && pwd || echo "$2")
examples=$(cd "$(dirname "$0")/../examples" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
prefix=$PWD/prefix
setting() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
lib=$(setting CMAKE_INSTALL_LIBDIR)
failures=0

report() { # STATUS NAME
    if [ "$1" = 0 ]; then echo "ok install/$2"; else echo "FAILED install/$2"; failures=$((failures + 1)); fi
}
try() { # NAME COMMAND...
    local name=$1 status=0
    shift
    "$@" >log 2>&1 || { status=1; cat log; }
    report $status "$name"
}

try 'into a prefix' cmake --install "$build" --prefix "$prefix"
try 'below DESTDIR' env DESTDIR="$PWD/stage" cmake --install "$build" --prefix /usr
try 'files' test -x prefix/bin/pippin -a -f prefix/include/pippin.h -a -f prefix/include/pippin_train.h -a -f "prefix/$lib/libpippin.so.0" -a -d prefix/share/doc/pippin \
    -a -x stage/usr/bin/pippin
try 'the command runs' prefix/bin/pippin --version
try 'the built-in model' sh -c 'cd / && test -n "$("$0" generate --raw -p "This package" -n 4)"' "$PWD/prefix/bin/pippin"
# installed FILE COMMAND... - a page below share is what the installed command prints
installed() {
    local file=$1 root
    shift
    for root in prefix stage/usr; do try "$root/share/$file" sh -c '"$@" | cmp - "$0"' "$root/share/$file" "$root/bin/pippin" "$@"; done
}
installed man/man1/pippin.1 help --man
installed bash-completion/completions/pippin completion bash
installed zsh/site-functions/_pippin completion zsh
installed fish/vendor_completions.d/pippin.fish completion fish

export PKG_CONFIG_PATH=$prefix/$lib/pkgconfig
try 'pippin.pc has the version' test "$(pkg-config --modversion pippin)" = "$("$pippin" --version | tr ' ' '\n' | grep -m1 '^[0-9]')"

compiler=$(setting CMAKE_C_COMPILER)
sanitize=$(setting PIPPIN_SANITIZE)
flags="-Wall -Wextra -Werror -O1"
[ -z "$sanitize" ] || flags="$flags -fsanitize=$sanitize"
case $compiler in *clang*) cxx=clang++ ;; *) cxx=g++ ;; esac

# shellcheck disable=SC2046,SC2086
for source in "$examples"/*.c; do
    name=$(basename "$source" .c)
    try "$name.c as C11" "$compiler" -std=c11 -pedantic $flags "$source" $(pkg-config --cflags --libs pippin) \
        -Wl,-rpath,"$prefix/$lib" -o "$name"
    try "$name.c, linked statically" "$compiler" -std=c11 $flags "$source" $(pkg-config --cflags pippin) \
        "$prefix/$lib/libpippin.a" $(pkg-config --static --libs-only-l pippin | sed 's/-lpippin//') -o "$name-static"
    if command -v $cxx >/dev/null; then
        # "= {0}" is how the header says to clear a struct; C++ compilers would rather see "= {}".
        try "$name.c as C++17" $cxx -std=c++17 -pedantic $flags -Wno-missing-field-initializers -x c++ "$source" -x none $(pkg-config --cflags --libs pippin) \
            -Wl,-rpath,"$prefix/$lib" -o "$name-cxx"
    else
        echo "SKIPPED install/$name.c as C++17: no $cxx"
    fi
done

try 'score runs' ./score
cp log score.txt
try 'score, linked statically, says the same' sh -c './score-static | cmp - score.txt'
if [ -f "$shared/data/stories260K/stories260K.bin" ]; then
    data=$shared/data/stories260K
    try 'complete runs' ./complete "$data/stories260K.bin" 'Once upon a time' "$data/tok512.bin"
else
    echo 'SKIPPED install/complete runs: no model on this machine'
fi
try 'complete names what is wrong' sh -c '! ./complete /nowhere hello 2>error.txt && grep -q /nowhere error.txt'
[ $failures = 0 ]
