#!/usr/bin/env bash
# House rules that a script can see: the fixed top level, file length, a note at the top of each room's files, no loose ends.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
ok() { passed=$((passed + 1)); }
finding() { echo "$1"; failed=$((failed + 1)); }

files=$(git ls-files 2>/dev/null || find . -type f -not -path './build/*' -not -path '*/node_modules/*' | sed 's|^\./||')
extra=$(cut -d/ -f1 <<<"$files" | sort -u | grep -vxE 'Makefile|cmd|lib|lua|templates|tests|man|README\.md|LICENSE|\..*')
if [ -n "$extra" ]; then finding "top level is fixed; also there: $extra"; else ok; fi

while read -r file; do
    [ -f "$file" ] || continue
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 900 ]; then finding "$file: $lines lines; a file beyond 900 wants splitting"; else ok; fi
done < <(grep -E '\.(c|h|js|mjs|lua)$' <<<"$files" | grep -v '^tests/fixtures/')

while read -r file; do
    [ -f "$file" ] || continue
    if head -1 "$file" | grep -q '^/\*'; then ok; else finding "$file: no note at its top (what it is, owning thread, what it refuses, rules)"; fi
done < <(grep -E '^(lib|cmd)/.*\.c$' <<<"$files")

loose=$(git grep -nIE 'TODO|FIXME|XXX|HACK|not implemented' -- ':!tests/fixtures' ':!tests/checks/tree.sh' 2>/dev/null | grep -vE 'XXXXXX|main-XXX')
if [ -n "$loose" ]; then finding "loose ends:
$loose"; else ok; fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
