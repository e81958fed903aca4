#!/usr/bin/env bash
# Fails when an include points up between the rooms of lib/, or when a reserved header appears outside its room.
# Prints one line a finding and ends with its count as "N passed, M failed".
set -u
cd "$(dirname "$0")/../.."
rooms=(base files tracker vm model resolver reload console session protocol viewdef backend check executor hotload http server)
declare -A floor
for i in "${!rooms[@]}"; do floor[${rooms[$i]}]=$i; done
passed=0 failed=0

finding() { echo "$1"; failed=$((failed + 1)); }

while IFS=: read -r file line text; do
    room=${file#lib/}; room=${room%%/*}
    target=$(sed -E 's/.*"([^"]+)".*/\1/' <<<"$text")
    other=${target%%/*}
    [ -n "${floor[$room]:-}" ] || { finding "$file:$line: $room is no room of lib"; continue; }
    if [ -z "${floor[$other]:-}" ]; then
        finding "$file:$line: \"$target\" names no room; include as \"ROOM/file.h\""
    elif [ "${floor[$other]}" -gt "${floor[$room]}" ]; then
        finding "$file:$line: $room includes \"$target\", which lies above it"
    else
        passed=$((passed + 1))
    fi
done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' -r lib --include='*.c' --include='*.h')

# header pattern -> where it may appear
while read -r pattern allowed; do
    while IFS=: read -r file line _; do
        if [[ $file =~ $allowed ]]; then passed=$((passed + 1)); else finding "$file:$line: <$pattern> belongs to $allowed"; fi
    done < <(grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($pattern)[>\"]" -r lib cmd --include='*.c' --include='*.h')
done <<'LIST'
(lua5\.4/)?(lua|lauxlib|lualib)\.h ^lib/(vm|model|resolver|reload|console|session)/
civetweb\.h ^lib/(http|server)/
inotifytools/.*|sys/inotify\.h ^lib/hotload/
(cjson/)?cJSON\.h ^lib/protocol/
LIST

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
