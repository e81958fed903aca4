#!/usr/bin/env bash
# Fuzzes each target for some seconds with libFuzzer (clang), starting from the corpus kept in tests/fuzz/corpus/TARGET; without clang, or with
# 0 seconds, it runs each target over that corpus only. usage: tests/fuzz/run.sh SECONDS TARGET…
#
# A target is fuzz_ROOM[_topic].c: it is linked with ROOM and the rooms below it, built here with address and undefined behaviour sanitizers. New inputs go
# to $B/fuzz/TARGET, never into the kept corpus; what crashes is kept beside them, to be added to the corpus with the fix.
set -u
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift
out=${B:-build}/fuzz
passed=0 failed=0
rooms=(base tracker session protocol viewdef backend executor hotload server)
mkdir -p "$out"

# The embedded files are part of base; the program's own build makes their table.
${MAKE:-make} --no-print-directory B="${B:-build}" "${B:-build}/libbase.a" >"$out/build.log" 2>&1 || { cat "$out/build.log"; exit 1; }
lua=$(ls /usr/lib/*/liblua5.4.a 2>/dev/null | head -1)

sources() {
    for room in "${rooms[@]}"; do
        ls lib/"$room"/*.c
        [ "$room" = "$1" ] && return
    done
}

build() { # target compiler flags…
    local target=$1 room=${1%%_*} compiler=$2
    shift 2
    # shellcheck disable=SC2046 -- a list of files
    "$compiler" -std=gnu11 -g -O1 -D_GNU_SOURCE -DLS_VERSION='"fuzz"' -Ilib -I/usr/include/lua5.4 -pthread -fno-sanitize-recover=undefined \
        "$@" -o "$out/fuzz_$target" "tests/fuzz/fuzz_$target.c" $(sources "$room") "${B:-build}/embed/table.o" "${B:-build}/embed/data.o" \
        "${lua:--llua5.4}" -ldl -lcjson -lz -lm >"$out/$target.build.log" 2>&1 || { cat "$out/$target.build.log"; return 1; }
}

for target in "$@"; do
    corpus=tests/fuzz/corpus/$target
    mkdir -p "$out/$target"
    if [ "$seconds" -gt 0 ] && command -v clang >/dev/null; then
        build "$target" clang -fsanitize=fuzzer,address,undefined &&
            "$out/fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$out/$target/" \
                "$out/$target" "$corpus" >"$out/$target.log" 2>&1
    else
        build "$target" "${CC:-cc}" -fsanitize=address,undefined tests/fuzz/replay.c && "$out/fuzz_$target" "$corpus" >"$out/$target.log" 2>&1
    fi
    if [ $? = 0 ]; then
        passed=$((passed + 1))
        echo "$target: $(grep -aE 'number_of_executed_units|inputs$' "$out/$target.log" | tail -1)"
    else
        failed=$((failed + 1))
        tail -40 "$out/$target.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
