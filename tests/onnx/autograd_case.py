"""What a case of tests/onnx/autograd is made with: a model that grows node by node beside what PyTorch computes of it."""
import os

import numpy as np
import onnx
import torch
from onnx import helper as h, numpy_helper as n

OPSET = 20
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


class Model:
    """Nodes on inputs; `y` of each is what `of`, a function of PyTorch, gives."""

    def __init__(self):
        self.opset = OPSET
        self.nodes, self.inputs, self.constants, self.outputs = [], [], [], []

    def input(self, array, wanted=True):
        """wanted: its gradient is expected."""
        name = f"x{len(self.inputs)}"
        t = torch.tensor(array, requires_grad=wanted and np.asarray(array).dtype.kind == "f")
        self.inputs.append((name, t))
        return name, t

    def constant(self, array, dtype=None):
        name = f"c{len(self.constants)}"
        self.constants.append(n.from_array(np.asarray(array, dtype), name))
        return name

    def node(self, op, inputs, n_outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{k}" for k in range(n_outputs)]
        self.nodes.append(h.make_node(op, inputs, names, **attributes))
        return names[0] if n_outputs == 1 else names

    def output(self, name, t):
        self.outputs.append((name, t))


def info(name, t):
    return h.make_tensor_value_info(name, n.from_array(t.detach().numpy()).data_type, list(t.shape))


def write(folder, make):
    rng = np.random.default_rng(11)
    m = Model()
    make(m, rng)
    graph = h.make_graph(m.nodes, make.__name__, [info(*i) for i in m.inputs], [info(*o) for o in m.outputs], m.constants)
    opsets = {node.domain: 1 for node in m.nodes} | {"": m.opset}
    model = h.make_model(graph, opset_imports=[h.make_opsetid(*o) for o in opsets.items()], ir_version=9, producer_name="aval")
    if m.opset <= onnx.defs.onnx_opset_version():
        onnx.checker.check_model(model)
    data = folder + "/test_data_set_0"
    os.makedirs(data, exist_ok=True)
    onnx.save(model, folder + "/model.onnx")

    def put(kind, i, array):
        with open(f"{data}/{kind}_{i}.pb", "wb") as out:
            out.write(n.from_array(np.array(array, order="C"), f"{kind}{i}").SerializeToString())

    upstreams = [rng.uniform(0.5, 1.5, t.shape).astype(t.detach().numpy().dtype) for _, t in m.outputs]
    total = sum((torch.tensor(u) * t).sum() for u, (_, t) in zip(upstreams, m.outputs))
    wanted = [t for _, t in m.inputs if t.requires_grad]
    found = iter(torch.autograd.grad(total, wanted))
    for i, (_, t) in enumerate(m.inputs):
        put("input", i, t.detach().numpy())
        if t.requires_grad:
            put("gradient", i, next(found).numpy())
    for i, ((_, t), u) in enumerate(zip(m.outputs, upstreams)):
        put("output", i, t.detach().numpy())
        put("upstream", i, u)
