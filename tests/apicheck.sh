#!/usr/bin/env bash
# The tests of rooms that run Lua, against a Lua that checks its callers and itself (LUA=checked, see the Makefile). The last check is that the checks are in.
set -u
cd "$(dirname "$0")/.."
B=${B:-build}/apicheck
MAKE="${MAKE:-make} --no-print-directory -j2 DEV=1 LUA=checked"

if [ ! -f tests/.lua/src/lapi.c ]; then
    echo 'not ok tests/.lua/src is not there; .ci/deps check fetches it'
    echo '0 passed, 1 failed'
    exit 1
fi

# Built for checks, not for speed. The kept inputs of the fuzz targets that run Lua are among them.
settings=(B="$B" CFLAGS='-O0 -g -DLS_DEBUG=1')
status=0
for room in session backend server; do
    $MAKE "${settings[@]}" unit T="$room" || status=1
done
fuzz=$B/fuzz
if $MAKE "${settings[@]}" B="$fuzz" FUZZ_ENGINE=replay "$fuzz/fuzz_session_config" && timeout -k 5 300 "$fuzz/fuzz_session_config" tests/fuzz/corpus/session_config; then
    echo '1 passed, 0 failed'
else
    echo '0 passed, 1 failed'
    status=1
fi
# What the macro says that counts values, and an assertion of the collector.
for text in 'not enough elements in the stack' 'currentwhite ^'; do
    if grep -qF "$text" "$B/unit/test_session_lua"; then
        echo '1 passed, 0 failed'
    else
        echo "not ok the tests have been linked with a Lua without checks: '$text' is not in it"
        echo '0 passed, 1 failed'
        status=1
    fi
done
exit $status
