#!/usr/bin/env bash
# The checks, checked: in a copy of the tree violations are planted, and the check that is there for them must fail and name each with its place.
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
git init -q . && git add -f . && pristine=$(git write-tree) || exit 1

# plant FILE TEXT EXPECTED…: the text, in place of the file's own or after it (TEXT begins with +), with the beginnings of what is to be said of it.
expected=()
plant() {
    mkdir -p "$(dirname "$1")"
    if [ "${2:0:1}" = + ]; then printf '%b\n' "${2:1}" >>"$1"; else printf '%b\n' "$2" >"$1"; fi
    git add -f "$1"
    expected+=("${@:3}")
}
# demand CHECK [FINDINGS]: with all that is planted the check fails, says each thing expected in a line that begins so, and counts that many findings and no
# more; then the tree is as it was. What is planted together must not hide each other, and each needs a name of its own.
demand() {
    local check=$1 findings=${2:-${#expected[@]}} report status wanted missed=0
    report=$(eval "$check" 2>&1)
    status=$?
    for wanted in "${expected[@]}"; do
        if [ $status != 0 ] && grep -qE -- "^(not ok )?$wanted" <<<"$report"; then
            passed=$((passed + 1))
        else
            missed=$((missed + 1))
            echo "not ok $check says nothing like '$wanted'"
        fi
    done
    if grep -qxE "[0-9]+ passed, $findings failed" <<<"$report"; then
        passed=$((passed + 1))
    else
        missed=$((missed + 1))
        echo "not ok $check does not count $findings findings"
    fi
    [ "$missed" = 0 ] || sed 's/^/    | /' <<<"$report" | tail -60 # its counts are not ours
    failed=$((failed + missed))
    expected=()
    git read-tree --reset -u "$pristine"
}
lines() { yes "$2" | head -n "$1"; }

plant lib/files/planted_up.h '/* x */\n#include "tracker/tracker.h"' \
    'lib/files/planted_up.h:2: files includes "tracker/tracker.h", which lies above it'
plant lib/executor/planted_up.c '/* x */\n# include "server/server.h"' \
    'lib/executor/planted_up.c:2: executor includes "server/server.h", which lies above it'
plant lib/server/planted_room.c '/* x */\n#include "server_internal.h"' 'lib/server/planted_room.c:2: "server_internal.h" names no room'
plant lib/attic/planted_attic.c '/* x */\n#include "base/text.h"' 'lib/attic/planted_attic.c: attic is no room of lib'
for outside in lib/tracker/planted_tracker.c lib/server/planted_server.c cmd/lsess/planted.c; do
    plant $outside '/* x */\n#include <lua5.4/lua.h>\n#include "lauxlib.h"\n#include <sys/inotify.h>' \
        "$outside:2: <lua5.4/lua.h> belongs to lib/vm, " "$outside:3: <lauxlib.h> belongs to lib/vm, " \
        "$outside:4: <sys/inotify.h> belongs to lib/hotload"
done
plant lib/check/planted_web.h '/* x */\n#include <civetweb.h>' 'lib/check/planted_web.h:2: <civetweb.h> belongs to lib/http, '
plant lib/files/planted_call.c '/* x */\nint ls_tracker_count(void *);\nint ls__planted_call(void *t) { return ls_tracker_count(t); }' \
    'lib/files/planted_call.c: calls ls_tracker_count of lib/tracker/find.c, which lies above it'
plant lib/check/planted_name.c '/* x */\nint planted;' 'lib/check/planted_name.c: shows planted, which does not begin with ls_'
plant lib/vm/lua_ref.c '+void ls__hook_set(lua_State *);\nvoid ls__planted(lua_State *L) { if (ls__is_handler(L, 1)) ls__hook_set(L); }' \
    'lib/vm: 4 files call each other in a circle, at most 3: .*lua_ref.c'
plant lib/console/buf.c '/* x */' 'lib/console/buf.c: a file of that name is in lib/base, too'
for n in {1..25}; do plant lib/session/planted_$n.h '/* x */'; done
plant lib/session/planted.h '/* x */' 'lib/session: 28 files, at most 25'
plant lib/viewdef/planted_long.h "$(lines 6000 ' ')" 'lib/viewdef: [0-9]+ lines, at most 6000'
# Objects of the sources that are as they were come from the build of the tree.
demand "B=$built node tests/checks/layers.mjs"

plant lib/base/planted_type.h '/* x */\nsize_t planted(void);' 'lib/base/planted_type.h: does not compile alone'
plant lib/base/planted_twice.h '/* x, without a guard */\nstruct planted { int x; };' 'lib/base/planted_twice.h: does not compile alone'
plant lib/base/planted_unused.h '/* x */\n#ifndef P\n#define P\n/** x */\nstatic inline int planted(int a) { return 0; }\n#endif' \
    'lib/base/planted_unused.h: has warnings'
plant lib/base/planted_note.h '#ifndef P\n#define P\n#endif' 'lib/base/planted_note.h: has no note at its top'
plant lib/tracker/planted.h \
    '/* x */\n#ifndef P\n#define P\n/** Says it. */\nint first(void);\n/* --- part --- */\nvoid second(int a,\n            int b);\nint third(void); /* says it */\n#endif' \
    'lib/tracker/planted.h:7: second does not say what it does'
plant lib/vm/planted.c '/* x */\nstatic int planted(lua_State *L)\n{\n    return 0;\n}' 'lib/vm/planted.c:2: planted does not say its stack effect'
demand 'bash tests/checks/headers.sh'

plant lib/base/planted_space.c '/* x */\nint  planted;' 'lib/base/planted_space.c:2:.* should be clang-formatted'
plant lib/base/planted_wide.c "/* $(printf '%.0sx' {1..120}) */" 'lib/base/planted_wide.c:1: wider than 120 columns'
plant tests/server/planted.test.js "// x\n// $(printf '%.0sä' {1..138})" 'tests/server/planted.test.js:2: wider than 140 columns'
plant tests/bench/planted.mjs "// $(printf '%.0sx' {1..138})" 'tests/bench/planted.mjs:1: wider than 140 columns'
plant tests/browser/lib/planted.js "// $(printf '%.0sx' {1..138})" 'tests/browser/lib/planted.js:1: wider than 140 columns'
demand 'bash tests/checks/format.sh'

plant notes/planted 'x' 'top level is fixed; also there: notes$'
plant lib/base/planted_long.c "/* x */\n$(lines 900 ' ')" 'lib/base/planted_long.c: 901 lines'
plant templates/client/planted.js "$(lines 901 '//')" 'templates/client/planted.js: 901 lines'
plant lib/base/planted_function.c "/* x */\nvoid planted(void)\n{\n$(lines 81 '    ;')\n}" 'lib/base/planted_function.c:3: a function of 81 lines'
plant cmd/lsess/planted.c '#include <stdio.h>' 'cmd/lsess/planted.c: no note at its top'
plant lib/base/planted_err.c '/* x */\nvoid planted(void)\n{\n    struct ls_err err;\n}' 'lib/base/planted_err.c:4: .* has not declared'
plant lib/base/planted_jump.c '/* x */\nLS_RAISES int planted(void)\n{\n    LS_ERR(err);\n}' 'lib/base/planted_jump.c:4: .* a longjmp would leave'
plant lib/base/planted_cite.c '/* x */\n/* x (T''31) */\nint planted(void)\n{\n    return 1; /* T''31 */\n}' \
    'lib/base/planted_cite.c:5: planted cites T''31 again'
plant lib/base/planted_note.c '/* x */\n/* x (T''31, T''31.1, T''31) */\nint ls__planted(void)\n{\n}' \
    'lib/base/planted_note.c:3: ls__planted cites T''31 again'
plant lib/base/planted_loose.c '/* TO''DO */' 'lib/base/planted_loose.c:1:'
plant Makefile '+.PHONY: planted\nplanted:' 'make help does not name planted'
demand 'bash tests/checks/tree.sh' 9 # what is wrong with errors is one finding, and so is what is cited again

rules='node tests/checks/rules.mjs'
plant tests/RULES.md 'x' 'tests/RULES.md is out of date'
demand "$rules --check"
plant tests/checks/rules.txt "+C""90: what nobody has proved\nC""91:\nC""92: $(printf 'x%.0s' {1..141})\nC""93: twice\nC""94: twice" \
    'C''90 has neither a test nor a line' 'C''91 has no sentence' 'C''92 has no sentence' 'C''94 has the sentence of C''93'
plant tests/server/planted.test.js '// C''91, C''92, C''93, C''94'
plant lib/base/planted.c '/* x (T''998) */' 'lib/base/planted.c cites T''998'
plant tests/checks/rules-notes.txt '+T999: x' 'tests/checks/rules-notes.txt has a line for T999'
demand "$rules >/dev/null; $rules --check" # of a table that is not out of date

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
