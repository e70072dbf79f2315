# Completes puna in fish. For this shell: puna completion fish | source
# For all: puna completion fish > ~/.config/fish/completions/puna.fish
function __puna_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l lines ($words[1] __complete -- $words[2..-1] "$word" 2>/dev/null)
    test "$lines[1]" = files; and __fish_complete_path "$word"
    test (count $lines) -gt 1; and printf '%s\n' $lines[2..-1]
end
complete -c puna -f -a '(__puna_complete)'
