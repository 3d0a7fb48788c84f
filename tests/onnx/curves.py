"""Makes tests/onnx/curves: networks that PyTorch exports, loss included, and the loss curve of training them in PyTorch.

   python curves.py FOLDER      (needs torch, onnx and onnxscript from PyPI)

NAME.onnx is the network as torch.onnx.export writes it, with its first weights; its one output is the loss.  NAME.txt says how it was trained:

   optimizer sgd|adam, and its numbers
   input NAME float|int DIMS MODULUS      element i of input k in step s is (7919 i + 104729 s + 31 k) mod MODULUS: itself, or brought to [-1, 1)
   weight NAME                            what is trained, by its name in the file
   loss VALUE                             a line a step, in double from PyTorch's floats
"""
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F

STEPS = 20


class Loss(nn.Module):
    """A network with its loss: what is exported has one output."""

    def __init__(self, net, loss):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, x, target):
        return self.loss(self.net(x), target)


def mlp():
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 5))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x):
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def cnn():
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), Residual(6), nn.MaxPool2d(2), Residual(6),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 10, num_layers=2, batch_first=True)
        self.out = nn.Linear(10, 5)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """Pre-norm attention and a feed-forward net, written out."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, words=11, width=12):
        super().__init__()
        self.embed, self.place = nn.Embedding(words, width), nn.Parameter(torch.randn(7, width) * 0.1)
        self.blocks = nn.Sequential(Block(width, 3), Block(width, 3))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, x):
        return self.out(self.norm(self.blocks(self.embed(x) + self.place))).transpose(1, 2)


class UNet(nn.Module):
    """One level down and up again, by a transposed convolution and by interpolation, with links across."""

    def __init__(self):
        super().__init__()
        def twice(a, b):
            return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(2, b), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU())
        self.down1, self.down2, self.bottom = twice(2, 4), twice(4, 6), twice(6, 6)
        self.up2, self.up1 = nn.ConvTranspose2d(6, 6, 2, stride=2), nn.Upsample(scale_factor=2, mode="nearest")
        self.back2, self.back1 = twice(12, 6), twice(10, 4)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        b = self.back2(torch.cat([self.up2(c), b], 1))
        return self.out(self.back1(torch.cat([self.up1(b), a], 1)))


# name, network, loss, inputs (name, type, dims, modulus), optimiser
SGD = ("sgd", dict(lr=0.05, momentum=0.9))
ADAM = ("adam", dict(lr=0.003))
NETS = [
    ("mlp", mlp, nn.CrossEntropyLoss(), [("x", "float", (8, 12), 1009), ("target", "int", (8,), 5)], SGD),
    ("cnn", cnn, nn.CrossEntropyLoss(), [("x", "float", (6, 3, 9, 8), 1009), ("target", "int", (6,), 5)], SGD),
    ("lstm", Lstm, nn.CrossEntropyLoss(), [("x", "float", (4, 7, 6), 1009), ("target", "int", (4,), 5)], SGD),
    ("transformer", Transformer, nn.CrossEntropyLoss(), [("x", "int", (3, 7), 11), ("target", "int", (3, 7), 11)], ADAM),
    ("unet", UNet, nn.MSELoss(), [("x", "float", (2, 2, 12, 8), 1009), ("target", "float", (2, 2, 12, 8), 613)], SGD),
]


def content(k, kind, dims, modulus, step):
    i = torch.arange(torch.Size(dims).numel())
    numbers = (7919 * i + 104729 * step + 31 * k) % modulus
    return (numbers if kind == "int" else (numbers / modulus * 2 - 1).float()).reshape(dims)


def train(net, inputs, kind, numbers):
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](net.parameters(), **numbers)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = net(*(content(k, *one[1:], step) for k, one in enumerate(inputs)))
        loss.backward()
        optimizer.step()
        yield float(loss)


def export(net, inputs, file):
    args = tuple(content(k, *one[1:], 0) for k, one in enumerate(inputs))
    torch.onnx.export(net, args, file, input_names=[one[0] for one in inputs], output_names=["loss"], opset_version=18, dynamo=DYNAMO,
                      training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)


DYNAMO = False
os.makedirs(sys.argv[1], exist_ok=True)
for name, make, loss, inputs, (kind, numbers) in NETS:
    torch.manual_seed(1)
    net = Loss(make(), loss).train()
    kept = {k: v.clone() for k, v in net.state_dict().items()}
    export(net, inputs, f"{sys.argv[1]}/{name}.onnx")
    net.load_state_dict(kept)
    with open(f"{sys.argv[1]}/{name}.txt", "w") as out:
        print("optimizer", kind, " ".join(f"{k}={v}" for k, v in numbers.items()), file=out)
        for one in inputs:
            print("input", one[0], one[1], ",".join(map(str, one[2])), one[3], file=out)
        for weight, _ in net.named_parameters():
            print("weight", weight, file=out)
        for value in train(net, inputs, kind, numbers):
            print(f"loss {value:.9g}", file=out)
