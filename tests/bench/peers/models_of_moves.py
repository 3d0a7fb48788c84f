"""Writes models of one operator each that moves data: models_of_moves.py FOLDER.  Prints the names, as JSON."""
import json
import os
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

RANDOM = numpy.random.default_rng(0)
IMAGES = (8, 64, 56, 56)


def whole(*numbers):
    return numpy.array(numbers, numpy.int64)


def upto(limit, *shape):
    return RANDOM.integers(0, limit, shape)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(numpy.float32)


BORDER = whole(0, 0, 1, 1, 0, 0, 1, 1)
DOUBLED = numpy.array([1, 1, 2, 2], numpy.float32)
# name: (operator, inputs, attributes); an input is a shape that is fed, a constant, or None for none.
MOVES = {
    "Concat of channels": ("Concat", [IMAGES, IMAGES], {"axis": 1}),
    "Concat of columns": ("Concat", [(4096, 256), (4096, 256)], {"axis": 1}),
    "Split of columns": ("Split", [(4096, 768)], {"axis": 1, "num_outputs": 3}),
    "Slice of images": ("Slice", [IMAGES, whole(0, 0, 1, 1), whole(8, 64, 55, 55)], {}),
    "Slice by steps": ("Slice", [IMAGES, whole(0, 0), whole(56, 56), whole(2, 3), whole(2, 2)], {}),
    "Pad of images": ("Pad", [IMAGES, BORDER], {}),
    "Pad, mirrored": ("Pad", [IMAGES, BORDER], {"mode": "reflect"}),
    "Tile": ("Tile", [(64, 1, 56), whole(1, 56, 1)], {}),
    "Transpose of a matrix": ("Transpose", [(2048, 2048)], {"perm": [1, 0]}),
    "Transpose NCHW to NHWC": ("Transpose", [IMAGES], {"perm": [0, 2, 3, 1]}),
    "Transpose of heads": ("Transpose", [(16, 128, 12, 64)], {"perm": [0, 2, 1, 3]}),
    "DepthToSpace": ("DepthToSpace", [IMAGES], {"blocksize": 2}),
    "Gather of embeddings": ("Gather", [floats(30000, 768), upto(30000, 64, 128)], {}),
    "GatherElements": ("GatherElements", [(4096, 512), upto(512, 4096, 512)], {"axis": 1}),
    "GatherND": ("GatherND", [(512, 64, 64), upto(64, 512, 1000, 1)], {"batch_dims": 1}),
    "ScatterND": ("ScatterND", [(4096, 256), RANDOM.permutation(4096)[:2048].reshape(-1, 1), floats(2048, 256)], {}),
    "ScatterElements, added": ("ScatterElements", [(4096, 512), upto(512, 4096, 128), floats(4096, 128)], {"axis": 1, "reduction": "add"}),
    "Resize, nearest": ("Resize", [IMAGES, None, DOUBLED],
                        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "Resize, linear": ("Resize", [IMAGES, None, DOUBLED], {"mode": "linear"}),
}


def model(operator, inputs, attributes):
    names = ["" if given is None else f"i{k}" for k, given in enumerate(inputs)]
    fed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, given) for name, given in zip(names, inputs) if isinstance(given, tuple)]
    constants = [numpy_helper.from_array(given, name) for name, given in zip(names, inputs) if isinstance(given, numpy.ndarray)]
    outputs = [f"o{k}" for k in range(attributes.get("num_outputs", 1))]
    graph = helper.make_graph([helper.make_node(operator, names, outputs, **attributes)], operator, fed,
                              [helper.make_empty_tensor_value_info(name) for name in outputs], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 8
    return made


def main():
    for name, case in MOVES.items():
        onnx.save(model(*case), os.path.join(sys.argv[1], f"{name}.onnx"))
    print(json.dumps([{"name": name} for name in MOVES]))


main()
