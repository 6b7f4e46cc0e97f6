#!/bin/bash
# afm_chat_test.sh PIPPIN [SHARED] - prompts and conversations in AFM's template by the command, with a vocabulary that is made
# here and a model of random weights: prompts written by hand, their ids as spm_encode gives them, what is refused, and what a
# terminal does. SHARED is not used.
# LC_ALL is C: the hardest place for letters.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset XDG_STATE_HOME
export HOME=$scratch/home
mkdir "$HOME"
if ! command -v spm_train >/dev/null || ! command -v spm_encode >/dev/null; then
    echo 'SKIPPED chat in AFM'\''s template: spm_train is not here (package sentencepiece)'
    finish
fi
cd "$scratch" || exit 1
# From a text that stays as it is: what a model of random weights says depends on its vocabulary.
spm_train --input="$root/LICENSE" --model_prefix=m --vocab_size=900 --model_type=bpe --byte_fallback --pad_id=0 --eos_id=1 --bos_id=2 \
    --unk_id=3 --normalization_rule_name=identity --remove_extra_whitespaces=false \
    --user_defined_symbols='<turn_start>,<turn_end>,<n>,<executable_start>,<executable_end>' >log 2>&1 || cat log
cat >config.json <<'END'
{"model_type": "afm7", "vocab_size": 900, "hidden_dim": 64, "num_layers": 5, "num_kv_reuse_layers": 2, "num_heads": 4,
 "num_kv_heads": 2, "hidden_dim_scale_factor": 3.25, "rms_norm_eps": 1e-05, "rope_theta": 500000.0}
END
"$pippin" init --preset config.json -o afm >/dev/null 2>&1
cp m.model afm/tokenizer.model
generate() { "$pippin" generate -m afm "$@" 2>&1 </dev/null; }

# ---- prompts ----
turn() { printf '<turn_start> %s<n>%s<turn_end>' "$1" "$2"; }
wanted=$(turn system 'Be brief.' && turn user 'What is pippin?' && printf '<turn_start> assistant<n>')
is 'a prompt by hand' "$(generate -p 'What is pippin?' --system 'Be brief.' --show-prompt)" "$wanted"
# Another program's ids; it knows nothing of templates, and EOS comes before them, as its first piece does not.
printf '%s' "$wanted" | spm_encode --model=m.model --output_format=id >ids 2>/dev/null
n=$(wc -w <ids)
is 'ids of the prompt' "$(generate -p 'What is pippin?' --system 'Be brief.' --show-prompt --json |
    sed 's/.*"tokens": \[\([0-9, ]*\)\].*/\1/' | tr -d ,)" "1 $(cut -d' ' -f2- ids)"
is 'counted tokens' "$(generate -p 'What is pippin?' --system 'Be brief.' --count-tokens)" "$n"
usage() { grep -o '"prompt_tokens": [0-9]*' | tr -dc 0-9; }
is 'usage of a run' "$(generate -p 'What is pippin?' --system 'Be brief.' -n 3 --json | usage)" "$n"
cat >messages.json <<'END'
{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "What is pippin?"}]}]}
END
is 'the same as messages' "$(generate --messages messages.json --show-prompt)" "$wanted"
is 'messages from stdin' "$("$pippin" generate -m afm --messages - --show-prompt <messages.json)" "$wanted"
is 'usage of messages' "$("$pippin" generate -m afm --messages - -n 2 --json <messages.json | usage)" "$n"
is 'raw' "$(generate -p 'What is pippin?' --raw --show-prompt)" 'What is pippin?'
# What a text begins with is EOS everywhere: as ids, as a prompt, in what is scored, and in what is learned.
is 'a text as ids begins with EOS' "$(printf 'What is pippin?' | "$pippin" tokenize -m m.model --ids --bos | cut -d' ' -f1)" 1
is 'and without a template' "$(generate -p 'What is pippin?' --raw --show-prompt --json | grep -o '"tokens": \[1, ')" '"tokens": [1, '
printf 'What is pippin? It is an apple grown from seed.' >text
text_ids=$(printf '1 ' && spm_encode --model=m.model --output_format=id <text 2>/dev/null)
"$pippin" logits -m afm --tokens "$(tr ' ' , <<<"$text_ids")" -o text.npy >/dev/null 2>&1
scored=$("$pippin" eval -m afm --text text --json | grep -o '"nll": [0-9.]*' | head -1 | tr -dc '0-9.')
if command -v python3 >/dev/null; then
    by_hand=$(python3 - $text_ids <<'END'
import math, struct, sys
ids = list(map(int, sys.argv[1:]))
data = open("text.npy", "rb").read()
rows = struct.unpack(f"<{len(ids) * 900}f", data[-len(ids) * 3600:])
row = lambda i: rows[900 * i : 900 * (i + 1)]
print(sum(math.log(sum(map(math.exp, row(i)))) - row(i)[ids[i + 1]] for i in range(len(ids) - 1)))
END
    )
    is 'a score is that behind EOS' "$(awk -v a="$scored" -v b="$by_hand" 'BEGIN { print (a > 0 && (a - b)^2 < 1e-6) }')" 1
else
    skip 'a score by hand: no python3'
fi
# Learned is one target more, EOS behind the text; a loss is that before the step, so that both runs see the same weights.
echo '{"text": "What is pippin? It is an apple grown from seed."}' >text.jsonl
echo "{\"tokens\": [$(sed 's/ /, /g' <<<"$text_ids"), 1]}" >ids.jsonl
for form in text ids; do
    "$pippin" train -m afm --data $form.jsonl --max-steps 1 -o by-$form >/dev/null 2>&1
    grep -o '"loss": *[0-9.]*' by-$form/metrics.jsonl >by-$form.loss
done
is 'a text is learned behind EOS' "$(cmp by-text.loss by-ids.loss && wc -l <by-text.loss | tr -d ' ')" 1
is 'a prompt of ids' "$(generate --tokens "$(tr ' ' , <ids)" --show-prompt)" "$(sed 's/<n>/\n/g' <<<"$wanted")"
# A piece in a user's words is as many tokens as spm_encode makes of letters, and never the piece.
is 'a piece in a text is text' "$(generate -p 'a<turn_end>' --show-prompt --json | grep -oE '[[ ]5[],]' | wc -l | tr -d ' ')" 2
is 'an answer ends where a turn ends' "$(generate -p 'What is pippin?' --temp 50 --seed 3 | grep -c '<turn_end>')" 0

# ---- what is refused ----
# refused NAME CODE PART ARGUMENTS...
refused() {
    local name=$1 wanted=$2 part=$3 code=0
    shift 3
    "$pippin" generate -m afm "$@" >out 2>err </dev/null || code=$?
    is "$name: exit code" $code "$wanted"
    is "$name: says" "$(grep -cF -- "$part" err) $(wc -l <err | tr -d ' ') $(wc -c <out | tr -d ' ')" '1 1 0'
}
echo '[{"role":"user","content":"a"},{"role":"user","content":"b"}]' >twice.json
echo '[{"role":"user","content":"a"},{"role":"boss","content":"b"}]' >boss.json
echo '[{"role":"user","content":"a"' >cut.json
echo '[7]' >number.json
refused 'two users' 1 'messages[1].role: found user after user, expected assistant' --messages twice.json
refused 'unknown role' 1 'messages[1].role: found "boss", expected system, user, assistant or tool' --messages boss.json
refused 'no JSON' 1 'messages: line ' --messages cut.json
refused 'a number' 1 'messages[0]: found a number, expected an object' --messages number.json
refused 'no file' 1 'nowhere.json' --messages nowhere.json
refused 'system, no UTF-8' 1 '--system: found bytes' -p x --system $'\xff'
refused 'prompt, no UTF-8' 1 'pass it with --raw' -p $'\xff'
refused 'ids and a system' 2 '--system: found with --tokens' --tokens 1,2 --system x
refused 'ids and a template' 2 '--template: found with --tokens' --tokens 1,2 --template afm
refused 'raw and a template' 2 '--raw: found with --template' -p x --raw --template afm
refused 'raw and messages' 2 '--raw: found with --messages' --raw --messages messages.json
refused 'two things to print' 2 '--show-prompt' -p x --count-tokens --show-prompt

# ---- conversations from a pipe ----
say() {
    code=0
    printf '%s\n' "$@" | "$pippin" chat -m afm -n 12 --temp 1 --ctx 200 >out 2>err || code=$?
}
cached() { grep -oE '[0-9]+ of them cached' err | tr -dc '0-9\n' | paste -sd' '; }
say Hello /stats 'And now?' /stats
is 'a script: exit code' $code 0
is 'the second turn finds the first' "$(cached | awk -v n="$(generate -p Hello --count-tokens)" '{ print ($1 == 0 && $2 >= n) }')" 1
is 'counts of the context' "$(grep -cE '^context [0-9]+ of 200 tokens; last prompt [0-9]+ tokens' err)" 2
guessing() { printf '%s\n' Hello 'And now?' /stats | "$pippin" chat -m afm -n 30 --ctx 300 "$@" 2>err; }
is 'guesses change no answer' "$(guessing -d afm --lookup --draft-tokens 3)" "$(guessing)"
guessing -d afm --draft-tokens 3 >out
is 'guesses are told about' "$(grep -c 'guesses right' err)" 1
say '/system Be brief.  ' Hello '/save a.json'
is 'a space after the system' "$code $(grep -c '"Be brief."' a.json) $(grep -c assistant a.json)" '0 1 1'
"$pippin" chat -m afm --system 'Be brief. ' </dev/null >out 2>err
is 'a system that cannot be written' "$? $(grep -c 'found a space' err)" '1 1'
echo '[{"role":"user","content":"Hello"}]' >asked.json
say '/load asked.json' 'And now?' '/save b.json'
is 'what was asked is answered when it is loaded' "$code $(wc -l <out | tr -d ' ') $(grep -c assistant b.json)" '0 2 2'
say Hello '/save c.json' '/load twice.json' '/save d.json'
is 'a conversation that is none changes nothing' "$code $(grep -c 'messages\[1\]' err) $(cmp c.json d.json && echo same)" '1 1 same'
echo '{"messages":[],"tools":[{"function":{"name":"f"}}]}' >tools.json
say '/load tools.json'
is 'tools are not dropped' "$code $(grep -c 'tools beside' err)" '1 1'
say '"""/etc' 'is what?"""' '/save e.json'
is 'a quoted text is no command' "$code $(grep -c '"/etc\\nis what?"' e.json)" '0 1'
is 'a saved conversation is one for others' "$(generate --messages e.json --count-tokens | grep -c 'messages\[1\].role: found assistant last')" 1
say /stat
is 'a slip' "$code $(grep -c 'did you mean /stats?' err)" '1 1'
say "$(printf 'word %.0s' {1..300})" '/save f.json' Hello
is 'a full context' "$code $(grep -cE '[0-9]{3,}.*200.*/reset.*--ctx' err) $(grep -c role f.json) $(wc -l <out | tr -d ' ')" '1 1 0 1'
"$pippin" chat -m afm --adapter none --max-tokens 4 --top-k 5 --temp 1 --seed 3 --stop e <<<Hello >out 2>err
is 'options as generate has them' "$? $(tr -d '\n' <out)" "0 $(generate -p Hello --max-tokens 4 --top-k 5 --temp 1 --seed 3 --stop e | tr -d '\n')"
is 'no history from a pipe' "$(find home -type f | wc -l | tr -d ' ')" 0

# ---- at a terminal ----
if ! command -v python3 >/dev/null || ! python3 -c 'import pty'; then
    echo 'SKIPPED chat at a terminal: no python3'
    finish
fi
cat >terminal.py <<'END'
"""terminal.py PIPPIN - talks with a chat at a terminal; a line for what was not seen."""
import os, pty, select, sys, time

class Chat:
    def __init__(self, *more):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(sys.argv[1], ["pippin", "chat", "-m", "afm", "--ctx", "1000000", *more])
        self.prompt("the first prompt")

    def expect(self, name, part):
        """Waits for part; what comes after it is kept for the next."""
        end = time.time() + 20
        while part not in self.seen and time.time() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    break
        before, found, self.seen = self.seen.partition(part)
        if not found:
            print(f"{name}: found {before[-200:]!r}, expected {part!r}")

    def prompt(self, name):
        self.expect(name, b"\r\n> ")

    def say(self, text):
        if not edits:
            time.sleep(0.3)  # a signal that comes before the read is waited for stops no read
        os.write(self.fd, text.encode())

    def leaves(self, name):
        end = time.time() + 20
        while time.time() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if status:
                    print(f"{name}: exit code {os.waitstatus_to_exitcode(status)}, expected 0")
                return
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
        print(f"{name}: it is still there")
        os.kill(self.pid, 9)

edits = True
chat = Chat()
chat.say("/stats\n")
chat.expect("/stats", b"memory")
chat.prompt("after /stats")
chat.say("\x04")
chat.leaves("Ctrl-D")
edits = os.path.exists("home/.local")  # libedit is there, and so is a history
# Without temperature this model does not come to an end: the next prompt comes because of Ctrl-C.
chat = Chat()
chat.say("h\u00e9llo \u4f60\n")
chat.expect("the line", b"llo")
time.sleep(0.5)
chat.say("\x03")
chat.prompt("Ctrl-C stops the answer")
chat.say("half a line\x03")
chat.expect("Ctrl-C takes the line", b"^C")
chat.prompt("and asks again")
chat.say("/save u.json\n")
chat.expect("the line is gone", b"is saved")
chat.prompt("after /save")
chat.say("one \\\n")
chat.expect("more lines", b"... ")
chat.say("\x03")
chat.prompt("Ctrl-C takes all lines")
chat.say("\x03")
chat.leaves("the second Ctrl-C")
chat = Chat("--no-history")
chat.say("/nothing\n")
chat.expect("unknown", b"not a command")
chat.prompt("after a slip")
chat.say("\x04")
chat.leaves("Ctrl-D")
if edits:
    chat = Chat()
    chat.say("\x1b[A\x1b[A")
    chat.expect("the line before the last", b"/save u.json")
    chat.say("\x15\x04")
    chat.leaves("Ctrl-D after a line that was taken away")
END
# libedit never frees the names of functions that keys are bound to; all else that leaks is told.
echo 'leak:wcsdup' >suppressions
export LSAN_OPTIONS=${LSAN_OPTIONS:+$LSAN_OPTIONS:}suppressions=$PWD/suppressions:print_suppressions=0
is 'at a terminal' "$(timeout 100 python3 terminal.py "$pippin" 2>&1)" ''
is 'letters beyond ASCII, and what there was of the answer' "$(grep -c $'h\xc3\xa9llo \xe4\xbd\xa0' u.json) $(grep -c assistant u.json)" '1 1'
history=home/.local/state/pippin/history
if [ -e $history ]; then
    is 'the history is its owner'\''s' "$(stat -c %a $history) $(grep -c /nothing $history)" '600 0'
else
    echo 'SKIPPED the history of chat: built without libedit'
fi
finish
