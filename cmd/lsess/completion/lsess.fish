# Completion of lsess for fish. Sessions and loaded modules are asked of the running server; without one they are left out.

# lsess itself as it was typed, with the --socket of the line, quiet and never for long.
function __lsess_ask
    set -l words (commandline -opc)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l socket
    for i in (seq 2 (count $words))
        if test "$words[$i]" = --socket; and set -q words[(math $i + 1)]
            set socket --socket $words[(math $i + 1)]
        else if string match -q -- '--socket=*' $words[$i]
            set socket $words[$i]
        end
    end
    timeout 2 $program $argv $socket 2>/dev/null </dev/null
end

function __lsess_sessions
    __lsess_ask sessions --json | string match -ar '"session":"[^"]*"' | string split -f 4 '"'
end

function __lsess_modules
    __lsess_ask unload --list | sed 'p;s,/[^/]*$,,' | sort -u # keys, and the folders that hold them
end

function __lsess_templates
    set -l program (string replace -r '^~' $HOME -- (commandline -opc)[1])
    timeout 2 $program new --list 2>/dev/null | string replace -r ' +' '\t'
end

function __lsess_first
    test (count (commandline -opc)) -eq 1
end

function __lsess_in
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

complete -c lsess -f
complete -c lsess -n __lsess_first -s h -l help -d 'show all commands'
complete -c lsess -n __lsess_first -s V -l version -d 'show the version'
complete -c lsess -n __lsess_first -a serve -d 'serve a site'
complete -c lsess -n __lsess_first -a repl -d 'talk Lua to a live session'
complete -c lsess -n __lsess_first -a unload -d 'unload modules from live sessions'
complete -c lsess -n __lsess_first -a sessions -d 'list live sessions'
complete -c lsess -n __lsess_first -a reload -d 'take up changed files in every session'
complete -c lsess -n __lsess_first -a restart -d 'give a session a clean start'
complete -c lsess -n __lsess_first -a new -d 'make a new site folder from a template'
complete -c lsess -n __lsess_first -a check -d 'check a site without serving it'
complete -c lsess -n __lsess_first -a version -d 'show the version'
complete -c lsess -n __lsess_first -a help -d 'show all commands, or the help of one'

complete -c lsess -n 'not __lsess_first' -s h -l help -d 'show usage and options'
complete -c lsess -n '__lsess_in repl unload sessions reload restart new check version' -l json -d 'print JSON'
complete -c lsess -n '__lsess_in repl unload sessions reload restart' -l socket -rF -d 'control socket of the server to talk to'

complete -c lsess -n '__lsess_in serve' -a '(__fish_complete_directories)'
complete -c lsess -n '__lsess_in serve' -l dir -xa '(__fish_complete_directories)' -d 'the site folder'
complete -c lsess -n '__lsess_in serve' -l host -xa '127.0.0.1 ::1 0.0.0.0 localhost unix:' -d 'address to listen on, or unix:PATH'
complete -c lsess -n '__lsess_in serve' -l port -x -d 'port; 0 = any free one'
complete -c lsess -n '__lsess_in serve' -s w -l watch -d 'take up saved files'
complete -c lsess -n '__lsess_in serve' -l open -d 'open the browser'
complete -c lsess -n '__lsess_in serve' -l socket -rF -d 'control socket'
complete -c lsess -n '__lsess_in serve' -l debounce -x -d 'quiet time before a save is taken up'
complete -c lsess -n '__lsess_in serve' -l poll -x -d 'look at watched folders this often'
complete -c lsess -n '__lsess_in serve' -l session-timeout -x -d 'end sessions without pages after this time'
complete -c lsess -n '__lsess_in serve' -l heartbeat -x -d 'how often an idle page asks whether the server is there'
complete -c lsess -n '__lsess_in serve' -l memory-limit -x -d 'what a session keeps in memory'
complete -c lsess -n '__lsess_in serve' -l time-limit -x -d 'time of one piece of work in Lua'
complete -c lsess -n '__lsess_in serve' -l workers -x -d 'threads that run Lua'
complete -c lsess -n '__lsess_in serve' -l max-frame -x -d 'largest message of a page'
complete -c lsess -n '__lsess_in serve' -l max-messages -x -d 'messages in one frame of a page'
complete -c lsess -n '__lsess_in serve' -l max-outbox -x -d 'bytes that may wait for a page'
complete -c lsess -n '__lsess_in serve' -l ping -x -d 'ping a page that is silent for so long'
complete -c lsess -n '__lsess_in serve' -l http-workers -x -d 'threads that serve requests'
complete -c lsess -n '__lsess_in serve' -l loops -x -d 'threads that read what pages send'
complete -c lsess -n '__lsess_in serve' -l no-deflate -d 'never compress messages of pages'
complete -c lsess -n '__lsess_in serve' -l max-connections -x -d 'connected pages in all'
complete -c lsess -n '__lsess_in serve' -l max-session-connections -x -d 'connected pages of one session'
complete -c lsess -n '__lsess_in serve' -l max-sessions -x -d 'sessions'
complete -c lsess -n '__lsess_in serve' -l max-variables -x -d 'variables of one session'
complete -c lsess -n '__lsess_in serve' -l max-properties -x -d 'properties of one variable'
complete -c lsess -n '__lsess_in serve' -l max-timers -x -d 'pending timers of one session'
complete -c lsess -n '__lsess_in serve' -l allow-origin -x -d 'accept pages of this origin too'
complete -c lsess -n '__lsess_in serve' -l trust-proxy -x -d 'believe what this proxy says of its clients'
complete -c lsess -n '__lsess_in serve' -l trust-forwarded -d 'believe the header Forwarded of these proxies too'
complete -c lsess -n '__lsess_in serve' -l auth-header -x -d 'header of these proxies that names the user'
complete -c lsess -n '__lsess_in serve' -l auth -rF -d 'ask for name and password, as in this file'
complete -c lsess -n '__lsess_in serve' -l base-path -x -d 'what addresses begin with behind a proxy'
complete -c lsess -n '__lsess_in serve' -l allow-frame -x -d 'let pages of this origin show ours in a frame'
complete -c lsess -n '__lsess_in serve' -l allow-lua-property -d 'let pages run Lua code'
complete -c lsess -n '__lsess_in serve' -l no-allow-lua-property -d 'do not let pages run Lua code'
complete -c lsess -n '__lsess_in serve' -l sandbox -d 'distrust the site'
complete -c lsess -n '__lsess_in serve' -l env -x -a '(set -nx)' -d 'with --sandbox, let Lua code read this variable'
complete -c lsess -n '__lsess_in serve' -l client -xa 'builtin site' -d 'which browser client'
complete -c lsess -n '__lsess_in serve' -l strict-port -d 'fail when the port is taken'
complete -c lsess -n '__lsess_in serve' -l keep-removed-methods -d 'a reload does not remove methods'
complete -c lsess -n '__lsess_in serve' -l https -d 'serve https and wss, with a certificate made here without --cert'
complete -c lsess -n '__lsess_in serve' -l cert -rF -d 'certificate (PEM)'
complete -c lsess -n '__lsess_in serve' -l key -rF -d 'private key of the certificate (PEM)'
complete -c lsess -n '__lsess_in serve' -s v -l verbose -d 'say more'
complete -c lsess -n '__lsess_in serve' -l log-file -rF -d 'append the log to a file'
complete -c lsess -n '__lsess_in serve' -l json-log -d 'log as JSON'
complete -c lsess -n '__lsess_in serve' -l config -rF -d 'configuration'

complete -c lsess -n '__lsess_in repl' -s e -l execute -x -d 'run code and leave'
complete -c lsess -n '__lsess_in repl' -a '(__lsess_sessions)' -d session
complete -c lsess -n '__lsess_in repl' -a new -d 'a session without a page'

complete -c lsess -n '__lsess_in unload' -s s -l session -xa '(__lsess_sessions)' -d 'only in this session'
complete -c lsess -n '__lsess_in unload' -s n -l dry-run -d 'say what would go, change nothing'
complete -c lsess -n '__lsess_in unload' -s l -l list -d 'list what is loaded'
complete -c lsess -n '__lsess_in unload' -a '(__lsess_modules)' -d loaded

complete -c lsess -n '__lsess_in sessions' -s w -l watch -d 'refresh each second'

complete -c lsess -n '__lsess_in reload' -F

complete -c lsess -n '__lsess_in restart' -a '(__lsess_sessions)' -d session

complete -c lsess -n '__lsess_in new' -s t -l template -xa '(__lsess_templates)' -d 'which template'
complete -c lsess -n '__lsess_in new' -s l -l list -d 'name the templates'

complete -c lsess -n '__lsess_in check' -a '(__fish_complete_directories)'

complete -c lsess -n '__lsess_in help' -a 'serve repl unload sessions reload restart new check version help'
