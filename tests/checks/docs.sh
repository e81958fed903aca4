#!/usr/bin/env bash
# Documents against the program, in both directions: manual pages are well formed; each command's --help has the options, values and operands of its
# page's SYNOPSIS and OPTIONS; completions of bash, zsh and fish know every command and option and no other, and work in these shells, with a server and
# without; every function that Lua code can call is in lsess-lua.7.
set -u
cd "$(dirname "$0")/../.."
LSESS=${LSESS:-${B:-build}/lsess}
[ -x "$LSESS" ] || { echo "$LSESS is not there; build it first"; echo "0 passed, 1 failed"; exit 1; }
LSESS=$(realpath "$LSESS")
completion=cmd/lsess/completion
passed=0 failed=0
scratch=$(mktemp -d)
server=
cleanup() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
mkdir "$scratch/bin" "$scratch/run" "$scratch/home"
ln -s "$LSESS" "$scratch/bin/lsess"
export PATH="$scratch/bin:$PATH" XDG_RUNTIME_DIR="$scratch/run" HOME="$scratch/home"
unset LSESS_SOCKET

ok() { passed=$((passed + 1)); }
finding() { echo "$1"; failed=$((failed + 1)); }
# same NAME EXPECTED FOUND: two sorted lists.
same() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then ok; else
        finding "$1 ('<' only there, '>' only here):
$(diff <(echo "$2") <(echo "$3") | grep '^[<>]')"
    fi
}

commands=$(lsess help | sed -n 's/^  \([a-z]*\) .*/\1/p')

# --- what the program says ---

# Lines `--name VALUE` and `-x`, sorted. Both forms of --[no-]name are written out.
help_options() {
    lsess "$1" --help | awk '
        /^options:/ { inside = 1; next }
        inside && !/^  / { inside = 0 }
        inside {
            if (match($0, /^  -[a-zA-Z],/)) print substr($0, 3, 2)
            sub(/^  (-[a-zA-Z],|   ) /, "")
            split($0, word, " ")
            print word[1] (word[2] ~ /^[A-Z]+$/ ? " " word[2] : "")
        }' | unfold
}
unfold() { sed -n 'h;s/\[no-\]//;p;g;s/\[no-\]/no-/p' | sort -u; }
help_operands() { lsess "$1" --help | sed -n '1s/^usage: lsess [a-z]*\( \[options\]\)\{0,1\} \{0,1\}//p'; }

# --- what the page says ---

# Flags with their arguments in the lines of one section, as help_options prints them.
page_flags() { # page, section, lines that count
    awk -v section="$2" '/^\.Sh/ { inside = $0 == ".Sh " section; next } inside' "$1" | grep -E "$3" | awk '
        { for (i = 1; i <= NF; i++) if ($i == "Fl") {
              name = "-" $(i + 1)
              if (name !~ /^--/) print name
              else print name ($(i + 2) == "Ar" && $(i + 3) ~ /^[A-Z]+$/ ? " " $(i + 3) : "")
          } else if ($i == ".Fl") { print "-" $(i + 1) } }' | sed 's/^\(-.\)\(-\)/\1\2/' | unfold
}
page_operands() { # of the first form in SYNOPSIS
    awk '/^\.Sh SYNOPSIS/ { inside = 1; next } /^\.Sh/ { inside = 0 }
        inside && /^\.Nm/ { if (forms++) exit; next }
        inside && /^\.Op Ar/ { printf "%s[%s%s]", gap, $3, $4; gap = " " }
        inside && /^\.Ar/ { printf "%s%s%s", gap, $2, $3; gap = " " }' "$1"
}

for page in man/*.[157]; do
    complaints=$(mandoc -Tlint -Wwarning "$page" 2>&1)
    if [ -z "$complaints" ]; then ok; else finding "$complaints"; fi
    # What a reader looks for at the end of a page (C7); only programs have an exit status, and not every subject has variables or files.
    sections=(EXAMPLES 'SEE ALSO')
    [ "${page##*.}" = 1 ] && sections+=(ENVIRONMENT FILES 'EXIT STATUS')
    for section in "${sections[@]}"; do
        if grep -q "^\.Sh $section" "$page"; then ok; else finding "$page has no $section"; fi
    done
    # Pages refer to pages that are there.
    while read -r name section; do
        if [ -f "man/$name.$section" ]; then ok; else finding "$page refers to $name($section), which is not there"; fi
    done < <(sed -n 's/^\.Xr \(lsess[a-z-]*\) \([157]\).*/\1 \2/p' "$page")
done

same "commands in man/lsess.1" "$(sort <<<"$commands")" "$(sed -n 's/^\.It Cm \([a-z]*\)$/\1/p' man/lsess.1 | sort)"
same "pages of commands" "$(sort <<<"$commands")" "$(find man -name 'lsess-*.1' | sed 's,.*/lsess-\(.*\)\.1,\1,' | sort)"
for command in $commands; do
    page=man/lsess-$command.1
    [ -f "$page" ] || continue
    options=$(help_options "$command")
    same "$command: --help and OPTIONS of $page" "$options" "$(page_flags "$page" OPTIONS '^\.It Fl')"
    shown=$(grep -vxE -e '-h|--help' <<<"$options")
    [ -n "$shown" ] && same "$command: --help and SYNOPSIS of $page" "$shown" "$(page_flags "$page" SYNOPSIS '^\.(Op )?Fl')"
    if [ "$(help_operands "$command")" = "$(page_operands "$page")" ]; then ok; else
        finding "$command: operands are '$(help_operands "$command")' in --help, '$(page_operands "$page")' in $page"
    fi
    if [ "$(lsess "$command" -h)" = "$(lsess help "$command")" ]; then ok; else finding "$command: -h and help differ"; fi
done

# What other pages list is what the program has.
listed() { sed -n "$2" "$1" | sort -u; }
same "templates in man/lsess-new.1" "$(lsess new --list | cut -d' ' -f1 | sort)" "$(awk '/^The templates are:/,/^\.El/' man/lsess-new.1 | sed -n 's/^\.It Cm //p' | sort)"
same "dot commands in man/lsess-repl.1" "$(listed cmd/lsess/repl_dot.c 's/^ *{"\(\.[a-z]*\)", .*/\1/p')" "$(listed man/lsess-repl.1 's/^\.It Cm \(\.[a-z]*\).*/\1/p')"
same "keys in man/lsess-serve.1" "$(printf '%s\n' h o q r s u)" "$(awk '/^\.Ss Keys/,/^\.El/' man/lsess-serve.1 | sed -n 's/^\.It Cm //p' | sort)"
same "commands in man/lsess-control.7" \
    "$({ grep -ohE '\{"[a-z]+", (run_|NULL, run_)' lib/server/commands.c | sed 's/{"\([a-z]*\)".*/\1/'; echo watch; } | sort -u)" \
    "$(awk '/^\.Ss Commands/,/^\.Ss Errors/' man/lsess-control.7 | awk '/^\.Bl/ { depth++ } /^\.El/ { depth-- } depth == 1' | sed -n 's/^\.It Cm \([a-z]*\).*/\1/p' | sort)"
same "error codes in man/lsess-protocol.7" "$(listed lib/tracker/fault.h 's/^ *X([A-Z_]*, "[a-z-]*", "\([a-z-]*\)").*/\1/p' | grep .)" \
    "$(awk '/^\.Ss Errors/,/^\.El/' man/lsess-protocol.7 | sed -n 's/^\.It Li //p' | sort)"

# What lsess-deploy.7 shows is what tests/proxies try, but for names and ports of a machine.
shown=$(awk '/^\.Bd -literal/ { inside = 1; next } /^\.Ed/ { inside = 0 } inside' man/lsess-deploy.7 | sed 's/\\(dq/"/g; s/\\e/\\/g; s/^[ \t]*//' |
    grep -vE '^(listen 443 |bind :443 |tool\.example \{|$)' | sort -u)
tried=$(cat tests/fixtures/deploy/* | sed 's/@LSESS@/8080/g; s/@TLS@/443/g; s,@PEM@,/etc/ssl/both.pem,g; s,@CERT@,/etc/ssl/tool.pem,g; s,@KEY@,/etc/ssl/tool.key,g; s/^[ \t]*//')
if [ "$(wc -l <<<"$shown")" -gt 40 ]; then ok; else finding "man/lsess-deploy.7 shows no configurations"; fi
while IFS= read -r line; do
    if grep -qxF -- "$line" <<<"$tried"; then ok; else finding "man/lsess-deploy.7 shows a line that no test tries: $line"; fi
done <<<"$shown"

# --- Lua functions ---

while read -r name; do
    short=${name##*[.:]}
    case $name in
        session[.:]*) pattern="^\.It Fn session:$short\b" ;;
        ui.*) pattern="^\.It Fn ui\.$short\b" ;;
        *[.:]*) pattern="^\.Fn $short\b" ;;
        *) pattern="^\.It (Fn|Va) .*\b$short\b" ;;
    esac
    if grep -qE "$pattern" man/lsess-lua.7; then ok; else finding "man/lsess-lua.7 does not tell about $name"; fi
done < <({
    sed -n 's/^function \([A-Za-z_.:]*\)(.*/\1/p' lua/meta/*.lua
    awk '!/X\(/ { table = "" } /define LS_SESSION_FUNCTIONS/ { table = "session:" } /define LS_UI_FUNCTIONS/ { table = "ui." }
        table { while (match($0, /X\([A-Za-z_]+\)/)) { print table substr($0, RSTART + 2, RLENGTH - 3); $0 = substr($0, RSTART + RLENGTH) } }' \
        lib/model/globals.h
} | sed 's/^Session[.:]/session:/;s/^Ui[.:]/ui./' | sort -u)

# --- completions ---

# offered SHELL LINE: what the shell offers at the end of the line, sorted.
offered() {
    case $1 in
        bash) bash --norc --noprofile -c '
            source "$1"
            read -ra COMP_WORDS <<<"$2"
            [[ $2 == *" " ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
            _lsess 2>&1
            printf "%s\n" "${COMPREPLY[@]}"' - "$completion/lsess.bash" "$2" ;;
        zsh) timeout 20 zsh -f tests/checks/complete.zsh "$completion" "$2" ;;
        fish) fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$completion/lsess.fish" "$2" 2>&1 | cut -f1 ;;
    esac | grep . | sort -u
}
names() { sed 's/ .*//' | grep -- "$1" | sort -u; }

for shell in bash zsh fish; do
    same "$shell: commands" "$(sort <<<"$commands")" "$(offered $shell 'lsess ' | grep -v '^-')"
    for command in $commands; do
        same "$shell: long options of $command" "$(help_options "$command" | names '^--')" "$(offered $shell "lsess $command --" | sed 's/=$//')"
    done
    for command in serve unload; do
        # fish shows letters beside their long names only when asked for one dash.
        same "$shell: letters of $command" "$(help_options "$command" | names '^-[a-z]$')" "$(offered $shell "lsess $command -" | grep -x -- '-[a-zA-Z]')"
    done
    same "$shell: templates" "$(lsess new --list | cut -d' ' -f1 | sort)" "$(offered $shell 'lsess new --template ')"
    same "$shell: clients" "$(printf 'builtin\nsite')" "$(offered $shell 'lsess serve --client ')"
    if [ -z "$(offered $shell 'lsess restart ')" ]; then ok; else finding "$shell: sessions are offered without a server"; fi
    if [ -z "$(offered $shell 'lsess unload ')" ]; then ok; else finding "$shell: modules are offered without a server"; fi
done

lsess new --template tasks "$scratch/site" >/dev/null
lsess serve --port 0 --socket "$scratch/socket" --json-log "$scratch/site" >"$scratch/log" 2>&1 </dev/null &
server=$!
for ((i = 0; i < 500; i++)); do grep -qs '"ready"' "$scratch/log" && break; sleep 0.02; done
export LSESS_SOCKET=$scratch/socket
lsess repl new -e 1 >/dev/null
lsess repl new -e 1 >/dev/null
for shell in bash zsh fish; do
    same "$shell: sessions" "$(printf '1\n2')" "$(offered $shell 'lsess restart ')"
    same "$shell: sessions of repl" "$(printf '1\n2\nnew')" "$(offered $shell 'lsess repl ')"
    same "$shell: sessions of unload" "$(printf '1\n2')" "$(offered $shell 'lsess unload --session ')"
    same "$shell: modules" "$(printf '%s\n' apps/tasks apps/tasks/app.lua apps/tasks/task.lua lua lua/main.lua)" "$(offered $shell 'lsess unload ')"
    unset LSESS_SOCKET
    same "$shell: the socket of the line" "$(printf '1\n2')" "$(offered $shell "lsess restart --socket $scratch/socket ")"
    export LSESS_SOCKET=$scratch/socket
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
