#!/bin/sh
# configure.sh FOLDER [cmake options] - configures a build folder; quiet unless something is wrong.
set -eu
folder=$1
shift
if ! command -v cmake >/dev/null; then
    echo "cmake is missing; run   make deps   or install it" >&2
    exit 1
fi
# Nothing to say and already configured: the build itself looks for changed lists.
[ $# -gt 0 ] || [ ! -f "$folder/Makefile" ] || exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -G 'Unix Makefiles' -S . -B "$folder" "$@" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
