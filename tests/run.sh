#!/usr/bin/env bash
# Runs test suites and counts: tests/run.sh NAME 'COMMAND' [NAME 'COMMAND']…
# Each command's output goes to $B/check/NAME.log and is shown when the suite fails. Closing lines of cmocka, node:test and "N passed, M failed"
# are understood; a suite that fails without a count counts as one failure. Ends with the sum.
set -u
cd "$(dirname "$0")/.."
out=${B:-build}/check
mkdir -p "$out"
passed=0 failed=0 skipped=0 started=$SECONDS

# Reads a log, prints "passed failed skipped".
count() {
    awk '
        /^\[  PASSED  \] [0-9]+ test/ { p += $4 }
        /^\[  FAILED  \] [0-9]+ test/ { f += $4 }
        /^\[  SKIPPED \] [0-9]+ test/ { s += $4 }
        /^# pass [0-9]+$/ { p += $3 }
        /^# fail [0-9]+$/ { f += $3 }
        /^# (skipped|todo) [0-9]+$/ { s += $3 }
        /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3; if ($6 == "skipped") s += $5 }
        END { printf "%d %d %d\n", p, f, s }' "$1"
}

while [ $# -ge 2 ]; do
    name=$1 command=$2; shift 2
    log=$out/$name.log
    begin=$SECONDS
    bash -c "$command" >"$log" 2>&1 </dev/null
    status=$?
    read -r p f s < <(count "$log")
    [ "$status" != 0 ] && [ "$f" = 0 ] && f=1
    [ "$status" = 0 ] && [ "$p" = 0 ] && { f=1; echo "$name: ended well but ran no test"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-14s %5d passed %4d failed %4d skipped  %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - begin))
    if [ "$f" != 0 ]; then
        echo "---- $log (end) ----"
        grep -nE '^not ok|\[  FAILED  \]|ERROR:|error:|SUMMARY:|failureType|AssertionError' "$log" | head -40
        tail -40 "$log"
        echo "--------------------"
    fi
    [ "$s" != 0 ] && grep -hE '# SKIP|SKIPPED' "$log" | head -10
done
echo "$((SECONDS - started)) seconds"
if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
