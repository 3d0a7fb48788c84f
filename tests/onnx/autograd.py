"""Makes the cases of tests/onnx/autograd: models of one operator, or a few of a kind, and what PyTorch computes of them and of their gradients.

   python autograd.py FOLDER [CASE]...      (needs onnx, torch and torchvision from PyPI)

Each case is a folder as ONNX's own backend tests have it, and beside inputs and outputs lie upstream_K.pb, by output, and gradient_N.pb, by
input: the gradient of the sum of upstream x output by that input, as torch.autograd.grad gives it.  All is in double, so that what differs
is the definition and not the arithmetic.  Inputs hold the points at which a derivative is a matter of convention, kinks and ties, but for those where
aval and PyTorch are known to differ, see docs/architecture.md: ties of Max, Min, ReduceMax and ReduceMin, bounds of Clip."""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto as T

import autograd_images  # noqa: F401  cases of its own
import autograd_own  # noqa: F401
import autograd_sequences  # noqa: F401
from autograd_case import CASES, case, write

# ---- Elementwise: one row of the input an operator -----------------------------------------------------------------------------------------

AROUND = [-2.5, -1.0, -0.4, -0.0, 0.0, 0.3, 1.0, 2.2]
INSIDE = [-0.95, -0.6, -0.2, 0.0, 0.1, 0.5, 0.7, 0.99]
ABOVE = [0.05, 0.3, 0.9, 1.0, 1.5, 2.0, 4.0, 9.0]

UNARY = [
    ("Abs", torch.abs, AROUND, {}),
    ("Acos", torch.acos, INSIDE, {}),
    ("Acosh", torch.acosh, [1.01, 1.2, 1.5, 2, 3, 4, 5, 9.0], {}),
    ("Asin", torch.asin, INSIDE, {}),
    ("Asinh", torch.asinh, AROUND, {}),
    ("Atan", torch.atan, AROUND, {}),
    ("Atanh", torch.atanh, INSIDE, {}),
    ("Ceil", torch.ceil, AROUND, {}),
    ("Celu", lambda x: F.celu(x, 1.3), AROUND, {"alpha": 1.3}),
    ("Cos", torch.cos, AROUND, {}),
    ("Cosh", torch.cosh, AROUND, {}),
    ("Elu", lambda x: F.elu(x, 0.8), AROUND, {"alpha": 0.8}),
    ("Erf", torch.erf, AROUND, {}),
    ("Exp", torch.exp, AROUND, {}),
    ("Floor", torch.floor, AROUND, {}),
    ("Gelu", F.gelu, AROUND, {}),
    ("Gelu", lambda x: F.gelu(x, approximate="tanh"), AROUND, {"approximate": "tanh"}),
    ("HardSigmoid", F.hardsigmoid, [-4, -3, -1, 0, 1, 2.5, 3, 5.0], {"alpha": 1 / 6, "beta": 0.5}),
    ("HardSwish", F.hardswish, [-4, -3.1, -1, 0, 1, 2.5, 3.1, 5.0], {}),
    ("Identity", lambda x: x * 1, AROUND, {}),
    ("LeakyRelu", lambda x: F.leaky_relu(x, 0.1), AROUND, {"alpha": 0.1}),
    ("Log", torch.log, ABOVE, {}),
    ("Mish", F.mish, AROUND, {}),
    ("Neg", torch.neg, AROUND, {}),
    ("Reciprocal", torch.reciprocal, ABOVE, {}),
    ("Relu", F.relu, AROUND, {}),
    ("Round", torch.round, AROUND, {}),
    ("Selu", F.selu, AROUND, {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    ("Shrink", lambda x: F.hardshrink(x, 0.5), AROUND, {"lambd": 0.5, "bias": 0.0}),
    ("Shrink", lambda x: F.softshrink(x, 0.5), AROUND, {"lambd": 0.5, "bias": 0.5}),
    ("Sigmoid", torch.sigmoid, AROUND, {}),
    ("Sign", torch.sign, AROUND, {}),
    ("Sin", torch.sin, AROUND, {}),
    ("Sinh", torch.sinh, AROUND, {}),
    ("Softplus", F.softplus, AROUND, {}),
    ("Softsign", F.softsign, AROUND, {}),
    ("Sqrt", torch.sqrt, ABOVE, {}),
    ("Tan", torch.tan, INSIDE, {}),
    ("Tanh", torch.tanh, AROUND, {}),
    ("ThresholdedRelu", lambda x: F.threshold(x, 1.0, 0.0), AROUND, {"alpha": 1.0}),
]


@case
def unary(m, rng):
    x, t = m.input(np.array([points for _, _, points, _ in UNARY], dtype=float))
    rows = []
    for i, (op, of, _, attributes) in enumerate(UNARY):
        row = m.node("Gather", [x, m.constant(i)], axis=0)
        m.output(m.node(op, [row], **attributes), of(t[i]))


# Pairs with ties, zeros and both signs.
A = [-2.0, -1.0, 0.0, 0.0, 1.0, 1.5, 2.0, 3.0]
B = [1.0, -1.0, 0.0, 2.0, 1.0, -0.5, 3.0, 2.0]
UNTIED = [1.0, -1.5, 0.5, 2.0, 0.9, -0.5, 3.0, 2.0]
BINARY = [
    ("Add", torch.add, A, B, {}),
    ("Sub", torch.sub, A, B, {}),
    ("Mul", torch.mul, A, B, {}),
    ("Div", torch.div, A, [1.0, -1.0, 0.5, 2.0, 1.0, -0.5, 3.0, 2.0], {}),
    ("Max", torch.maximum, A, UNTIED, {}),
    ("Min", torch.minimum, A, UNTIED, {}),
    ("Pow", torch.pow, [0.5, 1.0, 2.0, 3.0, 1.5, 0.1, 2.0, 9.0], [2.0, 0.0, -1.0, 0.5, 3.0, 1.0, 2.5, 0.5], {}),
    ("Pow", torch.pow, [0.0, 0.0, -1.0, -2.0, -0.5, 0.0, 1.0, -3.0], [2.0, 1.0, 2.0, 3.0, 1.0, 3.0, 2.0, 2.0], {}),
    ("PRelu", lambda x, slope: torch.where(x > 0, x, x * slope), A, B, {}),
    ("Mod", torch.fmod, [-2.5, -1.2, 0.3, 5.5, 1.0, 1.5, 2.0, 3.1], [1.0, -0.7, 0.2, 2.0, 3.0, -0.4, 3.0, 2.0], {"fmod": 1}),
]


@case
def binary(m, rng):
    a, ta = m.input(np.array([r[2] for r in BINARY]))
    b, tb = m.input(np.array([r[3] for r in BINARY]))
    for i, (op, of, _, _, attributes) in enumerate(BINARY):
        row = m.constant(i)
        m.output(m.node(op, [m.node("Gather", [a, row], axis=0), m.node("Gather", [b, row], axis=0)], **attributes), of(ta[i], tb[i]))


@case
def broadcast(m, rng):
    a, ta = m.input(rng.standard_normal((2, 1, 3)))
    b, tb = m.input(rng.standard_normal((4, 1)))
    m.output(m.node("Mul", [a, b]), ta * tb)
    c, tc = m.input(rng.standard_normal((3,)))
    m.output(m.node("Sum", [a, b, c]), ta + tb + tc)
    m.output(m.node("Mean", [a, b, c]), (ta + tb + tc) / 3)


@case
def choose(m, rng):
    a, ta = m.input(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]))
    b, tb = m.input(np.array([1.0, 0.0, 0.5, -1.0, 2.0, 5.0]))
    m.output(m.node("Where", [m.node("Greater", [a, b]), a, b]), torch.where(ta > tb, ta, tb))
    m.output(m.node("Clip", [a, m.constant(0.1), m.constant(2.5)]), torch.clamp(ta, 0.1, 2.5))
    m.output(m.node("Cast", [m.node("Cast", [a], to=T.FLOAT)], to=T.DOUBLE), ta.float().double())


# ---- Reductions -------------------------------------------------------------------------------------------------------------------------------

REDUCE = [
    ("ReduceSum", lambda x: x.sum(1)),
    ("ReduceMean", lambda x: x.mean(1)),
    ("ReduceProd", lambda x: x.prod(1)),
    ("ReduceL1", lambda x: x.abs().sum(1)),
    ("ReduceL2", lambda x: x.norm(dim=1)),
    ("ReduceLogSumExp", lambda x: x.logsumexp(1)),
    ("ReduceSumSquare", lambda x: (x * x).sum(1)),
]


@case
def reductions(m, rng):
    # with one zero in a row, and two
    x, t = m.input(np.array([[1.0, 3.0, 3.0, -2.0], [0.0, 2.0, -1.0, -1.0], [0.0, 0.0, 1.0, 5.0]]))
    for op, of in REDUCE:
        m.output(m.node(op, [x, m.constant(np.array([1]))], keepdims=0), of(t))


@case
def reductions_of_distinct(m, rng):
    x, t = m.input(rng.uniform(0.5, 2, (3, 4)))
    m.output(m.node("ReduceMax", [x, m.constant(np.array([1]))], keepdims=0), t.amax(1))
    m.output(m.node("ReduceMin", [x, m.constant(np.array([0]))]), t.amin(0, True))
    m.output(m.node("ReduceLogSum", [x, m.constant(np.array([0]))], keepdims=0), t.sum(0).log())


@case
def norm_of_zeros(m, rng):
    x, t = m.input(np.zeros((2, 3)))
    m.output(m.node("ReduceL2", [x, m.constant(np.array([1]))], keepdims=0), t.norm(dim=1))


@case
def running_sums(m, rng):
    x, t = m.input(rng.standard_normal((3, 5)))
    m.output(m.node("CumSum", [x, m.constant(1)]), t.cumsum(1))
    m.output(m.node("CumSum", [x, m.constant(0)], reverse=1), t.flip(0).cumsum(0).flip(0))


@case
def top_k(m, rng):
    x, t = m.input(rng.standard_normal((3, 6)))
    values, _ = m.node("TopK", [x, m.constant(np.array([2]))], 2, axis=1)
    m.output(values, t.topk(2, 1).values)


@case
def softmaxes(m, rng):
    x, t = m.input(rng.standard_normal((2, 3, 4)))
    m.output(m.node("Softmax", [x], axis=1), t.softmax(1))
    m.output(m.node("LogSoftmax", [x], axis=-1), t.log_softmax(-1))


# ---- Linear algebra ---------------------------------------------------------------------------------------------------------------------------


@case
def products(m, rng):
    a, ta = m.input(rng.standard_normal((2, 1, 3, 4)))
    b, tb = m.input(rng.standard_normal((5, 4, 2)))
    v, tv = m.input(rng.standard_normal(4))
    m.output(m.node("MatMul", [a, b]), ta @ tb)
    m.output(m.node("MatMul", [a, v]), ta @ tv)
    m.output(m.node("MatMul", [v, b]), tv @ tb)


@case
def gemm(m, rng):
    a, ta = m.input(rng.standard_normal((4, 3)))
    b, tb = m.input(rng.standard_normal((5, 4)))
    c, tc = m.input(rng.standard_normal(5))
    m.output(m.node("Gemm", [a, b, c], transA=1, transB=1, alpha=0.5, beta=2.0), 0.5 * (ta.T @ tb.T) + 2 * tc)


@case
def einsum(m, rng):
    a, ta = m.input(rng.standard_normal((2, 3, 4)))
    b, tb = m.input(rng.standard_normal((2, 4, 5)))
    for equation in ("bij,bjk->bik", "bij,bjk->ki", "bij,bjk->b"):
        m.output(m.node("Einsum", [a, b], equation=equation), torch.einsum(equation, ta, tb))


@case
def determinant(m, rng):
    a, ta = m.input(rng.standard_normal((3, 4, 4)))
    m.output(m.node("Det", [a]), torch.linalg.det(ta))


# ---- Convolution and pooling --------------------------------------------------------------------------------------------------------------------


@case
def convolution(m, rng):
    x, tx = m.input(rng.standard_normal((2, 4, 7, 6)))
    w, tw = m.input(rng.standard_normal((6, 2, 3, 2)))
    b, tb = m.input(rng.standard_normal(6))
    m.output(m.node("Conv", [x, w, b], group=2, strides=[2, 1], pads=[1, 2, 1, 2], dilations=[1, 2], kernel_shape=[3, 2]),
             F.conv2d(tx, tw, tb, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2))


@case
def convolution_axes(m, rng):
    x, tx = m.input(rng.standard_normal((1, 2, 9)))
    w, tw = m.input(rng.standard_normal((3, 2, 3)))
    m.output(m.node("Conv", [x, w]), F.conv1d(tx, tw))
    y, ty = m.input(rng.standard_normal((1, 2, 4, 5, 3)))
    v, tv = m.input(rng.standard_normal((2, 1, 2, 2, 2)))
    m.output(m.node("Conv", [y, v], group=2), F.conv3d(ty, tv, groups=2))


@case
def convolution_transposed(m, rng):
    x, tx = m.input(rng.standard_normal((2, 4, 5, 4)))
    w, tw = m.input(rng.standard_normal((4, 3, 3, 2)))
    b, tb = m.input(rng.standard_normal(6))
    m.output(m.node("ConvTranspose", [x, w, b], group=2, strides=[2, 3], pads=[1, 0, 1, 0], output_padding=[1, 2]),
             F.conv_transpose2d(tx, tw, tb, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2))


@case
def pooling(m, rng):
    # whole numbers: windows with ties, of which the first place gets the gradient
    x, t = m.input(rng.integers(0, 4, (1, 2, 6, 7)).astype(float))
    m.output(m.node("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]), F.max_pool2d(t, (3, 2), (2, 2), (1, 0)))
    m.output(m.node("MaxPool", [x], kernel_shape=[2, 2], dilations=[2, 3]), F.max_pool2d(t, 2, 1, 0, (2, 3)))
    m.output(m.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
             F.avg_pool2d(t, 3, 2, 1, count_include_pad=False))
    m.output(m.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
             F.avg_pool2d(t, 3, 2, 1))
    m.output(m.node("GlobalAveragePool", [x]), t.mean((2, 3), keepdim=True))


@case
def pooling_lp(m, rng):
    x, t = m.input(rng.uniform(0.5, 2, (1, 2, 6, 6)))
    m.output(m.node("LpPool", [x], kernel_shape=[2, 2], strides=[2, 2], p=2), F.lp_pool2d(t, 2.0, 2))
    m.output(m.node("GlobalMaxPool", [x]), t.amax((2, 3), keepdim=True))


@case
def unpooling(m, rng):
    x, t = m.input(rng.standard_normal((1, 1, 4, 6)))
    y, i = m.node("MaxPool", [x], 2, kernel_shape=[2, 2], strides=[2, 2])
    ty, ti = F.max_pool2d(t, 2, return_indices=True)
    m.output(m.node("MaxUnpool", [y, i], kernel_shape=[2, 2], strides=[2, 2]), F.max_unpool2d(ty, ti, 2))


# ---- Normalisation --------------------------------------------------------------------------------------------------------------------------------


def affine(m, rng, channels):
    return m.input(rng.uniform(0.5, 1.5, channels)), m.input(rng.standard_normal(channels))


@case
def batch_norm_inference(m, rng):
    x, tx = m.input(rng.standard_normal((3, 2, 4)))
    (s, ts), (b, tb) = affine(m, rng, 2)
    mean, tmean = m.input(rng.standard_normal(2))
    var, tvar = m.input(rng.uniform(0.5, 2, 2))
    # PyTorch's own gives no gradients by mean and variance
    m.output(m.node("BatchNormalization", [x, s, b, mean, var], epsilon=1e-3),
             (tx - tmean[:, None]) / (tvar[:, None] + 1e-3).sqrt() * ts[:, None] + tb[:, None])


@case
def norms(m, rng):
    x, tx = m.input(rng.standard_normal((2, 4, 3, 2)))
    (s, ts), (b, tb) = affine(m, rng, 4)
    m.output(m.node("InstanceNormalization", [x, s, b], epsilon=1e-3), F.instance_norm(tx, weight=ts, bias=tb, eps=1e-3))
    m.output(m.node("LRN", [x], size=3, alpha=0.3, beta=0.75, bias=1.0), F.local_response_norm(tx, 3, 0.3, 0.75, 1.0))
    m.output(m.node("LpNormalization", [x], axis=1, p=2), F.normalize(tx, 2.0, 1))


@case
def layer_norm(m, rng):
    x, tx = m.input(rng.standard_normal((2, 3, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, (3, 4)))
    b, tb = m.input(rng.standard_normal((3, 4)))
    m.output(m.node("LayerNormalization", [x, s, b], axis=1, epsilon=1e-3), F.layer_norm(tx, (3, 4), ts, tb, 1e-3))


# ---- Shapes and indices -----------------------------------------------------------------------------------------------------------------------------


@case
def shapes(m, rng):
    x, t = m.input(rng.standard_normal((2, 3, 4)))
    m.output(m.node("Reshape", [x, m.constant(np.array([4, -1]))]), t.reshape(4, -1))
    m.output(m.node("Transpose", [x], perm=[2, 0, 1]), t.permute(2, 0, 1))
    m.output(m.node("Concat", [x, x], axis=1), torch.cat([t, t], 1))
    m.output(m.node("Slice", [x, m.constant(np.array([3])), m.constant(np.array([0])), m.constant(np.array([2])),
                              m.constant(np.array([-2]))]), t.flip(2)[:, :, 0:3:2])
    first, last = m.node("Split", [x, m.constant(np.array([1, 2]))], 2, axis=1)
    m.output(first, t[:, :1])
    m.output(last, t[:, 1:])
    m.output(m.node("Expand", [x, m.constant(np.array([5, 2, 3, 4]))]), t.expand(5, 2, 3, 4))
    m.output(m.node("Tile", [x, m.constant(np.array([2, 1, 3]))]), t.repeat(2, 1, 3))
    m.output(m.node("Trilu", [x], upper=0), t.tril())
    m.output(m.node("Squeeze", [m.node("Unsqueeze", [x, m.constant(np.array([1]))]), m.constant(np.array([1]))]), t * 1)


@case
def padding(m, rng):
    x, t = m.input(rng.standard_normal((1, 2, 4, 5)))
    pads = m.constant(np.array([0, 0, 1, 2, 0, 0, 3, 1]))
    for mode, name in (("constant", "constant"), ("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")):
        m.output(m.node("Pad", [x, pads], mode=mode), F.pad(t, (2, 1, 1, 3), mode=name))


@case
def gathering(m, rng):
    x, t = m.input(rng.standard_normal((4, 3)))
    rows = np.array([[3, 0], [3, -1]])
    m.output(m.node("Gather", [x, m.constant(rows)], axis=0), t[torch.tensor(rows)])
    elements = np.array([[0, 1, 0], [3, 3, 1]])
    m.output(m.node("GatherElements", [x, m.constant(elements)], axis=0), t.gather(0, torch.tensor(elements)))
    places = np.array([[0, 1], [3, 2], [0, 1]])
    m.output(m.node("GatherND", [x, m.constant(places)]), t[places[:, 0], places[:, 1]])


@case
def scattering(m, rng):
    x, tx = m.input(rng.standard_normal((4, 3)))
    u, tu = m.input(rng.standard_normal((2, 3)))
    at = np.array([[0, 1, 3], [2, 2, 0]])
    m.output(m.node("ScatterElements", [x, m.constant(at), u], axis=0), tx.scatter(0, torch.tensor(at), tu))
    twice = np.array([[0, 1, 3], [0, 2, 3]])
    m.output(m.node("ScatterElements", [x, m.constant(twice), u], axis=0, reduction="add"), tx.scatter_add(0, torch.tensor(twice), tu))


@case
def resampling(m, rng):
    x, t = m.input(rng.standard_normal((1, 2, 4, 5)))
    sizes = m.constant(np.array([1, 2, 7, 3]))
    m.output(m.node("Resize", [x, "", "", sizes], mode="linear"), F.interpolate(t, (7, 3), mode="bilinear"))
    m.output(m.node("Resize", [x, "", "", sizes], mode="cubic", cubic_coeff_a=-0.75), F.interpolate(t, (7, 3), mode="bicubic"))
    m.output(m.node("Resize", [x, "", "", sizes], mode="linear", coordinate_transformation_mode="align_corners"),
             F.interpolate(t, (7, 3), mode="bilinear", align_corners=True))
    m.output(m.node("Resize", [x, "", "", sizes], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
             F.interpolate(t, (7, 3), mode="nearest"))
    m.output(m.node("DepthToSpace", [m.node("Concat", [x, x], axis=1)], blocksize=2, mode="CRD"), F.pixel_shuffle(torch.cat([t, t], 1), 2))


@case
def grid_sampling(m, rng):
    x, tx = m.input(rng.standard_normal((1, 2, 5, 4)))
    g, tg = m.input(rng.uniform(-1.2, 1.2, (1, 3, 2, 2)))
    # cubic at a border is left out: ONNX moves the point to the border, PyTorch each of the 16 places around it
    for mode, other, padding_mode in (("linear", "bilinear", "zeros"), ("linear", "bilinear", "border"), ("nearest", "nearest", "zeros"),
                                      ("nearest", "nearest", "border"), ("cubic", "bicubic", "zeros")):
        m.output(m.node("GridSample", [x, g], mode=mode, padding_mode=padding_mode, align_corners=1),
                 F.grid_sample(tx, tg, other, padding_mode, True))


# ---- Recurrent nets, attention, losses -------------------------------------------------------------------------------------------------------------


def recurrent(m, rng, kind, gates, order, steps=4, batch=2, width=3, hidden=2):
    """`order`: of PyTorch's gates, as ONNX has them."""
    net = getattr(torch.nn, kind)(width, hidden, bidirectional=True).double()
    x, tx = m.input(rng.standard_normal((steps, batch, width)))
    names, given = [], {}
    for name, shape in (("ih", (gates * hidden, width)), ("hh", (gates * hidden, hidden))):
        onnx_name, t = m.input(rng.standard_normal((2, *shape)))
        names.append(onnx_name)
        for d, suffix in ((0, ""), (1, "_reverse")):
            blocks = t[d].reshape(gates, hidden, -1)
            given[f"weight_{name}_l0{suffix}"] = torch.cat([blocks[order.index(k)] for k in range(gates)])
    b, tb = m.input(rng.standard_normal((2, 2 * gates * hidden)))
    for d, suffix in ((0, ""), (1, "_reverse")):
        for part, name in ((0, "ih"), (1, "hh")):
            blocks = tb[d].reshape(2, gates, hidden)[part]
            given[f"bias_{name}_l0{suffix}"] = torch.cat([blocks[order.index(k)] for k in range(gates)])
    y, *_ = torch.func.functional_call(net, given, (tx,))
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    name = m.node(kind, [x, *names, b], hidden_size=hidden, direction="bidirectional", **attributes)
    m.output(name, y.reshape(steps, batch, 2, hidden).permute(0, 2, 1, 3))


@case
def rnn(m, rng):
    recurrent(m, rng, "RNN", 1, [0])


@case
def gru(m, rng):
    recurrent(m, rng, "GRU", 3, [1, 0, 2])  # ONNX: update, reset, new; PyTorch: reset, update, new


@case
def lstm(m, rng):
    recurrent(m, rng, "LSTM", 4, [0, 3, 1, 2])  # ONNX: input, output, forget, cell; PyTorch: input, forget, cell, output


@case
def attention(m, rng):
    q, tq = m.input(rng.standard_normal((2, 3, 4)))
    k, tk = m.input(rng.standard_normal((2, 5, 4)))
    v, tv = m.input(rng.standard_normal((2, 5, 4)))
    scores = m.node("Mul", [m.node("MatMul", [q, m.node("Transpose", [k], perm=[0, 2, 1])]), m.constant(0.5)])
    m.output(m.node("MatMul", [m.node("Softmax", [scores], axis=-1), v]), F.scaled_dot_product_attention(tq, tk, tv))


@case
def losses(m, rng):
    x, t = m.input(rng.standard_normal((4, 3, 2)))
    labels = np.array([[0, 2], [1, 1], [2, 0], [1, 2]])
    weights = np.array([0.5, 1.5, 2.0])
    l, w, tl, tw = m.constant(labels), m.constant(weights), torch.tensor(labels), torch.tensor(weights)
    for reduction in ("mean", "sum", "none"):
        m.output(m.node("SoftmaxCrossEntropyLoss", [x, l, w], reduction=reduction, ignore_index=1),
                 F.cross_entropy(t, tl, tw, reduction=reduction, ignore_index=1))
        m.output(m.node("NegativeLogLikelihoodLoss", [m.node("LogSoftmax", [x], axis=1), l, w], reduction=reduction),
                 F.nll_loss(t.log_softmax(1), tl, tw, reduction=reduction))


if __name__ == "__main__":
    for name, make in CASES.items():
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            write(os.path.join(sys.argv[1], name), make)
