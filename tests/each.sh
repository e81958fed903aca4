#!/usr/bin/env bash
# Runs test files: tests/each.sh FILE…, where *.js is for node:test and anything else a program. Each file has a deadline (FILE_SECONDS) of its own: one that
# hangs is killed, with the programs it has started, and counts as a failure that bears its name.
#
# They measure latencies and count processes, so no two run at a time, unless JOBS says how many may. What a file says is shown when it has ended.
#
# With RERUN=1 a file that fails runs once more. What fails again has failed; what passes then is told in lines that begin with "flaky:", with what the first
# run said, so that it neither is lost nor holds up everybody. A defect fails twice, a hang is not run again.
set -u
if [ "${JOBS:-1}" -gt 1 ] && [ $# -gt 1 ]; then
    printf '%s\0' "$@" | JOBS=1 xargs -0 -n 1 -P "$JOBS" bash "$0"
    exit
fi
seconds=${FILE_SECONDS:-300}
node=(node --test --test-reporter=tap)
# Node.js 18, which Debian has, knows no such option and needs none for a single file.
[[ "$*" == *.*js* ]] && node --test-concurrency=1 -e 0 2>/dev/null && node+=(--test-concurrency=1)
log=$(mktemp) pid=''
trap 'cat "$log"; rm -f "$log"' EXIT
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; exit 143' INT TERM HUP
status=0

run() {
    local how=()
    [[ $1 == *.*js ]] && how=("${node[@]}")
    # In the background, so that a signal ends it, and what it has said until then is shown.
    timeout -k 5 "$seconds" ${how[@]+"${how[@]}"} "$1" >>"$log" 2>&1 &
    pid=$!
    wait "$pid"
}

for file in "$@"; do
    echo "== $file" >"$log"
    run "$file"
    rc=$?
    if [ "${RERUN:-}" = 1 ] && [ "$rc" != 0 ] && [ "$rc" -lt 124 ]; then
        first=$(cat "$log")
        echo "== $file" >"$log"
        run "$file"
        rc=$?
        [ "$rc" = 0 ] && sed 's/^/flaky: /' <<<"$first" >>"$log"
    fi
    if [ "$rc" -ge 124 ]; then
        {
            echo "not ok $file: ended by a signal or after $seconds seconds ($rc)"
            echo '0 passed, 1 failed'
        } >>"$log"
    fi
    flock "$0" cat "$log" # files that run side by side do not mix their lines
    : >"$log"
    [ "$rc" = 0 ] || status=1
done
exit "$status"
