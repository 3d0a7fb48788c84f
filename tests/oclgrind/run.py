#!/usr/bin/env python3
"""Every operator on oclgrind, which sees what no device shows: data races, uninitialised local and private variables, accesses outside a buffer.

    tests/oclgrind/run.py BUILD [OP]...
    tests/oclgrind/run.py BUILD --whole    those of slow.txt with all that is left out of them elsewhere, each for an hour at most

Each operator is a run of `aval check --quick` of its own, with results compared as on any device, and a log of oclgrind's.  What the log holds
is a failure, but for the rows of known.txt.  Operators of slow.txt run with the options that stand there.  Prints the slowest and what was left out; exits with 77
where oclgrind is not installed."""
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ICDS = glob.glob("/usr/lib/oclgrind/liboclgrind-rt-icd.so") + glob.glob("/usr/lib/*/oclgrind/liboclgrind-rt-icd.so")
SECONDS = 240  # for one operator; with --whole 3600
SHOWN = 20  # seconds from which on an operator is named as it ends
RUNS = 10  # that must give equal bits, of each operator's first samples
LONGEST = ("aval::LstmSteps", "RNN")  # with those of slow.txt: what would be left running alone if it began last
GROUP = 8  # work-items that share a reduction: enough for a race, and a simulator runs each of them


def environment(build, log, cache):
    """Without optimisation no `freeze` appears, an instruction that oclgrind 21.10's detector of uninitialised values does not know."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OCLGRIND_", "AVAL_"))}
    return {**own, "OCL_ICD_VENDORS": ICDS[0], "OPENCL_LAYERS": os.path.join(build, "tests", "oclgrind_layer.so"), "AVAL_CACHE_DIR": cache,
            "AVAL_GROUP": str(GROUP), "OCLGRIND_LOG": log, "OCLGRIND_BUILD_OPTIONS": "-cl-opt-disable", "OCLGRIND_DATA_RACES": "1",
            "OCLGRIND_UNINITIALIZED": "1", "OCLGRIND_NUM_THREADS": "1", "OCLGRIND_MAX_ERRORS": "10000"}


def read_table(name):
    """Rows of words; what follows a # is the reason, which each row must have."""
    rows = []
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        for line in file:
            words, _, reason = line.partition("#")
            if words.strip() and not reason.strip():
                sys.exit(f"{name}: '{words.strip()}' has no reason")
            if words.strip():
                rows.append((words.split(), reason.strip()))
    return rows


def read_log(path):
    """[(what, kernel, line of source)], each once."""
    found = {}
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        for block in re.split(r"\n\s*\n(?=\S)", file.read()):
            lines = block.strip().splitlines()
            if not lines:
                continue
            kernel = re.search(r"Kernel: (\S+)", block)
            place = re.search(r"At line (\d+)", block)
            what = re.sub(r"\s*(address )?0x[0-9a-f]+", "", lines[0])
            found.setdefault((what, kernel.group(1) if kernel else "?"), place.group(1) if place else "?")
    return [(what, kernel, line) for (what, kernel), line in found.items()]


def check(build, op, options, folder, limit):
    log, started = os.path.join(folder, op.replace("::", "_") + ".log"), time.time()
    command = [os.path.join(build, "aval"), "check", "--quick", "--quiet", "--json", "--first-repeats", str(RUNS), "--timeout", str(limit),
               "--type", "float", "--failures", os.path.join(build, "oclgrind-failures"), *options, op]
    done = subprocess.run(command, env=environment(build, log, os.path.join(folder, "cache")), capture_output=True, text=True)
    try:
        results = json.loads(done.stdout)
    except json.JSONDecodeError:
        results = []
    return op, done, results, read_log(log), time.time() - started


def train(build, folder):
    """Whole trainings in small form, repeated too."""
    own = {**os.environ, "OCL_ICD_VENDORS": ICDS[0], "AVAL_CACHE_DIR": os.path.join(folder, "trainings")}
    os.mkdir(own["AVAL_CACHE_DIR"], 0o700)
    script = os.path.join(HERE, "..", "system", "determinism.sh")
    return subprocess.run(["bash", script, os.path.join(build, "aval"), str(RUNS), "small"], env=own, capture_output=True, text=True)


def equal_runs(results):
    """In how many runs a case of the operator gave equal bits, at most."""
    return max((int(re.match(r"(\d+) runs", r["message"]).group(1)) for r in results if r["what"] == "repeat" and r["result"] == "passed"), default=0)


def main():
    build, ops = os.path.abspath(sys.argv[1]), sys.argv[2:]
    whole = ops == ["--whole"]
    if not ICDS:
        print("oclgrind: left out, liboclgrind-rt-icd.so is not installed")
        return 77
    if whole:
        ops = [words[0] for words, _ in read_table("slow.txt")]
    if not ops:
        listed = subprocess.run([os.path.join(build, "aval"), "ops"], capture_output=True, text=True, check=True).stdout
        ops = sorted({line.split()[0] for line in listed.splitlines()})
    known = {(words[0], words[1]): reason for words, reason in read_table("known.txt")}
    slow = {} if whole else {words[0]: (words[1:], reason) for words, reason in read_table("slow.txt")}
    bad, seconds, passed, repeated = 0, [], 0, set()
    with_trainings = len(sys.argv) == 2
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        os.mkdir(os.path.join(folder, "cache"), 0o700)
        # the slow ones first, so that none of them is left for the end
        order = sorted((op for op in ops if slow.get(op, ([], ""))[0] != ["skip"]), key=lambda op: (op not in LONGEST, op not in slow))
        trainings = pool.submit(train, build, folder) if with_trainings else None
        runs = [pool.submit(check, build, op, slow.get(op, ([], ""))[0], folder, 3600 if whole else SECONDS) for op in order]
        for op, done, results, log, took in (run.result() for run in concurrent.futures.as_completed(runs)):
            if took > SHOWN:
                print(f"{op} took {took:.0f} s", flush=True)
            seconds.append((took, op))
            passed += sum(r["result"] == "passed" for r in results)
            if equal_runs(results) >= RUNS:
                repeated.add(op)
            if done.returncode != 0:
                bad += 1
                print(f"{op}: aval check ends with {done.returncode}\n{done.stderr[-500:]}")
                for r in (r for r in results if r["result"] == "failed"):
                    print(f"  {r['what']}, {r['type']}, sample {r['sample']} {r['attributes']}: {r['message'][:500]}")
            for what, kernel, line in log:
                if (kernel, what.split()[0]) in known:
                    continue
                bad += 1
                print(f"{op}: {what}, kernel {kernel}, line {line}")
        if trainings is not None:
            done = trainings.result()
            bad += done.returncode != 0
            print(done.stdout + done.stderr, end="")
    print(f"equal bits in {RUNS} runs and more: {len(repeated)} of {len(order)} operators")
    if set(order) - repeated:
        bad += 1
        print("not run so often with equal bits: " + ", ".join(sorted(set(order) - repeated)))
    for op, (options, reason) in slow.items():
        if op in ops:
            print(f"{op}: {'left out' if options == ['skip'] else 'only ' + ' '.join(options)}, {reason}")
    print("samples of the type under test: float only, since doubles and halves run the same kernels")
    print("slowest: " + ", ".join(f"{op} {took:.1f} s" for took, op in sorted(seconds, reverse=True)[:8]))
    print(f"oclgrind: {len(order)} operators, {passed} comparisons passed, {bad} faults")
    return 1 if bad or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
