"""Times training steps of tinygrad on an OpenCL device: worker_tinygrad.py NET BATCH (mlp, lenet, resnet20)."""
import json
import sys
import time

from tinygrad import Tensor, TinyJit, nn


class Net:
    def __init__(self, name):
        self.name = name
        if name == "mlp":
            self.layers = [nn.Linear(784, 512), Tensor.relu, nn.Linear(512, 512), Tensor.relu, nn.Linear(512, 10)]
        elif name == "lenet":
            self.layers = [nn.Conv2d(1, 32, 5, padding=2), Tensor.relu, Tensor.max_pool2d, nn.Conv2d(32, 64, 5, padding=2), Tensor.relu,
                           Tensor.max_pool2d, lambda x: x.flatten(1), nn.Linear(3136, 256), Tensor.relu, nn.Linear(256, 10)]
        else:
            self.layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm(16), Tensor.relu], 16
            for stage in range(3):
                for block in range(3):
                    out, stride = 16 << stage, 2 if stage and block == 0 else 1
                    self.layers.append(Block(channels, out, stride))
                    channels = out
            self.layers += [lambda x: x.mean((2, 3)), nn.Linear(64, 10)]

    def __call__(self, x):
        return x.sequential(self.layers)


class Block:
    def __init__(self, channels, out, stride):
        self.body = [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm(out), Tensor.relu,
                     nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm(out)]
        self.skip = [nn.Conv2d(channels, out, 1, stride, bias=False)] if stride > 1 else []

    def __call__(self, x):
        return (x.sequential(self.body) + x.sequential(self.skip)).relu()


def main():
    name, batch = sys.argv[1], int(sys.argv[2])
    shape = {"mlp": (784,), "lenet": (1, 28, 28), "resnet20": (3, 32, 32)}[name]
    net = Net(name)
    optimizer = nn.optim.SGD(nn.state.get_parameters(net), lr=0.01, momentum=0.9)
    x, y = Tensor.rand(batch, *shape).realize(), (Tensor.arange(batch) * 7 % 10).realize()

    @TinyJit
    def step():
        optimizer.zero_grad()
        loss = net(x).sparse_categorical_crossentropy(y).backward()
        optimizer.step()
        return loss.realize()

    for _ in range(4):
        step().item()
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        step().item()
        times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    print(json.dumps([{"name": "tinygrad", "median_ms": times[3], "min_ms": times[0], "max_ms": times[-1]}]))


main()
