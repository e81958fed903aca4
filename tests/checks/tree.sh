#!/usr/bin/env bash
# House rules that a script can see: the fixed top level, lengths of files and functions, a note at the top of each room's files, no loose ends.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
ok() { passed=$((passed + 1)); }
finding() { echo "$1"; failed=$((failed + 1)); }

files=$(git ls-files 2>/dev/null || find . -type f -not -path './build/*' -not -path '*/node_modules/*' | sed 's|^\./||')
extra=$(cut -d/ -f1 <<<"$files" | sort -u | grep -vxE 'Makefile|cmd|lib|lua|templates|tests|man|findings|README\.md|LICENSE|\..*')
if [ -n "$extra" ]; then finding "top level is fixed; also there: $extra"; else ok; fi

while read -r file; do
    [ -f "$file" ] || continue
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 900 ]; then finding "$file: $lines lines; a file beyond 900 wants splitting"; else ok; fi
done < <(grep -E '\.(c|h|js|mjs|lua)$' <<<"$files" | grep -v '^tests/fixtures/')

# A function's body is what lies between two braces in the first column.
while read -r file; do
    [ -f "$file" ] || continue
    long=$(awk '/^\{/ { begin = NR } /^\}/ { if (begin && NR - begin - 1 > 80) print FILENAME ":" begin ": a function of " NR - begin - 1 " lines"; begin = 0 }' "$file")
    if [ -n "$long" ]; then finding "$long; one beyond 80 wants splitting"; else ok; fi
done < <(grep -E '\.c$' <<<"$files")

while read -r file; do
    [ -f "$file" ] || continue
    if head -1 "$file" | grep -q '^/\*'; then ok; else finding "$file: no note at its top (what it is, owning thread, what it refuses, rules)"; fi
done < <(grep -E '^(lib|cmd)/.*\.c$' <<<"$files")

# A function's error is declared by LS_ERR, which empties and releases it; one that a Lua error may leave has none (base/err.h).
owners=$(grep -E '^(lib|cmd|tests)/.*\.[ch]$' <<<"$files" | tr '\n' '\0' | xargs -0 awk '
    FNR == 1 { inside = 0 }
    /^[a-zA-Z].*\(/ { raises = /LS_RAISES/ }
    /^\{/ { inside = 1 }
    /^\}/ { inside = 0 }
    inside && /^ +struct ls_err [a-z_]+( = [^*]*)?;/ { print FILENAME ":" FNR ": an error that LS_ERR has not declared" }
    inside && raises && /^ +LS_ERR\(/ { print FILENAME ":" FNR ": an error that a longjmp would leave behind" }')
if [ -n "$owners" ]; then finding "$owners"; else ok; fi

# A function cites a rule once: above its prototype, above itself or in its body, where it says most.
again=$(grep -E '^(lib|cmd)/.*\.[ch]$' <<<"$files" | sort | tr '\n' '\0' | xargs -0 awk '
    function cite(text,    words, count, i, word) {
        gsub(/[^A-Za-z0-9_.]/, " ", text)
        count = split(text, words, " ")
        for (i = 1; i <= count; i++) {
            word = words[i]
            sub(/\.+$/, "", word)
            if (word ~ /^[CFHKLNPQRSTUW][0-9]+[a-z]?(\.[0-9]+)?$/ && cited[owner, word]++ == 1)
                print FILENAME ":" FNR ": " name " cites " word " again"
        }
    }
    FNR == 1 { body = comment = 0; note = name = "" }
    !body && !comment && /^[A-Za-z].*\(/ && !/^typedef/ {
        name = $0
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        owner = name ~ /^ls_/ ? name : FILENAME " " name
        cite(note)
        note = ""
    }
    !body && !comment && (/^$/ || /^[^A-Za-z{ \/]/) { note = name = "" }
    /^\{/ { body = 1 }
    {
        rest = $0
        said = ""
        while (rest != "")
            if (comment) {
                end = index(rest, "*/")
                said = said " " (end ? substr(rest, 1, end - 1) : rest)
                rest = end ? substr(rest, end + 2) : ""
                comment = !end
            } else {
                begin = index(rest, "/*")
                rest = begin ? substr(rest, begin + 2) : ""
                comment = begin > 0
            }
        if (said != "" && (body || name != "" && !/^\//))
            cite(said)
        else if (said != "") {
            if (/^\//) note = name = ""
            note = note " " said
        }
    }
    /^\}/ { body = 0; note = name = "" }')
if [ -n "$again" ]; then finding "$again"; else ok; fi

loose=$(grep -vE '^tests/(fixtures/|fuzz/corpus/|checks/(tree|planted)\.sh$)' <<<"$files" | tr '\n' '\0' |
    xargs -0 grep -snIE 'TODO|FIXME|XXX|HACK|not implemented' | grep -vE 'XXXXXX|main-XXX')
if [ -n "$loose" ]; then finding "loose ends:
$loose"; else ok; fi

# Every target that is there to be typed is in `make help`.
help=$(make -s help)
for target in $(sed -n 's/^\.PHONY: //p' Makefile); do
    case $target in FORCE | help | deps-check) continue ;; esac
    if grep -qE "(^| )$target( |\$)" <<<"$help"; then ok; else finding "make help does not name $target"; fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
