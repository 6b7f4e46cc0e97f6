#!/bin/bash
# position_test.sh PIPPIN [SHARED] - eval --by-position and --window: nothing is lost or counted twice, what comes later changes
# nothing, and windows are what `logits` says of the same tokens by themselves; recipes/context.py, which rests on both.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
stories=$shared/data/stories260K
text=$shared/data/tinystories-text/stories.txt
# refused NAME PART ARGUMENTS... - exit code 2 and one line that holds PART
refused() {
    local name=$1 part=$2 code=0
    shift 2
    "$pippin" eval "$@" >/dev/null 2>"$scratch/err" </dev/null || code=$?
    is "$name: exit code" $code 2
    is "$name: lines" "$(wc -l <"$scratch/err" | tr -d ' ')" 1
    holds "$name" "$(cat "$scratch/err")" "$part"
}

for edges in '' 0 x '5,' ',5' 5,5 9,5 1048577 doubles 1.5; do
    refused "edges \"$edges\"" 'the last position of each bucket' -m model -f file --by-position "$edges"
done
refused 'by position, of a task' 'leave one out' -m model --task file --by-position 5
refused 'a window of a task' 'leave one out' -m model --task file --window 5
refused 'a window of one token' 'from 2 to' -m model -f file --window 1
refused 'a window against another model' 'leave one out' -m model -f file --window 64 --against other

if [ ! -e "$stories/stories260K.bin" ] || [ ! -e "$text" ]; then
    echo 'SKIPPED eval by position: no shared folder'
    finish
fi

head -c 6000 "$text" >"$scratch/text"
# of ARGUMENTS... - eval of the text, as JSON
of() { "$pippin" eval -m "$stories/stories260K.bin" --tokenizer "$stories/tok512.bin" -f "$scratch/text" --json "$@" 2>/dev/null; }
bare() { sed -E 's/[{,]|"[a-z]+": //g'; }
# buckets - "first last tokens nll", a line each, of such JSON
buckets() { sed 's/.*"positions"//' | grep -oE '"first": [^}]*' | bare; }
# total - "tokens nll" of the same
total() { grep -oE '^\{"tokens": [0-9]+, "nll": [-0-9.e]+' | bare; }
# documents - the tokens of each
documents() { sed 's/.*"documents"//; s/"positions".*//' | grep -oE '"tokens": [0-9]+' | bare; }
# adds_up - do the buckets in $scratch/out have the total's tokens and nats, each position once?
adds_up() {
    { total <"$scratch/out"; buckets <"$scratch/out"; } | awk '
        NR == 1 { tokens = $1; nll = $2; next }
        { gaps += $1 != last + 1 || $2 < $1; last = $2; tokens -= $3; sum += $4 }
        END { d = (sum - nll) / nll; print (NR > 1 && !gaps && !tokens && d < 1e-12 && d > -1e-12) ? "yes" : "no: " gaps " " tokens " " d }'
}

# ---- sums ----
separator='<|endoftext|>'
for how in '--ctx 512' '--ctx 200' "--separator $separator" "--separator $separator --ctx 100" '--ctx 400 --window 90' '--window 2 --ctx 9'; do
    for edges in double 16 3,50,64; do
        # shellcheck disable=SC2086
        of $how --by-position "$edges" >"$scratch/out"
        is "buckets add up, $how by $edges" "$(adds_up)" yes
        # shellcheck disable=SC2086
        is "the rest is as ever, $how by $edges" "$(sed 's/, "positions".*/}/' "$scratch/out")" "$(of $how)"
    done
done
is 'double' "$(of --by-position double --ctx 100 | buckets | cut -d' ' -f1,2 | tr '\n' ' ')" '1 1 2 2 3 4 5 8 9 16 17 32 33 64 65 99 '
is 'the last step goes on' "$(of --by-position 3,50,64 --ctx 100 | buckets | cut -d' ' -f1,2 | tr '\n' ' ')" '1 3 4 50 51 64 65 78 79 92 93 99 '

# ---- every token is in the bucket of its position: those of each document count, 1, 2, ... ----
of --separator "$separator" --by-position 7,20,33 >"$scratch/out"
buckets <"$scratch/out" >"$scratch/buckets"
documents <"$scratch/out" | awk 'NR == FNR { n[NR] = $1; next }
    { wanted = 0; for (i in n) { most = n[i] < $2 ? n[i] : $2; if (most >= $1) wanted += most - $1 + 1 }; wrong += wanted != $3 }
    END { print (FNR > 10 && !wrong) ? "yes" : "no: " wrong }' - "$scratch/buckets" >"$scratch/said"
is 'tokens of documents' "$(cat "$scratch/said")" yes

# ---- what comes later changes nothing ----
of --separator "$separator" --by-position 8 --ctx 65 | buckets >"$scratch/short"
is 'a prefix of longer contexts' "$(cat "$scratch/short")" "$(of --separator "$separator" --by-position 8 | buckets | head -8)"

# ---- windows ----
is 'a window of everything is none' "$(of --ctx 300 --window 300 --by-position 10)" "$(of --ctx 300 --by-position 10)"
of --ctx 400 --window 90 --by-position 1 | buckets >"$scratch/windows"
of --ctx 400 --by-position 1 | buckets >"$scratch/whole"
is 'the first window' "$(head -89 "$scratch/windows")" "$(head -89 "$scratch/whole")"
is 'the second is another' "$(paste -d' ' "$scratch/windows" "$scratch/whole" | awk 'NR > 89 && $4 != $8' | wc -l | tr -d ' ')" 310

# The truth, from logits of each window's own tokens: 80 tokens, read 32 at a time.
if command -v python3 >/dev/null; then
    ids=$("$pippin" tokenize -m "$stories/tok512.bin" --bos --ids <"$scratch/text" | cut -d' ' -f1-80)
    bos=${ids%% *}
    for first in 0 16 32 48; do
        tokens=$(echo "$ids" | cut -d' ' -f$((first + 1))-$((first + 32)) | sed "s/^[0-9]*/$bos/" | tr ' ' ',')
        "$pippin" logits -m "$stories/stories260K.bin" --tokens "$tokens" -o "$scratch/$first.npy" >/dev/null 2>&1
    done
    of --ctx 80 --window 32 --by-position 1 --separator 'no such' | buckets >"$scratch/windows"
    # shellcheck disable=SC2086
    python3 - "$scratch" $ids >"$scratch/said" <<'END'
import array, math, sys
scratch, ids = sys.argv[1], [int(i) for i in sys.argv[2:]]
got = [float(line.split()[3]) for line in open(scratch + "/windows")]
worst, seen = 0, 1
for first in (0, 16, 32, 48):
    data = open(f"{scratch}/{first}.npy", "rb").read()
    x = array.array("f", data[-4 * 512 * 32:])
    for row in range(seen - 1 - first, 31):
        z = x[512 * row : 512 * row + 512]
        nll = max(z) + math.log(sum(math.exp(v - max(z)) for v in z)) - z[ids[first + row + 1]]
        worst = max(worst, abs(nll - got[first + row]))
    seen = first + 32
print(len(got) == 79 and worst < 2e-6 or (len(got), worst))
END
    is 'windows are what logits say of them' "$(cat "$scratch/said")" True

    # ---- the recipe ----
    context() { PIPPIN=$pippin "$root/recipes/context.py" "$stories/stories260K.bin" "$text" "$scratch/c" --tokenizer "$stories/tok512.bin" "$@"; }
    context --times 2 >"$scratch/table" 2>"$scratch/err"
    is 'a row a length' "$(grep -c '^| 2x = 1,024 | ' "$scratch/table")" 1
    is 'runs of a length' "$(grep -c . "$scratch/err")" 5
    is 'the plot is XML' "$(python3 -c 'import sys, xml.dom.minidom as m; print(len(m.parse(sys.argv[1]).getElementsByTagName("circle")))' "$scratch/c.svg")" $((2 * 4 * 9))
    context --times 2 >"$scratch/again" 2>"$scratch/err"
    is 'nothing is run again' "$(grep -c . "$scratch/err") $(cmp "$scratch/again" "$scratch/table")" '0 '
    context --times 200 >/dev/null 2>"$scratch/err"
    holds 'a text that is too short' "$(cat "$scratch/err")" 'take a longer one'
    context --times 1 >/dev/null 2>"$scratch/err"
    holds 'no longer than trained' "$(cat "$scratch/err")" 'whole numbers from 2'
    context --times 2 --kv-type bf16 >/dev/null 2>"$scratch/err"
    holds 'other runs are not mixed in' "$(cat "$scratch/err")" 'move it away'
else
    skip 'windows beside logits, recipes/context.py: no python3'
fi
finish
