#!/usr/bin/env bash
# Each header of lib/ compiles alone, may be included twice (its guard), and says at its top what it is.
# No prototype is bare: a comment stands above it or on its line.
# Each function that is given a lua_State says, above itself or in its header, what it does to the stack: [-taken, +pushed, how it raises].
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

awk '
    FNR == 1 { inside = noted = 0; name = "" }
    inside { inside = !/\*\//; noted = FNR; next }
    /^\/\* (---|[a-z_, ]+\.c)/ { next } # the title of a part says nothing of what follows
    name == "" && /^\/\*/ { inside = !/\*\//; noted = FNR; next }
    name == "" && /^[a-z][A-Za-z0-9_ *]*[ *][a-z_0-9]+\(/ && !/^typedef/ {
        name = $0
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        line = FNR
    }
    name != "" && /[;{]([ \t]*\/\*.*|.*})?$/ {
        if (noted != line - 1 && !/\/\*/)
            print FILENAME ":" line ": " name " does not say what it does"
        name = ""
    }
' lib/*/*.h cmd/lsess/*.h >"$report"

awk '
    BEGIN { effect = "\\[-[^]]*, \\+[^]]*, [-emv]\\]" }
    FNR == 1 { note = signature = ""; inside = 0 }
    inside { note = note $0; inside = !/\*\//; next }
    /^\/\*/ { note = $0; inside = !/\*\//; next }
    signature == "" && /^[A-Za-z].*\(/ && !/^typedef/ { signature = " "; line = FNR }
    signature != "" {
        signature = signature $0
        if ($0 ~ /,$/)
            next
        name = signature
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        said = note ~ effect || signature ~ effect
        declared = signature ~ /;( *\/\*.*)?$/
        if (signature ~ /lua_State/ && declared && said && FILENAME ~ /\.h$/)
            in_header[name] = 1
        else if (signature ~ /lua_State/ && !declared && !said && !(name in in_header))
            print FILENAME ":" line ": " name " does not say its stack effect"
        signature = ""
        if (declared) # one note may stand above several declarations
            next
    }
    { note = "" }
' lib/*/*.h lib/*/*.c >>"$report"
cat "$report"
unsaid=$(wc -l <"$report")
[ "$unsaid" = 0 ] && passed=$((passed + 1))
failed=$((failed + unsaid))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
