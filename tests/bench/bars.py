#!/usr/bin/env python3
"""Prints the figures that the project promises beside their bars.

    bars.py BUILD_FOLDER

A figure of time that misses is measured again, up to three times, since machines are shared; the best is printed.  A miss is said, and
fails the run when the figure is worse than twice its bar: a slump shows, a busy neighbour does not stop the work.  Figures that are no
times (bytes) must hold as they are.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

TRIES = 3
SLACK = 2.0  # of times only

build = os.path.abspath(sys.argv[1])
program = os.path.join(build, "aval")
failed = []


def bench(case, **environment):
    out = subprocess.run([program, "bench", case, "--json"], check=True, stdout=subprocess.PIPE, env={**os.environ, **environment})
    return json.loads(out.stdout)


def report(name, value, bar, at_most, slack=SLACK):
    worse = value > bar if at_most else value < bar
    far = value > bar * slack if at_most else value < bar / slack
    print(f"{'MISSED' if worse else 'ok    '} {name}: {value:.4g} (bar: {'at most' if at_most else 'at least'} {bar})", flush=True)
    if far:
        failed.append(name)


def timed(name, measure, bar, at_most=True):
    """measure() gives the figure; measured again while it misses."""
    best = measure()
    for _ in range(TRIES - 1):
        if best <= bar if at_most else best >= bar:
            break
        best = (min if at_most else max)(best, measure())
    report(name, best, bar, at_most)


def planning():
    rows = {}

    def measure_all():
        for row in bench("plan"):
            kind = row["shape"].split(",")[0]
            rows.setdefault(kind, []).append(row)
            print(f"       {row['shape']}: {row['median_ms']:.1f} ms ({row['min_ms']:.1f} to {row['max_ms']:.1f})")

    def last(kind):
        if kind not in rows:
            measure_all()
        largest, before = rows[kind][-1], rows[kind][-2]
        del rows[kind]  # the next try measures anew
        return largest["median_ms"], before["median_ms"]

    for kind in ("chain", "random"):
        pairs = []

        def seconds():
            pairs.append(last(kind))
            return pairs[-1][0] / 1000

        timed(f"planning a {kind} of 100,000 nodes, s", seconds, 1.0)
        timed("    against 10,000, times", lambda: (lambda p: p[0] / p[1])(pairs.pop() if pairs else last(kind)), 13)


def memory():
    for row in bench("memory"):
        report(f"arena over the most bytes alive, {row['shape']}", row["arena_over_live"], 1.1, True, slack=1)
        report("    which is no less than what must be there", row["arena_over_live"], 1.0, False, slack=1)


def loading():
    rows = []

    def seconds():
        rows.append(bench("load")[0])
        return rows[-1]["median_ms"] / 1000

    timed("loading and planning a ResNet-50 of 102 MB, s", seconds, 1.0)
    report("    its arena over the most bytes alive", rows[-1]["arena_over_live"], 1.15, True, slack=1)


def launches():
    layer = os.path.join(build, "tests", "opencl_layer.so")
    timed("host time over the null device, us a launch",
          lambda: bench("launch", OPENCL_LAYERS=layer, AVAL_LAYER_NULL="1")[0]["us_per_launch"], 0.5)


def fused():
    def ratio():
        out = subprocess.run([os.path.join(build, "tests", "bench", "bench_fused")], check=True, stdout=subprocess.PIPE, text=True).stdout
        print("      ", out.strip())
        return float(out.split("ratio ")[1].split()[0])

    timed("relu(a x + b) against a copy kernel's bandwidth", ratio, 0.85, at_most=False)


def products():
    """Beside OpenBLAS and CLBlast of the same machine, each in a process of its own; tests/bench/peers has all peers."""
    bars = {"512 x 512 x 512": (0.9, 6), "128 x 512 x 784": (0.75, 6), "1 x 1000 x 2048": (0.8, 6)}
    worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "worker_openblas.py")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}

    def openblas():
        out = subprocess.run([sys.executable, worker, *bars], check=True, stdout=subprocess.PIPE, env=plain)
        return {row["shape"]: row["median_ms"] for row in json.loads(out.stdout)}

    def ours(**environment):
        return {row["shape"]: row["median_ms"] for row in bench("gemm", OCL_ICD_VENDORS="/etc/OpenCL/vendors/pocl.icd", **environment)}

    rounds = [(ours(), openblas()) for _ in range(TRIES)]
    clblast = ours(AVAL_GEMM="clblast")  # once: it takes half a minute
    for shape, (bar, clblast_bar) in bars.items():
        median = lambda values: sorted(values)[TRIES // 2]
        report(f"product {shape}, OpenBLAS's time over ours", median(theirs[shape] / aval[shape] for aval, theirs in rounds), bar, False)
        report("    CLBlast's time over ours", clblast[shape] / median(aval[shape] for aval, _ in rounds), clblast_bar, False)


def start():
    """The whole process, from its start to the end of the first step, PoCL alone."""
    folder = tempfile.mkdtemp()
    environment = {**os.environ, "AVAL_CACHE_DIR": folder + "/aval", "POCL_CACHE_DIR": folder + "/pocl"}
    environment.setdefault("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd")

    def once():
        began = time.monotonic()
        subprocess.run([program, "train", "mlp", "--stop-after", "1", "--quiet"], check=True, stdout=subprocess.DEVNULL, env=environment)
        return time.monotonic() - began

    print(f"       from start to the end of the first step, caches empty: {once():.2f} s")
    timed("from start to the end of the first step, caches warm, s", lambda: sorted(once() for _ in range(5))[2], 0.3)
    shutil.rmtree(folder)


for part in (planning, memory, loading, launches, fused, products, start):
    part()
if failed:
    print("far from their bars: " + "; ".join(failed))
sys.exit(1 if failed else 0)
