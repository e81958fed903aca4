#!/usr/bin/env bash
# All C obeys .clang-format, and nothing but a text is wider than its 120 columns: clang-format leaves comments alone. A file that turns it off to
# its end, and says why, is laid out by hand.
# No line of the tests' JavaScript is wider than 140 columns.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
if ! command -v clang-format >/dev/null; then
    echo 'clang-format is missing; .ci/deps check installs it'
    echo '0 passed, 1 failed'
    exit 1
fi
sources=(lib/*/*.[ch] cmd/*/*.[ch] tests/*/*.[ch])
report=$(clang-format --dry-run -Werror "${sources[@]}" 2>&1)
mapfile -t judged < <(grep -L 'clang-format off' "${sources[@]}"; grep -l 'clang-format on' "${sources[@]}")
wide=$(LC_ALL=C.UTF-8 grep -HnE '.{121,}' "${judged[@]}" | grep -vE '"[]),;}]*( +\\)?$|:#define \w+ +\\$' | sed 's/^\([^:]*:[0-9]*\):.*/\1: wider than 120 columns/')
for file in "${sources[@]}"; do
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
