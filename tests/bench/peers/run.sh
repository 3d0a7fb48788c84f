#!/usr/bin/env bash
# Compares aval with what a user would take instead, on this machine, side by side: PyTorch, onnxruntime, OpenBLAS, CLBlast, tinygrad, `import torch`.
#   tests/bench/peers/run.sh BUILD_FOLDER [CASE]... [--rounds N] [--json FILE] [--plot FILE.svg] [--page FILE.html]
#                           [--markdown FILE.md] [--data MNIST_FOLDER]
# The peers are installed once, into $XDG_CACHE_HOME/aval-peers or ~/.cache/aval-peers (about 3 GB, from PyPI).
set -eu
here=$(dirname "$(readlink -f "$0")")
. "$here/../../../.ci/packages.sh"
need_packages $AVAL_PEER_PACKAGES
venv=${AVAL_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/aval-peers}
if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import torch, numpy, tinygrad, onnx, onnxruntime' 2>/dev/null; then
    echo "installing PyTorch, onnx, onnxruntime, tinygrad and numpy into $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch onnx onnxruntime tinygrad numpy
fi
exec python3 "$here/peers.py" --python "$venv/bin/python" "$@"
