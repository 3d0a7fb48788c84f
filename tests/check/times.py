#!/usr/bin/env python3
"""How long `aval check OP` takes for each operator, with kernels built already: the slowest ten, and which take more than 2 seconds.

    tests/check/times.py BUILD [--processor] [--slice K/N] [OP]...

Each operator is checked until it keeps the time, three times at most: the first run may build what no cache has, and other programs of the machine may
get in between.  On PoCL alone.  --slice takes every Nth operator from the Kth on (0 to N - 1), for machines that can be held quiet for a
while only; the operators that are named come on top.  --processor measures processor time, which other programs of the machine change little, and allows
6 seconds: what ./test.sh runs, so that a slump shows."""
import os
import resource
import subprocess
import sys
import time

TRIES = 3


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(program, op, environment, clock):
    started = clock()
    done = subprocess.run([program, "check", "--quiet", op], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.exit(f"times: aval check {op} ended with {done.returncode}: {done.stderr}")
    return clock() - started


def main():
    program, named, part, parts = os.path.join(sys.argv[1], "aval"), sys.argv[2:], 0, 1
    clock, most, of = time.monotonic, 2.0, ""
    if named[:1] == ["--processor"]:
        clock, most, of = processor_time, 6.0, " of processor time"
        named = named[1:]
    all_ops = not named or named[:1] == ["--slice"]
    if named[:1] == ["--slice"]:
        part, parts = map(int, named[1].split("/"))
        named = named[2:]
    environment = {**os.environ, "OCL_ICD_VENDORS": "/etc/OpenCL/vendors/pocl.icd"}
    ops = []
    if all_ops:
        listed = subprocess.run([program, "ops"], stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        ops = sorted({line.split()[0] for line in listed.splitlines() if " gradient: " in line})
    took = {}
    for op in sorted({*ops[part::parts], *named}):
        for _ in range(TRIES):
            took[op] = min(took.get(op, float("inf")), seconds(program, op, environment, clock))
            if took[op] <= most:
                break
        if took[op] > most:
            print(f"times: {op} takes {took[op]:.2f} s{of}, over {most:g} s", flush=True)
    slowest = sorted(took, key=took.get, reverse=True)
    for op in slowest[:10]:
        print(f"{took[op]:6.2f} s  {op}")
    late = [op for op in slowest if took[op] > most]
    print(f"times: {len(took)} operators, {sum(took.values()):.0f} s{of} together, {len(late)} over {most:g} s {' '.join(late)}")
    return 1 if late or not took else 0


if __name__ == "__main__":
    sys.exit(main())
