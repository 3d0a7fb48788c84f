#!/usr/bin/env bash
# Runs ONNX's own backend test cases (the wheel onnx==1.16.2) through `aval test-onnx`, and holds the list of those that are not passed; then
# once more by way of a file that aval writes of each model, which must give the same bytes, and holds the list of those that cannot be
# written.
#   run.sh PROGRAM           compares with tests/onnx/expected.txt and tests/onnx/written.txt
#   run.sh PROGRAM --write   writes those files
# What was written is then shown to onnx.checker and onnxruntime (peer.py), with the Python that AVAL_ONNX_PYTHON names, or with
# packages that are fetched once into ~/.cache/aval-tests.
# The cases are taken from AVAL_ONNX_DATA (a folder with node, light ...), or else fetched once into ~/.cache/aval-tests.  Status 77: something
# of that cannot be had.
set -u
program=$(readlink -f "${1:?run.sh PROGRAM [--write]}") write=${2-}
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
expected=tests/onnx/expected.txt unwritten=tests/onnx/written.txt
version=1.16.2
folders="node pytorch-converted pytorch-operator simple light"

fetch() { # FOLDER: the wheel's data, put in place by a rename so that a broken download leaves nothing behind
    parts=$(mktemp -d) && mkdir -p "$1" || return 1
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 311 --implementation cp --abi cp311 \
        --platform manylinux_2_17_x86_64 --dest "$parts" "onnx==$version" >"$parts/log" 2>&1 &&
        python3 - "$parts" <<'PY' && mv "$parts/onnx/backend/test/data" "$1/data"
import glob, sys, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]) as wheel:
    wheel.extractall(sys.argv[1], [n for n in wheel.namelist() if n.startswith("onnx/backend/test/data/")])
PY
    status=$?
    [ $status = 0 ] || tail -n 2 "$parts/log"
    rm -rf "$parts"
    return $status
}

data=${AVAL_ONNX_DATA-}
if [ -z "$data" ]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/aval-tests/onnx-$version
    data=$cache/data
    if [ ! -d "$data" ] && ! fetch "$cache"; then
        echo "ONNX's cases are left out: onnx==$version cannot be fetched, and AVAL_ONNX_DATA names no folder that has them"
        exit 77
    fi
fi
if [ ! -d "$data/node" ]; then
    echo "run.sh: '$data' is no folder of ONNX's cases: node/ is missing" >&2
    exit 2
fi

# Cases whose expected outputs are numpy's random numbers, which no other generator draws.
# One that leaves its attribute epsilon out, and expects what 0.01 gives.  And four that expect results beyond int8 to wrap, as numpy's cast does,
# where the specification says "saturate", as onnxruntime does too.
reasons='s#^(node/test_adam_multiple: failed: ).*#\1its model says nothing of epsilon, whose default is 1e-6, and its outputs are those of 0.01#
s#^(node/test_(bernoulli|training_dropout)[a-z_]*: failed: ).*#\1it draws other random numbers than numpy did#
s#^(node/test_qlinearmatmul_[23]D_int8_float[0-9]*: failed: ).*#\1it saturates, as the specification says and onnxruntime does; the expected results wrap#'

found=$(mktemp) sums=$(mktemp) copies=$(mktemp) written=$(mktemp)
models=$(mktemp -d)
trap 'rm -rf "$found" "$sums" "$copies" "$written" "$models"' EXIT
run_all() { # FOUND SUMS [FOLDER to write models to]
    for folder in $folders; do
        mkdir -p "${3:-$models}/$folder"
        # shellcheck disable=SC2086 # none or three words
        lines=$("$program" test-onnx "$data/$folder" --quiet ${3:+--round-trip --keep "$3/$folder"} 2>"$models/log") ||
            [ $? = 1 ] || { cat "$models/log" && exit 1; }
        echo "$folder: $(printf '%s\n' "$lines" | tail -n 1)" >>"$2"
        printf '%s\n' "$lines" | sed -e '$d' -e "s|^|$folder/|" -e "s|$data/||g" -e "s|$models/[^ ]*: ||g" | sed -E "$reasons" >>"$1"
    done
}
run_all "$found" "$sums"
run_all "$copies" /dev/null "$models"
cut -d: -f1 "$found" | sed 's/$/:/' | grep -vFf - "$copies" >"$written"
echo "$(wc -l <"$written") of the passed cases cannot be written" >>"$sums"
cat "$sums"
if [ "$write" = --write ]; then
    {
        echo "# ONNX's backend test cases (onnx==$version) that aval does not pass, each with its reason.  Written by tests/onnx/run.sh --write, held"
        echo "# by the same without --write: a case that is passed after all has to go from here, and no other may come."
        sed 's/^/# /' "$sums"
        cat "$found"
    } >"$expected"
    {
        echo "# Cases that aval passes, but not by way of a file that it writes of the model, each with its reason.  Held as $expected is."
        cat "$written"
    } >"$unwritten"
    exit 0
fi
status=0
grep -v '^#' "$expected" | diff - "$found" || status=1
grep -v '^#' "$unwritten" | diff - "$written" || status=1
[ $status = 0 ] ||
    echo "The cases above differ from $expected or $unwritten (< expected, > found); tests/onnx/run.sh PROGRAM --write writes them anew" >&2

# ---- Others read what aval writes --------------------------------------------------------------------------------------------------------

python=${AVAL_ONNX_PYTHON-}
if [ -z "$python" ]; then
    packages=${XDG_CACHE_HOME:-$HOME/.cache}/aval-tests/onnxruntime-1.32.0
    if [ ! -e "$packages/ready" ]; then
        rm -rf "$packages"
        python3 -m pip install --quiet --disable-pip-version-check --target "$packages" onnx==1.23.2 onnxruntime==1.32.0 >"$models/log" 2>&1 &&
            touch "$packages/ready"
    fi
    if [ ! -e "$packages/ready" ]; then
        tail -n 2 "$models/log"
        echo "onnx.checker and onnxruntime are left out: they cannot be fetched, and AVAL_ONNX_PYTHON names no Python that has them"
        [ $status = 0 ] && exit 77
        exit $status
    fi
    python=python3 PYTHONPATH=$packages
    export PYTHONPATH
fi
mkdir -p "$models/control" # models with loops and branches, which the wheel has few of
"$program" test-onnx tests/onnx/control --quiet --round-trip --keep "$models/control" || status=1
for folder in node pytorch-converted pytorch-operator simple control; do
    echo "onnxruntime, $folder:"
    cases=$data/$folder
    [ "$folder" = control ] && cases=tests/onnx/control
    "$python" tests/onnx/peer.py "$models/$folder" "$cases" || status=1
done
AVAL_ONNX_PYTHON=$python bash tests/onnx/trained.sh "$program" || status=1
exit $status
