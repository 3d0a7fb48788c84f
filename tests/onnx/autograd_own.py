"""Cases of tests/onnx/autograd: operators of aval's own domain that stand for something that PyTorch has."""
import numpy as np
import torch
import torch.nn.functional as F
from torchvision import ops as vision

from autograd_case import case


def own(m, op, inputs, n_outputs=1, **attributes):
    return m.node(op, inputs, n_outputs, domain="aval", **attributes)


@case
def own_functions(m, rng):
    x, t = m.input(rng.standard_normal((3, 4)))
    y, ty = m.input(rng.standard_normal(4))
    m.output(own(m, "Affine", [x], alpha=0.5, beta=2.0), 0.5 * t + 2)
    m.output(own(m, "Limit", [x], limit=0.75), t.clamp(-0.75, 0.75))
    m.output(own(m, "ScaledTanh", [x], alpha=1.5, beta=0.5), 1.5 * (0.5 * t).tanh())
    m.output(own(m, "Scale", [x], factor=0.25), 0.25 * t)
    m.output(own(m, "Square", [x]), t * t)
    m.output(own(m, "Maximum", [x, y]), torch.maximum(t, ty))
    m.output(own(m, "Minimum", [x, y]), torch.minimum(t, ty))
    m.output(own(m, "Choose", [m.constant(False), x, m.node("Mul", [x, y])]), t * ty)
    m.output(own(m, "GeluErf", [x]), F.gelu(t))
    m.output(own(m, "GeluTanh", [x]), F.gelu(t, approximate="tanh"))


@case
def own_regressions(m, rng):
    x, t = m.input(rng.standard_normal((4, 3)) * 2)
    y, ty = m.input(rng.standard_normal((4, 3)))
    for reduction in ("mean", "sum", "none"):
        m.output(own(m, "HuberLoss", [x, y], delta=0.75, reduction=reduction), F.huber_loss(t, ty, reduction=reduction, delta=0.75))
        m.output(own(m, "SmoothL1Loss", [x, y], beta=0.75, reduction=reduction), F.smooth_l1_loss(t, ty, reduction=reduction, beta=0.75))
    m.output(own(m, "MeanSquaredError", [x, y]), F.mse_loss(t, ty))


@case
def own_divergences(m, rng):
    x, t = m.input(rng.standard_normal((4, 3)))
    y, ty = m.input(rng.uniform(0.1, 1, (4, 3)))
    for reduction in ("mean", "sum", "none", "batchmean"):
        m.output(own(m, "KLDivergence", [x, y], reduction=reduction), F.kl_div(t, ty, reduction=reduction))
        m.output(own(m, "KLDivergence", [x, y], reduction=reduction, log_target=1), F.kl_div(t, ty, reduction=reduction, log_target=True))
    p, tp = m.input(rng.uniform(0.1, 1, (4, 3)))
    m.output(own(m, "CrossEntropy", [p, y]), -(tp * ty.log()).sum())
    # PyTorch has variances, and no constant unless asked
    m.output(own(m, "GaussianNegativeLogLikelihood", [x, y, p]), F.gaussian_nll_loss(t, tp, 1 / ty, full=True))


@case
def own_logits(m, rng):
    x, t = m.input(rng.standard_normal((4, 5)))
    y, ty = m.input(rng.uniform(0, 1, (4, 5)))
    for reduction in ("mean", "sum", "none"):
        m.output(own(m, "SigmoidCrossEntropyLoss", [x, y], reduction=reduction),
                 F.binary_cross_entropy_with_logits(t, ty, reduction=reduction))
        m.output(own(m, "FocalLoss", [x, y], alpha=0.3, gamma=1.5, reduction=reduction),
                 vision.sigmoid_focal_loss(t, ty, 0.3, 1.5, reduction))
    labels = np.array([4, 0, 2, 2])
    wrong = torch.ones(4, 5, dtype=torch.bool)
    wrong[torch.arange(4), labels] = False
    margins = (t - t[torch.arange(4), labels][:, None] + 1).relu()
    m.output(own(m, "MulticlassHinge", [x, m.constant(labels)], reduction="sum"), (margins * wrong).sum())
    pairs = np.array([[1, 2], [0, 0], [1, 1], [0, 2]])
    m.output(own(m, "GroupedSoftmax", [x], groups=[2, 3]), torch.cat([t[:, :2].softmax(1), t[:, 2:].softmax(1)], 1))
    m.output(own(m, "GroupedSoftmaxCrossEntropyLoss", [x, m.constant(pairs)], groups=[2, 3]),
             F.cross_entropy(t[:, :2], torch.tensor(pairs[:, 0])) + F.cross_entropy(t[:, 2:], torch.tensor(pairs[:, 1])))


@case
def own_attention(m, rng):
    q, tq = m.input(rng.standard_normal((2, 2, 3, 4)))
    k, tk = m.input(rng.standard_normal((2, 2, 5, 4)))
    v, tv = m.input(rng.standard_normal((2, 2, 5, 4)))
    b, tb = m.input(rng.standard_normal((3, 5)))
    m.output(own(m, "ScaledDotProductAttention", [q, k, v, b]), F.scaled_dot_product_attention(tq, tk, tv, tb))


@case
def own_batch_norm(m, rng):
    """Running statistics as results, with gradients; PyTorch's own gives them none, and theirs has the unbiased variance."""
    x, tx = m.input(rng.standard_normal((3, 2, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, 2))
    b, tb = m.input(rng.standard_normal(2))
    mean, tmean = m.input(rng.standard_normal(2))
    var, tvar = m.input(rng.uniform(0.5, 2, 2))
    y, new_mean, new_var = own(m, "BatchNormalization", [x, s, b, mean, var], 3, training_mode=1, epsilon=1e-3, momentum=0.75)
    m.output(y, F.batch_norm(tx, None, None, ts, tb, True, eps=1e-3))
    m.output(new_mean, 0.75 * tmean + 0.25 * tx.mean((0, 2)))
    m.output(new_var, 0.75 * tvar + 0.25 * tx.var((0, 2), correction=0))
