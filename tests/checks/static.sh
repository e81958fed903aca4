#!/usr/bin/env bash
# What can be found without running anything: cppcheck and clang-tidy over the C code, luacheck over the Lua that ships, the type checker over the browser client, and
# the shells' own parsers over every script. Each finding is a failure; each file or tool that has none counts as passed.
set -u
cd "$(dirname "$0")/../.."
out=${B:-build}/static
mkdir -p "$out/cppcheck"
passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)); }
finding() { echo "$1"; failed=$((failed + 1)); }
need() { command -v "$1" >/dev/null || { finding "$1 is missing; .ci/deps check installs it"; false; }; }

# --- C ---

# What cppcheck gets wrong, each with the reason. Style opinions are not asked for: the compiler's warnings are stricter and know the types.
cat >"$out/suppressions" <<'END'
// readdir_r is obsolete; glibc's readdir is safe as long as a stream has one reader, as here
readdirCalled
// at the start, or where a program has one thread
getpwuidCalled
// on failure the program ends one line later
memleakOnRealloc:cmd/mkembed/mkembed.c
// the index stays below what the loop above has filled
uninitvar:lib/tracker/tree.c
END
if need cppcheck; then
    # The cache in the build folder makes the second run take a second. Units are checked on two processors.
    cppcheck -j2 --cppcheck-build-dir="$out/cppcheck" --enable=warning,performance,portability --std=c11 --library=posix --quiet --error-exitcode=0 \
        -Ilib -D_GNU_SOURCE -DLS_VERSION='"0"' -U__cplusplus --suppressions-list="$out/suppressions" \
        --template='{file}:{line}: {severity}: {message} [{id}]' lib cmd 2>"$out/cppcheck.log" || finding "cppcheck did not run"
    grep -vE '^ |^$|information' "$out/cppcheck.log" >"$out/findings"
    while read -r line; do finding "$line"; done <"$out/findings"
    for file in lib/*/*.c cmd/*/*.c; do grep -q "^$file:" "$out/findings" || ok; done
fi

# Of clang-tidy the checks for mistakes, without those that object to ways of writing used here on purpose: sizes of arrays of pointers, comparisons
# by !strcmp, names that begin with an underscore pair, one flat chain of cases.
checks='-*,bugprone-*'
for check in assignment-in-if-condition branch-clone easily-swappable-parameters implicit-widening-of-multiplication-result macro-parentheses \
    misplaced-widening-cast narrowing-conversions not-null-terminated-result reserved-identifier sizeof-expression suspicious-include \
    suspicious-string-compare too-small-loop-variable; do
    checks="$checks,-bugprone-$check"
done
if command -v clang-tidy >/dev/null; then
    printf '%s\n' lib/*/*.c cmd/*/*.c | CHECKS=$checks xargs -P2 -n8 sh -c '
        clang-tidy --quiet -checks="$CHECKS" "$@" -- -std=gnu11 -Ilib -I/usr/include/lua5.4 -D_GNU_SOURCE -DLS_VERSION=\"0\" 2>/dev/null' tidy >"$out/tidy.log"
    grep -E '(warning|error): ' "$out/tidy.log" | sort -u >"$out/findings"
    while read -r line; do finding "$line"; done <"$out/findings"
    [ -s "$out/findings" ] || ok
else
    echo 'SKIPPED clang-tidy: it is not installed'
    skipped=1
fi

# --- Lua ---

if need luacheck; then
    # The definitions of lua/meta define globals on purpose; tests/lua has its own test of them.
    for file in lua/*.lua; do
        if report=$(luacheck --std lua54 --globals session --read-globals ui EMPTY diag --no-self --no-max-line-length --no-color -q "$file"); then ok; else finding "$report"; fi
    done
    for site in templates/sites/*/; do
        # As the site's own .luacheckrc says, so that it is right as well.
        if report=$(cd "$site" && luacheck --no-color -q .); then ok; else finding "$site
$report"; fi
    done
fi
for file in lua/*.lua lua/meta/*.lua; do
    if report=$(luac5.4 -p "$file" 2>&1); then ok; else finding "$report"; fi
done

# --- JavaScript ---

if [ -x tests/node_modules/.bin/tsc ]; then
    if report=$(tests/node_modules/.bin/tsc -p tests/browser/tsconfig.json 2>&1); then ok; else finding "$report"; fi
fi
for file in tests/server/*.js tests/browser/*.js tests/bench/*.mjs tests/checks/*.mjs tests/soak/*.mjs; do
    [ -f "$file" ] || continue
    if report=$(node --check "$file" 2>&1); then ok; else finding "$file
$report"; fi
done

# --- shells ---

for file in .ci/* tests/*.sh tests/*/*.sh cmd/lsess/completion/*.bash; do
    [ -f "$file" ] && head -1 "$file" | grep -qE '^#!.*sh|^#' || continue
    if report=$(bash -n "$file" 2>&1); then ok; else finding "$report"; fi
done
for file in cmd/lsess/completion/_lsess tests/checks/*.zsh; do
    need zsh || break
    if report=$(zsh -n "$file" 2>&1); then ok; else finding "$report"; fi
done
for file in cmd/lsess/completion/*.fish; do
    need fish || break
    if report=$(fish --no-execute "$file" 2>&1); then ok; else finding "$report"; fi
done

if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
