"""Times training steps of PyTorch, in milliseconds: worker_torch.py NET BATCH.  Prints rows as JSON: eager, fused optimiser, compiled."""
import json
import sys
import time

import torch
from torch import nn

torch.set_num_threads(2)


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)), (784,)


def lenet():
    return nn.Sequential(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10)), (1, 28, 28)


class Block(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
                                  nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.skip = nn.Conv2d(channels, out, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


def resnet20():
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage in range(3):
        for block in range(3):
            out = 16 << stage
            layers.append(Block(channels, out, 2 if stage and block == 0 else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), (3, 32, 32)


class Layer(nn.Module):
    """A layer of an encoder, layer norm first."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dense = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x):
        h = self.norms[0](x)
        q, k, v = (d(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for d in self.dense[:3])
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.dense[3](mixed.transpose(1, 2).flatten(-2))
        return x + self.wide(self.norms[1](x))


def transformer():
    return nn.Sequential(*[Layer(256, 4) for _ in range(4)]), (128, 256)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scores = nn.LSTM(128, 256), nn.Linear(256, 10)

    def forward(self, x):
        return self.scores(self.layer(x.transpose(0, 1))[1][0][0])


def lstm():
    return Lstm(), (64, 128)


def cross_entropy(scores, labels):
    return nn.functional.cross_entropy(scores, labels)


def mean_of_squares(y, _):
    return (y * y).mean()


# name: (network and shape of an example, loss), as cli/nets.c has them
NETS = {
    "mlp": (mlp, cross_entropy),
    "lenet": (lenet, cross_entropy),
    "resnet20": (resnet20, cross_entropy),
    "transformer": (transformer, mean_of_squares),
    "lstm": (lstm, cross_entropy),
}


def measure(step, seconds=1.5, least=7):
    for _ in range(4):
        step()
    times, start = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    return {"median_ms": times[len(times) // 2], "min_ms": times[0], "max_ms": times[-1]}


def main():
    name, batch = sys.argv[1], int(sys.argv[2])
    rows = []
    for variant, fused, compiled in (("torch eager", False, False), ("torch fused", True, False), ("torch compiled", True, True)):
        make, loss = NETS[name]
        net, shape = make()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=fused)
        x, y = torch.rand(batch, *shape) * 2 - 1, torch.arange(batch) * 7 % 10
        run = torch.compile(net) if compiled else net

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss(run(x), y).backward()
            optimizer.step()

        try:
            rows.append({"name": variant, **measure(step)})
        except Exception as reason:  # no C++ compiler for torch.compile, e.g.
            print(f"{variant}: {reason}", file=sys.stderr)
    print(json.dumps(rows))


main()
