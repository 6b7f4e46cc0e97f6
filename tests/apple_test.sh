#!/bin/bash
# apple_test.sh PIPPIN SHARED - every command in docs/APPLE.md runs, on a stand-in for the toolkit's folder: the same names and
# kinds of file, small random weights. Every figure on the page is one that `pippin plan` or `inspect` prints.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
golden=$shared/golden
page=$root/docs/APPLE.md
report() { # STATUS NAME
    if [ "$1" = 0 ]; then echo "ok apple/$2"; else echo "FAILED apple/$2"; failed=$((failed + 1)); fi
}

figures=$("$pippin" plan --preset afm-base --all; "$pippin" plan --preset afm-draft --all; "$pippin" inspect --preset afm-base)
while read -r figure; do
    grep -qF " $figure" <<<"$figures"
    report $? "figure $figure"
done < <(grep -oE '[0-9][0-9.]* [kMG]B|[0-9]+(,[0-9]{3}){2,} frozen|of [0-9]+(,[0-9]{3}){2,}' "$page" | sed 's/ frozen//; s/^of //' | sort -u)

if [ ! -f "$golden/base-lora/toolkit.pt" ]; then
    echo 'SKIPPED apple/commands: no golden cases on this machine'
    [ $failed = 0 ]
    exit
fi
cd "$scratch" || exit 1
cp "$golden/base-lora/toolkit.pt" base-model.pt
cp "$golden/base-lora/adapter.pt" adapter-final.pt
cp "$golden/draft/toolkit.pt" draft-model.pt
cp "$root/fuzz/corpus/sentencepiece/afm.model" tokenizer.model
echo 'An apple grown from seed.' >sample.txt
chmod u+w ./*
pippin() { "$pippin" "$@"; }
n=0
while IFS= read -r line; do
    n=$((n + 1))
    eval "$line" >out 2>err </dev/null
    code=$?
    [ $code = 0 ] && [ -s out ]
    status=$?
    [ $status = 0 ] || cat err
    report $status "${line:0:100}"
done < <(sed -n 's/^    \(pippin .*\)/\1/p' "$page")
[ $n -ge 10 ]
report $? "found $n commands on the page"
[ -s base.gguf ] && [ -s base.adapter.safetensors ]
report $? 'convert wrote the model and the adapter that was inside'
# What the page's last table promises.
says() { # PART ARGUMENTS...
    local part=$1
    shift
    "$pippin" "$@" 2>&1 </dev/null | grep -qF -- "$part"
    report $? "says: $part"
    grep -qF -- "\`${part/= 2 is/= 16 is}" "$page"
    report $? "the page has: $part"
}
mkdir x.fmadapter
says 'no alpha found, the toolkit'\''s rank/2 = 2 is used' generate -m base.gguf --tokenizer tokenizer.model -a adapter-final.pt -p a -n 1
says 'no adapter tensor found' generate -m base.gguf --tokenizer tokenizer.model -a draft-model.pt -p a -n 1
says 'is a folder, expected a file' generate -m base.gguf --tokenizer tokenizer.model -a x.fmadapter -p a -n 1
says 'exists already; use --force to overwrite it' convert base-model.pt -o base.gguf
[ $failed = 0 ]
