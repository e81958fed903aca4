#!/usr/bin/env bash
# The tests of rooms that run Lua, against a Lua that checks its callers: LUA_USE_APICHECK ends the program where a function of the C API is called with too few
# values on the stack, a wrong index or a wrong type, and LUAI_ASSERT where Lua's own state has been damaged. Debian's library has neither, so its own source package
# is built here, which `.ci/deps check` has fetched. The last check is that the checks are in.
set -u
cd "$(dirname "$0")/.."
B=${B:-build}/apicheck
source=tests/.lua/src
lua=$PWD/$B/lua
MAKE="${MAKE:-make} --no-print-directory -j2 DEV=1"

if [ ! -f "$source/lapi.c" ]; then
    echo "not ok $source is not there; .ci/deps check fetches it"
    echo '0 passed, 1 failed'
    exit 1
fi
mkdir -p "$lua"
if [ ! "$lua/liblua.a" -nt "$source/lapi.c" ]; then
    for file in "$source"/*.c; do
        case $file in */lua.c | */luac.c) continue ;; esac
        printf '%s\0' "$file"
    done | (cd "$lua" && xargs -0 -P 2 -I{} sh -c '${CC:-gcc} -std=gnu99 -O1 -g -DLUA_COMPAT_5_3 -DLUA_USE_LINUX -DLUA_USE_APICHECK -DLUAI_ASSERT -c "$1" -o "$(basename "$1" .c).o"' sh "$OLDPWD/{}") &&
        ar rcs "$lua/liblua.a" "$lua"/*.o || { echo '0 passed, 1 failed'; exit 1; }
fi

# Built for checks, not for speed. The kept inputs of the fuzz targets that run Lua are among them.
settings=(B="$B" CFLAGS='-O0 -g -DLS_DEBUG=1' LUA_CFLAGS="-I$PWD/$source" LUA_LIBS="$lua/liblua.a -ldl")
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
if grep -q 'not enough elements in the stack' "$B/unit/test_session_lua"; then
    echo '1 passed, 0 failed'
else
    echo 'not ok the tests have been linked with a Lua without checks'
    echo '0 passed, 1 failed'
    status=1
fi
exit $status
