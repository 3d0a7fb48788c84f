"""What aval writes, seen by others: onnx.checker takes each model, and onnxruntime computes with it what it computes with the original.

   python peer.py WRITTEN DATA      (WRITTEN: CASE.onnx as `aval test-onnx --round-trip --keep WRITTEN DATA` leaves them)

Prints a line for each model of which that does not hold, with the reason, then how many were compared.  Models with operators of aval's own,
and originals that onnxruntime does not run itself, are only counted; what onnx.checker has against the original is none of aval's.  Status 1: there was such
a line."""
import glob
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

written, data = sys.argv[1:]
onnxruntime.set_default_logger_severity(4)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1


def results(file, sets):
    """All outputs of all sets of inputs."""
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    return [session.run(None, {i.name: a for i, a in zip(inputs, arrays)}) for arrays in sets]


def input_sets(case):
    def number(file):
        return int(file.removesuffix(".pb").rsplit("_", 1)[1])
    return [[numpy_helper.to_array(onnx.load_tensor(f)) for f in sorted(glob.glob(f"{folder}/input_*.pb"), key=number)]
            for folder in sorted(glob.glob(f"{data}/{case}/test_data_set_*"), key=number)]


def same(a, b):
    return len(a) == len(b) and all(
        len(xs) == len(ys) and all(x.dtype == y.dtype and x.shape == y.shape and np.allclose(x.astype("d"), y.astype("d"), 1e-4, 1e-6, equal_nan=True)
                                   for x, y in zip(xs, ys))
        for xs, ys in zip(a, b))


told = []
counts = dict(compared=0, own=0, originals=0)
def tell(line):
    told.append(line)
    print(line)


def refusal(model):
    """What onnx.checker says against a model; "" when it takes it."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as e:  # noqa: BLE001: whatever it says is the result
        return str(e).splitlines()[0]
    return ""


def is_random(model):
    return any(n.op_type in ("Bernoulli", "Multinomial") or n.op_type.startswith("Random") for n in model.graph.node)


for file in sorted(glob.glob(written + "/*.onnx")):
    case = os.path.basename(file)[:-5]
    model = onnx.load(file)
    if any(o.domain == "aval" for o in model.opset_import):
        counts["own"] += 1
        continue
    why = refusal(model)
    if why and not refusal(f"{data}/{case}/model.onnx"):
        tell(f"{case}: onnx.checker: {why}")
        continue
    try:
        sets = input_sets(case)
        original = results(f"{data}/{case}/model.onnx", sets)
    except Exception:  # noqa: BLE001
        counts["originals"] += 1
        continue
    try:
        found = results(file, sets)
    except Exception as e:  # noqa: BLE001
        tell(f"{case}: onnxruntime: {str(e).splitlines()[0]}")
        continue
    counts["compared"] += 1
    if not same(original, found) and not is_random(model):
        tell(f"{case}: onnxruntime computes something else")
print("{compared} compared, {own} with operators of aval's own, {originals} whose originals onnxruntime does not run".format(**counts))
sys.exit(bool(told))
