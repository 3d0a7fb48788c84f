#!/usr/bin/env bash
# What aval trained and wrote as ONNX gives the same in onnxruntime as in `aval run`: a built-in net, and one that was operated on.
#   trained.sh PROGRAM.  run.sh calls it with a python that has onnxruntime and numpy in AVAL_ONNX_PYTHON; 77 without.
set -eu
python=${AVAL_ONNX_PYTHON:-python3}
"$python" -c 'import numpy, onnxruntime' 2>/dev/null || { echo "left out: $python has no onnxruntime (AVAL_ONNX_PYTHON names one that has)"; exit 77; }
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$program" train lenet --epochs 1 --quiet --save base.onnx
"$program" train base.onnx --cut conv1 --head pool,32,10 --freeze '*' --epochs 1 --quiet --save new.onnx
"$python" -c 'import numpy as n; n.save("x.npy", n.random.default_rng(1).random((5, 1, 8, 8), dtype=n.float32))'
for net in base new; do
    "$program" run $net.onnx --input input=x.npy --output-dir $net --quiet
    "$python" - $net <<'END'
import sys, numpy, onnxruntime
net = sys.argv[1]
expected, = onnxruntime.InferenceSession(net + ".onnx", providers=["CPUExecutionProvider"]).run(["scores"], {"input": numpy.load("x.npy")})
found = numpy.load(net + "/scores.npy")
assert found.shape == expected.shape == (5, 10), (found.shape, expected.shape)
numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
END
done
echo "onnxruntime, trained: a net and one with a new head give what aval gives"
