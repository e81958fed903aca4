# Completion of lsess for bash. Sessions and loaded modules are asked of the running server; without one they are left out.

# lsess itself as it was typed, with the --socket of the line, quiet and never for long.
_lsess_ask() {
    local i socket=()
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == --socket ]]; then
            if [[ ${COMP_WORDS[i + 1]} == = ]]; then socket=(--socket "${COMP_WORDS[i + 2]}"); else socket=(--socket "${COMP_WORDS[i + 1]}"); fi
        fi
    done
    timeout 2 "${COMP_WORDS[0]/#\~/$HOME}" "$@" "${socket[@]}" 2>/dev/null </dev/null
}

_lsess_sessions() { _lsess_ask sessions --json | grep -o '"session":"[^"]*"' | cut -d'"' -f4; }
_lsess_modules() { _lsess_ask unload --list | sed 'p;s,/[^/]*$,,' | sort -u; } # keys, and the folders that hold them
_lsess_templates() { timeout 2 "${COMP_WORDS[0]/#\~/$HOME}" new --list 2>/dev/null | cut -d' ' -f1; }

_lsess_commands='serve repl unload sessions reload restart new check version help'

# Options of a command.
_lsess_options() {
    case $1 in
        serve) echo --dir --host --port --watch -w --open --socket --debounce --poll --session-timeout --heartbeat --memory-limit --time-limit --workers \
            --max-frame --max-messages --max-outbox --ping --http-workers --loops --no-deflate --max-connections --max-session-connections --max-sessions --max-variables --max-properties --max-timers --allow-origin --allow-frame --trust-proxy --trust-forwarded --auth-header --auth --base-path \
            --allow-lua-property --no-allow-lua-property --sandbox --env --client --strict-port --keep-removed-methods --https --cert --key --verbose -v \
            --log-file --json-log --config ;;
        repl) echo --execute -e --json --socket ;;
        unload) echo --session -s --dry-run -n --list -l --json --socket ;;
        sessions) echo --watch -w --json --socket ;;
        reload | restart) echo --json --socket ;;
        new) echo --template -t --list -l --json ;;
        check | version) echo --json ;;
    esac
    echo --help -h
}

_lsess_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

_lsess_files() { # $1: compgen's -f or -d, $2: the word
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}

# The value of option $1, word so far $2. Fails when $1 takes no value.
_lsess_value() {
    case $command:$1 in
        serve:--dir) _lsess_files -d "$2" ;;
        *:--socket | serve:--cert | serve:--key | serve:--log-file | serve:--config) _lsess_files -f "$2" ;;
        serve:--env) _lsess_words "$(compgen -e)" "$2" ;;
        serve:--client) _lsess_words 'builtin site' "$2" ;;
        serve:--host) _lsess_words '127.0.0.1 ::1 0.0.0.0 localhost unix:' "$2" ;;
        serve:--port | serve:--debounce | serve:--poll | serve:--session-timeout | serve:--heartbeat | serve:--memory-limit | serve:--time-limit | serve:--workers | serve:--ping | serve:--http-workers | serve:--loops | \
            serve:--max-* | serve:--allow-origin | serve:--allow-frame | serve:--trust-proxy | serve:--auth-header | serve:--base-path | repl:--execute | repl:-e) COMPREPLY=() ;;
        unload:--session | unload:-s) _lsess_words "$(_lsess_sessions)" "$2" ;;
        new:--template | new:-t) _lsess_words "$(_lsess_templates)" "$2" ;;
        *) return 1 ;;
    esac
}

_lsess() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _lsess_words "$_lsess_commands --help --version" "$cur"
        return
    fi
    # --name=value comes as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    _lsess_value "$prev" "$cur" && return
    if [[ $cur == -* ]]; then
        _lsess_words "$(_lsess_options "$command")" "$cur"
        return
    fi
    case $command in
        serve | check) _lsess_files -d "$cur" ;;
        repl) _lsess_words "$(_lsess_sessions) new" "$cur" ;;
        restart) _lsess_words "$(_lsess_sessions)" "$cur" ;;
        unload) _lsess_words "$(_lsess_modules)" "$cur" ;;
        reload) _lsess_files -f "$cur" ;;
        help) _lsess_words "$_lsess_commands" "$cur" ;;
    esac
}

complete -F _lsess lsess
