#!/usr/bin/env bash
# Fuzzes each target with libFuzzer (clang), starting from the corpus kept in tests/fuzz/corpus/TARGET: the four parsers that quality.md Q4 names for some
# seconds each, the others for FUZZ_OTHERS, or a third of it. Without clang, or with 0 seconds, it runs each target over that corpus only.
# usage: tests/fuzz/run.sh SECONDS TARGET…
#
# A target is fuzz_ROOM[_topic].c: it is linked with ROOM and the rooms below it, built by the Makefile with address and undefined behaviour sanitizers in a
# folder of its own. New inputs go to $B/fuzz/TARGET, never into the kept corpus; what crashes is kept beside them, to be added to the corpus with the fix:
#     $B/fuzz/build/libfuzzer/fuzz_TARGET FILE
# runs the target over one file again.
set -u
cd "$(dirname "$0")/../.."
seconds=${1:-60}
others=${FUZZ_OTHERS:-$(((seconds + 2) / 3))} # rounded up: 0 seconds is for ever
shift
out=${B:-build}/fuzz
passed=0 failed=0
mkdir -p "$out"

if [ "$seconds" -gt 0 ] && command -v clang >/dev/null; then engine=libfuzzer; else engine=replay; seconds=0; fi
programs=("${@/#/$out/build/$engine/fuzz_}")
if ! ${MAKE:-make} --no-print-directory B="$out/build/$engine" FUZZ_ENGINE="$engine" "${programs[@]}" >"$out/build.log" 2>&1; then
    cat "$out/build.log"
    echo "0 passed, $# failed"
    exit 1
fi

run() { # target
    local seconds=$seconds corpus=tests/fuzz/corpus/$1 program=$out/build/$engine/fuzz_$1
    mkdir -p "$out/$1"
    case $1 in protocol | protocol_control | tracker_path | viewdef) ;; *) seconds=$others ;; esac
    if [ "$engine" = libfuzzer ]; then
        timeout -k 5 $((seconds + 300)) "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$out/$1/" "$out/$1" "$corpus"
    else
        timeout -k 5 300 "$program" "$corpus"
    fi >"$out/$1.log" 2>&1
}

# As many at a time as there are processors: a target uses one. What a run ends with is left in a file, since jobs end in any order.
for target in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    { run "$target"; echo $? >"$out/$target.status"; } 2>>"$out/$target.log" &
done
wait
for target in "$@"; do
    inputs=$(find "tests/fuzz/corpus/$target" -type f 2>/dev/null | wc -l)
    if [ "$inputs" = 0 ]; then
        failed=$((failed + 1))
        echo "$target: tests/fuzz/corpus/$target is empty; a target starts from what it is meant to read"
    elif [ "$(cat "$out/$target.status")" = 0 ]; then
        passed=$((passed + 1))
        echo "$target: $(grep -aE 'number_of_executed_units|inputs$' "$out/$target.log" | tail -1), $inputs kept"
    else
        failed=$((failed + 1))
        echo "$target: failed; $out/$target.log ends:"
        tail -40 "$out/$target.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
