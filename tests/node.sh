#!/usr/bin/env bash
# Runs node:test files one after another: tests/node.sh FILE… They measure latencies and count processes, so no two run at a time. Each file has a
# deadline (FILE_SECONDS) of its own: one that hangs is killed, with the programs it has started, and counts as a failure that bears its name.
#
# With RERUN=1 a file that fails runs once more. What fails again has failed; what passes then is flaky: lines that begin with "flaky:" say so, and what
# the first run said, so that it is neither lost nor holds up everybody. A defect of the program fails twice.
set -u
seconds=${FILE_SECONDS:-300}
options=(--test --test-reporter=tap)
# Node.js 18, which Debian has, knows no such option and needs none for a single file.
node --test-concurrency=1 -e 0 2>/dev/null && options+=(--test-concurrency=1)
log=$(mktemp)
trap 'cat "$log"; rm -f "$log"' EXIT
trap 'exit 143' TERM
status=0

run() { timeout -k 5 "$seconds" node "${options[@]}" "$1" >"$log"; }

for file in "$@"; do
    echo "# file $file"
    run "$file"
    rc=$?
    if [ "${RERUN:-}" = 1 ] && [ "$rc" != 0 ] && [ "$rc" -lt 124 ]; then
        first=$(grep -a . "$log")
        run "$file"
        rc=$?
        [ "$rc" = 0 ] && sed 's/^/flaky: /' <<<"$first"
    fi
    cat "$log"
    : >"$log"
    [ "$rc" = 0 ] || status=1
    if [ "$rc" -ge 124 ]; then
        echo "not ok $file: killed, it had not ended within $seconds seconds"
        echo '0 passed, 1 failed'
    fi
done
exit "$status"
