"""Trains the lenet of `aval train` by PyTorch on MNIST for one epoch: worker_torch_mnist.py FOLDER SEED.  Prints seconds and test accuracy as JSON."""
import gzip
import json
import os
import sys
import time

import numpy
import torch
from torch import nn

torch.set_num_threads(2)
BATCH = 64


def read(folder, name, header):
    path = os.path.join(folder, name)
    with (gzip.open(path + ".gz") if os.path.exists(path + ".gz") else open(path, "rb")) as file:
        return torch.from_numpy(numpy.frombuffer(file.read(), numpy.uint8, offset=header).copy())


def load(folder, part):
    images = read(folder, f"{part}-images-idx3-ubyte", 16).view(-1, 1, 28, 28).float() / 255
    return images, read(folder, f"{part}-labels-idx1-ubyte", 8).long()


def main():
    folder, seed = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(seed)
    (x, y), (test_x, test_y) = load(folder, "train"), load(folder, "t10k")
    net = nn.Sequential(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9, fused=True)
    start, order = time.perf_counter(), torch.randperm(len(x))
    for i in range(0, len(x) - BATCH + 1, BATCH):
        at = order[i:i + BATCH]
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(x[at]), y[at]).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        right = sum((net(test_x[i:i + 500]).argmax(1) == test_y[i:i + 500]).sum().item() for i in range(0, len(test_x), 500))
    print(json.dumps([{"name": "torch", "seconds": seconds, "test_accuracy": right / len(test_x)}]))


main()
