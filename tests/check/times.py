#!/usr/bin/env python3
"""How long `aval check OP` takes for each operator, with kernels built already: the slowest ten, and which take more than 2 seconds.

    tests/check/times.py BUILD [--slice K/N] [OP]...

Each operator is checked until it keeps the time, three times at most: the first run may build what no cache has, and other programs of the machine may
get in between.  On PoCL alone.  --slice takes every Nth operator from the Kth on (0 to N - 1), for machines that can be held quiet for a
while only."""
import os
import subprocess
import sys
import time

MOST_SECONDS = 2.0
TRIES = 3


def seconds(program, op, environment):
    started = time.monotonic()
    done = subprocess.run([program, "check", "--quiet", op], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.exit(f"times: aval check {op} ended with {done.returncode}: {done.stderr}")
    return time.monotonic() - started


def main():
    program, ops, part, parts = os.path.join(sys.argv[1], "aval"), sys.argv[2:], 0, 1
    if ops[:1] == ["--slice"]:
        part, parts = map(int, ops[1].split("/"))
        ops = ops[2:]
    environment = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors/pocl.icd"}
    if not ops:
        listed = subprocess.run([program, "ops"], stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        ops = sorted({line.split()[0] for line in listed.splitlines() if " gradient: " in line})
    took = {}
    for op in ops[part::parts]:
        for _ in range(TRIES):
            took[op] = min(took.get(op, float("inf")), seconds(program, op, environment))
            if took[op] <= MOST_SECONDS:
                break
        if took[op] > MOST_SECONDS:
            print(f"times: {op} takes {took[op]:.2f} s, over {MOST_SECONDS:g} s", flush=True)
    slowest = sorted(took, key=took.get, reverse=True)
    for op in slowest[:10]:
        print(f"{took[op]:6.2f} s  {op}")
    late = [op for op in slowest if took[op] > MOST_SECONDS]
    print(f"times: {len(took)} operators, {sum(took.values()):.0f} s together, {len(late)} over {MOST_SECONDS:g} s {' '.join(late)}")
    return 1 if late or not took else 0


if __name__ == "__main__":
    sys.exit(main())
