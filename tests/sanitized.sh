#!/usr/bin/env bash
# The whole program with sanitizers, under the parts of the server suite that make its threads meet: tests/sanitized.sh thread|address [units]
#   thread    each report is a data race, or a lock out of order, that counts as failure
#   address   addresses, undefined behaviour and leaks
# With `units` the unit tests instead: those of the rooms that have threads, or all.
#
# Reports go to files, one a process, since servers that a test kills could not tell otherwise. The last check is that there are none, and the one before it
# that a report would have been seen: the sanitizer is in the program.
set -u
cd "$(dirname "$0")/.."
kind=${1:?thread or address}
top=${B:-build}
MAKE="${MAKE:-make} --no-print-directory -j2 DEV=1"
status=0

case $kind in
thread)
    B=$top/tsan
    MAKE="$MAKE TSAN=1 B=$B"
    symbol=__tsan_write4
    rooms=(executor hotload front server)
    files='websocket protocol hotload serve listening'
    ;;
address)
    B=$top/san
    MAKE="$MAKE SAN=1 B=$B"
    symbol=__asan_report_load4
    rooms=('')
    files='websocket protocol protocol_batch http api cli_live control repl hotload'
    ;;
*) echo "usage: tests/sanitized.sh thread|address [units]" >&2; exit 2 ;;
esac
export B LSESS=$B/lsess
reports=$(realpath -m "$B/reports${2:+.$2}")
rm -rf "$reports"
mkdir -p "$reports"
# Two suites share the folder; the one that comes second waits for the build.
exec {lock}>"$B/lock"
flock "$lock"
build() {
    local room
    for room in "${rooms[@]}"; do $MAKE all ${2:+unit-programs T="$room"} || return 1; done
}
if ! build "$@" >"$reports.build.log" 2>&1; then
    cat "$reports.build.log"
    echo "not ok the build in $B"
    echo '0 passed, 1 failed'
    exit 1
fi
exec {lock}>&-

export TSAN_OPTIONS="log_path=$reports/report exitcode=66 second_deadlock_stack=1 suppressions=$PWD/tests/checks/tsan.supp"
export ASAN_OPTIONS="log_path=$reports/report:exitcode=66:detect_leaks=1:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="log_path=$reports/report:print_stacktrace=1"
passed=0 failed=0
if [ "${2:-}" = units ]; then
    for room in "${rooms[@]}"; do $MAKE unit T="$room" UNIT_SECONDS=1500 || status=1; done
else
    paths=()
    for file in $files; do
        if [ -f "tests/server/$file.test.js" ]; then paths+=("tests/server/$file.test.js"); else echo "not ok tests/server/$file.test.js is not there"; status=1; fi
    done
    bash tests/each.sh "${paths[@]}" || status=1
    # Memory and descriptors are not compared: sanitizers keep what is freed.
    SOAK_FIGURES=0 SOAK_SESSIONS=60 timeout -k 5 240 node tests/soak/soak.mjs 20 || status=1
fi

if nm "$LSESS" | grep -q "$symbol"; then passed=1; else failed=1; echo "not ok $LSESS has no $kind sanitizer in it"; fi
found=("$reports"/*)
if [ -e "${found[0]}" ]; then
    failed=$((failed + ${#found[@]}))
    for report in "${found[@]}"; do echo "not ok $report"; done
    head -n 60 "${found[@]:0:5}"
else
    passed=$((passed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$status" = 0 ]
