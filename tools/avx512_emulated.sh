#!/bin/bash
# avx512_emulated.sh BUILD [PATTERN...] - runs the kernels' test at the AVX-512 levels on a CPU that lacks them: in bochs,
# which emulates a whole PC (QEMU's translator has no AVX-512), under a Linux kernel of the distribution whose only program
# is that test. BUILD is a configured folder, a PATTERN chooses trials by name (all of avx512/* and avx512vnni/* without one).
# Prints what the test prints and exits as it does; 2 when it could not be run. Needs what `tools/deps.sh emulate` installs, and no root. The kernel comes through
# apt-get download and stays in BUILD/emulated; LINUX=FILE names another.
set -eu
if [ $# -lt 1 ] || [ ! -f "$1/CMakeCache.txt" ]; then
    echo "usage: avx512_emulated.sh BUILD [PATTERN...]   BUILD being a configured folder; make emulate does both" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- 'avx512/*' 'avx512vnni/*'
linux=${LINUX:-$build/emulated/vmlinuz}
minutes=90

fail() {
    echo "avx512_emulated.sh: $*" >&2
    exit 2
}

for program in bochs-bin xorriso busybox; do
    command -v $program >/dev/null || fail "$program is missing; run   tools/deps.sh emulate"
done
for file in /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 /usr/share/bochs/BIOS-bochs-latest; do
    [ -f $file ] || fail "$file is missing; run   tools/deps.sh emulate"
done

folder=$(mktemp -d)
emulator=
stop_emulator() {
    [ -n "$emulator" ] || return 0
    kill "$emulator" 2>/dev/null || true
    wait "$emulator" 2>/dev/null || true
    emulator=
}
clean_up() {
    stop_emulator
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 2' INT TERM

# The kernel for clouds: the smallest one, and a serial console is all it needs to have.
download_linux() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: *//p' | head -n 1)
    [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64; name a kernel with LINUX=FILE"
    mkdir -p "$folder/download" "$build/emulated"
    (cd "$folder/download" && apt-get -qq download "$package" && dpkg-deb -x ./*.deb .) >"$folder/log" 2>&1 ||
        { cat "$folder/log" >&2; fail "no $package; name a kernel with LINUX=FILE"; }
    mv "$folder"/download/boot/vmlinuz-* "$build/emulated/vmlinuz"
}

# A RAM disk: the test, the libraries it is linked to, busybox, and an init that runs the test and says how it ended.
make_ramdisk() {
    local root=$folder/root test=$build/tests/kernels_test library
    mkdir -p "$root/bin" "$root/dev"
    cp "$(command -v busybox)" "$test" "$root/bin/"
    ldd "$test" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root${library%/*}"
        cp -L "$library" "$root$library"
    done
    printf '%s\n' "$@" >"$root/patterns"
    printf '%s' "${PIPPIN_TEST_SEED:-20240611}" >"$root/seed"
    cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PIPPIN_TEST_SEED=$(/bin/busybox cat /seed) PIPPIN_TEST_ONLY
status=0
while read -r PIPPIN_TEST_ONLY; do
    /bin/kernels_test || status=$?
done </patterns
echo "kernels_test ended with $status"
exec /bin/busybox sleep 1000000 # the emulator is stopped from outside, when that line has come through
INIT
    chmod +x "$root/init"
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$folder/iso/initrd"
}

# What bochs says of the size of XSAVE's compacted area is wrong; Linux sees that and gives up XSAVE, and with it all of
# AVX, unless it is told not to use that form, nor protection keys, whose state is part of it. Nor aperfmperf, whose counters are
# not there. The CPU with VNNI overwrites the page tables, and then takes page faults for ever, where Linux clears and copies by
# "rep movs" and "rep stos" (rep_good, erms, fsrm).
make_disc() {
    mkdir "$folder/iso"
    make_ramdisk "$@"
    cp "$linux" "$folder/iso/linux"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$folder/iso/"
    cat >"$folder/iso/isolinux.cfg" <<'ISOLINUX'
default pippin
label pippin
  kernel /linux
  append initrd=/initrd console=ttyS0 loglevel=1 mitigations=off clearcpuid=xsaves,xsavec,aperfmperf,pku,rep_good,erms,fsrm
ISOLINUX
    xorriso -as mkisofs -quiet -o "$folder/disc.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
        -boot-info-table "$folder/iso" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; fail "xorriso made no disc"; }
}

# The screen goes nowhere (the `term` display would stop when nobody reads it), what matters to COM1. Debian's bochs has a
# debugger that waits for a command: c, go on.
start_emulator() { # CPU
    cat >"$folder/bochsrc" <<BOCHSRC
cpu: model=$1, ips=100000000
megs: 256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
vga: update_freq=1
ata0-master: type=cdrom, path="$folder/disc.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="$folder/serial"
sound: driver=dummy
log: $folder/bochs.log
panic: action=fatal
display_library: sdl2
BOCHSRC
    echo c >"$folder/commands"
    : >"$folder/serial"
    SDL_VIDEODRIVER=dummy timeout $((minutes * 60)) bochs-bin -q -f "$folder/bochsrc" -rc "$folder/commands" \
        </dev/null >"$folder/log" 2>&1 &
    emulator=$!
}

cmake --build "$build" --target kernels_test >"$folder/log" 2>&1 || { cat "$folder/log" >&2; fail "no kernels_test"; }
[ -f "$linux" ] || [ -n "${LINUX:-}" ] || download_linux
[ -r "$linux" ] || fail "$linux: no such kernel"

# emulate LEVEL CPU PATTERN... - those of the patterns that are of the level
emulate() {
    local level=$1 cpu=$2 pattern patterns=() line status='' passed=0
    shift 2
    for pattern in "$@"; do
        case $pattern in "$level"/*) patterns+=("$pattern") ;; esac
    done
    [ ${#patterns[@]} -gt 0 ] || return 0
    rm -rf "$folder/iso" "$folder/root"
    make_disc "${patterns[@]}"
    echo "Starting Linux in bochs for $level: a minute or two until the first trial, some twenty for all of them ..."
    start_emulator "$cpu"
    while IFS= read -r line; do
        line=${line%$'\r'}
        case $line in
        'kernels_test ended with '*) status=${line##* }; break ;;
        *'Kernel panic'*) echo "$line"; break ;;
        "[       OK ] $level/"*) passed=$((passed + 1)) ;;
        esac
        echo "$line"
    done < <(tail -n +1 -f --pid=$emulator "$folder/serial" 2>/dev/null)
    if [ -z "$status" ]; then
        grep -av RDMSR "$folder/bochs.log" | tail -n 20 >&2
        fail "the emulated machine ended before the test did, or took more than $minutes minutes"
    fi
    stop_emulator
    [ "$status" != 0 ] || ! grep -q "^SKIPPED $level:" "$folder/serial" || fail "the emulated CPU showed no $level"
    [ "$status" != 0 ] || [ $passed -gt 0 ] || fail "no trial at this level is named like ${patterns[*]}"
    [ "$status" = 0 ] || exit "$status"
}

for pattern in "$@"; do
    case $pattern in avx512/* | avx512vnni/*) ;; *) fail "$pattern: expected avx512/NAME or avx512vnni/NAME" ;; esac
done
# Skylake-X has F, CD, BW, DQ and VL and no more, so a kernel that needs more than its level ends with an illegal instruction; Ice Lake
# has VNNI too.
emulate avx512 corei7_skylake_x "$@"
emulate avx512vnni corei7_icelake_u "$@"
