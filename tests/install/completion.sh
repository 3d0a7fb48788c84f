#!/usr/bin/env bash
# What bash offers for lines that start with aval.
#   completion.sh SOURCE_FOLDER PROGRAM
. "$1/share/completions/aval.bash"
program=$2
bad=0
offers() { # EXPECTED WORD...: the words of the line, the last of them unfinished
    local expected=$1
    shift
    COMP_WORDS=("$program" "$@") COMP_CWORD=$#
    _aval "$program"
    [ "${COMPREPLY[*]}" = "$expected" ] && return
    echo "completion: 'aval $*': expected '$expected', found '${COMPREPLY[*]}'"
    bad=1
}
offers "$("$program" help | sed -n -e '/^Environment:/q' -e 's/^  \([a-z][a-z-]*\) .*/\1/p' | paste -sd ' ') --help --version" ""
offers train tr
offers "--stop-after=" train --stop
offers "--device" train --dev
offers "relu" train --activation = re
offers "tanh" train --activation = ta
offers "Softmax SoftmaxCrossEntropyLoss" check Softmax
offers "graph" help gr
offers "lenet" train --nesterov le
offers "cpu" train --device c
exit $bad
