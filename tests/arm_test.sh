#!/bin/bash
# arm_test.sh PIPPIN SHARED - the kernels for ARM against the scalar truth, cross-compiled and emulated; a minute and a half
# once compiled. `make arm` tries more.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$(dirname "$1")" && pwd)
skip() {
    echo "SKIPPED kernels for ARM: $1"
    exit 77
}
case $(uname -m) in aarch64 | arm64) skip "here kernels_test runs them" ;; esac
for program in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $program >/dev/null || skip "no $program; tools/deps.sh arm installs it"
done
[ -f "$build/arm/sysroot/fetched" ] || skip "no libraries; tools/arm_emulated.sh fetch ${build##*/} gets them"
exec "$root/tools/arm_emulated.sh" kernels "$build"
