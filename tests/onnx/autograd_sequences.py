"""Cases of tests/onnx/autograd: signals, sequences, and what picks or places elements."""
import numpy as np
import torch
import torch.nn.functional as F

from autograd_case import case


@case
def fourier(m, rng):
    x, t = m.input(rng.standard_normal((2, 6, 1)))
    axis = m.constant(1)
    m.output(m.node("DFT", [x, "", axis]), torch.view_as_real(torch.fft.fft(t[..., 0])))
    m.output(m.node("DFT", [x, "", axis], onesided=1), torch.view_as_real(torch.fft.rfft(t[..., 0])))
    m.output(m.node("DFT", [x, m.constant(8), axis]), torch.view_as_real(torch.fft.fft(t[..., 0], 8)))
    m.output(m.node("DFT", [x, m.constant(5), axis], onesided=1), torch.view_as_real(torch.fft.rfft(t[..., 0], 5)))
    z, tz = m.input(rng.standard_normal((3, 5, 2)))
    m.output(m.node("DFT", [z, "", m.constant(0)], inverse=1), torch.view_as_real(torch.fft.ifft(torch.view_as_complex(tz), dim=0)))


@case
def short_time_fourier(m, rng):
    x, t = m.input(rng.standard_normal((2, 14, 1)))
    w, tw = m.input(rng.uniform(0.2, 1, 6))

    def frames(length, step, window, onesided=True):
        found = torch.stft(t[..., 0], length, step, window=window, center=False, onesided=onesided, return_complex=True)
        return torch.view_as_real(found).transpose(1, 2)

    for onesided in (1, 0):
        m.output(m.node("STFT", [x, m.constant(3), w, m.constant(6)], onesided=onesided), frames(6, 3, tw, bool(onesided)))
    m.output(m.node("STFT", [x, m.constant(2), "", m.constant(4)]), frames(4, 2, torch.ones(4).double()))


@case
def reversing(m, rng):
    x, t = m.input(rng.standard_normal((4, 3, 2)))
    lengths = np.array([1, 4, 3])
    turned = torch.stack([torch.cat([t[:k, i].flip(0), t[k:, i]]) for i, k in enumerate(lengths)], 1)
    m.output(m.node("ReverseSequence", [x, m.constant(lengths)], time_axis=0, batch_axis=1), turned)


@case
def one_hot(m, rng):
    v, t = m.input(rng.standard_normal(2))
    places = np.array([[0, 2], [-1, 3], [5, 1]])  # -1: the last of four, 5: none
    at = torch.zeros(3, 2, 4, dtype=torch.bool)
    for i, j, k in ((0, 0, 0), (0, 1, 2), (1, 0, 3), (1, 1, 3), (2, 1, 1)):
        at[i, j, k] = True
    m.output(m.node("OneHot", [m.constant(places), m.constant(4), v]), torch.where(at, t[1], t[0]))
    m.output(m.node("OneHot", [m.constant(places), m.constant(4), v], axis=0), torch.where(at, t[1], t[0]).permute(2, 0, 1))


@case
def compressing(m, rng):
    x, t = m.input(rng.standard_normal((4, 3)))
    rows, some = np.array([True, False, True, True]), np.array([False, True, True, False, True])
    m.output(m.node("Compress", [x, m.constant(rows)], axis=0), t[torch.tensor(rows)])
    m.output(m.node("Compress", [x, m.constant(some)]), t.flatten()[:5][torch.tensor(some)])


@case
def different_elements(m, rng):
    """PyTorch's unique has no gradient; here it is that of the elements that come first."""
    x, t = m.input(np.array([2.0, -1.0, 2.0, 0.5, -1.0, 2.0]))
    m.output(m.node("Unique", [x]), t[[1, 3, 0]])
    m.output(m.node("Unique", [x], sorted=0), t[[0, 1, 3]])


@case
def scattering_slices(m, rng):
    x, tx = m.input(rng.standard_normal((4, 3)))
    u, tu = m.input(rng.standard_normal((2, 3)))
    at = np.array([[3], [1]])
    m.output(m.node("ScatterND", [x, m.constant(at), u]), tx.index_put((torch.tensor([3, 1]),), tu))
    e, te = m.input(rng.uniform(0.5, 2, 3))
    places, index = np.array([[0, 1], [3, 2], [0, 1]]), torch.tensor([1, 11, 1])
    for reduction, other in (("add", "sum"), ("mul", "prod"), ("max", "amax"), ("min", "amin")):
        m.output(m.node("ScatterND", [x, m.constant(places), e], reduction=reduction),
                 tx.flatten().scatter_reduce(0, index, te, other).reshape(4, 3))


@case
def scattering_with_reductions(m, rng):
    x, tx = m.input(rng.standard_normal((4, 3)))
    u, tu = m.input(rng.standard_normal((2, 3)))
    at = np.array([[0, 1, 3], [0, 2, 3]])
    for reduction, other in (("mul", "prod"), ("max", "amax"), ("min", "amin")):
        m.output(m.node("ScatterElements", [x, m.constant(at), u], axis=0, reduction=reduction),
                 tx.scatter_reduce(0, torch.tensor(at), tu, other))


@case
def scattering_before_11(m, rng):
    m.opset = 10
    x, tx = m.input(rng.standard_normal((4, 3)))
    u, tu = m.input(rng.standard_normal((2, 3)))
    at = np.array([[0, 1, 3], [2, 2, 0]])
    m.output(m.node("Scatter", [x, m.constant(at), u], axis=0), tx.scatter(0, torch.tensor(at), tu))


@case
def casting(m, rng):
    x, t = m.input(rng.standard_normal((2, 3)))
    single = m.node("CastLike", [x, m.constant(0, np.float32)])
    m.output(m.node("CastLike", [single, x]), t.float().double())
    m.output(m.node("Flatten", [x], axis=0), t.reshape(1, 6))


@case
def dropout(m, rng):
    """What is drawn is aval's own, so what is looked at is that the gradient goes through what the mask says."""
    x, t = m.input(rng.standard_normal((5, 7)))
    m.output(m.node("Dropout", [x, m.constant(0.5)]), t * 1)
    y, mask = m.node("Dropout", [x, m.constant(0.5), m.constant(True)], 2, seed=3)
    kept = m.node("Where", [mask, m.node("Mul", [x, m.constant(2.0)]), m.constant(0.0)])
    m.output(m.node("Sub", [y, kept]), t * 0)


@case
def dequantising(m, rng):
    s, t = m.input(np.array([0.5, 1.5, 0.25], np.float32))
    x, zero = rng.integers(-128, 128, (3, 4)).astype(np.int8), np.array([3, -5, 0], np.int8)
    m.output(m.node("DequantizeLinear", [m.constant(x), s, m.constant(zero)], axis=0),
             torch.tensor(x.astype(np.float32) - zero[:, None]) * t[:, None])


@case
def attention_as_one(m, rng):
    m.opset = 23
    q, tq = m.input(rng.standard_normal((2, 4, 3, 4)))
    k, tk = m.input(rng.standard_normal((2, 2, 5, 4)))
    v, tv = m.input(rng.standard_normal((2, 2, 5, 6)))
    b, tb = m.input(rng.standard_normal((4, 3, 5)))
    m.output(m.node("Attention", [q, k, v, b], scale=0.3), F.scaled_dot_product_attention(tq, tk, tv, tb, scale=0.3, enable_gqa=True))
    m.output(m.node("Attention", [q, k, v], is_causal=1), F.scaled_dot_product_attention(tq, tk, tv, is_causal=True, enable_gqa=True))
    seen = rng.uniform(size=(3, 5)) < 0.6
    seen[:, 0] = True
    m.output(m.node("Attention", [q, k, v, m.constant(seen)]),
             F.scaled_dot_product_attention(tq, tk, tv, torch.tensor(seen), enable_gqa=True))


@case
def attention_of_heads_side_by_side(m, rng):
    m.opset = 23
    (q, tq), (k, tk), (v, tv) = (m.input(rng.standard_normal((2, length, 8))) for length in (3, 5, 5))

    def heads(t):
        return t.reshape(2, -1, 2, 4).transpose(1, 2)

    m.output(m.node("Attention", [q, k, v], q_num_heads=2, kv_num_heads=2),
             F.scaled_dot_product_attention(heads(tq), heads(tk), heads(tv)).transpose(1, 2).reshape(2, 3, 8))


@case
def lstm_with_states(m, rng):
    """Initial states, peepholes and lengths, which PyTorch's module lacks: the equations of the specification, step by step."""
    steps, batch, width, hidden = 4, 3, 2, 2
    x, tx = m.input(rng.standard_normal((steps, batch, width)))
    w, tw = m.input(rng.standard_normal((1, 4 * hidden, width)))
    r, tr = m.input(rng.standard_normal((1, 4 * hidden, hidden)))
    b, tb = m.input(rng.standard_normal((1, 8 * hidden)))
    h0, th = m.input(rng.standard_normal((1, batch, hidden)))
    c0, tc = m.input(rng.standard_normal((1, batch, hidden)))
    p, tp = m.input(rng.standard_normal((1, 3 * hidden)))
    lengths = np.array([4, 2, 3])
    at_h, at_c, rows = th[0], tc[0], []
    pi, po, pf = tp[0].split(hidden)
    for step in range(steps):
        i, o, f, c = (tx[step] @ tw[0].T + at_h @ tr[0].T + tb[0, :4 * hidden] + tb[0, 4 * hidden:]).split(hidden, 1)
        new_c = torch.sigmoid(f + pf * at_c) * at_c + torch.sigmoid(i + pi * at_c) * torch.tanh(c)
        new_h = torch.sigmoid(o + po * new_c) * torch.tanh(new_c)
        going = torch.tensor(step < lengths)[:, None]
        at_h, at_c = torch.where(going, new_h, at_h), torch.where(going, new_c, at_c)
        rows.append(torch.where(going, new_h, 0.0))
    y, last_h, last_c = m.node("LSTM", [x, w, r, b, m.constant(lengths, np.int32), h0, c0, p], 3, hidden_size=hidden)
    m.output(y, torch.stack(rows)[:, None])
    m.output(last_h, at_h[None])
    m.output(last_c, at_c[None])


@case
def states_at_the_start(m, rng):
    steps, batch, width, hidden = 3, 2, 3, 2
    x, tx = m.input(rng.standard_normal((steps, batch, width)))
    h0, th = m.input(rng.standard_normal((1, batch, hidden)))
    c0, tc = m.input(rng.standard_normal((1, batch, hidden)))
    for kind, gates, order in (("RNN", 1, [0]), ("GRU", 3, [1, 0, 2]), ("LSTM", 4, [0, 3, 1, 2])):
        w, tw = m.input(rng.standard_normal((1, gates * hidden, width)))
        r, tr = m.input(rng.standard_normal((1, gates * hidden, hidden)))
        net = getattr(torch.nn, kind)(width, hidden, bias=False).double()
        given = {f"weight_{name}_l0": torch.cat([t[0].split(hidden)[order.index(k)] for k in range(gates)])
                 for name, t in (("ih", tw), ("hh", tr))}
        y, _ = torch.func.functional_call(net, given, (tx, (th, tc) if kind == "LSTM" else th))
        attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
        m.output(m.node(kind, [x, w, r, "", "", h0] + [c0] * (kind == "LSTM"), hidden_size=hidden, **attributes), y[:, None])


@case
def limits_and_borders(m, rng):
    """Inputs that are numbers to others: the bounds of Clip, what Pad puts around."""
    x, t = m.input(np.array([-2.0, -0.3, 0.4, 1.5, 3.0, 0.9]))
    low, tlow = m.input(np.array(-0.5))
    high, thigh = m.input(np.array(1.25))
    m.output(m.node("Clip", [x, low, high]), torch.minimum(torch.maximum(t, tlow), thigh))
    m.output(m.node("Pad", [x, m.constant(np.array([2, 1])), low]), torch.cat([tlow.expand(2), t, tlow.expand(1)]))
    m.output(m.node("Max", [x, low, high]), torch.maximum(torch.maximum(t, tlow), thigh))
    m.output(m.node("Min", [x, low, high]), torch.minimum(torch.minimum(t, tlow), thigh))
