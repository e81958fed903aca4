#!/usr/bin/env bash
# `make autobahn`: the well-known suite for WebSockets against echo_front, without and with compression. Every case has to be OK, NON-STRICT or INFORMATIONAL.
# The suite, `wstest` of the Python package autobahntestsuite, runs under Python 2.7 only; WSTEST names the program. What it asks for of sections 1 to 7, 9 and 10
# is asked for by tests/unit/test_front_cases.c as well, which needs nothing.
set -u
cd "$(dirname "$0")/../.."
B=${B:-build}
WSTEST=${WSTEST:-wstest}
if ! "$WSTEST" --help >/dev/null 2>&1; then
    echo "autobahn: $WSTEST does not run here; WSTEST=PROGRAM names one that does (it needs Python 2.7)" >&2
    exit 1
fi
out=$(realpath -m "$B/autobahn")
mkdir -p "$out"
failed=0
for kind in plain deflate; do
    port=$((20000 + RANDOM % 20000))
    "$B/bench/echo_front" "$port" "$kind" &
    server=$!
    cases='"1.*","2.*","3.*","4.*","5.*","6.*","7.*","9.*","10.*"'
    [ "$kind" = deflate ] && cases='"12.*","13.*"'
    echo "{\"outdir\":\"$out/$kind\",\"servers\":[{\"agent\":\"$kind\",\"url\":\"ws://127.0.0.1:$port\"}],\"cases\":[$cases],\"exclude-cases\":[],\"exclude-agent-cases\":{}}" >"$out/$kind.json"
    "$WSTEST" -m fuzzingclient -s "$out/$kind.json" >"$out/$kind.log" 2>&1
    kill "$server"
    node -e '
        const cases = Object.entries(Object.values(JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")))[0]);
        const good = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"];
        const bad = cases.filter(([, found]) => !good.includes(found.behavior) || !good.includes(found.behaviorClose));
        for (const [name, found] of bad) console.log(name, found.behavior, found.behaviorClose);
        console.log(`${cases.length - bad.length} passed, ${bad.length} failed`);
        process.exit(bad.length || !cases.length ? 1 : 0);' "$out/$kind/index.json" || failed=1
done
exit "$failed"
