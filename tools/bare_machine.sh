#!/bin/bash
# bare_machine.sh FOLDER [REPOSITORY] - proves that a clean clone is enough on a bare Debian 12: makes one in FOLDER with
# debootstrap, puts a clone of REPOSITORY (this one) in, installs make and git there, and runs `make demo` twice and
# `make test`; with RECIPE=1 in its place the recipe: 1 % of the steps of `mini` made again from the packages on
# (recipes/check.sh). Needs root and debootstrap. Packages come from where this machine's apt and npm get them.
set -eu
if [ $# -lt 1 ] || [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "usage: bare_machine.sh FOLDER [REPOSITORY]   as root, with debootstrap" >&2
    exit 2
fi
folder=$1
repository=${2:-$(cd "$(dirname "$0")/.." && pwd)}
suite=bookworm
if [ -e "$folder" ]; then
    echo "$folder: is there already, expected a new folder; remove it first" >&2
    exit 1
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
log=$folder.log

targets() { apt-get indextargets --format "\$(REPO_URI)|\$(RELEASE)|\$(COMPONENT)" 'Created-By: Packages' | grep "|$suite[^|]*|main\$"; }
mirror=$(targets | sed -n "s/|$suite|main\$//p" | head -n 1)
if [ -z "$mirror" ]; then
    echo "this machine's apt has no lists of $suite; run apt-get update, or do this on Debian 12" >&2
    exit 1
fi
proxy=$(apt-config dump | grep -iE '^Acquire::https?::Proxy ' || true)
registry=$(npm config get registry 2>/dev/null || true)
environment="$(env | grep -E '^(http|https|no)_proxy=' || true) ${registry:+npm_config_registry=$registry}"

unmount() { umount "$folder/proc" 2>/dev/null || true; }
trap unmount EXIT
inside() {
    # shellcheck disable=SC2086
    chroot "$folder" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 $environment "$@" </dev/null
}
# step NAME COMMAND... - runs, logs, says how long it took
step() {
    local name=$1 start status=0
    shift
    start=$(date +%s.%N)
    echo "== $name" >>"$log"
    "$@" >>"$log" 2>&1 || status=$?
    printf '%-26s %8.1f s   %s\n' "$name" "$(echo "$start $(date +%s.%N)" | awk '{print $2 - $1}')" \
        "$([ $status = 0 ] && echo ok || echo "FAILED, exit $status")"
    [ $status = 0 ] || { tail -n 30 "$log"; exit 1; }
}
configure() {
    targets | sort -u | awk -F '|' '{print "deb " $1 " " $2 " " $3}' >"$folder/etc/apt/sources.list"
    [ -z "$proxy" ] || echo "$proxy" >"$folder/etc/apt/apt.conf.d/00proxy"
    cp /etc/resolv.conf /etc/hosts "$folder/etc/"
    mount -t proc proc "$folder/proc" 2>/dev/null || echo "no /proc in there"
}
# What npm believes here it has to believe there.
certificates() {
    [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && return
    cp "$NODE_EXTRA_CA_CERTS" "$folder/srv/certificates.crt"
    environment="$environment NODE_EXTRA_CA_CERTS=/srv/certificates.crt"
}
clone() {
    if [ -e "$repository/.git" ]; then
        git clone -q --no-hardlinks "$repository" "$folder/srv/pippin"
    else
        mkdir "$folder/srv/pippin"
        tar -c -C "$repository" --exclude='./build*' . | tar -x -C "$folder/srv/pippin"
    fi
}

: >"$log"
step 'bare Debian 12' debootstrap --variant=minbase "$suite" "$folder" "$mirror"
step 'its apt' configure
step 'clone' clone
step 'apt-get install make git' inside sh -c 'apt-get -qq update && apt-get -qq -y install make git'
step 'make demo' inside make -C /srv/pippin demo
start=$(date +%s)
step 'make demo, again' inside make -C /srv/pippin demo
again=$(($(date +%s) - start))
if [ "${RECIPE:-0}" = 1 ]; then
    certificates
    step 'what recipes need' inside apt-get -qq -y install python3 npm sentencepiece
    step 'recipes/check.sh' inside /srv/pippin/recipes/check.sh
    tail -n 1 "$log"
else
    step 'make test' inside make -C /srv/pippin test
    grep -E '^[0-9]+ passed, ' "$log" | tail -n 1
fi
[ $again -le 60 ] || { echo "the second demo took $again s, expected at most 60"; exit 1; }
