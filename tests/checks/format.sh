#!/usr/bin/env bash
# The C of the program obeys .clang-format, and no comment is wider than its 120 columns: clang-format leaves comments alone, and a text may be wider.
# No line of the tests' JavaScript is wider than 140 columns.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
if ! command -v clang-format >/dev/null; then
    echo 'clang-format is missing; .ci/deps check installs it'
    echo '0 passed, 1 failed'
    exit 1
fi
report=$(clang-format --dry-run -Werror lib/*/*.[ch] cmd/*/*.[ch] 2>&1)
wide=$(LC_ALL=C.UTF-8 grep -HnE '.{121,}' lib/*/*.[ch] cmd/*/*.[ch] | grep -vE '"[,;)]*( \\)?$' | sed 's/^\([^:]*:[0-9]*\):.*/\1: wider than 120 columns/')
for file in lib/*/*.[ch] cmd/*/*.[ch]; do
    problem=$(grep -m1 "^$file:.*clang-format" <<<"$report"; grep -m1 "^$file:" <<<"$wide")
    if [ -z "$problem" ]; then passed=$((passed + 1)); continue; fi
    failed=$((failed + 1))
    echo "$problem"
done
[ "$failed" = 0 ] || echo 'clang-format -i FILE mends what it can.'
while IFS= read -r file; do
    problem=$(LC_ALL=C.UTF-8 grep -nE -m1 '.{141,}' "$file" | sed "s|^\([0-9]*\):.*|$file:\1: wider than 140 columns|")
    if [ -z "$problem" ]; then passed=$((passed + 1)); continue; fi
    failed=$((failed + 1))
    echo "$problem"
done < <(find tests \( -name node_modules -o -path tests/fixtures \) -prune -o -name '*.js' -print -o -name '*.mjs' -print | sort)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
