# Read by the shell that complete.zsh runs: the completion of lsess, and a key Tab that prints the candidates and leaves.
fpath=($COMPLETION $fpath)
autoload -Uz compinit
compinit -u -d $DUMP/zcompdump
zstyle ':completion:*' verbose no
zstyle ':completion:*' group-name ''
setopt no_list_beep
compadd() {
    # Calls that only filter an array are the completion system's own.
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a hits
    builtin compadd -A hits "$@"
    (( $#hits )) && print -rl -- $hits
    builtin compadd "$@"
}
show() {
    print BEGIN-OFFER
    zle complete-word
    print END-OFFER
    exit
}
zle -N show
bindkey '^I' show
zstyle ':completion:*' completer _complete
print READY
