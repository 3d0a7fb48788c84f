#!/usr/bin/env python3
"""Times aval and its peers in turns and prints the ratios: peer's time / aval's, above 1 is faster.

    peers.py --python VENV_PYTHON BUILD_FOLDER [CASE]... [--rounds N] [--json FILE] [--plot FILE.svg] [--page FILE.html] [--markdown FILE.md]
             [--data DIR]

Each measurement is a process of its own, since threads of OpenBLAS and PyTorch spin after a call and would steal the cores of what runs
beside them.  A round measures every system once; the table has the median over the rounds of the medians within a process, and the spread of
the rounds.  PyTorch is measured eager, with its fused optimiser and compiled, and the best of them counts.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import page
import scaling

HERE = os.path.dirname(os.path.abspath(__file__))
POCL = "/etc/OpenCL/vendors/pocl.icd"

# name: (what aval runs, [peer and what it runs], least ratio to the first peer or None)
NETS = {
    "mlp-32": (["mlp", "--batch", "32"], ["mlp", "32"], 1.2),
    "mlp-128": (["mlp", "--batch", "128"], ["mlp", "128"], 0.9),
    "mlp-512": (["mlp", "--batch", "512"], ["mlp", "512"], 0.9),
    "lenet-64": (["lenet", "--batch", "64"], ["lenet", "64"], 1.2),
    "resnet20-32": (["resnet20", "--batch", "32"], ["resnet20", "32"], 1.0),
    "transformer-8": (["transformer", "--batch", "8"], ["transformer", "8"], 0.9),
    "lstm-32": (["lstm", "--batch", "32"], ["lstm", "32"], 0.9),
}
# name: (what aval runs and writes as ONNX for onnxruntime, least ratio)
INFERENCE = {
    "resnet50": (["resnet50", "--batch", "1"], 0.6),
    "squeezenet": (["squeezenet", "--batch", "1"], 0.6),
    "mobilenet": (["mobilenet", "--batch", "1"], 0.6),
    "transformer": (["transformer", "--batch", "1", "--inference"], 0.7),
}
TINYGRAD = ["mlp-32", "mlp-128", "mlp-512", "lenet-64", "resnet20-32"]  # what worker_tinygrad.py has
PRODUCTS = {
    "512 x 512 x 512": 0.9,
    "1024 x 1024 x 1024": 0.9,
    "2048 x 2048 x 2048": 0.9,
    "256 x 256 x 256": 0.75,
    "128 x 512 x 784": 0.75,
    "512 x 784 x 128": 0.75,
    "128 x 10 x 512": 0.8,
    "1 x 1000 x 2048": 0.8,
}
CLBLAST_BAR = 6
# Least ratio of all cases of `aval bench rows`.
ROWS_BAR = 1.0
CASES = [*NETS, *INFERENCE, "gemm", "rows", "start", "tinygrad", "mnist", "scaling"]
# An epoch of the lenet on MNIST: options of `aval train`, the accuracy that both must reach, the bar.
MNIST = ["lenet", "--batch", "64", "--epochs", "1", "--lr", "0.03", "--momentum", "0.9"]
MNIST_ACCURACY, MNIST_BAR = 0.98, 1.0
QUIET = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}  # PyTorch at its best


def run(command, opens="[", **environment):
    """The JSON that a measuring process prints last; it begins with `opens`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}  # else it may be held to older kernels than the processor has
    env.update(environment)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout[done.stdout.index(opens):])


class Systems:
    def __init__(self, program, python):
        self.program, self.python = program, python

    def aval(self, arguments, **environment):
        return run([self.program, "bench", "--json", *arguments], OCL_ICD_VENDORS=POCL, **environment)

    def train(self, arguments):
        return run([self.program, "train", "--json", "--quiet", *arguments], "{", OCL_ICD_VENDORS=POCL)

    def mnist(self, folder, seed):
        """Milliseconds of an epoch, and who fell short of the accuracy."""
        ours = self.train([*MNIST, "--data", folder, "--seed", str(seed)])
        theirs = self.peer("worker_torch_mnist.py", [folder, str(seed)], **QUIET)[0]
        print(f"       seed {seed}: aval {100 * ours['test_accuracy']:.2f} %, torch {100 * theirs['test_accuracy']:.2f} %", flush=True)
        return {"aval": 60e6 / ours["examples_per_second"], "torch": 1e3 * theirs["seconds"]}, ours["test_accuracy"]

    def peer(self, worker, arguments, **environment):
        return run([self.python, os.path.join(HERE, worker), *arguments], **environment)

    def net(self, name):
        """{system: ms} of a training step."""
        ours, theirs, _ = NETS[name]
        times = {"aval": self.aval(ours)[0]["median_ms"]}
        for row in self.peer("worker_torch.py", theirs, **QUIET):
            times[row["name"]] = row["median_ms"]
        return times

    def inference(self, name):
        """{system: ms} of a forward pass of the same model, which aval writes as ONNX."""
        ours = INFERENCE[name][0]
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "model.onnx")
            self.aval([*ours, "--save", model, "--steps", "1"])
            return {"aval": self.aval(ours)[0]["median_ms"], "onnxruntime": self.peer("worker_onnxruntime.py", [model])[0]["median_ms"]}

    def products(self):
        """{shape: {system: ms}}; CLBlast as it comes through aval's own launches."""
        times = {shape: {} for shape in PRODUCTS}
        for system, rows in (
            ("aval", self.aval(["gemm"])),
            ("OpenBLAS", run([sys.executable, os.path.join(HERE, "worker_openblas.py"), *PRODUCTS])),
            ("CLBlast", self.aval(["gemm"], AVAL_GEMM="clblast")),
        ):
            for row in rows:
                if row["shape"] in times:
                    times[row["shape"]][system] = row["median_ms"]
        return times

    def rows(self):
        """{name and shape: {system: ms}} of what the memory's bandwidth bounds."""
        times = {f"{row['name']} {row['shape']}": {"aval": row["median_ms"]} for row in self.aval(["rows"])}
        for row in self.peer("worker_torch_rows.py", [], **QUIET):
            times[f"{row['name']} {row['shape']}"][row["variant"]] = row["median_ms"]
        return times

    def tinygrad(self, name):
        return {"tinygrad": self.peer("worker_tinygrad.py", NETS[name][1], OCL_ICD_VENDORS=POCL, DEV="CL", TRAINING="1")[0]["median_ms"]}

    def start(self):
        """A new process with warm caches to the end of one training step."""
        with tempfile.TemporaryDirectory() as folder:
            env = {"AVAL_CACHE_DIR": folder}
            command = ["mlp", "--batch", "32", "--steps", "1"]
            self.aval(command, **env)
            return {"aval": self.aval_wall(command, env), "torch": self.peer("worker_start.py", [self.python])[0]["median_ms"]}

    def aval_wall(self, arguments, environment):
        import time
        start = time.monotonic()
        self.aval(arguments, **environment)
        return 1e3 * (time.monotonic() - start)


def print_row(name, samples, bar):
    """samples: [{system: ms}] a round.  Returns what the JSON file has."""
    systems = [s for s in samples[0] if s != "aval"]
    ours = [s["aval"] for s in samples]
    row = {"case": name, "aval_ms": statistics.median(ours), "aval_spread": [min(ours), max(ours)], "bar": bar, "peers": {}}
    best = [min(s[p] for p in systems if p.startswith("torch")) for s in samples] if any(p.startswith("torch") for p in systems) else None
    cells = []
    for system in systems:
        theirs = [s[system] for s in samples]
        row["peers"][system] = {"ms": statistics.median(theirs), "ratio": statistics.median(t / o for t, o in zip(theirs, ours))}
        cells.append(f"{system} {row['peers'][system]['ms']:.3f} ms")
    first = best or [s[systems[0]] for s in samples]
    ratios = [t / o for t, o in zip(first, ours)]
    row["ratio"], row["ratio_spread"] = statistics.median(ratios), [min(ratios), max(ratios)]
    verdict = "" if bar is None else f"  bar {bar}: {'ok' if row['ratio'] >= bar else 'MISSED'}"
    print(f"{name:40} aval {row['aval_ms']:9.3f} ms   ratio {row['ratio']:6.2f} ({min(ratios):.2f} to {max(ratios):.2f}){verdict}   "
          f"[{', '.join(cells)}]", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("build")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all without")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--plot")
    parser.add_argument("--page")
    parser.add_argument("--markdown", help="the tables of docs/performance.md")
    parser.add_argument("--data", help="folder with MNIST's files, for the case mnist")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        sys.exit(f"peers.py: no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    systems, rows = Systems(os.path.join(os.path.abspath(options.build), "aval"), options.python), []
    asked = lambda name: not options.cases or name in options.cases
    for name in filter(asked, NETS):
        rows.append(print_row(name, [systems.net(name) for _ in range(options.rounds)], NETS[name][2]))
    for name in filter(asked, INFERENCE):
        rows.append(print_row(name, [systems.inference(name) for _ in range(options.rounds)], INFERENCE[name][1]))
    if asked("gemm"):
        rounds = [systems.products() for _ in range(options.rounds)]
        for shape, bar in PRODUCTS.items():
            rows.append(print_row(shape, [{s: ms for s, ms in r[shape].items() if s != "CLBlast"} for r in rounds], bar))
        for shape in PRODUCTS:
            samples = [{s: ms for s, ms in r[shape].items() if s != "OpenBLAS"} for r in rounds]
            rows.append(print_row(f"{shape} (CLBlast)", samples, CLBLAST_BAR))
    if asked("rows"):
        rounds = [systems.rows() for _ in range(options.rounds)]
        for name, times in rounds[0].items():
            if len(times) == 1:
                print(f"{name:40} aval {times['aval']:9.3f} ms   no peer has this row", flush=True)
                continue
            rows.append(print_row(name, [r[name] for r in rounds], ROWS_BAR))
    if asked("tinygrad"):
        for name in TINYGRAD:
            samples = [{"aval": systems.aval(NETS[name][0])[0]["median_ms"], **systems.tinygrad(name)} for _ in range(options.rounds)]
            rows.append(print_row(f"{name} (tinygrad)", samples, 4))
    if asked("start"):
        rows.append(print_row("start", [systems.start() for _ in range(options.rounds)], 10))
    if asked("mnist") and options.data:
        samples = [systems.mnist(options.data, seed) for seed in range(3)]
        rows.append(print_row("MNIST, lenet, an epoch", [times for times, _ in samples], MNIST_BAR))
        mean = statistics.mean(accuracy for _, accuracy in samples)
        print(f"{'':40} mean accuracy {100 * mean:.2f} %  bar {100 * MNIST_ACCURACY:.0f} %: {'ok' if mean >= MNIST_ACCURACY else 'MISSED'}")
    series = scaling.measure(systems) if asked("scaling") else []
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows + series, file, indent=1)
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(page.bars(rows))
    if options.markdown:
        page.write_markdown(options.markdown, rows, series)
    if options.page:
        page.write(options.page, rows, series)


if __name__ == "__main__":
    main()
