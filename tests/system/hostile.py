#!/usr/bin/env python3
"""The program on damaged and hostile files: each ends with exit code 2 and one message, which says what is wrong with what.

    hostile.py PROGRAM"""
import os
import resource
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz"))
sys.dont_write_bytecode = True
from formats import *  # noqa: E402

program = os.path.abspath(sys.argv[1])
os.environ.setdefault("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd")
X, Y = [value("x", [2])], [value("y", [2])]
W = floats("w", [2], [0.5, 2.0])
GOOD = model([node("Mul", "x w", "y")], [W], X, Y)
NAN, INF = float("nan"), float("inf")


def using(tensor_bytes):
    return model([node("Mul", "x w", "y")], [tensor_bytes], X, Y)


def nested(depth):
    inner = graph([node("Relu", "x", "b")], outputs=[value("b", [2])])
    for _ in range(depth):
        inner = graph([node("If", "c", "b", then_branch=inner, else_branch=graph([node("Relu", "x", "b")], outputs=[value("b", [2])]))],
                      outputs=[value("b", [2])])
    return model([node("If", "c", "y", then_branch=inner, else_branch=inner)], [], X + [value("c", [], BOOL)], Y)


def recursive():
    return [function("F", "a", "b", [node("F", "a", "b", "local")])]


def doubling(levels):  # 2^levels nodes
    return [function(f"F{i}", "a", "b", [node(f"F{i - 1}", "a", "t", "local"), node(f"F{i - 1}", "t", "b", "local")] if i else [node("Relu", "a", "b")])
            for i in range(levels)]


MODELS = [  # name, content, what the message must have
    ("truncated", GOOD[:-9], "damaged"),
    ("empty", b"", "no graph"),
    ("text", b"not a model at all, but a text", "ONNX model"),
    ("2^40 elements", using(floats("w", [1 << 40], [1.0])), "expected 4398046511104 bytes"),
    ("2^80 elements", using(floats("w", [1 << 40, 1 << 40], [1.0])), "2^63"),
    ("negative axis", using(floats("w", [-2], [1.0])), "0 or more"),
    ("nine axes", using(floats("w", [1] * 9, [1.0])), "9 axes"),
    ("input of 2^62 elements", model([node("Relu", "x", "y")], [], [value("x", [1 << 31, 1 << 31])], Y), "2^63"),
    ("fill of 2^40", model([node("ConstantOfShape", "s", "f"), node("Mul", "x f", "y")], [ints("s", [1 << 40])], X, Y), "f"),
    ("range of 2^62", model([node("Range", "a b c", "r"), node("Cast", "r", "y", to=1)],
                            [tensor(n, INT64, [], struct.pack("<q", v)) for n, v in (("a", 0), ("b", 1 << 62), ("c", 1))], X, Y), "r"),
    ("tile to 2^60", model([node("Tile", "x n", "y")], [ints("n", [1 << 60])], X, Y), "y"),
    ("split into too many", model([node("Split", "x", "y " + " ".join(f"z{i}" for i in range(40)))], [], X, Y), "outputs"),
    ("missing tensor", model([node("Mul", "x nowhere", "y")], [], X, Y), "'nowhere' is neither"),
    ("missing output", model([node("Relu", "x", "z")], [], X, Y), "nothing gives the output 'y'"),
    ("cycle", model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")], [], X, Y), "cycle"),
    ("a name twice", model([node("Relu", "x", "y"), node("Tanh", "x", "y")], [], X, Y), "given to two"),
    ("function that calls itself", model([node("F", "x", "y", "local")], [], X, Y, functions=recursive()), "64 deep"),
    ("2^24 nodes", model([node("F24", "x", "y", "local")], [], X, Y, functions=doubling(25)), "nodes"),
    ("graphs 200 deep", nested(200), "64 deep"),
    ("NaN attribute", model([node("LeakyRelu", "x", "y", alpha=NAN)], [], X, Y), "node 'y' (LeakyRelu): attribute alpha: expected numbers, found NaN"),
    ("NaN among attributes", model([node("Upsample", "x", "y", scales=[1.0, NAN])], [], X, Y, version=7), "found NaN"),
    ("infinite scale", model([node("Resize", "x r s", "y")], [floats("r", [0], []), floats("s", [1], [INF])], X, Y), ""),
    ("NaN scale", model([node("Resize", "x r s", "y")], [floats("r", [0], []), floats("s", [1], [NAN])], X, Y), ""),
    ("kernel of 2^62", model([node("MaxPool", "x", "y", kernel_shape=[1 << 62])], [], [value("x", [1, 1, 4])], Y), "y"),
    ("stride 0", model([node("MaxPool", "x", "y", kernel_shape=[2], strides=[0])], [], [value("x", [1, 1, 4])], Y), "strides"),
    ("pads below", model([node("Pad", "x p", "y")], [ints("p", [-(1 << 62), 0])], X, Y), "y"),
    ("axis -2^63", model([node("Softmax", "x", "y", axis=-(1 << 63))], [], X, Y), "axis"),
    ("permutation of itself", model([node("Transpose", "x", "y", perm=[0, 0])], [], [value("x", [2, 2])], Y), "perm"),
    ("attribute of another type", model([node("Softmax", "x", "y", axis="one")], [], X, Y), "axis as a text"),
    ("outside, absolute", using(external("w", [2], location="/etc/passwd")), "within the model's folder"),
    ("outside, ..", using(external("w", [2], location="../data")), "within the model's folder"),
    ("outside, by a link", using(external("w", [2], location="link")), "leads out"),
    ("outside, through a linked folder", using(external("w", [2], location="folder/passwd")), "leads out"),
    ("beside, too short", using(external("w", [2], location="data", offset="4096")), "data"),
    ("beside, a folder", using(external("w", [2], location=".")), ""),
]
HUGE_ZIP = npz({"x.npy": npy("(2,)")}).replace(struct.pack("<I", len(npy("(2,)"))), struct.pack("<I", 0xFFFFFF00))
ARRAYS = [
    ("cut.npy", npy("(2,)")[:-1], "found 7"),
    ("huge.npy", npy("(1099511627776,)"), "needs 4398046511104 bytes"),
    ("overflow.npy", npy("(1099511627776, 1099511627776)"), "2^63"),
    ("negative.npy", npy("(-2,)"), "axis 0"),
    ("objects.npy", npy("(1,)", "|O"), "type '|O'"),
    ("other.npy", npy("(3,)", data=bytes(12)), "declared as 2, found 3"),
    ("type.npy", npy("(2,)", "<f8", bytes(16)), "double"),
    ("cut.npz", npz({"x.npy": npy("(2,)")})[:-5], "directory"),
    ("absent.npz", npz({"a.npy": npy("(2,)"), "b.npy": npy("(2,)")}), "no array 'x': there are 'a', 'b'"),
    ("bomb.npz", HUGE_ZIP, "cannot become 4294967040"),
    ("crc.npz", npz({"x.npy": npy("(2,)")}, zipfile.ZIP_STORED).replace(b"fortran", b"fortrau"), "checksum"),
    ("nowhere.npy", None, "nowhere.npy"),
]
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WEIGHTS = [
    ("cut", safetensors({"w": F32}, bytes(7)), "truncated"),
    ("header", safetensors({"w": F32}, bytes(8), 1 << 62), "header of"),
    ("2^80 bytes", safetensors({"w": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}}, bytes(8)), "'w'"),
    ("deep", safetensors(b'{"w":' + b"[" * 100000 + b"]" * 100000 + b"}"), "JSON"),
    ("shape", safetensors({"w": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}, bytes(8)), "'w' float[2] in the store"),
    ("unexpected", safetensors({"v": F32}, bytes(8)), "the store lacks 1 of the file: 'v'"),
]

bad = tried = 0


def expect(name, arguments, part):
    global bad, tried
    tried += 1
    limits = lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    run = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=limits)
    lines = run.stderr.splitlines()
    wrong = []
    if run.returncode != 2:
        wrong.append(f"exit code {run.returncode}")
    if len(lines) != 1 or not run.stderr.startswith("aval: "):
        wrong.append(f"{len(lines)} lines")
    if part not in run.stderr:
        wrong.append(f"'{part}' is not in it")
    if wrong:
        bad += 1
        print(f"{name}: {', '.join(wrong)}: {run.stderr[:600]}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.environ["AVAL_CACHE_DIR"] = os.path.join(folder, "cache")
    os.symlink("/etc/passwd", "link")
    os.symlink("/etc", "folder")

    def put(name, content):
        if content is not None:
            with open(name, "wb") as out:
                out.write(content)
        return name

    put("data", bytes(8))
    put("x.npy", npy("(2,)"))
    put("c.npy", npy("()", "|b1", b"\1"))
    put("good.onnx", GOOD)
    one = ["--input", "x=x.npy"]
    assert subprocess.run([program, "run", "good.onnx", *one, "--output", "y.npz"], stdout=subprocess.DEVNULL).returncode == 0
    assert zipfile.ZipFile("y.npz").namelist() == ["y.npy"], "what Python's zip reads"
    for name, content, part in MODELS:
        more = ["--input", "c=c.npy"] if b"then_branch" in content else []
        expect(name, ["run", put("a.onnx", content), *one, *more], part)
    for name, content, part in ARRAYS:
        expect(name, ["run", "good.onnx", "--input", "x=" + put(name, content)], part)
    for name, content, part in WEIGHTS:
        expect(name, ["run", "good.onnx", *one, "--weights", put("a.safetensors", content)], part)
    images, labels = idx([2, 2, 2], bytes(8)), idx([2], bytes([0, 1]))
    for name, (x, y), part in (
        ("no images", (idx([2], bytes(2)), labels), "magic number"),
        ("2^96 pixels", (idx([0xFFFFFFFF] * 3, b""), labels), "2^63"),
        ("2^40 pixels", (idx([1 << 20, 1 << 10, 1 << 10], b""), labels), "truncated"),
        ("cut gzip", (gz(images)[:-9], labels), "train-images"),
        ("fewer labels", (images, idx([1], bytes(1))), "as many were expected"),
    ):
        os.makedirs("set", exist_ok=True)
        for half in ("train", "t10k"):
            put(f"set/{half}-images-idx3-ubyte", x)
            put(f"set/{half}-labels-idx1-ubyte", y)
        expect(name, ["train", "--data", "set", "--quiet"], part)
print(f"{tried} hostile files, {bad} not refused as they should be")
sys.exit(1 if bad else 0)
