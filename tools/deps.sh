#!/bin/sh
# deps.sh LIST... - installs the packages that are missing for building (build), testing (test), checking (check), running the
# AVX-512 kernels without AVX-512 (emulate) and those for ARM without an ARM (arm).
# Says nothing when all are there. Asks no questions; sudo may ask for its password when there is a terminal.
set -eu

build='gcc libc6-dev make cmake pkg-config libjansson-dev libpcre2-dev libutf8proc-dev libedit-dev'
test='libcmocka-dev g++ sentencepiece'
check='clang libclang-rt-dev'
emulate='bochs bochs-sdl bochsbios vgabios isolinux syslinux-common xorriso busybox-static'
arm='gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user'
case $(uname -m) in aarch64 | arm64) arm= ;; esac # there they are the machine's own

wanted=
for list in "$@"; do
    case $list in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    check) wanted="$wanted $check" ;;
    emulate) wanted="$wanted $emulate" ;;
    arm) wanted="$wanted $arm" ;;
    *) echo "deps.sh: $list: unknown list, expected build, test, check, emulate or arm" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Another system: if the tools are there, trust it; if not, say what is needed under Debian's names and go on.
    if ! command -v cmake >/dev/null || ! command -v pkg-config >/dev/null || ! pkg-config --exists jansson libpcre2-8 libutf8proc; then
        echo "This system has no apt-get. Needed, by their names in Debian:$wanted" >&2
    fi
    exit 0
fi

# One query for all: a package is there when its status ends in "installed". A package may also be provided by another.
have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n${db:Status-Status} ${Provides}\n' 2>/dev/null |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/[ ,][ ,]*/\n/g')
missing=
for package in $wanted; do
    case "
$have
" in
    *"
$package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "Missing packages:$missing"
if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null; then
    if [ -t 0 ]; then root=sudo; else root='sudo -n'; fi
else
    echo "Neither root nor sudo: install them with   apt-get install$missing" >&2
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1
}
install() {
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing
}

echo "Installing them with apt-get ..."
# The package lists may be absent or old: then fetch them once and try again.
if ! install && { ! apt update || ! install; }; then
    cat "$log" >&2
    echo "apt-get could not install:$missing" >&2
    exit 1
fi
