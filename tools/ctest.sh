#!/bin/sh
# ctest.sh FOLDER - runs the tests of a build folder and ends with "N passed, N failed, N skipped"; names what was skipped.
set -eu
folder=$(cd "$1" && pwd)
jobs=$(nproc 2>/dev/null || echo 2)
log=$folder/Testing/Temporary/LastTest.log
console=$folder/Testing/console.log
rm -f "$log"
status=0
mkdir -p "$folder/Testing"
ctest --test-dir "$folder" -j "$jobs" --output-on-failure --no-tests=error --output-log "$console" \
    --test-output-size-passed 10000000 --test-output-size-failed 10000000 || status=$?
[ -f "$log" ] || exit 1

# A cmocka case counts by its mark, a script's by lines "ok NAME", "FAILED NAME...", "SKIPPED NAME: why"; a test that says
# "N passed, N failed" itself is believed, and one that prints none of these counts as one. A case that skipped a part of
# itself counts as skipped.
awk '
function close_test() {
    if (test == "") return
    if (own) { n_pass = own_pass; n_fail = own_fail }
    if (test in not_run && n_skip == 0) skip(test ": could not run")
    if (verdict == "failed" && n_fail == 0) n_fail = 1
    if (verdict == "passed" && n_pass + n_fail + n_skip == 0) n_pass = 1
    passed += n_pass; failed += n_fail; skipped += n_skip
    test = ""
}
function skip(text) { n_skip++; if (!(text in seen)) { seen[text] = 1; names[++n_names] = text } }
# A script that ends with 77 counts as passed in the log; only the console tells.
NR == FNR { if (/\*\*\*Skipped/) { sub(/.*Test +#[0-9]+: /, ""); not_run[$1] = 1 } next }
/^[0-9]+\/[0-9]+ Test: / { close_test(); test = $3; n_pass = n_fail = n_skip = 0; running = own = 0; verdict = ""; next }
/^\[ RUN  / { running = 1; partly = 0; next }
/^\[       OK \]/ { if (running && !partly) n_pass++; running = 0; next }
/^\[  FAILED  \]/ { if (running) n_fail++; running = 0; next }
/^\[  SKIPPED \]/ { if (running && !partly) skip(test ": " $4); running = 0; next }
/^ok / { n_pass++; next }
/^FAILED / { n_fail++; next }
/^SKIPPED / { if (!running || !partly) { partly = 1; skip(test ": " substr($0, 9)) } else { t = n_skip; skip(test ": " substr($0, 9)); n_skip = t } next }
/^[0-9]+ passed, [0-9]+ failed/ { own = 1; own_pass = $1; own_fail = $3 + 0; next }
/^Test Passed\./ { verdict = "passed"; next }
/^Test (Failed|Timeout|Not Run)/ { verdict = "failed"; next }
END {
    close_test()
    if (n_names) print "\nskipped:"
    for (i = 1; i <= n_names; i++) print "  " names[i]
    printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
}' "$console" "$log"
exit "$status"
