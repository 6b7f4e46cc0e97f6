#!/bin/bash
# chat_test.sh PIPPIN [SHARED] - conversations by the command, with a model of random weights and a real vocabulary: prompts
# through the template, turns that find what was read already, commands between turns, Ctrl-C.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
export LC_ALL=C.UTF-8 XDG_STATE_HOME=$scratch/state
vocabulary=$shared/data/tokenizers/qwen3/tokenizer.json.xz

code=0
"$pippin" chat -m nowhere </dev/null >/dev/null 2>"$scratch/err" || code=$?
is 'no model: exit code' $code 1
is 'no model: one line' "$(wc -l <"$scratch/err" | tr -d ' ')" 1
if [ ! -e "$vocabulary" ] || ! command -v xz >/dev/null; then
    echo 'SKIPPED chat: no vocabulary with a chat template'
    finish
fi

cat >"$scratch/config.json" <<'END'
{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
 "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
 "tie_word_embeddings": true, "max_position_embeddings": 512}
END
model=$scratch/model
"$pippin" init --preset "$scratch/config.json" -o "$model" >/dev/null 2>&1
xz -dc "$vocabulary" >"$model/tokenizer.json"
newline='
'

# ---- generate: the template by default ----
prompt="<|im_start|>user${newline}Hello there<|im_end|>${newline}<|im_start|>assistant$newline"
is 'a prompt through the template' "$("$pippin" generate -m "$model" -p 'Hello there' --show-prompt)" "${prompt%"$newline"}"
is 'the system first' "$("$pippin" generate -m "$model" -p Hi --system Brief --show-prompt | head -1)" '<|im_start|>system'
is 'raw' "$("$pippin" generate -m "$model" -p 'Hello there' --raw --show-prompt)" 'Hello there'
is "another template" "$("$pippin" generate -m "$model" -p Hi --template mistral 2>&1 | grep -c "needs the piece")" 1
echo '[{"role":"user","content":"Hello there"}]' >"$scratch/messages.json"
for how in "-p Hello\\ there" "--messages $scratch/messages.json"; do
    is "ids, $how" "$(eval "'$pippin' generate -m '$model' $how --count-tokens")" 10
done
# What a user writes never ends a turn.
is 'pieces in content are letters' "$("$pippin" generate -m "$model" -p 'a<|im_end|>' --count-tokens)" "$(($("$pippin" generate -m "$model" -p a --count-tokens) + $(printf '<|im_end|>' | "$pippin" tokenize -m "$model" --ids | wc -w)))"
# refused NAME PART ARGUMENTS...
refused() {
    local name=$1 part=$2 code=0
    shift 2
    "$pippin" generate -m "$model" "$@" >/dev/null 2>"$scratch/err" </dev/null || code=$?
    is "$name: exit code" $((code > 0)) 1
    is "$name: says" "$(grep -cF -- "$part" "$scratch/err")" 1
}
echo '[{"role":"user","content":"a"},{"role":"user","content":"b"}]' >"$scratch/twice.json"
refused 'two users' 'messages[1]' --messages "$scratch/twice.json"
refused 'system and messages' '--system' --messages "$scratch/messages.json" --system x
refused 'raw system' '--raw' -p x --system y --raw

# ---- chat ----
# say LINES... - a conversation; its answers in $scratch/out, the rest in $scratch/err
say() { printf '%s\n' "$@" | "$pippin" chat -m "$model" -n 6 --temp 1 --ctx 128 >"$scratch/out" 2>"$scratch/err"; }
say Hello /stats 'And\' 'now?' /stats
is 'turns that find what was read' "$(grep -oE '[0-9]+ of them cached' "$scratch/err" | tr -dc '0-9\n' | paste -sd' ' | awk '{ print ($1 == 0 && $2 > 9) }')" 1
first=$(head -1 "$scratch/out")
say Hello
is 'the same words, the same answer' "$(head -1 "$scratch/out")" "$first"
printf 'Hello\n/system Brief.\nHello\n' | "$pippin" chat -m "$model" -n 6 --temp 1 --ctx 128 --echo >"$scratch/out" 2>"$scratch/err"
is 'a transcript' "$(grep -n '^> ' "$scratch/out" | tr '\n' ' ')" '1:> Hello 3:> /system Brief. 4:> Hello '
is 'a transcript: the answer' "$(sed -n 2p "$scratch/out")" "$first"
say '"""' 'a' 'b' '"""' "/save $scratch/c.json" /reset "/load $scratch/c.json" more "/save $scratch/d.json"
is 'a text of several lines' "$(grep -c '"content": "a\\nb"' "$scratch/c.json")" 1
is 'a conversation goes on after /load' "$(grep -c '"role": "assistant"' "$scratch/d.json")" 2
say '/system Be brief.' Hello "/save $scratch/e.json" /reset "/save $scratch/f.json" /system "/save $scratch/g.json"
is 'the system stays over /reset' "$(grep -c 'Be brief' "$scratch/f.json") $(grep -c role "$scratch/f.json") $(grep -c role "$scratch/g.json")" '1 1 0'
say /stat /nothing '/load nowhere.json' '/adapter nowhere.pt' /help
is 'a slip' "$(grep -c 'did you mean /stats' "$scratch/err")" 1
is 'messages of commands' "$(grep -cE '/nothing: not a command|nowhere.json|nowhere.pt|/reset' "$scratch/err")" 4
say "$(printf 'word %.0s' {1..200})"
is 'a full context: both numbers, what to do' "$(grep -cE '[0-9]+.*128.*/reset' "$scratch/err")" 1
words=' Wxyzwxyz   kjhgkjhg'
say /guard '/guard on' "$words" "/save $scratch/on.json" '/guard off' /reset "$words" "/save $scratch/off.json"
is 'a guarded answer of one that knows nothing' "$(grep -cxF -- "$words" "$scratch/out") $(grep -cF -- "$words" "$scratch/on.json")" '1 2'
is 'and a free one' "$(grep -cF -- "$words" "$scratch/off.json") $(grep -c 'may only put your words right' "$scratch/err")" '1 1'
# By votes what generate says by as many; without them what it was before.
voted=$("$pippin" generate -m "$model" -n 6 --temp 1 --ctx 128 --votes 3 -p Hello 2>/dev/null)
say Hello /votes '/votes 0' '/votes 5 2' '/votes 3 x' '/votes 3' /reset Hello '/votes off' /reset Hello
is 'an answer by votes' "$(cat "$scratch/out")" "$first$newline$voted$newline$first"
is 'how votes are asked for' "$(grep -c '^/votes N' "$scratch/err") $(grep -c 'answer is what several come to' "$scratch/err")" '4 1'
say '/votes 3 0.5' '/guard on' "$words"
is 'guarded answers by votes' "$(cat "$scratch/out")" "$words"
is 'no history from a pipe' "$([ -e "$scratch/state/pippin/history" ] && echo kept)" ''

# ---- Ctrl-C stops the answer only ----
rm -f "$scratch/out" "$scratch/err"
mkfifo "$scratch/in"
set -m # or a background job ignores Ctrl-C; and env, where this script itself was begun as one
env --default-signal=INT "$pippin" chat -m "$model" --temp 1 --ctx 100000 <"$scratch/in" >"$scratch/out" 2>"$scratch/err" &
chat=$!
exec 3>"$scratch/in"
echo Hello >&3
for _ in {1..100}; do [ -s "$scratch/out" ] && break; sleep 0.1; done
kill -INT $chat
# The next words are answered, at length again, and that answer is stopped too.
sleep 0.5
size=$(wc -c <"$scratch/out")
echo Again >&3
for _ in {1..100}; do [ "$(wc -c <"$scratch/out")" -gt $((size + 60)) ] && break; sleep 0.1; done
is 'an answer after Ctrl-C' $(($(wc -c <"$scratch/out") > size + 60)) 1
kill -INT $chat
echo /stats >&3
exec 3>&-
code=0
wait $chat || code=$?
is 'it stays after Ctrl-C' "$code $(grep -c 'context' "$scratch/err")" '0 1'
finish
