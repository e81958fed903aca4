#!/usr/bin/env bash
# Runs test suites and counts: tests/run.sh NAME SECONDS 'COMMAND' [NAME SECONDS 'COMMAND']… [--beside NAME SECONDS 'COMMAND'…]
# Each command's output goes to $B/check/NAME.log and is shown when the suite fails. Closing lines of cmocka, node:test and "N passed, M failed"
# are understood; a suite that fails without a count counts as one failure, and so does one that is not done within its seconds: it is killed. Ends with
# what failed, by name, and the sum. With SUITES="NAME…" only these run.
#
# Suites after --beside run one after another like the others, at the same time as those, and get the processor when nothing else wants it: they only compute,
# while the others wait for answers and measure how long these take.
set -u
cd "$(dirname "$0")/.."
out=${B:-build}/check
mkdir -p "$out"
started=$SECONDS
mark='' pid='' lane='' apart=()

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

# The lines of a log that name what failed, with what node:test says of why. A count of cmocka is none.
names() {
    awk '
        /^flaky: / { next }
        /^ *not ok / { told = 0 }
        /^ *not ok |^FAILED |^\[  FAILED  \] [^0-9]|^SUMMARY:|^\[  ERROR   \]|: error: Failure!|: failed; / { sub(/^ */, ""); if (!seen[$0]++) print; next }
        /^ *error: / && !told { told = 1; more = /\|-?$/ ? 3 : 0; sub(/^ */, "    "); if (!more) print; next }
        more && /^ *(code|name|stack|expected|actual|operator): / { more = 0 }
        more { more--; sub(/^ */, "    "); if ($0 !~ /^ *$/) print }' "$1" | head -60
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
    [ -n "$lane" ] && kill -TERM "$lane" 2>/dev/null
    [ -n "$mark" ] && sweep
    exit 130
}
trap interrupted INT TERM HUP

# Runs the suites given, leaves a line "NAME PASSED FAILED SKIPPED" a suite in the file named first.
run() {
    local counts=$1 name deadline command log begin status left p f s
    shift
    : >"$counts"
    while [ $# -ge 3 ]; do
        name=$1 deadline=$2 command=$3; shift 3
        [ -n "${SUITES:-}" ] && [[ " $SUITES " != *" $name "* ]] && continue
        log=$out/$name.log
        begin=$SECONDS
        mark=$$-$name
        LSESS_SUITE=$mark ${apart[@]+"${apart[@]}"} timeout -k 10 "$deadline" bash -c "$command" >"$log" 2>&1 </dev/null &
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
        if [ "$status" != 0 ] && [ "$f" = 0 ]; then f=1; echo "not ok $name: it ended with $status" >>"$log"; fi
        if [ "$status" = 0 ] && [ "$p" = 0 ]; then f=1; echo "not ok $name: ended well but ran no test" >>"$log"; fi
        echo "$name $p $f $s" >>"$counts"
        # One write, so that what the two lanes say does not mix.
        {
            printf '%-14s %5d passed %4d failed %4d skipped  %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - begin))
            [ "$left" != 0 ] && echo "$name: left $left processes running; they have been killed"
            if [ "$f" != 0 ]; then
                echo "---- $log (end) ----"
                grep -anE '^ *not ok|^FAILED|\[  FAILED  \]|ERROR:|error:|SUMMARY:|failureType|AssertionError' "$log" | head -40
                tail -40 "$log"
                echo "--------------------"
            fi
            [ "$s" != 0 ] && grep -ahE '# SKIP|SKIPPED' "$log" | head -10
        } >"$counts.said"
        cat "$counts.said"
        rm -f "$counts.said"
    done
}

first=()
while [ $# -gt 0 ] && [ "$1" != --beside ]; do first+=("$1"); shift; done
if [ $# -gt 0 ]; then
    shift
    (
        renice -n 19 "$BASHPID" >/dev/null
        trap interrupted INT TERM HUP
        lane=''
        # Linux shares the processor out among login sessions first (autogroup), so the whole of this one is put last.
        apart=(setsid bash -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec "$@"' apart)
        run "$out/beside.counts" "$@"
    ) &
    lane=$!
else
    : >"$out/beside.counts"
fi
run "$out/first.counts" "${first[@]}"
[ -n "$lane" ] && wait "$lane"
lane=''

passed=0 failed=0 skipped=0 failures=()
while read -r name p f s; do
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ "$f" = 0 ] || failures+=("$name")
done < <(cat "$out/first.counts" "$out/beside.counts")
for name in ${failures[@]+"${failures[@]}"}; do
    echo "failed in $name:"
    names "$out/$name.log" | cut -c1-300 | sed 's/^/    /'
done
while read -r name _; do
    first=$(sed -n 's/^flaky: //p' "$out/$name.log" | names /dev/stdin)
    [ -z "$first" ] || printf 'failed once in %s and then passed:\n%s\n' "$name" "$(cut -c1-300 <<<"$first" | sed 's/^/    /')"
done < <(cat "$out/first.counts" "$out/beside.counts")
echo "$((SECONDS - started)) seconds"
if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
