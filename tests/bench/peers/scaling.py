"""How aval's times grow with size, batch, depth, nodes and compute units: series of (what grows, milliseconds) with the exponent of their growth, the slope
of a straight line through the logarithms."""
import math
import os
import re

UNITS = "POCL_MAX_PTHREAD_COUNT"  # how many cores PoCL shows as compute units


def exponent(points):
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (sum(v) / len(logs) for v in zip(*logs))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread if spread > 0 else math.nan


def sizes(systems):
    found = (re.fullmatch(r"(\d+) x \1 x \1", row["shape"]) and (int(row["shape"].split()[0]), row["median_ms"]) for row in systems.aval(["gemm"]))
    return [point for point in found if point]


def batches(systems):
    return [(b, systems.aval(["mlp", "--batch", str(b)])[0]["median_ms"]) for b in (16, 32, 64, 128, 256, 512, 1024)]


def depths(systems):
    """A training step of batch 32 on the digits with so many hidden layers of 256."""
    points = []
    for depth in (1, 2, 4, 8, 16):
        layers = ",".join(["256"] * depth)
        report = systems.train(["mlp", "--layers", layers, "--batch", "32", "--epochs", "4", "--lr", "0.01"])
        points.append((depth, 32e3 / report["examples_per_second"]))
    return points


def nodes(systems):
    rows = [row for row in systems.aval(["plan"]) if row["shape"].startswith("chain")]
    return [(int(re.sub(r"\D", "", row["shape"])), row["median_ms"]) for row in rows]


def units(systems):
    return [(n, systems.aval(["mlp", "--batch", "512"], **{UNITS: str(n)})[0]["median_ms"]) for n in range(1, (os.cpu_count() or 1) + 1)]


SERIES = [
    ("products of square matrices", "side", sizes),
    ("a training step of the mlp", "batch", batches),
    ("a training step by depth", "hidden layers of 256", depths),
    ("planning a chain", "nodes", nodes),
    ("a training step of the mlp, batch 512, by compute units", "compute units", units),
]


def measure(systems):
    series = []
    for name, grows, points_of in SERIES:
        points = points_of(systems)
        series.append({"name": name, "grows": grows, "points": points, "exponent": exponent(points)})
        print(f"{name:60} ({grows})^{series[-1]['exponent']:.2f}   " + ", ".join(f"{x}: {ms:.3g} ms" for x, ms in points), flush=True)
    return series
