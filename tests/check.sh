#!/usr/bin/env bash
# All suites in the order in which failures are cheapest to find. Called by `make check`, which has installed what they need and built the
# program; sanitizer builds are made here, each below a folder of its own. A name, the seconds after which it has hung, a command.
# SUITES="server fuzz" make check runs only these.
set -u
cd "$(dirname "$0")/.."
B=${B:-build}
MAKE="${MAKE:-make} --no-print-directory -j2"
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
SOAK_SECONDS=${SOAK_SECONDS:-60}
export B

suites=(
    layers 120 'bash tests/checks/layers.sh'
    headers 300 'bash tests/checks/headers.sh'
    tree 120 'bash tests/checks/tree.sh'
    planted 300 'bash tests/checks/planted.sh'
    rules 60 'node tests/checks/rules.mjs --check'
    unit 1200 "$MAKE DEV=1 unit"
    apicheck 600 'bash tests/apicheck.sh'
    unit-san 1800 "$MAKE SAN=1 DEV=1 B=$B/san unit"
    static 1200 'bash tests/checks/static.sh'
    docs 300 'bash tests/checks/docs.sh'
    server 1800 "LSESS=$B/lsess bash tests/node.sh tests/server/*.test.js"
    browser 1200 "LSESS=$B/lsess LSESS_SHOTS=$B/screenshots bash tests/node.sh tests/browser/*.test.js"
    memory 1200 'bash tests/sanitized.sh address'
    threads 1200 'bash tests/sanitized.sh thread'
    fuzz $((FUZZ_SECONDS * $(ls tests/fuzz/fuzz_*.c | wc -l) + 600)) "$MAKE fuzz FUZZ_SECONDS=$FUZZ_SECONDS"
    soak $((SOAK_SECONDS + 240)) "node tests/soak/soak.mjs $SOAK_SECONDS"
)
exec bash tests/run.sh "${suites[@]}"
