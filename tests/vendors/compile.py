"""Compiles every kernel that aval gives a GPU with the vendors' compilers, on a machine without their GPUs.

    compile.py LISTED CACHE DOCS [--write-docs]

LISTED is what list_kernels wrote; CACHE remembers results by source, options and compiler; DOCS is docs/kernels.md, which the results are
compared with or, with --write-docs, written to.  Called by run.sh.  Exits with 1 when something is wrong and with 77 when nothing is but a
vendor was left out."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import time

import report
import toolchains

FORMAT = "3"  # of what is remembered


def read_variants(folder):
    variants = []
    for line in (folder / "kernels.tsv").read_text().splitlines():
        file, name, options, fp64, kernels = line.split("\t")
        variants.append(
            {
                "file": file,
                "name": name,
                "options": options.split(),
                "fp64": fp64 == "1",
                "kernels": kernels.split(","),
                "text": (folder / file).read_text(),
            }
        )
    return variants


def compile_cached(cache, compiler, variant):
    """Messages, and the figures of each kernel by target."""
    key = [FORMAT, compiler.version, compiler.name, variant["text"], *variant["options"], *variant["kernels"]]
    remembered = cache / (hashlib.sha256("\0".join(key).encode()).hexdigest() + ".json")
    if remembered.exists():
        return json.loads(remembered.read_text())
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        source = pathlib.Path(scratch) / variant["file"]
        source.write_text(variant["text"])
        result = compiler.compile(source, variant["options"], pathlib.Path(scratch))
        unfinished = pathlib.Path(scratch) / "result.json"
        unfinished.write_text(json.dumps(result))
        unfinished.rename(remembered)
    return result


def collect(compilers, variants, cache):
    """[(variant, compiler, result)], as many at a time as there are processors."""
    jobs = [(v, c) for v in variants for c in compilers if c.fp64 or not v["fp64"]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda job: compile_cached(cache, job[1], job[0]), jobs)
        return [(v, c, result) for (v, c), result in zip(jobs, results)]


def planted(name, body):
    text = f"float missing(float x);\n__kernel void planted(__global const float *x, __global float *y, int n)\n{{\n{body}\n}}\n"
    return {"file": f"{name}.cl", "name": f"{name}.cl", "options": ["-DS_TYPE=1"], "fp64": False, "kernels": ["planted"], "text": text}


PLANTED = {
    "in memory instead of registers": planted(
        "spills",
        "float a[256];\nfor (int i = 0; i < 256; i++) a[i] = i;\nfor (int i = 0; i < n; i++) a[(int)x[i] & 255] += x[i + n];\n"
        "for (int i = 0; i < 256; i++) y[i] = a[i];",
    ),
    "missing": planted("calls", "y[0] = missing(x[n]);"),
    "self-comparison": planted("warns", "y[n] = n != n ? x[0] : x[1];"),
    "error": planted("breaks", "y[n] = ;"),
}


def blind_spots(compilers, cache):
    """What no compiler may let pass, planted: each must be found by each."""
    blind = []
    for word, variant in PLANTED.items():
        for _, compiler, result in collect(compilers, [variant], cache):
            if not compiler.figures and variant["file"] == "spills.cl":
                continue
            found = problems_of([(variant, compiler, result)])
            if not any(word in problem for problem in found):
                blind.append(f"{compiler.name} did not find the fault in {variant['file']} ('{word}'), but said: {found}")
    return blind


def problems_of(results):
    """What no kernel may have: messages of a compiler, kernels that are missing, registers that were spilled."""
    problems, said = [], {}
    for variant, compiler, result in results:
        build = f"{variant['file']} {' '.join(variant['options'])}"
        where = f"{compiler.name}: {build}"
        for message in result["messages"]:
            said.setdefault((build, message), []).append(compiler.name)
        for target, kernels in result["targets"].items():
            for name in variant["kernels"]:
                found = kernels.get(name)
                if found is None:
                    problems.append(f"{where}: {target} has no kernel {name}")
                elif found["spilled"] > 0:
                    problems.append(f"{where}: {target}: {name} keeps {found['spilled']} bytes a work-item in memory instead of registers")
    return [f"{', '.join(names)}: {build}: {message}" for (build, message), names in said.items()] + problems


def main():
    listed, cache, docs = (pathlib.Path(a) for a in sys.argv[1:4])
    began = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    variants = read_variants(listed)
    compilers, left_out = toolchains.find()
    results = collect(compilers, variants, cache)
    problems = problems_of(results) + blind_spots(compilers, cache)
    table = report.Table(results)
    if "--write-docs" in sys.argv[4:]:
        if left_out:
            problems.append("the tables need all vendors' compilers: " + "; ".join(left_out))
        else:
            docs.write_text(report.page(table, len(variants)))
    problems += report.differences(table, docs.read_text() if docs.exists() else "")
    print(report.summary(table))
    n_kernels = sum(len(v["kernels"]) for v in variants)
    print(f"{n_kernels} kernels in {len(variants)} builds for {len(table.targets)} GPUs in {time.monotonic() - began:.1f} s")
    for problem in problems[:60]:
        print("FAILED " + problem)
    if len(problems) > 60:
        print(f"FAILED and {len(problems) - 60} more")
    for reason in left_out:
        print("left out: " + reason)
    return 1 if problems else 77 if left_out else 0


sys.exit(main())
