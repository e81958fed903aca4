#!/usr/bin/env bash
# Runs node:test files one after another: tests/node.sh FILE… They measure latencies and count processes, so no two run at a time. Each file has a
# deadline (FILE_SECONDS) of its own: one that hangs is killed, with the programs it has started, and counts as a failure that bears its name.
set -u
seconds=${FILE_SECONDS:-300}
options=(--test --test-reporter=tap)
# Node.js 18, which Debian has, knows no such option and needs none for a single file.
node --test-concurrency=1 -e 0 2>/dev/null && options+=(--test-concurrency=1)
status=0
for file in "$@"; do
    echo "# file $file"
    timeout -k 5 "$seconds" node "${options[@]}" "$file"
    rc=$?
    [ "$rc" = 0 ] || status=1
    if [ "$rc" -ge 124 ]; then
        echo "not ok $file: killed, it had not ended within $seconds seconds"
        echo '0 passed, 1 failed'
    fi
done
exit "$status"
