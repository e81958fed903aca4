#!/usr/bin/env bash
# Each header of lib/ compiles alone, may be included twice (its guard), and says at its top what it is.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
report=$(mktemp)
trap 'rm -f "$report"' EXIT
for header in lib/*/*.h; do
    problem=
    printf '#include "%s"\n' "${header#lib/}" "${header#lib/}" |
        ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Ilib -I/usr/include/lua5.4 -fsyntax-only -x c - 2>"$report" || problem='does not compile alone'
    [ -s "$report" ] && [ -z "$problem" ] && problem='has warnings'
    head -1 "$header" | grep -q '^/\*' || problem='has no note at its top'
    if [ -n "$problem" ]; then
        echo "$header: $problem"; head -3 "$report"; failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
