#!/usr/bin/env bash
# Runs test suites and counts: tests/run.sh NAME SECONDS 'COMMAND' [NAME SECONDS 'COMMAND']…
# Each command's output goes to $B/check/NAME.log and is shown when the suite fails. Closing lines of cmocka, node:test and "N passed, M failed"
# are understood; a suite that fails without a count counts as one failure, and so does one that is not done within its seconds: it is killed. Ends with
# the sum. With SUITES="NAME…" only these run.
set -u
cd "$(dirname "$0")/.."
out=${B:-build}/check
mkdir -p "$out"
passed=0 failed=0 skipped=0 started=$SECONDS
mark= pid=

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

# Processes of the suite that are still there. Those that left its process group (a deadline within the deadline, a terminal's server) bear its mark in their
# environment; the mark holds this script's process id, so that two runs at a time do not meet.
strays() { grep -lzsx "LSESS_SUITE=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | grep -vx "$$"; }

# Two seconds for them to end by themselves.
gone() {
    for _ in {1..40}; do
        [ -z "$(strays)" ] && return 0
        sleep 0.05
    done
}

sweep() {
    local found round
    for round in TERM KILL; do
        found=$(strays)
        [ -n "$found" ] || return 0
        # shellcheck disable=SC2086 -- a list of numbers
        kill -"$round" $found 2>/dev/null
        gone
    done
}
interrupted() {
    [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null
    [ -n "$mark" ] && sweep
    exit 130
}
trap interrupted INT TERM HUP

while [ $# -ge 3 ]; do
    name=$1 deadline=$2 command=$3; shift 3
    [ -n "${SUITES:-}" ] && [[ " $SUITES " != *" $name "* ]] && continue
    log=$out/$name.log
    begin=$SECONDS
    mark=$$-$name
    LSESS_SUITE=$mark timeout -k 10 "$deadline" bash -c "$command" >"$log" 2>&1 </dev/null &
    pid=$!
    { wait "$pid"; } 2>/dev/null
    status=$?
    pid=
    gone
    left=$(strays | wc -l)
    sweep
    read -r p f s < <(count "$log")
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        f=$((f + 1))
        echo "not ok $name: killed, it had not ended within $deadline seconds" >>"$log"
    fi
    [ "$status" != 0 ] && [ "$f" = 0 ] && f=1
    [ "$status" = 0 ] && [ "$p" = 0 ] && { f=1; echo "$name: ended well but ran no test"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-14s %5d passed %4d failed %4d skipped  %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - begin))
    [ "$left" != 0 ] && echo "$name: left $left processes running; they have been killed"
    if [ "$f" != 0 ]; then
        echo "---- $log (end) ----"
        grep -nE '^not ok|^FAILED|\[  FAILED  \]|ERROR:|error:|SUMMARY:|failureType|AssertionError' "$log" | head -40
        tail -40 "$log"
        echo "--------------------"
    fi
    [ "$s" != 0 ] && grep -hE '# SKIP|SKIPPED' "$log" | head -10
done
echo "$((SECONDS - started)) seconds"
if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
