# Completes puna in bash. For this shell: source <(puna completion bash)
_puna_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" word cut="" directive reply
    COMPREPLY=()
    directive=""
    while IFS=$'\t' read -r reply _; do
        if [[ -z $directive ]]; then directive=$reply; else COMPREPLY+=("$reply"); fi
    done < <("$1" __complete --line "$line" 2>/dev/null)
    # Colons and equal signs divide words for readline: what stands before the last is not replaced.
    word=${line##*[[:space:]]}
    if [[ $word == *[:=]* ]]; then
        [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && cut="${word%=*}="
        [[ ${word#"$cut"} == *:* && $COMP_WORDBREAKS == *:* ]] && cut="${word%:*}:"
        COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    fi
    if [[ $directive == files ]]; then
        compopt -o default 2>/dev/null
    elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _puna_complete puna
