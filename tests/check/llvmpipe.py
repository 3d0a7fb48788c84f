#!/usr/bin/env python3
"""Every operator's small samples on rusticl over llvmpipe, each held against the referee as on any device.

    tests/check/llvmpipe.py BUILD [OPTION of aval check, or OP]...

What fails is a failure, but for the rows of llvmpipe.txt: faults of the driver, each with its reason, which are printed whenever they happen.  A
row that did not happen is told of too.  Exits with 77 where rusticl is not installed."""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ICD = "/etc/OpenCL/vendors/rusticl.icd"


def known_faults():
    """{(op, type, beginning of the sample): reason}"""
    rows = {}
    with open(os.path.join(HERE, "llvmpipe.txt"), encoding="utf-8") as file:
        for line in file:
            words, _, reason = line.partition("#")
            if not words.strip():
                continue
            if len(words.split()) != 3 or not reason.strip():
                sys.exit(f"llvmpipe.txt: '{line.strip()}': expected operator, type, sample and # with a reason")
            rows[tuple(words.split())] = reason.strip()
    return rows


def find_row(rows, result):
    for op, kind, sample in rows:
        if result["op"] == op and result["type"] == kind and result["sample"].startswith(sample):
            return op, kind, sample
    return None


def repeated_operators(results, runs):
    """Those of which a case gave equal bits in so many runs or more."""
    return {result["op"] for result in results if result["what"] == "repeat" and result["result"] == "passed"
            and int(re.match(r"(\d+) runs", result["message"]).group(1)) >= runs}


def main():
    build, options = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if not os.path.exists(ICD):
        print("llvmpipe: left out, rusticl (mesa-opencl-icd) is not installed")
        return 77
    done = subprocess.run([os.path.join(build, "aval"), "check", "--quick", "--json", "--quiet", "--first-repeats", "10", "--failures",
                           os.path.join(build, "llvmpipe-failures"), *options], stdout=subprocess.PIPE, text=True, check=False,
                          env={**os.environ, "OCL_ICD_VENDORS": ICD, "RUSTICL_ENABLE": "llvmpipe", "AVAL_DEVICE": "llvmpipe"})
    try:
        results = json.loads(done.stdout)
    except json.JSONDecodeError:
        print(f"llvmpipe: aval check ended with {done.returncode} and gave no results")
        return 1
    rows, seen, failed = known_faults(), set(), 0
    for result in results:
        if result["result"] != "failed":
            continue
        row = find_row(rows, result)
        if row is not None:
            seen.add(row)
            continue
        failed += 1
        print(f"{result['op']}, {result['what']}, type {result['type']}, sample {result['sample']} {result['attributes']}: {result['message']}")
    for row in rows:
        if row in seen:
            print(f"known fault of the driver: {' '.join(row)}: {rows[row]}")
        elif not options:
            print(f"did not happen: {' '.join(row)}, which llvmpipe.txt has as a fault of the driver")
    every, repeated = {result["op"] for result in results}, repeated_operators(results, 10)
    print(f"equal bits in 10 runs and more: {len(repeated)} of {len(every)} operators")
    if not options and every - repeated:
        failed += 1
        print("not run ten times with equal bits: " + ", ".join(sorted(every - repeated)))
    passed = sum(result["result"] == "passed" for result in results)
    print(f"llvmpipe: {len(every)} operators, {passed} comparisons passed, {failed} faults beside {len(seen)} of the driver")
    return 1 if failed > 0 or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
