# bash completion for aval.  It asks the program (`aval help`, `aval COMMAND --help`, `aval ops`: a few milliseconds each), so that it offers
# what the installed program has.

_aval_commands()
{
    "$1" help 2>/dev/null | sed -n -e '/^Environment:/q' -e 's/^  \([a-z][a-z-]*\) .*/\1/p'
}

# The long options of a command; those that take a value end in "=".
_aval_options()
{
    "$1" "$2" --help 2>/dev/null | sed -n -e 's/^  \(-.,\|   \) \(--[a-z-]*=\).*/\2/p' -e 's/^  \(-.,\|   \) \(--[a-z-]*\)\( .*\|$\)/\2/p'
}

# The values that an option is documented to take: words joined by commas and "or".
_aval_values()
{
    "$1" "$2" --help 2>/dev/null | sed -n "s/^  \(-.,\|   \) $3=NAME *\([a-z_, ]*\).*/\2/p" | tr ',' '\n' | sed -e 's/ or / /'
}

_aval()
{
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} option="" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_aval_commands "$program") --help --version" -- "$word")
        return
    fi
    # bash takes "=" for a word of its own: --save=FILE is three
    if [ "$word" = "=" ]; then
        option=$before word=""
    elif [ "$before" = "=" ]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    else
        option=$before
    fi
    case $option in
        --save | --resume | --dir | --junit | --html | --plugin | --replay | --failures | --data | --input | --inputs | --output | --weights | --upstream | --card | --output-dir)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        --device | -d) words="cpu gpu" ;;
        --*) words=$(_aval_values "$program" "$command" "$option") ;;
    esac
    if [ -n "$words" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
        return
    fi
    case $word in
        -*) words=$(_aval_options "$program" "$command") ;;
        *)
            case $command in
                help) words=$(_aval_commands "$program") ;;
                ops) words=$("$program" ops 2>/dev/null | cut -d' ' -f1) ;;
                check) words="linear mlp lenet $("$program" ops 2>/dev/null | cut -d' ' -f1)" ;;
                tune) words="mlp lenet resnet20 transformer $(compgen -f -X '!*.onnx' -- "$word")" ;;
                train | graph) words="linear mlp lenet $(compgen -f -X '!*.onnx' -- "$word")" ;;
                run | predict) words=$(compgen -f -- "$word") ;;
            esac ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _aval -o filenames -o bashdefault aval
