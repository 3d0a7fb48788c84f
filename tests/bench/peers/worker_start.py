"""Times `import torch` and one training step of an mlp, in a process of its own: worker_start.py PYTHON."""
import json
import subprocess
import sys
import time

STEP = """
import torch
from torch import nn
torch.set_num_threads(2)
net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
nn.functional.cross_entropy(net(torch.rand(32, 784)), torch.arange(32) % 10).backward()
optimizer.step()
"""
start = time.perf_counter()
subprocess.run([sys.argv[1], "-c", STEP], check=True)
print(json.dumps([{"name": "torch", "median_ms": 1e3 * (time.perf_counter() - start)}]))
