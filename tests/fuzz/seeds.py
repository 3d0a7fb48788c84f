#!/usr/bin/env python3
"""Writes the corpus that the fuzzers start from: seeds.py [FOLDER].  Small files that between them have most parts of each format.  Inputs that
a fuzzer found, and that were mended, lie beside them (found-*) and are not written here."""
import base64
import json
import os
import struct
import sys
import zipfile

from formats import *

X, Y = [value("x", ["N", 2])], [value("y", [])]
W = floats("w", [2], [0.5, 2.0])
branch = lambda op: graph([node(op, "x", "b")], outputs=[value("b", [])])
body = graph([node("Add", "s e", "t"), node("Identity", "t", "o")], inputs=[value("s", [2]), value("e", [2])],
             outputs=[value("t", [2]), value("o", [2])])
turn = graph([node("Add", "v x", "u"), node("Identity", "c", "d")], inputs=[value("i", [], INT64), value("c", [], BOOL), value("v", [3, 2])],
             outputs=[value("d", [], BOOL), value("u", [3, 2])])
scalar = lambda name, kind, raw: tensor(name, kind, [], raw)

ONNX = {
    "scale": model([node("Mul", "x w", "h"), node("LeakyRelu", "h", "y", alpha=0.1)], [W], X, Y),
    "reshape": model([node("Shape", "x", "s"), node("Concat", "s one", "t", axis=0), node("Reshape", "x t", "y")], [ints("one", [1])], X, Y),
    "gather": model([node("Gather", "x i", "h", axis=1), node("Transpose", "h", "y", perm=[1, 0])], [ints("i", [1, 0, -1])], X, Y),
    "conv": model([node("Conv", "x w", "h", pads=[1, 1, 1, 1], strides=[2, 2]), node("MaxPool", "h", "y", kernel_shape=[2, 2])],
                  [floats("w", [1, 1, 3, 3], [0.1] * 9)], [value("x", [1, 1, 8, 8])], Y),
    "lstm": model([node("LSTM", "x w r", "y h", hidden_size=2, direction="bidirectional")],
                  [floats("w", [2, 8, 2], [0.1] * 32), floats("r", [2, 8, 2], [0.1] * 32)], [value("x", [3, 1, 2])], Y + [value("h", [])]),
    "if": model([node("If", "c", "y", then_branch=branch("Relu"), else_branch=branch("Tanh"))], [],
                X + [value("c", [], BOOL)], Y),
    "if_known": model([node("If", "c", "y", then_branch=branch("Relu"), else_branch=branch("Tanh"))], [scalar("c", BOOL, b"\1")], X, Y),
    "scan": model([node("Scan", "z x", "f y", body=body, num_scan_inputs=1)], [floats("z", [2], [0.0, 0.0])], [value("x", [3, 2])],
                  Y + [value("f", [])]),
    "loop": model([node("Loop", "n c x", "y", body=turn)], [scalar("n", INT64, struct.pack("<q", 3)), scalar("c", BOOL, b"\1")],
                  [value("x", [3, 2])], Y),
    "function": model([node("Twice", "x", "y", "local", factor=3.0)], [], X, Y,
                      functions=[function("Twice", "in", "out", [node("Tanh", "in", "h"), node("Tanh", "h", "out")])]),
    "constant": model([node("Constant", "", "c", value=(floats("", [1, 2], [1.0, 2.0]),)), node("Constant", "", "k", value_ints=[0, 1]),
                       node("ReduceSum", "c k", "y", keepdims=0)], [], [], Y),
    "fill": model([node("ConstantOfShape", "s", "y", value=(floats("", [1], [3.0]),))], [ints("s", [2, 3])], [], Y),
    "range": model([node("Range", "a b c", "r"), node("Cast", "r", "y", to=FLOAT)],
                   [scalar(n, INT64, struct.pack("<q", v)) for n, v in (("a", 1), ("b", 9), ("c", 2))], [], Y),
    "range_far": model([node("Range", "a b c", "r"), node("Cast", "r", "y", to=FLOAT)],
                       [scalar(n, INT64, struct.pack("<q", v)) for n, v in (("a", -2**62), ("b", 2**63 - 1), ("c", 2**62))], [], Y),
    "nonzero": model([node("NonZero", "x", "i"), node("Gather", "w i", "y")], [W], X, Y),
    "einsum": model([node("Einsum", "x x", "y", equation="ij,kj->ik")], [], X, Y),
    "resize": model([node("Resize", "x r s", "y", mode="cubic")], [floats("r", [0], []), floats("s", [4], [1.0, 1.0, 2.0, 0.5])],
                    [value("x", [1, 1, 4, 4])], Y),
    "pad": model([node("Pad", "x p", "y", mode="reflect")], [ints("p", [0, 1, 0, 1])], X, Y),
    "slice": model([node("Slice", "x a b", "h"), node("Split", "h", "y z", axis=1)], [ints("a", [0]), ints("b", [9])], X, Y),
    "topk": model([node("TopK", "x k", "y i")], [ints("k", [1])], X, Y + [value("i", [], INT64)]),
    "gemm": model([node("Gemm", "x w", "h", transB=1), node("Softmax", "h", "y", axis=1)], [floats("w", [3, 2], [0.1] * 6)], X, Y),
    "quantize": model([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")],
                      [scalar("s", FLOAT, struct.pack("<f", 0.1)), scalar("z", 2, b"\x80")], X, Y),
    "typed": model([node("Add", "x w", "y")], [tensor("w", FLOAT, [2], None, field(4, struct.pack("<2f", 1.0, 2.0)))], X, Y),
    "external": model([node("Add", "x w", "y")], [external("w", [2], location="data", offset="0", length="8")], X, Y),
    "random": model([node("RandomNormal", "", "r", shape=[2, 2]), node("Dropout", "r", "y")], [], [], Y, version=12),
    "unsupported": model([node("Unheard", "x", "y")], [], X, Y),
    "infinite": model([node("Gemm", "x w", "y", alpha=float("inf"))], [floats("w", [2, 3], [0.1] * 6)], X, Y),
    "nan": model([node("LeakyRelu", "x", "y", alpha=float("nan"))], [], X, Y),
}
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
SAFETENSORS = {
    "two": safetensors({"__metadata__": {"format": "pt"}, "a.weight": F32, "b": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]}}, bytes(16)),
    "empty": safetensors({}),
    "none": safetensors({"a": {"dtype": "U8", "shape": [0, 3], "data_offsets": [0, 0]}}),
    "types": safetensors({t: {"dtype": t, "shape": [1], "data_offsets": [i, i + 1]} for i, t in enumerate(("BOOL", "I8", "U8", "F8_E4M3"))}, bytes(4)),
    "overlap": safetensors({"a": F32, "b": F32}, bytes(8)),
    "deep": safetensors(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"),
    "huge": safetensors({"a": {"dtype": "F64", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}}, bytes(8)),
}
ARRAY = npy("(2, 1)")
NPY = {
    "float": ARRAY,
    "scalar": npy("()", "<i8"),
    "long": npy("(2,)", "=f4", version=2),
    "bools": npy("(8,)", "|b1", version=3),
    "columns": npy("(1, 2)", order=True),
    "big": npy("(2,)", ">f4"),
    "huge": npy("(1099511627776, 1099511627776)"),
    "stored.npz": npz({"x.npy": ARRAY, "y.npy": npy("(1,)", "<f8")}, zipfile.ZIP_STORED),
    "deflated.npz": npz({"x.npy": ARRAY, "folder/y.npy": npy("(8,)", "|u1")}),
    "numpy.npz": npz({"x.npy": ARRAY}, zip64=True),
    "empty.npz": npz({}),
}
IDX = {
    "images": idx([2, 2, 1], bytes([1, 2, 3, 4])),
    "labels": idx([3], bytes([0, 1, 2])),
    "images.gz": gz(idx([2, 2, 1], bytes([1, 2, 3, 4]))),
    "labels.gz": gz(idx([3], bytes([0, 1, 2]))),
    "short": idx([9], bytes([0, 1])),
    "long": idx([1], bytes(5)),
    "huge": idx([0xFFFFFFFF] * 3, bytes(5)),
    "floats": idx([1], bytes(4), 0x0D),
}
CARD = {"height": 5, "width": 4, "channels": 1, "layout": "flat", "mean": 0.5, "std": [0.25], "background": "dark", "ink": 0.8, "labels": ["a", "b"]}
CARDS = {
    "digits": json.dumps(CARD).encode(),
    "photo": json.dumps({"height": 4, "width": 4, "resize": 6, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2], "layout": "NHWC", "scores": True}).encode(),
    "large": json.dumps({"height": 16384, "width": 16384}).encode(),
    "deep": b"[" * 3000,
    "twice": b'{"height": 1, "height": 2}',
    "labels": b'{"height": 1, "width": 1, "labels": ["\\u0000", 3]}',
}
# libjpeg's, of a few pixels at quality 10
JPEG = {
    "gray.jpg": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////wAALCAAFAAcBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAf/EABYQAQEBAAAAAAAAAAAAAAAAAAIAA//aAAgBAQAAPwBGAv/Z",
    "color.jpg": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////////////////////////wAARCAAIAAkDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/xAAdEAACAgEFAAAAAAAAAAAAAAAAAQIDERMiUlOS/8QAFQEBAQAAAAAAAAAAAAAAAAAAAAL/xAAWEQEBAQAAAAAAAAAAAAAAAAAAARH/2gAMAwEAAhEDEQA/AEcLbUsvkXRs7J+mATbg/9k=",
    "progressive.jpg": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////////////////////////wgARCAAIAAkDASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABUBAQEAAAAAAAAAAAAAAAAAAAAB/9oADAMBAAIQAxAAAAEI/8QAFhABAQEAAAAAAAAAAAAAAAAAAAER/9oACAEBAAEFAmV//8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAgBAwEBPwF//8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAgBAgEBPwF//8QAFhABAQEAAAAAAAAAAAAAAAAAACEx/9oACAEBAAY/Ao1//8QAGBAAAgMAAAAAAAAAAAAAAAAAAJEBUWH/2gAIAQEAAT8himNjP//aAAwDAQACAAMAAAAQc//EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQMBAT8Qf//EABYRAQEBAAAAAAAAAAAAAAAAAAEAEf/aAAgBAgEBPxBcv//EABgQAAMBAQAAAAAAAAAAAAAAAAABESHx/9oACAEBAAE/EIWNY6I//9k=",
    "cmyk.jpg": "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwBQNzxGPDJQRkFGWlVQX3jIgnhubnj1r7mRyP///////////////////////////////////////////////////8AAFAgABAAEBEMRAE0RAFkRAEsRAP/EABQAAQAAAAAAAAAAAAAAAAAAAAP/xAAZEAABBQAAAAAAAAAAAAAAAAADAAECEiH/2gAOBEMATQBZAEsAAD8AQQoUbEohQo2JhChRsTiFCjYv/9k=",
}
PICTURES = {
    "gray.png": png(3, 2, 8, 0, [bytes([0, 128, 255])] * 2),
    "color.png": png(2, 2, 8, 2, [bytes(range(6))] * 2),
    "palette.png": png(4, 2, 2, 3, [b"\x1b", b"\xe4"], bytes(range(12))),
    "deep.png": png(1, 2, 16, 6, [bytes(range(8))] * 2),
    "interlaced.png": png(1, 1, 1, 0, [b"\x80"], interlaced=1),
    "large.png": png(1 << 16, 1 << 16, 1, 0, [b"\0"]),
    **{name: base64.b64decode(text) for name, text in JPEG.items()},
}

root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
for format, files in (("onnx", ONNX), ("safetensors", SAFETENSORS), ("npy", NPY), ("idx", IDX), ("card", CARDS), ("picture", PICTURES)):
    os.makedirs(os.path.join(root, format), exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(root, format, name), "wb") as out:
            out.write(content)
