#!/usr/bin/env bash
# Installs what is missing, builds a release into build/release, and trains a network on the handwritten digits that lie in the repo.
#   ./run.sh               all of it
#   ./run.sh --build-only  no training; the program is build/release/aval
# Other arguments go to `aval train`: ./run.sh lenet --epochs 5.  Files are relative to the caller's folder.  Can be run again at no cost.
set -eu
repository=$(dirname "$(readlink -f "$0")")
build=$repository/build/release
. "$repository/.ci/packages.sh"

build_only=0
if [ "${1:-}" = --build-only ]; then
    build_only=1
    shift
fi

# shellcheck disable=SC2086 # a list of words
need_packages $AVAL_RUN_PACKAGES

log=$build/build.log
# bash takes a failed redirection of a negated group for success, so it is tried first
if ! mkdir -p "$build" || ! touch "$log"; then
    echo "This folder cannot be written to: $build" >&2
    exit 1
fi
[ -f "$build/CMakeCache.txt" ] && [ -f "$build/aval" ] || echo "Building (log: $log) ..."
if ! { cmake -S "$repository" -B "$build" -DCMAKE_BUILD_TYPE=Release -DAVAL_TESTS=OFF &&
       cmake --build "$build" --parallel "$(nproc)"; } >"$log" 2>&1; then
    grep -E 'error|Error' "$log" | head -n 20 >&2 || true
    echo "The build failed; the whole log is $log" >&2
    exit 1
fi
[ "$build_only" = 0 ] || exit 0

"$build/aval" train --save "$build/digits.safetensors" "$@"
shown=$build tests=$repository/test.sh
[ "$PWD" -ef "$repository" ] && shown=build/release tests=./test.sh
tell() { printf '  %-*s  %s\n' $((${#shown} + 22)) "$1" "$2"; }
echo
echo "Next, try:"
tell "$shown/aval devices" "the devices of this machine, and how to choose one (--device)"
tell "$shown/aval train lenet" "a convolutional network on the same digits"
tell "$shown/aval train --data DIR" "your own IDX files (MNIST's names)"
tell "$shown/aval ops Conv" "what an operator does; without a name, all of them"
tell "$shown/aval check Softmax" "is this device right about it?"
tell "$shown/aval graph mlp --plan" "what is launched in a step"
tell "$tests --quick" "the tests"
