#!/usr/bin/env bash
# The checks, checked: in a copy of the tree one violation after another is planted, and the check that is there for it must fail and name the place.
set -u
cd "$(dirname "$0")/../.."
passed=0 failed=0
built=$(realpath -m "${B:-build}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Copied as far as git knows it, or all of it where there is no repository (an archive).
{ git ls-files -z 2>/dev/null || find . -type f -not -path './build/*' -not -path '*/node_modules/*' -print0; } |
    while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done | tar -c --null -T - | tar -x -C "$scratch"
cd "$scratch" || exit 1
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q . && git add -f . || exit 1

# plant CHECK EXPECTED FILE TEXT: the file, with the text in place of its own or after it (TEXT begins with +), makes the check fail with the expected words.
plant() {
    local check=$1 expected=$2 file=$3 text=$4 report
    mkdir -p "$(dirname "$file")"
    [ -f "$file" ] && cp "$file" "$file.before"
    if [ "${text:0:1}" = + ]; then printf '%b\n' "${text:1}" >>"$file"; else printf '%b\n' "$text" >"$file"; fi
    git add -f "$file"
    report=$(eval "$check" 2>&1)
    if [ $? != 0 ] && grep -qF -- "$expected" <<<"$report"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok $check finds nothing like '$expected' in $file:"
        tail -3 <<<"$report"
    fi
    if [ -f "$file.before" ]; then mv "$file.before" "$file"; else git rm -qf --cached "$file" && rm -f "$file"; fi
    git add -f . 2>/dev/null
}
lines() { yes "$2" | head -n "$1"; }

# Objects of the sources that are as they were come from the build of the tree.
layers="B=$built node tests/checks/layers.mjs"
plant "$layers" 'base includes "tracker/tracker.h", which lies above it' lib/base/planted.h '/* x */\n#include "tracker/tracker.h"'
plant "$layers" 'model includes "server/server.h"' lib/model/planted.c '/* x */\n# include "server/server.h"'
plant "$layers" 'names no room' lib/server/planted.c '/* x */\n#include "server_internal.h"'
plant "$layers" 'attic is no room of lib' lib/attic/planted.c '/* x */\n#include "base/text.h"'
for outside in lib/tracker/planted.c lib/server/planted.c cmd/lsess/planted.c; do
    plant "$layers" 'belongs to lib/vm, ' $outside '/* x */\n#include <lua5.4/lua.h>'
    plant "$layers" 'belongs to lib/vm, ' $outside '/* x */\n#include "lauxlib.h"'
    plant "$layers" 'belongs to lib/hotload' $outside '/* x */\n#include <sys/inotify.h>'
done
plant "$layers" 'belongs to lib/http, ' lib/vm/planted.h '/* x */\n#include <civetweb.h>'
plant "$layers" 'calls ls_tracker_count of lib/tracker/find.c, which lies above it' lib/files/planted.c \
    '/* x */\nint ls_tracker_count(void *);\nint planted(void *t) { return ls_tracker_count(t); }'
plant "$layers" 'shows planted, which does not begin with ls_' lib/base/planted.c '/* x */\nint planted;'
plant "$layers" 'lib/vm: 4 files call each other in a circle' lib/vm/lua_ref.c \
    '+void ls__hook_set(lua_State *);\nvoid planted(lua_State *L) { if (ls__is_handler(L, 1)) ls__hook_set(L); }'
plant "$layers" 'a file of that name is in lib/base, too' lib/vm/buf.c '/* x */'
for n in {1..25}; do echo '/* x */' >lib/session/planted_$n.h; done
plant "$layers" 'lib/session: 28 files, at most 25' lib/session/planted.h '/* x */'
rm lib/session/planted_*.h
plant "$layers" 'lines, at most 6000' lib/base/planted.c "$(lines 5000 ' ')"

headers='bash tests/checks/headers.sh'
plant "$headers" 'does not compile alone' lib/base/planted.h '/* x */\nsize_t planted(void);'
plant "$headers" 'does not compile alone' lib/base/planted.h '/* x, without a guard */\nstruct planted { int x; };'
plant "$headers" 'has warnings' lib/base/planted.h '/* x */\n#ifndef P\n#define P\nstatic inline int planted(int a) { return 0; }\n#endif'
plant "$headers" 'has no note at its top' lib/base/planted.h '#ifndef P\n#define P\n#endif'
plant "$headers" 'planted.h:7: second does not say what it does' lib/tracker/planted.h \
    '/* x */\n#ifndef P\n#define P\n/** Says it. */\nint first(void);\n/* --- part --- */\nvoid second(int a,\n            int b);\nint third(void); /* says it */\n#endif'
plant "$headers" 'planted.c:2: planted does not say its stack effect' lib/vm/planted.c '/* x */\nstatic int planted(lua_State *L)\n{\n    return 0;\n}'

format='bash tests/checks/format.sh'
plant "$format" 'should be clang-formatted' lib/base/planted.c '/* x */\nint  planted;'
plant "$format" 'planted.c:1: wider than 120 columns' lib/base/planted.c "/* $(printf '%.0sx' {1..120}) */"
plant "$format" 'planted.test.js:2: wider than 140 columns' tests/server/planted.test.js "// x\n// $(printf '%.0sä' {1..138})"
plant "$format" 'planted.mjs:1: wider than 140 columns' tests/bench/planted.mjs "// $(printf '%.0sx' {1..138})"
plant "$format" 'planted.js:1: wider than 140 columns' tests/browser/lib/planted.js "// $(printf '%.0sx' {1..138})"

tree='bash tests/checks/tree.sh'
plant "$tree" 'top level is fixed; also there: notes' notes/planted 'x'
plant "$tree" '901 lines' lib/base/planted.c "/* x */\n$(lines 900 ' ')"
plant "$tree" '901 lines' templates/client/planted.js "$(lines 901 '//')"
plant "$tree" 'a function of 81 lines' lib/base/planted.c "/* x */\nvoid planted(void)\n{\n$(lines 81 '    ;')\n}"
plant "$tree" 'no note at its top' cmd/lsess/planted.c '#include <stdio.h>'
plant "$tree" 'has not declared' lib/base/planted.c '/* x */\nvoid planted(void)\n{\n    struct ls_err err;\n}'
plant "$tree" 'a longjmp would leave' lib/base/planted.c '/* x */\nLS_RAISES int planted(void)\n{\n    LS_ERR(err);\n}'
plant "$tree" 'planted.c:5: planted cites T''31 again' lib/base/planted.c '/* x */\n/* x (T''31) */\nint planted(void)\n{\n    return 1; /* T''31 */\n}'
plant "$tree" 'planted.c:3: ls__planted cites T''31 again' lib/base/planted.c '/* x */\n/* x (T''31, T''31.1, T''31) */\nint ls__planted(void)\n{\n}'
plant "$tree" 'planted.c:1' lib/base/planted.c '/* TO''DO */'
plant "$tree" 'make help does not name planted' Makefile '+.PHONY: planted\nplanted:'

rules='node tests/checks/rules.mjs'
plant "$rules --check" 'tests/RULES.md is out of date' tests/RULES.md 'x'
plant "$rules --check" 'C''8 has neither a test nor a line' tests/checks/rules.txt '+C''8: what nobody has proved'
plant "$rules --check" 'C''8 has no sentence' tests/checks/rules.txt '+C''8:'
plant "$rules --check" 'C''8 has no sentence' tests/checks/rules.txt "+C""8: $(printf 'x%.0s' {1..141})"
plant "$rules --check" 'C''8 has the sentence of C''9' tests/checks/rules.txt '+C''9: twice\nC''8: twice'
plant "$rules --check" 'lib/base/planted.c cites T''998' lib/base/planted.c '/* x (T''998) */'
plant "$rules --check" 'rules-notes.txt has a line for T999' tests/checks/rules-notes.txt '+T999: x'

# The same tree gives the same table.
$rules >/dev/null; before=$(sha256sum <tests/RULES.md); $rules >/dev/null
if [ "$before" = "$(sha256sum <tests/RULES.md)" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo 'not ok two runs of make rules differ'; fi

# A suite that fails, hangs, leaves something running or runs nothing is seen by what counts; so is a test file that hangs, by its name.
printf "import test from 'node:test';\ntest('hangs', () => new Promise(() => setInterval(() => {}, 1000)));\n" >"$scratch/hang.test.mjs"
for tries in 1 9; do # fails so many times, and then passes
    printf "import test from 'node:test';\nimport { appendFileSync, statSync } from 'node:fs';\ntest('$tries', () => { appendFileSync('tries$tries', 'x'); if (statSync('tries$tries').size <= $tries) throw new Error('early'); });\n" >"$scratch/fails$tries.test.mjs"
done
# shellcheck disable=SC2016 -- expanded by the suites' own shells
report=$(unset SUITES; B=$scratch/b FILE_SECONDS=2 bash tests/run.sh good 60 'echo 3 passed, 0 failed' bad 60 'exit 3' none 60 true slow 1 'sleep 60' \
    left 60 'echo 1 passed, 0 failed; setsid sleep 61 & echo $! >pid' --beside file 60 'bash tests/each.sh hang.test.mjs' well 60 'echo 2 passed, 0 failed' \
    flaky 120 'FILE_SECONDS=60 RERUN=1 bash tests/each.sh fails1.test.mjs' broken 120 'FILE_SECONDS=60 RERUN=1 bash tests/each.sh fails9.test.mjs')
for expected in 'good               3 passed    0 failed' 'bad                0 passed    1 failed' 'none: ended well but ran no test' \
    'not ok slow: killed, it had not ended within 1 seconds' 'left: left 1 processes running' 'well               2 passed    0 failed' \
    'failed in file:
    not ok hang.test.mjs: ended' 'flaky              1 passed    0 failed' 'broken             0 passed    1 failed' 'failed once in flaky and then passed:
    not ok 1 - 1
        error: '"'early'" '7 passed, 5 failed'; do
    if [[ $report == *"$expected"* ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "not ok tests/run.sh does not say '$expected'"; echo "$report"; fi
done
if grep -qsa sleep "/proc/$(cat pid)/cmdline"; then failed=$((failed + 1)); echo 'not ok what a suite has left is running'; else passed=$((passed + 1)); fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
