#!/usr/bin/env python3
"""Times single operators, each a model of one node, by aval and by onnxruntime in turns, and prints the ratios, the worst first.

    VENV_PYTHON operators.py BUILD_FOLDER [NAME]... [--rounds N] [--op-set N]

VENV_PYTHON is that of run.sh's folder, with numpy, onnx and onnxruntime.  Ratio: onnxruntime's time / aval's, above 1 is faster; each is the median
over the rounds of the medians within a process, on PoCL.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy
from onnx import TensorProto, helper, numpy_helper, save, shape_inference

HERE = os.path.dirname(os.path.abspath(__file__))
POCL = "/etc/OpenCL/vendors/pocl.icd"
IMAGES, ROWS = (8, 64, 56, 56), (4096, 1024)
random = numpy.random.default_rng(0)


def weights(*shape):
    return random.standard_normal(shape).astype(numpy.float32) * 0.1


def indices(limit, *shape):
    return random.integers(0, limit, shape)


def ints(*values):
    return numpy.array(values, numpy.int64)


def number(value, kind=numpy.float32):
    return numpy.array(value, kind)


def square(side, step=1, pad=0):
    return {"kernel_shape": [side, side], "strides": [step, step], "pads": [pad] * 4}


def cases():
    """name: (operator, inputs, attributes); an input is the shape of floats that are fed, an array that the model has, or None"""
    for op in ("Relu Sigmoid Tanh Exp Log Sqrt Erf Softplus HardSwish Elu LeakyRelu Abs Neg Sin Reciprocal Floor Round Gelu Mish").split():
        yield op, op, [IMAGES], {}
    for op in "Add Sub Mul Div Max Less".split():
        yield op, op, [IMAGES, weights(*IMAGES)], {}
    yield "Mod", "Mod", [IMAGES, weights(*IMAGES)], {"fmod": 1}
    yield "Pow 2", "Pow", [IMAGES, number(2)], {}
    yield "Clip", "Clip", [IMAGES, number(0), number(6)], {}
    yield "PRelu", "PRelu", [IMAGES, weights(64, 1, 1)], {}
    yield "Where", "Where", [random.random(IMAGES) > 0.5, IMAGES, IMAGES], {}
    yield "Cast to float16", "Cast", [IMAGES], {"to": TensorProto.FLOAT16}
    yield "Cast to int32", "Cast", [IMAGES], {"to": TensorProto.INT32}
    yield "QuantizeLinear", "QuantizeLinear", [IMAGES, number(0.1), number(0, numpy.uint8)], {}
    yield "MaxPool 3x3 / 2", "MaxPool", [IMAGES], square(3, 2, 1)
    yield "MaxPool 2x2 / 2", "MaxPool", [IMAGES], square(2, 2)
    yield "AveragePool 3x3", "AveragePool", [IMAGES], square(3, 1, 1)
    yield "AveragePool 2x2 / 2", "AveragePool", [IMAGES], square(2, 2)
    yield "GlobalAveragePool", "GlobalAveragePool", [IMAGES], {}
    yield "LRN", "LRN", [IMAGES], {"size": 5}
    yield "BatchNormalization", "BatchNormalization", [IMAGES, *(abs(weights(64)) for _ in range(4))], {}
    yield "InstanceNormalization", "InstanceNormalization", [IMAGES, weights(64), weights(64)], {}
    yield "LayerNormalization", "LayerNormalization", [(64, 128, 768), weights(768), weights(768)], {}
    yield "Softmax", "Softmax", [(64, 128, 512)], {}
    yield "LogSoftmax", "LogSoftmax", [(4096, 1000)], {}
    yield "Hardmax", "Hardmax", [(4096, 1000)], {}
    for op in "ReduceMean ReduceMax ReduceL2 ReduceLogSumExp".split():
        yield f"{op} of rows", op, [ROWS, ints(1)], {}
        yield f"{op} of columns", op, [ROWS, ints(0)], {}
    yield "ArgMax", "ArgMax", [(4096, 1000)], {"axis": 1}
    yield "TopK 5", "TopK", [(512, 1000), ints(5)], {}
    yield "TopK 200", "TopK", [(512, 1000), ints(200)], {}
    yield "CumSum", "CumSum", [ROWS, number(1, numpy.int64)], {}
    yield "Transpose", "Transpose", [(2048, 2048)], {"perm": [1, 0]}
    yield "Transpose to NHWC", "Transpose", [IMAGES], {"perm": [0, 2, 3, 1]}
    yield "Transpose of heads", "Transpose", [(16, 128, 12, 64)], {"perm": [0, 2, 1, 3]}
    yield "DepthToSpace", "DepthToSpace", [IMAGES], {"blocksize": 2}
    yield "Concat", "Concat", [IMAGES, IMAGES], {"axis": 1}
    yield "Concat of columns", "Concat", [(4096, 256), (4096, 256)], {"axis": 1}
    yield "Split", "Split", [(4096, 768)], {"axis": 1, "num_outputs": 3}
    yield "Slice", "Slice", [IMAGES, ints(0, 0, 1, 1), ints(8, 64, 55, 55)], {}
    yield "Slice by steps", "Slice", [IMAGES, ints(0, 0), ints(56, 56), ints(2, 3), ints(2, 2)], {}
    yield "Pad", "Pad", [IMAGES, ints(0, 0, 1, 1, 0, 0, 1, 1)], {}
    yield "Pad mirrored", "Pad", [IMAGES, ints(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"}
    yield "Tile", "Tile", [(64, 1, 56), ints(1, 56, 1)], {}
    yield "Expand", "Expand", [(64, 1, 1), ints(*IMAGES)], {}
    yield "Gather", "Gather", [weights(30000, 768), indices(30000, 64, 128)], {}
    yield "GatherND", "GatherND", [(512, 64, 64), indices(64, 512, 1000, 1)], {"batch_dims": 1}
    yield "GatherElements", "GatherElements", [(4096, 512), indices(512, 4096, 512)], {"axis": 1}
    yield "ScatterND", "ScatterND", [(4096, 256), random.permutation(4096)[:2048].reshape(-1, 1), weights(2048, 256)], {}
    yield "ScatterElements", "ScatterElements", [(4096, 512), indices(512, 4096, 128), weights(4096, 128)], {"axis": 1, "reduction": "add"}
    twice = [IMAGES, None, numpy.array([1, 1, 2, 2], numpy.float32)]
    yield "Resize nearest", "Resize", twice, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    yield "Resize linear", "Resize", twice, {"mode": "linear"}
    yield "Resize cubic", "Resize", twice, {"mode": "cubic"}
    yield "GridSample", "GridSample", [(4, 32, 64, 64), (4, 64, 64, 2)], {"mode": "linear"}
    yield "Conv 3x3", "Conv", [(4, 64, 56, 56), weights(64, 64, 3, 3)], {"pads": [1] * 4}
    yield "Conv 1x1", "Conv", [(4, 256, 28, 28), weights(64, 256, 1, 1)], {}
    yield "Conv of one axis", "Conv", [(16, 64, 1024), weights(128, 64, 5)], {"pads": [2, 2]}
    yield "Conv of three axes", "Conv", [(1, 16, 16, 56, 56), weights(32, 16, 3, 3, 3)], {"pads": [1] * 6}
    yield "ConvTranspose", "ConvTranspose", [(4, 64, 28, 28), weights(64, 32, 4, 4)], {"strides": [2, 2], "pads": [1] * 4}
    yield "MatMul", "MatMul", [(1024, 768), weights(768, 3072)], {}
    yield "MatMul of one row", "MatMul", [(1, 4096), weights(4096, 4096)], {}
    yield "MatMul of batches", "MatMul", [(96, 128, 64), (96, 64, 128)], {}
    for op, gates in ("RNN", 1), ("GRU", 3), ("LSTM", 4):
        for batch in 32, 1:
            of_op = [weights(1, gates * 256, 128), weights(1, gates * 256, 256), weights(1, 2 * gates * 256)]
            yield f"{op} of batch {batch}", op, [(64, batch, 128), *of_op], {"hidden_size": 256}


def model(op, inputs, attributes, op_set):
    names, fed, held = [], [], []
    for i, given in enumerate(inputs):
        names.append("" if given is None else f"x{i}")
        if isinstance(given, tuple): fed.append(helper.make_tensor_value_info(names[i], TensorProto.FLOAT, given))
        elif given is not None: held.append(numpy_helper.from_array(given, names[i]))
    outputs = [f"y{i}" for i in range(attributes.get("num_outputs", 2 if op == "TopK" else 1))]
    node = helper.make_node(op, names, outputs, **attributes)
    graph = helper.make_graph([node], op, fed, [helper.make_empty_tensor_value_info(name) for name in outputs], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", op_set)])
    made.ir_version = 10
    return shape_inference.infer_shapes(made)  # which gives the outputs their types


def median_ms(command, **environment):
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment})
    return json.loads(ran.stdout)[0]["median_ms"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all that begin so; else all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--op-set", type=int, default=20)
    options = parser.parse_args()
    aval, worker = os.path.join(options.build, "aval"), os.path.join(HERE, "worker_onnxruntime.py")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "operator.onnx")
        for name, op, inputs, attributes in cases():
            if options.names and not any(name.startswith(some) for some in options.names): continue
            save(model(op, inputs, attributes, options.op_set), file)
            pairs = [(median_ms([aval, "bench", file, "--json", "--quiet"], OCL_ICD_VENDORS=POCL), median_ms([sys.executable, worker, file]))
                     for _ in range(options.rounds)]
            ours, theirs = (statistics.median(times) for times in zip(*pairs))
            ratios = [peer / own for own, peer in pairs]
            rows.append((theirs / ours, f"{name:24} {ours:9.3f} ms {theirs:9.3f} ms {theirs / ours:7.2f} ({min(ratios):.2f} to {max(ratios):.2f})"))
    print(f"{'operator':24} {'aval':>12} {'onnxruntime':>12} {'ratio':>7} (of rounds)")
    for _, text in sorted(rows):
        print(text)


main()
