#!/usr/bin/env bash
# All suites in the order in which failures are cheapest to find. Called by `make check`, which has installed what they need and built the
# program; sanitizer builds are made here, each below a folder of its own.
set -u
cd "$(dirname "$0")/.."
B=${B:-build}
MAKE="${MAKE:-make} --no-print-directory -j2"
export B
# One test file at a time: they measure latencies and count processes. Node.js 18, which Debian has, needs no word for that on two cores and knows none.
NODE_TEST="node --test --test-reporter=tap"
node --test-concurrency=1 -e 0 2>/dev/null && NODE_TEST="$NODE_TEST --test-concurrency=1"
export NODE_TEST

suites=(
    layers 'bash tests/checks/layers.sh'
    headers 'bash tests/checks/headers.sh'
    tree 'bash tests/checks/tree.sh'
    unit "$MAKE DEV=1 unit"
    unit-san "$MAKE SAN=1 DEV=1 B=$B/san unit"
)
[ -f tests/checks/static.sh ] && suites+=(static 'bash tests/checks/static.sh')
[ -f tests/checks/docs.sh ] && suites+=(docs 'bash tests/checks/docs.sh')
if compgen -G 'tests/server/*.test.js' >/dev/null; then
    suites+=(server "LSESS=$B/lsess $NODE_TEST tests/server/*.test.js")
fi
if compgen -G 'tests/browser/*.test.js' >/dev/null; then
    suites+=(browser "LSESS=$B/lsess LSESS_SHOTS=$B/screenshots $NODE_TEST tests/browser/*.test.js")
fi
if compgen -G 'tests/fuzz/fuzz_*.c' >/dev/null; then
    suites+=(fuzz "$MAKE fuzz FUZZ_SECONDS=${FUZZ_SECONDS:-20}")
fi
exec bash tests/run.sh "${suites[@]}"
