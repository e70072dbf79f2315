#compdef puna
# Completes puna in zsh. For this shell: source <(puna completion zsh)
# For all: puna completion zsh > "${fpath[1]}/_puna"
_puna() {
    local -a lines values shown
    local line
    lines=("${(@f)$("${words[1]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in "${(@)lines[2,-1]}"; do
        values+=("${line%%$'\t'*}")
        if [[ $line == *$'\t'?* ]]; then
            shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
        else
            shown+=("${line%%$'\t'*}")
        fi
    done
    (( ${#values} )) && compadd -l -V puna -d shown -a values
    [[ ${lines[1]} == files ]] && _files
}
if [[ ${funcstack[1]} == _puna ]]; then
    _puna "$@"
else
    compdef _puna puna
fi
