"""Makes the cases of tests/onnx/control: small models with loops, and what onnxruntime computes of them.

   python control.py FOLDER      (needs onnx and onnxruntime from PyPI)

Each case is a folder as ONNX's own backend tests have it: model.onnx, and inputs and outputs as TensorProto files in test_data_set_N."""
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as n

OPSET = 21
OPSETS = {"scan_batched": 8, "scan_lengths": 8, "scan_free": 8, "scan_free_lengths": 8, "older": 11}
info = h.make_tensor_value_info
node = h.make_node


def constant(name, array):
    return node("Constant", [], [name], value=n.from_array(np.asarray(array)))


def body(nodes, inputs, outputs, initializers=()):
    return h.make_graph(nodes, "body", inputs, outputs, [n.from_array(a, k) for k, a in initializers])


def newton():
    """x becomes (x + a / x) / 2 until it moves less than 1e-3: the number of turns shows only on the way; each x is stacked."""
    b = body(
        [constant("half", np.float32(0.5)), constant("small", np.float32(1e-3)),
         node("Div", ["a", "x"], ["q"]), node("Add", ["x", "q"], ["s"]), node("Mul", ["s", "half"], ["next"]),
         node("Sub", ["next", "x"], ["d"]), node("Abs", ["d"], ["moved"]), node("ReduceMax", ["moved"], ["most"], keepdims=0),
         node("Greater", ["most", "small"], ["again"]), node("Identity", ["next"], ["trace"])],
        [info("i", T.INT64, []), info("go", T.BOOL, []), info("x", T.FLOAT, [3])],
        [info("again", T.BOOL, []), info("next", T.FLOAT, [3]), info("trace", T.FLOAT, [3])])
    return ([node("Loop", ["", "", "start"], ["root", "steps"], body=b)],
            [info("a", T.FLOAT, [3]), info("start", T.FLOAT, [3])], [info("root", T.FLOAT, [3]), info("steps", T.FLOAT, ["n", 3])], [],
            [[np.array([2, 9, 100], "f"), np.ones(3, "f")], [np.array([1, 1, 1], "f"), np.ones(3, "f")]])


def recurrence():
    """A recurrent net as a loop: weights from around it and of its own, as often as an input says (also not at all)."""
    b = body(
        [node("Gather", ["steps", "i"], ["x"], axis=0), node("MatMul", ["x", "w"], ["xw"]), node("MatMul", ["hidden", "u"], ["hu"]),
         node("Add", ["xw", "hu"], ["sum"]), node("Tanh", ["sum"], ["new"]), node("ReduceSum", ["new"], ["total"], keepdims=0)],
        [info("i", T.INT64, []), info("go", T.BOOL, []), info("hidden", T.FLOAT, [2, 4])],
        [info("go", T.BOOL, []), info("new", T.FLOAT, [2, 4]), info("total", T.FLOAT, [])],
        [("u", rng.standard_normal((4, 4)).astype("f"))])
    b.node.insert(0, node("Identity", ["go"], ["goes"]))
    b.output[0].name = "goes"
    weights = [("w", rng.standard_normal((3, 4)).astype("f"))]
    x, hidden = rng.standard_normal((5, 2, 3)).astype("f"), rng.standard_normal((2, 4)).astype("f")
    return ([node("Loop", ["trips", "first", "start"], ["last", "totals"], body=b)],
            [info("trips", T.INT64, []), info("first", T.BOOL, []), info("steps", T.FLOAT, [5, 2, 3]), info("start", T.FLOAT, [2, 4])],
            [info("last", T.FLOAT, [2, 4]), info("totals", T.FLOAT, ["n"])], weights,
            [[np.array(k), np.array(go), x, hidden] for k, go in ((5, True), (2, True), (0, True), (4, False))])


def growing():
    """What is handed on grows: its shape is another one in each turn."""
    b = body(
        [node("Concat", ["x", "extra"], ["longer"], axis=0), node("Shape", ["longer"], ["size"]), node("Identity", ["go"], ["goes"])],
        [info("i", T.INT64, []), info("go", T.BOOL, []), info("x", T.FLOAT, ["n"])],
        [info("goes", T.BOOL, []), info("longer", T.FLOAT, ["m"]), info("size", T.INT64, [1])])
    return ([constant("trips", np.int64(3)), node("Loop", ["trips", "", "x0"], ["all", "sizes"], body=b)],
            [info("x0", T.FLOAT, [2]), info("extra", T.FLOAT, [2])], [info("all", T.FLOAT, ["k"]), info("sizes", T.INT64, ["t", 1])], [],
            [[np.array([1, 2], "f"), np.array([3, 4], "f")]])


def nested():
    """An If in a loop in a loop; the inner one ends by what it computes, and reads the outer turn's number."""
    double = h.make_graph([node("Add", ["y", "y"], ["y2"])], "double", [], [info("y2", T.FLOAT, [])])
    one = h.make_graph([node("Add", ["y", "unit"], ["y1"])], "one", [], [info("y1", T.FLOAT, [])])
    inner = body(
        [constant("unit", np.float32(1)), constant("ten", np.float32(10)), constant("big", np.float32(40)),
         node("Less", ["y", "ten"], ["small"]), node("If", ["small"], ["new"], then_branch=double, else_branch=one),
         node("Cast", ["o"], ["of"], to=T.FLOAT), node("Add", ["new", "of"], ["out"]), node("Less", ["out", "big"], ["again"])],
        [info("k", T.INT64, []), info("c", T.BOOL, []), info("y", T.FLOAT, [])], [info("again", T.BOOL, []), info("out", T.FLOAT, [])])
    outer = body(
        [constant("most", np.int64(6)), node("Loop", ["most", "", "z"], ["end"], body=inner), node("Identity", ["end"], ["seen"]),
         constant("half", np.float32(0.5)), node("Mul", ["end", "half"], ["handed"]), node("Identity", ["oc"], ["oc2"])],
        [info("o", T.INT64, []), info("oc", T.BOOL, []), info("z", T.FLOAT, [])],
        [info("oc2", T.BOOL, []), info("handed", T.FLOAT, []), info("seen", T.FLOAT, [])])
    return ([constant("trips", np.int64(3)), node("Loop", ["trips", "", "z0"], ["last", "seen_all"], body=outer)],
            [info("z0", T.FLOAT, [])], [info("last", T.FLOAT, []), info("seen_all", T.FLOAT, ["t"])], [],
            [[np.array(1.5, "f")], [np.array(-3, "f")]])


def scan_axes():
    """Scan along other axes, one input from its end, one output from its end and along axis 1."""
    b = body(
        [node("Mul", ["x", "y"], ["p"]), node("Add", ["s", "p"], ["s2"]), node("Neg", ["s2"], ["minus"]), node("Sub", ["x", "y"], ["d"])],
        [info("s", T.FLOAT, [2]), info("x", T.FLOAT, [2]), info("y", T.FLOAT, [2])],
        [info("s2", T.FLOAT, [2]), info("minus", T.FLOAT, [2]), info("d", T.FLOAT, [2])])
    return ([node("Scan", ["s0", "xs", "ys"], ["s", "m", "ds"], body=b, num_scan_inputs=2, scan_input_axes=[1, 0],
                  scan_input_directions=[0, 1], scan_output_axes=[1, 0], scan_output_directions=[0, 1])],
            [info("s0", T.FLOAT, [2]), info("xs", T.FLOAT, [2, "t"]), info("ys", T.FLOAT, ["t", 2])],
            [info("s", T.FLOAT, [2]), info("m", T.FLOAT, [2, "t"]), info("ds", T.FLOAT, ["t", 2])], [],
            [[rng.standard_normal(2).astype("f"), rng.standard_normal((2, t)).astype("f"), rng.standard_normal((t, 2)).astype("f")]
             for t in (4, 7)])


def searching():
    """A loop that looks for the first element above a bound, with a number of turns that another computation gives."""
    b = body(
        [node("Gather", ["x", "i"], ["e"], axis=0), node("LessOrEqual", ["e", "bound"], ["below"]), node("Identity", ["i"], ["at"])],
        [info("i", T.INT64, []), info("c", T.BOOL, []), info("unused", T.INT64, [])],
        [info("below", T.BOOL, []), info("at", T.INT64, [])])
    return ([node("Size", ["x"], ["trips"]), constant("none", np.int64(-1)), node("Loop", ["trips", "", "none"], ["found"], body=b),
             node("Slice", ["x", "zero", "stop"], ["before"]), constant("zero", np.array([0])), constant("axis", np.array([0])),
             node("Unsqueeze", ["found", "axis"], ["stop"])],
            [info("x", T.FLOAT, ["n"]), info("bound", T.FLOAT, [])], [info("found", T.INT64, []), info("before", T.FLOAT, ["k"])], [],
            [[np.array([1, 2, 5, 3], "f"), np.array(4, "f")], [np.array([9, 2], "f"), np.array(4, "f")]])


def scan_batched():
    """Scan as operator set 8 has it: rows of a batch by themselves, one input from its end."""
    b = body(
        [node("Mul", ["x", "y"], ["p"]), node("Add", ["s", "p"], ["s2"]), node("Neg", ["s2"], ["minus"])],
        [info("s", T.FLOAT, [2]), info("x", T.FLOAT, [2]), info("y", T.FLOAT, [2])], [info("s2", T.FLOAT, [2]), info("minus", T.FLOAT, [2])])
    return ([node("Scan", ["", "s0", "xs", "ys"], ["s", "m"], body=b, num_scan_inputs=2, directions=[0, 1])],
            [info("s0", T.FLOAT, [3, 2]), info("xs", T.FLOAT, [3, "t", 2]), info("ys", T.FLOAT, [3, "t", 2])],
            [info("s", T.FLOAT, [3, 2]), info("m", T.FLOAT, [3, "t", 2])], [],
            [[rng.standard_normal((3, 2)).astype("f"), *(rng.standard_normal((3, t, 2)).astype("f") for _ in range(2))] for t in (4, 1)])


def scan_lengths():
    """The same of rows that are not equally long: what is stacked ends with zeros."""
    nodes, inputs, outputs, weights, _ = scan_batched()
    nodes[0].input[0] = "lengths"
    return (nodes, [info("lengths", T.INT64, [3])] + inputs, outputs, weights,
            [[np.array(lengths), rng.standard_normal((3, 2)).astype("f"), *(rng.standard_normal((3, 4, 2)).astype("f") for _ in range(2))]
             for lengths in ([4, 1, 3], [2, 4, 2])])


def scan_free():
    """A batch of any size, a weight around the body and one within."""
    w = n.from_array(rng.standard_normal(2).astype("f"), "inner_w")
    b = h.make_graph([node("Mul", ["x", "inner_w"], ["p"]), node("Add", ["s", "p"], ["s2"]), node("Mul", ["s2", "w"], ["m0"])], "body",
                     [info("s", T.FLOAT, [2]), info("x", T.FLOAT, [2])], [info("s2", T.FLOAT, [2]), info("m0", T.FLOAT, [2])], [w])
    return ([node("Scan", ["", "s0", "xs"], ["s", "m"], body=b, num_scan_inputs=1)],
            [info("s0", T.FLOAT, ["b", 2]), info("xs", T.FLOAT, ["b", "t", 2])],
            [info("s", T.FLOAT, ["b", 2]), info("m", T.FLOAT, ["b", "t", 2])], [("w", rng.standard_normal(2).astype("f"))],
            [[rng.standard_normal((k, 2)).astype("f"), rng.standard_normal((k, t, 2)).astype("f")] for k, t in ((3, 4), (1, 2), (2, 1))])


def scan_free_lengths():
    """A batch of any size whose rows are not equally long, one input from its end."""
    nodes, _, _, weights, _ = scan_batched()
    nodes[0].input[0] = "lengths"
    return (nodes, [info("lengths", T.INT64, ["b"]), info("s0", T.FLOAT, ["b", 2])] + [info(k, T.FLOAT, ["b", "t", 2]) for k in ("xs", "ys")],
            [info("s", T.FLOAT, ["b", 2]), info("m", T.FLOAT, ["b", "t", 2])], weights,
            [[np.array(lengths), rng.standard_normal((len(lengths), 2)).astype("f"),
              *(rng.standard_normal((len(lengths), 4, 2)).astype("f") for _ in range(2))] for lengths in ([4, 1, 3], [2])])


def branches():
    """Ifs of several outputs, one within another, whose branches share what stands around them.  The branch that is not taken could not run."""
    inner_yes = h.make_graph([node("Sub", ["shared", "w"], ["iy"])], "inner_yes", [], [info("iy", T.FLOAT, None)])
    inner_no = h.make_graph([node("Mul", ["shared", "two"], ["in"])], "inner_no", [], [info("in", T.FLOAT, None)])
    yes = h.make_graph(
        [constant("shape", np.array([2, 3])), node("Reshape", ["x", "shape"], ["wide"]), node("ReduceSum", ["wide"], ["all"], keepdims=0),
         node("If", ["inner"], ["chosen"], then_branch=inner_yes, else_branch=inner_no), node("MatMul", ["wide", "chosen"], ["y0"])],
        "yes", [], [info("y0", T.FLOAT, None), info("all", T.FLOAT, None), info("x", T.FLOAT, None)])
    yes.node.append(node("Identity", ["x"], ["same"]))
    yes.output[2].name = "same"
    no = h.make_graph(
        [node("Neg", ["x"], ["n0"]), node("ReduceMax", ["shared"], ["n1"], keepdims=0), node("Concat", ["n0", "x"], ["n2"], axis=0)],
        "no", [], [info("n0", T.FLOAT, None), info("n1", T.FLOAT, None), info("n2", T.FLOAT, None)])
    return ([constant("two", np.float32(2)), node("Add", ["w", "two"], ["shared"]), node("Size", ["x"], ["size"]), constant("six", np.int64(6)),
             node("Equal", ["size", "six"], ["fits"]), node("If", ["fits"], ["a", "b", "c"], then_branch=yes, else_branch=no),
             node("Add", ["b", "shared"], ["d"])],
            [info("x", T.FLOAT, ["n"]), info("inner", T.BOOL, [])],
            [info("a", T.FLOAT, ["k"]), info("c", T.FLOAT, ["m"]), info("d", T.FLOAT, [3])], [("w", rng.standard_normal(3).astype("f"))],
            [[rng.standard_normal(k).astype("f"), np.array(go)] for k, go in ((6, True), (5, True), (6, False), (1, False))])


def older():
    """Loops of operator set 11, one unrolled and one not, beside operators whose axes were attributes then."""
    def turn():
        b = body(
            [node("Gather", ["xs", "i"], ["x"], axis=0), node("ReduceSum", ["x"], ["r"], axes=[0], keepdims=0), node("Add", ["acc", "r"], ["acc2"]),
             node("Identity", ["c"], ["c2"]), node("Identity", ["acc2"], ["trace"])],
            [info("i", T.INT64, []), info("c", T.BOOL, []), info("acc", T.FLOAT, [])],
            [info("c2", T.BOOL, []), info("acc2", T.FLOAT, []), info("trace", T.FLOAT, [])])
        return b
    return ([constant("three", np.int64(3)), constant("zero", np.float32(0)), node("Loop", ["three", "", "zero"], ["s", "t"], body=turn()),
             node("Loop", ["trips", "", "zero"], ["s2", "t2"], body=turn()), node("Unsqueeze", ["t2"], ["u"], axes=[0])],
            [info("xs", T.FLOAT, [3, 2]), info("trips", T.INT64, [])],
            [info("s", T.FLOAT, []), info("t", T.FLOAT, [3]), info("s2", T.FLOAT, []), info("u", T.FLOAT, [1, "n"])], [],
            [[rng.standard_normal((3, 2)).astype("f"), np.array(k)] for k in (2, 3)])


def write(folder, make):
    nodes, inputs, outputs, weights, sets = make()
    order = {name: i for i, name in enumerate(("Constant", "Size", "Loop", "Scan", "Unsqueeze", "Slice"))}
    nodes.sort(key=lambda x: order.get(x.op_type, 9))
    graph = h.make_graph(nodes, make.__name__, inputs, outputs, [n.from_array(a, k) for k, a in weights], doc_string=make.__doc__)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", OPSETS.get(make.__name__, OPSET))], ir_version=9, producer_name="aval")
    onnx.checker.check_model(model)
    os.makedirs(folder, exist_ok=True)
    onnx.save(model, folder + "/model.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for k, arrays in enumerate(sets):
        data = f"{folder}/test_data_set_{k}"
        os.makedirs(data, exist_ok=True)
        found = session.run(None, {i.name: a for i, a in zip(inputs, arrays)})
        for kind, values, infos in (("input", arrays, inputs), ("output", found, outputs)):
            for i, (value, one) in enumerate(zip(values, infos)):
                with open(f"{data}/{kind}_{i}.pb", "wb") as out:
                    out.write(n.from_array(value, one.name).SerializeToString())


for make in (newton, recurrence, growing, nested, scan_axes, scan_batched, scan_lengths, scan_free, scan_free_lengths, searching, branches, older):
    rng = np.random.default_rng(7)
    write(os.path.join(sys.argv[1], make.__name__), make)
