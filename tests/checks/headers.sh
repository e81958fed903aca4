#!/usr/bin/env bash
# Each header of lib/ compiles alone, has its guard, and says what it is; no header brings a library's types along.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
for header in lib/*/*.h; do
    problem=
    printf '#include "%s"\n' "${header#lib/}" |
        ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Ilib -I/usr/include/lua5.4 -fsyntax-only -x c - 2>/tmp/lsess-headers.$$ || problem='does not compile alone'
    [ -s /tmp/lsess-headers.$$ ] && [ -z "$problem" ] && problem='has warnings'
    head -1 "$header" | grep -q '^/\*' || problem='has no note at its top'
    if [ -n "$problem" ]; then
        echo "$header: $problem"; head -3 /tmp/lsess-headers.$$; failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
rm -f /tmp/lsess-headers.$$
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
