"""Times PyTorch on the cases of `aval bench rows`: worker_torch_rows.py.  Prints rows as JSON, one for each shape and variant: eager, compiled, and for
the chain of elementwise operations written into memory that is there (out=)."""
import json
import sys
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(2)


def measure(step, seconds=0.7, least=5):
    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    return {"median_ms": times[len(times) // 2], "min_ms": times[0], "max_ms": times[-1]}


def activation(x, w, b):
    return torch.relu(torch.tanh(x) * w + b)


def batch_norm(x, scale, bias):
    return F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1]), scale, bias, training=True)


def residual_batch_norm(x, scale, bias, residual):
    return batch_norm(x + residual, scale, bias)


def residual_norm(x, scale, bias, residual):
    return F.layer_norm(x + residual, x.shape[-1:], scale, bias)


def cases():
    """name, shape of x, shapes of the other inputs, function"""
    yield "squared_error", (16 << 20,), ((16 << 20,),), F.mse_loss
    yield "masked_softmax", (512, 1024), ((1024,), ()), lambda x, mask, divisor: torch.softmax(x / divisor + mask, -1)
    yield "residual_norm", (4096, 256), ((256,), (256,), (4096, 256)), residual_norm
    yield "pixel_softmax", (8, 21, 128, 128), ((21, 1, 1),), lambda x, bias: torch.softmax(x + bias, 1)
    yield "channel_softmax", (8, 21, 128, 128), (), lambda x: torch.softmax(x, 1)
    labels = torch.arange(1024) * 7 % 1000
    yield "ensemble_loss", (1024, 1000), ((1024, 1000),), lambda x, other: F.cross_entropy(x + other, labels)
    yield "likelihood", (1024, 1000), (), lambda x: F.nll_loss(torch.log(torch.sigmoid(x)), labels)
    yield "activation", (16 << 20,), ((), ()), activation
    yield "softmax", (512, 1024), (), lambda x: torch.softmax(x, -1)
    yield "softmax", (4096, 128), (), lambda x: torch.softmax(x, -1)
    yield "layer_norm", (4096, 256), ((256,), (256,)), lambda x, scale, bias: F.layer_norm(x, x.shape[-1:], scale, bias)
    yield "batch_norm", (32, 64, 32, 32), ((64,), (64,)), batch_norm
    yield "residual_batch_norm", (32, 64, 32, 32), ((64,), (64,), (32, 64, 32, 32)), residual_batch_norm
    yield "cross_entropy", (1024, 1000), (), lambda x: F.cross_entropy(x, labels)
    pixels = (torch.arange(8 * 128 * 128) * 7 % 21).reshape(8, 128, 128)
    yield "pixel_loss", (8, 21, 128, 128), (), lambda x: F.cross_entropy(x, pixels)


def forward_of(function, inputs):
    def step():
        with torch.no_grad():
            function(*inputs)

    return step


def both_ways_of(function, inputs, upstream):
    def step():
        torch.autograd.grad(function(*inputs), inputs, upstream)

    return step


def written_into(inputs, y):
    x, w, b = inputs

    def step():
        with torch.no_grad():
            torch.tanh(x, out=y)
            y.mul_(w).add_(b).relu_()

    return step


def main():
    rows = []
    for name, dims, others, function in cases():
        inputs = [torch.rand(d).requires_grad_() for d in (dims, *others)]
        with torch.no_grad():
            upstream = torch.rand_like(function(*inputs))
        for variant, run in (("torch eager", function), ("torch compiled", torch.compile(function))):
            for what, step in (("forward", forward_of(run, inputs)), ("both ways", both_ways_of(run, inputs, upstream))):
                shape = f"{' x '.join(map(str, dims))}, {what}"
                try:
                    rows.append({"name": name, "shape": shape, "variant": variant, **measure(step)})
                except Exception as reason:  # no C++ compiler for torch.compile, e.g.
                    print(f"{name}, {variant}: {reason}", file=sys.stderr)
        if name == "activation":
            step = written_into(inputs, torch.empty(dims))
            rows.append({"name": name, "shape": f"{dims[0]}, forward", "variant": "torch out=", **measure(step)})
    print(json.dumps(rows))


main()
