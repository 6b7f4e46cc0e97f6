#!/bin/bash
# task_test.sh PIPPIN [SHARED] - eval --task: figures of rows that were scored by hand, what answers of files and of models have
# in common, labels of a closed vocabulary by a model of random weights, and what is refused. What is counted with is tried in
# score_test.c.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch" || exit 1
# row USER ANSWER - a line of a task
row() { printf '{"messages":[{"role":"system","content":"Do it."},{"role":"user","content":"%s"},{"role":"assistant","content":"%s"}]}\n' "$1" "$2"; }
answer() { printf '{"answer":"%s"}\n' "$@"; }
run() { "$pippin" eval --json "$@" 2>err </dev/null; }
# number NAME - the first of that name in `out`
number() { grep -oE "\"$1\": (-?[0-9.e-]+|null|\[[^]]*\])" out | head -1 | sed 's/^[^:]*: //'; }
# figures NAME... - of `out`, rounded
figures() { for name; do printf '%.4f ' "$(number "$name")"; done | sed 's/ $//'; }
# refused NAME CODE PART ARGUMENTS... - an exit code, and one line that holds PART
refused() {
    local name=$1 wanted=$2 part=$3 code=0
    shift 3
    "$pippin" eval "$@" >/dev/null 2>err </dev/null || code=$?
    is "$name: exit code" $code "$wanted"
    is "$name: lines" "$(grep -cF -- "$part" err) of $(wc -l <err | tr -d ' ')" '1 of 1'
}

# ---- by hand ----
{ row 'One?' 'a small brown fox'; row 'Two?' 'one'; row 'Three?' 'x-ray'; } >text.jsonl
answer 'The small, brown, brown dog-fox' '' 'X ray' >text.answers.jsonl
run --task text.jsonl --answers text.answers.jsonl >out
is 'rouge-l' "$(number rows) $(figures rouge_l precision recall exact)" '3 0.5333 0.5000 0.5833 0.0000'
printf 'The small, brown, brown dog-fox\n\nX ray\n' >text.txt
run --task text.jsonl --answers text.txt >other
is 'answers as text' "$(cat other)" "$(cat out)"
{ row a 'The small, brown, brown dog-fox'; row b ''; row c 'X ray'; } >talks.jsonl
run --task text.jsonl --answers talks.jsonl >other
is 'answers of conversations' "$(cat other)" "$(cat out)"
run --task text.jsonl --answers text.txt --metric exact >out
is 'exact' "$(figures exact)" '0.0000'

{ row one 'a, b'; row two 'a, d'; } >labels.jsonl
answer 'b,a , b,' 'b, c' >labels.answers.jsonl
run --task labels.jsonl --answers labels.answers.jsonl --metric labels >out
is 'labels' "$(figures micro_f1 precision recall macro_f1 exact)" '0.5000 0.5000 0.5000 0.3333 0.5000'

{ row 'A crae of of teh code.' 'A crate of the code.'; row 'It is.' 'It is.'; row 'It was.' 'It was.'; } >fix.jsonl
answer 'A crate of teh coda.' 'It is.' 'It was .' >fix.answers.jsonl
cat >fix.errors.jsonl <<'END2'
{"words": 5, "errors": [{"word": 1, "wrong": "crae", "right": "crate", "kind": "drop"}, {"word": 2, "wrong": "of of", "right": "of", "kind": "repeat"}, {"word": 3, "wrong": "teh", "right": "the", "kind": "swap"}]}
{"words": 2, "errors": []}
{"words": 2, "errors": []}
END2
run --task fix.jsonl --answers fix.answers.jsonl --errors fix.errors.jsonl >out
is 'corrections' "$(figures corrected damaged precision f0.5 sentences_right clean_left_alone)" \
    '0.6667 0.1429 0.6667 0.6667 0.3333 0.5000'
is 'corrections by kind' "$(grep -oE '"[a-z]+": \{"errors": 1, "corrected": [01]' out | tr -d '\n')" \
    '"drop": {"errors": 1, "corrected": 1"repeat": {"errors": 1, "corrected": 1"swap": {"errors": 1, "corrected": 0'
run --task fix.jsonl --answers fix.answers.jsonl --guard >out
is 'guarded' "$(figures corrected damaged clean_left_alone)" '0.6667 0.1429 1.0000'

{ row one '[[\"person\",\"Ann\"],[\"person\",\"Bo\"]]'; row two '[]'; } >items.jsonl
answer '[[\"person\", \"Bo\"], [\"place\",\"Ann\"]]' '[\"Ann\"' >items.answers.jsonl
run --task items.jsonl --answers items.answers.jsonl --metric json >out
is 'json' "$(figures f1 precision recall valid exact)" '0.5000 0.5000 0.5000 0.5000 0.0000'

# ---- laws ----
shuffled() { sed -n '2p;3p;1p' "$1"; }
for of in text fix; do
    shuffled $of.jsonl >s.jsonl
    shuffled $of.answers.jsonl >s.answers.jsonl
    more=() others=()
    if [ $of = fix ]; then
        shuffled fix.errors.jsonl >s.errors.jsonl
        more=(--errors fix.errors.jsonl) others=(--errors s.errors.jsonl)
    fi
    run --task $of.jsonl --answers $of.answers.jsonl "${more[@]}" | sed 's/"task": "[^"]*"//' >out
    run --task s.jsonl --answers s.answers.jsonl "${others[@]}" | sed 's/"task": "[^"]*"//' >other
    is "other order of rows, $of" "$(cat other)" "$(cat out)"
done
for metric in rouge-l exact labels corrections; do
    of=$([ $metric = corrections ] && echo fix || echo text)
    run --task "$of.jsonl" --answers "$of.jsonl" --metric "$metric" >out
    is "references as answers, $metric" "$(grep -oE '"scores": \{[^}]*\}' out | grep -oE '[0-9.]+[,}]' | tr -d ',}' | sort -u | tr '\n' ' ')" \
        "$([ $metric = corrections ] && echo '0.0 1.0 ' || echo '1.0 ')"
done
run --task items.jsonl --answers items.jsonl --metric json >out
is 'references as answers, json' "$(figures f1 precision recall valid exact)" '1.0000 1.0000 1.0000 1.0000 1.0000'
run --task text.jsonl --answers text.answers.jsonl --compare text.answers.jsonl >out
is 'compared with itself' "$(grep -oE '"difference": .*' out | grep -oE -- '-?[0-9.]+' | sort -u | tr '\n' ' ')" '0.0 '
run --task text.jsonl --answers text.jsonl --compare text.answers.jsonl >out
is 'the difference' "$(grep -oE '"difference": \{"rouge_l": [0-9.]{6}' out)" '"difference": {"rouge_l": 0.4666'
run --task text.jsonl --answers text.answers.jsonl --limit 1 >out
is 'the first rows alone' "$(number rows) $(figures rouge_l)" '1 0.6000'
"$pippin" eval --task text.jsonl --answers text.answers.jsonl >out 2>&1
is 'as text' "$(head -1 out) $(grep -cE '^  (rouge l|precision|recall|exact) +[0-9.]{6}  [0-9.]{6} to [0-9.]{6}$' out)" 'text.jsonl: 3 rows 4'

# ---- refused ----
refused 'no task' 2 '--metric: found without --task' -m m --text t --metric exact
refused 'task and text' 2 'leave one out' -m m --text t --task text.jsonl
refused 'no model' 2 '--model' --task text.jsonl
refused 'answers and a model' 2 '--model: found with --answers' -m m --task text.jsonl --answers text.txt
refused 'guard of labels' 2 '--guard: found with --metric labels' -m m --task text.jsonl --metric labels --guard
refused 'a batch of answers' 2 '--batch-size: found with --answers' --task text.jsonl --answers text.txt -b 2
refused 'choices at random' 2 '--temp: found with --choices' -m m --task text.jsonl --choices c --temp 1
refused 'too few answers' 1 'has 2 answers, expected 3' --task text.jsonl --answers labels.answers.jsonl
refused 'too many answers' 1 'has 3 answers, expected 2' --task labels.jsonl --answers text.answers.jsonl
{ head -1 text.jsonl; echo; echo '{"messages": [{"role": "user", "content": "x"}]}'; } >bad.jsonl
refused 'no right answer' 1 'bad.jsonl:3: ' --task bad.jsonl --answers text.txt
{ head -1 text.jsonl; echo '{"messages": '; } >bad.jsonl
refused 'no JSON' 1 'bad.jsonl:2: column' --task bad.jsonl --answers text.txt
echo '{"text": "x"}' >bad.jsonl
refused 'another form' 1 '"completion"' --task bad.jsonl --answers text.txt
: >bad.jsonl
refused 'no rows' 1 'holds no rows' --task bad.jsonl --answers text.txt
{ answer x; echo '{"text": "x"}'; answer x; } >bad.jsonl
refused 'no answer' 1 'bad.jsonl:2: found no answer' --task text.jsonl --answers bad.jsonl
sed 's/"word": 1/"word": 2/' fix.errors.jsonl >bad.jsonl
refused 'errors of others' 1 'bad.jsonl:1: "crae" is not in place of word 2' --task fix.jsonl --answers fix.answers.jsonl --errors bad.jsonl
printf 'a\nb\n' >few.txt
refused 'a label outside of the choices' 1 'labels.jsonl:2: the answer has the label "d"' --task labels.jsonl --answers labels.answers.jsonl --choices few.txt
printf 'a\nb, c\n' >bad.txt
refused 'a label with a comma' 1 'bad.txt:2: found "b, c"' --task labels.jsonl --answers labels.answers.jsonl --choices bad.txt
refused 'no JSON to compare with' 1 'text.jsonl:1: the answer is no JSON' --task text.jsonl --answers text.answers.jsonl --metric json

# ---- recipes: the task of names, and baselines ----
if command -v python3 >/dev/null; then
    mkdir wnut
    printf '%s\n' "It O" "'s O" "Ann B-person" "Lee I-person" "( O" "Oslo B-location" "/ O" "Bergen B-location" ") O" "&amp; O" "co O" ". O" '' |
        tr ' ' '\t' | tee wnut/wnut17train.conll >wnut/emerging.dev.conll
    printf '%s\n' "You O" "should O" "' O" "ve O" '" O' "gone O" '" O' '' "Bo I-person" '' | tr ' ' '\t' >>wnut/emerging.dev.conll
    python3 "$root/recipes/extract_data.py" wnut data >out 2>&1 || cat out
    is 'sentences as people write them' "$(sed 's/.*"user", "content": //; s/}, {.*//' data/extract/test.jsonl | tr '\n' '|')" \
        "\"It's Ann Lee (Oslo/Bergen) & co.\"|\"You should've \\\"gone\\\"\"|\"Bo\"|"
    is 'names in their order' "$(sed 's/.*"assistant", "content": "//; s/"}]}$//; s/\\//g' data/extract/test.jsonl | tr '\n' '|')" \
        '[["person","Ann Lee"],["location","Oslo"],["location","Bergen"]]|[]|[["person","Bo"]]|'
    is 'nothing of the test is learned' "$(cat data/extract/train.jsonl data/extract/valid.jsonl)" ''
    mkdir data/summarize
    row 'One two. Three four five six seven eight nine ten eleven.' 'x' | tee data/summarize/train.jsonl data/summarize/valid.jsonl >data/summarize/test.jsonl
    "$root/recipes/baselines.py" data answers summarize >out 2>&1 || cat out
    is 'baselines' "$(cat answers/summarize.first-sentence.jsonl answers/summarize.first-10-words.jsonl | tr '\n' ' ')" \
        '{"answer": "One two."} {"answer": "One two. Three four five six seven eight nine ten"} '
else
    skip 'recipes: python3 is not here'
fi

# ---- a model answers ----
if ! command -v spm_train >/dev/null; then
    skip 'answers of a model: spm_train is not here (package sentencepiece)'
    finish
fi
spm_train --input="$root/LICENSE" --model_prefix=m --vocab_size=700 --model_type=bpe --byte_fallback --pad_id=0 --eos_id=1 --bos_id=2 \
    --unk_id=3 --normalization_rule_name=identity --remove_extra_whitespaces=false \
    --user_defined_symbols='<turn_start>,<turn_end>,<n>,<executable_start>,<executable_end>' >log 2>&1 || cat log
cat >config.json <<'END2'
{"model_type": "afm7", "vocab_size": 700, "hidden_dim": 32, "num_layers": 3, "num_kv_reuse_layers": 1, "num_heads": 2,
 "num_kv_heads": 1, "hidden_dim_scale_factor": 3.25, "rms_norm_eps": 1e-05, "rope_theta": 500000.0}
END2
"$pippin" init --preset config.json --tokenizer m.model --seed 4 -o afm >/dev/null 2>&1

run -m afm --task text.jsonl -n 12 --save-answers saved.jsonl >out
is 'answered' "$(number rows) $(wc -l <saved.jsonl | tr -d ' ')" '3 3'
said=$("$pippin" generate -m afm --system 'Do it.' -p 'Two?' -n 12 --json 2>/dev/null </dev/null | sed 's/.*"text": \(".*"\), "tokens".*/\1/')
is 'what generate says' "$(sed -n 2p saved.jsonl)" "{\"answer\":$said}"
run --task text.jsonl --answers saved.jsonl >other
is 'saved answers are worth the same' "$(grep -oE '"scores.*' other)" "$(grep -oE '"scores.*' out | sed 's/, "answered".*/}/')"
run -m afm --task text.jsonl -n 12 -t 1 --save-answers again.jsonl >/dev/null
is 'one thread' "$(cat again.jsonl)" "$(cat saved.jsonl)"
# learn FILE DIR
learn() { "$pippin" train -m afm --data "$1" -o "$2" --epochs 60 --batch-size 3 --warmup-steps 5 --learning-rate 1e-2 >/dev/null 2>&1; }
learn text.jsonl tuned
run -m tuned --tokenizer m.model --task text.jsonl >out
is 'a model that learned the answers' "$(figures exact)" '1.0000'

adapter() { "$pippin" adapter train -m afm --data text.jsonl -o "$1" --max-steps 20 --warmup-steps 1 --learning-rate 2e-2 --rank 4 "${@:2}" >/dev/null 2>&1; }
adapter adapter
adapter half --save-type f16
run -m afm -a adapter/adapter.safetensors=0 --task text.jsonl -n 12 --save-answers again.jsonl >out
is 'an adapter without effect' "$(cat again.jsonl)" "$(cat saved.jsonl)"
run -m afm -a adapter/adapter.safetensors --task text.jsonl -n 12 --save-answers again.jsonl >out
is 'and with' "$(cmp -s again.jsonl saved.jsonl && echo 'the same answers')" ''
echo '{"prompt": "Two?", "completion": "one"}' >raw.jsonl
run -m afm --task raw.jsonl -n 12 --save-answers again.jsonl >out
said=$("$pippin" generate -m afm --raw -p 'Two?' -n 12 --json 2>/dev/null </dev/null | sed 's/.*"text": \(".*"\), "tokens".*/\1/')
is 'a prompt without template' "$(cat again.jsonl)" "{\"answer\":$said}"

# Labels of the list alone, whatever the weights; b, and its comma, are beginnings of others. Each once.
printf 'red\nred green\nb\nbb::c-d\nviolet\n' >choices.txt
for k in 1 2 3 4 5 6 7 8; do row "Question $k?" 'red, b'; done >colours.jsonl
for seed in 1 2 3; do
    "$pippin" init --preset config.json --tokenizer m.model --seed $seed -o random$seed >/dev/null 2>&1
    run -m random$seed --task colours.jsonl --choices choices.txt -n 60 --save-answers said.jsonl >out
    is "labels of the list, seed $seed" "$(sed 's/^{"answer":"//; s/"}$//; s/, /\n/g' said.jsonl | grep -cvxFf choices.txt) $(number rows)" '0 8'
    is "none twice, seed $seed" "$(while IFS= read -r line; do sed 's/^{"answer":"//; s/"}$//; s/, /\n/g' <<<"$line" | sort | uniq -d; done <said.jsonl)" ''
done
for n in 1 2 3 4 5 6 7; do run -m random1 --task colours.jsonl --limit 4 --choices choices.txt -n $n --save-answers said$n.jsonl >out; done
is 'a label that was cut is none' "$(cat said?.jsonl | sed 's/^{"answer":"//; s/"}$//; s/, /\n/g' | grep -v '^$' | grep -cvxFf choices.txt)" 0
# In the file's order where all references keep to it, and what was in order anyway is then said as before.
said() { sed 's/^{"answer":"//; s/"}$//' "$1"; }
in_order() { awk -F ', ' 'NR == FNR { place[$0] = NR; next } { for (i = 2; i <= NF; i++) if (place[$i] < place[$(i - 1)]) next; print }' choices.txt -; }
{ cat colours.jsonl; row 'And?' 'violet, red'; } >mixed.jsonl
for k in 1 2 3; do row "Question $k?" 'red'; done >single.jsonl
n_changed=0
for seed in 1 2 3; do
    run -m random$seed --task mixed.jsonl --limit 8 --choices choices.txt -n 60 --save-answers held.jsonl >out
    holds "ordered, seed $seed" "$(cat out)" '"ordered": true'
    run -m random$seed --task mixed.jsonl --choices choices.txt -n 60 --save-answers free.jsonl >out
    holds "references out of order, seed $seed" "$(cat out)" '"ordered": false'
    is "labels in order, seed $seed" "$(said held.jsonl | in_order | wc -l | tr -d ' ')" 8
    is "what was in order stays, seed $seed" \
        "$(said free.jsonl | head -8 | paste -d '|' - <(said held.jsonl) | awk -F '|' '$1 != $2 { print $1 }' | in_order)" ''
    n_changed=$((n_changed + $(said free.jsonl | head -8 | paste -d '|' - <(said held.jsonl) | awk -F '|' '$1 != $2' | wc -l)))
done
is 'order changes some' "$((n_changed > 0))" 1
run -m random1 --task single.jsonl --choices choices.txt -n 60 >out
holds 'one label a row tells no order' "$(cat out)" '"ordered": false'
"$pippin" eval -m random1 --task colours.jsonl --choices choices.txt -n 60 >out 2>err
holds 'ordered, as text' "$(head -1 out)" ', labels in the order of choices.txt'
# Votes: where nothing is left to chance all answers are the likeliest, and a larger share leaves fewer labels.
run -m random1 --task mixed.jsonl --choices choices.txt -n 60 --save-answers free.jsonl >out
run -m random1 --task mixed.jsonl --choices choices.txt -n 60 --votes 3 --temp 1e-6 --save-answers voted.jsonl >out
sorted() { while IFS= read -r line; do said <(echo "$line") | sed 's/, /\n/g' | sort | paste -sd ' '; done <"$1"; }
is 'votes without chance' "$(sorted voted.jsonl)" "$(sorted free.jsonl)"
for share in 0.05 0.5 0.95; do
    run -m random1 --task mixed.jsonl --choices choices.txt -n 60 --votes 20 --share $share --save-answers share$share.jsonl >out
done
n_of() { said "$1" | sed 's/, /\n/g' | wc -l | tr -d ' '; }
is 'votes: shares' "$(($(n_of share0.05.jsonl) > $(n_of share0.5.jsonl) && $(n_of share0.5.jsonl) >= $(n_of share0.95.jsonl)))" 1
is 'votes: labels of the list, once each' "$(while IFS= read -r line; do said <(echo "$line") | sed 's/, /\n/g' | sort | uniq -d; done <share0.05.jsonl; said share0.05.jsonl | sed 's/, /\n/g' | grep -cvxFf choices.txt)" 0
learn labels.jsonl tuned2
printf 'a\nb\nc\nd\n' >abcd.txt
run -m tuned2 --tokenizer m.model --task labels.jsonl --choices abcd.txt >out
is 'a model that learned the labels' "$(figures micro_f1 exact)" '1.0000 1.0000'

# However many rows are answered together, each says what it says alone, and takes as many tokens.
for k in 1 2 3 4 5 6 7 8 9 10 11; do row "$(seq -s ' ' $((k * k % 13))) Two or $k?" 'violet'; done >many.jsonl
# law NAME ARGUMENTS...
law() {
    local name=$1
    shift
    run "$@" -b 1 --save-answers alone.jsonl | sed 's/, "seconds.*//' >alone
    is "answered alone, $name" "$(wc -l <alone.jsonl | tr -d ' ')" 11
    for b in 3 16 ''; do
        run "$@" ${b:+-b $b} --save-answers together.jsonl | sed 's/, "seconds.*//' >together
        is "together as alone, $name, -b ${b:-8}" "$(cat together together.jsonl)" "$(cat alone alone.jsonl)"
    done
}
tuned=(-m tuned --tokenizer m.model --task many.jsonl -n 40)
law greedy "${tuned[@]}"
cp alone.jsonl greedy.jsonl
law 'at a temperature' "${tuned[@]}" --temp 1 --seed 5
is 'a temperature says something else' "$(cmp -s alone.jsonl greedy.jsonl && echo 'the same answers')" ''
is 'answers of several lengths' "$(awk '{ print length($0) }' alone.jsonl | sort -u | wc -l | awk '{ print ($1 > 5) }')" 1
law 'an adapter' -m afm -a adapter/adapter.safetensors --task many.jsonl -n 20
run -m afm -a half/adapter.safetensors --task many.jsonl -n 20 --save-answers half.jsonl >/dev/null
is 'an adapter in f16, half the size' "$(($(wc -c <adapter/adapter.safetensors) * 10 > 15 * $(wc -c <half/adapter.safetensors)))" 1
is 'and not without effect' "$(run -m afm --task many.jsonl -n 20 --save-answers bare.jsonl >/dev/null; cmp -s half.jsonl bare.jsonl && echo 'the same answers')" ''
law labels -m random2 --task many.jsonl --choices choices.txt -n 40
law 'labels that were cut' -m random2 --task many.jsonl --choices choices.txt -n 3
law 'labels by votes' -m random2 --task many.jsonl --choices choices.txt -n 40 --votes 5 --seed 3
law 'a small context' -m afm --task many.jsonl --choices choices.txt --ctx 64
cp -r afm short
sed 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 16/' afm/config.json >short/config.json
run -m short --task many.jsonl -n 40 --ctx 128 >out
is 'texts longer than the training, said once for all' "$(grep -c 'longer than the 16 tokens' err) of $(wc -l <err | tr -d ' ')" '1 of 1'

# Votes of corrections: without chance what one answer says, guarded; with it what enough of them say.
law 'corrections by votes' "${tuned[@]}" --guard --votes 5 --share 0.2 --temp 0.7 --seed 3
learn fix.jsonl fixer
for votes in '' '--votes 3 --temp 1e-6' '--votes 3 --temp 1e-6 --share 1'; do
    # shellcheck disable=SC2086
    run -m fixer --tokenizer m.model --task fix.jsonl --guard $votes >out
    is "corrections of a model that learned them: ${votes:-one answer}" "$(figures corrected damaged sentences_right)" '1.0000 0.0000 1.0000'
done
# The same by generate, in the user's hands.
fixed() { "$pippin" generate -m fixer --tokenizer m.model --system 'Do it.' "$@" 2>err </dev/null; }
for votes in '' '--votes 3 --temp 1e-6' '--votes 9 --temp 1e-6 --share 1' '-d fixer' '--lookup'; do
    # shellcheck disable=SC2086
    is "generate --guard $votes" "$(fixed --guard $votes -p 'A crae of of teh code.')" 'A crate of the code.'
    # shellcheck disable=SC2086
    is "generate --guard $votes: what it knows nothing of" "$(fixed --guard $votes -p ' Wxyzwxyz   kjhgkjhg ')" ' Wxyzwxyz   kjhgkjhg '
done
is 'and without it' "$(fixed -n 20 -p ' Wxyzwxyz   kjhgkjhg ' | grep -c Wxyzwxyz)" 0
is 'generate --guard: a text of nothing' "$(fixed --guard -p '')" ''
fixed --guard --votes 4 --json -p 'It is.' >out
is 'generate --guard: JSON' "$(grep -c '"text": "It is.", "tokens": \[\]' out) $(($(number completion_tokens) >= 12))" '1 1'
printf '[{"role":"system","content":"Do it."},{"role":"user","content":"It was."}]' >talk.json
is 'generate --guard: messages' "$("$pippin" generate -m fixer --tokenizer m.model --guard --messages talk.json 2>&1)" 'It was.'
printf '[{"role":"user","content":"It was."},{"role":"assistant","content":"It is"}]' >talk.json
# misused NAME CODE PART ARGUMENTS...
misused() {
    local name=$1 wanted=$2 part=$3 code=0
    shift 3
    fixed "$@" >/dev/null || code=$?
    is "$name: exit code, lines" "$code $(grep -cF -- "$part" err) of $(wc -l <err | tr -d ' ')" "$wanted 1 of 1"
}
misused 'a share without votes' 2 '--share: found without --votes' --guard --share 0.5 -p a
misused 'guesses of votes' 2 '--lookup: found with --votes' --guard --votes 2 --lookup -p a
misused 'a share of free answers' 2 '--share: found without --guard' --votes 3 --share 0.5 -p a
misused 'a guard of ids' 2 '--echo: found with --guard' --guard --echo -p a
misused 'votes of an echo' 2 '--echo: found with --votes' --votes 3 --echo -p a
for seed in 1 2 3 4 5 6; do
    drawn=(-n 40 --guard --votes 5 --share 0.2 --temp 3 --seed $seed)
    run -m fixer --tokenizer m.model --task fix.jsonl --limit 1 "${drawn[@]}" --save-answers voted.jsonl >out
    said voted.jsonl >>measured
    fixed "${drawn[@]}" -p 'A crae of of teh code.' >>got
done
is 'generate gives what eval measures' "$(cat got)" "$(cat measured)"

# Votes of free answers: of several the one that has most in common with the others.
law 'free answers by votes' "${tuned[@]}" --votes 5 --temp 0.7 --seed 3
run "${tuned[@]}" --votes 3 --temp 1e-6 --save-answers voted.jsonl >out
is 'free votes without chance' "$(cat voted.jsonl)" "$(cat greedy.jsonl)"
rm got measured
for seed in 1 2 3 4 5 6; do
    drawn=(-n 40 --votes 7 --temp 1.2 --seed $seed)
    run -m fixer --tokenizer m.model --task fix.jsonl --limit 1 "${drawn[@]}" --save-answers voted.jsonl >out
    said voted.jsonl >>measured
    fixed "${drawn[@]}" -p 'A crae of of teh code.' >>got
    for one in 0 1 2 3 4 5 6; do fixed -n 40 --temp 1.2 --seed $((seed + one)) -p 'A crae of of teh code.'; done >drawn$seed
    is "the elected is one of those that were drawn, seed $seed" "$(grep -cxF -- "$(tail -1 got)" drawn$seed | awk '{ print ($1 > 0) }')" 1
done
is 'generate --votes gives what eval measures' "$(cat got)" "$(cat measured)"
for seed in 1 2 3 4 5 6; do
    printf '/votes 7\nA crae of of teh code.\n' |
        "$pippin" chat -m fixer --tokenizer m.model --system 'Do it.' -n 40 --temp 1.2 --seed $seed 2>/dev/null
done >chatted
is 'and so does chat' "$(cat chatted)" "$(cat got)"
is 'and is not always the first' "$(for seed in 1 2 3 4 5 6; do head -1 drawn$seed; done | cmp -s - got && echo 'always')" ''
fixed --votes 4 --temp 1 -n 3 --json -p 'It is.' >out
is 'generate --votes: JSON' "$(grep -c '"tokens": \[\], "finish_reason": "length"' out) $(number completion_tokens)" '1 12'
is 'generate --votes --raw' "$(fixed --raw --votes 3 --temp 1e-6 -n 8 -p 'A crate' | head -1)" "$(fixed --raw -n 8 -p 'A crate' | head -1)"
is 'and seeds say several things' "$(($(sort -u got | wc -l) > 1))" 1
fixed() { "$pippin" generate -m fixer --tokenizer m.model "$@" 2>err </dev/null; }
misused 'a guard of no words' 1 'guard: found messages whose last is not' --guard --messages talk.json

# Guesses: the same answers in fewer passes; what one model says is what the same model finds likeliest.
for options in '-d tuned --draft-tokens 3' '--lookup --draft-tokens 2' '-d tuned --draft-vocab 64'; do
    # shellcheck disable=SC2086
    run "${tuned[@]}" $options --save-answers guessed.jsonl >out
    is "answers with guesses: $options" "$(cat guessed.jsonl)" "$(cat greedy.jsonl)"
    is "guesses that were right: $options" "$(($(number draft_n) >= $(number draft_n_accepted) && $(number draft_n_accepted) > 0))" 1
done
run "${tuned[@]}" --against tuned --save-answers guessed.jsonl >out
is 'answers, and a draft beside' "$(cat guessed.jsonl)" "$(cat greedy.jsonl)"
"$pippin" convert tuned --tokenizer m.model --type q8 -o tuned.gguf >/dev/null 2>&1 # as drafts are run
run -m tuned.gguf --task many.jsonl -n 40 --against tuned.gguf >out
is 'it agrees with itself' "$(figures top1_agreement)" 1.0000
run "${tuned[@]}" --against afm >out
is 'and not with another' "$(number top1_agreement | awk '{ print ($1 < 0.5) }')" 1
is 'ends are compared too' "$(($(grep -oE '"top1_agreement"|"tokens": [0-9]+' out | sed -n 's/.*: //p' | tail -1) - $(number tokens)))" \
    "$((11 - $(number cut)))"
"$pippin" "eval" -m tuned.gguf --task many.jsonl -n 40 -d tuned.gguf --draft-tokens 3 --against tuned.gguf >out 2>err
holds 'guesses, as text' "$(cat out)" 'passes for the tokens'
holds 'agreement, as text' "$(cat out)" 'top-1 agreement of tuned.gguf: 1.0000'
refused 'guesses of labels' 2 '--draft: found with --choices' -m afm --task many.jsonl --choices choices.txt -d afm
refused 'agreement by votes' 2 '--against: found with --votes' -m afm --task many.jsonl --guard --votes 3 --against afm
refused 'guesses of a text' 2 '--draft: found without --task' -m afm --text text.jsonl -d afm
refused 'votes of a text' 2 '--votes: found without --task' -m afm --text text.jsonl --against afm --votes 3
refused 'agreement of a file' 2 '--against: found with --answers' --task many.jsonl --answers greedy.jsonl --against afm
refused 'guesses of a file' 2 '--lookup: found with --answers' --task many.jsonl --answers greedy.jsonl --lookup
sed 's/700/640/' afm/config.json >less.json
"$pippin" init --preset less.json -o less >/dev/null 2>&1
refused 'a draft of another vocabulary' 1 'less: has 640 ids, expected the 700 of tuned' "${tuned[@]}" --against less
refused 'a share of free answers' 2 '--share: found without --choices or --guard' -m afm --task text.jsonl --votes 4 --share 0.5
refused 'a share of no votes' 2 '--share' -m afm --task many.jsonl --choices choices.txt --share 0.5
{ head -1 text.jsonl; sed 's/"system"/"tool"/' text.jsonl | head -1; } >bad.jsonl
refused 'a conversation that is none' 1 'bad.jsonl:2: messages[0]' -m afm --task bad.jsonl
refused 'a prompt that is too long' 1 'text.jsonl:1: its prompt has' -m afm --task text.jsonl --ctx 8
refused 'no place for answers' 1 'nowhere/answers.jsonl' -m afm --task text.jsonl --save-answers nowhere/answers.jsonl

if env --default-signal=INT true 2>/dev/null; then
    for k in $(seq 400); do row "Question $k?" 'red, b'; done >long.jsonl
    env --default-signal=INT "$pippin" eval -m afm --task long.jsonl -n 400 --json --save-answers part.jsonl >out 2>err &
    sleep 2
    kill -INT $!
    code=0
    wait $! || code=$?
    is 'Ctrl-C: exit code' $code 130
    n=$(sed -n 's/^pippin: interrupted after \([0-9]*\) of 400 rows$/\1/p' err)
    if [ "${n:-0}" -gt 0 ]; then
        is 'Ctrl-C: rows' "$(number rows) $(wc -l <part.jsonl | tr -d ' ') $(grep -c '"interrupted": true' out)" "$n $n 1"
    else
        is 'Ctrl-C before the first answer' "$(cat out) $(ls part.jsonl* 2>/dev/null)" ' '
    fi
else
    skip 'Ctrl-C: no env --default-signal'
fi
finish
