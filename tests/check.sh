#!/usr/bin/env bash
# All suites, in two rows at the same time. Called by `make check`, which has installed what they need and built the program; sanitizer builds are made
# here, each below a folder of its own. A name, the seconds after which it has hung, a command.
# SUITES="server fuzz" make check runs only these.
set -u
cd "$(dirname "$0")/.."
B=${B:-build}
MAKE="${MAKE:-make} --no-print-directory -j2"
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
SOAK_SECONDS=${SOAK_SECONDS:-60}
export B RERUN=1 # tests/each.sh: what fails once only does not hold up everybody, and is told

# What waits for answers and measures them, or counts processes. Cheap things first.
suites=(
    layers 300 "$MAKE DEV=1 check-layers"
    format 120 'bash tests/checks/format.sh'
    headers 300 'bash tests/checks/headers.sh'
    tree 120 'bash tests/checks/tree.sh'
    rules 60 'node tests/checks/rules.mjs --check'
    server 1800 "LSESS=$B/lsess bash tests/each.sh tests/server/*.test.js"
    browser 1200 "LSESS=$B/lsess LSESS_SHOTS=$B/screenshots bash tests/each.sh tests/browser/*.test.js"
    proxies 600 "LSESS=$B/lsess bash tests/each.sh tests/proxies/*.test.js"
    soak $((SOAK_SECONDS + 240)) "node tests/soak/soak.mjs $SOAK_SECONDS"
    memory 1800 'bash tests/sanitized.sh address'
    threads 1800 'bash tests/sanitized.sh thread'
)
# What only computes. Each build with a sanitizer is made here, before the suites above that run the program of it.
beside=(
    docs 600 'bash tests/checks/docs.sh'
    unit 2400 "$MAKE DEV=1 unit UNIT_SECONDS=1500"
    unit-san 2400 'bash tests/sanitized.sh address units'
    unit-threads 2400 'bash tests/sanitized.sh thread units'
    planted 900 'bash tests/checks/planted.sh'
    static 1800 'bash tests/checks/static.sh'
    apicheck 1200 'bash tests/apicheck.sh'
    fuzz $((FUZZ_SECONDS * $(ls tests/fuzz/fuzz_*.c | wc -l) + 900)) "$MAKE fuzz FUZZ_SECONDS=$FUZZ_SECONDS FUZZ_OTHERS=$(((FUZZ_SECONDS + 5) / 6))"
)
exec bash tests/run.sh "${suites[@]}" --beside "${beside[@]}"
