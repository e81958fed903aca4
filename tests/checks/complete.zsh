#!/usr/bin/env zsh
# What zsh offers for a line: complete.zsh FOLDER-OF-_lsess 'lsess serve --' prints the candidates, one a line.
# The completion system works in an interactive shell only, so one runs in a pseudo-terminal; its compadd is wrapped to print what it is given.
emulate -L zsh
zmodload zsh/zpty || exit 1
completion=${1:A} words=$2 dump=$(mktemp -d)
trap 'rm -rf $dump' EXIT

zpty shell "cd ${(q)PWD}; COMPLETION=${(q)completion} DUMP=${(q)dump} exec zsh -f -i"
zpty -w shell 'unset zle_bracketed_paste; PROMPT=; stty -echo; source '${(q)0:A:h}'/complete-setup.zsh'
marker=
while [[ $marker != *READY* ]]; do zpty -r shell marker || exit 1; done
zpty -w -n shell "$words"$'\t'
offered=0
while zpty -r shell line; do
    line=${line//[$'\r\n']/}
    [[ $line == *BEGIN-OFFER* ]] && offered=1 && continue
    [[ $line == *END-OFFER* ]] && break
    (( offered )) && [[ -n $line ]] && print -r -- $line
done
